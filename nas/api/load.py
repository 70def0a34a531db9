"""Open what a path names: trained weights, the folder of a run, or an architecture."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from nas.api.evaluate import Evaluation
    from nas.api.predict import Image, Predictions
    from nas.api.search import SearchRun
    from search_space import Architecture, Detector
    from trainers import Weights


class HasWeights(Protocol):
    """A member of a run, the result of a training, or a loaded detector."""

    @property
    def weights(self) -> Path | None:
        """The file of its weights; None where it was not trained."""
        ...


WeightsLike: TypeAlias = "str | Path | HasWeights"


@dataclass(frozen=True, kw_only=True, eq=False)
class LoadedDetector:
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

    def module(self, device: str = "cpu") -> Detector:
        """Returns the detector as a PyTorch module in evaluation mode.

        Args:
            device: `auto`, `cpu` or `cuda`.

        Raises:
            ConfigError: the weights do not fit the architecture, or there is no such device.
        """
        from trainers.optimizer import device_for

        return self.content.detector().to(device_for(device))

    def predict(self, inputs: str | Path | Image | list[str | Path | Image], **options: Any) -> Predictions:
        """Finds objects in images and videos; see `nas.predict`.

        Args:
            inputs: one input or a list.
            options: those of `nas.predict`.

        Raises:
            UserError: an input cannot be read, or an option is wrong.
        """
        from nas.api.predict import predict

        return predict(self, inputs, **options)

    def evaluate(self, **options: Any) -> Evaluation:
        """Measures the accuracy on a data set; see `nas.evaluate`.

        Args:
            options: those of `nas.evaluate`.

        Raises:
            UserError: the data cannot be used, or an option is wrong.
        """
        from nas.api.evaluate import evaluate

        return evaluate(self, **options)


def load(path: str | Path) -> LoadedDetector | SearchRun | Architecture:
    """Opens what a path or a name stands for.

    Args:
        path: a weights file, or the folder of a training or an export: a `LoadedDetector`; the folder of a run: a
            `SearchRun`; a YAML file, or the name of a design: an `Architecture`.

    Raises:
        UserError: there is nothing of that name, or it is damaged.
    """
    from nas.api.opening import load_architecture
    from search_space import DESIGNS

    if str(path) in DESIGNS or Path(path).suffix.lower() in (".yaml", ".yml"):
        return load_architecture(str(path))
    if _is_run(Path(path)):
        from nas.api.search import open_run

        return open_run(Path(path))
    if not Path(path).exists() and not Path(path).suffix:
        return load_architecture(str(path))  # which says what is near
    return load_detector(path)


def load_detector(weights: WeightsLike) -> LoadedDetector:
    """Returns the trained detector that a caller means.

    Args:
        weights: a weights file, the folder of a training, of an export or of a run, the YAML file of a member of a
            front, or an object that names its weights.

    Raises:
        ConfigError: there are no weights, or they are damaged.
    """
    from nas.api.weights_path import weights_file
    from search_space import Architecture
    from search_space.errors import ConfigError
    from trainers import load_weights

    if isinstance(weights, LoadedDetector):
        return weights
    if not isinstance(weights, (str, Path)):
        named = weights.weights
        if named is None:
            raise ConfigError(f"{type(weights).__name__} has no weights; next: train it with nas.train")
        weights = named
    path = weights_file(Path(weights))
    content = load_weights(path)
    return LoadedDetector(
        weights=path,
        classes=content.classes,
        architecture=Architecture.from_dict(content.architecture),
        content=content,
    )


def _is_run(path: Path) -> bool:
    """Tells whether a path is the folder of a run, by the settings in it."""
    from search_space.yaml_text import YamlError, read_yaml

    try:
        content = read_yaml(path / "config.yaml")
    except (OSError, YamlError):
        return False
    return isinstance(content, dict) and "space_fingerprint" in content
