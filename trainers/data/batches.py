"""The endless stream of training batches: the order, the augmentation and the prefetching."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from trainers.assigners import Objects
from trainers.data.augment import Augmentation, Sample, augment, read_sample
from trainers.data.dataset import Dataset


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One step's images and what is to be found in them."""

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


@dataclass(frozen=True, kw_only=True)
class BatchStream:
    """Batches as a function of (seed, step): reading them in threads or starting in the middle changes nothing."""

    dataset: Dataset
    input_hw: tuple[int, int]
    batch_size: int
    num_steps: int
    seed: int
    strength: Augmentation = field(default_factory=Augmentation)

    def epoch(self, step: int) -> float:
        """Returns how many times the data set has been gone through after `step` steps."""
        return step * self.batch_size / len(self.dataset)

    def is_due(self, step: int, every_epochs: float) -> bool:
        """Tells whether step `step` (counted from 1) is the last one or completes another `every_epochs` epochs."""
        if step == self.num_steps:
            return True
        return every_epochs > 0 and self.epoch(step) // every_epochs > self.epoch(step - 1) // every_epochs

    def batch(self, step: int) -> Batch:
        """Returns the batch of a step (0-based)."""
        return collate([self._sample(step, slot) for slot in range(self.batch_size)])

    def _sample(self, step: int, slot: int) -> Sample:
        rng = np.random.default_rng([self.seed, 1, step, slot])
        size = len(self.dataset)
        epoch, place = divmod(step * self.batch_size + slot, size)
        queue = [int(_order(self.seed, epoch, size)[place])]
        return augment(
            lambda: read_sample(self.dataset, queue.pop() if queue else int(rng.integers(size))),
            rng,
            input_hw=self.input_hw,
            strength=self.strength,
            mosaic_allowed=step < self.strength.mosaic_until * self.num_steps,
        )

    def read(self, first_step: int = 0, *, num_threads: int = 1, depth: int = 3) -> Generator[Batch, None, None]:
        """Yields the batches from `first_step` on, up to `depth` of them prepared ahead in background threads."""
        steps = iter(range(first_step, self.num_steps))
        with ThreadPoolExecutor(num_threads, thread_name_prefix="batches") as pool:
            waiting: deque[Future[Batch]] = deque(pool.submit(self.batch, step) for step in islice(steps, depth))
            try:
                while waiting:
                    batch = waiting.popleft().result()
                    waiting.extend(pool.submit(self.batch, step) for step in islice(steps, 1))
                    yield batch
            finally:
                pool.shutdown(wait=True, cancel_futures=True)


@lru_cache(maxsize=8)
def _order(seed: int, epoch: int, size: int) -> np.ndarray:
    return np.random.default_rng([seed, 0, epoch]).permutation(size)


def collate(samples: list[Sample]) -> Batch:
    """Joins samples of equal size into a batch."""
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
