"""The evaluator that trains: one architecture, one short but complete schedule, its score."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

import torch

from nas.executors import INTERRUPTED, Evaluation, Job, Report, Step, StopTrial
from trainers import Progress, Score, StopTraining, TrainConfig, TrainResult, fresh_detector, save_weights, train
from trainers.data import DataSplits

SCORES = ("accuracy", "ap", "ap50", "ap_small", "ap_medium", "ap_large")


class TrainingEvaluator:
    """Trains a fresh detector on a data set and scores its averaged weights on the validation images.

    The learning rate runs down to its end within every trial: short complete schedules rank detectors much as long
    ones do, the beginnings of long schedules do not.
    """

    def __init__(self, splits: DataSplits, config: TrainConfig, *, num_threads: int | None = None) -> None:
        self._splits = splits
        self._config = config
        if num_threads is not None:
            torch.set_num_threads(num_threads)

    def evaluate(self, job: Job, report: Report) -> Evaluation:
        """Trains and scores one architecture; the weights are written before the result is returned."""
        classes = self._splits.train.classes
        detector = fresh_detector(job.architecture, num_classes=len(classes), seed=job.seed)
        config = replace(self._config, seed=job.seed)
        watch = _Watch(report)
        try:
            result = train(detector, self._splits.train, self._splits.val, config=config, on_step=watch)
        except KeyboardInterrupt:
            return Evaluation(outcome="stopped", reason=INTERRUPTED, epochs=watch.epochs, images_seen=watch.images_seen)
        if result.stopped:
            return _evaluation("stopped", result, watch, reason=watch.reason)
        if result.score is None:
            return _evaluation("failed", result, watch, reason="the data set has no validation images")
        if job.weights_path is not None:
            save_weights(job.weights_path, result.state_dict, job.architecture.to_dict(), classes)
        return _evaluation("complete", result, watch, score=result.score)


class _Watch:
    """Passes the progress of a training on, remembers how far it came, and ends it when it is told to."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self.epochs = 0.0
        self.images_seen = 0
        self.reason = ""

    def __call__(self, progress: Progress) -> None:
        self.epochs, self.images_seen = progress.epoch, progress.images_seen
        try:
            self._report(Step(step=progress.step, num_steps=progress.num_steps, loss=progress.loss))
        except StopTrial as stop:
            if progress.step < progress.num_steps:
                self.reason = str(stop)
                raise StopTraining from stop


def _evaluation(
    outcome: Literal["complete", "stopped", "failed"],
    result: TrainResult,
    watch: _Watch,
    *,
    reason: str = "",
    score: Score | None = None,
) -> Evaluation:
    scores = {name: float(getattr(score, name, math.nan)) for name in SCORES} if score is not None else {}
    return Evaluation(
        outcome=outcome,
        reason=reason,
        scores=scores,
        epochs=watch.epochs,
        images_seen=result.images_seen,
        seconds=result.seconds,
    )
