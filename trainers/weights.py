"""Weights files, safe reading and writing of torch files, and detectors with initial weights from a seed."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from search_space import Architecture, Detector, lower
from search_space.errors import ConfigError, is_text
from search_space.files import write_bytes
from trainers.data.pixel_range import PixelRange, is_range
from trainers.heads import check_trainable
from trainers.importing.torch_archive import TorchArchive
from trainers.settings import SettingError
from trainers.suppression import DEFAULT_SUPPRESSION, Suppression

logger = logging.getLogger(__name__)

SAFETENSORS = ".safetensors"


class ForeignFileError(ConfigError):
    """A file that is no weights file of this program; it may be one that others published."""


def numbered_classes(num_classes: int) -> tuple[str, ...]:
    """Returns the class names of a file that states none."""
    return tuple(f"class_{index}" for index in range(num_classes))


@dataclass(frozen=True, kw_only=True)
class Weights:
    """The content of a weights file."""

    architecture: dict[str, Any]
    classes: tuple[str, ...]
    state: dict[str, Tensor]
    """May lack tensors of the detector, as the weights of a backbone do."""
    notes: tuple[str, ...] = ()
    """Lines that the user should read, such as what a published file was recognised as."""
    pixel_range: PixelRange | None = None
    """The values that become 0 and 255 in images of more than 8 bits; None: it was trained on 8-bit images."""
    suppression: Suppression = DEFAULT_SUPPRESSION
    """Which detections the evaluations of its training counted."""

    @property
    def has_class_names(self) -> bool:
        """Whether the file says what its classes are called."""
        return self.classes != numbered_classes(len(self.classes))

    def missing(self) -> tuple[str, ...]:
        """Returns the names of the detector's tensors that are not in the file."""
        with torch.device("meta"):
            graph = lower(Architecture.from_dict(self.architecture), num_classes=len(self.classes))
            own = Detector(graph).state_dict()
        return tuple(name for name in own if name not in self.state)

    def fingerprint(self) -> str:
        """Returns 16 hex characters that change with the architecture, the classes or a tensor, not with the format."""
        digest = hashlib.sha256(json.dumps([self.architecture, self.classes], sort_keys=True).encode())
        for name, value in sorted(self.state.items()):
            digest.update(json.dumps([name, str(value.dtype), list(value.shape)]).encode())
            digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()[:16]

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
    """Returns an untrained detector whose weights depend only on `seed`; the global generator is not changed.

    Raises:
        ConfigError: the head of the architecture cannot be trained.
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
    pixel_range: PixelRange | None = None,
    suppression: Suppression = DEFAULT_SUPPRESSION,
) -> None:
    """Writes weights with their architecture and class names.

    The range of the pixels is written if there is one, and of the suppression what differs from the default.

    A path with the suffix `.safetensors` is written in that format, with all but the tensors as JSON metadata.
    """
    state = detector_or_state.state_dict() if isinstance(detector_or_state, nn.Module) else detector_or_state
    plain: dict[str, Any] = {"architecture": dict(architecture), "classes": list(classes)}
    if pixel_range is not None:
        plain["pixel_range"] = list(pixel_range)
    if suppression.changes():
        plain["suppression"] = suppression.changes()
    if Path(path).suffix == SAFETENSORS:
        described = {name: json.dumps(value) for name, value in plain.items()}
        tensors = {name: value.contiguous() for name, value in cpu_copy(state).items()}
        write_bytes(Path(path), safetensors.torch.save(tensors, described))
        return
    write_torch(path, {**plain, "state": cpu_copy(state)})


def load_weights(path: str | Path) -> Weights:
    """Reads a weights file; only plain data and tensors are accepted.

    Raises:
        ConfigError: the file is missing, is not a weights file or is incomplete.
    """
    content = _read_safetensors(path) if Path(path).suffix == SAFETENSORS else read_torch(path, "weights file")
    missing = {"architecture", "classes", "state"} - content.keys()
    if missing:
        raise ForeignFileError(
            f"{path} is not a weights file: it lacks {', '.join(sorted(missing))}; give a weights.pt"
        )
    architecture, classes, state = (content[name] for name in ("architecture", "classes", "state"))
    named = isinstance(architecture, dict) and isinstance(classes, list) and all(map(_is_name, classes))
    if not named or not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ConfigError(f"{path} is a damaged weights file: its content has wrong types; give another weights.pt")
    pixel_range = content.get("pixel_range")
    if not (pixel_range is None or is_range(pixel_range)):
        raise ConfigError(
            f"{path} is a damaged weights file: pixel_range is no pair of numbers; give another weights.pt"
        )
    return Weights(
        suppression=_suppression(path, content.get("suppression", {})),
        architecture=architecture,
        classes=tuple(classes),
        state=state,
        pixel_range=None if pixel_range is None else (float(pixel_range[0]), float(pixel_range[1])),
    )


def _suppression(path: str | Path, values: object) -> Suppression:
    """Returns the suppression that a weights file states."""
    try:
        if isinstance(values, dict):
            return Suppression.from_dict(values)
    except SettingError:
        pass
    raise ConfigError(f"{path} is a damaged weights file: suppression has wrong values; give another weights.pt")


def _is_name(value: object) -> bool:
    return isinstance(value, str) and is_text(value)


def is_readable(path: Path) -> bool:
    """Returns whether `path` is a readable weights file."""
    try:
        return path.is_file() and bool(load_weights(path))
    except ConfigError as error:
        logger.warning("%s; it is treated as missing", error)
        return False


def _read_safetensors(path: str | Path) -> dict[str, Any]:
    """Reads a safetensors file; missing metadata is left out."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a mapping
            described = {name: json.loads(text) for name, text in (file.metadata() or {}).items()}
    except OSError as error:
        raise ConfigError(f"cannot read weights file {path}: {error.strerror or error}; check the path") from None
    except Exception:  # as in `read_torch`
        raise ForeignFileError(
            f"{path} is not a weights file of this program, or it is damaged; give one written by nas"
        ) from None
    return {**described, "state": state}


def load_state(detector: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Loads weights into a detector; raises ConfigError if they belong to another architecture."""
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
            f"the weights do not fit the detector of {len(own)} tensors: {counts}; give weights of this architecture"
        )
    detector.load_state_dict(state)


def cpu_copy(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns a copy of a state on the CPU."""
    return {name: value.detach().to("cpu", copy=True) for name, value in state.items()}


def write_torch(path: str | Path, content: Mapping[str, Any]) -> None:
    """Writes plain data and tensors atomically; raises like `search_space.files.write_bytes`."""
    buffer = io.BytesIO()  # torch.save to a path would not report the error of the operating system
    torch.save(dict(content), buffer)
    write_bytes(Path(path), buffer.getbuffer())


def read_torch(path: str | Path, what: str, remedy: str = "give one written by nas") -> dict[str, Any]:
    """Reads a file of plain data and tensors; raises ConfigError, ending with `remedy`, if it is not such a file.

    A compressed archive, which could exhaust memory when it is unpacked, and the legacy format are refused. The
    checksums are verified because torch does not do it.
    """
    content = None
    try:
        with (
            open(path, "rb") as file,
            warnings.catch_warnings(),
        ):  # warnings about foreign files, which are refused below
            warnings.simplefilter("ignore")
            TorchArchive(file).verify()
            file.seek(0)
            content = torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ConfigError(f"cannot read {what} {path}: {error.strerror or error}; check the path") from None
    except Exception:  # foreign files make the unpickler raise almost any exception
        content = None
    if not isinstance(content, dict):
        raise ForeignFileError(f"{path} is not a {what} of this program, or it is damaged; {remedy}")
    return content
