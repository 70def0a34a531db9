"""The parts of an architecture as frozen plain data, each with its own checks."""

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

DEFAULT_ACTIVATION = "silu"
"""The activation of a network that does not name another one."""
IN_UNIT = ("strided", "aligned")
"""Downsamplings by the stride of the first unit of the stage."""
POOLS = ("max_pool", "max_pool_ceil", "mean_pool")
"""Downsamplings by a pool before the units of the stage."""
UNSTRIDED_STEMS = ("conv_bias_relu",)
"""Stems without a stride by design, such as the one of VGG."""
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
        "nested",
        "lateral",
        "extra_level",
        "last_block",
        "last_downsample",
    ),
    "fpn": ("fusion", "upsample", "smooth", "groups"),
    "ihp": ("block", "transform"),
    "giraffe": ("upsample", "block"),
}
"""The fields that only some kinds of neck use."""


@dataclass(frozen=True, kw_only=True)
class Unit:
    """One unit of a backbone that is defined by a table, such as an inverted residual of MobileNetV3."""

    kind: str
    channels: int
    kernel: int = 3
    expanded: int = 0
    """Channels between the two 1x1 convolutions of an inverted residual."""
    squeeze: bool = False
    """Whether squeeze and excitation follows the depthwise convolution."""
    activation: str = "relu"
    dilation: int = 1

    def __post_init__(self) -> None:
        _require_positive(f"unit {self.kind!r}", self, ("channels", "kernel", "dilation"))
        if self.kernel % 2 == 0:
            raise SpaceError(f"unit {self.kind!r} kernel must be odd, got {self.kernel}")
        if self.expanded < 0 or (self.kind == "inverted_residual" and self.expanded < 1):
            raise SpaceError(f"unit {self.kind!r} expanded must be at least 1, got {self.expanded}")

    @lru_cache(maxsize=4096)  # noqa: B019  (there are few units, and a search lowers them often)
    def arguments(self) -> Mapping[str, object]:
        """Returns the constructor arguments of its block besides the channels: the fields not at their default."""
        given: dict[str, object] = without_defaults(self)
        return {name: value for name, value in given.items() if name not in ("kind", "channels")}


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage of the backbone: downsampling, then a repeated block or a list of units, then attention."""

    level: int
    """Pyramid level of the output. Its stride is 2 ** level, halved for each removed stride up to this level."""
    channels: int
    repeats: int = 0
    """Repeats of the inner block, with the depth multiplier applied; 0 for a list of units."""
    block: str = "c2f"
    downsample: str = "conv"
    """`strided`: by the first unit. `aligned`: by the first unit after a 2x2 mean. Otherwise a registered block."""
    attention: str = "none"
    stride: int = 2
    """1 where the downsampling is removed and the map keeps its size."""
    down_channels: int | None = None
    """Output channels of the downsampling; None: those of the stage."""
    units: tuple[Unit, ...] = ()

    def __post_init__(self) -> None:
        _require_positive("stage", self, ("level", "channels"))
        if (self.repeats > 0) == bool(self.units):
            raise SpaceError(
                f"stage P{self.level} needs either repeats of at least 1 or units, got repeats {self.repeats}"
            )
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
    """A stem, stages of consecutive levels from P2 on, and a context block after the last stage."""

    stem_channels: int
    stages: tuple[Stage, ...]
    stem: str = "conv"
    stem_kernel: int = 3
    stem_stride: int = 2
    stem_units: tuple[Unit, ...] = ()
    """Units after the stem, at its resolution."""
    context: str = "sppf"
    """Context block after the last stage: `sppf`, `sppf_shortcut`, one of both with `_c2psa`, `csp_sppf` or `none`;
    with `sppf_before` it comes before the block of that stage; `csp_sppf_half` gives half of the channels."""
    context_repeats: int = 1
    """Attention blocks of a context with C2PSA; 2 in YOLO11 l and x."""
    dual_path: str = "none"
    """How the map is halved for a second run, with the same weights, of all layers after the removed stride."""

    def __post_init__(self) -> None:
        _require_positive("backbone", self, ("stem_channels", "stem_kernel", "context_repeats"))
        if self.context_repeats > 1 and not self.context.endswith("c2psa"):
            raise SpaceError(
                f"context_repeats {self.context_repeats} needs context 'sppf_c2psa', got {self.context!r}; use 1"
            )
        levels = [stage.level for stage in self.stages]
        if not levels or levels != list(range(2, 2 + len(levels))):
            raise SpaceError(f"backbone stages must have the levels 2, 3, … without gaps, got {levels}")
        if self.stem_stride not in (1, 2):
            raise SpaceError(f"backbone stem_stride must be 1 or 2, got {self.stem_stride}")
        if self.stem_stride == 1 and self.stem_kernel % 2 == 0:
            raise SpaceError(f"a stem without stride needs an odd stem_kernel, got {self.stem_kernel}; use 3")
        if self.dual_path != "none" and len(self.removed_levels) != 1:
            raise SpaceError(
                f"a dual path needs exactly one removed stride, got {len(self.removed_levels)}; "
                "remove one stride or set dual_path: none"
            )

    @property
    def coarsest_level(self) -> int:
        """The level of the last stage."""
        return self.stages[-1].level

    @property
    def removed_levels(self) -> tuple[int, ...]:
        """The levels whose downsampling is removed; 1 is the stem."""
        stem = (1,) if self.stem_stride == 1 and self.stem not in UNSTRIDED_STEMS else ()
        return (*stem, *(stage.level for stage in self.stages if stage.stride == 1))

    def log_stride(self, level: int) -> int:
        """Returns log2 of the stride of the map of a level."""
        strides = [self.stem_stride, *(stage.stride for stage in self.stages if stage.level <= level)]
        return strides.count(2)


@dataclass(frozen=True, kw_only=True)
class Extra:
    """One extra stage after the backbone, as in SSD: a bottleneck with a 3x3 convolution."""

    channels: int
    kind: str = "separable"
    pattern: str = "S"
    """The 3x3 convolution: `S` stride 2, `P` stride 2 without padding, `V` stride 1 without padding."""

    def __post_init__(self) -> None:
        _require_positive("extra stage", self, ("channels",))


@dataclass(frozen=True, kw_only=True)
class Neck:
    """The neck, which merges the levels of the backbone for the head.

    `pan`: a top-down path to the finest head level and a bottom-up path to the coarsest. `fpn`: one width on all
    levels, a top-down path and a smoothing convolution per level. `ihp`: a transform and a block per level, without
    merging. `giraffe`: like a `pan`, but a merge on the way down also takes the finer map, and one on the way up the
    finer maps of both ways, as in DAMO-YOLO.
    """

    kind: str = "pan"
    repeats: int = 0
    """Repeats of the blocks of all kinds but `fpn`, which has 0. An `ihp` has twice as many at P4, thrice at P5."""
    block: str = "c2f"
    fusion: str = "concat"
    upsample: str = "nearest"
    attention: str = "none"
    downsample: str | None = None
    """Downsampling of the bottom-up path; None where there is no such path. In a `giraffe` also of the way down."""
    last_downsample_width: float = 1.0
    """Channels of the last downsampling of the bottom-up path, relative to its input."""
    skip_wiring: str = "repaired"
    """`published`: the wiring of the paper's files for the bi-directional neck; see `lowering`."""
    channels: tuple[int, ...] | None = None
    """Channels of the levels, finest first; one entry for an `fpn`. None: those of the backbone stages."""
    reduce: bool = False
    """Whether a 1x1 convolution reduces the channels before upsampling, as in YOLOv5."""
    downsample_to: str = "input"
    """Channels of the downsamplings of the bottom-up path: as their `input` or as the `level` they reach."""
    cross_layer: str = "none"
    """Fusion on the bottom-up path that also takes the backbone map, where it is not merged anyway."""
    finest_fusion: str = "none"
    """Fusion of the finest map with the backbone map, used by the head only."""
    p2_source: str = "backbone"
    """Input of the neck at P2: the stage of the `backbone`, or the `stem` after a strided convolution."""
    smooth: str = "dense"
    groups: tuple[int, ...] = ()
    """Groups of the smoothing convolutions per head level, finest first; empty: 1."""
    nested: str = "by_level"
    """Which `c3k2` blocks contain C3k blocks: those at P4 and coarser, `by_level`, or, as in YOLO11 n and s, only the
    `last` block of the bottom-up path."""
    last_block: str | None = None
    """The last block of the bottom-up path, as in YOLOv10; None: as the others."""
    last_downsample: str | None = None
    """The last downsampling of the bottom-up path, as in YOLOv10; None: as the others."""
    transform: str = "conv"
    """Convolution before the block of each level of an `ihp`."""
    lateral: bool = False
    """Whether a 1x1 convolution gives each map of the backbone the channels of its level first, as in NanoDet."""
    extra_level: bool = False
    """Whether there is another level for the head: the sum of two downsamplings, of the coarsest map of the backbone
    and of the coarsest output, as in NanoDet-Plus and PicoDet."""

    def __post_init__(self) -> None:
        check_known("neck kind", self.kind, NECK_FIELDS)
        if (self.repeats > 0) == (self.kind == "fpn"):
            raise SpaceError(f"neck repeats must be 0 for an fpn and at least 1 otherwise, got {self.repeats}")
        if self.kind == "fpn" and (self.channels is None or len(self.channels) != 1):
            raise SpaceError(f"an fpn needs one value in neck channels, got {self.channels}")
        check_known("neck skip_wiring", self.skip_wiring, ("repaired", "published"))
        check_known("neck downsample_to", self.downsample_to, ("input", "level"))
        check_known("neck p2_source", self.p2_source, ("backbone", "stem"))
        check_known("neck nested", self.nested, ("by_level", "last"))
        if any(channels < 1 for channels in self.channels or ()):
            raise SpaceError(f"neck channels must be at least 1, got {list(self.channels or ())}")
        _default_elsewhere("neck", self, self.kind, NECK_FIELDS)
        if not 0 < self.last_downsample_width <= 1:
            raise SpaceError(f"neck last_downsample_width must be in (0, 1], got {self.last_downsample_width}")


