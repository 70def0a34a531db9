"""Cases for the reader of foreign checkpoints: spoilt files of each format, and pickles of random operations."""

from __future__ import annotations

import io
import struct
import zipfile
from functools import cache
from pathlib import Path
from random import Random

import safetensors.torch
import torch

from tests.fuzz.data_cases import Act, Cases
from tests.fuzz.mutations import TEXTS, spoil_bytes
from tests.trainers.importing.foreign_files import (
    FIXTURES,
    archive,
    call,
    dictionary,
    legacy,
    module,
    name,
    nothing_happens,
    plain,
    stack_name,
    storage,
    tensor,
    tuple_of,
)
from trainers.importing.foreign import ForeignWeights, read_foreign

MODEL = module({"a": tensor()}, {"b": module({"c": tensor()}, {})}, names=plain({0: "x", 1: "y"}), nc=plain(2))
ARGUMENTS = call("pathlib", "PosixPath", "a")
CONTENT = dictionary({"version": plain("8"), "model": MODEL, "ema": b"N", "train_args": ARGUMENTS})
DANGEROUS = (
    *(("posix", "system"), ("os", "system"), ("subprocess", "Popen"), ("builtins", "eval"), ("builtins", "exec")),
    *(("builtins", "getattr"), ("builtins", "open"), ("builtins", "__import__"), ("torch", "load")),
    *(("torch.storage", "_load_from_bytes"), ("torch", "serialization.os.system"), ("copyreg", "_reconstructor")),
)
HARMLESS = (
    *(("collections", "OrderedDict"), ("builtins", "set"), ("builtins", "dict"), ("builtins", "list")),
    *(("torch", "Size"), ("torch", "FloatStorage"), ("torch._utils", "_rebuild_tensor_v2")),
    ("torch._utils", "_rebuild_parameter"),
)
SINGLE = b"(.0122l]}N\x88\x89ostuaebRQ)\x8f\x90\x91\x92\x93\x94\x81\x85\x86\x87d2"
"""Operations without an argument."""


def checkpoint_cases(folder: Path) -> Cases:
    """Cases for files of every format with bytes spoilt: of the container, or of the pickle in a whole container."""
    path = folder / "w.pt"
    whole = [archive(CONTENT), legacy(CONTENT), safetensors.torch.save({"a": torch.ones(2, 3)}), _small_onnx()]

    def case(rng: Random) -> Act:
        act = rng.randrange(20)
        if act < 8:
            made = spoil_bytes(rng, rng.choice(whole))
        elif act < 14:
            make = rng.choice((archive, legacy))
            made = make(CONTENT if rng.random() < 0.1 else spoil_bytes(rng, CONTENT))
        elif act < 16:
            made = _respoilt(rng, rng.choice(("ultralytics_tiny.pt", "ultralytics_tiny_unstripped.pt")))
        elif act < 18:
            made = spoil_bytes(rng, (FIXTURES / "ultralytics_tiny.onnx").read_bytes())
        else:
            made = archive(dictionary({"a": _random_tensor(rng), "b": tensor()}))
        return _reading(path, made)

    return case


def pickle_cases(folder: Path) -> Cases:
    """Cases for pickles of values or operations by chance, with names of what could do harm."""
    path = folder / "w.pt"

    def case(rng: Random) -> Act:
        act = rng.randrange(6)
        made = b"".join(_operation(rng) for _ in range(rng.choice((3, 10, 30)))) if act < 2 else _value(rng, 4)
        place = rng.randrange(6)
        if place < 2:
            made = dictionary({"model": MODEL, "more": made})
        elif place == 2:
            made = module({"a": tensor(hooks=made)}, {}, _forward_hooks=made, names=made, stride=made)
        elif place == 3:
            made = module({}, {"b": MODEL, "c": made})
        elif place == 4:
            made = dictionary({"a": tensor(), "b": made})
        make = rng.choice((archive, archive, legacy))
        return _reading(path, make(made))

    return case


