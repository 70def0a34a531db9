#!/usr/bin/env python3
"""Measures exported detectors on this board with TensorRT's trtexec. Needs Python 3.6 or later.

    sudo nvpmodel -m 0 && sudo jetson_clocks       # the power mode and fixed clocks that you deploy with
    python3 board/measure.py --precision fp16      # in the exported folder; measures all its detectors

For each detector an engine is built from its ONNX file and run with warm-up at batch 1 on random input. The results are
measured.json (everything) and measured.csv (input of `nas latency calibrate`). If numpy and OpenCV are installed, this
script also times scaling a picture to the input and decoding the outputs.

In int8 without a calibration cache TensorRT uses random scales: times are right, detections are not.
"""

import argparse
import csv
import datetime
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
USUAL_PLACES = ("/usr/src/tensorrt/bin/trtexec", "/usr/local/tensorrt/bin/trtexec")
PRECISIONS = {"fp32": [], "fp16": ["--fp16"], "int8": ["--int8", "--fp16"]}
PERCENTILE = 95
COLUMNS = ("model", "latency_ms", "input_h", "input_w", "num_classes", "p95_ms", "precision", "board", "power_mode")
LINES = {"Latency": "latency", "GPU Compute Time": "gpu", "H2D Latency": "to_gpu", "D2H Latency": "from_gpu"}
FIGURES = re.compile(r"(min|max|mean|median|percentile\((\d+)%\)) = ([0-9.eE+-]+) ms")


def main():
    """Measures all detectors of the folder and writes measured.json and measured.csv."""
    options = arguments()
    trtexec = find_trtexec(options.trtexec)
    folders = sorted(os.path.dirname(path) for path in glob.glob(os.path.join(options.folder, "*", "model.onnx")))
    if not folders:
        fail("no */model.onnx in %s; export with --format yaml,onnx, or give the folder with --folder" % options.folder)
    board = board_facts(trtexec)
    print("board: %(board)s, JetPack %(jetpack)s, power mode %(power_mode)s" % board)
    results = []
    for folder in folders:
        result = measure(folder, trtexec, options)
        results.append(result)
        print(told(result))
        sys.stdout.flush()
    report = {"board": board, "settings": settings(options), "detectors": results}
    write(os.path.join(options.out, "measured.json"), lambda file: json.dump(report, file, indent=2))
    rows = [row(result, board, options) for result in results if "error" not in result and len(result["engines"]) == 1]
    write(os.path.join(options.out, "measured.csv"), lambda file: write_csv(file, rows))
    print("written: measured.json, measured.csv (%d rows) in %s" % (len(rows), options.out))
    left_out = [result["name"] for result in results if "engines" in result and len(result["engines"]) > 1]
    if left_out:
        print("not in measured.csv, because their second stage is a separate engine: %s" % ", ".join(left_out))
    if any("error" in result for result in results):
        sys.exit(1)


