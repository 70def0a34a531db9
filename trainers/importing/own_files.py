"""Files that this program wrote, given where a file of another program is expected."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from search_space.errors import ConfigError
from trainers.importing.untrusted import UnreadableFileError

DESCRIBED = {"architecture", "classes"}
"""What a weights file says beside its tensors."""
CHECKPOINT = {"kind", "config", "state", "optimizer"}
SAFETENSORS = ".safetensors"
OWN_TENSOR = re.compile(r"(\w+\.)?blocks\.[a-z]\w*\.")
"""A name of a tensor of the detector, also as an exported model has it."""


class OwnFileError(ConfigError):
    """A weights file of this program where one of another program is expected."""


def refuse_own_torch(content: object, path: Path) -> None:
    """Checks what a file of `torch.save` holds.

    Raises:
        ConfigError: It is a weights file of this program, an OwnFileError unless its suffix is that of another format.
        UnreadableFileError: It is the checkpoint of a training.
    """
    if not isinstance(content, dict):
        return
    if content.keys() >= {*DESCRIBED, "state"}:
        raise _own(path, ".pt", renamed=path.suffix == SAFETENSORS)
    if content.keys() >= CHECKPOINT and content["kind"] == "checkpoint":
        raise UnreadableFileError(
            "is the checkpoint of a training; its weights need no import; next: give its folder as weights: "
            f"{path.parent}"
        )


def refuse_own_safetensors(metadata: Mapping[str, str], path: Path) -> None:
    """Raises ConfigError, as `refuse_own_torch`, where the metadata is that of a weights file of this program."""
    if metadata.keys() >= DESCRIBED:
        raise _own(path, SAFETENSORS, renamed=path.suffix != SAFETENSORS)


def refuse_own_onnx(names: Iterable[str], path: Path) -> None:
    """Raises UnreadableFileError where the tensors have the names that `nas export` gives them."""
    if any(map(OWN_TENSOR.match, names)):
        raise UnreadableFileError(
            "is a model that nas exported; its weights need no import; next: give the file weights.safetensors of the "
            "same export"
        )


def _own(path: Path, suffix: str, *, renamed: bool) -> ConfigError:
    if renamed:
        return ConfigError(f"{path} is a weights file of nas already; next: rename it, so that it ends with {suffix}")
    return OwnFileError(f"{path} is a weights file of nas already; it needs no import; next: give it as it is")
