"""What a running search shows: bars in a terminal, one line a trial elsewhere, and a summary at the end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from rich.progress import BarColumn, Progress, TextColumn

from nas import plugins
from nas.api.events import (
    FinishEnded,
    FinishStarted,
    FinishStep,
    RunOpened,
    RunStarted,
    SearchEvent,
    TrainingStep,
    TrialFinished,
    TrialStarted,
)
from nas.api.executor_options import executor_words
from nas.commands.display import counted
from nas.commands.screen import Screen
from nas.engine.loop import num_ended
from nas.engine.time_plan import MAX_FINISH_EPOCHS
from results import records
from results.trial import Outcome

if TYPE_CHECKING:
    from nas.engine.time_plan import TimePlan
    from nas.reports.finished_member import FinishedMember
    from results.trial import Trial

SCORES = (("ap", "AP"), ("ap50", "AP50"), ("ap_small", "AP_small"))
"""The columns of a record that are shown with every trial, and what they are called."""


def make_display(*, to_stderr: bool) -> Display:
    """Returns what shows a run: bars in a terminal, else lines."""
    console = Screen(stderr=to_stderr, soft_wrap=True)
    return (Bars if console.is_terminal else Display)(console)


class Display:
    """Prints what is about to happen, notices, and one plain line when a trial ends. Its context is a run."""

    def __init__(self, console: Screen) -> None:
        self.console = console
        self.folder: Path | None = None
        """Of the run, once it has one."""

    def __enter__(self) -> Display:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def __call__(self, event: SearchEvent) -> None:
        """Shows an event of the search."""
        match event:
            case RunStarted():
                self.folder = event.folder
                self.began(event)
            case TrialFinished():
                self.finished(event)
            case FinishStarted():
                self.console.print(started_line(event))
            case FinishEnded():
                self.console.print(finished_line(event.member))

    def notice(self, line: str) -> None:
        """Prints a line that the user should read."""
        self.console.print(line)

    def began(self, event: RunStarted) -> None:
        """Says what is searched."""
        for line in _introduction(event):
            self.console.print(line)

    def finished(self, event: TrialFinished) -> None:
        """Prints the trial that ended."""
        self.console.print(f"{trial_line(event.trial)} | {standing(event.trials)}")


class Bars(Display):
    """Shows two bars: the run, and the training of the current trial."""

    def __init__(self, console: Screen) -> None:
        super().__init__(console)
        self._bars = Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"), console=console
        )
        self._max_trials: int | None = None
        self._search_seconds = 0.0
        self._batch = 0
        self._firsts: dict[int, TrainingStep] = {}
        """By number of the trial: the step from which its rate is measured."""
        self._trials: Sequence[Trial] = ()

    def __exit__(self, *error: object) -> None:
        self._bars.stop()

    def __call__(self, event: SearchEvent) -> None:
        """Shows an event of the search."""
        match event:
            case RunOpened():
                self.opened(event)
            case TrialStarted():
                self.started(event)
            case TrainingStep():
                self.stepped(event)
            case FinishStarted():
                self.finish_started(event)
            case FinishStep():
                self.finish_stepped(event)
            case _:
                super().__call__(event)

    def began(self, event: RunStarted) -> None:
        """Says what is searched, and makes the bars."""
        super().began(event)
        self._max_trials, self._batch = event.config.trials, event.config.batch
        self._search_seconds = 60 * (event.config.minutes or 0) if event.plan is None else event.plan.search_seconds
        self._run = self._bars.add_task("run", total=self._max_trials or self._search_seconds, note="")
        self._trial = self._bars.add_task("trial", total=1, note="")

    def opened(self, event: RunOpened) -> None:
        """Shows the bars."""
        self._trials = event.trials
        self._bars.start()

    def started(self, event: TrialStarted) -> None:
        """Empties the bar of the trial."""
        origin = event.origin if event.audit_of is None else f"audit of {event.audit_of}"
        note = f"{origin}{_rung(event.rung, event.num_rungs)}, {event.gmacs:.3f} GMACs"
        self._bars.reset(self._trial, description=f"trial {event.number}", note=note)

    def stepped(self, event: TrainingStep) -> None:
        """Moves both bars."""
        first = self._firsts.setdefault(event.number, event)
        spent, images = event.run_seconds - first.run_seconds, (event.step - first.step) * self._batch
        rate = images / spent if spent > 0 and images else None
        left = (event.num_steps - event.step) * self._batch / rate if rate else None
        note = f"step {event.step}/{event.num_steps}, loss {event.loss:.2f}{_pace(rate, left)}"
        self._bars.update(self._trial, total=event.num_steps, completed=event.step, note=note)
        self._move_run(event.run_seconds)

    def finished(self, event: TrialFinished) -> None:
        """Prints the trial above the bars."""
        self._trials = event.trials
        self._firsts.pop(event.trial.number, None)
        if event.trial.outcome is not Outcome.REJECTED:
            self.console.print(trial_line(event.trial))
        self._move_run(event.run_seconds)

    def finish_started(self, event: FinishStarted) -> None:
        """Prints which member is trained on, and empties the bar of the trial."""
        super().__call__(event)
        note = f"member {event.rank} of {event.num_members}"
        self._bars.update(self._run, description="finish", total=event.num_members, completed=event.rank - 1, note=note)
        self._bars.reset(self._trial, description=event.name, note="")

    def finish_stepped(self, event: FinishStep) -> None:
        """Moves the bar of the training."""
        pace = _pace(event.images_per_second, event.seconds_left)
        note = f"step {event.step}/{event.num_steps}, loss {event.loss:.2f}{pace}"
        self._bars.update(self._trial, total=event.num_steps, completed=event.step, note=note)

    def _move_run(self, spent: float) -> None:
        done = num_ended(self._trials)
        if self._max_trials is not None:
            left = spent / done * (self._max_trials - done) if done else None
            completed = float(done)
        else:
            left, completed = self._search_seconds - spent, spent
        time_left = "" if left is None else f", {_clock(left)} left"
        self._bars.update(self._run, completed=completed, note=standing(self._trials) + time_left)


def _introduction(event: RunStarted) -> list[str]:
    """Says what is searched, on what, for how long."""
    config = event.config
    limits = config.limit_words()
    rungs = " and ".join(f"{each:g}" for each in config.rungs)
    rungs = "rungs by the measured speed" if event.measures_speed else f"rungs of {rungs} epochs"
    objectives = " against ".join(config.objective)
    ends = [counted(config.trials, "trial")] if config.trials else []
    searched = "" if event.plan is None else f"{event.plan.search_seconds / 60:.3g} of "
    ends += [f"{searched}{config.minutes:g} minutes"] if config.minutes else []
    ends[-1] += "" if config.trial_minutes is None else f", at most {config.trial_minutes:g} minutes for each trial"
    fixed = f" and {event.num_fixed_axes} fixed" if event.num_fixed_axes else ""
    return [
        f"budget: {' and '.join(limits)}",
        *_device(event),
        f"data:   {event.data_source}" + (", half of val held out" if config.holdout == "yes" else ""),
        *([] if event.plan is None else [plan_line(event.plan)]),
        f"search: {objectives}, strategy {config.strategy}, limit {' or '.join(ends)}, {rungs}, batch "
        f"{config.batch}, seed {config.seed}, {executor_words(config)}"
        + (", weights from donors" if config.inherit == "donor" else ""),
        f"space:  {counted(event.num_axes, 'axis', 'axes')}{fixed}, head {' or '.join(event.heads)}, "
        f"{counted(event.num_starts, 'architecture')} to start from",
        f"folder: {event.folder} (to resume: nas run --resume {event.folder}{plugins.options()})",
    ]


def _device(event: RunStarted) -> list[str]:
    """Says what latency is predicted for, and that it is not measured."""
    profile = event.profile
    if profile is None:
        return []
    return [
        f"device: {profile.name}: {profile.board}, {profile.runtime}, {profile.precision}, batch 1; latencies are "
        "predicted, not measured"
    ]


def plan_line(plan: TimePlan) -> str:
    """Says how the time of a run is divided."""
    is_one = plan.num_members == 1
    best = "the best member" if is_one else f"the best {plan.num_members} members"
    each = "" if is_one else f"{_duration(plan.member_seconds)} each, "
    return (
        f"plan:   {_duration(plan.total_seconds)} in all: {_duration(plan.search_seconds)} search, "
        f"{_duration(plan.finish_seconds)} training of {best} ({each}at most "
        f"{MAX_FINISH_EPOCHS:g} epochs), {_duration(plan.evaluation_seconds)} evaluation and export"
    )


def started_line(event: FinishStarted) -> str:
    """Says that the training of a member begins."""
    how = "resuming the training of" if event.epochs is None else f"training for {event.epochs:.3g} epochs:"
    return f"finish {event.rank} of {event.num_members}: {how} {event.name}"


def finished_line(member: FinishedMember) -> str:
    """Says what became of a member that was trained on."""
    scores = ", ".join(f"{title} {percent(member.scores.get(name))} %" for name, title in SCORES)
    return (
        f"finished {member.name}: {scores} on {member.num_images} {_part(member)} images; {member.epochs:.3g} epochs, "
        f"{member.seconds:.1f} s"
    )


def trial_line(trial: Trial) -> str:
    """Says in one line what became of a trial."""
    tiles = trial.axes.get("tiles", "1")
    cut = "" if tiles == "1" else f" in {tiles} tiles"
    size = f"{trial.input_width}x{trial.input_height} px{cut}, {trial.macs / 1e9:.3f} GMACs"
    if trial.latency_ms is not None and trial.latency_high_ms is not None:
        size += f", {trial.latency_ms:.1f} ms (to {trial.latency_high_ms:.1f})"
    rung = _rung(trial.rung, trial.rungs)
    origin = trial.origin if trial.audit_of is None else f"audit of {trial.audit_of}"
    head = f"trial {trial.number:>3} {trial.outcome.value:<8} {origin}{rung}: {size}"
    if trial.accuracy is not None:
        scores = ", ".join(f"{title} {percent(trial.value(name))} %" for name, title in SCORES)
        return f"{head}, {scores}, {trial.seconds or 0.0:.1f} s"
    if trial.value("proxy") is not None:
        return f"{head}, proxy {trial.value('proxy'):.6g}, {trial.seconds or 0.0:.1f} s"
    return f"{head}, {trial.reason}"


def _rung(rung: int, rungs: int) -> str:
    """Says on which rung a trial is, where there are several."""
    return f" rung {rung}/{rungs}" if rungs > 1 or not rung else ""


def standing(trials: Sequence[Trial]) -> str:
    """Says in a few words how far the search is."""
    table = records.frame(trials)
    members = records.front(table)
    begun = f"{num_ended(trials)} done, {records.tally(table)['rejected']} rejected"
    if members.empty:
        return f"{begun}, no front yet"
    if members["accuracy"].eq(0).all():
        return f"{begun}, none detects an object yet"
    return f"{begun}, {len(members)} on the front, best accuracy {percent(members['accuracy'].iloc[0])} %"


def percent(value: Any) -> str:
    """Returns a share as percent, a missing one as a dash."""
    return "-" if value is None or pd.isna(value) else f"{100 * value:.2f}"


def _pace(images_per_second: float | None, seconds_left: float | None) -> str:
    """Says how fast a training is and how long it will take, as far as it is known."""
    rate = "" if images_per_second is None else f", {images_per_second:.1f} images/s"
    return rate + ("" if seconds_left is None else f", {_clock(seconds_left)} left")


def _clock(seconds: float) -> str:
    return f"{max(0, int(seconds)) // 60}:{max(0, int(seconds)) % 60:02d}"


def _part(member: FinishedMember) -> str:
    return "held-out" if member.scored_on == "held-out" else "validation"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.3g} min" if seconds < 5400 else f"{seconds / 3600:.3g} h"
