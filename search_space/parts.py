"""The parts of an architecture, as plain frozen data; each checks what it can of itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import inf
from typing import Any

from search_space.axis import Choice
from search_space.errors import SpaceError, check_known
from search_space.head_kind import HEAD_KINDS
from search_space.plain import Options, without_defaults

IN_UNIT = ("strided", "aligned")
"""Downsamplings that are the stride of the stage's first unit."""
POOLS = ("max_pool", "max_pool_ceil", "mean_pool")
"""Downsamplings that are pools before the stage's units."""
UNSTRIDED_STEMS = ("conv_bias_relu",)
"""Stems that keep the resolution by design: VGG's."""
NECK_FIELDS = {
    "pan": (
        "downsample_to",
        "last_downsample_width",
        "skip_wiring",
        "reduce",
        "cross_layer",
        "finest_fusion",
        "fusion",
        "upsample",
        "block",
    ),
    "fpn": ("fusion", "upsample", "smooth", "groups"),
    "ihp": ("block", "transform"),
}
"""The fields that mean something in some kinds of neck only."""


@dataclass(frozen=True, kw_only=True)
class Unit:
    """One unit of a backbone that is given as a table, such as an inverted residual of MobileNetV3."""

    kind: str
    channels: int
    kernel: int = 3
    expanded: int = 0
    """Channels between the two 1x1 convolutions of an inverted residual."""
    squeeze: bool = False
    """Whether squeeze and excitation follows its depthwise convolution."""
    activation: str = "relu"
    dilation: int = 1

    def __post_init__(self) -> None:
        _require_positive(f"unit {self.kind!r}", self, ("channels", "kernel", "dilation"))
        if self.kernel % 2 == 0:
            raise SpaceError(f"unit {self.kind!r} kernel must be odd, got {self.kernel}")
        if self.expanded < 0 or (self.kind == "inverted_residual" and self.expanded < 1):
            raise SpaceError(f"unit {self.kind!r} expanded must be at least 1, got {self.expanded}")

    @lru_cache(maxsize=4096)  # noqa: B019  (units are few, and a search lowers them again and again)
    def arguments(self) -> Mapping[str, object]:
        """Returns what the unit's block is built with beside its channels: the fields that are not at their default."""
        given: dict[str, object] = without_defaults(self)
        return {name: value for name, value in given.items() if name not in ("kind", "channels")}


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage of the backbone: halve the map, then a repeated block or a list of units, then attention."""

    level: int
    """Pyramid level of the output: its stride is 2 ** level, halved for each stride that is removed before it."""
    channels: int
    repeats: int = 0
    """How often the inner block is repeated, depth multiplier applied; 0 where the stage is a list of units."""
    block: str = "c2f"
    downsample: str = "conv"
    """`strided`: in the first unit; `aligned`: there, after a 2x2 mean; a name of the registry: a block of its own."""
    attention: str = "none"
    stride: int = 2
    """1 where the downsampling is removed and the map stays as it is."""
    down_channels: int | None = None
    """Channels that the downsampling is asked for; None: those of the stage."""
    units: tuple[Unit, ...] = ()

    def __post_init__(self) -> None:
        _require_positive("stage", self, ("level", "channels"))
        if (self.repeats > 0) == bool(self.units):
            raise SpaceError(f"stage P{self.level} needs either repeats of at least 1 or units, got {self.repeats}")
        if self.down_channels is not None:
            _require_positive(f"stage P{self.level}", self, ("down_channels",))
        if self.units and self.units[-1].channels != self.channels:
            raise SpaceError(
                f"stage P{self.level} channels must be those of its last unit, {self.units[-1].channels}, "
                f"got {self.channels}"
            )
        if self.stride not in (1, 2):
            raise SpaceError(f"stage P{self.level} stride must be 1 or 2, got {self.stride}")


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """A stem, stages of consecutive levels from P2 on, and what gathers context at their end."""

    stem_channels: int
    stages: tuple[Stage, ...]
    stem: str = "conv"
    stem_kernel: int = 3
    stem_stride: int = 2
    stem_units: tuple[Unit, ...] = ()
    """Units at the resolution of the stem."""
    context: str = "sppf"
    """At the coarsest level: `sppf`, `sppf_c2psa`, or `none`."""
    dual_path: str = "none"
    """A second run of all that follows the removed stride, with the same weights, on the map halved in this way."""

    def __post_init__(self) -> None:
        _require_positive("backbone", self, ("stem_channels", "stem_kernel"))
        levels = [stage.level for stage in self.stages]
        if not levels or levels != list(range(2, 2 + len(levels))):
            raise SpaceError(f"backbone stages must have the levels 2, 3, … without a gap, got {levels}")
        if self.stem_stride not in (1, 2):
            raise SpaceError(f"backbone stem_stride must be 1 or 2, got {self.stem_stride}")
        if self.stem_stride == 1 and self.stem_kernel % 2 == 0:
            raise SpaceError(f"a stem without stride needs an odd stem_kernel, got {self.stem_kernel}; use 3")
        if self.dual_path != "none" and len(self.removed_levels) != 1:
            raise SpaceError(
                f"a dual path forks where one stride is removed, got {len(self.removed_levels)} removed; "
                "remove exactly one, or set dual_path: none"
            )

    @property
    def coarsest_level(self) -> int:
        """The level of the last stage."""
        return self.stages[-1].level

    @property
    def removed_levels(self) -> tuple[int, ...]:
        """The levels whose downsampling is removed; 1 is the stem's."""
        stem = (1,) if self.stem_stride == 1 and self.stem not in UNSTRIDED_STEMS else ()
        return (*stem, *(stage.level for stage in self.stages if stage.stride == 1))

    def log_stride(self, level: int) -> int:
        """Returns log2 of the stride of a level's map."""
        strides = [self.stem_stride, *(stage.stride for stage in self.stages if stage.level <= level)]
        return strides.count(2)


