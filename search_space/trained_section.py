"""The section of an architecture file that says how a detector was trained; it is no part of the architecture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from search_space.architecture import TRAINED, Architecture
from search_space.errors import SpaceError, shown
from search_space.plain import FieldError, read_plain, to_plain
from search_space.yaml_text import YamlError, read_yaml


@dataclass(frozen=True, kw_only=True)
class TrainedSection:
    """What a run writes about a member of its front, under `trained:`, beside the architecture.

    Raises:
        SpaceError: The number of classes is below 1.
    """

    num_classes: int
    """Of the data of the run."""
    epochs: float | None = None
    """Passes over the training images."""
    rung: int | None = None
    rungs: int | None = None
    complete: bool = True
    """Whether the last rung was done."""

    def __post_init__(self) -> None:
        if self.num_classes < 1:
            raise SpaceError(f"num_classes must be at least 1, got {self.num_classes}")

    def text(self, architecture: Architecture) -> str:
        """Returns the content of an architecture file with this section."""
        section = {name: value for name, value in to_plain(self).items() if value is not None}
        return str(yaml.safe_dump(architecture.to_dict() | {TRAINED: section}, sort_keys=False))


def read_trained(path: Path | str) -> TrainedSection | None:
    """Returns the section of an architecture file; None if the file has none.

    Raises:
        SpaceError: The file cannot be read, or its section is damaged.
    """
    try:
        data = read_yaml(Path(path))
    except (OSError, YamlError) as error:
        raise SpaceError(f"{path} is not a readable YAML file: {error}; give an architecture file") from None
    if not isinstance(data, dict) or TRAINED not in data:
        return None
    section = data[TRAINED]
    if not isinstance(section, dict):
        raise SpaceError(f"{path}: {TRAINED} must be a mapping with num_classes, got {shown(section)}; remove it")
    try:
        return read_plain(TrainedSection, section)
    except (FieldError, SpaceError) as error:
        raise SpaceError(f"{path}: {TRAINED}: {error}") from None
