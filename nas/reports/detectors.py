"""The architectures of a run for a report: their points, descriptions and nodes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from nas.cost import node_costs
from nas.engine.trial_point import point_of
from nas.reports.describe import describe
from results.report import DetectorDetails, NodeLine
from results.trial import Trial
from search_space import Architecture, SearchSpace, lower
from search_space.axis import Choice
from search_space.errors import SpaceError

MAX_NODE_BYTES = 2_000_000
"""The approximate size of all tables of nodes together in the file of the report."""
BYTES_A_NODE = 40
"""Without its names."""


def points_of(trials: Iterable[Trial], space: SearchSpace) -> dict[str, dict[str, Choice]]:
    """Returns the points of the architectures by key, without those that the space does not have any more."""
    points: dict[str, dict[str, Choice]] = {}
    for trial in trials:
        if trial.key not in points:
            try:
                point = point_of(space, trial)
                if space.decode(point).key() == trial.key:
                    points[trial.key] = point
            except SpaceError:
                continue
    return points


def front_files(folder: Path) -> dict[str, Architecture]:
    """Returns the architectures of the front by key, from the files in the folder of the run."""
    found = {}
    for path in sorted((folder / "front").glob("*.yaml")):
        try:
            architecture = Architecture.from_yaml(path)
        except SpaceError:
            continue
        found[architecture.key()] = architecture
    return found


def detectors_of(
    trials: Iterable[Trial],
    points: Mapping[str, Mapping[str, Choice]],
    space: SearchSpace,
    files: Mapping[str, Architecture],
    *,
    num_classes: int,
    max_node_bytes: int = MAX_NODE_BYTES,
) -> dict[str, DetectorDetails]:
    """Describes architectures, with their nodes up to a total size.

    Args:
        trials: The most important first.
        points: By key, see `points_of`.
        space: Of the points.
        files: Architectures whose points may be unknown, by key.
        num_classes: Of the data.
        max_node_bytes: Size of all nodes together.
    """
    found: dict[str, DetectorDetails] = {}
    left_bytes = max_node_bytes
    for trial in trials:
        key = trial.key
        if key in found:
            continue
        point = points.get(key, {})
        architecture = space.decode(point) if point else files.get(key)
        nodes = _nodes(architecture, num_classes) if architecture is not None and left_bytes > 0 else ()
        left_bytes -= sum(BYTES_A_NODE + len(each.name) + len(each.shares) for each in nodes)
        choices = {name: str(choice) for name, choice in point.items()}
        found[key] = DetectorDetails(words=describe(point, trial), choices=choices, nodes=nodes)
    return found


def _nodes(architecture: Architecture, num_classes: int) -> tuple[NodeLine, ...]:
    return tuple(
        NodeLine(
            name=node.name,
            block=node.block,
            shape=",".join(map(str, count.output_shape)),
            params=count.params,
            macs=count.macs,
            shares=node.shares or "",
        )
        for node, count in node_costs(lower(architecture, num_classes=num_classes))
    )
