"""Weights of one detector for another: slices of its tensors, by the role of each node and the layout of its channels.

A node gets the weights of the node of the same role, if their blocks are of one family. Of each labelled part of the
channels the leading ones come along; what the donor lacks keeps its initial value. Repeated layers that the donor lacks
get the weights of its last one. Kernels of another size are centred. Statistics of norms come along too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import chain
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from search_space import Architecture, Detector, Graph, lower
from search_space.channel_layout import Layout, TensorLayout
from search_space.detector_layout import NodeLayout, detector_layout, image_layout
from search_space.errors import ConfigError
from search_space.graph import build
from search_space.input_format import InputFormat
from trainers.weights import Weights

UNIT = re.compile(r"(.+_unit)(\d+)")


@dataclass(frozen=True, kw_only=True)
class NodeTransfer:
    """What came along for one node."""

    parameters: int
    num_parameters: int
    weights: int
    """Elements of convolution kernels and matrices that came along."""
    num_weights: int


@dataclass(frozen=True, kw_only=True)
class WeightShapes:
    """The shapes and the layouts of all tensors of a detector, without their values."""

    graph: Graph
    nodes: list[NodeLayout]
    shapes: Mapping[str, torch.Size]
    """By the name of the tensor in the state of the detector."""
    parameters: frozenset[str]
    """The names of the tensors that are trained."""


class Run(NamedTuple):
    """Consecutive indices that two layouts have in common."""

    target: int
    source: int
    length: int


def transfer_weights(
    detector: Detector, donor: Weights, classes: Sequence[str] | None = None
) -> dict[str, NodeTransfer]:
    """Fills a detector, in place, with what fits of a donor's weights; returns what came along by node.

    Args:
        detector: its other values are not changed.
        donor: it may lack tensors.
        classes: names of the detector's classes, compared without regard to case. None: class weights come along by
            index if the numbers of classes are equal.

    Raises:
        ConfigError: a tensor of the donor does not have the shape that its architecture gives it.
        SpaceError: the donor's architecture is invalid.
    """
    named = classes is not None
    targets = detector_layout(detector.graph, dict(detector.blocks.items()), class_labels(classes) if named else None)
    by_role = _by_role(_donor_layout(donor, donor.classes if named else None))
    gains = image_gains(detector.graph.input_format, Architecture.from_dict(donor.architecture).input_format)
    state, parameters = detector.state_dict(), {name for name, _ in detector.named_parameters()}
    shapes = {name: value.shape for name, value in state.items()}
    transfers = {}
    with torch.no_grad():
        for target in targets:
            source = _match(target, by_role)
            came = {} if source is None else _fill(target, source, state, donor.state, gains)
            transfers[target.name] = _count(target, shapes, parameters, came)
    return transfers


def count_transfer(target: WeightShapes, donor: WeightShapes) -> dict[str, NodeTransfer]:
    """Returns what `transfer_weights` would fill by node, from the shapes of both detectors alone.

    The classes of both are taken as they were given to `weight_shapes`.
    """
    by_role = _by_role(donor.nodes)
    transfers = {}
    for node in target.nodes:
        source = _match(node, by_role)
        came = {} if source is None else _common(node, source, target.shapes, donor.shapes)
        transfers[node.name] = _count(node, target.shapes, target.parameters, came)
    return transfers


def weight_shapes(graph: Graph, blocks: Mapping[str, nn.Module], classes: Sequence[str] | None = None) -> WeightShapes:
    """Returns the shapes and the layouts of the tensors of a detector.

    Args:
        blocks: the modules of the nodes that have weights of their own, by name; they may be on the `meta` device.
        classes: names of the classes; None: classes are told apart by their index.
    """
    return WeightShapes(
        graph=graph,
        nodes=detector_layout(graph, blocks, None if classes is None else class_labels(classes)),
        shapes={
            f"blocks.{name}.{path}": value.shape
            for name, block in blocks.items()
            for path, value in block.state_dict().items()
        },
        parameters=frozenset(
            f"blocks.{name}.{path}" for name, block in blocks.items() for path, _ in block.named_parameters()
        ),
    )


def _by_role(nodes: Sequence[NodeLayout]) -> dict[str, NodeLayout]:
    return {role: node for node in nodes for role in node.roles}


def class_labels(classes: Sequence[str] | None) -> list[str]:
    """Returns class names in lower case, or as they are where that makes two of them equal."""
    names = list(classes or ())
    folded = [name.strip().casefold() for name in names]
    return folded if len(set(folded)) == len(names) else names


def _donor_layout(donor: Weights, classes: Sequence[str] | None) -> list[NodeLayout]:
    """Returns the layouts of a donor without building its tensors; checks the shapes of its state."""
    graph = lower(Architecture.from_dict(donor.architecture), num_classes=len(donor.classes))
    with torch.device("meta"):
        blocks = {node.name: build(node) for node in graph.nodes if node.shares is None}
    own = weight_shapes(graph, blocks, classes)
    for name, shape in own.shapes.items():
        stored = donor.state.get(name)
        if stored is not None and stored.shape != shape:
            raise ConfigError(
                f"the weights do not fit their own architecture: {name} must have the shape {list(shape)}, "
                f"got {list(stored.shape)}; give another file"
            )
    return own.nodes


def image_gains(target: InputFormat, donor: InputFormat) -> dict[str, float]:
    """Returns by what the donor's weights of each colour are multiplied, so that a change of colour acts the same."""

    def scale(input_format: InputFormat) -> dict[str, float]:
        labels = (part.label for part in image_layout(input_format))
        return {label: input_format.value_range / std for label, std in zip(labels, input_format.std, strict=True)}

    own = scale(target)
    return {label: value / own[label] for label, value in scale(donor).items()}


