"""Convert a data set to another format; on failure nothing is written."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import cv2

from search_space.errors import ConfigError, DataError
from trainers.data.class_selection import ClassSelection
from trainers.data.dataset import EVERY_CLASS, Dataset, Record, distinct_records, read_record, stated_hw
from trainers.data.format import FORMATS, Writer
from trainers.data.formats import check_format, read_every_part
from trainers.data.image_files import image_suffix
from trainers.data.images import IMAGE_SUFFIXES, ImageError, image_header
from trainers.data.pixel_range import PixelRange, range_words
from trainers.data.source import SAME_IMAGES, TEST, ReadRequest, ReadResult
from trainers.data.stated_sizes import compare_sizes
from trainers.data.writing import WriteRequest, snap_to_pixels

MAX_DEPTH = 5
"""Images of one name are told apart by this many components of their paths at most."""
_NOT_IN_NAMES = re.compile(r"[\x00-\x1f\x7f/\\:]")


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """Summary of a conversion."""

    source: str
    from_format: str
    to_format: str
    num_images: int
    num_boxes: int
    num_ignored: int
    """Ignored regions of the source."""
    notices: tuple[str, ...]
    """Notices from reading the source."""
    losses: tuple[str, ...]
    """What the target format cannot represent."""


def convert_data(
    path: str | Path,
    out: str | Path,
    *,
    to: str,
    link: bool = False,
    split: str | None = None,
    format: str | None = None,
    images: str | Path | None = None,
    selection: ClassSelection | None = None,
    pixel_range: PixelRange | None = None,
) -> Conversion:
    """Writes the data set at `path` to the folder `out` in the format `to`.

    A test part is written too, if it has labels. The folder appears once it is complete. Images are copied, or linked
    if `link`. An image whose file has another size than its annotation states is left out. A window of an image file is
    cropped and written as PNG of 8 bits if the format has no windows; `pixel_range` is as in `open_data`.

    Raises:
        ConfigError: `out` exists, a format is unknown, or the range does not rise.
        DataError: no known format is found at `path`, a split has no usable images, a name cannot be written, or a
            selected class is unknown.
    """
    writer = _writer(to)
    out = Path(out)
    if os.path.lexists(out):
        raise ConfigError(f"{out} exists already; give a folder that does not exist")
    folder = None if images is None else Path(images)
    request = ReadRequest(
        path=Path(path),
        split=split,
        images=folder,
        format=format,
        pixel_range=pixel_range,
        selection=selection or ClassSelection(),
    )
    parts = _with_labelled_test(*read_every_part(request))
    datasets, notices = _undivided_if_same(parts)
    datasets, left_out = compare_sizes(datasets, parts.source)
    records = distinct_records(datasets.values())
    first = next(iter(datasets.values()))
    writer.check_classes(first.classes)
    pictures = _Images(records, whole=writer.keeps_windows, link=link, pixel_range=first.pixel_range)
    _write(out, datasets, pictures, writer)
    return Conversion(
        source=parts.source,
        from_format=parts.format,
        to_format=to,
        num_images=len(records),
        num_boxes=sum(len(record.boxes) for record in records),
        num_ignored=sum(len(record.ignored) for record in records),
        notices=(*notices, *left_out),
        losses=tuple(_losses(to, writer, records, len(first.classes), first.pixel_range)),
    )


def _writer(to: str) -> Writer:
    """Returns the writer of a format; raises ConfigError for an unknown or read-only format."""
    check_format(to)
    writer = FORMATS.get(to).writer
    if writer is None:
        known = ", ".join(name for name in FORMATS if FORMATS.get(name).writer is not None)
        raise ConfigError(f"the format {to!r} can be read but not written; allowed: {known}")
    return writer


def _with_labelled_test(parts: ReadResult, error: DataError | None) -> ReadResult:
    """Leaves out a test part without boxes, and adds a notice if there is no test part because of an error."""
    test = parts.datasets.get(TEST)
    if error is not None:
        return replace(parts, notices=(*parts.notices, f"the test part is left out: {error}"))
    if test is None or any(len(record.boxes) for record in test.records):
        return parts
    labelled = {name: dataset for name, dataset in parts.datasets.items() if name != TEST}
    notice = f"{parts.source}: the test part is left out, as its {len(test)} images have no boxes"
    return replace(parts, datasets=labelled, notices=(*parts.notices, notice))


def _undivided_if_same(parts: ReadResult) -> tuple[dict[str, Dataset], tuple[str, ...]]:
    """Returns the splits, or a single one if train and val have the same images, and the notices."""
    keys = [{record.key for record in dataset.records} for dataset in parts.datasets.values()]
    if len(keys) != 2 or keys[0] != keys[1]:
        return parts.datasets, parts.notices
    notice = f"{parts.source}: {SAME_IMAGES}; they are written once, without a split"
    others = (each for each in parts.notices if SAME_IMAGES not in each)
    return {"all": next(iter(parts.datasets.values()))}, (notice, *others)


def _write(out: Path, datasets: dict[str, Dataset], images: _Images, writer: Writer) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        writer.write(
            WriteRequest(folder=folder, datasets=datasets, image_name=images.name_of, write_image=images.write)
        )
        folder.chmod(0o755)  # mkdtemp creates it with 0o700
        if os.path.lexists(out):
            raise ConfigError(f"{out} was created in the meantime; give a folder that does not exist")
        folder.rename(out)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


class _Images:
    """Names and writes the images of a data set; names are unique without their suffix and ignoring case.

    Args:
        records: all images.
        whole: write whole files, one for all windows of a file.
        link: link to the files instead of copying them.
        pixel_range: of the windows that are cropped.
    """

    def __init__(self, records: list[Record], *, whole: bool, link: bool, pixel_range: PixelRange | None) -> None:
        self._whole, self._link, self._pixel_range = whole, link, pixel_range
        self._names: dict[str, str] = {}
        taken: set[str] = set()
        prefixes = _prefixes(records)
        for record in records:
            key = self._key(record)
            if key not in self._names:
                name = _free_name(record, taken, cut=self._is_cut(record), prefix=prefixes.get(record.path))
                taken.add(Path(name).stem.casefold())
                self._names[key] = name

    def _is_cut(self, record: Record) -> bool:
        return record.window is not None and not self._whole

    def _key(self, record: Record) -> str:
        return str(record.path) if self._whole else record.key

    def name_of(self, record: Record) -> str:
        """Returns the file name of an image."""
        return self._names[self._key(record)]

    def write(self, record: Record, folder: Path) -> None:
        """Writes an image into a folder unless it is there already."""
        target = folder / self.name_of(record)
        assert record.path is not None  # only the built-in set has images without files
        if os.path.lexists(target):
            return
        if self._is_cut(record):
            image = read_record(record, self._pixel_range)
            pixels = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
            target.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
        elif self._link:
            target.symlink_to(record.path.resolve())
        else:
            shutil.copyfile(record.path, target)


def _prefixes(records: list[Record]) -> dict[Path | None, str]:
    """Returns the nearest folder that tells images apart, of each that shares its name with others, such as a frame."""
    paths = {record.path for record in records if record.path is not None}
    counts = Counter(path.stem.casefold() for path in paths)
    shared = [path for path in paths if counts[path.stem.casefold()] > 1]
    for depth in range(2, MAX_DEPTH + 1):
        folders: dict[Path | None, str] = {path: path.parts[-depth] for path in shared if len(path.parts) >= depth}
        if len(set(folders.values())) > 1:
            return folders
    return {}


def _free_name(record: Record, taken: set[str], *, cut: bool, prefix: str | None) -> str:
    """Returns a file name whose stem in lower case is not `taken`: with a prefix, a window or a number if need be."""
    assert record.path is not None
    stem, suffix = os.path.splitext(record.path.name)
    if suffix.lower() not in IMAGE_SUFFIXES:  # the usual suffix, which other tools know, too
        suffix = image_suffix(record.path) or suffix
    stem = _NOT_IN_NAMES.sub("_", stem).encode(errors="replace").decode().strip() or "image"
    if cut and record.window is not None:
        stem, suffix = f"{stem}_{'_'.join(map(str, record.window))}", ".png"
    if prefix is not None:
        stem = f"{_NOT_IN_NAMES.sub('_', prefix)}_{stem}"
    name, count = stem, 1
    while name.casefold() in taken:
        count += 1
        name = f"{stem}_{count}"
    return name + suffix


def _is_shown_as_stored(record: Record) -> bool:
    try:
        return record.path is not None and image_header(record.path).is_shown_as_stored(stated_hw(record))
    except ImageError:
        return False


def _losses(
    to: str, writer: Writer, records: list[Record], num_classes: int, pixel_range: PixelRange | None
) -> list[str]:
    """Returns one line for each kind of information that the format cannot represent."""
    losses = []
    num_ignored = sum(len(record.ignored) for record in records)
    if writer.ignores == "never" and num_ignored:
        losses.append(
            f"{to} has no ignored regions: {num_ignored} are dropped, detections there become false positives"
        )
    num_single = sum(int((record.ignored_labels != EVERY_CLASS).sum()) for record in records)
    if writer.ignores == "all" and num_single and num_classes > 1:
        losses.append(f"{to} ignores regions for every class: {num_single} regions of a single class now apply to all")
    boxes = [box for record in records for box in record.boxes.tolist()]
    num_broken = sum(any(value % 1 for value in snap_to_pixels(box)) for box in boxes)
    if writer.whole_pixels and num_broken:
        losses.append(f"{num_broken} boxes have fractional coordinates, which other readers of {to} may truncate")
    num_stored = sum(_is_shown_as_stored(record) for record in records) if not writer.states_sizes else 0
    if num_stored:
        losses.append(
            f"{to} stores no image sizes: {num_stored} JPEGs are annotated without their EXIF rotation and will be "
            "rotated away from their boxes; remove the EXIF tag from the copies"
        )
    num_windows = sum(record.window is not None for record in records)
    if not writer.keeps_windows and num_windows:
        losses.append(f"{to} has no windows of a file: {num_windows} are cropped and written as PNG")
        if pixel_range is not None:
            losses.append(f"windows of images of more than 8 bits are written with 8: {range_words(pixel_range)}")
    return losses
