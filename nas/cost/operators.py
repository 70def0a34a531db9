"""The operators of networks as columns of numbers; latency is predicted from them.

They come from traces of our own graphs, or from tables of operators that another framework wrote.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search_space.errors import DataError
from search_space.files import read_bytes, unpacked

Column = NDArray[np.float64]

MAC_CLASSES = ("conv1x1", "conv3x3", "conv3x3s2", "convkxk", "conv_transpose", "dwconv", "gconv", "fc", "matmul")
"""Classes with multiplications: convolutions by kernel and stride, depthwise, grouped, fully connected, matrices."""

CLASSES = (
    *MAC_CLASSES,
    "act_cheap",
    "act_exp",
    "eltwise",
    "concat",
    "split",
    "pool",
    "global_pool",
    "upsample",
    "norm",
    "transpose",
    "softmax",
    "space_to_depth",
    "other",
)
"""Classes of operators with similar cost; each operator belongs to one."""

CLASS_OF: dict[str, str] = {
    "conv_transpose": "conv_transpose",
    "matmul": "matmul",
    **dict.fromkeys(("act_relu", "act_hardtanh", "act_leaky_relu", "act_hardsigmoid"), "act_cheap"),
    **dict.fromkeys(("act_silu", "act_sigmoid", "act_gelu", "act_hardswish", "act_tanh", "act_other"), "act_exp"),
    **dict.fromkeys(("eltwise_add", "eltwise_sub", "eltwise_mul", "eltwise_div", "eltwise_other"), "eltwise"),
    **dict.fromkeys(("addcmul", "sqrt"), "eltwise"),
    **dict.fromkeys(("concat", "stack"), "concat"),
    **dict.fromkeys(("split", "slice", "as_strided", "new_full", "constant_pad_nd", "reflection_pad2d"), "split"),
    **dict.fromkeys(("maxpool", "avgpool"), "pool"),
    "global_pool": "global_pool",
    "upsample": "upsample",
    **dict.fromkeys(("batchnorm", "native_layer_norm", "native_group_norm", "var"), "norm"),
    "transpose": "transpose",
    "softmax": "softmax",
    "space_to_depth": "space_to_depth",
}
"""The class of each operator type except convolutions; unlisted types are `other`."""

CONVOLUTIONS = ("conv", "dwconv", "gconv")
"""Types whose class depends on kernel, stride and groups."""

TABLE_COLUMNS = (
    "model_name op_id op_type input_op_ids in_c in_h in_w out_c out_h out_w kernel_h kernel_w stride_h stride_w groups "
    "macs params in_elems out_elems"
).split()
"""Columns of a table of operators."""

MAX_BYTES = 256_000_000
"""Limit of an unpacked table of operators: about ten thousand networks."""
_CLASS_INDEX = {name: index for index, name in enumerate(CLASSES)}


@dataclass(frozen=True, kw_only=True, eq=False)
class Operators:
    """Operators of one or more networks: one array per property, all of equal length."""

    model: NDArray[np.intp]
    """Index of the network that each belongs to."""
    kind: NDArray[np.intp]
    """Index into `CLASSES`."""
    groups: Column
    out_channels: Column
    out_height: Column
    out_width: Column
    macs: Column
    weights: Column
    """Number of elements of weight and bias."""
    in_elements: Column
    """Number of elements of all activation inputs together."""
    out_elements: Column
    follows_conv: NDArray[np.bool_]
    """Whether it is an activation, and the only reader of a convolution's output."""

    def __len__(self) -> int:
        return len(self.kind)

    def kept(self, mask: NDArray[np.bool_]) -> Operators:
        """Returns the operators that a mask selects."""
        return Operators(**{field.name: getattr(self, field.name)[mask] for field in fields(self)})


def operators_of(columns: Mapping[str, Sequence[object] | NDArray[np.generic]]) -> Operators:
    """Builds operators from the columns of a table whose inputs are already resolved.

    Args:
        columns: `TABLE_COLUMNS` without the names and ids, with `model` (index of the network) and `follows_conv`.
    """
    number = {name: np.asarray(columns[name], dtype=float) for name in TABLE_COLUMNS[4:]}
    types = np.asarray(columns["op_type"], dtype=object)
    return Operators(
        model=np.asarray(columns["model"], dtype=np.intp),
        kind=_kinds(types, number),
        groups=np.maximum(number["groups"], 1.0),
        out_channels=np.maximum(number["out_c"], 1.0),
        out_height=np.maximum(number["out_h"], 1.0),
        out_width=np.maximum(number["out_w"], 1.0),
        macs=number["macs"],
        weights=number["params"],
        in_elements=number["in_elems"],
        out_elements=number["out_elems"],
        follows_conv=np.asarray(columns["follows_conv"], dtype=bool),
    )


