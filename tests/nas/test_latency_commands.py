"""The commands devices and latency, as a script calls them."""

from __future__ import annotations

import gzip
import importlib
import json
from pathlib import Path
from typing import Any

import click
import pytest

from nas.cli import main
from nas.commands.latency import SUBCOMMANDS
from nas.commands.latency_breakdown import smaller_sizes
from nas.cost import cost_of
from nas.cost.latency import load_model
from nas.cost.operators import TABLE_COLUMNS
from nas.cost.profile import DEVICES, device_names, read_profile
from nas.cost.terms import START, TERMS
from search_space import DESIGNS, lower

NANO, PI = "jetson-nano-trt-fp16", "pi4-ort-fp32"
MINE = ("yolov8n", "yolov8n-p2", "sodet-s", "yolov8n-p2-nop5", "yolov5n-ihp")
OPS_ROWS = """
known,0,conv,-1,3,160,160,8,160,160,3,3,1,1,1,5529600,224,76800,204800
known,1,act_silu,0,8,160,160,8,160,160,0,0,0,0,0,0,0,204800,204800
odd,0,deform_attention,-1,8,160,160,8,160,160,0,0,0,0,0,0,0,204800,204800
"""
OPS = ",".join(TABLE_COLUMNS) + OPS_ROWS


