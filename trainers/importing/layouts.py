"""The layouts of published checkpoints: where a tensor stands in a file, and where ours would stand.

A place is a section of the file, the number of the layer in it, and the name in the layer. Layers are counted in their
order: layers without tensors, and removed ones, leave gaps in the numbers of a file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from search_space import Graph, Node
from search_space.blocks import find_block
from trainers.importing.published_names import GUESSED, LEVEL, BlockTensor, tensors_of

BINS = re.compile(r"(^|\.)dfl\.conv\.weight$")
"""The bins of the distance distribution in files of Ultralytics: constants."""
COUNTER = "num_batches_tracked"


class FilePlace(NamedTuple):
    """Where a tensor stands in a file."""

    section: str
    layer: int
    """Its number among the layers of the section that have tensors."""
    name: str


@dataclass(frozen=True, kw_only=True)
class OwnTensor:
    """A tensor of our detector."""

    name: str
    node: str
    tensor: BlockTensor
    guessed: bool
    """Whether its published name is not certain."""


Placed = Iterator[tuple[Node, Callable[[str], FilePlace]]]
"""Nodes with tensors, each with the function from the published name in its block to the place in the file."""
Shapes = Mapping[FilePlace, tuple[int, ...]]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """One way in which published files name the tensors of a detector."""

    name: str
    table: str
    """One of `published_names.TABLES`."""
    own: Callable[[Graph, str], Placed]
    parse: Callable[[Iterable[str]], dict[str, FilePlace]]
    """Returns the places of the keys of a file; a key that is none of this layout is left out."""
    num_classes: Callable[[Shapes], int | None] = field(default=lambda shapes: None)
    """Reads the number of classes from the shapes; None where they do not say it."""
    head_kinds: tuple[str, ...]
    """Kinds of head of the detectors that have this layout."""
    backbone_only: bool = False
    aligned_by_shape: bool = False
    """Whether layers are matched by their shapes, because the file's network is another one."""

    def places(self, graph: Graph, *, norms_folded: bool = False) -> dict[FilePlace, list[OwnTensor]]:
        """Returns our tensors by their place. Those of a folded norm share the place of one bias."""
        found: dict[FilePlace, list[OwnTensor]] = {}
        for node, place in self.own(graph, self.table):
            for tensor in tensors_of(node, self.table, norms_folded=norms_folded):
                own = OwnTensor(
                    name=f"blocks.{node.name}.{tensor.own}",
                    node=node.name,
                    tensor=tensor,
                    guessed=node.block in GUESSED,
                )
                found.setdefault(place(tensor.published), []).append(own)
        return found


def with_tensors(graph: Graph, table: str) -> Iterator[Node]:
    """Gives the nodes that have tensors of their own, in order."""
    return (node for node in graph.nodes if node.shares is None and _has_tensors(node, table))


def _has_tensors(node: Node, table: str) -> bool:
    return find_block(node.block) is not None and bool(tensors_of(node, table))


def _at(section: str, layer: int) -> Callable[[str], FilePlace]:
    return lambda name: FilePlace(section, layer, name)


def _own_ultralytics(graph: Graph, table: str) -> Placed:
    """A layer a node; an attention is part of the layer of its block, all levels of the head are one layer."""
    layer, level = -1, -1
    for node in with_tensors(graph, table):
        layer += not (node.block.startswith("attention:") or (node.part == "head" and level >= 0))
        if node.part != "head":
            yield node, _at("layer", layer)
            continue
        level += 1
        yield node, lambda name, at=layer, number=level: FilePlace("layer", at, name.replace(LEVEL, str(number)))  # type: ignore[misc]


def _own_ssds(graph: Graph, table: str) -> Placed:
    """Base, the gains of the L2 scaling, extras (two layers for a plain one), and the two predictors of each map."""
    base, extra, level = -1, -1, -1
    for node in with_tensors(graph, table):
        if node.block == "layer:l2_scale":
            yield node, _at("norm", 0)
        elif node.part == "head":
            level += 1
            yield node, lambda name, at=level: FilePlace(name.partition(".")[0], at, name.partition(".")[2])  # type: ignore[misc]
        elif node.block == "extra:plain":
            extra += 2
            yield node, lambda name, at=extra: FilePlace("extras", at - 1 + int(name[0]), name[2:])  # type: ignore[misc]
        elif node.part == "extras":
            extra += 1
            yield node, _at("extras", extra)
        else:
            base += 1
            yield node, _at("base", base)


