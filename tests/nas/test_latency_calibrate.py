"""Calibrating a device to measurements of a user's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from latency_fakes import MINE, NANO, OPS, PI, refused, run, run_json, write

from nas.cost.latency import load_model
from nas.cost.profile import read_profile
from search_space import DESIGNS, Architecture, lower


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
    return write(tmp_path / "mine.csv", *(f"{name},{1.3 * ms:.4f}" for name, ms in predicted.items()))


def test_calibrating_moves_the_predictions_to_the_measurements(
    tmp_path: Path, mine: Path, predicted: dict[str, float], capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "board.yaml"
    result = run_json(capsys, "latency", "calibrate", mine, "--device", NANO, "--out", out, "--keep-shipped")
    assert result["num_rows"] == result["num_networks"] == 5 and result["num_shipped"] > 0
    assert result["before"]["mean_percent"] == pytest.approx(100 * (1 - 1 / 1.3), abs=0.1)
    assert result["after"]["mean_percent"] < result["before"]["mean_percent"] / 2
    assert result["after"]["held_out"] == "leave one network out"
    assert [row["row"] for row in result["rows"]] == [2, 3, 4, 5, 6]
    profile = read_profile(out)
    assert profile.name == NANO and "5 own measurements" in profile.notes and profile.like == "jetson-nano-ort-fp32"
    assert profile.num_measured == 5 + result["num_shipped"]
    again = run_json(capsys, "latency", "yolov8n", "--device", out)
    assert again["latency_ms"] == pytest.approx(1.3 * predicted["yolov8n"], rel=0.1)
    text, _ = run(capsys, "latency", "yolov8n", "--device", out)
    assert "profile: calibrated on 5 own measurements of 5 networks, mine.csv" in text


def test_only_mine_starts_from_the_shipped_constants(
    tmp_path: Path, mine: Path, predicted: dict[str, float], capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "board.yaml"
    arguments = ("latency", "calibrate", mine, "--device", NANO, "--out", out, "--only-mine")
    result = run_json(capsys, *arguments)
    assert result["num_shipped"] == 0 and result["only_mine_mean_percent"] == result["after"]["mean_percent"]
    assert result["after"]["mean_percent"] < 5 and read_profile(out).num_measured == 5
    assert read_profile(out).like == "jetson-nano-ort-fp32"
    assert "exists already" in refused(capsys, *arguments)
    before = out.read_bytes()
    again = run_json(capsys, "latency", "calibrate", mine, "--device", out, "--out", out, "--only-mine", "--force")
    assert out.read_bytes() == before and again["after"] == result["after"]
    assert again["before"]["mean_percent"] < 2


@pytest.mark.slow
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
    path = write(tmp_path / "pi.csv", *rows)
    text, err = run(capsys, "latency", "calibrate", path, "--device", PI)
    assert "with --only-mine" in text and f"next: nas latency yolov8n --device {PI}.calibrated.yaml" in text
    assert read_profile(tmp_path / f"{PI}.calibrated.yaml").num_measured == 5  # many of another clock would drown them
    run(capsys, "latency", "calibrate", path, "--device", PI, "--keep-shipped", "--force")
    assert read_profile(tmp_path / f"{PI}.calibrated.yaml").num_measured > 5
    assert (tmp_path / f"{PI}.calibrated.residual.csv.gz").is_file()
    assert read_profile(tmp_path / f"{PI}.calibrated.yaml").residual_path is not None
    target = ("--out", f"{PI}.calibrated.yaml", "--only-mine", "--force")
    alone = run_json(capsys, "latency", "calibrate", "pi.csv", "--device", PI, *target)
    assert alone["after"]["mean_percent"] < 6  # from the data sheet it would be 8
    assert f"{alone['after']['mean_percent']:.1f} % with --only-mine" in text
    assert alone["after"]["mean_percent"] < alone["keep_shipped_mean_percent"]
    assert read_profile(Path(f"{PI}.calibrated.yaml")).residual_path is None
    assert (
        "calibrated before"
        in run(capsys, "latency", "calibrate", "pi.csv", "--device", f"{PI}.calibrated.yaml", "--out", "b.yaml")[1]
    )


def test_files_operators_and_repeats_can_be_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], predicted: dict[str, float]
):
    DESIGNS.get("yolov8n").architecture.to_yaml(tmp_path / "a.yaml")
    (tmp_path / "ops.csv").write_text(OPS)
    rows = ("a.yaml,100,,,10", "yolov8n,110,,,", "yolov8n,40,320,320,", "known,0.4,,,", "a.yaml,100,,,")
    path = write(tmp_path / "m.csv", *rows, header="model,latency_ms,input_h,input_w,num_classes")
    target = ("--device", NANO, "--ops", tmp_path / "ops.csv", "--out", tmp_path / "b.yaml")
    out, err = run(capsys, "latency", "calibrate", path, *target, "--json")
    result = json.loads(out)
    assert result["num_rows"] == 5 and result["num_networks"] == 4 and "80 classes where" in err
    assert result["rows"][2]["network"] == "yolov8n 320x320, 10 classes" and result["rows"][3]["network"] == "known"
    assert result["rows"][0]["after_ms"] == result["rows"][1]["after_ms"]


def test_one_network_alone_is_not_held_out(
    tmp_path: Path, predicted: dict[str, float], capsys: pytest.CaptureFixture[str]
):
    path = write(tmp_path / "m.csv", f"yolov8n,{predicted['yolov8n']},3", header="model,latency_ms,runs")
    out = tmp_path / "b.yaml"
    text, err = run(capsys, "latency", "calibrate", path, "--device", NANO, "--only-mine", "--out", out)
    assert "after: unknown" in text and "unknown columns are ignored: 'runs'" in err
    assert "based on one measured network" in run(capsys, "latency", "yolov8n", "--device", out)[0]


BAD_TABLES = [
    ("model,latency\nyolov8n,50", "lacks the columns latency_ms; it has: model, latency; is latency latency_ms?"),
    ("", "it is empty"),
    ("model,latency_ms\n", "contains no measurements"),
    ("model,latency_ms\nyolov8n,fast", "row 2: latency_ms is 'fast'"),
    ("model,latency_ms\nyolov8n,50\nyolov8n-p2,0", "row 3: latency_ms is '0'"),
    ("model;latency_ms\nyolov8n;50", "separate cells with commas"),
    ("model,latency_ms\nyolov8n,1_0", "row 2: latency_ms is '1_0'"),
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
    ("model,latency_ms,input_h,input_w\nyolov8n,50,60,64", "row 2: yolov8n is invalid: input side 60"),
    ("model,latency_ms\nthin.yaml,50", "row 2: thin.yaml is invalid: node '"),
    ("model,latency_ms,num_classes\nyolov8n,50,2.5", "row 2: num_classes is '2.5'"),
    ("model,latency_ms,num_classes\nyolov8n,50,many", "row 2: num_classes is 'many'"),
    ("model,latency_ms\nyolov8\xff,50", "is not a CSV: "),
    ("model,latency_ms\nyolov8n,50\nyolov8n,101", "rows 2 and 3 are the same network, yolov8n, with 50 and 101 ms"),
]


@pytest.mark.parametrize(("text", "message"), BAD_TABLES)
def test_bad_tables_are_refused_by_row_and_value(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "broken.yaml").write_text("nothing: here\n")
    thin = DESIGNS.get("yolov8n").architecture.to_dict()
    thin["backbone"]["stages"][0]["channels"] = 1
    Architecture.from_dict(thin).to_yaml(tmp_path / "thin.yaml")
    (tmp_path / "m.csv").write_text(text, encoding="latin-1")
    out = tmp_path / "out.yaml"
    assert message in refused(capsys, "latency", "calibrate", tmp_path / "m.csv", "--device", NANO, "--out", out)
    assert not out.exists()


@pytest.mark.parametrize(("factor", "word"), [(1e-3, "seems to be in seconds"), (1e3, "seems to be in microseconds")])
@pytest.mark.parametrize("device", [NANO, "xavier-nx-trt-fp16"])
def test_other_units_are_noticed(
    factor: float,
    word: str,
    device: str,
    tmp_path: Path,
    predicted: dict[str, float],
    capsys: pytest.CaptureFixture[str],
):
    path = write(tmp_path / "m.csv", *(f"{name},{factor * ms:.6g}" for name, ms in predicted.items()))
    message = refused(capsys, "latency", "calibrate", path, "--device", device, "--out", tmp_path / "out.yaml")
    assert word in message and "row 2 has" in message and "give milliseconds" in message


@pytest.mark.parametrize("factor", [1e-3, 1 / 25, 25, 1e3])
def test_one_row_far_off_the_others_is_named(
    factor: float, tmp_path: Path, predicted: dict[str, float], capsys: pytest.CaptureFixture[str]
):
    rows = [f"{name},{ms * (factor if name == 'sodet-s' else 1):.6g}" for name, ms in predicted.items()]
    out = ("--device", NANO, "--out", tmp_path / "out.yaml")
    message = refused(capsys, "latency", "calibrate", write(tmp_path / "m.csv", *rows), *out)
    assert "row 4: sodet-s" in message and "times off the other rows" in message
    message = refused(capsys, "latency", "calibrate", write(tmp_path / "m.csv", rows[0], rows[2]), *out)
    assert "row 3: sodet-s" in message


@pytest.mark.parametrize(
    ("out", "message"), [("board.txt", "must end in .yaml"), ("none/board.yaml", "there is no folder")]
)
def test_a_profile_is_written_only_where_it_can_be(
    out: str, message: str, tmp_path: Path, mine: Path, capsys: pytest.CaptureFixture[str]
):
    arguments = ("latency", "calibrate", mine, "--device", NANO, "--out", tmp_path / out)
    assert message in refused(capsys, *arguments)
