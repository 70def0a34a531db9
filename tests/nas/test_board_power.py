"""The script for boards measures energy where tegrastats is, and runs on a deep learning accelerator.

A stand-in prints lines in the formats of tegrastats; its figures are made up.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from test_board_engines import front, loaded, measure

power, engines = loaded("power"), loaded("engines")
NANO = (
    "RAM 1923/3964MB (lfb 2x2MB) SWAP 191/1982MB (cached 6MB) IRAM 0/252kB(lfb 252kB) CPU [5%@1224,off] EMC_FREQ 0% "
    "GR3D_FREQ 99% PLL@37C CPU@40C thermal@40C POM_5V_IN 7750/1628 POM_5V_GPU 2000/0 POM_5V_CPU 366/406"
)
ORIN_NANO = (
    "12-01-2026 10:00:00 RAM 2345/7620MB (lfb 4x4MB) SWAP 0/3810MB (cached 0MB) CPU [1%@729,0%@729] EMC_FREQ 0%@2133 "
    "GR3D_FREQ 0%@[305] cpu@47.5C tj@48.1C VDD_IN 4636mW/4636mW VDD_CPU_GPU_CV 816mW/816mW VDD_SOC 1374mW/1374mW"
)
AGX_ORIN = (
    "RAM 6000/30000MB (lfb 4x4MB) CPU [1%@729] VDD_GPU_SOC 3194mW/3194mW VDD_CPU_CV 798mW/798mW "
    "VIN_SYS_5V0 4234mW/4234mW NC 0mW/0mW VDDQ_VDD2_1V8AO 604mW/604mW"
)
AGX_XAVIER = "RAM 1/2MB CPU [1%@729] GPU 620/620 CPU 465/465 SOC 930/930 CV 0/0 VDDRQ 155/155 SYS5V 1480/1480"
TEGRASTATS = """#!{python} -u
import sys, time
assert sys.argv[1:] == ["--interval", "100"]
while True:
    print({line!r}, flush=True)
    time.sleep(0.02)
"""
TRTEXEC = """#!{python} -u
import pathlib, sys, time
for argument in sys.argv[1:]:
    if argument.startswith("--saveEngine="):
        pathlib.Path(argument.split("=", 1)[1]).write_bytes(b"engine")
with open(str(pathlib.Path(__file__).parent / "calls.txt"), "a") as file:
    file.write(chr(9).join(sys.argv[1:]) + chr(10))
