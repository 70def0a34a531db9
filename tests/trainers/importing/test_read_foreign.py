"""Checkpoints of other programs are read as tensors in the order of the file, with what else they state."""

from __future__ import annotations

import json
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from search_space.errors import ConfigError
from tests.trainers.importing.foreign_files import FIXTURES, nothing_happens
from trainers.importing.foreign import ForeignWeights, read_foreign

KEYS = json.loads((FIXTURES / "keys.json").read_text())
PICKLES = ("ultralytics_tiny.pt", "ultralytics_tiny_unstripped.pt")
STATE = {"conv.weight": torch.arange(6.0).reshape(1, 2, 3), "bn.num_batches_tracked": torch.tensor(7)}
FORMATS = ("archive", "legacy")


def saved(path: Path, content: Any, form: str = "archive") -> ForeignWeights:
    torch.save(content, path, _use_new_zipfile_serialization=form == "archive")
    return read_foreign(path)


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return list(one) == list(other) and all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("name", PICKLES)
def test_a_pickled_model_gives_its_state_in_order(name: str) -> None:
    read_foreign(FIXTURES / name)
    with nothing_happens(FIXTURES / name):
        found = read_foreign(FIXTURES / name)
    assert [[key, list(value.shape)] for key, value in found.state.items()] == [row[:2] for row in KEYS]
    assert {value.dtype for value in found.state.values()} == {torch.float32, torch.int64}
    assert found.kind == "module" and found.classes == ("ant", "bee", "fly") and not found.norms_folded
    assert found.facts["version"] == "8.4.190" and found.facts["stride"] == "8, 16, 32"
    assert json.loads(found.facts["yaml"])["scale"] == "t" and found.facts["license"].startswith("none")


def test_averaged_weights_of_a_training_under_way_are_those_of_its_end() -> None:
    one, other = (read_foreign(FIXTURES / name).state for name in PICKLES)
    assert same(one, other)


def test_the_values_are_those_of_the_rule() -> None:
    found = read_foreign(FIXTURES / PICKLES[0]).state
    for position, (key, shape, _, role) in enumerate(KEYS):
        if role in ("learned", "statistic"):
            expected = _value(position, key, shape).astype(np.float16).astype(np.float32)
            assert np.array_equal(found[key].numpy(), expected), key


def _value(position: int, key: str, shape: list[int]) -> np.ndarray:
    count = int(np.prod(shape))
    x = (np.arange(count, dtype=np.uint64) + (np.uint64(position) << np.uint64(32))) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    bits = ((x ^ (x >> np.uint64(31))) >> np.uint64(40)).astype(np.float32)
    u = (bits / np.float32(2**23) - np.float32(1)).reshape(shape)
    if len(shape) > 1:
        return u * np.float32(np.sqrt(9 / np.prod(shape[1:])))
    if key.endswith((".bias", ".running_mean")):
        return u * np.float32(0.1)
    return np.float32(1) + u * np.float32(0.5 if key.endswith(".running_var") else 0.2)


@pytest.mark.parametrize("form", FORMATS)
def test_a_state_dict_is_read_wherever_it_is(form: str, tmp_path: Path) -> None:
    state = OrderedDict(STATE)
    state._metadata = OrderedDict()  # type: ignore[attr-defined]  as `nn.Module.state_dict` does
    contents = [state, {"state_dict": state, "epoch": 3}, {"model": state}, {"ema": state, "model": {"a": 1}}]
    contents += [{"ema": None, "model": state}, {"model": OrderedDict((f"module.{key}", STATE[key]) for key in STATE)}]
    for number, content in enumerate(contents):
        found = saved(tmp_path / f"{number}.pth", content, form)
        assert found.kind == "state dict" and same(found.state, STATE), number
        assert found.classes is None


def test_averaged_weights_are_preferred(tmp_path: Path) -> None:
    other = {"a": torch.zeros(1)}
    assert same(saved(tmp_path / "w.pt", {"model": other, "state_dict": other, "ema": STATE}).state, STATE)
    assert same(saved(tmp_path / "w.pt", {"state_dict": other, "model": STATE}).state, STATE)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    "dtype",
    [torch.float64, torch.float16, torch.bfloat16, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool],
)
def test_every_precision_becomes_one(dtype: torch.dtype, form: str, tmp_path: Path) -> None:
    values = torch.tensor([0, 1, 1, 0], dtype=dtype)
    found = saved(tmp_path / "w.pt", {"a": values}, form).state["a"]
    assert found.dtype == (torch.float32 if dtype.is_floating_point else torch.int64)
    assert found.tolist() == [0, 1, 1, 0]


