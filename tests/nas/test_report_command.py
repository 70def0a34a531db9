"""`nas report` as a user meets it; training is faked."""

from __future__ import annotations

import json
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import postgres_server
import pytest
from search_fakes import FakeEvaluator, Silent, formula

from nas.cli import main
from nas.commands.run import command as run_command
from nas.config import read_config
from nas.engine.narrowing import narrowing_of
from nas.engine.run_request import RunRequest
from nas.engine.session import begin, open_search
from nas.executors import Evaluation, Job
from nas.executors.local import LocalExecutor
from nas.reports.describe import describe
from nas.reports.detectors import detectors_of, points_of
from nas.reports.gather import gather
from nas.reports.object_sizes import EDGES_PX, input_sides
from nas.run_folder import RunFolder
from nas.settings import RunSettings
from results import records
from results.report import ObjectSizes
from search_space import SearchSpace

DATA = str(Path(__file__).parents[1] / "data" / "hit_uav")
QUICK = ["--data", DATA, "--choices", "input_size=128,160,192", "--fix", "block=c2f", "--choices", "width=0.125,0.25"]
NARROW = [*QUICK, "--budget-gflops", "0.4", "--strategy", "random"]


def scored(job: Job) -> Evaluation:
    """Adds the other scores of a real training to those of the formula."""
    known = formula(job)
    accuracy = known.scores["accuracy"]
    draws = tuple(float(each) for each in np.random.default_rng(0).normal(accuracy, 0.01, 50))
    more = {"accuracy_low": accuracy - 0.02, "accuracy_high": accuracy + 0.02, "ap50": accuracy, "ap_small": accuracy}
    return replace(known, scores={**known.scores, **more}, accuracy_draws=draws)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in which training is a formula."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("nas.executors.training.TrainingEvaluator", lambda *args, **kwargs: FakeEvaluator(scored))
    return tmp_path


