"""The resources that a job requests of a cluster: CPUs, a share of a GPU, memory, by what earlier jobs needed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from search_space.errors import ConfigError

MIN_SEEN = 3
"""Minimum number of measured jobs for a prediction."""
MARGIN = 1.1
"""Safety factor of predictions."""
SMALLEST_REQUEST = 2**28
"""Requests of main memory are this times a power of two, because workers are reused for equal requests only."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The memory of one job."""

    predicted_bytes: int
    """Predicted peak activation memory of one image."""
    peak_bytes: int
    """The measured peak."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """The resources of a cluster that jobs may use."""

    cpus: float
    """CPUs of each job."""
    gpus: float
    """Least share of a GPU for each job; 0: no GPU."""
    node_cpus: float
    """CPUs of the largest machine, which a job gets that runs alone."""
    node_memory_bytes: int
    """Main memory that can be requested on that machine."""
    num_workers: int
    """Number of jobs that run at the same time."""

    def bundle(self, needed_bytes: int | None, gpu_bytes: int | None) -> dict[str, float]:
        """Returns the resources of a job by Ray's names.

        Args:
            needed_bytes: Predicted memory of the job; None: unknown.
            gpu_bytes: Memory of a GPU; None: unknown.
        """
        bundle: dict[str, float] = {"CPU": self.cpus}
        if self.gpus > 0:
            known = needed_bytes is not None and gpu_bytes is not None
            bundle["GPU"] = gpu_share(needed_bytes, gpu_bytes, least=self.gpus) if known else self.gpus  # type: ignore[arg-type]
        elif needed_bytes is not None and needed_bytes * self.num_workers > self.node_memory_bytes:
            bundle["memory"] = memory_request(needed_bytes, self.node_memory_bytes)
        return bundle

    def whole(self) -> dict[str, float]:
        """Returns the resources of a job that runs alone: all CPUs of a machine and whole GPUs."""
        bundle = {"CPU": self.node_cpus}
        return bundle | {"GPU": math.ceil(self.gpus)} if self.gpus > 0 else bundle


def predict_bytes(memory_bytes: int | None, seen: Sequence[Measured]) -> int | None:
    """Predicts the peak memory of a job from its predicted activations of one image; None before `MIN_SEEN` jobs.

    A training needs a constant part and one proportional to its activations. So a line is fitted through the measured
    jobs, raised until none of them lies above it, and multiplied by `MARGIN`.
    """
    if memory_bytes is None or len(seen) < MIN_SEEN:
        return None
    x = np.array([each.predicted_bytes for each in seen], dtype=float)
    y = np.array([each.peak_bytes for each in seen], dtype=float)
    spread = float(((x - x.mean()) ** 2).sum())
    slope = max(0.0, float(((x - x.mean()) * (y - y.mean())).sum()) / spread) if spread > 0 else 0.0
    offset = float((y - slope * x).max())
    return math.ceil(MARGIN * max(offset + slope * memory_bytes, float(y.min())))


def gpu_share(needed_bytes: int, gpu_bytes: int, *, least: float) -> float:
    """Returns the share of a GPU for a job: `least` or more, as 1/n, so that few different shares occur.

    A job with several GPUs keeps them.
    """
    if least > 1:
        return least
    wanted = max(least, needed_bytes / gpu_bytes)
    return 1.0 if wanted >= 1 else 1.0 / math.floor(1.0 / wanted + 1e-9)


def memory_request(needed_bytes: int, node_bytes: int) -> int:
    """Returns the main memory to request: `SMALLEST_REQUEST` times a power of two, at most what a machine has."""
    doublings = max(0, math.ceil(math.log2(max(1, needed_bytes) / SMALLEST_REQUEST)))
    return min(SMALLEST_REQUEST << doublings, node_bytes)


def jobs_on(node: Mapping[str, float], cpus: float, gpus: float) -> int:
    """Returns how many jobs a machine has room for."""
    by_cpu = math.inf if cpus == 0 else node.get("CPU", 0) / cpus
    if gpus == 0:
        return int(by_cpu)
    num_gpus = node.get("GPU", 0)
    return int(min(by_cpu, num_gpus // gpus if gpus >= 1 else num_gpus * math.floor(1 / gpus + 1e-9)))


def room_in(nodes: Sequence[Mapping[str, float]], cpus: float, gpus: float) -> int:
    """Returns how many jobs machines have room for, given the resources of each."""
    return sum(jobs_on(node, cpus, gpus) for node in nodes)


def place_in(nodes: Sequence[Mapping[str, float]], num_workers: int | None, cpus: float, gpus: float | None) -> Place:
    """Returns what jobs may use of a cluster, given the resources of each machine.

    Raises:
        ConfigError: There is no room for so many jobs, or for any.
    """
    if gpus is None:
        gpus = 1.0 if any(node.get("GPU", 0) for node in nodes) else 0.0
    room = room_in(nodes, cpus, gpus)
    if room < (num_workers or 1):
        raise ConfigError(
            f"the cluster has room for {room} jobs of {cpus:g} CPUs and {gpus:g} GPUs each, {num_workers or 1} are "
            "wanted; next: fewer workers, or less for each"
        )
    largest = max(nodes, key=lambda node: (node.get("GPU", 0), node.get("CPU", 0)))
    return Place(
        cpus=cpus,
        gpus=gpus,
        node_cpus=largest.get("CPU", cpus),
        node_memory_bytes=int(largest.get("memory", 0)),
        num_workers=num_workers or room,
    )
