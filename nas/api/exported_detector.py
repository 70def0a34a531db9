"""An exported ONNX file as a caller gives it, beside trained weights: what `nas.evaluate` and `nas.predict` run."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from nas.api.trained_detector import TrainedDetector, WeightsLike, load_detector, named_weights
from search_space.errors import ConfigError

if TYPE_CHECKING:
    from nas.exporters.onnx_detector import OnnxDescription, OnnxDetector
    from search_space import TileGrid
    from trainers.data.pixel_range import PixelRange
    from trainers.suppression import Suppression


@dataclass(frozen=True, kw_only=True, eq=False)
class ExportedDetector:
    """An exported ONNX file with what its `detector.json` says; ONNX Runtime runs it."""

    weights: Path
    """The ONNX file."""
    notes: tuple[str, ...] = ()
    """Lines that the user should read."""
    description: OnnxDescription = field(repr=False)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of its classes."""
        return self.description.classes

    @property
    def input_hw(self) -> tuple[int, int]:
        """The input size `(H, W)` in pixels that images are fitted to."""
        return self.description.input_hw

    @property
    def pixel_range(self) -> PixelRange | None:
        """The values that become 0 and 255 in images of more than 8 bits; None: it was trained on 8-bit images."""
        return self.description.pixel_range

    @property
    def tiles(self) -> TileGrid:
        """How an image is cut into inputs."""
        return self.description.tiles

    @property
    def suppression(self) -> Suppression:
        """Which detections the evaluations of its training counted."""
        return self.description.suppression.for_head(one_to_one=not self.description.nms)

    @property
    def has_class_names(self) -> bool:
        """Whether the file says what its classes are called."""
        from trainers.weights import numbered_classes

        return self.classes != numbered_classes(len(self.classes))

    def check_input(self, input_hw: tuple[int, int]) -> None:
        """Raises ConfigError for another input size than that of the file, which is fixed."""
        if tuple(input_hw) != self.input_hw:
            height, width = self.input_hw
            raise ConfigError(
                f"--input is {input_hw[0]} {input_hw[1]}, and {self.weights} takes {height} {width} alone; next: drop "
                "it, or nas export with this --input"
            )

    def runner(self, device: str = "cpu", threads: int | None = None) -> OnnxDetector:
        """Opens the file in ONNX Runtime.

        Args:
            device: `auto`, `cpu` or `cuda`.
            threads: CPU threads; None: all.

        Raises:
            ConfigError: ONNX Runtime or the device is missing, or the file is damaged.
        """
        from nas.exporters.onnx_detector import OnnxDetector

        return OnnxDetector(self.weights, device, threads or 0)


RunnableDetector: TypeAlias = "TrainedDetector | ExportedDetector"


def open_detector(weights: WeightsLike | ExportedDetector) -> RunnableDetector:
    """Returns the detector that a caller wants to run.

    Args:
        weights: an ONNX file of an exported folder, or such a folder, which ONNX Runtime runs; or what `load_detector`
            takes, which PyTorch runs.

    Raises:
        ConfigError: there is nothing to run, or it is damaged.
    """
    if isinstance(weights, ExportedDetector):
        return weights
    named = named_weights(weights)
    path = Path(named) if isinstance(named, (str, Path)) else None
    if path is None or not (path.is_dir() or path.suffix == ".onnx"):
        return load_detector(weights)
    from nas.exporters.onnx_detector import DESCRIPTION, OnnxDescription, model_in

    model = model_in(path)
    if model is None:
        return _published(weights, path) if path.suffix == ".onnx" else load_detector(weights)
    trained = model.with_name("weights.safetensors")
    note = f"{model} is run by ONNX Runtime; {trained} is the same detector in PyTorch"
    notes = (note,) if path.is_dir() and trained.is_file() else ()
    return ExportedDetector(weights=model, notes=notes, description=OnnxDescription.read(model.with_name(DESCRIPTION)))


def _published(weights: WeightsLike | ExportedDetector, path: Path) -> TrainedDetector:
    """Reads an ONNX file that is none of an export as weights that others published."""
    from nas.exporters.onnx_detector import DESCRIPTION

    assert not isinstance(weights, ExportedDetector)
    try:
        return load_detector(weights)
    except ConfigError as error:
        raise ConfigError(
            f"{path} has no {DESCRIPTION} beside it, which says how its outputs are read, and is not read as published "
            f"weights ({error}); next: give the folder that nas export wrote"
        ) from None
