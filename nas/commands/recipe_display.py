"""How recipes of trainings and the settings of a planned training are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nas.commands.display import say
from nas.commands.table import Column, print_table
from trainers.settings import format_value

if TYPE_CHECKING:
    from nas.api.planned_training import PlannedTraining
    from trainers.recipes import Recipe


def print_recipe(recipe: Recipe, *, with_settings: bool = True) -> None:
    """Prints where a recipe is from, its settings, and how it differs from its source."""
    say(f"recipe {recipe.name}, from {recipe.source}")
    if with_settings and recipe.settings:
        rows = [(name, _text(value)) for name, value in recipe.settings.items()]
        print_table((Column("setting", is_name=True), Column("value", priority=1)), rows)
    for note in recipe.notes:
        say(f"note: {note}")


def print_plan(plan: PlannedTraining) -> None:
    """Prints the settings of a training and where each is from."""
    height, width = plan.input_hw
    say(f"{plan.architecture}, input {width}x{height} (width x height), output folder {plan.out}; nothing is trained")
    print_recipe(plan.recipe, with_settings=False)
    columns = (Column("setting", is_name=True), Column("value", priority=1), Column("from", priority=2))
    print_table(columns, [(each.name, _text(each.value), each.origin) for each in plan.settings])


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(format_value, value)) or "-"
    return "-" if value is None else str(value).lower() if isinstance(value, bool) else format_value(value)
