"""Files of trained weights and of interrupted trainings, and detectors whose initial weights follow from a seed."""

from __future__ import annotations

import io
import json
import logging
import os
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from search_space import Architecture, Detector, lower
from search_space.errors import ConfigError, is_text
from search_space.files import write_bytes
from trainers.heads import check_trainable

logger = logging.getLogger(__name__)

SAFETENSORS = ".safetensors"
MAX_PICKLE_BYTES = 256_000_000
"""Of what a file of ours says about its tensors; a checkpoint with a long history takes a few millions."""


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
    """Writes weights with the architecture and the class names that they belong to.

    A path that ends in `.safetensors` is written in that format, with the two as JSON in its metadata.
    """
    state = detector_or_state.state_dict() if isinstance(detector_or_state, nn.Module) else detector_or_state
    if Path(path).suffix == SAFETENSORS:
        described = {"architecture": json.dumps(dict(architecture)), "classes": json.dumps(list(classes))}
        tensors = {name: value.contiguous() for name, value in cpu_copy(state).items()}
        write_bytes(Path(path), safetensors.torch.save(tensors, described))
        return
    content = {"architecture": dict(architecture), "classes": list(classes), "state": cpu_copy(state)}
    write_torch(path, content)


def load_weights(path: str | Path) -> Weights:
    """Reads a weights file; only plain data and tensors are accepted.

    Raises:
        ConfigError: the file is missing, is no weights file or lacks a part.
    """
    content = _read_safetensors(path) if Path(path).suffix == SAFETENSORS else read_torch(path, "weights file")
    missing = {"architecture", "classes", "state"} - content.keys()
    if missing:
        raise ConfigError(f"{path} is no weights file: it lacks {', '.join(sorted(missing))}; give a weights.pt")
    architecture, classes, state = (content[name] for name in ("architecture", "classes", "state"))
    named = isinstance(architecture, dict) and isinstance(classes, list) and all(map(_is_name, classes))
    if not named or not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ConfigError(f"{path} is a damaged weights file: its parts are of wrong types; give another weights.pt")
    return Weights(architecture=architecture, classes=tuple(classes), state=state)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and is_text(value)


def is_readable(path: Path) -> bool:
    """Whether there is a weights file that can be read."""
    try:
        return path.is_file() and bool(load_weights(path))
    except ConfigError as error:
        logger.warning("%s; it is taken for lost", error)
        return False


def _read_safetensors(path: str | Path) -> dict[str, Any]:
    """Reads a safetensors file; what it does not hold, or does not hold as it should, is left out."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  it is no mapping
            described = {name: json.loads(text) for name, text in (file.metadata() or {}).items()}
    except OSError as error:
        raise ConfigError(f"cannot read weights file {path}: {error.strerror or error}; check the path") from None
    except Exception:  # as in `read_torch`
        raise ConfigError(
            f"{path} is no weights file of this program, or it is damaged; give one written by nas"
        ) from None
    return {**described, "state": state}


def load_state(detector: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Loads weights into a detector; raises ConfigError if they are those of another one."""
    own = detector.state_dict()
    kinds = {
        "missing": [name for name in own if name not in state],
        "unknown": [name for name in state if name not in own],
        "of another shape": [name for name in own if name in state and own[name].shape != state[name].shape],
    }
    wrong = {what: names for what, names in kinds.items() if names}
    if wrong:
        counts = ", ".join(f"{len(names)} {what} (first: {names[0]})" for what, names in wrong.items())
        raise ConfigError(
            f"the weights do not fit the detector of {len(own)} tensors: {counts}; give those of its architecture"
        )
    detector.load_state_dict(state)


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
    """Writes plain data and tensors whole or not at all; errors as `search_space.files.write_bytes`."""
    buffer = io.BytesIO()  # torch's own writer does not say why the system refused
    torch.save(dict(content), buffer)
    write_bytes(Path(path), buffer.getbuffer())


def _is_stored(file: IO[bytes]) -> bool:
    """Tells whether a file is a whole zip as torch writes it, packed nowhere and no larger inside than outside.

    A packed one could unpack to any amount of memory, and an older file can ask for any amount before it is refused.
    Checksums are compared here, since torch takes changed bytes for weights.
    """
    size = file.seek(0, os.SEEK_END)
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        is_plain = all(each.compress_type == zipfile.ZIP_STORED for each in entries)
        pickled = sum(each.file_size for each in entries if each.filename.endswith(".pkl"))
        total = sum(each.file_size for each in entries)
        is_readable = is_plain and total <= size and pickled <= MAX_PICKLE_BYTES and archive.testzip() is None
    file.seek(0)
    return is_readable


def read_torch(path: str | Path, what: str, remedy: str = "give one written by nas") -> dict[str, Any]:
    """Reads a file of plain data and tensors; raises ConfigError, with what to do, if it is missing or none."""
    content = None
    try:
        with open(path, "rb") as file, warnings.catch_warnings():  # of other files; that they are none is said below
            warnings.simplefilter("ignore")
            if _is_stored(file):
                content = torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ConfigError(f"cannot read {what} {path}: {error.strerror or error}; check the path") from None
    except Exception:  # other files make the unpickler raise nearly anything
        content = None
    if not isinstance(content, dict):
        raise ConfigError(f"{path} is no {what} of this program, or it is damaged; {remedy}")
    return content
