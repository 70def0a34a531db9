"""Reader of MOTChallenge sequences.

A. Milan, L. Leal-Taixe, I. Reid, S. Roth, K. Schindler: MOT16: A Benchmark for Multi-Object Tracking, 2016.
P. Dendorfer et al.: MOT20: A Benchmark for Multi Object Tracking in Crowded Scenes, 2020.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from trainers.data.defects import SourceLocation
from trainers.data.format import FORMATS, Format
from trainers.data.images import MAX_PIXELS, is_file
from trainers.data.sequence_reader import IGNORED, Category, LineError, Sequence, SequenceFormat
from trainers.data.sequences import find_sequences, first_folder, is_safe_name
from trainers.data.source import subfolders

NAME = "mot"
CLASSES = ("pedestrian",)
NUM_CATEGORIES = 13
"""1 is a pedestrian. The others, such as 2 (person on a vehicle) and 3 (car), are not evaluated by the benchmark."""
NO_CATEGORY = -1
"""In MOT15, where columns 8 to 10 are world coordinates or -1, and all boxes are pedestrians."""
MAX_INFO_BYTES = 10_000
DEFAULT_FRAMES = "img1"
_DETECTOR = re.compile(r"-(?:DPM|FRCNN|SDP)$")
"""In MOT17, each sequence has three copies, with the detections of one detector each."""


def _find(folder: Path, images: Path | None) -> tuple[Sequence, ...]:
    """Returns the sequences of `NAME/gt/gt.txt` and `NAME/img1/`; the folder can be a sequence itself."""
    homes = [home for home in (folder, *subfolders(folder)) if is_file(home / "gt" / "gt.txt")]
    return tuple(_sequence(home, images, single=len(homes) == 1) for home in homes)


def _sequence(home: Path, images: Path | None, *, single: bool) -> Sequence:
    path, name = home / "seqinfo.ini", Path(os.path.abspath(home)).name
    info = _read_info(path)
    inner = info.get("imdir", DEFAULT_FRAMES)
    location, defect, hw = SourceLocation(str(path), about=(f"{name}/{path.name}",)), None, None
    if not is_safe_name(inner):
        what = f"imDir {inner[:40]!r} leaves the folder of the sequence; use a relative name"
        defect, inner = ("path_outside", location, what), DEFAULT_FRAMES
    sides = [info[side] for side in ("imheight", "imwidth") if side in info]
    if len(sides) == 2 and all(re.fullmatch(r"[0-9]{1,9}", side) and 1 <= int(side) <= MAX_PIXELS for side in sides):
        hw = int(sides[0]), int(sides[1])
    elif sides and defect is None:
        defect = ("image_size", location, "imHeight and imWidth are not sizes in pixels; the image size is used")
    bases = (home / inner,) if images is None else (images / name / inner, images / name, *([images] if single else []))
    return Sequence(name=name, text=home / "gt" / "gt.txt", frames=first_folder(bases), stated_hw=hw, defect=defect)


def _read_info(path: Path) -> dict[str, str]:
    """Returns the entries `key=value` of a file by key in lower case; empty if there is no file."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_INFO_BYTES).decode(errors="replace")
    except OSError:
        return {}
    entries = (line.partition("=") for line in text.splitlines())
    return {key.strip().lower(): value.strip() for key, equals, value in entries if equals and value.strip()}


def _category(values: list[float], num_classes: int, given: bool) -> Category:
    """Reads `frame,id,left,top,width,height,flag,category,visibility`, with a tenth column in MOT15 and CVAT."""
    flag, category, visibility = values[6], values[7], values[8]
    if not given and len(values) == 10 and category == NO_CATEGORY:
        return Category(0) if flag != 0 else IGNORED
    highest = num_classes if given else NUM_CATEGORIES
    if not (category.is_integer() and 1 <= category <= highest):
        raise LineError(f"category {category:g} is not in 1 to {highest}", "class_out_of_range")
    if not given and len(values) == 10 and not 0 <= visibility <= 1:
        what = "column 8 is a category or a coordinate, which cannot be told; list the classes in gt/labels.txt"
        raise LineError(what)
    return Category(int(category) - 1) if flag != 0 and category <= num_classes else IGNORED


STYLE = SequenceFormat(
    name=NAME,
    find=_find,
    num_fields=frozenset({9, 10}),
    classes=CLASSES,
    category=_category,
    class_file="labels.txt",
    same_frames=lambda name: _DETECTOR.sub("", name),
)
FORMATS.add(
    NAME,
    Format(readers=(lambda request: find_sequences(request, STYLE),), looks="MOT's NAME/gt/gt.txt with NAME/img1/"),
)
