"""`nas train`: train one architecture and write weights, history and score."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nas.commands.display import notify
from nas.commands.options import data_option, format_option, images_option, json_option, plugin_option, split_option
from nas.process_control import launched_rank, reported_once

if TYPE_CHECKING:
    from nas.api.train_settings import Settings
    from nas.api.train_setup import Ready
    from trainers import Score, TrainProgress
    from trainers.data import DataSplits

SHARE = click.FloatRange(0, 1)


def _refuse_tile(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        raise click.UsageError("--tile of this command is --tile-chance now; give --tile-chance P", ctx=context)


@click.command("train")
@click.argument("architecture", type=click.Path(), metavar="ARCH.yaml|DESIGN", required=False)
@data_option
@format_option
@images_option
@split_option
@click.option("--epochs", type=float, default=100.0, show_default=True, help="Passes over the training images.")
@click.option("--batch", "batch_size", type=int, default=None, help="Images a step, over all processes.")
@click.option("--accumulate", type=int, default=None, help="Parts that a step's images are split into to save memory.")
@click.option("--lr", "learning_rate", type=float, default=None, help="Peak learning rate; default: the optimizer's.")
@click.option("--optimizer", default="adamw", show_default=True, help="adamw or sgd.")
@click.option(
    "--mosaic",
    type=SHARE,
    default=0.5,
    show_default=True,
    help="Chance of joining four images into one; off in the last fifth of the schedule.",
)
@click.option(
    "--tile-chance", "tile", type=SHARE, default=None, help="Chance of a window at its own scale, of larger images."
)
@click.option("--tile", "old_tile", default=None, hidden=True, expose_value=False, callback=_refuse_tile)
@click.option("--copy-paste", type=SHARE, default=None, help="Share of small objects pasted a second time.")
@click.option("--flip-vertical", type=SHARE, default=None, help="Chance of mirroring above and below; aerial images.")
@click.option("--turn", type=SHARE, default=None, help="Chance of a turn by 90, 180 or 270 degrees; aerial images.")
@click.option("--hue", type=SHARE, default=0.015, show_default=True, help="Largest change of hue, of the circle.")
@click.option("--saturation", type=SHARE, default=0.4, show_default=True, help="Largest change of saturation.")
@click.option("--nwd", type=SHARE, default=None, help="Share of the normalised Wasserstein distance; tiny objects.")
@click.option("--patience", type=int, default=None, help="End after so many evaluations without a better accuracy.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of weights, order and augmentation.")
@click.option("--set", "assignments", multiple=True, metavar="NAME=VALUE", help="Any other setting of config.yaml.")
@click.option(
    "--weights", type=click.Path(path_type=Path), default=None, help="Weights of this architecture to begin with."
)
@click.option("--pretrained", type=click.Path(path_type=Path), default=None, help="Weights to take what fits from.")
@click.option("--input", "input_hw", type=(int, int), default=None, metavar="H W", help="Input size in pixels.")
@click.option(
    "--eval-every", type=float, default=1.0, show_default=True, help="Epochs between evaluations; 0: at the end."
)
@click.option("--eval-tile", is_flag=True, help="Evaluate in windows of the input's size and the whole image.")
@click.option("--precision", default=None, help="auto, float32, bfloat16 or float16.")
@click.option("--device", default=None, help="auto, cpu, cuda or cuda:N.")
@click.option("--workers", "num_readers", type=int, default=None, help="Threads that prepare batches.")
@click.option("--threads", type=click.IntRange(min=1), default=None, help="CPU threads; default: all.")
@click.option("--tensorboard", is_flag=True, help="Write events for TensorBoard too.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=None, help="Folder for what is written; new [runs/train-NAME]."
)
@click.option(
    "--resume", type=click.Path(path_type=Path), metavar="DIR", help="Go on with the training in this folder."
)
@plugin_option
@json_option
@click.pass_context
def command(
    context: click.Context, /, architecture: str | None, resume: Path | None, as_json: bool, **options: Any
) -> None:
    """Train one architecture: a YAML file or the name of a design.

    The output folder receives weights.pt (the best), last.pt (checkpoint), history.csv, results.png, config.yaml,
    architecture.yaml and results.json. A training can be killed at any time and goes on with --resume alone; data that
    was moved meanwhile is named with --data. Several processes: torchrun --nproc-per-node N --no-python nas train ...

    \b
    Examples:
      nas train yolov8n-p2-nop5 --data hit-uav --split block --epochs 100 --out runs/best
      nas train runs/first/front/01-KEY.yaml --data hit-uav --out runs/best
      nas train --resume runs/best
    """
    from nas.api.train_settings import options_named
    from nas.api.train_setup import prepare
    from nas.commands.train_results import report
    from trainers.distributed import join_processes

    is_first = launched_rank() == 0
    with contextlib.ExitStack() as held, options_named():
        with reported_once():
            settings = _settings(context, architecture, resume, options)
            ready = prepare(settings, held, is_first=is_first, on_notice=notify if is_first else _ignore)
        with join_processes(settings.config.device):
            summary = _run(settings, ready, is_first=is_first)
    if is_first:
        report(summary, as_json=as_json)


def _settings(
    context: click.Context, architecture: str | None, folder: Path | None, options: dict[str, Any]
) -> Settings:
    from nas.api.train_settings import fresh, resumed

    sources = {name: context.get_parameter_source(name) for name in options}
    given = {name for name, source in sources.items() if source is click.core.ParameterSource.COMMANDLINE}
    if folder is not None:
        return resumed(folder, architecture, options, given)
    if architecture is None:
        raise click.UsageError("give an architecture: a YAML file or a design; or --resume DIR", ctx=context)
    return fresh(architecture, options, given, notify if launched_rank() == 0 else _ignore)


def _ignore(notice: str | None) -> None:
    """Takes the notices of the processes that print nothing."""


def _run(settings: Settings, ready: Ready, *, is_first: bool) -> dict[str, Any]:
    from nas.commands.train_results import save_weights, write_results
    from trainers import train

    splits = ready.splits
    with _going_on_told(settings.out, is_first), _watch(settings, splits, ready.log, is_first) as on_step:
        result = train(
            ready.detector,
            splits.train,
            splits.val,
            config=settings.config,
            on_step=on_step,
            on_best=lambda state, _: save_weights(settings, state, splits),
            checkpoint=settings.out / "last.pt",
            resume=settings.resume,
        )
    with _going_on_told(settings.out, is_first):
        return write_results(settings, result, splits) if is_first else {}


@contextlib.contextmanager
def _going_on_told(out: Path, is_first: bool) -> Iterator[None]:
    """Lets SIGTERM end the training as Ctrl-C does, and tells then, or when the disk is full, how it goes on."""
    from nas.process_control import ended_by_sigterm
    from search_space.errors import ConfigError, WriteError

    with ended_by_sigterm() as exit_code:
        try:
            yield
        except KeyboardInterrupt:
            if is_first:
                click.echo(f"nas: interrupted; go on with: nas train --resume {out}", err=True)
            raise SystemExit(exit_code()) from None  # click would swallow its own Exit here
        except WriteError as error:
            raise ConfigError(f"{error}, then go on with: nas train --resume {out}") from None


@contextlib.contextmanager
def _watch(
    settings: Settings, splits: DataSplits, log: Any, is_first: bool
) -> Iterator[Callable[[TrainProgress], None] | None]:
    """Shows the progress, and writes history.csv and events as the training goes on."""
    from nas.commands.training_bar import training_bar
    from trainers.logs import write_history

    if not is_first:
        yield None
        return
    rows = 0

    def watch(progress: TrainProgress) -> None:
        nonlocal rows
        show(progress)
        if len(progress.history) > rows:
            write_history(settings.out, progress.history)
            rows = len(progress.history)
        if log is not None:
            train = {**progress.losses, "learning_rate": progress.learning_rate}
            log.add(progress.step, train, _scores(progress.val))

    config = settings.config
    with training_bar(config.num_steps(len(splits.train)), config.batch_size) as show, contextlib.ExitStack() as stack:
        if log is not None:
            stack.callback(log.close)
        yield watch


def _scores(score: Score | None) -> dict[str, float] | None:
    from trainers.logs import SCORES

    return None if score is None else {name: getattr(score, name) for name in SCORES}
