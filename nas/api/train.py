"""Train one architecture: what `nas train` does, as a function."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.api.named_architecture import ArchitectureLike
from nas.api.result import OnNotice
from nas.api.train_folder import CHECKPOINT
from nas.api.train_request import training_settings
from nas.api.trained_detector import named_weights
from nas.process_control import launched_rank, reported_once
from nas.setting_forms import described_keywords, signature_of
from search_space.errors import ConfigError, WriteError

if TYPE_CHECKING:
    from nas.api.tracked_training import TrackedTraining
    from nas.api.train_results import Training
    from nas.api.train_settings import TrainSettings
    from nas.api.train_setup import Ready
    from trainers import TrainProgress, TrainResult

__all__ = ["TrainingInterrupted", "train", "train_signature"]


NAMED_WEIGHTS = ("weights", "pretrained", "teacher")
"""The settings that may be an object that has weights."""


class TrainingInterrupted(KeyboardInterrupt):
    """A training that was interrupted after it had started.

    Args:
        folder: Its output folder, by which it can be resumed.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(f"the training in {folder} was interrupted")
        self.folder = folder


def train(
    architecture: ArchitectureLike | None = None,
    data: str | Path | None = None,
    *,
    resume: str | Path | None = None,
    on_notice: OnNotice | None = None,
    on_progress: Callable[[TrainProgress], None] | None = None,
    **settings: Any,
) -> Training:
    """Trains a detector and writes weights, history and score into a folder.

    In the processes of torchrun each one calls this function; the first one writes and calls back.

    Args:
        architecture: an `Architecture`, the name of a design, the path of a YAML file, or an object that has an
            architecture, such as a member of a front. None when a training is resumed.
        data: path of the data set; by default that of the training or the run that the architecture belongs to, else
            the built-in set.
        resume: folder of a training to resume; settings that are not given stay as they are.
        on_notice: is called with each line that the user should read.
        on_progress: is called after each step; may raise `trainers.StopTraining`.
        **settings: the settings of a training. Names and paths of config.yaml, such as `batch_size`, are accepted too.
            `weights`, `pretrained` and `teacher` may be an object that has weights, such as a training.

    Returns:
        The result, with the folder that holds the weights.

    Raises:
        ConfigError: a setting is unknown or wrong, must not change at a resume, or contradicts the data, or the
            folder holds something that would be overwritten.
        DataError: the data set cannot be used.
        SpaceError: the architecture is not valid.
        TrainingInterrupted: Ctrl-C after the training had started; it can be resumed.
    """
    from nas.api.train_settings import settings_called
    from nas.api.train_setup import prepare

    is_first = launched_rank() == 0
    given = _given(data, settings)
    notices: list[str] = []

    def notify(notice: str | None) -> None:
        if notice is not None and is_first:
            notices.append(notice)
            if on_notice is not None:
                on_notice(notice)

    with contextlib.ExitStack() as held, settings_called(lambda setting: setting.keyword):
        with reported_once():
            chosen = _settings(architecture, resume, given, notify)
            ready = prepare(chosen, held, is_first=is_first, on_notice=notify)
        training = _trained(chosen, ready, notify, on_progress, is_first=is_first)
    return dataclasses.replace(training, notices=tuple(notices))


def _given(data: str | Path | None, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings with the data set among them, and the file of weights that are given as an object."""
    weights = {name: named_weights(settings[name]) for name in NAMED_WEIGHTS if name in settings}
    return {**({} if data is None else {"data": data}), **settings, **weights}


def _settings(
    architecture: ArchitectureLike | None,
    resume: str | Path | None,
    given: Mapping[str, Any],
    on_notice: Callable[[str | None], None],
) -> TrainSettings:
    from nas.api.train_settings import fresh, resumed

    if resume is not None:
        return resumed(Path(resume), architecture, given)
    if architecture is None:
        raise ConfigError("no architecture is given; give a YAML file or a design, or resume a training")
    return fresh(architecture, given, on_notice)


def _trained(
    chosen: TrainSettings,
    ready: Ready,
    notify: Callable[[str | None], None],
    on_progress: Callable[[TrainProgress], None] | None,
    *,
    is_first: bool,
) -> Training:
    """Trains, and in the first process writes the results and tells the trackers."""
    from nas.api.tracked_training import TrackedTraining
    from nas.api.train_results import result_of, write_results
    from nas.trackers import Tracking
    from trainers.distributed import join_processes

    with _resumable(chosen.out), Tracking(ready.trackers, notify) as tracking:
        tracked = TrackedTraining(tracking, chosen)
        with join_processes(chosen.config.device):
            result = _run(chosen, ready, tracked, on_progress, is_first=is_first)
        training = result_of(chosen, result, ready)
        if is_first:
            write_results(training, chosen, result, ready.splits, notify)
            tracked.ended(training)
    return training


def _run(
    settings: TrainSettings,
    ready: Ready,
    tracked: TrackedTraining,
    on_progress: Callable[[TrainProgress], None] | None,
    *,
    is_first: bool,
) -> TrainResult:
    from nas.api.train_results import save_weights
    from trainers import train as train_detector

    splits = ready.splits
    return train_detector(
        ready.detector,
        splits.train,
        splits.val,
        config=settings.config,
        on_step=_recorder(settings.out, tracked, on_progress) if is_first else None,
        on_best=lambda state, _: save_weights(settings, state, splits),
        checkpoint=settings.out / CHECKPOINT,
        resume=settings.resume,
        teacher=None if ready.teacher is None else ready.teacher.content,
    )


def _recorder(
    folder: Path, tracked: TrackedTraining, on_progress: Callable[[TrainProgress], None] | None
) -> Callable[[TrainProgress], None]:
    """Returns a callback that writes history.csv and tells the trackers during the training."""
    from trainers.logs import write_history

    rows = 0

    def record(progress: TrainProgress) -> None:
        nonlocal rows
        if len(progress.history) > rows:
            write_history(folder, progress.history)
            rows = len(progress.history)
        tracked.stepped(progress)
        if on_progress is not None:
            on_progress(progress)

    return record


@contextlib.contextmanager
def _resumable(folder: Path) -> Iterator[None]:
    """Says how the training is resumed, if it is interrupted or the disk is full."""
    try:
        yield
    except KeyboardInterrupt:
        raise TrainingInterrupted(folder) from None
    except WriteError as error:
        raise ConfigError(f"{error}, then resume with: nas train --resume {folder}") from None


def train_signature() -> inspect.Signature:
    """Returns the signature of `train` with each setting as a keyword."""
    return signature_of(train, training_settings().values())


train.__signature__ = train_signature()  # type: ignore[attr-defined]
train.__doc__ = f"{train.__doc__}\n    Settings:\n{described_keywords(training_settings().values(), ' ' * 8)}\n"
