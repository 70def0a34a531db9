"""The zip archives that `torch.save` writes: their table of contents, the pickle and the storages.

An archive `NAME.zip` has the members `NAME/data.pkl`, one `NAME/data/KEY` a storage, and small ones that differ by
release. PyTorch stores them uncompressed, so that no member is larger than the file.
"""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import IO

from trainers.importing.inert_objects import InertName
from trainers.importing.inert_pickle import MAX_PICKLE_BYTES, InertUnpickler, PickleSource
from trainers.importing.stored_tensors import KNOWN, Storage, storage_of
from trainers.importing.untrusted import UnreadableFileError, damaged

MAX_TABLE_BYTES = 8_000_000
"""Of the table of contents; 100,000 tensors have about as much."""
PICKLE_NAME = "data.pkl"


class _BoundedTable(io.RawIOBase):
    """A file that refuses large reads, as long as `zipfile` reads its table of contents."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.limit = file, MAX_TABLE_BYTES

    def read(self, size: int = -1) -> bytes:
        content = self.file.read(self.limit + 1 if size < 0 else min(size, self.limit + 1))
        if len(content) > self.limit:
            raise damaged("its table of contents is too large")
        return content

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        return self.file.tell()

    def seekable(self) -> bool:
        return True


class TorchArchive:
    """An open archive. Nothing is unpacked to a disk.

    Args:
        file: The file, which stays open as long as this object is used.

    Raises:
        UnreadableFileError: It is no archive of PyTorch, or is cut off, compressed, TorchScript or beyond the limits.
    """

    def __init__(self, file: IO[bytes]) -> None:
        size = file.seek(0, os.SEEK_END)
        table = _BoundedTable(file)
        try:
            self.archive = zipfile.ZipFile(table)
        except UnreadableFileError:
            raise
        except Exception:  # damaged tables of contents make `zipfile` raise almost any exception
            raise UnreadableFileError("is a zip archive that is cut off or damaged; next: download it again") from None
        table.limit = size
        members = self.archive.infolist()
        self.members = {each.filename: each for each in members}
        self.root = _root(self.members)
        _check(members, size)
        if self.members[f"{self.root}/{PICKLE_NAME}"].file_size > MAX_PICKLE_BYTES:
            raise damaged(f"its pickled part has more than {MAX_PICKLE_BYTES:,} bytes")
        self.seen: dict[str, Storage] = {}

    def verify(self) -> None:
        """Raises UnreadableFileError where the checksum of a member is wrong."""
        try:
            wrong = self.archive.testzip()
        except Exception:  # as above
            wrong = "the first"
        if wrong is not None:
            raise damaged(f"the checksum of its member {wrong[-40:]!r} is wrong")

    def load(self) -> object:
        """Returns the object of the archive; its tensors are `StoredTensor`s.

        Raises:
            UnreadableFileError: The pickle is damaged or beyond the limits, or a storage has another size than it says.
        """
        if self._read_small("byteorder") not in (b"", b"little"):
            raise UnreadableFileError("has big-endian values; next: save it again on a little-endian machine")
        source = PickleSource(io.BytesIO(self._read(PICKLE_NAME)))
        return InertUnpickler(source, KNOWN, self._storage).load()

    def _storage(self, identifier: object) -> Storage | InertName:
        found = storage_of(identifier, self.seen)
        if isinstance(found, Storage):
            member = self.members.get(f"{self.root}/data/{found.key}")
            if member is None or member.file_size != found.size_bytes:
                raise damaged("the values of a tensor are missing or have another size")
        return found

    def read_storage(self, storage: Storage) -> bytes:
        """Returns the values of a storage; raises UnreadableFileError where the checksum is wrong."""
        return self._read(f"data/{storage.key}")

    def _read_small(self, name: str) -> bytes:
        member = self.members.get(f"{self.root}/{name}")
        return self._read(name) if member is not None and member.file_size < 100 else b""

    def _read(self, name: str) -> bytes:
        try:
            return self.archive.read(self.members[f"{self.root}/{name}"])
        except Exception:  # as above
            raise damaged(f"its member {name[:40]!r} cannot be read") from None


def _root(names: Iterable[str]) -> str:
    """Returns the folder of the archive that has the pickle."""
    roots = [name.removesuffix(f"/{PICKLE_NAME}") for name in names if name.endswith(f"/{PICKLE_NAME}")]
    roots = [root for root in roots if "/" not in root]
    if len(roots) != 1:
        raise UnreadableFileError("is a zip archive, but none of PyTorch; next: unpack it, and give the file inside")
    if any(name == f"{roots[0]}/constants.pkl" or name.startswith(f"{roots[0]}/code/") for name in names):
        raise UnreadableFileError(
            "is a TorchScript program, which is not read; next: save the state_dict() of its model, or export to ONNX"
        )
    return roots[0]


def _check(members: list[zipfile.ZipInfo], size_bytes: int) -> None:
    names = {each.filename for each in members}
    if len(names) != len(members):
        raise damaged("two members of the archive have one name")
    if any(name.startswith("/") or ".." in PurePosixPath(name).parts for name in names):
        raise damaged("a member of the archive is outside its folder")
    if any(each.compress_type != zipfile.ZIP_STORED or each.flag_bits & 1 for each in members):
        raise UnreadableFileError(
            "is a compressed or encrypted zip archive, not a checkpoint; next: unpack it, and give the file inside"
        )
    if any(each.file_size != each.compress_size for each in members):
        raise damaged("a member of the archive has two sizes")
    if sum(each.file_size for each in members) > size_bytes:
        raise damaged("the members of the archive are larger than the file")
