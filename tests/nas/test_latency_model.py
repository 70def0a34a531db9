"""Predicted latency of graphs: sums of terms, intervals, what was never measured, and published figures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nas.cost.latency import CONFIDENCE, EXTRAPOLATES_FROM, LatencyModel, data_sheet_error, load_model
from nas.cost.measurements import MeasurementSource, load
from nas.cost.profile import GRID, device_names, find_profile, write_profile
from nas.cost.residual import read_residual
from nas.cost.terms import START, TERMS, add_terms
from nas.cost.tracing import graph_operators
from search_space import DESIGNS, Graph, lower
from search_space.errors import BudgetError, ConfigError


def _graph(name: str = "yolov8n", side: int = 640, num_classes: int = 80) -> Graph:
    return lower(DESIGNS.get(name).architecture, num_classes=num_classes, input_hw=(side, side))


@pytest.fixture(scope="module")
def nano() -> LatencyModel:
    return load_model("jetson-nano-ort-fp32")


@pytest.mark.parametrize("device", device_names())
def test_every_device_predicts_a_time_inside_its_interval(device: str):
    model = load_model(device)
    found = model.latency(_graph(side=320))
    assert 0 < found.low_ms < found.latency_ms < found.high_ms < np.inf
    assert found.low_ms * found.high_ms == pytest.approx(found.latency_ms**2), "as far below as above, in log time"
    assert 0 <= found.unsupported_share <= 1
    assert found.extrapolated == (found.unsupported_share >= EXTRAPOLATES_FROM)
    assert model.latency(_graph(side=640)).latency_ms > found.latency_ms


@pytest.mark.parametrize("device", ["jetson-nano-trt-fp16", "jetson-nano-ort-fp32", "xavier-nx"])
def test_without_a_residual_the_time_is_the_sum_over_the_terms(device: str):
    profile = find_profile(device)
    model = LatencyModel(profile)
    terms = model.terms(_graph())
    assert terms.shape == (len(TERMS),) and terms[START] == 1
    assert model.latency(_graph()).latency_ms == pytest.approx(1e3 * terms @ profile.constants)


def test_the_residual_multiplies_the_sum(nano: LatencyModel):
    path = nano.profile.residual_path
    assert path is not None and nano.residual is not None
    terms = nano.terms(_graph())
    seconds = terms * nano.profile.constants
    learned, distance = read_residual(path)(np.sqrt(seconds / seconds.sum())[None])
    assert nano.latency(_graph()).latency_ms == pytest.approx(1e3 * seconds.sum() * np.exp(learned[0]))
    assert 0 < distance[0] < 1 and abs(learned[0]) < 0.3
    bare = LatencyModel(nano.profile).latency(_graph(side=320))
    near = nano.latency(_graph(side=320))
    assert near.high_ms / near.latency_ms < bare.high_ms / bare.latency_ms, "near measured networks it is surer"


@pytest.mark.parametrize("device", ["jetson-nano-ort-fp32", "orin-nano", "xavier-nx"])
def test_intervals_widen_with_confidence(device: str):
    made = [load_model(device, confidence=level).latency(_graph(side=320)) for level in (*GRID, 0.75)]
    widths = [found.high_ms / found.low_ms for found in made]
    assert widths[:-1] == sorted(set(widths[:-1])) and widths[2] < widths[-1] < widths[3]
    assert len({found.latency_ms for found in made}) == 1
    assert load_model(device).latency(_graph(side=320)) == made[GRID.index(CONFIDENCE)]


@pytest.mark.parametrize("confidence", [0.0, 0.49, 0.995, 1.0, -1.0, float("nan")])
def test_a_confidence_out_of_range_is_refused(confidence: float):
    with pytest.raises(BudgetError, match="confidence must be from 0.5 to 0.99, got"):
        load_model("orin-nano", confidence=confidence)


def test_many_networks_are_predicted_as_each_alone(nano: LatencyModel):
    graphs = [_graph("yolov8n", 320), _graph("tinydet-s", 320), _graph("ssd-vgg16", 320)]
    terms = np.array([nano.terms(graph) for graph in graphs])
    together = nano.predict(terms)
    for index, graph in enumerate(graphs):
        alone = nano.latency(graph)
        assert together[index].latency_ms == pytest.approx(alone.latency_ms, rel=1e-5)
        assert together[index].high_ms == pytest.approx(alone.high_ms, rel=1e-4)


def test_a_class_never_measured_shows_and_widens(nano: LatencyModel):
    profile = nano.profile
    measured = {name: count for name, count in profile.measured.items() if name != "conv3x3"}
    unaware = LatencyModel(replace(profile, measured=measured), nano.residual)
    before, after = nano.latency(_graph()), unaware.latency(_graph())
    assert after.latency_ms == before.latency_ms
    assert before.unsupported_share < EXTRAPOLATES_FROM < 0.2 < after.unsupported_share
    assert after.extrapolated and not before.extrapolated
    assert after.high_ms > 1.2 * before.high_ms and after.low_ms < before.low_ms


def test_a_profile_without_measurements_is_off_by_half_and_all_extrapolated():
    found = load_model("xavier-nx-trt-fp16").latency(_graph())
    assert found.extrapolated and found.unsupported_share > 0.9
    assert np.log(found.high_ms / found.latency_ms) == pytest.approx(0.5)
    quantiles = [data_sheet_error().quantiles[level] for level in GRID]
    assert quantiles == sorted(quantiles) and quantiles[GRID.index(0.9)] == pytest.approx(0.5)


def test_one_more_step_of_input_costs_more_where_a_tile_begins(nano: LatencyModel):
    """At 288 pixels maps are 36 and 18 cells wide: rows of 16 that are nearly empty."""
    at = {side: nano.latency(_graph(side=side)).latency_ms for side in (224, 256, 288)}
    up_to_256, up_to_288 = at[256] / at[224], at[288] / at[256]
    assert up_to_288 > 1.25 and up_to_256 < 1.15
    assert up_to_288 > 288**2 / 256**2 > up_to_256 or up_to_288 - up_to_256 > 0.15


def test_remembered_nodes_give_the_same_value(nano: LatencyModel, monkeypatch: pytest.MonkeyPatch):
    fresh = LatencyModel(nano.profile, nano.residual)
    first = fresh.latency(_graph("yolov8n-p2"))
    fresh.latency(_graph("yolov8n"))
    other = LatencyModel(nano.profile, nano.residual)
    assert other.latency(_graph("yolov8n-p2")) == first

    def never(*_: object) -> None:
        raise AssertionError("added up once more")

    monkeypatch.setattr("nas.cost.latency.add_terms", never)
    assert fresh.latency(_graph("yolov8n-p2")) == first
    with pytest.raises(AssertionError, match="once more"):
        other.latency(_graph("sodet-s"))


def test_terms_do_not_depend_on_what_else_is_remembered():
    """All designs at once are more nodes than a table of remembered ones begins with."""
    profile = find_profile("orin-nano-trt-fp16")
    model = LatencyModel(profile)
    graphs = [_graph(name, 320) for name in DESIGNS]
    once = [model.terms(graph) for graph in graphs]
    again = [model.terms(graph) for graph in graphs]
    for graph, first, second in zip(graphs, once, again, strict=True):
        assert np.array_equal(first, second)
        summed = sum((add_terms(make(), profile.rules)[0] for _, make in graph_operators(graph)), np.zeros(len(TERMS)))
        summed[START] = 1.0
        assert np.allclose(first, summed, rtol=1e-12)


def test_a_slower_constant_makes_a_slower_network(nano: LatencyModel):
    terms = nano.terms(_graph())
    for index in range(len(TERMS)):
        constants = nano.profile.constants.copy()
        constants[index] *= 2
        slower = LatencyModel(replace(nano.profile, constants=constants)).predict(terms[None])[0].latency_ms
        bare = LatencyModel(nano.profile).predict(terms[None])[0].latency_ms
        assert slower == pytest.approx(bare + 1e3 * terms[index] * nano.profile.constants[index])


PUBLISHED_MS = 51.97


def test_a_figure_of_others_is_met_that_was_not_fitted_on():
    """YOLOv8n at 640x640 on a Nano with trtexec, published beside YOLOv9; the fit knows other people's figures only."""
    profile = find_profile("jetson-nano-trt-fp16")
    assert all(source.where["source_id"] != "yolov9_issue519" for source in profile.measurements)
    source = replace(profile.measurements[0], where={"source_id": "yolov9_issue519"})
    published = load(source, profile.rules)
    assert published.names == ("yolov8n@640x640",) and published.latency_ms[0] == pytest.approx(PUBLISHED_MS, abs=0.01)
    model = load_model("jetson-nano-trt-fp16")
    for found in (model.latency(_graph()), model.predict(published.terms)[0]):
        assert found.latency_ms == pytest.approx(PUBLISHED_MS, rel=0.15)
        assert found.low_ms < PUBLISHED_MS < found.high_ms


