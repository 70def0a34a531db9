"""Tensors as the pickles of PyTorch describe them: the type and size of a storage, and a view of it.

The values are read when the tensors that are wanted are known.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from trainers.importing.inert_objects import InertName, InertObject
from trainers.importing.pickle_operations import assign, is_key
from trainers.importing.untrusted import TensorBudget, damaged, kept_dtype, tensor_of

MAX_DIMENSIONS = 16
MAX_INDEX = 2**40
"""Of a size, stride or offset: their products stay whole numbers of 64 bits."""
_DTYPES = {
    **{"Double": torch.float64, "Float": torch.float32, "Half": torch.float16, "BFloat16": torch.bfloat16},
    **{"Long": torch.int64, "Int": torch.int32, "Short": torch.int16, "Char": torch.int8, "Byte": torch.uint8},
    "Bool": torch.uint8,
}
STORAGE_DTYPES = {
    InertName(module, f"{name}Storage"): dtype for module in ("torch", "torch.cuda") for name, dtype in _DTYPES.items()
}
"""The types of storages by their names; the place of a storage is ignored."""


@dataclass(frozen=True, kw_only=True)
class Storage:
    """Values of one type in the file, in a row."""

    key: str
    dtype: torch.dtype
    count: int

    @property
    def size_bytes(self) -> int:
        """Size in the file."""
        return self.count * self.dtype.itemsize


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredTensor:
    """A view of a storage, in elements."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def elements(self) -> int:
        """The number of elements."""
        return math.prod(self.size)


class StorageReader(Protocol):
    """Gives the bytes of storages. A key belongs to one type and count."""

    def read_storage(self, storage: Storage) -> bytes:
        """Returns the values of a storage as they are in the file; raises UnreadableFileError where it is damaged."""


def storage_of(identifier: object, seen: dict[str, Storage]) -> Storage | InertName:
    """Returns what a persistent identifier of PyTorch stands for: a storage, or the name of a class of modules.

    Args:
        identifier: The identifier.
        seen: The storages so far by their keys. A new one is added.

    Raises:
        UnreadableFileError: It is neither, or it contradicts another one.
    """
    if not isinstance(identifier, tuple) or not identifier:
        raise damaged("a reference to a storage has a wrong form")
    if identifier[0] == "module" and len(identifier) == 4 and isinstance(identifier[1], InertName):
        return identifier[1]
    if identifier[0] != "storage" or len(identifier) not in (5, 6) or (len(identifier) == 6 and identifier[5]):
        raise damaged("a reference to a storage has a wrong form")
    _, name, key, _location, count = identifier[:5]
    dtype = STORAGE_DTYPES.get(name) if isinstance(name, InertName) else None
    if dtype is None or not isinstance(key, str) or not _is_index(count):
        what = f"{name.module}.{name.name}"[:60] if isinstance(name, InertName) else "of an unknown type"
        raise damaged(f"a storage {what} is not supported")
    storage = Storage(key=key, dtype=dtype, count=count)
    if seen.setdefault(key, storage) != storage:
        raise damaged("two types or sizes of one storage")
    return seen[key]


def _is_index(value: object) -> bool:
    return type(value) is int and 0 <= value < MAX_INDEX


def _rebuild_tensor(arguments: tuple[Any, ...]) -> StoredTensor:
    """Returns the view that the arguments describe: storage, offset, size, stride, and more that is ignored."""
    storage, offset, size, stride = arguments[:4]
    sizes = isinstance(size, tuple) and isinstance(stride, tuple) and len(size) == len(stride) <= MAX_DIMENSIONS
    if not isinstance(storage, Storage) or not sizes or not all(map(_is_index, (offset, *size, *stride))):
        raise damaged("the description of a tensor has wrong types")
    last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
    too_large = math.prod(size) > storage.count or math.prod(max(length, 1) for length in size) >= MAX_INDEX
    if too_large or (0 not in size and last >= storage.count):
        raise damaged("a tensor does not fit its storage")
    return StoredTensor(storage=storage, offset=offset, size=size, stride=stride)


def _rebuild_parameter(arguments: tuple[Any, ...]) -> object:
    return arguments[0]


def _mapping(arguments: tuple[Any, ...]) -> dict[Any, Any]:
    made: dict[Any, Any] = {}
    (entries,) = arguments or ((),)
    if isinstance(entries, dict):
        made.update(entries)
    elif isinstance(entries, list | tuple):
        for key, value in entries:
            assign(made, [key, value])
    return made


def _sequence(make: Callable[[list[Any]], object]) -> Callable[[tuple[Any, ...]], object]:
    def build(arguments: tuple[Any, ...]) -> object:
        (items,) = arguments or ((),)
        if not isinstance(items, list | tuple | set):
            return InertObject(name=None)
        return make(list(items))

    return build


_CONTAINERS: dict[str, Callable[[tuple[Any, ...]], object]] = {
    "dict": _mapping,
    "list": _sequence(list),
    "tuple": _sequence(tuple),
    "set": _sequence(lambda items: set(filter(is_key, items))),
    "frozenset": _sequence(lambda items: set(filter(is_key, items))),
}
KNOWN: dict[InertName, Callable[[tuple[Any, ...]], object]] = {
    InertName("collections", "OrderedDict"): _mapping,
    InertName("torch", "Size"): _sequence(tuple),
    InertName("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
    InertName("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    InertName("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    **{InertName(module, name): build for module in ("builtins", "__builtin__") for name, build in _CONTAINERS.items()},
}
"""The only names that mean something, each with what it builds. All others are inert."""


def read_tensors(wanted: Mapping[str, StoredTensor], reader: StorageReader, budget: TensorBudget) -> dict[str, Tensor]:
    """Reads tensors, each storage once.

    Args:
        wanted: Descriptions of the tensors by name.
        reader: Gives the values.
        budget: Bounds what is made of them.

    Returns:
        The tensors by name in the order of `wanted`, of any shape, as float32 or int64.

    Raises:
        UnreadableFileError: A storage is damaged, or the tensors exceed the budget.
    """
    users: dict[Storage, list[str]] = {}
    for name, tensor in wanted.items():
        budget.spend(tensor.elements, tensor.storage.dtype)
        users.setdefault(tensor.storage, []).append(name)
    made: dict[str, Tensor] = {}
    for storage, names in users.items():
        values = tensor_of(reader.read_storage(storage), storage.dtype)
        made.update((name, _view(wanted[name], values)) for name in names)
    return {name: made[name] for name in wanted}


def _view(tensor: StoredTensor, values: Tensor) -> Tensor:
    dtype = kept_dtype(values.dtype)
    if not tensor.elements:
        return torch.empty(tensor.size, dtype=dtype)
    view = values.as_strided(tensor.size, tensor.stride, tensor.offset)
    return view.to(dtype, memory_format=torch.contiguous_format, copy=True)
