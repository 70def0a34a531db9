"""The command-line options of declared settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from nas.setting_forms import Declared, described, grouped, settings_in
from trainers.settings import DeclaredSetting

Command = TypeVar("Command", bound=Callable[..., Any])
Completions = Mapping[str, Callable[..., Any]]


def setting_options(owner: Declared, completions: Completions | None = None) -> Callable[[Command], Command]:
    """Returns a decorator that adds an option for each setting that has one; the command gets it by the setting's name.

    Args:
        owner: The dataclass that declares the settings, or the settings.
        completions: What completes the value of a setting in a shell, by the name of the setting.
    """

    def add(function: Command) -> Command:
        for declared in reversed(settings_in(owner)):
            if declared.option:
                function = _option(declared, completions or {})(function)
        return function

    return add


def _option(declared: DeclaredSetting, completions: Completions) -> Callable[[Command], Command]:
    names, about = (declared.option, declared.name), declared.about
    if declared.scalar is bool:
        return click.option(*names, is_flag=True, default=False, help=described(declared))
    repeated = declared.is_list and declared.count is None and not about.separator
    kind: Any = str if declared.is_list and declared.count is None else declared.scalar
    return click.option(
        *names,
        type=click.Path() if about.is_path else kind,
        multiple=repeated,
        nargs=declared.count or 1,
        default=None,
        metavar=about.metavar or "|".join(about.choices) or None,
        shell_complete=completions.get(declared.name),
        help=described(declared),
    )


class GroupedCommand(click.Command):
    """A command whose help lists its options under the groups of their settings.

    Args:
        owner: The dataclass that declares the settings, or the settings.
    """

    def __init__(self, *args: Any, owner: Declared, **options: Any) -> None:
        super().__init__(*args, **options)
        self._settings = settings_in(owner)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the options, those that are no settings last."""
        options = [each for each in self.get_params(ctx) if isinstance(each, click.Option)]
        shown = {str(each.name): each.get_help_record(ctx) for each in options}
        for group, settings in grouped(self._settings).items():
            with formatter.section(group):
                formatter.write_dl([record for each in settings if (record := shown.pop(each.name, None)) is not None])
        with formatter.section("Other"):
            formatter.write_dl([record for record in shown.values() if record is not None])
