"""What may come of a case: a result, or one line that a user can act on; in time, and without all memory."""

from __future__ import annotations

import resource
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from search_space.errors import UserError

SECONDS = 5.0
"""More than this for one case is a failure."""
MEMORY_BYTES = 1_000_000_000
"""That a case may take beyond what the process holds before the first."""
LONGEST = 100_000
"""Characters of an error; the command shows the beginning and end of one that is longer than a page."""


class TooSlow(BaseException):
    """A case took longer than `SECONDS`; no `except Exception` catches it."""


@dataclass(kw_only=True)
class Tally:
    """What became of the cases of one parser."""

    parser: str
    cases: int = 0
    read: int = 0
    """Cases with a proper result."""
    refused: int = 0
    """Cases that ended in one line."""
    failures: list[str] = field(default_factory=list)
    weak: dict[str, str] = field(default_factory=dict)
    """Messages that say no next step, one of each kind."""
    slowest_s: float = 0.0
    seconds: float = 0.0

    def row(self) -> str:
        """Returns a line of the table."""
        cells = (f"{self.cases:,}", f"{self.read:,}", f"{self.refused:,}", str(len(self.failures)))
        return f"| {self.parser:<20} | " + " | ".join(f"{cell:>8}" for cell in cells) + f" | {self.slowest_s:>9.2f} |"


HEAD = (
    f"| {'parser':<20} | "
    + " | ".join(f"{name:>8}" for name in ("cases", "read", "refused", "failures"))
    + " | slowest s |\n"
    f"|{'-' * 22}|{(9 * '-' + ':|') * 4}{10 * '-'}:|"
)


def judge(tally: Tally, name: str, act: Callable[[], object]) -> None:
    """Runs one case and counts what became of it."""
    import time

    began = time.perf_counter()
    tally.cases += 1
    try:
        with _in_time():
            act()
        tally.read += 1
    except UserError as error:
        tally.refused += 1
        _judge_message(tally, name, str(error))
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        last = traceback.extract_tb(error.__traceback__)[-3:]
        where = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(last))
        tally.failures.append(f"{name}: {type(error).__name__}: {' '.join(str(error).split())[:160]} at {where}")
    tally.slowest_s = max(tally.slowest_s, time.perf_counter() - began)


def _judge_message(tally: Tally, name: str, message: str) -> None:
    if not message.strip() or "\n" in message or len(message) > LONGEST:
        tally.failures.append(f"{name}: an error of {len(message)} characters or several lines: {message[:160]!r}")
    elif ";" not in message:
        masked = "".join(char for char in message if char.isalpha() or char == " ")[-60:]
        tally.weak.setdefault(masked, f"{name}: {message[:200]}")


@contextmanager
def _in_time() -> Iterator[None]:
    def stop(_: int, __: FrameType | None) -> None:
        raise TooSlow(f"longer than {SECONDS:g} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def limit_memory() -> None:
    """Lets this process take `MEMORY_BYTES` more than it has; an allocation beyond is a MemoryError."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
