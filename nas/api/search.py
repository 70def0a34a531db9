"""Search detectors under a budget: `nas.search`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.api.events import (
    OnSearchEvent,
    RunOpened,
    RunStarted,
    TrainingStep,
    TrialFinished,
    TrialStarted,
)
from nas.api.executor_options import check_executor, open_executor
from nas.api.finish_phase import finish_search, planned_times
from nas.api.result import OnNotice
from nas.api.search_run import SearchRun
from nas.api.tracked_search import TrackedSearch
from nas.api.trained_detector import named_weights
from nas.engine import join_run
from nas.engine.loop import Search
from nas.engine.run_request import RunRequest
from nas.engine.rung_plan import laid
from nas.engine.scheduler import TrialIndex
from nas.engine.session import Session, begin, go_on, open_search
from nas.engine.storage import database_errors
from nas.engine.time_plan import TimePlan, plan_of
from nas.executors import Step
from nas.plugins import use_plugins
from nas.run_folder import read_trials
from nas.setting_forms import described_keywords, signature_of
from nas.settings import RunSettings
from nas.trackers import Tracking, open_trackers, tracker_names
from search_space.errors import ConfigError

if TYPE_CHECKING:
    from nas.engine.search_study import RunningTrial
    from results.trial import Trial


class SearchInterrupted(KeyboardInterrupt):
    """Ctrl-C ended a search; its trials are stored, and `nas.search(resume=...)` resumes it.

    Args:
        run: The run as it is now.
    """

    def __init__(self, run: SearchRun) -> None:
        super().__init__()
        self.run = run


def search(
    data: str | os.PathLike[str] | None = None,
    *,
    resume: str | os.PathLike[str] | None = None,
    join: bool = False,
    plugin: str | Sequence[str] = (),
    on_notice: OnNotice | None = None,
    on_progress: OnSearchEvent | None = None,
    **settings: Any,
) -> SearchRun:
    """Searches detectors under a budget and keeps the best trade-offs of accuracy against cost.

    The cost of every candidate is computed first; candidates over budget are never trained. The search may be killed
    at any time and resumed with `resume`.

        run = nas.search("hit-uav", split="block", budget_gflops=1, minutes=60)
        run.front                                   # a pandas frame
        nas.search(resume=run.folder, minutes=120)

    Args:
        data: Data set in COCO, YOLO, VisDrone, TinyPerson or VOC format; None is the built-in set.
        resume: Folder of a run to resume, possibly with larger totals of trials or minutes.
        join: Whether to join the run `name` in `storage` as another worker.
        plugin: Python files that register blocks, heads, strategies and other parts.
        on_notice: Is called with each line that the user should read.
        on_progress: Is called with each event of `nas.api.events`.
        **settings: The options of `nas run` by their names; see below. A setting that may be repeated takes a single
            value or a sequence, and `fix` and `choices` also a mapping. `pretrained` may be an object that has weights,
            such as a training or a member of a front.

    Returns:
        The run, with its trials and its front.

    Raises:
        UserError: A setting is wrong, the data cannot be used, or no architecture fits the budget.
        SearchInterrupted: Ctrl-C was pressed. It is a KeyboardInterrupt with the run so far.
    """
    use_plugins((plugin,) if isinstance(plugin, str) else plugin)
    if "pretrained" in settings:
        settings["pretrained"] = named_weights(settings["pretrained"])
    request = RunRequest.of(data=data, **settings)
    check_executor(request.settings)
    open_trackers(tracker_names(request.settings.track))  # what is missing is told before anything is written
    session = _session(request, resume, join=join)
    notify = on_notice or (lambda notice: None)
    next_step = f"nas run --resume {session.folder.path}"
    answering = nullcontext() if session.storage is None else database_errors(next_step)
    with Tracking(open_trackers(tracker_names(session.config.track)), notify) as tracking, answering:
        observer = _Observer(TrackedSearch(tracking, on_progress or (lambda event: None)))
        plan = None if join else plan_of(session.config)
        observer.tell(_introduction(session, plan))
        for notice in session.notices:
            notify(notice)
        run = _run(session, plan, observer, notify)
    if run.ending is not None and run.ending.is_interrupted:
        raise SearchInterrupted(run)
    return run


def _session(request: RunRequest, resume: str | os.PathLike[str] | None, *, join: bool) -> Session:
    """Opens a new run, or one that goes on or is joined."""
    if join and resume is not None:
        raise ConfigError("--join does not go with --resume; next: drop one of them")
    if join:
        return join_run.join(request)
    return begin(request) if resume is None else go_on(Path(resume), request)


def _run(session: Session, plan: TimePlan | None, observer: _Observer, notify: OnNotice) -> SearchRun:
    """Runs the search of a session, and the finish that is planned, to the end or to Ctrl-C."""
    with session.folder.locked():
        times = None if plan is None else planned_times(session.folder.path, plan)
        with open_executor(session) as executor:
            session, laid_notices = laid(session, executor)
            opened = observer.search = open_search(session, executor, observer)
            if session.storage is not None:
                join_run.publish(opened.study, session)
            for notice in (*laid_notices, *opened.notices, *_interrupted_notice(opened)):
                notify(notice)
            observer.tell.began(session)
            observer.tell(RunOpened(trials=tuple(opened.study.trials()), run_seconds=opened.elapsed_seconds))
            ending = opened.run()
        if times is not None and not ending.is_interrupted:
            ending = finish_search(session, times, ending, opened.elapsed_seconds, notify, observer.tell)
        observer.tell.ended(ending, opened.study.trials)
    return SearchRun(
        folder=session.folder.path,
        config=session.config,
        ending=ending,
        table=read_trials(session.folder.path, whole=False),
        rung_correlations=tuple(opened.rung_correlations()),
        surrogate_correlation=opened.surrogate_correlation(),
    )


def _introduction(session: Session, plan: TimePlan | None) -> RunStarted:
    axes, device = session.domain.space.axes, session.domain.device
    fixed = sum(len(axis.choices) == 1 for axis in axes if axis.name != "head")
    return RunStarted(
        folder=session.folder.path,
        config=session.config,
        data_source=session.splits.source,
        profile=None if device is None else device.profile,
        num_axes=len(axes) - fixed,
        num_fixed_axes=fixed,
        heads=tuple(map(str, session.domain.space.axis("head").choices)),
        num_starts=len(session.starts),
        plan=plan,
        measures_speed=session.lays_rungs,
    )


def _interrupted_notice(search: Search) -> list[str]:
    trials = TrialIndex(search.study.trials(), search.study.running()).interrupted()
    numbers = ", ".join(str(trial.number) for trial in trials)
    return [f"interrupted trials that are trained again: {numbers}"] if numbers else []


class _Observer:
    """Turns what a search tells into events."""

    def __init__(self, tell: TrackedSearch) -> None:
        self.tell = tell
        self.search: Search | None = None

    @property
    def _seconds(self) -> float:
        return 0.0 if self.search is None else self.search.elapsed_seconds

    def started(self, running: RunningTrial) -> None:
        """Called when a trial is submitted to the executor."""
        assert self.search is not None
        event = TrialStarted(
            number=running.number,
            origin=running.spec.origin,
            rung=running.spec.rung,
            num_rungs=self.search.scheduler.ladder.last,
            gmacs=running.spec.candidate.cost.gmacs,
            audit_of=running.spec.audit_of,
        )
        self.tell(event)

    def stepped(self, step: Step) -> None:
        """Called after steps of training."""
        event = TrainingStep(
            number=step.number, step=step.step, num_steps=step.num_steps, loss=step.loss, run_seconds=self._seconds
        )
        self.tell(event)

    def finished(self, trial: Trial, trials: list[Trial]) -> None:
        """Called when a trial has ended, with all trials that have ended so far."""
        self.tell(TrialFinished(trial=trial, trials=tuple(trials), run_seconds=self._seconds))


search.__signature__ = signature_of(search, RunSettings)  # type: ignore[attr-defined]
search.__doc__ = f"{search.__doc__}\n    Settings:\n{described_keywords(RunSettings, ' ' * 8)}\n"
