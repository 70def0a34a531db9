"""`nas inspect` and `nas run --auto` as a user meets them."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
from search_fakes import FakeEvaluator
from test_advice_leaks import changed

from nas.cli import main
from nas.config import read_config
from nas.engine.narrowing import parse_narrowing
from search_space import SearchSpace

DATA = Path(__file__).parents[1] / "data" / "hit_uav"
BUDGET = ["--budget-gflops", "0.4", "--trials", "2"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def evaluator(monkeypatch: pytest.MonkeyPatch) -> FakeEvaluator:
    """Puts a formula in the place of training."""
    fake = FakeEvaluator()
    monkeypatch.setattr("nas.executors.training.TrainingEvaluator", lambda *args, **kwargs: fake)
    return fake


def shown(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    main([str(argument) for argument in arguments])
    return capsys.readouterr().out


def inspected(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(shown(capsys, "inspect", *arguments, "--json"))
    return report


def fails(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Runs a command that must fail and returns the one line it says."""
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    said = capsys.readouterr().err.strip()
    assert caught.value.code == 2, said
    return said.splitlines()[-1]


def narrowing_of(name: str) -> dict[str, list[str]]:
    config = read_config(Path("runs") / name / "config.yaml")
    return {axis: list(choices) for axis, choices in config.narrowing.items()}


def leaking(folder: Path) -> Path:
    """Copies the bundled set and puts a training frame, and the next one of its flight, to the validation images."""
    shutil.copytree(DATA, folder)
    train = sorted((folder / "images" / "train").iterdir())
    val = folder / "images" / "val"
    shutil.copy(train[0], val / "same.jpg")
    changed(train[1], val / "next.jpg")
    path = folder / "annotations" / "instances_val.json"
    content = json.loads(path.read_text())
    content["images"] += [
        {"id": 10**6 + number, "file_name": f"val/{name}", "height": 256, "width": 320}
        for number, name in enumerate(("same.jpg", "next.jpg"))
    ]
    path.write_text(json.dumps(content))
    return folder


def test_the_json_keeps_its_keys(capsys: pytest.CaptureFixture[str]) -> None:
    report = inspected(capsys, DATA)
    assert set(report) == {
        *("data", "source", "format", "parts", "image_sizes", "original", "inputs", "levels", "considered_px"),
        *("leaks", "advice", "run_flags"),
    }
    assert report["data"] == str(DATA) and report["format"] == "coco"
    train, val = report["parts"]
    assert (train["num_images"], train["num_boxes"], train["num_empty"]) == (6, 68, 1)
    assert train["by_class"] == {"Person": 29, "Car": 20, "Bicycle": 13, "OtherVehicle": 6}
    assert report["image_sizes"] == [{"width": 320, "height": 256, "num_images": 6}]
    assert [each["input_px"] for each in report["inputs"]] == sorted([*range(128, 1281, 32), 300])
    for each in report["inputs"]:
        assert sum(row["num_boxes"] for row in each["bins"]) == sum(each["served"].values()) == 68
        assert list(each["served"]) == list(each["seen"]) == ["P2", "P3", "P4", "P5", "P6"]
        assert each["under_px"]["8"] == 68 - each["seen"]["P2"]
    assert {"threshold", "chance_level", "num_mirrored", "pairs", "num_unreadable"} <= report["leaks"].keys()
    assert all({"topic", "flags", "reason", "numbers", "choices"} == item.keys() for item in report["advice"])


@pytest.mark.parametrize("data_format", ["coco", "yolo"])
def test_a_clean_set_has_no_leak(capsys: pytest.CaptureFixture[str], data_format: str) -> None:
    report = inspected(capsys, DATA, "--format", data_format)
    assert [(pair["part"], pair["num_leaked"]) for pair in report["leaks"]["pairs"]] == [("val", 0)]
    assert "split" not in [item["topic"] for item in report["advice"]]


