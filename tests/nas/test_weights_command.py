"""The command `nas weights import`, and published files wherever weights are taken."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import safetensors.torch
import torch
from val_predict_fakes import DATA, FAST, run

import nas
from nas.api.reproduce import reproduce
from search_space import DESIGNS, lower
from search_space.errors import ConfigError
from trainers import fresh_detector, load_weights, save_weights
from trainers.data.visdrone import CLASSES as VISDRONE
from trainers.importing.layouts import MMDET
from trainers.importing.opening import open_weights

FIXTURES = Path(__file__).parents[1] / "data" / "import" / "fixtures"
PICKLE, UNSTRIPPED, ONNX = (FIXTURES / f"ultralytics_tiny{end}" for end in (".pt", "_unstripped.pt", ".onnx"))


def _outputs(path: Path, image: torch.Tensor) -> list[torch.Tensor]:
    with torch.no_grad():
        return list(load_weights(path).detector()(image))


@pytest.mark.parametrize("file", [PICKLE, UNSTRIPPED, ONNX], ids=["pickle", "unstripped", "onnx"])
@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_the_fixtures_give_the_outputs_of_their_model(file: Path, suffix: str, tmp_path: Path) -> None:
    out = tmp_path / f"w{suffix}"
    assert run("weights", "import", file, "--out", out) == 0
    with np.load(FIXTURES / "expected.npz") as expected:
        for case in ("", "_wide"):
            found = _outputs(out, torch.from_numpy(expected[f"input{case}"]))
            for level, output in enumerate(found):
                wanted = expected[f"outputs{case}_{level}"]
                assert np.abs(output.numpy() - wanted).max() < 1e-5 * np.abs(wanted).max()


def test_the_result_says_what_was_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "w.safetensors"
    assert run("weights", "import", PICKLE, "--out", out, "--json") == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert (told["kind"], told["layout"], told["num_classes"]) == ("module", "Ultralytics", 3)
    assert told["classes"] == ["ant", "bee", "fly"] and told["missing"] == told["unused"] == []
    assert told["facts"]["version"] == "8.4.190" and told["out"] == str(out)
    weights = load_weights(out)
    detector = weights.detector()
    assert told["params"] == sum(value.numel() for value in detector.parameters())
    assert run("weights", "import", PICKLE, "--out", tmp_path / "again.safetensors") == 0
    printed = capsys.readouterr()
    assert "3 classes: ant, bee, fly" in printed.out and "licence" in printed.err
    assert all(len(line) <= 200 for line in printed.out.splitlines())


def test_the_file_is_named_after_its_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert nas.import_weights(PICKLE).out == Path("ultralytics_tiny.safetensors")
    with pytest.raises(ConfigError, match="exists"):
        nas.import_weights(PICKLE)
    plain = tmp_path / "plain.safetensors"
    architecture = DESIGNS.get("yolov8n-p2-nop5").architecture
    safetensors.torch.save_file(fresh_detector(architecture, num_classes=2, seed=0).state_dict(), plain)
    content = plain.read_bytes()
    assert nas.import_weights(plain).out == Path("plain-imported.safetensors")
    assert nas.import_weights(plain, out="other.safetensors").weights == Path("other.safetensors")
    assert plain.read_bytes() == content and load_weights("plain-imported.safetensors").missing() == ()


@pytest.mark.parametrize(
    ("file", "message"),
    [(".", "is a folder or a device"), (None, "must be given as a path, got NoneType"), (3, "got int")],
)
def test_what_is_no_file_is_told(file: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        nas.import_weights(file)


def test_a_bad_file_is_told_before_the_output(tmp_path: Path) -> None:
    for name, content in (("bad.pt", PICKLE.read_bytes()[:5000]), ("bad.safetensors", b"")):
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match="cut off"):
        nas.import_weights(tmp_path / "bad.pt", out=tmp_path / "bad.safetensors")


def test_a_backbone_is_called_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    architecture, out = DESIGNS.get("tinydet-m").architecture, tmp_path / "w.safetensors"
    state = {
        f"backbone.blocks.{place.layer}.{place.name}": torch.zeros(owns[0].tensor.shape)
        for place, owns in MMDET.places(lower(architecture, num_classes=1)).items()
        if place.section == "backbone.blocks"
    }
    torch.save({"state_dict": state}, tmp_path / "bb.pth")
    assert run("weights", "import", tmp_path / "bb.pth", "--out", out) == 0
    told = capsys.readouterr().out
    assert "backbone only; give it as --pretrained" in told and "class" not in told
    assert nas.import_weights(tmp_path / "bb.pth", out=tmp_path / "again.pt").backbone_only
    assert open_weights(tmp_path / "bb.pth").notes[0].startswith("bb.pth: read as the backbone of tinydet-m (")
    assert run("weights", "import", out) == 2
    assert "is a weights file of nas already" in capsys.readouterr().err


def test_the_result_can_be_given_as_weights(data: Path, tmp_path: Path) -> None:
    imported = nas.import_weights(PICKLE, out=tmp_path / "w.safetensors")
    assert imported.weights == imported.out
    quick: dict[str, Any] = {"data": data, "input_hw": (64, 64), "bootstrap": 0, "threads": 1}
    assert nas.evaluate(imported, **quick).score == nas.evaluate(imported.out, **quick).score
    for wrong in (7, None):
        with pytest.raises(ConfigError, match="weights cannot be .*; give a path, or an object that has weights"):
            nas.evaluate(wrong, **quick)  # type: ignore[arg-type]


def test_each_tensor_that_does_not_fit_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "w.safetensors"
    assert run("weights", "import", PICKLE, "--as", "yolov8n", "--out", out) == 2
    told = capsys.readouterr().err.splitlines()
    assert "model.0.conv.weight is 8x3x3x3, blocks.stem.conv.weight needs 16x3x3x3" in told
    assert len(told) == 20 + 2 and re.fullmatch(r"and \d{3} more tensors", told[-2]) and not out.exists()
    assert told[-1].endswith("; the file fits yolov8 (8, 8, 16, 32, 64); next: omit --as")


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--out", "w.bin"), ".safetensors"),
        (("--out", "none/w.pt"), "does not exist"),
        (("--as", "yolov9"), "unknown design"),
    ],
)
def test_wrong_options_are_one_line(
    options: tuple[str, ...], word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("weights", "import", PICKLE, *options) == 2
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1 and word in told[0] and not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures with objects of the three classes of the fixtures."""
    folder = tmp_path_factory.mktemp("insects") / "data"
    shutil.copytree(DATA, folder)
    for path in (folder / "annotations").glob("*.json"):
        content = json.loads(path.read_text())
        kept = [each for each in content["categories"]][:3]
        for category, name in zip(kept, ("ant", "bee", "fly"), strict=True):
            category["name"] = name
        known = {each["id"] for each in kept}
        content["categories"] = kept
        content["annotations"] = [each for each in content["annotations"] if each["category_id"] in known]
        path.write_text(json.dumps(content))
    return folder


