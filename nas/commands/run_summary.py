"""The summary at the end of a run: the front, rank correlations, and counts of trials by outcome."""

from __future__ import annotations

import shlex
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from nas import plugins
from nas.commands.display import counted, say
from nas.commands.finish_summary import print_finished
from nas.commands.run_display import SCORES, percent
from nas.commands.screen import Screen
from nas.commands.table import Column, numbers, print_table
from nas.engine.acquisition import MIN_POINTS
from nas.reports.correlation_words import audit_lines, rung_correlation_line
from results import records
from results.export import member_file
from results.seeds import over_seeds
from results.ties import tied_with_better
from results.trial import Trial

if TYPE_CHECKING:
    from nas.api.search_run import SearchRun
    from nas.engine.acquisition import SurrogateCorrelation

MB = 1e6
CHOSEN_BY = "chosen by %"
PRIORITIES = {
    "GMACs": 1,
    "predicted ms": 1,
    "memory MB": 1,
    "accuracy %": 1,
    CHOSEN_BY: 2,
    "params M": 2,
    "95 %": 3,
    "trained": 3,
    "over seeds %": 3,
    "interval ms": 4,
    "tied": 4,
    "input px": 5,
    "tiles": 5,
    "levels": 7,
    "GFLOPs 2x": 7,
}
"""Which columns of the front stay where the terminal is narrow; the other scores come after these of 5."""
OTHER_PRIORITY = 6
_HELD_OUT = "held_out_"


def print_summary(run: SearchRun) -> None:
    """Prints the front, the rank correlations, the counts of trials, what was trained on, and the next command."""
    table, members = run.table, records.front(run.table)
    console = Screen(soft_wrap=True)
    console.print(f"ended: {run.ending}")
    unfinished, nothing = run.unfinished, run.nothing_found
    if nothing is not None:
        console.print(nothing.line())
        members = members.head(0)
    elif not members.empty:
        print_front(members, table, run.objectives)
        for line in _remarks(members):
            console.print(line)
    if unfinished is not None:
        console.print(unfinished.line(_again(run)))
    lines = (
        *map(rung_correlation_line, run.rung_correlations),
        *audit_lines(run.audit_correlation),
        *surrogate_line(run.surrogate_correlation),
        *pretrained_line(run),
        *inheritance_line(run),
        *accounting(table),
    )
    for line in lines:
        console.print(line)
    if run.finished:
        print_finished(run)
        return
    if members.empty:
        if nothing is None:
            console.print(_without_front(run))
        return
    first = run.folder / "front" / member_file(1, members["key"].iloc[0])
    data = "".join(f" {shlex.quote(word)}" for word in run.config.data_words())
    console.print(f"front:  {run.folder / 'front'}\nnext:   nas train {first}{data}{plugins.options()}")


def _without_front(run: SearchRun) -> str:
    """Says why there is no front, and what to do."""
    failed = run.table[run.table["outcome"] == "failed"]
    if len(failed) and not run.table["outcome"].isin(["complete", "stopped"]).any():
        reason = str(failed["reason"].iloc[-1])
        path = run.folder / records.TRIALS_CSV
        return f"all trials failed, the last with: {reason}; next: correct the cause; {path} has the reasons of all"
    return f"no trial was completed, so there is no front; next: {_again(run)}"


def _again(run: SearchRun) -> str:
    """Returns the command that goes on with a run."""
    is_interrupted = run.ending is not None and run.ending.is_interrupted
    more = "--trials" if run.config.trials is not None else "--minutes"
    return f"nas run --resume {run.folder}{plugins.options()}" + ("" if is_interrupted else f" with more {more}")


def accounting(table: pd.DataFrame) -> list[str]:
    """Returns the number of trials by outcome, and the share that was over budget."""
    counts = records.tally(table)
    parts = " + ".join(f"{counts[outcome]} {outcome}" for outcome in records.OUTCOMES)
    share = counts["rejected"] / counts["asked"] if counts["asked"] else 0.0
    return [f"trials: {counts['asked']} = {parts}; {100 * share:.1f} % were rejected for their cost"]


def surrogate_line(surrogate: SurrogateCorrelation | None) -> list[str]:
    """Says how well the surrogate ranks the evaluated trials."""
    if surrogate is None:
        return []
    if surrogate.tau != surrogate.tau:
        return []
    trust = "trusted" if surrogate.trusted else "not trusted: TPE and neighbours of the front take turns"
    trust = trust if surrogate.num_points >= MIN_POINTS else f"{MIN_POINTS} are needed to judge it"
    return [
        f"surrogate rank correlation: Kendall's tau {surrogate.tau:+.2f} on {surrogate.num_points} trials, "
        f"leave-one-out; {trust}"
    ]


def pretrained_line(run: SearchRun) -> list[str]:
    """Says how much the trials took from pretrained weights; nothing for a run without such weights."""
    if run.config.pretrained is None:
        return []
    started = [trial for trial in records.trials_of(run.table) if trial.pretrained_params is not None]
    if not started:
        return [f"pretrained weights: no trial has started from {run.config.pretrained} yet"]
    params = statistics.mean(trial.pretrained_params or 0.0 for trial in started)
    macs = statistics.mean(trial.pretrained_macs or 0.0 for trial in started)
    without = sum(not trial.pretrained_macs for trial in started)
    took = f"; {without} took nothing, for the reasons in {records.TRIALS_CSV}" if without else ""
    return [
        f"pretrained weights: {counted(len(started), 'trial')} started from {run.config.pretrained}; on average "
        f"{100 * params:.0f} % of the parameters and {100 * macs:.0f} % of the multiply-adds came from there{took}"
    ]


