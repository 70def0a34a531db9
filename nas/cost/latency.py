"""Predict latency on a board: the sum over the operators of a network, with an interval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from nas.cost.cost import EXTRAPOLATES_FROM, Latency, NodeKey, counted_nodes
from nas.cost.families import UNLIKE_FROM, composition_scale, covariance, new_family_half_width
from nas.cost.frame import frame_latency
from nas.cost.operators import CLASSES
from nas.cost.profile import GRID, SHARE_CLASS, ErrorModel, Profile, find_profile
from nas.cost.residual import Residual, read_residual
from nas.cost.terms import START, TERMS, Vector, add_terms
from nas.cost.tracing import node_operators
from search_space import Graph
from search_space.errors import BudgetError, ConfigError

__all__ = ["CONFIDENCE", "EXTRAPOLATES_FROM", "Latency", "LatencyModel", "LatencyPredictions", "load_model"]

CONFIDENCE = 0.9
UNMEASURED_DEVIATION = 0.8
"""Standard deviation of the log cost of a class without any measured operator."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LatencyPredictions:
    """Latencies of several networks; arrays `(n,)`."""

    latency_ms: Vector
    low_ms: Vector
    high_ms: Vector
    unsupported_share: Vector
    unlike_measured: NDArray[np.bool_]

    def __getitem__(self, index: int) -> Latency:
        return Latency(
            latency_ms=float(self.latency_ms[index]),
            low_ms=float(self.low_ms[index]),
            high_ms=float(self.high_ms[index]),
            unsupported_share=float(self.unsupported_share[index]),
            unlike_measured=bool(self.unlike_measured[index]),
        )


