"""Measures the storage time per trial, and simulates how many workers one study supports, up to 1,000.

    python benchmarks/storage_scaling.py --docs docs/scaling.md

Measured: processes that only start and report trials, on a PostgreSQL server of this machine (Debian's default
settings) and on the journal file, with 100 and 1,000 trials in the study. Simulated: workers that train for a fixed
time and then use the storage, which serves trials at the best measured rate: a closed queueing network, solved by mean
value analysis (Reiser and Lavenberg, 1980).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "nas"))

import postgres_server  # noqa: E402
from search_fakes import formula, make_domain, open_study  # noqa: E402

from nas.engine.search_study import SearchStudy, TrialSpec  # noqa: E402
from nas.executors import Job  # noqa: E402
from nas.run_folder import RunFolder  # noqa: E402
from results.trial import Origin  # noqa: E402

WORKERS = (1, 10, 30, 100, 300, 1000)
TRAININGS_S = (30.0, 300.0, 3000.0)
MARK = "<!-- measured: benchmarks/storage_scaling.py -->"


def main() -> None:
    """Measures, simulates, prints, and writes the tables."""
    options = arguments()
    if options.child:
        hammer(options)
        return
    lines = [
        f"Measured on {os.cpu_count()} cores:",
        "",
        "| storage | trials in the study | clients | trials a second | ms a trial |",
    ]
    lines.append("|---|---|---|---|---|")
    visits: dict[str, float] = {}
    with postgres_server.running() as url, tempfile.TemporaryDirectory() as folder:
        for storage in (url, "journal"):
            name = "PostgreSQL" if storage == url else "journal file"
            for size in (100, 1000):
                place = Path(folder) / f"{name.split()[0]}-{size}"
                place.mkdir()
                fill(storage, place, size)
                for clients in (1, 2, 4) if storage == url else (1,):
                    rate = measure(storage, place, clients, options.seconds)
                    visits[f"{name} {size}"] = max(visits.get(f"{name} {size}", 0.0), rate)
                    lines.append(f"| {name} | {size} | {clients} | {rate:.1f} | {1000 * clients / rate:.0f} |")
    lines += ["", *simulated(visits["PostgreSQL 1000"])]
    text = "\n".join(lines)
    print(text)
    if options.docs:
        path = Path(options.docs)
        head = path.read_text().split(MARK)[0]
        path.write_text(f"{head}{MARK}\n\n{text}\n")


def simulated(capacity: float) -> list[str]:
    """Returns the table of worker utilisation for a storage with a given maximum rate of trials per second."""
    rows = ["| training of a trial | " + " | ".join(f"{n:,} workers" for n in WORKERS) + " | saturates at |"]
    rows.append("|---" * (len(WORKERS) + 2) + "|")
    for training_s in TRAININGS_S:
        busy = [busy_share(count, training_s, 1 / capacity) for count in WORKERS]
        cells = " | ".join(f"{100 * share:.0f} %" for share in busy)
        rows.append(f"| {training_s:g} s | {cells} | {capacity * training_s + 1:,.0f} workers |")
    return rows


def busy_share(num_workers: int, training_s: float, visit_s: float) -> float:
    """Returns the share of their time that workers train: mean value analysis of one queue and a delay."""
    waiting = 0.0
    for count in range(1, num_workers + 1):
        response = visit_s * (1 + waiting)
        waiting = count * response / (training_s + response)
    return training_s / (training_s + response)


def fill(storage: str, place: Path, size: int) -> None:
    """Adds trials to an empty study."""
    study = study_in(storage, place)
    for spec in random_specs(size, seed=0):
        finish(study, spec)


def measure(storage: str, place: Path, clients: int, seconds: float) -> float:
    """Returns how many trials per second a number of processes start and report."""
    command = [sys.executable, __file__, "--child", storage, "--place", str(place), "--seconds", str(seconds)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    children = [
        subprocess.Popen([*command, "--seed", str(1 + index)], stdout=subprocess.PIPE, text=True, env=environment)
        for index in range(clients)
    ]
    return sum(float(child.communicate()[0]) for child in children)


def hammer(options: argparse.Namespace) -> None:
    """Starts and reports trials for some seconds, reading the study before each as a search does; prints the rate."""
    study = study_in(options.child, Path(options.place))
    waiting = random_specs(400, seed=options.seed)
    study.trials()
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < options.seconds:
        study.trials()
        study.running()
        finish(study, waiting[count % len(waiting)])
        count += 1
    print(count / (time.perf_counter() - began))


def finish(study: SearchStudy, spec: TrialSpec) -> None:
    """Starts a trial and reports it at once."""
    running = study.begin(spec)
    study.tell(running, formula(Job(number=0, architecture=spec.candidate.architecture, seed=0)))


def random_specs(count: int, *, seed: int) -> list[TrialSpec]:
    """Returns random points of a few architectures; their costs do not matter here."""
    domain = make_domain(None)
    rng = np.random.default_rng(seed)
    few = [domain.assess(domain.space.random(rng)) for _ in range(10)]
    return [TrialSpec(candidate=few[index % len(few)], origin=Origin("random")) for index in range(count)]


def study_in(storage: str, place: Path) -> SearchStudy:
    """Opens the study."""
    url = None if storage == "journal" else storage.rsplit("/", 1)[0] + "/search"
    return open_study(RunFolder(place), storage=url, name=place.name)


def arguments() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="Seconds per measurement.")
    parser.add_argument("--docs", help="Document to write the tables into.")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--place", help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=1, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
