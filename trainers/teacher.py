"""The teacher of a distillation: a trained detector that says what another one is to learn from an image."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from search_space import Architecture, Detector, lower
from search_space.deployed import deployed
from search_space.errors import ConfigError, SpaceError, counted, shortened
from trainers.assigners import rows_of
from trainers.boxes import decode_boxes, flatten_maps, grid_of
from trainers.data.batches import Batch
from trainers.data.dataset import Dataset
from trainers.heads.distillation import SoftTargets, joined
from trainers.weights import Weights

CACHE_BYTES = 500_000_000
"""Most memory that the predictions of a teacher take; those of further images are computed each time."""


@dataclass(frozen=True, kw_only=True)
class TeacherMatch:
    """What a teacher and a detector have in common."""

    pairs: tuple[tuple[int, int], ...]
    """The numbers of the levels of equal stride, of the detector and of the teacher, finest first."""
    channels: tuple[int, ...]
    """The class of the teacher that is each class of the data."""
    has_distributions: bool
    """Whether both have the same bins, more than one."""


def match_teacher(weights: Weights, detector: Detector, train_set: Dataset) -> TeacherMatch:
    """Returns what a detector can learn from a teacher.

    The teacher sees the images as they are given to the detector, at its input size. Levels are matched by their
    stride; a level that the teacher lacks learns from the labels alone. Classes are matched by their names, or by their
    order where the weights have no names.

    Raises:
        ConfigError: a head is not anchor-free, no level is common, the classes are not the same, or the teacher is made
            for other images.
    """
    architecture = Architecture.from_dict(weights.architecture)
    for whose, head in (("detector", detector.head), ("teacher", architecture.head.kind)):
        if head != "anchor_free":
            raise ConfigError(
                f"the {whose} has a head of kind {head!r}; distillation needs 'anchor_free' in teacher and detector; "
                + ("train without a teacher" if whose == "detector" else "give another teacher")
            )
    channels = _channels(weights, tuple(train_set.classes))
    _check_images(weights, architecture, detector, train_set)
    with torch.device("meta"):
        strides, reg_max = _shape_of(weights)
    pairs = _pairs(detector.strides, strides)
    if not pairs:
        have, want = (", ".join(map(str, each)) for each in (strides, detector.strides))
        raise ConfigError(
            f"the teacher has maps of the strides {have}, the detector of {want}; give a teacher with one of these"
        )
    return TeacherMatch(
        pairs=pairs, channels=channels, has_distributions=reg_max == detector.reg_max and detector.reg_max > 1
    )


def _shape_of(weights: Weights) -> tuple[tuple[int, ...], int]:
    """Returns the strides and the bins of a detector."""
    detector = Detector(lower(Architecture.from_dict(weights.architecture), num_classes=len(weights.classes)))
    return detector.strides, detector.reg_max


def _channels(weights: Weights, classes: tuple[str, ...]) -> tuple[int, ...]:
    known = weights.classes
    if not weights.has_class_names and len(known) == len(classes):
        return tuple(range(len(classes)))
    if sorted(known) != sorted(classes):
        raise ConfigError(
            f"the teacher is for {counted(len(known), 'class', 'classes')} ({shortened(known)}), the data has "
            f"{len(classes)} ({shortened(classes)}); give a teacher for the classes of the data"
        )
    return tuple(known.index(name) for name in classes)


def _check_images(weights: Weights, architecture: Architecture, detector: Detector, train_set: Dataset) -> None:
    fits = architecture.input_format.fit, detector.input_format.fit
    if fits[0] != fits[1]:
        raise ConfigError(
            f"the input of the teacher has the fit {fits[0]}, that of the detector {fits[1]}; give a teacher with the "
            "same one"
        )
    ranges = weights.pixel_range, train_set.pixel_range
    if None not in ranges and ranges[0] != ranges[1]:
        raise ConfigError(
            f"the teacher was trained with the pixel range {ranges[0]}, the data has {ranges[1]}; train with the range "
            "of the teacher, or give a teacher with that of the data"
        )
    try:
        weights.check_input(detector.input_hw)
    except SpaceError as error:
        raise ConfigError(f"the teacher cannot take the input of the detector: {error}") from None


def _pairs(own: Sequence[int], others: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Returns pairs of numbers of equal strides; each level is in one pair at most."""
    free = list(enumerate(others))
    pairs = []
    for level, stride in enumerate(own):
        found = next((each for each in free if each[1] == stride), None)
        if found is not None:
            free.remove(found)
            pairs.append((level, found[0]))
    return tuple(pairs)


