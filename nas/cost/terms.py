"""The terms of a network's time: launches, bytes, tiled multiplications and serial depth, by operator class.

The time is the dot product of two vectors: the amount of each term, computed here from the operators, and the time that
a board takes per unit of each term, which is fitted to measurements.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.cost.operators import CLASSES, MAC_CLASSES, Operators

Vector = NDArray[np.float64]

TERMS: tuple[tuple[str, str], ...] = (
    *(("launch", name) for name in CLASSES),
    *(("bytes", name) for name in CLASSES),
    *(("flops", name) for name in MAC_CLASSES),
    *(("depth", name) for name in MAC_CLASSES),
    ("launch", "group"),
    ("start", "start"),
)
"""(kind, class) of each term. A grouped convolution has an extra launch per group; `start` occurs once per network."""

KINDS = tuple(dict.fromkeys(kind for kind, _ in TERMS))
KIND_OF = np.array([KINDS.index(kind) for kind, _ in TERMS])
"""The kind of each term, as an index into `KINDS`."""

CLASS_OF_TERM = np.array(
    [CLASSES.index({"group": "gconv", "start": "other"}.get(name, name)) for _, name in TERMS], dtype=np.intp
)
"""The operator class of each term, as an index into `CLASSES`; the start has none and is listed as `other`."""
START = len(TERMS) - 1
GROUP = len(TERMS) - 2

NUM_CLASSES, NUM_MAC = len(CLASSES), len(MAC_CLASSES)


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How a runtime executes a graph at a precision."""

    bytes_per_element: float
    tiles: bool
    """Whether kernels process tiles of the output, as on GPUs: a partial tile costs as much as a full one."""
    fuses_activations: bool
    """Whether an activation runs inside the convolution before it."""

    def __post_init__(self) -> None:
        if not isinstance(self.bytes_per_element, (int, float)) or not 0 < self.bytes_per_element < float("inf"):
            raise ValueError(f"rules: bytes_per_element is {self.bytes_per_element!r}; it must be above 0")
        for name in ("tiles", "fuses_activations"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"rules: {name} is {getattr(self, name)!r}; it must be true or false")


def add_terms(operators: Operators, rules: Rules, num_models: int = 1) -> Vector:
    """Returns the amount of each term of every network, `(num_models, len(TERMS))`, without the start."""
    if rules.fuses_activations:
        operators = operators.kept(~operators.follows_conv)
    kind, model = operators.kind, operators.model
    moved = operators.in_elements + operators.out_elements + operators.weights
    multiplies = kind < NUM_MAC
    depth = np.where(multiplies, operators.macs / np.maximum(operators.out_elements, 1.0), 0.0)
    with np.errstate(over="ignore"):  # a time that is not finite is reported when it is predicted
        flops = 2.0 * operators.macs * (tile_padding(operators) if rules.tiles else 1.0)
    terms = np.zeros((num_models, len(TERMS)))
    cell = model * NUM_CLASSES + kind
    mac_cell = model[multiplies] * NUM_MAC + kind[multiplies]
    parts = (
        (cell, np.ones(len(kind)), NUM_CLASSES),
        (cell, rules.bytes_per_element * moved, NUM_CLASSES),
        (mac_cell, flops[multiplies], NUM_MAC),
        (mac_cell, depth[multiplies], NUM_MAC),
    )
    column = 0
    for cells, weights, width in parts:
        counted = np.bincount(cells, weights=weights, minlength=num_models * width)
        terms[:, column : column + width] = counted.reshape(num_models, width)
        column += width
    grouped = kind == CLASSES.index("gconv")
    terms[:, GROUP] = np.bincount(model[grouped], weights=operators.groups[grouped], minlength=num_models)
    return terms


def network_terms(operators: Operators, rules: Rules, num_models: int) -> Vector:
    """Returns the terms of whole networks, `(num_models, len(TERMS))`: operators and one start each."""
    terms = add_terms(operators, rules, num_models)
    terms[:, START] = 1.0
    return terms


def tile_padding(operators: Operators) -> Vector:
    """Returns the factor by which tiling increases the multiply-adds of each operator.

    A 1x1 convolution is a matrix product in tiles of 64 positions by 64 channels; so is each group of a grouped one.
    A 3x3 convolution uses tiles of 4 rows by 16 columns by 32 channels, with stride 2 of 32 positions by 16 channels.
    Other operators are not padded.
    """
    height, width, channels = operators.out_height, operators.out_width, operators.out_channels
    positions = operators.out_elements / channels
    per_group = channels / operators.groups
    padding = np.ones(len(operators))
    for name, factor in (
        ("conv1x1", _padded(positions, 64) * _padded(channels, 64)),
        ("conv3x3", _padded(height, 4) * _padded(width, 16) * _padded(channels, 32)),
        ("conv3x3s2", _padded(height * width, 32) * _padded(channels, 16)),
        ("gconv", _padded(positions, 64) * _padded(per_group, 64)),
    ):
        mask = operators.kind == CLASSES.index(name)
        padding[mask] = factor[mask]
    return padding


def _padded(size: Vector, tile: int) -> Vector:
    size = np.maximum(size, 1.0)
    return np.asarray(np.ceil(size / tile) * tile / size)
