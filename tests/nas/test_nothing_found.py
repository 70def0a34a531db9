"""A search whose trials all score 0 says so, with causes and next steps, and shows no front."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from search_fakes import FakeEvaluator, formula, make_config
from trial_rows import trial
from val_predict_fakes import DATA, run

from nas.api.search_run import open_run
from nas.commands.run import NO_FRONT
from nas.executors import Evaluation, Job
from nas.reports.nothing_found import nothing_found
from results import records
from results.trial import Cause, Outcome, Trial

ZERO = {"accuracy": 0.0, "ap": 0.0, "ap50": 0.0}


def blind(job: Job) -> Evaluation:
    return dataclasses.replace(formula(job), scores=ZERO)


def test_summary_json_api_and_report_say_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("nas.executors.training.TrainingEvaluator", lambda *args, **kwargs: FakeEvaluator(blind))
    monkeypatch.chdir(tmp_path)
    quick = ("--data", DATA, "--fix", "input_size=128", "--fix", "block=c2f", "--budget-gflops", 0.4)
    assert run("run", *quick, "--trials", 3, "--rungs", "1", "--name", "a", "--classes", "Car") == NO_FRONT
    said = capsys.readouterr().out
    (line,) = (each for each in said.splitlines() if "no detector finds an object" in each)
    assert "all 3 trials scored 0, so there is no front; likely causes: too short a training (at most 1 epochs" in line
    assert f"nas inspect {DATA} --classes Car" in line and f"nas data check {DATA} --classes Car" in line
    assert "--epochs 10 and --pretrained WEIGHTS" in line
    assert "next:   nas train" not in said and "\nfront:" not in said
    assert not said.endswith("\n\n")
    assert run("run", "--resume", "runs/a", "--json") == NO_FRONT
    told = json.loads(capsys.readouterr().out)
    assert told["front"] == [] and told["nothing_found"]["num_trials"] == 3
    assert len(told["nothing_found"]["causes"]) == len(told["nothing_found"]["next_steps"]) == 3
    search = open_run("runs/a")
    assert search.nothing_found is not None and "3 trials, nothing found" in repr(search)
    assert run("report", "runs/a", "--no-images", "--json") == 0
    assert json.loads(capsys.readouterr().out)["front"] == []
    page = Path("runs/a/report.html").read_text()
    assert "No detector finds an object: all 3 trials scored 0" in page and 'id="scatter"' not in page
    assert "nas train" not in page and "nas export" not in page


def unscored(number: int, outcome: Outcome) -> Trial:
    cause = Cause.OVER_BUDGET if outcome is Outcome.REJECTED else Cause.NOT_FINITE
    return trial(number, None, 5, outcome=outcome, cause=cause)


FAILED, REJECTED = unscored(8, Outcome.FAILED), unscored(9, Outcome.REJECTED)


@pytest.mark.parametrize(
    ("trials", "number"),
    [
        ([trial(0, 0.0, 5, 2), trial(1, 0.0, 3, 2)], 2),
        ([trial(0, 0.0, 5, 2), trial(1, 0.0, 3), FAILED, REJECTED], 2),
        ([trial(0, 0.0, 5, 2), trial(1, float("nan"), 3, 2)], 1),
        ([trial(0, 0.0, 5, 2), trial(1, 0.001, 3, 2)], None),
        ([trial(0, 0.0, 5, 2), trial(1, 0.2, 3)], None),
        ([FAILED, REJECTED], None),
        ([], None),
    ],
)
def test_nothing_is_found_only_if_every_score_is_zero(trials: list[Trial], number: int | None) -> None:
    found = nothing_found(records.frame(trials), make_config())
    assert (None if found is None else found.num_trials) == number


def test_the_next_steps_load_the_plug_ins_of_the_run() -> None:
    found = nothing_found(
        records.frame([trial(0, 0.0, 5, 2)]), make_config(data="set", plugins=("own format.py 12ab",))
    )
    assert found is not None and found.next_steps[-1] == "nas data check set --plugin 'own format.py'"


def test_the_built_in_set_needs_no_check_of_its_labels() -> None:
    found = nothing_found(records.frame([trial(0, 0.0, 5, 2)]), make_config(pretrained="w.pt", rungs=(0.5, 1.5)))
    assert found is not None and found.next_steps == ("another nas run with --epochs 20",)
    assert found.line().startswith("no detector finds an object: the only trial scored 0")
