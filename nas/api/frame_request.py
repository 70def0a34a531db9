"""What a caller asks about the time of a frame, and the predicted answer."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from nas.api.bounds import check_at_least
from search_space.errors import ConfigError

if TYPE_CHECKING:
    from nas.cost.frame import FrameLatency, PartLatency
    from nas.cost.latency import LatencyModel
    from search_space import Architecture, Graph


@dataclass(frozen=True, kw_only=True)
class FrameRequest:
    """What is asked about a frame: its size `(H, W)` in pixels, whether its whole time, and how many at once.

    Raises:
        ConfigError: a value is out of bounds, or a whole time is asked for without a size.
    """

    frame_hw: tuple[int, int] | None = None
    end_to_end: bool = False
    batch_size: int = 1

    def __post_init__(self) -> None:
        from nas.cost.frame import FRAME_NEEDED, check_frame

        if self.end_to_end and self.frame_hw is None:
            raise ConfigError(FRAME_NEEDED)
        check_at_least("--batch-size", self.batch_size, 1)
        if self.frame_hw is not None:
            check_frame(self.frame_hw)

    def figures(self, model: LatencyModel, graph: Graph) -> FrameFigures | None:
        """Returns what was asked for; None where nothing was, and a frame is one tile."""
        from nas.cost.frame import frame_latency

        if self == FrameRequest() and graph.tiles.count == 1:
            return None
        found = frame_latency(
            model, graph, frame_hw=self.frame_hw, end_to_end=self.end_to_end, batch_size=self.batch_size
        )
        return FrameFigures.of(found)


@dataclass(frozen=True, kw_only=True)
class FrameFigures:
    """The predicted milliseconds of a frame, or of a batch of frames, with its interval and its parts."""

    frame_hw: tuple[int, int] | None
    end_to_end: bool
    batch_size: int
    passes: int
    """Passes of the network for a frame, one for each tile."""
    latency_ms: float
    low_ms: float
    high_ms: float
    frames_per_s: float
    parts: tuple[PartLatency, ...]
    """Their milliseconds add up to those of the whole."""

    @property
    def name(self) -> str:
        """What the time is of, such as `frame of 1920x1080 in 6 tiles` or `batch of 4 images`."""
        tiles = "" if self.passes == 1 else f" in {self.passes} tiles"
        of_size = "" if self.frame_hw is None else f" of {self.frame_hw[1]}x{self.frame_hw[0]}"
        one = f"{self._one}{of_size}{tiles}"
        return one if self.batch_size == 1 else f"batch of {self.batch_size} {self._one}s{of_size}{tiles}"

    @property
    def whole(self) -> PartLatency:
        """The sum of the parts, as a row beside them."""
        from nas.cost.frame import PartLatency

        ends = {name: getattr(self, name) for name in ("latency_ms", "low_ms", "high_ms")}
        return PartLatency(part="all", basis="", **ends)

    @property
    def lines(self) -> tuple[str, ...]:
        """What to say beside the parts: the rate, and what is not measured."""
        from nas.cost.frame import NETWORK, PRIOR
        from nas.cost.host import SOURCE

        lines = [f"{self.frames_per_s:.4g} {self._one}s a second"]
        if any(each.basis == PRIOR and each.part != NETWORK for each in self.parts):
            lines.append(f"prior: not of this board, but of {SOURCE}; next: nas latency calibrate measured.json")
        if self.batch_size > 1:
            lines.append("a batch above 1 was never measured: its interval is wider")
        return tuple(lines)

    @property
    def _one(self) -> str:
        return "image" if self.frame_hw is None and self.passes == 1 else "frame"

    @classmethod
    def of(cls, found: FrameLatency) -> FrameFigures:
        """Returns the figures of a prediction."""
        return cls(**{each.name: getattr(found, each.name) for each in fields(cls)})


def with_tiles(architecture: Architecture, name: str | None) -> Architecture:
    """Returns an architecture with the tiles of this name; None leaves it as it is.

    Raises:
        SpaceError: the name is not one of tiles.
    """
    from search_space import TileGrid

    return architecture if name is None else replace(architecture, tiles=TileGrid.of(name))


def without_tiles(architecture: Architecture) -> Architecture:
    """Returns the architecture that sees a whole frame at once."""
    return with_tiles(architecture, "1")
