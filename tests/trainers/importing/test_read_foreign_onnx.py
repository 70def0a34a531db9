"""The initialisers of ONNX files are those that the package `onnx` reads, at a bounded cost and from one file alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from search_space.errors import ConfigError
from tests.trainers.importing.foreign_files import FIXTURES, nothing_happens
from trainers.importing.foreign import ForeignWeights, read_foreign
from trainers.importing.stated_facts import literal_class_names

ONNX = FIXTURES / "ultralytics_tiny.onnx"
NORM_EPS = 1e-3


def message(number: int, content: bytes) -> bytes:
    """A field of bytes."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(value: int) -> bytes:
    head = b""
    while value > 127:
        head, value = head + bytes([value & 127 | 128]), value >> 7
    return head + bytes([value])


def model(path: Path, initializers: list[TensorProto], operators: tuple[str, ...] = ("Conv",)) -> ForeignWeights:
    nodes = [helper.make_node(each, ["x"], ["y"]) for each in operators]
    graph = helper.make_graph(nodes, "g", [], [], initializer=initializers)
    path.write_bytes(helper.make_model(graph).SerializeToString())
    return read_foreign(path)


def test_the_fixture_is_read_as_the_package_reads_it() -> None:
    read_foreign(ONNX)
    with nothing_happens(ONNX):
        found = read_foreign(ONNX)
    expected = {each.name: numpy_helper.to_array(each) for each in onnx.load(ONNX).graph.initializer}
    assert list(found.state) == list(expected) and len(expected) == 119
    assert all(np.array_equal(found.state[key].numpy(), expected[key]) for key in expected)
    assert found.kind == "onnx" and found.norms_folded and found.classes == ("ant", "bee", "fly")
    assert found.facts["stride"] == "32" and found.facts["imgsz"] == "[64, 64]" and found.facts["version"] == "8.4.190"


def test_its_initialisers_are_the_weights_of_the_pickle_with_norms_folded() -> None:
    state, found = read_foreign(FIXTURES / "ultralytics_tiny.pt").state, read_foreign(ONNX).state
    folded = {key for key in found if f"{key.rpartition('.conv.')[0]}.bn.weight" in state}
    assert len(folded) == 2 * sum(key.endswith("running_var") for key in state) == 106
    for key, value in found.items():
        expected = _folded(state, *key.rsplit(".", 1)) if key in folded else state[key]
        assert torch.allclose(value, expected, rtol=1e-5, atol=1e-6), key


def _folded(state: dict[str, Tensor], stem: str, kind: str) -> Tensor:
    norm = f"{stem.removesuffix('.conv')}.bn"
    gain = state[f"{norm}.weight"] / torch.sqrt(state[f"{norm}.running_var"] + NORM_EPS)
    if kind == "weight":
        return state[f"{stem}.weight"] * gain[:, None, None, None]
    return state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * gain


