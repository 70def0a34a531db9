"""The evaluator that trains, on a handful of real images: how its trainings end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nas.executors import INTERRUPTED, Evaluation, Job, Step, StopTrial
from nas.executors.local import LocalExecutor
from nas.executors.training import SCORES, TrainingEvaluator
from search_space import DESIGNS
from trainers import TrainConfig, load_weights
from trainers.data import open_data

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
    assert evaluation.outcome == "complete" and set(evaluation.scores) == set(SCORES)
    assert (evaluation.epochs, evaluation.images_seen) == (1.0, 6) and evaluation.seconds > 0
    assert load_weights(tmp_path / "weights.pt").architecture == ARCHITECTURE.to_dict()


@pytest.mark.parametrize(
    ("ending", "reason"), [(StopTrial("time is up"), "time is up"), (KeyboardInterrupt(), INTERRUPTED)]
)
def test_a_stopped_training_tells_how_far_it_came(tmp_path: Path, ending: Any, reason: str) -> None:
    evaluation = train(tmp_path, ending)
    assert (evaluation.outcome, evaluation.reason) == ("stopped", reason)
    assert evaluation.images_seen == 4 and evaluation.epochs == pytest.approx(2 / 3) and evaluation.scores == {}
    assert not (tmp_path / "weights.pt").exists()


def test_an_error_is_a_failed_trial_with_its_reason(tmp_path: Path) -> None:
    evaluation = train(tmp_path, MemoryError("no memory"))
    assert (evaluation.outcome, evaluation.reason) == ("failed", "MemoryError: no memory")
