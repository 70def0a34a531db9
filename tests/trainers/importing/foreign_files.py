"""Checkpoints put together operation by operation, and a watch over what the process does while one is read."""

from __future__ import annotations

import io
import os
import pickle
import struct
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FIXTURES = Path(__file__).parents[2] / "data" / "import" / "fixtures"
VALUES = struct.pack("<2f", 1.5, -2.0)
"""The storage `0` of the files made here: the tensor `a`."""
MARK, REDUCE, STOP, NONE, EMPTY_DICT = b"(", b"R", b".", b"N", b"}"
LEGACY_HEAD = b"".join(
    pickle.dumps(each, 2)
    for each in (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {}})
)


def plain(value: Any) -> bytes:
    """The operations that push plain data."""
    return pickle.dumps(value, 2)[2:-1]


def name(module: str, attribute: str) -> bytes:
    """`GLOBAL`."""
    return f"c{module}\n{attribute}\n".encode()


def stack_name(module: str, attribute: str) -> bytes:
    """`STACK_GLOBAL`, whose names may have dots."""
    return plain(module) + plain(attribute) + b"\x93"


def call(module: str, attribute: str, *arguments: Any) -> bytes:
    """A call by `REDUCE`, as `__reduce__` gives it."""
    return name(module, attribute) + plain(arguments) + REDUCE


def dictionary(entries: dict[str, bytes]) -> bytes:
    """A dictionary of values that are given as operations."""
    return EMPTY_DICT + MARK + b"".join(plain(key) + value for key, value in entries.items()) + b"u"


def tuple_of(*values: bytes) -> bytes:
    return MARK + b"".join(values) + b"t"


def storage(key: str = "0", count: Any = 2, kind: str = "torch FloatStorage", more: bytes = b"") -> bytes:
    """A persistent identifier."""
    named = name(*kind.split())
    return tuple_of(plain("storage"), named, plain(key), plain("cuda:0"), plain(count), more) + b"Q"


def tensor(
    held: bytes | None = None, offset: Any = 0, size: Any = (2,), stride: Any = (1,), hooks: bytes = EMPTY_DICT
) -> bytes:
    """A tensor; without arguments that of the two values."""
    held = storage() if held is None else held
    arguments = tuple_of(held, plain(offset), plain(size), plain(stride), b"\x89", hooks)
    return name("torch._utils", "_rebuild_tensor_v2") + arguments + REDUCE


def module(parameters: dict[str, bytes], inner: dict[str, bytes], **more: bytes) -> bytes:
    """An object that stands for an `nn.Module`."""
    state = {"_parameters": dictionary(parameters), "_buffers": EMPTY_DICT, "_modules": dictionary(inner), **more}
    return name("authors.nets", "Net") + b")\x81" + dictionary(state) + b"b"


def archive(operations: bytes, more: dict[str, bytes] | None = None, values: bytes = VALUES, packed: int = 0) -> bytes:
    """A zip archive as `torch.save` writes it, with the pickle of these operations."""
    buffer = io.BytesIO()
    members = {"net/data.pkl": b"\x80\x02" + operations + STOP, "net/data/0": values, "net/version": b"3\n"}
    with zipfile.ZipFile(buffer, "w", packed) as file:
        for each, content in {**members, **(more or {})}.items():
            file.writestr(each, content)
    return buffer.getvalue()


def legacy(operations: bytes, head: bytes = LEGACY_HEAD, keys: Any = ("0",), values: bytes = VALUES) -> bytes:
    """A file of the legacy format, with the object of these operations."""
    tail = pickle.dumps(list(keys), 2) + b"".join(struct.pack("<q", len(values) // 4) + values for _ in keys)
    return head + b"\x80\x02" + operations + STOP + tail


@dataclass
class Watch:
    """What happened: events that Python reports to its audit hooks, but for those of opening the file to be read."""

    path: str
    events: list[str] = field(default_factory=list)


_watches: list[Watch] = []
HARMLESS = {"builtins.id", "gc.get_objects", "object.__getattr__", "sys._getframe", "os.fstat"}


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    for watch in _watches:
        is_file = event == "open" and str(arguments[0]) == watch.path
        if not is_file and event not in HARMLESS:
            watch.events.append(f"{event} {arguments!r:.100}")


sys.addaudithook(_hook)


@contextmanager
def nothing_happens(path: Path) -> Iterator[None]:
    """Asserts that reading `path` opens, imports, compiles and starts nothing, and leaves nothing behind."""
    watch, before = Watch(str(path)), _surroundings(path.parent)
    _watches.append(watch)
    try:
        yield
    finally:
        _watches.remove(watch)
    assert not watch.events, watch.events
    assert _surroundings(path.parent) == before


def _surroundings(folder: Path) -> tuple[object, ...]:
    return sorted(folder.rglob("*")), set(sys.modules), dict(os.environ), os.getcwd()