@dataclass(frozen=True, kw_only=True)
class Extra:
    """One more stage after the backbone, as SSD has them: a bottleneck that ends in a 3x3 convolution."""

    channels: int
    kind: str = "separable"
    pattern: str = "S"
    """Its 3x3: `S` stride 2, `P` stride 2 without padding, `V` stride 1 without padding."""

    def __post_init__(self) -> None:
        _require_positive("extra stage", self, ("channels",))


@dataclass(frozen=True, kw_only=True)
class Neck:
    """How the levels exchange what they see before the head.

    `pan`: a path down the pyramid to the finest head level, and one up again to the coarsest. `fpn`: one width on all
    levels, a path down, and a smoothing convolution a level. `ihp`: no exchange, a transform and a block a level.
    """

    kind: str = "pan"
    repeats: int = 0
    """Of the blocks of `pan` and `ihp`; an `fpn` has none. In `ihp`, P4 has twice and P5 three times as many."""
    block: str = "c2f"
    fusion: str = "concat"
    upsample: str = "nearest"
    attention: str = "none"
    downsample: str | None = None
    """On the way up; None where there is no way up."""
    last_downsample_width: float = 1.0
    """Channels of the last downsampling on the way up, relative to its input."""
    skip_wiring: str = "repaired"
    """`published` is the wiring that the paper's bi-directional designs were trained with; see `lowering`."""
    channels: tuple[int, ...] | None = None
    """Of the levels, finest first; one entry for an `fpn`. None: those of the backbone's stages."""
    reduce: bool = False
    """Whether a 1x1 convolution narrows a map before it is upsampled, as in YOLOv5."""
    downsample_to: str = "input"
    """Whether the downsamplings on the way up keep the channels of their `input` or take those of the `level`."""
    cross_layer: str = "none"
    """The fusion that also takes the backbone's map on the way up, where that is not merged anyway."""
    finest_fusion: str = "none"
    """The fusion of the finest map with the backbone's for the head alone."""
    p2_source: str = "backbone"
    """What enters the neck at P2: the `backbone`'s stage, or the `stem` brought down by a strided convolution."""
    smooth: str = "dense"
    groups: tuple[int, ...] = ()
    """Of the smoothing convolutions, one a head level, finest first; empty: 1."""
    transform: str = "conv"
    """What each level of an `ihp` goes through before its block."""

    def __post_init__(self) -> None:
        check_known("neck kind", self.kind, NECK_FIELDS)
        if (self.repeats > 0) == (self.kind == "fpn"):
            raise SpaceError(f"neck repeats must be 0 in an fpn and at least 1 elsewhere, got {self.repeats}")
        if self.kind == "fpn" and (self.channels is None or len(self.channels) != 1):
            raise SpaceError(f"an fpn has one width on all levels, got channels {self.channels}")
        check_known("neck skip_wiring", self.skip_wiring, ("repaired", "published"))
        check_known("neck downsample_to", self.downsample_to, ("input", "level"))
        check_known("neck p2_source", self.p2_source, ("backbone", "stem"))
        if any(channels < 1 for channels in self.channels or ()):
            raise SpaceError(f"neck channels must be at least 1, got {list(self.channels or ())}")
        _default_elsewhere("neck", self, self.kind, NECK_FIELDS)
        if not 0 < self.last_downsample_width <= 1:
            raise SpaceError(f"neck last_downsample_width must be in (0, 1], got {self.last_downsample_width}")


