"""The images that objects are found in: pictures, folders of them, videos frame by frame, and arrays."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from nas.api.result import OnNotice, notify
from search_space.errors import DataError, counted, is_text

if TYPE_CHECKING:
    import numpy as np

    from trainers.data.pixel_range import PixelRange

VIDEOS = frozenset((".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv"))
DEFAULT_RATE = 25.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Source:
    """One picture, video or array."""

    path: Path
    num_frames: int = 0
    """Of a video, as its header has it, 1 or more; 0 for a picture."""
    frames_per_second: float = DEFAULT_RATE
    named: bool = True
    """The user gave the file itself, not its folder."""
    folder: PurePath = PurePath()
    """Where the file lies in the folder that was given, as a relative path."""
    array: np.ndarray | None = None
    """The pixels `(H, W, 3)` of uint8 RGB of a source that is no file; its path is only a name."""
    pixel_range: PixelRange | None = None
    """The values that become 0 and 255 in a picture of more than 8 bits."""

    @property
    def is_video(self) -> bool:
        """Whether it has frames."""
        return self.num_frames > 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Shot:
    """One image to be looked at."""

    source: Source
    frame: int | None
    """Number in its video from 1; None for a picture."""
    pixels: np.ndarray
    """`(H, W, 3)` uint8 RGB."""


def list_sources(inputs: Sequence[Path | np.ndarray], *, out: Path | None = None) -> list[Source]:
    """Returns all pictures, videos and arrays; each file that was given is opened once.

    Those of a folder and its subfolders come by path. Subfolders that are links or hidden are left out.

    Args:
        inputs: files, folders, and images `(H, W, 3)`.
        out: folder of results; as a subfolder of an input it is left out.

    Raises:
        DataError: a path does not exist, a folder holds neither or cannot be read, a file is neither, or an array is no
            image `(H, W, 3)` of uint8.
    """
    sources: list[Source] = []
    for each in inputs:
        if not isinstance(each, Path):
            sources.append(_of_array(each, len(sources) + 1))
        else:
            sources += _in_folder(each, out) if each.is_dir() else [_named(each)]
    return sources


def with_range(
    sources: Sequence[Source], given: PixelRange | None, known: PixelRange | None, on_notice: OnNotice | None
) -> list[Source]:
    """Returns the sources with the range of values that pictures of more than 8 bits are scaled from.

    Args:
        sources: pictures, videos and arrays.
        given: the range that the user asks for.
        known: that of the weights; without either, it is computed from a sample of the pictures.
        on_notice: is called with the range, if there are such pictures.
    """
    from trainers.data.pixel_range import range_words, sampled
    from trainers.data.set_range import deep_files, sampled_range

    deep = deep_files(each.path for each in sources if each.array is None and not each.is_video)
    if not deep:
        return list(sources)
    files = sampled(deep)
    found = given or known or sampled_range(files)
    if found is None:
        return list(sources)
    how = "as given" if given else "as in the training" if known else f"percentiles of {len(files)} of them"
    notify(on_notice, f"note: {counted(len(deep), 'image')} of more than 8 bits: {range_words(found)} ({how})")
    return [replace(each, pixel_range=found) for each in sources]


def _of_array(array: np.ndarray, number: int) -> Source:

    shape, kind = tuple(getattr(array, "shape", ())), getattr(array, "dtype", type(array).__name__)
    if len(shape) != 3 or shape[2] != 3 or 0 in shape or str(kind) != "uint8":
        raise DataError(f"input {number} is {kind} of shape {shape}; give a path, or an image (H, W, 3) of uint8 RGB")
    return Source(path=Path(f"array-{number}"), array=array)


def _in_folder(folder: Path, out: Path | None) -> list[Source]:
    from trainers.data.image_files import images_among
    from trainers.data.images import IMAGE_SUFFIXES

    inside = [each for each in _files_below(folder, None if out is None else out.resolve()) if each.is_file()]
    videos = [each for each in inside if each.suffix.lower() in VIDEOS]
    files = sorted([*videos, *images_among(set(inside).difference(videos))])
    if not files:
        raise DataError(
            f"{folder} has no pictures or videos in it or its subfolders "
            f"({', '.join(sorted(IMAGE_SUFFIXES | VIDEOS))}); next: give a folder or files with pictures or videos"
        )
    sources = (
        _video(each, named=False) if each.suffix.lower() in VIDEOS else Source(path=each, named=False) for each in files
    )
    return [replace(each, folder=each.path.relative_to(folder).parent) for each in sources]


def _files_below(folder: Path, out: Path | None) -> Iterator[Path]:
    """Yields the files of a folder and its subfolders; subfolders that are hidden, links or `out` are left out.

    Raises:
        DataError: a folder cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename} cannot be read ({error.strerror}); make it readable, or give single files")

    for place, subfolders, names in os.walk(folder, onerror=refuse):
        subfolders[:] = [each for each in subfolders if not each.startswith(".") and Path(place, each).resolve() != out]
        yield from (Path(place, name) for name in names)


def _named(path: Path) -> Source:
    from trainers.data.images import read_pixels

    if path.suffix.lower() in VIDEOS and path.exists():
        return _video(path)
    read_pixels(path)  # before anything is written, so that a typing error costs nothing
    return Source(path=path)


def _video(path: Path, *, named: bool = True) -> Source:
    """Returns a video with what its header says; one of a folder that cannot be read is told when its turn comes."""
    import math

    import cv2

    if not is_text(str(path)):  # OpenCV ends the whole process
        raise DataError(f"the name of the video {path} cannot be read as text; rename it")
    capture = cv2.VideoCapture(str(path))
    try:
        if named and (not capture.isOpened() or not capture.read()[0]):
            raise DataError(
                f"cannot read a frame of the video {path}: it is damaged or of an unknown format; convert it"
            )
        number, rate = capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)
    finally:
        capture.release()
    known = math.isfinite(rate) and 0 < rate < 1000
    num_frames = max(int(number), 1) if math.isfinite(number) else 1
    return Source(path=path, num_frames=num_frames, frames_per_second=rate if known else DEFAULT_RATE, named=named)


def shots(source: Source, on_broken: Callable[[str], Any]) -> Iterator[Shot]:
    """Yields the images of a source in turn; what is broken in a folder is left out and told to `on_broken`.

    Raises:
        DataError: a picture that the user gave by name cannot be read any more.
    """
    from trainers.data import read_rgb

    if source.array is not None:
        yield Shot(source=source, frame=None, pixels=source.array)
        return
    if source.is_video:
        yield from _frames(source, on_broken)
        return
    try:
        pixels = read_rgb(source.path, source.pixel_range)
    except DataError as error:
        if source.named:
            raise
        on_broken(f"left out: {error}")
        return
    yield Shot(source=source, frame=None, pixels=pixels)


def _frames(source: Source, on_broken: Callable[[str], Any]) -> Iterator[Shot]:
    import cv2

    capture, number = cv2.VideoCapture(str(source.path)), 0
    try:
        while True:
            good, pixels = capture.read()
            if not good:
                break
            number += 1
            yield Shot(source=source, frame=number, pixels=cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))
    finally:
        capture.release()
    if number < 0.9 * source.num_frames:  # the header's number is an estimate for some formats
        on_broken(f"{source.path}: only {number} of about {source.num_frames} frames can be read")
