"""What a checkpoint may cost is bounded before it is read; what contradicts itself is refused."""

from __future__ import annotations

import io
import re
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.trainers.importing.foreign_files import (
    EMPTY_DICT,
    MARK,
    NONE,
    REDUCE,
    VALUES,
    archive,
    dictionary,
    legacy,
    module,
    name,
    plain,
    storage,
    tensor,
    tuple_of,
)
from tests.trainers.importing.test_read_foreign_hostile import MODEL, beside, is_read, outcome
from trainers.importing import inert_pickle, pickle_operations, untrusted

MEGABYTES_300 = 300_000_000


@pytest.fixture
def small_memory() -> object:
    """Fails the test where Python allocates more than 300 MB, once or at a time."""
    tracemalloc.start()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MEGABYTES_300


TENSORS = {
    "a size of 10^12 with stride 0": tensor(size=(10**12,), stride=(0,)),
    "a size of 10^12 with no elements": tensor(size=(0, 10**12, 10**12), stride=(1, 1, 1)),
    "a stride beyond the storage": tensor(size=(2,), stride=(2,)),
    "an offset beyond the storage": tensor(offset=1),
    "three of two values with stride 0": tensor(size=(3,), stride=(0,)),
    "a negative offset": tensor(offset=-1),
    "a negative stride": tensor(stride=(-1,), offset=1),
    "a negative size": tensor(size=(-1,)),
    "a size that is a truth value": tensor(size=(True,)),
    "a size that is a fraction": tensor(size=(2.0,)),
    "a size that is a list": tensor(size=[2]),
    "an enormous number": tensor(size=(10**300,)),
    "more strides than sizes": tensor(size=(2,), stride=(1, 1)),
    "17 dimensions": tensor(size=(1,) * 17, stride=(1,) * 17),
    "arguments that are missing": name("torch._utils", "_rebuild_tensor_v2") + plain((1,)) + REDUCE,
    "a storage longer than its member": tensor(storage(count=3), size=(3,)),
    "a storage shorter than its member": tensor(storage(count=1), size=(1,)),
    "a storage of a negative count": tensor(storage(count=-2)),
    "a storage of 2^62 values": tensor(storage(count=2**62)),
    "a storage that is missing": tensor(storage(key="7")),
    "a storage outside its folder": tensor(storage(key="../../../../etc/passwd")),
    "a storage of an unknown type": tensor(storage(kind="torch ComplexFloatStorage")),
    "a storage of another module": tensor(storage(kind="torch.evil FloatStorage")),
    "a storage with a number as key": tensor(
        tuple_of(plain("storage"), name("torch", "FloatStorage"), plain(0), plain("cpu"), plain(2)) + b"Q"
    ),
    "one storage of two types": tensor() + b"0" + tensor(storage(kind="torch IntStorage")),
    "a storage of two counts": b"(" + tensor() + tensor(storage(kind="torch DoubleStorage", count=1)) + b"l",
    "an identifier that is a number": plain(3) + b"Q",
    "an empty identifier": b")Q",
}


@pytest.mark.usefixtures("small_memory")
@pytest.mark.parametrize("case", TENSORS)
def test_a_tensor_that_does_not_fit_its_storage_is_refused(case: str, tmp_path: Path) -> None:
    found = outcome(tmp_path / "w.pt", archive(dictionary({"a": TENSORS[case]})))
    assert "is a damaged checkpoint: " in str(found)


def test_tensors_that_share_a_storage_are_bounded_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = torch.zeros(50_000)
    torch.save({f"a{index}": values for index in range(8)}, tmp_path / "w.pt")
    torch.save({f"a{index}": values for index in range(9)}, tmp_path / "x.pt")
    monkeypatch.setattr(untrusted, "SMALL_BYTES", 1)
    found = outcome(tmp_path / "w.pt", (tmp_path / "w.pt").read_bytes())
    assert not isinstance(found, str) and len(found.state) == 8
    assert "more than a file of this size" in str(outcome(tmp_path / "x.pt", (tmp_path / "x.pt").read_bytes()))


def nested(operation: bytes, depth: int = 100_000) -> bytes:
    return NONE + operation * depth


