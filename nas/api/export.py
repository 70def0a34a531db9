"""Self-contained folders with an architecture, its weights and ONNX: `nas.export`."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from nas.api.arguments import from_arguments
from nas.api.bounds import check_at_least
from nas.api.evaluation_data import check_classes, open_evaluation_data
from nas.api.named_architecture import ArchitectureLike, find_architecture
from nas.api.result import OnNotice, Result, table_of
from nas.api.trained_detector import named_weights
from search_space.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd

    from nas.api.search_run import SearchRun
    from nas.exporters.artefact_accuracy import MeasurementData
    from nas.exporters.front import OpenData
    from nas.exporters.onnx_model import OnnxOptions
    from trainers import Weights

FORMATS = ("yaml", "onnx")


@dataclass(frozen=True, kw_only=True)
class ExportedMember(Result):
    """One architecture in its folder."""

    name: str
    path: Path
    """The file of the architecture."""
    weights: Path | None
    """None where it was not trained."""
    macs: int
    flops_2x: int
    params: int
    data: tuple[str, ...]
    """The options of commands that name the data it was trained on."""
    report: Mapping[str, Any] = field(repr=False)
    """All that cost.json holds: counts, latency, and how far ONNX differs from PyTorch."""

    @property
    def onnx_difference(self) -> float | None:
        """Largest difference of ONNX from PyTorch, relative to the scale of the outputs; None without ONNX."""
        onnx = self.report.get("onnx")
        return None if onnx is None else float(onnx["largest_relative_difference"])

    @property
    def accuracy(self) -> Mapping[str, Any] | None:
        """AP of the ONNX file and of PyTorch, and on which images; None without `data`."""
        return self.report.get("accuracy")

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON-ready data."""
        weights = None if self.weights is None else str(self.weights)
        return {**self.report, "path": str(self.path), "weights": weights, "data": list(self.data)}


@dataclass(frozen=True, kw_only=True)
class ExportResult(Result):
    """The folders of an export, most accurate member first."""

    what: str
    out: Path
    front: tuple[ExportedMember, ...]

    @property
    def frame(self) -> pd.DataFrame:
        """The members as a table, a row each."""
        return table_of(
            {name: value for name, value in vars(each).items() if name not in ("report", "data")} for each in self.front
        )


