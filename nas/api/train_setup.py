"""Prepare a training: open and check everything, then lock and write the folder."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from nas.locking import locked
from nas.settings import DATA_SETTINGS
from nas.trackers import open_trackers, tracker_names
from search_space.errors import ConfigError

if TYPE_CHECKING:
    from nas.api.train_settings import TrainSettings
    from nas.api.trained_detector import TrainedDetector
    from nas.trackers import Tracker
    from search_space import Architecture, Detector
    from trainers import Weights
    from trainers.data import DataSplits


class Ready(NamedTuple):
    """What a training starts with."""

    detector: Detector
    splits: DataSplits
    trackers: Mapping[str, Tracker]
    """By name; none of them has begun."""
    teacher: TrainedDetector | None


def prepare(
    settings: TrainSettings, held: contextlib.ExitStack, *, is_first: bool, on_notice: Callable[[str | None], None]
) -> Ready:
    """Opens and checks everything; then the first process locks and writes the folder.

    Nothing is written if a check fails.

    Args:
        held: holds the lock of the folder.
        is_first: whether this is the first of several processes.
        on_notice: is called with each line that the user should read.
    """
    from nas.api.folders import make_folder
    from nas.api.opening import open_for_user, set_threads
    from nas.api.train_folder import check_free
    from trainers.heads import check_trainable
    from trainers.optimizer import device_for

    request = settings.request
    busy = f"another process trains in {settings.out}; wait for it, or choose another --out"
    set_threads(request.threads)
    check_trainable(settings.architecture.head.kind)
    device_for(settings.config.device)
    if is_first and settings.resume:
        held.enter_context(locked(settings.out, busy))
    trackers = open_trackers(tracker_names(request.track, tensorboard=request.tensorboard)) if is_first else {}
    splits = open_for_user(
        **{name: getattr(request, name) for name in DATA_SETTINGS},
        seed=settings.config.seed,
        on_notice=on_notice,
    )
    detector = _detector(settings, splits, on_notice)
    _check_data(settings, splits, on_notice)
    teacher = _teacher(settings, detector, splits, on_notice)
    on_notice(_bins_note(detector, splits))
    if is_first:
        if not settings.resume:
            make_folder(settings.out, "--out")
            held.enter_context(locked(settings.out, busy))
            check_free(settings.out)
        replace(settings, request=replace(request, pixel_range=splits.pixel_range)).write()
    return Ready(detector, splits, trackers, teacher)


def _check_data(settings: TrainSettings, splits: DataSplits, on_notice: Callable[[str | None], None]) -> None:
    """Raises ConfigError where data and settings contradict each other, and notes options that have no effect."""
    from nas.api.tiling import small_images_note
    from nas.api.train_folder import CHECKPOINT
    from trainers.checkpoint import check_same_data, fingerprints, read_checkpoint
    from trainers.settings import SettingError

    config, num_images = settings.config, len(splits.train)
    if config.batch_size > num_images and not settings.resume:
        raise SettingError(
            f"batch_size is {config.batch_size}, but there are {num_images} training images; give {num_images} or less",
            "batch_size",
        )
    path = settings.out / CHECKPOINT
    if settings.resume and path.exists():
        check_same_data(path, read_checkpoint(path), fingerprints(splits.train, splits.val))
    input_hw = settings.architecture.input_hw
    if settings.architecture.tiles.count > 1:
        tiles = f"tiles {settings.architecture.tiles.name} of the architecture"
        for which, part in (("training", splits.train), ("validation", splits.val)):
            on_notice(small_images_note(tiles, which, part, input_hw))
    if config.augmentation.tile > 0:
        on_notice(small_images_note("--tile-chance", "training", splits.train, input_hw))
    if config.eval_tile:
        on_notice(small_images_note("--eval-tile", "validation", splits.val, input_hw))


def _teacher(
    settings: TrainSettings, detector: Detector, splits: DataSplits, on_notice: Callable[[str | None], None]
) -> TrainedDetector | None:
    """Returns the teacher, if there is one; says what is learned from it.

    Raises:
        ConfigError: it cannot be read, does not fit the detector or the data, or is not that of a resumed training.
    """
    from nas.api.class_notes import taken_in_order
    from nas.api.train_folder import CHECKPOINT
    from nas.api.trained_detector import load_detector
    from trainers.checkpoint import check_same_teacher, read_checkpoint
    from trainers.teacher import match_teacher

    given = settings.request.teacher
    found = None if given is None else load_detector(given)
    path = settings.out / CHECKPOINT
    if settings.resume and path.exists():
        now = None if found is None else found.content.fingerprint()
        check_same_teacher(path, read_checkpoint(path), now)
    if found is None:
        return None
    match = match_teacher(found.content, detector, splits.train)
    _tell(found.content, on_notice)
    on_notice(taken_in_order(found.weights, found.content, splits.train.classes))
    shared = ", ".join(str(detector.strides[level]) for level, _ in match.pairs)
    boxes = "box distributions" if match.has_distributions else "boxes"
    how = "kept" if settings.config.augmentation.only_flips else "computed anew for each augmented image"
    on_notice(f"teacher: {found.weights}; scores and {boxes} of its maps of stride {shared}, {how}, are learned")
    return found


def _bins_note(detector: Detector, splits: DataSplits) -> str | None:
    """Returns a note on boxes that are too long for the head of a detector; None if there are none."""
    from nas.advice.longest_sides import bins_note

    return bins_note(
        splits.train.records,
        bins=detector.reg_max,
        strides=detector.strides,
        input_hw=detector.input_hw,
        fit=detector.input_format.fit,
        tiles=detector.tiles,
    )


def _tell(weights: Weights, on_notice: Callable[[str | None], None]) -> None:
    for note in weights.notes:
        on_notice(f"note: {note}")


def _detector(settings: TrainSettings, splits: DataSplits, on_notice: Callable[[str | None], None]) -> Detector:
    """Returns the detector to start with, with the weights of a file if one is given and nothing is resumed."""
    from nas.api.train_folder import can_go_on
    from trainers import fresh_detector

    classes = splits.train.classes
    detector = fresh_detector(settings.architecture, num_classes=len(classes), seed=settings.config.seed)
    request = settings.request
    if settings.resume:
        if can_go_on(settings.out):
            return detector
        on_notice(f"note: the training in {settings.out} had written no checkpoint yet; it starts now")
    if request.pretrained is not None:
        _start_from_related(detector, request.pretrained, classes, on_notice)
    if request.weights is not None:
        _start_from_same(detector, settings.architecture, request.weights, classes, on_notice)
    return detector


def _start_from_related(
    detector: Detector, pretrained: str, classes: tuple[str, ...], on_notice: Callable[[str | None], None]
) -> None:
    """Fills a detector with what fits of the weights of a related one.

    Raises:
        ConfigError: they cannot be read, or nothing fits.
    """
    from nas.api.class_notes import other_classes
    from nas.transfer import transfer
    from nas.weights_path import weights_file
    from trainers.importing.opening import open_weights

    donor = open_weights(weights_file(Path(pretrained)))
    _tell(donor, on_notice)
    report = transfer(detector, donor, classes=classes)
    if report.is_empty:
        raise ConfigError(f"none of the weights in {pretrained} fits the detector; give those of a related design")
    has_head = any(report.by_node.get(node.name) for node in detector.graph.nodes if node.part.endswith("head"))
    on_notice(other_classes(pretrained, donor, classes) if has_head else None)
    if report.parameters == 1:
        on_notice(f"pretrained: {report} start from {pretrained}")
    else:
        rest = "the rest" if has_head else "the whole head and the rest"
        on_notice(f"pretrained: {report} start from {pretrained}, {rest} from random weights")


def _start_from_same(
    detector: Detector,
    architecture: Architecture,
    weights: str,
    classes: tuple[str, ...],
    on_notice: Callable[[str | None], None],
) -> None:
    """Loads the weights of the same architecture and classes; raises ConfigError for any other ones."""
    from nas.api.class_notes import class_lists, taken_in_order
    from nas.weights_path import weights_file
    from trainers.importing.opening import AS_PRETRAINED, check_complete, open_weights
    from trainers.weights import load_state

    path = weights_file(Path(weights))
    loaded = open_weights(path, architecture, remedy=AS_PRETRAINED)
    _tell(loaded, on_notice)
    check_complete(loaded, path)
    in_order = taken_in_order(weights, loaded, classes)
    if loaded.classes != classes and in_order is None:
        raise ConfigError(
            f"{weights} {class_lists(loaded.classes, classes)}; give it as --pretrained, which takes what fits"
        )
    on_notice(in_order)
    load_state(detector, loaded.state)
