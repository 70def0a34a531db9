"""What every executor keeps: how jobs end, one by one, and that nothing is left running."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import search_fakes
from executor_fakes import (
    AFTER_LAST,
    AFTER_NEXT,
    BROKEN_DATA,
    ENDLESS,
    ERROR,
    GOOD,
    KILLED,
    NAN,
    PATIENCE_SECONDS,
    SHORT_ALWAYS,
    SHORT_ONCE,
    SLOW,
    STUCK,
    FakeSpec,
    is_alive,
)
from search_fakes import FakeEvaluator, FormulaSpec

from nas.engine.ladder import Ladder
from nas.executors import (
    Evaluation,
    Executor,
    Job,
    NothingUnderWay,
    Report,
    Step,
    StopTrial,
)
from nas.executors.kind import Workers
from nas.executors.kinds import EXECUTORS
from results import records
from results.trial import Cause, Outcome
from search_space import DESIGNS
from search_space.errors import DataError

ARCHITECTURE = DESIGNS.get("yolov8n").architecture
NUMBERS = itertools.count()
KINDS = [pytest.param(name, marks=() if name == "local" else pytest.mark.slow) for name in EXECUTORS.names()]


class Rig:
    """An executor with the folder that its workers leave notes in."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind, self.folder = kind, folder
        folder.mkdir()
        spec = FakeSpec(folder=folder)
        self.executor: Executor = open_executor(kind, spec)
        self.num_under_way = 0

    def submit(self, *seeds: int) -> list[Job]:
        jobs = [Job(number=next(NUMBERS), architecture=ARCHITECTURE, seed=seed) for seed in seeds]
        for job in jobs:
            self.executor.submit(job)
            self.num_under_way += 1
        return jobs

    def wait(self, report: Report) -> tuple[Job, Evaluation]:
        try:
            ended = self.executor.wait(report)
        finally:
            self.num_under_way -= 1
        return ended

    def run(self, seed: int, report: Report = lambda step: None) -> Evaluation:
        (job,) = self.submit(seed)
        done, evaluation = self.wait(report)
        assert done is job
        return evaluation

    def num_tries(self, job: Job) -> int:
        return len(list(self.folder.glob(f"tried-{job.number}-*")))

    def num_alive(self) -> int:
        return sum(is_alive(path) for path in self.folder.glob("made-*"))

    def await_none_alive(self) -> None:
        """Workers are killed before `wait` and `close` return; the system may take a moment to bury them."""
        deadline = time.monotonic() + 10
        while self.num_alive():
            assert time.monotonic() < deadline, "a worker is left"
            time.sleep(0.02)


