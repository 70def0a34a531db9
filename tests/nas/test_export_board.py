"""The script for boards: what it runs, what it reads off trtexec, what it writes.

There is no TensorRT here. A stand-in answers in its place, in the format of the real tool's output, and says so.
"""

from __future__ import annotations

import csv
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nas.api.calibrate import calibrate
from nas.api.latency import LatencyPrediction, latency
from nas.cli import main
from nas.exporters.front import BOARD_SCRIPTS

SCRIPT = Path(__file__).parents[2] / "nas" / "exporters" / "kit" / "board" / "measure.py"
BANNER = "&&&& {what} TensorRT.trtexec [TensorRT v{version}] # trtexec --onnx=model.onnx"
SUMMARY = """[11/01/2024-10:32:46] [I] This is a stand-in for trtexec: these figures are made up
[11/01/2024-10:32:46] [I] Average on 10 runs - GPU latency: 7.1 ms - Host latency: 8.1 ms (enqueue 0.5 ms)
[11/01/2024-10:32:46] [I] === Performance summary ===
[11/01/2024-10:32:46] [I] Throughput: 120.699 qps
[11/01/2024-10:32:46] [I] Latency: min = 9.11 ms, max = 11.74 ms, mean = 9.81 ms, median = {median} ms, {tail}
[11/01/2024-10:32:46] [I] Enqueue Time: min = 0.51 ms, max = 0.59 ms, mean = 0.53 ms, median = 0.52 ms, {tail}
[11/01/2024-10:32:46] [I] H2D Latency: min = 1.55 ms, max = 1.57 ms, mean = 1.56 ms, median = 1.56 ms, {tail}
[11/01/2024-10:32:46] [I] GPU Compute Time: min = 7.5 ms, max = 10.1 ms, mean = 8.2 ms, median = 8.1 ms, {tail}
[11/01/2024-10:32:46] [I] D2H Latency: min = 0.01 ms, max = 0.02 ms, mean = 0.02 ms, median = 0.015 ms, {tail}
[11/01/2024-10:32:46] [I] Total Host Walltime: 3.02 s
"""
STAND_IN = """#!{python}
import json, pathlib, sys
print({banner!r})
if "second_stage" in sys.argv[1]:
    print({second!r})
else:
    print({first!r})
    if "fails" in sys.argv[0]:
        print("[11/01/2024-10:32:46] [E] Error[2]: could not find any implementation for node Resize_3")
        sys.exit(1)
engine = [each for each in sys.argv if each.startswith("--saveEngine=")][0].partition("=")[2]
pathlib.Path(engine).write_bytes(b"engine")
pathlib.Path(sys.argv[0]).with_name("calls.txt").open("a").write(json.dumps(sys.argv[1:]) + chr(10))
"""


def loaded(path: Path) -> Any:
    found = importlib.util.spec_from_file_location(path.stem, path)
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def script() -> Any:
    return loaded(SCRIPT)


@pytest.fixture(scope="module")
def engines() -> Any:
    return loaded(SCRIPT.with_name("engines.py"))


def stand_in(folder: Path, name: str = "trtexec") -> Path:
    path, tail = folder / name, "percentile(90%) = 10.1 ms, percentile(95%) = 10.2 ms, percentile(99%) = 11.4 ms"
    texts = {key: SUMMARY.format(median=value, tail=tail) for key, value in (("first", 9.76), ("second", 0.5))}
    banner = BANNER.format(what="RUNNING", version="8201")
    path.write_text(STAND_IN.format(python=sys.executable, banner=banner, **texts))
    path.chmod(0o755)
    return path


def exported(folder: Path, name: str) -> Path:
    settings = ["--input", "128", "128", "--num-classes", "2"]
    main(["export", name, "--out", str(folder / name), *settings, "--json"])
    return folder / name


