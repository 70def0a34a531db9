"""Detector, tiles, ONNX, the numpy reader and the script for boards agree on a picture, whatever the input format."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
import torch
from torch import nn

from nas.exporters.entry_files import description
from nas.exporters.folding import fold_input_format
from nas.exporters.onnx_model import OnnxOptions, difference, run_onnx, write_onnx
from search_space import DESIGNS, Detector, InputFormat, lower
from trainers.data import open_data
from trainers.detect import Detections, evaluation_mode
from trainers.heads import DetectionLimits
from trainers.tiling import Tiling, detect_all, merge

KIT = Path(__file__).parents[2] / "nas" / "exporters" / "kit"
DATA = Path(__file__).parents[1] / "data" / "hit_uav"
DESIGN_OF = {
    "anchor_free": ("yolov8n-p2-nop5", (96, 160)),
    "ssd": ("ssd-mobilenetv1", (97, 130)),
    "two_stage": ("tinydet-s", (128, 192)),
}
FORMATS = {  # each choice of each field is in one of them: an export takes a second
    "normalised": InputFormat(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
    "stretched": InputFormat(fit="stretch"),
    "all": InputFormat(mean=(100, 120, 90), std=(50, 60, 70), channels="bgr", value_range=255, fit="stretch"),
}
SPREAD = {"anchor_free": (1.0, 0.1), "ssd": (0.1, 0.05), "two_stage": (1.0, 1.0)}
"""Momentum of the norms and deviation of the weights of the logits: scores from 0 to 1 and maps that do not vanish.

The last maps of an SSD have one cell, whose statistics alone would amplify rounding errors.
"""
LIMITS = DetectionLimits(score_threshold=0.3, iou_threshold=0.5, one_class=True)


def script(*path: str) -> Any:
    """A script of the kit as a module."""
    found = importlib.util.spec_from_file_location(path[-1].removesuffix(".py"), KIT.joinpath(*path))
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


kit = script("postprocess.py")


@cache
def picture() -> np.ndarray:
    """A picture whose three channels differ, neither of the aspect of an input nor grey."""
    image = open_data(str(DATA)).val.image(0)[:200, :300]
    return np.ascontiguousarray(np.stack((image[..., 0], image[::-1, :, 1], 255 - image[..., 2]), axis=-1))


TILING = Tiling(tile_hw=(120, 300), overlap=0.2)


def tiles() -> list[np.ndarray]:
    """The slices of the picture."""
    return [np.ascontiguousarray(window.of(picture())) for window in TILING.windows((200, 300))]


@cache
def made(head: str, name: str) -> Detector:
    """A detector with statistics of these inputs and spread logits, so that the input decides what it finds."""
    design, hw = DESIGN_OF[head]
    architecture = replace(DESIGNS.get(design).architecture, input_hw=hw, input_format=FORMATS[name])
    torch.manual_seed(0)
    detector = Detector(lower(architecture, num_classes=3))
    momentum, deviation = SPREAD[head]
    with torch.no_grad():
        for part, module in detector.named_modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = momentum
            if part.endswith(("class_logits", "objectness")):
                nn.init.normal_(module.weight, 0, deviation)
                nn.init.zeros_(module.bias)
        feeds = [kit.prepare(image, hw, FORMATS[name].fit)[0] for image in (picture(), *tiles())]
        detector.train()(torch.from_numpy(np.concatenate(feeds)))
    return detector.eval()


@cache
def written(head: str, name: str) -> dict[str, bytes]:
    return write_onnx(made(head, name), OnnxOptions())


def found_by_kit(head: str, name: str, image: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the ONNX files and the numpy reader find in an image."""
    described = json.loads(json.dumps(description(made(head, name), ("a", "b", "c"), OnnxOptions())))
    feed, fit = kit.prepare(image, described["input_hw"], described["fit"])
    outputs = run_onnx(written(head, name)["model.onnx"], {"image": feed})
    boxes, scores, labels = kit.detections(
        outputs,
        described,
        fit,
        threshold=LIMITS.score_threshold,
        iou=LIMITS.iou_threshold,
        second_stage=lambda features: run_onnx(written(head, name)["second_stage.onnx"], {"features": features})[0],
    )
    return boxes, scores, labels


