"""One point of the search space, as plain frozen data: everything that decides a detector's tensors but its classes."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from search_space.errors import SpaceError
from search_space.files import write_text
from search_space.plain import read_plain, without_defaults

UNSTRIDED_STEMS = ("conv_bias_relu",)
"""Stems that keep the resolution by design: VGG's."""
PLAIN_DOWNSAMPLES = ("conv", "strided", "aligned", "max_pool", "max_pool_ceil", "mean_pool")
"""Downsamplings that take maps with odd sides; the others need even ones."""
ROI_BINS = 7
SMALLEST_FREE_SIDE = 32
"""The smallest side of an input whose maps need not fit each other."""


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
        if self.pattern not in ("S", "P", "V"):
            raise SpaceError(f"extra stage pattern must be S, P or V, got {self.pattern!r}")


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
        _one_of("neck kind", self.kind, ("pan", "fpn", "ihp"))
        if (self.repeats > 0) == (self.kind == "fpn"):
            raise SpaceError(f"neck repeats must be 0 in an fpn and at least 1 elsewhere, got {self.repeats}")
        if self.kind == "fpn" and (self.channels is None or len(self.channels) != 1):
            raise SpaceError(f"an fpn has one width on all levels, got channels {self.channels}")
        _one_of("neck skip_wiring", self.skip_wiring, ("repaired", "published"))
        _one_of("neck downsample_to", self.downsample_to, ("input", "level"))
        _one_of("neck p2_source", self.p2_source, ("backbone", "stem"))
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
    """`anchor_free`, `ssd` or `two_stage`."""
    predictor: str = "dense"
    """SSD: the 3x3 convolutions that predict, `dense` or `separable`."""
    l2_scale: bool = False
    """SSD: whether the finest map is scaled to a learned norm for its predictor."""
    anchors: str = "by_stride"
    """SSD: the scheme of anchor sizes, see `search_space.heads.anchors`."""
    proposals: int = 200
    """Two-stage: boxes that reach the second stage."""
    anchor_scale: float = 3.2
    """Two-stage: side of the square anchors, in strides."""
    roi_scale: float = 22.4
    """Two-stage: side of the boxes, in pixels, that are read from the finest level at most, halved."""

    def __post_init__(self) -> None:
        _require_positive("head", self, ("finest_level", "coarsest_level", "box_channels", "proposals"))
        _one_of("head kind", self.kind, ("anchor_free", "ssd", "two_stage"))
        if not 2 <= self.finest_level <= self.coarsest_level:
            raise SpaceError(
                f"head levels must be 2 <= finest <= coarsest, got P{self.finest_level} to P{self.coarsest_level}"
            )

    @property
    def levels(self) -> range:
        """The backbone levels that carry a head, finest first."""
        return range(self.finest_level, self.coarsest_level + 1)


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """One point of the search space.

    Raises:
        SpaceError: where the parts contradict each other; block names are checked when it is lowered to a graph.
    """

    input_hw: tuple[int, int]
    """Height and width of the network's input in pixels."""
    backbone: Backbone
    head: Head
    neck: Neck | None = None
    """None where the head reads the backbone's maps as they are."""
    extras: tuple[Extra, ...] = ()

    def __post_init__(self) -> None:
        if len(self.input_hw) != 2:
            raise SpaceError(f"input_hw must be [height, width], got {list(self.input_hw)}")
        trunk, head = self.backbone.coarsest_level, self.head
        if head.coarsest_level > trunk:
            raise SpaceError(f"the head reaches P{head.coarsest_level}, the backbone ends at P{trunk}; add a stage")
        if (self.neck is None or self.neck.kind == "ihp") and head.coarsest_level < trunk:
            raise SpaceError(f"nothing reads the backbone beyond P{head.coarsest_level}; drop stages or add a neck")
        if self.neck is None:
            self._check_without_neck()
        else:
            self._check_neck(self.neck)
        self.check_input(self.input_hw)

    def _check_without_neck(self) -> None:
        if self.head.kind == "two_stage":
            raise SpaceError("a two-stage head reads an fpn whose width is a multiple of 49; add the neck")
        if self.backbone.dual_path != "none" and not self.extras:
            raise SpaceError("a dual path gives its second run to the extra stages; add extras, or dual_path: none")

    def _check_neck(self, neck: Neck) -> None:
        head, backbone = self.head, self.backbone
        if neck.kind == "pan" and head.finest_level == backbone.coarsest_level:
            raise SpaceError("a pan merges levels: the head must start finer than the backbone ends; drop the neck")
        if (neck.downsample is not None) != (neck.kind == "pan" and len(head.levels) > 1):
            raise SpaceError("the neck needs a downsample exactly where it is a pan and the head has several levels")
        if neck.kind == "pan" and neck.channels is not None and len(neck.channels) != len(self.neck_levels):
            wanted = f"P{self.neck_levels[0]} to P{self.neck_levels[-1]}"
            raise SpaceError(f"neck channels must be one for each of {wanted}, got {list(neck.channels)}")
        if neck.groups and len(neck.groups) != len(head.levels):
            raise SpaceError(f"neck groups must be one a head level ({len(head.levels)}), got {list(neck.groups)}")
        if neck.kind != "pan" and (neck.finest_fusion != "none" or neck.cross_layer != "none" or neck.reduce):
            raise SpaceError(f"finest_fusion, cross_layer and reduce belong to a pan, the neck is an {neck.kind}")
        if head.kind == "two_stage" and (neck.kind != "fpn" or neck.channels is None or neck.channels[0] % ROI_BINS**2):
            raise SpaceError(f"a two-stage head reads an fpn whose width is a multiple of {ROI_BINS**2}")
        if self.extras or backbone.dual_path != "none":
            raise SpaceError("extra stages and the dual path read the backbone as it is; drop them or the neck")
        if max(backbone.removed_levels, default=0) > head.finest_level and neck.kind != "ihp":
            raise SpaceError(
                f"the neck needs each level at half the size of the one before, the stride of "
                f"P{max(backbone.removed_levels)} is removed; remove strides only up to P{head.finest_level}"
            )

    @property
    def neck_levels(self) -> range:
        """The levels that a block of a `pan` gives maps for, finest first."""
        head, trunk = self.head, self.backbone.coarsest_level
        return range(head.finest_level, max(head.coarsest_level, trunk - 1) + 1)

    @property
    def size_multiple(self) -> int:
        """What height and width of the input must be multiples of; 1 where the maps need not fit each other."""
        downsamples = {stage.downsample for stage in self.backbone.stages}
        if self.neck is None and downsamples <= set(PLAIN_DOWNSAMPLES):
            return 1
        return self._coarsest_stride

    @property
    def _coarsest_stride(self) -> int:
        return int(2 ** self.backbone.log_stride(self.backbone.coarsest_level))

    @property
    def smallest_side(self) -> int:
        """The smallest side of an input; that of extra stages without padding may be larger."""
        stride = self._coarsest_stride
        return max(stride, SMALLEST_FREE_SIDE) if self.size_multiple == 1 else stride

    def check_input(self, input_hw: tuple[int, int]) -> None:
        """Raises SpaceError, naming the sizes nearby, where the detector cannot take an input of this size."""
        step, smallest = self.size_multiple, self.smallest_side
        for side in input_hw:
            if side < smallest and step == 1:
                raise SpaceError(f"input side {side} must be at least {smallest}; nearest: {smallest}")
            if side < step or side % step:
                below, above = max(side // step, 1) * step, (max(side, 0) // step + 1) * step
                near = f"{below} or {above}" if below != above else f"{above}"
                raise SpaceError(f"input side {side} must be a positive multiple of {step}; nearest: {near}")

    def resized(self, input_hw: tuple[int, int]) -> Architecture:
        """Returns the same network at another input size; raises SpaceError where it cannot take it."""
        return dataclasses.replace(self, input_hw=input_hw)

    def to_dict(self) -> dict[str, Any]:
        """Returns nested dicts and lists of plain values, as YAML and JSON hold them, without fields at their default.

        A default is part of the format: it never changes.
        """
        plain: dict[str, Any] = without_defaults(self)
        return plain

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Architecture:
        """Builds an architecture from `to_dict`'s form; raises SpaceError naming the unknown or wrong field."""
        return read_plain(cls, data, "architecture")

    def to_yaml(self, path: Path | str) -> None:
        """Writes the architecture to a YAML file, whole or not at all."""
        write_text(Path(path), yaml.safe_dump(self.to_dict(), sort_keys=False))

    @classmethod
    def from_yaml(cls, path: Path | str) -> Architecture:
        """Reads an architecture from a YAML file; raises SpaceError naming the file if it holds none."""
        try:
            data = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
            reason = str(error) or type(error).__name__
            raise SpaceError(f"{path} is not a YAML file: {reason}; give an architecture file") from None
        except (IsADirectoryError, FileNotFoundError):
            raise SpaceError(f"{path} is no file; give an architecture YAML or the name of a design") from None
        try:
            return cls.from_dict(data)
        except SpaceError as error:
            raise SpaceError(f"{path}: {error}") from None

    def key(self) -> str:
        """Returns 16 hex digits that are equal for equal architectures; fields at their default do not enter."""
        canonical = json.dumps(self.to_dict(), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _require_positive(what: str, data: Any, names: tuple[str, ...]) -> None:
    for name in names:
        if getattr(data, name) < 1:
            raise SpaceError(f"{what} {name} must be at least 1, got {getattr(data, name)}")


def _one_of(what: str, got: str, allowed: tuple[str, ...]) -> None:
    if got not in allowed:
        raise SpaceError(f"{what} must be {', '.join(allowed[:-1])} or {allowed[-1]}, got {got!r}")
