"""The data set that belongs to weights or an architecture: that of the training or the run they lie in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from nas.settings import DATA_SETTINGS
from search_space.files import read_bytes
from search_space.yaml_text import MAX_BYTES, YamlError, parse_yaml
from trainers.data.pixel_range import is_range

CONFIG = "config.yaml"
SELECTION = ("select_classes", "merge", "other_classes")
"""The settings that belong together: one of them given replaces all of them."""
RANGE = "pixel_range"


class KnownData(NamedTuple):
    """Where data lies, in the options of a command, and the folder that says so."""

    options: dict[str, Any]
    """By the names of `DATA_SETTINGS`; None where nothing was said."""
    seed: int
    """Of the built-in set."""
    folder: Path | None

    @property
    def notice(self) -> str | None:
        """Says whose data is used, where the user named none; None if nothing need be said."""
        return None if self.folder is None else f"note: no --data given: using the data of {self.folder}"


def with_known_data(options: dict[str, Any], path: Path) -> KnownData:
    """Returns the user's own options of the data, or those of the training or run that a path lies in.

    Args:
        options: As in `KnownData`; where `data` is None the others take precedence over what is known.
        path: A folder of a training or a run, or a file in one.
    """
    given = {name: options[name] for name in DATA_SETTINGS}
    found = _known(path) if given["data"] is None else None
    if found is None:
        return KnownData(given, 0, None)
    folder, known = found
    kept = SELECTION if is_selected(given) else ()
    taken = {name: known.get(name) if value is None and name not in kept else value for name, value in given.items()}
    return KnownData(taken, _seed(known), folder if known.get("data") is not None else None)


def known_selection(path: Path) -> dict[str, Any] | None:
    """Returns the selection of classes of the training or run that a path lies in, by the names in `SELECTION`.

    None if the path lies in none, or if it uses all classes.
    """
    found = _known(path)
    selection = None if found is None else {name: found[1].get(name) for name in SELECTION}
    return selection if selection is not None and is_selected(selection) else None


def is_selected(options: Mapping[str, Any]) -> bool:
    """Returns whether options select or merge classes."""
    return any(options.get(name) for name in SELECTION)


def _known(path: Path) -> tuple[Path, dict[str, Any]] | None:
    """Returns the folder of the training or run that a path lies in, and its configuration."""
    for folder in (path, path.parent, path.parent.parent) if path.exists() else ():
        known = _read(folder / CONFIG)
        if known is not None:
            return folder, known
    return None


def _read(path: Path) -> dict[str, Any] | None:
    """Returns what a configuration of a training or a run says; None where there is none that can be read."""
    if not path.is_file():
        return None
    try:
        content = parse_yaml(read_bytes(path, MAX_BYTES))
    except (OSError, OverflowError, YamlError):
        return None
    is_known = isinstance(content, dict) and ("training" in content or "space_fingerprint" in content)
    if not is_known or not all(_is_text(name, content.get(name)) for name in DATA_SETTINGS if name != RANGE):
        return None
    pixel_range = content.get(RANGE)
    return {**content, RANGE: tuple(pixel_range) if is_range(pixel_range) else None}


def _is_text(name: str, value: object) -> bool:
    """Returns whether a value can be that of a setting: nothing, a text, or for some settings a list of texts."""
    if name in ("select_classes", "merge") and isinstance(value, list):
        return all(isinstance(each, str) for each in value)
    return isinstance(value, str | None)


def _seed(known: dict[str, Any]) -> int:
    """Returns the seed of the built-in set: a training has its own, all runs have the same one."""
    training = known.get("training")
    seed = training.get("seed", 0) if isinstance(training, dict) else 0
    return seed if isinstance(seed, int) else 0
