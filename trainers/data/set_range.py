"""Find out which images of a data set have more than 8 bits, pages or channels that are not read, and their range."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from search_space.errors import counted
from trainers.data.dataset import Dataset, Record
from trainers.data.defects import SourceLocation
from trainers.data.images import ImageError, read_pixels
from trainers.data.pixel_layout import pixel_layout
from trainers.data.pixel_range import PERCENTILES, PixelRange, Pixels, range_of, range_words, sampled
from trainers.data.source import ReadRequest, ReadResult, last_fifth

EIGHT_BIT_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".webp"})
"""Files that are not opened to learn their depth, which takes time; one of more bits is told when it is read."""


def with_pixel_range(result: ReadResult, request: ReadRequest) -> ReadResult:
    """Returns a data set whose images of more than 8 bits are scaled from one range, with a notice that states it.

    Pages and channels that are not read are counted as defects.
    """
    paths = dict.fromkeys(path for dataset in result.datasets.values() for path in _paths(dataset.records))
    layouts = {path: pixel_layout(path) for path in paths if path.suffix.lower() not in EIGHT_BIT_SUFFIXES}
    diagnostics = request.diagnostics(result.source)
    for path, layout in layouts.items():
        for kind, what in layout.lost():
            diagnostics.add(kind, SourceLocation(str(path), about=(path.name,)), what)
    deep = {path for path, layout in layouts.items() if layout.is_deep}
    found, how = request.pixel_range, "as given"
    if found is None and deep:
        of_training = deep & set(_paths(_training_records(result.datasets)))
        files = sampled(of_training or deep)
        found = sampled_range(files)
        kind = "training images" if of_training else "images"
        how = f"the {PERCENTILES[0]:g} and {PERCENTILES[1]:g} percentiles of {len(files)} {kind}"
    notices = [*result.notices, *diagnostics.notices()]
    if found is not None and deep:
        notices.append(
            f"{result.source}: {counted(len(deep), 'image')} of more than 8 bits: {range_words(found)} ({how})"
        )
    elif found is not None:
        words = f"to which the range applies ({range_words(found)})"
        notices.append(f"{result.source}: no image is known to have more than 8 bits, {words}")
    datasets = {name: dataset.in_range(found) if found else dataset for name, dataset in result.datasets.items()}
    return replace(result, datasets=datasets, notices=tuple(notices))


def sampled_range(paths: Iterable[Path]) -> PixelRange | None:
    """Returns the range of some files, in which those that cannot be read do not count; None if none can."""

    def pixels() -> Iterator[Pixels]:
        for path in paths:
            try:
                yield read_pixels(path)
            except ImageError:
                continue

    return range_of(pixels())


def deep_files(paths: Iterable[Path]) -> list[Path]:
    """Returns the image files that have more than 8 bits."""
    return [path for path in paths if pixel_layout(path).is_deep]


def _paths(records: Iterable[Record]) -> Iterable[Path]:
    return (record.path for record in records if record.path is not None)


def _training_records(datasets: dict[str, Dataset]) -> tuple[Record, ...]:
    """Returns the images that train; of an undivided set those that `open_data` trains on."""
    return datasets["train"].records if "train" in datasets else last_fifth(datasets["all"].records)[0]
