"""The folder of a training: what is never written over, who holds it, and what it takes to go on in it."""

from __future__ import annotations

import csv
import json
import resource
import shutil
from dataclasses import replace
from math import nan
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from nas.api.train_results import Training
from nas.cli import main
from nas.locking import locked
from nas.process_control import launched_rank, reported_once
from search_space import DESIGNS
from search_space.plain import Options
from trainers import Score, fresh_detector, load_weights, save_weights
from trainers.data import open_data

DATA = Path(__file__).parent.parent / "data" / "hit_uav"
DESIGN = "yolov8n-p2-nop5"
FAST = ("--input", 64, 64, "--batch", 3, "--epochs", 1, "--threads", 1)


def run(*arguments: object) -> int:
    """Returns the exit code of `nas` with these arguments."""
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def train(out: Path, *more: object, data: Path = DATA) -> int:
    return run("train", DESIGN, "--data", data, "--out", out, *FAST, *more)


def begin(out: Path, monkeypatch: pytest.MonkeyPatch, *more: object) -> None:
    """Begins a training that is stopped before its first step."""

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("trainers.train", stopped)
        assert train(out, *more) == 130


def finished_training(**change: object) -> Training:
    """Returns the result of a training of 20 steps."""
    values: dict[str, Any] = {
        "folder": Path("out"),
        "weights": Path("out/weights.pt"),
        "architecture": DESIGNS.get(DESIGN).architecture,
        "classes": ("car",),
        "score": Score(ap=0.1, ap50=0.2),
        "last_score": Score(ap=0.1, ap50=0.2),
        "rows": ({"epoch": 1.0, "step": 20, "learning_rate": 0.1, "loss": 2.0},),
        "data": "shapes",
        "train_fingerprint": "a",
        "val_fingerprint": "b",
        "epochs": 1.0,
        "images_seen": 80,
        "steps": 20,
        "skipped_steps": 0,
        "broken_images": 0,
        "seconds": 3.0,
        "best_epoch": 1.0,
        "ended_by": "schedule",
    }
    return Training(**{**values, **change})


def error_line(capsys: pytest.CaptureFixture[str]) -> str:
    """Returns the one line that is neither about the data nor a note."""
    (line,) = (line for line in capsys.readouterr().err.splitlines() if not line.startswith(("data:", "note:")))
    assert line.startswith("nas: error: ")
    return line


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "lock"}


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "ended"
    assert train(out) == 0
    return out


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "given.pt"
    arch = DESIGNS.get(DESIGN).architecture.resized((64, 64))
    classes = open_data(DATA).val.classes
    save_weights(path, fresh_detector(arch, num_classes=len(classes), seed=9), arch.to_dict(), classes)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("option", ["--weights", "--pretrained"])
