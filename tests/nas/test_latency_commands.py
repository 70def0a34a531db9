"""The commands devices and latency, as a script calls them."""

from __future__ import annotations

import gzip
import importlib
import json
from pathlib import Path

import click
import pytest
from latency_fakes import NANO, OPS, PI, refused, run, run_json

from nas.commands.latency import SUBCOMMANDS
from nas.cost import cost_of
from nas.cost.breakdown import smaller_sizes
from nas.cost.latency import load_model
from nas.cost.profile import DEVICES, device_names, read_profile
from nas.cost.terms import START, TERMS
from results.trial import Origin, Outcome, Trial
from search_space import DESIGNS, lower


def test_devices_lists_every_profile(capsys: pytest.CaptureFixture[str]):
    devices = run_json(capsys, "devices")["devices"]
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
    text, _ = run(capsys, "devices")
    assert f"{NANO}*" in text and "data sheet only" in text and "leave one family out" in text


def test_a_prediction_says_what_it_is_of_and_adds_up(capsys: pytest.CaptureFixture[str]):
    out = run_json(capsys, "latency", "yolov8n-p2", "--device", PI)
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
    out = run_json(capsys, "latency", "yolov8n", "--device", PI)
    sizes = [row for row in out["faster"] if row["change"] == "input_size"]
    gains = [row["saved_ms_per_percent_of_pixels"] for row in sizes]
    assert len(sizes) == 4 and gains == sorted(gains, reverse=True)
    there = run_json(capsys, "latency", "yolov8n", "--device", PI, "--input", *sizes[0]["input_hw"])
    assert there["latency_ms"] == pytest.approx(sizes[0]["latency_ms"])
    assert sizes[0]["saved_ms"] == pytest.approx(out["latency_ms"] - there["latency_ms"])
    (relu,) = [row for row in out["faster"] if row["change"] == "activation"]
    share = next(row["share"] for row in out["classes"] if row["class"] == "act_exp")
    constants = read_profile(DEVICES / f"{PI}.yaml").constants
    cheap, dear = (constants[TERMS.index(("bytes", name))] for name in ("act_cheap", "act_exp"))
    assert relu["share"] == pytest.approx(share) and relu["both_measured"]
    assert relu["saved_percent"] == pytest.approx(100 * share * (1 - cheap / dear), rel=0.05)
    text, _ = run(capsys, "latency", "yolov8n", "--device", PI)
    assert "ReLU instead of SiLU" in text and "3x3 convolutions take" in text
    best = max(sizes, key=lambda row: row["saved_ms_per_percent_of_pixels"])["input_hw"]
    assert f"--input {best[0]} {best[1]}: " in text and text.count("fewer pixels") == 2


def test_a_runtime_that_fuses_activations_is_not_told_to_change_them(capsys: pytest.CaptureFixture[str]):
    out = run_json(capsys, "latency", "yolov8n", "--device", "orin-nano-trt-fp16")
    assert not [row for row in out["faster"] if row["change"] == "activation"]


def test_smaller_sizes_keep_the_shape_and_stop_in_time():
    arch = DESIGNS.get("yolov8n").architecture
    assert smaller_sizes(arch.resized((384, 640)))[:2] == [(352, 608), (352, 576)]
    assert smaller_sizes(arch.resized((64, 64))) == [(32, 32)] and smaller_sizes(arch.resized((32, 32))) == []
    ssd = DESIGNS.get("ssd-mobilenetv1").architecture
    assert ssd.size_multiple == 1 and all(max(size) < max(ssd.input_hw) for size in smaller_sizes(ssd))


def test_the_text_says_predicted_and_what_was_never_measured(capsys: pytest.CaptureFixture[str]):
    text, err = run(capsys, "latency", "tinydet-s", "--device", PI, "--confidence", "0.8")
    assert "ms predicted, not measured; 80 % interval" in text and "leave one family out" in text
    note = next(line for line in text.splitlines() if line.startswith("note: extrapolated"))
    assert "dwconv" in note and "conv1x1" not in note and not err
    assert "Raspberry Pi 4B, ONNX Runtime (CPU), fp32, batch 1" in text and "the other" in text


def test_a_profile_of_the_data_sheet_alone_says_so(capsys: pytest.CaptureFixture[str]):
    text, err = run(capsys, "latency", "sodet-s", "--device", "xavier-nx", "--input", "320", "320")
    assert "based on the data sheet alone" in text
    assert "device: xavier-nx means xavier-nx-trt-fp16" in err


