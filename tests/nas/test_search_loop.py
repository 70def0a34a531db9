"""The search with training faked: hard budget, accounting, caching, failures, limits, resuming, kills."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from search_fakes import (
    NUM_CLASSES,
    STARTS,
    FakeEvaluator,
    Silent,
    formula,
    make_domain,
    make_folder,
    make_search,
)

from nas.cost import cost_of
from nas.engine import scheduler
from nas.engine.ending import NOTHING_NEW, TIME_UP, EndCause
from nas.engine.loop import MAX_FAILURES, num_ended
from nas.engine.search_study import TrialSpec, derive_seed
from nas.engine.storage import journal_storage
from nas.executors import Evaluation, Job, Step
from nas.executors.local import LocalExecutor
from results import records
from results.trial import Cause, Origin, Outcome
from search_space import Architecture, SearchSpace
from search_space.errors import ConfigError, DataError

MAX_ATTEMPTS = scheduler.MAX_ATTEMPTS[Cause.INTERRUPTED]


def rows_of(folder: Any, columns: tuple[str, ...] = ("number", "outcome", "key", "origin", "accuracy")) -> list[Any]:
    return records.load(folder.path)[list(columns)].astype(object).where(lambda t: t.notna(), None).values.tolist()


@pytest.mark.slow
def test_nothing_over_budget_is_trained_and_the_numbers_add_up(tmp_path: Path) -> None:
    folder, evaluator = make_folder(tmp_path), FakeEvaluator()
    ending = make_search(folder, evaluator, trials=14).run()
    assert (ending.cause, str(ending)) == (EndCause.TRIALS_DONE, "14 trials are done")
    assert all(cost_of(job.architecture, num_classes=NUM_CLASSES).gmacs <= 0.5 for job in evaluator.jobs)
    table = records.load(folder.path)
    counts = records.tally(table)
    assert counts["asked"] == sum(counts[outcome] for outcome in records.OUTCOMES) == len(table)
    assert counts["complete"] == 14 == len(evaluator.jobs)
    assert {"spread", f"design {STARTS[0]}"} < set(table["origin"])
    assert len(set(table["origin"])) > len(STARTS) + 1


@pytest.mark.slow
def test_the_front_lies_in_the_folder(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    make_search(folder, FakeEvaluator(), trials=14).run()
    members = records.front(records.load(folder.path))
    assert len(members) >= 3
    files = sorted((folder.path / "front").iterdir())
    assert [Architecture.from_yaml(path).key() for path in files] == members["key"].tolist()
    assert {path.stem for path in (folder.path / "weights").iterdir()} == set(members["key"])
    assert sorted(path.name for path in folder.path.iterdir()) == sorted(
        ["config.yaml", "front", "study.journal", "trials.csv", "weights"]
    )


@pytest.mark.slow
def test_one_seed_gives_one_run_even_across_a_resume(tmp_path: Path) -> None:
    whole, parts, other = (make_folder(tmp_path, name) for name in ("whole", "parts", "other"))
    make_search(whole, FakeEvaluator(), trials=13).run()
    for trials in (5, 11, 13):
        make_search(parts, FakeEvaluator(), trials=trials).run()
    make_search(other, FakeEvaluator(), trials=11, seed=1).run()
    assert rows_of(whole) == rows_of(parts)
    assert rows_of(whole) != rows_of(other)


@pytest.mark.slow
def test_optuna_knows_the_constraint_of_every_trial(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    search = make_search(folder, FakeEvaluator(), trials=13, domain=make_domain(0.03, params_m=3.0), designs=False)
    search.run()
    frozen = search.study._study.get_trials()
    assert len(frozen) == len(records.load(folder.path))
    for stored, trial in zip(frozen, search.study.trials(), strict=True):
        assert stored.constraints["gmacs"] == pytest.approx(trial.macs / 0.03e9 - 1)
        assert stored.constraints["params_m"] == pytest.approx(trial.params / 3e6 - 1)
        assert (max(stored.constraints.values()) > 0) == (trial.outcome is Outcome.REJECTED)


def test_a_point_over_budget_is_recorded_with_its_numbers_and_not_trained(tmp_path: Path) -> None:
    folder, evaluator = make_folder(tmp_path), FakeEvaluator()
    search = make_search(folder, evaluator, trials=2, domain=make_domain(0.03), designs=False)
    dear = search.domain.assess(make_domain(None).space.random(np.random.default_rng(1)))
    assert not dear.feasible
    search._begin(TrialSpec(candidate=dear, origin=Origin("by", "hand")), [])
    (row,) = rows_of(folder, ("outcome", "cause", "origin", "macs", "reason"))
    assert row[:4] == ["rejected", "over_budget", "by hand", dear.cost.macs] and "GMACs against 0.03" in row[4]
    assert evaluator.jobs == []


def test_a_known_architecture_is_told_again_and_not_trained(tmp_path: Path) -> None:
    folder, evaluator = make_folder(tmp_path), FakeEvaluator()
    search = make_search(folder, evaluator, trials=2)
    search.run()
    spec = TrialSpec(candidate=search.scheduler.starts[0].candidate, origin=Origin("twice"))
    search._begin(spec, search.study.trials())
    first, last = rows_of(folder)[0], rows_of(folder)[-1]
    assert last[1] == "cached" and last[2] == first[2] and last[4] == first[4]
    assert len(evaluator.jobs) == 2


def test_an_exhausted_space_ends_the_run(tmp_path: Path) -> None:
    single = {axis.name: axis.choices[:1] for axis in SearchSpace().axes}
    space = SearchSpace().narrowed(single | {"input_size": (128, 1280)})
    folder, evaluator = make_folder(tmp_path), FakeEvaluator()
    ending = make_search(folder, evaluator, minutes=5, domain=make_domain(0.1, space=space), designs=False).run()
    assert ending == NOTHING_NEW and len(evaluator.jobs) == 1


def test_a_failing_trial_is_recorded_and_the_run_goes_on(tmp_path: Path) -> None:
    def sometimes(job: Job) -> Evaluation:
        if job.number == 1:
            raise RuntimeError("out of memory")
        if job.number == 2:
            return Evaluation(outcome=Outcome.COMPLETE, scores={"accuracy": math.nan})
        return formula(job)

    folder = make_folder(tmp_path)
    make_search(folder, FakeEvaluator(sometimes), trials=4).run()
    outcomes = records.load(folder.path)[["outcome", "cause", "reason"]]
    assert outcomes["outcome"].tolist() == ["complete", "failed", "failed", "complete"]
    assert outcomes["cause"][1:3].tolist() == ["exception", "not_finite"]
    assert outcomes["reason"][1] == "RuntimeError: out of memory" and "nan" in outcomes["reason"][2]


@pytest.mark.slow
def test_many_failures_in_a_row_end_the_run(tmp_path: Path) -> None:
    def never(job: Job) -> Evaluation:
        raise RuntimeError("no such device")

    folder, evaluator = make_folder(tmp_path), FakeEvaluator(never)
    with pytest.raises(ConfigError, match="no such device"):
        make_search(folder, evaluator, trials=50).run()
    assert len(evaluator.jobs) == MAX_FAILURES


@pytest.mark.slow
def test_a_broken_image_ends_the_run_at_once_and_the_trial_is_asked_again(tmp_path: Path) -> None:
    def broken(job: Job) -> Evaluation:
        raise DataError("cannot decode image a.jpg")

    folder, evaluator = make_folder(tmp_path), FakeEvaluator(broken)
    with pytest.raises(DataError, match="a.jpg"):
        make_search(folder, evaluator, trials=50).run()
    assert len(evaluator.jobs) == 1
    mended = FakeEvaluator()
    make_search(folder, mended, trials=2).run()
    assert mended.jobs[0].architecture == evaluator.jobs[0].architecture


@pytest.mark.slow
def test_ctrl_c_stops_the_trial_and_a_resume_repeats_it(tmp_path: Path) -> None:
    def interrupt(job: Job) -> Evaluation:
        if job.number == 2:
            raise KeyboardInterrupt
        return formula(job)

    folder = make_folder(tmp_path)
    assert make_search(folder, FakeEvaluator(interrupt), trials=5).run().is_interrupted
    stopped = records.load(folder.path).iloc[-1]
    assert (stopped["outcome"], stopped["cause"], stopped["reason"]) == ("stopped", "interrupted", "interrupted")
    make_search(folder, FakeEvaluator(), trials=5).run()
    table = records.load(folder.path)
    assert table["retry_of"].tolist()[3] == 2 and table["key"][3] == table["key"][2]
    assert records.tally(table)["complete"] == 5


def test_ctrl_c_between_two_trials_does_not_train_the_next_one(tmp_path: Path) -> None:
    class Pressing(Silent):
        def started(self, running: Any) -> None:
            raise KeyboardInterrupt

    steps = []

    class Long(FakeEvaluator):
        def evaluate(self, job: Job, report: Any) -> Evaluation:
            for number in range(1, 100):
                steps.append(number)
                report(Step(number=job.number, step=number, num_steps=100, loss=1.0))
            return formula(job)

    folder = make_folder(tmp_path)
    assert make_search(folder, Long(), trials=5, observer=Pressing()).run().is_interrupted
    assert steps == [1]
    assert records.load(folder.path)["cause"].tolist() == ["interrupted"]


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_time_up_stops_the_trial_that_trains(tmp_path: Path) -> None:
    clock = Clock()

    class Slow(FakeEvaluator):
        def evaluate(self, job: Job, report: Any) -> Evaluation:
            clock.now += 61.0
            return super().evaluate(job, report)

    folder = make_folder(tmp_path)
    # The fake lets StopTrial through, which counts as a failure; a real evaluator turns it into `stopped`.
    assert make_search(folder, Slow(), minutes=1, clock=clock).run() == TIME_UP
    assert records.load(folder.path)["reason"].tolist() == ["StopTrial: time up"]


@pytest.mark.slow
def test_no_trial_starts_that_the_time_does_not_allow(tmp_path: Path) -> None:
    clock = Clock()

    def slow(job: Job) -> Evaluation:
        clock.now += 25.0
        return formula(job)

    folder, evaluator = make_folder(tmp_path), FakeEvaluator(slow)
    executor = LocalExecutor(evaluator, clock=clock)
    ending = make_search(folder, evaluator, minutes=1, clock=clock, executor=executor).run()
    assert ending.cause is EndCause.NO_TIME and len(evaluator.jobs) == 2
    clock.now = 0.0
    ending = make_search(folder, evaluator, minutes=1.3, clock=clock, executor=executor).run()
    assert ending.cause is EndCause.NO_TIME and len(evaluator.jobs) == 3


def test_the_record_survives_a_kill_before_the_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_folder(tmp_path)
    search = make_search(folder, FakeEvaluator(), trials=1)
    with monkeypatch.context() as patch:
        patch.setattr(search.study._study, "tell", lambda *a, **k: (_ for _ in ()).throw(SystemExit))
        with pytest.raises(SystemExit):
            search.run()
    evaluator = FakeEvaluator()
    search = make_search(folder, evaluator, trials=1)
    search.run()
    (trial,) = search.study.trials()
    assert trial.outcome is Outcome.COMPLETE and evaluator.jobs == []
    assert search.study._study.trials[0].values == [trial.accuracy, trial.macs]


@pytest.mark.slow
def test_a_point_that_kills_its_process_is_given_up(tmp_path: Path) -> None:
    def die(job: Job) -> Evaluation:
        raise SystemExit

    folder = make_folder(tmp_path)
    for _ in range(MAX_ATTEMPTS):
        with pytest.raises(SystemExit):
            make_search(folder, FakeEvaluator(die), trials=2).run()
    make_search(folder, FakeEvaluator(), trials=2).run()
    table = records.load(folder.path)
    assert table["outcome"].tolist() == ["failed"] * MAX_ATTEMPTS + ["complete"] * 2
    assert set(table["key"][:MAX_ATTEMPTS]) == {table["key"][0]} and table["key"][MAX_ATTEMPTS] != table["key"][0]


@pytest.mark.slow
def test_half_a_line_and_a_stale_lock_do_not_matter(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    make_search(folder, FakeEvaluator(), trials=2).run()
    with folder.journal.open("ab") as journal:
        journal.write(b'{"op_code": 5, "wor')
    os.symlink(folder.journal, f"{folder.journal}.lock")
    start = time.monotonic()
    make_search(folder, FakeEvaluator(), trials=3).run()
    assert time.monotonic() - start < 15 and len(rows_of(folder)) == 3


def test_a_file_that_is_no_journal_is_refused(tmp_path: Path) -> None:
    (tmp_path / "study.journal").write_text("hello")
    with pytest.raises(ConfigError, match="not the journal"):
        journal_storage(tmp_path / "study.journal")


def test_only_one_process_may_search_in_a_folder(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    with folder.locked(), pytest.raises(ConfigError, match="another process"), folder.locked():
        pass
    with folder.locked():
        pass


def test_seeds_differ_for_trials_and_workers() -> None:
    seeds = {derive_seed(0, trials, worker) for trials in range(50) for worker in range(4)}
    assert len(seeds) == 200


KILLED = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from search_fakes import FakeEvaluator, formula, make_search
from nas.run_folder import reopen
def slow(job):
    time.sleep(0.15)
    return formula(job)
folder = reopen(Path(sys.argv[1]))
with folder.locked():
    make_search(folder, FakeEvaluator(slow), trials=int(sys.argv[3])).run()
"""