@dataclass(frozen=True, kw_only=True)
class Head:
    """A head on every level from the finest to the coarsest, and on the extra stages where there are any."""

    finest_level: int
    coarsest_level: int
    box_channels: int = 64
    """Anchor-free: width of the box branches; 64 in all the YOLO-style papers."""
    class_branch: str = "plain"
    """Anchor-free: convolutions of the class branches."""
    kind: str = "anchor_free"
    """One of `HEAD_KINDS`."""
    predictor: str = "dense"
    """SSD: the 3x3 convolutions that predict, `dense` or `separable`."""
    l2_scale: bool = False
    """SSD: whether the finest map is scaled to a learned norm for its predictor."""
    anchors: str = "by_cell"
    """SSD: the scheme of anchor sizes, see `search_space.heads.anchors`."""
    proposals: int = 200
    """Two-stage: boxes that reach the second stage."""
    anchor_scale: float = 3.2
    """Two-stage: side of the square anchors, in strides."""
    roi_scale: float = 22.4
    """Two-stage: side of the boxes, in pixels, that are read from the finest level at most, halved."""
    options: Options = Options()
    """What other kinds are told that have no field here, see `option`; those at their default are dropped."""

    def __post_init__(self) -> None:
        _require_positive("head", self, ("finest_level", "coarsest_level", "box_channels", "proposals"))
        check_known("head kind", self.kind, HEAD_KINDS)
        _default_elsewhere("head", self, self.kind, {kind: HEAD_KINDS.get(kind).fields for kind in HEAD_KINDS})
        object.__setattr__(self, "options", Options(HEAD_KINDS.get(self.kind).own_options(self.options)))
        for name in ("anchor_scale", "roi_scale"):
            if not 0 < getattr(self, name) < inf:
                raise SpaceError(f"head {name} must be a positive number, got {getattr(self, name)}")
        if not 2 <= self.finest_level <= self.coarsest_level:
            raise SpaceError(
                f"head levels must be 2 <= finest <= coarsest, got P{self.finest_level} to P{self.coarsest_level}"
            )

    @property
    def levels(self) -> range:
        """The backbone levels that carry a head, finest first."""
        return range(self.finest_level, self.coarsest_level + 1)

    def option(self, name: str) -> Choice:
        """Returns an option of this kind of head: what was said, or the default; raises KeyError for any other name."""
        return self.options.get(name, HEAD_KINDS.get(self.kind).options[name])


def _require_positive(what: str, data: Any, names: tuple[str, ...]) -> None:
    for name in names:
        if getattr(data, name) < 1:
            raise SpaceError(f"{what} {name} must be at least 1, got {getattr(data, name)}")


def _default_elsewhere(what: str, data: Any, kind: str, fields_of: Mapping[str, tuple[str, ...]]) -> None:
    """Raises SpaceError where a field that means nothing in this kind is not at its default."""
    defaults = {field.name: field.default for field in dataclasses.fields(data)}
    for name in {name for names in fields_of.values() for name in names} - set(fields_of[kind]):
        if getattr(data, name) != defaults[name]:
            raise SpaceError(f"{what} {name} means nothing in kind {kind!r}, got {getattr(data, name)!r}; leave it out")
