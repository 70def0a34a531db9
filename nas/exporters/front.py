"""Export the front of a run or one architecture."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from nas.architectures import load_architecture, trained_section_of
from nas.config import RunConfig, read_config
from nas.cost.latency import LatencyModel, load_model
from nas.data_state import open_data_of
from nas.exporters.artefact_accuracy import MeasurementData
from nas.exporters.entry import ExportEntry
from nas.exporters.entry_files import ARCHITECTURE, WEIGHTS, kit_file, write_entry
from nas.exporters.int8_files import input_of
from nas.exporters.onnx_model import OnnxOptions
from nas.plugins import check_plugins
from nas.run_folder import CONFIG_YAML, read_trials
from results import records
from results.export import FRONT_CSV, member_file, member_name, whole_folder
from results.trial import Trial
from search_space import DESIGNS, Architecture
from search_space.errors import ConfigError, SpaceError, UserError
from trainers import Weights, load_weights
from trainers.importing.opening import check_complete, open_weights

DEFAULT_CLASSES = 80
BOARD = "board"
"""Folder beside the entries with the scripts that measure and run them on a board."""
BOARD_SCRIPTS = ("detect.py", "engines.py", "measure.py", "pictures.py", "power.py", "runtimes.py", "shell.py")
NUM_IMAGES = 2
"""Number of validation images for the comparison of ONNX with PyTorch."""


@dataclass(frozen=True, kw_only=True)
class ExportRequest:
    """What to export."""

    what: str
    """Run folder, architecture file or design name."""
    top: int | None = None
    max_gflops: float | None = None
    max_latency_ms: float | None = None
    weights: Path | None = None
    num_classes: int | None = None
    input_hw: tuple[int, int] | None = None
    device: str | None = None
    seed: int = 0
    origin: str = ""
    """Where an architecture comes from, as a sentence without a period; empty: a design or a file."""
    data: str = ""
    """Options that name the data of an architecture, each after a space."""

    @property
    def is_run(self) -> bool:
        """Whether `what` is a run folder."""
        return Path(self.what).is_dir()

    def check(self) -> None:
        """Raises ConfigError if a setting does not apply to `what`."""
        of_run = {"--top": self.top, "--max-gflops": self.max_gflops, "--max-latency-ms": self.max_latency_ms}
        of_one = {"--weights": self.weights, "--num-classes": self.num_classes, "--input": self.input_hw}
        wrong = [name for name, value in (of_one if self.is_run else of_run).items() if value is not None]
        if wrong:
            kind = "the front of a run" if self.is_run else "one architecture"
            raise ConfigError(f"{', '.join(wrong)} does not apply to {kind}, {self.what}; drop it")
        if self.weights is not None and self.num_classes is not None:
            raise ConfigError("--num-classes does not apply to --weights, which contain their classes; drop it")


OpenData: TypeAlias = Callable[[Weights], MeasurementData]
"""Opens the data that a detector with these weights is measured on."""


def export(
    request: ExportRequest,
    out: Path,
    *,
    formats: Sequence[str],
    options: OnnxOptions,
    force: bool = False,
    open_data: OpenData | None = None,
) -> list[dict[str, Any]]:
    """Writes a folder per architecture and a table into `out`, atomically; returns the reports of the architectures.

    With `open_data` the accuracy of each ONNX file is measured beside that of PyTorch.

    Raises:
        ConfigError: Nothing of that name exists, nothing is left to export, ONNX cannot be written, or nothing that
            is exported has trained weights to measure.
        DataError: The data cannot be used.
        FileExistsError: `out` exists and may not be replaced.
    """
    request.check()
    members, table, device, images = _of_run(request) if request.is_run else _of_architecture(request)
    data = None if open_data is None else open_data(_trained(members, request.what))
    reports = []
    with whole_folder(out, force=force) as staging:
        for member in members:
            folder = staging / member.name
            folder.mkdir()
            hw, fit = member.architecture.input_hw, member.architecture.input_format.fit
            stack = None if images is None else np.stack([input_of(image, hw, fit) for image in images])
            report = write_entry(
                folder, member, formats=formats, options=options, device=device, images=stack, data=data
            )
            reports.append({**report, "trained": member.weights is not None, "data": member.data})
        if "onnx" in formats:
            (staging / BOARD).mkdir()
            for name in BOARD_SCRIPTS:
                (staging / BOARD / name).write_bytes(kit_file(BOARD, name))
        names = [report["name"] for report in reports]
        weights = [f"{each['name']}/{WEIGHTS}" if each["trained"] else None for each in reports]
        table = table.assign(
            architecture_file=pd.array([f"{name}/{ARCHITECTURE}" for name in names], dtype="string"),
            weights_file=pd.array(weights, dtype="string"),
        )
        records.write(table, staging / FRONT_CSV)
    return reports


def _trained(members: Sequence[ExportEntry], what: str) -> Weights:
    found = next((member.weights for member in members if member.weights is not None), None)
    if found is None:
        raise ConfigError(f"{what} has no trained weights, so there is nothing to measure; next: --weights FILE")
    return found


Found = tuple[list[ExportEntry], pd.DataFrame, LatencyModel | None, list[np.ndarray] | None]


def _of_run(request: ExportRequest) -> Found:
    run = Path(request.what)
    if not (run / CONFIG_YAML).is_file():
        raise ConfigError(
            f"{run} is not the folder of a run: it has no {CONFIG_YAML}; give one that nas run or nas train wrote"
        )
    config = read_config(run / CONFIG_YAML)
    check_plugins(config)
    members = records.front(read_trials(run))
    if members.empty:
        raise ConfigError(f"{run} has no complete trial yet, so there is no front; next: nas run --resume {run}")
    kept = _within(members.assign(rank=range(1, len(members) + 1)), request)
    if kept.empty:
        raise ConfigError(
            f"no member of the front (of {len(members)}) is within the limits; {_least(members)}; raise the limit"
        )
    board = request.device or config.device
    device = None if board is None else load_model(board, confidence=config.confidence)
    found = [
        _member(run, config, rank, trial)
        for rank, trial in zip(kept["rank"].tolist(), records.trials_of(kept), strict=True)
    ]
    return found, kept.drop(columns="rank"), device, _images(config)


def _within(members: pd.DataFrame, request: ExportRequest) -> pd.DataFrame:
    if request.max_gflops is not None:
        members = members[members["macs"] <= request.max_gflops * 1e9]
    if request.max_latency_ms is not None:
        if members["latency_high_ms"].isna().all():
            raise ConfigError(
                "--max-latency-ms needs a run with --device; this run has no predicted latency; use --max-gflops"
            )
        members = members[members["latency_high_ms"] <= request.max_latency_ms]
    return members.head(request.top) if request.top is not None else members


def _least(members: pd.DataFrame) -> str:
    least = f"the cheapest has {members['macs'].min() / 1e9:.4g} GFLOPs"
    latency = members["latency_high_ms"].min()
    return least if pd.isna(latency) else f"{least}, the fastest ends at {latency:.2f} ms"


def _member(run: Path, config: RunConfig, rank: int, trial: Trial) -> ExportEntry:
    key = trial.key
    path = run / "front" / member_file(rank, key)
    try:
        architecture = Architecture.from_yaml(path)
        if architecture.key() != key:
            raise SpaceError(f"{path} is not the architecture {key}")
    except (OSError, UserError) as error:
        raise ConfigError(f"{error}; {records.ANEW.format(run=run)}") from None
    weights = run / "weights" / f"{key}.pt"
    return ExportEntry(
        name=member_name(rank, key),
        architecture=architecture,
        classes=config.classes,
        weights=load_weights(weights) if weights.is_file() else None,
        trial=trial,
        origin=f"Member {rank} of the front of the run {config.name}; origin: {trial.origin}"
        + (f"; trained for {trial.stage} only" if trial.stage else ""),
        seed=config.seed,
        data="".join(f" {shlex.quote(word)}" for word in config.data_words()),
    )


def _of_architecture(request: ExportRequest) -> Found:
    architecture = load_architecture(request.what, request.input_hw)
    weights = None
    if request.weights is not None:
        weights = open_weights(request.weights, architecture)
        check_complete(weights, request.weights)
        trained = Architecture.from_dict(weights.architecture)
        if trained.resized(architecture.input_hw).key() != architecture.key():
            raise ConfigError(
                f"the weights {request.weights} belong to another architecture than {request.what}; give its own"
            )
        classes = weights.classes
    else:
        classes = tuple(f"class {index}" for index in range(request.num_classes or _known_classes(request.what)))
    name = request.what if request.what in DESIGNS else architecture.key()
    origin = request.origin or (
        f"The design {request.what}, {DESIGNS.get(request.what).citation}"
        if request.what in DESIGNS
        else "An architecture from a file"
    )
    member = ExportEntry(
        name=name,
        architecture=architecture,
        classes=classes,
        weights=weights,
        origin=origin.rstrip("."),
        seed=request.seed,
        data=request.data,
    )
    device = None if request.device is None else load_model(request.device)
    table = pd.DataFrame({"key": [architecture.key()]})
    return [member], table, device, None


def _known_classes(what: str) -> int:
    """Returns the number of classes of a design, or of the run that wrote a file; else the default."""
    if what in DESIGNS:
        return DESIGNS.get(what).num_classes
    trained = trained_section_of(what)
    return DEFAULT_CLASSES if trained is None else trained.num_classes


def _images(config: RunConfig) -> list[np.ndarray] | None:
    """Returns some validation images `(H, W, 3)` of a run's data, or None if it is no longer available."""
    try:
        splits = open_data_of(config)
        return [splits.val.image(index) for index in range(min(NUM_IMAGES, len(splits.val)))]
    except (UserError, OSError):
        return None
