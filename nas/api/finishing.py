"""The end of a run: the best members of the front are trained on, evaluated on held-out images, and exported."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.api.events import FinishEnded, FinishEvent, FinishStarted, FinishStep
from nas.api.finish_results import evaluated_images, exported, scored
from nas.api.result import OnNotice
from nas.api.search_run import FrontMember, SearchRun, open_run
from nas.api.train import train
from nas.api.training_speed import Schedule, images_per_second
from nas.engine.session import reopen_data
from nas.engine.time_plan import MAX_FINISH_EPOCHS, plan_time
from nas.reports.finished_member import FINISHED, FinishedMember, read_finished
from search_space.errors import ConfigError
from trainers import fresh_detector, load_weights
from trainers.weights import is_readable

if TYPE_CHECKING:
    from nas.api.train_results import Training
    from search_space import Detector
    from trainers import TrainProgress
    from trainers.data import DataSplits

OnSpent = Callable[[str, float], None]
"""Is called with a phase, `finish` or `evaluation`, and the seconds that it took since the last call."""
LONGEST_UNTOLD = 10.0
"""Seconds of a training after which they are told at the latest, so that little is lost where it is killed."""
SPEED_SHARE = 0.05
"""Of the time of a member, for the measurement of its speed at most."""
LEFT_OVER = 0.05
"""Share of the time; if more is left, it is said."""


def finish(
    run_folder: str | Path,
    num_members: int,
    seconds: float,
    *,
    clock: Callable[[], float] = time.monotonic,
    threads: int | None = None,
    on_notice: OnNotice | None = None,
    on_progress: Callable[[FinishEvent], None] | None = None,
    on_spent: OnSpent | None = None,
) -> tuple[FinishedMember, ...]:
    """Trains the best members of the front of a run on from their weights, evaluates and exports them.

    Each member gets an equal share of the time that is left, and a schedule of as many epochs as fit into it at the
    speed that is measured for this member; at most `MAX_FINISH_EPOCHS`. No validation image chooses an epoch: the
    averaged weights at the end are taken. They are evaluated on the held-out validation images of the run, or on all
    where the run holds none out. A member that was trained to its end before is not trained again, and an interrupted
    training is resumed with the schedule it has.

    Args:
        run_folder: of a run that nobody else writes to at the same time.
        num_members: of the front, the most accurate first.
        seconds: for training, evaluation and export of all of them.
        clock: returns seconds; may be one of CPU time.
        threads: CPU threads; None: all.
        on_notice: is called with each line that the user should read.
        on_progress: is called with each event.
        on_spent: see `OnSpent`.

    Returns:
        All members of the run that were trained to their end, by rank.

    Raises:
        UserError: The folder holds no run, its data has changed, or a file cannot be written.
        KeyboardInterrupt: Ctrl-C; the next call resumes.
    """
    notify, tell = on_notice or (lambda line: None), on_progress or (lambda event: None)
    run = open_run(run_folder)
    members = run.most_promising(num_members)
    if len(members) < num_members:
        notify(f"finish: the front has {len(members)} of the {num_members} members that are to be trained on")
    if not members:
        return read_finished(run.folder)
    _, splits = reopen_data(run.config)
    meter = _Meter(clock, on_spent or (lambda phase, spent: None))
    finishing = _Finishing(run=run, splits=splits, threads=threads, meter=meter, notify=notify, tell=tell)
    done = {each.key for each in read_finished(run.folder)}
    waiting = [(rank, each) for rank, each in enumerate(members, start=1) if each.key not in done]
    for position, (rank, member) in enumerate(waiting):
        share = (seconds - meter.elapsed) / (len(waiting) - position)
        try:
            finishing.finish(member, share, rank=rank, num_members=len(members))
        except ConfigError as error:  # of one member; the others may do better
            notify(f"finish: {member.name}: {error}")
    found = read_finished(run.folder)
    if waiting and all(each.epochs > 0.99 * MAX_FINISH_EPOCHS for each in found):  # of whole steps
        _tell_left_over(run.folder, num_members, seconds, seconds - meter.elapsed, notify)
    return found


def _tell_left_over(run: Path, num_members: int, seconds: float, left: float, notify: OnNotice) -> None:
    """Says how much of the time is left over where each member has all epochs that it may have."""
    if left > LEFT_OVER * seconds:
        notify(
            f"finish: {left / 60:.1f} minutes are left over, because each member has its {MAX_FINISH_EPOCHS:g} epochs; "
            f"next: nas run --resume {run} --finish {num_members + 1} uses them"
        )


class _Meter:
    """Measures the time by a clock, and tells what each phase has taken."""

    def __init__(self, clock: Callable[[], float], on_spent: OnSpent) -> None:
        self.clock, self._on_spent = clock, on_spent
        self._began = self._told = clock()

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return self.clock() - self._began

    def spend(self, phase: str, *, now: float | None = None, least: float = 0.0) -> None:
        """Tells the seconds since the last call, if they are at least so many; `now` is what the clock says."""
        now = self.clock() if now is None else now
        if now - self._told >= least:
            self._on_spent(phase, now - self._told)
            self._told = now


@dataclass(frozen=True, kw_only=True)
class _Finishing:
    """What the finish of one member needs of the others."""

    run: SearchRun
    splits: DataSplits
    threads: int | None
    meter: _Meter
    notify: Callable[[str], None]
    tell: Callable[[FinishEvent], None]

    def finish(self, member: FrontMember, seconds: float, *, rank: int, num_members: int) -> None:
        """Trains one member, evaluates and exports it, unless the time is too short; raises ConfigError."""
        folder, began = self._folder(member), self.meter.clock()
        is_resumed = (folder / "config.yaml").is_file()
        start: dict[str, Any] = {"resume": folder}
        try:
            if not is_resumed:
                epochs = self._epochs(member, seconds)
                if epochs is None:
                    self.notify(
                        f"finish: no time is left to train {member.name} on; next: nas run --resume {self.run.folder} "
                        "with more --hours"
                    )
                    return
                start = {"architecture": member, "epochs": epochs, "out": folder, **self._start(member)}
            told = FinishStarted(name=folder.name, rank=rank, num_members=num_members, epochs=start.get("epochs"))
            self.tell(told)
            training = self._train(folder.name, start)
        finally:
            self.meter.spend("finish")
        took = training.seconds if is_resumed else self.meter.clock() - began
        try:
            self._end(member, training, took)
        finally:
            self.meter.spend("evaluation")

    def _folder(self, member: FrontMember) -> Path:
        """Returns the folder of the training of a member; an earlier session may have ranked it otherwise."""
        found = sorted((self.run.folder / FINISHED).glob(f"*-{member.key}"))
        return found[0] if found else self.run.folder / FINISHED / member.name

    def _epochs(self, member: FrontMember, seconds: float) -> float | None:
        """Returns the epochs that a share of the time holds; None where it holds no step."""
        config, began = self.run.config, self.meter.clock()
        speed = images_per_second(
            self._throw_away(member),
            self.splits.train,
            batch_size=config.batch,
            seed=config.seed,
            clock=self.meter.clock,
            limit_seconds=SPEED_SHARE * seconds,
        )
        _, images = evaluated_images(config, self.splits.val)
        known = Schedule(
            images_per_second=speed,
            train_images=len(self.splits.train),
            evaluated_images=len(self.splits.val) + len(images),  # once by the training, once with intervals
            batch_size=config.batch,
        )
        left = seconds - (self.meter.clock() - began)
        return known.epochs_within(left, plan_time(1.0, 1).evaluation_share * seconds)

    def _throw_away(self, member: FrontMember) -> Detector:
        """Returns a detector of a member, to measure its speed."""
        if is_readable(member.weights):
            return load_weights(member.weights).detector()
        return fresh_detector(member.architecture, num_classes=len(self.run.config.classes), seed=self.run.config.seed)

    def _start(self, member: FrontMember) -> dict[str, Any]:
        """Returns the settings of a new training beside its length."""
        config = self.run.config
        settings = {"batch": config.batch, "seed": config.seed, "eval_every": 0.0}
        if is_readable(member.weights):
            return {**settings, "pretrained": member.weights}
        self.notify(f"finish: {member.weights} is missing or damaged: {member.name} starts from random weights")
        return {**settings, "from_scratch": True}

    def _train(self, name: str, start: dict[str, Any]) -> Training:
        """Trains as `nas train` does."""
        config, known = self.run.config, {f"note: {notice}" for notice in self.splits.notices}
        places = {each: getattr(config, each) for each in ("data", "data_format", "images", "split", "pixel_range")}

        def notify(line: str) -> None:
            if not line.startswith("data: ") and line not in known:
                self.notify(f"{name}: {line}")

        return train(
            **start,
            **{each: value for each, value in places.items() if value is not None},
            threads=self.threads,
            on_notice=notify,
            on_progress=_Progress(name, self.meter, self.tell),
        )

    def _end(self, member: FrontMember, training: Training, seconds: float) -> None:
        """Evaluates and exports a member that is trained, and writes `finish.json` when all is done."""
        config, began = self.run.config, self.meter.clock()
        scored_on, images = evaluated_images(config, self.splits.val)
        scores = scored(training.weights, images, config)
        export, onnx = exported(training, config.device, self.notify)
        finished = FinishedMember(
            name=training.folder.name,
            key=member.key,
            folder=training.folder,
            weights=training.weights,
            export=export,
            onnx=onnx,
            scored_on=scored_on,
            num_images=len(images),
            scores=scores,
            epochs=training.epochs,
            images_seen=training.images_seen,
            seconds=seconds,
            evaluation_seconds=self.meter.clock() - began,
            macs=member.macs,
            params=member.params,
        )
        finished.write()
        self.tell(FinishEnded(member=finished))


class _Progress:
    """Turns the progress of a training into events, and tells the time it takes now and then."""

    def __init__(self, name: str, meter: _Meter, tell: Callable[[FinishEvent], None]) -> None:
        self._name, self._meter, self._tell = name, meter, tell
        self._first: tuple[int, float] | None = None

    def __call__(self, progress: TrainProgress) -> None:
        now, images_a_step = self._meter.clock(), progress.images_seen / progress.step
        first_step, since = self._first = self._first or (progress.step, now)
        rate = (progress.step - first_step) * images_a_step / (now - since) if now > since else None
        left = (progress.num_steps - progress.step) * images_a_step
        event = FinishStep(
            name=self._name,
            step=progress.step,
            num_steps=progress.num_steps,
            loss=progress.loss,
            images_per_second=rate,
            seconds_left=left / rate if rate else None,
        )
        self._meter.spend("finish", now=now, least=LONGEST_UNTOLD)
        self._tell(event)
