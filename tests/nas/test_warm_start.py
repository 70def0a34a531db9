"""Runs that begin with what an earlier one found, with files, and with a narrowed space from a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from search_fakes import FakeEvaluator

from nas.cli import main
from nas.engine.narrowing import parse_narrowing, read_narrowing
from results import records
from search_space import Architecture, SearchSpace
from search_space.errors import ConfigError, SpaceError

DATA = str(Path(__file__).parents[1] / "data" / "hit_uav")
QUICK = ["--data", DATA, "--fix", "block=c2f", "--choices", "width=0.125,0.25", "--fix", "backbone=yolov8"]


@pytest.fixture
def evaluator(monkeypatch: pytest.MonkeyPatch) -> FakeEvaluator:
    fake = FakeEvaluator()
    monkeypatch.setattr("nas.executors.training.TrainingEvaluator", lambda *args, **kwargs: fake)
    return fake


@pytest.fixture
def earlier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, evaluator: FakeEvaluator) -> Path:
    """A run of six trials at one input size, under 0.4 GMACs."""
    monkeypatch.chdir(tmp_path)
    main(["run", *QUICK, "--fix", "input_size=128", "--budget-gflops", "0.4", "--trials", "6", "--name", "earlier"])
    evaluator.jobs.clear()
    return tmp_path / "runs" / "earlier"


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    capsys.readouterr()
    main(["run", *arguments, "--json"])
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


@pytest.mark.slow
def test_trials_that_were_trained_alike_are_taken_over_into_a_wider_space_and_a_smaller_budget(
    earlier: Path, capsys: pytest.CaptureFixture[str], evaluator: FakeEvaluator
) -> None:
    before = records.load(earlier)
    evaluated = before[before["accuracy"].notna()]
    dear = sorted(set(evaluated["macs"]))[-2:]
    limit = sum(dear) / 2e9
    arguments = [*QUICK, "--choices", "input_size=128,160", "--budget-gflops", f"{limit}", "--from", "runs/earlier"]
    result = run(capsys, *arguments, "--trials", "2", "--name", "later")
    table = records.load(earlier.parent / "later")
    taken = table[table["imported_from"].notna()]
    kept = evaluated[evaluated["macs"] <= limit * 1e9]
    assert 0 < len(kept) < len(evaluated)
    assert taken["key"].tolist() == kept["key"].tolist() and taken["accuracy"].tolist() == kept["accuracy"].tolist()
    assert set(taken["outcome"]) == {"cached"} and taken["imported_from"].iloc[0].startswith("trial ")
    assert result["cached"] == len(taken) and result["asked"] == len(table) == len(taken) + 2
    whole = set(kept["key"][kept["rung"] == 2])
    assert whole & {member["key"] for member in result["front"]}
    again = [job for job in evaluator.jobs if job.rung == 1 and job.architecture.key() in set(taken["key"])]
    assert again == []
    assert len(run(capsys, "--resume", "runs/later", "--trials", "3")["front"]) > 0
    assert len(records.load(earlier.parent / "later")) == len(taken) + 3
    for member in result["front"]:
        assert (earlier.parent / "later" / "weights" / f"{member['key']}.pt").is_file()


@pytest.mark.slow
def test_what_was_trained_otherwise_is_where_a_run_starts(
    earlier: Path, capsys: pytest.CaptureFixture[str], evaluator: FakeEvaluator
) -> None:
    members = [Architecture.from_yaml(path).key() for path in sorted((earlier / "front").iterdir())]
    limit = ["--budget-gflops", "0.4", "--from", "runs/earlier", "--rungs", "0.1,0.2"]
    main(["run", *QUICK, *limit, "--trials", "4", "--name", "other"])
    assert "its rungs differ" in capsys.readouterr().out
    assert evaluator.jobs[0].architecture.key() == members[0]
    config = yaml.safe_load((earlier.parent / "other" / "config.yaml").read_text())
    assert config["start"][0] == f"starts/{members[0]}.yaml" and config["from_run"] is None
    (earlier / "front").rename(earlier / "gone")
    assert run(capsys, "--resume", "runs/other", "--trials", "5")["asked"] == 5


def test_an_architecture_of_ones_own_is_a_start_and_stays_with_the_run(
    earlier: Path, capsys: pytest.CaptureFixture[str], evaluator: FakeEvaluator
) -> None:
    mine = sorted((earlier / "front").iterdir())[0]
    key = Architecture.from_yaml(mine).key()
    own = earlier.parents[1] / "mine.yaml"
    own.write_text(mine.read_text())
    run(capsys, *QUICK, "--budget-gflops", "0.4", "--trials", "1", "--start", "mine.yaml", "--name", "own")
    own.unlink()
    assert evaluator.jobs[0].architecture.key() == key
    assert records.load(earlier.parent / "own")["origin"].tolist() == ["design starts/mine.yaml"]
    assert run(capsys, "--resume", "runs/own", "--trials", "2")["asked"] == 2


def test_a_space_from_a_file_is_that_of_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text("input_size: [128, 160]\nfusion: [concat, add]\nwidth: 0.25\n")
    space = SearchSpace()
    spelt = parse_narrowing(space, ["width=0.25"], ["input_size=128,160", "fusion=concat,add"])
    assert read_narrowing(space, path) == spelt
    with pytest.raises(SpaceError, match="given twice"):
        parse_narrowing(space, ["width=0.25"], [], str(path))


def test_a_choice_of_another_axis_is_pointed_to() -> None:
    with pytest.raises(SpaceError, match="there is upsample=sni"):
        parse_narrowing(SearchSpace(), [], ["fusion=concat,sni"])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[1, 2]", "instead of axes"),
        ("width: [0.25", "is no YAML: line 1"),
        ("wdth: 0.25", "did you mean 'width'"),
        ("width: 77", "nearest"),
        ("width: !!python/object/apply:os.system ['true']", "is no YAML: line 1"),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(content)
    with pytest.raises((ConfigError, SpaceError), match=said) as caught:
        read_narrowing(SearchSpace(), path)
    assert "\n" not in str(caught.value)
