"""The axes of the backbone: table, strides, downsamplings, attention, context, extra stages and dual path."""

from __future__ import annotations

from math import ceil

from search_space.architecture import Architecture
from search_space.axis import Axis, Params, Point
from search_space.blocks import ATTENTIONS, DOWNSAMPLES, STAGES, named_only
from search_space.errors import SpaceError
from search_space.input_format import InputFormat
from search_space.lowering.backbone import CONTEXTS, DUAL_PATHS, HALVING, SEARCHED_CONTEXTS
from search_space.parts import Backbone, Extra, Stage
from search_space.point import layout
from search_space.point.layout import of_blocks, of_pools, span, takes_unpadded, topology, trunk
from search_space.point.variants import NO_VARIANTS, read_variant, variant_axes, variant_of
from search_space.tables import (
    CHANNEL_TABLES,
    EXTRA_CHANNELS,
    NOMINAL_REPEATS,
    NOMINAL_STEM,
    UNIT_TABLES,
    UnitTable,
    native_downsample,
    scaled,
    scaled_units,
    unit_backbone,
    unit_stage,
)

DEPTHS = (0.17, 0.33, 0.67, 1.0)
LEVELS = range(2, 7)
REMOVABLE = range(1, 6)
BLOCK_STEMS = ("conv", "rep", "deep")
"""Stems of a backbone that repeats one block."""
POOL = "max_pool"
"""The downsampling of YOLOv7-tiny before its blocks; those of a table have it as their `native` one."""
NAMED_CAP = 0.75
"""The limit of the channels of YOLOv8m, which a search has only where the user names it."""
EXTRAS_WITHOUT_PADDING_FROM = 17
"""Smallest side of the coarsest backbone map, in cells, for extra stages without padding."""
PATTERNS = ("SSSS", "SSSP", "SSVV")


def attentions() -> tuple[str, ...]:
    """Returns the kinds of attention, with `none`."""
    return ("none", *ATTENTIONS.names())


def axes() -> tuple[Axis, ...]:
    """Returns the axes of the backbone."""
    return (*_table_axes(), *variant_axes(), *_stride_axes(), *_stem_axes(), *_extra_axes(), *_level_axes())


def _table_axes() -> tuple[Axis, ...]:
    return (
        Axis(
            name="channel_cap",
            choices=(0.25, 0.5, 0.75, 1.0),
            by_name=(NAMED_CAP,),
            doc="upper limit of the channels of all stages, relative to the uncapped coarsest stage",
            active=lambda params: params["backbone"] == "yolov8",
        ),
        Axis(
            name="depth",
            choices=DEPTHS,
            doc="depth multiplier of the repeats 3, 6, 6 or 9, and 3",
            active=lambda params: of_blocks(params) and trunk(params) >= 3,
        ),
        Axis(
            name="p4_repeats",
            choices=(6, 9),
            doc="repeats of P4 at depth 1: 6 in YOLOv8, 9 in YOLOv5",
            active=lambda params: of_blocks(params) and trunk(params) >= 4,
        ),
        Axis(
            name="block",
            choices=STAGES.names(),
            by_name=named_only(STAGES),
            doc="block of all backbone stages",
            active=of_blocks,
        ),
        Axis(
            name="context",
            choices=CONTEXTS,
            by_name=tuple(context for context in CONTEXTS if context not in SEARCHED_CONTEXTS),
            doc="context block after the coarsest stage: `shortcut` as in YOLO26, `csp_sppf` as in YOLOv6, `half` with "
            "half of the channels as in YOLOv7-tiny; `sppf_before` is before the block of that stage, as in RTMDet",
            active=of_blocks,
        ),
        Axis(
            name="squeeze",
            choices=("table", "none", "all"),
            doc="inverted residuals with squeeze and excitation: as in the table, none or all",
            active=lambda params: str(params["backbone"]).startswith("mobilenetv3") and trunk(params) >= 3,
        ),
    )