def test_a_bare_board_and_a_precision_choose_the_profile(capsys: pytest.CaptureFixture[str]):
    size = ("--input", 64, 64)
    for precision, name in (((), NANO), (("--precision", "fp32"), "jetson-nano-ort-fp32")):
        out, err = run(capsys, "latency", "yolov8n", "--device", "jetson-nano", *precision, *size, "--json")
        assert json.loads(out)["device"] == name and f"device: jetson-nano means {name} (" in err
    assert not run(capsys, "latency", "yolov8n", "--device", NANO, *size)[1]
    assert run_json(capsys, "latency", *size, "--device", NANO, "yolov8n")["device"] == NANO


def test_a_higher_confidence_widens_the_interval(capsys: pytest.CaptureFixture[str]):
    outs = [
        run_json(capsys, "latency", "yolov8n", "--device", NANO, "--input", 64, 64, "--confidence", each)
        for each in (0.5, 0.99)
    ]
    assert outs[0]["high_ms"] < outs[1]["high_ms"] and outs[0]["latency_ms"] == outs[1]["latency_ms"]


def test_a_file_without_classes_is_predicted_for_eighty(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "a.yaml"
    DESIGNS.get("yolov8n").architecture.resized((64, 96)).to_yaml(path)
    out, err = run(capsys, "latency", path, "--device", NANO, "--json")
    assert json.loads(out)["num_classes"] == 80 and "predicted for 80 classes" in err
    assert not run(capsys, "latency", path, "--device", NANO, "--num-classes", 3)[1]


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """The folder of a finished run with two architectures on its front."""
    from nas.config import RunConfig
    from nas.run_folder import create

    config = RunConfig(
        name="a", space_fingerprint="s", data_fingerprint="d", classes=("car", "bus", "van"), rungs=(1.0,)
    )
    folder = create(tmp_path / "a", config)
    architectures = [DESIGNS.get("yolov8n-p2").architecture.resized((size, size)) for size in (96, 64)]
    costs = [cost_of(arch, num_classes=3) for arch in architectures]
    trials = [
        Trial(
            number=number,
            key=arch.key(),
            origin=Origin("random"),
            rung=1,
            rungs=1,
            input_height=arch.input_hw[0],
            input_width=arch.input_hw[1],
            levels=("P2",),
            macs=cost.macs,
            params=cost.params,
            weight_bytes=cost.weight_bytes,
            activation_bytes=cost.activation_bytes,
            memory_bytes=cost.memory_bytes,
            outcome=Outcome.COMPLETE,
            scores={"accuracy": accuracy, "ap50": accuracy},
        )
        for number, (arch, cost, accuracy) in enumerate(zip(architectures, costs, (0.4, 0.3), strict=True))
    ]
    folder.derive(trials, lambda trial: architectures[trial.number], num_classes=3)
    return folder.path


def test_the_front_of_a_run_has_latency_beside_accuracy(run_folder: Path, capsys: pytest.CaptureFixture[str]):
    out = run_json(capsys, "latency", run_folder, "--device", NANO)
    assert out["num_classes"] == 3 and out["device"] == NANO and [row["accuracy"] for row in out["front"]] == [0.4, 0.3]
    for row in out["front"]:
        alone = run_json(capsys, "latency", row["architecture"], "--device", NANO, "--num-classes", 3)
        keys = ("key", "latency_ms", "low_ms", "high_ms", "macs", "params", "extrapolated")
        assert {key: row[key] for key in keys} == {key: alone[key] for key in keys}
    text, _ = run(capsys, "latency", run_folder, "--device", NANO)
    assert "40.0" in text and "64x64" in text and "predicted, not measured" in text and "next: nas latency" in text


def test_a_folder_that_is_no_finished_run_is_refused(run_folder: Path, capsys: pytest.CaptureFixture[str]):
    assert "omit it, or give one file" in refused(capsys, "latency", run_folder, "--device", NANO, "--num-classes", 3)
    next((run_folder / "front").iterdir()).unlink()
    assert "writes it anew" in refused(capsys, "latency", run_folder, "--device", NANO)
    (run_folder / "trials.csv").unlink()
    assert "it has no trials.csv" in refused(capsys, "latency", run_folder, "--device", NANO)
    assert "is not the folder of a run" in refused(capsys, "latency", run_folder / "front", "--device", NANO)


def test_operators_of_any_framework_are_predicted_from_a_gzipped_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    path = tmp_path / "ops.csv.gz"
    path.write_bytes(gzip.compress(OPS.encode()))
    out = run_json(capsys, "latency", "predict-ops", path, "--device", PI)
    assert out["device"] == PI and [row["model_name"] for row in out["models"]] == ["known", "odd"]
    known, odd = out["models"]
    start_ms = 1e3 * read_profile(DEVICES / f"{PI}.yaml").constants[START]
    path.write_bytes(gzip.compress(f"{OPS.splitlines()[0]}\nempty,0,conv,-1{',0' * 15}\n".encode()))
    assert run_json(capsys, "latency", "predict-ops", path, "--device", PI)["models"][0]["latency_ms"] > start_ms
    path.write_bytes(gzip.compress(OPS.encode()))
    assert known["low_ms"] < known["latency_ms"] < known["high_ms"] and known["unsupported_share"] == 0
    assert odd["unsupported_share"] > 0.5 and odd["extrapolated"] and not known["extrapolated"]
    text, _ = run(capsys, "latency", "predict-ops", path, "--device", PI)
    assert text.count("(extrapolated)") == 1 and "Raspberry Pi 4B" in text


def test_types_of_operators_that_are_not_known_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "ops.csv"
    path.write_text(OPS.replace("known,", "net[/x],").replace("odd,", "[bold],"))
    text, told = run(capsys, "latency", "predict-ops", path, "--device", PI)
    assert "net[/x]" in text and "[bold]" in text, "brackets in names are no markup"
    assert "note: op_type deform_attention (1 rows)" in told and "space_to_depth" in told
    path.write_text("\n".join(OPS.splitlines()[:-1]) + "\n")
    assert "note:" not in run(capsys, "latency", "predict-ops", path, "--device", PI)[1]


def test_a_time_that_is_no_number_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "ops.csv"
    path.write_text(OPS.replace(",5529600,", ",1e308,"))
    assert "predicts a time that is not finite" in refused(capsys, "latency", "predict-ops", path, "--device", NANO)
    path = tmp_path / "ops.zip"
    path.write_text("no zip")
    assert "lacks the columns" in refused(capsys, "latency", "predict-ops", path, "--device", NANO)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("latency", "yolov8n"), "Missing option '--device'"),
        (("latency", "yolov8n", "--device", "jetson-nan"), "did you mean 'jetson-nano'"),
        (("latency", "yolov8n", "--device", "none.yaml"), "no profile none.yaml; nas devices lists"),
        (("latency", "yolov8n", "--device", NANO, "--precision", "int8"), "has precision fp16, not int8"),
        (
            ("latency", "yolov8n", "--device", "jetson-nano", "--precision", "int8"),
            "jetson-nano has no profile with precision int8",
        ),
        (("latency", "yolov8n", "--device", NANO, "--confidence", "1"), "confidence must be from 0.5 to 0.99, got 1"),
        (
            ("latency", "yolov8n", "--device", NANO, "--confidence", "nan"),
            "confidence must be from 0.5 to 0.99, got nan",
        ),
        (("latency", "yolov8n", "--device", NANO, "--input", "630", "640"), "nearest: 608 or 640"),
        (("latency", "yolov8n", "--device", NANO, "--num-classes", "0"), "num_classes must be at least 1"),
        (("latency", "yolo8n", "--device", NANO), "did you mean 'yolov8n'"),
        (("latency", "none.yaml", "--device", NANO), "no architecture file none.yaml"),
        (("latency", "calibrat", "--device", NANO), "did you mean 'calibrate'"),
        (("latency", "predict-ops", "none.csv", "--device", NANO), "no table of operators none.csv"),
        (("latency", "calibrate", "none.csv", "--device", NANO), "no measurements none.csv"),
    ],
)
def test_mistakes_get_one_line(arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]):
    assert message in refused(capsys, *arguments)


def test_a_table_of_operators_that_lacks_a_column_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "ops.csv"
    path.write_text(OPS.replace("in_elems", "elems"))
    assert "lacks the columns in_elems" in refused(capsys, "latency", "predict-ops", path, "--device", NANO)


def test_help_shows_both_uses_and_every_subcommand(capsys: pytest.CaptureFixture[str]):
    text, _ = run(capsys, "latency", "--help")
    assert "ARCH.yaml|DESIGN|RUN --device NAME" in text and "COMMAND [ARGS]" in text
    assert all(option in text for option in ("--confidence", "--num-classes", "calibrate", "predict-ops"))


def test_a_subcommand_is_imported_only_to_run_it():
    for module, _ in SUBCOMMANDS.values():
        if importlib.util.find_spec(f"nas.commands.{module}"):
            assert isinstance(importlib.import_module(f"nas.commands.{module}").command, click.Command)
