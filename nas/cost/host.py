"""The work of a frame around the network, on the CPU of a board: scaling pictures, and reading the outputs as boxes.

Each of the two parts takes the sum of two quantities times a constant each:

* `prepare`: nanoseconds per pixel that is read, and per pixel of the input that is written,
* `read_outputs`: nanoseconds per picture, mostly of suppression, and per box before suppression.

The constants have a log-normal prior, and are fitted to the times that `board/measure.py` of an export measures.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.cost.cost import counted_nodes
from search_space import Graph

CPU_DEVIATION, CONSTANT_DEVIATION = 0.5, 0.2
"""Prior standard deviations of the log factors that all constants of a part share, and of each constant."""
FORM_DEVIATION = 0.25
"""Standard deviation of the log time that two constants leave open: libraries have fast cases for some sizes."""
NOISE = 0.03
"""Standard deviation of the log of a measured time."""
SOURCE = (
    "the CPUs of others: pictures scaled by the exported script on one x86 core, outputs read in 3.4 and 8.3 ms on a "
    "Jetson Nano (Krasnov et al., 2024)"
)
"""Where the constants of the prior come from."""


@dataclass(frozen=True, kw_only=True)
class HostPart:
    """The time of one part of the work around the network."""

    constants_ns: tuple[float, float]
    """Nanoseconds per unit of each of its two quantities."""
    covariance: tuple[float, float, float] = (
        CPU_DEVIATION**2 + CONSTANT_DEVIATION**2,
        CPU_DEVIATION**2,
        CPU_DEVIATION**2 + CONSTANT_DEVIATION**2,
    )
    """Of the logarithms of the constants: the variance of the first, the covariance, the variance of the second."""
    num_measured: int = 0
    """Detectors whose times the constants are fitted to; 0: they are the prior."""

    def __post_init__(self) -> None:
        if len(self.constants_ns) != 2 or len(self.covariance) != 3:
            raise ValueError("host needs 2 constants_ns and 3 numbers of a covariance for each part")
        first, both, second = self.covariance
        numbers = (*self.constants_ns, first, second)
        if not all(0 < each < float("inf") for each in numbers) or not both**2 <= first * second:
            raise ValueError("host has constants or variances that are not above 0")
        if self.num_measured < 0:
            raise ValueError(f"host num_measured is {self.num_measured}; it must be an integer of 0 or more")

    def predict(self, quantities: tuple[float, float]) -> tuple[float, float]:
        """Returns the milliseconds of some quantities, and the standard deviation of their logarithm."""
        ns = np.multiply(self.constants_ns, quantities)
        shares = ns / ns.sum()
        first, both, second = self.covariance
        variance = float(shares @ np.array([[first, both], [both, second]]) @ shares)
        return float(ns.sum()) / 1e6, float(np.sqrt(variance + FORM_DEVIATION**2))


@dataclass(frozen=True, kw_only=True)
class HostTimes:
    """The work of a board around the network."""

    prepare: HostPart
    read_outputs: HostPart


PRIOR = HostTimes(
    prepare=HostPart(constants_ns=(4.0, 1.0)),
    read_outputs=HostPart(constants_ns=(0.88e6, 162.0)),
)
"""Of `prepare`: 1920x1080 and 1280x720 pictures scaled to inputs of 320 to 1280 px by `postprocess.py`, numpy and
OpenCV on one x86 core, took 0.6 to 5.5 ns per pixel read and written. Of `read_outputs`: half of the line through the
post-processing of two detectors on a Jetson Nano that Krasnov et al. print beside their latencies, with 5040 and 20160
boxes. Half, because the Nano has the slowest of the CPUs, and the fastest are about four times as fast."""


@dataclass(frozen=True, kw_only=True)
class MeasuredPart:
    """A measured time of one part for one detector."""

    detector: str
    part: str
    """The name of the field of `HostTimes`."""
    quantities: tuple[float, float]
    ms: float


def pixels(picture_hw: tuple[int, int], input_hw: tuple[int, int]) -> tuple[float, float]:
    """Returns the quantities of `prepare` for one picture of `(H, W)`."""
    return float(picture_hw[0] * picture_hw[1]), float(input_hw[0] * input_hw[1])


def boxes(graph: Graph) -> tuple[float, float]:
    """Returns the quantities of `read_outputs` for one input: 1, and the boxes that the head gives."""
    shapes = {node.name: count.output_shape for node, _, count in counted_nodes(graph)}
    maps = [shapes[name] for name in graph.outputs if len(shapes[name]) == 3]
    per_class = 5 + graph.num_classes if graph.head.kind == "ssd" else 0
    anchors = [max(1, shape[0] // per_class) if per_class else 1 for shape in maps]
    return 1.0, float(sum(count * shape[1] * shape[2] for count, shape in zip(anchors, maps, strict=True)))


def fit_host(measured: Sequence[MeasuredPart], start: HostTimes = PRIOR) -> HostTimes:
    """Returns the times of a board that fit the measured ones best; a part that was not measured stays as it is."""
    return HostTimes(
        prepare=_fit(start.prepare, [each for each in measured if each.part == "prepare"]),
        read_outputs=_fit(start.read_outputs, [each for each in measured if each.part == "read_outputs"]),
    )


def _fit(start: HostPart, measured: Iterable[MeasuredPart]) -> HostPart:
    """Returns the constants of the largest posterior probability, with the covariance of their logarithms there."""
    from scipy.optimize import least_squares

    measured = list(measured)
    if not measured:
        return start
    quantities = np.array([each.quantities for each in measured])
    target = np.log([1e6 * each.ms for each in measured])
    first, both, second = start.covariance
    whitened = np.linalg.cholesky(np.linalg.inv([[first, both], [both, second]])).T

    def shares(logs: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(quantities * start.constants_ns * np.exp(logs))

    def residuals(logs: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.concatenate([(np.log(shares(logs).sum(axis=1)) - target) / NOISE, whitened @ logs])

    def slopes(logs: NDArray[np.float64]) -> NDArray[np.float64]:
        ns = shares(logs)
        return np.vstack([ns / ns.sum(axis=1, keepdims=True) / NOISE, whitened])

    found = least_squares(residuals, np.zeros(2), jac=slopes, max_nfev=100)
    spread = np.linalg.inv(found.jac.T @ found.jac)
    constants = np.multiply(start.constants_ns, np.exp(found.x))
    return HostPart(
        constants_ns=(_short(constants[0]), _short(constants[1])),
        covariance=(_short(spread[0, 0]), _short(spread[0, 1]), _short(spread[1, 1])),
        num_measured=len({each.detector for each in measured}),
    )


def _short(value: float) -> float:
    return float(f"{value:.6g}")
