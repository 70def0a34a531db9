"""An interpreter of pickles that imports nothing and calls nothing of what they name.

A pickle is a program for a stack machine, with operations that look up a name, call it, and set the state of an object.
Here a name is a pair of texts. A few pairs, compared as a whole, stand for functions of the reader, which build plain
containers and descriptions of tensors. Any other call gives an `InertObject`, which stores what it is given. The
operations are decoded by `pickletools` of the standard library, which only reads them; `pickle_operations` runs them.

Work and memory are bounded by the number of operations, each of which creates one small object.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pickletools import genops
from typing import IO, Any

from trainers.importing.inert_objects import InertName
from trainers.importing.pickle_operations import OPERATIONS, PickleMachine
from trainers.importing.untrusted import UnreadableFileError, damaged

MAX_PICKLE_BYTES = 64_000_000


class PickleSource:
    """A file that gives at most `MAX_PICKLE_BYTES` bytes to the pickles in it."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.left_bytes = file, MAX_PICKLE_BYTES

    def read(self, size: int) -> bytes:
        """Returns `size` bytes, fewer at the end of the file; raises UnreadableFileError beyond the limit."""
        self._spend(size)
        return self.file.read(size)

    def readline(self) -> bytes:
        """Returns a line; raises UnreadableFileError beyond the limit."""
        line = self.file.readline(self.left_bytes + 1)
        self._spend(len(line))
        return line

    def _spend(self, size: int) -> None:
        self.left_bytes -= size
        if self.left_bytes < 0:
            raise damaged(f"its pickled part has more than {MAX_PICKLE_BYTES:,} bytes, or is cut off")


class InertUnpickler:
    """Reads pickles from a file, one after another; the limits hold for all of them together.

    Args:
        source: The file.
        known: Functions for calls of names that are not inert. They get the arguments, and create no more than the
            arguments hold.
        persistent: Gives the object for a persistent identifier.
    """

    def __init__(
        self,
        source: PickleSource,
        known: Mapping[InertName, Callable[[tuple[Any, ...]], object]],
        persistent: Callable[[object], object],
    ) -> None:
        self.source, self.machine = source, PickleMachine(known, persistent)

    def load(self) -> object:
        """Returns the object of the next pickle: plain containers and values, `InertObject`s, and what `known` makes.

        Raises:
            UnreadableFileError: The pickle is damaged, is beyond the limits, or has an operation that is refused.
        """
        self.machine.restart()
        try:
            for operation, argument, _ in genops(self.source):  # type: ignore[arg-type]
                self.machine.spend(1)
                if operation.name == "STOP":
                    return self.machine.stack.pop()
                OPERATIONS[operation.name](self.machine, argument)
        except UnreadableFileError:
            raise
        except KeyError as error:
            raise damaged(f"its pickle has the operation or reference {error}, which is not allowed") from None
        except (ValueError, IndexError, TypeError, AttributeError, OverflowError) as error:
            raise damaged(f"its pickle cannot be read ({' '.join(str(error).split())[:80]})") from None
        raise damaged("its pickle has no end")
