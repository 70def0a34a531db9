"""The ids of images and classes in COCO's result format."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeAlias

from nas.api.media_input import Shot, Source
from search_space.errors import DataError

if TYPE_CHECKING:
    from trainers import Detections

Id: TypeAlias = "int | str"
"""As the annotation file has it."""


@dataclass(frozen=True, kw_only=True)
class CocoIds:
    """The ids under which a COCO file, or an evaluation server, knows images and classes."""

    images: Mapping[Path, Id] = field(default_factory=dict)
    """By the path of the source; of a video, the start of the ids of its frames."""
    categories: tuple[Id, ...]
    """In the order of the labels."""

    @classmethod
    def read(cls, path: Path | None, classes: Sequence[str], sources: Sequence[Source]) -> CocoIds:
        """Takes the ids from an annotation file; without one, image ids are file names and classes count from 1.

        An image is the entry whose `file_name` has the longest end in common with its path. Without an entry of its
        name, the name without the suffix counts.

        Args:
            path: the annotation file.
            classes: names in the order of the labels.
            sources: what detections are written for.

        Raises:
            DataError: the file is none, it does not know a class or an image, or two ids are possible for one of them,
                or two sources would get the same id.
        """
        if path is None:
            images = _checked(sources, {source.path: _name_as_id(source) for source in sources}, "give --ids FILE")
            return cls(images=images, categories=tuple(range(1, len(classes) + 1)))
        try:
            content = json.loads(path.read_bytes())
            categories = [(str(each["name"]), _as_id(each["id"])) for each in content["categories"]]
            names = [(_as_path(each["file_name"]), _as_id(each["id"])) for each in content["images"]]
        except (OSError, ArithmeticError, ValueError, KeyError, TypeError, RecursionError) as error:
            what = "nested too deeply" if isinstance(error, RecursionError) else error
            raise DataError(f"{path} is no COCO annotation file ({what}); give the json of the data set") from None
        found = {name: _one_id(path, name, {id for known, id in categories if _same(known, name)}) for name in classes}
        index = _Index(path, names)
        places = {source.path: None if source.is_video else index.find(source.path) for source in sources}
        unknown = [name for name, id in found.items() if id is None]
        unknown += [place.name for place, id in places.items() if id is None]
        if unknown:
            raise DataError(
                f"{path} does not know {', '.join(unknown[:3])}; give the json that lists classes and images"
            )
        known = {place: id for place, id in places.items() if id is not None}
        images = _checked(sources, known, f"give a json in which {path.name} has an entry for each, with its folder")
        return cls(images=images, categories=tuple(id for id in found.values() if id is not None))

    def results(self, shot: Shot, found: Detections) -> list[dict[str, Any]]:
        """Returns detections in COCO's result format: boxes as x, y, width, height."""
        image = self._image(shot)
        return [
            {
                "image_id": image,
                "category_id": self.categories[label],
                "bbox": [round(float(side), 2) for side in (x1, y1, x2 - x1, y2 - y1)],
                "score": round(float(score), 5),
            }
            for (x1, y1, x2, y2), score, label in zip(found.boxes, found.scores, found.labels, strict=True)
        ]

    def _image(self, shot: Shot) -> Id:
        start = self.images[shot.source.path]
        return start if shot.frame is None else f"{start}-{shot.frame:06d}"


def _as_id(value: object) -> Id:
    return value if isinstance(value, str) else int(value)  # type: ignore[call-overload]


def _as_path(name: object) -> PurePosixPath:
    if not isinstance(name, str):
        raise TypeError(f"file_name is {name!r}")
    return PurePosixPath(name.replace("\\", "/"))


def _name_as_id(source: Source) -> Id:
    """Returns the file name without its suffix, as a number if it is one."""
    stem = source.path.stem
    return int(stem) if stem.isdecimal() and not source.is_video else stem


def _checked(sources: Sequence[Source], ids: Mapping[Path, Id], advice: str) -> Mapping[Path, Id]:
    """Returns the ids; raises DataError if two sources have the same."""
    first: dict[str, Source] = {}
    for source in sources:
        key = f"{ids[source.path]}-000001" if source.is_video else str(ids[source.path])
        other = first.setdefault(key, source)
        if other is source:
            continue
        if os.path.abspath(other.path) == os.path.abspath(source.path):
            raise DataError(f"{source.path} is given twice; its detections would count twice: give it once")
        raise DataError(f"{other.path} and {source.path} would both have the image_id {key}; {advice}")
    return ids


def _same(name: str, other: str) -> bool:
    from trainers.data.file_names import normalized

    return normalized(name) == normalized(other)


def _one_id(path: Path, name: str, ids: Iterable[Id]) -> Id | None:
    """Returns the only id, or None if there is none; raises DataError for several."""
    listed = sorted(ids, key=str)
    if len(listed) > 1:
        shown = " and ".join(map(str, listed[:2]))
        raise DataError(f"{path} has the ids {shown} for {name}, and nothing decides; give a json with one id for each")
    return listed[0] if listed else None


class _Index:
    """The images of an annotation file, to find those of paths.

    Args:
        path: the annotation file.
        names: the file name and the id of each image.
    """

    def __init__(self, path: Path, names: Iterable[tuple[PurePosixPath, Id]]) -> None:
        from trainers.data.file_names import normalized

        self._path = path
        self._by_name: dict[str, list[tuple[PurePosixPath, Id]]] = {}
        self._by_stem: dict[str, list[tuple[PurePosixPath, Id]]] = {}
        for name, id in names:
            self._by_name.setdefault(normalized(name.name), []).append((name, id))
            for stem in {name.name, name.stem}:
                self._by_stem.setdefault(normalized(stem), []).append((name.with_name(stem), id))

    def find(self, path: Path) -> Id | None:
        """Returns the id of the image with the longest common end of its path, or None if none has its name.

        Raises:
            DataError: several ids are possible.
        """
        from trainers.data.file_names import common_end, normalized

        place = Path(os.path.abspath(path))
        candidates = self._by_name.get(normalized(place.name), [])
        if not candidates:
            place = place.with_name(place.stem)
            candidates = self._by_stem.get(normalized(place.name), [])
        ranks: dict[tuple[int, bool, bool], set[Id]] = {}
        for name, id in candidates:
            count = common_end(place, name)
            rank = (count, count == len(name.parts), place.parts[-count:] == name.parts[-count:])
            ranks.setdefault(rank, set()).add(id)
        return _one_id(self._path, str(path), ranks[max(ranks)] if ranks else ())
