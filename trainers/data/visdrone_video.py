"""Reader of VisDrone-VID and VisDrone-MOT sequences.

P. Zhu, L. Wen, D. Du, X. Bian, H. Fan, Q. Hu, H. Ling: Detection and Tracking Meet Drones Challenge, TPAMI 2021.
"""

from __future__ import annotations

from pathlib import Path

from trainers.data.format import FORMATS, Format
from trainers.data.sequence_reader import Category, LineError, Sequence, SequenceFormat
from trainers.data.sequences import find_sequences, first_folder
from trainers.data.source import num_fields
from trainers.data.visdrone import CLASSES, IGNORED_CATEGORY, label_of

NAME = "visdrone-vid"
NUM_FIELDS = 10


def _find(folder: Path, images: Path | None) -> tuple[Sequence, ...]:
    """Returns the sequences of `annotations/NAME.txt` and `sequences/NAME/`."""
    texts = sorted(path for path in (folder / "annotations").glob("*.txt") if path.name != "classes.txt")
    bases = (images, images / "sequences") if images else (folder / "sequences", folder / "images", folder)
    found = {path: first_folder(base / path.stem for base in bases) for path in texts if path.stem.strip(".")}
    if images is not None and len(texts) == 1:
        found = {path: frames or images for path, frames in found.items()}
    if not any(found.values()) or not any(num_fields(path) == NUM_FIELDS for path in found):
        return ()
    return tuple(Sequence(name=path.stem, text=path, frames=frames) for path, frames in found.items())


def _category(values: list[float], num_classes: int, given: bool) -> Category:
    """Reads `frame,id,left,top,width,height,score,category,truncation,occlusion`."""
    highest = num_classes + (not given)
    if not (values[7].is_integer() and IGNORED_CATEGORY <= values[7] <= highest):
        raise LineError(f"category {values[7]:g} is not in 0 to {highest}", "class_out_of_range")
    label = label_of(values[6], values[7], num_classes)
    return Category(label, label < 0)


STYLE = SequenceFormat(name=NAME, find=_find, num_fields=frozenset({NUM_FIELDS}), classes=CLASSES, category=_category)
FORMATS.add(
    NAME,
    Format(
        readers=(lambda request: find_sequences(request, STYLE),),
        looks="sequences/NAME/ with VisDrone's annotations/NAME.txt",
    ),
)
