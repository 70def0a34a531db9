"""The architectures of a run: their points, what they are in words, and the nodes they are made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nas.cost import node_costs
from nas.reports.describe import describe
from results.report import DetectorDetails, NodeLine
from search_space import Architecture, SearchSpace, lower
from search_space.axis import Axis, Choice
from search_space.errors import SpaceError

MAX_NODE_BYTES = 2_000_000
"""Of all tables of nodes together, about, as they stand in the file."""
BYTES_A_NODE = 40
"""Beside its names."""

Row = Mapping[str, Any]


def points_of(rows: Iterable[Row], space: SearchSpace) -> dict[str, dict[str, Choice]]:
    """Returns the points of all architectures by key, as far as this space still holds them."""
    points: dict[str, dict[str, Choice]] = {}
    for row in rows:
        if row["key"] is not None and row["key"] not in points:
            point = _point(row, space)
            if point is not None:
                points[row["key"]] = point
    return points


def _point(row: Row, space: SearchSpace) -> dict[str, Choice] | None:
    """Reads the point off a record, which leaves out the axes that had but one choice."""

    def choose(axis: Axis) -> Choice:
        text = row.get(f"axis_{axis.name}")
        return axis.choices[0] if text is None and len(axis.choices) == 1 else axis.parse(str(text))

    try:
        point = dict(space.sample(choose))
        return point if space.decode(point).key() == row["key"] else None
    except SpaceError:
        return None


def front_files(folder: Path) -> dict[str, Architecture]:
    """Returns the architectures of the front by key, as they lie in the run's folder."""
    found = {}
    for path in sorted((folder / "front").glob("*.yaml")):
        try:
            architecture = Architecture.from_yaml(path)
        except SpaceError:
            continue
        found[architecture.key()] = architecture
    return found


def detectors_of(
    rows: Iterable[Row],
    points: Mapping[str, Mapping[str, Choice]],
    space: SearchSpace,
    files: Mapping[str, Architecture],
    *,
    num_classes: int,
    max_node_bytes: int = MAX_NODE_BYTES,
) -> dict[str, DetectorDetails]:
    """Describes architectures, with their nodes as long as there is room for them.

    Args:
        rows: Records, the most important first.
        points: By key, see `points_of`.
        space: Of the points.
        files: Architectures whose points may be unknown, by key.
        num_classes: Of the data.
        max_node_bytes: Room for all nodes.
    """
    found: dict[str, DetectorDetails] = {}
    room = max_node_bytes
    for row in rows:
        key = row["key"]
        if key in found:
            continue
        point = points.get(key, {})
        architecture = space.decode(point) if point else files.get(key)
        nodes = _nodes(architecture, num_classes) if architecture is not None and room > 0 else ()
        room -= sum(BYTES_A_NODE + len(each.name) + len(each.shares) for each in nodes)
        choices = {name: str(choice) for name, choice in point.items()}
        found[key] = DetectorDetails(words=describe(point, row), choices=choices, nodes=nodes)
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