def _kinds(types: NDArray[np.object_], number: Mapping[str, Column]) -> NDArray[np.intp]:
    """Returns the class of each operator: convolutions by their shape, the others by their type."""
    kinds = np.array([_CLASS_INDEX[CLASS_OF.get(str(name), "other")] for name in types], dtype=np.intp)
    kernel_h, kernel_w, stride = number["kernel_h"], number["kernel_w"], number["stride_h"]
    conv = np.isin(types, CONVOLUTIONS)
    grouped = conv & ((number["groups"] > 1) | (types == "gconv"))
    depthwise = (types == "dwconv") | (conv & (number["groups"] > 1) & (number["groups"] == number["in_c"]))
    one = conv & (kernel_h == 1) & (kernel_w == 1)
    three = conv & (kernel_h == 3) & (kernel_w == 3)
    positions = number["out_elems"] / np.maximum(number["out_c"], 1)
    for mask, name in (
        (conv, "convkxk"),
        (one, "conv1x1"),
        (three & (stride == 1), "conv3x3"),
        (three & (stride == 2), "conv3x3s2"),
        ((one | (types == "matmul")) & (positions <= 1), "fc"),
        (grouped, "gconv"),
        (depthwise, "dwconv"),
    ):
        kinds[mask] = _CLASS_INDEX[name]
    return kinds


def read_operators(path: Path) -> tuple[list[str], Operators]:
    """Reads a table of operators (CSV or gzipped CSV) and returns the names of its networks and their operators.

    Raises:
        DataError: The file cannot be read, lacks a column, is empty, or contains an invalid count.
    """
    import pandas as pd

    try:
        texts = dict.fromkeys(("model_name", "op_type", "input_op_ids"), str)
        table = pd.read_csv(io.BytesIO(_unpacked(path)), dtype=texts)
    except FileNotFoundError:
        raise DataError(f"no table of operators {path}; give a CSV with columns {', '.join(TABLE_COLUMNS)}") from None
    except (OSError, OverflowError, ValueError) as error:  # pandas' own errors are ValueErrors
        reason = " ".join(str(error).split())
        raise DataError(f"{path} is not a table of operators: {reason}; write it as CSV or CSV.gz") from None
    if not isinstance(table.index, pd.RangeIndex):
        raise DataError(f"{path} has rows with more values than columns; join input_op_ids with ';', quote commas")
    missing = [name for name in TABLE_COLUMNS if name not in table.columns]
    if missing:
        raise DataError(f"{path} lacks the columns {', '.join(missing)}; needed: {', '.join(TABLE_COLUMNS)}")
    if table.empty:
        raise DataError(f"{path} contains no operators; give one row per operator")
    for name in TABLE_COLUMNS[4:]:
        numbers = _numbers(table[name])
        bad = ~(np.isfinite(numbers) & (numbers >= 0))
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            shown = " ".join(str(table[name].iloc[row]).split())[:60]
            raise DataError(f"{path}, row {row + 2}: {name} is {shown}; it must be 0 or more")
        table[name] = numbers
    if table["model_name"].isna().any() or table["op_type"].isna().any():
        raise DataError(f"{path} has rows without model_name or op_type; fill them in")
    model, names = pd.factorize(table["model_name"])
    table["op_id"] = _numbers(table["op_id"])
    if table["op_id"].isna().any() or table.duplicated(["model_name", "op_id"]).any():
        raise DataError(f"{path} has an op_id that is not a number or not unique in its network; number the rows")
    columns = {name: table[name].to_numpy() for name in TABLE_COLUMNS[2:] if name != "input_op_ids"}
    follows = _follows_conv(model, table["op_id"], table["input_op_ids"], columns["op_type"], path)
    return [str(name) for name in names], operators_of({**columns, "model": model, "follows_conv": follows})


def _numbers(column: Any) -> Column:
    """Returns a column as floats, nan where a value is not a number; integers may have any length."""
    import pandas as pd

    told = column.astype(str) if column.dtype == object else column
    return np.asarray(pd.to_numeric(told, errors="coerce"), dtype=float)


def unknown_types(path: Path) -> dict[str, int]:
    """Returns the unknown operator types of a table with their row counts; they belong to the class `other`."""
    import pandas as pd

    types = pd.read_csv(io.BytesIO(_unpacked(path)), usecols=["op_type"], dtype=str)["op_type"].value_counts()
    known = {*CONVOLUTIONS, *CLASS_OF}
    return {str(name): int(count) for name, count in types.items() if name not in known}


def _unpacked(path: Path) -> bytes:
    """Returns the text of a table; only gzip is unpacked. Raises what `read_bytes` raises."""
    content = read_bytes(path, MAX_BYTES)
    return unpacked(content, MAX_BYTES) if path.suffix == ".gz" else content


def _follows_conv(
    model: NDArray[np.intp], ids: object, inputs: object, types: NDArray[np.generic], path: Path
) -> NDArray[np.bool_]:
    """Returns where an activation is the only reader of a convolution."""
    rows = {key: row for row, key in enumerate(zip(model.tolist(), ids, strict=True))}  # type: ignore[call-overload]
    readers = np.zeros(len(model), dtype=int)
    first = np.full(len(model), -1)
    try:
        for row, (network, text) in enumerate(zip(model.tolist(), inputs, strict=True)):  # type: ignore[call-overload]
            sources = {int(part) for part in str(text).split(";")} if isinstance(text, str) else {-1}
            for source in sources:
                producer = rows.get((network, source), -1)
                first[row] = producer
                if producer >= 0:
                    readers[producer] += 1
    except ValueError:
        raise DataError(f"{path}, row {row + 2}: input_op_ids is {text!r}; give op_ids joined with ';'") from None
    convolution = np.array(["conv" in str(name) for name in types])
    activation = np.array([str(name).startswith("act_") for name in types])
    return np.asarray(activation & (first >= 0) & convolution[first] & (readers[first] == 1), dtype=np.bool_)
