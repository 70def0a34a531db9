"""The predicted time of a whole frame: its parts, batches, and the times around the network that a board measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from latency_fakes import refused, run, run_json

from nas.config import read_config
from nas.cost.frame import FrameLatency, frame_latency, network_latency
from nas.cost.host import PRIOR, HostPart, HostTimes, MeasuredPart, boxes, fit_host, pixels
from nas.cost.latency import LatencyModel, load_model
from nas.cost.profile import read_profile
from nas.engine.run_request import RunRequest
from nas.engine.session import begin
from search_space import DESIGNS, Detector, Graph, lower
from search_space.errors import ConfigError, DataError
from search_space.heads.anchors import ssd_anchors

DATA = str(Path(__file__).parents[1] / "data" / "hit_uav")
ORIN = "orin-nano-trt-fp16"
FRAME = (1080, 1920)


@pytest.fixture(scope="module")
def model() -> LatencyModel:
    return load_model(ORIN)


@pytest.fixture(scope="module")
def graph() -> Graph:
    return lower(DESIGNS.get("yolov8n").architecture.resized((320, 320)), num_classes=3)


def test_the_boxes_of_a_head_are_counted_before_suppression(graph: Graph) -> None:
    assert boxes(graph) == (1.0, 40**2 + 20**2 + 10**2)
    ssd = Detector(lower(DESIGNS.get("ssd-mobilenetv1").architecture, num_classes=20)).eval()
    with torch.no_grad():
        sizes = [(each.shape[2], each.shape[3]) for each in ssd(torch.zeros(1, 3, *ssd.input_hw))]
    assert boxes(ssd.graph)[1] == len(ssd_anchors(ssd.graph.head.anchors, sizes, ssd.input_hw))


@given(
    st.tuples(st.integers(16, 4000), st.integers(16, 4000)),
    st.integers(1, 32),
    st.booleans(),
)
@settings(max_examples=30, deadline=None)
def test_parts_add_up(
    model: LatencyModel, graph: Graph, frame_hw: tuple[int, int], batch_size: int, end_to_end: bool
) -> None:
    found = frame_latency(model, graph, frame_hw=frame_hw, end_to_end=end_to_end, batch_size=batch_size)
    network = ["scaling", "network", "decoding and suppression"] if end_to_end else ["network"]
    assert [part.part for part in found.parts] == network
    for name in ("latency_ms", "low_ms", "high_ms"):
        assert sum(getattr(part, name) for part in found.parts) == pytest.approx(getattr(found, name))
    assert all(0 < part.low_ms < part.latency_ms < part.high_ms for part in found.parts)
    assert found.frames_per_s == pytest.approx(1000 * batch_size / found.latency_ms)


def test_a_batch_saves_time_and_its_interval_reaches_one_image_after_another(model: LatencyModel, graph: Graph) -> None:
    one, eight = (network_latency(model, graph, count) for count in (1, 8))
    assert one == model.latency(graph)
    assert one.latency_ms < eight.latency_ms < 8 * one.latency_ms <= eight.high_ms
    assert eight.high_ms / eight.latency_ms > 1.2 * one.high_ms / one.latency_ms


def test_a_model_with_a_frame_predicts_the_whole_time(model: LatencyModel, graph: Graph) -> None:
    whole = load_model(ORIN, frame_hw=FRAME).latency(graph)
    assert isinstance(whole, FrameLatency) and whole == frame_latency(model, graph, frame_hw=FRAME, end_to_end=True)
    assert whole.high_ms > model.latency(graph).high_ms
    assert load_model(ORIN, frame_hw=FRAME).fingerprint() == model.fingerprint()
    with pytest.raises(ValueError, match="needs its size"):
        frame_latency(model, graph, end_to_end=True)


def parts_of(scale: float, *, parts: tuple[str, ...] = ("prepare", "read_outputs")) -> list[MeasuredPart]:
    """Measured times of two detectors, which take `scale` times what the prior predicts."""
    found = []
    for name, side, count in (("a", 320, 2100), ("b", 640, 33600)):
        quantities = {"prepare": pixels((720, 1280), (side, side)), "read_outputs": (1.0, float(count))}
        for part in parts:
            ms = scale * getattr(PRIOR, part).predict(quantities[part])[0]
            found.append(MeasuredPart(detector=name, part=part, quantities=quantities[part], ms=ms))
    return found


@given(st.floats(0.1, 20))
@settings(max_examples=20, deadline=None)
def test_a_fit_predicts_what_was_measured_with_a_narrower_interval(scale: float) -> None:
    measured = parts_of(scale)
    fitted = fit_host(measured)
    for each in measured:
        ms, deviation = getattr(fitted, each.part).predict(each.quantities)
        assert ms == pytest.approx(each.ms, rel=0.03)
        assert deviation < 0.6 * getattr(PRIOR, each.part).predict(each.quantities)[1]
    assert fitted.prepare.num_measured == 2


def test_a_part_that_was_not_measured_keeps_the_prior() -> None:
    fitted = fit_host(parts_of(5.0, parts=("prepare",)))
    assert fitted.read_outputs == PRIOR.read_outputs and fitted.prepare != PRIOR.prepare


@pytest.mark.parametrize(
    "wrong",
    [
        {"constants_ns": (0.0, 1.0)},
        {"constants_ns": (1.0,)},
        {"constants_ns": (1.0, 1.0), "covariance": (1.0, 2.0, 1.0)},
        {"constants_ns": (1.0, float("nan"))},
        {"constants_ns": (1.0, 1.0), "num_measured": -1},
    ],
)
def test_constants_that_are_none_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="host"):
        HostPart(**wrong)


def exported_report(folder: Path, **host: Any) -> Path:
    """Writes what an export and `board/measure.py` leave: an architecture, and figures of its engine and its CPU."""
    (folder / "board").mkdir(parents=True, exist_ok=True)
    (folder / "one").mkdir(exist_ok=True)
    DESIGNS.get("yolov8n").architecture.resized((320, 320)).to_yaml(folder / "one" / "architecture.yaml")
    detector = {
        "name": "one",
        "input_hw": [320, 320],
        "num_classes": 3,
        "head": "anchor_free",
        "engines": {"model.onnx": {"latency": {"median_ms": 2.5}}},
        "unstable": False,
        "host": {"picture_hw": list(FRAME), **{name: {"median_ms": ms} for name, ms in host.items()}},
    }
    path = folder / "board" / "measured.json"
    path.write_text(json.dumps({"board": {}, "settings": {}, "detectors": [detector]}))
    return path


def test_a_measured_report_changes_the_whole_time_by_what_was_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report, profile = exported_report(tmp_path, prepare=31.0, read_outputs=0.7), tmp_path / "mine.yaml"
    detector = [tmp_path / "one" / "architecture.yaml", "--num-classes", 3, "--frame", *FRAME, "--end-to-end"]
    before = run_json(capsys, "latency", *detector, "--device", ORIN)["per_frame"]
    assert [part["basis"] for part in before["parts"]] == ["prior", "measured", "prior"]
    out = run_json(capsys, "latency", "calibrate", report, "--device", ORIN, "--out", profile, "--only-mine")
    assert {row["part"]: row["measured_ms"] for row in out["host"]} == {"prepare": 31.0, "read_outputs": 0.7}
    assert all(row["after_ms"] == pytest.approx(row["measured_ms"], rel=0.02) for row in out["host"])
    after = run_json(capsys, "latency", *detector, "--device", profile)["per_frame"]
    measured = {"scaling": 31.0, "network": 2.5, "decoding and suppression": 0.7}
    for part in after["parts"]:
        assert part["latency_ms"] == pytest.approx(
            measured[part["part"]], rel=0.1 if part["part"] == "network" else 0.02
        )
        assert part["basis"] == "measured"
    moved = sum(part["latency_ms"] for part in after["parts"]) - sum(part["latency_ms"] for part in before["parts"])
    assert after["latency_ms"] - before["latency_ms"] == pytest.approx(moved)
    assert (
        read_profile(profile).host is not None and read_profile(profile).host == load_model(str(profile)).profile.host
    )
    text, _ = run(capsys, "latency", *detector, "--device", profile)
    assert "prior" not in text and "per frame of 1920x1080" in text


def test_a_profile_without_measured_host_times_is_written_as_before(tmp_path: Path) -> None:
    from nas.cost.profile import write_profile

    profile = load_model(ORIN).profile
    write_profile(profile, tmp_path / "p.yaml")
    assert profile.host is None and "host" not in (tmp_path / "p.yaml").read_text()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda report: report.pop("detectors"), "no list of detectors"),
        (lambda report: report["detectors"][0].update(name="../one"), "name is"),
        (lambda report: report["detectors"][0].update(name=".."), "name is"),
        (lambda report: report["detectors"][0].update(unstable=True), "no stable latency"),
        (lambda report: report["detectors"][0].update(error="trtexec failed"), "no stable latency"),
        (lambda report: report["detectors"][0].update(num_classes=2.5), "num_classes is 2.5"),
        (lambda report: report["detectors"][0]["engines"].update({"model.onnx": {}}), "latency median_ms is nothing"),
        (lambda report: report["detectors"][0]["host"]["prepare"].update(median_ms=-1), "prepare median_ms is -1"),
        (lambda report: report["detectors"][0]["host"].update(picture_hw=[720]), "picture_hw is a list"),
    ],
)
def test_a_report_that_is_none_is_refused(tmp_path: Path, spoil: Any, words: str) -> None:
    from nas.cost.board_report import read_board_report

    path = exported_report(tmp_path, prepare=1.0)
    report = json.loads(path.read_text())
    spoil(report)
    path.write_text(json.dumps(report))
    with pytest.raises(DataError, match=words):
        read_board_report(path)


def test_files_that_are_no_report_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.json").write_text("[" * 100_000)
    assert "is not JSON" in refused(capsys, "latency", "calibrate", tmp_path / "a.json", "--device", ORIN)
    assert "no measurements" in refused(capsys, "latency", "calibrate", tmp_path / "b.json", "--device", ORIN)


def test_what_a_frame_cannot_be_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    design = ("latency", "yolov8n", "--device", ORIN)
    assert "needs --frame H W" in refused(capsys, *design, "--end-to-end")
    assert "from 16 to 32768 pixels" in refused(capsys, *design, "--frame", 1080, 8)
    assert "--batch-size must be at least 1" in refused(capsys, *design, "--batch-size", 0)


def test_a_run_may_limit_the_whole_time_of_a_frame(tmp_path: Path) -> None:
    asked = {"data": DATA, "trials": 1, "budget_latency_ms": 90.0, "device": ORIN, "start": ("yolov8n-p2-nop5",)}
    plain = begin(RunRequest.of(out=str(tmp_path), name="plain", **asked))
    whole = begin(RunRequest.of(out=str(tmp_path), name="whole", frame=FRAME, end_to_end=True, **asked))
    for session in (plain, whole):
        session.config.to_yaml(session.folder.config_yaml)
    text = plain.folder.config_yaml.read_text()
    assert "end_to_end" not in text and "frame" not in text
    config = read_config(whole.folder.config_yaml)
    assert (config.frame, config.end_to_end) == (FRAME, True)
    assert config.limit_words() == ["90 ms at the upper end of the 90 % interval, end to end, frames of 1920x1080"]
    point = plain.starts[0].candidate.params
    candidate, alone = whole.domain.consider({**point, "tiles": "1"}), plain.domain.consider(point)
    assert candidate is not None and alone is not None and isinstance(candidate.cost.latency, FrameLatency)
    assert candidate.costs["latency_ms"] == pytest.approx(sum(p.latency_ms for p in candidate.cost.latency.parts))
    assert candidate.costs["latency_ms"] > alone.costs["latency_ms"] and candidate.cost.macs == alone.cost.macs
    assert candidate.margins["latency_high_ms"] == pytest.approx(candidate.cost.latency.high_ms / 90 - 1)


def test_a_whole_time_needs_a_frame_and_a_device(tmp_path: Path) -> None:
    for given_settings, words in (
        ({"device": ORIN, "end_to_end": True}, "needs --frame"),
        ({"frame": FRAME, "end_to_end": True}, "needs --device"),
    ):
        with pytest.raises(ConfigError, match=words):
            begin(RunRequest.of(data=DATA, out=str(tmp_path), name="x", budget_gflops=1.0, **given_settings))


def test_times_that_are_read_from_a_profile_are_those_that_were_written(tmp_path: Path) -> None:
    from dataclasses import replace

    from nas.cost.profile import write_profile

    times = HostTimes(prepare=HostPart(constants_ns=(3.5, 2.0), num_measured=1), read_outputs=PRIOR.read_outputs)
    profile = replace(load_model(ORIN).profile, host=times)
    write_profile(profile, tmp_path / "p.yaml")
    assert read_profile(tmp_path / "p.yaml").host == times
    assert LatencyModel(profile).fingerprint() != load_model(ORIN).fingerprint()
