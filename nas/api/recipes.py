"""Recipes by name, of a design's paper, or of a YAML file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.api.named_architecture import ArchitectureLike, shown_name
from search_space.errors import ConfigError, UserError, unknown_name
from search_space.yaml_text import YamlError, read_yaml
from trainers.recipes import RECIPES, Recipe

if TYPE_CHECKING:
    from search_space import Design

PAPER = "paper"
"""The name that stands for the recipe of the paper of the design."""


def recipe_of(name: str | None, architecture: ArchitectureLike) -> Recipe:
    """Returns the recipe that is meant by a name or the path of a YAML file; None is the default recipe.

    Raises:
        ConfigError: there is no such recipe, the file cannot be used, or the architecture is of no paper with a recipe.
    """
    if name is None:
        return RECIPES.get("default")
    if name == PAPER:
        return _of_paper(architecture)
    if name in RECIPES:
        return RECIPES.get(name)
    path = Path(name)
    if path.suffix in (".yaml", ".yml") or path.exists():
        return _read(path)
    raise ConfigError(f"{unknown_name('recipe', name, RECIPES.names(), [PAPER])}, or a YAML file")


def recipe_of_design(design: Design) -> Recipe | None:
    """Returns the recipe of the paper of a design; None where there is none."""
    return RECIPES.get(design.recipe) if design.recipe else None


def _of_paper(architecture: ArchitectureLike) -> Recipe:
    from search_space import DESIGNS

    named = str(architecture) if isinstance(architecture, (str, Path)) else getattr(architecture, "name", "")
    recipe = recipe_of_design(DESIGNS.get(named)) if named in DESIGNS else None
    if recipe is None:
        raise ConfigError(
            f"--recipe {PAPER} needs a design of a paper that has a recipe, and {shown_name(architecture)} is "
            f"none; give the recipe by name: {', '.join(RECIPES.names())}"
        )
    return recipe


def _read(path: Path) -> Recipe:
    """Returns the recipe in a YAML file: settings as under `training` in config.yaml, and optionally `source`."""
    from trainers.config import TrainConfig

    try:
        content = read_yaml(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}); give a recipe or its YAML file") from None
    except YamlError as error:
        raise ConfigError(f"{path}: {error}; give settings as in config.yaml under training") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path} is no mapping; give settings as in config.yaml under training")
    source = content.pop("source", str(path))
    if not isinstance(source, str):
        raise ConfigError(f"{path}: source is not text; give the paper or the address that the settings are from")
    try:
        TrainConfig.from_dict(content)
    except UserError as error:
        raise ConfigError(f"{path}: {error}") from None
    return Recipe(name=str(path), settings=dict(_flat(content)), source=source)


def _flat(values: Mapping[str, Any], parents: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{parents}{name}.")
        else:
            yield f"{parents}{name}", value
