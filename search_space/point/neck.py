"""The axes of the neck: inputs, fusions, widths and blocks."""

from __future__ import annotations

from search_space.architecture import Architecture
from search_space.axis import Axis, Params, Point
from search_space.blocks import DOWNSAMPLES, FUSIONS, STAGES, TRANSFORMS, UPSAMPLES, named_only
from search_space.parts import Neck
from search_space.point import layout
from search_space.point.backbone import attentions, neck_channels, stage_channels
from search_space.point.fpn import decode_fpn, fpn_axes
from search_space.point.layout import coarsest, has_way_up, merges, span, topology, trunk
from search_space.point.wide_levels import NO_LATERAL, extra_level_axis, lateral_axis, lateral_width
from search_space.tables import scaled

NECK_WIDTHS = (0.5, 1.0)
P2_WIDTH = 0.5
"""Channels of the neck of YOLO26 at P2, relative to those of its stage table."""
PAIR_FUSIONS = ("eafusion", "add", "weighted_add")
MANY_FUSIONS = ("concat", "weighted_concat", "add", "weighted_add")
YES_NO = ("no", "yes")
WITH_BLOCKS = ("pan", "ihp", "giraffe")
"""Topologies whose levels have blocks."""
AS_OTHERS = "same"
LAST_BLOCKS = ("c2f_cib_large",)
LAST_DOWNSAMPLES = ("scdown",)


def axes() -> tuple[Axis, ...]:
    """Returns the axes of the neck."""
    return (*_merge_axes(), *_block_axes(), *_width_axes(), *_end_axes(), *_way_up_axes(), *fpn_axes())


def _merge_axes() -> tuple[Axis, ...]:
    return (
        Axis(
            name="p2_source",
            choices=("backbone", "stem"),
            doc="input of the neck at P2: the backbone stage, or the stem after a strided convolution",
            active=lambda params: topology(params) != "none" and span(params)[0] == layout.FINEST < trunk(params),
        ),
        Axis(
            name="fusion",
            choices=FUSIONS.names(),
            by_name=named_only(FUSIONS),
            doc="fusion of maps in the neck",
            active=merges,
        ),
        Axis(
            name="upsample",
            choices=UPSAMPLES.names(),
            by_name=named_only(UPSAMPLES),
            doc="upsampling on the top-down path of the neck",
            active=lambda params: merges(params) or topology(params) == "giraffe",
        ),
        Axis(
            name="attention_neck",
            choices=attentions(),
            doc="attention after the blocks or smoothing convolutions of the neck",
            active=lambda params: topology(params) != "none",
        ),
    )


def _block_axes() -> tuple[Axis, ...]:
    return (
        Axis(
            name="neck_block",
            choices=STAGES.names(),
            by_name=named_only(STAGES),
            doc="block of the neck",
            active=lambda params: topology(params) in WITH_BLOCKS,
        ),
        Axis(
            name="neck_repeats",
            choices=(1, 2, 3, 4),
            ordered=True,
            by_name=(4,),
            doc="repeats of the neck block; in an ihp, twice as many at P4 and three times as many at P5",
            active=_repeats_count,
        ),
        Axis(
            name="transform",
            choices=TRANSFORMS.names(),
            doc="convolution before the block of each level of an ihp",
            active=lambda params: topology(params) == "ihp",
        ),
    )


def _width_axes() -> tuple[Axis, ...]:
    return (
        lateral_axis(),
        Axis(
            name="neck_width",
            choices=NECK_WIDTHS,
            doc="channels of a pan, relative to the stage table",
            active=lambda params: topology(params) == "pan" and not lateral_width(params),
        ),
        Axis(
            name="neck_p2_width",
            formerly=1.0,
            choices=(1.0, P2_WIDTH),
            by_name=(P2_WIDTH,),
            doc="channels of a pan at P2, relative to those that `neck_width` gives: half of them as in YOLO26",
            active=_can_narrow_p2,
        ),
        Axis(
            name="reduce",
            choices=YES_NO,
            doc="whether a 1x1 convolution reduces the channels before upsampling, as in YOLOv5",
            active=lambda params: topology(params) == "pan" and not lateral_width(params) and not _reduces(params),
        ),
    )


def _reduces(params: Point) -> bool:
    """Whether the fusion itself has a 1x1 convolution before upsampling."""
    return bool(getattr(FUSIONS.get(str(params["fusion"])), "reduces", False))


def _end_axes() -> tuple[Axis, ...]:
    return (
        Axis(
            name="neck_nested",
            choices=("by_level", "last"),
            doc="which `c3k2` blocks of the neck contain C3k blocks: those at P4 and coarser, or the last one",
            active=_can_nest_last,
        ),
        Axis(
            name="neck_last_block",
            formerly=AS_OTHERS,
            choices=(AS_OTHERS, *LAST_BLOCKS),
            by_name=LAST_BLOCKS,
            doc="last block of the bottom-up path: as the others of the neck, or, as in YOLOv10, another one",
            active=lambda params: (
                has_way_up(params) and params["neck_block"] not in LAST_BLOCKS and params.get("neck_nested") != "last"
            ),
        ),
        Axis(
            name="finest_fusion",
            choices=("none", *PAIR_FUSIONS),
            doc="fusion of the finest map with the backbone map, used by the head only",
            active=lambda params: topology(params) == "pan",
        ),
    )


