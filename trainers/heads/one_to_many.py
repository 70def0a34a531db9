"""The second head of a training with the assignment `dual`, and the loss of both heads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import TypeAlias

from torch import Tensor, nn

from search_space import Detector, Graph, Node
from trainers.assigners import Objects
from trainers.losses import Loss

STATE_PREFIX = "one_to_many."
"""What the names of the second head's tensors begin with, in the state of a detector in training."""
HeadLoss: TypeAlias = Callable[[Sequence[Tensor], Objects, Objects], Loss]
"""From the maps `(B, C, H, W)` of a head, the objects and the ignored regions to its loss."""
FIRST_SHARE, LAST_SHARE = 0.8, 0.1
"""Weight of the loss of the one-to-many head at the first and at the last step, from YOLO26."""


class OneToManyHead(nn.Module):
    """A copy of the head of a detector: what the body of the detector learns from.

    It sees the same maps as the deployed head and has the same shape. No weights file holds it.
    """

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.graph = detector.graph
        names = [node.name for node in head_nodes(self.graph) if node.shares is None]
        # Copied together, so that blocks that use layers of one another use those of the copies.
        self.blocks = nn.ModuleDict(deepcopy({name: detector.blocks[name] for name in names}))

    def forward(self, *maps: Tensor) -> list[Tensor]:
        """Returns the outputs `(B, C, H, W)` a level for the maps named by `head_inputs`, each `(B, C, H, W)`."""
        return run_head(self.graph, self.blocks, maps)


def add_one_to_many(detector: Detector) -> None:
    """Gives a detector with the assignment `dual` its second head, a copy of the first; does nothing to others."""
    if detector.one_to_one:
        detector.one_to_many = OneToManyHead(detector)


def remove_one_to_many(detector: Detector) -> None:
    """Leaves of a detector what is deployed."""
    if detector.one_to_one:
        detector.one_to_many = None


def deployed_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the state of a detector without the tensors of its second head."""
    return {name: value for name, value in state.items() if not name.startswith(STATE_PREFIX)}


def one_to_many_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the state of the detector that has the second head in place of the first; to be read with NMS."""
    own = {name.removeprefix(STATE_PREFIX): value for name, value in state.items() if name.startswith(STATE_PREFIX)}
    return deployed_state(state) | own


def head_nodes(graph: Graph) -> list[Node]:
    """Returns the nodes of the head, in order."""
    return [node for node in graph.nodes if node.part == "head"]


def head_inputs(graph: Graph) -> tuple[str, ...]:
    """Returns the names of the maps that the head reads from the rest of the detector."""
    nodes = head_nodes(graph)
    own = {node.name for node in nodes}
    return tuple(dict.fromkeys(name for node in nodes for name in node.inputs if name not in own))


def run_head(graph: Graph, blocks: nn.ModuleDict, maps: Sequence[Tensor]) -> list[Tensor]:
    """Returns the outputs of a head with these `blocks` for the maps `(B, C, H, W)` named by `head_inputs`."""
    found = dict(zip(head_inputs(graph), maps, strict=True))
    for node in head_nodes(graph):
        found[node.name] = blocks[node.shares or node.name](*(found[name] for name in node.inputs))
    return [found[name] for name in graph.outputs]


@dataclass(frozen=True, kw_only=True)
class DualLoss:
    """The losses of both heads of a detector, of which only the one-to-many head trains the body.

    The share w of its loss falls linearly over the steps, that of the one-to-one head is 1 - w, as in YOLO26.
    """

    many: HeadLoss
    """Of the one-to-many head."""
    one: HeadLoss
    """Of the one-to-one head."""

    def __call__(self, detector: Detector, images: Tensor, objects: Objects, ignored: Objects, progress: float) -> Loss:
        """Returns the parts of both losses; those of the one-to-one head have names that begin with `one_`.

        Args:
            detector: without a second head, as it is outside a training, it has the loss of a one-to-many head.
            images: `(B, 3, H, W)`.
            objects: the ground truth.
            ignored: regions that do not count as background.
            progress: share of the training that is done, 0 to 1.
        """
        graph = detector.graph
        maps = detector.maps(images, head_inputs(graph))
        if detector.one_to_many is None:
            return self.many(run_head(graph, detector.blocks, maps), objects, ignored)
        share = FIRST_SHARE + (LAST_SHARE - FIRST_SHARE) * progress
        many = self.many(detector.one_to_many(*maps), objects, ignored)
        one = self.one(run_head(graph, detector.blocks, [each.detach() for each in maps]), objects, ignored)
        parts = {name: share * value for name, value in many.parts.items()}
        return Loss(parts=parts | {f"one_{name}": (1 - share) * value for name, value in one.parts.items()})