print({dla!r})
print("[12/01/2026-10:00:00] [I] Starting inference", flush=True)
time.sleep(0.3)
print({summary!r})
"""
SUMMARY = """[12/01/2026-10:00:00] [I] === Performance summary ===
[12/01/2026-10:00:00] [I] Throughput: 200 qps
[12/01/2026-10:00:00] [I] Latency: min = 5 ms, max = 6 ms, mean = 5.4 ms, median = 5.4 ms, percentile(95%) = 5.6 ms
"""
SOFTMAX = "/head/Softmax"
DLA = """[12/01/2026-10:00:00] [W] [TRT] Layer '/head/Softmax' (SOFTMAX): Unsupported on DLA. Switching to GPU.
[12/01/2026-10:00:00] [I] [TRT] ---------- Layers Running on DLA ----------
[12/01/2026-10:00:00] [I] [TRT] [DlaLayer] {ForeignNode[/stem/Conv.../neck/Concat]}
[12/01/2026-10:00:00] [I] [TRT] ---------- Layers Running on GPU ----------
[12/01/2026-10:00:00] [I] [TRT] [GpuLayer] SOFTMAX: /head/Softmax
[12/01/2026-10:00:00] [I] [TRT] [GpuLayer] COPY: reformat"""
DLA_OF_7 = """[W] [TRT] Default DLA is enabled but layer (Unnamed Layer* 3) [Shuffle] is not supported on DLA, falling \
back to GPU.
[W] [TRT] DLA supports only 8 subgraphs per DLA core. Switching to GPU for layer conv_6
[I] [TRT] --------------- Layers running on DLA:{end}
[I] [TRT] {conv_1,batch_norm_1}, {conv_2},{end}
[I] [TRT] --------------- Layers running on GPU:{end}
[I] [TRT] (Unnamed Layer* 3) [Shuffle], conv_6 + relu_6,{end}
[I] [TRT] Detected 1 inputs and 2 output network tensors.""".replace("{end}", " ")


@pytest.mark.parametrize(
    ("line", "milliwatts", "rails"),
    [
        (NANO, 7750, ("POM_5V_IN",)),
        (ORIN_NANO, 4636, ("VDD_IN",)),
        (AGX_ORIN, 3194 + 798 + 4234, ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0")),
        (AGX_XAVIER, 620 + 465 + 930 + 155 + 1480, ("GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V")),
    ],
)
def test_the_power_of_a_board_is_read(line: str, milliwatts: int, rails: tuple[str, ...]) -> None:
    assert power.module_power(line) == (milliwatts, rails)


@pytest.mark.parametrize("line", ["", "RAM 1923/3964MB CPU [5%@1224]", "VDD_CPU_GPU_CV 816mW/816mW"])
def test_a_line_without_the_power_of_the_board_is_left_out(line: str) -> None:
    assert power.module_power(line) is None


def board(folder: Path, line: str | None = None, dla: str = "") -> Path:
    for name, text in (("trtexec", TRTEXEC), ("tegrastats", TEGRASTATS)):
        if name == "trtexec" or line is not None:
            path = folder / name
            path.write_text(text.format(python=sys.executable, line=line, summary=SUMMARY, dla=dla))
            path.chmod(0o755)
    return front(folder)


def test_energy_is_measured_while_the_engine_runs(tmp_path: Path) -> None:
    out = board(tmp_path, ORIN_NANO)
    done = measure(out, "--warm-up-ms", 100, PATH=str(tmp_path))
    found: dict[str, Any] = done.engine["energy"]
    assert found["mj_per_frame"] == pytest.approx(4636 / 200, abs=1e-3) and found["mean_mw"] == 4636
    assert found["idle_mw"] == 4636 and found["mj_per_frame_above_idle"] == 0
    assert found["rails"] == ["VDD_IN"] and 3 <= found["samples"] < 40  # 0.2 of 0.3 s, after the warm-up
    assert "23.2 mJ a frame" in done.out


@pytest.mark.parametrize(
    ("line", "why"), [(None, "no tegrastats"), ("RAM 1/2MB", "printed no power"), (NANO, "while the engine ran")]
)
def test_why_energy_is_not_measured_is_told(line: str | None, why: str, tmp_path: Path) -> None:
    out = board(tmp_path, line)
    done = measure(out, "--warm-up-ms", 5000, PATH=str(tmp_path))  # longer than it runs
    assert why in done.engine["energy"]["not_measured"] and len(done.rows) == 1


def test_the_time_of_a_frame_without_throughput_is_the_mean_latency() -> None:
    meter, phases = power.PowerMeter(), power.Phases(0)
    meter.samples, phases.start, phases.end = [(1.0, 9000), (2.0, 1000), (3.0, 3000)], 1.5, 3.5
    power.has_tegrastats = lambda: True
    found = power.energy(meter, phases, {"latency": {"mean_ms": 50}}, None)
    assert found["mj_per_frame"] == 100 and found["samples"] == 2 and "idle_mw" not in found


@pytest.mark.parametrize(
    ("output", "on_dla", "on_gpu", "fell_back"),
    [
        (
            DLA,
            ["{ForeignNode[/stem/Conv.../neck/Concat]}"],
            ["SOFTMAX: /head/Softmax", "COPY: reformat"],
            ["/head/Softmax"],
        ),
        (
            DLA_OF_7,
            ["{conv_1,batch_norm_1}", "{conv_2}"],
            ["(Unnamed Layer* 3) [Shuffle]", "conv_6 + relu_6"],
            ["(Unnamed Layer* 3) [Shuffle]", "conv_6"],
        ),
        ("[I] nothing of it", [], [], []),
    ],
)
def test_layers_of_the_accelerator_are_read(
    output: str, on_dla: list[str], on_gpu: list[str], fell_back: list[str]
) -> None:
    found = engines.dla_layers(output)
    assert (found["on_dla"], found["on_gpu"], list(found["fell_back"])) == (on_dla, on_gpu, fell_back)
    assert all("DLA" in why for why in found["fell_back"].values())


def test_a_kept_engine_of_the_accelerator_keeps_its_layers(tmp_path: Path) -> None:
    out = board(tmp_path, dla=DLA)
    first = measure(out, "--keep", "--dla")
    assert {"--useDLACore=0", "--allowGPUFallback"} <= set((tmp_path / "calls.txt").read_text().split())
    assert first.report["settings"]["dla"] == 0 and "1 layers on the DLA, 2 on the GPU" in first.out
    again = measure(out, "--keep", "--dla")
    assert again.engine["engine"] == "kept" and list(again.engine["dla"]["fell_back"]) == ["/head/Softmax"]
    plain = measure(out, "--keep")
    assert plain.engine["engine"] == "built" and "dla" not in plain.engine
    assert measure(out, "--keep", "--dla").engine["engine"] == "kept"


@pytest.mark.parametrize("words", [("--dla", "--precision", "fp32"), ("--dla", "-1")])
def test_an_accelerator_without_its_precision_is_refused(words: tuple[str, ...], tmp_path: Path) -> None:
    command = [sys.executable, str(board(tmp_path) / "board" / "measure.py"), *words]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and "--dla must be 0 or more" in done.stderr
