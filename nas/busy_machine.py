"""How many cores other programs leave: threads that wait for each other on a busy machine cost more than they give."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path

STAT = Path("/proc/stat")
SECONDS = 0.3
"""For which the use of the cores is measured."""
IDLE = (3, 4)
"""The columns of `STAT` in which a core waits."""


def busy_share() -> float:
    """Returns the share of the time in which the cores of the machine compute, measured now; 0 where it is unknown."""
    before = _ticks()
    time.sleep(SECONDS if before else 0.0)
    spent = [after - earlier for after, earlier in zip(_ticks(), before, strict=False)]
    total = sum(spent)
    return 1 - sum(spent[column] for column in IDLE) / total if total > 0 else 0.0


def threads_left(share: float) -> int | None:
    """Returns the threads for the cores that other programs leave free; None where they use less than half of one.

    Args:
        share: As `busy_share` returns it.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    used = share * cores
    return None if used < 0.5 else max(1, math.floor(cores - used))


def threads_notice(share: float, threads: int) -> str:
    """Returns a line on why trials train in so many threads."""
    return (
        f"other programs use {100 * share:.0f} % of the cores: trials train in {threads} thread{'s' * (threads > 1)}; "
        "next: --threads N for another number"
    )


def _ticks() -> list[int]:
    """Returns the clock ticks of all cores since the start of the machine, by what they did."""
    try:
        name, *numbers = STAT.read_text().split("\n", 1)[0].split()
        return [int(each) for each in numbers[:8]] if name == "cpu" else []
    except (OSError, ValueError):
        return []
