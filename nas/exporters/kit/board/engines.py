"""Builds TensorRT engines with trtexec, runs them, and reads what it prints; needs Python 3.6."""

import hashlib
import json
import os
import re
import shutil
import signal
import tempfile
import time

from power import Phases, PowerMeter, energy
from shell import fail, ran, read_json, write

PRECISIONS = {"fp32": [], "fp16": ["--fp16"], "int8": ["--int8", "--fp16"]}
USUAL_PLACES = ("/usr/src/tensorrt/bin/trtexec", "/usr/local/tensorrt/bin/trtexec")
PERCENTILE = 95
ENGINES = "kept_engines"
NUMBER = r"([0-9]+[0-9.]*(?:[eE][+-]?[0-9]+)?)"
LINES = {"Latency": "latency", "GPU Compute Time": "gpu", "H2D Latency": "to_gpu", "D2H Latency": "from_gpu"}
FIGURES = re.compile(r"(min|max|mean|median|percentile\((\d+)%\)) = " + NUMBER + " ms")
HEADINGS_OF_7 = {"host latency": "latency", "gpu compute": "gpu", "enqueue time": "enqueue"}
FIGURE_OF_7 = re.compile(r"(min|max|mean|median|percentile): " + NUMBER + r" ms(?: at (\d+)%)?")
THROUGHPUT = re.compile("throughput: " + NUMBER + " qps", re.IGNORECASE)
VARIATION = re.compile(r"GPU compute time is unstable, with coefficient of varia\w+ = " + NUMBER + "%")
ERROR = re.compile(
    r"\[E\]|ERROR: |^\[\d+\] "
)  # without [E]: the ONNX parser of TensorRT 7, and a second line of later ones
CLOSING = re.compile(  # what trtexec says at the end of any failure, after the cause
    r"(Engine|Network|Inference|Parser|Model|Building engine|Parsing model)\b.*\b(failed|not be created.*)[.!]?$"
    r"|Failed to (create|parse|set up|build)\b.{0,60}$|.*Assertion engine != nullptr failed"
)
LOG_PREFIX = re.compile(r"^(\[\d[^\]]*\] )?(\w+: )?(\[[A-Z]\] |\[TRT\]:? ?)*")
DLA_HEADING = re.compile(r"-+ ?Layers [Rr]unning on (DLA|GPU)")
LAYERS_OF_7 = re.compile(r"(\{[^}]*\}|[^,{} ][^,{}]*), ?")
FALLBACKS = (
    re.compile(r"Layer '(.+)' \(\w+\): Unsupported on DLA"),  # TensorRT 8.5 and later
    re.compile(r"Default DLA is enabled but layer (.+) is not (?:supported|running) on DLA"),  # 5 to 8.4
    re.compile(r"DLA supports only \d+ subgraphs per DLA core\. Switching to GPU for layer (.+)$"),
)
TACTIC = re.compile("Tactic Device request|insufficient (memory )?to use tactic|[Ss]kipping tactic")
PARSING = re.compile("[Pp]ars(e|ing)")
NO_IMPLEMENTATION = re.compile("could not find any implementation", re.IGNORECASE)
OUT_OF_MEMORY = re.compile("out of memory|OutOfMemory|bad_alloc", re.IGNORECASE)
MORE_MEMORY = "close the desktop (sudo systemctl isolate multi-user.target), add swap"


def find_trtexec(given):
    """Returns the path of trtexec: the given one, or one on the PATH or in a usual place."""
    for path in [given] if given else [shutil.which("trtexec")] + list(USUAL_PLACES):
        if path and os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    fail("no trtexec%s; it comes with TensorRT: give its path with --trtexec" % (" at %s" % given if given else ""))


def run_engine(trtexec, onnx, options, shapes):
    """Builds an engine and runs it, or a kept one; returns its times in milliseconds.

    Raises:
        RuntimeError: trtexec fails; one line says why.
    """
    run = ["--percentile=%d" % PERCENTILE, "--warmUp=%d" % options.warm_up_ms]
    run += ["--duration=%d" % options.seconds, "--iterations=50"]
    kept = kept_path(trtexec, onnx, options, shapes) if options.kept else None
    if kept and os.path.isfile(kept):
        command = [trtexec, "--loadEngine=" + kept] + run + shape_words(shapes)
        try:
            times = timed(command, options)
            if options.dla is not None:
                times["dla"] = read_json(kept + ".dla.json") or {}
            return dict(times, command=command, engine_bytes=os.path.getsize(kept), engine="kept")
        except RuntimeError:
            pass  # such as an engine of another version of TensorRT: it is built again
    command = [trtexec, "--onnx=" + onnx] + run + shape_words(shapes) + build_words(options)
    began = time.time()
    times, size = built(command, kept, lambda words: timed(words, options))
    seconds = round(time.time() - began, 1)
    if kept and size and options.dla is not None:
        write(kept + ".dla.json", lambda file: json.dump(times["dla"], file))
    return dict(times, command=command, engine="built", build_and_run_s=seconds, engine_bytes=size)