OBJECTS = b"0" + name("a", "b") + b"q\x01)R" + b"q\x020h\x01)Rh\x02b" * 50_000
"""Each is the state of the next."""
ENDLESS_MEMO = b"".join(b"Nr" + struct.pack("<I", 2**32 - 1 - number) + b"0" for number in range(100)) + NONE
PICKLES: dict[str, tuple[bytes, str | None]] = {
    "tuples nested 10^5 times": (beside(nested(b"\x85")), None),
    "lists nested 10^5 times": (beside(b"]" * 100_000 + b"a" * 99_999), None),
    "objects nested 50,000 times": (beside(NONE + OBJECTS), None),
    "a nested tuple as a key": (beside(EMPTY_DICT + nested(b"\x85") + NONE + b"s"), None),
    "marks without end": (b"(" * 100_000 + MODEL, None),
    "a list that contains itself": (beside(b"]q\x01h\x01a"), None),
    "a reference to come": (beside(b"h\x63"), "99"),
    "a reference out of range": (beside(b"Np99999999999999999999\n"), "out of range"),
    "an endless memo": (beside(ENDLESS_MEMO), None),
    "a text of 4 GB": (b"X\xff\xff\xff\xff" + MODEL, "cut off"),
    "bytes of 2^63": (b"\x8e" + b"\xff" * 7 + b"\x7f" + MODEL, "cannot be read|cut off"),
    "a number of 2^31 bytes": (b"\x8b\xff\xff\xff\x7f" + MODEL, "cut off"),
    "a number of 10^4 digits": (b"L" + b"9" * 10_000 + b"L\n" + MODEL, "cannot be read"),
    "a number of 2000 bits": (b"\x8a\xfa" + b"\x7f" * 250 + b"0" + MODEL, "more than 1024 bits"),
    "a frame of 2^60 bytes": (b"\x95" + struct.pack("<Q", 2**60) + MODEL, None),
    "data outside the pickle": (b"\x97" + MODEL, "NEXT_BUFFER"),
    "an unknown operation": (b"\xff" + MODEL, "cannot be read"),
    "protocol 9": (b"\x80\x09" + MODEL, "protocol 9"),
    "no end": (MODEL + b"0" * 3, "cannot be read"),
    "entries of a number": (plain(1) + plain("a") + plain(1) + b"s", "cannot be read"),
    "a state of nothing": (b"N}b" + MODEL, None),
}


@pytest.mark.usefixtures("small_memory")
@pytest.mark.parametrize("case", PICKLES)
def test_a_pickle_beyond_all_bounds_is_inert_or_refused(case: str, tmp_path: Path) -> None:
    operations, reason = PICKLES[case]
    found = outcome(tmp_path / "w.pt", archive(operations))
    assert is_read(found) if reason is None else re.search(reason, str(found)), found


def test_the_number_of_operations_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickle_operations, "MAX_OPERATIONS", 1000)
    assert is_read(outcome(tmp_path / "w.pt", archive(beside(b"N0" * 400 + NONE))))
    assert "more than 1,000 operations" in str(outcome(tmp_path / "w.pt", archive(beside(b"N0" * 500 + NONE))))
    copied = plain(list(range(100))) + b"q\x09" + (b"0" + name("builtins", "list") + b"h\x09\x85R") * 10
    assert "more than 1,000 operations" in str(outcome(tmp_path / "w.pt", archive(beside(copied))))


def test_the_bytes_of_the_pickles_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inert_pickle, "MAX_PICKLE_BYTES", 2000)
    monkeypatch.setattr("trainers.importing.torch_archive.MAX_PICKLE_BYTES", 2000)
    for make in (archive, legacy):
        assert is_read(outcome(tmp_path / "w.pt", make(beside(plain("x" * 500)))))
        for long in (plain("x" * 2000), b"V" + b"x" * 2000 + b"\n"):
            assert "more than 2,000 bytes" in str(outcome(tmp_path / "w.pt", make(beside(long))))


def test_numbers_with_equal_hashes_are_no_keys(tmp_path: Path) -> None:
    keys = b"".join(plain((2**61 - 1) * index) + NONE for index in range(1, 60_000))
    assert is_read(outcome(tmp_path / "w.pt", archive(beside(EMPTY_DICT + MARK + keys + b"u"))))


