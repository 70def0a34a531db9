"""The space of architectures: its axes, and the two ways between a point's parameters and its architecture."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from search_space.architecture import Architecture, Backbone, Head, Neck, Stage
from search_space.blocks import ATTENTIONS, DOWNSAMPLES, FUSIONS, STAGES, UPSAMPLES
from search_space.errors import SpaceError, nearest
from search_space.heads.anchor_free import CLASS_TOWERS

if TYPE_CHECKING:
    import numpy

Choice = int | float | str
Params = dict[str, Choice]

FINEST, COARSEST = 2, 5
NOMINAL_STEM = 64
NOMINAL_REPEATS = {2: 3, 3: 6, 4: 6, 5: 3}
NECK_NOMINAL_REPEATS = 3
DEPTHS = (0.17, 0.33, 0.67, 1.0)


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One decision about a detector."""

    name: str
    choices: tuple[Choice, ...]
    doc: str
    ordered: bool = False
    """Whether the choices are numbers whose order means something to a sampler."""
    active: Callable[[Mapping[str, Choice]], bool] = lambda params: True
    """Whether the axis means something, given the choices on the axes before it."""

    def check(self, choice: Choice) -> None:
        """Raises SpaceError where `choice` is none of the axis's choices."""
        if choice not in self.choices or isinstance(choice, bool):
            known = ", ".join(map(str, self.choices))
            hint = self._hint(choice)
            raise SpaceError(f"axis {self.name!r} cannot be {choice!r}{hint}; allowed: {known}")

    def _hint(self, choice: object) -> str:
        if self.ordered and _is_number(choice):
            return f"; nearest: {min(self.choices, key=lambda known: abs(float(known) - float(str(choice))))}"
        return nearest(str(choice), map(str, self.choices))

    def parse(self, text: str) -> Choice:
        """Returns the choice that `text` spells; raises SpaceError where it spells none."""
        for choice in self.choices:
            if text == str(choice) or (self.ordered and _is_number(text) and float(text) == float(choice)):
                return choice
        self.check(text)
        raise AssertionError("check raises for what is no choice")


def _is_number(value: object) -> bool:
    try:
        return math.isfinite(float(str(value)))
    except ValueError:
        return False


def _levels(params: Mapping[str, Choice]) -> tuple[int, int]:
    finest, _, coarsest = str(params["head_levels"]).partition("-")
    return int(finest[1:]), int(coarsest[1:])


def _trunk(params: Mapping[str, Choice]) -> int:
    return int(params.get("trunk_level", COARSEST))


def _has_neck(params: Mapping[str, Choice]) -> bool:
    return _levels(params)[0] < _trunk(params)


def _has_way_up(params: Mapping[str, Choice]) -> bool:
    finest, coarsest = _levels(params)
    return finest < coarsest


def _has_stale_skips(params: Mapping[str, Choice]) -> bool:
    """Whether the published wiring of the bi-directional neck differs from the repaired one."""
    finest, coarsest = _levels(params)
    way_up = range(finest + 1, coarsest + 1)
    return params.get("fusion") == "bidir_concat" and (3 in way_up or (4 in way_up and _trunk(params) > 4))


def _yolo_axes() -> tuple[Axis, ...]:
    """Returns the axes in the order of their dependence: an axis depends only on those before it."""
    return (*_size_axes(), *_backbone_axes(), *_neck_axes(), *_head_axes())


