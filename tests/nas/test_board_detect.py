"""`detect.py` of the kit for boards finds what `nas predict` finds, in ONNX Runtime and in a stand-in for TensorRT."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tensorrt_fakes
import torch
from test_export_onnx import HEADS, lively
from val_predict_fakes import DATA, IMAGES, run

from nas import box_drawing
from nas.api import media_input, media_output
from nas.exporters.kit.board import detect
from search_space import DESIGNS, Architecture, Detector, lower
from search_space.plain import Options
from trainers import save_weights
from trainers.data import open_data
from trainers.data.images import IMAGE_SUFFIXES, read_rgb

pictures, runtimes_of_kit = detect.pictures, sys.modules[detect.EngineNetwork.__module__]
TRTEXEC = """#!{python}
import pathlib, sys
arguments = dict(each.lstrip("-").partition("=")[::2] for each in sys.argv[1:])
content = pathlib.Path(arguments["onnx"]).read_bytes()
pathlib.Path(arguments["saveEngine"]).write_bytes(b"engine of a stand-in" + bytes([10]) + content)
with open(str(pathlib.Path(sys.argv[0]).parent / "calls.txt"), "a") as file:
    file.write(" ".join(sys.argv[1:]) + chr(10))
"""
"""Stands in for trtexec: an engine is the ONNX file."""
SIZES = {"anchor_free": (128, 160), "ssd": (264, 330), "two_stage": (128, 192), "dual": (128, 160)}
"""In the ratio of the pictures: the cells of padding all have one score, and rounding decides between them."""
CASES = {
    "anchor_free": (),
    "ssd": (),
    "two_stage": (),
    "dual": (),
    "anchor_free decoded": ("--outputs", "decoded"),
    "dual decoded": ("--outputs", "decoded"),
    "anchor_free boxes": ("--outputs", "boxes"),
    "ssd boxes": ("--outputs", "boxes"),
    "dual boxes": ("--outputs", "boxes"),
}
SPREADS = {"anchor_free": 10.0, "ssd": 1.0, "two_stage": 20.0}
"""Of the class logits: scores that differ, but are below 1, where all are the same."""
SCORES = {"anchor_free": 0.6, "ssd": 0.3, "two_stage": 0.3, "dual": 0.7}


def coarse(seed: int) -> np.ndarray:
    """A picture without even areas, where many boxes have the same score."""
    return cv2.resize(np.random.default_rng(seed).integers(0, 256, (32, 40, 3), np.uint8), (160, 128))


def awake(detector: Detector) -> Detector:
    """Fits the batch norms of an untrained detector to pictures, so that what it finds depends on what it sees."""
    lively(detector)
    noise = np.random.default_rng(0).integers(0, 256, (*detector.input_hw, 3), np.uint8)  # as the export compares
    seen = [*map(read_rgb, IMAGES[:2]), coarse(0), noise]
    feed = np.stack([cv2.resize(each, detector.input_hw[::-1]) for each in seen]).transpose(0, 3, 1, 2)
    for module in detector.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None
    with torch.no_grad():
        detector.train()(torch.from_numpy(feed / np.float32(255)))
        for name, values in detector.state_dict().items():
            if name.endswith("running_var"):  # channels that hardly vary would multiply rounding errors
                values.clamp_(min=values.mean())
            if name.endswith(("_logits.weight", "objectness.weight")):
                values *= SPREADS[detector.head]
    return detector.eval()


def architecture_of(head: str) -> Architecture:
    found = DESIGNS.get(HEADS["anchor_free" if head == "dual" else head]).architecture
    found = found.resized(SIZES[head])
    if head != "dual":
        return found
    return replace(found, head=replace(found.head, box_channels=16, options=Options({"assignment": "dual"})))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Returns the exported folder of a case; each is exported once."""
    found: dict[str, Path] = {}

    def folder(case: str) -> Path:
        if case not in found:
            place, head = tmp_path_factory.mktemp("exported"), case.split()[0]
            architecture, classes = architecture_of(head), open_data(DATA).val.classes
            torch.manual_seed(0)
            detector = awake(Detector(lower(architecture, num_classes=len(classes))))
            architecture.to_yaml(place / "architecture.yaml")
            save_weights(place / "weights.pt", detector.state_dict(), architecture.to_dict(), classes)
            words = ("export", place / "architecture.yaml", "--weights", place / "weights.pt", *CASES[case])
            assert run(*words, "--out", place / "out") == 0
            (found[case],) = [path.parent for path in (place / "out").glob("*/model.onnx")]
        return found[case]

    return folder


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two pictures, one in a subfolder, a picture turned by its EXIF tag, and a video."""
    folder = tmp_path_factory.mktemp("inputs")
    (folder / "inside").mkdir()
    (folder / "a.jpg").write_bytes(IMAGES[0].read_bytes())
    pixels = cv2.imread(str(IMAGES[1]))
    cv2.imwrite(str(folder / "inside" / "a.png"), pixels)
    cv2.imwrite(str(folder / "grey.bmp"), pixels[:200, :250, 0])
    turned = (folder / "a.jpg").read_bytes()
    tag = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    (folder / "turned.jpg").write_bytes(turned[:2] + b"\xff\xe1" + (len(tag) + 2).to_bytes(2, "big") + tag + turned[2:])
    writer = cv2.VideoWriter(str(folder / "clip.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (160, 128))
    for number in range(2):
        writer.write(coarse(number))
    writer.release()
    return folder


def looked(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: object) -> Any:
    """What `detect.py --json` prints, run in this process."""
    capsys.readouterr()
    monkeypatch.setattr(sys, "argv", ["detect.py", *map(str, words), "--json"])
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "postprocess", raising=False)
    detect.main()
    return json.loads(capsys.readouterr().out)


def predicted(capsys: pytest.CaptureFixture[str], *words: object) -> Any:
    """What `nas predict --json` prints."""
    capsys.readouterr()
    assert run("predict", *words, "--json", "--threads", 1) == 0
    return json.loads(capsys.readouterr().out)


def assert_same(found: list[dict[str, Any]], expected: list[dict[str, Any]], threshold: float) -> int:
    """Compares two lists of entries, except where pictures are; returns the number of boxes.

    Each detection has a partner in the other list, wherever: rounding changes the order of nearly equal scores, and
    which of those at the threshold are there.
    """
    assert [list(each) for each in found] == [list(each) for each in expected]
    for one, other in zip(found, expected, strict=True):
        assert one["image"] == other["image"] and one.get("frame") == other.get("frame")
        assert all(list(each) == ["class", "score", "box"] for each in one["detections"])
        scores = [each["score"] for each in one["detections"]]
        assert scores == sorted(scores, reverse=True)
        for these, those in ((one["detections"], other["detections"]), (other["detections"], one["detections"])):
            missing = [each for each in these if each["score"] > threshold + 1e-3 and not any(alike(each, those))]
            assert not missing, (one["image"], len(these), len(those), missing[:3])
    return sum(len(each["detections"]) for each in found)


def alike(one: dict[str, Any], others: list[dict[str, Any]]) -> Iterator[bool]:
    """Whether a detection is each of the others, but for rounding."""
    for other in others:
        same = one["class"] == other["class"] and abs(one["score"] - other["score"]) < 1e-3
        yield same and bool(np.abs(np.subtract(one["box"], other["box"])).max() < 0.1)


@pytest.mark.slow(but=("anchor_free",))
@pytest.mark.parametrize("case", CASES)
def test_the_boxes_are_those_of_predict(
    case: str,
    exported: Any,
    inputs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, score = exported(case), ("--score", SCORES[case.split()[0]])
    words = (inputs, *score, "--out")
    expected = predicted(capsys, folder / "weights.safetensors", *words, tmp_path / "theirs")
    found = looked(monkeypatch, capsys, folder, *words, tmp_path / "ours", "--runtime", "onnxruntime")
    assert assert_same(found, expected, score[1]) > 40 and len(found) == 6 and found[-1].get("frame") is None
    ours, theirs = (
        [Path(each["picture"]).relative_to(tmp_path / name) for each in entries]
        for name, entries in (("ours", found), ("theirs", expected))
    )
    assert ours == theirs and {str(path) for path in ours} >= {"inside/a.png", "a.png", "clip.mp4"}
    one, other = (cv2.imread(str(tmp_path / name / "turned.png")) for name in ("ours", "theirs"))
    assert (one != other).any(axis=2).mean() < 0.002  # boxes that are rounded otherwise


@pytest.mark.slow(but=("8.2.1-anchor_free",))
@pytest.mark.parametrize("case", ["anchor_free", "two_stage", "dual decoded"])
@pytest.mark.parametrize("version", ["8.2.1", "10.3.0"])
def test_a_stand_in_for_tensorrt_finds_what_onnx_runtime_finds(
    version: str,
    case: str,
    exported: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = (exported(case), *IMAGES[:2], "--no-pictures", "--score", SCORES[case.split()[0]])
    expected = looked(monkeypatch, capsys, *words, "--runtime", "onnxruntime")
    memory = tensorrt_fakes.HostMemory()
    monkeypatch.setitem(sys.modules, "tensorrt", tensorrt_fakes.stand_in(version, reverse=True))
    monkeypatch.setattr(runtimes_of_kit, "load_cuda", lambda: memory)
    monkeypatch.setattr(detect, "HERE", str(tmp_path))
    trtexec = tmp_path / "trtexec"
    trtexec.write_text(TRTEXEC.format(python=sys.executable))
    trtexec.chmod(0o755)
    tensorrt_fakes.STATED.clear()
    for _ in range(2):
        assert looked(monkeypatch, capsys, *words, "--trtexec", trtexec) == expected
    assert f"a stand-in for TensorRT {version}, which runs ONNX Runtime" in tensorrt_fakes.STATED
    stages = 2 if case == "two_stage" else 1
    engines = list((tmp_path / "kept_engines").iterdir())
    assert len((tmp_path / "calls.txt").read_text().splitlines()) == len(engines) == stages  # built once, then kept
    assert ("synchronize" in memory.calls) == (version != "8.2.1")
    for path in engines:
        path.write_bytes(b"an engine of another version")
    assert looked(monkeypatch, capsys, *words, "--trtexec", trtexec) == expected  # built anew


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("NOWHERE", "a.jpg"), "has no detector.json"),
        (("PART", "a.png"), "postprocess.py is missing, which reads the outputs; copy it from the folder"),
        (("FOLDER", "missing.jpg"), "missing.jpg does not exist"),
        (("FOLDER", "deep.png", "--no-pictures"), "has uint16 values; give the range with --range"),
        (("FOLDER", "broken.jpg", "--no-pictures"), "cannot read the picture broken.jpg"),
        (("FOLDER", "broken.mp4", "--no-pictures"), "cannot read a frame of the video broken.mp4"),
        (("FOLDER", "a.png", "--out", "."), "would be written over, but is an input"),
        (("FOLDER", "a.png", "--runtime", "tensorrt", "--trtexec", "none"), "no trtexec at none"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    words: tuple[str, ...],
    told: str,
    exported: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = exported("anchor_free")
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("deep.png", np.zeros((8, 8), np.uint16))
    cv2.imwrite("a.png", np.zeros((8, 8, 3), np.uint8))
    for name in ("broken.jpg", "broken.mp4"):
        Path(name).write_bytes(b"\xff\xd8")
    Path("PART").mkdir()
    for name in ("model.onnx", "detector.json"):
        (Path("PART") / name).write_bytes((folder / name).read_bytes())
    with pytest.raises(SystemExit) as stop:
        given = [str(folder) if each == "FOLDER" else each for each in words]
        looked(monkeypatch, capsys, *given, *(() if "--runtime" in words else ("--runtime", "onnxruntime")))
    error = capsys.readouterr().err
    assert stop.value.code == 2 and told in error and len(error.splitlines()) == 1


def test_what_is_broken_in_a_folder_is_left_out_with_a_note(
    exported: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    cv2.imwrite(str(tmp_path / "b.png"), np.zeros((8, 8, 3), np.uint8))
    words = (exported("anchor_free"), tmp_path, "--no-pictures", "--runtime", "onnxruntime")
    found = looked(monkeypatch, capsys, *words)
    assert [Path(each["image"]).name for each in found] == ["b.png"]


def test_the_kit_knows_the_words_of_predict() -> None:
    assert (set(pictures.SUFFIXES), set(pictures.VIDEOS)) == (IMAGE_SUFFIXES, media_input.VIDEOS)
    assert (pictures.COLORS, pictures.CODECS) == (box_drawing.COLORS, media_output.CODECS)
    assert pictures.is_camera("0") and pictures.is_camera("rtsp://a/b") and pictures.is_camera("nvarguscamerasrc ! a")
    assert pictures.FONT_SCALE == box_drawing.FONT_SCALE
    assert not pictures.is_camera("a.jpg") and not pictures.is_camera("pictures/1")


@pytest.mark.slow
def test_a_file_with_suppression_inside_is_read_by_its_metadata(
    exported: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = exported("anchor_free boxes")
    for name in ("model.onnx", "postprocess.py"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    words = ("--no-pictures", "--runtime", "onnxruntime")
    alone = looked(monkeypatch, capsys, tmp_path / "model.onnx", IMAGES[0], *words)
    assert alone == looked(monkeypatch, capsys, folder, IMAGES[0], *words) and alone[0]["detections"]
    assert_same(alone, predicted(capsys, folder / "model.onnx", IMAGES[0], "--no-pictures"), 0.25)
    told = json.loads((folder / "detector.json").read_text())
    (tmp_path / "detector.json").write_text(json.dumps({**told, "nms_operator": "efficient"}))
    assert run("predict", tmp_path / "model.onnx", IMAGES[0], "--no-pictures") == 2
    assert "which ONNX Runtime lacks" in capsys.readouterr().err
