"""`nas train`: train one architecture and write weights, history and score."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from nas.api.train_request import training_settings
from nas.commands.display import notify
from nas.commands.options import common_options, complete, echo_json
from nas.commands.setting_options import GroupedCommand, setting_options
from nas.process_control import ended_by_sigterm, launched_rank
from search_space.errors import ConfigError
from search_space.yaml_text import YamlError, parse_yaml


def _refuse_tile(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        raise click.UsageError("--tile of this command is --tile-chance now; give --tile-chance P", ctx=context)


@click.command("train", cls=GroupedCommand, owner=training_settings().values())
@click.argument(
    "architecture", type=click.Path(), metavar="ARCH.yaml|DESIGN", required=False, shell_complete=complete("design")
)
@setting_options(training_settings().values(), {"recipe": complete("recipe"), "data_format": complete("format")})
@click.option("--tile", "old_tile", default=None, hidden=True, expose_value=False, callback=_refuse_tile)
@click.option(
    "--set", "assignments", multiple=True, metavar="NAME=VALUE", help="Another setting of config.yaml. May be repeated."
)
@click.option("--resume", type=click.Path(path_type=Path), metavar="DIR", help="Resume the training in this folder.")
@click.option("--dry-run", is_flag=True, help="Print all settings and where each is from; train and write nothing.")
@common_options
@click.pass_context
def command(
    context: click.Context,
    /,
    architecture: str | None,
    resume: Path | None,
    dry_run: bool,
    as_json: bool,
    assignments: tuple[str, ...],
    **options: Any,
) -> None:
    """Train one architecture, given as a YAML file or the name of a design.

    The output folder receives weights.pt (the best), last.pt (checkpoint), history.csv, results.png, config.yaml,
    architecture.yaml and results.json. A training can be stopped at any time and resumed with --resume. If the data was
    moved meanwhile, give its new path with --data. With several processes: torchrun --nproc-per-node N --no-python nas
    train ... A member of the front of a run starts from the weights of the run, and an exported architecture from those
    beside it, unless --from-scratch is given.

    \b
    Examples:
      nas train yolov8n-p2-nop5 --data hit-uav --split block --epochs 100 --out runs/best
      nas train tinydet-m --recipe paper --batch 16 --lr 0.02 --dry-run
      nas train runs/first/front/01-KEY.yaml --data hit-uav --out runs/best
      nas train --resume runs/best
    """
    from nas.api.train import train
    from nas.api.train_settings import settings_called
    from nas.commands.train_display import report
    from nas.commands.training_bar import training_bar

    if architecture is None and resume is None:
        raise click.UsageError("give an architecture: a YAML file or a design; or --resume DIR", ctx=context)
    if dry_run:
        if architecture is None or resume is not None:
            raise click.UsageError("--dry-run is for a new training; give an architecture and no --resume", ctx=context)
        return _show_plan(architecture, _given(context, options, assignments), as_json=as_json)
    with settings_called(lambda setting: setting.option), _interrupts_told(), training_bar() as bar:
        training = train(
            architecture,
            resume=resume,
            on_notice=notify,
            on_progress=bar,
            **_given(context, options, assignments),
        )
    if launched_rank() == 0:
        report(training, as_json=as_json)


def _show_plan(architecture: str, given: dict[str, Any], *, as_json: bool) -> None:
    from nas.api.planned_training import plan_training
    from nas.api.train_settings import settings_called
    from nas.commands.recipe_display import print_plan

    with settings_called(lambda setting: setting.option):
        plan = plan_training(architecture, given, notify)
    return echo_json(plan.to_dict()) if as_json else print_plan(plan)


def _given(context: click.Context, options: dict[str, Any], assignments: tuple[str, ...]) -> dict[str, Any]:
    """Returns the settings of the command line, by the names of the API.

    Raises:
        ConfigError: an assignment cannot be read, or a setting is given twice.
    """
    known = training_settings()
    on_command_line = [
        known[name] for name in options if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    ]
    given = {setting.path: options[setting.name] for setting in on_command_line}
    flags = {setting.path: setting.option for setting in on_command_line}
    for text in assignments:
        name, value = read_assignment(text)
        full_name = known[name].path if name in known else name
        if full_name in given:
            raise ConfigError(f"{flags[full_name]} and --set {name} are the same setting; give one of them")
        given[full_name], flags[full_name] = value, f"--set {name}"
    return given


def read_assignment(text: str) -> tuple[str, Any]:
    """Returns name and value of `NAME=VALUE`, the value as in YAML.

    Raises:
        ConfigError: the text cannot be read.
    """

    name, equals, value = text.partition("=")
    equals = equals if all(part.isidentifier() for part in name.split(".")) else ""
    try:
        parsed = parse_yaml(value)
    except YamlError:
        equals = ""
    if not equals:
        given = " ".join(text.split())[:80]
        raise ConfigError(f"--set {given} cannot be read; give NAME=VALUE, such as --set ema_decay=0.999")
    return name, _number(parsed)


def _number(value: Any) -> Any:
    """Returns a text that is a number in Python but not in YAML, such as 1e-3, as a number."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


@contextlib.contextmanager
def _interrupts_told() -> Iterator[None]:
    """Lets SIGTERM interrupt the training as Ctrl-C does, and tells how to resume."""
    from nas.api.train import TrainingInterrupted

    with ended_by_sigterm() as exit_code:
        try:
            yield
        except TrainingInterrupted as interrupt:
            if launched_rank() == 0:
                click.echo(f"nas: interrupted; resume with: nas train --resume {interrupt.folder}", err=True)
            raise SystemExit(exit_code()) from None  # click would swallow its own Exit here
        except KeyboardInterrupt:
            if exit_code() == 128 + signal.SIGTERM:
                raise SystemExit(exit_code()) from None
            raise
