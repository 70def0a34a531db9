"""One point of the search space, as plain frozen data: everything that decides a detector's tensors but its classes."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

from search_space.errors import SpaceError, nearest
from search_space.files import write_text

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage of the backbone: halve the map, then one block, then attention."""

    level: int
    """Pyramid level of the output; its stride is 2 ** level."""
    channels: int
    repeats: int
    """How often the inner block is repeated, depth multiplier applied."""
    block: str = "c2f"
    downsample: str = "conv"
    attention: str = "none"

    def __post_init__(self) -> None:
        _require_positive("stage", self, ("level", "channels", "repeats"))


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """A stem of stride 2 and stages of consecutive levels from P2 on; a pooling pyramid (SPPF) ends it."""

    stem_channels: int
    stages: tuple[Stage, ...]

    def __post_init__(self) -> None:
        _require_positive("backbone", self, ("stem_channels",))
        levels = [stage.level for stage in self.stages]
        if not levels or levels != list(range(2, 2 + len(levels))):
            raise SpaceError(f"backbone stages must have the levels 2, 3, … without a gap, got {levels}")

    @property
    def coarsest_level(self) -> int:
        """The level of the last stage."""
        return self.stages[-1].level


@dataclass(frozen=True, kw_only=True)
class Neck:
    """A path down the pyramid to the finest head level, and a path up again to the coarsest one.

    Each of its blocks has the channels of the backbone stage of its level.
    """

    repeats: int
    block: str = "c2f"
    fusion: str = "concat"
    upsample: str = "nearest"
    attention: str = "none"
    downsample: str | None = None
    """On the way up; None where the head has one level, so that there is no way up."""
    last_downsample_width: float = 1.0
    """Channels of the last downsampling on the way up, relative to its input."""
    skip_wiring: str = "repaired"
    """`published` is the wiring that the paper's bi-directional designs were trained with; see `lowering`."""

    def __post_init__(self) -> None:
        _require_positive("neck", self, ("repeats",))
        if self.skip_wiring not in ("repaired", "published"):
            raise SpaceError(f"neck skip_wiring must be repaired or published, got {self.skip_wiring!r}")
        if not 0 < self.last_downsample_width <= 1:
            raise SpaceError(f"neck last_downsample_width must be in (0, 1], got {self.last_downsample_width}")


