"""What a run ends with: the front, how far it can be trusted, and the accounting."""

from __future__ import annotations

import shlex
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from nas import plugins
from nas.commands.display import counted, say
from nas.commands.run_display import SCORES, percent
from nas.commands.screen import Screen
from nas.commands.table import Column, numbers, print_table
from nas.config import BUDGETS
from nas.engine.acquisition import MIN_POINTS
from nas.engine.ladder import MIN_PAIRS
from results import records
from results.export import member_file
from results.ties import tied_with_better

if TYPE_CHECKING:
    from nas.engine.acquisition import SurrogateCorrelation
    from nas.engine.ladder import RungCorrelation
    from nas.engine.session import Session

MB = 1e6
PRIORITIES = {
    "GMACs": 1,
    "predicted ms": 1,
    "memory MB": 1,
    "accuracy %": 1,
    "params M": 2,
    "95 %": 3,
    "over seeds %": 3,
    "interval ms": 4,
    "tied": 4,
    "input px": 5,
    "levels": 7,
    "GFLOPs 2x": 7,
}
"""Which columns of the front stay where the terminal is narrow; the other scores come after these of 5."""
OTHER_PRIORITY = 6


def print_summary(
    session: Session,
    table: pd.DataFrame,
    agreements: Sequence[RungCorrelation],
    surrogate: SurrogateCorrelation | None,
    ending: str,
) -> None:
    """Prints the front, how the rungs agreed, the accounting, and what to type next."""
    path, members = session.folder.path, records.front(table)
    console = Screen(soft_wrap=True)
    console.print(f"ended: {ending}")
    if not members.empty:
        print_front(members, table, [each.name for each in session.objectives])
        for line in _remarks(members):
            console.print(line)
    for line in (*map(agreement_line, agreements), *surrogate_line(surrogate), *accounting(table)):
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


def agreement_line(agreement: RungCorrelation) -> str:
    """Says how a rung ranked those that went on to the next one."""
    low = f"rung {agreement.rung}" if agreement.rung else "the proxy"
    head = f"{low} against rung {agreement.rung + 1}: "
    if agreement.num_trials < 2:
        return f"{head}{counted(agreement.num_trials, 'trial')} on both, too few for a rank correlation"
    if agreement.tau != agreement.tau:
        return f"{head}all of {agreement.num_trials} trials are equal on one of them, so there is no rank correlation"
    counts = "" if agreement.tau_counts is None else f", of activation bytes {agreement.tau_counts:+.2f}"
    trust = "trusted" if agreement.trusted else "not trusted, all trials went on since"
    trust = trust if agreement.num_trials >= MIN_PAIRS else f"not judged below {MIN_PAIRS}"
    return f"{head}Kendall's tau {agreement.tau:+.2f}{counts} on {agreement.num_trials} trials; {trust}"


def surrogate_line(surrogate: SurrogateCorrelation | None) -> list[str]:
    """Says how well the strategy guessed accuracies."""
    if surrogate is None:
        return []
    if surrogate.tau != surrogate.tau:
        return []
    trust = "trusted" if surrogate.trusted else "not trusted: TPE and neighbours of the front take turns"
    trust = trust if surrogate.num_points >= MIN_POINTS else f"not judged below {MIN_POINTS}"
    return [
        f"guess of accuracies: Kendall's tau {surrogate.tau:+.2f} on {surrogate.num_points} trials, each guessed from "
        f"the others; {trust}"
    ]


def print_front(members: pd.DataFrame, table: pd.DataFrame, objectives: Sequence[str]) -> None:
    """Prints the front, the best in the first accuracy first."""
    columns = _columns(members, table, objectives)
    rows = []
    for rank, row in enumerate(members.to_dict("records"), start=1):
        name = Path(member_file(rank, row["key"])).stem
        rows.append((name, *(columns[each][rank - 1] for each in columns), str(row["origin"])))
    say("front: no other trial is as good in every objective and better in one")
    titles = (numbers(title, priority=PRIORITIES.get(title, OTHER_PRIORITY)) for title in columns)
    came_from = Column("came from", priority=OTHER_PRIORITY)
    print_table((Column("architecture", is_name=True), *titles, came_from), rows)


