"""Find the image files among files: by their suffixes, and by their content where the suffix is not known."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from trainers.data.images import IMAGE_SUFFIXES

OTHER_IMAGE_SUFFIXES = frozenset(
    {".avif", ".dib", ".gif", ".heic", ".heif", ".j2k", ".jfif", ".jp2", ".jpe", ".mpo", ".pbm", ".pgm", ".ppm"}
)
"""Further suffixes that an image can have in the name of its annotation file, such as `a.jfif.xml`."""
NO_IMAGE_SUFFIXES = frozenset({".cache", ".csv", ".json", ".md", ".txt", ".xml", ".yaml", ".yml"})
"""Files with these suffixes are not opened to look for an image."""
_STARTS = {
    b"\xff\xd8\xff": ".jpg",
    b"\x89PNG\r\n\x1a\n": ".png",
    b"GIF87a": ".gif",
    b"GIF89a": ".gif",
    b"II*\x00": ".tif",
    b"MM\x00*": ".tif",
    b"II+\x00": ".tif",
    b"MM\x00+": ".tif",
    b"\x00\x00\x00\x0cjP  \r\n\x87\n": ".jp2",
    b"\xff\x4f\xff\x51": ".j2k",
    b"\xff\x0a": ".jxl",
    b"\x00\x00\x00\x0cJXL \r\n\x87\n": ".jxl",
}
"""First bytes of image files, with the usual suffix."""
_BRANDS = {b"avif": ".avif", b"avis": ".avif"} | {
    brand: ".heic" for brand in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
}
"""The brands of HEIF files."""
_START_BYTES = 32


def image_suffix(path: Path) -> str | None:
    """Returns the usual suffix of an image file by its first bytes, or None if they are not those of an image.

    Whether the image can be decoded is another question: HEIC images, for example, are recognized but not decoded.
    """
    try:
        with open(path, "rb") as file:
            start = file.read(_START_BYTES)
    except (OSError, ValueError):
        return None
    known = next((suffix for begin, suffix in _STARTS.items() if start.startswith(begin)), None)
    if known is not None:
        return known
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return ".webp"
    if start[:2] == b"BM" and start[6:10] == bytes(4):
        return ".bmp"
    if start[4:8] == b"ftyp":
        return _BRANDS.get(start[8:12])
    if start[:1] == b"P" and start[1:2] in (b"1", b"2", b"3", b"4", b"5", b"6") and start[2:3].isspace():
        return ".pbm" if start[1:2] in b"14" else ".pgm" if start[1:2] in b"25" else ".ppm"
    return None


def is_appledouble(path: Path) -> bool:
    """Returns whether a file has further data of another one, as macOS writes it into archives: `._a` beside `a`."""
    return path.name.startswith("._")


def images_among(paths: Iterable[Path]) -> list[Path]:
    """Returns the image files among paths, in their order.

    Files with a suffix in `IMAGE_SUFFIXES` are images. Other files are images by their content, such as a JPEG that is
    named `.jfif`, unless there is an image with the same stem and a known suffix: raw files beside JPEGs are left out.
    Files of macOS with further data of a file, such as `._a.jpg` of `a.jpg`, are no images.
    """
    listed = [(path, *os.path.splitext(path)) for path in paths if not is_appledouble(path)]
    known = {stem for _, stem, suffix in listed if suffix.lower() in IMAGE_SUFFIXES}
    found = []
    for path, stem, suffix in listed:
        lower = suffix.lower()
        if lower in IMAGE_SUFFIXES:
            found.append(path)
        elif lower not in NO_IMAGE_SUFFIXES and stem not in known and image_suffix(path) is not None:
            found.append(path)
    return found
