"""What can be wrong with a data set: the kinds of defects, and where one was found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from search_space.errors import DataError

LABELS_LEFT_OUT = {
    "malformed": "that cannot be read",
    "not_a_number": "that are no numbers",
    "zero_size": "without area",
    "negative_size": "of negative size",
    "outside_image": "outside the image",
    "class_out_of_range": "with a class id out of range",
    "unknown_category": "of an unknown class",
    "unknown_image": "of an unknown image",
    "duplicate_box": "given twice",
}
"""Labels that are left out, each with the words behind "N labels"."""
IMAGES_LEFT_OUT = {
    "missing_image": "are missing",
    "unreadable_image": "cannot be decoded",
    "truncated_image": "are cut off",
    "huge_image": "have too many pixels",
    "malformed_image": "have no usable entry",
    "malformed_file": "have an annotation file that cannot be read",
    "duplicate_image": "are listed twice",
    "path_outside": "lie outside the data set",
}
"""Images that are left out, each with the words behind "N images"."""
REPAIRED = {"partly_outside": "boxes clipped to the image"}
"""What is put right."""
HARMLESS = {
    "duplicate_annotation": "annotation ids given twice",
    "image_size": "image sizes that the annotations give wrongly",
    "label_without_image": "annotation files without an image",
    "missing_label_folder": "folders of labels missing",
}
"""What is kept as it is, because it does no harm here."""
UNUSABLE = {
    "not_json": "no JSON",
    "not_yaml": "no YAML",
    "wrong_layout": "a file without the entries that its format needs",
    "classes_differ": "training and validation classes that differ",
    "empty_set": "no images, or no boxes",
}
"""What makes the whole set unusable: opening it is an error."""
DEFECTS = {**LABELS_LEFT_OUT, **IMAGES_LEFT_OUT, **REPAIRED, **HARMLESS, **UNUSABLE}
NOTES = {
    "greyscale": "greyscale images, shown to the detector as RGB with three equal channels",
    "deep_pixels": "16-bit images, divided by 257",
    "orientation": "JPEGs that an EXIF tag turns or mirrors, shown upright unless their stated size is that as stored",
    "crowd": "crowd boxes, read as ignored regions",
    "difficult": "difficult boxes, read as ignored regions of their class",
    "difficult_kept": "difficult boxes, kept as objects because their files name a database other than VOC",
    "ignored": "boxes marked as ignored, uncertain or of no class",
    "polygon": "polygons, read as their bounding boxes",
    "windows_path": "file names with backslashes, read as paths",
    "byte_order_mark": "files that begin with a byte order mark",
    "carriage_return": "files with Windows line ends",
    "image_without_labels": "images without an annotation file",
    "one_based": "annotation files of the original VOC, whose pixels are counted from 1",
}
"""What is no defect, but good to know."""


class SourceLocation(NamedTuple):
    """Where something was found."""

    file: str
    line: int | None = None
    """Counted from 1; None where it is not known."""
    about: tuple[object, ...] = ()
    """The words for what it is there, such as "annotation", 7, "of", "a.jpg"; joined only when they are needed."""

    @property
    def item(self) -> str:
        """What it is there."""
        return " ".join(str(word)[:80] for word in self.about)

    @property
    def text(self) -> str:
        """The place in one phrase."""
        name = self.file.rpartition("/")[2]
        return self.item or (name if self.line is None else f"{name} line {self.line}")


@dataclass(frozen=True, kw_only=True)
class Defect:
    """One thing that is wrong."""

    kind: str
    """A key of `DEFECTS`."""
    file: str
    line: int | None
    what: str


class BrokenFile(DataError):
    """A file that makes a data set unusable; the command that checks reports it like any defect."""

    def __init__(self, message: str, kind: str = "wrong_layout", file: object = "", line: int | None = None) -> None:
        super().__init__(message)
        self.defect = Defect(kind=kind, file=str(file), line=line, what=message)
