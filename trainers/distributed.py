"""Data-parallel training in several processes that torchrun started."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from search_space.errors import ConfigError

TIMEOUT = timedelta(hours=6)
"""How long processes wait for the first one while it evaluates. A process that dies is detected at once."""


@dataclass(frozen=True, kw_only=True)
class World:
    """The process group of a training; a single process by default."""

    rank: int = 0
    size: int = 1
    device: torch.device = torch.device("cpu")
    """Device of this process."""

    @classmethod
    def current(cls, device: torch.device) -> World:
        """Returns the world of the process group, if there is one."""
        if not dist.is_available() or not dist.is_initialized():
            return cls(device=device)
        return cls(rank=dist.get_rank(), size=dist.get_world_size(), device=device)

    @property
    def is_first(self) -> bool:
        """True in the process that evaluates, writes and prints."""
        return self.rank == 0

    def wrap(self, module: nn.Module) -> nn.Module:
        """Returns a module whose gradients are averaged over the processes; the module itself if there is only one.

        Args:
            module: its forward returns the loss, which must depend on every weight.
        """
        if self.size == 1:
            return module
        return DistributedDataParallel(module, gradient_as_bucket_view=True)

    def gathering(self, module: nn.Module, *, last: bool) -> AbstractContextManager[None]:
        """Returns the context of a forward and backward pass: only the `last` part of a step exchanges gradients."""
        if isinstance(module, DistributedDataParallel) and not last:
            context: AbstractContextManager[None] = module.no_sync()
            return context
        return nullcontext()

    def mean(self, values: Tensor) -> Tensor:
        """Returns the mean of `values` `(N,)` over the processes."""
        if self.size > 1:
            dist.all_reduce(values)
            values /= self.size
        return values

    def largest(self, value: int) -> int:
        """Returns the largest `value` of all processes."""
        if self.size == 1:
            return value
        shared = torch.tensor([value], device=self.device)
        dist.all_reduce(shared, dist.ReduceOp.MAX)
        return int(shared.item())


@contextmanager
def join_processes(device: str = "auto") -> Iterator[int]:
    """Joins the process group if torchrun started this process; yields its rank, 0 without torchrun.

    The backend is NCCL with CUDA, one device per process, and gloo otherwise.

    Raises:
        ConfigError: there are more processes than CUDA devices.
    """
    if "LOCAL_RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        yield 0
        return
    uses_cuda = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    if uses_cuda:
        _take_cuda_device(int(os.environ["LOCAL_RANK"]), device)
    dist.init_process_group("nccl" if uses_cuda else "gloo", timeout=TIMEOUT)
    try:
        yield dist.get_rank()
    finally:
        # Gloo threads need the GIL to release the last tensors, but torch joins them while holding the GIL.
        time.sleep(0.1)
        dist.destroy_process_group()


def _take_cuda_device(index: int, asked: str) -> None:
    if ":" in asked:
        raise ConfigError(f"device is {asked}; with torchrun each process uses its own device; give cuda")
    if index >= torch.cuda.device_count():
        raise ConfigError(
            f"there are {torch.cuda.device_count()} CUDA devices for process {index + 1} of this machine; lower "
            "torchrun's --nproc-per-node or give device cpu"
        )
    torch.cuda.set_device(index)
