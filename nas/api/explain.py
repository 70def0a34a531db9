"""The nodes of an architecture with their cost, and the differences between two architectures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from nas.api.named_architecture import ArchitectureLike, classes_to_count, find_architecture, shown_name
from nas.api.result import OnNotice, Result, table_of
from search_space.errors import ConfigError
from search_space.files import write_text

if TYPE_CHECKING:
    import pandas as pd

    from nas.api.differences import ArchitectureDiff
    from search_space import Graph, InputFormat, TileGrid

TOTALS = ("macs", "macs_trained", "params", "params_deployed", "weight_bytes", "activation_bytes")


@dataclass(frozen=True, kw_only=True)
class NodeCount:
    """One node of a detector and what it costs for one image."""

    name: str
    part: str
    block: str
    arguments: Mapping[str, Any]
    shares: str | None
    """The node whose weights it uses; None where it has its own."""
    inputs: tuple[str, ...]
    stride: int
    output_shape: tuple[int, ...]
    """`(C, H, W)`."""
    macs: int
    """Deployed, with merged branches."""
    macs_trained: int
    params: int
    """As trained."""
    params_deployed: int
    weight_bytes: int
    activation_bytes: int
    macs_percent: float


@dataclass(frozen=True, kw_only=True)
class Explanation(Result):
    """An architecture, node by node; bytes are those of 32-bit floats and one image."""

    architecture: str
    key: str
    num_classes: int
    input_hw: tuple[int, int]
    input_format: InputFormat
    """What the network sees of a picture."""
    tiles: TileGrid
    """That a frame is cut into; all figures are those of one tile, so a frame takes as many passes."""
    activation: str
    """Of the network, where no block has its own."""
    head_activation: str
    macs: int
    """Multiply-adds of the deployed network, in which branches are merged; fvcore counts them as FLOPs."""
    macs_trained: int
    """Multiply-adds of the network as trained."""
    params: int
    """As trained."""
    params_deployed: int
    """Of the deployed network; a batch norm that belongs to no merged branch counts as in `params`."""
    one_to_many_params: int
    """Parameters of the second head that a training with the assignment `dual` has beside these; otherwise 0."""
    weight_bytes: int
    activation_bytes: int
    """Written by all nodes together."""
    memory_bytes: int
    """The most activations that are alive at the same time."""
    flops_2x: int
    """Operations with a multiply-add as two."""
    nodes: tuple[NodeCount, ...]

    @property
    def frame(self) -> pd.DataFrame:
        """The nodes as a table, a row each."""
        return table_of(self.nodes)


@overload
def explain(
    architecture: ArchitectureLike,
    *,
    diff: None = None,
    num_classes: int | None = None,
    input_hw: tuple[int, int] | None = None,
    picture: str | Path | None = None,
    on_notice: OnNotice | None = None,
) -> Explanation: ...


@overload
def explain(
    architecture: ArchitectureLike,
    *,
    diff: ArchitectureLike,
    num_classes: int | None = None,
    input_hw: tuple[int, int] | None = None,
    picture: None = None,
    on_notice: OnNotice | None = None,
) -> ArchitectureDiff: ...


def explain(
    architecture: ArchitectureLike,
    *,
    diff: ArchitectureLike | None = None,
    num_classes: int | None = None,
    input_hw: tuple[int, int] | None = None,
    picture: str | Path | None = None,
    on_notice: OnNotice | None = None,
) -> Explanation | ArchitectureDiff:
    """Counts the nodes of an architecture, or compares it with another one.

    Args:
        architecture: a YAML file, the name of a design, or an `Architecture`.
        diff: another architecture; then the result is what differs, and what each difference costs.
        num_classes: classes to count for; None: those of the design or of the run that found it, else 80.
        input_hw: input size `(H, W)` in pixels; None: that of the architecture.
        picture: SVG file for a picture of the pyramid: levels, blocks, fusions and attention; replaced if there is one.
        on_notice: is called with a note where the number of classes is that of a run or a default.

    Raises:
        UserError: there is no such architecture, it does not take this size or number of classes, or the picture cannot
            be written.
    """
    from search_space import lower
    from search_space.heads.assignment import is_one_to_one

    # With `diff` the input size is one of the differences: both are compared as they are and counted at `input_hw`.
    arch = find_architecture(architecture, input_hw if diff is None else None)
    num_classes = classes_to_count(architecture, num_classes, "counted", on_notice)
    _check_picture(picture, diff)
    if diff is not None:
        from nas.api.differences import differences

        names = (shown_name(architecture), shown_name(diff))
        return differences(arch, find_architecture(diff), num_classes=num_classes, input_hw=input_hw, names=names)
    graph = lower(arch, num_classes=num_classes)
    if picture is not None:
        from nas.reports.pyramid_drawing import draw_pyramid

        write_text(Path(picture), draw_pyramid(graph, title=shown_name(architecture)))
    counted, memory_bytes = count_nodes(graph)
    head_params = sum(node.params for node in counted if node.part == "head")
    totals = {name: sum(getattr(node, name) for node in counted) for name in TOTALS}
    return Explanation(
        architecture=shown_name(architecture),
        key=arch.key(),
        num_classes=num_classes,
        input_hw=arch.input_hw,
        input_format=arch.input_format,
        tiles=arch.tiles,
        activation=arch.activation,
        head_activation=arch.activation_of_head,
        memory_bytes=memory_bytes,
        flops_2x=2 * totals["macs"],
        one_to_many_params=head_params if is_one_to_one(arch.head) else 0,
        nodes=counted,
        **totals,
    )


def _check_picture(picture: str | Path | None, diff: ArchitectureLike | None) -> None:
    """Raises ConfigError for a picture of two architectures, or one that is no SVG file."""
    if picture is not None and diff is not None:
        raise ConfigError("--picture draws one architecture, and --diff compares two; give one of them")
    if picture is not None and Path(picture).suffix.lower() != ".svg":
        raise ConfigError(f"--picture writes an SVG file, got {picture}; next: a name that ends in .svg")


def count_nodes(graph: Graph) -> tuple[tuple[NodeCount, ...], int]:
    """Returns the nodes of a graph with their cost, and the peak memory of its activations in bytes."""
    from nas.cost import node_costs, peak_memory

    costs = list(node_costs(graph))
    total = max(sum(count.macs for _, count in costs), 1)
    nodes = tuple(
        NodeCount(
            name=node.name,
            part=node.part,
            block=node.block,
            arguments=dict(node.arguments),
            shares=node.shares,
            inputs=tuple(node.inputs),
            stride=2**node.level,
            output_shape=tuple(count.output_shape),
            macs=count.macs,
            macs_trained=count.macs_trained,
            params=count.params,
            params_deployed=count.params_deployed,
            weight_bytes=count.weight_bytes,
            activation_bytes=count.activation_bytes,
            macs_percent=100 * count.macs / total,
        )
        for node, count in costs
    )
    return nodes, peak_memory(graph, [count for _, count in costs])
