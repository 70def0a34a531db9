"""Files with names and shapes that no checkpoint has: converted, or refused in one line."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from published_networks import NAMES, of_state, rows
from torch import Tensor

from search_space import Detector, lower
from search_space.errors import UserError
from trainers.importing.convert import convert
from trainers.importing.layouts import SIGNS, layout_of

SMALL = ("yolov8n-nc4", "yolo11n-nc4", "sodet-s", "tinydet-m", "ssd-vgg16-s1l2", "vgg16-features")
SHAPES = st.lists(st.integers(0, 70), max_size=5).map(tuple)
KEYS = st.one_of(
    st.text(max_size=20),
    st.sampled_from([row.key for name in SMALL for row in rows(name)]),
    st.from_regex(
        r"(model\.|base\.|loc\.|features\.|blocks\.|backbone\.blocks\.){0,2}[0-9]{0,7}\.(cv3\.0\.2\.|m\.)?bias"
    ),
)


def _tensor(shape: tuple[int, ...]) -> Tensor:
    return torch.zeros(shape, device="meta")


@st.composite
def files(draw: st.DrawFn) -> dict[str, Tensor]:
    """A published file with tensors dropped, renamed, added and of other shapes."""
    state = {row.key: _tensor(row.shape) for row in rows(draw(st.sampled_from(SMALL)))}
    keys = list(state)
    for key in draw(st.lists(st.sampled_from(keys), max_size=4)):
        state.pop(key, None)
    for key in draw(st.lists(st.sampled_from(keys), max_size=2)):
        state[key] = _tensor(draw(SHAPES))
    for key in draw(st.lists(KEYS, max_size=3)):
        state[key] = _tensor(draw(SHAPES))
    if draw(st.booleans()):
        state = dict(draw(st.permutations(list(state.items()))))
    return state


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(files(), st.sampled_from(["onnx", "state dict"]), st.booleans())
def test_any_file_is_converted_or_refused_in_one_line(state: dict[str, Tensor], kind: str, folded: bool):
    try:
        found = convert(of_state(state, kind=kind, norms_folded=folded))
    except UserError as error:
        assert "\n" not in str(error) and len(str(error)) < 2000
        return
    own = Detector(lower(found.architecture, num_classes=found.num_classes)).state_dict()
    assert {*found.state, *found.missing} <= set(own)
    assert all(own[name].shape == value.shape for name, value in found.state.items())


@settings(max_examples=300, deadline=None)
@given(st.lists(KEYS, max_size=8))
def test_any_keys_have_places_in_each_layout(keys: list[str]):
    assert layout_of(keys) is None or keys
    for _, layout in SIGNS:
        places = layout.parse(keys)
        assert set(places) <= set(keys)


@pytest.mark.parametrize("name", NAMES)
def test_each_published_file_has_one_layout_and_no_two_tensors_one_place(name: str):
    keys = [row.key for row in rows(name) if row.role not in ("bins", "unused")]
    layout = layout_of(keys)
    assert layout is not None
    places = layout.parse(keys)
    assert set(places) == set(keys) and len(set(places.values())) == len(keys)