def assert_same(ours: Detections, theirs: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    """Two of nearly equal score may come in another order, and suppress each other the other way round."""
    boxes, scores, labels = theirs
    assert len(ours) > 3 and abs(len(ours) - len(boxes)) <= 0.02 * len(ours)
    apart = np.abs(ours.boxes[:, None] - boxes).max(axis=2) + 100 * np.abs(ours.scores[:, None] - scores)
    apart[ours.labels[:, None] != labels] = np.inf
    assert (apart.min(axis=1) < 0.05).mean() >= 0.98


cases = pytest.mark.parametrize(("head", "name"), [(head, name) for head in DESIGN_OF for name in FORMATS])


@cases
def test_a_detector_sees_the_picture_in_its_format(head: str, name: str) -> None:
    """By hand: fitted, ordered, scaled and normalised outside, then given to a detector of plain input."""
    detector, found = made(head, name), FORMATS[name]
    plain = Detector(replace(detector.graph, input_format=InputFormat())).eval()
    plain.load_state_dict(detector.state_dict())
    height, width = detector.input_hw
    inside = cv2.resize(picture(), (width, height), interpolation=cv2.INTER_AREA)
    if found.fit == "letterbox":
        gain = min(height / 200, width / 300)
        size = (round(300 * gain), round(200 * gain))
        left, top = (width - size[0]) // 2, (height - size[1]) // 2
        inside = np.full((height, width, 3), 114, np.uint8)
        inside[top : top + size[1], left : left + size[0]] = cv2.resize(picture(), size, interpolation=cv2.INTER_AREA)
    ordered = inside[..., ::-1] if found.channels == "bgr" else inside
    values = ordered / 255 * found.value_range
    normalised = ((values - found.mean) / found.std).astype(np.float32).transpose(2, 0, 1)[None]
    feed, _ = kit.prepare(picture(), detector.input_hw, found.fit)
    with torch.no_grad():
        pairs = list(zip(detector(torch.from_numpy(feed)), plain(torch.from_numpy(normalised)), strict=True))
    for ours, expected in pairs[: len(detector.strides)]:  # not the proposals, which are in the order of their scores
        assert (ours - expected).abs().max() < 1e-3 * expected.abs().max()


@cases
def test_onnx_and_the_numpy_reader_find_what_the_detector_finds(head: str, name: str) -> None:
    detector = made(head, name)
    feed, _ = kit.prepare(picture(), detector.input_hw, FORMATS[name].fit)
    assert difference(detector, written(head, name), OnnxOptions(), feed) < 1e-4
    with evaluation_mode(detector):
        (ours,) = detect_all(detector, [picture()], input_hw=detector.input_hw, limits=LIMITS)
    assert_same(ours, found_by_kit(head, name, picture()))


@cases
def test_tiles_are_fitted_and_converted_like_pictures(head: str, name: str) -> None:
    detector = made(head, name)
    settings = {"input_hw": detector.input_hw, "limits": LIMITS}
    with evaluation_mode(detector):
        parts = detect_all(detector, tiles(), **settings)
        (merged,) = detect_all(detector, [picture()], tiling=TILING, **settings)
        (one,) = detect_all(detector, [picture()], tiling=Tiling(tile_hw=(200, 300)), **settings)
        (whole,) = detect_all(detector, [picture()], **settings)
    for tile, part in zip(tiles(), parts, strict=True):
        assert_same(part, found_by_kit(head, name, tile))
    expected = merge(TILING.windows((200, 300)), parts, (200, 300), LIMITS)
    assert len(parts) == 2 and np.array_equal(merged.boxes, expected.boxes) and np.array_equal(one.boxes, whole.boxes)


@cases
def test_only_a_mean_is_left_before_the_first_convolution(head: str, name: str) -> None:
    nodes = onnx.load_from_string(written(head, name)["model.onnx"]).graph.node
    readers = [node for node in nodes if "image" in node.input]
    first = ["Sub"] if any(FORMATS[name].mean) else ["Conv"]
    assert [node.op_type for node in readers] == first
    after = [node.op_type for node in nodes if readers[0].output[0] in node.input]
    assert first == ["Conv"] or after == ["Conv"]


def test_folding_leaves_the_detector_as_it_was() -> None:
    detector = made("ssd", "all")
    before = {name: tensor.clone() for name, tensor in detector.state_dict().items()}
    folded = fold_input_format(detector)
    assert folded is not detector and detector.input_format == FORMATS["all"]
    assert all(torch.equal(tensor, before[name]) for name, tensor in detector.state_dict().items())
    assert fold_input_format(folded) is folded and fold_input_format(made("ssd", "stretched")).graph.nodes


@pytest.mark.parametrize("fit", ["letterbox", "stretch", None])
def test_the_script_for_boards_prepares_pictures_in_the_fit_of_the_file(fit: str | None, tmp_path: Path) -> None:
    (tmp_path / "postprocess.py").write_bytes((KIT / "postprocess.py").read_bytes() + RECORDS.encode())
    described = {"head": "two_stage", "input_hw": [64, 64], "output_shapes": []}
    options = SimpleNamespace(picture=(30, 90))
    times = script("board", "measure.py").host_times(
        str(tmp_path), described if fit is None else described | {"fit": fit}, options
    )
    asked = json.loads((tmp_path / "asked.json").read_text())
    assert asked == [[64, 64], fit or "letterbox"] and times["prepare"]["median_ms"] > 0


RECORDS = """
real = prepare

def prepare(image, input_hw, how="letterbox"):
    import json, pathlib
    pathlib.Path(__file__).with_name("asked.json").write_text(json.dumps([input_hw, how]))
    return real(image, input_hw, how)
"""
