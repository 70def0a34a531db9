"""Peak memory of one evaluation, on a GPU or in this process."""

from __future__ import annotations

from pathlib import Path

import torch

STATUS = Path("/proc/self/status")
CLEAR = Path("/proc/self/clear_refs")


class PeakMemory:
    """Measures the peaks of successive evaluations on one device.

    On a GPU it is the peak of torch's allocator, weights included. On a CPU it is the growth of the resident memory
    since this object was made; what earlier evaluations left behind counts too, so it is an upper bound. The latter
    is available on Linux only.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._base = _status_bytes("VmRSS")

    def restart(self) -> None:
        """Resets the peak."""
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        elif self._base is not None:
            _forget_peak()

    def read(self) -> int | None:
        """Returns the peak since the last `restart` in bytes, or None where it cannot be measured."""
        if self._device.type == "cuda":
            return int(torch.cuda.max_memory_allocated(self._device))
        peak = _status_bytes("VmHWM")
        return None if peak is None or self._base is None else max(0, peak - self._base)

    def free(self) -> None:
        """Returns cached memory to the GPU, for other processes."""
        if self._device.type == "cuda":
            torch.cuda.empty_cache()


def gpu_bytes() -> int | None:
    """Returns the memory of the first visible GPU, or None without one."""
    return int(torch.cuda.get_device_properties(0).total_memory) if torch.cuda.is_available() else None


def _status_bytes(name: str) -> int | None:
    try:
        lines = STATUS.read_text().splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), None)


def _forget_peak() -> None:
    """Resets the peak of the resident memory; without permission it stays."""
    try:
        CLEAR.write_text("5")
    except OSError:
        pass
