"""What a running search shows: bars in a terminal, one line a trial elsewhere, and a summary at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from nas.executors import INTERRUPTED, Step
from nas.search.loop import Search, num_ended
from results import records
from results.export import member_file

if TYPE_CHECKING:
    from nas.search.session import Session
    from nas.search.study import Asked


def make_display(session: Session, *, to_stderr: bool) -> Display:
    """Prints what is about to happen and returns the display of the run."""
    console = Console(stderr=to_stderr, highlight=False, soft_wrap=True)
    for line in (*_introduction(session), *session.notices):
        console.print(line, markup=False)
    return (Bars if console.is_terminal else Display)(session, console)


class Display:
    """Prints one plain line when a trial ends."""

    def __init__(self, session: Session, console: Console) -> None:
        self.session = session
        self.console = console

    @contextmanager
    def following(self, search: Search) -> Iterator[None]:
        """Shows a search while it runs."""
        if search.requeued:
            numbers = ", ".join(map(str, search.requeued))
            self.console.print(f"asking again for the interrupted trials: {numbers}", markup=False)
        yield

    def started(self, asked: Asked) -> None:
        """Is told that the training of a trial begins."""

    def stepped(self, step: Step) -> None:
        """Is told after each step of training."""

    def finished(self, row: dict[str, Any], rows: list[dict[str, Any]]) -> None:
        """Prints the trial that ended."""
        self.console.print(f"{trial_line(row)} | {standing(rows)}", markup=False)


class Bars(Display):
    """Shows two bars: the run, and the training of the current trial."""

    def __init__(self, session: Session, console: Console) -> None:
        super().__init__(session, console)
        config = session.config
        self._bars = Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"), console=console
        )
        self._run = self._bars.add_task("run", total=config.trials or (config.minutes or 0) * 60, note="")
        self._trial = self._bars.add_task("trial", total=1, note="")
        self._rows: list[dict[str, Any]] = []
        self._elapsed: Callable[[], float] = lambda: 0.0

    @contextmanager
    def following(self, search: Search) -> Iterator[None]:
        """Shows the bars while the search runs."""
        self._elapsed = lambda: search.elapsed_seconds
        self._rows = search.study.rows()
        with super().following(search), self._bars:
            yield

    def started(self, asked: Asked) -> None:
        """Empties the bar of the trial."""
        assert asked.candidate is not None
        note = f"{asked.origin}, {asked.candidate.cost.gmacs:.3f} GMACs"
        self._bars.reset(self._trial, description=f"trial {asked.number}", note=note)

    def stepped(self, step: Step) -> None:
        """Moves both bars."""
        note = f"step {step.step}/{step.num_steps}, loss {step.loss:.2f}"
        self._bars.update(self._trial, total=step.num_steps, completed=step.step, note=note)
        self._move_run()

    def finished(self, row: dict[str, Any], rows: list[dict[str, Any]]) -> None:
        """Prints the trial above the bars."""
        self._rows = rows
        if row["outcome"] != "rejected":
            self.console.print(trial_line(row), markup=False)
        self._move_run()

    def _move_run(self) -> None:
        config, spent, done = self.session.config, self._elapsed(), num_ended(self._rows)
        if config.trials is not None:
            left = spent / done * (config.trials - done) if done else None
            completed = float(done)
        else:
            left, completed = (config.minutes or 0) * 60 - spent, spent
        time_left = "" if left is None else f", {_clock(left)} left"
        self._bars.update(self._run, completed=completed, note=standing(self._rows) + time_left)


def _introduction(session: Session) -> list[str]:
    """Says what is searched, on what, for how long."""
    config = session.config
    limits = []
    if config.budget_gflops is not None:
        limits.append(f"{config.budget_gflops:g} GFLOPs (= GMACs, fvcore; {2 * config.budget_gflops:g} GFLOPs at 2x)")
    if config.budget_params_m is not None:
        limits.append(f"{config.budget_params_m:g} million parameters")
    if config.budget_latency_ms is not None:
        limits.append(f"{config.budget_latency_ms:g} ms at the upper end of the {100 * config.confidence:g} % interval")
    ends = [f"{config.trials} trials"] if config.trials else []
    ends += [f"{config.minutes:g} minutes"] if config.minutes else []
    return [
        f"budget: {' and '.join(limits)}",
        *_device(session),
        f"data:   {session.splits.source}",
        f"search: until {' or '.join(ends)}, epochs a trial: {config.epochs:g}, batch {config.batch}, "
        f"seed {config.seed}, {len(session.gate.space.axes)} axes, {len(session.starts)} named designs to start from",
        f"folder: {session.folder.path} (go on after a stop: nas run --resume {session.folder.path})",
    ]


def _device(session: Session) -> list[str]:
    """Says what latency is predicted for, and that it is not measured."""
    device = session.gate.device
    if device is None:
        return []
    profile = device.profile
    return [
        f"device: {profile.name}: {profile.board}, {profile.runtime}, {profile.precision}, batch 1; latencies are "
        f"predicted, not measured; objective: accuracy against {session.config.objective}"
    ]


def trial_line(row: dict[str, Any]) -> str:
    """Says in one line what became of a trial."""
    size = (
        f"{row['input_width']}x{row['input_height']} px, {row['macs'] / 1e9:.3f} GMACs"
        if "macs" in row
        else "no network"
    )
    if row.get("latency_ms") is not None:
        size += f", {row['latency_ms']:.1f} ms (to {row['latency_high_ms']:.1f})"
    head = f"trial {row['number']:>3} {row['outcome']:<8} {row['origin']}: {size}"
    if row.get("accuracy") is not None:
        scores = ", ".join(f"{title} {_percent(row.get(name))} %" for name, title in SCORES)
        return f"{head}, {scores}, {row['seconds']:.1f} s"
    return f"{head}, {row.get('reason', '')}"


def standing(rows: list[dict[str, Any]]) -> str:
    """Says in a few words how the search stands."""
    table = records.frame(rows)
    members = records.front(table)
    begun = f"{num_ended(rows)} done, {records.tally(table)['rejected']} rejected"
    if members.empty:
        return f"{begun}, no front yet"
    return f"{begun}, {len(members)} on the front, best accuracy {_percent(members['accuracy'].iloc[0])} %"


WIDTH, LATENCY_WIDTH = 140, 30
"""Columns that the table of the front and its latencies take, whatever the terminal says: a cut number is no number."""
SCORES = (("ap", "AP"), ("ap50", "AP50"), ("ap_small", "AP_small"))
FRONT_SCORES = (("accuracy", "accuracy"), *SCORES)


def print_summary(session: Session, table: pd.DataFrame, ending: str) -> None:
    """Prints the front, the accounting, and what to type next."""
    path, members = session.folder.path, records.front(table)
    width = WIDTH + LATENCY_WIDTH * (session.gate.device is not None)
    console = Console(highlight=False, soft_wrap=True, width=max(Console().width, width))
    if ending == INTERRUPTED:
        console.print(f"interrupted; next: nas run --resume {path}", markup=False)
    else:
        console.print(f"ended: {ending}", markup=False)
    if not members.empty:
        console.print(front_table(members))
    counts = records.tally(table)
    parts = " + ".join(f"{counts[outcome]} {outcome}" for outcome in records.OUTCOMES)
    console.print(f"{counts['asked']} asked = {parts}")
    if members.empty:
        console.print(
            f"no trial was completed, so there is no front; next: nas run --resume {path} with more --minutes"
        )
        return
    first = path / "front" / member_file(1, members["key"].iloc[0])
    data = f" --data {session.config.data}" if session.config.data else ""
    data += f" --split {session.config.split}" if session.config.split else ""
    console.print(f"front:  {path / 'front'}\nnext:   nas train {first}{data}", markup=False)


def front_table(members: pd.DataFrame) -> Table:
    """Lays the front out, by the accuracy that the search maximised."""
    table = Table(
        title="front: no other trial is both more accurate and cheaper", box=SIMPLE_HEAD, padding=(0, 1, 0, 0)
    )
    table.add_column("architecture", no_wrap=True)
    timed = members["latency_ms"].notna().any()
    latency = ("predicted ms", "interval ms") if timed else ()
    for name in (
        "input px",
        "levels",
        "GMACs",
        "GFLOPs 2x",
        "params M",
        *latency,
        *(f"{title} %" for _, title in FRONT_SCORES),
    ):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("came from", no_wrap=True)
    for rank, row in enumerate(members.to_dict("records"), start=1):
        table.add_row(
            Path(member_file(rank, row["key"])).stem,
            f"{row['input_width']}x{row['input_height']}",
            str(row["levels"]),
            f"{row['macs'] / 1e9:.4f}",
            f"{2 * row['macs'] / 1e9:.4f}",
            f"{row['params'] / 1e6:.3f}",
            *_milliseconds(row, bool(timed)),
            *(_percent(row[name]) for name, _ in FRONT_SCORES),
            str(row["origin"]),
        )
    return table


def _milliseconds(row: Mapping[Any, Any], timed: bool) -> tuple[str, ...]:
    if not timed:
        return ()
    return (f"{row['latency_ms']:.1f}", f"{row['latency_low_ms']:.1f}-{row['latency_high_ms']:.1f}")


def _percent(value: Any) -> str:
    return "-" if value is None or pd.isna(value) else f"{100 * value:.2f}"


def _clock(seconds: float) -> str:
    return f"{max(0, int(seconds)) // 60}:{max(0, int(seconds)) % 60:02d}"