def measure(out: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-S", "board/measure.py", *map(str, arguments)]  # -S: nothing of ours is on the path
    return subprocess.run(command, cwd=out, capture_output=True, text=True, env={"PATH": ""})


@pytest.mark.slow
def test_a_detector_is_measured_and_its_csv_calibrates_a_board(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where calibration writes its profile
    out, trtexec = exported(tmp_path, "yolov8n-p2-nop5"), stand_in(tmp_path)
    done = measure(out, "--trtexec", trtexec, "--precision", "int8", "--seconds", 3)
    assert done.returncode == 0, done.stderr
    assert "yolov8n-p2-nop5 (int8): model.onnx median 9.76 ms, 95 % within 10.20 ms" in done.stdout
    (call,) = [json.loads(line) for line in (tmp_path / "calls.txt").read_text().splitlines()]
    assert {"--int8", "--fp16", "--percentile=95", "--duration=3", "--warmUp=2000"} <= set(call)
    report = json.loads((out / "board" / "measured.json").read_text())
    (found,) = report["detectors"]
    engine = found["engines"]["model.onnx"]
    assert engine["tensorrt"] == "8.2.1" and engine["engine_bytes"] == 6 and engine["queries_per_s"] == 120.699
    assert engine["gpu"]["median_ms"] == 8.1 and engine["latency"]["p95_ms"] == 10.2
    assert engine["to_gpu"]["mean_ms"] == 1.56 and engine["from_gpu"]["median_ms"] == 0.015
    assert found["host"] == {"not_measured": "No module named 'numpy'"}
    assert report["board"]["python"].startswith("3.") and report["settings"]["precision"] == "int8"
    with (out / "board" / "measured.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["model"], row["latency_ms"]) == ("../yolov8n-p2-nop5/architecture.yaml", "9.76")
    written = {*BOARD_SCRIPTS, "measured.csv", "measured.json"}
    assert {path.name for path in (out / "board").iterdir() if path.name != "__pycache__"} == written
    capsys.readouterr()
    main(["latency", "calibrate", str(out / "board" / "measured.csv"), "--device", "jetson-nano", "--json"])
    assert "jetson" in capsys.readouterr().out


@pytest.mark.slow
def test_the_times_around_the_network_are_measured_where_numpy_is(tmp_path: Path) -> None:
    out = exported(tmp_path, "yolov8n-p2-nop5")
    command = [sys.executable, "board/measure.py", "--trtexec", str(stand_in(tmp_path)), "--picture", "90", "160"]
    done = subprocess.run(command, cwd=out, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (found,) = json.loads((out / "board" / "measured.json").read_text())["detectors"]
    for name in ("prepare", "read_outputs"):
        assert 0 < found["host"][name]["median_ms"] <= found["host"][name]["p95_ms"]
    before, after = whole_times(out, tmp_path / "mine.yaml", frame_hw=(90, 160))
    host = {name: found["host"][name]["median_ms"] for name in ("prepare", "read_outputs")}
    assert after["scaling"] == pytest.approx(host["prepare"], rel=0.03)
    assert after["decoding and suppression"] == pytest.approx(host["read_outputs"], rel=0.03)
    assert after["network"] != before["network"] and after["all"] == pytest.approx(sum(after.values()) - after["all"])


def whole_times(out: Path, profile: Path, *, frame_hw: tuple[int, int]) -> list[dict[str, float]]:
    """Returns the predicted parts of a frame's time before and after a calibration by the board's measured.json."""
    calibrate(out / "board" / "measured.json", device="orin-nano-trt-fp16", out=profile)
    architecture, found = next(out.glob("*/architecture.yaml")), []
    for device in ("orin-nano-trt-fp16", profile):
        told = latency(architecture, device=device, num_classes=2, frame=frame_hw, end_to_end=True)
        assert isinstance(told, LatencyPrediction) and told.per_frame is not None
        found.append({each.part: each.latency_ms for each in told.per_frame.parts} | {"all": told.per_frame.latency_ms})
    return found


@pytest.mark.slow
def test_both_engines_of_a_two_stage_head_are_measured_and_told_apart(tmp_path: Path) -> None:
    out = exported(tmp_path, "tinydet-s")
    done = measure(out, "--trtexec", stand_in(tmp_path))
    assert done.returncode == 0, done.stderr
    (found,) = json.loads((out / "board" / "measured.json").read_text())["detectors"]
    assert found["engines"]["second_stage.onnx"]["latency"]["median_ms"] == 0.5
    calls = [json.loads(line) for line in (tmp_path / "calls.txt").read_text().splitlines()]
    assert any(each.startswith("--shapes=features:200x") for each in calls[1])
    assert "not in measured.csv" in done.stdout and (out / "board" / "measured.csv").read_text().count("\n") == 1


@pytest.mark.slow
def test_what_trtexec_refuses_is_told_and_the_rest_is_measured(tmp_path: Path) -> None:
    out = exported(tmp_path, "yolov8n-p2-nop5")
    done = measure(out, "--trtexec", stand_in(tmp_path, "fails"))
    assert done.returncode == 1 and "could not find any implementation for node Resize_3" in done.stdout
    assert "error" in json.loads((out / "board" / "measured.json").read_text())["detectors"][0]


def test_what_is_missing_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "board").mkdir()
    for name in BOARD_SCRIPTS:
        (tmp_path / "board" / name).write_bytes(SCRIPT.with_name(name).read_bytes())
    for arguments, said in (((), "no trtexec"), (("--trtexec", stand_in(tmp_path)), "no */model.onnx")):
        done = measure(tmp_path, *arguments)
        assert done.returncode == 2 and said in done.stderr and len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "board" / "measured.json").exists()


@pytest.mark.parametrize(("digits", "version"), [("8201", "8.2.1"), ("8502", "8.5.2"), ("100300", "10.3.0")])
def test_versions_are_spelt_with_points(digits: str, version: str, engines: Any) -> None:
    assert engines.version_of(digits) == version


def test_one_percentile_alone_is_read_as_well(engines: Any) -> None:
    times = engines.parse(SUMMARY.format(median=3.5, tail="percentile(95%) = 4.5 ms"))
    assert times["latency"] == {"min_ms": 9.11, "max_ms": 11.74, "mean_ms": 9.81, "median_ms": 3.5, "p95_ms": 4.5}
    assert engines.parse("[I] Latency: nothing\nsegmentation fault") == {}


@pytest.mark.parametrize(
    ("text", "mode"), [("NV Power Mode: MAXN\n0", "MAXN"), ("NV Power Mode:15W\n2", "15W"), (None, None)]
)
def test_the_power_mode_is_read(text: str | None, mode: str | None, script: Any) -> None:
    assert script.power_mode(text) == mode


def test_the_script_runs_on_the_python_of_older_boards() -> None:
    import ast

    assert {path.name for path in SCRIPT.parent.glob("*.py")} == set(BOARD_SCRIPTS)
    for path in (*SCRIPT.parent.glob("*.py"), SCRIPT.parent.parent / "postprocess.py"):
        ast.parse(path.read_text(), feature_version=(3, 6))
