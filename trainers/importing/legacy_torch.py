"""The format of `torch.save` before PyTorch 1.6: five pickles, then the storages.

The pickles are a magic number, the version of the format, facts of the system, the object, and the keys of the
storages. Each storage is its count of elements (int64) and the values.
"""

from __future__ import annotations

import os
import struct
from typing import IO

from trainers.importing.inert_objects import InertName
from trainers.importing.inert_pickle import InertUnpickler, PickleSource
from trainers.importing.stored_tensors import KNOWN, Storage, storage_of
from trainers.importing.untrusted import UnreadableFileError, damaged

MAGIC = 0x1950A86A20F9469CFC6C
VERSION = 1001
COUNT_BYTES = 8


class LegacyTorchFile:
    """An open file of the legacy format.

    Args:
        file: The file at its beginning, which stays open as long as this object is used.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.seen: dict[str, Storage] = {}
        self.places: dict[str, int] = {}

    def load(self) -> object:
        """Returns the object of the file; its tensors are `StoredTensor`s.

        Raises:
            UnreadableFileError: It is a pickle of another program, or is damaged, cut off or beyond the limits.
        """
        pickles = InertUnpickler(PickleSource(self.file), KNOWN, self._storage)
        if pickles.load() != MAGIC:
            raise UnreadableFileError(
                "is a pickle, but none of PyTorch; next: give a file written by torch.save, safetensors or ONNX"
            )
        if pickles.load() != VERSION:
            raise damaged("its version is unknown")
        system = pickles.load()
        if not isinstance(system, dict) or system.get("little_endian") is not True:
            raise UnreadableFileError("has big-endian values; next: save it again on a little-endian machine")
        content = pickles.load()
        self._find_storages(pickles.load())
        return content

    def _storage(self, identifier: object) -> Storage | InertName:
        return storage_of(identifier, self.seen)

    def _find_storages(self, keys: object) -> None:
        """Finds where the values of each storage are."""
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise damaged("the keys of its storages are no texts")
        if len(set(keys)) != len(keys) or set(keys) != self.seen.keys():
            raise damaged("the keys of its storages are not those of its tensors")
        place = self.file.tell()
        end = self.file.seek(0, os.SEEK_END)
        for key in keys:
            self.file.seek(place)
            counted = self.file.read(COUNT_BYTES)
            if len(counted) < COUNT_BYTES:
                raise damaged("it is cut off")
            if struct.unpack("<q", counted)[0] != self.seen[key].count:
                raise damaged("a tensor has another size than its description")
            self.places[key] = place + COUNT_BYTES
            place += COUNT_BYTES + self.seen[key].size_bytes
            if place > end:
                raise damaged("it is cut off")

    def read_storage(self, storage: Storage) -> bytes:
        """Returns the values of a storage."""
        self.file.seek(self.places[storage.key])
        return self.file.read(storage.size_bytes)