def test_val_predict_and_export_read_a_published_file(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ("--data", data, "--input", 64, 64, "--bootstrap", 0, "--json", *FAST)
    assert run("val", PICKLE, *common) == 0
    direct = json.loads(capsys.readouterr().out)
    out = tmp_path / "w.safetensors"
    assert run("weights", "import", PICKLE, "--out", out) == 0
    capsys.readouterr()
    assert run("val", out, *common) == 0
    assert json.loads(capsys.readouterr().out)["score"] == direct["score"]
    picture = sorted((DATA / "images" / "val").glob("*.jpg"))[0]
    assert run("predict", PICKLE, picture, "--out", tmp_path / "found", *FAST) == 0
    open_weights(PICKLE)
    architecture = tmp_path / "arch.yaml"
    nas.load(out).architecture.to_yaml(architecture)  # type: ignore[union-attr]
    exported = nas.export(architecture, weights=PICKLE, out=tmp_path / "exported", formats="yaml", input_hw=(64, 64))
    state, found = load_weights(out).state, load_weights(exported.front[0].weights).state  # type: ignore[arg-type]
    assert all(torch.equal(found[name], value) for name, value in state.items())


def test_training_starts_from_a_published_file(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quick = ("--data", data, "--input", 64, 64, "--epochs", 0.1, "--batch", 2, *FAST)
    out = tmp_path / "pretrained"
    assert run("train", "yolov8n-p2-nop5", "--pretrained", PICKLE, "--out", out, *quick) == 0
    told = capsys.readouterr().err
    assert "read as yolov8 (8, 8, 16, 32, 64) for 3 classes" in told and "of the multiply-adds start from" in told
    assert run("train", "yolov8n-p2-nop5", "--weights", PICKLE, "--out", tmp_path / "wrong", *quick) == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert "does not fit the architecture" in told and "the file fits yolov8 (8, 8, 16, 32, 64); next: " in told
    assert told.endswith("give it as --pretrained, which takes what fits")
    message = f"is the checkpoint of a training; .* next: give its folder as weights: {out}$"
    for use in (nas.import_weights, open_weights, lambda path: nas.evaluate(path, data=data)):
        with pytest.raises(ConfigError, match=message):
            use(out / "last.pt")


@pytest.fixture(scope="module")
def visdrone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set in the layout of VisDrone with one object in each picture."""
    folder = tmp_path_factory.mktemp("visdrone")
    for part in ("train", "val"):
        for name in ("images", "annotations"):
            (folder / f"VisDrone2019-DET-{part}" / name).mkdir(parents=True)
        for number in range(2):
            home = folder / f"VisDrone2019-DET-{part}"
            cv2.imwrite(str(home / "images" / f"{part}{number}.jpg"), np.full((64, 96, 3), 90, np.uint8))
            (home / "annotations" / f"{part}{number}.txt").write_text("10,20,12,14,1,4,0,0\n")
    return folder


@pytest.fixture(scope="module")
def sodet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "so-det-s.pt"
    architecture = DESIGNS.get("sodet-s").architecture
    save_weights(path, fresh_detector(architecture, num_classes=10, seed=0), architecture.to_dict(), VISDRONE)
    return path


def test_reproduce_measures_the_published_accuracy(
    sodet: Path, visdrone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("reproduce", "sodet-s", "--weights", sodet, "--data", visdrone, "--no-check-fvcore")
    assert run(*arguments, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    measured = {row["name"]: row["ours"] for row in told["published"] if row["reason"].startswith("measured on the 2")}
    assert measured.keys() == {"visdrone_val_map50", "visdrone_val_map"} == told["accuracy"]["values"].keys()
    score = nas.evaluate(sodet, data=visdrone, max_detections=300, bootstrap=0).score
    assert measured == {"visdrone_val_map50": 100 * score.ap50, "visdrone_val_map": 100 * score.ap}
    assert run(*arguments, "--wide") == 0
    assert "visdrone_val_map50" in capsys.readouterr().out


def test_reproduce_refuses_what_it_cannot_compare(sodet: Path, visdrone: Path, data: Path) -> None:
    with pytest.raises(ConfigError, match="not weights of sodet-m"):
        reproduce("sodet-m", weights=sodet, data=visdrone)
    for more in ({}, {"num_classes": 3}):
        with pytest.raises(ConfigError, match="--weights are measured on a data set; next: --data PATH"):
            reproduce("sodet-s", weights=sodet, **more)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="as published; drop --num-classes and --input"):
        reproduce("sodet-s", weights=sodet, data=visdrone, num_classes=3)
    with pytest.raises(ConfigError, match="--weights"):
        reproduce("sodet-s", data=visdrone)
    with pytest.raises(ConfigError, match="does not fit"):
        reproduce("sodet-s", weights=PICKLE, data=data)