VALUES: Any = [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("raw", [True, False], ids=["raw", "listed"])
@pytest.mark.parametrize("kind", ["FLOAT", "DOUBLE", "FLOAT16", "BFLOAT16", "INT64", "INT32", "INT16", "INT8", "UINT8"])
def test_every_type_and_form_is_read(kind: str, raw: bool, tmp_path: Path) -> None:
    number = getattr(TensorProto, kind)
    listed = helper.make_tensor("a", number, (2, 3), VALUES)
    made = listed
    if raw:
        array = numpy_helper.to_array(listed)
        made = helper.make_tensor("a", number, (2, 3), array.tobytes(), raw=True)
    found = model(tmp_path / "m.onnx", [made]).state["a"]
    assert found.dtype == (torch.float32 if "FLOAT" in kind or kind == "DOUBLE" else torch.int64)
    assert found.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_negative_numbers_scalars_and_empty_tensors_are_read(tmp_path: Path) -> None:
    made = [
        helper.make_tensor("shape", TensorProto.INT64, (2,), [-1, 64]),
        helper.make_tensor("scalar", TensorProto.FLOAT, (), [0.5]),
        helper.make_tensor("empty", TensorProto.FLOAT, (0, 3), []),
        helper.make_tensor("half", TensorProto.FLOAT16, (1,), np.array([-1.5], np.float16)),
    ]
    found = model(tmp_path / "m.onnx", made).state
    assert {key: value.tolist() for key, value in found.items()} == {
        "shape": [-1, 64],
        "scalar": 0.5,
        "empty": [],
        "half": [-1.5],
    }
    assert found["empty"].shape == (0, 3)


def test_norms_that_are_operators_are_told(tmp_path: Path) -> None:
    tensor = helper.make_tensor("a", TensorProto.FLOAT, (1,), [1.0])
    assert not model(tmp_path / "m.onnx", [tensor], ("Conv", "BatchNormalization")).norms_folded
    assert model(tmp_path / "m.onnx", [tensor], ("Conv", "LayerNormalization")).norms_folded


@pytest.mark.parametrize("location", ["weights.bin", "../../etc/passwd", "/etc/passwd"])
def test_tensors_in_other_files_are_refused_and_no_other_file_is_opened(location: str, tmp_path: Path) -> None:
    tensor = numpy_helper.from_array(np.ones(1, np.float32), "a")
    onnx.external_data_helper.set_external_data(tensor, location)
    (tmp_path / "weights.bin").write_bytes(b"\0" * 4)
    with pytest.raises(ConfigError, match="keeps its tensors in other files; next: export it to one file"):
        model(tmp_path / "m.onnx", [tensor])
    with nothing_happens(tmp_path / "m.onnx"), pytest.raises(ConfigError, match="in other files"):
        read_foreign(tmp_path / "m.onnx")


def initializer(*fields: bytes) -> bytes:
    """A model of one initialiser."""
    return b"\x08\x08" + message(7, message(5, b"".join(fields)))


NAME, FLOAT = message(8, b"a"), b"\x10\x01"
FILES = {
    "no graph": (b"\x08\x08", "no graph"),
    "two graphs": (b"\x08\x08" + 2 * message(7, b""), "no graph, or several"),
    "no tensors": (b"\x08\x08" + message(7, b""), "has no tensors"),
    "a graph that is a number": (b"\x08\x08\x38\x01", "no ONNX model"),
    "a group": (b"\x08\x08\x3b\x3c", "no ONNX model"),
    "a number without end": (b"\x08" + b"\xff" * 20, "no ONNX model"),
    "a length beyond the file": (b"\x08\x08\x3a\xff\xff\xff\xff\x0f", "cut off"),
    "a shape of 10^12": (initializer(NAME, FLOAT, b"\x08" + varint(10**12)), "wrong shape"),
    "a shape of 10^9": (initializer(NAME, FLOAT, b"\x08" + varint(10**9)), "more than a file of this size"),
    "a negative shape": (initializer(NAME, FLOAT, b"\x08" + varint(2**64 - 1)), "wrong shape"),
    "a long shape": (initializer(NAME, FLOAT, message(1, b"\x7f" * 100_000)), "wrong shape"),
    "17 dimensions": (initializer(NAME, FLOAT, b"\x08\x01" * 17, message(9, b"\0" * 4)), "wrong shape"),
    "fewer values": (initializer(NAME, FLOAT, b"\x08\x02", message(9, b"\0" * 4)), "another number of values"),
    "half a value": (initializer(NAME, FLOAT, b"\x08\x01", message(9, b"\0" * 3)), "another number of values"),
    "no values": (initializer(NAME, FLOAT, b"\x08\x01"), "another number of values"),
    "texts": (initializer(NAME, b"\x10\x08", b"\x08\x01", message(6, b"x")), "'a' in a type that is not supported"),
    "a type of 99": (initializer(NAME, b"\x10\x63"), "'a' in a type that is not supported"),
    "no name": (initializer(FLOAT, message(9, b"\0" * 4)), "the name of a tensor"),
    "one name twice": (
        b"\x08\x08" + message(7, 2 * message(5, NAME + FLOAT + message(9, b"\0" * 4))),
        "two tensors have the name 'a'",
    ),
}


@pytest.mark.parametrize("case", FILES)
def test_a_model_that_contradicts_itself_is_refused(case: str, tmp_path: Path) -> None:
    content, reason = FILES[case]
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_foreign(path)
    assert reason in str(caught.value) and "; next: " in str(caught.value)


@pytest.mark.parametrize("part", ["nodes", "dims", "listed"])
def test_the_number_of_fields_is_bounded(part: str, tmp_path: Path) -> None:
    parts = {
        "nodes": b"\x08\x08" + message(7, b"\x0a\x00" * 1_000_001),
        "dims": initializer(NAME, FLOAT, message(1, b"\0" * 1_000_001)),
        "listed": initializer(NAME, b"\x10\x07", b"\x08\x01", message(7, b"\0" * 1_000_001)),
    }
    (tmp_path / "m.onnx").write_bytes(parts[part])
    with pytest.raises(ConfigError, match="more than 1,000,000 fields"):
        read_foreign(tmp_path / "m.onnx")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("{0: 'ant', 1: \"bee's\"}", ("ant", "bee's")),
        ("{1: 'b', 0: 'a',}", ("a", "b")),
        ("['a', 'b\\'c', 'd\\\\e']", ("a", "b'c", "d\\e")),
        ("{0: 'é漢', 1: 'a, b: {c}'}", ("é漢", "a, b: {c}")),
        ("{0: 'a', 0: 'b'}", None),
        ("{0: 'a', 2: 'b'}", None),
        ("{0: 'a' 1: 'b'}", None),
        ("['a', 1: 'b']", None),
        ("{0: 'a', 1: __import__('os').system('touch harm')}", None),
        ("{0: 'a\\x1b'}", None),
        ("[" * 100_000 + "]" * 100_000, None),
        ("{" + "0: " * 30_000 + "}", None),
        ("'" * 99_999, None),
        ("['" + "\\" * 90_000 + "']", None),
        ("{}", None),
        ("", None),
    ],
)
def test_class_names_are_read_from_their_text_without_evaluation(text: str, names: Any) -> None:
    assert literal_class_names(text) == names
