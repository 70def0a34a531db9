"""`nas data check PATH`: every defect of a data set, with file and line."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from nas.commands.display import counted, say
from nas.commands.options import echo_json, json_option, layout_options, plugin_option, range_option

if TYPE_CHECKING:
    from trainers.data.check import DataReport

EXIT_DEFECTS = 1
"""Exit code where there are defects; 2 is an error of use, as everywhere."""


@click.command("check")
@click.argument("path", type=click.Path(), metavar="PATH")
@layout_options
@range_option
@plugin_option
@json_option
def command(path: str, as_json: bool, **options: Any) -> None:
    """Report every defect of the data set at PATH, with file and line.

    All images are decoded. The exit code is 0 without defects and 1 with some. A training leaves out and counts what it
    cannot use; a defect that prevents a training says so.

    \b
    Examples:
      nas data check hit-uav
      nas data check labels.json --images frames --json
    """
    from nas.api.data import check_data

    report = check_data(path, **options)
    if as_json:
        echo_json(report.to_dict())
    else:
        print_defects(report)
    if report.defects:
        sys.exit(EXIT_DEFECTS)


def print_defects(report: DataReport) -> None:
    """Prints the defects, a line each, and what the data set holds."""
    for defect in report.defects:
        line = "" if defect.line is None else f":{defect.line}"
        say(f"{defect.file}{line}: {defect.kind}: {defect.what}")
    from trainers.data.defects import counted_note

    for note in report.notes:
        say(f"note: {counted_note(note.count, note.what)}; first: {note.first}")
    parts = ", ".join(f"{name} {count}" for name, count in report.num_images_by_part.items())
    if report.source is not None:
        say(f"opened {report.source} (images: {parts})")
    counts = (
        counted(report.num_images, "image"),
        counted(report.num_boxes, "box", "boxes"),
        counted(report.num_ignored, "ignored region"),
        counted(len(report.classes), "class", "classes"),
    )
    say(f"{report.format or 'unknown format'}: {', '.join(counts)}")
    for name, count in report.num_boxes_by_class.items():
        say(f"  {name}: {count}")
    say(counted(len(report.defects), "defect") if report.defects else "no defects")
