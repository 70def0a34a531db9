"""The data set that belongs to weights or an architecture: that of the training or the run they lie in."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from search_space.files import read_bytes
from search_space.yaml_text import MAX_BYTES, YamlError, parse_yaml
from trainers.data.pixel_range import is_range

CONFIG = "config.yaml"
PLACES = ("split", "data_format", "images")
RANGE = "pixel_range"


class KnownData(NamedTuple):
    """Where data lies, in the options of a command, and the folder that says so."""

    options: dict[str, Any]
    """`data`, `split`, `data_format`, `images` and `pixel_range`; None where nothing was said."""
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
        options: The five of `KnownData`; where `data` is None the others take precedence over what is known.
        path: A folder of a training or a run, or a file in one.
    """
    given = {name: options[name] for name in ("data", *PLACES, RANGE)}
    if given["data"] is not None or not path.exists():
        return KnownData(given, 0, None)
    for folder in (path, path.parent, path.parent.parent):
        known = _read(folder / CONFIG)
        if known is not None:
            taken = {name: known.get(name) if value is None else value for name, value in given.items()}
            return KnownData(taken, _seed(known), folder if known.get("data") is not None else None)
    return KnownData(given, 0, None)


def _read(path: Path) -> dict[str, Any] | None:
    """Returns what a configuration of a training or a run says; None where there is none that can be read."""
    if not path.is_file():
        return None
    try:
        content = parse_yaml(read_bytes(path, MAX_BYTES))
    except (OSError, OverflowError, YamlError):
        return None
    is_known = isinstance(content, dict) and ("training" in content or "space_fingerprint" in content)
    texts = is_known and all(isinstance(content.get(name), str | None) for name in ("data", *PLACES))
    if not texts:
        return None
    pixel_range = content.get(RANGE)
    return {**content, RANGE: tuple(pixel_range) if is_range(pixel_range) else None}


def _seed(known: dict[str, Any]) -> int:
    """Returns the seed of the built-in set: a training has its own, all runs have the same one."""
    training = known.get("training")
    seed = training.get("seed", 0) if isinstance(training, dict) else 0
    return seed if isinstance(seed, int) else 0
