"""What a training would do: its settings, and where each is from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nas.api.named_architecture import ArchitectureLike, shown_name
from nas.api.recipes import recipe_of
from nas.api.result import OnNotice, Result, notify
from nas.api.train_request import TRAINING, place_in_config, training_settings
from nas.api.train_settings import fresh, placed
from trainers.recipes import Recipe
from trainers.settings import value_at

DEFAULT, RECIPE, GIVEN = "default", "recipe", "given"


@dataclass(frozen=True, kw_only=True)
class PlannedSetting:
    """A setting of a training with its value."""

    name: str
    """The path in config.yaml, without `training`."""
    value: Any
    origin: str
    """`default`, `recipe` or `given`."""


@dataclass(frozen=True, kw_only=True)
class PlannedTraining(Result):
    """The settings of a training that has not begun."""

    architecture: str
    input_hw: tuple[int, int]
    out: str
    recipe: Recipe
    settings: tuple[PlannedSetting, ...]


def plan_training(
    architecture: ArchitectureLike, given: Mapping[str, Any], on_notice: OnNotice | None = None
) -> PlannedTraining:
    """Returns the settings of a training; nothing is trained or written.

    Args:
        architecture: see `nas.train`.
        given: settings by keyword, or by their name or path in config.yaml.
        on_notice: is called with each line that the user should read.

    Raises:
        ConfigError: a setting or the recipe is unknown or wrong.
        SpaceError: the architecture is not valid.
    """
    chosen = fresh(architecture, given, lambda notice: notify(on_notice, notice))
    recipe = recipe_of(chosen.request.recipe, architecture)
    by_user, by_recipe = placed(given), placed(recipe.settings)
    training = {**chosen.config.to_dict(), "learning_rate": chosen.config.peak_learning_rate}
    values = {**vars(chosen.request), TRAINING: training}
    values |= {"input_hw": chosen.architecture.input_hw, "out": str(chosen.out)}
    settings = []
    for each in training_settings().values():
        place = place_in_config(each)
        origin = GIVEN if place in by_user else RECIPE if place in by_recipe else DEFAULT
        settings.append(PlannedSetting(name=each.path, value=value_at(values, place), origin=origin))
    return PlannedTraining(
        architecture=shown_name(architecture),
        input_hw=chosen.architecture.input_hw,
        out=str(chosen.out),
        recipe=recipe,
        settings=tuple(settings),
    )