def _stride_axes() -> tuple[Axis, ...]:
    return tuple(
        Axis(
            name=f"stride_p{level}",
            choices=(2, 1),
            rare=(1,),
            doc=f"stride into level P{level}; 1 removes it, which doubles the map sides of this and all later levels",
            active=lambda params, level=level: _removable(params, level),  # type: ignore[misc]
        )
        for level in REMOVABLE
    )


def _stem_axes() -> tuple[Axis, ...]:
    return (
        Axis(
            name="stem",
            choices=BLOCK_STEMS,
            by_name=("deep",),
            doc="stem: a plain convolution, or, as in YOLOv6, one with branches that are merged when deployed, or, as "
            "in RTMDet, three plain ones",
            active=of_blocks,
        ),
        Axis(
            name="stem_kernel",
            choices=(3, 6),
            doc="kernel size of a plain stem; 6 in YOLOv5",
            active=lambda params: of_blocks(params) and params["stem"] == BLOCK_STEMS[0] and params["stride_p1"] == 2,
        ),
    )


def _extra_axes() -> tuple[Axis, ...]:
    return (
        Axis(
            name="extras",
            choices=("none", *EXTRA_CHANNELS),
            doc="four extra stages after the backbone, as in SSD",
            active=lambda params: topology(params) == "none",
        ),
        Axis(
            name="dual_path",
            choices=("none", *DUAL_PATHS),
            doc="how the map is halved for a second run of the backbone, which feeds the extra stages",
            active=lambda params: _has_extras(params) and len(_removed(params)) == 1,
        ),
        Axis(
            name="extras_pattern",
            choices=PATTERNS,
            doc="3x3 convolutions of the extra stages: S stride 2; P stride 2, V stride 1, both without padding",
            active=lambda params: takes_unpadded(params) and _has_extras(params) and _has_room(params),
        ),
    )


def _level_axes() -> tuple[Axis, ...]:
    """Returns the axes of each level. The choices of downsampling depend on the kind of backbone: two axes."""
    kinds = (
        (
            "downsample",
            (*DOWNSAMPLES.names(), POOL),
            "downsampling into level P{}",
            lambda p, level: _free(p, level, blocks=True),
        ),
        (
            "unit_downsample",
            ("native", "aligned", *DOWNSAMPLES.names()),
            "downsampling into level P{}: by its first unit or pool, by that after a 2x2 mean, or by a separate block",
            lambda p, level: _free(p, level, blocks=False),
        ),
        ("attention", attentions(), "attention after level P{}", lambda p, level: level <= trunk(p)),
    )
    return tuple(
        Axis(
            name=f"{kind}_p{level}",
            choices=choices,
            by_name=(*named_only(DOWNSAMPLES), *(POOL,) * (kind == "downsample")) if kind != "attention" else (),
            doc=doc.format(level),
            active=lambda params, level=level, active=active: active(params, level),  # type: ignore[misc]
        )
        for kind, choices, doc, active in kinds
        for level in LEVELS
        if not (kind == "downsample" and level == LEVELS[-1])
    )


def _removable(params: Point, level: int) -> bool:
    """Whether a stride can be removed: up to the finest head level, and not in the stem of VGG, which has none."""
    return level <= span(params)[0] and not (level == 1 and of_pools(params))


def _removed(params: Point) -> list[int]:
    return [level for level in REMOVABLE if params.get(f"stride_p{level}") == 1]


def _has_extras(params: Point) -> bool:
    return params.get("extras", "none") != "none"


def _has_room(params: Point) -> bool:
    unremoved = trunk(params) - len(_removed(params)) - of_pools(params)
    halvings = unremoved + (params.get("dual_path", "none") != "none")
    side = ceil(layout.input_size(params) / 2**halvings)
    return bool(side >= EXTRAS_WITHOUT_PADDING_FROM)


