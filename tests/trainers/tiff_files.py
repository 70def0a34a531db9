"""Writes uncompressed TIFF files with tags that image libraries do not write."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, OFFSETS, SAMPLES = 256, 257, 258, 259, 262, 273, 277
ROWS, COUNTS, PLANAR, EXTRA, FORMAT = 278, 279, 284, 338, 339
SUBFILE = 254
_FORMATS = {"u": 1, "i": 2, "f": 3}


def write_tiff(path: Path, pages: Sequence[np.ndarray], tags: Sequence[Mapping[int, int]] = ()) -> Path:
    """Writes pages `(H, W)` or `(H, W, C)` of one file.

    Args:
        tags: of each page, more short values by tag, such as `{EXTRA: 2}`; a value for each extra channel is repeated.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    content, link = bytearray(b"II*\0\0\0\0\0"), 4
    for number, page in enumerate(pages):
        more = tags[number] if number < len(tags) else {}
        struct.pack_into("<I", content, link, len(content) + page.nbytes)
        entries, start = _entries(page, more), len(content)
        content += np.ascontiguousarray(page, page.dtype.newbyteorder("<")).tobytes()
        entries[OFFSETS] = (4, (start,))
        values = bytearray()
        after = len(content) + 2 + 12 * len(entries) + 4
        table = struct.pack("<H", len(entries))
        for tag in sorted(entries):
            kind, numbers = entries[tag]
            data = struct.pack(f"<{len(numbers)}{'H' if kind == 3 else 'I'}", *numbers)
            if len(data) > 4:
                values += data
                data = struct.pack("<I", after + len(values) - len(data))
            table += struct.pack("<HHI", tag, kind, len(numbers)) + data.ljust(4, b"\0")
        content += table
        link = len(content)
        content += b"\0\0\0\0" + values
    path.write_bytes(bytes(content))
    return path


def _entries(page: np.ndarray, more: Mapping[int, int]) -> dict[int, tuple[int, tuple[int, ...]]]:
    """Returns type and values by tag, without the place of the pixels."""
    channels = 1 if page.ndim == 2 else page.shape[2]
    colors = 3 if more.get(PHOTOMETRIC, 2 if channels >= 3 else 1) == 2 else 1
    entries = {
        WIDTH: (4, (page.shape[1],)),
        HEIGHT: (4, (page.shape[0],)),
        BITS: (3, (8 * page.itemsize,) * channels),
        COMPRESSION: (3, (1,)),
        PHOTOMETRIC: (3, (2 if channels >= 3 else 1,)),
        SAMPLES: (3, (channels,)),
        ROWS: (4, (page.shape[0],)),
        COUNTS: (4, (page.nbytes,)),
        PLANAR: (3, (1,)),
        FORMAT: (3, (_FORMATS[page.dtype.kind],) * channels),
    }
    for tag, value in more.items():
        entries[tag] = (3, (value,) * (channels - colors if tag == EXTRA else 1))
    return entries
