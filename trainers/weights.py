"""Files of trained weights and of interrupted trainings, and detectors whose initial weights follow from a seed."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from search_space import Architecture, Detector, lower
from search_space.errors import ConfigError
from trainers.heads import check_trainable


@dataclass(frozen=True, kw_only=True)
class Weights:
    """The content of a weights file."""

    architecture: dict[str, Any]
    classes: tuple[str, ...]
    state: dict[str, Tensor]

    def check_input(self, input_hw: tuple[int, int]) -> None:
        """Raises SpaceError if the architecture cannot take images of `(H, W)` pixels."""
        Architecture.from_dict(self.architecture).check_input(input_hw)

    def detector(self) -> Detector:
        """Builds the detector with these weights, in evaluation mode.

        Raises:
            ConfigError: the weights do not fit the architecture in the file.
        """
        graph = lower(Architecture.from_dict(self.architecture), num_classes=len(self.classes))
        detector = Detector(graph)
        load_state(detector, self.state)
        return detector.eval()


def fresh_detector(
    architecture: Architecture, *, num_classes: int, seed: int, input_hw: tuple[int, int] | None = None
) -> Detector:
    """Returns an untrained detector whose weights depend on `seed` alone; the global generator is left as it was.

    Raises:
        ConfigError: there is no loss for the architecture's head.
    """
    check_trainable(architecture.head.kind)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Detector(lower(architecture, num_classes=num_classes, input_hw=input_hw))


def save_weights(
    path: str | Path,
    detector_or_state: nn.Module | Mapping[str, Tensor],
    architecture: Mapping[str, Any],
    classes: Iterable[str],
) -> None:
    """Writes weights with the architecture and the class names that they belong to."""
    state = detector_or_state.state_dict() if isinstance(detector_or_state, nn.Module) else detector_or_state
    content = {"architecture": dict(architecture), "classes": list(classes), "state": cpu_copy(state)}
    write_torch(path, content)


def load_weights(path: str | Path) -> Weights:
    """Reads a weights file; only plain data and tensors are accepted.

    Raises:
        ConfigError: the file is missing, is no weights file or lacks a part.
    """
    content = read_torch(path, "weights file")
    missing = {"architecture", "classes", "state"} - content.keys()
    if missing:
        raise ConfigError(f"{path} is no weights file: it lacks {', '.join(sorted(missing))}; give a weights.pt")
    return Weights(
        architecture=content["architecture"], classes=tuple(content["classes"]), state=dict(content["state"])
    )


def load_state(detector: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Loads weights into a detector; raises ConfigError if they are those of another one."""
    try:
        detector.load_state_dict(state)
    except RuntimeError as error:
        raise ConfigError(f"the weights do not fit the detector: {str(error).splitlines()[-1].strip()}") from None


def load_matching(detector: nn.Module, state: Mapping[str, Tensor]) -> tuple[int, int]:
    """Puts those tensors of a state into a detector that fit by name and shape; the others stay as they are.

    Returns:
        How many were taken, of how many the detector has.

    Raises:
        ConfigError: not a single weight fits.
    """
    own = detector.state_dict()
    fitting = {name: value for name, value in state.items() if name in own and own[name].shape == value.shape}
    if not any(value.ndim > 1 for value in fitting.values()):
        raise ConfigError("none of the pretrained weights fits the detector; give weights of a related architecture")
    detector.load_state_dict(fitting, strict=False)
    return len(fitting), len(own)


def cpu_copy(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns a copy of a state on the CPU that later training does not change."""
    return {name: value.detach().to("cpu", copy=True) for name, value in state.items()}


def write_torch(path: str | Path, content: Mapping[str, Any]) -> None:
    """Writes plain data and tensors to a temporary file and renames it, so that no half-written file is ever seen."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        torch.save(dict(content), temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read_torch(path: str | Path, what: str) -> dict[str, Any]:
    """Reads a file of plain data and tensors; raises ConfigError if it is missing or something else."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ConfigError(f"cannot read {what} {path}: {error.strerror}; check the path") from None
    except (RuntimeError, pickle.UnpicklingError, EOFError, KeyError, ValueError):
        raise ConfigError(f"{path} is no {what} of this program, or it is damaged; give one written by nas") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path} is no {what} of this program; give one written by nas")
    return content
