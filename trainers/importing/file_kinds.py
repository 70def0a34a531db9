"""Tell from its first bytes what a foreign file is."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import IO

from trainers.importing.untrusted import MAX_FILE_BYTES, UnreadableFileError

ZIP, PICKLE, SAFETENSORS, ONNX = "zip", "pickle", "safetensors", "onnx"
HEAD_BYTES = 1024
MARKUP = (b"<!doctype", b"<html", b"<head", b"<?xml", b"<body", b"<!--")
REFUSED = {
    b"version https://git-lfs": "is a Git LFS pointer, not the file itself; next: git lfs pull",
    b"\x1f\x8b": "is compressed with gzip; next: gunzip it, and give the file inside",
    b"BZh": "is compressed with bzip2; next: bunzip2 it, and give the file inside",
    b"\xfd7zXZ": "is compressed with xz; next: unxz it, and give the file inside",
    b"7z\xbc\xaf": "is a 7-Zip archive; next: unpack it, and give the file inside",
    b"Rar!": "is a RAR archive; next: unpack it, and give the file inside",
    b"\x89HDF": "is an HDF5 file of Keras, which is not supported; next: give a PyTorch, safetensors or ONNX file",
}
"""First bytes of files that are no checkpoint, or not yet, with what the user is told."""


def kind_of(file: IO[bytes], path: Path) -> str:
    """Returns `zip`, `pickle`, `safetensors` or `onnx`; the position in the file is its beginning again.

    Raises:
        UnreadableFileError: The file is empty, too large, or something else.
    """
    size = os.fstat(file.fileno()).st_size
    if size > MAX_FILE_BYTES:
        raise UnreadableFileError(f"has {size:,} bytes; a checkpoint has at most {MAX_FILE_BYTES:,}")
    head = file.read(HEAD_BYTES)
    file.seek(0)
    if not head:
        raise UnreadableFileError("is empty; next: download or copy it again")
    for start, message in REFUSED.items():
        if head.startswith(start):
            raise UnreadableFileError(message)
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(MARKUP):
        raise UnreadableFileError("is an HTML page, not the file; next: open the link in a browser and save the file")
    if head[257:262] == b"ustar":
        raise UnreadableFileError("is a tar archive; next: unpack it, and give the file inside")
    if head.startswith(b"PK"):
        return ZIP
    if path.suffix == ".safetensors" or _is_safetensors(head, size):
        return SAFETENSORS
    if head[0] == 0x80:
        return PICKLE
    if path.suffix == ".onnx" or head[0] == 0x08:  # the field of the version, the first of a model
        return ONNX
    raise UnreadableFileError(
        "is no checkpoint of a known format; next: give a PyTorch (.pt, .pth), safetensors or ONNX file"
    )


def _is_safetensors(head: bytes, size: int) -> bool:
    return len(head) > 8 and struct.unpack("<Q", head[:8])[0] <= size - 8 and head[8:9] == b"{"
