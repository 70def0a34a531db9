"""Class names of YOLO data sets: from a data YAML, or from a text file with one name per line."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from search_space.errors import DataError, is_text, shortened, shown
from search_space.yaml_text import YamlError, read_yaml
from trainers.data.defects import BrokenFile
from trainers.data.diagnostics import Diagnostics
from trainers.data.images import is_file
from trainers.data.part_folders import PART_NAMES
from trainers.data.source import distinct_names, read_names_file

YAML_SUFFIXES = (".yaml", ".yml")
NAME_FILES = ("classes.txt", "obj.names", "_darknet.labels")
"""Files with the name of a class on each line, as LabelImg, CVAT and Roboflow write them."""
MAX_CLASSES = 100_000


class ClassNames(NamedTuple):
    """The class names of a data set, and the file that gives them."""

    names: tuple[str, ...]
    file: Path


def load_yaml(path: Path) -> object:
    """Returns the content of a YAML file, with class names as they are written.

    Raises:
        DataError: the file cannot be read.
        BrokenFile: the file is not YAML.
    """
    try:
        return read_yaml(path, words_of="names")
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}; check the path") from None
    except YamlError as error:
        raise BrokenFile(f"{path} is not YAML: {error}; correct the file", "not_yaml", path, error.line) from None


def yamls_in(folder: Path) -> list[tuple[Path, dict[Any, Any]]]:
    """Returns the YAML files of a folder that contain a table, `data.yaml` first.

    Raises:
        BrokenFile: `data.yaml` is not YAML; other files that are not are left out.
    """
    found = []
    paths = [path for suffix in YAML_SUFFIXES for path in folder.glob(f"*{suffix}") if is_file(path)]
    for path in sorted(paths, key=lambda path: (path.stem != "data", path)):
        try:
            content = load_yaml(path)
        except BrokenFile:
            if path.stem == "data":
                raise
            continue
        if isinstance(content, dict):
            found.append((path, content))
    return found


def part_entries(content: dict[Any, Any]) -> dict[str, Any]:
    """Returns the entries of a data YAML that name a part, by part: `train`, `val` and `test` in any of their names."""
    words = {word: part for part, names in PART_NAMES.items() for word in names}
    found = {words[key.lower()]: value for key, value in content.items() if str(key).lower() in words and value}
    return found | {part: content[part] for part in PART_NAMES if content.get(part)}


def yaml_names(content: dict[Any, Any], path: Path) -> tuple[str, ...] | None:
    """Returns the class names that a data YAML gives, or None.

    Raises:
        BrokenFile: `names` is no list of distinct words and no table of 0, 1, 2, ... to distinct words.
    """
    names = content.get("names")
    if names is None:
        return None
    if isinstance(names, dict):
        by_index = {_index(key): name for key, name in names.items()}
        if by_index and set(by_index) == set(range(len(names))):
            names = [by_index[index] for index in range(len(names))]
    if isinstance(names, list) and all(isinstance(name, str) and name.strip() and is_text(name) for name in names):
        return distinct_names([name.strip() for name in names], path)
    got = f"a table of {shortened([str(key)[:20] for key in names])}" if isinstance(names, dict) else shown(names)
    message = f"{path}: names must be a list of words, or a table 0, 1, 2, ... to words, got {got}; correct it"
    raise BrokenFile(message, "wrong_layout", path)


def numbered_names(content: dict[Any, Any], path: Path) -> tuple[str, ...] | None:
    """Returns `class 0`, `class 1`, ... for the number of classes `nc` of a data YAML, or None.

    Raises:
        BrokenFile: `nc` is no number of classes.
    """
    count = content.get("nc")
    if count is None:
        return None
    if type(count) is not int or not 0 < count <= MAX_CLASSES:
        message = f"{path}: nc must be the number of classes, 1 to {MAX_CLASSES}; correct it"
        raise BrokenFile(message, "wrong_layout", path)
    return tuple(f"class {index}" for index in range(count))


def names_in(folders: Iterable[Path], diagnostics: Diagnostics) -> ClassNames | None:
    """Returns the class names that files in the folders give, or None.

    Raises:
        BrokenFile: two files give different names, or a name is given twice.
    """
    found: list[ClassNames] = []
    for folder in dict.fromkeys(folders):
        files = [folder / name for name in NAME_FILES]
        files += sorted(path for path in folder.glob("*.names") if path not in files)
        given = [(path, read_names_file(path, diagnostics)) for path in files if is_file(path)]
        given += [(path, yaml_names(content, path)) for path, content in yamls_in(folder) if _has_names(content)]
        found += [ClassNames(names, path) for path, names in given if names]
    for other in found[1:]:
        if other.names != found[0].names:
            message = f"{found[0].file} and {other.file} give different class names; correct or remove one of them"
            raise BrokenFile(message, "classes_differ", other.file)
    return found[0] if found else None


def _has_names(content: dict[Any, Any]) -> bool:
    names = content.get("names")
    return isinstance(names, (list, dict)) and bool(names)


def _index(key: object) -> object:
    return int(key) if isinstance(key, str) and key.isdecimal() and len(key) < 10 else key
