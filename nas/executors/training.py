"""The evaluator that trains one architecture on a short but complete schedule and scores it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from nas import plugins
from nas.config import RunConfig
from nas.data_state import check_unchanged, open_data_of
from nas.executors import Evaluation, Job, Report, Step, StopTrial
from nas.executors.initial_weights import InitialWeights, initialise
from nas.executors.memory import PeakMemory
from nas.executors.onednn import enlarge_primitive_cache
from nas.executors.scoring import BIN, proxy_score, score, size_bins
from nas.settings import DATA_SETTINGS
from results.trial import HELD_OUT, Cause, Outcome
from search_space import Detector
from search_space.plugins import load_plugins
from trainers import (
    StopTraining,
    TrainConfig,
    TrainProgress,
    TrainResult,
    fresh_detector,
    save_weights,
    train,
)
from trainers.data import Dataset, DataSplits
from trainers.data.holdout import divide
from trainers.optimizer import device_for


@dataclass(frozen=True, kw_only=True)
class TrainingSpec:
    """Makes a `TrainingEvaluator` in a worker process: how to open the data and how to train."""

    config: TrainConfig
    data: str | None = None
    """Path of the data set, as in `trainers.data.open_data`; None: the built-in set."""
    split: str | None = None
    data_format: str | None = None
    images: str | None = None
    select_classes: tuple[str, ...] = ()
    merge: tuple[str, ...] = ()
    other_classes: str | None = None
    pixel_range: tuple[float, float] | None = None
    seed: int = 0
    """Seed of the built-in set."""
    threads: int | None = None
    """CPU threads of each worker; None: PyTorch decides."""
    bins: tuple[str, ...] = ()
    """Additional size bins to measure AP in, as `ap_LOW_HIGH` in pixels."""
    fingerprint: str | None = None
    """Fingerprint of the data of the run; None: not checked."""
    holdout: bool = False
    """Whether one half of the validation images is only reported on; see `trainers.data.holdout`."""
    plugins: tuple[str, ...] = ()
    """Plug-in files, which must have the same path on every host."""

    def __post_init__(self) -> None:
        for name in ("data", "images"):  # a worker may run in another folder
            path = getattr(self, name)
            if path is not None:
                object.__setattr__(self, name, str(Path(path).absolute()))

    @classmethod
    def of(cls, config: RunConfig) -> TrainingSpec:
        """Returns the specification for the trials of a run."""
        return cls(
            config=TrainConfig(epochs=config.rungs[-1], batch_size=config.batch, seed=config.seed),
            **{name: getattr(config, name) for name in DATA_SETTINGS},
            threads=config.threads,
            bins=tuple(each for each in (name.replace("-", "_") for name in config.objective) if BIN.fullmatch(each)),
            fingerprint=config.data_fingerprint,
            holdout=config.holdout == "yes",
            plugins=plugins.paths(),
        )

    def make(self, worker: int = 0) -> TrainingEvaluator:
        """Opens the data and returns the evaluator; workers take turns with the GPUs.

        Raises:
            UserError: The data, the format or the device cannot be used.
        """
        load_plugins(self.plugins)
        splits = open_data_of(self, seed=self.seed)
        check_unchanged(splits, self.fingerprint)
        device = device_of(worker, self.config.device, torch.cuda.device_count())
        return self.over(splits, replace(self.config, device=device))

    def over(
        self,
        splits: DataSplits,
        config: TrainConfig | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> TrainingEvaluator:
        """Returns the evaluator for data that is open already."""
        parts = divide(splits.val) if self.holdout else None
        return TrainingEvaluator(
            splits if parts is None else replace(splits, val=parts.selection),
            config or self.config,
            num_threads=self.threads,
            bins=self.bins,
            held_out=None if parts is None else parts.held_out,
            clock=clock,
        )


def device_of(worker: int, device: str, num_gpus: int) -> str:
    """Returns the device of a worker: where GPUs are left to choose from, each worker takes the next one in turn."""
    return f"cuda:{worker % num_gpus}" if device in ("auto", "cuda") and num_gpus > 0 else device


class TrainingEvaluator:
    """Trains a detector on a data set and scores its averaged weights on the validation images.

    A job starts from `start_weights` if it has them, else from what fits of `donor`, else from what fits of
    `pretrained`, else from random weights; see `nas.executors.initial_weights`.

    The learning rate decays to its end within every job: short complete schedules rank detectors much as long ones
    do, truncated long schedules do not. A job with `start_weights` starts from these, with a schedule of its own.

    `peak_memory_bytes` of an evaluation is measured by `nas.executors.memory.PeakMemory`.

    Args:
        splits: Its validation images score the jobs.
        config: Of the training, where a job does not say otherwise.
        num_threads: CPU threads; None: PyTorch decides.
        bins: Additional size bins to measure AP in.
        held_out: Further images, on which jobs are scored that are reported.
        clock: Measures the time of training, in seconds.
    """

    def __init__(
        self,
        splits: DataSplits,
        config: TrainConfig,
        *,
        num_threads: int | None = None,
        bins: Sequence[str] = (),
        held_out: Dataset | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        enlarge_primitive_cache()
        self._splits, self._held_out, self._clock = splits, held_out, clock
        self._bins = size_bins(bins)
        self._config = config
        self._memory = PeakMemory(device_for(config.device))
        if num_threads is not None:
            torch.set_num_threads(num_threads)

    def evaluate(self, job: Job, report: Report) -> Evaluation:
        """Trains and scores one architecture, and writes its weights.

        Raises:
            ConfigError: The weights to start from are missing or are those of another architecture.
        """
        self._memory.restart()
        try:
            classes = self._splits.train.classes
            detector = fresh_detector(job.architecture, num_classes=len(classes), seed=job.seed)
            start = initialise(detector, job, self._splits, self._config)
            if job.proxy is None:
                evaluation = self._train(detector, job, report, start)
            else:
                evaluation = self._proxy(detector, job)
            return replace(start.told(evaluation), peak_memory_bytes=self._memory.read())
        finally:
            self._memory.free()

    def _train(self, detector: Detector, job: Job, report: Report, start: InitialWeights) -> Evaluation:
        config = replace(
            self._config,
            seed=job.seed,
            epochs=self._config.epochs if job.epochs is None else job.epochs,
            learning_rate=start.peak_learning_rate or self._config.learning_rate,
        )
        watch, began = _Watch(job.number, report), self._clock()
        try:
            result = train(detector, self._splits.train, config=config, on_step=watch)
            seconds = self._clock() - began
            if result.stopped and not watch.keeps:
                return _evaluation(Outcome.STOPPED, result, cause=watch.stop_cause, epochs=watch.epochs)
            if result.new_steps and result.bad_steps == result.new_steps:
                why = f"the loss was not finite in any of {result.new_steps} steps, so that nothing was learned"
                return _evaluation(Outcome.FAILED, result, cause=Cause.NOT_FINITE, reason=why)
            detector.load_state_dict(result.state_dict)
            found = score(detector, _limited(self._splits.val, job), bins=self._bins, batch_size=config.batch_size)
            reported = self._reported(detector, job)
        except KeyboardInterrupt:
            return Evaluation(
                outcome=Outcome.STOPPED,
                cause=Cause.INTERRUPTED,
                epochs=watch.epochs,
                images_seen=watch.images_seen,
            )
        if job.weights_path is not None:
            save_weights(
                job.weights_path,
                result.state_dict,
                job.architecture.to_dict(),
                self._splits.train.classes,
                self._splits.pixel_range,
            )
        outcome = Outcome.STOPPED if result.stopped else Outcome.COMPLETE
        evaluation = _evaluation(outcome, result, cause=watch.stop_cause, scores=found.values | reported)
        return replace(evaluation, accuracy_draws=found.draws, training_seconds=seconds)

    def _reported(self, detector: Detector, job: Job) -> dict[str, float]:
        """Returns the scores on the images that are held out, of a job that is reported."""
        if self._held_out is None or not job.is_reported:
            return {}
        found = score(detector, _limited(self._held_out, job), batch_size=self._config.batch_size)
        return {f"held_out_{name}": found.values[name] for name in HELD_OUT if name in found.values}

    def _proxy(self, detector: Detector, job: Job) -> Evaluation:
        """Scores the untrained detector; the executor measures the time."""
        value = proxy_score(str(job.proxy), detector, self._splits.train, seed=job.seed)
        if not math.isfinite(value):
            reason = f"the score {job.proxy} is {value}"
            return Evaluation(outcome=Outcome.FAILED, cause=Cause.NOT_FINITE, reason=reason)
        return Evaluation(outcome=Outcome.COMPLETE, scores={"proxy": value})


def _limited(dataset: Dataset, job: Job) -> Dataset:
    return dataset if job.val_images is None else dataset.limited(job.val_images)


class _Watch:
    """Reports the progress of a training, remembers it, and stops the training on `StopTrial`."""

    def __init__(self, number: int, report: Report) -> None:
        self._number = number
        self._report = report
        self.epochs = 0.0
        self.images_seen = 0
        self.stop_cause: Cause | None = None
        self.keeps = False
        """Whether a training that was stopped is scored."""

    def __call__(self, progress: TrainProgress) -> None:
        self.epochs, self.images_seen = progress.epoch, progress.images_seen
        step = Step(number=self._number, step=progress.step, num_steps=progress.num_steps, loss=progress.loss)
        try:
            self._report(step)
        except StopTrial as stop:
            if progress.step < progress.num_steps:
                self.stop_cause, self.keeps = stop.cause, stop.keep
                raise StopTraining from stop


def _evaluation(
    outcome: Outcome,
    result: TrainResult,
    *,
    cause: Cause | None = None,
    reason: str = "",
    scores: Mapping[str, float] | None = None,
    epochs: float | None = None,
) -> Evaluation:
    return Evaluation(
        outcome=outcome,
        cause=cause,
        reason=reason,
        scores=scores or {},
        epochs=result.epochs if epochs is None else epochs,
        images_seen=result.images_seen,
        seconds=result.seconds,
    )
