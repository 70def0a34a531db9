"""Audits: which trials are trained again from scratch, how, and what follows from their scores."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from search_fakes import FakeEvaluator, formula, make_domain, make_folder, make_search, open_study
from strategy_fakes import OBJECTIVES
from trial_rows import trial

from nas.engine.audit import (
    AUDIT_EVERY,
    MIN_AUDITS,
    AuditCorrelation,
    audit_correlation,
    audit_epochs,
    next_audit,
)
from nas.engine.inheritance import donors
from nas.engine.ladder import Ladder
from nas.engine.promotion import promotion
from nas.engine.rescue import Rescue
from nas.engine.scheduler import TrialIndex
from nas.engine.search_study import TrialSpec
from nas.executors import Evaluation, Job
from nas.reports.correlation_words import audit_lines
from results import records
from results.trial import Cause, Origin, Outcome, Trial

TWO = Ladder(epochs=(0.5, 1.0))


def heir(number: int, accuracy: float, **more: Any) -> Trial:
    """A trial of the first rung that started from a donor."""
    given = {"inherited_macs": 0.5, "donor": 0, "epochs": 0.5, "images_seen": 100, "images_in_all": 1500, **more}
    return trial(number, accuracy, 100 + number, **given)


def audit(number: int, of: Trial, accuracy: float | None) -> Trial:
    return trial(number, accuracy, of.macs, key=of.key, audit_of=of.number)


def heirs(number: int) -> list[Trial]:
    """Trials whose scores rise up to the last but one; the last has the lowest."""
    return [heir(n, 0.1 * (n + 1) if n < number - 1 else 0.01) for n in range(number)]


def test_the_best_and_the_middle_of_those_that_inherited_take_turns() -> None:
    assert next_audit(heirs(AUDIT_EVERY - 1), []) is None
    ones = heirs(AUDIT_EVERY)
    first = next_audit(ones, [])
    assert first is not None and first.number == AUDIT_EVERY - 2
    assert next_audit(ones, [audit(90, first, None)]) is None, "it is under way"
    twice = [*heirs(2 * AUDIT_EVERY), audit(90, first, 0.1)]
    second = next_audit(twice, [])
    assert second is not None and second.number == AUDIT_EVERY - 1
    thrice = [*heirs(3 * AUDIT_EVERY), audit(90, first, 0.1), audit(91, second, 0.1)]
    third = next_audit(thrice, [])
    assert third is not None and third.number == 3 * AUDIT_EVERY - 2


def test_only_trained_trials_that_inherited_something_are_audited() -> None:
    others = [heir(50 + n, 0.99, inherited_macs=0.0) for n in range(3)]
    others += [heir(60, 0.99, rung=2), heir(61, 0.99, repeat_of=3)]
    others += [heir(62, 0.99, outcome=Outcome.CACHED, cause=Cause.SAME_AS), heir(63, 0.99, cause=Cause.TIME_UP)]
    assert next_audit([*heirs(AUDIT_EVERY - 1), *others], []) is None
    found = next_audit([*heirs(AUDIT_EVERY), *others], [])
    assert found is not None and found.number == AUDIT_EVERY - 2


def audited(scratch: list[float]) -> list[Trial]:
    ones = heirs(len(scratch) + 1)
    return [*ones, *(audit(100 + n, ones[n], accuracy) for n, accuracy in enumerate(scratch))]


def test_the_orders_with_a_donor_and_from_scratch_are_compared() -> None:
    up, down = [0.01 * n for n in range(MIN_AUDITS)], [-0.01 * n for n in range(MIN_AUDITS)]
    assert audit_correlation(heirs(20)) is None
    good, bad, few = (audit_correlation(audited(each)) for each in (up, down, down[1:]))
    assert good is not None and bad is not None and few is not None
    assert (good.tau, bad.tau, good.num_trials) == (pytest.approx(1), pytest.approx(-1), MIN_AUDITS)
    assert (good.trusted, bad.trusted, few.trusted) == (True, False, True)
    lost = audit(200, audited(up)[0], None)
    assert audit_correlation([*audited(up), dataclasses.replace(lost, cause=Cause.INTERRUPTED)]) == good
    more = heirs(60)[7:]
    assert next_audit([*audited(up), *more], []) is not None
    assert next_audit([*audited(down), *more], []) is None, "inheritance has ended"


def test_an_audit_sees_a_thousand_images_but_no_more_than_the_weights_it_checks() -> None:
    assert audit_epochs(heir(1, 0.1), TWO) == pytest.approx(5.0), "200 images are an epoch"
    assert audit_epochs(heir(1, 0.1, images_in_all=400), TWO) == pytest.approx(2.0)
    assert audit_epochs(heir(1, 0.1, images_seen=4000, images_in_all=6000), TWO) == 0.5


def test_an_audit_is_known_apart_from_what_it_checks_and_takes_no_part() -> None:
    one = heir(1, 0.5)
    again = audit(2, one, 0.9)
    assert not again.is_promotable and again.is_ended
    assert promotion([again], [], TWO, OBJECTIVES) is None
    assert donors([again]) == []
    table = records.frame([dataclasses.replace(one, rung=2, outcome=Outcome.COMPLETE, cause=None), again])
    assert records.front(table)["number"].tolist() == [1] and table["audit_of"].tolist()[1] == 1
    assert records.is_repetition(table).tolist() == [False, True]
    on_one_rung = [dataclasses.replace(each, rungs=1, outcome=Outcome.COMPLETE, cause=None) for each in (again, one)]
    assert records.front(records.frame(on_one_rung))["number"].tolist() == [1]
    slow = dataclasses.replace(again, seconds=100.0)
    assert TrialIndex([dataclasses.replace(one, seconds=10.0), slow]).seconds(1, TWO) == 10.0
    domain = make_domain()
    candidate = domain.assess(domain.space.random(np.random.default_rng(0)))
    own = dataclasses.replace(one, key=candidate.key)
    spec = TrialSpec(candidate=candidate, origin=Origin("x"), audit_of=1)
    index = TrialIndex([own])
    assert index.known(spec) is None and index.twin(spec, 9) is None
    assert index.known(dataclasses.replace(spec, audit_of=None)) == own
    assert TrialIndex([dataclasses.replace(again, key=candidate.key)]).known(spec) is not None


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (AuditCorrelation(tau=float("nan"), num_trials=1), "1 audit, too few for a rank correlation"),
        (AuditCorrelation(tau=0.5, num_trials=3), "Kendall's tau +0.50 on 3 audits; 6 are needed to judge it"),
        (AuditCorrelation(tau=0.5, num_trials=6), "Kendall's tau +0.50 on 6 audits; trusted"),
        (AuditCorrelation(tau=0.2, num_trials=7), "all later trials start without a donor"),
        (AuditCorrelation(tau=float("nan"), num_trials=6), "no rank correlation on 6 audits; not trusted"),
    ],
)
def test_the_audits_are_told_in_a_line(found: AuditCorrelation, text: str) -> None:
    (line,) = audit_lines(found)
    assert text in line and audit_lines(None) == []


def scored(sign: float) -> Any:
    """Scores of trials with a donor; from scratch they have the same order, or the reverse."""

    def evaluate(job: Job) -> Evaluation:
        found = formula(job)
        if job.donor is not None:
            return dataclasses.replace(found, inherited_macs=0.5, peak_learning_rate=0.001)
        accuracy = 0.5 + sign * 0.1 * found.scores["accuracy"]
        scores = {**found.scores, "accuracy": accuracy} if job.weights_path is None else found.scores
        return dataclasses.replace(found, scores=scores)

    return evaluate


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.engine.audit.AUDIT_EVERY", 1)


@pytest.mark.slow
@pytest.mark.usefixtures("often")
def test_a_run_whose_audits_contradict_it_goes_on_without_donors(tmp_path: Path) -> None:
    for sign in (1.0, -1.0):
        folder = make_folder(tmp_path, f"run{sign:g}")
        evaluator = FakeEvaluator(scored(sign))
        make_search(folder, evaluator, trials=36, ladder=TWO, inherit=True).run()
        table = records.load(folder.path)
        audits = table[table["audit_of"].notna()]
        last = int(audits["number"].iloc[-1])
        later = table[(table["number"] > last) & (table["rung"] == 1) & table["audit_of"].isna()]
        if sign > 0:
            assert len(audits) > MIN_AUDITS
        else:
            assert len(audits) == MIN_AUDITS and len(later) > 3 and later["donor"].isna().all()
        checked = table.set_index("number").loc[audits["audit_of"]]
        assert audits["key"].tolist() == checked["key"].tolist() and checked["inherited_macs"].eq(0.5).all()
        assert audits["key"].is_unique and audits["donor"].isna().all()
        jobs = {job.number: job for job in evaluator.jobs}
        assert all(jobs[number].weights_path is None and jobs[number].donor is None for number in audits["number"])
        assert {path.stem for path in (folder.path / "weights").iterdir()} <= set(table["key"])


@pytest.mark.slow
@pytest.mark.usefixtures("often")
def test_audits_come_back_after_an_interrupt_and_after_a_loss(tmp_path: Path) -> None:
    def interrupt(job: Job) -> Evaluation:
        if job.weights_path is None:
            raise KeyboardInterrupt
        return scored(1.0)(job)

    folder, whole = make_folder(tmp_path), make_folder(tmp_path, "whole")
    assert make_search(folder, FakeEvaluator(interrupt), trials=12, ladder=TWO, inherit=True).run().is_interrupted
    make_search(folder, FakeEvaluator(scored(1.0)), trials=12, ladder=TWO, inherit=True).run()
    table = records.load(folder.path)
    cut = table[table["cause"] == "interrupted"]
    retried = table[table["retry_of"] == int(cut["number"].iloc[0])]
    assert len(cut) == 1 and retried["audit_of"].tolist() == cut["audit_of"].tolist()
    assert retried["outcome"].tolist() == ["stopped"]

    make_search(whole, FakeEvaluator(scored(1.0)), trials=12, ladder=TWO, inherit=True).run()
    before = records.load(whole.path)
    assert before["audit_of"].notna().sum() >= 2
    rescue = Rescue(whole)
    whole.journal.unlink()
    study = open_study(whole, num_rungs=2)
    rescue.restore(study, make_domain())
    assert records.frame(study.trials())["audit_of"].equals(before["audit_of"])


@pytest.mark.slow
@pytest.mark.usefixtures("often")
def test_without_inheritance_nothing_is_audited(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    make_search(folder, FakeEvaluator(), trials=10, ladder=TWO).run()
    assert "audit_of" not in records.load(folder.path).columns