@dataclass(kw_only=True)
class Teacher:
    """A trained detector in evaluation mode, which draws no random numbers and learns nothing.

    Args:
        weights: of the teacher.
        match: see `match_teacher`.
        confidence: smallest score, of any class, of the places that are learned.
        caches: whether predictions are kept. Images are then predicted one by one, so that a result does not depend on
            what is in the cache.
        device: where the images are.
        precision: of the convolutions.
    """

    weights: Weights
    match: TeacherMatch
    confidence: float
    caches: bool
    device: torch.device
    precision: torch.dtype
    limit_bytes: int = CACHE_BYTES
    seconds: float = 0.0
    """Time that the predictions took."""
    num_predicted: int = 0
    """Images that were predicted, not taken from the cache."""
    num_bytes: int = 0
    """Memory that the cache takes."""
    _cache: dict[bytes, SoftTargets] = field(default_factory=dict)

    def __post_init__(self) -> None:
        detector = deployed(self.weights.detector()).requires_grad_(False)
        self.detector: nn.Module = detector.to(self.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.strides, self.reg_max = detector.strides, detector.reg_max

    @torch.no_grad()
    def targets(self, batch: Batch) -> SoftTargets:
        """Returns what there is to learn from the images `(B, 3, H, W)` of a batch."""
        began = time.perf_counter()
        found = (
            joined([self._kept(image[None]) for image in batch.images])
            if self.caches
            else joined(self._predicted(batch.images))
        )
        self.seconds += time.perf_counter() - began
        return found

    def _kept(self, image: Tensor) -> SoftTargets:
        """Returns the targets of an image `(1, 3, H, W)`, from the cache where they are in it."""
        pixels = image[0].permute(1, 2, 0).contiguous().cpu().numpy()
        key = hashlib.blake2b(pixels.data, digest_size=16).digest()
        if key in self._cache:
            return self._cache[key]
        (found,) = self._predicted(image)
        if self.num_bytes + found.num_bytes <= self.limit_bytes:
            self._cache[key] = found
            self.num_bytes += found.num_bytes
        return found

    def _predicted(self, images: Tensor) -> list[SoftTargets]:
        """Returns the targets of each image of `(B, 3, H, W)`, uint8."""
        self.num_predicted += len(images)
        with torch.autocast(self.device.type, dtype=self.precision, enabled=self.precision is not torch.float32):
            outputs = self.detector(images.float().div_(255))
        maps = [outputs[level] for _, level in self.match.pairs]
        grid = grid_of(maps, [self.strides[level] for _, level in self.match.pairs])
        table = flatten_maps(maps).float()
        scores = table[..., 4 * self.reg_max :].sigmoid()[..., list(self.match.channels)]
        targets = []
        for sides, each in zip(table[..., : 4 * self.reg_max], scores, strict=True):
            places = rows_of(each.amax(dim=1) >= self.confidence)
            boxes = sides[places]
            if not self.match.has_distributions:
                boxes = decode_boxes(boxes, grid.points[places], grid.point_strides[places], self.reg_max)
            targets.append(
                SoftTargets(
                    levels=tuple(level for level, _ in self.match.pairs),
                    shapes=grid.shapes,
                    places=places,
                    scores=each[places],
                    boxes=boxes,
                    has_distributions=self.match.has_distributions,
                )
            )
        return targets
