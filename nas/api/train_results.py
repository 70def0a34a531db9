"""What a training leaves at its end: its files and its result."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.api.result import Result
from search_space.errors import ConfigError
from search_space.files import write_text

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

    from nas.api.train_settings import TrainSettings
    from nas.api.train_setup import Ready
    from nas.api.trained_detector import TrainedDetector
    from search_space import Architecture
    from trainers import Score, TrainResult
    from trainers.data import DataSplits

RESULTS_JSON = "results.json"
NUMBERS = ("epochs", "images_seen", "steps", "skipped_steps", "broken_images", "seconds")


@dataclass(frozen=True, kw_only=True)
class UsedTeacher:
    """The teacher of a training."""

    weights: Path
    """The file."""
    architecture: str
    """The key of its architecture."""
    fingerprint: str
    """16 hex characters that change with its architecture, classes or tensors, not with the format of the file."""
    seconds: float
    """Of the training, for its predictions."""

    def to_dict(self) -> dict[str, Any]:
        """Returns the section `teacher` of results.json."""
        return {**vars(self), "weights": str(self.weights)}


@dataclass(frozen=True, kw_only=True)
class Training(Result):
    """A finished training."""

    folder: Path
    weights: Path
    """File with the averaged weights of the best evaluation, the architecture and the classes."""
    architecture: Architecture
    classes: tuple[str, ...]
    score: Score | None
    """The one of the highest accuracy; None without a validation set."""
    last_score: Score | None
    """At the end of the training."""
    rows: tuple[Mapping[str, float], ...]
    """See `history`."""
    data: str
    """What the data set is and where it is."""
    train_fingerprint: str
    val_fingerprint: str
    epochs: float
    """Passes over the training images."""
    images_seen: int
    steps: int
    skipped_steps: int
    """Steps that changed no weight, because the loss or its gradient was not finite."""
    broken_images: int
    """Training images that could not be read and were replaced by others."""
    seconds: float
    """Of all parts of a training that was interrupted."""
    best_epoch: float | None
    """Epoch of `score`."""
    ended_by: str
    """`schedule`, `patience`, or `callback` where `on_progress` raised StopTraining."""
    teacher: UsedTeacher | None = None
    """None for a training without one."""
    notices: tuple[str, ...] = ()
    """The lines that were given to `on_notice`."""

    def __repr__(self) -> str:
        found = "not evaluated" if self.score is None else f"AP50 {100 * self.score.ap50:.2f} %"
        return f"<Training {self.folder}: {self.epochs:.4g} epochs, {found}>"

    @property
    def history(self) -> pd.DataFrame:
        """One row for each epoch and each evaluation.

        The columns are epoch, step, learning_rate, the means of the loss and of its parts since the row before, and
        ap, ap50, ap_small and accuracy where the detector was evaluated.
        """
        import pandas as pd

        from trainers.logs import column_names

        frame: pd.DataFrame = pd.DataFrame(list(self.rows), columns=list(column_names(self.rows)))
        return frame

    @property
    def failures(self) -> tuple[str, ...]:
        """What a user must know of a training that went wrong though it came to its end; empty if it did not."""
        lines = []
        if self.skipped_steps:
            lines.append(
                f"{self.skipped_steps} of {self.steps} steps were skipped, because their loss or its gradient was not "
                "finite"
            )
        if 2 * self.skipped_steps > self.steps:
            lines.append("most steps were skipped: the detector is not trained; lower --lr, or train in float32")
        if self.score is not None and not self.score.accuracy > 0:
            advice = (
                ", or lower --lr"
                if self.skipped_steps
                else "; if the loss does not fall, lower --lr or check the labels"
            )
            lines.append(
                "no evaluation found anything (accuracy 0): these weights are useless; train for more --epochs" + advice
            )
        return tuple(lines)

    def to_dict(self) -> dict[str, Any]:
        """Returns the content of results.json, with the path of the weights."""
        from nas.api.plain_score import plain_score

        return {
            "architecture": self.architecture.key(),
            "data": self.data,
            "train_fingerprint": self.train_fingerprint,
            "val_fingerprint": self.val_fingerprint,
            "epochs": self.epochs,
            "images_seen": self.images_seen,
            "steps": self.steps,
            "skipped_steps": self.skipped_steps,
            "broken_images": self.broken_images,
            "seconds": self.seconds,
            "ended_by": self.ended_by,
            "best_epoch": self.best_epoch,
            "score": plain_score(self.score),
            "last_score": plain_score(self.last_score),
            "weights": str(self.weights),
            **({} if self.teacher is None else {"teacher": self.teacher.to_dict()}),
        }

    def _repr_html_(self) -> str:
        """Returns a table with the scores in percent, for a notebook."""
        score = self.score
        shown: dict[str, Any] = {"architecture": self.architecture.key(), "data": self.data, "epochs": self.epochs}
        if score is not None:
            scores = {"AP": score.ap, "AP50": score.ap50, "AP_small": score.ap_small}
            shown |= {f"{name} (%)": f"{100 * value:.1f}" for name, value in scores.items()}
            shown["best epoch"] = self.best_epoch
        shown |= {"time (s)": self.seconds, "weights": self.weights}
        rows = (f"<tr><th>{escape(name)}</th><td>{escape(str(value))}</td></tr>" for name, value in shown.items())
        return f"<table>{''.join(rows)}</table>"


def save_weights(settings: TrainSettings, state: Mapping[str, Tensor], splits: DataSplits) -> None:
    """Writes weights.pt."""
    from trainers import weights

    weights.save_weights(
        settings.out / "weights.pt",
        state,
        settings.architecture.to_dict(),
        splits.train.classes,
        splits.pixel_range,
        settings.config.suppression,
    )


def result_of(settings: TrainSettings, result: TrainResult, ready: Ready) -> Training:
    """Returns the result of a training; time and counts of one that had ended before are those of its results.json."""
    splits = ready.splits
    earlier = {} if result.new_steps else _earlier(settings.out / RESULTS_JSON)
    found = {
        "data": splits.source,
        "epochs": result.epochs,
        "images_seen": result.images_seen,
        "steps": result.images_seen // settings.config.batch_size,
        "skipped_steps": result.bad_steps,
        "broken_images": result.broken_images,
        "seconds": round(result.seconds, 1),
    }
    return Training(
        folder=settings.out,
        weights=settings.out / "weights.pt",
        architecture=settings.architecture,
        classes=tuple(splits.train.classes),
        score=result.best_score,
        last_score=result.score,
        rows=result.history,
        train_fingerprint=splits.train.fingerprint(),
        val_fingerprint=splits.val.fingerprint(),
        best_epoch=result.best_epoch,
        ended_by=_ended_by(result),
        teacher=None if ready.teacher is None else _used(ready.teacher, result),
        **{name: earlier.get(name, value) for name, value in found.items()},
    )


def _used(teacher: TrainedDetector, result: TrainResult) -> UsedTeacher:
    return UsedTeacher(
        weights=teacher.weights.resolve(),
        architecture=teacher.architecture.key(),
        fingerprint=teacher.content.fingerprint(),
        seconds=round(result.teacher_seconds, 3),
    )


def _ended_by(result: TrainResult) -> str:
    if result.stopped:
        return "callback"
    return "patience" if result.out_of_patience else "schedule"


def write_results(
    training: Training,
    settings: TrainSettings,
    result: TrainResult,
    splits: DataSplits,
    on_notice: Callable[[str], None],
) -> None:
    """Writes the files of the end of a training; those of one that had ended before stay as they are."""
    from trainers.logs import draw_history, write_history

    out = training.folder
    if not result.new_steps and _earlier(out / RESULTS_JSON):
        return
    if result.best_score is None:
        save_weights(settings, result.state_dict, splits)
    write_history(out, result.history)
    try:
        draw_history(out, result.history)
    except ConfigError as error:
        on_notice(f"note: {error}")
    write_text(out / RESULTS_JSON, json.dumps(training.to_dict(), indent=2) + "\n")


def _earlier(path: Path) -> dict[str, Any]:
    """Returns the results that a training has written; empty if there are none that can be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(content, dict) or not isinstance(content.get("data"), str):
        return {}
    return content if all(type(content.get(name)) in (int, float) for name in NUMBERS) else {}
