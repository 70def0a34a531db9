"""The training loop."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from search_space import Detector
from search_space.errors import ConfigError, DataError
from trainers.averaging import StatisticsWarmup, WeightAverage
from trainers.checkpoint import Checkpoint, TrainingState
from trainers.config import TrainConfig
from trainers.data.batches import BatchStream
from trainers.data.dataset import Dataset
from trainers.evaluate import Score, evaluate
from trainers.losses import DetectionLoss, check_trainable
from trainers.optimizer import device_for, make_optimizer, precision_for
from trainers.weights import cpu_copy


class StopTraining(Exception):
    """Raised by an `on_step` callback to end a training early."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a training stands after a step."""

    step: int
    """Steps done, 1 to num_steps."""
    num_steps: int
    epoch: float
    """Passes over the training images so far."""
    loss: float
    images_seen: int
    val: Score | None = None
    """Score of the averaged weights, after the steps that were followed by an evaluation."""


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """What a training gave."""

    score: Score | None
    """Of the averaged weights at the end; None without a validation set."""
    history: tuple[dict[str, float], ...]
    """One row an epoch: epoch, step, learning_rate, mean loss, and ap, ap50, ap_small where it was evaluated."""
    state_dict: dict[str, Tensor]
    """The averaged weights, on the CPU."""
    images_seen: int
    seconds: float
    """Time spent, without what an earlier, interrupted part took."""
    bad_steps: int = 0
    """Steps that were skipped because the loss or its gradient was not finite."""
    stopped: bool = False
    """True if `on_step` ended the training; the score is then the latest there was."""


def train(
    detector: Detector,
    train_set: Dataset,
    val_set: Dataset | None = None,
    *,
    config: TrainConfig,
    on_step: Callable[[Progress], None] | None = None,
    checkpoint: str | Path | None = None,
    resume: bool = False,
) -> TrainResult:
    """Trains a detector and evaluates the moving average of its weights.

    On a CPU the result depends on the arguments and the number of threads alone, whether interrupted or not.

    Args:
        detector: changed in place; ends with the trained, not the averaged weights.
        on_step: called after every step; may raise StopTraining, which ends the training orderly.
        checkpoint: file written after each epoch, at the end and when the training is interrupted.
        resume: go on from `checkpoint` if it exists.

    Raises:
        ConfigError: the loss stays non-finite, or the checkpoint is of another training.
        DataError: the training set is empty, or its classes are not those of the detector.
    """
    started, stopped = time.perf_counter(), False
    run = _assemble(detector, train_set, val_set, config, checkpoint)
    state = run.saver.load() if resume else TrainingState()
    batches = run.stream.read(state.step, num_threads=config.num_readers)
    with closing(batches), closing(run.norms), torch.random.fork_rng():
        try:
            run.finish_step(state)
            for batch in batches:
                torch.manual_seed(config.seed * 1_000_003 + state.step)  # so that resuming needs no generator state
                run.norms.set_step(state.step)
                batch = batch.to(run.device)
                with torch.autocast(run.device.type, dtype=run.precision, enabled=run.precision is not torch.float32):
                    maps = detector(batch.images.float().div_(255))
                loss = run.loss_of(maps, batch.objects, batch.ignored).total
                run.saver.consistent = False
                good = run.update_weights(loss, state.step)
                state.count(loss.item(), good=good)
                run.saver.consistent = True
                score = run.finish_step(state)
                if on_step is not None:
                    on_step(_progress(state, run.stream, loss.item(), score))
        except StopTraining:
            stopped = True
            run.saver.save(state)
        except KeyboardInterrupt:
            run.saver.save(state)
            raise
    return TrainResult(
        score=state.score,
        history=tuple(state.history),
        state_dict=cpu_copy(run.average.detector.state_dict()),
        images_seen=state.step * config.batch_size,
        seconds=time.perf_counter() - started,
        bad_steps=state.bad_steps,
        stopped=stopped,
    )


