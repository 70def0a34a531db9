"""Options that several commands share."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import resources
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from nas import data_words

Command = TypeVar("Command", bound=Callable[..., Any])

_WIDE = "nas.wide"
"""Where `--wide` is noted for the tables of the command that runs."""

json_option: Callable[[Command], Command] = click.option(
    "--json", "as_json", is_flag=True, help="Print the result as JSON, with unrounded integers."
)


def _note_wide(context: click.Context, option: click.Parameter, value: bool) -> None:
    context.meta[_WIDE] = value


wide_option: Callable[[Command], Command] = click.option(
    "--wide",
    is_flag=True,
    expose_value=False,
    callback=_note_wide,
    help="Show all columns of a table, also in a narrow terminal.",
)


def shows_all_columns() -> bool:
    """Returns whether the command that runs was given `--wide`."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(_WIDE))


Completion = Callable[[click.Context, click.Parameter, str], "list[CompletionItem]"]


def complete(kind: str) -> Completion:
    """Returns what completes a name in a shell, with files where no name begins as what was typed.

    Args:
        kind: A key of completions.json, which `docs/generate_completions.py` writes.
    """

    def completed(context: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem]:
        names = json.loads((resources.files("nas") / "commands" / "completions.json").read_text(encoding="utf-8"))[kind]
        near = [CompletionItem(name) for name in names if name.startswith(typed)]
        return near or [CompletionItem(typed, type="file")]

    return completed


data_option: Callable[[Command], Command] = click.option(
    "--data",
    type=click.Path(),
    metavar="PATH",
    default=None,
    help=f"{data_words.DATA} Default: the data of the training or run of the weights, else the built-in set.",
)
format_option: Callable[[Command], Command] = click.option(
    "--format",
    metavar="NAME",
    default=None,
    shell_complete=complete("format"),
    help=f"{data_words.DATA_FORMAT} Default: detected.",
)
images_option: Callable[[Command], Command] = click.option(
    "--images",
    type=click.Path(),
    metavar="DIR",
    default=None,
    help=data_words.IMAGES,
)
split_option: Callable[[Command], Command] = click.option(
    "--split", metavar="NAME", default=None, help=data_words.SPLIT
)


def _range(default: str) -> Callable[[Command], Command]:
    words = f"{data_words.PIXEL_RANGE} Default: {default}."
    return click.option("--range", type=(float, float), metavar="LOW HIGH", default=None, help=words)


range_option: Callable[[Command], Command] = _range(data_words.PIXEL_RANGE_DEFAULT)
weights_range_option: Callable[[Command], Command] = _range(
    "those of the weights; for weights without, percentiles of a sample"
)


def class_options(command: Command) -> Command:
    """Adds `--classes`, `--merge` and `--other-classes`."""
    for add in (
        click.option(
            "--other-classes",
            type=click.Choice(data_words.OTHER_CLASSES_CHOICES),
            default=None,
            help=f"{data_words.OTHER_CLASSES} Default: {data_words.OTHER_CLASSES_CHOICES[0]}.",
        ),
        click.option("--merge", multiple=True, default=(), metavar="NAME=CLASS,CLASS", help=data_words.MERGE),
        click.option(
            "--classes", multiple=True, default=(), metavar="NAME,NAME", help=f"{data_words.CLASSES} Default: all."
        ),
    ):
        command = add(command)
    return command


def layout_options(command: Command) -> Command:
    """Adds `--images`, `--format`, `--split` and the options of classes."""
    return images_option(format_option(split_option(class_options(command))))


input_option: Callable[[Command], Command] = click.option(
    "--input", "input_hw", type=(int, int), default=None, metavar="H W", help="Input height and width in pixels."
)
num_classes_option: Callable[[Command], Command] = click.option(
    "--num-classes", type=int, default=None, help="Number of classes. Default: that of the design or run, else 80."
)


def compute_options(command: Command) -> Command:
    """Adds `--device` and `--threads`."""
    threads = click.option("--threads", type=click.IntRange(min=1), default=None, help="CPU threads. Default: all.")
    device = click.option("--device", default="auto", show_default=True, help="Where to compute: auto, cpu or cuda.")
    return device(threads(command))


iou_option: Callable[[Command], Command] = click.option(
    "--iou",
    type=click.FloatRange(0, 1),
    default=None,
    help="Maximum IoU of two boxes of a class; of boxes that overlap more, the best is kept. Default: that of the "
    "recipe that the weights were trained with (nas val), or 0.6; with a head of the assignment dual, which needs no "
    "suppression, all are kept.",
)


def complete_device(context: click.Context, option: click.Parameter, typed: str) -> list[CompletionItem]:
    """Returns the boards that begin with what was typed, for a shell; reads no more than the names of files."""
    files = (resources.files("nas") / "cost" / "devices").iterdir()
    names = sorted(file.name.removesuffix(".yaml") for file in files if file.name.endswith(".yaml"))
    near = [CompletionItem(name) for name in names if name.startswith(typed)]
    return near or [CompletionItem(typed, type="file")]


AGNOSTIC = "Suppress boxes that overlap a better box of any class, not only of their own."


def _use_plugins(context: click.Context, option: click.Parameter, value: tuple[str, ...]) -> None:
    if value:
        from nas.plugins import use_plugins

        use_plugins(value)


plugin_option: Callable[[Command], Command] = click.option(
    "--plugin",
    multiple=True,
    is_eager=True,
    expose_value=False,
    callback=_use_plugins,
    type=click.Path(),
    metavar="FILE.py",
    help="Python file that is run to register your own blocks, heads, formats and other parts. May be repeated.",
)


def common_options(command: Command) -> Command:
    """Adds `--plugin`, `--wide` and `--json`."""
    return plugin_option(wide_option(json_option(command)))


def echo_json(result: Any) -> None:
    """Prints `result` as indented JSON on standard output."""
    click.echo(json.dumps(result, indent=2))
