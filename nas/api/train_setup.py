"""How a training begins: everything opened and checked, the folder held and written last."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nas.commands.display import say

if TYPE_CHECKING:
    from nas.api.train_settings import Settings
    from search_space import Detector
    from trainers.data import DataSplits


class Ready(NamedTuple):
    """What a training is begun with."""

    detector: Detector
    splits: DataSplits
    log: Any
    """Of events for TensorBoard, or None."""


def prepare(settings: Settings, held: contextlib.ExitStack, *, is_first: bool) -> Ready:
    """Opens and checks everything, the first process alone holds and writes the folder: last, or not at all.

    Args:
        held: keeps the folder for this process.
    """
    from nas.api.train_folder import check_free
    from nas.commands.out_folder import make_folder
    from nas.commands.training import open_for_user, set_threads
    from nas.locking import locked
    from trainers.heads import check_trainable
    from trainers.optimizer import device_for

    command = settings.command
    busy = f"another process trains in {settings.out}; wait for it, or choose another --out"
    set_threads(command["threads"])
    check_trainable(settings.architecture.head.kind)
    device_for(settings.config.device)
    if is_first and settings.resume:
        held.enter_context(locked(settings.out, busy))
    log = _event_log(settings) if is_first else None
    where = {"data_format": command["data_format"], "images": command["images"]}
    seed = settings.config.seed
    splits = open_for_user(command["data"], command["split"], seed=seed, quiet=not is_first, **where)
    detector = _detector(settings, splits, is_first=is_first)
    _check_data(settings, splits, is_first=is_first)
    if is_first:
        if not settings.resume:
            make_folder(settings.out, "--out")
            held.enter_context(locked(settings.out, busy))
            check_free(settings.out)
        settings.write()
    return Ready(detector, splits, log)


def _check_data(settings: Settings, splits: DataSplits, *, is_first: bool) -> None:
    """Raises ConfigError where data and settings do not go together, and notes what can do nothing."""
    from nas.api.train_folder import CHECKPOINT
    from search_space.errors import ConfigError
    from trainers.checkpoint import check_same_data, fingerprints, read_checkpoint

    config, num_images = settings.config, len(splits.train)
    if config.batch_size > num_images and not settings.resume:
        raise ConfigError(
            f"--batch is {config.batch_size}, but there are {num_images} training images; give --batch {num_images} "
            "or less"
        )
    path = settings.out / CHECKPOINT
    if settings.resume and path.exists():
        check_same_data(path, read_checkpoint(path), fingerprints(splits.train, splits.val))
    if is_first:
        from nas.commands.tiling_options import note_small_images

        input_hw = settings.architecture.input_hw
        if config.augmentation.tile > 0:
            note_small_images("--tile-chance", "training", splits.train, input_hw)
        if config.eval_tile:
            note_small_images("--eval-tile", "validation", splits.val, input_hw)


def _event_log(settings: Settings) -> Any:
    from trainers.logs import EventLog

    return EventLog(settings.out) if settings.command["tensorboard"] else None


def _detector(settings: Settings, splits: DataSplits, *, is_first: bool) -> Detector:
    """Returns the detector to begin with, its weights taken from a file where one is named and nothing is resumed."""
    from nas.api.train_folder import can_go_on
    from nas.api.weights_path import weights_file
    from search_space.errors import ConfigError
    from trainers import fresh_detector, load_weights
    from trainers.weights import load_matching, load_state

    classes = splits.train.classes
    detector = fresh_detector(settings.architecture, num_classes=len(classes), seed=settings.config.seed)
    weights, pretrained = settings.command["weights"], settings.command["pretrained"]
    if settings.resume:
        if can_go_on(settings.out):
            return detector
        if is_first:
            say(f"note: the training in {settings.out} had not written anything yet; it begins now", err=True)
    if pretrained is not None:
        taken, total = load_matching(detector, load_weights(weights_file(Path(pretrained))).state)
        if is_first:
            say(f"pretrained: {taken} of {total} tensors fit and were taken from {pretrained}", err=True)
    if weights is not None:
        loaded = load_weights(weights_file(Path(weights)))
        if loaded.classes != classes:
            raise ConfigError(
                f"{weights} is for the classes {', '.join(loaded.classes)}, the data has {', '.join(classes)}; give it "
                "as --pretrained, which takes what fits"
            )
        load_state(detector, loaded.state)
    return detector
