"""A training that is killed at any time and resumed ends as one that was not."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainers.child_trainings import STEPS, finish, read_losses, start
from trainers.weights import read_torch

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training that nothing interrupted."""
    folder = tmp_path_factory.mktemp("trainings") / "whole"
    assert finish(folder) == [0]
    return folder


def ending(folder: Path) -> dict[str, Any]:
    return read_torch(folder / "result.pt", "result")


def assert_same_ending(folder: Path, other: Path) -> None:
    first, second = ending(folder), ending(other)
    for name in ("state", "last"):
        assert all(torch.equal(first[name][key], second[name][key]) for key in first[name]), name
    assert first["history"] == second["history"] and first["score"] == second["score"]
    curve = dict(read_losses(other))
    assert all(curve[step] == loss for step, loss in read_losses(folder)), "every step, also one that was repeated"


def kill_after(folder: Path, step: int, delay: float) -> None:
    """Starts the training in `folder` and kills it a moment after a step, or lets it end if that is not reached."""
    (child,) = start(folder)
    log = folder / "losses-0.txt"
    while child.is_alive() and not (log.exists() and any(done >= step for done, _ in read_losses(folder))):
        time.sleep(0.002)
    time.sleep(delay)
    child.kill()
    child.join()


def test_killed_at_random_points_and_resumed(whole: Path, tmp_path: Path) -> None:
    draw = random.Random()  # other points each time: none of them may matter
    folder = tmp_path / "killed"
    for step in sorted(draw.sample(range(STEPS - 1), 4)):
        kill_after(folder, step, draw.uniform(0, 0.1))
    assert finish(folder) == [0]
    assert_same_ending(folder, whole)


@pytest.mark.parametrize("at_pass", [1, 8])
def test_ctrl_c_within_a_step_ends_after_it(whole: Path, tmp_path: Path, at_pass: int) -> None:
    folder = tmp_path / "stopped"
    assert finish(folder, erring=("SIGINT", 0, at_pass), checkpoint_steps=0) == [1]
    done = (at_pass + 1) // 2
    assert read_torch(folder / "last.pt", "checkpoint")["state"]["step"] == done
    assert finish(folder, checkpoint_steps=0) == [0]
    assert [step for step, _ in read_losses(folder)] == [*range(1, done), *range(done + 1, STEPS + 1)], "none twice"
    assert_same_ending(folder, whole)


def test_a_second_ctrl_c_ends_at_once_and_leaves_the_last_checkpoint(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "stopped"
    assert finish(folder, erring=("SIGINT+SIGINT", 0, 6)) == [1]  # in the second part of step 3
    assert read_torch(folder / "last.pt", "checkpoint")["state"]["step"] == 2
    assert finish(folder) == [0]
    assert_same_ending(folder, whole)
