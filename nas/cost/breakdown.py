"""Break a predicted latency down by operator class and node, and find changes that lower it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from search_space.errors import SpaceError

if TYPE_CHECKING:
    from nas.cost.latency import LatencyModel
    from nas.cost.terms import Vector
    from search_space import Architecture, Graph

START = "start"
"""Name of the fixed time per network in the table of operator classes."""
SIZE_STEPS, SIZES_SHOWN = 4, 2
"""How many smaller input sizes are tried and shown. Time falls in steps, so some sizes save more per pixel."""
FREE_STEP = 32
"""Pixels between the sizes that are tried for a detector without a size multiple."""
DEAR, CHEAP = "act_exp", "act_cheap"
WORTH_TELLING = 0.01
"""Smallest share of the time at which replacing an operator class is suggested."""


@dataclass(frozen=True, kw_only=True)
class ClassShare:
    """The time in one class of operators, or in the start of the network."""

    operator_class: str
    """One of `operators.CLASSES`, or `start`."""
    ms: float
    share: float
    """Share of the latency of the network."""
    networks_measured: int | None
    """Measured networks of the device that run such operators; None for the start."""

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON-ready data, where the class of operators is `class`."""
        return {
            "class": self.operator_class,
            "ms": self.ms,
            "share": self.share,
            "networks_measured": self.networks_measured,
        }


@dataclass(frozen=True, kw_only=True)
class NodeShare:
    """The time in one node of the graph."""

    name: str
    part: str
    block: str
    ms: float
    share: float
    """Share of the latency of the network."""
    dearest_class: str | None
    """The class of operators that takes most of the time; None where the node takes none."""


@dataclass(frozen=True, kw_only=True)
class SmallerInput:
    """The predicted effect of a smaller input size."""

    change: str = "input_size"
    input_hw: tuple[int, int]
    latency_ms: float
    saved_ms: float
    saved_percent: float
    pixels_lost_percent: float
    saved_ms_per_percent_of_pixels: float

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON-ready data."""
        return {**vars(self), "input_hw": list(self.input_hw)}


@dataclass(frozen=True, kw_only=True)
class CheaperActivation:
    """The predicted effect of another class of activations."""

    change: str = "activation"
    from_class: str
    to_class: str
    share: float
    """Share of the latency in the operators that are replaced."""
    both_measured: bool
    """Whether networks with operators of both classes were measured on the device."""
    latency_ms: float
    saved_ms: float
    saved_percent: float

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON-ready data, where the classes of operators are `from` and `to`."""
        names = {"from_class": "from", "to_class": "to"}
        return {names.get(name, name): value for name, value in vars(self).items()}


Speedup = SmallerInput | CheaperActivation


def class_shares(model: LatencyModel, terms: Vector, latency_ms: float) -> list[ClassShare]:
    """Returns milliseconds and share of each operator class and of the start, largest first; they sum to the total."""
    from nas.cost.operators import CLASSES
    from nas.cost.profile import SHARE_CLASS

    seconds = terms * model.profile.constants
    shares = seconds / seconds.sum()
    named = {**dict(zip(CLASSES, (shares @ SHARE_CLASS).tolist(), strict=True)), START: float(shares[-1])}
    by_class = [
        ClassShare(
            operator_class=name,
            ms=share * latency_ms,
            share=share,
            networks_measured=None if name == START else model.profile.measured.get(name, 0),
        )
        for name, share in named.items()
        if share > 0
    ]
    return sorted(by_class, key=lambda each: -each.share)


