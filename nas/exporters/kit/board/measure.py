#!/usr/bin/env python3
"""Measures exported detectors on this board with TensorRT's trtexec. Needs Python 3.6 or later.

    sudo nvpmodel -m 0 && sudo jetson_clocks       # the power mode and fixed clocks that you deploy with
    python3 board/measure.py --precision fp16      # in the exported folder; measures all its detectors

For each detector an engine is built from its ONNX file and run with warm-up at batch 1 on random input. The results are
measured.json (everything) and measured.csv (input of `nas latency calibrate`). If numpy and OpenCV are installed, this
script also times scaling a picture to the input and decoding the outputs. Times that vary by more than --max-variation
are marked in measured.json and left out of measured.csv. The summaries of TensorRT 7 to 10 are read.

`--dla` runs what can on a deep learning accelerator (Xavier and Orin); measured.json lists the layers that fell back
to the GPU. Where tegrastats is, it also has the energy of a frame in millijoules.

In int8 without a calibration cache TensorRT uses random scales: times are right, detections are not.
"""

import argparse
import csv
import datetime
import glob
import json
import os
import re
import sys
import time

from engines import ENGINES, PERCENTILE, PRECISIONS, find_trtexec, run_engine
from power import idle_power
from shell import fail, read, said, say, write

HERE = os.path.dirname(os.path.abspath(__file__))
COLUMNS = ("model", "latency_ms", "input_h", "input_w", "num_classes", "p95_ms", "precision", "board", "power_mode")


def main():
    """Measures all detectors of the folder and writes measured.json and measured.csv."""
    options = arguments()
    trtexec = find_trtexec(options.trtexec)
    os.makedirs(options.out, exist_ok=True)
    folders = sorted(os.path.dirname(path) for path in glob.glob(os.path.join(options.folder, "*", "model.onnx")))
    if not folders:
        fail("no */model.onnx in %s; export with --format yaml,onnx, or give the folder with --folder" % options.folder)
    board = board_facts(trtexec)
    say("board: %(board)s, JetPack %(jetpack)s, power mode %(power_mode)s" % board)
    options.idle_mw = idle_power()
    results = []
    for folder in folders:
        results.append(measure(folder, trtexec, options))
        say(told(results[-1]))
    report = {"board": board, "settings": settings(options), "detectors": results}
    write(
        os.path.join(options.out, "measured.json"), lambda file: json.dump(report, file, indent=2, ensure_ascii=False)
    )
    whole = [result for result in results if "error" not in result]
    rows = [row(each, board, options) for each in whole if len(each["engines"]) == 1 and not each["unstable"]]
    write(os.path.join(options.out, "measured.csv"), lambda file: write_csv(file, rows))
    say("written: measured.json, measured.csv (%d rows) in %s" % (len(rows), options.out))
    parted = [each["name"] for each in whole if len(each["engines"]) > 1]
    if parted:
        say("not in measured.csv, because their second stage is a separate engine: %s" % ", ".join(parted))
    unstable = [each["name"] for each in whole if each["unstable"]]
    if unstable:
        say(
            "warning: not in measured.csv, because their times vary by more than %g %%: %s; fix the clocks with "
            "sudo jetson_clocks, end other programs, then measure again" % (options.max_variation, ", ".join(unstable))
        )
    if len(whole) < len(results):
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
    parser.add_argument(
        "--keep", action="store_true", help="keep the engines in --out and reuse those whose ONNX file is unchanged"
    )
    parser.add_argument("--calibration", help="calibration cache for int8")
    parser.add_argument(
        "--dla",
        type=int,
        nargs="?",
        const=0,
        metavar="CORE",
        help="run on a deep learning accelerator; core 0 if none is given",
    )
    parser.add_argument("--warm-up-ms", type=int, default=2000)
    parser.add_argument("--seconds", type=int, default=10, help="duration of measuring each engine")
    parser.add_argument(
        "--max-variation",
        type=float,
        default=10,
        metavar="PERCENT",
        help="the largest coefficient of variation of times that go into measured.csv; default: 10",
    )
    parser.add_argument(
        "--picture", type=int, nargs=2, default=(720, 1280), metavar=("H", "W"), help="size of a picture"
    )
    options = parser.parse_args()
    options.kept = os.path.join(options.out, ENGINES) if options.keep else None
    if options.dla is not None and (options.dla < 0 or options.precision == "fp32"):
        parser.error("--dla must be 0 or more, with --precision fp16 or int8: the accelerator has no fp32")
    if options.warm_up_ms < 0 or options.seconds < 1:
        parser.error("--warm-up-ms must be 0 or more and --seconds 1 or more")
    if not options.max_variation >= 0:  # so written, nan is refused as well
        parser.error("--max-variation must be 0 or more")
    return options


def measure(folder, trtexec, options):
    """Returns the measurements of a detector, or the error that prevented them."""
    with open(os.path.join(folder, "detector.json"), encoding="utf-8") as file:
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
    result["unstable"] = any(each["variation_percent"] > options.max_variation for each in result["engines"].values())
    result["host"] = host_times(folder, described, options)
    return result


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


def settings(options):
    """Returns the options that the figures depend on."""
    names = ("precision", "warm_up_ms", "seconds", "max_variation") + (("dla",) if options.dla is not None else ())
    return dict({name: getattr(options, name) for name in names}, batch=1)


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
        if result["unstable"]:
            parts[-1] += ", unstable: varies by %.1f %%" % times["variation_percent"]
        if "mj_per_frame" in times["energy"]:
            parts[-1] += ", %.1f mJ a frame" % times["energy"]["mj_per_frame"]
        if "dla" in times:
            on_gpu, on_dla = (len(times["dla"].get(each, ())) for each in ("on_gpu", "on_dla"))
            parts[-1] += ", %d layers on the DLA, %d on the GPU" % (on_dla, on_gpu)
    return "%s (%s): %s" % (result["name"], result["precision"], "; ".join(parts))


def write_csv(file, rows):
    """Writes the rows with the header COLUMNS."""
    writer = csv.DictWriter(file, COLUMNS)
    writer.writeheader()
    writer.writerows(rows)


if __name__ == "__main__":
    main()