def _match(target: NodeLayout, by_role: Mapping[str, NodeLayout]) -> NodeLayout | None:
    """Returns the donor's node of the same role and family of blocks; for a unit that it lacks, its last one."""
    source = next((by_role[role] for role in target.roles if role in by_role), None)
    unit = UNIT.fullmatch(target.roles[0])
    if source is None and unit is not None:
        numbers = range(int(unit[2]) - 1, 1, -1)  # the first unit changes resolution and channels
        source = next((by_role[role] for n in numbers if (role := f"{unit[1]}{n}") in by_role), None)
    return source if source is not None and _family(target.block) & _family(source.block) else None


def _family(block: type[nn.Module]) -> set[type]:
    """Returns the class of a block and its base classes, without those of torch unless it is one itself."""
    own = {cls for cls in block.__mro__ if cls.__module__.partition(".")[0] not in ("torch", "builtins", "typing")}
    return own | {block}


def _fill(
    target: NodeLayout,
    source: NodeLayout,
    state: Mapping[str, Tensor],
    given: Mapping[str, Tensor],
    gains: Mapping[str, float],
) -> dict[str, int]:
    """Copies what fits of one node; returns the number of elements that came along by the name of the tensor."""

    def copy(name: str, stored: str, to: TensorLayout, of: TensorLayout) -> int:
        value = given.get(f"blocks.{source.name}.{stored}")
        if value is None:
            return 0
        if len(of.dims) > 1 and all(part.label in gains for part in of.dims[1]):
            value = value * value.new_tensor([gains[part.label] for part in of.dims[1]]).view(-1, 1, 1)
        return copy_slices(state[f"blocks.{target.name}.{name}"], value, to, of)

    return _each(target, source, copy)


def _common(
    target: NodeLayout, source: NodeLayout, shapes: Mapping[str, torch.Size], given: Mapping[str, torch.Size]
) -> dict[str, int]:
    """Returns the number of elements that two nodes have in common by the name of the tensor."""

    def count(name: str, stored: str, to: TensorLayout, of: TensorLayout) -> int:
        return count_slices(shapes[f"blocks.{target.name}.{name}"], given[f"blocks.{source.name}.{stored}"], to, of)

    return _each(target, source, count)


def _each(
    target: NodeLayout, source: NodeLayout, take: Callable[[str, str, TensorLayout, TensorLayout], int]
) -> dict[str, int]:
    """Calls `take` with the names and the layouts of the tensors that fit each other; returns what it returns.

    A norm and a bias follow their weight: they are left out where nothing of it was taken.
    """
    came: dict[str, int] = {}
    for name, layout in target.tensors.items():
        stored = _source_name(name, target, source)
        of = source.tensors.get(stored)
        if of is not None and (layout.follows is None or came.get(layout.follows)):
            came[name] = take(name, stored, layout, of)
    return came


def _source_name(name: str, target: NodeLayout, source: NodeLayout) -> str:
    """Returns the name of a tensor in the donor; for a repeat that it lacks, that of its last one of the same class."""
    for path, entries in target.repeats.items():
        prefix = f"{path}." if path else ""
        first, _, rest = name.removeprefix(prefix).partition(".")
        if not name.startswith(prefix) or not first.isdecimal():
            continue
        known, number = source.repeats.get(path, ()), int(first)
        same = [index for index, cls in enumerate(known) if cls is entries[number]]
        if number >= len(known) and same:
            name = f"{prefix}{same[-1]}.{rest}"
    return name


def _count(
    target: NodeLayout, shapes: Mapping[str, torch.Size], parameters: Set[str], came: Mapping[str, int]
) -> NodeTransfer:
    sizes = {
        name: (shapes[full].numel(), len(shapes[full]) > 1)
        for name in target.tensors
        if (full := f"blocks.{target.name}.{name}") in parameters
    }
    return NodeTransfer(
        parameters=sum(came.get(name, 0) for name in sizes),
        num_parameters=sum(size for size, _ in sizes.values()),
        weights=sum(came.get(name, 0) for name, (_, is_weight) in sizes.items() if is_weight),
        num_weights=sum(size for size, is_weight in sizes.values() if is_weight),
    )


