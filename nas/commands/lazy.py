"""A click group that imports a command only when it is called, so that help is there at once."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, ClassVar

import click

from search_space.errors import unknown_name


class LazyGroup(click.Group):
    """Knows the names of its commands but imports `nas.commands.MODULE` only to run one of them."""

    known: ClassVar[Mapping[str, tuple[str, str]]] = {}
    """By name: the module that holds the command, and what it does; one of which nothing is said is not listed."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Prints the help, and ends with exit code 2, where a group that needs a command is called without one."""
        if self.no_args_is_help and not args and not ctx.resilient_parsing:
            click.echo(ctx.get_help(), err=True)
            raise SystemExit(2)  # the command line ignores the code of click's own Exit
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Returns the names of the commands in the order of `known`."""
        return list(self.known)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports and returns a command; None where there is none of that name."""
        if cmd_name not in self.known:
            return None
        command: click.Command = importlib.import_module(f"nas.commands.{self.known[cmd_name][0]}").command
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Ends with an error of usage that lists the near and the known names where the first argument is none."""
        name = args[0]
        if not name.startswith("-") and name not in self.known:
            ctx.fail(unknown_name("command", name, self.known))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes what each command does, without importing it."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, what) for name, (_, what) in self.known.items() if what])