def _size_axes() -> tuple[Axis, ...]:
    levels = range(FINEST, COARSEST + 1)
    spans = tuple(f"P{finest}-P{coarsest}" for finest in levels for coarsest in levels if finest <= coarsest)
    return (
        Axis(
            name="input_size", choices=tuple(range(128, 1281, 32)), ordered=True, doc="side of the square input, pixels"
        ),
        Axis(name="head_levels", choices=spans, doc="finest and coarsest pyramid level with a head"),
        Axis(
            name="trunk_level",
            choices=(4, 5),
            doc="coarsest level of the backbone, where the head does not reach P5",
            active=lambda params: _levels(params)[1] < COARSEST,
        ),
        Axis(
            name="width",
            choices=(0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0),
            ordered=True,
            doc="width multiplier of the channels 64, 128, 256, 512, 1024",
        ),
        Axis(
            name="channel_cap",
            choices=(0.25, 0.5, 1.0),
            doc="upper limit of all channels, relative to the uncapped coarsest stage",
        ),
        Axis(name="depth", choices=DEPTHS, doc="depth multiplier of the repeats 3, 6, 6, 3"),
        Axis(name="block", choices=STAGES.names(), doc="block of every stage and of the neck"),
    )


def _backbone_axes() -> tuple[Axis, ...]:
    kinds = (
        ("downsample", DOWNSAMPLES.names(), "downsampling into backbone level"),
        ("attention", _attentions(), "attention after the backbone's block on"),
    )
    return tuple(
        Axis(
            name=f"{kind}_p{level}",
            choices=choices,
            doc=f"{doc} P{level}",
            active=lambda params, level=level: level <= _trunk(params),  # type: ignore[misc]
        )
        for kind, choices, doc in kinds
        for level in range(FINEST, COARSEST + 1)
    )


def _neck_axes() -> tuple[Axis, ...]:
    return (
        Axis(name="fusion", choices=FUSIONS.names(), doc="how the neck merges maps", active=_has_neck),
        Axis(name="upsample", choices=UPSAMPLES.names(), doc="upsampling on the neck's way down", active=_has_neck),
        Axis(name="attention_neck", choices=_attentions(), doc="attention after the neck's blocks", active=_has_neck),
        Axis(
            name="downsample_neck",
            choices=DOWNSAMPLES.names(),
            doc="downsampling on the neck's way up",
            active=_has_way_up,
        ),
        Axis(
            name="last_downsample_width",
            choices=(0.5, 1.0),
            doc="channels of the last downsampling on the way up, relative to its input",
            active=lambda params: _has_way_up(params) and params["downsample_neck"] != "esd1",
        ),
        Axis(
            name="skip_wiring",
            choices=("repaired", "published"),
            doc="skips of the bi-directional neck; `published` as in the paper's files",
            active=_has_stale_skips,
        ),
    )


def _head_axes() -> tuple[Axis, ...]:
    return (
        Axis(name="box_channels", choices=(16, 32, 48, 64), ordered=True, doc="width of the head's box branches"),
        Axis(name="class_branch", choices=tuple(CLASS_TOWERS), doc="convolutions of the head's class branches"),
    )


def _attentions() -> tuple[str, ...]:
    return ("none", *ATTENTIONS.names())


def _stage_channels(params: Mapping[str, Choice]) -> dict[int, int]:
    trunk = _trunk(params)
    nominal = {level: NOMINAL_STEM << (level - 1) for level in range(FINEST, trunk + 1)}
    cap = nominal[trunk] * float(params["channel_cap"])
    return {level: _scaled(min(channels, cap), float(params["width"])) for level, channels in nominal.items()}


def _scaled(channels: float, width: float) -> int:
    """Returns the channels times the width; every width of the space makes that a multiple of 8."""
    return int(channels * width)


def _repeats(nominal: int, depth: float) -> int:
    return max(round(nominal * depth), 1)