@dataclass(frozen=True, kw_only=True)
class _Run:
    """The parts of one training that the loop uses."""

    detector: Detector
    val_set: Dataset | None
    config: TrainConfig
    device: torch.device
    precision: torch.dtype
    stream: BatchStream
    loss_of: DetectionLoss
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    average: WeightAverage
    norms: StatisticsWarmup
    saver: Checkpoint

    def update_weights(self, loss: Tensor, step: int) -> bool:
        """Does one optimizer step; returns False and changes no weight if the loss or a gradient is not finite."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate_at(step, self.stream.num_steps)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(self.scaler.scale(loss))
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.detector.parameters(), self.config.clip_norm)
        good = bool(norm.isfinite()) and bool(loss.isfinite())
        if good:
            self.scaler.step(self.optimizer)
            self.average.update(self.detector)
        else:
            self.average.repair_statistics(self.detector)
        self.scaler.update()
        return good

    def finish_step(self, state: TrainingState) -> Score | None:
        """Evaluates, adds to the history and writes the checkpoint if the step asks for it; returns a new score."""
        step, score = state.step, None
        if step == state.finished_step:
            return None
        if state.bad_in_a_row >= self.config.max_bad_steps:
            raise ConfigError(
                f"the loss was not finite in {state.bad_in_a_row} steps in a row (step {step}); lower the learning "
                f"rate, now {self.config.peak_learning_rate:g}, or train in float32"
            )
        if self.val_set is not None and self.stream.is_due(step, self.config.eval_every):
            score = state.score = evaluate(self.average.detector, self.val_set, batch_size=self.config.batch_size)
        state.finished_step = step
        if score is not None or self.stream.is_due(step, 1.0):
            state.history.append(self._history_row(state, score))
            state.losses.clear()
            self.saver.save(state)
        return score

    def _history_row(self, state: TrainingState, score: Score | None) -> dict[str, float]:
        row = {
            "epoch": self.stream.epoch(state.step),
            "step": float(state.step),
            "learning_rate": self.config.learning_rate_at(state.step - 1, self.stream.num_steps),
            "loss": sum(state.losses) / max(1, len(state.losses)),
        }
        if score is not None:
            row |= {"ap": score.ap, "ap50": score.ap50, "ap_small": score.ap_small}
        return row


def _assemble(
    detector: Detector,
    train_set: Dataset,
    val_set: Dataset | None,
    config: TrainConfig,
    checkpoint: str | Path | None,
) -> _Run:
    check_trainable(detector.head)
    _check_data(detector, train_set)
    device = device_for(config.device)
    precision = precision_for(device, config.precision)
    detector.to(device).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimizer = make_optimizer(detector, config)
    average = WeightAverage(detector, config.ema_decay)
    return _Run(
        detector=detector,
        val_set=val_set,
        config=config,
        device=device,
        precision=precision,
        stream=BatchStream(
            dataset=train_set,
            input_hw=detector.input_hw,
            batch_size=config.batch_size,
            num_steps=config.num_steps(len(train_set)),
            seed=config.seed,
            strength=config.augmentation,
        ),
        loss_of=DetectionLoss(strides=detector.strides, reg_max=detector.reg_max),
        optimizer=optimizer,
        scaler=torch.amp.GradScaler(device.type, enabled=precision is torch.float16),
        average=average,
        norms=StatisticsWarmup(detector),
        saver=Checkpoint(
            path=Path(checkpoint) if checkpoint else None,
            config=config,
            train_set=train_set,
            detector=detector,
            optimizer=optimizer,
            average=average,
        ),
    )


def _check_data(detector: Detector, train_set: Dataset) -> None:
    if len(train_set) == 0:
        raise DataError("the training set has no images; check the data set")
    if len(train_set.classes) != detector.num_classes:
        raise DataError(
            f"the data set has {len(train_set.classes)} classes, the detector {detector.num_classes}; they must agree"
        )


def _progress(state: TrainingState, stream: BatchStream, loss: float, score: Score | None) -> Progress:
    return Progress(
        step=state.step,
        num_steps=stream.num_steps,
        epoch=stream.epoch(state.step),
        loss=loss,
        images_seen=state.step * stream.batch_size,
        val=score,
    )