def export(
    what: ArchitectureLike | SearchRun,
    *,
    out: str | Path,
    force: bool = False,
    top: int | None = None,
    max_gflops: float | None = None,
    max_latency_ms: float | None = None,
    formats: str | Sequence[str] = FORMATS,
    opset: int | None = None,
    precision: str | None = None,
    outputs: str | None = None,
    nms: str | None = None,
    weights: str | Path | None = None,
    num_classes: int | None = None,
    input_hw: tuple[int, int] | None = None,
    device: str | Path | None = None,
    seed: int = 0,
    data: str | Path | None = None,
    data_format: str | None = None,
    images: str | Path | None = None,
    split: str | None = None,
    val_images: int | None = None,
    keep_float: str | None = None,
    calibration_images: int | None = None,
    calibration_method: str | None = None,
    on_notice: OnNotice | None = None,
) -> ExportResult:
    """Writes the front of a run, an architecture or a design to a folder, with one folder for each architecture.

    Args:
        what: the folder of a run or of a training, a YAML file, the name of a design, or an object with an
            architecture, whose weights are exported too.
        out: folder to write to.
        force: whether to replace an earlier export.
        top: number of members of the front to export, most accurate first; only for a run.
        max_gflops: maximum GFLOPs of a member, by fvcore's convention; only for a run.
        max_latency_ms: maximum of the upper end of the predicted latency interval; only for a run.
        formats: `yaml` and `onnx`, as a sequence or separated by a comma.
        opset: ONNX opset; None: 13.
        precision: precision of the ONNX model, `fp32`, `fp16` or `int8`; None: `fp32`. `int8` is calibrated on training
            images, of `data` or of the run or training that is exported.
        outputs: outputs of the ONNX model, `raw` maps, `decoded` boxes and scores, or the `boxes` after suppression;
            None: `raw`.
        nms: how `boxes` are suppressed, by NonMaxSuppression of `onnx` or by TensorRT's plug-in `efficient`; None:
            `onnx`.
        weights: weights of the architecture or design.
        num_classes: number of classes, without weights; None: that of the design or of the run that found it, else 80.
        input_hw: input size `(H, W)` in pixels, for an architecture or a design.
        device: board to predict latency for; None: that of the run.
        seed: seed of the initial weights of architectures that were not trained.
        data: the data set whose validation images the accuracy of the ONNX file is measured on, beside that of PyTorch;
            None: no measurement.
        data_format: format of the data set; None: detected.
        images: folder of the images, if they are not beside the annotations.
        split: which pair of annotation files to use, if the folder holds several.
        val_images: maximum number of validation images, evenly spaced; None: all.
        keep_float: parts that `int8` leaves in floats: `auto`, those that change the detections most; `none`; or names
            of parts with commas. None: `auto`.
        calibration_images: number of training images that `int8` is calibrated on, evenly spaced; None: 128.
        calibration_method: `minmax`, `percentile` or `entropy`; None: `minmax`.
        on_notice: is called with lines on the data that is used.

    Raises:
        UserError: there is nothing to export, an option does not apply, or `out` may not be replaced.
    """
    from nas.exporters.front import ExportRequest
    from nas.exporters.front import export as write_folders

    given = {**locals(), "device": None if device is None else str(device)}
    check_at_least("--top", top, 1)
    check_at_least("--num-classes", num_classes, 1)
    check_at_least("--val-images", val_images, 1)
    formats = _formats(formats)
    onnx = _onnx_options({"opset": opset, "precision": precision, "outputs": outputs, "nms": nms}, "onnx" in formats)
    places = {"data": data, "data_format": data_format, "images": images, "split": split}
    check_at_least("--calibration-images", calibration_images, 1)
    int8 = {"keep_float": keep_float, "num_images": calibration_images, "method": calibration_method}
    chosen = {name: value for name, value in int8.items() if value is not None}
    source = what if weights is None else weights
    open_data = _opener(places, val_images, source, onnx if "onnx" in formats else None, chosen, on_notice)
    training = _training(what, weights)
    with _named(training or what, None if weights is None else Path(weights)) as (name, file):
        about = {"data": ""} if training is None else {"origin": training.origin, "data": training.data}
        request = from_arguments(ExportRequest, given, what=name, weights=file, **about)
        try:
            reports = write_folders(request, Path(out), formats=formats, options=onnx, force=force, open_data=open_data)
        except FileExistsError as error:
            raise ConfigError(str(error)) from error
    shown = name if training is None else str(what)
    return ExportResult(what=shown, out=Path(out), front=tuple(_exported(Path(out), each) for each in reports))


def _opener(
    places: dict[str, Any],
    num_images: int | None,
    what: object,
    onnx: OnnxOptions | None,
    int8: dict[str, Any],
    on_notice: OnNotice | None,
) -> OpenData | None:
    """Returns what opens the data that is measured and calibrated on; None where none is needed.

    Raises:
        ConfigError: an option does not apply, or INT8 has no data.
    """
    from nas.exporters.artefact_accuracy import MeasurementData
    from nas.exporters.int8_files import Int8Options

    quantises = onnx is not None and onnx.precision == "int8"
    if int8 and not quantises:
        raise ConfigError("--keep-float and --calibration-* are of --precision int8; next: give it, or drop them")
    options = Int8Options(**int8)
    named = what if isinstance(what, (str, Path)) else getattr(what, "folder", None) or named_weights(what)
    place = Path(str(named))
    other = next((name for name, value in {**places, "val_images": num_images}.items() if value is not None), None)
    if quantises and places["data"] is None and not (place / "config.yaml").is_file():
        raise ConfigError("--precision int8 is calibrated on training images; next: give --data PATH")
    if other is None and not quantises:
        return None
    if places["data"] is None and not quantises:
        raise ConfigError(
            f"--{str(other).replace('_', '-')} is of the data that is measured on; next: give --data PATH too"
        )
    if onnx is None:
        raise ConfigError("--data measures the ONNX file, and --format yaml writes none; next: drop one of the two")

    def opened(weights: Weights) -> MeasurementData:
        given = {**places, "select_classes": None, "merge": None, "other_classes": None}
        given["pixel_range"] = weights.pixel_range
        splits = open_evaluation_data(given, place, weights.classes, part="val", on_notice=on_notice)
        check_classes(place, weights, splits.val.classes, on_notice)
        return MeasurementData(splits=splits, num_images=num_images, int8=options)

    return opened


