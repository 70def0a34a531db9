"""Reads the power of a Jetson from tegrastats while an engine runs. For `measure.py`; needs Python 3.6.

The power is that of the whole module where it has a sensor for it (VDD_IN, or POM_5V_IN of the first Nano and the TX2);
else it is the sum of the rails that carry a board, and the names of these are given.
"""

import re
import shutil
import subprocess
import threading
import time

INTERVAL_MS = 100
WHOLE = ("VDD_IN", "POM_5V_IN")
PARTS = (
    ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"),  # AGX Orin
    ("GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V"),  # AGX Xavier
)
RAIL = re.compile(r"\b([A-Z][A-Z0-9_]*) (\d+)(?:mW)?/(\d+)(?:mW)?(?= |$)")
"""Rail, milliwatts now and their mean: `VDD_IN 4636mW/4636mW` since JetPack 5, `POM_5V_IN 2532/2532` before."""
STARTED = re.compile(r"\] Starting inference")
ENDED = re.compile(r"=== (Trace details|Performance summary) ===|Timing trace has")


def rails(line):
    """Returns the milliwatts of each rail in a line of tegrastats. RAM, which has megabytes, is no rail."""
    return {name: int(now) for name, now, _ in RAIL.findall(line) if name not in ("RAM", "SWAP", "IRAM")}


def module_power(line):
    """Returns the milliwatts of the module in a line of tegrastats and the rails that they are of, or None."""
    found = rails(line)
    for group in tuple((name,) for name in WHOLE) + PARTS:
        if found.keys() >= set(group):
            return sum(found[name] for name in group), group
    return None


def has_tegrastats():
    """Returns whether this board has tegrastats."""
    return shutil.which("tegrastats") is not None


class PowerMeter:
    """Samples of tegrastats with their times, while a `with` block runs; without tegrastats there are none."""

    def __init__(self):
        self.samples, self.rails, self.process = [], (), None

    def __enter__(self):
        if has_tegrastats():
            command = ["tegrastats", "--interval", str(INTERVAL_MS)]
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            self.thread = threading.Thread(target=self.read)
            self.thread.start()
        return self

    def __exit__(self, *_):
        if self.process is not None:
            self.process.terminate()
            self.thread.join()
            self.process.wait()

    def read(self):
        """Reads lines until tegrastats ends."""
        for line in iter(self.process.stdout.readline, b""):
            found = module_power(line.decode("utf-8", "replace").strip())
            if found:
                self.samples.append((time.time(), found[0]))
                self.rails = found[1]

    def mean(self, start, end):
        """Returns the mean of the milliwatts between two times and the number of samples; (None, 0) without any."""
        inside = [value for when, value in self.samples if start <= when <= end]
        return (sum(inside) / len(inside), len(inside)) if inside else (None, 0)


class Phases:
    """When trtexec started and ended running the engine, by the lines that it prints."""

    def __init__(self, warm_up_s):
        self.warm_up_s, self.start, self.end = warm_up_s, None, None

    def see(self, line):
        """Looks at a line at the moment that it comes."""
        if STARTED.search(line):
            self.start, self.end = time.time() + self.warm_up_s, None
        elif ENDED.search(line) and self.end is None:
            self.end = time.time()


def idle_power(seconds=2.0):
    """Returns the mean milliwatts of the board that waits, or None."""
    if not has_tegrastats():
        return None
    with PowerMeter() as meter:
        time.sleep(seconds)
    return meter.mean(0, time.time())[0]


def energy(meter, phases, times, idle_mw):
    """Returns the energy of a frame in millijoules, of the whole board and above what it needs to wait.

    The time of a frame is that between two results: the inverse of the throughput, or else the mean latency.

    Args:
        meter: A `PowerMeter` that ran along with trtexec.
        phases: When trtexec ran the engine.
        times: What `engines.parse` returned for the run.
        idle_mw: Power of the board that waits; None if unknown.
    """
    if not has_tegrastats():
        return {"not_measured": "no tegrastats; it is part of JetPack"}
    mean, number = meter.mean(phases.start or float("inf"), phases.end or time.time())
    if mean is None:
        why = "printed no power" if not meter.samples else "printed no power while the engine ran; measure for longer"
        return {"not_measured": "tegrastats %s" % why}
    frame_s = 1 / times["queries_per_s"] if "queries_per_s" in times else times["latency"]["mean_ms"] / 1000
    found = {"mj_per_frame": round(mean * frame_s, 3), "mean_mw": round(mean, 1), "samples": number}
    found["rails"] = list(meter.rails)
    if idle_mw is not None:
        found["idle_mw"] = round(idle_mw, 1)
        found["mj_per_frame_above_idle"] = round((mean - idle_mw) * frame_s, 3)
    return found
