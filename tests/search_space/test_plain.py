"""The converter between dataclasses and plain data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from search_space.plain import NOT_IN_FILES, READ, WRITE, FieldError, Options, read_plain, to_plain, without_defaults


@dataclass(frozen=True, kw_only=True)
class Wheel:
    size: float
    spokes: int = 32


@dataclass(frozen=True, kw_only=True)
class Bicycle:
    name: str
    wheels: tuple[Wheel, ...] = ()
    weight: float | None = None
    folds: bool = False
    gears: Mapping[float, str] = field(default_factory=dict)
    options: Options = Options()
    notes: Any = None
    length_m: float = field(
        default=0.0, metadata={READ: lambda cm: cm / 100, WRITE: lambda m: round(m * 100) if m else None}
    )
    place: str = field(default="shed", metadata={NOT_IN_FILES: True})


FULL = Bicycle(
    name="red",
    wheels=(Wheel(size=28.0), Wheel(size=20.0, spokes=24)),
    weight=11.5,
    folds=True,
    gears={0.5: "low"},
    options=Options({"bell": "brass"}),
    notes=["new"],
    length_m=1.8,
)


@pytest.mark.parametrize("defaults", [True, False])
@pytest.mark.parametrize("bicycle", [FULL, Bicycle(name="blue")])
def test_plain_data_is_read_back(bicycle: Bicycle, defaults: bool) -> None:
    assert read_plain(Bicycle, to_plain(bicycle, defaults=defaults)) == bicycle


def test_defaults_may_be_left_out() -> None:
    assert without_defaults(Bicycle(name="blue")) == {"name": "blue"}
    plain = to_plain(Bicycle(name="blue"))
    assert plain["folds"] is False and plain["gears"] == {} and plain["wheels"] == []
    assert "place" not in plain and "length_m" not in plain
    assert to_plain(FULL)["length_m"] == 180 and to_plain(FULL)["wheels"][0] == {"size": 28.0, "spokes": 32}


@pytest.mark.parametrize(("value", "read"), [(11, 11.0), ("64.0e9", 64.0e9), ("1e-3", 1e-3), (None, None)])
def test_a_float_may_be_a_whole_number_or_an_exponent(value: object, read: float | None) -> None:
    weight = read_plain(Bicycle, {"name": "red", "weight": value}).weight
    assert weight == read and type(weight) is type(read)


@pytest.mark.parametrize(
    ("data", "place"),
    [
        ({"nmae": "red"}, "nmae"),
        ({}, "name"),
        ({"name": 1}, "name"),
        ({"name": "red", "folds": 1}, "folds"),
        ({"name": "red", "wheels": "28"}, "wheels"),
        ({"name": "red", "wheels": [{"size": 28, "spokes": True}]}, "wheels[0].spokes"),
        ({"name": "red", "wheels": [{"size": 28}, {"spoke": 1}]}, "wheels[1].spoke"),
        ({"name": "red", "weight": math.nan}, "weight"),
        ({"name": "red", "weight": "1e999"}, "weight"),
        ({"name": "red", "weight": 10**400}, "weight"),
        ({"name": "red", "weight": "heavy"}, "weight"),
        ({"name": "red", "gears": {"low": "0.5"}}, "a name in gears"),
        ({"name": "red", "gears": {0.5: 1}}, "gears.0.5"),
        ({"name": "red", "options": {"bell": [1]}}, "options.bell"),
        ({"name": "red", "place": "street"}, "place"),
        ([], ""),
    ],
)
def test_wrong_data_names_its_field(data: Any, place: str) -> None:
    with pytest.raises(FieldError) as refused:
        read_plain(Bicycle, data)
    assert refused.value.field == place
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 200
