"""Published files that are refused for their values, or because they hold too little of a backbone."""

from __future__ import annotations

import math

import pytest
import torch
from published_networks import foreign, of_state, rows
from torch import Tensor

from search_space import DESIGNS
from search_space.errors import ConfigError
from trainers.importing.convert import convert

NAME = "yolov8n-nc4"


def _changed(key: str, *values: float) -> dict[str, Tensor]:
    """The tensors of a file, the first values of one of which are others."""
    state = dict(foreign(NAME).state)
    state[key] = state[key].clone()
    state[key].flatten()[: len(values)] = torch.tensor(values)
    return state


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("key", ["model.0.conv.weight", "model.2.cv1.bn.running_var"])
def test_values_that_are_not_finite_are_refused(value: float, key: str) -> None:
    state = _changed(key, value, 0.5, value)
    with pytest.raises(ConfigError) as told:
        convert(of_state(state, "nan.pt"))
    assert f"; first: {key}, 2 of {state[key].numel():,}; next: " in str(told.value)
    assert str(told.value).startswith("nan.pt has values that are infinite or not a number, in 1 of ")


def test_values_that_are_not_taken_may_be_anything() -> None:
    state = dict(foreign("vgg16-features").state)
    found = convert(of_state({**state, "classifier.9.weight": torch.full((3,), math.nan)}))
    assert found.unused == ("classifier.9.weight",)


def _backbone(share: float) -> dict[str, Tensor]:
    """The first layers of the backbone of TinyDet, on the meta device."""
    keys = [row for row in rows("tinydet-m") if row.key.startswith("backbone.") and row.role != "counter"]
    return {row.key: torch.zeros(row.shape, device="meta") for row in keys[: math.ceil(len(keys) * share)]}


def test_a_backbone_has_at_least_half_of_the_tensors() -> None:
    total, half = len(_backbone(1)), len(_backbone(0.5))
    assert convert(of_state(_backbone(0.5))).backbone_only
    short = dict(list(_backbone(0.5).items())[: half - 1])
    for given in (None, DESIGNS.get("tinydet-m").architecture):
        with pytest.raises(ConfigError) as told:
            convert(of_state(short), given)
        assert f"has {half - 1} of the {total} tensors of the backbone of tinydet-m; 50% are needed" in str(told.value)
        assert "next: give the whole file" in str(told.value)


def test_a_few_layers_are_no_backbone() -> None:
    state = {"features.0.weight": torch.zeros(64, 3, 3, 3), "features.0.bias": torch.zeros(64)}
    with pytest.raises(ConfigError, match="has 2 of the 30 tensors of the backbone of ssd-vgg16"):
        convert(of_state(state))
    assert convert(foreign("vgg16-features")).backbone_only and not convert(foreign(NAME)).backbone_only