def _run(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> tuple[str, str]:
    try:
        main([str(each) for each in arguments])
    except SystemExit as stop:
        assert stop.code == code
    else:
        assert code == 0
    return capsys.readouterr()


def _json(capsys: pytest.CaptureFixture[str], *arguments: object) -> Any:
    return json.loads(_run(capsys, *arguments, "--json")[0])


def _refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    out, err = _run(capsys, *arguments, code=2)
    lines = [line for line in err.splitlines() if not line.startswith(("note:", "device:"))]
    assert not out and len(lines) == 1 and "Traceback" not in err
    return lines[0]


def _write(path: Path, *rows: object, header: str = "model,latency_ms") -> Path:
    path.write_text("\n".join((header, *map(str, rows))) + "\n")
    return path


@pytest.fixture(scope="module")
def predicted() -> dict[str, float]:
    """Predicted milliseconds of some designs on a device, by name."""
    model = load_model(NANO)
    designs = {name: DESIGNS.get(name) for name in MINE}
    return {
        name: model.latency(lower(each.architecture, num_classes=each.num_classes)).latency_ms
        for name, each in designs.items()
    }


@pytest.fixture
def mine(tmp_path: Path, predicted: dict[str, float]) -> Path:
    """A user's table in which everything takes 1.3 times what is predicted."""
    return _write(tmp_path / "mine.csv", *(f"{name},{1.3 * ms:.4f}" for name, ms in predicted.items()))


def test_devices_lists_every_profile(capsys: pytest.CaptureFixture[str]):
    devices = _json(capsys, "devices")["devices"]
    assert [each["name"] for each in devices] == list(device_names())
    for device in devices:
        assert device["includes"] and device["data_sheet_source"]
        fitted = device["num_measured"] > 0
        assert bool(device["fitted_on"]) == bool(device["measured_classes"]) == fitted
        assert (device["mean_error_percent"] is not None) == fitted == (device["held_out"] is not None)
    by_name = {each["name"]: each for each in devices}
    assert by_name[NANO]["usual"] and not by_name["jetson-nano-ort-fp32"]["usual"]
    low, high = by_name[NANO]["interval_90_percent"]
    assert low < 0 < high and (1 + low / 100) * (1 + high / 100) == pytest.approx(1, abs=0.01)
    assert by_name[PI]["interval_90_percent"] is None
    text, _ = _run(capsys, "devices")
    assert f"{NANO}*" in text and "data sheet only" in text and "leave one family out" in text


def test_a_prediction_says_what_it_is_of_and_adds_up(capsys: pytest.CaptureFixture[str]):
    out = _json(capsys, "latency", "yolov8n-p2", "--device", PI)
    design = DESIGNS.get("yolov8n-p2")
    cost = cost_of(design.architecture, num_classes=10)
    assert (out["macs"], out["flops_2x"], out["params"]) == (cost.macs, 2 * cost.macs, cost.params)
    assert (out["key"], out["num_classes"], out["input_hw"]) == (design.architecture.key(), 10, [640, 640])
    assert (out["device"], out["runtime"], out["precision"], out["batch"]) == (PI, "ONNX Runtime (CPU)", "fp32", 1)
    assert "raw maps" in out["includes"] and "non-maximum suppression" in out["includes"] and out["predicted"]
    assert out["low_ms"] < out["latency_ms"] < out["high_ms"] and not out["extrapolated"]
    expected = load_model(PI).latency(lower(design.architecture, num_classes=10))
    assert out["latency_ms"] == pytest.approx(expected.latency_ms, rel=1e-9)
    assert [node["name"] for node in out["nodes"]] == [
        node.name for node in lower(design.architecture, num_classes=10).nodes
    ]
    start = next(row for row in out["classes"] if row["class"] == "start")
    for name, whole in (("ms", out["latency_ms"]), ("share", 1.0)):
        assert sum(row[name] for row in out["classes"]) == pytest.approx(whole)
        assert sum(row[name] for row in out["nodes"]) + start[name] == pytest.approx(whole)
    assert out["unsupported_share"] == pytest.approx(
        sum(row["share"] for row in out["classes"] if row["networks_measured"] == 0)
    )


def test_what_would_make_it_faster_is_predicted_itself(capsys: pytest.CaptureFixture[str]):
    out = _json(capsys, "latency", "yolov8n", "--device", PI)
    sizes = [row for row in out["faster"] if row["change"] == "input_size"]
    gains = [row["saved_ms_per_percent_of_pixels"] for row in sizes]
    assert len(sizes) == 4 and gains == sorted(gains, reverse=True)
    there = _json(capsys, "latency", "yolov8n", "--device", PI, "--input", *sizes[0]["input_hw"])
    assert there["latency_ms"] == pytest.approx(sizes[0]["latency_ms"])
    assert sizes[0]["saved_ms"] == pytest.approx(out["latency_ms"] - there["latency_ms"])
    (relu,) = [row for row in out["faster"] if row["change"] == "activation"]
    share = next(row["share"] for row in out["classes"] if row["class"] == "act_exp")
    constants = read_profile(DEVICES / f"{PI}.yaml").constants
    cheap, dear = (constants[TERMS.index(("bytes", name))] for name in ("act_cheap", "act_exp"))
    assert relu["share"] == pytest.approx(share) and relu["both_measured"]
    assert relu["saved_percent"] == pytest.approx(100 * share * (1 - cheap / dear), rel=0.05)
    text, _ = _run(capsys, "latency", "yolov8n", "--device", PI)
    assert "ReLU in their place costs" in text and "3x3 convolutions take" in text
    best = max(sizes, key=lambda row: row["saved_ms_per_percent_of_pixels"])["input_hw"]
    assert f"--input {best[0]} {best[1]}: " in text and text.count("fewer pixels") == 2


def test_a_runtime_that_fuses_activations_is_not_told_to_change_them(capsys: pytest.CaptureFixture[str]):
    out = _json(capsys, "latency", "yolov8n", "--device", "orin-nano-trt-fp16")
    assert not [row for row in out["faster"] if row["change"] == "activation"]


def test_smaller_sizes_keep_the_shape_and_stop_in_time():
    arch = DESIGNS.get("yolov8n").architecture
    assert smaller_sizes(arch.resized((384, 640)))[:2] == [(352, 608), (352, 576)]
    assert smaller_sizes(arch.resized((64, 64))) == [(32, 32)] and smaller_sizes(arch.resized((32, 32))) == []
    ssd = DESIGNS.get("ssd-mobilenetv1").architecture
    assert ssd.size_multiple == 1 and all(max(size) < max(ssd.input_hw) for size in smaller_sizes(ssd))


def test_the_text_says_predicted_and_what_was_never_measured(capsys: pytest.CaptureFixture[str]):
    text, err = _run(capsys, "latency", "tinydet-s", "--device", PI, "--confidence", "0.8")
    assert "ms predicted, not measured; 80 % interval" in text and "leave one family out" in text
    note = next(line for line in text.splitlines() if line.startswith("note: extrapolated"))
    assert "dwconv" in note and "conv1x1" not in note and not err
    assert "Raspberry Pi 4B, ONNX Runtime (CPU), fp32, batch 1" in text and "the other" in text


def test_a_profile_of_the_data_sheet_alone_says_so(capsys: pytest.CaptureFixture[str]):
    text, err = _run(capsys, "latency", "sodet-s", "--device", "xavier-nx", "--input", "320", "320")
    assert "rests on the data sheet alone" in text
    assert "device: xavier-nx means xavier-nx-trt-fp16" in err


def test_a_bare_board_and_a_precision_choose_the_profile(capsys: pytest.CaptureFixture[str]):
    size = ("--input", 64, 64)
    for precision, name in (((), NANO), (("--precision", "fp32"), "jetson-nano-ort-fp32")):
        out, err = _run(capsys, "latency", "yolov8n", "--device", "jetson-nano", *precision, *size, "--json")
        assert json.loads(out)["device"] == name and f"device: jetson-nano means {name} (" in err
    assert not _run(capsys, "latency", "yolov8n", "--device", NANO, *size)[1]
    assert _json(capsys, "latency", *size, "--device", NANO, "yolov8n")["device"] == NANO


def test_a_higher_confidence_widens_the_interval(capsys: pytest.CaptureFixture[str]):
    outs = [
        _json(capsys, "latency", "yolov8n", "--device", NANO, "--input", 64, 64, "--confidence", each)
        for each in (0.5, 0.99)
    ]
    assert outs[0]["high_ms"] < outs[1]["high_ms"] and outs[0]["latency_ms"] == outs[1]["latency_ms"]


def test_a_file_without_classes_is_predicted_for_eighty(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "a.yaml"
    DESIGNS.get("yolov8n").architecture.resized((64, 96)).to_yaml(path)
    out, err = _run(capsys, "latency", path, "--device", NANO, "--json")
    assert json.loads(out)["num_classes"] == 80 and "predicted for 80 classes" in err
    assert not _run(capsys, "latency", path, "--device", NANO, "--num-classes", 3)[1]


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """The folder of a finished run with two architectures on its front."""
    from nas.config import RunConfig
    from nas.run_folder import create

    config = RunConfig(name="a", space_fingerprint="s", data_fingerprint="d", classes=("car", "bus", "van"))
    folder = create(tmp_path / "a", config)
    architectures = [DESIGNS.get("yolov8n-p2").architecture.resized((size, size)) for size in (96, 64)]
    rows = [
        {
            "number": number,
            "outcome": "complete",
            "key": arch.key(),
            "macs": cost_of(arch, num_classes=3).macs,
            "accuracy": accuracy,
            "ap50": accuracy,
        }
        for number, (arch, accuracy) in enumerate(zip(architectures, (0.4, 0.3), strict=True))
    ]
    folder.derive(rows, architectures.__getitem__)
    return folder.path


def test_the_front_of_a_run_has_latency_beside_accuracy(run_folder: Path, capsys: pytest.CaptureFixture[str]):
    out = _json(capsys, "latency", run_folder, "--device", NANO)
    assert out["num_classes"] == 3 and out["device"] == NANO and [row["accuracy"] for row in out["front"]] == [0.4, 0.3]
    for row in out["front"]:
        alone = _json(capsys, "latency", row["architecture"], "--device", NANO, "--num-classes", 3)
        keys = ("key", "latency_ms", "low_ms", "high_ms", "macs", "params", "extrapolated")
        assert {key: row[key] for key in keys} == {key: alone[key] for key in keys}
    text, _ = _run(capsys, "latency", run_folder, "--device", NANO)
    assert "40.0" in text and "64x64" in text and "predicted, not measured" in text and "next: nas latency" in text


def test_a_folder_that_is_no_finished_run_is_refused(run_folder: Path, capsys: pytest.CaptureFixture[str]):
    assert "leave it out, or give one file" in _refused(
        capsys, "latency", run_folder, "--device", NANO, "--num-classes", 3
    )
    next((run_folder / "front").iterdir()).unlink()
    assert "writes it anew" in _refused(capsys, "latency", run_folder, "--device", NANO)
    (run_folder / "trials.csv").unlink()
    assert "it has no trials.csv" in _refused(capsys, "latency", run_folder, "--device", NANO)
    assert "is not the folder of a run" in _refused(capsys, "latency", run_folder / "front", "--device", NANO)


def test_operators_of_any_framework_are_predicted_from_a_gzipped_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    path = tmp_path / "ops.csv.gz"
    path.write_bytes(gzip.compress(OPS.encode()))
    out = _json(capsys, "latency", "predict-ops", path, "--device", PI)
    assert out["device"] == PI and [row["model_name"] for row in out["models"]] == ["known", "odd"]
    known, odd = out["models"]
    start_ms = 1e3 * read_profile(DEVICES / f"{PI}.yaml").constants[START]
    path.write_bytes(gzip.compress(f"{OPS.splitlines()[0]}\nempty,0,conv,-1{',0' * 15}\n".encode()))
    assert _json(capsys, "latency", "predict-ops", path, "--device", PI)["models"][0]["latency_ms"] > start_ms
    path.write_bytes(gzip.compress(OPS.encode()))
    assert known["low_ms"] < known["latency_ms"] < known["high_ms"] and known["unsupported_share"] == 0
    assert odd["unsupported_share"] > 0.5 and odd["extrapolated"] and not known["extrapolated"]
    text, _ = _run(capsys, "latency", "predict-ops", path, "--device", PI)
    assert text.count("(extrapolated)") == 1 and "Raspberry Pi 4B" in text


def test_calibrating_moves_the_predictions_to_the_measurements(
    tmp_path: Path, mine: Path, predicted: dict[str, float], capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "board.yaml"
    result = _json(capsys, "latency", "calibrate", mine, "--device", NANO, "--out", out, "--keep-shipped")
    assert result["num_rows"] == result["num_networks"] == 5 and result["num_shipped"] > 0
    assert result["before"]["mean_percent"] == pytest.approx(100 * (1 - 1 / 1.3), abs=0.1)
    assert result["after"]["mean_percent"] < result["before"]["mean_percent"] / 2
    assert result["after"]["held_out"] == "leave one network out"
    assert [row["row"] for row in result["rows"]] == [2, 3, 4, 5, 6]
    profile = read_profile(out)
    assert profile.name == NANO and "5 own measurements" in profile.notes and profile.like == "jetson-nano-ort-fp32"
    assert profile.num_measured == 5 + result["num_shipped"]
    again = _json(capsys, "latency", "yolov8n", "--device", out)
    assert again["latency_ms"] == pytest.approx(1.3 * predicted["yolov8n"], rel=0.1)
    text, _ = _run(capsys, "latency", "yolov8n", "--device", out)
    assert "profile: calibrated on 5 own measurements of 5 networks, mine.csv" in text


def test_only_mine_starts_from_the_shipped_constants(
    tmp_path: Path, mine: Path, predicted: dict[str, float], capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "board.yaml"
    arguments = ("latency", "calibrate", mine, "--device", NANO, "--out", out, "--only-mine")
    result = _json(capsys, *arguments)
    assert result["num_shipped"] == 0 and result["only_mine_mean_percent"] == result["after"]["mean_percent"]
    assert result["after"]["mean_percent"] < 5 and read_profile(out).num_measured == 5
    assert read_profile(out).like == "jetson-nano-ort-fp32"
    assert "exists already" in _refused(capsys, *arguments)
    before = out.read_bytes()
    again = _json(capsys, "latency", "calibrate", mine, "--device", out, "--out", out, "--only-mine", "--force")
    assert out.read_bytes() == before and again["after"] == result["after"]
    assert again["before"]["mean_percent"] < 2


def test_whichever_way_is_less_off_is_taken_and_both_are_told(
    tmp_path: Path, mine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    model = load_model(PI)
    rows = []
    for name in MINE:
        design = DESIGNS.get(name)
        latency = model.latency(lower(design.architecture, num_classes=design.num_classes))
        rows.append(f"{name},{1.3 * latency.latency_ms}")
    path = _write(tmp_path / "pi.csv", *rows)
    text, err = _run(capsys, "latency", "calibrate", path, "--device", PI)
    assert "with --only-mine" in text and f"next: nas latency yolov8n --device {PI}.calibrated.yaml" in text
    assert read_profile(tmp_path / f"{PI}.calibrated.yaml").num_measured == 5  # many of another clock would drown them
    _run(capsys, "latency", "calibrate", path, "--device", PI, "--keep-shipped", "--force")
    assert read_profile(tmp_path / f"{PI}.calibrated.yaml").num_measured > 5
    assert (tmp_path / f"{PI}.calibrated.residual.csv.gz").is_file()
    assert read_profile(tmp_path / f"{PI}.calibrated.yaml").residual_path is not None
    target = ("--out", f"{PI}.calibrated.yaml", "--only-mine", "--force")
    alone = _json(capsys, "latency", "calibrate", "pi.csv", "--device", PI, *target)
    assert alone["after"]["mean_percent"] < 6  # from the data sheet it would be 8
    assert f"held out: {alone['after']['mean_percent']:.1f} % off with --only-mine" in text
    assert alone["after"]["mean_percent"] < alone["keep_shipped_mean_percent"]
    assert read_profile(Path(f"{PI}.calibrated.yaml")).residual_path is None
    assert (
        "calibrated before"
        in _run(capsys, "latency", "calibrate", "pi.csv", "--device", f"{PI}.calibrated.yaml", "--out", "b.yaml")[1]
    )


def test_files_operators_and_repeats_can_be_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], predicted: dict[str, float]
):
    DESIGNS.get("yolov8n").architecture.to_yaml(tmp_path / "a.yaml")
    (tmp_path / "ops.csv").write_text(OPS)
    rows = ("a.yaml,100,,,10", "yolov8n,110,,,", "yolov8n,40,320,320,", "known,0.4,,,", "a.yaml,100,,,")
    path = _write(tmp_path / "m.csv", *rows, header="model,latency_ms,input_h,input_w,num_classes")
    target = ("--device", NANO, "--ops", tmp_path / "ops.csv", "--out", tmp_path / "b.yaml")
    out, err = _run(capsys, "latency", "calibrate", path, *target, "--json")
    result = json.loads(out)
    assert result["num_rows"] == 5 and result["num_networks"] == 4 and "80 classes where" in err
    assert result["rows"][2]["network"] == "yolov8n 320x320, 10 classes" and result["rows"][3]["network"] == "known"
    assert result["rows"][0]["after_ms"] == result["rows"][1]["after_ms"]


def test_one_network_alone_is_not_held_out(
    tmp_path: Path, predicted: dict[str, float], capsys: pytest.CaptureFixture[str]
):
    path = _write(tmp_path / "m.csv", f"yolov8n,{predicted['yolov8n']},3", header="model,latency_ms,runs")
    out = tmp_path / "b.yaml"
    text, err = _run(capsys, "latency", "calibrate", path, "--device", NANO, "--only-mine", "--out", out)
    assert "after: not known" in text and "mean nothing here: 'runs'" in err
    assert "rests on one measured network" in _run(capsys, "latency", "yolov8n", "--device", out)[0]


BAD_TABLES = [
    ("model,latency\nyolov8n,50", "lacks the columns latency_ms; it has: model, latency; is latency latency_ms?"),
    ("", "it is empty"),
    ("model,latency_ms\n", "holds no measurement"),
    ("model,latency_ms\nyolov8n,fast", "row 2: latency_ms is 'fast'"),
    ("model,latency_ms\nyolov8n,50\nyolov8n-p2,0", "row 3: latency_ms is '0'"),
    ("model,latency_ms\nyolov8n,-3", "row 2: latency_ms is '-3'"),
    ("model,latency_ms\nyolov8n,nan", "row 2: latency_ms is 'nan'"),
    ("model,latency_ms\nyolov8n,inf", "row 2: latency_ms is 'inf'"),
    ("model,latency_ms\nyolov8n,", "row 2: latency_ms is ''"),
    ("model,latency_ms\nyolov8n,12,5", "row 2 has 3 cells, the header has 2"),
    ("model,latency_ms\n,12", "row 2: model is empty"),
    ("model,latency_ms\nyolov8m,50", "row 2: unknown model 'yolov8m'; did you mean 'yolov8n'"),
    ("model,latency_ms\nbroken.yaml,50", "row 2: "),
    ("model,latency_ms,latency_ms\nyolov8n,50,50", "has a column twice"),
    ("model,latency_ms,inputh\nyolov8n,50,64", "unknown column 'inputh'; did you mean 'input_h'"),
    ("model,latency_ms,input_h,input_w\nyolov8n,50,64,", "row 2 has only one of input_h and input_w"),
    ("model,latency_ms,input_h,input_w\nyolov8n,50,60,64", "row 2: yolov8n cannot be: input side 60"),
    ("model,latency_ms,num_classes\nyolov8n,50,2.5", "row 2: num_classes is '2.5'"),
    ("model,latency_ms\nyolov8n,50\nyolov8n,101", "rows 2 and 3 are the same network, yolov8n, with 50 and 101 ms"),
]


@pytest.mark.parametrize(("text", "message"), BAD_TABLES)
def test_bad_tables_are_refused_by_row_and_value(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "broken.yaml").write_text("nothing: here\n")
    (tmp_path / "m.csv").write_text(text)
    out = tmp_path / "out.yaml"
    assert message in _refused(capsys, "latency", "calibrate", tmp_path / "m.csv", "--device", NANO, "--out", out)
    assert not out.exists()


@pytest.mark.parametrize(("factor", "word"), [(1e-3, "looks like seconds"), (1e3, "looks like microseconds")])
@pytest.mark.parametrize("device", [NANO, "xavier-nx-trt-fp16"])
def test_other_units_are_noticed(
    factor: float,
    word: str,
    device: str,
    tmp_path: Path,
    predicted: dict[str, float],
    capsys: pytest.CaptureFixture[str],
):
    path = _write(tmp_path / "m.csv", *(f"{name},{factor * ms:.6g}" for name, ms in predicted.items()))
    message = _refused(capsys, "latency", "calibrate", path, "--device", device, "--out", tmp_path / "out.yaml")
    assert word in message and "row 2 has" in message and "give milliseconds" in message


@pytest.mark.parametrize("factor", [1e-3, 1 / 25, 25, 1e3])
def test_one_row_far_off_the_others_is_named(
    factor: float, tmp_path: Path, predicted: dict[str, float], capsys: pytest.CaptureFixture[str]
):
    rows = [f"{name},{ms * (factor if name == 'sodet-s' else 1):.6g}" for name, ms in predicted.items()]
    out = ("--device", NANO, "--out", tmp_path / "out.yaml")
    message = _refused(capsys, "latency", "calibrate", _write(tmp_path / "m.csv", *rows), *out)
    assert "row 4: sodet-s" in message and "times off the other rows" in message
    message = _refused(capsys, "latency", "calibrate", _write(tmp_path / "m.csv", rows[0], rows[2]), *out)
    assert "row 3: sodet-s" in message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("latency", "yolov8n"), "Missing option '--device'"),
        (("latency", "yolov8n", "--device", "jetson-nan"), "did you mean 'jetson-nano'"),
        (("latency", "yolov8n", "--device", "none.yaml"), "no profile none.yaml; nas devices lists"),
        (("latency", "yolov8n", "--device", NANO, "--precision", "int8"), "is of fp16, not int8"),
        (
            ("latency", "yolov8n", "--device", "jetson-nano", "--precision", "int8"),
            "jetson-nano has no profile of int8",
        ),
        (("latency", "yolov8n", "--device", NANO, "--confidence", "1"), "a confidence of 1 cannot be told"),
        (("latency", "yolov8n", "--device", NANO, "--confidence", "nan"), "a confidence of nan cannot be told"),
        (("latency", "yolov8n", "--device", NANO, "--input", "630", "640"), "nearest: 608 or 640"),
        (("latency", "yolov8n", "--device", NANO, "--num-classes", "0"), "num_classes must be at least 1"),
        (("latency", "yolov8m", "--device", NANO), "did you mean 'yolov8n'"),
        (("latency", "none.yaml", "--device", NANO), "no architecture file none.yaml"),
        (("latency", "calibrat", "--device", NANO), "did you mean 'calibrate'"),
        (("latency", "predict-ops", "none.csv", "--device", NANO), "no table of operators none.csv"),
        (("latency", "calibrate", "none.csv", "--device", NANO), "no measurements none.csv"),
    ],
)
def test_mistakes_get_one_line(arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]):
    assert message in _refused(capsys, *arguments)