def _way_up_axes() -> tuple[Axis, ...]:
    return (
        Axis(
            name="downsample_neck",
            choices=DOWNSAMPLES.names(),
            by_name=named_only(DOWNSAMPLES),
            doc="downsampling on the bottom-up path of the neck",
            active=lambda params: has_way_up(params) or topology(params) == "giraffe",
        ),
        extra_level_axis(),
        Axis(
            name="last_downsample_neck",
            formerly=AS_OTHERS,
            choices=(AS_OTHERS, *LAST_DOWNSAMPLES),
            by_name=LAST_DOWNSAMPLES,
            doc="last downsampling of the bottom-up path: as the others, or, as in YOLOv10, another one",
            active=lambda params: (
                has_way_up(params) and len(_steps_up(params)) > 1 and params["downsample_neck"] not in LAST_DOWNSAMPLES
            ),
        ),
        Axis(
            name="downsample_to",
            choices=("input", "level"),
            doc="channels of `downsample_neck`: those of its input, or of the level that it reaches",
            active=lambda params: has_way_up(params) and _can_take_level(params),
        ),
        Axis(
            name="last_downsample_width",
            choices=(0.5, 1.0),
            doc="channels of the last `downsample_neck`, relative to its input",
            active=lambda params: has_way_up(params) and _can_narrow_last(params),
        ),
        Axis(
            name="cross_layer",
            choices=("none", *MANY_FUSIONS),
            doc="fusion on the bottom-up path that also takes the backbone map",
            active=lambda params: has_way_up(params) and span(params)[0] + 1 < trunk(params),
        ),
        Axis(
            name="skip_wiring",
            choices=("repaired", "published"),
            doc="skip connections of the bi-directional neck; `published`: as in the files of the paper",
            active=_has_stale_skips,
        ),
    )


def _repeats_count(params: Point) -> bool:
    """Whether the repeats of the neck block change it: not where its one block is of a kind without them there."""
    if topology(params) != "pan" or has_way_up(params) or span(params)[0] < trunk(params) - 1:
        return topology(params) in WITH_BLOCKS
    return not getattr(STAGES.get(str(params["neck_block"])), "lighter_first_merge", False)


def _can_nest_last(params: Point) -> bool:
    """Whether nesting in the last block of the bottom-up path differs from nesting at P4 and coarser."""
    if not has_way_up(params):
        return False
    block = STAGES.get(str(params["neck_block"]))
    if not getattr(block, "nests_by_level", False):
        return False
    finest, last = span(params)[0], coarsest(params)
    blocks = [("down", level) for level in range(finest, trunk(params))]
    blocks += [("up", level) for level in range(finest + 1, last + 1)]
    by_level = [each for each in blocks if block.options(False, each[1])["nested"]]  # type: ignore[attr-defined]
    return by_level != [("up", last)]


def _has_stale_skips(params: Point) -> bool:
    """Whether the published wiring of the bi-directional neck differs from the repaired one."""
    if params.get("fusion") != "bidir_concat" or not has_way_up(params):
        return False
    way_up = range(span(params)[0] + 1, coarsest(params) + 1)
    return 3 in way_up or (4 in way_up and trunk(params) > 4)


def pan_channels(params: Point) -> dict[int, int]:
    """Returns the channels of the blocks of a `pan` by level."""
    levels = range(span(params)[0], max(coarsest(params), trunk(params) - 1) + 1)
    if lateral_width(params):
        return dict.fromkeys(levels, lateral_width(params))
    width, table = float(params["neck_width"]), neck_channels(params)
    channels = {level: scaled(table[level], width, least=4) for level in levels}
    if "neck_p2_width" in params and layout.FINEST in channels:
        channels[layout.FINEST] = scaled(channels[layout.FINEST], float(params["neck_p2_width"]), least=4)
    return channels


def _can_narrow_p2(params: Point) -> bool:
    if topology(params) != "pan" or span(params)[0] != layout.FINEST or lateral_width(params):
        return False
    return pan_channels({**params, "neck_p2_width": P2_WIDTH}) != pan_channels(params)


def _steps_up(params: Point) -> list[tuple[int, int]]:
    """Returns the channels of the level below and of the level, for each level of the bottom-up path."""
    channels = pan_channels(params)
    return [(channels[level - 1], channels[level]) for level in range(span(params)[0] + 1, coarsest(params) + 1)]