def node_shares(model: LatencyModel, graph: Graph, latency_ms: float) -> list[NodeShare]:
    """Returns the milliseconds and share of each node in execution order; with the start they sum to the total."""
    from nas.cost.operators import CLASSES
    from nas.cost.profile import SHARE_CLASS
    from nas.cost.terms import add_terms
    from nas.cost.tracing import graph_operators

    constants = model.profile.constants
    total = float(model.terms(graph) @ constants)
    by_node = []
    for node, (_, make) in zip(graph.nodes, graph_operators(graph), strict=True):
        by_class = (add_terms(make(), model.profile.rules)[0] * constants) @ SHARE_CLASS
        share = float(by_class.sum()) / total
        by_node.append(
            NodeShare(
                name=node.name,
                part=node.part,
                block=node.block,
                ms=share * latency_ms,
                share=share,
                dearest_class=CLASSES[int(by_class.argmax())] if share else None,
            )
        )
    return by_node


def speedups(
    model: LatencyModel, arch: Architecture, num_classes: int, terms: Vector, latency_ms: float
) -> list[Speedup]:
    """Returns changes that are predicted to save milliseconds: smaller inputs, best gain per pixel first, then cheap
    activations."""
    found: list[Speedup] = [*_smaller_inputs(model, arch, num_classes, latency_ms)]
    found += _cheap_activations(model, terms, latency_ms)
    return [change for change in found if change.saved_ms > 0]


def smaller_sizes(arch: Architecture) -> list[tuple[int, int]]:
    """Returns the next smaller input sizes (H, W) that the detector accepts, with about the same aspect ratio."""
    step = arch.size_multiple if arch.size_multiple > 1 else FREE_STEP
    longest = max(arch.input_hw)
    sizes = []
    for count in range(1, SIZE_STEPS + 1):
        scale = (longest - count * step) / longest
        height, width = (max(step, round(side * scale / step) * step) for side in arch.input_hw)
        try:
            arch.resized((height, width))
        except SpaceError:
            break
        if (height, width) != arch.input_hw and (height, width) not in sizes:
            sizes.append((height, width))
    return sizes


def _smaller_inputs(model: LatencyModel, arch: Architecture, num_classes: int, latency_ms: float) -> list[SmallerInput]:
    from search_space import lower

    found = []
    for height, width in smaller_sizes(arch):
        try:
            predicted = model.latency(lower(arch.resized((height, width)), num_classes=num_classes))
        except SpaceError:  # an extra stage can run out of positions
            break
        saved_ms = latency_ms - predicted.latency_ms
        lost = 1 - height * width / (arch.input_hw[0] * arch.input_hw[1])
        found.append(
            SmallerInput(
                input_hw=(height, width),
                latency_ms=predicted.latency_ms,
                saved_ms=saved_ms,
                saved_percent=100 * saved_ms / latency_ms,
                pixels_lost_percent=100 * lost,
                saved_ms_per_percent_of_pixels=saved_ms / (100 * lost),
            )
        )
    return sorted(found, key=lambda each: -each.saved_ms_per_percent_of_pixels)


def _cheap_activations(model: LatencyModel, terms: Vector, latency_ms: float) -> list[CheaperActivation]:
    """Returns what ReLU saves where activations such as SiLU run as separate operators."""
    from nas.cost.terms import TERMS

    seconds = terms * model.profile.constants
    dear = [index for index, (_, name) in enumerate(TERMS) if name == DEAR]
    if seconds[dear].sum() < WORTH_TELLING * seconds.sum():
        return []
    exchanged = terms.copy()
    for index in dear:
        exchanged[TERMS.index((TERMS[index][0], CHEAP))] += terms[index]
        exchanged[index] = 0.0
    # From the constants alone: the residual was learned for networks with the original activations.
    predicted_ms = latency_ms * float(exchanged @ model.profile.constants) / float(seconds.sum())
    saved_ms = latency_ms - predicted_ms
    return [
        CheaperActivation(
            from_class=DEAR,
            to_class=CHEAP,
            share=float(seconds[dear].sum() / seconds.sum()),
            both_measured=all(model.profile.measured.get(name, 0) > 0 for name in (DEAR, CHEAP)),
            latency_ms=predicted_ms,
            saved_ms=saved_ms,
            saved_percent=100 * saved_ms / latency_ms,
        )
    ]
