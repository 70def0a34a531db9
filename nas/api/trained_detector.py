"""Trained weights as a caller gives them: a path, or an object that names its weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

from search_space.errors import ConfigError

if TYPE_CHECKING:
    from search_space import Architecture, Detector, TileGrid
    from trainers import Weights
    from trainers.data.pixel_range import PixelRange
    from trainers.suppression import Suppression


class HasWeights(Protocol):
    """A member of a run, the result of a training or of an import, or a loaded detector."""

    @property
    def weights(self) -> Path | None:
        """The file of its weights; None where it was not trained."""
        ...


WeightsLike: TypeAlias = "str | Path | HasWeights"


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainedDetector:
    """A trained detector with its classes."""

    weights: Path
    """The file that it was read from."""
    classes: tuple[str, ...]
    architecture: Architecture
    content: Weights = field(repr=False)

    @property
    def num_classes(self) -> int:
        """How many classes it tells apart."""
        return len(self.classes)

    @property
    def input_hw(self) -> tuple[int, int]:
        """The input size `(H, W)` in pixels that images are fitted to."""
        return self.architecture.input_hw

    @property
    def pixel_range(self) -> PixelRange | None:
        """The values that become 0 and 255 in images of more than 8 bits; None: it was trained on 8-bit images."""
        return self.content.pixel_range

    @property
    def suppression(self) -> Suppression:
        """Which detections the evaluations of its training counted."""
        from search_space.heads.assignment import is_one_to_one

        return self.content.suppression.for_head(one_to_one=is_one_to_one(self.architecture.head))

    @property
    def tiles(self) -> TileGrid:
        """How an image is cut into inputs."""
        return self.architecture.tiles

    @property
    def notes(self) -> tuple[str, ...]:
        """Lines that the user should read."""
        return self.content.notes

    @property
    def has_class_names(self) -> bool:
        """Whether the file says what its classes are called."""
        return self.content.has_class_names

    def check_input(self, input_hw: tuple[int, int]) -> None:
        """Raises SpaceError if the architecture cannot take images of `(H, W)` pixels."""
        self.content.check_input(input_hw)

    def runner(self, device: str = "cpu", threads: int | None = None) -> Detector:
        """Returns the module, as `module` does; `threads` are those of PyTorch."""
        return self.module(device)

    def module(self, device: str = "cpu") -> Detector:
        """Returns the detector as a PyTorch module in evaluation mode.

        Args:
            device: `auto`, `cpu` or `cuda`.

        Raises:
            ConfigError: the weights do not fit the architecture, or there is no such device.
        """
        from trainers.optimizer import device_for

        return self.content.detector().to(device_for(device))


def named_weights(weights: object) -> object:
    """Returns the file of an object that names its weights; anything else as it is.

    Raises:
        ConfigError: the object was not trained.
    """
    if not hasattr(weights, "weights"):
        return weights
    if weights.weights is None:
        raise ConfigError(f"{type(weights).__name__} has no weights; next: train it with nas.train")
    return weights.weights


def load_detector(weights: WeightsLike, architecture: Architecture | None = None) -> TrainedDetector:
    """Returns the trained detector that a caller means.

    Args:
        weights: a weights file, of this program or published by others, the folder of a training, of an export or of
            a run, the YAML file of a member of a front, or an object that names its weights.
        architecture: what a file published by others is read as; None: found from its tensors.

    Raises:
        ConfigError: there are no weights, or they are damaged, or not those of a whole detector.
    """
    from nas.weights_path import weights_file
    from search_space import Architecture
    from trainers.importing.opening import check_complete, open_weights

    if isinstance(weights, TrainedDetector):
        return weights
    named = named_weights(weights)
    if not isinstance(named, (str, Path)):
        raise ConfigError(f"weights cannot be {type(weights).__name__}; give a path, or an object that has weights")
    path = weights_file(Path(named))
    content = open_weights(path, architecture)
    check_complete(content, path)
    return TrainedDetector(
        weights=path,
        classes=content.classes,
        architecture=Architecture.from_dict(content.architecture),
        content=content,
    )
