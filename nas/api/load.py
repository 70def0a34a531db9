"""Open what a path names: trained weights, the folder of a run, or an architecture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.api.evaluate import EvaluationResult, evaluate
from nas.api.predict import Image, PredictionList, predict
from nas.api.trained_detector import TrainedDetector, load_detector
from nas.architectures import load_architecture
from search_space.yaml_text import YamlError, read_yaml

if TYPE_CHECKING:
    from nas.api.search_run import SearchRun
    from search_space import Architecture


@dataclass(frozen=True, kw_only=True, eq=False)
class LoadedDetector(TrainedDetector):
    """A trained detector that finds objects and can be evaluated."""

    def predict(self, inputs: str | Path | Image | list[str | Path | Image], **options: Any) -> PredictionList:
        """Finds objects in images and videos; see `nas.predict`.

        Args:
            inputs: one input or a list.
            options: those of `nas.predict`.

        Raises:
            UserError: an input cannot be read, or an option is wrong.
        """
        return predict(self, inputs, **options)

    def evaluate(self, **options: Any) -> EvaluationResult:
        """Measures the accuracy on a data set; see `nas.evaluate`.

        Args:
            options: those of `nas.evaluate`.

        Raises:
            UserError: the data cannot be used, or an option is wrong.
        """
        return evaluate(self, **options)


def load(path: str | Path) -> LoadedDetector | SearchRun | Architecture:
    """Opens what a path or a name stands for.

    Args:
        path: a weights file, or the folder of a training or an export: a `LoadedDetector`; the folder of a run: a
            `SearchRun`; a YAML file, or the name of a design: an `Architecture`.

    Raises:
        UserError: there is nothing of that name, or it is damaged.
    """
    from search_space import DESIGNS

    if str(path) in DESIGNS or Path(path).suffix.lower() in (".yaml", ".yml"):
        return load_architecture(str(path))
    if _is_run(Path(path)):
        from nas.api.search_run import open_run

        return open_run(Path(path))
    if not Path(path).exists() and not Path(path).suffix:
        return load_architecture(str(path))  # which says what is near
    return LoadedDetector(**vars(load_detector(path)))


def _is_run(path: Path) -> bool:
    """Tells whether a path is the folder of a run, by the settings in it."""
    try:
        content = read_yaml(path / "config.yaml")
    except (OSError, YamlError):
        return False
    return isinstance(content, dict) and "space_fingerprint" in content
