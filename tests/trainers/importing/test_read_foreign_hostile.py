"""A pickle that runs something when it is loaded does nothing here: it is refused, or ends as inert objects."""

from __future__ import annotations

import copyreg
import pickle
import struct
from pathlib import Path

import pytest
import torch

from search_space.errors import ConfigError
from tests.trainers.importing.foreign_files import (
    EMPTY_DICT,
    LEGACY_HEAD,
    MARK,
    NONE,
    REDUCE,
    STOP,
    VALUES,
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

READ, REFUSED = "read", "refused"
COMMAND = "touch harm"
CALLS = {
    **{f"{module}.system": (module, "system", COMMAND) for module in ("os", "posix", "nt")},
    "subprocess.Popen": ("subprocess", "Popen", ["touch", "harm"]),
    **{
        f"{module}.{function}": (module, function, *arguments)
        for module in ("builtins", "__builtin__")
        for function, *arguments in (
            ("eval", "__import__('os').system('touch harm')"),
            ("exec", "open('harm', 'w')"),
            ("__import__", "antigravity"),
            ("getattr", "a", "upper"),
            ("open", "harm", "w"),
            ("compile", "1", "x", "eval"),
            ("setattr", "a", "b", 1),
        )
    },
    "torch.load": ("torch", "load", "harm"),
    "torch.hub.load": ("torch.hub", "load", "a/b", "c"),
    "torch.jit.load": ("torch.jit", "load", "harm"),
    "torch._load_from_bytes": ("torch.storage", "_load_from_bytes", pickle.dumps(print)),
    "torch._utils other": ("torch._utils", "_rebuild_qtensor", 1, 2),
    "numpy.load": ("numpy", "load", "harm"),
    "numpy reconstruct": ("numpy.core.multiarray", "_reconstruct", 1, (0,), b"b"),
    "functools.partial": ("functools", "partial", 1),
    "operator.attrgetter": ("operator", "attrgetter", "a"),
    "operator.methodcaller": ("operator", "methodcaller", "a"),
    "types.FunctionType": ("types", "FunctionType", 1),
    "codecs.decode": ("codecs", "decode", "a", "rot13"),
    "copyreg": ("copyreg", "_reconstructor", 1, 2, None),
    "copyreg.add_extension": ("copyreg", "add_extension", "os", "system", 7),
    "a module not yet imported": ("antigravity", "geohash", 1),
}


def outcome(path: Path, content: bytes) -> ForeignWeights | str:
    """Reads a file twice, the second time under watch, and returns the weights or the message of the error."""
    path.write_bytes(content)
    for watched in (False, True):
        try:
            if not watched:
                read_foreign(path)
            else:
                with nothing_happens(path):
                    return read_foreign(path)
        except ConfigError as error:
            message = str(error)
            assert message.startswith(str(path)) and "; next: " in message and "\n" not in message
    return message


def is_read(found: ForeignWeights | str) -> bool:
    """Returns whether the tensor `a` was read, and nothing else."""
    return isinstance(found, ForeignWeights) and {key: value.tolist() for key, value in found.state.items()} == {
        "a": [1.5, -2.0]
    }


MODEL = dictionary({"a": tensor()})


def beside(operations: bytes) -> bytes:
    """A checkpoint with something beside its weights."""
    return dictionary({"train_args": operations, "model": MODEL})


def test_the_watch_sees_what_happens(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    for act in ("import antigravity_", "compile('1', 'x', 'eval')", "open(path.with_name('x'), 'w')", "os.fork"):
        with pytest.raises(AssertionError), nothing_happens(path):
            try:
                exec(act, {"path": path})
            except (ImportError, NameError):
                pass
    with pytest.raises(AssertionError), nothing_happens(path):
        path.with_name("y").touch()


@pytest.mark.parametrize("case", CALLS)
def test_a_call_is_inert(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    module_, function, *arguments = CALLS[case]
    hostile = call(module_, function, *arguments)
    for make in (archive, legacy):
        assert is_read(outcome(tmp_path / "w.pt", make(beside(hostile))))
    for content in (archive(hostile), legacy(hostile, keys=())):
        assert "has no weights" in str(outcome(tmp_path / "x.pt", content))


@pytest.mark.parametrize("operation", ["reduce", "inst", "obj", "newobj", "newobj_ex", "build", "stack", "extend"])
def test_every_operation_that_calls_is_inert(operation: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    system, arguments = name("posix", "system"), plain((COMMAND,))
    forms = {
        "reduce": system + arguments + REDUCE,
        "inst": MARK + plain(COMMAND) + b"iposix\nsystem\n",
        "obj": MARK + system + plain(COMMAND) + b"o",
        "newobj": system + arguments + b"\x81",
        "newobj_ex": system + arguments + plain({"a": 1}) + b"\x92",
        "build": name("types", "SimpleNamespace") + b")R" + plain({"__setstate__": 1, "__class__": 2}) + b"b",
        "stack": stack_name("posix", "system") + arguments + REDUCE,
        "extend": system + arguments + REDUCE + MARK + plain(1) + plain(2) + b"e" + plain(3) + plain(4) + b"s",
    }
    assert is_read(outcome(tmp_path / "w.pt", archive(beside(forms[operation]))))


@pytest.mark.parametrize(
    "named",
    [
        ("torch", "serialization.os.system"),
        ("torch._utils", "_rebuild_tensor_v2.__globals__"),
        ("collections", "OrderedDict.__class__.__base__.__subclasses__"),
        ("collections", "OrderedDict.fromkeys"),
        ("builtins", "set.__class__"),
        ("torch.storage", "os.system"),
        ("", "os.system"),
        ("torch.FloatStorage", "x"),
    ],
)
def test_nested_names_are_names_of_nothing(named: tuple[str, str], tmp_path: Path) -> None:
    assert is_read(outcome(tmp_path / "w.pt", archive(beside(stack_name(*named) + plain((COMMAND,)) + REDUCE))))
    held = tuple_of(plain("storage"), stack_name(*named), plain("0"), plain("cpu"), plain(2)) + b"Q"
    assert "a storage" in str(outcome(tmp_path / "x.pt", archive(dictionary({"a": tensor(held)}))))


@pytest.mark.parametrize("code", [b"\x82\x07", b"\x83\x07\x00", b"\x84\x07\x00\x00\x00"])
def test_codes_of_the_registry_of_extensions_are_refused(code: bytes, tmp_path: Path) -> None:
    copyreg.add_extension("builtins", "print", 7)
    try:
        assert "EXT" in str(outcome(tmp_path / "w.pt", archive(beside(code + plain((COMMAND,)) + REDUCE))))
    finally:
        copyreg.remove_extension("builtins", "print", 7)


HARM = call("posix", "system", COMMAND)
PLACES = {
    "a key": (archive(EMPTY_DICT + HARM + plain(1) + b"s" + MARK + plain("model") + MODEL + b"u"), READ),
    "a key among the weights": (archive(EMPTY_DICT + plain("a") + tensor() + b"s" + HARM + plain(1) + b"s"), READ),
    "an item of a list": (archive(beside(b"]" + HARM + b"a")), READ),
    "an item of a set": (archive(beside(b"\x8f(" + HARM + b"\x90")), READ),
    "the hooks of a tensor": (archive(dictionary({"a": tensor(hooks=HARM)})), READ),
    "the storage of a tensor": (archive(dictionary({"a": tensor(HARM)})), "description of a tensor"),
    "the size of a tensor": (archive(dictionary({"a": tensor() + b"0" + HARM})), "has no weights"),
    "a persistent identifier": (archive(beside(HARM + b"Q")), "reference to a storage"),
    "a persistent identifier as text": (archive(beside(b"Pposix system\n")), "PERSID"),
    "the first pickle": (legacy(MODEL, head=b"\x80\x02" + HARM + STOP), "is a pickle, but none of PyTorch"),
    "the facts of the system": (legacy(MODEL, head=LEGACY_HEAD[:-1] + b"0" + HARM + STOP), "big-endian"),
    "the keys of the storages": (legacy(MODEL + STOP + b"\x80\x02" + HARM), "keys of its storages"),
    "behind the end": (archive(MODEL + STOP + HARM), READ),
    "another member": (archive(MODEL, {"net/evil.pkl": b"\x80\x02" + HARM + STOP, "net/data/9": HARM + STOP}), READ),
    "hooks of a module": (archive(module({"a": tensor()}, {}, _forward_hooks=HARM, __class__=HARM)), READ),
    "a module of a module": (archive(module({"a": tensor()}, {"b": HARM})), "is no module"),
    "a parameter": (archive(module({"a": tensor(), "b": HARM}, {})), "'b' as 'system'"),
    "an entry of the weights": (archive(dictionary({"a": tensor(), "b": HARM})), "'b' as 'system'"),
    "arguments of a container": (
        archive(beside(name("collections", "OrderedDict") + tuple_of(HARM) + REDUCE + HARM + b"b")),
        READ,
    ),
    "the class to call": (archive(beside(HARM + plain((1,)) + REDUCE)), READ),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_call_does_nothing_wherever_it_is(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    content, expected = PLACES[place]
    found = outcome(tmp_path / "w.pt", content)
    assert is_read(found) if expected is READ else expected in str(found)


class Harm:
    """Unpickled by another reader, it runs a command."""

    def __reduce__(self) -> object:
        import os

        return os.system, (COMMAND,)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("zipped", [True, False])
def test_what_torch_saves_of_a_hostile_object_is_inert(
    protocol: int, zipped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    content = {"model": {"a": torch.tensor([1.5, -2.0])}, "train_args": [Harm(), {"b": Harm()}]}
    torch.save(content, tmp_path / "x", _use_new_zipfile_serialization=zipped, pickle_protocol=protocol)
    found = outcome(tmp_path / "w.pt", (tmp_path / "x").read_bytes())
    refused = {(0, True): "PERSID", (0, False): "of a known format", (1, False): "of a known format"}
    reason = refused.get((protocol, zipped))  # identifiers of storages are texts there, or the magic number is
    assert is_read(found) if reason is None else reason in str(found)


@pytest.mark.parametrize("kind", ["torch.cuda FloatStorage", "torch FloatStorage"])
def test_storages_of_a_gpu_are_read_on_the_cpu(kind: str, tmp_path: Path) -> None:
    model = dictionary({"module.a": tensor(storage(kind=kind))})
    assert is_read(outcome(tmp_path / "w.pth", archive(model)))
    assert is_read(outcome(tmp_path / "w.pth", legacy(dictionary({"a": tensor(storage(kind=kind, more=NONE))}))))


def test_the_legacy_format_is_held_to_its_table_of_storages(tmp_path: Path) -> None:
    whole = legacy(MODEL)
    for content, reason in (
        (whole[:-1], "is cut off"),
        (whole[:-9], "is cut off"),
        (legacy(MODEL, keys=()), "keys of its storages"),
        (legacy(MODEL, keys=("0", "0")), "keys of its storages"),
        (legacy(MODEL, keys=(0,)), "keys of its storages"),
        (legacy(MODEL, values=VALUES + VALUES), "has another size"),
        (legacy(dictionary({"a": tensor(storage(more=plain(("0", 0, 2))))})), "wrong form"),
        (legacy(MODEL, head=LEGACY_HEAD.replace(struct.pack("<H", 1001), struct.pack("<H", 1002), 1)), "its version"),
    ):
        assert reason in str(outcome(tmp_path / "w.pth", content))