@dataclass(frozen=True, kw_only=True)
class _TrainingFolder:
    """What is exported of the folder of a training."""

    architecture: Path
    weights: Path
    origin: str
    data: str


def _training(what: object, weights: object) -> _TrainingFolder | None:
    """Returns the files of the folder of a training; None if `what` is anything else.

    Raises:
        ConfigError: the training has no weights yet, or other weights are given.
    """
    from nas.api.train_folder import is_training, read_config
    from nas.api.train_request import request_of
    from nas.setting_forms import command_words

    if not isinstance(what, (str, Path)) or not is_training(Path(what)):
        return None
    folder = Path(what)
    files = _TrainingFolder(
        architecture=folder / "architecture.yaml",
        weights=folder / "weights.pt",
        origin=f"The training in {folder}",
        data="".join(f" {shlex.quote(word)}" for word in command_words(request_of(read_config(folder)), "Data")),
    )
    if weights is not None:
        raise ConfigError(
            f"--weights does not apply to the training in {folder}, which has its own; give {files.architecture}"
        )
    if not files.weights.is_file():
        raise ConfigError(f"the training in {folder} has no weights yet; next: nas train --resume {folder}")
    return files


@contextmanager
def _named(
    what: ArchitectureLike | SearchRun | _TrainingFolder, weights: Path | None
) -> Iterator[tuple[str, Path | None]]:
    """Yields the path or name to export, and its weights; an object is written to a temporary file."""
    if isinstance(what, _TrainingFolder):
        yield str(what.architecture), what.weights
        return
    if isinstance(what, (str, Path)):
        yield str(what), weights
        return
    members, folder = getattr(what, "members", None), getattr(what, "folder", None)
    if members is not None and folder is not None:
        yield str(folder), weights
        return
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "architecture.yaml"
        find_architecture(cast(ArchitectureLike, what)).to_yaml(path)
        known = getattr(what, "weights", None)
        yield str(path), weights if weights is not None or known is None else Path(known)


def _formats(formats: str | Sequence[str]) -> tuple[str, ...]:

    given = formats.split(",") if isinstance(formats, str) else formats
    names = tuple(each.strip() for each in given if each.strip())
    if not names or any(each not in FORMATS for each in names):
        raise ConfigError(f"--format is {','.join(names)!r}; allowed: {', '.join(FORMATS)}, or both with a comma")
    return names


def _onnx_options(given: Mapping[str, Any], with_onnx: bool) -> OnnxOptions:
    """Returns the settings of ONNX; raises ConfigError for those that are given where none is written."""
    from nas.exporters.onnx_model import OnnxOptions

    chosen = {name: value for name, value in given.items() if value is not None}
    if chosen and not with_onnx:
        raise ConfigError(
            f"--{next(iter(chosen))} is of ONNX, and --format yaml writes none; next: drop one of the two"
        )
    return OnnxOptions(**{"form" if name == "outputs" else name: value for name, value in chosen.items()})


def _exported(out: Path, report: Mapping[str, Any]) -> ExportedMember:
    folder = out / report["name"]
    return ExportedMember(
        name=report["name"],
        path=folder / "architecture.yaml",
        weights=folder / "weights.safetensors" if report["trained"] else None,
        macs=report["macs"],
        flops_2x=report["flops_2x"],
        params=report["params"],
        data=tuple(shlex.split(report["data"])),
        report=report,
    )
