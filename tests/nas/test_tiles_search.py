"""Searches that choose how a frame is cut into tiles, under a budget for the whole frame."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from large_pictures import FRAME, write_large_pictures
from search_fakes import FakeEvaluator

from nas.advice.advice import advise
from nas.api.differences import differences
from nas.cli import main
from nas.commands.run_display import trial_line
from nas.config import read_config
from nas.cost import Budget, cost_of
from nas.cost.frame import FrameLatency
from nas.cost.latency import load_model
from nas.engine.domain import CostedDomain
from nas.engine.narrowing import with_defaults
from nas.engine.run_request import RunRequest
from nas.engine.session import begin, go_on
from nas.engine.starts import adapted
from nas.reports.describe import describe
from nas.reports.object_sizes import input_sides
from results import records
from results.trial import Outcome
from search_space import DESIGNS, Architecture, SearchSpace, TileGrid
from trainers.data import Record
from trainers.weights import load_weights

ORIN = "orin-nano-trt-fp16"
WHOLE = ["--frame", "1080", "1920", "--end-to-end", "--budget-latency-ms", "50", "--device", "orin-nano"]
NARROW = ["--choices", "input_size=128,160,192", "--fix", "block=c2f", "--choices", "width=0.125,0.25"]
NARROW += ["--start", "yolov8n-p2-nop5"]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_large_pictures(tmp_path_factory.mktemp("large"))


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    main([*arguments, "--json"])
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def test_tiles_are_passes_in_every_cost() -> None:
    whole = DESIGNS.get("yolov8n").architecture.resized((320, 320))
    cut = replace(whole, tiles=TileGrid.of("3x2"))
    for frame_hw in (None, FRAME):
        model = load_model(ORIN, frame_hw=frame_hw)
        one, six = (cost_of(each, num_classes=3, device=model) for each in (whole, cut))
        assert (one.passes, six.passes) == (1, 6) and six.macs == 6 * one.macs
        assert (six.params, six.memory_bytes) == (one.params, one.memory_bytes)
        assert one.latency is not None and isinstance(six.latency, FrameLatency)
        network = {part.part: part.latency_ms for part in six.latency.parts}["network"]
        alone = load_model(ORIN).predict(load_model(ORIN).terms(_graph(whole))[None])[0]
        assert network == pytest.approx(6 * alone.latency_ms)
        assert sum(part.high_ms for part in six.latency.parts) == pytest.approx(six.latency.high_ms)


def _graph(architecture: Architecture) -> Any:
    from search_space import lower

    return lower(architecture, num_classes=3)


def test_a_search_for_a_frame_trains_tiles_and_its_costs_add_up(
    large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    fake = FakeEvaluator()
    monkeypatch.setattr("nas.executors.training.TrainingEvaluator", lambda *args, **kwargs: fake)
    result = run_json(capsys, "run", *WHOLE, *NARROW, "--data", str(large), "--trials", "12", "--name", "a")
    table, folder = records.load(tmp_path / "runs" / "a"), tmp_path / "runs" / "a"
    trials = [trial for trial in records.trials_of(table) if trial.latency_ms is not None]
    tiles = {trial.axes["tiles"] for trial in trials}
    assert tiles - {"1"} and {job.architecture.tiles.name for job in fake.jobs} <= tiles
    model = load_model(ORIN, frame_hw=FRAME)
    for job in fake.jobs:
        trial = next(trial for trial in trials if trial.key == job.architecture.key())
        alone = cost_of(replace(job.architecture, tiles=TileGrid()), num_classes=4)
        assert trial.macs == job.architecture.tiles.count * alone.macs and trial.params == alone.params
        latency = cost_of(job.architecture, num_classes=4, device=model).latency
        assert isinstance(latency, FrameLatency) and latency.high_ms <= 50
        assert trial.latency_ms == pytest.approx(sum(part.latency_ms for part in latency.parts))
    for member in result["front"]:
        front = Architecture.from_yaml(Path(member["path"]))
        assert front.key() == member["key"] and front.tiles.name == _tiles_of(trials, member["key"])
    config = read_config(folder / "config.yaml")
    assert config.narrowing["tiles"] == ("1", "2x1", "2x2", "3x2", "4x2", "3x3", "4x3")
    resumed = go_on(folder, RunRequest.of(trials=13))
    assert resumed.domain.space.tiles == config.narrowing["tiles"] and resumed.domain.frame_hw == FRAME
    (point,) = [trial for trial in trials if trial.axes["tiles"] != "1"][:1]
    assert f" in {point.axes['tiles']} tiles" in trial_line(point)
    assert f"{point.axes['tiles']} tiles" in describe(point.axes, point)


def _tiles_of(trials: list[Any], key: str) -> str:
    return next(str(trial.axes["tiles"]) for trial in trials if trial.key == key)


@pytest.mark.slow
def test_a_short_search_trains_and_scores_on_tiles(large: Path, tmp_path: Path) -> None:
    quick = ["--trials", "1", "--epochs", "0.7", "--batch", "2", "--fix", "tiles=2x1", "--fix", "input_size=192"]
    narrow = ["--fix", "block=c2f", "--fix", "width=0.125", "--fix", "depth=0.17", "--start", "yolov8n-p2-nop5"]
    frame = ["--frame", "1080", "1920", "--budget-gflops", "1"]
    with suppress(SystemExit):  # nothing is detected after so short a training
        main(["run", *frame, *narrow, *quick, "--data", str(large), "--out", str(tmp_path), "--name", "b", "--json"])
    (trial,) = records.trials_of(records.load(tmp_path / "b"))
    assert trial.outcome == Outcome.COMPLETE and trial.key


@pytest.mark.slow
def test_a_training_keeps_its_tiles_in_its_weights_and_its_export(
    large: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut = replace(DESIGNS.get("yolov8n-p2-nop5").architecture.resized((128, 128)), tiles=TileGrid.of("2x1"))
    cut.to_yaml(tmp_path / "cut.yaml")
    trained = tmp_path / "trained"
    main(
        [
            "train",
            str(tmp_path / "cut.yaml"),
            "--data",
            str(large),
            "--epochs",
            "1",
            "--batch",
            "2",
            "--out",
            str(trained),
        ]
    )
    kept = load_weights(trained / "weights.pt").architecture
    assert kept is not None and Architecture.from_dict(kept).tiles == TileGrid.of("2x1")
    capsys.readouterr()
    main(["val", str(trained), "--data", str(large), "--json"])
    assert "cut into 2x1 tiles" in capsys.readouterr().err
    main(["export", str(trained), "--out", str(tmp_path / "out"), "--format", "yaml,onnx"])
    (card,) = (tmp_path / "out").rglob("README.md")
    assert "2x1 tiles" in card.read_text() and "2 passes for a frame" in card.read_text()
    cost, described = (json.loads(card.with_name(name).read_text()) for name in ("cost.json", "detector.json"))
    grid = {"columns": 2, "rows": 1, "overlap": 0.2}
    assert cost["passes"] == 2 and cost["tiles"] == grid and described["tiles"] == grid


def test_a_run_for_a_frame_without_tiles_has_none(large: Path, tmp_path: Path) -> None:
    asked = {"data": str(large), "out": str(tmp_path), "budget_gflops": 1.0, "trials": 1, "start": ("yolov8n-p2-nop5",)}
    plain = begin(RunRequest.of(name="plain", **asked))
    assert plain.domain.space.tiles == ("1",) and "tiles" not in plain.config.narrowing
    fixed = begin(RunRequest.of(name="fixed", frame=FRAME, fix=("tiles=2x1",), **asked))
    assert fixed.domain.space.tiles == ("2x1",)
    (start,) = fixed.starts
    assert start.candidate.architecture.tiles == TileGrid.of("2x1") and "in 2x1 tiles" in start.note
    other = begin(RunRequest.of(name="other", frame=(480, 640), **asked))
    assert any("seen at another scale" in notice for notice in other.notices)
    assert not any("seen at another scale" in notice for notice in fixed.notices)


def test_tiles_make_cells_small_enough() -> None:
    space = SearchSpace().narrowed(with_defaults({"tiles": ("1", "4x2")}))
    point = space.encode(DESIGNS.get("yolov8n").architecture.resized((320, 320)))
    cells = 1.5 * 320 / 8
    domain = CostedDomain(space, Budget(gmacs=100.0), num_classes=3, least_cells=cells, frame_hw=FRAME)
    whole, cut = (domain.assess({**point, "tiles": name}) for name in ("1", "4x2"))
    assert not domain.has_small_cells(whole) and domain.has_small_cells(cut)


def test_a_design_gets_the_tiles_of_the_space() -> None:
    narrowing = {"tiles": ("2x2",)}
    domain = CostedDomain(SearchSpace().narrowed(with_defaults(narrowing)), Budget(gmacs=1.0), num_classes=3)
    found, changes = adapted(domain, DESIGNS.get("yolov8n").architecture)
    assert found.tiles == TileGrid.of("2x2") and changes == ("in 2x2 tiles",)
    plain = CostedDomain(SearchSpace().narrowed(with_defaults({})), Budget(gmacs=1.0), num_classes=3)
    assert adapted(plain, found)[1] == ("without tiles",)


def records_of(hw: tuple[int, int], side: float) -> list[Record]:
    boxes = np.array([[10, 10, 10 + side, 10 + side]], np.float32)
    return [Record(path=None, height=hw[0], width=hw[1], boxes=boxes, labels=np.zeros(1, np.int64))] * 4


def test_tiles_are_advised_where_large_pictures_hide_their_objects() -> None:
    (item,) = [each for each in advise(records_of((2160, 3840), 12)).items if each.topic == "tiles"]
    assert item.flags == ("--frame", "2160", "3840") and "tiles 1, 2x1, 2x2, 3x2, 4x2, 3x3, 4x3;" in item.reason
    assert not item.choices, "a run by --auto has no tiles"
    given = advise(records_of((2160, 3840), 12), {"tiles": ("2x1",)}).items
    assert "tiles" not in {each.topic for each in given}
    assert "tiles" not in {each.topic for each in advise(records_of((512, 640), 12)).items}


def test_a_prediction_of_a_detector_with_tiles_is_per_frame(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "cut.yaml"
    cut = replace(DESIGNS.get("yolov8n").architecture.resized((320, 320)), tiles=TileGrid.of("2x2"))
    cut.to_yaml(path)
    out = run_json(capsys, "latency", str(path), "--device", ORIN)
    asked = run_json(capsys, "latency", "yolov8n", "--input", "320", "320", "--tiles", "2x2", "--device", ORIN)
    assert out["per_frame"]["passes"] == 4 and out["per_frame"]["latency_ms"] == pytest.approx(4 * out["latency_ms"])
    assert asked["per_frame"]["latency_ms"] / asked["latency_ms"] == pytest.approx(4)
    assert out["key"] == cut.key()
    main(["explain", str(path), "--num-classes", "3"])
    assert "tiles: 2x2 (columns x rows): 4 passes a frame" in capsys.readouterr().out


def test_tiles_are_a_difference_of_two_architectures() -> None:
    whole = DESIGNS.get("yolov8n").architecture.resized((320, 320))
    found = differences(whole, replace(whole, tiles=TileGrid.of("2x1")), num_classes=3, input_hw=None)
    assert "tiles" in json.dumps(found.to_dict()) and found.b.macs == 2 * found.a.macs


def test_the_objects_of_tiles_are_larger_in_the_input() -> None:
    boxes, images = np.array([[20.0, 20.0]]), np.array([[1080.0, 1920.0]])
    whole, cut = (input_sides(boxes, images, (640, 640), each) for each in (None, TileGrid.of("3x2")))
    assert cut[0] / whole[0] == pytest.approx(1920 / 739)