def engine_file(trtexec, onnx, options, shapes, anew=False):
    """Returns the file of the kept engine of an ONNX file, which is built if there is none or `anew` is true.

    Raises:
        RuntimeError: trtexec fails; one line says why.
    """
    kept = kept_path(trtexec, onnx, options, shapes)
    if anew or not os.path.isfile(kept):
        briefly = ["--warmUp=0", "--duration=0", "--iterations=1"]  # --buildOnly is not known to all versions
        size = built(
            [trtexec, "--onnx=" + onnx] + briefly + shape_words(shapes) + build_words(options), kept, output_of
        )[1]
        if not size:
            raise RuntimeError("trtexec wrote no engine for %s" % onnx)
    return kept


def shape_words(shapes):
    """Returns the arguments of trtexec for the input of a second stage."""
    return ["--shapes=features:" + "x".join(map(str, shapes))] if shapes else []


def build_words(options):
    """Returns the arguments of trtexec that an engine is built with."""
    words = list(PRECISIONS[options.precision])
    if options.precision == "int8" and options.calibration:
        words.append("--calib=" + options.calibration)
    if options.dla is not None:
        words += ["--useDLACore=%d" % options.dla, "--allowGPUFallback"]
    return words


def built(command, kept, run):
    """Builds an engine with trtexec; returns what `run` returns for the command, and the size of the engine in bytes.

    Args:
        kept: where the engine is kept, in place of earlier ones of the same detector; None: it is thrown away.
    """
    if kept:
        os.makedirs(os.path.dirname(kept), exist_ok=True)
    folder = tempfile.mkdtemp(prefix="measure-", dir=os.path.dirname(kept) if kept else None)
    engine = os.path.join(folder, "engine")
    command.insert(2, "--saveEngine=" + engine)
    try:
        found = run(command)
        size = os.path.getsize(engine) if os.path.isfile(engine) else None
        if kept and size:
            for old in earlier(kept):
                os.remove(old)
            os.replace(engine, kept)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return found, size


def kept_path(trtexec, onnx, options, shapes):
    """Returns the file of a kept engine. Its name has a hash of all that the engine depends on.

    These are the ONNX file, the precision, the calibration cache, the shapes, the DLA core, trtexec and the system of
    the board.
    """
    depends = (options.precision, shapes) if options.dla is None else (options.precision, shapes, options.dla)
    digest = hashlib.sha256(repr(depends).encode())
    calibration = options.calibration if options.precision == "int8" else None
    for path in (onnx, calibration, trtexec, "/etc/nv_tegra_release", "/proc/device-tree/model"):
        digest.update(hash_of(path))
    detector, stage = os.path.split(onnx[: -len(".onnx")])
    name = "%s.%s.%s" % (os.path.basename(detector), stage, options.precision)
    if options.dla is not None:
        name += "-dla%d" % options.dla
    return os.path.join(options.kept, "%s.%s.engine" % (name, digest.hexdigest()[:16]))


def hash_of(path):
    """Returns the SHA-256 of a file, or that of nothing if there is none."""
    digest = hashlib.sha256()
    if path and os.path.isfile(path):
        with open(path, "rb") as file:
            for part in iter(lambda: file.read(1 << 20), b""):
                digest.update(part)
    return digest.digest()


def earlier(kept):
    """Returns the kept engines of the same detector, stage and precision, which a new one replaces."""
    folder, name = os.path.split(kept)
    of_same = re.compile(re.escape(name[: -len("0123456789abcdef.engine")]) + r"[0-9a-f]{16}\.engine(\.dla\.json)?$")
    return [os.path.join(folder, each) for each in os.listdir(folder) if of_same.match(each)]


def timed(command, options):
    """Runs trtexec and returns what `parse` reads off its output, and the energy of a frame.

    Raises:
        RuntimeError: trtexec fails; one line says why.
    """
    phases = Phases(options.warm_up_ms / 1000)
    with PowerMeter() as meter:
        code, output = run_trtexec(command, phases.see)
    times = parse(output)
    if code != 0 or times.get("latency", {}).get("median_ms", 0) <= 0:
        raise RuntimeError(reason(code, output))
    times["variation_percent"] = variation(times)
    times["energy"] = energy(meter, phases, times, options.idle_mw)
    if options.dla is not None:
        times["dla"] = dla_layers(output)
    return times


def output_of(command):
    """Runs trtexec and returns its output. Raises RuntimeError with one line if it fails."""
    code, output = run_trtexec(command)
    if code != 0:
        raise RuntimeError(reason(code, output))
    return output


def run_trtexec(command, see=None):
    """Runs trtexec; returns its exit code and its output. Raises RuntimeError if it cannot be run."""
    try:
        code, output = ran(command, see=see)
        if code != 0 and "explicit batch dimension" in output and "--explicitBatch" not in command:
            command.append("--explicitBatch")  # TensorRT 7 needs it for ONNX files, 10 does not know it
            code, output = ran(command, see=see)
    except OSError as error:
        raise RuntimeError("trtexec cannot be run: %s" % error) from error
    return code, output


