"""`nas train`: train one architecture and write weights, history and score."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nas.commands.options import data_option, echo_json, format_option, images_option, json_option, split_option

if TYPE_CHECKING:
    from torch import Tensor

    from nas.commands.train_settings import Settings
    from search_space import Detector
    from trainers import Progress, Score, TrainResult
    from trainers.data import DataSplits

SHARE = click.FloatRange(0, 1)


@click.command("train")
@click.argument("architecture", metavar="ARCH.yaml|DESIGN", required=False)
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
@click.option("--tile", type=SHARE, default=None, help="Chance of a window at its own scale, of images over the input.")
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
    "--out", type=click.Path(path_type=Path), default=None, help="Folder for what is written [runs/train-NAME]."
)
@click.option(
    "--resume", type=click.Path(path_type=Path), metavar="DIR", help="Go on with the training in this folder."
)
@json_option
@click.pass_context
def command(
    context: click.Context, /, architecture: str | None, resume: Path | None, as_json: bool, **options: Any
) -> None:
    """Train one architecture: a YAML file or the name of a design.

    The output folder receives weights.pt (the best), last.pt (checkpoint), history.csv, results.png, config.yaml,
    architecture.yaml and results.json. A training can be killed at any time and goes on with --resume alone. Several
    processes: torchrun --nproc-per-node N --no-python nas train ...
    """
    from nas.commands.train_settings import fresh, resumed
    from trainers.distributed import joined

    if resume is not None:
        sources = {name: context.get_parameter_source(name) for name in options}
        given = {name for name, source in sources.items() if source is click.core.ParameterSource.COMMANDLINE}
        settings = resumed(resume, architecture, options, given)
    elif architecture is not None:
        settings = fresh(architecture, options)
    else:
        raise click.UsageError("give an architecture: a YAML file or a design; or --resume DIR", ctx=context)
    with joined(settings.config.device) as rank:
        summary = _run(settings, is_first=rank == 0)
    if rank == 0:
        _report(summary, as_json=as_json, resumed=resume is not None)


def _run(settings: Settings, *, is_first: bool) -> dict[str, Any]:
    from nas.commands.training import open_for_user, set_threads
    from trainers import train
    from trainers.heads import check_trainable

    set_threads(settings.command["threads"])
    check_trainable(settings.architecture.head.kind)
    log = _event_log(settings) if is_first else None
    splits = open_for_user(
        settings.command["data"],
        settings.command["split"],
        seed=settings.config.seed,
        data_format=settings.command["data_format"],
        images=settings.command["images"],
        quiet=not is_first,
    )
    detector = _detector(settings, splits)
    if is_first:
        settings.write()
    with _going_on_told(settings.out, is_first), _watch(settings, splits, log, is_first) as on_step:
        result = train(
            detector,
            splits.train,
            splits.val,
            config=settings.config,
            on_step=on_step,
            on_best=lambda state, _: _save(settings, state, splits),
            checkpoint=settings.out / "last.pt",
            resume=settings.resume,
        )
    return _write(settings, result, splits) if is_first else {}


def _event_log(settings: Settings) -> Any:
    from trainers.logs import EventLog

    return EventLog(settings.out) if settings.command["tensorboard"] else None


def _detector(settings: Settings, splits: DataSplits) -> Detector:
    from nas.commands.weights_path import weights_file
    from search_space.errors import ConfigError
    from trainers import fresh_detector, load_weights
    from trainers.weights import load_matching, load_state

    classes = splits.train.classes
    detector = fresh_detector(settings.architecture, num_classes=len(classes), seed=settings.config.seed)
    weights, pretrained = settings.command["weights"], settings.command["pretrained"]
    if settings.resume:
        return detector
    if pretrained is not None:
        taken, total = load_matching(detector, load_weights(weights_file(Path(pretrained))).state)
        click.echo(f"pretrained: {taken} of {total} tensors fit and were taken from {pretrained}", err=True)
    if weights is not None:
        loaded = load_weights(weights_file(Path(weights)))
        if loaded.classes != classes:
            raise ConfigError(
                f"{weights} is for the classes {', '.join(loaded.classes)}, the data has {', '.join(classes)}; give it "
                "as --pretrained, which takes what fits"
            )
        load_state(detector, loaded.state)
    return detector


@contextlib.contextmanager
def _going_on_told(out: Path, is_first: bool) -> Iterator[None]:
    """Lets SIGTERM end the training as Ctrl-C does, and tells then how it goes on."""
    code = 130

    def terminate(*_: object) -> None:
        nonlocal code
        code = 128 + signal.SIGTERM
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    except KeyboardInterrupt:
        if is_first:
            click.echo(f"nas: interrupted; go on with: nas train --resume {out}", err=True)
        raise SystemExit(code) from None  # click would swallow its own Exit here
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _watch(
    settings: Settings, splits: DataSplits, log: Any, is_first: bool
) -> Iterator[Callable[[Progress], None] | None]:
    """Shows the progress, and writes history.csv and events as the training goes on."""
    from nas.commands.training import training_bar
    from trainers.logs import write_history

    if not is_first:
        yield None
        return
    rows = 0

    def watch(progress: Progress) -> None:
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


def _save(settings: Settings, state: Mapping[str, Tensor], splits: DataSplits) -> None:
    from trainers import save_weights

    save_weights(settings.out / "weights.pt", state, settings.architecture.to_dict(), splits.train.classes)


def _write(settings: Settings, result: TrainResult, splits: DataSplits) -> dict[str, Any]:
    from nas.commands.score_display import score_fields
    from nas.commands.training import plain_json
    from search_space.errors import ConfigError
    from search_space.files import write_text
    from trainers.logs import draw_history, write_history

    out = settings.out
    if result.best_score is None:
        _save(settings, result.state_dict, splits)
    write_history(out, result.history)
    try:
        draw_history(out, result.history)
    except ConfigError as error:
        click.echo(f"note: {error}", err=True)
    summary = {
        "architecture": settings.architecture.key(),
        "data": splits.source,
        "train_fingerprint": splits.train.fingerprint(),
        "val_fingerprint": splits.val.fingerprint(),
        "epochs": result.epochs,
        "images_seen": result.images_seen,
        "skipped_steps": result.bad_steps,
        "broken_images": result.broken_images,
        "seconds": round(result.seconds, 1),
        "ended_by": "patience" if result.out_of_patience else "schedule",
        "best_epoch": result.best_epoch,
        "score": score_fields(result.best_score),
        "last_score": score_fields(result.score),
        "weights": str(out / "weights.pt"),
    }
    write_text(out / "results.json", plain_json(summary))
    return summary


def _report(summary: dict[str, Any], *, as_json: bool, resumed: bool) -> None:
    from nas.commands.score_display import print_score

    if as_json:
        echo_json(summary)
        return
    if summary["score"]:
        print_score(summary["score"])
    if resumed:
        click.echo(f"{summary['images_seen']} images seen; this part took {summary['seconds']} s")
    else:
        rate = summary["images_seen"] / max(summary["seconds"], 1e-9)
        click.echo(f"{summary['images_seen']} images in {summary['seconds']} s ({rate:.1f} images/s)")
    if summary["ended_by"] == "patience":
        click.echo(f"ended after {summary['epochs']:.4g} epochs: no better accuracy")
    if summary["broken_images"]:
        click.echo(f"{summary['broken_images']} training images could not be read and were left out")
    best = "" if summary["best_epoch"] is None else f", the best, of epoch {summary['best_epoch']:.4g}"
    click.echo(f"weights: {summary['weights']}{best}")
