"""The input format of a design: its keys, its checks, what the detector does with it, and that it costs nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nas.cost import cost_of
from nas.cost.latency import load_model
from search_space import DESIGNS, Architecture, Detector, InputFormat, SearchSpace, lower
from search_space.detector import InputConversion
from search_space.errors import SpaceError
from search_space.input_format import CHANNEL_ORDERS, FITS, VALUE_RANGES
from search_space.tables import UNIT_TABLES

KEYS_WITHOUT = {
    "sodet-s": "96f519360161d5d5",
    "yolov8n": "b8725a86ebf9e043",
    "yolov8n-p2-nop5-bidir-cbam": "b68e6411992bdaf6",
    "sn2-yolov5n": "51986938f4b36d32",
    "yolov8n-esd2": "acbe9992e1476fa2",
    "tinydet-s": "8ef7ef7ab116f710",
    "tinydet-m": "fea72c1eaede238f",
    "tinydet-l": "1553e63d7305a789",
    "ssd-mobilenetv1-s1l0": "b7adbfd200db9f13",
    "ssd-vgg16": "b88962479b62671a",
    "ssd-vgg16-s1l2-dualpath": "54b6648b09f62443",
}
"""Keys from before an architecture had an input format."""
TINYDET = InputFormat(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), fit="stretch")
SSD = InputFormat(mean=(103.94, 116.78, 123.68), channels="bgr", value_range=255, fit="stretch")


@st.composite
def formats(draw: st.DrawFn) -> InputFormat:
    """Any valid input format."""
    white = draw(st.sampled_from(VALUE_RANGES))
    means, stds = (draw(st.tuples(*[st.floats(low * white, white, allow_subnormal=False)] * 3)) for low in (0.0, 0.01))
    words = {"channels": draw(st.sampled_from(CHANNEL_ORDERS)), "fit": draw(st.sampled_from(FITS))}
    return InputFormat(mean=means, std=stds, value_range=white, **words)


def of_design(name: str, **changes: object) -> Architecture:
    return replace(DESIGNS.get(name).architecture, **changes)


@pytest.mark.parametrize("name", KEYS_WITHOUT)
def test_an_architecture_without_the_field_has_the_key_that_it_had(name: str, tmp_path: Path):
    plain = of_design(name, input_format=InputFormat())
    assert "input_format" not in plain.to_dict() and plain.key() == KEYS_WITHOUT[name]
    plain.to_yaml(tmp_path / "a.yaml")
    assert Architecture.from_yaml(tmp_path / "a.yaml") == plain
    changed = DESIGNS.get(name).architecture.key() != KEYS_WITHOUT[name]
    assert changed == name.startswith(("tinydet", "ssd"))


@given(formats())
def test_a_format_survives_a_file_and_has_a_key_of_its_own(found: InputFormat):
    architecture = of_design("yolov8n", input_format=found)
    assert Architecture.from_dict(architecture.to_dict()) == architecture
    assert (architecture.key() == KEYS_WITHOUT["yolov8n"]) == (found == InputFormat())


def test_whole_numbers_and_signed_zeros_make_no_other_key():
    one = of_design("yolov8n", input_format=InputFormat(mean=(104, 117, -0.0), value_range=255))
    two = of_design("yolov8n", input_format=InputFormat(mean=(104.0, 117.0, 0.0), value_range=255))
    assert one == two and one.key() == two.key()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"channels": "grb"}, "unknown input_format channels 'grb'.*known: rgb, bgr"),
        ({"fit": "crop"}, "unknown input_format fit 'crop'.*known: letterbox, stretch"),
        ({"value_range": 256}, "input_format value_range must be 1 or 255, got 256"),
        ({"mean": (0.5, 0.5)}, "input_format mean must be three numbers from 0 to 1"),
        ({"mean": (0.5, 123.0, 0.5)}, "mean must be three numbers from 0 to 1, as value_range is 1"),
        ({"mean": (float("nan"), 0, 0), "value_range": 255}, "mean must be three numbers from 0 to 255"),
        ({"std": (1, 0, 1)}, "std must be three numbers from 0.0001 to 1"),
        ({"std": (1, 1, float("inf")), "value_range": 255}, "std must be three numbers from 0.0001 to 255"),
    ],
)
def test_a_format_that_cannot_be_is_named(fields: dict[str, object], said: str):
    with pytest.raises(SpaceError, match=said):
        InputFormat(**fields)


def test_a_wrong_field_of_a_file_is_named():
    with pytest.raises(SpaceError, match="input_format.value_range is 1.5; it must be a whole number"):
        Architecture.from_dict(of_design("yolov8n").to_dict() | {"input_format": {"value_range": 1.5}})


def test_it_is_told_in_one_line():
    assert str(SSD) == "BGR, 0 to 255, minus 103.94, 116.78, 123.68, stretched"
    assert str(TINYDET).endswith("divided by 0.229, 0.224, 0.225, stretched")
    assert str(InputFormat()) == "RGB, 0 to 1, letterboxed"


@given(formats())
def test_the_conversion_is_that_of_its_definition_and_has_a_way_back(found: InputFormat):
    images = np.random.default_rng(0).random((2, 3, 4, 5))
    ordered = images[:, ::-1] if found.channels == "bgr" else images
    mean, std = (np.array(values).reshape(3, 1, 1) for values in (found.mean, found.std))
    expected = (ordered * found.value_range - mean) / std
    convert = InputConversion(found)
    inputs = convert(torch.from_numpy(images).float())
    assert np.abs(inputs.numpy() - expected).max() <= 1e-6 * max(
        1.0, np.abs(expected).max(), found.value_range / min(std.ravel())
    )
    assert np.abs(convert.inverse(inputs).numpy() - images).max() < 1e-5


@pytest.mark.parametrize("fit", FITS)
def test_plain_images_are_not_touched(fit: str):
    images = torch.rand(1, 3, 4, 4)
    assert InputConversion(InputFormat(fit=fit))(images) is images


@pytest.mark.parametrize("name", ["yolov8n", "ssd-mobilenetv1", "tinydet-s"])
def test_a_detector_of_a_format_is_the_plain_one_on_converted_images(name: str):
    torch.manual_seed(0)
    side = 128 if name == "tinydet-s" else 64
    found = of_design(name, input_hw=(side, side), input_format=SSD)
    plain = Detector(lower(replace(found, input_format=InputFormat()), num_classes=2)).eval()
    detector = Detector(lower(found, num_classes=2)).eval()
    detector.load_state_dict(plain.state_dict())  # strict: the format has no tensors of its own
    images = torch.rand(1, 3, side, side)
    mean = torch.tensor([103.94, 116.78, 123.68]).view(3, 1, 1)
    with torch.no_grad():
        for ours, theirs in zip(detector(images), plain(images[:, [2, 1, 0]] * 255 - mean), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["yolov8n-p2-nop5", "ssd-mobilenetv1", "tinydet-s"])
def test_a_format_costs_nothing(name: str):
    device = load_model("jetson-nano")
    costs = [
        cost_of(of_design(name, input_format=each), num_classes=3, device=device) for each in (InputFormat(), TINYDET)
    ]
    assert costs[0] == costs[1] and costs[0].latency is not None


def test_points_have_the_format_of_their_stage_table():
    space, rng, seen = SearchSpace(), np.random.default_rng(0), set()
    wanted = {
        "vgg16": SSD,
        "mobilenetv1": SSD,
        "mobilenetv3-d": TINYDET,
        "mobilenetv3-bc": TINYDET,
        **dict.fromkeys(("lcnet", "shufflenetv2", "tinynas-ns", "tinynas-nm"), InputFormat()),
    }
    assert {name: table.input_format for name, table in UNIT_TABLES.items()} == wanted
    for _ in range(60):
        params = space.random(rng)
        architecture = space.decode(params)
        assert architecture.input_format == wanted.get(str(params["backbone"]), InputFormat())
        assert space.encode(architecture) == params
        seen.add(params["backbone"])
    assert len(seen & set(wanted)) >= 3


@pytest.mark.parametrize(
    ("name", "wrong"), [("tinydet-s", InputFormat()), ("yolov8n", TINYDET), ("ssd-vgg16", TINYDET)]
)
def test_another_format_than_that_of_the_table_is_not_in_the_space(name: str, wrong: InputFormat):
    reason = SearchSpace().why_not(of_design(name, input_format=wrong))
    assert reason is not None and "input_format." in reason
