"""What trackers are told of a search."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from nas.api.events import FinishEnded, OnSearchEvent, SearchEvent, TrialFinished
from nas.api.tracked_training import finite
from nas.setting_forms import stored_settings
from nas.trackers import TrackedEnding, TrackedPart, TrackedRun, Tracker, Tracking, Value
from results import records
from results.trial import Outcome

if TYPE_CHECKING:
    from nas.engine.ending import SearchEnding
    from nas.engine.session import Session
    from nas.reports.finished_member import FinishedMember
    from results.trial import Trial

COSTS = ("macs", "params", "memory_bytes", "latency_ms")
EFFORTS = ("epochs", "images_seen", "seconds")


class TrackedSearch:
    """Tells trackers of the settings, the trials, the front and the end of a search, and passes its events on."""

    def __init__(self, tracking: Tracking, on_event: OnSearchEvent) -> None:
        self._tracking, self._on_event = tracking, on_event

    def __call__(self, event: SearchEvent) -> None:
        """Called with each event."""
        match event:
            case TrialFinished():
                self._tracking.call(lambda tracker: _tell_trial(tracker, event))
            case FinishEnded():
                self._tracking.call(lambda tracker: tracker.log_part(_finished(event.member)))
        self._on_event(event)

    def began(self, session: Session) -> None:
        """Called when the settings are known and the study is open."""
        self._tracking.start(lambda: _run(session))

    def ended(self, ending: SearchEnding, read_trials: Callable[[], Sequence[Trial]]) -> None:
        """Called at the end of a session; `read_trials` returns all trials that have ended."""
        if not self._tracking:
            return
        trials = read_trials()
        if ending.is_interrupted:
            self._tracking.ending = TrackedEnding.INTERRUPTED
        self._tracking.call(lambda tracker: tracker.log_results(_results(ending, trials)))


def _run(session: Session) -> TrackedRun:
    config = session.config
    names = [*stored_settings(type(config)), "classes", "data_fingerprint", "space_fingerprint", "versions"]
    return TrackedRun(
        folder=session.folder.path,
        name=config.name,
        is_search=True,
        settings={name: value for name in names if (value := getattr(config, name)) not in (None, ())},
    )


def _tell_trial(tracker: Tracker, event: TrialFinished) -> None:
    """Tells of a trial, and of the front after it."""
    tracker.log_part(_part(event.trial))
    metrics = {"front/size": 0.0, "run/ended_trials": float(len(event.trials)), "run/seconds": event.run_seconds}
    front = records.front(records.frame(event.trials))
    if len(front):
        metrics |= {"front/size": float(len(front)), "front/best_accuracy": float(front["accuracy"].max())}
    tracker.log_metrics(finite(metrics), event.trial.number)


def _part(trial: Trial) -> TrackedPart:
    known = {name: trial.value(name) for name in (*COSTS, *EFFORTS)}
    numbers = {"rung": float(trial.rung), **{name: value for name, value in known.items() if value is not None}}
    return TrackedPart(
        name=f"trial-{trial.number}",
        number=trial.number,
        params={**trial.axes, "origin": str(trial.origin), "outcome": str(trial.outcome)},
        metrics=finite({**numbers, **trial.scores}),
        notes={"key": trial.key, "cause": str(trial.cause or ""), "reason": trial.reason},
        ending=_ending_of(trial),
    )


def _ending_of(trial: Trial) -> TrackedEnding:
    if trial.is_lost:
        return TrackedEnding.INTERRUPTED
    return TrackedEnding.FAILED if trial.outcome is Outcome.FAILED else TrackedEnding.FINISHED


def _finished(member: FinishedMember) -> TrackedPart:
    names = ("macs", "params", "epochs", "images_seen", "seconds", "evaluation_seconds", "num_images")
    return TrackedPart(
        name=f"finished-{member.name}",
        number=int(member.name.partition("-")[0]),
        params={"key": member.key, "scored_on": member.scored_on},
        metrics=finite({**{name: float(getattr(member, name)) for name in names}, **member.scores}),
        notes={
            "weights": str(member.weights.resolve()),
            "export": "" if member.export is None else str(member.export.resolve()),
        },
        ending=TrackedEnding.FINISHED,
    )


def _results(ending: SearchEnding, trials: Sequence[Trial]) -> Mapping[str, Value]:
    table = records.frame(trials)
    counts = {f"result/{name}": int(count) for name, count in records.tally(table).items()}
    front = records.front(table)
    best = {"result/best_accuracy": float(front["accuracy"].max())} if len(front) else {}
    return {"ending": ending.text, "result/front_size": len(front), **finite(best), **counts}
