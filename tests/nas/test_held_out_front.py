"""The front of a run that holds images out: its figures are of these, its order is not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from search_fakes import FakeEvaluator, formula

from nas.cli import main
from nas.executors import Evaluation, Job
from results.trial import HELD_OUT

RUN = ["run", "--budget-gflops", "0.4", "--fix", "block=c2f", "--trials", "6", "--name", "a"]


def reported(job: Job) -> Evaluation:
    """Scores held-out images of reported jobs in the reverse order of the others."""
    found = formula(job)
    scores = {**found.scores, "ap50": 0.123, "accuracy_low": 0.2, "accuracy_high": 0.9}
    if job.is_reported:
        scores |= {f"held_out_{name}": 1 - found.scores["accuracy"] for name in HELD_OUT}
    return replace(found, scores=scores)


@pytest.fixture
def evaluator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeEvaluator:
    fake = FakeEvaluator(reported)
    monkeypatch.setattr("nas.executors.training.TrainingEvaluator", lambda *args, **kwargs: fake)
    monkeypatch.chdir(tmp_path)
    return fake


def test_the_front_shows_held_out_figures_in_the_order_of_the_selection(
    evaluator: FakeEvaluator, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    main([*RUN, "--holdout", "yes"])
    said = capsys.readouterr().out
    assert "chosen by %" in said and "the validation images that are held out" in said
    main(["run", "--resume", "runs/a", "--json"])
    members = json.loads(capsys.readouterr().out)["front"]
    assert len(members) > 1
    chosen = [member["accuracy"] for member in members]
    assert chosen == sorted(chosen, reverse=True)
    for member in members:
        assert member["held_out_ap50"] == pytest.approx(1 - member["accuracy"]) and member["ap50"] == 0.123
        line = next(line for line in said.splitlines() if member["key"] in line and "trial" not in line)
        assert f"{100 * member['held_out_ap50']:.2f}" in line and f"{100 * member['accuracy']:.2f}" in line
        assert "12.30" not in line


def test_without_held_out_images_the_front_is_of_all(
    evaluator: FakeEvaluator, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    evaluator._evaluate = lambda job: reported(replace(job, is_reported=False))
    main([*RUN, "--holdout", "no"])
    said = capsys.readouterr().out
    assert "chosen by" not in said and "12.30" in said
