"""Command-line options made of declared settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import click

from trainers.settings import DeclaredSetting

Command = TypeVar("Command", bound=Callable[..., Any])


def setting_options(settings: Iterable[DeclaredSetting]) -> Callable[[Command], Command]:
    """Returns a decorator that adds an option for each setting that has one, in order.

    Types are checked here, bounds where the settings are checked, so that the API refuses the same values. An option's
    parameter is named like the setting.
    """
    options = [setting_option(each) for each in settings if each.option]

    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def setting_option(setting: DeclaredSetting) -> Callable[[Command], Command]:
    """Returns the decorator that adds the option of a setting."""
    about = setting.about
    if setting.scalar is bool:
        return click.option(
            setting.option, setting.name, is_flag=True, default=setting.initial, help=help_text(setting)
        )
    more: dict[str, Any] = {}
    if setting.is_list:
        more = {"multiple": True} if setting.count is None else {"nargs": setting.count}
    return click.option(
        setting.option,
        setting.name,
        type=click.Path(path_type=Path) if about.is_path else setting.scalar,
        default=setting.initial,
        metavar=about.metavar or "|".join(about.choices) or None,
        help=help_text(setting),
        **more,
    )


def help_text(setting: DeclaredSetting) -> str:
    """Returns the help of an option: what the setting does, its default and its bounds."""
    default, about = setting.default_text, setting.about
    notes = [f"default: {default}" if default else "", "" if about.choices else setting.allowed]
    shown = "; ".join(note for note in notes if note)
    return f"{about.help}  [{shown}]" if shown else about.help
