"""The process of a command: its rank under torchrun, signals, and errors that all processes share."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PATIENCE_S = 10.0
"""How long the other processes wait for the first one to report an error; torchrun ends them once it has."""


def launched_rank() -> int:
    """Returns the rank of this process under torchrun; 0 without torchrun."""
    return int(os.environ.get("RANK", 0)) if {"LOCAL_RANK", "WORLD_SIZE"} <= os.environ.keys() else 0


def is_running(pid: int) -> bool:
    """Returns whether a process with this id runs on this host."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextmanager
def reported_once() -> Iterator[None]:
    """Wraps a block that fails in all processes alike, so that only the first process reports the error.

    An error of this process alone is raised after `PATIENCE_S`.
    """
    try:
        yield
    except Exception:
        wait_for_first_process()
        raise


def wait_for_first_process() -> None:
    """Waits up to `PATIENCE_S` in all processes but the first, which reports the error; torchrun then ends all."""
    if launched_rank() > 0:
        time.sleep(PATIENCE_S)


@contextmanager
def ended_by_sigterm() -> Iterator[Callable[[], int]]:
    """Turns SIGTERM into KeyboardInterrupt inside the block, like Ctrl-C.

    Yields:
        Function that returns the exit code of an interrupted command: 143 after SIGTERM, otherwise 130.
    """
    code = 128 + signal.SIGINT

    def terminate(*_: object) -> None:
        nonlocal code
        code = 128 + signal.SIGTERM
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield lambda: code
    finally:
        signal.signal(signal.SIGTERM, before)
