"""The threads of a search on a machine that others use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nas import busy_machine
from nas.busy_machine import threads_left
from nas.engine.run_request import RunRequest
from nas.engine.session import begin

DATA = Path(__file__).parents[1] / "data" / "hit_uav"
MEASURED = busy_machine.busy_share


@pytest.mark.parametrize(
    ("share", "cores", "threads"),
    [(0.0, 2, None), (0.2, 2, None), (0.3, 2, 1), (1.0, 2, 1), (0.5, 16, 8), (0.02, 16, None), (1.0, 1, 1)],
)
def test_threads_are_the_cores_that_are_left(
    monkeypatch: pytest.MonkeyPatch, share: float, cores: int, threads: int | None
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)), raising=False)
    assert threads_left(share) == threads


def test_the_use_of_the_cores_is_read_from_the_ticks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stat = tmp_path / "stat"
    stat.write_text("cpu 100 0 50 1000 10 0 0 0 0 0\ncpu0 1 2 3\n")
    monkeypatch.setattr(busy_machine, "STAT", stat)
    later = "cpu 160 0 60 1025 15 0 0 0 0 0\n"
    monkeypatch.setattr(busy_machine.time, "sleep", lambda seconds: stat.write_text(later))
    assert MEASURED() == pytest.approx(0.7)
    monkeypatch.setattr(busy_machine, "STAT", tmp_path / "none")
    assert MEASURED() == 0.0


@pytest.mark.parametrize(("share", "given", "threads"), [(0.9, None, 1), (0.0, None, None), (0.9, 2, 2)])
def test_a_search_takes_the_threads_that_are_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float, given: int | None, threads: int | None
) -> None:
    monkeypatch.setattr(busy_machine, "busy_share", lambda: share)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1}, raising=False)
    session = begin(
        RunRequest.of(data=str(DATA), budget_gflops=1, trials=1, threads=given, out=str(tmp_path), name="a")
    )
    assert session.config.threads == threads
    told = [line for line in session.notices if "trials train in" in line]
    assert told == (
        ["other programs use 90 % of the cores: trials train in 1 thread; next: --threads N for another number"]
        if (share, given) == (0.9, None)
        else []
    )