def inheritance_line(run: SearchRun) -> list[str]:
    """Says how much the trials took from their donors; nothing for a run without inheritance."""
    if run.config.inherit == "none":
        return []
    first = [
        trial
        for trial in records.trials_of(run.table)
        if trial.images_in_all and trial.rung == 1 and not trial.is_repetition
    ]
    inherited = [trial for trial in first if trial.inherited_macs]
    if not inherited:
        return ["inheritance: no trial has started from a donor yet"]
    macs = statistics.mean(trial.inherited_macs or 0.0 for trial in inherited)
    failed = sum(trial.inherited_macs == 0 for trial in first)
    took = f"; {failed} took nothing from theirs, for the reasons in {records.TRIALS_CSV}" if failed else ""
    return [
        f"inheritance: {len(inherited)} of {counted(len(first), 'trial')} on the first rung started from a donor; on "
        f"average {100 * macs:.0f} % of the multiply-adds have usable weights from there{took}"
    ]


def print_front(members: pd.DataFrame, table: pd.DataFrame, objectives: Sequence[str]) -> None:
    """Prints the front, the best in the first accuracy first."""
    found = records.trials_of(members)
    columns = _columns(found, members, records.trials_of(table), objectives)
    rows = []
    for rank, member in enumerate(found, start=1):
        name = Path(member_file(rank, member.key)).stem
        rows.append((name, *(columns[each][rank - 1] for each in columns), str(member.origin)))
    stage = found[0].stage
    what = f"the trials after {stage} that no other of them" if stage else "the complete trials that no other trial"
    say(f"front: {what} dominates")
    titles = (numbers(title, priority=PRIORITIES.get(title, OTHER_PRIORITY)) for title in columns)
    origin = Column("origin", priority=OTHER_PRIORITY)
    print_table((Column("architecture", is_name=True), *titles, origin), rows)


def _columns(
    found: Sequence[Trial], members: pd.DataFrame, trials: Sequence[Trial], objectives: Sequence[str]
) -> dict[str, list[str]]:
    """Returns the cells of the front by the title of their column."""
    columns = {"trained": [each.stage for each in found]} if found[0].stage else {}
    columns |= {"input px": [f"{each.input_width}x{each.input_height}" for each in found]}
    if any("tiles" in each.axes for each in found):
        columns["tiles"] = [each.axes.get("tiles", "1") for each in found]
    columns |= {
        "levels": [" ".join(each.levels) for each in found],
        "GMACs": [f"{each.macs / 1e9:.4f}" for each in found],
        "GFLOPs 2x": [f"{2 * each.macs / 1e9:.4f}" for each in found],
        "params M": [f"{each.params / 1e6:.3f}" for each in found],
    }
    if "memory_bytes" in objectives:
        columns["memory MB"] = [f"{each.memory_bytes / MB:.2f}" for each in found]
    if any(each.latency_ms is not None for each in found):
        columns["predicted ms"] = [f"{each.latency_ms:.1f}" for each in found]
        columns["interval ms"] = [f"{each.latency_low_ms:.1f}-{each.latency_high_ms:.1f}" for each in found]
    where = _HELD_OUT if _is_held_out(members) else ""
    if where:
        columns[CHOSEN_BY] = [percent(each.accuracy) for each in found]
    columns["accuracy %"] = [percent(each.value(f"{where}accuracy")) for each in found]
    if any("accuracy_low" in each.scores for each in found):
        ends = [(each.value(f"{where}accuracy_low"), each.value(f"{where}accuracy_high")) for each in found]
        columns["95 %"] = [f"{percent(low)}-{percent(high)}" for low, high in ends]
    for name, title in SCORES:
        columns[f"{title} %"] = [percent(each.value(where + name)) for each in found]
    for name in objectives:
        if records.BIN_COLUMN.fullmatch(name):
            columns[f"{name} %"] = [percent(each.value(name)) for each in found]
    seeds = [over_seeds(each, trials) for each in found]
    if any(len(each) > 1 for each in seeds):
        columns["over seeds %"] = [_mean_and_deviation(each) for each in seeds]
    if any(tied_with_better(members)):
        columns["tied"] = ["~" if better else "" for better in tied_with_better(members)]
    return columns


def _is_held_out(members: pd.DataFrame) -> bool:
    """Whether all members have scores on the images that are held out."""
    column = f"{_HELD_OUT}accuracy"
    return column in members.columns and bool(members[column].notna().all())


def _mean_and_deviation(values: Sequence[float]) -> str:
    if len(values) < 2:
        return "-"
    return f"{percent(statistics.mean(values))} ± {percent(statistics.stdev(values))} ({len(values)})"


def _remarks(members: pd.DataFrame) -> list[str]:
    remarks = []
    if _is_held_out(members):
        remarks.append(
            "accuracy and APs: on the validation images that are held out; chosen by: the accuracy on the others, by "
            "which the members are ordered"
        )
    if members["accuracy_low"].notna().any():
        remarks.append(
            "95 %: bootstrap interval over the validation images; the variance between trainings is not included"
        )
    if any(tied_with_better(members)):
        remarks.append("~: not distinguishable from a more accurate member on these images (paired bootstrap, 90 %)")
    return remarks