@pytest.mark.parametrize("form", FORMATS)
def test_views_are_read_as_what_they_show(form: str, tmp_path: Path) -> None:
    base = torch.arange(24.0).reshape(4, 6)
    views = {"t": base.t(), "part": base[1:3, ::2], "scalar": base[2, 3], "empty": base[:0], "whole": base}
    found = saved(tmp_path / "w.pt", views, form).state
    assert same(found, {key: value.contiguous() for key, value in views.items()})
    found["whole"].zero_()
    assert found["t"].sum() == base.sum(), "each tensor has its own memory"


@pytest.mark.parametrize("form", FORMATS)
def test_a_whole_module_is_read_without_its_class(form: str, tmp_path: Path) -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Sequential(nn.Linear(4, 2)))
    net.register_buffer("grid", torch.zeros(3), persistent=False)
    net.register_parameter("absent", None)
    found = saved(tmp_path / "w.pt", {"model": net}, form)
    assert found.kind == "module" and same(found.state, dict(net.state_dict()))
    assert same(saved(tmp_path / "net.pt", net, form).state, dict(net.state_dict()))


@pytest.mark.parametrize("form", FORMATS)
def test_classes_and_facts_of_mmdet_are_taken(form: str, tmp_path: Path) -> None:
    meta = {"CLASSES": ("person", "traffic_light"), "mmdet_version": "1.1", "config": "model = 1\n", "epoch": 12}
    found = saved(tmp_path / "w.pth", {"meta": meta, "state_dict": STATE, "optimizer": {"a": torch.ones(9)}}, form)
    assert found.classes == ("person", "traffic_light") and same(found.state, STATE)
    assert found.facts == {"mmdet_version": "1.1", "config": "model = 1", "epoch": "12"}


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        ({1: "b", 0: "a"}, ("a", "b")),
        (["a", "b"], ("a", "b")),
        ({1: "a", 2: "b"}, None),
        ({"0": "a"}, None),
        (["a", 3], None),
        (["a\x1b[2J"], None),
        ([], None),
        ("ab", None),
        ([f"c{index}" for index in range(10_001)], None),
    ],
)
def test_class_names_are_texts_in_order_or_none(names: Any, classes: Any, tmp_path: Path) -> None:
    assert saved(tmp_path / "w.pt", {"model": STATE, "names": names}).classes == classes


def test_facts_are_plain_and_short(tmp_path: Path) -> None:
    loop: list[Any] = []
    loop.append(loop)
    told = {"version": "1\x1b[2J\ud800", "date": ["x" * 90_000] * 1000, "license": loop, "epoch": 10**300, "task": None}
    facts = saved(tmp_path / "w.pt", {"model": STATE, **told}).facts
    assert facts["version"] == "1 [2J" and set(facts) == {"version", "date", "license", "epoch"}
    assert max(map(len, facts.values())) <= 100_000


def test_facts_that_repeat_themselves_do_not_grow(tmp_path: Path) -> None:
    bomb: dict[str, Any] = {}
    for _ in range(11):
        bomb = {str(index): bomb for index in range(20)}
    facts = saved(tmp_path / "w.pt", {"model": STATE, "license": bomb}).facts
    assert 1000 < len(facts["license"]) <= 100_000


def test_foreign_safetensors_need_no_metadata(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    tensors = {"b.weight": torch.ones(2, 2).half(), "a": torch.tensor([3], dtype=torch.int32)}
    path.write_bytes(safetensors.torch.save(tensors))
    found = read_foreign(path)
    assert found.kind == "safetensors" and not found.facts and found.classes is None
    assert found.state["b.weight"].dtype == torch.float32 and found.state["a"].dtype == torch.int64
    path.write_bytes(safetensors.torch.save(tensors, {"names": "['x', 'y\\'s']", "license": "MIT"}))
    found = read_foreign(path)
    assert found.classes == ("x", "y's") and found.facts == {"license": "MIT"}


def test_safetensors_that_are_cut_off_or_of_other_types_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    whole = safetensors.torch.save({"a": torch.zeros(100)})
    for content in (whole[:-1], whole[:20], b"\xff" * 7 + b"\x7f{", whole[:8] + b"[" + whole[9:]):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match="no safetensors file"):
            read_foreign(path)
    path.write_bytes(safetensors.torch.save({"a": torch.zeros(2, dtype=torch.complex64)}))
    with pytest.raises(ConfigError, match="'a' in an unknown type"):
        read_foreign(path)
