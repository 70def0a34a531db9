"""Every parser of the product, with its cases and its share of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.fuzz import data_cases, file_cases, foreign_cases
from tests.fuzz.data_cases import Cases, checked, opened
from tests.fuzz.data_cases import data_cases as of_format
from trainers.data.formats import FORMATS


class Parser(NamedTuple):
    """One parser: what makes its cases in an empty folder, and how many of them the default run has."""

    prepare: Callable[[Path], Cases]
    cases: int


PARSERS: dict[str, Parser] = {
    **{f"{name} opened": Parser(of_format(name, opened), 6000) for name in FORMATS},
    **{f"{name} checked": Parser(of_format(name, checked), 3000) for name in FORMATS},
    "data converted": Parser(data_cases.convert_cases, 2000),
    "images": Parser(data_cases.image_cases, 10000),
    "videos": Parser(data_cases.video_cases, 1000),
    "ids of predict": Parser(data_cases.id_cases, 3000),
    "architecture": Parser(file_cases.architecture_cases, 4000),
    "graph": Parser(file_cases.lowering_cases, 1500),
    "--space": Parser(file_cases.space_cases, 5000),
    "options and names": Parser(file_cases.option_cases, 8000),
    "run config": Parser(file_cases.run_cases, 4000),
    "training config": Parser(file_cases.training_cases, 3000),
    "--set": Parser(file_cases.setting_cases, 5000),
    "latency CSV": Parser(file_cases.latency_cases, 4000),
    "operators CSV": Parser(file_cases.operator_cases, 2500),
    "device profile": Parser(file_cases.profile_cases, 2500),
    "residual": Parser(file_cases.residual_cases, 2500),
    "trials.csv": Parser(file_cases.trial_cases, 1500),
    "plug-ins": Parser(file_cases.plugin_cases, 3000),
    "weights.pt": Parser(file_cases.weight_cases(".pt"), 3000),
    "weights.safetensors": Parser(file_cases.weight_cases(".safetensors"), 3000),
    "checkpoint": Parser(file_cases.checkpoint_cases, 3000),
    "foreign checkpoints": Parser(foreign_cases.checkpoint_cases, 12000),
    "foreign pickles": Parser(foreign_cases.pickle_cases, 8000),
    "page, line and cell": Parser(file_cases.shown_cases, 8000),
}
