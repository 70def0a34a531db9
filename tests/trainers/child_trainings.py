"""Trainings in child processes, which can be killed or train together; for the tests of both."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
import torch._dynamo  # noqa: F401  else every child imports it at its first step

from tests.trainers.conftest import TinyDetector, tiny_detector
from trainers import Augmentation, TrainConfig, TrainProgress, train
from trainers.data.synthetic import synthetic_splits
from trainers.distributed import join_processes
from trainers.weights import write_torch

CONFIG = TrainConfig(
    epochs=2,
    batch_size=4,
    accumulate=2,
    seed=1,
    eval_every=1.0,
    checkpoint_steps=2,
    augmentation=Augmentation(mosaic=0.5),
)
STEPS = 12


class Erring(TinyDetector):
    """Raises an error or a signal in a training pass."""

    def __init__(self, at_pass: int, what: str) -> None:
        super().__init__(3, (96, 96))
        self.at_pass, self.what, self.passes = at_pass, what, 0

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        self.passes += self.training
        if self.training and self.passes == self.at_pass:
            if self.what == "error":
                raise RuntimeError("broken on purpose")
            for name in self.what.split("+"):
                signal.raise_signal(signal.Signals[name])
        return super().forward(images)


def start(folder: Path, *, size: int = 1, **options: Any) -> list[BaseProcess]:
    """Starts `size` processes that train in `folder` together; see `_train`."""
    folder.mkdir(exist_ok=True)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.trainers.child_trainings"])  # so that torch is imported once
    with socket.socket() as finder:
        finder.bind(("127.0.0.1", 0))
        port = finder.getsockname()[1]
    children = [context.Process(target=_train, args=(folder, rank, size, port, options)) for rank in range(size)]
    for child in children:
        child.start()
    return list(children)


def finish(folder: Path, *, size: int = 1, **options: Any) -> list[int | None]:
    """Trains in `folder` to the end; returns the exit codes."""
    children = start(folder, size=size, **options)
    for child in children:
        child.join(timeout=60)
    return [child.exitcode for child in children]


def _train(folder: Path, rank: int, size: int, port: int, options: dict[str, Any]) -> None:
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # where the tests run in the background, it is ignored
    if size > 1:
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size}
        os.environ.update({name: str(value) for name, value in place.items()})
    what, erring_rank, at_pass = options.pop("erring", (None, 0, 0))
    detector: Any = tiny_detector()
    if what and rank == erring_rank:
        detector = Erring(at_pass, what)
        detector.load_state_dict(tiny_detector().state_dict())
    shapes = synthetic_splits(seed=3, num_train=24, num_val=1)[0]
    config = replace(CONFIG, **options)
    with join_processes("cpu"), (folder / f"losses-{rank}.txt").open("a", buffering=1) as losses:

        def note(progress: TrainProgress) -> None:
            losses.write(f"{progress.step} {progress.loss!r}\n")

        result = train(
            detector,
            shapes,
            shapes.limited(4),
            config=config,
            on_step=note,
            checkpoint=folder / "last.pt",
            resume=True,
        )
        if rank == 0:
            assert result.score is not None
            content = {"state": result.state_dict, "history": result.history, "score": repr(result.score.to_dict())}
            write_torch(folder / "result.pt", {**content, "last": dict(detector.state_dict())})


def read_losses(folder: Path) -> list[tuple[int, float]]:
    """Returns (step, loss) of every step that was done, in order, repeated ones too."""
    lines = [line.split() for line in (folder / "losses-0.txt").read_text().splitlines()]
    return [(int(step), float(loss)) for step, loss in (line for line in lines if len(line) == 2)]
