"""What a training leaves at its end: its files, and what the user is told."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.commands.display import say
from nas.commands.options import echo_json

if TYPE_CHECKING:
    from torch import Tensor

    from nas.api.train_settings import Settings
    from trainers import TrainResult
    from trainers.data import DataSplits


def save_weights(settings: Settings, state: Mapping[str, Tensor], splits: DataSplits) -> None:
    """Writes weights.pt."""
    from trainers import weights

    weights.save_weights(settings.out / "weights.pt", state, settings.architecture.to_dict(), splits.train.classes)


def write_results(settings: Settings, result: TrainResult, splits: DataSplits) -> dict[str, Any]:
    """Writes what a training leaves at its end, and returns results.json; of one that had ended, as it was."""
    from nas.api.plain_score import plain_score
    from search_space.errors import ConfigError
    from search_space.files import write_text
    from trainers.logs import draw_history, write_history

    out = settings.out
    earlier = _earlier(out / "results.json") if not result.new_steps else None
    if earlier is not None:
        return {**earlier, "weights": str(out / "weights.pt")}
    if result.best_score is None:
        save_weights(settings, result.state_dict, splits)
    write_history(out, result.history)
    try:
        draw_history(out, result.history)
    except ConfigError as error:
        say(f"note: {error}", err=True)
    summary = {
        "architecture": settings.architecture.key(),
        "data": splits.source,
        "train_fingerprint": splits.train.fingerprint(),
        "val_fingerprint": splits.val.fingerprint(),
        "epochs": result.epochs,
        "images_seen": result.images_seen,
        "steps": result.images_seen // settings.config.batch_size,
        "skipped_steps": result.bad_steps,
        "broken_images": result.broken_images,
        "seconds": round(result.seconds, 1),
        "ended_by": "patience" if result.out_of_patience else "schedule",
        "best_epoch": result.best_epoch,
        "score": plain_score(result.best_score),
        "last_score": plain_score(result.score),
        "weights": str(out / "weights.pt"),
    }
    write_text(out / "results.json", json.dumps(summary, indent=2) + "\n")
    return summary


def _earlier(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) and {"score", "seconds", "ended_by"} <= content.keys() else None


def report(summary: dict[str, Any], *, as_json: bool) -> None:
    """Prints results.json, or what of it a user wants to read."""
    from nas.commands.score_display import print_score

    if as_json:
        echo_json(summary)
        return
    if summary["score"]:
        print_score(summary["score"])
    rate = summary["images_seen"] / max(summary["seconds"], 1e-9)
    say(f"{summary['images_seen']} images in {summary['seconds']} s ({rate:.1f} images/s)")
    if summary["ended_by"] == "patience":
        say(f"ended after {summary['epochs']:.4g} epochs: no better accuracy")
    if summary["broken_images"]:
        say(f"{summary['broken_images']} training images could not be read and were left out")
    for line in failures(summary):
        say(line)
    none = summary["best_epoch"] is None or not summary["score"]["accuracy"]
    best = "" if none else f", the best, of epoch {summary['best_epoch']:.4g}"
    say(f"weights: {summary['weights']}{best}")


def failures(summary: dict[str, Any]) -> list[str]:
    """Returns what a user must know of a training that went wrong though it came to its end."""
    skipped, steps = summary["skipped_steps"], summary.get("steps", 0)
    lines = []
    if skipped:
        lines.append(f"{skipped} of {steps} steps were skipped, because their loss or its gradient was not finite")
    if 2 * skipped > steps:
        lines.append("most steps were skipped: this is no trained detector; lower --lr, or train in float32")
    if summary["score"] and not summary["score"]["accuracy"]:
        lines.append(
            "no evaluation found anything (accuracy 0): these weights are of no use; train for more --epochs"
            + (", or lower --lr" if skipped else "; if the loss does not fall, lower --lr or look at the labels")
        )
    return lines