def test_a_leak_is_told_with_its_share_and_its_pairs(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = leaking(tmp_path / "set")
    report = inspected(capsys, folder, "--format", "coco")
    (pair,) = report["leaks"]["pairs"]
    assert (pair["num_leaked"], pair["num_images"], pair["share"]) == (2, 4, 0.5)
    assert [Path(twins["image"]).name for twins in pair["worst"]] == ["same.jpg", "next.jpg"]
    said = shown(capsys, "inspect", folder, "--format", "coco")
    assert re.search(r"val: 2 of 4 images \(50\.0 %\) have a near-duplicate in train", said)
    assert "same.jpg (val)" in said and "split: 50.0 % of the val images" in said


def test_a_test_part_beside_the_others_is_looked_at(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = leaking(tmp_path / "set")
    content = json.loads((folder / "annotations" / "instances_val.json").read_text())
    images = [{**image, "file_name": image["file_name"].replace("val", "test")} for image in content["images"][-2:]]
    both = {"id": 1, "file_name": "val/same.jpg", "height": 256, "width": 320}  # is no image of the test part alone
    content = {**content, "images": [*images, both], "annotations": []}
    (folder / "annotations" / "instances_test.json").write_text(json.dumps(content))
    shutil.copytree(folder / "images" / "val", folder / "images" / "test")
    pairs = inspected(capsys, folder, "--format", "coco")["leaks"]["pairs"]
    found = {(pair["part"], pair["other"]): (pair["num_leaked"], pair["num_images"]) for pair in pairs}
    assert found == {("val", "train"): (2, 4), ("test", "train"): (2, 2), ("test", "val"): (2, 2)}


def test_the_plain_output_ends_with_a_command_that_can_be_pasted(
    home: Path, capsys: pytest.CaptureFixture[str], evaluator: FakeEvaluator
) -> None:
    lines = shown(capsys, "inspect", DATA, "--format", "coco").splitlines()
    assert "advice (from rules, not measured):" in lines
    assert any(re.fullmatch(r"  P6: 0\.0 % of the boxes at .* px, not needed", line) for line in lines)
    assert lines[-2].startswith("next: nas run --budget-gflops 1 --data ") and lines[-1].endswith("--auto")
    words = shlex.split(lines[-2].removeprefix("next: nas "))
    said = shown(capsys, *words, "--trials", "1", "--epochs", "1", "--name", "pasted")
    assert "trials: 1 = 1 complete" in said and "head_levels" in narrowing_of("pasted")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("inspect", "nowhere"), "no data set at nowhere: the path does not exist"),
        (("inspect",), "Missing argument 'DATA'"),
        (("inspect", DATA, "--format", "coko"), "did you mean 'coco'"),
        (("run", "--auto", *BUDGET), "--auto needs the boxes of your data"),
        (("run", "--auto", "--join", "--storage", "postgresql://u@h/d", "--name", "r"), "drop --auto"),
        (("run", "--auto", "--data", DATA, "--budget-gflops", "0.0001"), "; --auto gave --choices input_size="),
    ],
)
def test_errors_are_one_line(
    arguments: tuple[object, ...],
    message: str,
    home: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("nas.engine.feasibility.NUM_CORNERS", 1)
    assert message in fails(capsys, *arguments)
    assert list(home.iterdir()) == []


@pytest.mark.slow
def test_auto_follows_the_advice_and_the_run_keeps_it(
    home: Path, capsys: pytest.CaptureFixture[str], evaluator: FakeEvaluator
) -> None:
    said = shown(capsys, "run", "--data", DATA, *BUDGET, "--auto", "--name", "a")
    told = [line for line in said.splitlines() if line.startswith("auto: ")]
    report = inspected(capsys, DATA)
    wanted = {item["topic"]: [str(choice) for choice in item["choices"]] for item in report["advice"]}
    assert narrowing_of("a") == {axis: choices for axis, choices in wanted.items() if choices}
    assert len(told) == len(narrowing_of("a")) == 3 and all("%" in line for line in told)
    assert {str(job.architecture.input_hw[0]) for job in evaluator.jobs} <= set(narrowing_of("a")["input_size"])
    assert "trials: 3 =" in shown(capsys, "run", "--resume", "runs/a", "--trials", "3")
    assert "trials: 3 =" in shown(capsys, "run", "--resume", "runs/a", "--auto"), "as it was begun"
    flags = shlex.split(" ".join(line.removeprefix("auto:").partition(" (")[0] for line in told))
    assert flags == report["run_flags"]
    assert "trials: 3 =" in shown(capsys, "run", "--resume", "runs/a", *flags)


@pytest.mark.slow
def test_auto_leaves_alone_what_the_user_narrowed(
    home: Path, capsys: pytest.CaptureFixture[str], evaluator: FakeEvaluator
) -> None:
    Path("mine.yaml").write_text("input_size: [160, 192]\n")
    said = shown(
        *(capsys, "run", "--data", DATA, *BUDGET, "--auto", "--space", "mine.yaml", "--fix", "p6=yes", "--name", "b")
    )
    narrowing = narrowing_of("b")
    assert narrowing["input_size"] == ["160", "192"] and narrowing["p6"] == ["yes"]
    assert "P2-P2" in narrowing["head_levels"] and "at some size of 160 to 192 px" in said
    said = shown(
        *(capsys, "run", "--data", DATA, *BUDGET, "--auto", "--fix", "input_size=160", "--name", "c"),
        *("--fix", "head_levels=P2-P3"),
    )
    assert "auto:   nothing to narrow that you did not narrow yourself" in said
    assert set(narrowing_of("c")) == {"input_size", "head_levels"}


@pytest.mark.slow
def test_without_auto_nothing_is_narrowed(
    home: Path, capsys: pytest.CaptureFixture[str], evaluator: FakeEvaluator
) -> None:
    assert "auto:" not in shown(capsys, "run", "--data", DATA, *BUDGET, "--name", "d")
    assert narrowing_of("d") == {}


@pytest.mark.slow
def test_auto_searches_in_earnest(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = ["--trials", "1", "--epochs", "0.5", "--batch", "2", "--threads", "1", "--fix", "width=0.125"]
    said = shown(capsys, "run", "--data", DATA, "--budget-gflops", "0.3", *settings, "--auto", "--name", "real")
    assert "trials: 1 = 1 complete" in said


def test_the_flags_of_the_page_are_choices_of_the_space() -> None:
    page = (Path(__file__).parents[2] / "docs" / "inspect.md").read_text(encoding="utf-8")
    named = set(re.findall(r"--choices ([a-z0-9_]+=[A-Z0-9,-]+)", page))
    fixed = set(re.findall(r"--fix ([a-z0-9_]+=[a-zA-Z0-9-]+)", page))
    assert named and all(parse_narrowing(SearchSpace(), [], [each]) for each in named)
    assert all(parse_narrowing(SearchSpace(), [each], []) for each in fixed)
