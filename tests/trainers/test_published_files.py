"""Published files from the bytes on the disk to the outputs of the authors' modules."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from published_files import MODEL_MODULE, write_published
from published_networks import NAMES, TOLERANCE, Vectors, detector_of, foreign, meta

import nas
from search_space import DESIGNS
from search_space.errors import ConfigError
from trainers import fresh_detector, load_weights, save_weights
from trainers.data.visdrone import CLASSES as VISDRONE
from trainers.importing.opening import check_complete, import_published, open_weights
from trainers.weights import ForeignFileError, Weights

QUICK = ("yolov8n-nc4", "tinydet-m")
NO_DESIGN = {"yolov8n-p2-stock": "yolov8n-p2 (16, 32, 64, 128, 256)"}


@pytest.mark.slow(but=QUICK)
@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_found_and_gives_the_outputs(name: str, tmp_path: Path) -> None:
    imported = import_published(write_published(name, tmp_path))
    known, vectors = meta(name), Vectors(name)
    assert imported.design == NO_DESIGN.get(name, known["design"])
    assert imported.num_classes == known["num_classes"]
    assert MODEL_MODULE not in sys.modules
    assert name != "tinydet-m" or imported.classes[1] == "thing 1", "mmdetection writes thing_1"
    if name == "vgg16-features":
        assert imported.missing
        return
    image = vectors.image("")
    detector = detector_of(imported, tuple(image.shape[2:]))
    nodes = known.get("nodes") or dict(zip(vectors.names(""), detector.graph.outputs, strict=True))
    with torch.no_grad():
        outputs = dict(zip(nodes, detector.maps(image, tuple(nodes.values())), strict=True))
    assert max(vectors.difference(output, "", each) for each, output in outputs.items()) < TOLERANCE


def test_half_precision_becomes_single(tmp_path: Path) -> None:
    path = write_published("yolov8n-nc4", tmp_path, dtype=torch.float16)
    state, exact = open_weights(path).state, foreign("yolov8n-nc4").state["model.0.conv.weight"]
    stem = state["blocks.stem.conv.weight"]
    assert stem.dtype is torch.float32 and torch.equal(stem, exact.half().float())


def test_opened_weights_say_what_was_found(tmp_path: Path) -> None:
    weights = open_weights(write_published("yolov8n-nc4", tmp_path))
    assert "yolov8n for 4 classes" in weights.notes[0]
    assert weights.classes == ("thing 0", "thing 1", "thing 2", "thing 3") and weights.has_class_names
    assert weights.detector().num_classes == 4 and weights.missing() == ()


def test_a_backbone_is_not_a_detector(tmp_path: Path) -> None:
    path = write_published("vgg16-features", tmp_path)
    weights = open_weights(path)
    assert not weights.has_class_names and "blocks.head4.box_offsets.weight" in weights.missing()
    with pytest.raises(ConfigError, match="--pretrained"):
        check_complete(weights, path)


def test_own_files_are_read_as_before(tmp_path: Path) -> None:
    architecture = DESIGNS.get("yolov8n-p2-nop5").architecture
    detector = fresh_detector(architecture, num_classes=2, seed=0)
    for name in ("own.pt", "own.safetensors"):
        save_weights(tmp_path / name, detector, architecture.to_dict(), ("car", "bus"))
        opened, loaded = open_weights(tmp_path / name), load_weights(tmp_path / name)
        assert (opened.architecture, opened.classes, opened.notes) == (loaded.architecture, ("car", "bus"), ())


def test_the_architecture_is_what_a_published_file_is_read_as(tmp_path: Path) -> None:
    path = write_published("yolov8n-nc4", tmp_path)
    with pytest.raises(ConfigError, match="sodet|does not fit"):
        open_weights(path, DESIGNS.get("sodet-s").architecture)


def test_a_file_of_others_is_told_from_a_missing_one(tmp_path: Path) -> None:
    path = tmp_path / "page.pt"
    path.write_bytes(b"<!DOCTYPE html><html></html>")
    with pytest.raises(ForeignFileError):
        load_weights(path)
    with pytest.raises(ConfigError) as told:
        open_weights(tmp_path / "none.pt")
    assert not isinstance(told.value, ForeignFileError)


def test_class_names_are_known_or_numbered() -> None:
    assert not Weights(architecture={}, classes=("class_0", "class_1"), state={}).has_class_names
    assert Weights(architecture={}, classes=("class_1", "class_0"), state={}).has_class_names


def test_reproduce_measures_a_file_of_the_authors(tmp_path: Path) -> None:
    home = tmp_path / "VisDrone2019-DET-val"
    for name in ("images", "annotations"):
        (home / name).mkdir(parents=True)
    cv2.imwrite(str(home / "images" / "a.jpg"), np.full((64, 96, 3), 90, np.uint8))
    (home / "annotations" / "a.txt").write_text("10,20,12,14,1,4,0,0\n")
    shutil.copytree(home, tmp_path / "VisDrone2019-DET-train")
    path = write_published("sodet-s", tmp_path, classes=VISDRONE)
    reproduced = nas.reproduce("sodet-s", weights=path, data=tmp_path, check_fvcore=False)
    assert reproduced.accuracy is not None and reproduced.accuracy.num_images == 1
    assert set(reproduced.accuracy.values) == {"visdrone_val_map50", "visdrone_val_map"}
