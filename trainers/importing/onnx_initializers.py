"""The initialisers of an ONNX file, read from its wire format.

An ONNX file is a message of Protocol Buffers. The packages for it make objects of every part, up to 80 times the bytes
of the file, so that a small file of a stranger could exhaust the memory. Here only the fields that hold weights are
read, as views of the file; their numbers are those of the specification of ONNX (`onnx.proto`).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from trainers.importing.untrusted import (
    TensorBudget,
    UnreadableFileError,
    check_key,
    damaged,
    kept_dtype,
    tensor_of,
)

MAX_FIELDS = 1_000_000
MAX_METADATA = 1_000
MAX_DIMENSIONS = 16
MAX_LENGTH = 2**32
"""Of a dimension."""
VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
MODEL_GRAPH, MODEL_METADATA = 7, 14
GRAPH_NODE, GRAPH_INITIALIZER = 1, 5
NODE_OPERATOR = 4
DIMS, DATA_TYPE, FLOATS, INT32S, INT64S, NAME, RAW, DOUBLES, EXTERNAL, LOCATION = 1, 2, 4, 5, 7, 8, 9, 10, 13, 14
BATCH_NORM = "BatchNormalization"
DTYPES = {
    **{1: torch.float32, 2: torch.uint8, 3: torch.int8, 5: torch.int16, 6: torch.int32, 7: torch.int64},
    **{9: torch.uint8, 10: torch.float16, 11: torch.float64, 16: torch.bfloat16},
}
"""Types of elements by their number in the specification; a truth value has a byte."""
PACKED = {FLOATS: torch.float32, DOUBLES: torch.float64}
Field = tuple[int, int | memoryview]
"""Its number, and a number or the bytes of a text, message or packed list."""


@dataclass(kw_only=True)
class OnnxContent:
    """What an ONNX file holds beside its operators.

    Attributes:
        tensors: The initialisers by name, of any shape, as float32 or int64.
        metadata: The properties of the model.
        has_norms: Whether an operator is a batch normalisation.
    """

    tensors: dict[str, Tensor] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    has_norms: bool = False


class _Message:
    """Gives the fields of messages; the limit holds for all messages of a file together."""

    def __init__(self) -> None:
        self.left = MAX_FIELDS

    def fields(self, message: memoryview) -> Iterator[Field]:
        place = 0
        while place < len(message):
            self.left -= 1
            if self.left < 0:
                raise damaged(f"it has more than {MAX_FIELDS:,} fields")
            tag, place = self.varint(message, place)
            size = {FIXED64: 8, FIXED32: 4}.get(tag & 7)
            if tag & 7 == VARINT:
                value, place = self.varint(message, place)
                yield tag >> 3, value
                continue
            if tag & 7 == LENGTH:
                size, place = self.varint(message, place)
            if size is None or size > len(message) - place:
                raise damaged("it is no ONNX model, or it is cut off")
            yield tag >> 3, message[place : place + size]
            place += size

    def varint(self, message: memoryview, place: int) -> tuple[int, int]:
        value = 0
        for shift in range(0, 70, 7):
            if place >= len(message):
                break
            byte = message[place]
            place += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value & (2**64 - 1), place
        raise damaged("it is no ONNX model, or it is cut off")

    def numbers(self, value: int | memoryview) -> Iterator[int]:
        """Gives the numbers of a list that is packed, or one that is not."""
        if isinstance(value, int):
            yield value
            return
        place = 0
        while place < len(value):
            self.left -= 1
            if self.left < 0:
                raise damaged(f"it has more than {MAX_FIELDS:,} fields")
            number, place = self.varint(value, place)
            yield number


def read_onnx_content(content: bytes) -> OnnxContent:
    """Reads the initialisers and the metadata of a model.

    Raises:
        UnreadableFileError: It is no ONNX model, is damaged or beyond the limits, or keeps tensors in other files.
    """
    found, reader, budget = OnnxContent(), _Message(), TensorBudget.of_file(len(content))
    graphs = 0
    for number, value in reader.fields(memoryview(content)):
        if number == MODEL_METADATA and len(found.metadata) < MAX_METADATA:
            pair = {key: _text(text) for key, text in reader.fields(_bytes(value))}
            found.metadata[pair.get(1, "")] = pair.get(2, "")
        elif number == MODEL_GRAPH:
            graphs += 1
            _read_graph(reader, _bytes(value), found, budget)
    if graphs != 1:
        raise damaged("it is no ONNX model: it has no graph, or several")
    return found


def _read_graph(reader: _Message, graph: memoryview, found: OnnxContent, budget: TensorBudget) -> None:
    for number, value in reader.fields(graph):
        if number == GRAPH_NODE:
            fields = reader.fields(_bytes(value))
            found.has_norms |= any(each == NODE_OPERATOR and _text(inner) == BATCH_NORM for each, inner in fields)
        elif number == GRAPH_INITIALIZER:
            name, tensor = _read_tensor(reader, _bytes(value), budget)
            found.tensors[check_key(name, found.tensors)] = tensor


def _read_tensor(reader: _Message, message: memoryview, budget: TensorBudget) -> tuple[str, Tensor]:
    name, kind, dims = "", 0, list[int]()
    floats: list[tuple[torch.dtype, memoryview]] = []
    raw: memoryview | None = None
    integers: list[int] = []
    for number, value in reader.fields(message):
        if number == DIMS:
            dims += reader.numbers(value)
        elif number == DATA_TYPE and isinstance(value, int):
            kind = value
        elif number == NAME:
            name = _text(value)
        elif number == RAW:
            raw = _bytes(value)
        elif number in PACKED:
            floats.append((PACKED[number], _bytes(value)))
        elif number in (INT32S, INT64S):
            integers += reader.numbers(value)
        elif number == EXTERNAL or (number == LOCATION and value):
            raise UnreadableFileError("keeps its tensors in other files; next: export it to one file, and give that")
    if kind not in DTYPES:
        raise UnreadableFileError(f"has {name[:60]!r} in a type that is not supported; next: export it in float32")
    if len(dims) > MAX_DIMENSIONS or max(dims, default=0) >= MAX_LENGTH:
        raise damaged(f"the initialiser {name[:60]!r} has a wrong shape")
    dtype, elements = DTYPES[kind], math.prod(dims)
    budget.spend(elements, dtype)
    values = _values(dtype, raw, floats, integers)
    if values is None or values.numel() != elements:
        raise damaged(f"the initialiser {name[:60]!r} has another number of values than its shape says")
    return name, values.to(kept_dtype(dtype)).reshape(dims)


def _values(
    dtype: torch.dtype, raw: memoryview | None, floats: list[tuple[torch.dtype, memoryview]], integers: list[int]
) -> Tensor | None:
    """Returns the values `(N,)` from the one of the three fields that holds them, None where none does."""
    if raw is not None:
        return tensor_of(raw, dtype) if len(raw) % dtype.itemsize == 0 else None
    if len(floats) == 1 and floats[0][0] == dtype and len(floats[0][1]) % dtype.itemsize == 0:
        return tensor_of(floats[0][1], dtype)
    if dtype in (torch.float16, torch.bfloat16):  # as the bits of whole numbers
        return tensor_of(struct.pack(f"<{len(integers)}H", *(each & 0xFFFF for each in integers)), dtype)
    if not dtype.is_floating_point:
        signed = [each - 2**64 if each >= 2**63 else each for each in integers]
        return torch.tensor(signed, dtype=torch.int64)
    return torch.empty(0)


def _bytes(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise damaged("it is no ONNX model")
    return value


def _text(value: int | memoryview) -> str:
    return bytes(_bytes(value)[:1_000_000]).decode("utf-8", errors="replace")
