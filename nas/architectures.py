"""Read the architecture that a user names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from search_space.errors import ConfigError, unknown_name

if TYPE_CHECKING:
    from search_space import Architecture
    from search_space.trained_section import TrainedSection


WEIGHTS_SUFFIXES = (".pt", ".pth", ".safetensors", ".onnx")


def load_architecture(name: str, input_hw: tuple[int, int] | None = None) -> Architecture:
    """Returns the architecture of a YAML file, a design or a scale of YOLO, at another input size if one is given.

    Args:
        name: a path, the name of a design, or one of `SCALES`, such as `yolov8s`.
        input_hw: height and width in pixels.

    Raises:
        ConfigError: there is neither a file nor a design of that name, or it is a file of weights.
    """
    from search_space import DESIGNS, Architecture
    from search_space.designs.p2_scales import SCALES

    if name in DESIGNS:
        arch = DESIGNS.get(name).architecture
    elif name in SCALES:
        arch = SCALES[name]
    elif Path(name).is_file() and Path(name).suffix.lower() in WEIGHTS_SUFFIXES:
        beside = Path(name).with_name("architecture.yaml")
        which = beside if beside.is_file() else f"its design or YAML file (nas weights import {name} says which)"
        raise ConfigError(f"{name} is a file of weights, not an architecture; give {which}")
    elif Path(name).is_file():
        arch = Architecture.from_yaml(Path(name))
    elif Path(name).suffix.lower() in (".yaml", ".yml"):
        raise ConfigError(f"no architecture file {name}; check the path or give a design: {', '.join(DESIGNS)}")
    elif Path(name).exists() or "/" in name:
        what = "is a folder" if Path(name).is_dir() else "does not exist"
        raise ConfigError(f"{name} {what}; give a YAML file, such as runs/NAME/front/01-KEY.yaml, or a design")
    else:
        raise ConfigError(f"{unknown_name('design', name, DESIGNS, also=SCALES)}; or give a YAML file")
    return arch if input_hw is None else arch.resized(input_hw)


def trained_section_of(name: str) -> TrainedSection | None:
    """Returns what a file says about the training of its architecture; None for a design, or a file without that.

    Raises:
        SpaceError: the section of the file is damaged.
    """
    from search_space import DESIGNS
    from search_space.designs.p2_scales import SCALES
    from search_space.trained_section import read_trained

    if name in DESIGNS or name in SCALES or not Path(name).is_file():
        return None
    return read_trained(Path(name))
