"""`nas train`: train one architecture and write weights, history and score."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nas.commands.options import data_option, echo_json, json_option, split_option

if TYPE_CHECKING:
    from search_space import Architecture, Detector
    from trainers import TrainConfig, TrainResult
    from trainers.data import DataSplits


@click.command("train")
@click.argument("architecture", metavar="ARCH.yaml|DESIGN")
@data_option
@split_option
@click.option("--epochs", type=float, default=100.0, show_default=True, help="Passes over the training images.")
@click.option("--batch", "batch_size", type=int, default=None, help="Images a step.")
@click.option("--lr", "learning_rate", type=float, default=None, help="Peak learning rate; default: the optimizer's.")
@click.option("--optimizer", default="adamw", show_default=True, help="adamw or sgd.")
@click.option(
    "--mosaic",
    type=float,
    default=0.5,
    show_default=True,
    help="Chance of joining four images into one, 0 to 1; off in the last fifth of the schedule.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of weights, order and augmentation.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=None, help="Folder for what is written [runs/train-NAME]."
)
@click.option("--resume", is_flag=True, help="Go on from the checkpoint in the output folder.")
@click.option("--weights", type=click.Path(path_type=Path), default=None, help="Weights file to start from.")
@click.option("--input", "input_hw", type=(int, int), default=None, metavar="H W", help="Input size in pixels.")
@click.option(
    "--eval-every", type=float, default=1.0, show_default=True, help="Epochs between evaluations; 0: at the end."
)
@click.option("--threads", type=click.IntRange(min=1), default=None, help="CPU threads; default: all.")
@json_option
def command(architecture: str, data: str | None, split: str | None, as_json: bool, **options: Any) -> None:
    """Train one architecture: a YAML file or the name of a design.

    The output folder receives weights.pt, last.pt (checkpoint), history.csv, config.yaml, architecture.yaml and
    results.json.
    """
    from nas.commands.training import load_architecture, open_for_user, set_threads, training_bar
    from trainers import TrainConfig, train
    from trainers.losses import check_trainable

    set_threads(options["threads"])
    arch = load_architecture(architecture, options["input_hw"])
    check_trainable(arch.head.kind)
    config = TrainConfig.from_dict(_settings(options))
    out = options["out"] or Path("runs") / f"train-{Path(architecture).stem}"
    splits = open_for_user(data, split, seed=options["seed"])
    detector = _detector(arch, splits, config, options["weights"])
    _prepare(out, arch, config, resume=options["resume"])
    with training_bar(config.num_steps(len(splits.train)), config.batch_size) as on_step:
        result = train(
            detector,
            splits.train,
            splits.val,
            config=config,
            on_step=on_step,
            checkpoint=out / "last.pt",
            resume=options["resume"],
        )
    summary = _write(out, result, arch, splits)
    _report(summary, as_json=as_json)


def _settings(options: dict[str, Any]) -> dict[str, Any]:
    """Returns the settings that were given; those left out keep the defaults of TrainConfig."""
    names = ("epochs", "batch_size", "learning_rate", "optimizer", "seed", "eval_every")
    settings = {name: options[name] for name in names if options[name] is not None}
    settings["augmentation"] = {"mosaic": options["mosaic"]}
    return settings


def _detector(arch: Architecture, splits: DataSplits, config: TrainConfig, weights: Path | None) -> Detector:
    from search_space.errors import ConfigError
    from trainers import fresh_detector, load_weights
    from trainers.weights import load_state

    detector = fresh_detector(arch, num_classes=len(splits.train.classes), seed=config.seed)
    if weights is not None:
        loaded = load_weights(weights)
        if loaded.classes != splits.train.classes:
            raise ConfigError(
                f"{weights} is for the classes {', '.join(loaded.classes)}, the data has "
                f"{', '.join(splits.train.classes)}; train without --weights"
            )
        load_state(detector, loaded.state)
    return detector


def _prepare(out: Path, arch: Architecture, config: TrainConfig, *, resume: bool) -> None:
    """Makes the output folder and writes what is known before the training."""
    import yaml

    from search_space.errors import ConfigError
    from search_space.files import write_text

    if (out / "last.pt").exists() and not resume:
        raise ConfigError(f"{out} holds a training already; add --resume to go on or choose another --out")
    out.mkdir(parents=True, exist_ok=True)
    if resume and (out / "architecture.yaml").exists():
        from search_space import Architecture

        if Architecture.from_yaml(out / "architecture.yaml").key() != arch.key():
            raise ConfigError(f"{out} holds a training of another architecture; choose another --out")
    arch.to_yaml(out / "architecture.yaml")
    write_text(out / "config.yaml", yaml.safe_dump(config.to_dict(), sort_keys=False))


def _write(out: Path, result: TrainResult, arch: Architecture, splits: DataSplits) -> dict[str, Any]:
    from nas.commands.training import history_csv, plain_json, score_fields
    from search_space.files import write_text
    from trainers import save_weights

    save_weights(out / "weights.pt", result.state_dict, arch.to_dict(), splits.train.classes)
    write_text(out / "history.csv", history_csv(result.history))
    summary = {
        "architecture": arch.key(),
        "data": splits.source,
        "train_fingerprint": splits.train.fingerprint(),
        "val_fingerprint": splits.val.fingerprint(),
        "images_seen": result.images_seen,
        "skipped_steps": result.bad_steps,
        "seconds": round(result.seconds, 1),
        "score": score_fields(result.score),
        "weights": str(out / "weights.pt"),
    }
    write_text(out / "results.json", plain_json(summary))
    return summary


def _report(summary: dict[str, Any], *, as_json: bool) -> None:
    from nas.commands.training import print_score

    if as_json:
        echo_json(summary)
        return
    if summary["score"]:
        print_score(summary["score"])
    rate = summary["images_seen"] / max(summary["seconds"], 1e-9)
    click.echo(f"{summary['images_seen']} images in {summary['seconds']} s ({rate:.1f} images/s)")
    click.echo(f"weights: {summary['weights']}")
