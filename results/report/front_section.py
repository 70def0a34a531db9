"""The section on the front: its plot, the details of a picked trial, its table."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from typing import Any

import pandas as pd

from results import records
from results.export import member_name
from results.report.content import Content
from results.report.payload import HELD_OUT, Members, options, x_axes, y_axes
from results.report.text import escape, paragraph, percent, section, table
from results.ties import tied_with_better
from results.trial import Trial


def front_section(content: Content, members: Members) -> str:
    """Returns the section on the front, with the plot."""
    title = "The front: accuracy against cost"
    num_compared = len(members.front) + len(members.others)
    if content.nothing_found:
        return section(title, paragraph(content.nothing_found, "notice"))
    if not num_compared:
        text = f"No trial has a result yet, so there is no front. Go on with: nas run --resume {content.folder}"
        return section(title, paragraph(text))
    caption = (
        f"{num_compared} {_kind(members)}, {len(members.front)} on the front: no other trial is as good in every "
        "objective and better in one. Point at one for its architecture in words, click it for its nodes."
    )
    if members.num_left_out:
        caption += f" The {members.num_left_out} least accurate of the others are left out."
    parts = (
        _plot(content, members, caption),
        _detail(),
        _front_table(content, members),
        *_remarks(content, members.front),
    )
    return section(title, *parts)


def _kind(members: Members) -> str:
    """Says what the front is made of."""
    stage = records.trials_of(members.front.head(1))[0].stage
    return f"trials after {stage}, as none has reached the last rung" if stage else "complete trials"


def _plot(content: Content, members: Members, caption: str) -> str:
    xs, ys = x_axes(content.table, content.device), y_axes(content.table)
    pickers = _picker("pick-y", "accuracy:", options(ys)) + _picker("pick-x", "against:", options(xs))
    if len(members.lower):
        pickers += '<label><input type="checkbox" id="lower"> trials that ended on a lower rung</label>'
    return (
        f'<figure><figcaption>{escape(caption)}</figcaption>\n<div class="controls">{pickers}</div>\n'
        '<p class="muted">&#8593; <span id="title-y"></span></p>\n'
        '<div class="plot" id="scatter"><div id="tip" role="status" hidden></div></div>\n'
        '<p class="muted">&#8594; <span id="title-x"></span></p>\n'
        f'<p id="nothing" hidden>No trial has both of these figures.</p>\n{_legend(members)}</figure>'
    )


def _picker(name: str, label: str, choices: list[str]) -> str:
    """Returns a menu of axes; empty for a single axis."""
    if len(choices) < 2:
        return ""
    listed = "".join(f'<option value="{index}">{escape(each)}</option>' for index, each in enumerate(choices))
    return f'<label>{escape(label)} <select id="{name}" autocomplete="off">{listed}</select></label>'


def _legend(members: Members) -> str:
    icon = '<svg width="16" height="16" viewBox="-8 -8 16 16" aria-hidden="true">{}</svg>'
    entries = [
        ('<circle r="6" class="point front"/>', "on the front, numbered by accuracy"),
        ('<circle r="4.5" class="point other"/>', "trained as far, beaten by another"),
        ('<path d="M0,-7l7,7l-7,7l-7,-7z" class="point other"/>', "named design"),
        ('<path d="M0,-7V7" class="whisker front"/>', "95 % of a bootstrap over the validation images"),
    ]
    if members.front["latency_ms"].notna().any():
        entries.append(('<path d="M-7,0H7" class="whisker front"/>', "interval of the predicted latency"))
    if any(tied_with_better(members.front)):
        dashed = '<circle r="4" class="point front"/><circle r="7" class="tied"/>'
        entries.append((dashed, "~ not distinguishable from a better member on these images"))
    if len(members.lower):
        entries.append(('<circle r="4" class="point lower"/>', "ended on a lower rung"))
    return '<ul class="legend">' + "".join(f"<li>{icon.format(i)}{escape(t)}</li>" for i, t in entries) + "</ul>"


def _detail() -> str:
    hint = paragraph("Pick a point, or a name in the table below, for the nodes of an architecture.", "muted")
    return f'<div id="detail" aria-live="polite">{hint}</div>'


def _front_table(content: Content, members: Members) -> str:
    front = members.front
    if front.empty:
        return ""
    columns = _columns(content, front, records.trials_of(front))
    return table(columns, zip(*columns.values(), strict=True), label="The members of the front")


def _columns(content: Content, front: pd.DataFrame, trials: list[Trial]) -> dict[str, list[str]]:
    """Returns the cells of the front as HTML by the title of their column."""
    links = [
        f'<a href="#trial={trial.number}" class="key">{escape(member_name(rank, trial.key))}</a>'
        for rank, trial in enumerate(trials, 1)
    ]
    axes = y_axes(front)
    columns = {"architecture": links} | _accuracies(axes[:1], front, trials)
    ties = tied_with_better(front)
    if any(ties):
        columns["tied"] = ["~" if each else "" for each in ties]
    columns |= _costs(content, front, trials) | _accuracies(_further(axes, front), front, trials)
    seeds = [content.seeds.get(trial.number, ()) for trial in trials]
    if any(len(each) > 1 for each in seeds):
        columns["#over seeds %"] = [_over_seeds(each) for each in seeds]
    columns["#input px"] = [f"{trial.input_width}x{trial.input_height}" for trial in trials]
    columns["levels"] = [escape(" ".join(trial.levels)) for trial in trials]
    if trials[0].stage:
        columns["trained"] = [escape(trial.stage) for trial in trials]
    return columns | {"origin": [escape(str(trial.origin)) for trial in trials]}


def _further(axes: list[dict[str, Any]], front: pd.DataFrame) -> list[dict[str, Any]]:
    """Returns the axes after the first one; of a front with held-out scores those, and the accuracy that chose it."""
    if not axes[0]["id"].startswith(HELD_OUT):
        return axes[1:]
    chosen_by = next(name for name in records.objectives_of(front) if records.is_accuracy(name))
    return [axis for axis in axes[1:] if axis["id"].startswith(HELD_OUT) or axis["id"] == chosen_by]


def _accuracies(axes: list[dict[str, Any]], front: pd.DataFrame, trials: list[Trial]) -> dict[str, list[str]]:
    columns = {}
    for axis in axes:
        columns[f"#{axis['name']} %"] = [percent(trial.value(axis["id"])) for trial in trials]
        ends = [(trial.value(axis["low"]), trial.value(axis["high"])) for trial in trials] if axis["low"] else []
        if any(low is not None for low, _ in ends):
            columns["#held-out 95 %" if axis["id"].startswith(HELD_OUT) else "#95 %"] = [
                f"{percent(low)}-{percent(high)}" for low, high in ends
            ]
    return columns


def _costs(content: Content, front: pd.DataFrame, trials: list[Trial]) -> dict[str, list[str]]:
    columns = {
        "#GFLOPs": [f"{trial.macs / 1e9:.4f}" for trial in trials],
        "#GFLOPs 2x": [f"{2 * trial.macs / 1e9:.4f}" for trial in trials],
    }
    if front["latency_ms"].notna().any():
        columns["#predicted ms"] = [f"{trial.latency_ms:.1f}" for trial in trials]
        columns["#interval ms"] = [f"{trial.latency_low_ms:.1f}-{trial.latency_high_ms:.1f}" for trial in trials]
    if "memory_bytes" in records.objectives_of(content.table):
        columns["#memory MB"] = [f"{trial.memory_bytes / 1e6:.2f}" for trial in trials]
    return columns | {"#params M": [f"{trial.params / 1e6:.3f}" for trial in trials]}


def _over_seeds(values: tuple[float, ...]) -> str:
    if len(values) < 2:
        return "-"
    return f"{percent(statistics.mean(values))} ± {percent(statistics.stdev(values))} ({len(values)})"


def _remarks(content: Content, front: pd.DataFrame) -> Iterable[str]:
    axes = y_axes(front)
    if not front.empty and axes[0]["id"].startswith(HELD_OUT):
        yield paragraph(content.held_out)
    if front["accuracy_low"].notna().any():
        yield paragraph("The intervals do not include the variance between trainings.", "muted")
    if front["latency_ms"].notna().any():
        yield paragraph("Latencies are predicted, not measured.", "muted")
