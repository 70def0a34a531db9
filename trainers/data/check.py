"""Check a data set: all defects of its annotations and images, and its contents."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import repeat
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from search_space.errors import DataError
from trainers.data.class_selection import ClassSelection
from trainers.data.dataset import Record, distinct_records
from trainers.data.defects import NOTES, BrokenFile, Defect, SourceLocation
from trainers.data.diagnostics import DefectLog
from trainers.data.formats import read_every_part
from trainers.data.images import ImageError, ImageHeader, image_header, read_image, read_pixels
from trainers.data.pixel_range import PixelRange, range_words, share_outside
from trainers.data.source import TEST, ReadRequest, ReadResult
from trainers.data.stated_sizes import header_mismatch

MOST_OUTSIDE = 0.5
"""Share of the values of an image from which on it is a defect that they are outside the range."""


@dataclass(frozen=True, kw_only=True)
class DataNote:
    """Something worth knowing that is not a defect."""

    kind: str
    """A key of `NOTES`."""
    count: int
    what: str
    first: str
    """Location of the first occurrence."""


@dataclass(frozen=True, kw_only=True)
class DataReport:
    """Contents and defects of a data set; an image that is in several splits counts once."""

    format: str | None
    """None if a broken file prevented the data set from being opened."""
    source: str | None
    """The files or the folder that were opened; None as above."""
    num_images_by_part: dict[str, int]
    """Images of `train`, `val` and `test`, or of `all`, whether or not their pixels can be used."""
    num_images: int
    """Images that can be used."""
    num_boxes: int
    """Boxes of those images, without ignored regions."""
    num_ignored: int
    """Ignored regions; a region that is listed once per class counts as one."""
    classes: tuple[str, ...]
    num_boxes_by_class: dict[str, int]
    defects: tuple[Defect, ...]
    notes: tuple[DataNote, ...]
    pixel_range: PixelRange | None = None
    """The values that become 0 and 255 in images of more than 8 bits; None if there are none."""

    def to_dict(self) -> dict[str, Any]:
        """Returns the report as JSON-ready fields; `pixel_range` only if there is one."""
        fields = asdict(self)
        if self.pixel_range is None:
            del fields["pixel_range"]
        return {**fields, "classes": list(self.classes), **{key: list(fields[key]) for key in ("defects", "notes")}}


def check_data(
    path: str | Path,
    *,
    split: str | None = None,
    format: str | None = None,
    images: str | Path | None = None,
    pixel_range: PixelRange | None = None,
    selection: ClassSelection | None = None,
) -> DataReport:
    """Opens a data set like `open_data`, decodes every image, and reports defects instead of raising them.

    A test part is checked too. Without boxes it is no defect, as the labels of test parts are often not published.

    Raises:
        ConfigError: the format is unknown, or the range does not rise.
        DataError: no known format is found at `path`, or a selected class is unknown.
    """
    defect_log = DefectLog()
    folder = None if images is None else Path(images)
    request = ReadRequest(
        path=Path(path),
        split=split,
        images=folder,
        format=format,
        defect_log=defect_log,
        pixel_range=pixel_range,
        selection=selection or ClassSelection(),
    )
    try:
        parts, without_test = read_every_part(request)
    except BrokenFile as error:
        defect_log.defects.append(error.defect)
        return _report(None, [], defect_log)
    if without_test is not None:
        defect_log.defects.append(_defect_of(without_test, path))
    records = distinct_records(parts.datasets.values())
    dataset = next(iter(parts.datasets.values()))
    usable = [record for record, good in _decode_all(records, defect_log, dataset.pixel_range) if good]
    for name, dataset in parts.datasets.items():
        if name != TEST and not any(len(record.boxes) for record in dataset.records):
            which = "the data set" if name == "all" else f"its {name} part"
            defect_log.add("empty_set", SourceLocation(str(path)), f"{which} has no boxes ({len(dataset)} images)")
    return _report(parts, usable, defect_log)


def _defect_of(error: DataError, path: str | Path) -> Defect:
    """Returns the defect that an error tells; a file that cannot be opened at all is a `malformed_file`."""
    if isinstance(error, BrokenFile):
        return error.defect
    return Defect(kind="malformed_file", file=str(path), line=None, what=str(error))


class _DecodedImage(NamedTuple):
    """Result of decoding one file: an error, or its size and depth."""

    error: ImageError | None = None
    header: ImageHeader = ImageHeader(height=0, width=0, channels=3)
    grey: bool = False
    deep: bool = False
    share_outside: float = 0.0
    """Share of the values that are outside the range of the data set."""


def _decode(path: Path, pixel_range: PixelRange | None) -> _DecodedImage:
    try:
        pixels, header = read_pixels(path), image_header(path)
        deep = pixels.dtype != np.uint8
        if deep and pixel_range is None:  # a file of a suffix that is for 8 bits
            read_image(path)
    except ImageError as error:
        return _DecodedImage(error)
    grey = pixels.ndim == 2 or pixels.shape[2] <= 2
    outside = share_outside(pixels, pixel_range) if deep and pixel_range is not None else 0.0
    return _DecodedImage(None, header, grey, deep, outside)


def _decode_all(
    records: list[Record], defect_log: DefectLog, pixel_range: PixelRange | None
) -> Iterator[tuple[Record, bool]]:
    """Decodes every file once; yields each record with whether it can be used."""
    paths = list(dict.fromkeys(record.path for record in records if record.path is not None))
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        looks = dict(zip(paths, pool.map(_decode, paths, repeat(pixel_range)), strict=True))
    for path, look in looks.items():
        location = SourceLocation(str(path), about=(path.name,))
        if look.error is not None:
            defect_log.add(look.error.kind, location, str(look.error))
        if look.share_outside > MOST_OUTSIDE and pixel_range is not None:
            what = f"{look.share_outside:.0%} of the values are outside the range: {range_words(pixel_range)}"
            defect_log.add("outside_range", location, f"{path.name}: {what}; --range LOW HIGH sets another")
        for kind, seen in (
            ("greyscale", look.grey),
            ("deep_pixels", look.deep),
            ("orientation", look.header.orientation > 1),
        ):
            if seen:
                defect_log.add(kind, location, kind)
    for record in records:
        assert record.path is not None  # only the built-in set has images without files
        look = looks[record.path]
        wrong = header_mismatch(record, look.header) if look.error is None else None
        if wrong is not None:
            defect_log.add("image_size", SourceLocation(str(record.path)), wrong)
        yield record, look.error is None and wrong is None


def _report(parts: ReadResult | None, records: list[Record], defect_log: DefectLog) -> DataReport:
    datasets = {} if parts is None else parts.datasets
    classes = next(iter(datasets.values())).classes if datasets else ()
    pixel_range = next(iter(datasets.values())).pixel_range if datasets else None
    deep = "" if pixel_range is None else f": {range_words(pixel_range)}"
    counts = Counter(label for record in records for label in record.labels.tolist())
    return DataReport(
        format=None if parts is None else parts.format,
        source=None if parts is None else parts.source,
        num_images_by_part={name: len(dataset) for name, dataset in datasets.items()},
        num_images=len(records),
        num_boxes=counts.total(),
        num_ignored=sum(len({tuple(box) for box in record.ignored.tolist()}) for record in records),
        classes=classes,
        num_boxes_by_class={name: counts[index] for index, name in enumerate(classes)},
        defects=tuple(defect_log.defects),
        notes=tuple(
            DataNote(
                kind=kind,
                count=count,
                what=NOTES[kind] + (deep if kind == "deep_pixels" else ""),
                first=defect_log.first[kind],
            )
            for kind, count in sorted(defect_log.notes.items())
        ),
        pixel_range=pixel_range,
    )
