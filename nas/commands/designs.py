"""`nas designs`: the published designs with their counts and what their papers report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from nas.commands.options import echo_json, json_option, plugin_option

if TYPE_CHECKING:
    from search_space import Design

MAIN_ACCURACIES = ("visdrone_val_map50", "coco_val_ap", "coco_ap", "voc07_test_ap")
"""The accuracy that stands for a design, the first of these that its paper reports."""
WORDS = {
    "visdrone": "VisDrone",
    "tinyperson": "TinyPerson",
    "coco": "COCO",
    "voc07": "VOC07",
    "ap": "AP",
    "ap50": "AP50",
    "map": "mAP50-95",
    "map50": "mAP50",
    "jetson": "Jetson",
    "nano": "Nano",
    "infer": "inference",
    "gpu": "GPU",
}
"""How the parts of a figure's name are written."""


@click.command("designs")
@plugin_option
@json_option
def command(as_json: bool) -> None:
    """List the published designs: what they cost, what accuracy they report, and how far our counts are off.

    Each name works wherever a command takes an architecture.

    \b
    Example:
      nas designs
    """
    from search_space import DESIGNS

    designs = [listed(DESIGNS.get(name)) for name in DESIGNS]
    if as_json:
        echo_json({"designs": designs})
    else:
        _print(designs)


def listed(design: Design) -> dict[str, Any]:
    """Returns a design's counts, main accuracy and largest deviation of a count, JSON-ready; integers are exact."""
    from nas.commands.reproduce import reproduce

    reproduced = reproduce(design)
    keys = ("design", "paper", "derived", "num_classes", "input_hw", "macs", "flops_2x", "params", "dfl_constants")
    return {
        **{key: reproduced[key] for key in keys},
        "accuracy": main_accuracy(reproduced["published"]),
        "deviation": largest_deviation(reproduced["published"]),
    }


def main_accuracy(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Returns the accuracy that stands for a design, or None where none is published."""
    accuracies = {row["name"]: row for row in rows if row["unit"].startswith("%")}
    for name in (*MAIN_ACCURACIES, *accuracies):
        if name in accuracies:
            return {"name": name, "label": label(name), "percent": accuracies[name]["published"]}
    return None


def largest_deviation(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Returns the published count that ours is farthest from, one that is not equal as printed before all others."""
    counted = [row for row in rows if row["deviation_percent"] is not None]
    if not counted:
        return None
    row = max(counted, key=lambda row: (not row["as_printed"], abs(row["deviation_percent"])))
    return {key: row[key] for key in ("name", "convention", "deviation_percent", "as_printed", "reason")}


def label(name: str) -> str:
    """Returns a figure's name as words: `visdrone_val_map50` is `VisDrone val mAP50`."""
    return " ".join(WORDS.get(word, word) for word in name.split("_"))


def _print(designs: Sequence[Mapping[str, Any]]) -> None:
    from rich.table import Table
    from rich.text import Text

    from nas.commands.display import console

    table = Table("design", "classes", "input px")
    for title in ("GMACs", "GFLOPs 2x", "params M"):
        table.add_column(title, justify="right")
    table.add_column("published accuracy")
    table.add_column("counts against the published")
    paper = None
    for row in designs:
        if row["paper"] != paper:
            paper = row["paper"]
            table.add_section()
            table.add_row(Text(paper, style="bold"))
        height, width = row["input_hw"]
        accuracy = row["accuracy"]
        table.add_row(
            row["design"] + "*" * row["derived"],
            str(row["num_classes"]),
            f"{width}x{height}",
            f"{row['macs'] / 1e9:.3f}",
            f"{row['flops_2x'] / 1e9:.3f}",
            f"{row['params'] / 1e6:.3f}",
            "-" if accuracy is None else f"{accuracy['percent']:.1f} % {accuracy['label']}",
            deviation_text(row["deviation"]),
        )
    console().print(table)
    click.echo("GMACs are fvcore's FLOPs; 2x counts a multiply-add as two. Accuracies are the papers', none is ours.")
    if any(row["derived"] for row in designs):
        click.echo("* derived here from a paper's ablation; no file of it was published")


def deviation_text(deviation: Mapping[str, Any] | None) -> str:
    """Returns the largest deviation in words."""
    if deviation is None:
        return "none published"
    if deviation["as_printed"]:
        return "equal as printed"
    return f"{deviation['deviation_percent']:+.2f} % {deviation['convention']}"
