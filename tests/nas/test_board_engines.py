"""How the script for boards reads trtexec of TensorRT 7 to 10, tells failures, and keeps engines.

A stand-in prints the text of a file of `tests/data/cases/21-board-kit` in place of trtexec; the figures are made up.
"""

from __future__ import annotations

import csv
import importlib.util
import json
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

CASES = Path(__file__).parents[1] / "data" / "cases" / "21-board-kit"
KIT = Path(__file__).parents[2] / "nas" / "exporters" / "kit" / "board"
STAND_IN = """#!{python}
import os, pathlib, sys
here = pathlib.Path(__file__).parent
with open(str(here / "calls.txt"), "a") as file:
    file.write(chr(9).join(sys.argv[1:]).encode("utf-8", "replace").decode("ascii", "replace") + chr(10))
for argument in sys.argv[1:]:
    if argument.startswith("--saveEngine="):
        pathlib.Path(argument.split("=", 1)[1]).write_bytes(b"engine")
    if argument.startswith("--loadEngine=") and (here / "refuses").exists():
        sys.exit(1)
if {explicit} and "--explicitBatch" not in sys.argv:
    print("[E] [TRT] the parser only supports networks with an explicit batch dimension")
    sys.exit(1)
sys.stdout.buffer.write(pathlib.Path({text!r}).read_bytes())
sys.stdout.flush()
os.kill(os.getpid(), -{code}) if {code} < 0 else sys.exit({code})
"""


def loaded(name: str) -> Any:
    found = importlib.util.spec_from_file_location(name, KIT / f"{name}.py")
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


engines = loaded("engines")
TWO_SPEEDS = st.builds(lambda fast, slow: [1.0] * fast + [20.0] * slow, st.integers(18, 40), st.integers(1, 40))


class Measured(NamedTuple):
    """What a run of the script left."""

    code: int
    out: str
    report: dict[str, Any]
    rows: list[dict[str, str]]

    @property
    def engine(self) -> dict[str, Any]:
        return self.report["detectors"][0]["engines"]["model.onnx"]


def front(folder: Path, name: str = "detector") -> Path:
    """An exported folder with a detector, as far as the script reads it."""
    (folder / "front" / name).mkdir(parents=True)
    shutil.copytree(KIT, folder / "front" / "board", ignore=shutil.ignore_patterns("__pycache__"))
    described = {"input_hw": [320, 320], "classes": ["Fußgänger"], "head": "anchor_free", "output_shapes": []}
    (folder / "front" / name / "detector.json").write_text(json.dumps(described, ensure_ascii=False), encoding="utf-8")
    (folder / "front" / name / "model.onnx").write_bytes(b"network")
    return folder / "front"


def stand_in(folder: Path, case: str, code: int = 0, explicit: bool = False) -> Path:
    path = folder / "trtexec"
    text = STAND_IN.format(python=sys.executable, text=str(CASES / f"{case}.txt"), code=code, explicit=explicit)
    path.write_text(text)
    path.chmod(0o755)
    return path


