"""Trials that start from the weights of trained ones: which donor, what is recorded, and what is off without it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from search_fakes import FakeEvaluator, formula, make_domain, make_folder, make_search, open_study
from strategy_fakes import LARGE, OBJECTIVES, known

from benchmarks.run_audit import num_false_donors
from nas.cli import main
from nas.cost import Budget
from nas.engine.domain import Candidate, CostedDomain
from nas.engine.history import History
from nas.engine.inheritance import MAX_BEST, MAX_RECENT, InheritanceRule, donors
from nas.engine.ladder import Ladder
from nas.engine.scheduler import Scheduler
from nas.engine.search_study import TrialSpec
from nas.engine.strategies import STRATEGIES, Proposal
from nas.engine.variation import complete, random_feasible
from nas.executors import Donor, Evaluation, Job
from nas.transfer import shapes_of, shared_macs
from results import records
from results.trial import Cause, Origin, Outcome, Trial
from search_space import DESIGNS, SearchSpace
from trainers.weights import Weights

LADDER = Ladder(epochs=(0.5, 1.0))
NEW = ["donor", "inherited_macs", "images_in_all", "peak_learning_rate"]
DOMAIN = make_domain(None)
BASE = DOMAIN.space.encode(DESIGNS.get("yolov8n-p2").architecture.resized((128, 128)))


def point(**choices: Any) -> Candidate:
    return DOMAIN.assess({**BASE, "width": 0.25, **choices})


def trained(number: int, candidate: Candidate, accuracy: float = 0.1, **given: Any) -> Trial:
    """A trial that ended on the first of two rungs."""
    known: dict[str, Any] = {
        "outcome": Outcome.STOPPED,
        "cause": Cause.RUNG_DONE,
        "scores": {"accuracy": accuracy},
        "origin": Origin("test"),
        "rung": 1,
        "images_seen": 8,
    }
    return Trial(
        number=number,
        key=candidate.key,
        rungs=2,
        axes={name: str(value) for name, value in candidate.params.items()},
        input_height=candidate.architecture.input_hw[0],
        input_width=candidate.architecture.input_hw[1],
        levels=("P2",),
        macs=candidate.cost.macs,
        params=candidate.cost.params,
        weight_bytes=0,
        activation_bytes=0,
        memory_bytes=0,
        **{**known, **given},
    )


CHILD, NARROW, LARGER = point(), point(width=0.125), point(input_size=256)
TRIALS = [trained(0, NARROW), trained(1, LARGER), trained(2, point(input_size=192))]


def chosen(trials: list[Trial], parent: str | None = None, rule: InheritanceRule | None = None) -> int | None:
    found = (rule or InheritanceRule(DOMAIN)).donor_of(CHILD, trials, parent)
    return None if found is None else found.number


def test_a_neighbour_starts_from_its_parent_and_others_from_what_shares_most(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen(TRIALS, parent=NARROW.key) == 0
    assert chosen(TRIALS) == chosen(TRIALS[::-1]) == 1, "of equal shares the lowest number"
    assert chosen(TRIALS, parent="unknown") == 1 and chosen([]) is None
    monkeypatch.setattr("nas.engine.inheritance.LEAST_SHARE", 0.3)
    assert chosen(TRIALS[:1]) is None, "width 0.125 has a quarter of the weights of width 0.25"
    assert chosen(TRIALS, parent=NARROW.key) == 1, "a parent that shares too little is one of many"


def test_only_trained_trials_are_donors_with_the_weights_of_their_highest_rung() -> None:
    lost: dict[str, Any] = {"scores": {}}
    others = [
        trained(0, LARGER, outcome=Outcome.FAILED, cause=Cause.EXCEPTION, **lost),
        trained(1, LARGER, outcome=Outcome.STOPPED, cause=Cause.TIME_UP, **lost),
        trained(2, LARGER, outcome=Outcome.CACHED, cause=Cause.IMPORTED),
        trained(3, LARGER, rung=0, scores={"proxy": 1.0}),
        trained(4, LARGER, repeat_of=0),
        trained(5, LARGER, outcome=Outcome.REJECTED, cause=Cause.OVER_BUDGET, **lost),
    ]
    assert donors(others) == [] and chosen(others) is None
    upper = trained(7, LARGER, rung=2, outcome=Outcome.COMPLETE, cause=None)
    both = [trained(6, LARGER), upper, trained(8, LARGER, outcome=Outcome.FAILED, cause=Cause.EXCEPTION, **lost)]
    assert donors(both) == [upper] and chosen(both) == 7
    assert InheritanceRule(DOMAIN).latest(6, both) == upper
    apart = [trained(6, LARGER, worker="a"), trained(7, LARGER, worker="b", rung=2)]
    assert [each.number for each in donors(apart, "a")] == [6] and donors(apart, "c") == []


def test_the_latest_and_the_best_donors_are_kept() -> None:
    count = MAX_RECENT + MAX_BEST + 5
    trials = [dataclasses.replace(trained(n, LARGER, accuracy=n % 7 / 10), key=f"k{n}") for n in range(count)]
    trials[1] = dataclasses.replace(trials[1], rung=2, outcome=Outcome.COMPLETE, cause=None)
    kept = [each.number for each in donors(trials)]
    assert len(kept) == MAX_RECENT + MAX_BEST and set(range(count - MAX_RECENT, count)) < set(kept)
    assert 1 in kept and not {0, 7, 14} & set(kept), "the worst scores go, not those of a higher rung"


def test_pretrained_weights_are_for_trials_that_they_share_enough_with() -> None:
    def rule(architecture: Any) -> InheritanceRule:
        weights = Weights(architecture=architecture.to_dict(), classes=("a", "b", "c"), state={})
        return InheritanceRule(DOMAIN, pretrained=weights)

    assert rule(LARGER.architecture).takes_pretrained(CHILD)
    assert not rule(DESIGNS.get("ssd-mobilenetv1").architecture).takes_pretrained(CHILD)
    assert not rule(changed(backbone="mobilenetv1").architecture).takes_pretrained(CHILD)


WIDE = CostedDomain(SearchSpace(), Budget(), num_classes=3)


def changed(**choices: Any) -> Candidate:
    """The child with other choices of the whole space; axes that it lacks are drawn."""
    return WIDE.assess(complete(WIDE.space, {**CHILD.params, **choices}, np.random.default_rng(0)))


def donors_number(*found: Candidate, parent: str | None = None) -> int | None:
    trials = [trained(number, each) for number, each in enumerate(found)]
    donor = InheritanceRule(WIDE).donor_of(changed(), trials, parent)
    return None if donor is None else donor.number


@pytest.mark.parametrize("width", [0.125, 0.375, 0.5])
def test_another_width_is_a_donor(width: float) -> None:
    assert donors_number(changed(width=width)) == 0
    assert donors_number(changed(width=1.0), changed(input_size=256)) == 1, "a wider donor gives slices only"


def test_another_backbone_is_no_donor_although_neck_and_head_are_the_same() -> None:
    other = changed(backbone="mobilenetv1")
    assert shared_macs(*(shapes_of(each.architecture, num_classes=3) for each in (changed(), other))) > 0.6
    assert donors_number(other) is None and donors_number(other, parent=other.key) is None


def test_the_audit_finds_donors_that_were_not_trained_before_and_images_that_do_not_add_up() -> None:
    first = dataclasses.replace(trained(0, NARROW), images_in_all=8)
    heir: dict[str, Any] = {"donor": 0, "inherited_macs": 0.5, "images_in_all": 16}
    promoted: dict[str, Any] = {"promoted_from": 1, "images_seen": 20, "images_in_all": 28, "rung": 2}

    def false_donors(*trials: Trial) -> int:
        return num_false_donors({each.number: each for each in (first, *trials)})

    assert false_donors(trained(1, CHILD, **heir), trained(2, CHILD, **promoted)) == 0
    assert false_donors(trained(1, CHILD, **{**heir, "inherited_macs": 0.0, "images_in_all": 8})) == 0
    assert false_donors(trained(1, CHILD, **{**heir, "donor": 2}), trained(2, LARGER)) == 1, "a later donor"
    assert false_donors(trained(1, CHILD, **{**heir, "donor": 3})) == 1, "an unknown one"
    lost = trained(1, LARGER, outcome=Outcome.FAILED, cause=Cause.EXCEPTION, scores={})
    nothing = {"donor": 1, "inherited_macs": 0.0, "images_in_all": 8}
    assert false_donors(lost, trained(2, CHILD, **nothing)) == 1, "one without weights"
    assert false_donors(trained(1, CHILD, **{**heir, "images_in_all": 8})) == 1
    assert false_donors(trained(1, CHILD, **heir), trained(2, CHILD, **{**promoted, "images_in_all": 36})) == 1


def scheduler(rule: InheritanceRule | None, parent: str | None = None, **given: Any) -> Scheduler:
    return Scheduler(
        domain=DOMAIN,
        strategy=lambda history, domain, *, seed: Proposal(params=CHILD.params, origin="neighbour", parent=parent),
        objectives=OBJECTIVES,
        ladder=given.pop("ladder", LADDER),
        inheritance=rule,
    )


def test_the_scheduler_names_the_donor_and_an_interrupted_trial_keeps_it() -> None:
    promoted = [trained(9 + n, each, rung=2) for n, each in enumerate((NARROW, LARGER, point(input_size=192)))]
    trials = [*TRIALS, *promoted]
    for parent, donor in ((NARROW.key, 9), (None, 10)):
        spec = scheduler(InheritanceRule(DOMAIN), parent).next(trials, [])
        assert isinstance(spec, TrialSpec) and (spec.candidate.key, spec.donor) == (CHILD.key, donor)
    off = scheduler(None, NARROW.key).next(trials, [])
    assert isinstance(off, TrialSpec) and off.candidate.key == CHILD.key and off.donor is None
    lost = trained(12, CHILD, outcome=Outcome.STOPPED, cause=Cause.TIME_UP, scores={}, donor=2)
    again = scheduler(InheritanceRule(DOMAIN)).next([*trials, lost], [])
    assert isinstance(again, TrialSpec) and (again.retry_of, again.donor) == (12, 2)


def test_a_trial_without_training_has_no_donor_but_its_first_training_has() -> None:
    ladder = Ladder(epochs=(0.5,), proxy="nwot")
    first = scheduler(InheritanceRule(DOMAIN), ladder=ladder).next([*TRIALS], [])
    assert isinstance(first, TrialSpec) and (first.rung, first.donor) == (0, None)
    scored = trained(3, CHILD, rung=0, scores={"proxy": 1.0})
    due = scheduler(InheritanceRule(DOMAIN), ladder=ladder).next([*TRIALS, scored], [])
    assert isinstance(due, TrialSpec) and (due.rung, due.promoted_from, due.donor) == (1, 3, 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ehvi", "evolution"])
def test_strategies_name_the_parents_of_neighbours(name: str) -> None:
    domain, rng = CostedDomain(LARGE, Budget(gmacs=0.5), num_classes=3), np.random.default_rng(0)
    told = []
    for number in range(12):
        found = random_feasible(domain, rng, seen={each.key for each in told})
        assert found is not None
        told.append(known(number, found))
    history, named = History(objectives=OBJECTIVES, trials=tuple(told)), 0
    for seed in range(6):
        proposal = STRATEGIES.get(name)(history, domain, seed=seed)
        assert proposal is not None
        if proposal.origin not in ("neighbour", "resized", "scaled"):
            assert proposal.parent is None
            continue
        named += 1
        (parent,) = [each for each in history.evaluated if each.key == proposal.parent]
        changed = {*parent.params.items()} ^ {*proposal.params.items()}
        assert len(changed) < len({*parent.params.items()}), "most choices are those of the parent"
    assert named


def heir(job: Job) -> Evaluation:
    """Scores by the formula; a donor whose file is there gives half of the multiply-adds."""
    found = formula(job)
    if job.donor is None:
        return found
    share = 0.5 if job.donor.weights.is_file() else 0.0
    return dataclasses.replace(found, inherited_macs=share, peak_learning_rate=0.001)


def rows(folder: Any) -> Any:
    return records.load(folder.path).drop(columns=["worker", "seconds"])


@pytest.mark.slow
def test_a_resume_decides_the_same_and_the_weights_of_donors_stay(tmp_path: Path) -> None:
    whole, parts = make_folder(tmp_path, "whole"), make_folder(tmp_path, "parts")
    evaluator = FakeEvaluator(heir)
    make_search(whole, evaluator, trials=12, ladder=LADDER, inherit=True).run()
    for trials in (3, 8, 12):
        make_search(parts, FakeEvaluator(heir), trials=trials, ladder=LADDER, inherit=True).run()
    table = rows(whole)
    assert table.equals(rows(parts))
    assert set(NEW) < set(table.columns) and table["donor"].dtype == "Int64"
    heirs = table[table["donor"].notna()]
    assert len(heirs) >= 4 and set(heirs["rung"]) == {1} and (heirs["inherited_macs"] == 0.5).all()
    assert {job.number for job in evaluator.jobs if job.donor} == set(heirs["number"])
    assert {path.stem for path in (whole.path / "weights").iterdir()} == set(table["key"])
    trials = {trial.number: trial for trial in records.trials_of(table.assign(seconds=1.0))}
    for trial in trials.values():
        assert trial.images_seen is not None and trial.images_in_all is not None
        before = 0 if trial.donor is None else trials[trial.donor].images_in_all
        if trial.promoted_from is not None:
            lower = trials[trial.promoted_from]
            before = (lower.images_in_all or 0) - (lower.images_seen or 0)
        assert trial.images_in_all == trial.images_seen + (before or 0)
    assert table["images_in_all"].max() > 2 * table["images_seen"].max()


@pytest.mark.slow
def test_without_inheritance_the_rows_and_columns_are_what_they_were(tmp_path: Path) -> None:
    off = make_folder(tmp_path, "off")
    evaluator = FakeEvaluator(heir)
    make_search(off, evaluator, trials=12, ladder=LADDER).run()
    assert all(job.donor is None and job.epochs == LADDER.effort(job.rung) for job in evaluator.jobs)
    table = rows(off)
    assert not set(NEW) & set(table.columns)
    for trial in open_study(off, num_rungs=2)._study.trials:
        assert not set(NEW) & {*trial.user_attrs["spec"], *trial.user_attrs["result"]}
    complete = table[table["outcome"] == "complete"]
    weights = {path.stem for path in (off.path / "weights").iterdir()}
    assert set(complete["key"]) - set(records.front(table)["key"]) == set(complete["key"]) - weights


def test_a_job_for_another_process_has_an_absolute_path_of_its_donor() -> None:
    job = Job(number=1, architecture=CHILD.architecture, seed=0, donor=Donor(number=0, key="a", weights=Path("w/a.pt")))
    sent = job.absolute().donor
    assert sent is not None and sent.weights == Path("w/a.pt").absolute()


@pytest.mark.slow
def test_the_option_is_kept_and_the_summary_tells_what_came_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    fake = FakeEvaluator(heir)
    monkeypatch.setattr("nas.executors.training.TrainingEvaluator", lambda *args, **kwargs: fake)
    data = str(Path(__file__).parents[1] / "data" / "hit_uav")
    fixed = ("input_size=128", "backbone=yolov8", "block=c2f", "width=0.125", "activation=silu", "branches=separate")
    quick = ["--data", data, *(word for each in fixed for word in ("--fix", each))]
    main(
        [
            "run",
            *quick,
            "--budget-gflops",
            "0.4",
            "--trials",
            "9",
            "--repeats",
            "2",
            "--inherit",
            "donor",
            "--name",
            "r",
        ]
    )
    trials = records.trials_of(records.load("runs/r"))
    first = [trial for trial in trials if trial.rung == 1 and trial.repeat_of is None]
    heirs = [trial for trial in first if trial.donor is not None]
    assert heirs and any(trial.repeat_of is not None for trial in trials)
    line = (
        f"inheritance: {len(heirs)} of {len(first)} trials on the first rung started from a donor; on average 50 % of"
    )
    assert line in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["run", "--resume", "runs/r", "--inherit", "none"])
    assert "the run r was started with --inherit donor, got --inherit none" in capsys.readouterr().err


@pytest.mark.slow
def test_trainings_with_donors_are_the_same_twice_and_after_a_resume(tmp_path: Path) -> None:
    data = str(Path(__file__).parents[1] / "data" / "hit_uav")
    fixed = ("input_size=128", "backbone=yolov8", "block=c2f", "width=0.125", "topology=pan", "head_levels=P3-P4")
    quick = ["--data", data, "--batch", "2", "--threads", "1", "--rungs", "0.4,0.8", "--inherit", "donor"]
    quick += ["--budget-gflops", "0.05", "--strategy", "random", *(word for each in fixed for word in ("--fix", each))]
    tables = []
    for name, limits in (("whole", (5,)), ("again", (5,)), ("parts", (3, 5))):
        main(["run", *quick, "--trials", str(limits[0]), "--name", name, "--out", str(tmp_path)])
        for limit in limits[1:]:
            main(["run", "--resume", str(tmp_path / name), "--trials", str(limit)])
        table = records.load(tmp_path / name)
        measured = ["worker", "seconds", "training_seconds", "peak_memory_bytes"]
        tables.append(table.drop(columns=measured, errors="ignore"))
    assert tables[0].equals(tables[1]) and tables[0].equals(tables[2])
    heirs = tables[0][tables[0]["donor"].notna()]
    assert len(heirs) and (heirs["inherited_macs"] > 0).all()