MODULES: dict[str, tuple[bytes, str]] = {
    "a module that contains itself": (
        name("a", "Net") + b")\x81q\x01" + dictionary({"_modules": dictionary({"b": b"h\x01"})}) + b"b",
        "nested without end",
    ),
    "two modules with two modules each, and so on": (
        b"Nq\x01" + b"".join(b"0" + module({}, {"a": b"h\x01", "b": b"h\x01"}) + b"q\x01" for _ in range(60)),
        "nested without end",
    ),
    "_modules that is a list": (module({"a": tensor()}, {}, _modules=b"]"), "is no dictionary"),
    "_parameters that is a text": (module({}, {}, _parameters=plain("a")), "is no dictionary"),
    "a parameter that is a number": (module({"b": plain(3)}, {}), "'b' as 'int'"),
    "a key that is a number": (
        module({}, {}, _buffers=EMPTY_DICT + plain(1) + tensor() + b"s"),
        "the name of a tensor",
    ),
    "a key with a line break": (module({"a\nb": tensor()}, {}), "the name of a tensor"),
    "a key of 1000 characters": (module({"a" * 1000: tensor()}, {}), "the name of a tensor"),
    "two tensors of one name": (
        module({"a.b": tensor()}, {"a": module({"b": tensor()}, {})}),
        "two tensors have the name 'a.b'",
    ),
    "no tensors": (module({}, {"a": module({}, {})}), "has no weights"),
    "a state that is a number": (name("a", "Net") + b")\x81" + plain(3) + b"b", "has no weights"),
}


@pytest.mark.parametrize("case", MODULES)
def test_a_module_that_is_none_is_refused(case: str, tmp_path: Path) -> None:
    operations, reason = MODULES[case]
    assert reason in str(outcome(tmp_path / "w.pt", archive(operations)))


def test_names_with_dots_and_of_attributes_are_only_names(tmp_path: Path) -> None:
    found = outcome(tmp_path / "w.pt", archive(module({"__class__": tensor()}, {"a.b": module({"c": tensor()}, {})})))
    assert not isinstance(found, str) and list(found.state) == ["__class__", "a.b.c"]
    shadowed = module({"a": tensor()}, {}, _non_persistent_buffers_set=plain(3), names=plain(3), stride=tensor())
    assert is_read(outcome(tmp_path / "w.pt", archive(shadowed)))


def rezipped(change: Callable[[zipfile.ZipFile], None], packed: int = 0) -> bytes:
    buffer = io.BytesIO(archive(MODEL, packed=packed))
    with zipfile.ZipFile(buffer, "a", packed) as file:
        change(file)
    return buffer.getvalue()


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_archive_that_contradicts_itself_is_refused(tmp_path: Path) -> None:
    whole = archive(MODEL)
    place = whole.index(VALUES)
    declared = whole.replace(struct.pack("<II", 8, 8), struct.pack("<II", 2**31, 2**31))
    for content, reason in (
        (rezipped(lambda file: file.writestr("net/data/0", VALUES)), "have one name"),
        (rezipped(lambda file: file.writestr("../x", b"")), "outside its folder"),
        (rezipped(lambda file: file.writestr("/x", b"")), "outside its folder"),
        (rezipped(lambda file: file.writestr("net/byteorder", b"big")), "big-endian"),
        (rezipped(lambda file: file.writestr("two/data.pkl", b"")), "none of PyTorch"),
        (whole[:place] + b"\xff" + whole[place + 1 :], "'data/0' cannot be read"),
        (declared, "larger than the file"),
        (whole[:200], "cut off or damaged"),
        (b"PK\x03\x04" + b"\0" * 100, "cut off or damaged"),
        (archive(MODEL, packed=zipfile.ZIP_DEFLATED), "is a compressed or encrypted zip"),
        (archive(MODEL, {"net/zeros": b"\0" * 10**7}, packed=zipfile.ZIP_DEFLATED), "is a compressed or encrypted zip"),
    ):
        assert reason in str(outcome(tmp_path / "w.pt", content)), reason


def test_the_table_of_contents_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many = archive(MODEL, {f"net/{index}": b"" for index in range(100)})
    assert is_read(outcome(tmp_path / "w.pt", many))
    monkeypatch.setattr("trainers.importing.torch_archive.MAX_TABLE_BYTES", 1000)
    assert "table of contents is too large" in str(outcome(tmp_path / "w.pt", many))


def test_a_file_without_weights_says_what_it_has(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "best": [1]}, tmp_path / "w.pt")
    assert "has no weights (entries: 'epoch', 'best')" in str(outcome(tmp_path / "x", (tmp_path / "w.pt").read_bytes()))
