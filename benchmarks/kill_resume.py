"""Kills a search with SIGKILL at random times, resumes it each time, and audits its trials.

    python -m benchmarks.kill_resume --data tests/data/hit_uav --kills 20
    python -m benchmarks.kill_resume --data tests/data/hit_uav --kills 20 --workers 2
    python -m benchmarks.kill_resume --data tests/data/hit_uav --kills 20 --executor ray --victim worker
    python -m benchmarks.kill_resume --data tests/data/hit_uav --kills 20 --inherit donor

The driver is killed and the run resumed; with `--victim worker` a training process is killed and the driver continues.
No reported trial may be lost or changed by a kill. At the end the outcomes must add up to the number of trials asked,
no architecture may be trained twice on a rung with the same seed, and no trial may be retried twice. With `--inherit
donor` each donor must have been trained before its heirs, and their images must add up. Other faults in
shorter searches: `python -m tests.faults`, which uses the same audit.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.run_audit import Trials, ended_trials, num_doubled, num_false_donors, num_lost
from results import records

LIMIT = ["--budget-gflops", "0.05", "--choices", "input_size=128", "--fix", "width=0.125", "--batch", "2"]

RELATED = [*("--fix", "backbone=yolov8"), *("--fix", "head=anchor_free"), *("--fix", "block=c2f")]
"""Architectures that can inherit from each other."""


def main() -> None:
    """Runs, kills, resumes, checks."""
    options = arguments()
    run = Path(options.out) / "killed"
    shutil.rmtree(run, ignore_errors=True)
    run.parent.mkdir(parents=True, exist_ok=True)
    rng = random.Random(options.seed)
    before: Trials = {}
    process, kills, lost_now = start(options, run), 0, 0
    while kills < options.kills:
        time.sleep(rng.uniform(options.least, options.most))
        victims = [process.pid] if options.victim == "driver" else workers_of(process.pid)
        if process.poll() is not None or not victims:
            if process.poll() is not None:
                process = start(options, run)
            continue
        os.kill(rng.choice(victims), signal.SIGKILL)
        kills += 1
        if options.victim == "driver":
            process.wait()
            trials = ended_trials(run)
            gone = num_lost(before, {}, trials)
            print(f"kill {kills:>2}: {len(trials)} trials ended, {gone} earlier ones lost or changed", flush=True)
            lost_now += gone
            before = trials
            process = start(options, run)
        else:
            print(f"kill {kills:>2}: a training process", flush=True)
    process.send_signal(signal.SIGINT)
    process.wait()
    process = start(options, run, trials=len(ended_trials(run)) + 3)
    assert process.wait() == 0, "the last resume failed"
    check(run, lost_now)


def check(run: Path, lost: int) -> None:
    """Prints the audit of a run and exits with an error if it fails."""
    trials = ended_trials(run)
    counts = records.tally(records.frame(trials.values()))
    print(", ".join(f"{value} {name}" for name, value in counts.items()))
    heirs = [trial for trial in trials.values() if trial.inherited_macs is not None]
    without = sum(not trial.inherited_macs for trial in heirs)
    print(f"started from a donor: {len(heirs) - without}; could not: {without}")
    retried = sum(trial.retry_of is not None for trial in trials.values())
    print(f"in flight when killed: {sum(trial.is_lost for trial in trials.values())}; retried: {retried}")
    findings = {
        "reported trials lost or changed": lost,
        "counted twice, or missing in study or table": num_doubled(run),
        "donors that were not trained, or images that do not add up": num_false_donors(trials),
    }
    for name, number in findings.items():
        print(f"{name}: {number}")
    if any(findings.values()):
        sys.exit("the audit failed")


def start(options: argparse.Namespace, run: Path, trials: int = 10_000) -> subprocess.Popen[bytes]:
    """Starts the run or resumes it."""
    crew = ["--executor", options.executor] + (["--workers", str(options.workers)] if options.workers else [])
    if (run / "config.yaml").is_file():
        what = ["--resume", str(run), "--trials", str(trials)]
    else:
        ends = ["--trials", str(trials), "--rungs", options.rungs, "--threads", "1"]
        limit = LIMIT if options.inherit == "none" else [*LIMIT, *RELATED, "--inherit", options.inherit]
        what = [*limit, "--data", options.data, "--name", run.name, "--out", str(run.parent), *ends]
    command = [sys.executable, "-m", "nas.cli", "run", *what, *crew]
    log = (run.parent / "killed.log").open("ab")
    return subprocess.Popen(
        command, stdout=log, stderr=log, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler)
    )


def workers_of(driver: int) -> list[int]:
    """Returns the training processes below a driver: its workers, or Ray's actors."""
    parents = {int(path.name): _status(path) for path in Path("/proc").iterdir() if path.name.isdigit()}
    below, found = {driver}, []
    while new := {pid for pid, (_, parent) in parents.items() if parent in below} - below:
        below |= new
    for pid in below - {driver}:
        command = _command(pid)
        if "ray::" in command and "Trainable" in command or "spawn_main" in command:
            found.append(pid)
    return sorted(found)


def _status(path: Path) -> tuple[str, int]:
    try:
        name, parent = path.joinpath("stat").read_text().rsplit(")", 1)
        return name, int(parent.split()[1])
    except OSError:
        return "", -1


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def arguments() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--victim", choices=["driver", "worker"], default="driver")
    parser.add_argument("--executor", choices=["local", "ray"], default="local")
    parser.add_argument("--workers", type=int, default=None)
    parser.add_argument("--inherit", choices=["none", "donor"], default="none")
    parser.add_argument("--rungs", default="1,2")
    parser.add_argument("--least", type=float, default=1.0, help="Minimum seconds before a kill.")
    parser.add_argument("--most", type=float, default=15.0, help="Maximum seconds before a kill.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="runs")
    return parser.parse_args()


if __name__ == "__main__":
    main()
