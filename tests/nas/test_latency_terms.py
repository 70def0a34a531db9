"""The terms of a network's time: what each operator adds to which, and by how much tiles pad it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.cost.measurements import shipped_operators
from nas.cost.operators import CLASSES, MAC_CLASSES, TABLE_COLUMNS, Operators, operators_of
from nas.cost.terms import (
    CLASS_OF_TERM,
    GROUP,
    KIND_OF,
    KINDS,
    START,
    TERMS,
    Rules,
    Vector,
    add_terms,
    tile_padding,
)

PLAIN = Rules(bytes_per_element=4, tiles=False, fuses_activations=False)
TILED = Rules(bytes_per_element=4, tiles=True, fuses_activations=False)
FUSED = Rules(bytes_per_element=4, tiles=False, fuses_activations=True)


def _row(op_type: str, shape: tuple[int, int, int], kernel: int = 0, stride: int = 1, **more: Any) -> dict[str, Any]:
    """A row with an output of `shape` `(C, H, W)`."""
    channels, height, width = shape
    row: dict[str, Any] = dict.fromkeys(TABLE_COLUMNS[4:], 0)
    row |= {"op_type": op_type, "out_c": channels, "out_h": height, "out_w": width, "groups": 1, "model": 0}
    row |= {"kernel_h": kernel, "kernel_w": kernel, "stride_h": stride, "stride_w": stride, "in_c": 16}
    return row | {"out_elems": channels * height * width, "follows_conv": False} | more


def _operators(*rows: dict[str, Any]) -> Operators:
    return operators_of({name: [row[name] for row in rows] for name in rows[0]})


def _term(kind: str, name: str) -> int:
    return TERMS.index((kind, name))


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (_row("conv", (64, 36, 36), 3), 36 / 36 * 48 / 36),
        (_row("conv", (80, 20, 20), 1), 448 / 400 * 128 / 80),
        (_row("conv", (64, 8, 8), 1), 1.0),
        (_row("conv", (65, 8, 8), 1), 128 / 65),
        (_row("conv", (33, 5, 17), 3), 64 / 33 * 8 / 5 * 32 / 17),
        (_row("conv", (64, 40, 40), 3), 48 / 40),
        (_row("conv", (24, 10, 10), 3, 2), 128 / 100 * 32 / 24),
        (_row("conv", (16, 8, 4), 3, 2), 1.0),
        (_row("conv", (32, 10, 10), 1, groups=4), 128 / 100 * 64 / 8),
        (_row("conv", (128, 8, 8), 3, groups=2), 1.0),
        (_row("conv", (3, 5, 7), 7), 1.0),
        (_row("dwconv", (3, 5, 7), 3, groups=16), 1.0),
        (_row("conv", (3, 1, 1), 1), 1.0),
        (_row("matmul", (3, 5, 7)), 1.0),
        (_row("act_silu", (3, 5, 7)), 1.0),
    ],
)
def test_tiles_pad_by_known_factors(row: dict[str, Any], expected: float):
    operators = _operators({**row, "macs": 1000})
    assert tile_padding(operators)[0] == pytest.approx(expected)
    kind = CLASSES[operators.kind[0]]
    if kind in MAC_CLASSES:
        assert add_terms(operators, TILED)[0, _term("flops", kind)] == pytest.approx(2000 * expected)
        assert add_terms(operators, PLAIN)[0, _term("flops", kind)] == 2000


@pytest.mark.slow
@given(
    channels=st.integers(1, 300),
    height=st.integers(1, 100),
    width=st.integers(1, 100),
    kernel=st.sampled_from([1, 3, 5]),
    stride=st.sampled_from([1, 2]),
    groups=st.sampled_from([1, 2, 4]),
)
def test_padding_never_shrinks_and_is_the_same_for_a_whole_tile(
    channels: int, height: int, width: int, kernel: int, stride: int, groups: int
):
    shape = (channels * groups, height, width)
    assert tile_padding(_operators(_row("conv", shape, kernel, stride, groups=groups)))[0] >= 1 - 1e-12
    whole = (64 * groups, 4 * height, 16 * width)
    assert tile_padding(_operators(_row("conv", whole, kernel, stride, groups=groups)))[0] == pytest.approx(1)


def test_each_operator_adds_to_its_own_terms():
    row = _row("conv", (8, 6, 5), 3, macs=34560, params=1160, in_elems=480)
    terms = add_terms(_operators(row), PLAIN)
    expected = np.zeros(len(TERMS))
    expected[_term("launch", "conv3x3")] = 1
    expected[_term("bytes", "conv3x3")] = 4 * (480 + 240 + 1160)
    expected[_term("flops", "conv3x3")] = 2 * 34560
    expected[_term("depth", "conv3x3")] = 34560 / 240
    assert terms.shape == (1, len(TERMS)) and terms[0].tolist() == expected.tolist()


def test_what_does_not_multiply_only_launches_and_moves():
    terms = add_terms(_operators(_row("eltwise_add", (8, 6, 5), in_elems=480)), PLAIN)[0]
    assert {TERMS[index]: terms[index] for index in np.flatnonzero(terms)} == {
        ("launch", "eltwise"): 1,
        ("bytes", "eltwise"): 4 * 720,
    }


def test_a_grouped_convolution_also_launches_once_a_group():
    rows = [_row("conv", (32, 6, 6), 3, groups=groups) for groups in (4, 2, 1, 16)]
    terms = add_terms(_operators(*rows), PLAIN)[0]
    assert terms[GROUP] == 6 and terms[_term("launch", "gconv")] == 2 and terms[_term("launch", "dwconv")] == 1


def test_the_start_is_left_to_the_caller_and_the_terms_are_well_ordered():
    assert TERMS[START] == ("start", "start") and TERMS[GROUP] == ("launch", "group") and START == len(TERMS) - 1
    assert add_terms(_operators(_row("conv", (8, 6, 5), 3)), PLAIN)[0, START] == 0
    assert len(set(TERMS)) == len(TERMS) == len(KIND_OF) == len(CLASS_OF_TERM)
    for index, (kind, name) in enumerate(TERMS[:GROUP]):
        assert KINDS[KIND_OF[index]] == kind and CLASSES[CLASS_OF_TERM[index]] == name
    assert CLASSES[CLASS_OF_TERM[GROUP]] == "gconv" and KINDS[KIND_OF[GROUP]] == "launch"


@pytest.fixture(scope="module")
def published() -> tuple[list[str], Operators]:
    return shipped_operators("jetson_published_ops.csv.gz")


@pytest.mark.parametrize("rules", [PLAIN, TILED, FUSED])
def test_terms_of_many_networks_are_those_of_each(rules: Rules, published: tuple[list[str], Operators]):
    names, operators = published
    together = add_terms(operators, rules, len(names))
    for index in range(len(names)):
        mine = operators.kept(operators.model == index)
        alone = add_terms(Operators(**{**mine.__dict__, "model": np.zeros(len(mine), dtype=np.intp)}), rules)
        assert np.allclose(alone[0], together[index], rtol=1e-12)


def test_a_network_without_operators_has_no_terms():
    terms = add_terms(_operators(_row("conv", (8, 6, 5), 3)), PLAIN, 3)
    assert terms.shape == (3, len(TERMS)) and terms[0].any() and not terms[1:].any()


def test_only_bytes_grow_with_the_bytes_of_an_element(published: tuple[list[str], Operators]):
    names, operators = published

    def terms(size: float) -> Vector:
        rules = Rules(bytes_per_element=size, tiles=True, fuses_activations=True)
        return add_terms(operators, rules, len(names))

    moved = KIND_OF == KINDS.index("bytes")
    assert np.array_equal(terms(4.0)[:, moved], 4 * terms(1.0)[:, moved])
    assert np.array_equal(terms(4.0)[:, ~moved], terms(1.0)[:, ~moved])


def test_fused_activations_are_exactly_those_that_follow_a_convolution(published: tuple[list[str], Operators]):
    names, operators = published
    dropped = add_terms(operators, PLAIN, len(names)) - add_terms(operators, FUSED, len(names))
    behind = add_terms(operators.kept(operators.follows_conv), PLAIN, len(names))
    assert np.array_equal(dropped, behind) and dropped.any()
    index = names.index("yolov8n@640x640")
    assert dropped[index, _term("launch", "act_exp")] == 57
    assert {name for (kind, name), count in zip(TERMS, dropped.sum(axis=0), strict=True) if count} <= {
        "act_exp",
        "act_cheap",
    }


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"bytes_per_element": 0}, "above 0"),
        ({"bytes_per_element": -2.0}, "above 0"),
        ({"bytes_per_element": "two"}, "above 0"),
        ({"bytes_per_element": float("nan")}, "above 0"),
        ({"tiles": "no"}, "tiles is 'no'; it must be true or false"),
        ({"fuses_activations": 1}, "true or false"),
    ],
)
def test_impossible_rules_are_refused(wrong: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        Rules(**{"bytes_per_element": 4, "tiles": True, "fuses_activations": True} | wrong)
