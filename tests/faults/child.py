"""The command `nas` in a child process that is forked from one with everything imported, so that it starts at once."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from nas.cli import main

PATIENCE_SECONDS = 120.0


@dataclass(kw_only=True)
class Child:
    """One `nas` under way."""

    pid: int
    log: Path
    """All that it prints."""
    code: int | None = None
    """The exit code, negative for a signal, once it has ended."""

    @property
    def text(self) -> str:
        """What it has printed so far."""
        return self.log.read_text(errors="replace")

    def wait(self, seconds: float = PATIENCE_SECONDS) -> int:
        """Returns the exit code, negative for a signal; a child that does not end is killed."""
        deadline = time.monotonic() + seconds
        while self.code is None and time.monotonic() < deadline:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
            else:
                time.sleep(0.01)
        if self.code is not None:
            return self.code
        self.end()
        raise TimeoutError(f"it did not end in {seconds:g} s; it said: {self.text[-500:]}")

    def end(self) -> None:
        """Kills it, if it has not ended."""
        if self.code is None:
            self.send(signal.SIGKILL)
            self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def send(self, number: int) -> None:
        """Sends a signal; a child that has ended already does not mind."""
        if self.code is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def await_text(self, wanted: str, seconds: float = PATIENCE_SECONDS) -> None:
        """Waits until it has printed something."""
        deadline = time.monotonic() + seconds
        while wanted not in self.text:
            if time.monotonic() > deadline:
                self.end()
                raise TimeoutError(f"it never said {wanted!r}: {self.text[-500:]}")
            time.sleep(0.01)


def nas(log: Path, *words: object, spoil: Callable[[], None] | None = None) -> Child:
    """Starts `nas WORDS`; `spoil` is called in the child first, to put a fault into it."""
    log.parent.mkdir(parents=True, exist_ok=True)
    log.touch()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        _become(log, [str(word) for word in words], spoil)
    return Child(pid=pid, log=log)


def _become(log: Path, words: list[str], spoil: Callable[[], None] | None) -> None:
    code = 1
    try:
        target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for number in (1, 2):
            os.dup2(target, number)
        sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, closefd=False) for number in (1, 2))
        signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the bench runs in the background
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if spoil is not None:
            spoil()
        main(words)
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