def _can_take_level(params: Point) -> bool:
    """Whether channels change along the bottom-up path, in ratios that the downsampling supports."""
    steps = _steps_up(params)
    differ = any(below != at for below, at in steps)
    return differ and (params["downsample_neck"] != "esd1" or all(at in (below, 2 * below) for below, at in steps))


def _can_narrow_last(params: Point) -> bool:
    below = _steps_up(params)[-1][0]
    narrows = scaled(below, 0.5, least=4) != below
    return narrows and params["downsample_neck"] != "esd1" and params.get("downsample_to") != "level"


def decode(params: Point) -> Neck:
    """Returns the neck of a point."""
    kinds = {"pan": _decode_pan, "fpn": decode_fpn, "ihp": _decode_ihp, "giraffe": _decode_giraffe}
    return kinds[topology(params)](params)


def _decode_pan(params: Point) -> Neck:
    channels = pan_channels(params)
    of_stages = stage_channels(params)
    own = bool(lateral_width(params)) or any(channels[level] != of_stages[level] for level in channels)
    return Neck(
        kind="pan",
        repeats=int(params.get("neck_repeats", 1)),
        block=str(params["neck_block"]),
        fusion=str(params["fusion"]),
        upsample=str(params["upsample"]),
        attention=str(params["attention_neck"]),
        p2_source=str(params.get("p2_source", "backbone")),
        downsample=str(params["downsample_neck"]) if has_way_up(params) else None,
        downsample_to=str(params.get("downsample_to", "input")),
        last_downsample_width=float(params.get("last_downsample_width", 1.0)),
        skip_wiring=str(params.get("skip_wiring", "repaired")),
        channels=tuple(channels.values()) if own else None,
        reduce=params.get("reduce") == "yes",
        lateral=bool(lateral_width(params)),
        extra_level=params.get("extra_level") == "yes",
        nested=str(params.get("neck_nested", "by_level")),
        last_block=_own(params, "neck_last_block"),
        last_downsample=_own(params, "last_downsample_neck"),
        cross_layer=str(params.get("cross_layer", "none")),
        finest_fusion=str(params["finest_fusion"]),
    )


def _own(params: Point, name: str) -> str | None:
    choice = str(params.get(name, AS_OTHERS))
    return None if choice == AS_OTHERS else choice


def _decode_ihp(params: Point) -> Neck:
    return Neck(
        kind="ihp",
        repeats=int(params["neck_repeats"]),
        block=str(params["neck_block"]),
        attention=str(params["attention_neck"]),
        p2_source=str(params.get("p2_source", "backbone")),
        transform=str(params["transform"]),
    )


def _decode_giraffe(params: Point) -> Neck:
    return Neck(
        kind="giraffe",
        repeats=int(params["neck_repeats"]),
        block=str(params["neck_block"]),
        upsample=str(params["upsample"]),
        attention=str(params["attention_neck"]),
        p2_source=str(params.get("p2_source", "backbone")),
        downsample=str(params["downsample_neck"]),
    )


def read(architecture: Architecture, rest: Point) -> Params:
    """Returns the choices of the neck of an architecture, given those of layout and backbone."""
    neck = architecture.neck
    if neck is None:
        return {}
    params: Params = {
        "p2_source": neck.p2_source,
        "fusion": neck.fusion,
        "upsample": neck.upsample,
        "attention_neck": neck.attention,
        "neck_block": neck.block,
        "neck_repeats": neck.repeats,
        "transform": neck.transform,
        **_read_widths(neck, rest),
        "reduce": YES_NO[neck.reduce],
        "lateral": neck.channels[0] if neck.lateral and neck.channels else NO_LATERAL,
        "extra_level": YES_NO[neck.extra_level],
        "finest_fusion": neck.finest_fusion,
        "neck_nested": neck.nested,
        "neck_last_block": neck.last_block or AS_OTHERS,
        "last_downsample_neck": neck.last_downsample or AS_OTHERS,
        "downsample_to": neck.downsample_to,
        "last_downsample_width": neck.last_downsample_width,
        "cross_layer": neck.cross_layer,
        "skip_wiring": neck.skip_wiring,
        "fpn_width": neck.channels[0] if neck.channels else 0,
        "smooth": neck.smooth,
        "smooth_groups": neck.groups[0] if len(set(neck.groups)) == 1 else "graded",
    }
    return params if neck.downsample is None else params | {"downsample_neck": neck.downsample}


def _read_widths(neck: Neck, rest: Point) -> Params:
    """Returns the widths at which the stage table gives the channels of the neck; 1 if there are none."""
    pairs: list[Params] = [
        {"neck_width": width, "neck_p2_width": finest} for finest in (1.0, P2_WIDTH) for width in reversed(NECK_WIDTHS)
    ]
    if neck.kind != "pan" or neck.channels is None:
        return pairs[0]
    wanted = list(neck.channels)
    return next((each for each in pairs if list(pan_channels({**rest, **each}).values()) == wanted), pairs[0])
