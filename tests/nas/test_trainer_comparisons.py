"""The comparisons of recipes and of trainers: what is shortened, what the peer is given, and their tables."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import peer, recipes, train_accuracy
from nas.api.train_settings import fresh
from search_space import DESIGNS
from trainers import TrainConfig
from trainers.data import open_data

DATA = Path(__file__).parent.parent / "data" / "hit_uav"
SCORES = {"ap50": 0.4, "ap": 0.2, "ap_small": 0.1, "cpu_seconds": 60.0, "epochs": 2}


def published(design: str) -> TrainConfig:
    return fresh(design, {"recipe": "paper"}, lambda _: None).config


def test_a_recipe_is_shortened_in_what_it_states_in_epochs() -> None:
    long = published("sn2-yolov8n")
    short = recipes.shortened(long, epochs=4, batch_size=8, num_images=2000)
    assert (short.epochs, short.batch_size, short.patience) == (4, 8, 0)
    assert short.schedule.warmup_epochs == pytest.approx(3 * 4 / 400) and short.schedule.warmup_steps == 100
    assert short.augmentation.close_mosaic == pytest.approx(10 * 4 / 400)
    assert (short.peak_learning_rate, short.update) == (0.01, long.update)
    assert short.augmentation.mosaic_canvas == "double" and short.suppression == long.suppression


def test_a_warmup_in_steps_takes_a_tenth_and_the_rate_follows_the_batch() -> None:
    short = recipes.shortened(published("tinydet-s"), epochs=2, batch_size=4, num_images=2000)
    assert short.num_steps(2000) == 1000 and short.schedule.warmup_steps == 100
    assert short.peak_learning_rate == pytest.approx(0.35 * 4 / 256)
    assert short.schedule.warmup_epochs is None and short.augmentation.close_mosaic == 0


def test_each_paper_has_a_design_that_takes_the_input() -> None:
    assert {DESIGNS.get(design).recipe for design in recipes.FAMILIES.values()} == set(recipes.FAMILIES)
    for design in recipes.FAMILIES.values():
        DESIGNS.get(design).architecture.resized((320, 320)).check_input((320, 320))


def test_the_table_of_recipes_has_a_line_a_row(tmp_path: Path) -> None:
    cell = {**SCORES, "design": "tinydet-s", "recipe": "tinydet", "ap50_of_recipe": 0.3}
    recipes.cells.write_cell(tmp_path, "tinydet-paper", 0, cell)
    heading, rule, only = recipes.table(argparse.Namespace(out=tmp_path, seeds=[0], rows=list(recipes.ROWS))).split(
        "\n"
    )
    assert heading.count("|") == rule.count("|") == only.count("|")
    assert only.startswith("| tinydet-s | tinydet | 2 | 1 | 40.00 ± 0.00 |") and only.endswith("| 30.00 ± 0.00 | 60 |")


def test_the_table_of_trainers_names_the_version(tmp_path: Path) -> None:
    for seed, updates in enumerate((10, 20)):
        cell: dict[str, Any] = {**SCORES, "version": "8.4", "updates": updates}
        train_accuracy.cells.write_cell(tmp_path, "peer-nbs-2", seed, cell)
    options = argparse.Namespace(out=tmp_path, seeds=[0, 1], rows=["ours-2", "peer-nbs-2"])
    heading, rule, only = train_accuracy.table(options).split("\n")
    assert heading.count("|") == rule.count("|") == only.count("|")
    assert only.startswith("| Ultralytics 8.4, nominal batch = batch | 2 | 2 | 15 | 40.00 ± 0.00 |")


def test_the_peer_gets_the_images_and_boxes(tmp_path: Path) -> None:
    dataset = open_data(DATA).val
    objects = peer.write_yolo(dataset, [1, 0, 1], tmp_path)
    opened = open_data(tmp_path / "data.yaml").train
    assert objects == sum(len(each.boxes) for each in opened.records)
    assert tuple(json.loads((tmp_path / "data.yaml").read_text())["names"]) == opened.classes == dataset.classes
    for record, index in zip(opened.records, (1, 0, 1), strict=True):
        assert record.boxes == pytest.approx(dataset.records[index].boxes, abs=1e-2)
        assert record.path is not None and record.path.read_bytes() == dataset.records[index].path.read_bytes()  # type: ignore[union-attr]


def test_torchvision_is_stood_in_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def version_of(name: str) -> str:
        if name == "torch":
            return "2.9"
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setitem(sys.modules, "torchvision", None)  # an import of it fails
    monkeypatch.setattr(importlib.metadata, "version", version_of)
    peer._stand_in_for_torchvision()
    assert [importlib.metadata.version(name) for name in ("torchvision", "torch")] == ["0.0", "2.9"]
    with pytest.raises(importlib.metadata.PackageNotFoundError):
        importlib.metadata.version("another")
    assert __import__("torchvision") is sys.modules["torchvision"] is not None
