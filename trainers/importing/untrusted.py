"""What all readers of foreign files share: the error, the limits, and the conversion of tensors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

MAX_FILE_BYTES = 4_000_000_000
MAX_NAME_CHARS = 300
MAX_TENSORS = 100_000
GROWTH = 8
"""Bytes of tensors for each byte of the file: 2 for half precision, and some tensors may share their values."""
SMALL_BYTES = 64_000_000
"""Bytes of tensors that a file may always give, however small it is."""


class UnreadableFileError(ValueError):
    """A foreign file that cannot be read. The message continues its path: what it is, and the next step."""


def damaged(reason: str) -> UnreadableFileError:
    """Returns the error for a file that breaks the rules of its format."""
    return UnreadableFileError(f"is a damaged checkpoint: {reason}; next: download or copy it again")


def check_key(key: object, known: Iterable[str] = ()) -> str:
    """Returns the name of a tensor.

    Raises:
        UnreadableFileError: It is no printable text of at most 300 characters, or it is among the known names.
    """
    if not isinstance(key, str) or not key.isprintable() or not 0 < len(key) <= MAX_NAME_CHARS:
        raise damaged("the name of a tensor is no short, printable text")
    if key in known:
        raise damaged(f"two tensors have the name {key[:60]!r}")
    return key


@dataclass(kw_only=True)
class TensorBudget:
    """The number and bytes of tensors that a file may still give."""

    left_bytes: int
    left_tensors: int = MAX_TENSORS

    @classmethod
    def of_file(cls, file_bytes: int) -> TensorBudget:
        """Returns the budget of a file of this size in bytes."""
        return cls(left_bytes=max(SMALL_BYTES, GROWTH * file_bytes))

    def spend(self, elements: int, dtype: torch.dtype) -> None:
        """Takes one tensor from the budget.

        Raises:
            UnreadableFileError: The budget is exceeded.
        """
        self.left_tensors -= 1
        self.left_bytes -= elements * kept_dtype(dtype).itemsize
        if self.left_tensors < 0 or self.left_bytes < 0:
            raise damaged("its tensors are more than a file of this size can hold")


def kept_dtype(dtype: torch.dtype) -> torch.dtype:
    """Returns the type that a tensor is converted to: float32 for every precision, int64 for whole numbers."""
    return torch.float32 if dtype.is_floating_point else torch.int64


def tensor_of(content: bytes | memoryview, dtype: torch.dtype) -> Tensor:
    """Returns little-endian values as a tensor `(N,)` of this type that owns its memory."""
    return torch.frombuffer(bytearray(content), dtype=dtype) if len(content) else torch.empty(0, dtype=dtype)