def arguments():
    """Returns the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--folder", default=os.path.dirname(HERE), help="the exported folder; default: that of this script"
    )
    parser.add_argument("--out", default=HERE, help="folder of the results; default: that of this script")
    parser.add_argument("--precision", choices=sorted(PRECISIONS), default="fp16")
    parser.add_argument("--trtexec", help="path of trtexec; default: searched for")
    parser.add_argument("--calibration", help="calibration cache for int8")
    parser.add_argument("--warm-up-ms", type=int, default=2000)
    parser.add_argument("--seconds", type=int, default=10, help="duration of measuring each engine")
    parser.add_argument(
        "--picture", type=int, nargs=2, default=(720, 1280), metavar=("H", "W"), help="size of a picture"
    )
    options = parser.parse_args()
    if options.warm_up_ms < 0 or options.seconds < 1:
        parser.error("--warm-up-ms must be 0 or more and --seconds 1 or more")
    return options


def fail(message):
    """Prints an error and exits with code 2."""
    sys.stderr.write("measure.py: error: %s\n" % message)
    sys.exit(2)


def find_trtexec(given):
    """Returns the path of trtexec: the given one, or one on the PATH or in a usual place."""
    for path in [given] if given else [shutil.which("trtexec")] + list(USUAL_PLACES):
        if path and os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    fail("no trtexec%s; it comes with TensorRT: give its path with --trtexec" % (" at %s" % given if given else ""))


def measure(folder, trtexec, options):
    """Returns the measurements of a detector, or the error that prevented them."""
    with open(os.path.join(folder, "detector.json")) as file:
        described = json.load(file)
    result = {
        "name": os.path.basename(folder),
        "input_hw": described["input_hw"],
        "num_classes": len(described["classes"]),
        "head": described["head"],
        "precision": options.precision,
        "batch": 1,
        "engines": {},
    }
    try:
        for name in ("model.onnx", "second_stage.onnx"):
            path = os.path.join(folder, name)
            if os.path.isfile(path):
                shapes = described.get("second_stage_shape") if name == "second_stage.onnx" else None
                result["engines"][name] = run_engine(trtexec, path, options, shapes)
    except RuntimeError as error:
        result["error"] = str(error)
        return result
    result["host"] = host_times(folder, described, options)
    return result


def run_engine(trtexec, onnx, options, shapes):
    """Builds an engine and runs it; returns its times in milliseconds. Raises RuntimeError if trtexec fails."""
    engine = os.path.join(tempfile.mkdtemp(prefix="measure-"), "engine")
    command = [trtexec, "--onnx=" + onnx, "--saveEngine=" + engine, "--percentile=%d" % PERCENTILE]
    command += ["--warmUp=%d" % options.warm_up_ms, "--duration=%d" % options.seconds, "--iterations=50"]
    command += PRECISIONS[options.precision]
    if shapes:
        command.append("--shapes=features:" + "x".join(map(str, shapes)))
    if options.precision == "int8" and options.calibration:
        command.append("--calib=" + options.calibration)
    began = time.time()
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
        size = os.path.getsize(engine) if os.path.isfile(engine) else None
    finally:
        shutil.rmtree(os.path.dirname(engine), ignore_errors=True)
    times = parse(done.stdout)
    if done.returncode != 0 or "latency" not in times:
        lines = (
            [line for line in done.stdout.splitlines() if "[E]" in line]
            or done.stdout.splitlines()[-1:]
            or ["no output"]
        )
        raise RuntimeError("trtexec ended with %d: %s" % (done.returncode, lines[0].strip()))
    times.update(command=command, engine_bytes=size, build_and_run_s=round(time.time() - began, 1))
    return times


def parse(output):
    """Returns the figures of trtexec's performance summary in milliseconds, by what is timed."""
    times = {}
    for line in output.splitlines():
        text = line.split("] ")[-1].strip()
        version = re.search(r"\[TensorRT v(\d+)\]", line)
        if version:
            times["tensorrt"] = version_of(version.group(1))
        throughput = re.match(r"Throughput: ([0-9.]+) qps", text)
        if throughput:
            times["queries_per_s"] = float(throughput.group(1))
        name = LINES.get(text.split(":")[0])
        if name:
            figures = {}
            for what, percent, value in FIGURES.findall(text):
                figures["p%s_ms" % percent if percent else what + "_ms"] = float(value)
            if "median_ms" in figures:
                times[name] = figures
    return times


