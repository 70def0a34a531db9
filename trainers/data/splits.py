"""Open a data set as a training and a validation set with the same classes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from search_space.errors import ConfigError, DataError, check_known, counted, shortened
from trainers.data.class_selection import ClassSelection, select_classes
from trainers.data.dataset import Dataset, distinct_records
from trainers.data.formats import read_data
from trainers.data.pixel_range import PixelRange
from trainers.data.source import TEST, ReadRequest, ReadResult, last_fifth
from trainers.data.synthetic import synthetic_splits

PARTS = ("val", "train", "test", "all")


@dataclass(frozen=True, kw_only=True)
class DataSplits:
    """A training and a validation set with the same classes, and a test set if it was asked for."""

    train: Dataset
    val: Dataset
    test: Dataset | None = None
    """None if there is no test part, or if it was not asked for."""
    source: str
    """What was opened, in one line for the user."""
    notices: tuple[str, ...] = ()
    """What the user should know about the data, such as choices that were made and labels that were dropped."""
    format: str = ""
    """A key of `FORMATS`; empty for the built-in set."""
    undivided_notice: str | None = None
    """The one of the notices that says how a data set without a split was divided; None if it has a split."""

    def part(self, name: str) -> Dataset:
        """Returns a part by name: `train`, `val`, `test`, or `all`, which is every image of the others once.

        Raises:
            ConfigError: the name is unknown.
            DataError: there is no test part, or it has no boxes.
        """
        check_known("part", name, PARTS, ConfigError)
        test = self.test
        if name == TEST and test is None:
            raise DataError(f"{self.source}: there is no test part; next: --part val, or all for every image")
        if name == TEST and test is not None and not has_boxes(test):
            raise DataError(f"{self.source}: the test part has no boxes in {len(test)} images; give one with labels")
        parts = {"train": self.train, "val": self.val} | ({} if test is None else {TEST: test})
        if name in parts:
            return parts[name]
        if any(record.path is None for record in self.val.records):
            raise DataError(f"part all is of a data set with files; next: --data PATH, or --part val of {self.source}")
        labelled = [each for part, each in parts.items() if part != TEST or has_boxes(each)]
        return self.val.replaced(distinct_records(labelled))

    def selected(self, selection: ClassSelection) -> DataSplits:
        """Returns the same images with a selection of the classes.

        Raises:
            DataError: a class is unknown, or the training set has no boxes of the classes.
        """
        parts = {"train": self.train, "val": self.val} | ({} if self.test is None else {TEST: self.test})
        found = select_classes(parts, selection)
        train, val, test = (found.datasets.get(name) for name in ("train", "val", TEST))
        assert train is not None and val is not None
        splits = replace(self, train=train, val=val, test=test, notices=(*self.notices, *found.notices))
        _check_boxes(splits)
        return splits

    @property
    def pixel_range(self) -> PixelRange | None:
        """The values that become 0 and 255 in images of more than 8 bits; None if there are none."""
        return self.train.pixel_range


def open_data(
    path: str | Path | None,
    *,
    split: str | None = None,
    seed: int = 0,
    format: str | None = None,
    images: str | Path | None = None,
    pixel_range: PixelRange | None = None,
    selection: ClassSelection | None = None,
    with_test: bool = False,
) -> DataSplits:
    """Opens a data set and detects its format.

    Unusable boxes and images are dropped and counted in the notices. A file name that leaves the data set is an error.

    Args:
        path: a folder in one of the `FORMATS`, or the file that describes it: a json of COCO, TinyPerson or labelme,
            a data YAML or `obj.data` of YOLO; None is the built-in set.
        split: which pair of annotation files to use, if a COCO folder has several.
        seed: of the built-in set.
        format: a key of `FORMATS`; None detects it.
        images: folder of the images, if it cannot be found from the annotations.
        pixel_range: the values that become 0 and 255 in images of more than 8 bits; None: percentiles of a sample of
            the training images.
        selection: the classes to use; None: all.
        with_test: whether to open the test part too, if there is one.

    Raises:
        ConfigError: the format is unknown, or the range does not rise.
        DataError: no known format is found, the data set is empty, or a selected class is unknown.
    """
    if path is None:
        for option, given in (("--format", format), ("--images", images), ("--range", pixel_range)):
            if given is not None:
                got = " ".join(map(str, given)) if isinstance(given, tuple) else given
                raise DataError(f"{option} {got} needs a data set; add --data PATH")
        splits = _open_synthetic(seed, split)
        return splits.selected(selection) if selection else splits
    request = ReadRequest(
        path=Path(path),
        split=split,
        images=None if images is None else Path(images),
        format=format,
        pixel_range=pixel_range,
        selection=selection or ClassSelection(),
        with_test=with_test,
    )
    splits = _divide(read_data(request))
    _check_boxes(splits)
    return splits


def has_boxes(dataset: Dataset) -> bool:
    """Returns whether any image of a data set has boxes."""
    return any(len(record.boxes) for record in dataset.records)


def _check_boxes(splits: DataSplits) -> None:
    """Raises DataError if there is nothing to train on."""
    if not has_boxes(splits.train):
        names = shortened(splits.train.classes)
        raise DataError(f"{splits.source}: the training set has no boxes of its classes ({names}); check the labels")


def _open_synthetic(seed: int, split: str | None) -> DataSplits:
    if split is not None:
        raise DataError(f"split {split!r} was requested, but the built-in set has only one; omit --split")
    train, val = synthetic_splits(seed=seed)
    source = (
        f"no --data given: built-in synthetic set, {len(train)} training and {len(val)} validation images of 160x160, "
        f"{len(train.classes)} classes of 5-20 px shapes, seed {seed}"
    )
    return DataSplits(train=train, val=val, source=source)


def _divide(parts: ReadResult) -> DataSplits:
    notices, undivided = parts.notices, None
    if "all" in parts.datasets:
        whole = parts.datasets["all"]
        train, val = (
            Dataset(records, whole.classes, pixel_range=whole.pixel_range) for records in last_fifth(whole.records)
        )
        undivided = parts.undivided_notice.format(source=parts.source, num_val=len(val), num_images=len(whole))
        notices = (undivided, *notices)
    else:
        train, val = parts.datasets["train"], parts.datasets["val"]
    if not len(train) or not len(val):
        part = "val" if len(train) else "train"
        raise DataError(f"{parts.source}: no image of its {part} split is usable; run nas data check for the reasons")
    test = parts.datasets.get(TEST)
    images = f"{len(train)} training and {len(val)} validation images"
    if test is not None:
        images = f"{len(train)} training, {len(val)} validation and {counted(len(test), 'test image')}"
    line = f"{parts.source}: {images}, {counted(len(train.classes), 'class', 'classes')}"
    return DataSplits(
        train=train,
        val=val,
        test=test,
        source=line,
        notices=notices,
        format=parts.format,
        undivided_notice=undivided,
    )
