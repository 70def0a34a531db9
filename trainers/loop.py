"""The training loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from search_space import Detector
from trainers.checkpoint import TrainingState
from trainers.config import TrainConfig
from trainers.data.dataset import Dataset
from trainers.evaluation import Score
from trainers.steps import Ending, OnBest, Run, assemble
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
    losses: Mapping[str, float] = field(default_factory=dict)
    """`loss` and its parts, such as `loss_box`."""
    learning_rate: float = 0.0
    history: Sequence[Mapping[str, float]] = ()
    """The rows so far; see `TrainResult`."""


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """What a training gave."""

    score: Score | None
    """Of the averaged weights at the end; None without a validation set."""
    history: tuple[dict[str, float], ...]
    """One row an epoch and an evaluation: epoch, step, learning_rate, means of the loss and its parts since the row
    before, and ap, ap50, ap_small, accuracy where it was evaluated."""
    state_dict: dict[str, Tensor]
    """The averaged weights at the end, on the CPU."""
    images_seen: int
    seconds: float
    """Time spent, with that of earlier, interrupted parts up to their last checkpoint."""
    new_steps: int = 0
    """Steps done by this call; the others had been done by earlier, interrupted parts."""
    best_score: Score | None = None
    """The one of the highest accuracy; `on_best` was given its weights."""
    best_epoch: float | None = None
    epochs: float = 0.0
    """Passes over the training images."""
    bad_steps: int = 0
    """Steps that were skipped because the loss or its gradient was not finite."""
    scaled_down: int = 0
    """Steps that float16 skipped to find the scale of its gradients, which is normal."""
    broken_images: int = 0
    """Training images that could not be read and were replaced by others."""
    stopped: bool = False
    """True if `on_step` ended the training; the score is then the latest there was."""
    out_of_patience: bool = False
    """True if the training ended because its evaluations did not get better."""


def train(
    detector: Detector,
    train_set: Dataset,
    val_set: Dataset | None = None,
    *,
    config: TrainConfig,
    on_step: Callable[[Progress], None] | None = None,
    on_best: OnBest | None = None,
    checkpoint: str | Path | None = None,
    resume: bool = False,
) -> TrainResult:
    """Trains a detector and evaluates the moving average of its weights.

    On a CPU the result depends on the arguments and the number of threads alone, whether interrupted or not. Within
    `trainers.distributed.joined` each process trains on its share of every step's images, and the first one alone
    evaluates, writes and calls back.

    Args:
        detector: changed in place; ends with the trained, not the averaged weights.
        on_step: called after every step; may raise StopTraining, which ends the training orderly.
        on_best: called with the averaged weights and their score when the accuracy is the best so far, before the
            checkpoint is written; after an interruption perhaps a second time with the same.
        checkpoint: file written after each epoch, at the chosen intervals, at the end and when interrupted.
        resume: go on from `checkpoint` if it exists.

    Raises:
        ConfigError: the loss stays non-finite, or the checkpoint is of another training.
        DataError: the training set is empty, its classes are not those of the detector, or too many images are broken.
    """
    run = assemble(detector, train_set, val_set, config, Path(checkpoint) if checkpoint else None, on_best)
    state = run.load() if resume else TrainingState()
    first_step = state.step
    batches = run.stream.read(state.step, num_threads=config.num_readers)
    with closing(batches), closing(run), run.interrupts, torch.random.fork_rng():
        try:
            run.finish_step(state)  # makes up for an evaluation that was interrupted
            ending = run.ending(state)
            while state.step < run.stream.num_steps and not ending:
                parts = next(batches)
                with run.interrupts.held(deliver=run.world.size == 1), run.saver.step():
                    run.begin_step(state.step)
                    seen = [run.add_gradients(part, state.step, number) for number, part in enumerate(parts)]
                    losses = run.update_weights(seen, state)
                score = run.finish_step(state)
                wish = _call(on_step, _progress(run, state, losses, score)) if run.world.is_first else Ending.NONE
                ending = run.ending(state, wish)
            if ending is Ending.INTERRUPTED:
                raise KeyboardInterrupt
        except KeyboardInterrupt:
            run.save(state)
            raise
        if ending is Ending.STOPPED:
            run.save(state)
    return _result(run, state, ending, new_steps=state.step - first_step)


def _call(on_step: Callable[[Progress], None] | None, progress: Progress) -> Ending:
    try:
        if on_step is not None:
            on_step(progress)
    except StopTraining:
        return Ending.STOPPED
    return Ending.NONE


def _progress(run: Run, state: TrainingState, losses: Mapping[str, float], score: Score | None) -> Progress:
    return Progress(
        step=state.step,
        num_steps=run.stream.num_steps,
        epoch=run.stream.epoch(state.step),
        loss=losses["loss"],
        images_seen=state.step * run.stream.batch_size,
        val=score,
        losses=losses,
        learning_rate=run.config.learning_rate_at(state.step - 1, run.stream.num_steps),
        history=state.history,
    )


def _result(run: Run, state: TrainingState, ending: Ending, *, new_steps: int) -> TrainResult:
    return TrainResult(
        score=state.score,
        history=tuple(state.history),
        state_dict=cpu_copy(run.average.detector.state_dict()),
        images_seen=state.step * run.config.batch_size,
        seconds=run.saver.seconds if new_steps else state.seconds,
        new_steps=new_steps,
        best_score=state.best_score,
        best_epoch=run.stream.epoch(state.best_step) if state.best_score else None,
        epochs=run.stream.epoch(state.step),
        bad_steps=state.bad_steps,
        scaled_down=state.scaled_down,
        broken_images=len(run.stream.broken),
        stopped=ending is Ending.STOPPED,
        out_of_patience=ending is Ending.PATIENCE,
    )
