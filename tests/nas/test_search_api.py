"""`nas.api.search`: a search without the command line; training is faked."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from search_fakes import FakeEvaluator

import results
from nas.api.events import RunOpened, RunStarted, SearchEvent, TrialFinished, TrialStarted
from nas.api.search import SearchInterrupted, search
from nas.api.search_run import open_run
from nas.cli import main
from nas.engine.ending import INTERRUPTED
from search_space.errors import BudgetError, ConfigError, PluginError

DATA = Path(__file__).parents[1] / "data" / "hit_uav"
QUICK: dict[str, Any] = {
    "budget_gflops": 0.4,
    "fix": {"block": "c2f"},
    "choices": {"input_size": (128, 160, 192), "width": (0.125, 0.25)},
}


@pytest.fixture
def evaluator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeEvaluator:
    """Puts a formula in the place of training, and an empty folder in that of this one."""
    fake = FakeEvaluator()
    monkeypatch.setattr("nas.executors.training.TrainingEvaluator", lambda *args, **kwargs: fake)
    monkeypatch.chdir(tmp_path)
    return fake


def test_a_search_returns_its_run_and_tells_what_happens(
    evaluator: FakeEvaluator, capsys: pytest.CaptureFixture[str]
) -> None:
    events: list[SearchEvent] = []
    notices: list[str] = []
    run = search(DATA, trials=6, name="a", on_progress=events.append, on_notice=notices.append, **QUICK)
    assert capsys.readouterr() == ("", "")
    assert str(run.ending) == "6 trials are done" and run.folder == Path("runs/a")
    assert [type(each) for each in events[:3]] == [RunStarted, RunOpened, TrialStarted]
    finished = [each.trial.number for each in events if isinstance(each, TrialFinished)]
    assert finished == run.trials["number"].tolist() and any("to fit the budget" in each for each in notices)
    pd.testing.assert_frame_equal(run.trials, results.load(run.folder))
    pd.testing.assert_frame_equal(run.front, results.front(run.trials))
    assert [member.key for member in run.members] == run.front["key"].tolist()
    best = run.members[0]
    assert best.weights.is_file() and best.architecture.key() == best.key and best.path.is_file()
    assert best.accuracy == best.scores["accuracy"] == run.front["accuracy"].iloc[0]
    assert repr(run) == f"<SearchRun {run.folder}: {len(run.trials)} trials, {len(run.members)} on the front>"
    assert repr(run.members[0]).startswith(f"<FrontMember {run.members[0].name}: accuracy ")
    assert "<table" in run._repr_html_() and run.rung_correlations[0].num_trials >= 1
    with pytest.raises(FrozenInstanceError):
        run.ending = "other"  # type: ignore[misc]


@pytest.mark.slow
def test_the_command_prints_what_the_api_returns(evaluator: FakeEvaluator, capsys: pytest.CaptureFixture[str]) -> None:
    run = search(str(DATA), trials=5, name="a", **QUICK)
    words = ["--fix", "block=c2f", "--choices", "input_size=128,160,192", "--choices", "width=0.125,0.25"]
    main(["run", "--data", str(DATA), "--trials", "5", "--name", "b", "--budget-gflops", "0.4", *words, "--json"])
    printed = json.loads(capsys.readouterr().out.replace("runs/b", "runs/a"))
    assert printed == json.loads(json.dumps(run.to_dict()))


@pytest.mark.slow
def test_a_run_is_resumed_and_opened_from_its_folder(evaluator: FakeEvaluator) -> None:
    first = search(DATA, trials=3, name="a", **QUICK)
    run = search(resume=first.folder, trials=5)
    opened = open_run(run.folder)
    assert len(run.trials) == 5 and opened.config == run.config and opened.ending is None
    assert opened.members == run.members and opened.rung_correlations == run.rung_correlations
    assert opened.surrogate_correlation is None
    with pytest.raises(ConfigError, match="--seed 0, got --seed 1"):
        search(resume=run.folder, seed=1)
    with pytest.raises(ConfigError, match="cannot read"):
        open_run("nowhere")


@pytest.mark.slow
def test_ctrl_c_ends_the_run_and_raises_with_it(evaluator: FakeEvaluator) -> None:
    def press(event: SearchEvent) -> None:
        if isinstance(event, TrialFinished):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        search(DATA, trials=3, name="a", on_progress=press, **QUICK)
    assert isinstance(caught.value, SearchInterrupted)
    assert caught.value.run.ending == INTERRUPTED and len(caught.value.run.trials) == 1
    assert len(search(resume="runs/a").trials) >= 3


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({}, ConfigError),
        ({"budget_gflops": -1.0}, BudgetError),
        ({"budget_gflops": 1.0, "executor": "lokal"}, ConfigError),
        ({"budget_gflops": 1.0, "sed": 1}, ConfigError),
        ({"budget_gflops": 1.0, "address": "a:1"}, ConfigError),
        ({"budget_gflops": 1.0, "plugin": "none.py"}, PluginError),
        ({"join": True, "resume": "runs/a"}, ConfigError),
    ],
)
def test_what_a_user_gets_wrong_raises_and_writes_nothing(
    settings: dict[str, Any], error: type[Exception], evaluator: FakeEvaluator
) -> None:
    with pytest.raises(error):
        search(DATA, **settings)
    assert list(Path().iterdir()) == []


def test_the_observer_is_told_of_a_trial_with_its_origin(evaluator: FakeEvaluator) -> None:
    events: list[SearchEvent] = []
    search(DATA, trials=1, name="a", start="yolov8n-p2-nop5", on_progress=events.append, **(QUICK | {"fix": ()}))
    started = next(each for each in events if isinstance(each, TrialStarted))
    assert (
        str(started.origin) == "design yolov8n-p2-nop5"
        and started.rung == 1
        and started.num_rungs == 2
        and started.gmacs > 0
    )
