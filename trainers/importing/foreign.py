"""Read checkpoint files of other programs as plain tensors, class names and facts."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import safetensors
from torch import Tensor

from search_space.errors import ConfigError
from trainers.importing import file_kinds
from trainers.importing.file_kinds import kind_of
from trainers.importing.legacy_torch import LegacyTorchFile
from trainers.importing.onnx_initializers import read_onnx_content
from trainers.importing.own_files import refuse_own_onnx, refuse_own_safetensors, refuse_own_torch
from trainers.importing.state_gathering import attributes, find_weights, is_module
from trainers.importing.stated_facts import FACTS, MODEL_FACTS, classes_of, facts_of, literal_class_names
from trainers.importing.stored_tensors import StoredTensor, read_tensors
from trainers.importing.torch_archive import TorchArchive
from trainers.importing.untrusted import TensorBudget, UnreadableFileError, check_key, damaged, kept_dtype

MAX_HEADER_BYTES = 16_000_000
"""Of a safetensors file."""
SAFETENSORS_TYPES = {"F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL"}
MAX_STRIDES = 16


@dataclass(frozen=True, kw_only=True)
class ForeignWeights:
    """The content of a checkpoint file of another program.

    Attributes:
        path: The file.
        kind: `module` (a pickled `nn.Module`), `state dict`, `safetensors` or `onnx`.
        state: The tensors by the names in the file, in its order, as float32 or int64. Counters of batch norms are
            among them.
        classes: The class names that the file states, in order of index, else None.
        norms_folded: Whether batch norms are part of the convolutions, as in most ONNX files.
        facts: What else the file states, as texts: `version`, `date`, `license`, `yaml`, `stride`, ...
    """

    path: Path
    kind: str
    state: dict[str, Tensor]
    classes: tuple[str, ...] | None
    norms_folded: bool
    facts: dict[str, str]


def read_foreign(path: str | Path) -> ForeignWeights:
    """Reads a checkpoint of another program: of `torch.save` in both its formats, safetensors or ONNX.

    Nothing in the file is run, and no other file is opened. Of a checkpoint with averaged weights (`ema`) these are
    taken.

    Raises:
        OwnFileError: The file is a weights file of this program.
        ConfigError: The file cannot be read, or is something else; the message says what it is.
    """
    path = Path(path)
    try:
        with _opened(path) as file:
            found = _READERS[kind_of(file, path)](file, path)
        if not found.state:
            raise UnreadableFileError("has no tensors; next: give a file with weights")
        return found
    except UnreadableFileError as error:
        raise ConfigError(f"{path} {error}") from None
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}; check the path") from None


def _opened(path: Path) -> IO[bytes]:
    """Opens a file, and nothing that could block, such as a pipe."""
    if "\0" in str(path):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    if path.exists() and not path.is_file():
        raise UnreadableFileError("is a folder or a device; next: give a file")
    return open(path, "rb")


def _read_zip(file: IO[bytes], path: Path) -> ForeignWeights:
    archive = TorchArchive(file)
    return _gathered(archive, archive.load(), file, path)


def _read_legacy(file: IO[bytes], path: Path) -> ForeignWeights:
    legacy = LegacyTorchFile(file)
    return _gathered(legacy, legacy.load(), file, path)


def _gathered(reader: TorchArchive | LegacyTorchFile, content: object, file: IO[bytes], path: Path) -> ForeignWeights:
    refuse_own_torch(content, path)
    budget = TensorBudget.of_file(_size(file))
    place, wanted = find_weights(content)
    model = dict(attributes(place))
    stride = model.get("stride")
    if isinstance(stride, StoredTensor) and stride.elements <= MAX_STRIDES:
        values = read_tensors({"stride": stride}, reader, budget)["stride"]
        model["stride"] = ", ".join(f"{value:g}" for value in values.flatten().tolist())
    top = content if isinstance(content, dict) else {}
    meta = top.get("meta")
    inner = meta.get("dataset_meta") if isinstance(meta, dict) else None
    return ForeignWeights(
        path=path,
        kind="module" if is_module(place) else "state dict",
        state=read_tensors(wanted, reader, budget),
        classes=classes_of((model, top, meta, inner)),
        norms_folded=False,
        facts=facts_of(((top, FACTS), (meta, (*FACTS, "config")), (model, MODEL_FACTS))),
    )


def _size(file: IO[bytes]) -> int:
    return os.fstat(file.fileno()).st_size


def _read_safetensors(file: IO[bytes], path: Path) -> ForeignWeights:
    size = _size(file)
    budget = TensorBudget.of_file(size)
    header = file.read(8)
    if len(header) < 8 or struct.unpack("<Q", header)[0] > min(MAX_HEADER_BYTES, size - 8):
        raise damaged("it is no safetensors file, or it is cut off")
    state: dict[str, Tensor] = {}
    try:
        with safetensors.safe_open(path, framework="pt") as opened:
            metadata = dict(opened.metadata() or {})
            refuse_own_safetensors(metadata, path)
            for name in opened.keys():  # noqa: SIM118  not a mapping
                if opened.get_slice(name).get_dtype() not in SAFETENSORS_TYPES:
                    raise UnreadableFileError(f"has {name[:60]!r} in an unknown type; next: save it in float32")
                value = opened.get_tensor(name)
                budget.spend(value.numel(), value.dtype)
                state[check_key(name, state)] = value.to(kept_dtype(value.dtype))
    except safetensors.SafetensorError as error:
        raise damaged(f"it is no safetensors file ({' '.join(str(error).split())[:80]})") from None
    return _described("safetensors", path, state, metadata, norms_folded=False)


def _read_onnx(file: IO[bytes], path: Path) -> ForeignWeights:
    content = read_onnx_content(file.read())
    refuse_own_onnx(content.tensors, path)
    return _described("onnx", path, content.tensors, content.metadata, norms_folded=not content.has_norms)


def _described(
    kind: str, path: Path, state: dict[str, Tensor], metadata: Mapping[str, str], *, norms_folded: bool
) -> ForeignWeights:
    return ForeignWeights(
        path=path,
        kind=kind,
        state=state,
        classes=literal_class_names(metadata.get("names", "")),
        norms_folded=norms_folded,
        facts=facts_of([(metadata, FACTS)]),
    )


_READERS = {
    file_kinds.ZIP: _read_zip,
    file_kinds.PICKLE: _read_legacy,
    file_kinds.SAFETENSORS: _read_safetensors,
    file_kinds.ONNX: _read_onnx,
}
