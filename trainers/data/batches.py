"""The stream of training batches: order, augmentation and prefetching."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from search_space.errors import DataError
from search_space.tile_grid import TileGrid
from trainers.assigners import Objects
from trainers.data.augment import Sample, augment, read_sample
from trainers.data.augmentation import Augmentation
from trainers.data.dataset import Dataset
from trainers.settings import SettingError

logger = logging.getLogger(__name__)

MAX_BROKEN = 0.1
"""Share of the images that may be unreadable; up to two are always tolerated."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The images of a step, or of a part of it, with their objects."""

    images: Tensor
    """`(B, 3, H, W)` uint8 RGB, channels last in memory."""
    objects: Objects
    ignored: Objects

    def to(self, device: torch.device) -> Batch:
        """Returns the batch on `device`."""
        if device.type == "cpu":
            return self
        tables = [
            Objects(boxes=table.boxes.to(device), labels=table.labels.to(device), images=table.images.to(device))
            for table in (self.objects, self.ignored)
        ]
        return Batch(images=self.images.to(device, non_blocking=True), objects=tables[0], ignored=tables[1])


@dataclass(kw_only=True)
class BrokenImages:
    """Unreadable images, which were replaced by other images."""

    num_images: int
    """Number of images in the data set."""
    errors: dict[int, str] = field(default_factory=dict)
    """Error message by index in the data set."""

    def __len__(self) -> int:
        return len(self.errors)

    def add(self, index: int, error: DataError) -> None:
        """Records an unreadable image; raises DataError if there are too many."""
        if index not in self.errors:
            logger.warning("%s (not used for training; another image replaces it)", error)
        self.errors[index] = str(error)
        if len(self) > MAX_BROKEN * self.num_images and len(self) >= min(3, self.num_images):
            raise DataError(
                f"{len(self)} of {self.num_images} training images cannot be read, allowed are {MAX_BROKEN:.0%}; "
                f"check the data set; last error: {error}"
            )


@dataclass(frozen=True, kw_only=True)
class BatchStream:
    """Batches as a function of (seed, step), whatever the number of threads and the first step.

    The images of a step can be divided among `num_ranks` processes, and the share of each process into `accumulate`
    parts. This changes neither the images of a step nor their augmentation.

    Raises:
        ConfigError: the batch cannot be divided evenly.
    """

    dataset: Dataset
    input_hw: tuple[int, int]
    fit: str
    """How images are scaled to the input: `letterbox` or `stretch`."""
    batch_size: int
    """Images per step, over all processes and parts."""
    num_steps: int
    seed: int
    strength: Augmentation = field(default_factory=Augmentation)
    tiles: TileGrid = TileGrid()
    """Of the detector; see `augment`."""
    accumulate: int = 1
    rank: int = 0
    num_ranks: int = 1
    broken: BrokenImages = field(init=False)

    def __post_init__(self) -> None:
        shares = self.accumulate * self.num_ranks
        if self.batch_size % shares:
            raise SettingError(
                f"batch_size is {self.batch_size}; it must be a multiple of accumulate x processes = "
                f"{self.accumulate} x {self.num_ranks} = {shares}",
                "batch_size",
            )
        object.__setattr__(self, "broken", BrokenImages(num_images=len(self.dataset)))

    def epoch(self, step: int) -> float:
        """Returns the number of passes over the data set after `step` steps."""
        return step * self.batch_size / len(self.dataset)

    def is_due(self, step: int, every_epochs: float) -> bool:
        """Returns whether step `step` (1-based) is the last one or completes another `every_epochs` epochs."""
        if step == self.num_steps:
            return True
        return every_epochs > 0 and self.epoch(step) // every_epochs > self.epoch(step - 1) // every_epochs

    def batch(self, step: int) -> Batch:
        """Returns all images of a step (0-based)."""
        return collate([self._sample(step, slot) for slot in range(self.batch_size)])

    def parts(self, step: int) -> list[Batch]:
        """Returns this process's share of a step (0-based), split into `accumulate` batches of equal size."""
        size = self.batch_size // (self.accumulate * self.num_ranks)
        first = self.rank * self.accumulate
        return [
            collate([self._sample(step, slot) for slot in range(part * size, (part + 1) * size)])
            for part in range(first, first + self.accumulate)
        ]

    def _sample(self, step: int, slot: int) -> Sample:
        rng = np.random.default_rng([self.seed, 1, step, slot])
        size = len(self.dataset)
        epoch, place = divmod(step * self.batch_size + slot, size)
        queue = [int(_order(self.seed, epoch, size)[place])]
        return augment(
            lambda: self._draw(queue, rng),
            rng,
            input_hw=self.input_hw,
            fit=self.fit,
            strength=self.strength,
            tiles=self.tiles,
            mosaic_allowed=step < self.strength.mosaic_until * self.num_steps
            and (self.num_steps - step) * self.batch_size > self.strength.close_mosaic * size,
        )

    def _draw(self, queue: list[int], rng: np.random.Generator) -> Sample:
        """Reads the image in the queue if there is one, otherwise random images until one can be read."""
        while True:
            index = queue.pop() if queue else int(rng.integers(len(self.dataset)))
            try:
                return read_sample(self.dataset, index)
            except DataError as error:
                self.broken.add(index, error)

    def read(self, first_step: int = 0, *, num_threads: int = 1, depth: int = 3) -> Generator[list[Batch], None, None]:
        """Yields the parts of each step from `first_step` on, prefetched by background threads.

        Args:
            depth: steps that are prefetched, at least one more than there are threads.
        """
        steps = iter(range(first_step, self.num_steps))
        with ThreadPoolExecutor(num_threads, thread_name_prefix="batches") as pool:
            ahead = islice(steps, max(depth, num_threads + 1))
            waiting: deque[Future[list[Batch]]] = deque(pool.submit(self.parts, step) for step in ahead)
            try:
                while waiting:
                    parts = waiting.popleft().result()
                    waiting.extend(pool.submit(self.parts, step) for step in islice(steps, 1))
                    yield parts
            finally:
                pool.shutdown(wait=True, cancel_futures=True)


@lru_cache(maxsize=8)
def _order(seed: int, epoch: int, size: int) -> np.ndarray:
    return np.random.default_rng([seed, 0, epoch]).permutation(size)


def collate(samples: list[Sample]) -> Batch:
    """Stacks samples of equal size into a batch."""
    images = torch.from_numpy(np.stack([sample.image for sample in samples])).permute(0, 3, 1, 2)
    return Batch(images=images, objects=_table(samples, ignored=False), ignored=_table(samples, ignored=True))


def _table(samples: list[Sample], *, ignored: bool) -> Objects:
    chosen = [sample.ignored == ignored for sample in samples]
    counts = [int(mask.sum()) for mask in chosen]
    boxes = np.concatenate([sample.boxes[mask] for sample, mask in zip(samples, chosen, strict=True)])
    labels = np.concatenate([sample.labels[mask] for sample, mask in zip(samples, chosen, strict=True)])
    return Objects(
        boxes=torch.from_numpy(boxes.astype(np.float32)),
        labels=torch.from_numpy(labels.astype(np.int64)),
        images=torch.from_numpy(np.repeat(np.arange(len(samples)), counts)),
    )
