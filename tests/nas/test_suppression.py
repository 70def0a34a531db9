"""Which detections an evaluation counts: by a recipe, as the weights state it, and as options override it."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from val_predict_fakes import DATA, FAST, make_weights, run

import nas
from nas.api.evaluation_options import suppression_note
from nas.api.load import load
from nas.api.train_settings import fresh
from nas.api.trained_detector import load_detector
from search_space import DESIGNS
from search_space.errors import ConfigError
from search_space.plain import Options
from tests.trainers.conftest import tiny_detector
from trainers import TrainConfig, load_weights, save_weights, train
from trainers.data.synthetic import synthetic_splits
from trainers.evaluation import Score, evaluate
from trainers.recipes import RECIPES
from trainers.suppression import DEFAULT_SUPPRESSION, Suppression
from trainers.weights import read_torch

OF_YOLO = Suppression(iou=0.7, max_detections=300)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_weights(tmp_path_factory.mktemp("weights"))


def stating(weights: Path, path: Path, suppression: Suppression, assignment: str = "many") -> Path:
    """Writes the same weights with a suppression."""
    found = load_weights(weights)
    head = {**found.architecture["head"], "options": {"assignment": assignment}}
    architecture = {**found.architecture, "head": head} if assignment != "many" else found.architecture
    save_weights(path, found.state, architecture, found.classes, suppression=suppression)
    return path


def val(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[dict[str, object], str]:
    """Returns the JSON of `nas val`, and what it says beside it."""
    capsys.readouterr()
    assert run("val", *words, "--data", DATA, "--bootstrap", 0, "--json", *FAST) == 0
    said = capsys.readouterr()
    return json.loads(said.out), said.err


@pytest.mark.parametrize(
    ("names", "suppression"),
    [
        (("ultralytics", "yolov8-small", "sn2-yolo", "so-det"), OF_YOLO),
        (("tinydet", "tinydet-l"), Suppression(iou=0.5, soft_nms=True, candidate_score=0.01, score=0.001)),
        (("ssd", "ssd-vgg"), Suppression(iou=0.6, score=0.01, max_detections=1000, max_per_class=100)),
        (("default",), DEFAULT_SUPPRESSION),
    ],
)
def test_recipes_have_the_suppression_of_their_papers(names: tuple[str, ...], suppression: Suppression) -> None:
    for name in names:
        assert fresh("yolov8n", {"recipe": name}, lambda _: None).config.suppression == suppression
    assert set(names) <= set(RECIPES)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("suppression", [DEFAULT_SUPPRESSION, OF_YOLO, Suppression(soft_nms=True, max_per_class=7)])
def test_weights_state_the_suppression(weights: Path, tmp_path: Path, suffix: str, suppression: Suppression) -> None:
    path = stating(weights, tmp_path / f"stating{suffix}", suppression)
    assert load_weights(path).suppression == suppression
    if suffix == ".pt":
        assert ("suppression" in read_torch(path, "weights file")) == (suppression != DEFAULT_SUPPRESSION)


@pytest.mark.parametrize("values", [{"iou": 2}, {"lou": 0.5}, [0.5]])
def test_weights_with_a_wrong_suppression_are_refused(weights: Path, tmp_path: Path, values: object) -> None:
    found = load_weights(weights)
    damaged = replace(DEFAULT_SUPPRESSION)
    object.__setattr__(damaged, "changes", lambda: values)
    path = tmp_path / "damaged.pt"
    save_weights(path, found.state, found.architecture, found.classes, suppression=damaged)
    with pytest.raises(ConfigError, match="suppression has wrong values"):
        load_weights(path)


def test_val_counts_detections_as_the_training_did(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stated = stating(weights, tmp_path / "stating.pt", Suppression(iou=0.3, max_detections=40))
    plain, said = val(capsys, weights)
    assert plain["suppression"] == asdict(DEFAULT_SUPPRESSION) and "counts detections" not in said
    found, said = val(capsys, stated)
    assert "note: the training of the weights counts detections with iou 0.3, max-detections 40" in said
    given, _ = val(capsys, weights, "--iou", 0.3, "--max-detections", 40)
    assert found["confusion"] == given["confusion"] != plain["confusion"]
    assert found["iou"] == 0.3 and given["suppression"] == found["suppression"]


def test_options_of_val_override_the_weights(weights: Path, tmp_path: Path) -> None:
    stored = Suppression(soft_nms=True, candidate_score=0.01, max_per_class=5)
    detector = load(stating(weights, tmp_path / "stating.pt", stored))
    assert "with soft-nms, candidate-score 0.01, max-per-class 5;" in str(suppression_note(load_detector(detector)))
    found = detector.evaluate(data=DATA, bootstrap=0, threads=1, soft_nms=False, score=0.5, max_detections=9)
    assert found.suppression == replace(stored, soft_nms=False, score=0.5, max_detections=9)
    assert nas.evaluate(weights, data=DATA, bootstrap=0, threads=1).suppression == DEFAULT_SUPPRESSION


def test_a_head_that_needs_no_suppression_has_none(weights: Path, tmp_path: Path) -> None:
    many = load_detector(stating(weights, tmp_path / "many.pt", OF_YOLO))
    dual = load_detector(stating(weights, tmp_path / "dual.pt", OF_YOLO, "dual"))
    assert "iou 0.7, max-detections 300" in str(suppression_note(many))
    assert "with max-detections 300;" in str(suppression_note(dual))
    options = Options({"assignment": "dual"})
    assert dual.architecture.head.options == options and DESIGNS.get("yolov8n").architecture.head.options != options


def test_evaluations_of_a_training_count_as_its_settings_say(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset, used = synthetic_splits(seed=3, num_train=4, num_val=2)[1], []

    def evaluated(*given: Any, suppression: Suppression, **more: Any) -> Score:
        used.append(suppression)
        return evaluate(*given, suppression=suppression, **more)

    monkeypatch.setattr("trainers.steps.evaluate", evaluated)
    train(tiny_detector(), dataset, dataset, config=TrainConfig(epochs=1, batch_size=2, suppression=OF_YOLO))  # type: ignore[arg-type]
    assert used == [OF_YOLO]
