"""`nas.engine.rung_plan`: the rungs of a run by its time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from search_fakes import FakeEvaluator, formula, make_domain

from nas.api.search import search
from nas.config import read_config
from nas.engine.rung_plan import (
    FEWEST_TRIALS,
    LEAST_EPOCHS,
    LEAST_IMAGES,
    MIN_VAL_IMAGES,
    MOST_EPOCHS,
    NUM_TRIALS,
    SLOWER,
    TRAINING_SHARE,
    Speed,
    lay_rungs,
    measure_speed,
)
from nas.executors import Evaluation, Job
from nas.executors.local import LocalExecutor
from results.trial import Cause, Outcome
from search_space import DESIGNS

SPEED = Speed(images_a_second=40.0, scored_a_second=100.0)


def candidate():
    domain = make_domain()
    return domain.consider(domain.space.encode(DESIGNS.get("yolov8n-p2").architecture.resized((128, 128))))


@given(
    seconds=st.floats(10, 1e6),
    rate=st.floats(1, 2000),
    workers=st.integers(1, 16),
    num_train=st.integers(20, 100_000),
    num_val=st.integers(1, 5000),
)
def test_rungs_rise_within_their_bounds_and_hold_enough_trials(seconds, rate, workers, num_train, num_val):
    speed = Speed(images_a_second=rate, scored_a_second=3 * rate)
    ladder = lay_rungs(seconds, speed, workers=workers, num_train=num_train, num_val=num_val)
    assert list(ladder.epochs) == sorted(set(ladder.epochs))
    assert len(ladder.images) == len(ladder.epochs)
    assert all(min(MIN_VAL_IMAGES, num_val) <= each <= num_val for each in ladder.images)
    first = ladder.epochs[0] * num_train
    in_all = seconds * workers * rate / SLOWER * TRAINING_SHARE
    least = max(1.0, min(LEAST_IMAGES, LEAST_EPOCHS * num_train, in_all / FEWEST_TRIALS))
    assert 0.94 * least <= first <= 1.06 * MOST_EPOCHS * num_train
    if first > 1.06 * least:
        assert seconds / (len(ladder.epochs) * first * SLOWER / rate / workers) >= 0.75 * NUM_TRIALS


def test_a_run_that_is_too_short_for_two_trials_has_shorter_ones() -> None:
    slow = Speed(images_a_second=4.0, scored_a_second=12.0)
    ladder = lay_rungs(120, slow, workers=1, num_train=1000, num_val=150)
    assert len(ladder.epochs) == 1 and 2 * 1000 * ladder.epochs[0] * SLOWER / 4 == pytest.approx(
        120 * TRAINING_SHARE, rel=0.06
    )


def test_long_runs_have_more_rungs_and_more_trials():
    short, middle, long = (
        lay_rungs(60 * minutes, SPEED, workers=1, num_train=2000, num_val=300) for minutes in (3, 40, 480)
    )
    assert [len(each.epochs) for each in (short, middle, long)] == [1, 2, 3]
    assert middle.epochs[1] == pytest.approx(3 * middle.epochs[0], rel=0.06)
    assert long.epochs[0] > middle.epochs[0]


def test_scores_take_a_fifth_of_a_trial():
    ladder = lay_rungs(3600, SPEED, workers=1, num_train=2000, num_val=5000)
    trained, scored = ladder.epochs[0] * 2000 / SPEED.images_a_second, ladder.images[0] / SPEED.scored_a_second
    assert scored / (trained + scored) == pytest.approx(0.2, abs=0.01)


def test_held_out_images_share_the_time_of_the_last_rung() -> None:
    one, two = (
        lay_rungs(3600, SPEED, workers=1, num_train=2000, num_val=50_000, num_parts=parts).images for parts in (1, 2)
    )
    assert two[0] == one[0] and two[-1] == pytest.approx(one[-1] / 2, abs=1)


def test_speed_is_that_of_the_second_training():
    seconds = iter((100.0, 4.0))

    def evaluate(job: Job) -> Evaluation:
        took = next(seconds)
        return Evaluation(outcome=Outcome.COMPLETE, images_seen=180, training_seconds=took, epochs=job.epochs or 0)

    evaluator = FakeEvaluator(evaluate)
    clock = iter((0.0, 101.0, 200.0, 206.0)).__next__
    found = measure_speed(LocalExecutor(evaluator, clock=clock), candidate(), seed=0, num_train=360, batch=4)
    assert found == Speed(images_a_second=45.0, scored_a_second=12.0)
    assert [job.epochs for job in evaluator.jobs] == [15 * 4 / 360, 45 * 4 / 360]
    assert all(job.weights_path is None for job in evaluator.jobs)


def test_failed_measurement_has_no_speed():
    failed = Evaluation(outcome=Outcome.FAILED, cause=Cause.EXCEPTION)
    executor = LocalExecutor(FakeEvaluator(lambda job: failed))
    assert measure_speed(executor, candidate(), seed=0, num_train=360, batch=4) is None


def test_interrupted_measurement_is_an_interrupt():
    stopped = Evaluation(outcome=Outcome.STOPPED, cause=Cause.INTERRUPTED)
    executor = LocalExecutor(FakeEvaluator(lambda job: stopped))
    with pytest.raises(KeyboardInterrupt):
        measure_speed(executor, candidate(), seed=0, num_train=360, batch=4)


@pytest.fixture
def evaluator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeEvaluator:
    """Puts a formula in the place of training, and an empty folder in that of this one."""

    def evaluate(job: Job) -> Evaluation:
        return replace(formula(job), training_seconds=0.004)

    fake = FakeEvaluator(evaluate)
    monkeypatch.setattr("nas.executors.training.TrainingEvaluator", lambda *args, **kwargs: fake)
    monkeypatch.chdir(tmp_path)
    return fake


def test_rungs_of_a_timed_run_are_laid_once(evaluator: FakeEvaluator) -> None:
    notices: list[str] = []
    settings = {"budget_gflops": 0.4, "fix": {"block": "c2f"}, "name": "a", "minutes": 0.05}
    run = search(on_notice=notices.append, **settings)
    laid = read_config(run.folder / "config.yaml")
    measured = [job for job in evaluator.jobs if job.number == -1]
    assert len(measured) == 2 and laid.rung_images and laid.rungs != (0.3, 0.6)
    assert any(each.startswith("measured: ") for each in notices)
    trained = [job for job in evaluator.jobs if job.number >= 0]
    assert {job.epochs for job in trained} <= set(laid.rungs)
    assert {(job.rung, job.val_images) for job in trained} <= set(enumerate(laid.rung_images, start=1))
    search(resume=run.folder, minutes=0.1)
    after = read_config(run.folder / "config.yaml")
    assert (after.rungs, after.rung_images) == (laid.rungs, laid.rung_images)
    assert len([job for job in evaluator.jobs if job.number == -1]) == 2


@pytest.mark.parametrize("settings", [{"trials": 2}, {"minutes": 0.05, "rungs": (1.0,)}])
def test_given_rungs_and_runs_by_trials_measure_nothing(evaluator: FakeEvaluator, settings: dict) -> None:
    run = search(budget_gflops=0.4, fix={"block": "c2f"}, name="a", **settings)
    assert all(job.number >= 0 and job.val_images is None for job in evaluator.jobs)
    assert not run.config.rungs_by_time and not run.config.rung_images


def test_run_from_an_earlier_one_takes_its_rungs(evaluator: FakeEvaluator) -> None:
    settings = {"budget_gflops": 0.4, "fix": {"block": "c2f"}, "minutes": 0.05}
    first = search(name="a", **settings)
    second = search(name="b", from_run=first.folder, **settings)
    assert second.config.rungs == first.config.rungs and second.config.from_run is not None
