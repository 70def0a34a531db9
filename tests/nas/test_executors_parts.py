"""The parts of the executors: placing jobs, handing them on, throttled steps, peak memory, rungs of a training."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from nas.executors import Evaluation, Job, Step, StopTrial, ray_env
from nas.executors.attempt import Attempt, attempt, is_out_of_memory
from nas.executors.memory import PeakMemory
from nas.executors.ray_queue import JobQueue
from nas.executors.ray_resources import (
    MARGIN,
    SMALLEST_REQUEST,
    Measured,
    Place,
    gpu_share,
    memory_request,
    predict_bytes,
)
from nas.executors.training import TrainingSpec, device_of
from nas.executors.worker import throttled
from results.trial import Cause, Outcome
from search_space import DESIGNS
from search_space.errors import ConfigError, DataError
from trainers import TrainConfig, load_weights

DATA = Path(__file__).parents[1] / "data" / "hit_uav"
GB = 10**9
SMALL = DESIGNS.get("yolov8n").architecture.resized((64, 64))


def place(**given: Any) -> Place:
    known = {"cpus": 2, "gpus": 0.25, "node_cpus": 16, "node_memory_bytes": 32 * GB, "num_workers": 4}
    return Place(**{**known, **given})


def job(number: int, **given: Any) -> Job:
    return Job(number=number, architecture=SMALL, seed=0, **given)


def seen(*pairs: tuple[int, int]) -> list[Measured]:
    return [Measured(predicted_bytes=predicted, peak_bytes=peak) for predicted, peak in pairs]


def test_memory_is_predicted_from_three_jobs_on() -> None:
    pairs = seen((10, 120), (20, 140), (30, 160))
    assert predict_bytes(40, pairs[:2]) is None and predict_bytes(None, pairs) is None
    assert predict_bytes(40, pairs) == pytest.approx(MARGIN * 180, abs=1)


@pytest.mark.parametrize(
    ("pairs", "memory", "expected"),
    [
        (((10, 120), (20, 150), (30, 160)), 40, 190),  # the line 103.3 + 2 x, raised by 6.7 to the middle one
        (((10, 120), (10, 90), (10, 100)), 30, 120),  # one size alone tells no slope
        (((10, 160), (20, 140), (30, 120)), 40, 160),  # less memory for more activations is chance
        (((100, 200), (200, 300), (300, 400)), 1, 200),  # never less than the least that was seen
    ],
)
def test_no_job_seen_lies_above_the_prediction(
    pairs: tuple[tuple[int, int], ...], memory: int, expected: float
) -> None:
    assert predict_bytes(memory, seen(*pairs)) == pytest.approx(MARGIN * expected, abs=1)
    assert all(predict_bytes(x, seen(*pairs)) >= y for x, y in pairs)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("needed", "least", "share"),
    [(1, 0.25, 1 / 4), (21, 0.25, 1 / 3), (39, 0.25, 1 / 2), (41, 0.25, 1), (999, 0.25, 1), (1, 0.3, 1 / 3), (1, 2, 2)],
)
def test_the_share_of_a_gpu_fits_a_whole_number_of_times(needed: int, least: float, share: float) -> None:
    assert gpu_share(needed * GB, 80 * GB, least=least) == pytest.approx(share)


def test_main_memory_is_asked_for_in_few_steps() -> None:
    assert memory_request(1, 32 * GB) == memory_request(SMALLEST_REQUEST, 32 * GB) == SMALLEST_REQUEST
    assert memory_request(SMALLEST_REQUEST + 1, 32 * GB) == 2 * SMALLEST_REQUEST
    assert memory_request(40 * GB, 32 * GB) == 32 * GB


def test_what_a_job_asks_for() -> None:
    assert place().bundle(None, 80 * GB) == place().bundle(30 * GB, None) == {"CPU": 2, "GPU": 0.25}
    assert place().bundle(30 * GB, 80 * GB) == {"CPU": 2, "GPU": 0.5}
    assert place(gpus=0).bundle(None, None) == place(gpus=0).bundle(8 * GB, None) == {"CPU": 2}
    assert place(gpus=0).bundle(9 * GB, None) == {"CPU": 2, "memory": memory_request(9 * GB, 32 * GB)}
    assert place().whole() == {"CPU": 16, "GPU": 1} and place(gpus=0).whole() == {"CPU": 16}


def ended(peak: int = 0) -> Attempt:
    return Attempt(evaluation=Evaluation(outcome=Outcome.COMPLETE, peak_memory_bytes=peak))


def test_jobs_are_handed_on_in_order_and_more_is_asked_when_more_is_needed() -> None:
    feed = JobQueue(place(gpus=0.125))
    for number, peak in enumerate((11 * GB, 12 * GB, 13 * GB)):
        feed.put(job(number, memory_bytes=(number + 1) * GB))
        placed = feed.next()
        assert placed is not None and placed.job.number == number and placed.bundle["GPU"] == 0.125
        feed.end(number, ended(), gpu_bytes=80 * GB)
        assert feed.ended.get_nowait()[0] == number
        feed.learn(placed.job, ended(peak).evaluation)
    feed.put(job(3, memory_bytes=20 * GB))
    placed = feed.next()
    assert placed is not None and placed.bundle["GPU"] == 0.5  # 30 GB and the margin, of 80


def test_a_job_that_was_out_of_memory_runs_when_nothing_else_does() -> None:
    feed = JobQueue(place())
    feed.put(job(0))
    feed.put(job(1))
    assert [feed.next().job.number for _ in range(2)] == [0, 1]  # type: ignore[union-attr]
    feed.end(0, ended())
    assert feed.put_alone(job(0))
    feed.put(job(2))
    assert feed.next() is None
    feed.end(1, ended())
    placed = feed.next()
    assert placed is not None and placed.job.number == 0 and placed.bundle == place().whole()
    assert feed.next() is None
    feed.end(0, ended())
    assert not feed.put_alone(job(0))
    assert feed.next().job.number == 2  # type: ignore[union-attr]


def test_who_waits_for_a_job_is_told_that_all_is_over() -> None:
    feed, got = JobQueue(place()), []
    thread = threading.Thread(target=lambda: got.append(feed.next()))
    thread.start()
    time.sleep(0.05)
    assert got == [] and not feed.is_closed
    feed.close()
    thread.join(10)
    assert got == [None] and feed.is_closed


def test_steps_are_throttled_but_never_the_last() -> None:
    now, sent = [0.0], []
    report = throttled(lambda step: sent.append(step.step), lambda: None, seconds=1.0, clock=lambda: now[0])
    for step in range(1, 11):
        report(Step(number=0, step=step, num_steps=10, loss=0.0))
        now[0] += 0.3
    assert sent == [1, 5, 9, 10]


def test_a_request_to_stop_is_seen_at_every_step() -> None:
    requests = iter([None, None, StopTrial(Cause.TIME_UP)])
    report = throttled(lambda step: None, lambda: next(requests), seconds=99.0)
    step = Step(number=0, step=1, num_steps=10, loss=0.0)
    report(step)
    report(step)
    with pytest.raises(StopTrial) as caught:
        report(step)
    assert caught.value.cause is Cause.TIME_UP


def test_what_is_out_of_memory() -> None:
    assert is_out_of_memory(MemoryError()) and is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert not is_out_of_memory(RuntimeError("out of luck"))
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60)
    assert is_out_of_memory(caught.value)


def test_an_attempt_can_be_sent_whatever_happened() -> None:
    class Broken:
        def evaluate(self, job: Job, report: Any) -> Evaluation:
            raise DataError("cannot decode image a.jpg")

    tried = attempt(Broken(), job(0), lambda step: None)
    assert tried.evaluation.outcome == "failed" and not tried.out_of_memory
    with pytest.raises(DataError, match="a.jpg"):
        tried.check_fault()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak")
def test_the_peak_of_one_evaluation_after_the_other() -> None:
    memory = PeakMemory(torch.device("cpu"))
    peaks = []
    for megabytes in (300, 1):
        memory.restart()
        torch.ones(megabytes * 2**18)
        peaks.append(memory.read() or 0)
    assert 290 * 2**20 < peaks[0] < 400 * 2**20 and peaks[1] < 150 * 2**20


def test_workers_take_turns_with_the_gpus() -> None:
    assert [device_of(worker, "auto", 2) for worker in range(3)] == ["cuda:0", "cuda:1", "cuda:0"]
    assert device_of(1, "cuda", 2) == "cuda:1" and device_of(1, "auto", 0) == "auto"
    assert device_of(1, "cpu", 2) == "cpu" and device_of(1, "cuda:0", 2) == "cuda:0"


def test_paths_are_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    spec = TrainingSpec(config=TrainConfig(), data="data", images="images")
    assert (spec.data, spec.images) == (str(tmp_path / "data"), str(tmp_path / "images"))
    sent = job(0, weights_path=Path("a.pt")).absolute()
    assert sent.weights_path == tmp_path / "a.pt" and sent.start_weights is None


@pytest.mark.slow
def test_a_rung_goes_on_from_the_weights_of_the_one_before(tmp_path: Path) -> None:
    spec = TrainingSpec(config=TrainConfig(epochs=1.0, batch_size=2, device="cpu"), data=str(DATA), threads=1)
    evaluator = spec.make()
    first, second = tmp_path / "first.pt", tmp_path / "second.pt"
    rungs = [
        evaluator.evaluate(
            Job(number=0, architecture=SMALL, seed=3, epochs=epochs, weights_path=to, start_weights=start),
            lambda step: None,
        )
        for epochs, start, to in ((0.34, None, first), (0.34, first, second), (None, None, tmp_path / "whole.pt"))
    ]
    assert [each.images_seen for each in rungs] == [2, 2, 6]
    assert all(each.peak_memory_bytes is not None for each in rungs)  # how much depends on what the process had free
    distances = [_distance(first, tmp_path / "whole.pt"), _distance(first, second)]
    assert 0 < distances[1]
    fresh = Job(number=0, architecture=SMALL, seed=4, epochs=0.34, weights_path=tmp_path / "other.pt")
    evaluator.evaluate(fresh, lambda step: None)
    assert _distance(first, second) < _distance(first, tmp_path / "other.pt") / 2


MEASURED = """
import sys
from pathlib import Path
from nas.executors import Job
from nas.executors.training import TrainingSpec
from search_space import Architecture
from trainers import TrainConfig
spec = TrainingSpec(config=TrainConfig(batch_size=2, device="cpu"), data=sys.argv[1], threads=1)
job = Job(number=0, architecture=Architecture.from_yaml(Path(sys.argv[2])), seed=3, epochs=0.34)
print(spec.make().evaluate(job, lambda step: None).peak_memory_bytes)
"""


@pytest.mark.slow
def test_the_memory_of_a_training_is_measured(tmp_path: Path) -> None:
    """In a process of its own: one that has freed memory before needs no more of it for a small training."""
    SMALL.to_yaml(tmp_path / "small.yaml")
    command = [sys.executable, "-c", MEASURED, str(DATA), str(tmp_path / "small.yaml")]
    assert int(subprocess.run(command, capture_output=True, text=True, check=True).stdout) > 2**20


def _distance(one: Path, other: Path) -> float:
    """The Euclidean distance of two weights files, over all convolutions."""
    states = [load_weights(path).state for path in (one, other)]
    return float(sum((states[0][name] - states[1][name]).norm() for name in states[0] if states[0][name].ndim == 4))


@pytest.mark.slow
def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    evaluator = TrainingSpec(config=TrainConfig(epochs=0.34, batch_size=2), data=str(DATA), threads=1).make()
    evaluator.evaluate(Job(number=0, architecture=SMALL, seed=0, weights_path=tmp_path / "a.pt"), lambda step: None)
    other = DESIGNS.get("yolov8n-p2").architecture.resized((64, 64))
    with pytest.raises(ConfigError, match="do not fit"):
        evaluator.evaluate(
            Job(number=1, architecture=other, seed=0, start_weights=tmp_path / "a.pt"), lambda step: None
        )


@pytest.mark.slow
def test_without_ray_one_line_says_how_to_install_it() -> None:
    script = "import sys; sys.modules['ray'] = None\ntry: import nas.executors.ray\nexcept ValueError as e: print(e)"
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert "pip install 'ray[tune]'" in said and said.count("\n") == 1


def test_folders_of_processes_that_are_no_more_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(ray_env, "Path", lambda *parts: tmp_path if parts == ("/", "tmp") else Path(*parts))
    ended = subprocess.Popen(["true"])
    ended.wait()
    left = [tmp_path / f"nas-ray-{pid}-abc" for pid in (ended.pid, os.getpid(), os.getppid())]
    for folder in (*left, tmp_path / "nas-ray-other"):
        (folder / "session").mkdir(parents=True)
    made = Path(ray_env.short_folder())
    assert made.is_dir() and made.name.startswith(f"nas-ray-{os.getpid()}-")
    assert [folder.exists() for folder in left] == [False, True, True] and (tmp_path / "nas-ray-other").exists()