class SearchSpace:
    """The YOLO-style space of detectors for small objects.

    A point is a dict from the names of its active axes to choices. An axis is active where it means something, so that
    no two points are the same detector and every point can be built. `decode` and `encode` are inverse to each other.
    """

    def __init__(self, axes: tuple[Axis, ...] | None = None) -> None:
        self.axes = _yolo_axes() if axes is None else axes

    def axis(self, name: str) -> Axis:
        """Returns the axis called `name`; raises SpaceError naming the near ones otherwise."""
        for axis in self.axes:
            if axis.name == name:
                return axis
        names = [axis.name for axis in self.axes]
        raise SpaceError(f"unknown axis {name!r}{nearest(name, names)}; known: {', '.join(names)}")

    def narrowed(self, choices: Mapping[str, Iterable[Choice]]) -> SearchSpace:
        """Returns the space with fewer choices on some axes; raises SpaceError for an unknown axis or choice."""
        narrow = {name: tuple(dict.fromkeys(kept)) for name, kept in choices.items()}
        for name, kept in narrow.items():
            axis = self.axis(name)
            if not kept:
                raise SpaceError(
                    f"axis {name!r} needs at least one choice; allowed: {', '.join(map(str, axis.choices))}"
                )
            for choice in kept:
                axis.check(choice)
        return SearchSpace(
            tuple(
                replace(axis, choices=tuple(choice for choice in axis.choices if choice in narrow[axis.name]))
                if axis.name in narrow
                else axis
                for axis in self.axes
            )
        )

    def sample(self, choose: Callable[[Axis], Choice]) -> Params:
        """Walks the active axes in order and asks `choose` for a choice on each; returns the point."""
        params: Params = {}
        for axis in self.axes:
            if axis.active(params):
                params[axis.name] = choose(axis)
        return params

    def random(self, rng: numpy.random.Generator) -> Params:
        """Returns a point with every active axis drawn evenly."""
        return self.sample(lambda axis: axis.choices[int(rng.integers(len(axis.choices)))])

    def completed(self, params: Mapping[str, Choice], choose: Callable[[Axis], Choice]) -> Params:
        """Returns the point that keeps what of `params` is active and asks `choose` for what is missing."""
        return self.sample(lambda axis: params[axis.name] if axis.name in params else choose(axis))

    def check(self, params: Mapping[str, Choice]) -> None:
        """Raises SpaceError where `params` is no point: a missing, an unknown, an inactive or a wrong choice."""
        for name in params:
            self.axis(name)
        active = self.sample(lambda axis: self._checked(axis, params))
        for name in params:
            if name not in active:
                raise SpaceError(f"axis {name!r} means nothing beside the other choices; leave it out")

    @staticmethod
    def _checked(axis: Axis, params: Mapping[str, Choice]) -> Choice:
        if axis.name not in params:
            raise SpaceError(f"axis {axis.name!r} is missing; allowed: {', '.join(map(str, axis.choices))}")
        axis.check(params[axis.name])
        return params[axis.name]

    def decode(self, params: Mapping[str, Choice]) -> Architecture:
        """Returns the architecture of a point; raises SpaceError where `params` is none."""
        self.check(params)
        size = int(params["input_size"])
        finest, coarsest = _levels(params)
        return Architecture(
            input_hw=(size, size),
            backbone=_decode_backbone(params),
            neck=_decode_neck(params) if _has_neck(params) else None,
            head=Head(
                finest_level=finest,
                coarsest_level=coarsest,
                box_channels=int(params["box_channels"]),
                class_branch=str(params["class_branch"]),
            ),
        )

    def encode(self, architecture: Architecture) -> Params:
        """Returns the point that decodes to `architecture`; raises SpaceError with the reason where there is none."""
        params = _read_params(architecture)
        self.check(params)
        decoded = self.decode(params)
        if decoded != architecture:
            raise SpaceError(f"the architecture is no point of the space: {_first_difference(decoded, architecture)}")
        return params

    def why_not(self, architecture: Architecture) -> str | None:
        """Returns why `architecture` is no point of the space, or None where it is one."""
        try:
            self.encode(architecture)
        except SpaceError as error:
            return str(error)
        return None

    def contains(self, architecture: Architecture) -> bool:
        """Returns whether `architecture` is a point of the space."""
        return self.why_not(architecture) is None

    def fingerprint(self) -> str:
        """Returns 16 hex digits that are equal for spaces with the same axes and choices."""
        content = json.dumps([(axis.name, axis.choices) for axis in self.axes])
        return hashlib.sha256(content.encode()).hexdigest()[:16]