def _free(params: Point, level: int, *, blocks: bool) -> bool:
    """Whether the downsampling into a level is free: it exists, and the maps have even sides."""
    there = level <= trunk(params) and params.get(f"stride_p{level}") != 1 and not _is_odd_step(params, level)
    return bool(there and of_blocks(params) == blocks and layout.input_size(params) % layout.EVEN == 0)


def _is_odd_step(params: Point, level: int) -> bool:
    """Whether the cap gives a level channels that no downsampling but the plain one supports: 1.5 times as many."""
    if params.get("channel_cap") != NAMED_CAP:
        return False
    stages = {1: int(NOMINAL_STEM * layout.width(params)), **_channels(params, "stage")}
    return stages[level] not in (stages[level - 1], 2 * stages[level - 1])


def stage_channels(params: Point) -> dict[int, int]:
    """Returns the channels of the maps of the backbone by level, those of the context block included."""
    channels = {stage.level: stage.channels for stage in decode(params).stages}
    if params.get("context") == HALVING:
        channels[trunk(params)] //= 2
    return channels


def neck_channels(params: Point) -> dict[int, int]:
    """Returns the channels of a `pan` of full width by level, from the stage table."""
    if of_blocks(params):
        return _channels(params, "neck")
    return stage_channels(params)


def decode(params: Point) -> Backbone:
    """Returns the backbone of a point."""
    return _decode_blocks(params) if of_blocks(params) else _decode_units(params)


def _channels(params: Point, column: str) -> dict[int, int]:
    """Returns a column of the channel table with cap and width applied, which gives multiples of 8."""
    nominal = getattr(CHANNEL_TABLES[str(params["backbone"])], column)
    cap = nominal[trunk(params)] * float(params.get("channel_cap", 1.0))
    width = layout.width(params)
    return {level: int(min(nominal[level], cap) * width) for level in nominal if level <= trunk(params)}


def _decode_blocks(params: Point) -> Backbone:
    down, stages = _channels(params, "down"), _channels(params, "stage")
    return Backbone(
        stem_channels=int(NOMINAL_STEM * layout.width(params)),
        stem=str(params["stem"]),
        stem_kernel=int(params.get("stem_kernel", 3)),
        stem_stride=int(params.get("stride_p1", 2)),
        context=str(params["context"]),
        dual_path=str(params.get("dual_path", "none")),
        stages=tuple(
            Stage(
                level=level,
                channels=stages[level],
                repeats=_repeats(level, float(params.get("depth", 0.33)), int(params.get("p4_repeats", 6))),
                block=str(params["block"]),
                downsample=str(params.get(f"downsample_p{level}", "conv")),
                attention=str(params[f"attention_p{level}"]),
                stride=int(params.get(f"stride_p{level}", 2)),
                down_channels=None if down[level] == stages[level] else down[level],
            )
            for level in stages
        ),
    )


def _repeats(level: int, depth: float, p4_repeats: int) -> int:
    return max(round(NOMINAL_REPEATS.get(level, p4_repeats) * depth), 1)


def _decode_units(params: Point) -> Backbone:
    table, width = UNIT_TABLES[str(params["backbone"])], layout.width(params)
    squeeze, variant = str(params.get("squeeze", "table")), variant_of(params)
    stages = {level: scaled_units(units, width, squeeze, table.multiple) for level, units in table.stages.items()}
    return unit_backbone(
        table,
        (
            unit_stage(
                level,
                stages[level] if variant is None else variant.stages[level],
                downsample=_unit_downsample(params, table, level),
                attention=str(params[f"attention_p{level}"]),
                stride=int(params.get(f"stride_p{level}", 2)),
            )
            for level in range(2, trunk(params) + 1)
        ),
        stem_channels=scaled(table.stem_channels, width, multiple=table.multiple),
        stem_stride=int(params.get("stride_p1", table.stem_stride)),
        stem_units=scaled_units(table.stem_units, width, "table", table.multiple),
        dual_path=str(params.get("dual_path", "none")),
    )


