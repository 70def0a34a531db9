"""The ladder of effort: who goes on, when a rung is not trusted, and what a run on rungs leaves behind."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from search_fakes import FakeEvaluator, formula, make_folder, make_search
from trial_rows import trial

from nas.engine.ending import EndCause, SearchEnding
from nas.engine.ladder import MIN_PAIRS, Ladder, rung_correlation
from nas.engine.objectives import objectives
from nas.engine.promotion import promotion
from nas.engine.scheduler import TrialIndex
from nas.executors import Evaluation, Job
from nas.executors.local import LocalExecutor
from results import records
from results.trial import Cause, Outcome, Trial
from search_space.errors import ConfigError

WANTED = objectives(("accuracy", "macs"))
TWO = Ladder(epochs=(0.5, 1.0))


def paired(accuracies: list[float], later: list[float]) -> list[Trial]:
    rows = [trial(number, value, 100 + number) for number, value in enumerate(accuracies)]
    return rows + [trial(1000 + number, value, 100 + number, rung=2) for number, value in enumerate(later)]


def test_a_rung_that_does_not_rank_is_not_trusted_and_lets_all_go_on() -> None:
    low = [0.01 * number for number in range(MIN_PAIRS)]
    good, bad = paired(low, low), paired(low, low[::-1])
    assert rung_correlation(good, 1).tau == pytest.approx(1) and rung_correlation(good, 1).trusted
    assert rung_correlation(bad, 1).tau == pytest.approx(-1) and not rung_correlation(bad, 1).trusted
    assert rung_correlation(paired(low[1:], low[:0:-1]), 1).trusted  # too few to say
    fresh = [trial(500 + number, 0.001, 100) for number in range(3)]
    assert promotion([*good, *fresh], [], TWO, WANTED) is None
    gone = 0
    rows = [*bad, *fresh]
    while (due := promotion(rows, [], TWO, WANTED)) is not None:
        rows.append(trial(due.number + 1000, 0.001, 100, rung=2, key=due.key))
        gone += 1
    assert gone == 3


def test_a_proxy_has_to_rank_better_than_a_count() -> None:
    ladder = Ladder(epochs=(1.0,), proxy="nwot")
    counts, accuracies = [1, 3, 2, 4, 5, 6, 8, 7], [0.1 * number for number in range(1, 9)]

    def on_both(proxies: list[float]) -> list[Trial]:
        rows = [trial(n, None, counts[n], rung=0, scores={"proxy": proxies[n]}) for n in range(8)]
        return rows + [trial(1000 + n, accuracies[n], counts[n], rung=1) for n in range(8)]

    assert rung_correlation(on_both(accuracies), 0).trusted
    assert not rung_correlation(on_both([float(count) for count in counts]), 0).trusted
    due = promotion([trial(0, None, 9, rung=0, scores={"proxy": 2.0})], [], ladder, WANTED)
    assert due is not None and due.number == 0


@pytest.mark.parametrize("epochs", [(), (0.5, 0.0), (-1.0,), (math.inf,)])
def test_a_ladder_of_no_effort_is_refused(epochs: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError, match="--rungs"):
        Ladder(epochs=epochs)


@pytest.mark.slow
def test_a_run_on_rungs_trains_further_from_the_weights_and_keeps_the_sums(tmp_path: Path) -> None:
    folder, evaluator = make_folder(tmp_path), FakeEvaluator()
    make_search(folder, evaluator, trials=16, ladder=TWO).run()
    table = records.load(folder.path)
    counts = records.tally(table)
    assert counts["asked"] == len(table) == sum(counts[outcome] for outcome in records.OUTCOMES) == 16
    assert counts["complete"] >= 4 and counts["stopped"] >= 8
    upper = [job for job in evaluator.jobs if job.rung == 2]
    assert len(upper) == counts["complete"]
    assert all(job.start_weights == folder.weights_path(job.architecture.key()) for job in upper)
    assert all(job.start_weights is None and job.epochs == 0.5 for job in evaluator.jobs if job.rung == 1)
    assert set(table["epochs"][table["rung"] == 2]) == {1.5}
    members = records.front(table)
    assert set(members["outcome"]) == {"complete"} and len(members)
    stopped = table[table["outcome"] == "stopped"]
    assert set(stopped["cause"]) == {"rung_done"} and set(stopped["reason"]) == {"rung 1 of 2 done"}
    kept = {path.stem for path in (folder.path / "weights").iterdir()}
    waiting = set(table["key"]) - set(table["key"][table["outcome"] == "complete"])
    assert kept == set(members["key"]) | waiting


@pytest.mark.slow
def test_an_upper_rung_that_was_interrupted_is_asked_again_with_its_weights(tmp_path: Path) -> None:
    def interrupt(job: Job) -> Evaluation:
        if job.rung == 2 and job.number < 5:
            raise KeyboardInterrupt
        return formula(job)

    folder = make_folder(tmp_path)
    assert make_search(folder, FakeEvaluator(interrupt), trials=8, ladder=TWO).run().is_interrupted
    evaluator = FakeEvaluator()
    make_search(folder, evaluator, trials=8, ladder=TWO).run()
    assert evaluator.jobs[0].rung == 2 and evaluator.jobs[0].start_weights is not None
    table = records.load(folder.path)
    assert table["retry_of"].dropna().tolist() == [1]
    assert table["promoted_from"][table["retry_of"] == 1].tolist() == [0]


@pytest.mark.slow
def test_one_seed_gives_one_run_on_rungs_even_across_a_resume(tmp_path: Path) -> None:
    whole, parts = make_folder(tmp_path, "whole"), make_folder(tmp_path, "parts")
    make_search(whole, FakeEvaluator(), trials=14, ladder=TWO).run()
    for trials in (4, 9, 14):
        make_search(parts, FakeEvaluator(), trials=trials, ladder=TWO).run()
    columns = ["number", "outcome", "key", "rung", "promoted_from", "accuracy"]
    assert records.load(whole.path)[columns].equals(records.load(parts.path)[columns])


def test_weights_that_are_missing_are_made_up_for_by_the_whole_schedule(tmp_path: Path) -> None:
    folder, evaluator = make_folder(tmp_path), FakeEvaluator()
    make_search(folder, evaluator, trials=1, ladder=TWO).run()
    folder.weights_path(evaluator.jobs[0].architecture.key()).unlink()
    make_search(folder, evaluator, trials=2, ladder=TWO).run()
    again = evaluator.jobs[1]
    assert (again.rung, again.start_weights, again.epochs) == (2, None, 1.5)
    assert records.load(folder.path)["epochs"].tolist() == [0.5, 1.5]


def test_no_new_trial_begins_whose_upper_rungs_the_time_does_not_allow(tmp_path: Path) -> None:
    times = {1: 10.0, 2: 20.0}
    rows = [trial(0, 0.5, 100, seconds=times[1]), trial(1000, 0.6, 100, rung=2, seconds=times[2])]
    assert {rung: TrialIndex(rows).seconds(rung, TWO) for rung in (1, 2)} == times
    assert TrialIndex(rows[:1]).seconds(2, TWO) == pytest.approx(20.0)  # twice the epochs of the first rung
    clock = [0.0]

    def slow(job: Job) -> Evaluation:
        clock[0] += times[job.rung]
        return Evaluation(
            outcome=Outcome.COMPLETE, scores=formula(job).scores, seconds=times[job.rung], epochs=1, images_seen=1
        )

    folder = make_folder(tmp_path)
    executor = LocalExecutor(FakeEvaluator(slow), clock=lambda: clock[0])
    search = make_search(
        folder, FakeEvaluator(slow), minutes=1.6, ladder=TWO, clock=lambda: clock[0], executor=executor
    )
    assert search.run().cause is EndCause.NO_TIME
    assert clock[0] <= 96
    assert (records.load(folder.path)["rung"] == 2).sum() >= 2


def test_what_the_end_of_the_time_cut_short_is_asked_again_when_there_is_more(tmp_path: Path) -> None:
    def cut(job: Job) -> Evaluation:
        if job.rung == 2:
            return Evaluation(outcome=Outcome.STOPPED, cause=Cause.TIME_UP)
        return formula(job)

    folder, evaluator = make_folder(tmp_path), FakeEvaluator()
    search = make_search(folder, FakeEvaluator(cut), trials=1, ladder=TWO)
    search.run()
    spec = search.scheduler.next(search.study.trials(), [])
    assert not isinstance(spec, SearchEnding)
    search._begin(spec, search.study.trials())
    search._await(search._report)
    make_search(folder, evaluator, trials=2, ladder=TWO).run()
    assert (evaluator.jobs[0].rung, evaluator.jobs[0].start_weights is not None) == (2, True)
    assert records.load(folder.path)["outcome"].tolist() == ["stopped", "stopped", "complete"]


@pytest.mark.slow
def test_the_front_is_trained_again_with_other_seeds(tmp_path: Path) -> None:
    folder, evaluator = make_folder(tmp_path), FakeEvaluator()
    make_search(folder, evaluator, trials=9, ladder=TWO, repeats=3).run()
    table = records.load(folder.path)
    members = records.front(table)
    again = table[table["repeat_of"].notna()]
    assert set(again["repeat_of"]) == set(members["number"]) and set(again["training_seed"]) == {1, 2}
    assert len(again) == len(members) * 2 * 2  # seeds, rungs
    assert set(members["training_seed"]) == {0}
    upper = [job for job in evaluator.jobs if job.seed and job.rung == 2]
    assert all(job.start_weights is not None and f"-seed{job.seed}" in job.start_weights.name for job in upper)
    before = len(evaluator.jobs)
    make_search(folder, evaluator, trials=9, ladder=TWO, repeats=3).run()
    assert len(evaluator.jobs) == before


@pytest.mark.slow
def test_a_trial_whose_worker_died_is_run_again_once(tmp_path: Path) -> None:
    def die(job: Job) -> Evaluation:
        if job.number in (1, 2):
            return Evaluation(outcome=Outcome.FAILED, cause=Cause.WORKER_LOST)
        return formula(job)

    folder = make_folder(tmp_path)
    make_search(folder, FakeEvaluator(die), trials=4).run()
    table = records.load(folder.path)
    assert table["outcome"].tolist() == ["complete", "failed", "failed", "complete", "complete", "complete"]
    assert table["retry_of"].dropna().tolist() == [1]
    assert table["key"][2] == table["key"][1] != table["key"][3]


def test_draws_of_the_front_say_who_can_be_told_apart(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = rng.normal(0, 0.02, 100)

    def drawn(job: Job) -> Evaluation:
        found = formula(job)
        own = {0: 0.0, 1: 0.3}.get(job.number, 0.001 * job.number)
        scores = {"accuracy": 0.5 + own, "accuracy_low": 0.4, "accuracy_high": 0.6}
        draws = tuple(0.5 + own + images + rng.normal(0, 0.01, 100))
        return Evaluation(outcome=found.outcome, scores=scores, accuracy_draws=draws)

    folder = make_folder(tmp_path)
    make_search(folder, FakeEvaluator(drawn), trials=6).run()
    table = records.load(folder.path)
    assert table["accuracy_draws"].str.split().map(len).eq(100).all()
    assert table["accuracy_low"].eq(0.4).all()
