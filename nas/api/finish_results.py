"""The scores and the export of a member that was trained on after a search."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from nas.api.export import export
from nas.api.trained_detector import load_detector
from nas.executors.scoring import SCORES
from nas.executors.training import TrainingSpec
from search_space.errors import ConfigError

if TYPE_CHECKING:
    from nas.api.train_results import Training
    from nas.config import RunConfig
    from trainers.data import Dataset

EXPORT = "export"


def evaluated_images(config: RunConfig, val: Dataset) -> tuple[str, Dataset]:
    """Returns the validation images that decided nothing in a run, and `held-out`; all and `all` if there are none."""
    from trainers.data.holdout import divide

    return ("held-out", divide(val).held_out) if config.holdout == "yes" else ("all", val)


def scored(weights: Path, dataset: Dataset, config: RunConfig) -> dict[str, float]:
    """Returns the scores of weights on images by name, and their bootstrap intervals as `NAME_low` and `NAME_high`.

    Raises:
        DataError: none of the images can be read.
    """
    from nas.executors.scoring import size_bins
    from trainers.bootstrap import intervals, resample
    from trainers.evaluation import detect_dataset
    from trainers.precision import measure

    detections = detect_dataset(load_detector(weights).module("auto"), dataset, batch_size=config.batch)
    matches = detections.match(size_bins(TrainingSpec.of(config).bins))
    found = detections.score(matches)
    values = {name: float(getattr(found, name)) for name in SCORES}
    values |= {name: each["ap"] for name, each in found.bins.items()}
    if matches.num_images > 1:
        for name, interval in intervals(measure(matches), resample(matches), dataset.classes).items():
            if name in values:
                values |= {f"{name}_low": interval.low, f"{name}_high": interval.high}
    return values


def exported(
    training: Training, device: str | None, on_notice: Callable[[str], None]
) -> tuple[Path | None, Path | None]:
    """Exports a training into its folder; returns the folder of the export and the ONNX file.

    Where ONNX cannot be written, because its packages are missing or for another reason, `on_notice` is told, and the
    rest is exported; the same where nothing can be exported.
    """
    out = training.folder / EXPORT
    for formats in (("yaml", "onnx"), ("yaml",)):
        try:
            folder = export(training, out=out, force=True, formats=formats, device=device).front[0].path.parent
        except ConfigError as error:
            without = "the export is without ONNX" if "onnx" in formats else "it is not exported"
            on_notice(f"{training.folder.name}: {without}: {error}")
            continue
        return folder, folder / "model.onnx" if "onnx" in formats else None
    return None, None
