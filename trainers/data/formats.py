"""The known formats of data sets, and which of them lies at a path."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from search_space.errors import ConfigError, DataError, nearest
from trainers.data import coco, tinyperson, visdrone, voc, yolo
from trainers.data.source import Parts, Request

Reader = Callable[[Request], Parts | None]

FORMATS: dict[str, tuple[Reader, ...]] = {
    coco.COCO: (coco.find_pair_of_jsons, coco.find_json),
    yolo.NAME: (yolo.find_yolo,),
    visdrone.NAME: (visdrone.find_visdrone,),
    tinyperson.NAME: (coco.find_pair_of_jsons, coco.find_json),
    voc.NAME: (voc.find_voc,),
}
"""By name, the readers of a format; a reader returns None where nothing of its format lies."""
LOOKED_FOR: tuple[Reader, ...] = (
    coco.find_pair_of_jsons,
    yolo.find_yolo,
    visdrone.find_visdrone,
    voc.find_voc,
    coco.find_json,
)
"""The readers in the order in which they are asked; both JSON formats have the same ones."""


def check_format(name: str) -> None:
    """Raises ConfigError, naming the near ones and all that are known, where `name` is no format."""
    if name not in FORMATS:
        raise ConfigError(f"unknown format {name!r}{nearest(name, FORMATS)}; known: {', '.join(FORMATS)}")


def open_parts(request: Request) -> Parts:
    """Opens the data set at a path.

    Raises:
        ConfigError: a format is named that is not known.
        DataError: nothing known is found there, or it cannot be used.
    """
    if request.named is not None:
        check_format(request.named)
    for what, path in (("data set", request.path), ("folder of images", request.images)):
        if path is not None and not path.exists():
            raise DataError(f"no {what} at {path}: the path does not exist")
    if request.images is not None and not request.images.is_dir():
        raise DataError(f"{request.images} is no folder; give --images the folder of the images")
    for reader in FORMATS[request.named] if request.named else LOOKED_FOR:
        parts = reader(request)
        if parts is not None:
            return parts
    raise DataError(_nothing_found(request))


def _nothing_found(request: Request) -> str:
    path, named = request.path, request.named
    if not path.is_dir():
        what = f"a data set in the format {named}" if named else "a COCO or TinyPerson json, a data YAML or a folder"
        return f"no data set at {path}: give {what}"
    num_jsons = len(coco.jsons_in(path))
    also = f"; {num_jsons} other json files are there, give one of them" if num_jsons else ""
    if named:
        found = [name for name in FORMATS if name != named and _finds(replace(request, named=name))]
        return f"no {named} data set found in {path}{also}" + (f"; it looks like {found[0]}" if found else "")
    return (
        f"no data set found in {path}; looked for *train*.json with *val*.json (here, in annotations/ and in coco/), "
        "a YAML with train and val, images/ with labels/, annotations/ with VisDrone's txt files, and XML files of VOC"
        + also
    )


def _finds(request: Request) -> bool:
    try:
        return any(reader(replace(request, findings=None)) is not None for reader in FORMATS[request.named or ""])
    except DataError:
        return False
