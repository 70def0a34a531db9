"""What a run ends with: the front, how far it can be trusted, and the accounting."""

from __future__ import annotations

import shlex
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.table import Table

from nas import plugins
from nas.commands.display import counted
from nas.commands.run_display import SCORES, percent
from nas.commands.screen import Screen
from nas.config import BUDGETS
from nas.engine.acquisition import MIN_POINTS
from nas.engine.ladder import MIN_PAIRS
from results import records
from results.export import member_file
from results.seeds import over_seeds
from results.ties import tied_with_better
from results.trial import Trial

if TYPE_CHECKING:
    from nas.engine.acquisition import SurrogateCorrelation
    from nas.engine.ending import SearchEnding
    from nas.engine.ladder import RungCorrelation
    from nas.engine.session import Session

WIDTH = 10_000
"""Columns that the table of the front may take, whatever the terminal says: a cut number is none."""
MB = 1e6


def print_summary(
    session: Session,
    table: pd.DataFrame,
    rungs: Sequence[RungCorrelation],
    surrogate: SurrogateCorrelation | None,
    ending: SearchEnding,
) -> None:
    """Prints the front, how the rungs agreed, the accounting, and what to type next."""
    path, members = session.folder.path, records.front(table)
    console = Screen(soft_wrap=True, width=WIDTH)
    console.print(f"ended: {ending}")
    if not members.empty:
        console.print(front_table(members, table, [each.name for each in session.objectives]))
        for line in _remarks(members):
            console.print(line)
    for line in (*map(rung_correlation_line, rungs), *surrogate_line(surrogate), *accounting(table)):
        console.print(line)
    if members.empty:
        console.print(_without_front(session, table))
        return
    first = path / "front" / member_file(1, members["key"].iloc[0])
    data = "".join(f" {shlex.quote(word)}" for word in session.config.data_words())
    console.print(f"front:  {path / 'front'}\nnext:   nas train {first}{data}{plugins.options()}")


def _without_front(session: Session, table: pd.DataFrame) -> str:
    """Says why there is no front, as far as the trials tell, and what to do."""
    failed = table[table["outcome"] == "failed"]
    if len(failed) and not table["outcome"].isin(["complete", "stopped"]).any():
        reason = str(failed["reason"].iloc[-1])
        return (
            f"all trials failed, the last with: {reason}; next: put that right; all are in {session.folder.trials_csv}"
        )
    more = "--trials" if session.config.trials is not None else "--minutes"
    again = f"nas run --resume {session.folder.path}{plugins.options()} with more {more}"
    return f"no trial was completed, so there is no front; next: {again}"


def accounting(table: pd.DataFrame) -> list[str]:
    """Says what became of all trials, and how many asks were over budget."""
    counts = records.tally(table)
    parts = " + ".join(f"{counts[outcome]} {outcome}" for outcome in records.OUTCOMES)
    share = counts["rejected"] / counts["asked"] if counts["asked"] else 0.0
    return [f"{counts['asked']} asked = {parts}; {100 * share:.1f} % of the asks were rejected for their cost"]


def rung_correlation_line(rung: RungCorrelation) -> str:
    """Says how well a rung ranks the trials that were promoted from it."""
    low = f"rung {rung.rung}" if rung.rung else "the proxy"
    head = f"{low} against rung {rung.rung + 1}: "
    if rung.num_trials < 2:
        return f"{head}{counted(rung.num_trials, 'trial')} on both, too few for a rank correlation"
    if rung.tau != rung.tau:
        return f"{head}all of {rung.num_trials} trials are equal on one of them, so there is no rank correlation"
    counts = "" if rung.tau_counts is None else f", of activation bytes {rung.tau_counts:+.2f}"
    trust = "trusted" if rung.trusted else "not trusted, all trials went on since"
    trust = trust if rung.num_trials >= MIN_PAIRS else f"not judged below {MIN_PAIRS}"
    return f"{head}Kendall's tau {rung.tau:+.2f}{counts} on {rung.num_trials} trials; {trust}"


def surrogate_line(surrogate: SurrogateCorrelation | None) -> list[str]:
    """Says how well the surrogate ranks the evaluated trials."""
    if surrogate is None:
        return []
    if surrogate.tau != surrogate.tau:
        return []
    trust = "trusted" if surrogate.trusted else "not trusted: TPE and neighbours of the front take turns"
    trust = trust if surrogate.num_points >= MIN_POINTS else f"not judged below {MIN_POINTS}"
    return [
        f"surrogate rank correlation: Kendall's tau {surrogate.tau:+.2f} on {surrogate.num_points} trials, each "
        f"predicted from the others; {trust}"
    ]