def _value(rng: Random, depth: int) -> bytes:
    """Returns the operations that push one value, which may contain others."""
    act = rng.randrange(10) if depth else rng.randrange(3)
    if act == 0:
        return plain(rng.choice((*TEXTS, 1, 0.5, None, True, 2**70, b"x")))
    if act == 1:
        return rng.choice((tensor(), MODEL, b"N", _random_tensor(rng)))
    if act == 2:
        return rng.choice((name, stack_name))(*rng.choice((*DANGEROUS, *HARMLESS)))
    inner = [_value(rng, depth - 1) for _ in range(rng.randrange(3))]
    if act == 3:
        return tuple_of(*inner)
    if act == 4:
        return b"](" + b"".join(inner) + b"e"
    if act == 5:
        return dictionary({str(index): value for index, value in enumerate(inner)})
    if act == 6:
        return b"}" + b"".join(value + b"Ns" for value in inner)
    hostile, arguments = name(*rng.choice((*DANGEROUS, *HARMLESS))), b"".join(inner)
    if act == 7:
        return hostile + tuple_of(*inner) + rng.choice((b"R", b"\x81", b"}\x92"))
    if act == 8:
        return rng.choice((b"(" + hostile + arguments + b"o", b"(" + arguments + b"iposix\nsystem\n"))
    return hostile + b")R" + dictionary({"__setstate__": hostile, "_modules": inner[0] if inner else b"}"}) + b"b"


def _reading(path: Path, content: bytes) -> Act:
    """Returns what reads a file, and makes sure that nothing else happens and that the result is sound."""

    def act() -> ForeignWeights:
        path.write_bytes(content)
        with nothing_happens(path):
            found = read_foreign(path)
        values = found.state.values()
        assert values and all(value.dtype in (torch.float32, torch.int64) for value in values)
        assert all(key.isprintable() for key in found.state)
        assert sum(value.numel() for value in values) * 4 <= max(64_000_000, 8 * len(content))
        assert found.classes is None or all(each.isprintable() for each in found.classes)
        return found

    return act


@cache
def _members(fixture: str) -> dict[str, bytes]:
    with zipfile.ZipFile(FIXTURES / fixture) as file:
        return {each: file.read(each) for each in file.namelist()}


def _respoilt(rng: Random, fixture: str) -> bytes:
    """Returns a fixture with its pickle spoilt, and checksums that are right."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for each, content in _members(fixture).items():
            file.writestr(each, spoil_bytes(rng, content) if each.endswith("data.pkl") else content)
    return buffer.getvalue()


def _small_onnx() -> bytes:
    """Returns a model of two initialisers, an operator and a property."""
    raw = b"\x08\x02\x10\x01B\x01aJ\x08" + struct.pack("<2f", 1, 2)
    listed = b"\x08\x02\x10\x07B\x01b:\x02\x01\x02"
    graph = b"\n\x06\x22\x04Conv" + b"".join(b"*" + bytes([len(each)]) + each for each in (raw, listed))
    return b"\x08\x08:" + bytes([len(graph)]) + graph + b"r\x11\n\x05names\x12\x08{0: 'a'}"


def _number(rng: Random) -> object:
    return rng.choice((0, 1, 2, 3, -1, 8, 10**12, 2**62, 2**64, True, None, 0.5, "0"))


def _numbers(rng: Random) -> object:
    return rng.choice((tuple, tuple, tuple, list))([_number(rng) for _ in range(rng.randrange(4))])


def _random_tensor(rng: Random) -> bytes:
    kind = rng.choice(("torch FloatStorage", "torch.cuda HalfStorage", "torch ByteStorage", "os system"))
    held = storage(rng.choice(("0", "0", "1", "../0")), rng.choice((2, 2, 4, 8, _number(rng))), kind)
    return tensor(held, rng.choice((0, 0, _number(rng))), _numbers(rng), _numbers(rng))


def _operation(rng: Random) -> bytes:
    act = rng.randrange(12)
    if act < 4:
        return bytes([rng.choice(SINGLE)])
    if act == 4:
        return name(*rng.choice((*DANGEROUS, *HARMLESS)))
    if act == 5:
        return stack_name(*rng.choice((*DANGEROUS, *HARMLESS)))
    if act == 6:
        return call(*rng.choice((*DANGEROUS, *HARMLESS)), *rng.choice(((), ("touch harm",), ([1, 2],), ({"a": 1},))))
    if act == 7:
        return rng.choice((tensor(), storage(), _random_tensor(rng), MODEL, plain(rng.choice(TEXTS))))
    if act == 8:
        return rng.choice((b"h", b"q")) + bytes([rng.randrange(4)])
    if act == 9:
        return tuple_of(*(plain(_number(rng)) for _ in range(rng.randrange(3))))
    if act == 10:
        return rng.choice((b"iposix\nsystem\n", b"\x82\x01", b"Pa\n", b"\x97", b"\x98", b"\x95" + b"\xff" * 8))
    return rng.randbytes(rng.choice((1, 2, 8)))
