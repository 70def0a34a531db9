"""Defer Ctrl-C and SIGTERM to the end of a step, so that the state of an interrupted training can be saved."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Defers signals during a step and passes them to the previous handler afterwards.

    A second signal within a step is passed on at once. Only signals with a Python handler are deferred, and only in the
    main thread, in which Python runs handlers.
    """

    def __init__(self) -> None:
        self.pending: int | None = None
        """The deferred signal."""
        self._holding = False
        self._handlers: dict[int, Callable[[int, FrameType | None], Any]] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                handler = signal.getsignal(number)
                if callable(handler):
                    self._handlers[number] = handler
                    signal.signal(number, self._receive)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self._holding and self.pending is None:
            self.pending = number
        else:
            self._handlers[number](number, frame)

    @contextmanager
    def held(self, *, deliver: bool = True) -> Iterator[None]:
        """Defers signals until the end of the block; with `deliver` False, a received signal stays in `pending`."""
        self._holding = True
        yield
        self._holding = not deliver
        if deliver and self.pending is not None:
            number, self.pending = self.pending, None
            self._handlers[number](number, None)
