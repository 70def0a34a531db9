"""How an image file stores its pixels (depth, channels, pages), from its header alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import PIL.Image
import PIL.TiffImagePlugin

MAX_PAGES = 10_000
"""Pages that are counted; a file with more is damaged or a loop."""
_TIFF_STARTS = (b"II*\x00", b"MM\x00*", b"II+\x00")
_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_HEAD_BYTES = 4096
"""An animated PNG has a chunk `acTL` before its pixels."""
_EIGHT_BIT_STARTS = (b"\xff\xd8", b"BM", b"RIFF", b"GIF8")
_SEVERAL_FRAMES = frozenset({".gif", ".mpo"})
"""Suffixes of files with several images of equal rank; the second image of a `.jpg` file is a preview."""
_DEEP_MODES = ("I", "F")
"""First letter of the modes of Pillow that have more than 8 bits."""
_NUM_COLORS = {2: 3, 5: 4, 6: 3, 8: 3}
"""Channels by the photometric interpretation of a TIFF; 1 for all others, such as greyscale."""
_ALPHA = (1, 2)
_REDUCED_OR_MASK = 0b101
"""Bits of NewSubfileType: a reduced version or a transparency mask of another page, which is no page of its own."""


@dataclass(frozen=True, kw_only=True)
class PixelLayout:
    """Depth, channels and pages of an image file."""

    is_deep: bool = False
    """Whether the values have more than 8 bits, a sign or a fraction."""
    num_channels: int = 3
    """Channels without alpha; 3 for formats that cannot have more."""
    num_channels_read: int = 3
    """Channels that are read, of those; 0 if the file cannot be read for the sake of the others."""
    num_pages: int = 1

    def lost(self) -> Iterator[tuple[str, str]]:
        """Yields the kind and the description of each defect: pages and channels that are not read."""
        if self.num_pages > 1:
            yield "extra_pages", f"{self.num_pages} pages, 1 is read"
        if 0 < self.num_channels_read < self.num_channels:
            are = "is" if self.num_channels_read == 1 else "are"
            yield "extra_channels", f"{self.num_channels} channels, {self.num_channels_read} {are} read"


def pixel_layout(path: str | Path) -> PixelLayout:
    """Returns how a file stores its pixels; the default for a file that is missing or damaged."""
    try:
        with open(path, "rb") as file:
            start = file.read(26)
            if start.startswith(_EIGHT_BIT_STARTS):
                several = Path(path).suffix.lower() in _SEVERAL_FRAMES or _is_animated_webp(start)
                return PixelLayout(num_pages=_num_frames(file) if several else 1)
            if start.startswith(_PNG_START):
                is_animated = b"acTL" in file.read(_PNG_HEAD_BYTES).partition(b"IDAT")[0]
                return PixelLayout(is_deep=start[24:25] == b"\x10", num_pages=_num_frames(file) if is_animated else 1)
            if start.startswith(_TIFF_STARTS):
                return _tiff_layout(file)
            with PIL.Image.open(file) as image:
                return PixelLayout(is_deep=image.mode.startswith(_DEEP_MODES))
    except Exception:  # damaged headers make Pillow raise almost any exception
        return PixelLayout()


def first_page(file: IO[bytes]) -> PixelLayout:
    """Returns how the first page of a file stores its pixels; the default unless it is a TIFF."""
    try:
        return _page_layout(next(tiff_pages(file)))
    except Exception:  # no TIFF, or a damaged one
        return PixelLayout()


def _is_animated_webp(start: bytes) -> bool:
    return start[8:16] == b"WEBPVP8X" and bool(start[20] & 2)


def _num_frames(file: IO[bytes]) -> int:
    file.seek(0)
    with PIL.Image.open(file) as image:
        return int(getattr(image, "n_frames", 1))


def tiff_pages(file: IO[bytes]) -> Iterator[PIL.TiffImagePlugin.ImageFileDirectory_v2]:
    """Yields the tags of each page of a TIFF.

    Raises:
        ValueError: the file is not a TIFF. A damaged one raises other exceptions.
    """
    file.seek(0)
    start = file.read(8)
    if start[:4] not in _TIFF_STARTS:
        raise ValueError("not a TIFF")
    start += file.read(8) if start[2] == 43 else b""  # offsets of 64 bits
    tags = PIL.TiffImagePlugin.ImageFileDirectory_v2(start)
    seen: set[int] = set()
    while tags.next and tags.next not in seen and len(seen) < MAX_PAGES:
        seen.add(tags.next)
        file.seek(tags.next)
        tags.load(file)
        yield tags


def _tiff_layout(file: IO[bytes]) -> PixelLayout:
    pages = tiff_pages(file)
    layout = _page_layout(next(pages))
    count = 1
    try:
        for tags in pages:
            count += not int(tags.get(254, 0)) & _REDUCED_OR_MASK
    except Exception:  # the pages after the first are damaged
        pass
    return PixelLayout(
        is_deep=layout.is_deep,
        num_channels=layout.num_channels,
        num_channels_read=layout.num_channels_read,
        num_pages=count,
    )


def _page_layout(tags: PIL.TiffImagePlugin.ImageFileDirectory_v2) -> PixelLayout:
    samples = int(tags.get(277, 1))
    colors = min(samples, _NUM_COLORS.get(int(tags.get(262, 1)), 1))
    extra = tags.get(338)
    kinds = (extra if isinstance(extra, tuple) else (extra,)) if extra is not None else ()
    num_alpha = sum(kind in _ALPHA for kind in kinds)
    if not kinds and samples == colors + 1:  # one channel more without a word on it is alpha to all readers
        num_alpha = 1
    is_deep = any(bits > 8 for bits in tags.get(258, (1,))) or any(kind not in (1, 4) for kind in tags.get(339, (1,)))
    read = 0 if samples > 4 or (is_deep and colors == 1 < samples) else colors
    return PixelLayout(is_deep=is_deep, num_channels=samples - num_alpha, num_channels_read=read)