MMDET_SECTIONS = {"layer:pointwise": "neck.lateral_convs", "smooth": "neck.fpn_convs"}
SECTION_OF_PART = {"backbone": "backbone.blocks", "rpn": "rpn_head", "roi_head": "bbox_head"}


def _own_mmdet(graph: Graph, table: str) -> Placed:
    layers: dict[str, int] = {}
    for node in with_tensors(graph, table):
        section = SECTION_OF_PART.get(node.part)
        if section is None:
            smooth = node.block.startswith("smooth:")
            section = MMDET_SECTIONS["smooth" if smooth else "layer:pointwise"]
            if not smooth and node.block != "layer:pointwise":
                section = f"neck.{node.name}"  # no published file has it
        layers[section] = layers.get(section, -1) + 1
        yield node, _at(section, layers[section])


def _own_ours(graph: Graph, table: str) -> Placed:
    for node in with_tensors(graph, table):
        yield node, lambda name, of=node.name: FilePlace("own", 0, f"blocks.{of}.{name}")  # type: ignore[misc]


def _ranked(found: Iterable[tuple[str, str, int, str]]) -> dict[str, FilePlace]:
    """Returns places from (key, section, number, name): numbers become the position among those of the section."""
    rows = list(found)
    numbers: dict[str, set[int]] = {}
    for _, section, number, _ in rows:
        numbers.setdefault(section, set()).add(number)
    ranks = {(section, n): rank for section, each in numbers.items() for rank, n in enumerate(sorted(each))}
    return {key: FilePlace(section, ranks[section, number], name) for key, section, number, name in rows}


ATTRIBUTE = re.compile(r"(?P<layer>\d+|[^.\d][^.]*(?:\.\d+)?)\.(?P<name>.+)")


def _parse_ultralytics(keys: Iterable[str]) -> dict[str, FilePlace]:
    """Layers are `model.N`, or attributes such as `backbone.N` and `detect` in the order of the file."""
    rows, order = [], dict[str, int]()
    for key in keys:
        rest = key
        while rest.startswith("model."):
            rest = rest.removeprefix("model.")
        match = ATTRIBUTE.fullmatch(rest)
        if match is not None:
            layer = match["layer"]
            number = order.setdefault(layer, len(order))
            rows.append((key, layer, number, match["name"]))
    numbered = all(layer.isdecimal() and len(layer) < 6 for layer in order)
    return _ranked((key, "layer", int(layer) if numbered else number, name) for key, layer, number, name in rows)


def _parsed(pattern: str, section: str | None = None) -> Callable[[Iterable[str]], dict[str, FilePlace]]:
    """Returns a parser from a pattern with the groups `number`, `name` and, unless it is given, `section`."""
    compiled = re.compile(pattern)

    def parse(keys: Iterable[str]) -> dict[str, FilePlace]:
        matches = ((key, compiled.fullmatch(key)) for key in keys)
        found = [(key, match.groupdict()) for key, match in matches if match is not None]
        return _ranked(
            (key, section or str(parts["section"]), int(parts.get("number") or 0), parts["name"])
            for key, parts in found
        )

    return parse


def _parse_ours(keys: Iterable[str]) -> dict[str, FilePlace]:
    return {key: FilePlace("own", 0, key) for key in keys if key.startswith("blocks.")}


def _classes_ultralytics(shapes: Shapes) -> int | None:
    return next((shape[0] for place, shape in shapes.items() if place.name == "cv3.0.2.bias" and shape), None)


def _classes_by_anchors(boxes: tuple[int, ...] | None, logits: tuple[int, ...] | None) -> int | None:
    if not boxes or not logits or boxes[0] < 4:
        return None
    return logits[0] // (boxes[0] // 4) - 1


def _classes_ssds(shapes: Shapes) -> int | None:
    biases = (
        next((shapes[at] for at in (FilePlace(part, 0, "bias"), FilePlace(part, 0, "3.bias")) if at in shapes), None)
        for part in ("loc", "conf")
    )
    return _classes_by_anchors(*biases)