def search(capsys: pytest.CaptureFixture[str], name: str, *settings: str) -> dict[str, Any]:
    main(["run", *NARROW, *settings, "--name", name, "--json"])
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def report(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    main(["report", *arguments, "--json"])
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as caught:
        main(["report", *arguments])
    said = capsys.readouterr().err.strip()
    assert caught.value.code == 2 and len(said.splitlines()) == 1
    return said


@pytest.mark.slow
def test_a_report_of_a_run(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = search(capsys, "r", "--trials", "6", "--device", "jetson-nano", "--repeats", "2")
    before = {path: path.read_bytes() for path in Path("runs/r").rglob("*") if path.is_file()}
    told = report(capsys, "runs/r")
    assert told["report"] == "runs/r/report.html" and told["bytes"] == Path("runs/r/report.html").stat().st_size
    assert told["front"] == [each["key"] for each in found["front"]] and told["asked"] == found["asked"]
    assert told["asked"] == sum(told[outcome] for outcome in records.OUTCOMES) and told["notices"] == []
    assert all(path.read_bytes() == content for path, content in before.items())
    page = Path("runs/r/report.html").read_text()
    assert len(page) < 5e6 and "over seeds" in page and "predicted ms" in page and "Kendall" in page
    main(["report", "runs/r"])  # an earlier report is replaced
    assert "runs/r/report.html: " in capsys.readouterr().out
    assert sorted(path.name for path in Path("runs/r").glob("*report*")) == ["report.html"]


@pytest.mark.slow
def test_what_is_in_the_way_is_not_written_over(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    search(capsys, "r", "--trials", "1")
    Path("mine.html").write_text("mine")
    assert "mine.html exists and is no earlier report" in fails(capsys, "runs/r", "--out", "mine.html")
    assert Path("mine.html").read_text() == "mine"
    report(capsys, "runs/r", "--out", "mine.html", "--force")
    assert "<!doctype html>" in Path("mine.html").read_text()
    assert "is a folder; next: --out runs/report.html" in fails(capsys, "runs/r", "--out", "runs", "--force")
    assert "the folder nowhere of the report is not there" in fails(capsys, "runs/r", "--out", "nowhere/a.html")
    Path("empty").mkdir()
    assert "not the folder of a run" in fails(capsys, "empty")
    assert "is not the folder of a run" in fails(capsys, "gone")


@pytest.mark.slow
def test_the_detectors_are_those_of_the_trials(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    search(capsys, "r", "--trials", "6")
    content = gather(Path("runs/r"))
    trials = records.trials_of(records.complete(content.table, ["accuracy", "macs"]))
    assert trials
    for trial in trials:
        detector = content.detectors[trial.key]
        assert sum(node.macs for node in detector.nodes) == trial.macs
        assert sum(node.params for node in detector.nodes) == trial.params
        assert detector.words.startswith(f"{trial.input_width}x{trial.input_height} px; backbone ")
        assert detector.words.endswith(f"anchor-free head on {' '.join(trial.levels)}")
        assert detector.choices["block"] == "c2f"
    assert content.limits == {"macs": 4e8} and content.rungs[0].startswith("rung 1 against rung 2")


@pytest.mark.slow
def test_nodes_are_left_out_where_they_would_take_too_much_room(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    search(capsys, "r", "--trials", "4", "--epochs", "1")
    trials = records.trials_of(records.load("runs/r"))
    space = SearchSpace().narrowed(narrowing_of(read_config(Path("runs/r/config.yaml"))))
    points = points_of(trials, space)
    found = detectors_of(trials, points, space, {}, num_classes=4, max_node_bytes=1)
    assert [bool(found[trial.key].nodes) for trial in trials] == [True, False, False, False]
    assert all(found[trial.key].words for trial in trials)
    other_keys = [replace(trial, key="0" * 16) for trial in trials]
    assert points_of(other_keys, space) == {}  # not what this version makes of the points
    changed = [replace(trial, axes={**trial.axes, "width": "0.3"}) for trial in trials]
    assert points_of(changed, space) == {}
    assert describe({}, trials[0]).endswith(f"head on {' '.join(trials[0].levels)}")


def test_a_run_that_has_nothing_yet(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    search(capsys, "r", "--trials", "1")
    RunFolder(Path("runs/r")).trials_csv.unlink()
    assert "has 0 of the 1 trials that have ended; next: nas run --resume" in report(capsys, "runs/r")["notices"][0]
    RunFolder(Path("runs/r")).journal.unlink()
    told = report(capsys, "runs/r")
    assert told["asked"] == 0 and told["front"] == [] and "has no trial yet" in told["notices"][0]
    assert "No trial is complete yet" in Path("runs/r/report.html").read_text()


@pytest.mark.slow
def test_data_that_is_gone_or_changed_is_said(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(DATA, "data")
    main(["run", "--data", "data", *NARROW[2:], "--trials", "2", "--epochs", "1", "--name", "r", "--json"])
    boxes = gather(Path("runs/r")).boxes
    assert isinstance(boxes, ObjectSizes)
    assert all(sum(counts) == boxes.num_boxes for counts in boxes.counts.values()) and boxes.counts
    labels = Path("data/annotations/instances_val.json")
    plain = json.loads(labels.read_text())
    labels.write_text(json.dumps(plain | {"annotations": plain["annotations"][1:]}))
    said = gather(Path("runs/r")).boxes
    assert isinstance(said, str) and "cannot be read any more" in said and "fingerprint" in said
    shutil.rmtree("data")
    assert "cannot be read any more" in str(gather(Path("runs/r")).boxes)


def test_sides_of_boxes_in_an_input_by_hand() -> None:
    boxes, images = np.array([[8.0, 2.0], [10.0, 10.0]]), np.array([[100.0, 200.0], [50.0, 40.0]])
    # 200 px wide into 100: a half; 50 px high into 100: twice
    assert input_sides(boxes, images, (100, 100)).tolist() == [2.0, 20.0]
    assert EDGES_PX[0] == 1 and EDGES_PX[-1] == 1024


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        ["--trials", "2", "--rungs", "0.5,1"],
        ["--minutes", "1", "--trials", "1", "--device", "jetson-nano", "--budget-latency-ms", "90", "--seed", "3"],
        ["--trials", "1", "--objective", "ap50", "--objective", "latency", "--objective", "memory"]
        + ["--device", "jetson-nano", "--budget-params-m", "3", "--budget-memory-mb", "60", "--start", "my own.yaml"],
    ],
)
def test_the_command_to_search_again_comes_to_the_same_run(
    settings: list[str], home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["run", *NARROW, "--trials", "1", "--epochs", "1", "--name", "first", "--json"])
    shutil.copy(next(Path("runs/first/front").iterdir()), "my own.yaml")
    capsys.readouterr()
    search(capsys, "the run", *settings)
    again = next(each for each in gather(Path("runs/the run")).commands if each.title == "Search again")
    words = shlex.split(again.line)
    assert words[:2] == ["nas", "run"]
    given = run_command.make_context("run", words[2:]).params
    known = {name: value for name, value in given.items() if name in RunSettings.__dataclass_fields__}
    session = begin(RunRequest.of(**known))
    first = read_config(Path("runs/the run/config.yaml"))
    assert session.config.name == "the run-again" and replace(session.config, name=first.name) == first
    assert ("other trials" in again.note) == ("--minutes" in settings)


@pytest.mark.slow
def test_an_imported_run(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    search(capsys, "first", "--trials", "4", "--epochs", "1")
    search(capsys, "next", "--trials", "2", "--epochs", "1", "--from", "runs/first")
    told = report(capsys, "runs/next")
    page = Path("runs/next/report.html").read_text()
    first = Path("runs/first").resolve()
    assert told["cached"] >= 4 and f"taken over: trial 0 of {first}" in page and f"--from {first}" in page


def test_hostile_names_of_classes_and_folders(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "</script><script>alert(1)</script>"
    shutil.copytree(DATA, "data")
    for labels in Path("data/annotations").glob("*.json"):
        plain = json.loads(labels.read_text())
        plain["categories"][0]["name"] = name
        labels.write_text(json.dumps(plain))
    main(["run", "--data", "data", *NARROW[2:], "--trials", "1", "--epochs", "1", "--name", "a'\"<b>&", "--json"])
    capsys.readouterr()
    told = report(capsys, "runs/a'\"<b>&", "--out", "r.html")
    page = Path("r.html").read_text()
    assert told["asked"] == 1 and page.count("<script") == 2 and "<b>" not in page and "\x1b" not in page
    assert "&lt;/script&gt;&lt;script&gt;alert(1)" in page and "a&#x27;&quot;&lt;b&gt;&amp;" in page


@pytest.mark.slow
@pytest.mark.skipif(postgres_server.find("initdb") is None, reason="PostgreSQL's server is not here")
def test_a_run_in_a_database_is_read_there(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with postgres_server.running() as url:
        asked = RunRequest.of(budget_gflops=0.4, trials=3, epochs=1.0, name="shared", storage=url, data=DATA)
        session = begin(asked)
        with session.folder.locked():
            open_search(session, LocalExecutor(FakeEvaluator(scored)), Silent()).run()
        table = records.load(session.folder.path)
        records.write(table[:1], session.folder.trials_csv)  # what other workers found is in the database only
        told = report(capsys, "runs/shared")
        assert told["asked"] == 3 and told["notices"] == []
    told = report(capsys, "runs/shared")
    assert told["asked"] == 1 and "does not answer" in told["notices"][0] and "secret" not in told["notices"][0]
    assert "other workers may have finished more" in Path("runs/shared/report.html").read_text()