def _columns(members: pd.DataFrame, table: pd.DataFrame, objectives: Sequence[str]) -> dict[str, list[str]]:
    """Returns the cells of the front by the title of their column."""
    rows = members.to_dict("records")
    columns = {
        "input px": [f"{row['input_width']}x{row['input_height']}" for row in rows],
        "levels": [str(row["levels"]) for row in rows],
        "GMACs": [f"{row['macs'] / 1e9:.4f}" for row in rows],
        "GFLOPs 2x": [f"{2 * row['macs'] / 1e9:.4f}" for row in rows],
        "params M": [f"{row['params'] / 1e6:.3f}" for row in rows],
    }
    if "memory_bytes" in objectives:
        columns["memory MB"] = [f"{row['memory_bytes'] / MB:.2f}" for row in rows]
    if members["latency_ms"].notna().any():
        columns["predicted ms"] = [f"{row['latency_ms']:.1f}" for row in rows]
        columns["interval ms"] = [f"{row['latency_low_ms']:.1f}-{row['latency_high_ms']:.1f}" for row in rows]
    columns["accuracy %"] = [percent(row["accuracy"]) for row in rows]
    if members["accuracy_low"].notna().any():
        columns["95 %"] = [f"{percent(row['accuracy_low'])}-{percent(row['accuracy_high'])}" for row in rows]
    for name, title in (*SCORES, *((name, name) for name in objectives if records.BIN_COLUMN.fullmatch(name))):
        columns[f"{title} %"] = [percent(row[name]) for row in rows]
    seeds = [over_seeds(row, table) for row in rows]
    if any(len(each) > 1 for each in seeds):
        columns["over seeds %"] = [_mean_and_deviation(each) for each in seeds]
    if any(tied_with_better(members)):
        columns["tied"] = ["~" if better else "" for better in tied_with_better(members)]
    return columns


def over_seeds(member: Mapping[Any, Any], table: pd.DataFrame) -> list[float]:
    """Returns the accuracies of a member of the front with all seeds that it was trained with."""
    again = table[(table["repeat_of"] == member["number"]).fillna(False).astype(bool)]
    whole = again[(again["rung"] == again["rungs"]) & (again["outcome"] == "complete")]
    return [float(member["accuracy"]), *map(float, whole["accuracy"])]


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
    session: Session, table: pd.DataFrame, agreements: Sequence[RungCorrelation], surrogate: SurrogateCorrelation | None
) -> dict[str, Any]:
    """Returns what `--json` prints: the accounting, the front and the rungs, counts unrounded."""
    found = records.front(table)
    members = []
    for rank, (row, tied) in enumerate(zip(found.to_dict("records"), tied_with_better(found), strict=True), start=1):
        members.append(_member(session, row, table, rank) | {"tied_with": tied.split()})
    rungs = [
        {
            "rung": each.rung,
            "num_trials": each.num_trials,
            "tau": _plain(each.tau),
            "tau_counts": _plain(each.tau_counts),
            "trusted": each.trusted,
        }
        for each in agreements
    ]
    return {
        "run": str(session.folder.path),
        **records.tally(table),
        **_settings(session),
        "front": members,
        "rungs": rungs,
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


def _member(session: Session, row: Mapping[Any, Any], table: pd.DataFrame, rank: int) -> dict[str, Any]:
    """Returns a member of the front as `--json` shows it."""
    plain = "ap ap50 ap_small accuracy accuracy_low accuracy_high latency_ms latency_low_ms latency_high_ms".split()
    bins = [name for name in row if records.BIN_COLUMN.fullmatch(str(name))]
    return {
        "key": row["key"],
        "path": str(session.folder.path / "front" / member_file(rank, row["key"])),
        "macs": int(row["macs"]),
        "flops_2x": 2 * int(row["macs"]),
        "params": int(row["params"]),
        "memory_bytes": int(row["memory_bytes"]),
        **{name: _plain(row[name]) for name in (*plain, *bins)},
        "accuracy_over_seeds": over_seeds(row, table),
        "input_hw": [int(row["input_height"]), int(row["input_width"])],
    }


def _plain(value: Any) -> float | None:
    """Returns a score as JSON takes it: a missing one is null."""
    return None if value is None or pd.isna(value) else float(value)
