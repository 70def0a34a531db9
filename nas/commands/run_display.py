"""What a running search shows: bars in a terminal, one line a trial elsewhere, and a summary at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pandas as pd
from rich.progress import BarColumn, Progress, TextColumn

from nas import plugins
from nas.commands.display import counted
from nas.commands.screen import Screen
from nas.engine.loop import Search, num_ended
from nas.engine.scheduler import TrialIndex
from nas.executors import Step
from results import records
from results.trial import Outcome

if TYPE_CHECKING:
    from nas.api.executor_options import ExecutorOptions
    from nas.engine.search_study import RunningTrial
    from nas.engine.session import Session
    from results.trial import Trial

SCORES = (("ap", "AP"), ("ap50", "AP50"), ("ap_small", "AP_small"))
"""The columns of a record that are shown with every trial, and what they are called."""


def make_display(session: Session, executor_options: ExecutorOptions, *, to_stderr: bool) -> Display:
    """Prints what is about to happen and returns the display of the run."""
    console = Screen(stderr=to_stderr, soft_wrap=True)
    for line in (*_introduction(session, executor_options), *session.notices):
        console.print(line)
    return (Bars if console.is_terminal else Display)(session, console)


class Display:
    """Prints one plain line when a trial ends."""

    def __init__(self, session: Session, console: Screen) -> None:
        self.session = session
        self.console = console

    @contextmanager
    def following(self, search: Search) -> Iterator[None]:
        """Shows a search while it runs."""
        for line in search.notices:
            self.console.print(line, markup=False)
        again = [str(each.number) for each in TrialIndex(search.study.trials(), search.study.running()).interrupted()]
        if again:
            self.console.print(f"asking again for the interrupted trials: {', '.join(again)}")
        yield

    def started(self, running: RunningTrial) -> None:
        """Called when the training of a trial begins."""

    def stepped(self, step: Step) -> None:
        """Called after steps of training."""

    def finished(self, trial: Trial, trials: list[Trial]) -> None:
        """Prints the trial that has ended."""
        self.console.print(f"{trial_line(trial)} | {standing(trials)}")


class Bars(Display):
    """Shows two bars: the run, and the training of the current trial."""

    def __init__(self, session: Session, console: Screen) -> None:
        super().__init__(session, console)
        config = session.config
        self._bars = Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"), console=console
        )
        self._run = self._bars.add_task("run", total=config.trials or (config.minutes or 0) * 60, note="")
        self._trial = self._bars.add_task("trial", total=1, note="")
        self._trials: list[Trial] = []
        self._elapsed: Callable[[], float] = lambda: 0.0

    @contextmanager
    def following(self, search: Search) -> Iterator[None]:
        """Shows the bars while the search runs."""
        self._elapsed = lambda: search.elapsed_seconds
        self._trials = search.study.trials()
        with super().following(search), self._bars:
            yield

    def started(self, running: RunningTrial) -> None:
        """Resets the bar of the trial."""
        spec = running.spec
        rung = _rung(spec.rung, self.session.ladder.last)
        note = f"{spec.origin}{rung}, {spec.candidate.cost.gmacs:.3f} GMACs"
        self._bars.reset(self._trial, description=f"trial {running.number}", note=note)

    def stepped(self, step: Step) -> None:
        """Moves both bars."""
        note = f"step {step.step}/{step.num_steps}, loss {step.loss:.2f}"
        self._bars.update(self._trial, total=step.num_steps, completed=step.step, note=note)
        self._move_run()

    def finished(self, trial: Trial, trials: list[Trial]) -> None:
        """Prints the trial above the bars."""
        self._trials = trials
        if trial.outcome is not Outcome.REJECTED:
            self.console.print(trial_line(trial))
        self._move_run()

    def _move_run(self) -> None:
        config, spent, done = self.session.config, self._elapsed(), num_ended(self._trials)
        if config.trials is not None:
            left = spent / done * (config.trials - done) if done else None
            completed = float(done)
        else:
            left, completed = (config.minutes or 0) * 60 - spent, spent
        time_left = "" if left is None else f", {_clock(left)} left"
        self._bars.update(self._run, completed=completed, note=standing(self._trials) + time_left)


def _introduction(session: Session, executor_options: ExecutorOptions) -> list[str]:
    """Says what is searched, on what, for how long."""
    config, heads = session.config, session.domain.space.axis("head").choices
    limits = config.limit_words()
    rungs = ", ".join(f"{each:g}" for each in config.rungs)
    objectives = " against ".join(each.option for each in session.objectives)
    ends = [counted(config.trials, "trial")] if config.trials else []
    ends += [f"{config.minutes:g} minutes"] if config.minutes else []
    ends[-1] += "" if config.trial_minutes is None else f", each trial within {config.trial_minutes:g} minutes"
    return [
        f"budget: {' and '.join(limits)}",
        *_device(session),
        f"data:   {session.splits.source}",
        f"search: {objectives}, by {config.strategy}, until {' or '.join(ends)}, epochs of each rung: {rungs}, batch "
        f"{config.batch}, seed {config.seed}, {executor_options}",
        f"space:  {_axes(session)}, head {' or '.join(map(str, heads))}, "
        f"{counted(len(session.starts), 'architecture')} to start from",
        f"folder: {session.folder.path} (go on after a stop: nas run --resume {session.folder.path}"
        f"{plugins.options()})",
    ]


def _axes(session: Session) -> str:
    """Says how many axes are searched, and how many the user has fixed."""
    axes = session.domain.space.axes
    fixed = sum(len(axis.choices) == 1 for axis in axes if axis.name != "head")
    return counted(len(axes) - fixed, "axis", "axes") + (f" and {fixed} fixed" if fixed else "")


def _device(session: Session) -> list[str]:
    """Says what latency is predicted for, and that it is not measured."""
    device = session.domain.device
    if device is None:
        return []
    profile = device.profile
    return [
        f"device: {profile.name}: {profile.board}, {profile.runtime}, {profile.precision}, batch 1; latencies are "
        "predicted, not measured"
    ]


def trial_line(trial: Trial) -> str:
    """Says in one line what became of a trial."""
    size = f"{trial.input_width}x{trial.input_height} px, {trial.macs / 1e9:.3f} GMACs"
    if trial.latency_ms is not None and trial.latency_high_ms is not None:
        size += f", {trial.latency_ms:.1f} ms (to {trial.latency_high_ms:.1f})"
    rung = _rung(trial.rung, trial.rungs)
    head = f"trial {trial.number:>3} {trial.outcome.value:<8} {trial.origin}{rung}: {size}"
    if trial.accuracy is not None:
        scores = ", ".join(f"{title} {percent(trial.value(name))} %" for name, title in SCORES)
        return f"{head}, {scores}, {trial.seconds or 0.0:.1f} s"
    if trial.value("proxy") is not None:
        return f"{head}, proxy {trial.value('proxy'):.6g}, {trial.seconds or 0.0:.1f} s"
    return f"{head}, {trial.reason}"


def _rung(rung: int, rungs: int) -> str:
    """Says on which rung a trial is, where there are several."""
    return f" rung {rung}/{rungs}" if rungs > 1 or not rung else ""


def standing(trials: list[Trial]) -> str:
    """Says in a few words how far the search is."""
    table = records.frame(trials)
    members = records.front(table)
    begun = f"{num_ended(trials)} done, {records.tally(table)['rejected']} rejected"
    if members.empty:
        return f"{begun}, no front yet"
    return f"{begun}, {len(members)} on the front, best accuracy {percent(members['accuracy'].iloc[0])} %"


def percent(value: Any) -> str:
    """Returns a share as percent, a missing one as a dash."""
    return "-" if value is None or pd.isna(value) else f"{100 * value:.2f}"


def _clock(seconds: float) -> str:
    return f"{max(0, int(seconds)) // 60}:{max(0, int(seconds)) % 60:02d}"
