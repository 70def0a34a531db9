"""Tables of operators: the class of each row, what follows a convolution, and the refusals."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.cost.operators import CLASS_OF, CLASSES, MAC_CLASSES, TABLE_COLUMNS, read_operators
from search_space.errors import DataError

DEFAULTS = dict.fromkeys(TABLE_COLUMNS, "0") | {
    "model_name": "m",
    "op_type": "conv",
    "input_op_ids": "-1",
    "in_c": "8",
    "in_h": "6",
    "in_w": "6",
    "out_c": "4",
    "out_h": "6",
    "out_w": "6",
    "kernel_h": "1",
    "kernel_w": "1",
    "stride_h": "1",
    "stride_w": "1",
    "groups": "1",
    "in_elems": "288",
    "out_elems": "144",
}


def _table(*rows: dict[str, object], columns: list[str] = TABLE_COLUMNS) -> str:
    lines = [",".join(columns)]
    for index, row in enumerate(rows):
        full = {**DEFAULTS, "op_id": index, **row}
        lines.append(",".join(str(full[name]) for name in columns))
    return "\n".join(lines) + "\n"


def _kind(tmp_path: Path, **row: object) -> str:
    path = tmp_path / "ops.csv"
    path.write_text(_table(row))
    return CLASSES[read_operators(path)[1].kind[0]]


def _follows(tmp_path: Path, *rows: dict[str, object]) -> list[bool]:
    path = tmp_path / "ops.csv"
    path.write_text(_table(*rows))
    return read_operators(path)[1].follows_conv.tolist()


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({}, "conv1x1"),
        ({"stride_h": 2, "stride_w": 2}, "conv1x1"),
        ({"kernel_h": 3, "kernel_w": 3}, "conv3x3"),
        ({"kernel_h": 3, "kernel_w": 3, "stride_h": 2, "stride_w": 2}, "conv3x3s2"),
        ({"kernel_h": 3, "kernel_w": 3, "stride_h": 3, "stride_w": 3}, "convkxk"),
        ({"kernel_h": 7, "kernel_w": 7}, "convkxk"),
        ({"kernel_h": 1, "kernel_w": 7}, "convkxk"),
        ({"kernel_h": 7, "kernel_w": 1}, "convkxk"),
        ({"op_type": "dwconv", "kernel_h": 3, "kernel_w": 3, "groups": 8}, "dwconv"),
        ({"op_type": "dwconv", "kernel_h": 3, "kernel_w": 3}, "dwconv"),
        ({"kernel_h": 3, "kernel_w": 3, "groups": 8, "out_c": 16}, "dwconv"),
        ({"groups": 8}, "dwconv"),
        ({"op_type": "gconv", "groups": 8}, "dwconv"),
        ({"kernel_h": 3, "kernel_w": 3, "groups": 4}, "gconv"),
        ({"groups": 2}, "gconv"),
        ({"op_type": "gconv", "kernel_h": 3, "kernel_w": 3, "groups": 2}, "gconv"),
        ({"in_c": 1, "kernel_h": 3, "kernel_w": 3}, "conv3x3"),
        ({"out_h": 1, "out_w": 1, "out_elems": 4}, "fc"),
        ({"kernel_h": 3, "kernel_w": 3, "out_h": 1, "out_w": 1, "out_elems": 4}, "conv3x3"),
        ({"op_type": "matmul", "out_elems": 4}, "fc"),
        ({"op_type": "matmul", "out_elems": 8}, "matmul"),
        ({"op_type": "conv_transpose", "kernel_h": 2, "kernel_w": 2}, "conv_transpose"),
        ({"op_type": "act_relu"}, "act_cheap"),
        ({"op_type": "act_silu"}, "act_exp"),
        ({"op_type": "eltwise_add"}, "eltwise"),
        ({"op_type": "concat"}, "concat"),
        ({"op_type": "slice"}, "split"),
        ({"op_type": "maxpool", "kernel_h": 3, "kernel_w": 3}, "pool"),
        ({"op_type": "batchnorm"}, "norm"),
        ({"op_type": "deformable_wonder"}, "other"),
    ],
)
def test_class_of_a_row(row: dict[str, object], expected: str, tmp_path: Path):
    assert _kind(tmp_path, **row) == expected


def test_classes_are_written_once_and_those_that_multiply_come_first():
    assert len(set(CLASSES)) == len(CLASSES) and CLASSES[: len(MAC_CLASSES)] == MAC_CLASSES
    assert set(CLASS_OF.values()) <= set(CLASSES)


def test_an_activation_follows_the_convolution_that_only_it_reads(tmp_path: Path):
    act = {"op_type": "act_silu", "input_op_ids": "0"}
    assert _follows(tmp_path, {}, act) == [False, True]
    assert _follows(tmp_path, {}, act, {"op_type": "eltwise_add", "input_op_ids": "0;1"}) == [False, False, False]
    assert _follows(tmp_path, {}, act, {"op_type": "concat", "input_op_ids": "1"}) == [False, True, False]
    assert _follows(tmp_path, {"op_type": "eltwise_add"}, act) == [False, False]
    assert _follows(tmp_path, {}, {"op_type": "maxpool", "input_op_ids": "0"}) == [False, False]
    assert _follows(tmp_path, {"op_type": "act_relu", "input_op_ids": "-1"}, {}) == [False, False]


@pytest.mark.parametrize("op_type", ["conv", "dwconv", "gconv", "conv_transpose"])
def test_an_activation_follows_any_kind_of_convolution(op_type: str, tmp_path: Path):
    assert _follows(tmp_path, {"op_type": op_type}, {"op_type": "act_relu", "input_op_ids": "0"}) == [False, True]


def test_networks_with_the_same_op_ids_do_not_read_each_other(tmp_path: Path):
    other = {"model_name": "n", "op_id": 0}
    act = {"op_type": "act_silu", "input_op_ids": "0", "op_id": 1}
    pool = {"op_type": "maxpool", "model_name": "n", "op_id": 0}
    assert _follows(tmp_path, {}, act, other, {**act, "model_name": "n"}) == [False, True, False, True]
    assert _follows(tmp_path, {}, act, pool, {**act, "model_name": "n"}) == [False, True, False, False]
    assert _follows(tmp_path, {}, other, act, {**act, "model_name": "n"}) == [False, False, True, True]


def test_op_ids_need_not_start_at_0_nor_be_in_order(tmp_path: Path):
    conv = {"op_id": 41}
    act = {"op_id": 17, "op_type": "act_relu", "input_op_ids": "41"}
    assert _follows(tmp_path, conv, act) == [False, True]
    assert _follows(tmp_path, act, conv) == [True, False]


@pytest.mark.slow
@given(order=st.permutations(range(6)), start=st.integers(0, 1000))
def test_the_order_of_rows_and_the_numbering_do_not_matter(
    order: list[int], start: int, tmp_path_factory: pytest.TempPathFactory
):
    types = ("conv", "act_silu", "conv", "act_relu", "eltwise_add", "act_tanh")
    inputs = ((-1,), (0,), (1,), (2,), (2, 3), (4,))
    rows = [
        {
            "op_id": start + index,
            "op_type": types[index],
            "input_op_ids": ";".join(str(each + start if each >= 0 else -1) for each in inputs[index]),
        }
        for index in order
    ]
    path = tmp_path_factory.mktemp("ops") / "ops.csv"
    path.write_text(_table(*rows))
    follows = read_operators(path)[1].follows_conv
    assert [order[row] for row in np.flatnonzero(follows)] == [1]


def test_networks_are_named_in_the_order_they_come(tmp_path: Path):
    path = tmp_path / "ops.csv"
    path.write_text(_table({"model_name": "z"}, {"model_name": "a"}, {"model_name": "z"}))
    names, operators = read_operators(path)
    assert names == ["z", "a"] and operators.model.tolist() == [0, 1, 0]
    assert len(operators.kept(operators.model == 0)) == 2 and len(operators) == 3


def test_names_that_are_numbers_stay_text(tmp_path: Path):
    path = tmp_path / "ops.csv"
    path.write_text(_table({"model_name": "007"}))
    assert read_operators(path)[0] == ["007"]


def test_groups_and_sizes_of_0_count_as_1(tmp_path: Path):
    path = tmp_path / "ops.csv"
    path.write_text(_table({"op_type": "act_silu", **dict.fromkeys(("groups", "out_c", "out_h", "out_w"), 0)}))
    operators = read_operators(path)[1]
    for column in (operators.groups, operators.out_channels, operators.out_height, operators.out_width):
        assert column.tolist() == [1.0]


def test_gzipped_and_plain_tables_are_equal(tmp_path: Path):
    text = _table({}, {"op_type": "act_silu", "input_op_ids": "0"}, {"model_name": "n", "macs": 12.5})
    plain, zipped = tmp_path / "ops.csv", tmp_path / "ops.csv.gz"
    plain.write_text(text)
    zipped.write_bytes(gzip.compress(text.encode()))
    (names, first), (others, second) = read_operators(plain), read_operators(zipped)
    assert names == others
    for name in ("model", "kind", "macs", "follows_conv", "in_elements", "out_elements", "weights", "groups"):
        assert np.array_equal(getattr(first, name), getattr(second, name))


def _damaged(content: bytes) -> bytes:
    zipped = bytearray(gzip.compress(content, mtime=0))
    zipped[10] = 0xFF  # a kind of block that there is not
    return bytes(zipped)


GOOD = _table({}, {})


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("ops.csv", b"", "not a table of operators"),
        ("ops.csv", GOOD.splitlines()[0].encode(), "contains no operators"),
        ("ops.csv", b"\xff\xfe\x00\x80", "not a table of operators"),
        ("ops.csv", b'a,b\n"1,2\n', "not a table of operators"),
        ("ops.csv.gz", GOOD.encode(), "cannot be unpacked"),
        ("ops.csv.gz", gzip.compress(GOOD.encode(), mtime=0)[:60], "not a table of operators"),
        ("ops.csv.gz", _damaged(GOOD.encode()), "not a table of operators"),
        ("ops.csv", _table({}, columns=[each for each in TABLE_COLUMNS if each != "macs"]).encode(), "lacks .* macs;"),
        ("ops.csv", _table({}, {"macs": -1}).encode(), "row 3: macs is -1; it must be 0 or more"),
        ("ops.csv", _table({"params": "many"}).encode(), "row 2: params is many"),
        ("ops.csv", _table({"in_elems": "nan"}).encode(), "row 2: in_elems is nan"),
        ("ops.csv", _table({"in_elems": ""}).encode(), "row 2: in_elems is nan"),
        ("ops.csv", _table({"out_c": "inf"}).encode(), "row 2: out_c is inf"),
        ("ops.csv", _table({}, {"input_op_ids": "first"}).encode(), "row 3: input_op_ids is 'first'"),
        ("ops.csv", _table({"input_op_ids": "0,5"}).encode(), "more values than columns"),
        ("ops.csv", _table({}, {"input_op_ids": "0;"}).encode(), "joined with ';'"),
        ("ops.csv", _table({}, {"input_op_ids": "0.5"}).encode(), "joined with ';'"),
        ("ops.csv", _table({"op_id": "x"}).encode(), "op_id that is not a number"),
        ("ops.csv", _table({"op_id": ""}).encode(), "op_id that is not a number"),
        ("ops.csv", _table({"op_id": 3}, {"op_id": 3}).encode(), "not unique"),
        ("ops.csv", _table({"model_name": ""}).encode(), "without model_name"),
        ("ops.csv", _table({"op_type": ""}).encode(), "without model_name or op_type"),
    ],
)
def test_a_bad_table_is_refused_in_one_line(name: str, content: bytes, message: str, tmp_path: Path):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_operators(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value).strip() and "np." not in str(caught.value)


def test_a_missing_table_and_a_folder_are_refused(tmp_path: Path):
    with pytest.raises(DataError, match="not a table of operators .*columns model_name, op_id"):
        read_operators(tmp_path / "nothing.csv")
    with pytest.raises(DataError, match="not a table of operators"):
        read_operators(tmp_path)


def test_an_input_without_ids_is_the_image(tmp_path: Path):
    assert _follows(tmp_path, {"input_op_ids": ""}, {"op_type": "act_relu", "input_op_ids": "0"}) == [False, True]
