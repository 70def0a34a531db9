"""The evaluator that trains, on a handful of real images: how its trainings end."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.cli import main
from nas.executors import Evaluation, Job, Step, StopTrial, scoring
from nas.executors.local import LocalExecutor
from nas.executors.scoring import NUM_DRAWS, SCORES
from nas.executors.training import TrainingEvaluator, TrainingSpec
from results import records
from results.trial import HELD_OUT, Cause, Outcome
from search_space import DESIGNS
from trainers import TrainConfig, fresh_detector, load_weights, save_weights
from trainers.bootstrap import resample
from trainers.data import open_data
from trainers.data.dataset import Dataset
from trainers.data.holdout import divide
from trainers.detect import Detections
from trainers.evaluation import DatasetDetections
from trainers.sizes import size_bins

DATA = Path(__file__).parents[1] / "data" / "hit_uav"
ARCHITECTURE = DESIGNS.get("yolov8n").architecture.resized((64, 64))


def train(tmp_path: Path, at_step_2: BaseException | None = None) -> Evaluation:
    """Trains three steps of two images; the report raises `at_step_2`."""

    def report(step: Step) -> None:
        if step.step == 2 and at_step_2 is not None:
            raise at_step_2

    evaluator = TrainingEvaluator(open_data(DATA), TrainConfig(epochs=1.0, batch_size=2), num_threads=1)
    executor = LocalExecutor(evaluator)
    executor.submit(Job(number=0, architecture=ARCHITECTURE, seed=3, weights_path=tmp_path / "weights.pt"))
    return executor.wait(report)[1]


def test_a_complete_training_has_scores_and_weights(tmp_path: Path) -> None:
    evaluation = train(tmp_path)
    assert evaluation.outcome == "complete"
    assert set(evaluation.scores) == {*SCORES, "accuracy_low", "accuracy_high"}
    assert len(evaluation.accuracy_draws) == NUM_DRAWS
    assert (evaluation.epochs, evaluation.images_seen) == (1.0, 6) and evaluation.seconds > 0
    assert load_weights(tmp_path / "weights.pt").architecture == ARCHITECTURE.to_dict()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ending", "cause"), [(StopTrial(Cause.TIME_UP), Cause.TIME_UP), (KeyboardInterrupt(), Cause.INTERRUPTED)]
)
def test_a_stopped_training_tells_how_far_it_came(tmp_path: Path, ending: Any, cause: Cause) -> None:
    evaluation = train(tmp_path, ending)
    assert (evaluation.outcome, evaluation.cause) == (Outcome.STOPPED, cause)
    assert evaluation.images_seen == 4 and evaluation.epochs == pytest.approx(2 / 3) and evaluation.scores == {}
    assert not (tmp_path / "weights.pt").exists()


def test_a_training_that_is_cut_short_may_keep_what_it_has(tmp_path: Path) -> None:
    evaluation = train(tmp_path, StopTrial(Cause.TIME_UP, keep=True))
    assert (evaluation.outcome, evaluation.cause) == (Outcome.STOPPED, Cause.TIME_UP)
    assert evaluation.images_seen == 4 and evaluation.epochs == pytest.approx(2 / 3)
    assert {"accuracy", "ap50"} <= set(evaluation.scores) and len(evaluation.accuracy_draws) == NUM_DRAWS
    assert load_weights(tmp_path / "weights.pt").architecture == ARCHITECTURE.to_dict()


@pytest.mark.slow
def test_an_error_is_a_failed_trial_with_its_reason(tmp_path: Path) -> None:
    evaluation = train(tmp_path, MemoryError("no memory"))
    assert (evaluation.outcome, evaluation.cause) == (Outcome.FAILED, Cause.OUT_OF_MEMORY)
    assert evaluation.reason.startswith("out of memory, also alone: MemoryError: no memory; next: a smaller --batch")


def job(tmp_path: Path, **more: Any) -> Job:
    return Job(number=0, architecture=ARCHITECTURE, seed=3, weights_path=tmp_path / "weights.pt", **more)


def rough_detections(data: Dataset) -> DatasetDetections:
    """What a detector would find that misses every third object and is a pixel off with the others."""
    found = []
    for record in data.records:
        keep = np.arange(len(record.boxes)) % 3 > 0
        boxes = (record.boxes[keep] + np.array([1, 0, 1, 0])).astype(np.float32)
        scores = np.linspace(0.9, 0.2, keep.sum()).astype(np.float32)
        found.append(Detections(boxes=boxes, scores=scores, labels=record.labels[keep]))
    return DatasetDetections(dataset=data, found=tuple(found))


def test_scores_and_draws_are_those_of_the_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    data = open_data(DATA).val
    detections = rough_detections(data)
    monkeypatch.setattr(scoring, "detect_dataset", lambda *args, **kwargs: detections)
    detector = fresh_detector(ARCHITECTURE, num_classes=len(data.classes), seed=0)
    found, again = (scoring.score(detector, data, bins=scoring.size_bins(["ap_0_16", "macs"])) for _ in range(2))
    plain = detections.score(detections.match())
    assert 0.1 < plain.accuracy < 0.9 and not math.isnan(plain.ap_small)
    assert {"ap_0_16"} == set(found.values) - {*SCORES, "accuracy_low", "accuracy_high"}
    for name in SCORES:
        assert found.values[name] == pytest.approx(getattr(plain, name), nan_ok=True)
    sides = detections.score(detections.match(size_bins("0,16", data.records))).bins["0-16"]["ap"]
    assert found.values["ap_0_16"] == pytest.approx(sides) and 0.1 < sides < 0.9
    draws = resample(detections.match(), num_resamples=NUM_DRAWS)
    wanted = 0.5 * np.asarray(draws.mean(size=1)) + 0.5 * np.asarray(draws.mean(iou=0.5))
    assert found.draws == pytest.approx(wanted) and again.draws == found.draws and np.std(wanted) > 0
    assert found.values["accuracy_low"] < found.values["accuracy_high"]


@pytest.mark.slow
def test_a_rung_goes_on_from_the_weights_of_the_one_below(tmp_path: Path) -> None:
    train(tmp_path)
    evaluator = TrainingEvaluator(open_data(DATA), TrainConfig(epochs=9.0, batch_size=2), num_threads=1)
    upper = job(tmp_path, rung=2, epochs=1.0, start_weights=tmp_path / "weights.pt")
    losses: dict[str, list[float]] = {"anew": [], "gone on": []}
    gone_on = evaluator.evaluate(upper, lambda step: losses["gone on"].append(step.loss))
    anew = evaluator.evaluate(job(tmp_path, epochs=1.0), lambda step: losses["anew"].append(step.loss))
    assert gone_on.images_seen == anew.images_seen == 6
    assert losses["gone on"][0] != losses["anew"][0]


def test_a_proxy_is_a_score_without_training(tmp_path: Path) -> None:
    evaluator = TrainingEvaluator(open_data(DATA), TrainConfig(batch_size=2), num_threads=1)
    found = evaluator.evaluate(job(tmp_path, proxy="synflow", epochs=0.0), lambda step: None)
    assert found.outcome == "complete" and set(found.scores) == {"proxy"} and found.images_seen == 0
    assert not (tmp_path / "weights.pt").exists()


@pytest.mark.slow
def test_a_search_with_a_score_without_training_goes_on_to_training(tmp_path: Path) -> None:
    data = str(Path(__file__).parents[1] / "data" / "hit_uav")
    limits = ("--budget-gflops", "0.05", "--fix", "input_size=128", "--fix", "width=0.125")
    settings = ("--rungs", "0.2", "--proxy", "nwot", "--trials", "6", "--threads", "1", "--batch", "2")
    main(["run", "--data", data, *limits, *settings, "--name", "r", "--out", str(tmp_path), "--json"])
    table = records.load(tmp_path / "r")
    assert set(table["rung"]) == {0, 1} and set(table["outcome"]) == {"stopped", "complete"}
    assert table["proxy"][table["rung"] == 0].notna().all() and table["accuracy"][table["rung"] == 1].notna().all()


def donor(path: Path, seed: int = 9) -> Path:
    detector = fresh_detector(ARCHITECTURE, num_classes=len(open_data(DATA).train.classes), seed=seed)
    save_weights(path, detector, ARCHITECTURE.to_dict(), open_data(DATA).train.classes)
    return path


def first_loss(evaluator: TrainingEvaluator, what: Job) -> tuple[float, Evaluation]:
    losses: list[float] = []
    found = evaluator.evaluate(what, lambda step: losses.append(step.loss))
    return losses[0], found


def test_a_training_starts_from_pretrained_weights_if_it_has_none_of_its_own(tmp_path: Path) -> None:
    evaluator = TrainingEvaluator(open_data(DATA), TrainConfig(epochs=0.4, batch_size=2), num_threads=1)
    weights, own = donor(tmp_path / "donor.safetensors"), donor(tmp_path / "own.pt", seed=5)
    loss, found = first_loss(evaluator, job(tmp_path, pretrained=weights))
    assert (found.pretrained_params, found.pretrained_macs, found.reason) == (1.0, 1.0, "")
    assert loss == first_loss(evaluator, job(tmp_path, rung=2, start_weights=weights))[0]
    other, found = first_loss(evaluator, job(tmp_path, rung=2, start_weights=own, pretrained=weights))
    assert other != loss and found.pretrained_params is None and found.pretrained_macs is None


def test_a_training_whose_pretrained_weights_cannot_be_read_starts_from_random_ones_and_says_so(tmp_path: Path) -> None:
    evaluator = TrainingEvaluator(open_data(DATA), TrainConfig(epochs=0.4, batch_size=2), num_threads=1)
    missing = tmp_path / "missing.safetensors"
    loss, found = first_loss(evaluator, job(tmp_path, pretrained=missing))
    assert loss == first_loss(evaluator, job(tmp_path))[0]
    assert (found.outcome, found.pretrained_params, found.pretrained_macs) == (Outcome.COMPLETE, 0.0, 0.0)
    assert found.reason.startswith(f"trained from random weights: cannot read weights file {missing}: ")


def test_a_reported_job_is_scored_on_the_images_that_are_held_out_too(tmp_path: Path) -> None:
    splits = open_data(DATA)
    spec = TrainingSpec(config=TrainConfig(epochs=0.4, batch_size=2), holdout=True, threads=1)
    job = Job(number=0, architecture=ARCHITECTURE, seed=3, weights_path=tmp_path / "weights.pt", is_reported=True)
    found = spec.over(splits).evaluate(job, lambda step: None)
    assert found.training_seconds is not None and found.training_seconds > 0
    detector = fresh_detector(ARCHITECTURE, num_classes=len(splits.train.classes), seed=0)
    detector.load_state_dict(load_weights(tmp_path / "weights.pt").state)
    parts = divide(splits.val)
    assert found.scores["ap50"] == scoring.score(detector, parts.selection).values["ap50"]
    held_out = scoring.score(detector, parts.held_out).values
    for name in HELD_OUT:
        np.testing.assert_equal(found.scores.get(f"held_out_{name}"), held_out.get(name))
    below = spec.over(splits).evaluate(replace(job, is_reported=False, val_images=1), lambda step: None)
    assert not any(name.startswith("held_out") for name in below.scores)
    assert below.scores["ap50"] == scoring.score(detector, parts.selection.limited(1)).values["ap50"]
