"""The components of a training, and the operations of each step."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import torch
from torch import Tensor, nn

from search_space import Detector
from search_space.errors import ConfigError, DataError, counted
from trainers.assigners import Objects
from trainers.averaging import StatisticsWarmup, WeightAverage
from trainers.checkpoint import Checkpoint, TrainingState
from trainers.config import TrainConfig
from trainers.data.batches import Batch, BatchStream
from trainers.data.dataset import Dataset
from trainers.distributed import World
from trainers.evaluation import Score, evaluate
from trainers.heads import HeadOptions, HeadTraining, head_training
from trainers.heads.distillation import SoftTargets
from trainers.heads.head_training import LearnsFromTeacher, UsesProgress
from trainers.heads.one_to_many import add_one_to_many, deployed_state, remove_one_to_many
from trainers.interrupts import Interrupts
from trainers.optimizer import device_for, make_optimizer, precision_for, save_copies, set_rates
from trainers.padding_taps import PaddingTapGuard
from trainers.teacher import Teacher, match_teacher
from trainers.tiling import Tiling
from trainers.weights import Weights, cpu_copy

OnBest = Callable[[Mapping[str, Tensor], Score], None]


class TrainingEnd(IntEnum):
    """Why a training ends before its last step; the largest of several reasons counts."""

    NONE = 0
    PATIENCE = 1
    STOPPED = 2
    INTERRUPTED = 3


class DetectorLoss(nn.Module):
    """A detector and the loss of its head as one module, so that a DistributedDataParallel wraps both."""

    def __init__(self, detector: Detector, head: HeadTraining) -> None:
        super().__init__()
        self.detector = detector
        self.head = head

    def forward(
        self, images: Tensor, objects: Objects, ignored: Objects, targets: SoftTargets | None = None
    ) -> dict[str, Tensor]:
        """Returns the weighted parts of the loss, scalars, for images `(B, 3, H, W)` from 0 to 1.

        Args:
            images: of a batch.
            objects: the ground truth.
            ignored: regions that do not count as background.
            targets: what a teacher says of the images; for a head that is a `LearnsFromTeacher`.
        """
        if targets is None:
            return dict(self.head.loss(self.detector, images, objects, ignored).parts)
        assert isinstance(self.head, LearnsFromTeacher)
        return dict(self.head.distilled_loss(self.detector, images, objects, ignored, targets).parts)


@dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """The components of a training that the loop uses."""

    detector: Detector
    val_set: Dataset | None
    config: TrainConfig
    precision: torch.dtype
    world: World
    stream: BatchStream
    head: HeadTraining
    module: nn.Module
    """Returns the loss; see `DetectorLoss`."""
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    average: WeightAverage
    norms: StatisticsWarmup
    taps: PaddingTapGuard | None
    saver: Checkpoint
    interrupts: Interrupts
    on_best: OnBest | None
    teacher: Teacher | None

    def close(self) -> None:
        """Removes hooks and second heads, and restores changed settings of the modules of the detector."""
        remove_one_to_many(self.detector)
        remove_one_to_many(self.average.detector)
        self.norms.close()
        if self.taps is not None:
            self.taps.close()

    def load(self) -> TrainingState:
        """Loads the state of an interrupted training; raises like `Checkpoint.load`."""
        state = self.saver.load()
        self.stream.broken.errors.update(state.broken)
        if self.teacher is not None:
            self.teacher.seconds = state.teacher_seconds
        return state

    def save(self, state: TrainingState) -> None:
        """Writes the checkpoint."""
        state.broken = dict(self.stream.broken.errors)
        state.teacher_seconds = 0.0 if self.teacher is None else self.teacher.seconds
        self.saver.save(state)

    def begin_step(self, step: int, *, keeps_gradients: bool = False) -> None:
        """Sets the rates and the progress of a step (0-based), and resets the gradients unless they wait."""
        if isinstance(self.head, UsesProgress):
            self.head.set_progress(step / max(1, self.stream.num_steps - 1))
        set_rates(self.optimizer, self.config, step, self.stream.num_steps)
        if not keeps_gradients:
            self.optimizer.zero_grad(set_to_none=True)

    def add_gradients(self, part: Batch, step: int, number: int) -> dict[str, Tensor]:
        """Runs forward and backward for part `number` of a step; returns the detached parts of its loss."""
        total_parts, world = self.config.accumulate, self.world
        # The seed is a function of the step, so that resuming needs no generator state. Parts are numbered over all
        # processes, so that they draw the same as the parts of a single process.
        drawn = (step * world.size + world.rank) * total_parts + number
        torch.manual_seed(self.config.seed * 1_000_003 + drawn)
        self.norms.set_pass(step * total_parts + number)
        part = part.to(world.device)
        targets = None if self.teacher is None else self.teacher.targets(part)
        with world.gathering(self.module, last=number == total_parts - 1):
            with torch.autocast(world.device.type, dtype=self.precision, enabled=self.precision is not torch.float32):
                losses = self._forward(part, targets)
            total = torch.stack(tuple(losses.values())).sum()
            share = total / total_parts
            if self.config.update.loss_scale == "sum":
                share = share * self.config.batch_size
            torch.autograd.backward(self.scaler.scale(share))
        return {name: value.detach() for name, value in losses.items()}

    def _forward(self, part: Batch, targets: SoftTargets | None) -> dict[str, Tensor]:
        given = () if targets is None else (targets,)
        try:
            losses: dict[str, Tensor] = self.module(part.images.float().div_(255), part.objects, part.ignored, *given)
            return losses
        except ValueError as error:
            if len(part.images) > 1 or "more than 1 value per channel" not in str(error):
                raise
            raise ConfigError(
                "the detector has maps of one cell, whose batch statistics need 2 or more images per part; use "
                "larger batches, fewer parts or a larger input"
            ) from None

    def update_weights(self, parts: list[dict[str, Tensor]], state: TrainingState) -> dict[str, float]:
        """Changes the weights if enough batches wait, unless loss or gradient is not finite, and counts the step.

        Returns:
            The loss and its parts, means over the images of the batch.
        """
        table = torch.stack([torch.stack([value.float() for value in losses.values()]) for losses in parts])
        means = self.world.mean(table.mean(dim=0))
        state.pending += 1
        if self._waits(state):
            losses = _named(parts[0], means.tolist())
            self._wait(losses, state)
            return losses
        self.scaler.unscale_(self.optimizer)
        weights = [value for value in self.detector.parameters() if value.grad is not None]
        gradients = [value.grad for value in weights if value.grad is not None]
        if state.pending > 1 and self.config.update.loss_scale == "mean":
            torch._foreach_div_(gradients, float(state.pending))
        norm = nn.utils.get_total_norm(gradients)
        *values, size = torch.cat((means, norm.float()[None])).tolist()
        losses = _named(parts[0], values)
        state.pending = 0
        if math.isfinite(losses["loss"]) and math.isfinite(size):
            if size > self.config.clip_norm:
                nn.utils.clip_grads_with_norm_(weights, self.config.clip_norm, norm)
            self.scaler.step(self.optimizer)
            self.average.update()
            state.count(losses)
        else:
            self.average.repair_statistics()
            # GradScaler finds the scale of float16 gradients by trial; only at a scale of 1 or less is the step bad.
            tried = self.scaler.is_enabled() and math.isfinite(losses["loss"]) and self.scaler.get_scale() > 1
            state.count_skipped(bad=not tried)
        self.scaler.update()
        return losses

    def _waits(self, state: TrainingState) -> bool:
        """Returns whether the gradients wait for those of the next batch; the last batch always changes the weights."""
        num_steps = self.stream.num_steps
        return state.pending < self.config.batches_at(state.step, num_steps) and state.step + 1 < num_steps

    def _wait(self, losses: dict[str, float], state: TrainingState) -> None:
        """Counts a batch whose gradients wait; if its loss is not finite, all waiting gradients are discarded."""
        if math.isfinite(losses["loss"]):
            state.count(losses)
        else:
            self.average.repair_statistics()
            state.pending = 0
            state.count_skipped(bad=True)

    def finish_step(self, state: TrainingState) -> Score | None:
        """Evaluates, adds to the history and writes the checkpoint if they are due; returns the new score.

        Raises:
            ConfigError: the loss was not finite in too many steps in a row.
        """
        step, score = state.step, None
        if step == state.finished_step:
            return None
        if state.bad_in_a_row >= self.config.max_bad_steps:
            raise ConfigError(
                f"the loss was not finite in {state.bad_in_a_row} steps in a row (step {step}); lower the learning "
                f"rate, now {self.config.peak_learning_rate:g}, or train in float32"
            )
        if self.world.is_first and self.val_set is not None and self.stream.is_due(step, self.config.eval_every):
            self.saver.save_first(state)
            tiling = Tiling(tile_hw=self.detector.input_hw, whole=True) if self.config.eval_tile else None
            score = evaluate(
                self.average.detector,
                self.val_set,
                batch_size=self.config.batch_size,
                tiling=tiling,
                suppression=self.config.suppression.for_head(one_to_one=self.detector.one_to_one),
            )
        with self.interrupts.held(deliver=self.world.size == 1):
            state.finished_step = step
            if self.world.is_first:
                self._record(state, score)
        return score

    def _record(self, state: TrainingState, score: Score | None) -> None:
        if score is not None and state.rate(score) and self.on_best is not None:
            state_dict = deployed_state(self.average.detector.state_dict())
            self.on_best(cpu_copy(state_dict), score)  # before the checkpoint, which relies on it
        if score is not None or self.stream.is_due(state.step, 1.0):
            state.history.append(self._history_row(state, score))
            self.save(state)
        elif self.saver.is_due(state.step):
            self.save(state)

    def _history_row(self, state: TrainingState, score: Score | None) -> dict[str, float]:
        row = {
            "epoch": self.stream.epoch(state.step),
            "step": float(state.step),
            "learning_rate": self.config.learning_rate_at(state.step - 1, self.stream.num_steps),
            **state.mean_losses(),
        }
        if score is not None:
            row |= {"ap": score.ap, "ap50": score.ap50, "ap_small": score.ap_small, "accuracy": score.accuracy}
        return row

    def ending(self, state: TrainingState, requested: TrainingEnd = TrainingEnd.NONE) -> TrainingEnd:
        """Returns why the training ends here, the same in all processes; `requested` is the reason of this process."""
        if 0 < self.config.patience <= state.num_worse:
            requested = max(requested, TrainingEnd.PATIENCE)
        if self.interrupts.pending is not None:
            requested = TrainingEnd.INTERRUPTED
        return TrainingEnd(self.world.largest(requested))


def _named(parts: Mapping[str, Tensor], values: list[float]) -> dict[str, float]:
    return {"loss": sum(values)} | {f"loss_{name}": value for name, value in zip(parts, values, strict=True)}


def prepare_run(
    detector: Detector,
    train_set: Dataset,
    val_set: Dataset | None,
    config: TrainConfig,
    checkpoint: Path | None,
    on_best: OnBest | None,
    teacher: Weights | None = None,
) -> TrainingRun:
    """Moves the detector to its device, puts it into training mode and creates the components of the training.

    Raises:
        ConfigError: the settings do not fit the head, the device or the number of processes, or the teacher does not
            fit the detector or the data.
        DataError: the training set is empty, or its number of classes is not that of the detector.
    """
    options = HeadOptions(nwd=config.nwd, assigner=config.assigner, loss=config.loss, distillation=config.distillation)
    head = head_training(detector, options)
    _check_data(detector, train_set)
    world = World.current(device_for(config.device))
    precision = precision_for(world.device, config.precision)
    guide = None if teacher is None else _teacher(teacher, detector, train_set, config, world)
    add_one_to_many(detector)
    detector.to(world.device).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    save_copies(detector)
    optimizer = make_optimizer(detector, config)
    average = WeightAverage(detector, config.ema_decay, config.update.ema_ramp)
    scaler = torch.amp.GradScaler(world.device.type, enabled=precision is torch.float16)
    return TrainingRun(
        detector=detector,
        val_set=val_set,
        config=config,
        precision=precision,
        world=world,
        stream=_stream(detector, train_set, config, world),
        head=head,
        module=world.wrap(DetectorLoss(detector, head)),
        optimizer=optimizer,
        scaler=scaler,
        average=average,
        norms=StatisticsWarmup(detector),
        taps=PaddingTapGuard(detector) if world.device.type == "cpu" and precision is torch.bfloat16 else None,
        saver=Checkpoint(
            path=checkpoint,
            writes=world.is_first,
            config=config,
            train_set=train_set,
            val_set=val_set,
            detector=detector,
            optimizer=optimizer,
            scaler=scaler,
            average=average,
            teacher=None if teacher is None else teacher.fingerprint(),
        ),
        interrupts=Interrupts(),
        on_best=on_best,
        teacher=guide,
    )


def _teacher(weights: Weights, detector: Detector, train_set: Dataset, config: TrainConfig, world: World) -> Teacher:
    return Teacher(
        weights=weights,
        match=match_teacher(weights, detector, train_set),
        confidence=config.distillation.distill_confidence,
        caches=config.augmentation.only_flips,
        device=world.device,
        precision=precision_for(world.device, config.precision),
    )


def _stream(detector: Detector, train_set: Dataset, config: TrainConfig, world: World) -> BatchStream:
    return BatchStream(
        dataset=train_set,
        input_hw=detector.input_hw,
        fit=detector.input_format.fit,
        tiles=detector.tiles,
        batch_size=config.batch_size,
        num_steps=config.num_steps(len(train_set)),
        seed=config.seed,
        strength=config.augmentation,
        accumulate=config.accumulate,
        rank=world.rank,
        num_ranks=world.size,
    )


def _check_data(detector: Detector, train_set: Dataset) -> None:
    if len(train_set) == 0:
        raise DataError("the training set has no images; check the data set")
    if len(train_set.classes) != detector.num_classes:
        raise DataError(
            f"the data set has {counted(len(train_set.classes), 'class', 'classes')}, the detector "
            f"{detector.num_classes}; use a detector for the classes of the data"
        )