@dataclass(frozen=True, kw_only=True)
class Head:
    """An anchor-free head on every level from the finest to the coarsest."""

    finest_level: int
    coarsest_level: int
    box_channels: int = 64
    """Width of the box branches; 64 in all the YOLO-style papers."""
    class_branch: str = "plain"
    kind: str = "anchor_free"

    def __post_init__(self) -> None:
        _require_positive("head", self, ("finest_level", "coarsest_level", "box_channels"))
        if not 2 <= self.finest_level <= self.coarsest_level:
            raise SpaceError(
                f"head levels must be 2 <= finest <= coarsest, got P{self.finest_level} to P{self.coarsest_level}"
            )

    @property
    def levels(self) -> range:
        """The levels that carry a head, finest first."""
        return range(self.finest_level, self.coarsest_level + 1)


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """One point of the search space.

    Raises:
        SpaceError: where the parts contradict each other; block names are checked when it is lowered to a graph.
    """

    input_hw: tuple[int, int]
    """Height and width of the network's input in pixels."""
    backbone: Backbone
    head: Head
    neck: Neck | None = None
    """None where the head sits on the coarsest backbone level alone."""
    family: str = "yolo"

    def __post_init__(self) -> None:
        if len(self.input_hw) != 2:
            raise SpaceError(f"input_hw must be [height, width], got {list(self.input_hw)}")
        trunk, head = self.backbone.coarsest_level, self.head
        if head.coarsest_level > trunk:
            raise SpaceError(f"the head reaches P{head.coarsest_level}, the backbone ends at P{trunk}; add a stage")
        if (self.neck is None) != (head.finest_level == trunk):
            raise SpaceError("a neck is needed exactly where the head starts finer than the backbone ends")
        if self.neck and (self.neck.downsample is None) != (head.finest_level == head.coarsest_level):
            raise SpaceError("the neck needs a downsample exactly where the head has several levels")
        self.check_input(self.input_hw)

    @property
    def size_multiple(self) -> int:
        """What height and width of the input must be multiples of."""
        return int(2**self.backbone.coarsest_level)

    def check_input(self, input_hw: tuple[int, int]) -> None:
        """Raises SpaceError, naming the sizes nearby, where the detector cannot take an input of this size."""
        step = self.size_multiple
        for side in input_hw:
            if side < step or side % step:
                below, above = max(side // step, 1) * step, (max(side, 0) // step + 1) * step
                near = f"{below} or {above}" if below != above else f"{above}"
                raise SpaceError(f"input side {side} must be a positive multiple of {step}; nearest: {near}")

    def resized(self, input_hw: tuple[int, int]) -> Architecture:
        """Returns the same network at another input size; raises SpaceError where it cannot take it."""
        return dataclasses.replace(self, input_hw=input_hw)

    def to_dict(self) -> dict[str, Any]:
        """Returns nested dicts and lists of plain values, as YAML and JSON hold them."""
        plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        return plain

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Architecture:
        """Builds an architecture from `to_dict`'s form; raises SpaceError naming the unknown or wrong field."""
        return _read(cls, data, "architecture")

    def to_yaml(self, path: Path | str) -> None:
        """Writes the architecture to a YAML file, whole or not at all."""
        write_text(Path(path), yaml.safe_dump(self.to_dict(), sort_keys=False))

    @classmethod
    def from_yaml(cls, path: Path | str) -> Architecture:
        """Reads an architecture from a YAML file; raises SpaceError naming the file if it holds none."""
        try:
            data = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
            reason = str(error) or type(error).__name__
            raise SpaceError(f"{path} is not a YAML file: {reason}; give an architecture file") from None
        except (IsADirectoryError, FileNotFoundError):
            raise SpaceError(f"{path} is no file; give an architecture YAML or the name of a design") from None
        try:
            return cls.from_dict(data)
        except SpaceError as error:
            raise SpaceError(f"{path}: {error}") from None

    def key(self) -> str:
        """Returns 16 hex digits that are equal for equal architectures; fields at their default do not enter."""
        canonical = json.dumps(_without_defaults(self), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _require_positive(what: str, data: Any, names: tuple[str, ...]) -> None:
    for name in names:
        if getattr(data, name) < 1:
            raise SpaceError(f"{what} {name} must be at least 1, got {getattr(data, name)}")


def _without_defaults(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_without_defaults(item) for item in value]
    if not dataclasses.is_dataclass(value):
        return value
    fields = ((field, getattr(value, field.name)) for field in dataclasses.fields(value))
    return {field.name: _without_defaults(item) for field, item in fields if item != field.default}


def _read(cls: type[T], data: Any, where: str) -> T:
    """Builds the dataclass `cls` from a mapping, checking names and types all the way down."""
    if not isinstance(data, Mapping):
        raise SpaceError(f"{where} must be a mapping, got {type(data).__name__}")
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for name in data:
        if name not in fields:
            hint = nearest(str(name), fields)
            raise SpaceError(f"{where} has an unknown field {name!r}{hint}; known: {', '.join(fields)}")
    for name, field in fields.items():
        if name not in data and field.default is dataclasses.MISSING:
            raise SpaceError(f"{where} lacks the field {name!r}")
    hints = typing.get_type_hints(cls)
    return cls(**{name: _read_value(hints[name], value, f"{where}.{name}") for name, value in data.items()})


def _read_value(hint: Any, value: Any, where: str) -> Any:
    if isinstance(hint, types.UnionType):
        hint = next(part for part in typing.get_args(hint) if part is not types.NoneType)
        return None if value is None else _read_value(hint, value, where)
    if dataclasses.is_dataclass(hint):
        return _read(typing.cast(type, hint), value, where)
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, (list, tuple)):
            raise SpaceError(f"{where} must be a list, got {value!r}")
        item = typing.get_args(hint)[0]
        return tuple(_read_value(item, element, f"{where}[{i}]") for i, element in enumerate(value))
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:
        raise SpaceError(f"{where} must be of type {hint.__name__}, got {value!r}")
    return value
