"""The kinds of defects that a data set can have, and the location of a defect."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from search_space.errors import DataError

LABELS_LEFT_OUT = {
    "malformed": "that cannot be read",
    "ambiguous": "that can be read as a box or as a polygon",
    "not_a_number": "that are not numbers",
    "zero_size": "without area",
    "negative_size": "of negative size",
    "outside_image": "outside the image",
    "class_out_of_range": "with a class id out of range",
    "unknown_category": "of an unknown class",
    "unknown_image": "of an unknown image",
    "duplicate_box": "given twice",
}
"""Labels that are dropped; each text completes "N labels ..."."""
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
"""Images that are dropped; each text completes "N images ..."."""
REPAIRED = {"partly_outside": "boxes clipped to the image"}
"""Defects that are repaired."""
HARMLESS = {
    "duplicate_category": "categories given twice, read as one class",
    "duplicate_annotation": "annotation ids given twice",
    "filename_differs": "annotation files that name another image than the one with their own name, which is used",
    "image_size": "image sizes that are wrong in the annotations",
    "label_without_image": "annotation files without an image",
    "missing_label_folder": "folders of labels missing",
    "not_unicode": "texts that are not in UTF-8, whose other characters become question marks",
    "shared_annotation": "label files of several images with the same name, which all get the labels",
    "unread_annotation": "images whose labels are in a file of another format, read as images without objects",
    "unread_folder": "folders of images that are in no part",
    "extra_pages": "images with more than one page, of which the first is read",
    "extra_channels": "images with channels that are not read",
    "outside_range": "images whose values are mostly outside the range of the data set",
}
"""Defects that are only reported: no label and no image is dropped or changed."""
UNUSABLE = {
    "ambiguous_category": "category ids with several names",
    "not_json": "not a JSON file",
    "not_yaml": "not a YAML file",
    "wrong_layout": "a file without the entries that its format requires",
    "unsupported_channels": "a data YAML for images of other than 1 or 3 channels",
    "classes_differ": "training and validation classes that differ",
    "empty_set": "no images, or no boxes",
}
"""Defects that make the data set unusable: opening it raises an error."""
DEFECTS = {**LABELS_LEFT_OUT, **IMAGES_LEFT_OUT, **REPAIRED, **HARMLESS, **UNUSABLE}
NOTES = {
    "greyscale": "greyscale images, shown to the detector as RGB with three equal channels",
    "deep_pixels": "images of more than 8 bits",
    "orientation": "JPEGs rotated by an EXIF tag, read upright unless the annotated size is that of the stored pixels",
    "crowd": "crowd boxes, read as ignored regions",
    "difficult": "difficult boxes, read as ignored regions of their class",
    "difficult_kept": "difficult boxes, kept as objects because of a database other than VOC",
    "ignored": "boxes that are ignored, uncertain or without a class, read as ignored regions",
    "polygon": "polygons, circles and masks, read as their bounding boxes",
    "further_columns": "boxes with landmarks, a confidence or a track id, which are not used",
    "layout": "layout recognized by names of files and folders",
    "missing_part": "named parts without a folder or a list, left out",
    "box_of_segmentation": "annotations without bbox, with the box of the segmentation",
    "number_as_text": "numbers or flags written as text, read as numbers",
    "ignored_class": "classes with a name of ignored regions: the boxes are ignored for every class",
    "empty_group": "categories without boxes, only there to group others, left out of the classes",
    "found_by_name": "images in another folder or another case than stated, found by their file name",
    "windows_path": "file names with backslashes, read as paths",
    "byte_order_mark": "files with a byte order mark",
    "carriage_return": "files with Windows line endings",
    "image_without_labels": "images without an annotation file",
    "sequence_without_labels": "folders of frames without an annotation file, left out",
    "sequence_copy": "sequences with the frames and labels of another, left out",
    "frame_without_labels": "frames that no line of their sequence names, read as images without objects",
    "grouped": "groups of polygons or masks of one object, read as one box each",
    "filename_missing": "annotation files with the name of a missing image, read for the image with their own name",
    "one_based": "annotation files of the original VOC, with pixel coordinates from 1",
}
"""Facts worth knowing that are not defects."""
TOLD = ("windows_path", "ignored_class", "empty_group", "found_by_name", "number_as_text", "box_of_segmentation")
"""Notes that every command reports, because they say how the annotations were interpreted."""


_SINGULARS = {"categories": "category", "boxes": "box", "classes": "class", "copies": "copy"}
_PLURAL = re.compile(
    r"\b(?:categories|boxes|classes|images|parts|sequences|annotations|polygons|files|folders|JPEGs|names|numbers)\b"
)


def counted_note(count: int, words: str) -> str:
    """Returns a number with the words of a note, whose first noun is in the singular for 1."""
    if count != 1:
        return f"{count} {words}"
    return f"1 {_PLURAL.sub(lambda found: _SINGULARS.get(found[0], found[0][:-1]), words, count=1)}"


class SourceLocation(NamedTuple):
    """Where a defect or a fact was found."""

    file: str
    line: int | None = None
    """1-based; None if unknown."""
    about: tuple[object, ...] = ()
    """Words that describe the entry, such as "annotation", 7, "of", "a.jpg"; joined only when needed, to save time."""

    @property
    def item(self) -> str:
        """Description of the entry."""
        return " ".join(str(word)[:80] for word in self.about)

    @property
    def text(self) -> str:
        """The location in one phrase."""
        name = self.file.rpartition("/")[2]
        return self.item or (name if self.line is None else f"{name} line {self.line}")


@dataclass(frozen=True, kw_only=True)
class Defect:
    """One defect."""

    kind: str
    """A key of `DEFECTS`."""
    file: str
    line: int | None
    what: str


class BrokenFile(DataError):
    """A file that makes a data set unusable; `check_data` reports it like any other defect."""

    def __init__(self, message: str, kind: str = "wrong_layout", file: object = "", line: int | None = None) -> None:
        super().__init__(message)
        self.defect = Defect(kind=kind, file=str(file), line=line, what=message)
