"""`nas data`: check a data set, or convert it to another format."""

from __future__ import annotations

import importlib

import click

SUBCOMMANDS = {
    "check": ("data_check", "report every defect of a data set, with file and line"),
    "convert": ("data_convert", "write a data set in another format"),
}
"""By name: the module of `nas.commands` that holds the command, and what it does."""


class DataGroup(click.Group):
    """Knows the names of its commands and imports only the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in SUBCOMMANDS:
            return None
        command: click.Command = importlib.import_module(f"nas.commands.{SUBCOMMANDS[cmd_name][0]}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if not name.startswith("-") and name not in SUBCOMMANDS:
            from search_space.errors import nearest  # imports torch, so only where something went wrong

            ctx.fail(f"unknown command {name!r}{nearest(name, SUBCOMMANDS)}; known: {', '.join(SUBCOMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, what) for name, (_, what) in SUBCOMMANDS.items()])


@click.group("data", cls=DataGroup)
def command() -> None:
    """Check a data set, or convert it to another format.

    Formats: COCO, YOLO, VisDrone, TinyPerson and Pascal VOC, found by looking or named with --format.

    Examples: nas data check mine; nas data convert mine mine-coco --to coco
    """