def _classes_mmdet(shapes: Shapes) -> int | None:
    shape = shapes.get(FilePlace("bbox_head", 0, "fc_cls.bias"))
    return shape[0] - 1 if shape else None


def _classes_ours(shapes: Shapes) -> int | None:
    named = {place.name: shape for place, shape in shapes.items()}
    if "blocks.roi.class_logits.bias" in named:
        return named["blocks.roi.class_logits.bias"][0] - 1
    for name, shape in named.items():
        match = re.fullmatch(r"(blocks\.head\d+)\.class_logits(\.3)?\.bias", name)
        if match is not None and shape:
            boxes = named.get(f"{match[1]}.box_offsets{match[2] or ''}.bias")
            return _classes_by_anchors(boxes, shape) if boxes else shape[0]
    return None


_FREE, _SSD, _TWO = ("anchor_free",), ("ssd",), ("two_stage",)
_NUMBERED = r"(?P<number>\d{1,5})\.(?P<name>.+)"
_MAYBE_NUMBERED = r"((?P<number>\d{1,5})\.)?(?P<name>.+)"

OURS = Layout(
    name="names of this program",
    table="own",
    own=_own_ours,
    parse=_parse_ours,
    num_classes=_classes_ours,
    head_kinds=(*_FREE, *_SSD, *_TWO),
)
ULTRALYTICS = Layout(
    name="Ultralytics",
    table="ultralytics",
    own=_own_ultralytics,
    parse=_parse_ultralytics,
    num_classes=_classes_ultralytics,
    head_kinds=_FREE,
)
MMDET = Layout(
    name="mmdetection",
    table="mmdet",
    own=_own_mmdet,
    parse=_parsed(
        r"(?P<section>backbone\.blocks|neck\.lateral_convs|neck\.fpn_convs|rpn_head|bbox_head)\."
        rf"{_MAYBE_NUMBERED}"
    ),
    num_classes=_classes_mmdet,
    head_kinds=_TWO,
)
MMDET_BACKBONE = Layout(
    name="backbone of mmdetection",
    table="mmdet",
    own=_own_mmdet,
    parse=_parsed(rf"(backbone\.)?blocks\.{_NUMBERED}", "backbone.blocks"),
    head_kinds=_TWO,
    backbone_only=True,
)
SSDS = Layout(
    name="ssds.pytorch",
    table="ssds",
    own=_own_ssds,
    parse=_parsed(rf"(?P<section>base|extras|loc|conf|norm)\.{_MAYBE_NUMBERED}"),
    num_classes=_classes_ssds,
    head_kinds=_SSD,
)
VGG_BACKBONE = Layout(
    name="VGG16 backbone",
    table="ssds",
    own=_own_ssds,
    parse=_parsed(rf"((base|features)\.)?{_NUMBERED}", "base"),
    head_kinds=_SSD,
    backbone_only=True,
)
MOBILENETV3_BACKBONE = Layout(
    name="MobileNetV3 of torchvision",
    table="torchvision",
    own=_own_mmdet,
    parse=_parsed(rf"features\.{_NUMBERED}", "backbone.blocks"),
    head_kinds=_TWO,
    backbone_only=True,
    aligned_by_shape=True,
)

SIGNS: tuple[tuple[str, Layout], ...] = (
    (r"blocks\.[a-z]", OURS),
    (r"(neck\.lateral_convs|rpn_head|bbox_head)\.", MMDET),
    (r"(backbone\.)?blocks\.\d", MMDET_BACKBONE),
    (r"(loc|conf)\.\d", SSDS),
    (r"features\.0\.0\.weight$", MOBILENETV3_BACKBONE),
    (r"((base|features)\.)?0\.weight$", VGG_BACKBONE),
    (r"(model\.)*\d+\.(conv|cv1)\.|.*\bcv3\.0\.2\.bias$", ULTRALYTICS),
)
"""Patterns of keys that only one layout has, in the order in which they are tried."""


def layout_of(keys: Iterable[str]) -> Layout | None:
    """Returns the layout of a file by its keys, or None."""
    known = list(keys)
    return next((layout for sign, layout in SIGNS if any(re.match(sign, key) for key in known)), None)