def open_executor(name: str, spec: FakeSpec) -> Executor:
    """Opens any registered executor as a run does: with two workers where it takes a number of them."""
    kind = EXECUTORS.get(name)
    workers = 2 if "workers" in kind.takes and name != "local" else None
    return kind.open(Workers(factory=spec, here=spec.make, workers=workers))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One Ray for all tests; one executor at a time has room in it."""
    ray = pytest.importorskip("ray")
    from nas.executors import ray as executor

    folder = executor.short_folder()
    executor._connect(None, folder, 2)
    yield
    ray.shutdown()
    executor.shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module", params=KINDS)
def rigs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Rig]]:
    """Gives an executor that the tests of this module share, as workers are slow to start: anew after a failed one."""
    if request.param == "ray":
        request.getfixturevalue("cluster")
    opened: list[Rig] = []

    def give() -> Rig:
        if opened and opened[-1].num_under_way:
            opened.pop().executor.close()
        if not opened:
            opened.append(Rig(request.param, tmp_path_factory.mktemp("executor") / "notes"))
        return opened[-1]

    yield give
    for each in opened:
        each.executor.close()


@pytest.fixture
def rig(rigs: Callable[[], Rig]) -> Rig:
    """The executor that tests share."""
    return rigs()


@pytest.fixture(params=KINDS)
def own(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    """An executor of one test, which ends it."""
    if request.param == "ray":
        request.getfixturevalue("cluster")
    rig = Rig(request.param, tmp_path / "notes")
    with rig.executor:
        yield rig


def test_closing_ends_what_runs_and_may_be_done_twice(own: Rig) -> None:
    if own.kind != "local":
        (own.folder / "unmade").touch()
        with pytest.raises(DataError, match="^there are no images$"):
            own.run(GOOD)
        (own.folder / "unmade").unlink()
        own.submit(STUCK)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not list(own.folder.glob("stuck-*")):
            assert time.monotonic() < deadline, "the job does not begin"
            time.sleep(0.02)
    own.executor.close()
    if own.kind != "local":
        own.await_none_alive()
    own.executor.close()


def test_jobs_come_back_as_they_end_and_stopping_one_leaves_the_other(rig: Rig) -> None:
    if rig.executor.capacity == 1:
        pytest.skip("one job at a time")
    slow, quick = rig.submit(AFTER_NEXT, GOOD)
    assert rig.wait(lambda step: None)[0] is quick
    (endless,) = rig.submit(ENDLESS)
    job, evaluation = rig.wait(lambda step: None)
    assert job is slow and evaluation.outcome == "complete" and evaluation.peak_memory_bytes == 1000
    assert evaluation.scores["accuracy"] == slow.number / 100
    (other,) = rig.submit(AFTER_LAST)

    def report(step: Step) -> None:
        if step.number == endless.number and (rig.folder / f"running-{other.number}").exists():
            raise StopTrial(Cause.TIME_UP)

    job, evaluation = rig.wait(report)
    assert job is endless and (evaluation.outcome, evaluation.cause) == (Outcome.STOPPED, Cause.TIME_UP)
    assert evaluation.images_seen == 7
    job, evaluation = rig.wait(report)
    assert job is other and evaluation.outcome == "complete"


def test_a_stopped_job_is_followed_by_the_next(rig: Rig) -> None:
    def report(step: Step) -> None:
        raise StopTrial(Cause.TIME_UP, keep=True)

    stopped = rig.run(ENDLESS, report)
    assert stopped.cause is Cause.TIME_UP and stopped.scores == {"accuracy": 0.25}
    assert rig.run(GOOD).outcome == "complete"


def test_workers_are_used_again(rig: Rig) -> None:
    if rig.executor.capacity == 1:
        pytest.skip("whoever runs one job at a time may start anew for each")
    num_made = len(list(rig.folder.glob("made-*")))
    for _ in range(4):
        rig.run(GOOD)
    assert len(list(rig.folder.glob("made-*"))) <= max(1, num_made)


def test_steps_arrive_the_last_one_always(rig: Rig) -> None:
    steps: list[Step] = []
    (job,) = rig.submit(SLOW)
    rig.wait(steps.append)
    assert {step.number for step in steps} == {job.number} and {step.num_steps for step in steps} == {10}
    numbers = [step.step for step in steps]
    assert numbers[0] == 1 and numbers[-1] == 10 and numbers == sorted(set(numbers))


def test_an_exception_is_a_failed_job_with_its_reason(rig: Rig) -> None:
    (job,) = rig.submit(ERROR)
    evaluation = rig.wait(lambda step: None)[1]
    assert (evaluation.outcome, evaluation.cause) == (Outcome.FAILED, Cause.EXCEPTION)
    assert evaluation.reason == f"RuntimeError: cannot do {job.number}"


def test_a_score_may_be_nan(rig: Rig) -> None:
    assert math.isnan(rig.run(NAN).scores["accuracy"])


def test_broken_data_is_raised_and_the_next_job_works(rig: Rig) -> None:
    with pytest.raises(DataError, match=r"^cannot decode image a\.jpg$"):
        rig.run(BROKEN_DATA)
    assert rig.run(GOOD).outcome == "complete"


def test_a_killed_worker_is_told_and_replaced(rig: Rig) -> None:
    if rig.kind == "local":
        pytest.skip("there is no worker")
    evaluation = rig.run(KILLED)
    assert (evaluation.outcome, evaluation.cause) == (Outcome.FAILED, Cause.WORKER_LOST)
    assert rig.run(GOOD).outcome == "complete"


def test_a_job_over_its_time_is_ended_and_the_next_works(rig: Rig) -> None:
    if rig.kind == "local":
        pytest.skip("nothing can end a job in this process; nas run then takes a process of its own")
    rig.run(GOOD)  # the start of a worker counts in
    executor: Any = rig.executor
    executor._trial_seconds = 0.9
    late = rig.run(STUCK)
    executor._trial_seconds = None
    next(rig.folder.glob("stuck-*")).unlink()
    assert (late.cause, late.reason) == (Cause.TIME_LIMIT, "time limit of 0.015 minutes (--trial-minutes)")
    assert late.seconds >= 0.9
    assert rig.run(GOOD).outcome == "complete"


def test_out_of_memory_is_tried_again_with_nothing_beside_it(rig: Rig) -> None:
    short, always = rig.submit(SHORT_ONCE)[0], None
    if rig.executor.capacity > 1:
        (always,) = rig.submit(SHORT_ALWAYS)
    ended: dict[int, Evaluation] = {}
    job, ended[job.number] = rig.wait(lambda step: None)
    (later,) = rig.submit(GOOD)
    while len(ended) < (2 if always is None else 3):
        job, ended[job.number] = rig.wait(lambda step: None)
    assert ended[short.number].outcome == ended[later.number].outcome == "complete"
    assert ended[short.number].scores["beside"] == ended[later.number].scores["beside"] == 0
    assert rig.num_tries(short) == 2
    if always is not None:
        assert ended[always.number].cause is Cause.OUT_OF_MEMORY and rig.num_tries(always) == 2
        assert "MemoryError: too big; " in ended[always.number].reason


def test_ctrl_c_ends_all_jobs_and_leaves_no_process(rig: Rig) -> None:
    jobs = rig.submit(*([ENDLESS] if rig.executor.capacity == 1 else [ENDLESS, STUCK]))

    def report(step: Step) -> None:
        if rig.executor.capacity == 1 or list(rig.folder.glob("stuck-*")):
            raise KeyboardInterrupt

    ended = dict(rig.wait(report) for _ in jobs)
    assert {(each.outcome, each.cause) for each in ended.values()} == {(Outcome.STOPPED, Cause.INTERRUPTED)}
    if rig.kind != "local":
        assert [ended[job].images_seen for job in jobs] == [7, 0][: len(jobs)]
        rig.await_none_alive()


def test_an_interruption_between_two_waits_ends_all_jobs(own: Rig) -> None:
    own.executor.interrupt()
    with pytest.raises(NothingUnderWay):
        own.wait(lambda step: None)
    if own.kind == "local":
        return  # its job begins within a wait
    (job,) = own.submit(STUCK)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (own.folder / f"stuck-{job.number}").exists():
        assert time.monotonic() < deadline, "the job does not begin"
        time.sleep(0.02)
    own.executor.interrupt()
    ended, evaluation = own.wait(lambda step: None)
    assert ended is job and (evaluation.outcome, evaluation.cause) == (Outcome.STOPPED, Cause.INTERRUPTED)
    own.await_none_alive()


@pytest.mark.slow
@pytest.mark.parametrize("kind", [name for name in EXECUTORS if name != "local"])
def test_a_search_finds_the_same_with_every_executor(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    found = {}
    for each in ("local", kind):
        folder = search_fakes.make_folder(tmp_path, each)
        with _one_at_a_time(each, request) as executor:
            ladder = Ladder(epochs=(0.5, 1.0))
            search = search_fakes.make_search(folder, FakeEvaluator(), trials=8, ladder=ladder, executor=executor)
            assert str(search.run()) == "8 trials are done"
        found[each] = records.load(folder.path)[["number", "outcome", "key", "rung", "promoted_from", "accuracy"]]
    assert found["local"].equals(found[kind])


def _one_at_a_time(kind: str, request: pytest.FixtureRequest) -> Executor:
    if kind == "ray":
        request.getfixturevalue("cluster")
    workers = 1 if "workers" in EXECUTORS.get(kind).takes else None
    return EXECUTORS.get(kind).open(Workers(factory=FormulaSpec(), here=FakeEvaluator, workers=workers))