class LatencyModel:
    """Predicts the latency of networks on one board with one runtime and precision.

    Attributes:
        profile: Rules, constants and error of the board.
        residual: Learned correction near measured networks, or None.
        confidence: Probability that the interval contains the measured time.
        frame_hw: Size of the frames whose whole time `latency` predicts; None: the network alone.
    """

    def __init__(
        self,
        profile: Profile,
        residual: Residual | None = None,
        *,
        confidence: float = CONFIDENCE,
        frame_hw: tuple[int, int] | None = None,
    ) -> None:
        if not GRID[0] <= confidence <= GRID[-1]:
            raise BudgetError(f"confidence must be from {GRID[0]} to {GRID[-1]}, got {confidence:g}")
        self.profile = profile
        self.residual = residual
        self.confidence = confidence
        self.frame_hw = frame_hw
        error = profile.error or data_sheet_error()
        self._quantile = _at(confidence, error.quantiles)
        self._by_class = bool(error.class_scale)
        self._class_scale = np.array([error.class_scale.get(name, 1.0) for name in CLASSES])
        self._unmeasured = np.array([float(profile.measured.get(name, 0) == 0) for name in CLASSES])
        # Without any measurement the error of the data sheet already covers every class.
        self._widening = UNMEASURED_DEVIATION * NormalDist().inv_cdf(0.5 + confidence / 2) * (profile.num_measured > 0)
        self._new_family, self._covariance = 0.0, np.zeros((len(TERMS), len(TERMS)))
        if residual is not None and residual.precisions is not None and error.family_quantiles:
            self._new_family = _at(confidence, error.family_quantiles)
            self._covariance = covariance(residual.roots**2, residual.precisions)
        self._rows: dict[NodeKey, int] = {}
        self._remembered = np.zeros((256, len(TERMS)))

    def fingerprint(self) -> str:
        """Returns a digest of the constants, the residual and the error that predictions are based on."""
        parts = [self.profile.constants] + ([] if self.residual is None else [self.residual.weights])
        text = repr([float(f"{value:.4g}") for part in parts for value in part]) + repr(self.profile.error)
        text += "" if self.profile.host is None else repr(self.profile.host)
        return sha256(text.encode()).hexdigest()[:12]

    def predict(self, terms: Vector) -> LatencyPredictions:
        """Returns the predictions for networks with `terms` `(n, len(TERMS))`.

        Raises:
            ConfigError: A predicted time is not finite.
        """
        with np.errstate(all="ignore"):  # an overflow is reported below
            made = self._predict(terms)
        if not np.isfinite(made.high_ms).all():
            raise ConfigError(
                f"{self.profile.name} predicts a time that is not finite: a constant, a residual or a count is out of "
                "range; compare the profile with one in nas/cost/devices, and check the operators"
            )
        return made

    def _predict(self, terms: Vector) -> LatencyPredictions:
        seconds = terms * self.profile.constants
        total = seconds.sum(axis=1)
        shares = seconds / total[:, None]
        distance = np.ones(len(total))
        if self.residual is not None:
            learned, distance = self.residual(np.sqrt(shares))
            total = total * np.exp(learned)
        half, unsupported = self._half_widths(shares, distance)
        milliseconds = 1e3 * total
        return LatencyPredictions(
            latency_ms=milliseconds,
            low_ms=milliseconds * np.exp(-half),
            high_ms=milliseconds * np.exp(half),
            unsupported_share=unsupported,
            unlike_measured=(distance >= UNLIKE_FROM) & (self.residual is not None),
        )

    def _half_widths(self, shares: Vector, distance: Vector) -> tuple[Vector, Vector]:
        by_class = shares @ SHARE_CLASS
        scale = by_class @ self._class_scale if self._by_class else np.ones(len(shares))
        unsupported = by_class @ self._unmeasured
        half = self._quantile * scale * distance
        if self._new_family:
            of_family = composition_scale(shares, self._covariance)
            half = new_family_half_width(half, self._new_family, of_family, distance)
        return np.hypot(half, self._widening * unsupported), unsupported

    def terms(self, graph: Graph) -> Vector:
        """Returns the terms of a graph, `(len(TERMS),)`: the sum over its nodes, which are cached, and the start."""
        rows = []
        for node, key, _ in counted_nodes(graph):
            row = self._rows.get(key)
            if row is None:
                row = self._remember(key, add_terms(node_operators(node, key), self.profile.rules)[0])
            rows.append(row)
        total = np.asarray(self._remembered.take(rows, axis=0).sum(axis=0))
        total[START] = 1.0
        return total

    def _remember(self, key: NodeKey, terms: Vector) -> int:
        """Adds the terms of a node to the cache table, which doubles when full; returns its row."""
        row = len(self._rows)
        if row == len(self._remembered):
            self._remembered = np.concatenate([self._remembered, np.zeros_like(self._remembered)])
        self._remembered[row] = terms
        self._rows[key] = row
        return row

    def latency(self, graph: Graph) -> Latency:
        """Returns the predicted latency of a graph for an image in all its tiles, or the whole time of a frame.

        The latter where the model has a `frame_hw`. Takes well under a millisecond if its nodes are cached.
        """
        if self.frame_hw is not None:
            return frame_latency(self, graph, frame_hw=self.frame_hw, end_to_end=True)
        if graph.tiles.count > 1:
            return frame_latency(self, graph)
        return self.predict(self.terms(graph)[None])[0]


def _at(confidence: float, quantiles: Mapping[float, float]) -> float:
    """Returns the quantile at a confidence, interpolated."""
    return float(np.interp(confidence, GRID, [quantiles[each] for each in GRID]))


def data_sheet_error() -> ErrorModel:
    """Returns the error of a profile without measurements: +-50 % at confidence 0.9."""
    normal = NormalDist()
    spread = 0.5 / normal.inv_cdf(0.95)
    return ErrorModel(quantiles={each: spread * normal.inv_cdf(0.5 + each / 2) for each in GRID})


def load_model(
    device: str,
    precision: str | None = None,
    *,
    confidence: float = CONFIDENCE,
    frame_hw: tuple[int, int] | None = None,
) -> LatencyModel:
    """Returns the model of a device: the name of a profile or of a board (its default profile), or a YAML file.

    With a `frame_hw` it predicts the whole time of a frame of that size.

    Raises:
        ConfigError: There is no such profile.
        BudgetError: The confidence is out of range.
    """
    profile = find_profile(device, precision)
    path = profile.residual_path
    residual = None if path is None else read_residual(path)
    if residual is not None and residual.fingerprint() != profile.residual:
        raise ConfigError(f"{path} belongs to another profile; calibrate the profile again, or copy both files")
    return LatencyModel(profile, residual, confidence=confidence, frame_hw=frame_hw)
