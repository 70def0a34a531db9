"""Prints what `nas inspect` found: parts, classes, object sizes, pyramid levels, leaks and advice."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from nas.advice.box_sizes import LIMITS_PX, Bin, histogram, num_under
from nas.advice.inspection import InspectionReport, input_sizes, run_flags
from nas.advice.leaks import ALIKE, CHANCE
from nas.advice.levels import LEVELS, num_served
from nas.advice.recommendation import percent, pixels
from nas.commands.display import say
from nas.commands.table import Column, numbers, print_table
from trainers.data.file_names import distinct_ends

if TYPE_CHECKING:
    from nas.advice.leaks import Leak
    from nas.advice.recommendation import Recommendation

BAR_WIDTH = 40
USUAL_PX = (128, 192, 256, 320, 416, 512, 640, 800, 960, 1280)
"""Input sizes that are always shown; --json has all."""
COMMANDS = {"tiles": "nas run", "tiling": "nas train", "max_detections": "nas val"}
"""The command that takes the flags of a topic; nas run takes those of the other topics."""


def print_report(report: InspectionReport, data_options: list[str]) -> None:
    """Prints a report; `data_options` are the options by which other commands open the same data."""
    _print_parts(report)
    _print_classes(report)
    _print_histogram(report)
    _print_inputs(report)
    _print_levels(report)
    _print_leaks(report)
    _print_advice(report, data_options)


def _print_parts(report: InspectionReport) -> None:
    names = ("median", "p90", "p99", "max")
    columns = (
        Column("part", is_name=True),
        numbers("images"),
        numbers("without boxes", priority=1),
        numbers("boxes"),
        *(numbers(f"boxes per image, {name}", priority=2) for name in names),
    )
    rows = []
    for part in report.parts:
        counts = (part.num_images, part.num_empty, part.num_boxes, *(part.objects[name] for name in names))
        rows.append((part.name, *(f"{count:,}" for count in counts)))
    print_table(columns, rows)


def _print_classes(report: InspectionReport) -> None:
    say("")
    train, val = report.parts[0], report.parts[1]
    columns = (
        Column("class", is_name=True),
        *(
            numbers(title, priority=priority)
            for title, priority in (("train", 0), ("share", 1), ("val", 0), ("share", 1))
        ),
    )
    rows = []
    for name, count in train.by_class.items():
        other = val.by_class[name]
        shares = (f"{count:,}", _share(count, train.num_boxes), f"{other:,}", _share(other, val.num_boxes))
        rows.append((name, *shares))
    print_table(columns, rows)


def _print_histogram(report: InspectionReport) -> None:
    sizes = report.sizes
    say("training boxes by side (square root of the area) in pixels of the image:")
    bins = histogram(sizes.original)
    filled = [row for row, each in enumerate(bins) if each.num_boxes]
    most = max(each.num_boxes for each in bins)
    for each in bins[filled[0] : filled[-1] + 1]:
        bar = "#" * round(BAR_WIDTH * each.num_boxes / most)
        share = _share(each.num_boxes, len(sizes.original))
        say(f"  {_range(each):>8} {each.num_boxes:>9,} {share:>7}  {bar}".rstrip())


def _range(each: Bin) -> str:
    return f"{each.low_px}-{each.high_px}" if each.high_px is not None else f"{each.low_px}+"


def _print_inputs(report: InspectionReport) -> None:
    considered = report.advice.considered
    say("boxes at the input size of the detector:")
    columns = (
        Column("input px", is_name=True),
        *(numbers(f"under {limit} px", priority=2) for limit in LIMITS_PX),
        *(numbers(f"P{level}", priority=1) for level in LEVELS),
    )
    rows = []
    for size in input_sizes():
        if size in USUAL_PX or size in (considered[0], considered[-1]):
            sides = report.sizes.at(size)
            counts = (*num_under(sides).values(), *num_served(sides).values())
            mark = "*" if considered[0] <= size <= considered[-1] else ""
            rows.append((f"{size}{mark}", *(_share(count, len(sides)) for count in counts)))
    print_table(columns, rows)
    say(
        "P2 to P6: boxes with sides of 2.1 to 4.2 cells of the level; smaller boxes count for P2, larger ones for P6. "
        "*: input size considered in the advice below"
    )


def _print_levels(report: InspectionReport) -> None:
    where = pixels(report.advice.considered)
    for each in report.advice.levels:
        low, high = percent(each.least), percent(each.most)
        shares = high if low == high else f"{low.removesuffix(' %')} to {high}"
        verdict = "" if each.reason else ", not needed"
        say(f"  P{each.level}: {shares} of the boxes at {where}{verdict}")


def _print_leaks(report: InspectionReport) -> None:
    leaks = report.leaks
    say(
        f"near-duplicate images, with a similarity of {leaks.threshold:.2f} or more ({percent(CHANCE)} of "
        f"{leaks.num_mirrored:,} mirrored images, which cannot be duplicates, reach {leaks.chance_level:.2f}):"
    )
    if leaks.num_unreadable:
        say(f"  {leaks.num_unreadable:,} images cannot be read and are left out; nas data check names them")
    for pair in leaks.pairs:
        say(
            f"  {pair.part}: {pair.num_leaked:,} of {pair.num_images:,} images ({percent(pair.share)}) have a "
            f"near-duplicate in {pair.other}, {pair.num_alike:,} of them at {ALIKE:g} or more"
        )
        _print_worst(pair)


def _print_worst(pair: Leak) -> None:
    names = distinct_ends(Path(name) for twins in pair.worst for name in (twins.image, twins.other))
    for twins, image, other in zip(pair.worst, names[::2], names[1::2], strict=True):
        say(f"    {twins.similarity:.3f}  {image} ({pair.part})  {other} ({pair.other})")


def _print_advice(report: InspectionReport, data_options: list[str]) -> None:
    say("advice (from rules, not measured):" if report.items else "no advice")
    for item in report.items:
        say(f"  {_title(item)}: {item.reason}")
    flags = run_flags(report.advice.items)
    same = f"nas run --budget-gflops 1 {shlex.join(data_options)}"
    say(f"next: {same} {shlex.join(flags)}\n   or: {same} --auto" if flags else f"next: {same}")


def _title(item: Recommendation) -> str:
    command = COMMANDS.get(item.topic)
    return " ".join([*([command] if command else []), *item.flags]) if item.flags else item.topic


def _share(count: int, total: int) -> str:
    return percent(count / total) if total else "-"
