"""Runs that end before a trial has done the last rung: they have a front of what there is, and say so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from search_fakes import FakeEvaluator, formula, make_config, make_folder, make_search

from nas.engine.ending import TIME_UP
from nas.engine.ladder import Ladder
from nas.executors import Evaluation, Job, Report, Step, StopTrial
from nas.reports.unfinished import unfinished_front
from results import records
from results.trial import Cause, Origin, Outcome, Trial
from search_space.trained_section import read_trained

LADDER = Ladder(epochs=(0.5, 1.5))
NUM_STEPS = 100


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Stepping(FakeEvaluator):
    """Takes a second a step, and ends like a training when it is told to stop."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock
        self.kept: list[bool] = []

    def evaluate(self, job: Job, report: Report) -> Evaluation:
        self.jobs.append(job)
        done = formula(job)
        for step in range(1, NUM_STEPS + 1):
            self.clock.now += 1.0
            try:
                report(Step(number=job.number, step=step, num_steps=NUM_STEPS, loss=1.0))
            except StopTrial as stop:
                self.kept.append(stop.keep)
                scores = done.scores if stop.keep else {}
                epochs = (job.epochs or 0.0) * step / NUM_STEPS
                return Evaluation(outcome=Outcome.STOPPED, cause=stop.cause, scores=scores, epochs=epochs)
        return done


def search(folder: Any, seconds: float, **more: Any) -> Stepping:
    """Searches for so many seconds; trials take 100 each."""
    clock = Clock()
    evaluator = Stepping(clock)
    run = make_search(folder, evaluator, minutes=seconds / 60, clock=clock, ladder=LADDER, designs=False, **more)
    assert run.run() == TIME_UP
    return evaluator


def test_the_first_trial_is_scored_when_the_time_is_up(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    assert search(folder, 30).kept == [True]
    (trial,) = records.trials_of(records.load(folder.path))
    assert (trial.outcome, trial.cause, trial.epochs) == (Outcome.STOPPED, Cause.TIME_UP, pytest.approx(0.15))
    assert trial.is_cut_short and not trial.is_evaluated and not trial.is_promotable and trial.accuracy is not None
    (file,) = (folder.path / "front").iterdir()
    section = read_trained(file)
    assert section is not None and (section.num_classes, section.complete) == (3, False)
    assert (section.rung, section.rungs, section.epochs) == (1, 2, pytest.approx(0.15))


def test_the_first_trial_may_end_where_it_is_nearly_done(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    assert search(folder, 95).kept == []
    (trial,) = records.trials_of(records.load(folder.path))
    assert trial.cause is Cause.RUNG_DONE and trial.stage == "rung 1 of 2"


def test_a_later_trial_is_not_scored_when_the_time_is_up(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    clock = Clock()
    run = make_search(folder, Stepping(clock), trials=1, ladder=LADDER, clock=clock, designs=False)
    run.run()
    evaluator = Stepping(clock)
    again = make_search(folder, evaluator, minutes=1, ladder=LADDER, clock=clock, designs=False)
    again.run()
    assert evaluator.kept == [False]
    assert [trial.is_cut_short for trial in again.study.trials()] == [False, False]
    (member,) = records.trials_of(records.front(records.load(folder.path)))
    assert member.number == 0


def test_a_trial_that_was_cut_short_is_trained_again(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    search(folder, 30)
    run = make_search(folder, FakeEvaluator(), trials=1, ladder=LADDER, designs=False)
    run.run()
    first, second = run.study.trials()
    assert second.retry_of == first.number and second.cause is Cause.RUNG_DONE
    (member,) = records.trials_of(records.front(records.load(folder.path)))
    assert member.number == second.number
    (file,) = (folder.path / "front").iterdir()
    section = read_trained(file)
    assert section is not None and section.epochs == 0.5, "the file of the same name is written anew"


def test_members_of_a_lower_rung_are_not_repeated_with_other_seeds(tmp_path: Path) -> None:
    evaluator = FakeEvaluator()
    run = make_search(make_folder(tmp_path), evaluator, trials=1, ladder=LADDER, designs=False, repeats=3)
    run.run()
    assert len(evaluator.jobs) == 1 and not records.front(records.frame(run.study.trials())).empty


def member(**more: Any) -> Trial:
    known: dict[str, Any] = {
        **{"number": 0, "key": "a", "origin": Origin("by", "hand"), "rung": 1, "rungs": 2, "levels": ("P3",)},
        **dict.fromkeys(("input_height", "input_width", "macs", "params"), 1),
        **dict.fromkeys(("weight_bytes", "activation_bytes", "memory_bytes"), 1),
        **{"outcome": Outcome.STOPPED, "cause": Cause.RUNG_DONE, "scores": {"accuracy": 0.5}},
    }
    return Trial(**(known | more))


def test_what_more_time_would_buy() -> None:
    config = make_config(rungs=LADDER.epochs)
    found = unfinished_front([member(epochs=0.5, seconds=30.0), member(epochs=0.5, seconds=90.0)], config)
    assert found is not None and found.seconds_an_epoch == 120.0
    assert (found.seconds_for_first, found.seconds_for_all) == (90.0, 360.0)
    line = found.line("AGAIN")
    assert line.startswith(
        "no trial reached the last rung: the front has 2 members after rung 1 of 2 (0.5 of 2 epochs)"
    )
    assert "6 minutes all of them" in line and line.endswith("; next: AGAIN")
    cut = unfinished_front([member(cause=Cause.TIME_UP, epochs=0.1, seconds=10.0)], config)
    assert cut is not None and (cut.stage, cut.seconds_for_first) == ("part of rung 1 of 2", 200.0)
    imported = unfinished_front([member(outcome=Outcome.CACHED, cause=Cause.IMPORTED, seconds=0.0)], config)
    assert imported is not None and imported.seconds_for_first is None and "measured" not in imported.line("AGAIN")


def test_a_front_of_the_last_rung_lacks_nothing() -> None:
    config = make_config(rungs=LADDER.epochs)
    whole = member(rung=2, outcome=Outcome.COMPLETE, cause=None, epochs=2.0, seconds=9.0)
    assert unfinished_front([whole], config) is None and unfinished_front([], config) is None
