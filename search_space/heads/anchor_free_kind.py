"""The anchor-free head as a kind of head: its options, its axes, and how it is added to a detector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import nn

from search_space.axis import Axis, Choice, Params, Point
from search_space.errors import SpaceError, check_known
from search_space.head_kind import HEAD_KINDS, HeadKind
from search_space.heads.anchor_free import class_channels
from search_space.heads.assignment import ASSIGNMENTS, assignment_axis
from search_space.heads.towers import TOWERS, borrow
from search_space.parts import Head
from search_space.point.layout import coarsest, span, topology
from search_space.point.neck import pan_channels

if TYPE_CHECKING:
    from search_space.architecture import Architecture
    from search_space.graph import Builder, Graph, Tap

OPTIONS: dict[str, Choice] = {
    "tower_convs": 2,
    "tower_kernel": 3,
    "box_branch": "plain",
    "branches": "separate",
    "bins": 16,
    "predictor_kernel": 1,
    "head_widths": "set",
    "head_stem": 0,
    "head_stem_kernel": 1,
    "box_scale": "none",
    "head_weights": "own",
    "assignment": "many",
}
"""Defaults: the head of YOLOv8. A `head_stem` of 0 is none. With `head_widths` at `level` each level has a stem and
towers of the width of its map, as in YOLOv6."""
BRANCHES = ("separate", "joint", "gated")
BOX_SCALES = ("none", "learned")
HEAD_WEIGHTS = ("own", "shared")
HEAD_WIDTHS = SET, OF_LEVEL = ("set", "level")
SIZES = ("tower_convs", "tower_kernel", "bins", "predictor_kernel", "box_scale")
"""Options that are arguments of the blocks of both kinds of branches."""
NO_STEM = "none"
OF_TOWERS = ("tower_kernel", "box_branch", "branches", "head_widths", "head_weights", "box_channels", "class_branch")
"""Options and fields without effect where there are no towers."""
OF_SET_WIDTHS = ("box_channels", "head_stem", "head_weights")
"""Options and fields without effect where each level has the width of its map."""


def check(architecture: Architecture) -> None:
    """Raises SpaceError where the options of the head of an architecture are invalid or contradict each other."""
    head = architecture.head
    check_known("class_branch", head.class_branch, TOWERS)
    check_known("box_branch", head.option("box_branch"), TOWERS)
    check_known("branches", head.option("branches"), BRANCHES)
    check_known("box_scale", head.option("box_scale"), BOX_SCALES)
    check_known("head_widths", head.option("head_widths"), HEAD_WIDTHS)
    check_known("head_weights", head.option("head_weights"), HEAD_WEIGHTS)
    check_known("assignment", head.option("assignment"), ASSIGNMENTS)
    for name, least in (("tower_convs", 0), ("head_stem", 0), ("bins", 1)):
        if int(head.option(name)) < least:
            raise SpaceError(f"head {name} must be at least {least}, got {head.option(name)}")
    for name in ("tower_kernel", "predictor_kernel", "head_stem_kernel"):
        if int(head.option(name)) < 1 or int(head.option(name)) % 2 == 0:
            raise SpaceError(f"head {name} must be an odd number of at least 1, got {head.option(name)}")
    if head.option("head_stem") == 0 and head.option("head_stem_kernel") != OPTIONS["head_stem_kernel"]:
        raise SpaceError(
            f"head head_stem_kernel needs a head_stem, got {head.option('head_stem_kernel')} without one; remove it"
        )
    _check_towers(head)
    _check_widths(head)
    if head.option("head_weights") == "shared" and len(head.levels) + len(architecture.extras) < 2:
        raise SpaceError("head_weights 'shared' needs a head on two levels or more, got one; remove it or add levels")


def _check_towers(head: Head) -> None:
    """Raises SpaceError where an option has no effect with the number of convolutions of the towers."""
    if head.option("tower_convs") == 0:
        for name in OF_TOWERS:
            value, default = _value(head, name), _default(name)
            if value != default:
                raise SpaceError(f"head {name} needs towers, but tower_convs is 0, got {value!r}; remove it")
    elif head.option("predictor_kernel") != 1:
        raise SpaceError(
            f"head predictor_kernel must be 1 behind towers, got {head.option('predictor_kernel')}; "
            "remove it or set tower_convs: 0"
        )
    if head.option("branches") != "separate" and head.option("box_branch") != OPTIONS["box_branch"]:
        raise SpaceError(
            f"head box_branch is not used by branches {head.option('branches')!r}, got {head.option('box_branch')!r}; "
            "remove it, class_branch is the kind of the one tower"
        )


def _check_widths(head: Head) -> None:
    """Raises SpaceError where an option has no effect because each level has the width of its map."""
    for name in OF_SET_WIDTHS if head.option("head_widths") == OF_LEVEL else ():
        if _value(head, name) != _default(name):
            raise SpaceError(
                f"head {name} is not used by head_widths {OF_LEVEL!r}, got {_value(head, name)!r}; remove it"
            )


def _value(head: Head, name: str) -> object:
    return head.option(name) if name in OPTIONS else getattr(head, name)


def _default(name: str) -> object:
    return OPTIONS.get(name, getattr(Head, name, None))


def add(builder: Builder, head: Head, maps: Mapping[int, Tap], num_classes: int) -> list[Tap]:
    """Adds a head on every map; the channels of the class branches depend on the finest level.

    Raises:
        SpaceError: The maps differ in width, but the levels are to share their towers.
    """
    stem = int(head.option("head_stem"))
    shared = head.option("head_weights") == "shared"
    widths = {stem or x.channels for x in maps.values()}
    if shared and len(widths) > 1:
        raise SpaceError(
            "head_weights 'shared' needs maps of one width, got "
            f"{', '.join(str(x.channels) for x in maps.values())}; set head_stem"
        )
    class_width = class_channels(stem or maps[head.finest_level].channels, num_classes)
    options = {name: head.option(name) for name in SIZES if head.option(name) != OPTIONS[name]}
    kernel = head.option("head_stem_kernel")
    options |= {"stem_kernel": kernel} if kernel != OPTIONS["head_stem_kernel"] else {}
    outputs: list[Tap] = []
    for level, x in maps.items():
        own = x.channels if head.option("head_widths") == OF_LEVEL else 0
        block, sizes = _block(head, own or head.box_channels, own or class_width, num_classes)
        sizes |= options | ({"stem_channels": own or stem} if own or stem else {})
        arguments = {"in_channels": x.channels, **sizes, "stride": 2**x.level}
        arguments |= {"towers_of": outputs[0].name} if shared and outputs else {}
        output = x.renamed(f"head{level}", 4 * int(head.option("bins")) + num_classes)
        outputs.append(builder.add(output, block, (x,), arguments))
    return outputs


def _block(head: Head, box_width: int, class_width: int, num_classes: int) -> tuple[str, dict[str, Any]]:
    """Returns the block of each level, and its arguments that decide its branches."""
    if head.option("branches") != "separate":
        joint = {"channels": box_width, "num_classes": num_classes, "branch": head.class_branch}
        return f"head:anchor_free_{head.option('branches')}", joint
    box = head.option("box_branch")
    separate = {
        "box_channels": box_width,
        "class_channels": class_width,
        "num_classes": num_classes,
        "class_branch": head.class_branch,
    }
    return "head:anchor_free", separate | ({"box_branch": box} if box != OPTIONS["box_branch"] else {})


def connect(blocks: nn.ModuleDict, graph: Graph) -> None:
    """Lets the towers of all levels apply the convolutions of the finest one, where they are shared."""
    for node in graph.nodes:
        owner = dict(node.arguments).get("towers_of")
        if owner is not None:
            borrow(blocks, node.name, str(owner))


def axes() -> tuple[Axis, ...]:
    """Returns the axes of an anchor-free head."""
    return (*_branch_axes(), *_tower_axes(), *_predictor_axes(), *_stem_axes(), *_level_axes(), assignment_axis())


def _branch_axes() -> tuple[Axis, ...]:
    return (
        Axis(
            name="tower_convs",
            formerly=OPTIONS["tower_convs"],
            choices=(2, 1, 0),
            ordered=True,
            doc="convolutions of each tower of an anchor-free head before its predictor",
        ),
        Axis(
            name="branches",
            formerly=OPTIONS["branches"],
            choices=BRANCHES,
            by_name=("gated",),
            doc="towers and predictors of an anchor-free head: boxes and classes apart, or one for both, or, as in "
            "PicoDet, one behind a gate",
            active=_has_towers,
        ),
        Axis(
            name="head_widths",
            formerly=SET,
            choices=HEAD_WIDTHS,
            by_name=(OF_LEVEL,),
            doc="widths of an anchor-free head: set for all levels, or, as in YOLOv6, a stem and towers as wide as the "
            "map of each level",
            active=lambda params: _has_towers(params) and _widths_differ(params),
        ),
    )


def _tower_axes() -> tuple[Axis, ...]:
    return (
        Axis(
            name="box_channels",
            choices=(16, 32, 48, 64, 80, 96, 128),
            ordered=True,
            by_name=(80, 96, 128),
            doc="width of the box branches of an anchor-free head, or of its joint towers",
            active=lambda params: _has_towers(params) and not _of_level(params),
        ),
        Axis(
            name="class_branch",
            choices=tuple(TOWERS),
            doc="convolutions of the class branches of an anchor-free head, or of its joint towers",
            active=_has_towers,
        ),
        Axis(
            name="box_branch",
            formerly=OPTIONS["box_branch"],
            choices=tuple(TOWERS),
            doc="convolutions of the box branches of an anchor-free head",
            active=lambda params: _has_towers(params) and params.get("branches", "separate") == "separate",
        ),
        Axis(
            name="tower_kernel",
            formerly=OPTIONS["tower_kernel"],
            choices=(3, 5),
            ordered=True,
            doc="kernel size of the towers of an anchor-free head",
            active=_has_towers,
        ),
    )


def _predictor_axes() -> tuple[Axis, ...]:
    return (
        Axis(
            name="bins",
            formerly=OPTIONS["bins"],
            choices=(16, 8, 4, 1),
            ordered=True,
            doc="numbers of an anchor-free head for each side of a box: a distribution, or with 1 the distance",
        ),
        Axis(
            name="predictor_kernel",
            formerly=OPTIONS["predictor_kernel"],
            choices=(1, 3),
            ordered=True,
            doc="kernel size of the predictors of an anchor-free head without towers",
            active=lambda params: not _has_towers(params),
        ),
    )


def _stem_axes() -> tuple[Axis, ...]:
    return (
        Axis(
            name="head_stem",
            formerly=NO_STEM,
            choices=(NO_STEM, 16, 24, 32, 48, 64, 96),
            by_name=(96,),
            doc="width that a convolution gives every level before an anchor-free head",
            active=lambda params: not _of_level(params),
        ),
        Axis(
            name="head_stem_kernel",
            formerly=OPTIONS["head_stem_kernel"],
            choices=(1, 3),
            ordered=True,
            by_name=(3,),
            doc="kernel size of `head_stem`; 3 in RTMDet",
            active=lambda params: params.get("head_stem", NO_STEM) != NO_STEM,
        ),
    )


def _level_axes() -> tuple[Axis, ...]:
    return (
        Axis(
            name="box_scale",
            formerly=OPTIONS["box_scale"],
            choices=BOX_SCALES,
            by_name=("learned",),
            doc="whether each level of an anchor-free head has a learned factor of its box numbers, as in FCOS",
        ),
        Axis(
            name="head_weights",
            formerly=OPTIONS["head_weights"],
            choices=HEAD_WEIGHTS,
            doc="whether all levels of an anchor-free head share the convolutions of their towers",
            active=_may_share,
        ),
    )


def _has_towers(params: Point) -> bool:
    return params.get("tower_convs", OPTIONS["tower_convs"]) != 0


def _of_level(params: Point) -> bool:
    return params.get("head_widths", SET) == OF_LEVEL


def _widths_differ(params: Point) -> bool:
    """Whether the maps of the head have several widths: otherwise one set for all levels does the same."""
    if topology(params) != "pan":
        return False
    channels = pan_channels(params)
    return len({channels[level] for level in range(span(params)[0], coarsest(params) + 1)}) > 1


def _may_share(params: Point) -> bool:
    """Whether there are towers of one width on several levels."""
    several = coarsest(params) > span(params)[0] or params.get("extras", "none") != "none"
    one_width = params.get("head_stem", NO_STEM) != NO_STEM or topology(params) == "fpn"
    return several and one_width and _has_towers(params)


def decode(own: Point) -> dict[str, Any]:
    """Returns the options and fields of an anchor-free head for the choices on its axes."""
    stem = own.get("head_stem", NO_STEM)
    return {**own, "head_stem": 0 if stem == NO_STEM else stem}


def read(head: Head) -> Params:
    """Returns the choices of an anchor-free head that differ from the value of the option."""
    return {"head_stem": head.option("head_stem") or NO_STEM}


HEAD_KINDS.add(
    "anchor_free",
    HeadKind(
        description="an anchor-free head",
        add=add,
        options=OPTIONS,
        axes=axes,
        fields=("box_channels", "class_branch"),
        decode=decode,
        read=read,
        check=check,
        connect=connect,
        takes_activation=True,
    ),
)
