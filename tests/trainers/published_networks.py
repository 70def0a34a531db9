"""Networks of published checkpoints: their tensors by the rule, and what the authors' modules gave for them."""

from __future__ import annotations

import csv
import dataclasses
import json
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from search_space import Architecture, Detector, lower
from trainers.importing.convert import ImportedWeights
from trainers.importing.foreign import ForeignWeights

FOLDER = Path(__file__).parent.parent / "data" / "import"
NAMES = tuple(sorted(path.parent.name for path in FOLDER.glob("*/meta.json")))
CASES = ("", "_wide")
TOLERANCE = 1e-5
"""Of the largest value of an output."""
GOLDEN_RATIO = np.uint64(0x9E3779B97F4A7C15)
MIXERS = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))


@dataclasses.dataclass(frozen=True)
class Row:
    """One tensor of a published file."""

    key: str
    ours: str
    """Its name in our detector; empty where there is none."""
    shape: tuple[int, ...]
    role: str
    """`learned`, `statistic`, `counter`, `bins` or `unused`."""


def rows(name: str) -> list[Row]:
    with open(FOLDER / name / "mapping.csv", newline="") as file:
        return [Row(each["key"], each["ours"], _shape(each["shape"]), each["role"]) for each in csv.DictReader(file)]


def _shape(text: str) -> tuple[int, ...]:
    return () if text == "scalar" else tuple(map(int, text.split("x")))


def meta(name: str) -> dict[str, Any]:
    return dict(json.loads((FOLDER / name / "meta.json").read_text()))


def uniform(position: int, shape: tuple[int, ...]) -> Tensor:
    """Numbers from -1 to 1 that depend on the position of a tensor and the index in it: SplitMix64, 24 bits of it."""
    state = np.arange(prod(shape), dtype=np.uint64) + (np.uint64(position) << np.uint64(32))
    state *= GOLDEN_RATIO
    for shift, factor in MIXERS:
        state = (state ^ (state >> np.uint64(shift))) * np.uint64(factor)
    bits = ((state ^ (state >> np.uint64(31))) >> np.uint64(40)).astype(np.float32)
    return torch.from_numpy(bits / np.float32(2**23) - np.float32(1)).reshape(shape)


def ruled(position: int, row: Row, gain: float) -> Tensor:
    """The value of a tensor; convolutions are scaled by their fan-in."""
    if row.role == "counter":
        return torch.zeros(row.shape, dtype=torch.int64)
    if row.role == "bins":
        return torch.arange(prod(row.shape), dtype=torch.float32).reshape(row.shape)
    values = uniform(position, row.shape)
    if len(row.shape) > 1:
        return values * float(np.float32(np.sqrt(gain / prod(row.shape[1:]))))
    if row.key.endswith((".bias", ".running_mean")):
        return values * float(np.float32(0.1))
    return 1 + values * float(np.float32(0.5 if row.key.endswith(".running_var") else 0.2))


def foreign(name: str, path: str | None = None, **changes: Any) -> ForeignWeights:
    """A published file with the weights of the rule; tensors that ours never needs are left out."""
    gain = float(meta(name)["gain"])
    state = {row.key: ruled(at, row, gain) for at, row in enumerate(rows(name)) if row.role != "unused"}
    return of_state(state, path or f"{name}.pth", **changes)


def of_state(state: dict[str, Tensor], path: str = "weights.pth", **changes: Any) -> ForeignWeights:
    plain: dict[str, Any] = {"kind": "state dict", "classes": None, "norms_folded": False, "facts": {}}
    return ForeignWeights(path=Path(path), state=state, **{**plain, **changes})


def without_input_format(architecture: Architecture) -> Architecture:
    """The inputs of the vectors are what enters the network, after any change of colours and range."""
    defaults = {field.name: field.default for field in dataclasses.fields(architecture)}
    named = {name: value for name, value in defaults.items() if name == "input_format"}
    return dataclasses.replace(architecture, **named)  # type: ignore[arg-type]


def detector_of(weights: ImportedWeights, input_hw: tuple[int, int]) -> Detector:
    architecture = without_input_format(weights.architecture)
    detector = Detector(lower(architecture, num_classes=weights.num_classes, input_hw=input_hw))
    detector.load_state_dict({**detector.state_dict(), **weights.state} if weights.missing else weights.state)
    return detector.eval()


@cache
def _inputs() -> dict[str, np.ndarray]:
    with np.load(FOLDER / "inputs.npz") as stored:
        return dict(stored)


class Vectors:
    """The stored outputs of a network, each a strided subset."""

    def __init__(self, name: str) -> None:
        with np.load(FOLDER / name / "vectors.npz") as stored:
            self._stored = dict(stored)
        self._inputs = dict(zip(CASES, meta(name)["inputs"], strict=True))

    def image(self, case: str) -> Tensor:
        return torch.from_numpy(_inputs()[self._inputs[case]])

    def extra(self, name: str) -> Tensor:
        return torch.from_numpy(self._stored[name])

    def names(self, case: str) -> list[str]:
        """Names of the outputs of a case, without prefix: `0`, `1`, … or those of nodes."""
        prefix = f"outputs{case}_"
        found = [name for name in self._stored if name.startswith(prefix) and f"{name}_step" in self._stored]
        return [name.removeprefix(prefix) for name in found if case or not name.startswith("outputs_wide_")]

    def difference(self, output: Tensor, case: str, name: str) -> float:
        """The largest difference of an output, relative to its largest value."""
        full = f"outputs{case}_{name}"
        assert tuple(output.shape) == tuple(self._stored[f"{full}_shape"])
        values = output.flatten()[:: int(self._stored[f"{full}_step"])].numpy()
        return float(np.abs(values - self._stored[full]).max() / self._stored[f"{full}_largest"])
