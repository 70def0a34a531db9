"""What a command is as a process: one of torchrun's or alone, and how a signal ends it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PATIENCE_S = 10.0
"""How long a process waits for the first one to tell an error; torchrun ends it before, when that one has told it."""


def launched_rank() -> int:
    """Returns the number of this process among those of torchrun; 0 for one that was started alone."""
    return int(os.environ.get("RANK", 0)) if {"LOCAL_RANK", "WORLD_SIZE"} <= os.environ.keys() else 0


def is_running(pid: int) -> bool:
    """Whether there is a process of this number on this host."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextmanager
def reported_once() -> Iterator[None]:
    """Around what goes wrong in all processes alike, if it does: lets the first one tell it.

    An error of this process alone gets through after a while.
    """
    try:
        yield
    except Exception:
        wait_for_first_process()
        raise


def wait_for_first_process() -> None:
    """Waits in every process but the first until that one has told an error and torchrun ends this one, or a while."""
    if launched_rank() > 0:
        time.sleep(PATIENCE_S)


@contextmanager
def ended_by_sigterm() -> Iterator[Callable[[], int]]:
    """Lets SIGTERM end the block as Ctrl-C does, with KeyboardInterrupt.

    Yields:
        What returns the exit code of a command that was interrupted: 143 after SIGTERM, else 130.
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
