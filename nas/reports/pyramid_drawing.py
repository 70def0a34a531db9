"""A picture of a detector: its pyramid levels, and what fuses, reduces and attends on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from itertools import groupby

from search_space.graph import IMAGE, Graph, Node

PARTS = {
    "backbone": ("backbone", "#dbe9f6", "#2f6da8"),
    "extras": ("extra levels", "#e3e0f3", "#6a55b0"),
    "neck": ("neck", "#e2f1dd", "#4b8b3b"),
    "head": ("head", "#fbe6d2", "#c06b1f"),
    "rpn": ("proposals", "#fbe6d2", "#c06b1f"),
    "roi_head": ("second stage", "#f8dada", "#b03a3a"),
}
"""Title, fill and outline of each part of a detector."""
WIDTH, GAP, LINE, MARGIN, LABEL = 112, 34, 14, 14, 46
"""Pixels: of a box, between columns, of a line of text, around everything, and for the names of levels."""
LEVEL_GAP = 26
"""Pixels between the boxes of two levels."""
CHARACTERS = 17
"""Of a line in a box."""
RESIZES = ("upsample", "downsample")


@dataclass(eq=False, kw_only=True)
class Box:
    """Nodes in a row, drawn as one box."""

    level: int
    part: str
    names: list[str]
    inputs: list[tuple[str, str]]
    """The nodes that it reads, and what resizes each on the way."""
    column: int = 0

    @property
    def lines(self) -> list[str]:
        """The names, those that follow each other and are the same as one line."""
        runs = ((name, len(list(same))) for name, same in groupby(self.names))
        return [name if count == 1 else f"{count} x {name}" for name, count in runs]

    @property
    def height(self) -> int:
        """Pixels."""
        return LINE * len(self.lines) + 10


@dataclass(kw_only=True)
class BoxLayout:
    """The boxes of a detector, and which of them has the result of each node."""

    boxes: list[Box] = field(default_factory=list)
    of_node: dict[str, Box] = field(default_factory=dict)


def draw_pyramid(graph: Graph, *, title: str) -> str:
    """Returns an SVG picture of a detector: a row for each pyramid level, the finest on top, read from left to right.

    A box holds blocks that follow each other on a level, with the repeats inside a block in brackets; a fusion begins a
    new one. Dashed lines change the level, and say how.

    Args:
        graph: To be drawn.
        title: Stands above the picture.
    """
    return _svg(_layout(graph), title)


def _layout(graph: Graph) -> BoxLayout:
    """Puts nodes in boxes; those that only resize a map for another level are on the line between two boxes."""
    layout, resized = BoxLayout(), {}
    readers = _readers(graph)
    for node in graph.nodes:
        if _is_resize(node) and readers.get(node.name, 0):
            resized[node.name] = (node.inputs[0], _name(node))
            continue
        inputs = [resized.get(each, (each, "")) for each in node.inputs]
        before = layout.of_node.get(inputs[0][0]) if len(inputs) == 1 and not inputs[0][1] else None
        follows = before is not None and (before.level, before.part) == (node.level, node.part)
        if before is not None and follows and readers[inputs[0][0]] == 1:
            before.names.append(_name(node))
            layout.of_node[node.name] = before
        else:
            box = Box(level=node.level, part=node.part, names=[_name(node)], inputs=inputs)
            layout.boxes.append(box)
            layout.of_node[node.name] = box
    _place(layout)
    return layout


def _place(layout: BoxLayout) -> None:
    """Gives each box a column to the right of all that it reads, and of the boxes before it on its level."""
    last: dict[int, int] = {}
    for box in layout.boxes:
        sources = [layout.of_node[name].column for name, _ in box.inputs if name in layout.of_node]
        box.column = max([each + 1 for each in sources] + [last.get(box.level, -1) + 1])
        last[box.level] = box.column


def _readers(graph: Graph) -> dict[str, int]:
    found: dict[str, int] = {}
    for node in graph.nodes:
        for name in node.inputs:
            found[name] = found.get(name, 0) + 1
    return found


def _is_resize(node: Node) -> bool:
    return node.part == "neck" and node.block.partition(":")[0] in RESIZES and len(node.inputs) == 1


def _name(node: Node) -> str:
    """Returns what a node is called in the picture: its block, and how often it is repeated."""
    role, _, name = node.block.partition(":")
    repeats = dict(node.arguments).get("repeats")
    text = f"{name} ({repeats})" if isinstance(repeats, int) and repeats > 1 else name
    if role == "head":
        text = f"{name} head" if node.part == "head" else name
    if node.shares is not None:
        text = f"{text} (again)"
    return text if len(text) <= CHARACTERS else f"{text[: CHARACTERS - 1]}…"


def _svg(layout: BoxLayout, title: str) -> str:
    levels = sorted({box.level for box in layout.boxes})
    heights = {level: max(box.height for box in layout.boxes if box.level == level) for level in levels}
    tops, y = {}, MARGIN + 34
    for level in levels:
        tops[level] = y
        y += heights[level] + LEVEL_GAP
    width = 2 * MARGIN + LABEL + (1 + max(box.column for box in layout.boxes)) * (WIDTH + GAP) - GAP
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y}" width="{width}" height="{y}" '
        'font-family="sans-serif" font-size="11">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{width}" height="{y}" fill="#ffffff"/>',
        f'<text x="{MARGIN}" y="{MARGIN + 8}" font-size="14" font-weight="bold" fill="#222222">{escape(title)}</text>',
        *_legend({box.part for box in layout.boxes}),
    ]
    for level in levels:
        middle = tops[level] + heights[level] / 2
        lines.append(
            f'<line x1="{MARGIN + LABEL}" y1="{middle:g}" x2="{width - MARGIN}" y2="{middle:g}" stroke="#eeeeee"/>'
        )
        lines.append(f'<text x="{MARGIN}" y="{middle + 4:g}" fill="#444444">P{level} /{2**level}</text>')
    middles = {level: tops[level] + heights[level] / 2 for level in levels}
    lines += [line for box in layout.boxes for line in _edges(box, layout, middles)]
    lines += [line for box in layout.boxes for line in _box(box, middles[box.level])]
    return "\n".join([*lines, "</svg>"]) + "\n"


def _legend(parts: set[str]) -> list[str]:
    lines, x = [], MARGIN
    for part, (title, fill, stroke) in PARTS.items():
        if part in parts:
            lines.append(f'<rect x="{x}" y="{MARGIN + 16}" width="10" height="10" fill="{fill}" stroke="{stroke}"/>')
            lines.append(f'<text x="{x + 14}" y="{MARGIN + 25}" fill="#444444">{title}</text>')
            x += 26 + 7 * len(title)
    return lines


def _left(box: Box) -> int:
    return MARGIN + LABEL + box.column * (WIDTH + GAP)


def _box(box: Box, middle: float) -> list[str]:
    x, y = _left(box), middle - box.height / 2
    _, fill, stroke = PARTS[box.part]
    return [
        f'<rect x="{x}" y="{y:g}" width="{WIDTH}" height="{box.height}" rx="4" fill="{fill}" stroke="{stroke}"/>',
        *(
            f'<text x="{x + WIDTH / 2:g}" y="{y + 5 + LINE * (row + 0.75):g}" text-anchor="middle" fill="#222222">'
            f"{escape(line)}</text>"
            for row, line in enumerate(box.lines)
        ),
    ]


def _edges(box: Box, layout: BoxLayout, middles: Mapping[int, float]) -> list[str]:
    """Returns the lines from what a box reads; one that changes the level is dashed and says how."""
    lines: list[str] = []
    for place, (name, resize) in enumerate(box.inputs):
        source = layout.of_node.get(name)
        if name == IMAGE or source is None:
            continue
        x1, y1 = _left(source) + WIDTH, middles[source.level]
        x2, y2 = _left(box), middles[box.level] + _spread(place, len(box.inputs))
        bend = x2 - GAP / 2
        dash = ' stroke-dasharray="4 3"' if resize else ""
        lines.append(
            f'<path d="M {x1} {y1:g} C {x1 + GAP / 2:g} {_arc(source, box, y1):g} {bend:g} {y2:g} {x2} {y2:g}" '
            f'fill="none" stroke="#888888"{dash}/>'
        )
        if resize:
            style = 'text-anchor="end" font-size="8" fill="#777777"'
            lines.append(f'<text x="{x2 - 4}" y="{y2 - 3:g}" {style}>{escape(resize)}</text>')
    return lines


def _spread(place: int, count: int) -> float:
    """Returns how far from its middle a box is entered by one of several lines, in pixels."""
    return 0.0 if count == 1 else (place - (count - 1) / 2) * min(10.0, 24.0 / count)


def _arc(source: Box, box: Box, y: float) -> float:
    """Returns where a line is bent to, so that one along a level passes above the boxes between its ends."""
    return y - 40 if source.level == box.level and box.column > source.column + 1 else y