@pytest.mark.parametrize(
    "device",
    [
        "jetson-nano-ort-fp32",
        "pi4-tflite-int8",
        "a40-trt",
        "pi4-ort-fp32",
        "pi5-ort-fp32",
        "vim3-npu-int16",
    ],
)
def test_measured_networks_are_predicted_near_and_lie_in_their_intervals(device: str):
    model = load_model(device)
    source: MeasurementSource = model.profile.measurements[0]
    measured = load(source, model.profile.rules)
    made = model.predict(measured.terms)
    assert np.median(np.abs(made.latency_ms / measured.latency_ms - 1)) < 0.05
    inside = (measured.latency_ms >= made.low_ms) & (measured.latency_ms <= made.high_ms)
    assert inside.mean() > 0.85
    assert (made.latency_ms > 0).all() and not (made.unsupported_share > EXTRAPOLATES_FROM).any()


def test_a_profile_of_ones_own_is_used_with_the_residual_beside_it(nano: LatencyModel, tmp_path: Path):
    path = tmp_path / "mine.yaml"
    write_profile(nano.profile, path)
    with pytest.raises(ConfigError, match="calibrate the profile again"):
        load_model(str(path))
    beside = tmp_path / "mine.residual.csv.gz"
    assert nano.profile.residual_path is not None
    beside.write_bytes(nano.profile.residual_path.read_bytes())
    found = load_model(str(path))
    assert found.profile.residual_path == beside
    assert found.latency(_graph()).latency_ms == pytest.approx(nano.latency(_graph()).latency_ms, rel=1e-4)
    other = find_profile("a40-trt").residual_path
    assert other is not None
    beside.write_bytes(other.read_bytes())
    with pytest.raises(ConfigError, match="belongs to another profile"):
        load_model(str(path))
    beside.write_bytes(b"broken")
    with pytest.raises(ConfigError, match="calibrate the profile again"):
        load_model(str(path))
