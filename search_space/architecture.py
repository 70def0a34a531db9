"""One detector as frozen plain data: everything that decides its tensors except the number of classes."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from search_space.errors import SpaceError
from search_space.files import write_text
from search_space.head_kind import HEAD_KINDS
from search_space.input_format import InputFormat
from search_space.parts import DEFAULT_ACTIVATION, IN_UNIT, POOLS, Backbone, Extra, Head, Neck
from search_space.plain import FieldError, read_plain, without_defaults
from search_space.tile_grid import TileGrid
from search_space.yaml_text import YamlError, read_yaml

PLAIN_DOWNSAMPLES = ("conv", *IN_UNIT, *POOLS)
"""Downsamplings that accept maps with odd sides; the others need even sides."""
ODD_DOWNSAMPLES = ("conv", "rep", "depthwise", "depthwise5")
"""Downsamplings of a neck that accept maps with odd sides."""
WITH_WAY_UP = ("pan", "giraffe")
"""Kinds of neck that merge levels on the way down and up."""
ROI_BINS = 7
"""Bins along each side of a box in a two-stage head."""
SMALLEST_FREE_SIDE = 32
"""Smallest input side of a detector without a neck, in pixels."""
TRAINED = "trained"
"""The section of an architecture file that is no part of the architecture; see `search_space.trained_section`."""
LARGEST_SIDE = 8192
"""Largest input side in pixels; a larger one is probably a typing error and would exhaust memory."""


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """One detector: input size and format, backbone, neck, head, extra stages and activation.

    Raises:
        SpaceError: The parts contradict each other. Block names are checked later, by `lower`.
    """

    input_hw: tuple[int, int]
    """Height and width of the input in pixels."""
    backbone: Backbone
    head: Head
    neck: Neck | None = None
    """None: the head reads the maps of the backbone directly."""
    extras: tuple[Extra, ...] = ()
    input_format: InputFormat = InputFormat()
    """What the network sees of a picture."""
    activation: str = DEFAULT_ACTIVATION
    """The activation of the network, one of `search_space.blocks.activation.NETWORK_ACTIVATIONS`. Gates, and blocks
    whose paper fixes an activation, keep their own."""
    head_activation: str | None = None
    """That of the head; None: as in the rest of the network. The same name becomes None."""
    tiles: TileGrid = TileGrid()
    """How a frame is cut into inputs where the detector is deployed. It changes no tensor."""

    def __post_init__(self) -> None:
        if self.head_activation == self.activation:
            object.__setattr__(self, "head_activation", None)
        if len(self.input_hw) != 2:
            raise SpaceError(f"input_hw must be [height, width], got {list(self.input_hw)}")
        trunk, head = self.backbone.coarsest_level, self.head
        if head.coarsest_level > trunk:
            raise SpaceError(f"the head needs P{head.coarsest_level}, but the backbone ends at P{trunk}; add a stage")
        if (self.neck is None or self.neck.kind == "ihp") and head.coarsest_level < trunk:
            raise SpaceError(f"no head uses the backbone beyond P{head.coarsest_level}; remove stages or add a neck")
        if self.neck is None:
            self._check_without_neck()
        else:
            self._check_neck(self.neck)
        HEAD_KINDS.get(head.kind).check(self)
        self.check_input(self.input_hw)

    def _check_without_neck(self) -> None:
        if self.backbone.dual_path != "none" and not self.extras:
            raise SpaceError(
                "a dual path feeds the extra stages, and there are none; add extras or set dual_path: none"
            )

    def _check_neck(self, neck: Neck) -> None:
        head, backbone = self.head, self.backbone
        if neck.kind in WITH_WAY_UP and head.finest_level == backbone.coarsest_level:
            raise SpaceError(
                f"a {neck.kind} merges levels, so the head must start below the last backbone level; remove the neck"
            )
        has_downsample = neck.kind == "giraffe" or (neck.kind == "pan" and len(head.levels) > 1)
        if (neck.downsample is not None) != has_downsample:
            raise SpaceError(
                "neck downsample must be set for a pan with several head levels and for a giraffe, and only then"
            )
        if neck.kind == "giraffe" and neck.channels is not None:
            raise SpaceError(f"neck channels of a giraffe are those of the backbone, got {neck.channels}; remove them")
        if neck.extra_level and len(head.levels) < 2:
            raise SpaceError("neck extra_level needs a head on two levels or more, got one; remove it")
        if (neck.lateral or neck.extra_level) and head.coarsest_level < backbone.coarsest_level:
            raise SpaceError(
                f"neck lateral and extra_level need a head up to the last backbone level, P{backbone.coarsest_level}, "
                f"got P{head.coarsest_level}; remove them or stages"
            )
        if neck.kind == "pan" and neck.channels is not None and len(neck.channels) != len(self.neck_levels):
            wanted = f"P{self.neck_levels[0]} to P{self.neck_levels[-1]}"
            raise SpaceError(f"neck channels must have one value for each of {wanted}, got {list(neck.channels)}")
        if neck.groups and len(neck.groups) != len(head.levels):
            raise SpaceError(
                f"neck groups must have one value per head level ({len(head.levels)}), got {list(neck.groups)}"
            )
        if neck.p2_source != "backbone" and head.finest_level != 2:
            raise SpaceError(f"neck p2_source {neck.p2_source!r} needs a head on P2; remove it")
        self._check_last(neck)
        if self.extras or backbone.dual_path != "none":
            raise SpaceError("extra stages and a dual path cannot be combined with a neck; remove either")
        if max(backbone.removed_levels, default=0) > head.finest_level and neck.kind != "ihp":
            raise SpaceError(
                "the neck needs maps that halve from level to level, but the stride of "
                f"P{max(backbone.removed_levels)} is removed; remove strides only up to P{head.finest_level}"
            )

    def _check_last(self, neck: Neck) -> None:
        """Raises SpaceError where the end of the bottom-up path differs from a path that is too short for that."""
        num_levels = len(self.head.levels)
        if neck.nested == "last" and num_levels == 1:
            raise SpaceError(
                "neck nested 'last' needs a bottom-up path, but the head has one level; use 'by_level' or more levels"
            )
        for name, least in (("last_block", 2), ("last_downsample", 3)):
            value = getattr(neck, name)
            if value is not None and num_levels < least:
                raise SpaceError(
                    f"neck {name} needs a head on {least} levels or more, got {num_levels} and {value!r}; remove it"
                )
        if neck.nested == "last" and neck.last_block is not None:
            raise SpaceError(f"neck nested 'last' is about a block that last_block replaces, got {neck.last_block!r}")

    @property
    def activation_of_head(self) -> str:
        """The activation of the head."""
        return self.activation if self.head_activation is None else self.head_activation

    @property
    def neck_levels(self) -> range:
        """The levels of the blocks of a `pan`, finest first."""
        head, trunk = self.head, self.backbone.coarsest_level
        return range(head.finest_level, max(head.coarsest_level, trunk - 1) + 1)

    @property
    def size_multiple(self) -> int:
        """Height and width of the input must be multiples of this; 1 for a detector without a neck."""
        downsamples = {stage.downsample for stage in self.backbone.stages}
        if self.neck is None:
            return 1 if downsamples <= set(PLAIN_DOWNSAMPLES) else self._coarsest_stride
        halves = self.neck.extra_level and self.neck.downsample not in ODD_DOWNSAMPLES
        return self._coarsest_stride * (1 + halves)

    @property
    def _coarsest_stride(self) -> int:
        return int(2 ** self.backbone.log_stride(self.backbone.coarsest_level))

    @property
    def smallest_side(self) -> int:
        """The smallest input side in pixels. Extra stages without padding may need a larger one."""
        step = self.size_multiple
        return max(self._coarsest_stride, SMALLEST_FREE_SIDE) if step == 1 else step

    def check_input(self, input_hw: tuple[int, int]) -> None:
        """Raises SpaceError, with the nearest valid sizes, where the input size is invalid for this detector."""
        step, smallest = self.size_multiple, self.smallest_side
        for side in input_hw:
            if side > LARGEST_SIDE:
                raise SpaceError(
                    f"input side {side} must be at most {LARGEST_SIDE}: one image of that side takes 0.8 GB and its "
                    "maps many times that; cut larger images into tiles"
                )
            if side < smallest and step == 1:
                raise SpaceError(f"input side {side} must be at least {smallest}; nearest: {smallest}")
            if side < step or side % step:
                below, above = max(side // step, 1) * step, (max(side, 0) // step + 1) * step
                near = f"{below} or {above}" if below != above else f"{above}"
                raise SpaceError(f"input side {side} must be a positive multiple of {step}; nearest: {near}")

    def resized(self, input_hw: tuple[int, int]) -> Architecture:
        """Returns the same network at another input size; raises SpaceError where the size is invalid."""
        return dataclasses.replace(self, input_hw=input_hw)

    def to_dict(self) -> dict[str, Any]:
        """Returns nested dicts and lists of plain values for YAML or JSON, without the fields at their default.

        The defaults are part of the file format and must never change.
        """
        plain: dict[str, Any] = without_defaults(self)
        return plain

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Architecture:
        """Builds an architecture from the output of `to_dict`; raises SpaceError naming the unknown or wrong field."""
        try:
            return read_plain(cls, data)
        except FieldError as error:
            raise SpaceError(str(error)) from None

    def to_yaml(self, path: Path | str) -> None:
        """Writes the architecture to a YAML file, atomically."""
        write_text(Path(path), yaml.safe_dump(self.to_dict(), sort_keys=False))

    @classmethod
    def from_yaml(cls, path: Path | str) -> Architecture:
        """Reads an architecture from a YAML file, without its section `trained`; raises SpaceError if it is not one."""
        try:
            data = read_yaml(Path(path))
        except YamlError as error:
            raise SpaceError(f"{path} is not a YAML file: {error}; give an architecture file") from None
        except (IsADirectoryError, FileNotFoundError):
            raise SpaceError(f"{path} is not a file; give an architecture YAML or the name of a design") from None
        except OSError as error:
            raise SpaceError(f"cannot read {path}: {error.strerror}; give an architecture file") from None
        if isinstance(data, dict):
            data.pop(TRAINED, None)
        try:
            return cls.from_dict(data)
        except SpaceError as error:
            raise SpaceError(f"{path}: {error}") from None

    def key(self) -> str:
        """Returns 16 hex digits that identify the architecture; fields at their default do not count."""
        canonical = json.dumps(self.to_dict(), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]