def measure(out: Path, *arguments: object, **environment: str) -> Measured:
    command = [sys.executable, "-S", str(out / "board" / "measure.py"), "--trtexec", str(out.parent / "trtexec")]
    done = subprocess.run([*command, *map(str, arguments)], capture_output=True, env={"PATH": ""} | environment)
    assert done.stderr == b""
    with (out / "board" / "measured.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    report = json.loads((out / "board" / "measured.json").read_text(encoding="utf-8"))
    return Measured(done.returncode, done.stdout.decode(), report, rows)


def calls(out: Path) -> list[list[str]]:
    """The arguments of each call of the stand-in so far."""
    return [line.split("\t") for line in (out.parent / "calls.txt").read_text().splitlines()]


@pytest.mark.parametrize(
    ("case", "version", "median", "tail", "gpu", "throughput", "variation"),
    [
        ("trt70", None, 12.8, 13.3, 12.3, None, 0.8),
        ("trt71", None, 43.5, 44.8, 43.0, 22.9, 0.6),
        ("trt80", "8.0.1", 5.4, 5.7, 5.1, 196.2, 1.2),
        ("trt103", "10.3.0", 0.83, 0.9, 0.8, 1207.1, 4.8),
    ],
)
def test_summaries_of_each_version_are_read(
    case: str,
    version: str | None,
    median: float,
    tail: float,
    gpu: float,
    throughput: float | None,
    variation: float,
    tmp_path: Path,
) -> None:
    stand_in(tmp_path, case)
    done = measure(front(tmp_path))
    latency = done.engine["latency"]
    assert done.code == 0 and (latency["median_ms"], latency["p95_ms"]) == (median, tail)
    assert done.engine["gpu"]["median_ms"] == gpu
    assert done.engine.get("tensorrt") == version and done.engine.get("queries_per_s") == throughput
    assert done.engine["variation_percent"] == variation
    assert [(row["latency_ms"], row["p95_ms"]) for row in done.rows] == [(str(median), str(tail))]


@pytest.mark.parametrize(
    ("case", "variation"),
    [
        ("trt1013unstable", 50.7),  # trtexec says so, and the mean is far from the median
        ("trt71unstable", 15.0),  # the mean is far from the median
        ("trt80tail", 19.0),  # the 95th percentile is far from the mean
        ("trtutf8b", 50.7),
    ],
)
def test_unstable_times_are_marked_and_left_out_of_the_table(case: str, variation: float, tmp_path: Path) -> None:
    stand_in(tmp_path, case)
    out = front(tmp_path)
    done = measure(out)
    assert done.code == 0 and done.rows == []
    assert done.report["detectors"][0]["unstable"] is True and done.engine["variation_percent"] == variation
    assert f"unstable: varies by {variation} %" in done.out and "warning: not in measured.csv" in done.out
    done = measure(out, "--max-variation", 60)
    assert len(done.rows) == 1 and "warning" not in done.out and done.report["detectors"][0]["unstable"] is False


@pytest.mark.parametrize("limit", ["-1", "nan"])
def test_a_limit_that_leaves_everything_out_is_refused(limit: str, tmp_path: Path) -> None:
    command = [sys.executable, str(front(tmp_path) / "board" / "measure.py"), "--max-variation", limit]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and "--max-variation must be 0 or more" in done.stderr


@given(st.lists(st.floats(0.5, 50), min_size=20) | TWO_SPEEDS)
def test_the_variation_that_figures_imply_is_never_more_than_that_of_the_times(times: list[float]) -> None:
    ordered, mean = sorted(times), statistics.fmean(times)
    tail = ordered[len(times) - 1 - int(0.05 * len(times))]
    figures = {"mean_ms": mean, "median_ms": statistics.median(times), "p95_ms": tail}
    assert engines.variation({"latency": figures}) <= 100 * statistics.pstdev(times) / mean + 0.051


@pytest.mark.parametrize(
    ("case", "code", "told", "untold"),
    [
        ("trt71fail", 1, ["getOpsetVersion() < 13 (Engine creation failed)", "older than 8"], "memory"),
        ("trt82tacticEfail", 1, ["node Resize_120", "(Engine set up failed)", "add swap"], "Tactic Device request"),
        ("trt82memory", 1, ["(out of memory)", "add swap"], "Skipping"),
        ("trt103fail", 1, ["isOpConsistent failed", "(Engine set up failed)"], "engine != nullptr"),
        ("trt86parse", 1, ["[6] Invalid Node - GridSample_7", "(Engine set up failed)"], "older than 8"),
        ("trt85tactic", 1, ["Cask (isOpConsistent) (Engine set up failed)"], "Tactic Device request"),
        ("trtlibrary", 127, ["ended with 127", "libnvinfer.so.8"], "memory"),
        ("trtkilled", -9, ["was killed", "close the desktop", "add swap"], "Tactic Device request"),
        ("trtkilled", 137, ["was killed", "close the desktop", "add swap"], "Tactic Device request"),
        ("trt6", 0, ["no times in a form of TensorRT 7 to 10", "Average over 10 runs"], "PASSED"),
        ("trt71", -11, ["ended with -11"], "was killed"),
    ],
)
def test_the_reason_of_a_failure_is_told_in_one_line(
    case: str, code: int, told: list[str], untold: str, tmp_path: Path
) -> None:
    stand_in(tmp_path, case, code)
    done = measure(front(tmp_path))
    error = done.report["detectors"][0]["error"]
    assert done.code == 1 and done.rows == [] and f"detector: {error}\n" in done.out
    assert all(part in error for part in told) and untold not in error and "\n" not in error


def test_a_program_that_cannot_be_run_is_told(tmp_path: Path) -> None:
    stand_in(tmp_path, "trt80").write_bytes(b"\x7fELF of another machine")
    done = measure(front(tmp_path))
    assert done.code == 1 and "trtexec cannot be run" in done.report["detectors"][0]["error"]


@pytest.mark.parametrize("name", ["zaun-jürgen", "检测器"])
@pytest.mark.parametrize("case", ["trtutf8b", "trt71"])
def test_names_and_output_beyond_ascii_are_read_in_any_locale(name: str, case: str, tmp_path: Path) -> None:
    stand_in(tmp_path, case)
    out = front(tmp_path, name)
    done = measure(out, "--max-variation", 60, LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert done.code == 0 and done.report["detectors"][0]["name"] == name and f"{name} (fp16)" in done.out
    assert done.rows[0]["model"] == f"../{name}/architecture.yaml"


def test_output_that_is_not_even_utf_8_is_read(tmp_path: Path) -> None:
    path = stand_in(tmp_path, "trt71")
    path.write_text(path.read_text().replace("sys.stdout.buffer.write(", "sys.stdout.buffer.write(b'\\xff\\n' + "))
    assert measure(front(tmp_path)).engine["latency"]["median_ms"] == 43.5


@pytest.mark.parametrize(
    ("script", "mode"),
    [
        ((CASES / "nvpmodel").read_text(), "5W"),
        ("#!/bin/sh\necho 'NV Fan Mode:quiet'\necho 'NV Power Mode: MAXN_SUPER'\nexit 1\n", "MAXN_SUPER"),
        ("#!/bin/sh\necho 'NV Power Mode:15W'\n", "15W"),
        ("#!/bin/sh\nexit 255\n", None),
    ],
)
def test_the_power_mode_is_kept_though_nvpmodel_fails(script: str, mode: str | None, tmp_path: Path) -> None:
    stand_in(tmp_path, "trt80")
    (tmp_path / "nvpmodel").write_text(script)
    (tmp_path / "nvpmodel").chmod(0o755)
    done = measure(front(tmp_path), PATH=str(tmp_path))
    assert done.report["board"]["power_mode"] == mode and done.rows[0]["power_mode"] == (mode or "")


def test_tensorrt_7_gets_the_option_for_explicit_batches_if_it_asks_for_it(tmp_path: Path) -> None:
    stand_in(tmp_path, "trt71", explicit=True)
    out = front(tmp_path)
    assert len(measure(out).rows) == 1
    assert ["--explicitBatch" in call for call in calls(out)] == [False, True]


def test_kept_engines_are_reused_until_something_changes(tmp_path: Path) -> None:
    stand_in(tmp_path, "trt80")
    out, kept = front(tmp_path), tmp_path / "front" / "board" / "kept_engines"
    measure(out)
    assert not kept.exists()
    first = measure(out, "--keep")
    assert first.engine["engine"] == "built" and [path.read_bytes() for path in kept.iterdir()] == [b"engine"]
    again = measure(out, "--keep", "--seconds", 3)
    assert again.engine["engine"] == "kept" and again.engine["engine_bytes"] == 6 and again.rows == first.rows
    assert calls(out)[-1][0] == f"--loadEngine={next(kept.iterdir())}" and "--duration=3" in calls(out)[-1]
    assert not [each for each in calls(out)[-1] if each.startswith(("--onnx", "--saveEngine", "--fp16"))]

    assert measure(out, "--keep", "--precision", "fp32").engine["engine"] == "built" and len(list(kept.iterdir())) == 2
    (out / "detector" / "model.onnx").write_bytes(b"another")
    before = set(kept.iterdir())
    assert measure(out, "--keep").engine["engine"] == "built"
    assert len(list(kept.iterdir())) == 2 and len(before & set(kept.iterdir())) == 1  # in place of the old one
    with (out.parent / "trtexec").open("a") as file:
        file.write("# another version\n")
    assert measure(out, "--keep").engine["engine"] == "built"


def test_int8_engines_are_kept_for_each_calibration(tmp_path: Path) -> None:
    stand_in(tmp_path, "trt80")
    out, cache = front(tmp_path), tmp_path / "cache"
    how = []
    for content in (b"1", b"1", b"2"):
        cache.write_bytes(content)
        how.append(measure(out, "--keep", "--precision", "int8", "--calibration", cache).engine["engine"])
    assert how == ["built", "kept", "built"]


def test_a_kept_engine_that_does_not_load_is_built_again(tmp_path: Path) -> None:
    stand_in(tmp_path, "trt80")
    out = front(tmp_path)
    measure(out, "--keep")
    (tmp_path / "refuses").touch()
    assert measure(out, "--keep").engine["engine"] == "built" and len(calls(out)) == 3


def test_nothing_is_kept_of_a_failure(tmp_path: Path) -> None:
    stand_in(tmp_path, "trtkilled", -9)
    out = front(tmp_path)
    measure(out, "--keep")
    assert list((out / "board" / "kept_engines").iterdir()) == []
