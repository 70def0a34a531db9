"""How `nas train` shows the result of a training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas.commands.display import say
from nas.commands.options import echo_json

if TYPE_CHECKING:
    from nas.api.train_results import Training


def report(training: Training, *, as_json: bool) -> None:
    """Prints the result of a training: its results.json, or the part of it that a user wants to read."""
    from nas.api.plain_score import plain_score
    from nas.commands.score_display import print_score

    if as_json:
        echo_json(training.to_dict())
        return
    score = plain_score(training.score)
    if score is not None:
        print_score(score)
    rate = training.images_seen / max(training.seconds, 1e-9)
    say(f"{training.images_seen} images in {training.seconds} s ({rate:.1f} images/s)")
    if training.teacher is not None:
        share = training.teacher.seconds / max(training.seconds, 1e-9)
        say(f"the predictions of the teacher took {training.teacher.seconds:.1f} s of it ({share:.0%})")
    if training.ended_by == "patience":
        say(f"ended after {training.epochs:.4g} epochs: no better accuracy")
    if training.broken_images:
        say(f"{training.broken_images} training images could not be read and were left out")
    for line in training.failures:
        say(line)
    has_best = training.best_epoch is not None and training.score is not None and training.score.accuracy > 0
    say(f"weights: {training.weights}{f', the best, of epoch {training.best_epoch:.4g}' if has_best else ''}")