def front_table(members: pd.DataFrame, table: pd.DataFrame, objectives: Sequence[str]) -> Table:
    """Lays the front out, the best in the first accuracy first."""
    shown = Table(
        title="front: no other trial is as good in every objective and better in one",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    shown.add_column("architecture", no_wrap=True)
    found = records.trials_of(members)
    columns = _columns(found, members, records.trials_of(table), objectives)
    for name in columns:
        shown.add_column(name, justify="right", no_wrap=True)
    shown.add_column("came from", no_wrap=True)
    for rank, member in enumerate(found, start=1):
        name = Path(member_file(rank, member.key)).stem
        shown.add_row(name, *(columns[each][rank - 1] for each in columns), str(member.origin))
    return shown


def _columns(
    found: Sequence[Trial], members: pd.DataFrame, trials: Sequence[Trial], objectives: Sequence[str]
) -> dict[str, list[str]]:
    """Returns the cells of the front by the title of their column."""
    columns = {
        "input px": [f"{each.input_width}x{each.input_height}" for each in found],
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
    columns["accuracy %"] = [percent(each.accuracy) for each in found]
    if any("accuracy_low" in each.scores for each in found):
        ends = [(each.value("accuracy_low"), each.value("accuracy_high")) for each in found]
        columns["95 %"] = [f"{percent(low)}-{percent(high)}" for low, high in ends]
    for name, title in (*SCORES, *((name, name) for name in objectives if records.BIN_COLUMN.fullmatch(name))):
        columns[f"{title} %"] = [percent(each.value(name)) for each in found]
    seeds = [over_seeds(each, trials) for each in found]
    if any(len(each) > 1 for each in seeds):
        columns["over seeds %"] = [_mean_and_deviation(each) for each in seeds]
    if any(tied_with_better(members)):
        columns["tied"] = ["~" if better else "" for better in tied_with_better(members)]
    return columns


def _mean_and_deviation(values: Sequence[float]) -> str:
    if len(values) < 2:
        return "-"
    return f"{percent(statistics.mean(values))} ± {percent(statistics.stdev(values))} ({len(values)})"


def _remarks(members: pd.DataFrame) -> list[str]:
    remarks = []
    if members["accuracy_low"].notna().any():
        remarks.append("95 %: of a bootstrap over the validation images; the scatter of training comes on top")
    if any(tied_with_better(members)):
        remarks.append("~: these images cannot tell it from a better one (90 % of the paired draws, accuracy)")
    return remarks


def result(
    session: Session, table: pd.DataFrame, rungs: Sequence[RungCorrelation], surrogate: SurrogateCorrelation | None
) -> dict[str, Any]:
    """Returns what `--json` prints: the accounting, the front and the rungs, counts unrounded."""
    found, trials = records.front(table), records.trials_of(table)
    members = []
    pairs = zip(records.trials_of(found), tied_with_better(found), strict=True)
    for rank, (trial, tied) in enumerate(pairs, start=1):
        members.append(_member(session, trial, trials, rank) | {"tied_with": tied.split()})
    correlations = [
        {
            "rung": each.rung,
            "num_trials": each.num_trials,
            "tau": _plain(each.tau),
            "tau_counts": _plain(each.tau_counts),
            "trusted": each.trusted,
        }
        for each in rungs
    ]
    return {
        "run": str(session.folder.path),
        **records.tally(table),
        **_settings(session),
        "front": members,
        "rungs": correlations,
        "surrogate": None
        if surrogate is None
        else {"tau": _plain(surrogate.tau), "num_trials": surrogate.num_points, "trusted": surrogate.trusted},
    }


def _settings(session: Session) -> dict[str, Any]:
    """Returns what the run was asked for, in the words of its config.yaml; objectives are columns of a member."""
    config = session.config
    asked = ("device", "data", "split", "strategy", "seed", "trials", "minutes")
    return {
        "objectives": list(config.objectives),
        "epochs_of_rungs": list(config.rungs),
        **{name: getattr(config, name) for name in (*BUDGETS, *asked)},
    }


def _member(session: Session, trial: Trial, trials: Sequence[Trial], rank: int) -> dict[str, Any]:
    """Returns a member of the front as `--json` shows it."""
    plain = "ap ap50 ap_small accuracy accuracy_low accuracy_high latency_ms latency_low_ms latency_high_ms".split()
    bins = [name for name in trial.scores if records.BIN_COLUMN.fullmatch(name)]
    return {
        "key": trial.key,
        "path": str(session.folder.path / "front" / member_file(rank, trial.key)),
        "macs": trial.macs,
        "flops_2x": 2 * trial.macs,
        "params": trial.params,
        "memory_bytes": trial.memory_bytes,
        **{name: _plain(trial.value(name)) for name in (*plain, *bins)},
        "accuracy_over_seeds": over_seeds(trial, trials),
        "input_hw": [trial.input_height, trial.input_width],
    }


def _plain(value: Any) -> float | None:
    """Returns a score as JSON takes it: a missing one is null."""
    return None if value is None or pd.isna(value) else float(value)