def copy_slices(target: Tensor, source: Tensor, to: TensorLayout, of: TensorLayout) -> int:
    """Copies what two tensors of any shape have in common into `target`; returns the number of copied elements.

    Taps of a larger kernel around the copied ones become 0, so that the filter stays the same.
    """
    if to.variant != of.variant or len(to.dims) != len(of.dims) or target.ndim != source.ndim:
        return 0
    runs = [common_runs(*pair) for pair in zip(to.dims, of.dims, strict=True)]
    if to.groups > 1 or of.groups > 1:
        return _copy_grouped(target, source, to, of, runs)
    into, taken = _windows(target.shape[len(runs) :], source.shape[len(runs) :])
    copied = 0
    for places in _product(runs):
        at = tuple(slice(run.target, run.target + run.length) for run in places)
        found = tuple(slice(run.source, run.source + run.length) for run in places)
        if into != taken:
            target[at] = 0
        target[at + into] = source[found + taken]
        copied += prod(run.length for run in places) * prod(each.stop - each.start for each in into)
    return copied


def count_slices(target: torch.Size, source: torch.Size, to: TensorLayout, of: TensorLayout) -> int:
    """Returns how many elements `copy_slices` would copy between tensors of these shapes."""
    if to.variant != of.variant or len(to.dims) != len(of.dims) or len(target) != len(source):
        return 0
    runs = [common_runs(*pair) for pair in zip(to.dims, of.dims, strict=True)]
    window: int = prod(each.stop - each.start for each in _windows(target[len(runs) :], source[len(runs) :])[0])
    if to.groups > 1 or of.groups > 1:
        return len(_connections(target, source, to, of, runs)[0]) * window
    return window * prod(sum(run.length for run in each) for each in runs)


def common_runs(to: Layout, of: Layout) -> list[Run]:
    """Returns what two layouts have in common: the leading indices of each part of the same label."""
    if len(to) == len(of) == 1:
        return [Run(0, 0, min(to[0].size, of[0].size))]
    starts = dict(_starts(of))
    runs: list[Run] = []
    for label, (start, size) in _starts(to):
        source, length = starts.get(label, (0, 0))
        length = min(size, length)
        last = runs[-1] if runs else Run(0, 0, 0)
        if length and (last.target + last.length, last.source + last.length) == (start, source):
            runs[-1:] = [last._replace(length=last.length + length)]
        elif length:
            runs.append(Run(start, source, length))
    return runs


def _starts(layout: Layout) -> Iterator[tuple[str, tuple[int, int]]]:
    start = 0
    for part in layout:
        yield part.label, (start, part.size)
        start += part.size


def _product(runs: Sequence[Sequence[Run]]) -> Iterator[tuple[Run, ...]]:
    return iter([()]) if not runs else ((run, *rest) for run in runs[0] for rest in _product(runs[1:]))


def _windows(to: Sequence[int], of: Sequence[int]) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Returns where the windows of two kernels overlap if their padded centres, `(size - 1) // 2`, coincide."""
    shifts = [(side - 1) // 2 - (other - 1) // 2 for side, other in zip(to, of, strict=True)]
    lengths = [
        min(side - max(shift, 0), other - max(-shift, 0)) for side, other, shift in zip(to, of, shifts, strict=True)
    ]
    into = tuple(slice(max(shift, 0), max(shift, 0) + length) for shift, length in zip(shifts, lengths, strict=True))
    taken = tuple(slice(max(-shift, 0), max(-shift, 0) + length) for shift, length in zip(shifts, lengths, strict=True))
    return into, taken


def _copy_grouped(
    target: Tensor, source: Tensor, to: TensorLayout, of: TensorLayout, runs: Sequence[Sequence[Run]]
) -> int:
    """Copies the connections `(output, input)` that both of two convolutions have, of which at least one has groups."""
    rows, columns, given_rows, given_columns = _connections(target.shape, source.shape, to, of, runs)
    into, taken = _windows(target.shape[2:], source.shape[2:])
    at: tuple[Any, ...] = (rows, columns)
    found: tuple[Any, ...] = (given_rows, given_columns)
    values = source[found + taken].to(target)
    target[at] = 0
    target[at + into] = values
    return values.numel()


def _connections(
    target: torch.Size, source: torch.Size, to: TensorLayout, of: TensorLayout, runs: Sequence[Sequence[Run]]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Returns the common connections `(N,)` of two convolutions: rows and columns in the target, and in the source."""
    rows, given_rows = _indices(runs[0])
    inputs = torch.full((target[1] * to.groups,), -1)
    columns, given_columns = _indices(runs[1])
    inputs[columns] = given_columns
    first = rows // (target[0] // to.groups) * target[1]
    given_first = given_rows // (source[0] // of.groups) * source[1]
    wanted = inputs[first[:, None] + torch.arange(target[1])]
    places = wanted - given_first[:, None]
    row, column = ((wanted >= 0) & (places >= 0) & (places < source[1])).nonzero(as_tuple=True)
    return rows[row], column, given_rows[row], places[row, column]


def _indices(runs: Sequence[Run]) -> tuple[Tensor, Tensor]:
    """Returns the indices `(N,)` of runs in the target and in the source."""
    targets = chain.from_iterable(range(run.target, run.target + run.length) for run in runs)
    sources = chain.from_iterable(range(run.source, run.source + run.length) for run in runs)
    return torch.tensor(list(targets), dtype=torch.long), torch.tensor(list(sources), dtype=torch.long)
