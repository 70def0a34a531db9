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
from trainers.steps import OnBest, TrainingEnd, TrainingRun, prepare_run
from trainers.weights import Weights, cpu_copy


class StopTraining(Exception):
    """Raised by an `on_step` callback to end a training early."""


@dataclass(frozen=True, kw_only=True)
class TrainProgress:
    """The progress of a training after a step."""

    step: int
    """Number of completed steps, 1 to num_steps."""
    num_steps: int
    epoch: float
    """Passes over the training images so far."""
    loss: float
    images_seen: int
    val: Score | None = None
    """Score of the averaged weights if the step was followed by an evaluation."""
    losses: Mapping[str, float] = field(default_factory=dict)
    """`loss` and its parts, such as `loss_box`."""
    learning_rate: float = 0.0
    history: Sequence[Mapping[str, float]] = ()
    """The history so far; see `TrainResult`."""


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """The result of a training."""

    score: Score | None
    """Score of the averaged weights at the end; None without a validation set."""
    history: tuple[dict[str, float], ...]
    """One row per epoch and per evaluation: epoch, step, learning_rate, means of the loss and its parts since the
    previous row, and after an evaluation ap, ap50, ap_small and accuracy."""
    state_dict: dict[str, Tensor]
    """The averaged weights at the end, on the CPU."""
    images_seen: int
    seconds: float
    """Training time, including the time before interruptions up to their last checkpoint."""
    new_steps: int = 0
    """Steps of this call; the others were done before interruptions."""
    best_score: Score | None = None
    """The score with the highest accuracy; `on_best` received its weights."""
    best_epoch: float | None = None
    epochs: float = 0.0
    """Passes over the training images."""
    bad_steps: int = 0
    """Steps that were skipped because the loss or its gradient was not finite."""
    scaled_down: int = 0
    """Steps that were skipped to find the gradient scale of float16, which is normal."""
    broken_images: int = 0
    """Number of unreadable training images, which were replaced by others."""
    stopped: bool = False
    """True if `on_step` stopped the training; the score is then the latest one."""
    teacher_seconds: float = 0.0
    """The part of `seconds` that the predictions of a teacher took."""
    out_of_patience: bool = False
    """True if the training stopped early because the accuracy did not improve."""


def train(
    detector: Detector,
    train_set: Dataset,
    val_set: Dataset | None = None,
    *,
    config: TrainConfig,
    on_step: Callable[[TrainProgress], None] | None = None,
    on_best: OnBest | None = None,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    teacher: Weights | None = None,
) -> TrainResult:
    """Trains a detector and evaluates the moving average of its weights.

    On a CPU the result depends only on the arguments and the number of threads; interruptions do not change it. Within
    `trainers.distributed.join_processes`, each process trains on its share of the images of every step. Only the first
    process evaluates, writes and runs callbacks.

    Args:
        detector: trained in place; has the trained, not the averaged weights at the end.
        on_step: called after every step; may raise StopTraining to end the training.
        on_best: called with the averaged weights and their score when the accuracy is the best so far, before the
            checkpoint is written; may be called again with the same weights after an interruption.
        checkpoint: file that is written after each epoch, at the configured intervals, at the end and on interruption.
        resume: continue from `checkpoint` if it exists.
        teacher: weights of a detector that this one learns from besides the labels; see `match_teacher`.

    Raises:
        ConfigError: the loss stays non-finite, the checkpoint belongs to another training, or the teacher does not fit.
        DataError: the training set is empty, its classes are not those of the detector, or too many images are broken.
    """
    path = Path(checkpoint) if checkpoint else None
    run = prepare_run(detector, train_set, val_set, config, path, on_best, teacher)
    state = run.load() if resume else TrainingState()
    first_step = state.step
    batches = run.stream.read(state.step, num_threads=config.num_readers)
    with closing(batches), closing(run), run.interrupts, torch.random.fork_rng():
        try:
            run.finish_step(state)  # completes an evaluation that was interrupted
            ending = run.ending(state)
            while state.step < run.stream.num_steps and not ending:
                parts = next(batches)
                with run.interrupts.held(deliver=run.world.size == 1), run.saver.step():
                    run.begin_step(state.step, keeps_gradients=state.pending > 0)
                    seen = [run.add_gradients(part, state.step, number) for number, part in enumerate(parts)]
                    losses = run.update_weights(seen, state)
                score = run.finish_step(state)
                requested = (
                    _call(on_step, _progress(run, state, losses, score)) if run.world.is_first else TrainingEnd.NONE
                )
                ending = run.ending(state, requested)
            if ending is TrainingEnd.INTERRUPTED:
                raise KeyboardInterrupt
        except KeyboardInterrupt:
            run.save(state)
            raise
        if ending is TrainingEnd.STOPPED:
            run.save(state)
    return _result(run, state, ending, new_steps=state.step - first_step)


def _call(on_step: Callable[[TrainProgress], None] | None, progress: TrainProgress) -> TrainingEnd:
    try:
        if on_step is not None:
            on_step(progress)
    except StopTraining:
        return TrainingEnd.STOPPED
    return TrainingEnd.NONE


def _progress(
    run: TrainingRun, state: TrainingState, losses: Mapping[str, float], score: Score | None
) -> TrainProgress:
    return TrainProgress(
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


def _result(run: TrainingRun, state: TrainingState, ending: TrainingEnd, *, new_steps: int) -> TrainResult:
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
        teacher_seconds=state.teacher_seconds if run.teacher is None else run.teacher.seconds,
        stopped=ending is TrainingEnd.STOPPED,
        out_of_patience=ending is TrainingEnd.PATIENCE,
    )
