"""Writes docs/designs.md from the counts of `nas reproduce`, and docs/pyramids: `python docs/generate_designs.py`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

from nas.api.designs import label
from nas.api.reproduce import PublishedFigure, Reproduction, reproduce, summary_rows
from nas.commands.reproduce_display import MULTIPLES, deviation_cell, ours_cell
from nas.reports.pyramid_drawing import draw_pyramid
from search_space import DESIGNS, InputFormat, lower

PAGE = Path(__file__).with_name("designs.md")
FOLDER = "pyramids"
"""Of the pictures, beside the page."""
HEADER = """\
<!-- Written by docs/generate_designs.py from the designs and their counts. Change those instead of this page. -->

# Published designs

Each design is built from the description in its paper, counted, and compared with the published figures. Its name works
wherever a command takes an architecture: `nas explain NAME`, `nas reproduce NAME`, `nas run --start NAME` and
`nas train NAME`.

GMACs are fvcore's FLOPs, with a multiply-add as one operation; the next column has it as two. Params are the trainable
parameters. A published count is compared in its own convention, see the end of the page. "Equal as printed" means that
our count rounds to the published one. Accuracies and latencies are those of the papers: they are not measured here, and
no published weights are used. A design marked * is derived for an ablation of the paper without a published file.
No search starts from {by_name} unless `--start` names them.