def test_given_weights_are_taken_also_when_going_on_before_the_first_checkpoint(
    option: str, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    begin(out, monkeypatch, option, weights, "--lr", 1e-12, "--eval-every", 0)
    assert run("train", "--resume", out) == 0
    assert "had written no checkpoint yet; it starts now" in capsys.readouterr().err
    before, after = (load_weights(path).state for path in (weights, out / "weights.pt"))
    kernels = [name for name, value in before.items() if value.ndim == 4]
    assert kernels and all(torch.allclose(before[name], after[name], atol=1e-6) for name in kernels)


@pytest.mark.parametrize("name", ["weights.pt", "results.json", "history.csv"])
def test_results_without_a_checkpoint_are_not_written_over(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    begin(tmp_path, monkeypatch)
    (tmp_path / name).write_text("precious")
    before = content_of(tmp_path)
    capsys.readouterr()
    assert train(tmp_path, "--seed", 3) == 2
    assert f"holds {name} of a training whose last.pt is gone; choose another --out" in error_line(capsys)
    assert run("train", "--resume", tmp_path) == 2
    assert f"{name} but no last.pt" in (line := error_line(capsys)) and "--weights" in line
    assert content_of(tmp_path) == before


def test_the_folder_of_a_search_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "study.journal").touch()
    assert train(tmp_path) == 2
    assert "is the folder of a search; choose another --out" in error_line(capsys)


def test_a_second_process_in_the_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    begin(tmp_path, monkeypatch)
    capsys.readouterr()
    before = content_of(tmp_path)
    with locked(tmp_path, "busy"):
        for arguments in (("--resume", tmp_path), (DESIGN, "--data", DATA, "--out", tmp_path, *FAST, "--seed", 5)):
            assert run("train", *arguments) == 2
            assert f"another process trains in {tmp_path}; wait for it" in error_line(capsys)
    assert content_of(tmp_path) == before
    with locked(tmp_path, "busy"):  # it was let go of
        pass


@pytest.mark.slow
def test_data_that_moved_is_found_again_and_data_that_changed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, old, new = tmp_path / "out", tmp_path / "old", tmp_path / "new"
    shutil.copytree(DATA, old)
    assert train(out, data=old) == 0
    old.rename(new)
    assert run("train", "--resume", out) == 2
    capsys.readouterr()
    annotations = new / "annotations" / "instances_val.json"
    good = annotations.read_text()
    content = json.loads(good)
    content["annotations"][0]["bbox"][2] += 1
    annotations.write_text(json.dumps(content))
    before = content_of(out)
    assert run("train", "--resume", out, "--data", new) == 2
    assert "belongs to other validation data" in error_line(capsys) and content_of(out) == before
    annotations.write_text(good)
    assert run("train", "--resume", out, "--data", new) == 0
    assert yaml.safe_load((out / "config.yaml").read_text())["data"] == str(new)


def test_a_full_disk_is_told_in_one_line_and_leaves_no_rest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
        code = train(tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert code == 2
    *_, line = capsys.readouterr().err.splitlines()
    assert line.startswith(f"nas: error: cannot write {tmp_path / 'out' / 'last.pt'}: File too large")
    assert line.endswith(f"then resume with: nas train --resume {tmp_path / 'out'}")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"lock", "config.yaml", "architecture.yaml"}


@pytest.mark.slow
def test_going_on_with_a_training_that_has_ended_changes_no_result(
    ended: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = json.loads((ended / "results.json").read_text())
    results |= {"seconds": 1234.5, "broken_images": 2}  # more than one part could have found
    (ended / "results.json").write_text(json.dumps(results))
    before = content_of(ended)
    assert run("train", "--resume", ended, "--json") == 0
    assert json.loads(capsys.readouterr().out) == results
    after = content_of(ended)
    assert all(after[name] == before[name] for name in ("results.json", "history.csv", "weights.pt", "last.pt"))


@pytest.mark.parametrize(
    ("change", "lines"),
    [
        ({}, []),
        ({"skipped_steps": 3}, ["3 of 20 steps were skipped"]),
        ({"skipped_steps": 19}, ["19 of 20 steps were skipped", "most steps were skipped"]),
        ({"score": Score(ap=0.0, ap50=0.0)}, ["no evaluation found anything"]),
        ({"score": Score(ap=nan, ap50=nan), "skipped_steps": 1}, ["1 of 20", "no evaluation found anything"]),
        ({"score": None}, []),
    ],
)
def test_a_training_that_failed_is_called_so(change: dict[str, object], lines: list[str]) -> None:
    found = finished_training(**change).failures
    assert len(found) == len(lines) and all(line.startswith(begin) for line, begin in zip(found, lines, strict=True))


@pytest.mark.slow
def test_what_is_shown_of_a_training_that_found_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(tmp_path / "out", "--lr", 1e-12) == 0
    printed = capsys.readouterr()
    assert "no evaluation found anything (accuracy 0)" in printed.out and "the best" not in printed.out
    (row,) = csv.DictReader((tmp_path / "out" / "history.csv").open())
    assert f"mean loss {float(row['loss']):.3f} " in printed.err, "the same quantity in both places"


def test_a_batch_above_the_number_of_images_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("train", DESIGN, "--data", DATA, "--out", tmp_path / "out", "--batch", 7) == 2
    assert "--batch is 7, but there are 6 training images; give 6 or less" in error_line(capsys)
    assert not (tmp_path / "out").exists()


def test_windows_that_can_do_nothing_are_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    begin(tmp_path / "small", monkeypatch, "--tile-chance", 0.5, "--eval-tile")
    assert "does nothing" not in capsys.readouterr().err
    monkeypatch.setitem(globals(), "FAST", ("--input", 1024, 1024, "--batch", 3))
    begin(tmp_path / "large", monkeypatch, "--tile-chance", 0.5, "--eval-tile")
    told = capsys.readouterr().err
    assert "note: --tile-chance has no effect: no training image is larger than 1024x1024 px" in told
    assert "note: --eval-tile has no effect: no validation image" in told


@pytest.mark.parametrize(("bins", "is_noted"), [(2, True), (1, False)])
def test_boxes_that_are_too_long_for_the_bins_are_noted(
    bins: int, is_noted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known = DESIGNS.get(DESIGN).architecture
    replace(known, head=replace(known.head, options=Options({"bins": bins}))).to_yaml(tmp_path / "design.yaml")
    monkeypatch.setitem(globals(), "DESIGN", tmp_path / "design.yaml")
    monkeypatch.setitem(globals(), "FAST", ("--input", 256, 256, "--batch", 3))
    begin(tmp_path / "out", monkeypatch)
    assert ("note: 2 of 68 training boxes have a side above 32 px" in capsys.readouterr().err) == is_noted


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("last.pt", b"broken", "last.pt is not a checkpoint of this program, or it is damaged; restore it from a copy"),
        ("config.yaml", b"- 1", "config.yaml is damaged; restore it from a copy"),
        ("config.yaml", b"\xff\xfe\xff", "config.yaml is damaged; restore it from a copy"),
        ("config.yaml", b"data: 3\ntraining: {}", "config.yaml is damaged; restore it from a copy"),
        ("architecture.yaml", b"x: [", "or start a new training with another --out"),
        ("architecture.yaml", None, "or start a new training with another --out"),
    ],
)
def test_damaged_files_are_told_with_a_next_step(
    name: str, content: bytes | None, message: str, ended: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(ended, folder)
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    before = content_of(folder)
    assert run("train", "--resume", folder) == 2
    assert message in error_line(capsys) and content_of(folder) == before


def test_a_folder_of_a_training_given_as_architecture_points_to_resume(
    ended: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("train", ended) == 2
    assert f"next: nas train --resume {ended}" in error_line(capsys)


def test_a_folder_that_cannot_be_made_is_told_with_a_next_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert train(tmp_path / "file" / "out") == 2
    line = error_line(capsys)
    assert f"cannot write to the folder {tmp_path / 'file' / 'out'} of --out" in line and "give another --out" in line


def test_an_error_of_all_processes_is_told_by_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)
    for rank in ("0", "1"):
        for name, value in (("RANK", rank), ("LOCAL_RANK", rank), ("WORLD_SIZE", "2")):
            monkeypatch.setenv(name, value)
        with pytest.raises(ValueError, match="wrong"), reported_once():
            raise ValueError("wrong")
        assert launched_rank() == int(rank) and len(waits) == int(rank), "only the second waits to be ended"
