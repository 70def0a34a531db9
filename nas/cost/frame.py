"""The predicted time of a whole frame: scaling it to the input, the network, and reading the outputs as boxes."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from statistics import NormalDist
from typing import TYPE_CHECKING, Protocol

import numpy as np

from nas.cost import host
from nas.cost.cost import Latency
from nas.cost.terms import TERMS
from search_space.errors import ConfigError

if TYPE_CHECKING:
    from nas.cost.profile import Profile
    from nas.cost.terms import Vector
    from search_space import Graph

BATCH_DEVIATION = 0.2
"""Smallest standard deviation of the log latency of a batch of several images, which no profile has measured."""
LEAST_SIDE, MOST_SIDE = 16, 32768
"""Of a frame, in pixels."""
FRAME_NEEDED = "--end-to-end needs --frame H W, the size of a frame; next: --frame 1080 1920"
GROWING = np.array([kind in ("bytes", "flops") for kind, _ in TERMS])
"""The terms that are proportional to the number of images of a batch; launches and serial depth are not."""
MILLISECONDS = ("latency_ms", "low_ms", "high_ms")
SCALING, NETWORK, READING = "scaling", "network", "decoding and suppression"
"""The parts of the time of a frame."""
MEASURED, EXTRAPOLATED, PRIOR = "measured", "extrapolated", "prior"
"""What the time of a part is based on: measurements of the board, those of another batch size, or none."""


def check_frame(frame_hw: tuple[int, int]) -> None:
    """Raises ConfigError where a frame of `(H, W)` has a side out of bounds."""
    if not all(LEAST_SIDE <= side <= MOST_SIDE for side in frame_hw):
        raise ConfigError(
            f"--frame must be a height and a width from {LEAST_SIDE} to {MOST_SIDE} pixels, got "
            f"{' '.join(map(str, frame_hw))}; next: --frame 1080 1920"
        )


class NetworkLatencies(Protocol):
    """The latencies of several networks, by their index."""

    def __getitem__(self, index: int) -> Latency: ...


class PredictsNetworks(Protocol):
    """Predicts the latency of one pass of a network on one device, as `nas.cost.latency.LatencyModel` does."""

    profile: Profile
    confidence: float

    def terms(self, graph: Graph) -> Vector:
        """Returns the terms of a graph, `(len(TERMS),)`."""

    def predict(self, terms: Vector) -> NetworkLatencies:
        """Returns the latencies of networks with `terms` `(n, len(TERMS))`."""


@dataclass(frozen=True, kw_only=True)
class PartLatency:
    """The predicted milliseconds of one part of the work for a frame, with its interval."""

    part: str
    latency_ms: float
    low_ms: float
    high_ms: float
    basis: str
    """`measured`, `extrapolated` or `prior`; see `MEASURED`."""


@dataclass(frozen=True, kw_only=True)
class FrameLatency(Latency):
    """The predicted time of a frame, or of a batch of frames: the sum of its parts.

    The ends of the interval are sums too, as if all parts were off in the same direction: it is wider than that of
    independent parts.
    """

    frame_hw: tuple[int, int] | None
    """Size of a frame in pixels; None: that of the input."""
    end_to_end: bool
    """Whether scaling, decoding and suppression are included; otherwise the network is the only part."""
    batch_size: int
    """Frames that are processed together; the milliseconds are those of all of them."""
    passes: int
    """Passes of the network, one for each tile of a frame; all parts are those of all tiles."""
    parts: tuple[PartLatency, ...]

    @property
    def frames_per_s(self) -> float:
        """Frames a second, one batch after another."""
        return 1000 * self.batch_size / self.latency_ms


def frame_latency(
    model: PredictsNetworks,
    graph: Graph,
    *,
    frame_hw: tuple[int, int] | None = None,
    end_to_end: bool = False,
    batch_size: int = 1,
) -> FrameLatency:
    """Returns the predicted time of a frame, or of `batch_size` frames that go through the network together.

    The tiles of a frame go through it one after another.

    Raises:
        ValueError: `end_to_end` without the size of a frame.
    """
    passes = graph.tiles.count
    network = _times(passes, network_latency(model, graph, batch_size))
    basis = MEASURED if batch_size == 1 else EXTRAPOLATED
    parts = [_part(NETWORK, network, basis if model.profile.num_measured else PRIOR)]
    if end_to_end:
        if frame_hw is None:
            raise ValueError("the time of a whole frame needs its size")
        times = model.profile.host or host.PRIOR
        pixels, count = host.pixels(graph.tiles.tile_hw(frame_hw), graph.input_hw), passes * batch_size
        scaling = _host_part(SCALING, times.prepare, pixels, count, model)
        reading = _host_part(READING, times.read_outputs, host.boxes(graph), count, model)
        parts = [scaling, *parts, reading]
    flags = {each.name: getattr(network, each.name) for each in fields(Latency)}
    sums = {name: sum(getattr(part, name) for part in parts) for name in MILLISECONDS}
    return FrameLatency(
        **{**flags, **sums},
        frame_hw=frame_hw,
        end_to_end=end_to_end,
        batch_size=batch_size,
        passes=passes,
        parts=tuple(parts),
    )


def network_latency(model: PredictsNetworks, graph: Graph, batch_size: int) -> Latency:
    """Returns the predicted latency of one pass of the network for a batch.

    Bytes and multiply-adds grow with the batch, launches and serial depth do not. No profile has measured that, so the
    interval is widened up to the time of the images one after another, and by `BATCH_DEVIATION` at least.
    """
    terms = model.terms(graph)
    one = model.predict(terms[None])[0]
    if batch_size == 1:
        return one
    seconds = terms * model.profile.constants
    growth = float(seconds @ np.where(GROWING, batch_size, 1) / seconds.sum())
    quantile = NormalDist().inv_cdf(0.5 + model.confidence / 2)
    half = np.hypot(np.log(one.high_ms / one.latency_ms), max(np.log(batch_size / growth), quantile * BATCH_DEVIATION))
    latency_ms = one.latency_ms * growth
    low_ms, high_ms = latency_ms * float(np.exp(-half)), latency_ms * float(np.exp(half))
    return replace(one, latency_ms=latency_ms, low_ms=low_ms, high_ms=high_ms)


def _times(count: int, latency: Latency) -> Latency:
    return replace(latency, **{name: count * getattr(latency, name) for name in MILLISECONDS})


def _part(name: str, latency: Latency, basis: str) -> PartLatency:
    return PartLatency(
        part=name, latency_ms=latency.latency_ms, low_ms=latency.low_ms, high_ms=latency.high_ms, basis=basis
    )


def _host_part(
    name: str, part: host.HostPart, quantities: tuple[float, float], count: int, model: PredictsNetworks
) -> PartLatency:
    """Returns a part of the CPU, which does `count` tiles or frames one after another."""
    ms, deviation = part.predict(quantities)
    half = float(np.exp(deviation * NormalDist().inv_cdf(0.5 + model.confidence / 2)))
    return PartLatency(
        part=name,
        latency_ms=count * ms,
        low_ms=count * ms / half,
        high_ms=count * ms * half,
        basis=MEASURED if part.num_measured else PRIOR,
    )