def version_of(digits):
    """Returns a version of trtexec with points: 8201 is 8.2.1, 100300 is 10.3.0."""
    number = int(digits)
    if number >= 100000:
        return "%d.%d.%d" % (number // 10000, number // 100 % 100, number % 100)
    return "%d.%d.%d" % (number // 1000, number // 100 % 10, number % 100)


def host_times(folder, described, options):
    """Returns the CPU times before and after the network in milliseconds, or why they cannot be measured."""
    sys.path.insert(0, folder)
    try:
        import numpy

        sys.modules.pop("postprocess", None)
        import postprocess
    except ImportError as error:
        return {"not_measured": str(error)}
    finally:
        sys.path.remove(folder)
    random = numpy.random.RandomState(0)
    picture = random.randint(0, 256, tuple(options.picture) + (3,)).astype("uint8")
    outputs = [random.standard_normal(shape).astype("float32") for shape in described["output_shapes"]]
    times = {"picture_hw": list(options.picture)}
    try:
        times["prepare"] = repeated(
            lambda: postprocess.prepare(picture, described["input_hw"], described.get("fit", "letterbox"))
        )
    except ImportError as error:
        times["prepare"] = {"not_measured": str(error)}
    if described["head"] != "two_stage":
        times["read_outputs"] = repeated(lambda: postprocess.detections(outputs, described))
    return times


def repeated(work, count=20):
    """Returns the median and the 95th percentile of the time of some work in milliseconds, after one warm-up."""
    work()
    times = []
    for _ in range(count):
        began = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - began))
    times.sort()
    return {"median_ms": times[count // 2], "p95_ms": times[int(0.95 * (count - 1))]}


def board_facts(trtexec):
    """Returns facts about this board; None for unknown ones."""
    jetpack = said(["dpkg-query", "--showformat=${Version}", "--show", "nvidia-jetpack"])
    return {
        "board": (read("/proc/device-tree/model") or "unknown").strip("\0 \n"),
        "jetpack": jetpack,
        "l4t": (read("/etc/nv_tegra_release") or "").split(", GCID")[0].lstrip("# ") or None,
        "power_mode": power_mode(said(["nvpmodel", "-q"])),
        "clocks_khz": clocks(),
        "trtexec": trtexec,
        "python": sys.version.split()[0],
        "when": datetime.datetime.now().isoformat(timespec="seconds"),
    }


def power_mode(text):
    """Returns the power mode in the output of `nvpmodel -q`, or None."""
    found = re.search(r"NV Power Mode: *(\S+)", text or "")
    return found.group(1) if found else None


def clocks():
    """Returns current and maximum frequencies of the GPU and the first CPU, from the kernel."""
    found = {}
    for path in sorted(glob.glob("/sys/class/devfreq/*gpu*") + glob.glob("/sys/class/devfreq/*gv11b*")):
        for name in ("cur_freq", "max_freq"):
            value = read(os.path.join(path, name))
            if value and value.strip().isdigit():
                found["gpu_" + name.split("_")[0]] = int(value) // 1000
    for name in ("cur", "max"):
        value = read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_%s_freq" % name)
        if value and value.strip().isdigit():
            found["cpu_" + name] = int(value)
    return found or None


def read(path):
    """Returns the text of a file, or None if it cannot be read."""
    try:
        with open(path, errors="replace") as file:
            return file.read()
    except OSError:
        return None


def said(command):
    """Returns the output of a program, or None if it is missing or fails."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, universal_newlines=True)
    except OSError:
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


def settings(options):
    """Returns the options that the figures depend on."""
    return {"precision": options.precision, "warm_up_ms": options.warm_up_ms, "seconds": options.seconds, "batch": 1}


def row(result, board, options):
    """Returns the row of a detector in measured.csv; its path is relative to the folder of this script."""
    latency = result["engines"]["model.onnx"]["latency"]
    return {
        "model": "../%s/architecture.yaml" % result["name"],
        "latency_ms": latency["median_ms"],
        "input_h": result["input_hw"][0],
        "input_w": result["input_hw"][1],
        "num_classes": result["num_classes"],
        "p95_ms": latency.get("p%d_ms" % PERCENTILE, ""),
        "precision": options.precision,
        "board": board["board"],
        "power_mode": board["power_mode"] or "",
    }


def told(result):
    """Returns the line to print for a detector."""
    if "error" in result:
        return "%s: %s" % (result["name"], result["error"])
    parts = []
    for name, times in result["engines"].items():
        latency = times["latency"]
        tail = latency.get("p%d_ms" % PERCENTILE)
        parts.append(
            "%s median %.2f ms%s" % (name, latency["median_ms"], ", 95 %% within %.2f ms" % tail if tail else "")
        )
    return "%s (%s): %s" % (result["name"], result["precision"], "; ".join(parts))


def write_csv(file, rows):
    """Writes the rows with the header COLUMNS."""
    writer = csv.DictWriter(file, COLUMNS)
    writer.writeheader()
    writer.writerows(rows)


def write(path, fill):
    """Writes a file atomically."""
    part = path + ".part"
    with open(part, "w", newline="") as file:
        fill(file)
    os.replace(part, path)


if __name__ == "__main__":
    main()
