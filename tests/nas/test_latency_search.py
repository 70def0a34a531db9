"""A search under a limit on latency: the upper end of the interval holds, and latency can be what is minimised."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from search_fakes import NUM_CLASSES, FakeEvaluator, small_space

from nas.cli import main
from nas.cost import Budget, cost_of
from nas.cost.latency import LatencyModel, load_model
from nas.engine.domain import Candidate, CostedDomain
from nas.engine.feasibility import ensure_feasible
from nas.engine.objectives import objectives
from nas.engine.search_study import SearchStudy, TrialSpec
from nas.engine.storage import journal_storage
from nas.engine.variation import fit_input, random_feasible
from nas.executors import Evaluation
from results import records
from results.trial import Origin, Outcome
from search_space import DESIGNS, Architecture
from search_space.errors import BudgetError, ConfigError

DATA = str(Path(__file__).parents[1] / "data" / "hit_uav")
QUICK = ["--data", DATA, "--choices", "input_size=128,160,192", "--fix", "block=c2f", "--choices", "width=0.125,0.25"]
DEVICE = "jetson-nano-ort-fp32"


@pytest.fixture
def evaluator(monkeypatch: pytest.MonkeyPatch) -> FakeEvaluator:
    fake = FakeEvaluator()
    monkeypatch.setattr("nas.executors.training.TrainingEvaluator", lambda *args, **kwargs: fake)
    return fake


@pytest.fixture(scope="module")
def model() -> LatencyModel:
    return load_model(DEVICE)


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as caught:
        main(list(arguments))
    assert caught.value.code == 2
    return capsys.readouterr().err.strip().splitlines()[-1]


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    main(["run", *arguments, "--json"])
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def test_cost_has_a_latency_only_where_a_device_is_given(model: LatencyModel) -> None:
    architecture = DESIGNS.get("yolov8n").architecture.resized((160, 160))
    timed = cost_of(architecture, num_classes=3, device=model)
    plain = cost_of(architecture, num_classes=3)
    assert timed.latency is not None and timed.latency_high_ms == timed.latency.high_ms > timed.latency.latency_ms > 0
    assert plain.latency is None and plain.macs == timed.macs
    with pytest.raises(ValueError, match="without a device"):
        _ = plain.latency_high_ms


def test_a_budget_on_latency_binds_the_upper_end(model: LatencyModel) -> None:
    cost = cost_of(DESIGNS.get("yolov8n").architecture.resized((160, 160)), num_classes=3, device=model)
    assert cost.latency is not None
    between = (cost.latency.latency_ms + cost.latency.high_ms) / 2
    assert [each.name for each in Budget(latency_ms=between).violations(cost)] == ["latency_high_ms"]
    assert not Budget(latency_ms=1.001 * cost.latency.high_ms).violations(cost)


@pytest.mark.parametrize("limit", [0.0, -3.0, float("nan"), float("inf")])
def test_a_budget_on_latency_is_a_positive_number(limit: float) -> None:
    with pytest.raises(BudgetError, match="milliseconds"):
        Budget(latency_ms=limit)


@pytest.mark.parametrize("fitting", [1, 3, 5])
def test_the_input_is_as_large_as_the_latency_lets_it_be(model: LatencyModel, fitting: int) -> None:
    space = small_space()
    params = space.encode(DESIGNS.get("yolov8n").architecture.resized((128, 128)))
    sizes = sorted(int(size) for size in space.axis("input_size").choices)
    costs = [
        cost_of(DESIGNS.get("yolov8n").architecture.resized((size, size)), num_classes=NUM_CLASSES, device=model)
        for size in sizes
    ]
    limit = 1.01 * costs[fitting - 1].latency_high_ms
    in_time = [size for size, cost in zip(sizes, costs, strict=True) if cost.latency_high_ms <= limit]
    offered: list[int] = []

    def largest(gmacs: list[float]) -> int:
        offered.append(len(gmacs))
        return len(gmacs) - 1

    domain = CostedDomain(space, Budget(latency_ms=limit), num_classes=NUM_CLASSES, device=model)
    found = fit_input(domain, params, largest)
    assert offered == [len(in_time)], "the choice is among the sizes that are fast enough, no more and no fewer"
    assert found is not None and found.feasible and found.architecture.input_hw == (in_time[-1], in_time[-1])


@pytest.mark.slow
def test_where_nothing_is_fast_enough_the_option_is_named(model: LatencyModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.engine.feasibility.NUM_CORNERS", 1)
    domain = CostedDomain(small_space(), Budget(latency_ms=0.5), num_classes=NUM_CLASSES, device=model)
    with pytest.raises(BudgetError, match=r"ms at the upper end.*--budget-latency-ms \d"):
        ensure_feasible(domain, small_space())


@pytest.mark.slow
def test_every_trained_trial_is_under_the_limit_at_its_upper_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], evaluator: FakeEvaluator
) -> None:
    monkeypatch.chdir(tmp_path)
    limit = ["--budget-latency-ms", "24", "--device", DEVICE, "--objective", "latency"]
    result = run_json(capsys, *QUICK, *limit, "--trials", "8", "--name", "timed")
    table = records.load(tmp_path / "runs" / "timed")
    complete = table[table["outcome"] == "complete"]
    assert len(complete) and (complete["latency_high_ms"] <= 24).all()
    assert (complete["latency_low_ms"] < complete["latency_ms"]).all() and set(table["objectives"]) == {
        "accuracy latency_ms"
    }
    model, front = load_model(DEVICE), result["front"]
    for member in front:
        cost = cost_of(Architecture.from_yaml(Path(member["path"])), num_classes=4, device=model)
        assert cost.latency is not None and member["latency_ms"] == pytest.approx(cost.latency.latency_ms)
        assert member["latency_high_ms"] <= 24
    times = [member["latency_ms"] for member in front]
    assert times == sorted(times, reverse=True), "a less accurate member of the front has to be faster"
    config = yaml.safe_load((tmp_path / "runs" / "timed" / "config.yaml").read_text())
    assert (config["device"], config["budget_latency_ms"], config["confidence"]) == (DEVICE, 24.0, 0.9)


@pytest.mark.parametrize("killed", [False, True])
def test_the_study_is_told_the_latency(
    tmp_path: Path, model: LatencyModel, killed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    domain = CostedDomain(small_space(), Budget(latency_ms=50), num_classes=NUM_CLASSES, device=model)
    journal = tmp_path / "study.journal"
    wanted = objectives(("accuracy", "latency"))
    study = SearchStudy(journal_storage(journal), domain.space, wanted)
    candidate = random_feasible(domain, np.random.default_rng(0))
    assert isinstance(candidate, Candidate) and candidate.cost.latency is not None
    running = study.begin(TrialSpec(candidate=candidate, origin=Origin("random")))
    evaluation = Evaluation(outcome=Outcome.COMPLETE, scores={"accuracy": 0.5})
    if killed:  # after the result was stored, before the trial was ended
        with monkeypatch.context() as patch:
            patch.setattr(study, "_close", lambda trial: None)
            study.tell(running, evaluation)
        SearchStudy(journal_storage(journal), domain.space, wanted).settle()
    else:
        study.tell(running, evaluation)
    (trial,) = SearchStudy(journal_storage(journal), domain.space, wanted)._study.get_trials()
    assert trial.values == [0.5, pytest.approx(candidate.cost.latency.latency_ms)]


@pytest.mark.slow
def test_the_confidence_of_a_run_is_the_one_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], evaluator: FakeEvaluator
) -> None:
    monkeypatch.chdir(tmp_path)
    limit = ["--budget-latency-ms", "24", "--device", DEVICE, "--confidence", "0.6"]
    run_json(capsys, *QUICK, *limit, "--trials", "1", "--name", "bold")
    (member,) = run_json(capsys, "--resume", "runs/bold", "--trials", "2")["front"]
    model = load_model(DEVICE, confidence=0.6)
    latency = cost_of(Architecture.from_yaml(Path(member["path"])), num_classes=4, device=model).latency
    assert latency is not None and member["latency_high_ms"] == pytest.approx(latency.high_ms)


@pytest.mark.slow
def test_a_timed_run_resumes_on_its_own_device_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], evaluator: FakeEvaluator
) -> None:
    monkeypatch.chdir(tmp_path)
    run_json(capsys, *QUICK, "--budget-latency-ms", "24", "--device", DEVICE, "--trials", "2", "--name", "timed")
    again = run_json(capsys, "--resume", "runs/timed", "--trials", "3", "--device", DEVICE)
    assert again["asked"] == 3
    said = fails(capsys, "run", "--resume", "runs/timed", "--device", "jetson-nano")
    assert DEVICE in said and "jetson-nano-trt-fp16" in said
    assert "confidence 0.9" in fails(capsys, "run", "--resume", "runs/timed", "--confidence", "0.8")
    config = tmp_path / "runs" / "timed" / "config.yaml"
    fingerprint = load_model(DEVICE).fingerprint()
    config.write_text(config.read_text().replace(fingerprint, "0123456789ab"))
    assert "constants" in fails(capsys, "run", "--resume", "runs/timed", "--trials", "4")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--budget-latency-ms", "30"], "--budget-latency-ms needs --device"),
        (["--budget-gflops", "1", "--objective", "latency"], "--objective latency needs --device"),
        (["--budget-gflops", "1", "--confidence", "0.8"], "--confidence needs --device"),
        (["--budget-gflops", "1", "--precision", "fp16"], "--precision needs --device"),
        (["--budget-latency-ms", "30", "--device", "jetson-nanno"], "did you mean"),
        (["--budget-latency-ms", "30", "--device", "jetson-nano", "--confidence", "1.5"], "above 0 and below 1"),
        (["--budget-latency-ms", "-1", "--device", "jetson-nano"], "milliseconds"),
        (["--device", "jetson-nano"], "no budget is given"),
    ],
)
def test_a_wrong_wish_is_one_line_and_writes_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert said in fails(capsys, "run", *QUICK, *arguments)
    assert not list(tmp_path.iterdir())


def test_a_device_without_a_file_is_refused() -> None:
    with pytest.raises(ConfigError, match="no profile"):
        load_model("nowhere.yaml")


def test_confidence_widens_the_interval() -> None:
    architecture = DESIGNS.get("yolov8n").architecture.resized((160, 160))
    costs = [
        cost_of(architecture, num_classes=3, device=load_model(DEVICE, confidence=each)).latency_high_ms
        for each in (0.5, 0.8, 0.9, 0.99)
    ]
    assert costs == sorted(costs) and costs[0] < costs[-1]