def _decode_backbone(params: Mapping[str, Choice]) -> Backbone:
    depth = float(params["depth"])
    return Backbone(
        stem_channels=_scaled(NOMINAL_STEM, float(params["width"])),
        stages=tuple(
            Stage(
                level=level,
                channels=channels,
                repeats=_repeats(NOMINAL_REPEATS[level], depth),
                block=str(params["block"]),
                downsample=str(params[f"downsample_p{level}"]),
                attention=str(params[f"attention_p{level}"]),
            )
            for level, channels in _stage_channels(params).items()
        ),
    )


def _decode_neck(params: Mapping[str, Choice]) -> Neck:
    return Neck(
        repeats=_repeats(NECK_NOMINAL_REPEATS, float(params["depth"])),
        block=str(params["block"]),
        fusion=str(params["fusion"]),
        upsample=str(params["upsample"]),
        attention=str(params["attention_neck"]),
        downsample=str(params["downsample_neck"]) if _has_way_up(params) else None,
        last_downsample_width=float(params.get("last_downsample_width", 1.0)),
        skip_wiring=str(params.get("skip_wiring", "repaired")),
    )


def _read_params(architecture: Architecture) -> Params:
    """Reads the choices off an architecture; what the space cannot say shows when they are checked or decoded."""
    backbone, neck, head = architecture.backbone, architecture.neck, architecture.head
    if architecture.family != "yolo" or architecture.input_hw[0] != architecture.input_hw[1]:
        raise SpaceError(
            f"the space holds square YOLO-style detectors, got {architecture.family} {architecture.input_hw}"
        )
    trunk = backbone.coarsest_level
    params: Params = {
        "input_size": architecture.input_hw[0],
        "head_levels": f"P{head.finest_level}-P{head.coarsest_level}",
        "width": backbone.stem_channels / NOMINAL_STEM,
        "channel_cap": backbone.stages[-1].channels / (backbone.stem_channels << (trunk - 1)),
        "depth": _read_depth(backbone),
        "block": backbone.stages[0].block,
        "box_channels": head.box_channels,
        "class_branch": head.class_branch,
    }
    if head.coarsest_level < COARSEST:
        params["trunk_level"] = trunk
    for stage in backbone.stages:
        params[f"downsample_p{stage.level}"] = stage.downsample
        params[f"attention_p{stage.level}"] = stage.attention
    if neck is not None:
        params |= _read_neck(neck)
        if neck.downsample is not None and neck.downsample != "esd1":
            params["last_downsample_width"] = neck.last_downsample_width
        if _has_stale_skips(params):
            params["skip_wiring"] = neck.skip_wiring
    return params


def _read_neck(neck: Neck) -> Params:
    params: Params = {"fusion": neck.fusion, "upsample": neck.upsample, "attention_neck": neck.attention}
    if neck.downsample is not None:
        params["downsample_neck"] = neck.downsample
    return params


def _read_depth(backbone: Backbone) -> float:
    """Returns the depth multiplier nearest to the deepest stage's repeats; `encode` finds out whether it is the one."""
    return min(
        DEPTHS,
        key=lambda depth: sum(
            abs(_repeats(NOMINAL_REPEATS.get(s.level, 3), depth) - s.repeats) for s in backbone.stages
        ),
    )


def _first_difference(decoded: Architecture, wanted: Architecture) -> str:
    """Names the first part in which two architectures differ."""
    for part in ("backbone", "neck", "head"):
        if getattr(decoded, part) != getattr(wanted, part):
            return f"its {part} would have to be {getattr(decoded, part)}, it is {getattr(wanted, part)}"
    return "the input differs"