@pytest.mark.slow
def test_kill_9_loses_at_most_the_trial_in_flight(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    command = [sys.executable, "-c", KILLED, str(folder.path), str(Path(__file__).parent), "500"]
    child = subprocess.Popen(command, cwd=Path(__file__).parents[2])
    try:
        _await_trials(folder.journal, 3, child)
    finally:
        child.kill()
        child.wait()
    told = _num_recorded(folder.journal)
    assert told >= 3
    make_search(folder, FakeEvaluator(), trials=told + 2).run()
    table = records.load(folder.path)
    interrupted = table[table["cause"] == "interrupted"]
    assert len(interrupted) <= 1 and set(interrupted["number"]) == set(table["retry_of"].dropna())
    assert (table["outcome"] == "complete").sum() == told + 2
    assert table["key"][table["outcome"] == "complete"].is_unique
    assert num_ended(records.trials_of(table)) == told + 2


def _num_recorded(journal: Path) -> int:
    """Counts the results in a journal, rejected trials left out."""
    lines = journal.read_text().splitlines() if journal.is_file() else []
    count = 0
    for line in lines:
        try:
            result = json.loads(line).get("user_attr", {}).get("result", {})
        except json.JSONDecodeError:
            continue
        count += result.get("outcome") in ("complete", "cached", "failed")
    return count


def _await_trials(journal: Path, count: int, child: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while _num_recorded(journal) < count:
        assert time.monotonic() < deadline and child.poll() is None, "the child ended or does not get on"
        time.sleep(0.05)
