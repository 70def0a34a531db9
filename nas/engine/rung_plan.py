"""Lays the rungs of a run by its time and by the measured speed of training."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from nas.engine.domain import Candidate
from nas.engine.ladder import PROMOTED_SHARE, Ladder
from nas.engine.time_plan import search_minutes
from nas.executors import Executor, Job, Step
from results.trial import Cause, Outcome
from trainers.data.holdout import divide

if TYPE_CHECKING:
    from nas.engine.session import Session

NUM_TRIALS = 24
"""How many trials of the first rung the time holds at least, unless they would be too short."""
LEAST_IMAGES, LEAST_EPOCHS, MOST_EPOCHS = 800, 0.4, 2.0
"""The bounds of the first rung, whose lower one is the smaller of two: after fewer images, detectors that started from
random weights have no order yet; in a long run there are more trials, not longer ones."""
FEWEST_TRIALS = 2
"""How many trials the time has to hold whatever their length, so that there is a front even on a busy machine."""
MAX_RUNGS = 3
TRAINING_SHARE = 0.8
"""The part of a trial's time that it trains; the rest is for its scores."""
SLOWER = 1.6
"""How much longer a detector takes for an image on average than the first design of a run."""
MIN_VAL_IMAGES = 100
WARMUP_STEPS, MEASURED_STEPS, SCORED_IMAGES = 15, 45, 24
"""Of the training that measures the speed."""


@dataclass(frozen=True, kw_only=True)
class Speed:
    """How fast one worker trains and scores a detector."""

    images_a_second: float
    """In training."""
    scored_a_second: float
    """In validation."""


def lay_rungs(
    seconds: float, speed: Speed, *, workers: int, num_train: int, num_val: int, num_parts: int = 1
) -> Ladder:
    """Returns the rungs with which the time holds many trials and the best of them reach the last rung.

    Each rung trains on three times the images of the rung below, for the third of its trials that is promoted, so all
    rungs take the same time. Trials of a rung are scored on as many images as a fifth of their time allows.

    Args:
        seconds: Of the search.
        speed: Of a fast detector.
        workers: Trials at the same time.
        num_train: Training images.
        num_val: Validation images that score trials.
        num_parts: Of so many images that score the trials of the last rung: 2 where images are held out.
    """
    in_all = seconds * workers * speed.images_a_second / SLOWER * TRAINING_SHARE
    least = max(1.0, min(LEAST_IMAGES, LEAST_EPOCHS * num_train, in_all / FEWEST_TRIALS))
    # Another rung is worth it once the first one is as long as it has to be.
    count = max(1, min(MAX_RUNGS, int(in_all / (NUM_TRIALS * least))))
    images = in_all / (count * num_trials(in_all / count / least))
    images = min(max(images, least), MOST_EPOCHS * num_train)
    trained = [images * PROMOTED_SHARE**rung for rung in range(count)]
    scored = [each / speed.images_a_second * (1 / TRAINING_SHARE - 1) * speed.scored_a_second for each in trained]
    scored[-1] /= num_parts
    fewest = min(MIN_VAL_IMAGES, num_val)
    return Ladder(
        epochs=tuple(_rounded(each / num_train) for each in trained),
        images=tuple(int(min(max(each, fewest), num_val)) for each in scored),
    )


def laid(session: Session, executor: Executor) -> tuple[Session, list[str]]:
    """Returns a session with rungs that follow from its time and the speed of training, which is measured; and notices.

    The rungs of a run are laid once, and stay as they are where the speed cannot be measured.
    """
    config, splits = session.config, session.splits
    if not session.lays_rungs:
        return session, []
    minutes = search_minutes(config, session.folder.path)
    assert minutes is not None
    num_train = len(splits.train)
    speed = measure_speed(
        executor, session.starts[0].candidate, seed=config.seed, num_train=num_train, batch=config.batch
    )
    if speed is None:
        return session, ["the speed of training could not be measured: the rungs stay as they are"]
    parts = divide(splits.val) if config.holdout == "yes" else (splits.val,)
    ladder = lay_rungs(
        60 * minutes,
        speed,
        workers=executor.capacity,
        num_train=num_train,
        num_val=min(map(len, parts)),
        num_parts=len(parts),
    )
    notices = [f"measured: {speed.images_a_second:.3g} training images a second; {ladder_words(ladder)}"]
    images, wanted = ladder.epochs[0] * num_train, min(LEAST_IMAGES, LEAST_EPOCHS * num_train)
    if images < 0.9 * wanted:  # epochs have two digits, so that a rung of the wanted length can be a little shorter
        times = NUM_TRIALS / FEWEST_TRIALS * wanted / images
        notices.append(
            f"{minutes:.3g} minutes of search are short at this speed: trials train on {images:.0f} images, too few to "
            f"rank detectors; next: give the run {times:.0f} times as long"
        )
    laid_out = replace(config, rungs=ladder.epochs, rung_images=ladder.images)
    return replace(session, config=laid_out), notices


def ladder_words(ladder: Ladder) -> str:
    """Returns in words how rungs train and what scores them."""
    epochs = " and ".join(f"{each:g}" for each in ladder.epochs)
    images = " and ".join(map(str, ladder.images))
    return f"rungs of {epochs} epochs, scored on {images} validation images"


def num_trials(shortest: float) -> float:
    """Returns how many trials share the time of a rung: more in a longer run, as trials get longer too.

    Args:
        shortest: How many of the shortest trials the time holds.
    """
    return NUM_TRIALS * max(1.0, math.sqrt(shortest / NUM_TRIALS))


def _rounded(epochs: float) -> float:
    """Returns two digits of a number, so that rungs can be read and given again."""
    return float(f"{epochs:.2g}")


def measure_speed(executor: Executor, candidate: Candidate, *, seed: int, num_train: int, batch: int) -> Speed | None:
    """Trains a detector for a few steps and scores it on a few images; None where that fails.

    Raises:
        KeyboardInterrupt: Ctrl-C ended it.
        DataError: The data cannot be used.
    """
    found = None
    for steps in (WARMUP_STEPS, MEASURED_STEPS):
        job = Job(
            number=-1,
            architecture=candidate.architecture,
            seed=seed,
            rung=1,
            epochs=steps * batch / num_train,
            val_images=SCORED_IMAGES,
            memory_bytes=candidate.cost.memory_bytes,
        )
        executor.submit(job)
        _, found = executor.wait(_ignore)
        if found.cause is Cause.INTERRUPTED:
            raise KeyboardInterrupt
        if found.outcome is not Outcome.COMPLETE or not found.training_seconds:
            return None
    assert found is not None and found.training_seconds is not None
    scoring = max(found.seconds - found.training_seconds, 1e-3)
    return Speed(images_a_second=found.images_seen / found.training_seconds, scored_a_second=SCORED_IMAGES / scoring)


def _ignore(step: Step) -> None:
    """Reports nothing."""
