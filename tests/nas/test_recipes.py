"""Recipes of trainings: of papers, by name and from files, and the settings that a dry run prints."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from nas.api.designs import list_designs
from nas.api.planned_training import plan_training
from nas.api.recipes import recipe_of
from nas.api.train_settings import fresh, placed, resumed
from nas.cli import main
from search_space import DESIGNS
from search_space.errors import ConfigError, SpaceError
from tests.trainers.conftest import tiny_detector
from trainers import TrainConfig, train
from trainers.data.synthetic import synthetic_splits
from trainers.recipes import RECIPES
from trainers.settings import value_at

DESIGN = "yolov8n-p2-nop5"


def ignore(_: str | None) -> None:
    """Takes notices."""


def config_of(architecture: str = DESIGN, **given: object) -> TrainConfig:
    return fresh(architecture, given, ignore).config


def refusal(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as ending:
        main(list(words))
    assert ending.value.code
    return capsys.readouterr().err


@pytest.mark.parametrize("name", RECIPES.names())
def test_the_settings_of_a_recipe_are_those_of_the_training(name: str) -> None:
    recipe, found = RECIPES.get(name), {"training": config_of(recipe=name).to_dict()}
    assert {path: value_at(found, path) for path in placed(recipe.settings)} == placed(recipe.settings)
    assert recipe.source and recipe.name == name


@pytest.mark.parametrize("name", RECIPES.names())
def test_steps_of_a_recipe_change_the_weights(name: str) -> None:
    dataset = synthetic_splits(seed=3, num_train=4, num_val=1)[0]
    detector, before = tiny_detector(), tiny_detector()
    config = replace(config_of(recipe=name, batch=4), epochs=3.0)
    result = train(detector, dataset, config=config)  # type: ignore[arg-type]
    pairs = zip(detector.parameters(), before.parameters(), strict=True)
    assert result.bad_steps == 0 and any(not value.equal(other) for value, other in pairs)


def test_the_default_recipe_changes_nothing() -> None:
    assert config_of(recipe="default") == config_of()


def test_every_design_of_a_paper_has_a_recipe() -> None:
    recipes = {name: DESIGNS.get(name).recipe for name in DESIGNS}
    assert {recipe for recipe in recipes.values() if recipe} == set(RECIPES) - {"default", "ultralytics"}
    for name, recipe in recipes.items():
        assert bool(recipe) != DESIGNS.get(name).reference
        if recipe:
            assert recipe_of("paper", name) is recipe_of("paper", DESIGNS.get(name)) is RECIPES.get(recipe)
    assert (recipes["tinydet-m"], recipes["tinydet-l"]) == ("tinydet", "tinydet-l")
    assert (recipes["ssd-vgg16-s1l2"], recipes["ssd-mobilenetv1-s1l0"]) == ("ssd-vgg", "ssd")


def test_options_override_a_recipe() -> None:
    config = config_of("tinydet-m", recipe="paper", batch=16, **{"schedule.warmup_steps": 9})
    assert (config.batch_size, config.schedule.warmup_steps) == (16, 9)
    assert (config.learning_rate, config.schedule.warmup_start) == (0.35, 1 / 3)


def test_a_recipe_is_kept_at_a_resume(tmp_path: Path) -> None:
    settings = fresh(DESIGN, {"recipe": "ssd", "out": tmp_path / "out"}, ignore)
    settings.write()
    again = resumed(settings.out, None, {})
    assert again.config == settings.config and again.request.recipe == "ssd"
    with pytest.raises(ConfigError, match="recipe is paper, but"):
        resumed(settings.out, None, {"recipe": "paper"})


def test_a_file_is_a_recipe(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("source: my notes\nweight_decay: 1e-5\nschedule: {warmup_epochs: 3, decay_shape: linear}\n")
    config = config_of(recipe=str(path), **{"schedule.decay_shape": "cosine"})
    assert (config.weight_decay, config.schedule.warmup_epochs, config.schedule.decay_shape) == (1e-5, 3, "cosine")
    assert recipe_of(str(path), DESIGN).source == "my notes"


@pytest.mark.parametrize("content", ["[1]", "a: [", "epochs: -1", "data: x", "schedule: 3", "source: [a]", "rate: 1"])
def test_a_file_that_is_no_recipe_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError) as error:
        recipe_of(str(path), DESIGN)
    assert str(error.value).startswith(str(path)) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "architecture", "words"),
    [
        ("tinydett", DESIGN, "unknown recipe 'tinydett'; did you mean 'tinydet'"),
        ("missing.yaml", DESIGN, "missing.yaml cannot be read"),
        ("paper", "yolo11n", "yolo11n is none; give the recipe by name: default, ultralytics, "),
        ("paper", "my/architecture.yaml", "my/architecture.yaml is none"),
    ],
)
def test_what_is_no_recipe_is_refused(name: str, architecture: str, words: str) -> None:
    with pytest.raises(ConfigError) as error:
        recipe_of(name, architecture)
    assert words in str(error.value)


def test_a_dry_run_prints_the_settings_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["train", "tinydet-m", "--recipe", "paper", "--batch", "16", "--dry-run", "--set", "ema_decay=0.5"]
    main([*words, "--json"])
    plan = json.loads(capsys.readouterr().out)
    found = {each["name"]: (each["value"], each["origin"]) for each in plan["settings"]}
    assert found["batch_size"] == (16, "given") and found["ema_decay"] == (0.5, "given")
    assert found["learning_rate"] == (0.35, "recipe") and found["seed"] == (0, "default")
    assert found["input_hw"][0] == [320, 320] and found["out"][0] == "runs/train-tinydet-m"
    assert plan["recipe"]["name"] == "tinydet" and "a7b40cf" in plan["recipe"]["source"]
    main(words)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["input_hw", "320,", "320", "default"] in lines and ["merge", "-", "default"] in lines
    assert ["learning_rate", "0.35", "recipe"] in lines and ["batch_size", "16", "given"] in lines
    assert not list(tmp_path.iterdir())


def test_a_dry_run_says_the_learning_rate_that_no_one_gives() -> None:
    found = {each.name: each.value for each in plan_training(DESIGN, {"optimizer": "sgd"}).settings}
    assert found["learning_rate"] == 0.01


def test_a_dry_run_is_refused_at_a_resume(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--dry-run is for a new training" in refusal(capsys, "train", "--resume", "x", "--dry-run")
    assert "unknown recipe 'sdd'" in refusal(capsys, "train", DESIGN, "--recipe", "sdd", "--dry-run")


def test_the_recipe_of_one_design_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    main(["designs", "sodet-s"])
    shown = capsys.readouterr().out
    assert "recipe so-det, from SO-Det: magic524/SO-Det, commit 7cca469" in shown and "yolov8n" not in shown
    assert ["update.nominal_batch", "64"] in [line.split() for line in shown.splitlines()]
    main(["designs", "yolo11n"])
    assert "recipe: none is known" in capsys.readouterr().out
    with pytest.raises(SpaceError):
        list_designs("sodet-z")