def reason(code, output):
    """Returns one line about why trtexec failed: its last error, after the cause if the last one does not say it."""
    if code in (-signal.SIGKILL, 128 + signal.SIGKILL):
        return "trtexec was killed, most likely because memory ran out: %s" % MORE_MEMORY
    lines = [line.strip() for line in output.splitlines() if line.strip() and not line.startswith("&&&&")]
    errors = [line.split("[E] ")[-1] for line in lines if ERROR.search(line)]
    errors = [line for line in errors if not TACTIC.search(line)] or errors or lines[-1:] or ["no output"]
    last, causes = errors[-1], [line for line in errors if not CLOSING.match(line)]
    found = last if last in causes or not causes else "%s (%s)" % (causes[-1], last)
    short = NO_IMPLEMENTATION.search(found) or TACTIC.search(found) or not causes
    advice = ""
    if OUT_OF_MEMORY.search(found) or (short and TACTIC.search(output)):
        advice = "; memory was short: %s" % MORE_MEMORY
    elif "[TensorRT v" not in output and PARSING.search("".join(errors)):  # the banner has the version since 8.0
        advice = "; this TensorRT is older than 8: files of opset 13 need 8, which JetPack 4.6 and later have"
    what = "ended with %d" % code if code else "printed no times in a form of TensorRT 7 to 10"
    return "trtexec %s: %s%s" % (what, found[:400], advice)


def variation(times):
    """Returns the largest coefficient of variation in percent: trtexec's of the GPU time, or the least possible one.

    The median is at most one standard deviation away from the mean, and the 95th percentile at most 4.36 above it
    (Cantelli's inequality). TensorRT 7 prints no coefficient, later versions only that of the GPU time.
    """
    found = [times.get("variation_of_gpu_percent", 0)]
    for figures in [times["latency"]] + ([] if found[0] else [times.get("gpu", {})]):
        mean, tail = figures.get("mean_ms", 0), figures.get("p%d_ms" % PERCENTILE, 0)
        if mean > 0:
            tail_deviations = (PERCENTILE / (100 - PERCENTILE)) ** 0.5
            least = max(abs(mean - figures["median_ms"]), (tail - mean) / tail_deviations)
            found.append(100 * least / mean)
    return round(max(found), 1)


def parse(output):
    """Returns the figures of trtexec's performance summary in milliseconds, by what is timed."""
    times, section = {}, {}
    for line in output.splitlines():
        text = line.split("] ")[-1].strip()
        version = re.search(r"\[TensorRT v(\d+)\]", line)
        if version:
            times["tensorrt"] = version_of(version.group(1))
        throughput = THROUGHPUT.match(text)
        if throughput and float(throughput.group(1)) > 0:  # TensorRT 7 prints 0 for ONNX files
            times["queries_per_s"] = float(throughput.group(1))
        unstable = VARIATION.search(text)
        if unstable:
            times["variation_of_gpu_percent"] = float(unstable.group(1))
        if text.lower() in HEADINGS_OF_7:
            section = times.setdefault(HEADINGS_OF_7[text.lower()], {})
        of_7 = FIGURE_OF_7.match(text)
        if of_7:
            what, value, percent = of_7.groups()
            section["p%s_ms" % percent if percent else what + "_ms"] = float(value)
        name = LINES.get(text.split(":")[0])
        figures = FIGURES.findall(text) if name else []
        if any(what == "median" for what, _, _ in figures):
            times[name] = {"p%s_ms" % part if part else what + "_ms": float(value) for what, part, value in figures}
    return {key: found for key, found in times.items() if not isinstance(found, dict) or "median_ms" in found}


def dla_layers(output):
    """Returns which layers run on the deep learning accelerator and which on the GPU, as trtexec lists them.

    Returns:
        `on_dla` and `on_gpu`, names of (fused) layers, and `fell_back`, a reason for each layer that was to run on the
        accelerator and cannot.
    """
    found, section = {"on_dla": [], "on_gpu": [], "fell_back": {}}, None
    for line in output.splitlines():
        text = LOG_PREFIX.sub("", line.strip())
        heading = DLA_HEADING.match(text)
        if heading:
            section = "on_dla" if heading.group(1) == "DLA" else "on_gpu"
        elif text.startswith(("[DlaLayer] ", "[GpuLayer] ")):
            found["on_dla" if text.startswith("[Dla") else "on_gpu"].append(text.partition("] ")[2])
        elif section and (text.endswith(", ") or text.endswith(",")):  # TensorRT 7: all layers in one line
            found[section] += [each for each in LAYERS_OF_7.findall(text) if each]
        else:
            section = None if text else section
        for pattern in FALLBACKS:
            fallback = pattern.search(text)
            if fallback:
                found["fell_back"].setdefault(fallback.group(1), text)
                break
    return found


def version_of(digits):
    """Returns a version of trtexec with points: 8201 is 8.2.1, 100300 is 10.3.0."""
    number = int(digits)
    if number >= 100000:
        return "%d.%d.%d" % (number // 10000, number // 100 % 100, number % 100)
    return "%d.%d.%d" % (number // 1000, number // 100 % 10, number % 100)