Reference designs are general light detectors, for comparison with those for small objects. A search starts from one
where `--start` names it, or where a limit on latency is set and it is among the fastest. Parts of it that are in a
search by name must be given by `--choices`; without them the design is left out. `nas weights import` reads none of
their files but those of YOLO11.
"""


def pictures() -> dict[str, str]:
    """Returns the picture of each design by its name, as SVG."""
    designs = {name: DESIGNS.get(name) for name in DESIGNS}
    graphs = {name: lower(each.architecture, num_classes=each.num_classes) for name, each in designs.items()}
    return {name: draw_pyramid(graph, title=name) for name, graph in graphs.items()}


def page() -> str:
    """Returns the whole page as Markdown."""
    reproduced = [reproduce(name, check_fvcore=False) for name in DESIGNS]
    papers = [list(group) for _, group in groupby(reproduced, key=lambda design: design.paper)]
    sections = ["\n".join(_paper(designs)) for designs in papers]
    by_name = ", ".join(f"`{name}`" for name in DESIGNS if DESIGNS.get(name).by_name)
    return "\n".join((HEADER.format(by_name=by_name), *sections, "\n".join(_conventions(reproduced))))


def _paper(designs: Sequence[Reproduction]) -> Iterator[str]:
    yield f"## {designs[0].paper}\n"
    yield from (f"{citation}.\n" for citation in dict.fromkeys(design.citation.rstrip(".") for design in designs))
    yield from _table(
        ("design", "classes", "input px", "GMACs", "GFLOPs 2x", "params"),
        (
            (
                _name(design),
                design.num_classes,
                "x".join(map(str, reversed(design.input_hw))),
                f"{design.macs / 1e9:.4f}",
                f"{design.flops_2x / 1e9:.4f}",
                f"{design.params:,}",
            )
            for design in designs
        ),
    )
    yield from _pictures([design.design for design in designs])
    yield from _input_formats(designs)
    yield from _counts(designs)
    yield from _reported(designs)
    yield from _weights(designs)
    yield from _notes(designs)


def _pictures(names: Sequence[str]) -> Iterator[str]:
    """Yields the picture of the first design, and links to those of the others."""
    first, *others = names
    yield f"![Pyramid of {first}]({FOLDER}/{first}.svg)\n"
    if others:
        yield f"Pyramids of the others: {', '.join(f'[{name}]({FOLDER}/{name}.svg)' for name in others)}.\n"


def _weights(designs: Sequence[Reproduction]) -> Iterator[str]:
    """Yields where weights are published."""
    places: dict[str, list[str]] = {}
    for design in designs:
        places.setdefault(DESIGNS.get(design.design).weights, []).append(_name(design))
    for place, names in places.items():
        if place:
            check = f"`nas reproduce {names[0].strip('`*')} --weights FILE --data PATH` checks the accuracy"
            yield f"Weights of {', '.join(names)}: {place}; {check}.\n"


def _input_formats(designs: Sequence[Reproduction]) -> Iterator[str]:
    """Yields a sentence per input format other than RGB from 0 to 1, letterboxed."""
    formats = {_name(design): DESIGNS.get(design.design).architecture.input_format for design in designs}
    for found in dict.fromkeys(formats.values()):
        if found != InputFormat():
            names = ", ".join(name for name, each in formats.items() if each == found)
            yield f"Input of {names}: {found}.\n"


def _counts(designs: Sequence[Reproduction]) -> Iterator[str]:
    """Yields the published counts beside ours, or a sentence where there is none."""
    rows = [(design, row) for design in designs for row in summary_rows(design) if row.figure is not None]
    if not rows:
        yield "No count of these designs is published.\n"
        return
    yield from _table(
        ("design", "classes", "counted as", "published", "ours", "deviation", "why"),
        (
            (
                _name(design),
                row.num_classes,
                f"{row.convention} ({MULTIPLES[row.multiple_of]})",
                f"{row.published:.12g}",
                ours_cell(row),
                deviation_cell(row),
                row.reason,
            )
            for design, row in rows
        ),
    )
    silent = [_name(design) for design in designs if not any(row.convention for row in design.published)]
    if silent:
        yield f"No count is published for {', '.join(silent)}.\n"


def _reported(designs: Sequence[Reproduction]) -> Iterator[str]:
    """Yields the accuracies and latencies of the paper, with the notes on them below."""
    figures = [(design, row) for design in designs for row in design.published if row.convention is None]
    if not figures:
        yield "No accuracy of these designs is published.\n"
        return
    columns = {row.name: f"{label(row.name)} %" if row.unit == "%" else label(row.name) for _, row in figures}
    notes = list(dict.fromkeys(row.note for _, row in figures if row.note))
    lines = []
    for design in dict.fromkeys(_name(design) for design, _ in figures):
        values = {row.name: _value(row, notes) for other, row in figures if _name(other) == design}
        lines.append((design, *(values.get(name, "") for name in columns)))
    yield from _table(("as published", *columns.values()), lines)
    if notes:
        yield "\n".join(f"({number}) {note}." for number, note in enumerate(notes, start=1)) + "\n"


def _value(row: PublishedFigure, notes: Sequence[str]) -> str:
    mark = f" ({notes.index(row.note) + 1})" if row.note else ""
    return f"{row.published:.1f}{mark}"


def _notes(designs: Sequence[Reproduction]) -> Iterator[str]:
    """Yields each note once, after the names of its designs."""
    about: dict[str, list[str]] = {}
    for design in designs:
        if design.notes:
            about.setdefault(design.notes, []).append(_name(design))
    if about:
        yield "\n".join(f"- {', '.join(names)}: {note}" for note, names in about.items()) + "\n"


def _conventions(designs: Sequence[Reproduction]) -> Iterator[str]:
    yield "## Counting conventions\n"
    rows = [row for design in designs for row in design.published if row.convention is not None]
    sentences = {row.convention: row.convention_sentence for row in rows}
    yield from _table(("counted as", "meaning"), sentences.items())


def _name(design: Reproduction) -> str:
    return f"`{design.design}`" + "\\*" * design.derived


def _table(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    lines = (titles, ["---"] * len(titles), *rows)
    yield "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    PAGE.with_name(FOLDER).mkdir(exist_ok=True)
    for design, picture in pictures().items():
        (PAGE.with_name(FOLDER) / f"{design}.svg").write_text(picture, encoding="utf-8")
    print(f"wrote {PAGE}")
