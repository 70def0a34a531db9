"""Reader of UAVDT sequences.

D. Du, Y. Qi, H. Yu, Y. Yang, K. Duan, G. Li, W. Zhang, Q. Huang, Q. Tian: The Unmanned Aerial Vehicle Benchmark: Object
Detection and Tracking, ECCV 2018.
"""

from __future__ import annotations

from pathlib import Path

from trainers.data.format import FORMATS, Format
from trainers.data.images import is_file
from trainers.data.sequence_reader import Category, LineError, Sequence, SequenceFormat
from trainers.data.sequences import find_sequences, first_folder
from trainers.data.source import subfolders

NAME = "uavdt"
CLASSES = ("car", "truck", "bus")
"""Categories 1 to 3."""
LABELS, REGIONS, ATTRIBUTES = "_gt_whole.txt", "_gt_ignore.txt", "_attr.txt"


def _find(folder: Path, images: Path | None) -> tuple[Sequence, ...]:
    """Returns the sequences of `NAME_gt_whole.txt`, in the folder or in `GT/`, and `NAME/`, there or a level below."""
    inside = subfolders(folder)
    homes = (folder, folder / "GT", *(each / "GT" for each in inside))
    texts = sorted(text for home in homes for text in home.glob(f"*{LABELS}"))
    bases = (images,) if images else (folder, *inside, *(text.parent for text in texts[:1]))
    found = []
    for text in texts:
        name = text.name.removesuffix(LABELS)
        if not name.strip("."):
            continue
        frames = first_folder(base / name for base in bases) or (images if len(texts) == 1 else None)
        regions = text.with_name(name + REGIONS)
        found.append(Sequence(name=name, text=text, frames=frames, regions=regions if is_file(regions) else None))
    return tuple(found)


def _published_parts(folder: Path) -> dict[str, frozenset[str]]:
    """Returns the parts by `M_attr/train/NAME_attr.txt` and `M_attr/test/NAME_attr.txt`."""
    base = first_folder(each / "M_attr" for each in (folder, *subfolders(folder)))
    parts = ("train", "test") if base is not None else ()
    return {
        part: frozenset(path.name.removesuffix(ATTRIBUTES) for path in (base / part).glob(f"*{ATTRIBUTES}"))
        for part in parts
        if base is not None
    }


def _category(values: list[float], num_classes: int, given: bool) -> Category:
    """Reads `frame,id,left,top,width,height,out-of-view,occlusion,category`."""
    if not (values[8].is_integer() and 1 <= values[8] <= num_classes):
        raise LineError(f"category {values[8]:g} is not in 1 to {num_classes}", "class_out_of_range")
    return Category(int(values[8]) - 1)


STYLE = SequenceFormat(
    name=NAME,
    find=_find,
    num_fields=frozenset({9}),
    classes=CLASSES,
    category=_category,
    published_parts=_published_parts,
)
FORMATS.add(
    NAME,
    Format(
        readers=(lambda request: find_sequences(request, STYLE),),
        looks="UAVDT's NAME_gt_whole.txt (here and in GT/) with NAME/",
    ),
)
