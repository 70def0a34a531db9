"""How objects are found in images, and where the results are written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nas.api.bounds import check_at_least, check_fraction
from nas.api.evaluate import tiling_from
from search_space.errors import ConfigError

if TYPE_CHECKING:
    from trainers.tiling import Tiling


@dataclass(frozen=True, kw_only=True)
class PredictionOptions:
    """How objects are found and where the results are written; see `predict`."""

    out: str | Path | None = None
    score: float = 0.25
    iou: float | None = None
    agnostic: bool = False
    max_detections: int = 300
    tile: str | int | tuple[int, int] | None = None
    overlap: float | None = None
    tile_whole: bool = False
    input_hw: tuple[int, int] | None = None
    batch: int = 8
    device: str = "auto"
    threads: int | None = None
    save_json: str | Path | None = None
    ids: str | Path | None = None
    range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        from trainers.data.pixel_range import check_range

        check_fraction("--score", self.score)
        check_fraction("--iou", self.iou)
        check_range(self.range)
        for name in ("max_detections", "batch", "threads"):
            check_at_least(f"--{name.replace('_', '-')}", getattr(self, name), 1)
        if self.ids is not None and self.save_json is None:
            raise ConfigError("--ids says which ids --save-json uses; give --save-json FILE too")

    @property
    def tiling(self) -> Tiling | None:
        """The tiling of the images; None for whole images."""
        return tiling_from(self.tile, self.overlap, self.tile_whole)
