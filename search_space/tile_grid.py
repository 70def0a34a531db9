"""How a frame is cut into the inputs of a detector where it is deployed: a grid of overlapping tiles."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from search_space.errors import SpaceError

MOST_TILES_A_SIDE = 16
DEFAULT_OVERLAP = 0.2
"""Of adjacent tiles, as a share of a tile."""
GRID_TEXT = re.compile(r"([1-9]\d?)x([1-9]\d?)")


@dataclass(frozen=True, kw_only=True)
class TileGrid:
    """The tiles of a frame; each is scaled to the input, so a frame takes as many passes of the network.

    The default, one tile, is the whole frame.

    Raises:
        SpaceError: A number is out of bounds.
    """

    columns: int = 1
    rows: int = 1
    overlap: float = DEFAULT_OVERLAP
    """Of adjacent tiles, as a share of a tile: objects up to this size are whole in some tile."""

    def __post_init__(self) -> None:
        for name in ("columns", "rows"):
            if not 1 <= getattr(self, name) <= MOST_TILES_A_SIDE:
                raise SpaceError(f"tiles {name} must be from 1 to {MOST_TILES_A_SIDE}, got {getattr(self, name)}")
        if not 0 <= self.overlap <= 0.9:
            raise SpaceError(f"tiles overlap must be from 0 to 0.9, got {self.overlap}")
        if self.count == 1:
            object.__setattr__(self, "overlap", DEFAULT_OVERLAP)

    @property
    def count(self) -> int:
        """The number of tiles, which is that of the passes of the network for a frame."""
        return self.columns * self.rows

    @property
    def name(self) -> str:
        """Columns and rows, such as `3x2`; `1` for the whole frame."""
        return "1" if self.count == 1 else f"{self.columns}x{self.rows}"

    @classmethod
    def of(cls, name: str) -> TileGrid:
        """Returns the grid of a name; raises SpaceError for another text."""
        found = GRID_TEXT.fullmatch(name)
        if name != "1" and found is None:
            raise SpaceError(f"tiles must be columns x rows, such as 3x2, or 1, got {name[:40]!r}")
        return cls() if found is None else cls(columns=int(found[1]), rows=int(found[2]))

    def tile_hw(self, frame_hw: tuple[int, int]) -> tuple[int, int]:
        """Returns the height and width in pixels of the tiles of a frame of `(H, W)`: the smallest that cover it."""
        height, width = frame_hw
        return tile_side(height, self.rows, self.overlap), tile_side(width, self.columns, self.overlap)

    def magnification(self, frame_hw: tuple[int, int], input_hw: tuple[int, int]) -> float:
        """Returns how many times as large a tile shows an object in the input as the whole frame does."""
        tile = self.tile_hw(frame_hw)
        gains = [min(input_hw[0] / hw[0], input_hw[1] / hw[1]) for hw in (tile, frame_hw)]
        return gains[0] / gains[1]


def tile_side(side: int, count: int, overlap: float) -> int:
    """Returns the side of the smallest tiles of which `count` cover a side with the overlap."""
    tile = max(1, math.floor(side / (count - (count - 1) * overlap)))
    while num_tiles(side, tile, overlap) > count:
        tile += 1
    return tile


def num_tiles(side: int, tile: int, overlap: float) -> int:
    """Returns how few tiles of `tile` px cover a side where adjacent ones share `overlap` of a tile or more."""
    if side <= tile:
        return 1
    shared = min(math.ceil(overlap * tile), tile - 1)
    return math.ceil((side - shared) / (tile - shared))