def _unit_downsample(params: Point, table: UnitTable, level: int) -> str:
    """Returns the downsampling of a choice; for pools, `aligned` is the mean pool."""
    choice = str(params.get(f"unit_downsample_p{level}", "native"))
    if choice == "native":
        return native_downsample(table, level)
    return "mean_pool" if choice == "aligned" and table.pooled else choice


def decode_extras(params: Point) -> tuple[Extra, ...]:
    """Returns the extra stages of a point."""
    if not _has_extras(params):
        return ()
    kind, pattern = str(params["extras"]), str(params.get("extras_pattern", PATTERNS[0]))
    return tuple(
        Extra(kind=kind, channels=scaled(channels, layout.width(params)), pattern=code)
        for channels, code in zip(EXTRA_CHANNELS[kind], pattern, strict=True)
    )


def input_format(params: Point) -> InputFormat:
    """Returns the input format of a point, which belongs to the stage table."""
    return InputFormat() if of_blocks(params) else UNIT_TABLES[str(params["backbone"])].input_format


def read(architecture: Architecture) -> Params:
    """Returns the choices of the backbone of an architecture; raises SpaceError where no table matches."""
    backbone = architecture.backbone
    params: Params = {
        "stride_p1": backbone.stem_stride,
        "dual_path": backbone.dual_path,
        "context": backbone.context,
        "stem": backbone.stem,
        "stem_kernel": backbone.stem_kernel,
        "extras": architecture.extras[0].kind if architecture.extras else "none",
        "extras_pattern": "".join(extra.pattern for extra in architecture.extras),
    }
    for stage in backbone.stages:
        params[f"stride_p{stage.level}"] = stage.stride
        params[f"attention_p{stage.level}"] = stage.attention
        params[f"downsample_p{stage.level}"] = stage.downsample
        params[f"unit_downsample_p{stage.level}"] = _read_unit_downsample(stage.downsample)
    units = backbone.stages[0].units
    return params | (_read_units(backbone) if units else _read_blocks(backbone))


def _read_unit_downsample(name: str) -> str:
    return {"strided": "native", "max_pool": "native", "max_pool_ceil": "native", "mean_pool": "aligned"}.get(
        name, name
    )


def _read_units(backbone: Backbone) -> Params:
    """Finds table, variant, width and squeeze by trying all combinations."""
    found = read_variant(backbone)
    if found is not None:
        return found
    for name, table in UNIT_TABLES.items():
        for width in layout.WIDTHS:
            for squeeze in ("table", "none", "all"):
                if all(
                    stage.level in table.stages
                    and stage.units == scaled_units(table.stages[stage.level], width, squeeze, table.multiple)
                    for stage in backbone.stages
                ):
                    return {**NO_VARIANTS, "backbone": name, "width": width, "squeeze": squeeze}
    raise SpaceError(f"no stage table ({', '.join(UNIT_TABLES)}) has these units at a width of the search space")


def _read_blocks(backbone: Backbone) -> Params:
    """Returns table, width, cap, depth and block of a backbone; `encode` checks whether they match exactly."""
    stages = {stage.level: stage for stage in backbone.stages}
    width, last = backbone.stem_channels / NOMINAL_STEM, backbone.coarsest_level
    wide = any(stage.down_channels is not None for stage in backbone.stages)
    name = "yolo11" if wide else "yolov8"
    nominal = CHANNEL_TABLES[name].stage.get(last, 1) * width
    depth, p4_repeats = min(
        ((depth, repeats) for repeats in (6, 9) for depth in DEPTHS),
        key=lambda pair: sum(abs(_repeats(level, *pair) - stage.repeats) for level, stage in stages.items()),
    )
    return {
        "backbone": name,
        "width": width,
        "channel_cap": stages[last].channels / nominal if nominal else 0.0,
        "depth": depth,
        "p4_repeats": p4_repeats,
        "block": stages[2].block,
    }