@dataclass(frozen=True, kw_only=True)
class Head:
    """A head on every level from the finest to the coarsest, and on the extra stages if there are any."""

    finest_level: int
    coarsest_level: int
    box_channels: int = 64
    """Anchor-free: channels of the box branches; 64 in the YOLO papers."""
    class_branch: str = "plain"
    """Anchor-free: convolutions of the class branches, `plain` or `depthwise`."""
    kind: str = "anchor_free"
    """One of `HEAD_KINDS`."""
    predictor: str = "dense"
    """SSD: the prediction convolutions, `dense` or `separable`."""
    l2_scale: bool = False
    """SSD: whether the finest map is L2-normalised with learned gains before its predictor."""
    anchors: str = "by_cell"
    """SSD: the scheme of anchor sizes; see `search_space.heads.anchors`."""
    proposals: int = 200
    """Two-stage: number of proposals that reach the second stage."""
    anchor_scale: float = 3.2
    """Two-stage: side of the square anchors, in strides."""
    roi_scale: float = 22.4
    """Two-stage: boxes up to twice this side in pixels are pooled from the finest level."""
    options: Options = Options()
    """Settings of kinds of head that have no field here; see `option`. Those at their default are dropped."""

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
        """Returns an option of this kind of head, or its default; raises KeyError for an unknown name."""
        return self.options.get(name, HEAD_KINDS.get(self.kind).options[name])


def _require_positive(what: str, data: Any, names: tuple[str, ...]) -> None:
    for name in names:
        if getattr(data, name) < 1:
            raise SpaceError(f"{what} {name} must be at least 1, got {getattr(data, name)}")


def _default_elsewhere(what: str, data: Any, kind: str, fields_of: Mapping[str, tuple[str, ...]]) -> None:
    """Raises SpaceError where a field that this kind does not use is not at its default."""
    defaults = {field.name: field.default for field in dataclasses.fields(data)}
    for name in {name for names in fields_of.values() for name in names} - set(fields_of[kind]):
        if getattr(data, name) != defaults[name]:
            raise SpaceError(f"{what} {name} is not used by kind {kind!r}, got {getattr(data, name)!r}; remove it")