@pytest.mark.parametrize(
    ("out", "message"), [("board.txt", "must end in .yaml"), ("none/board.yaml", "there is no folder")]
)
def test_a_profile_is_written_only_where_it_can_be(
    out: str, message: str, tmp_path: Path, mine: Path, capsys: pytest.CaptureFixture[str]
):
    arguments = ("latency", "calibrate", mine, "--device", NANO, "--out", tmp_path / out)
    assert message in _refused(capsys, *arguments)


def test_a_table_of_operators_that_lacks_a_column_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "ops.csv"
    path.write_text(OPS.replace("in_elems", "elems"))
    assert "lacks the columns in_elems" in _refused(capsys, "latency", "predict-ops", path, "--device", NANO)


def test_help_shows_both_uses_and_every_subcommand(capsys: pytest.CaptureFixture[str]):
    text, _ = _run(capsys, "latency", "--help")
    assert "ARCH.yaml|DESIGN|RUN --device NAME" in text and "COMMAND [ARGS]" in text and "Examples:" in text
    assert all(option in text for option in ("--confidence", "--num-classes", "calibrate", "validate", "predict-ops"))
    assert "Example:" in _run(capsys, "latency", "calibrate", "--help")[0]


def test_a_subcommand_is_imported_only_to_run_it():
    for module, _ in SUBCOMMANDS.values():
        if importlib.util.find_spec(f"nas.commands.{module}"):
            assert isinstance(importlib.import_module(f"nas.commands.{module}").command, click.Command)
