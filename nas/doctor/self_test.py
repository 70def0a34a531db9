"""The main job in small: what must work on every machine is tried rather than looked up."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nas.api import search as api
from nas.api.search_run import SearchRun
from nas.doctor.machine_check import Check

NUM_TRIALS = 2
NUM_CLASSES = 3
"""Of the built-in set."""
SMALL: dict[str, Any] = {
    "name": "self-test",
    "budget_gflops": 0.05,
    "fix": ("input_size=128", "width=0.125"),
    "rungs": 0.03,
    "trials": NUM_TRIALS,
    "threads": 1,
}
"""Two trials of 30 images each of the built-in set."""


def check_by_doing(folder: Path, tell: Callable[[str], None]) -> list[Check]:
    """Searches, counts, opens what was found, and goes on with Ray.

    Args:
        folder: An empty one, which receives a run.
        tell: Is told what is done next, in a few words.
    """
    steps: list[tuple[str, Callable[[Path], str], str]] = [
        ("search", search, "next: nas --debug run --budget-gflops 0.05 --trials 2 shows where it fails"),
        ("counts", count, "next: pip install -U fvcore; until then trust no FLOPs"),
        ("weights", detect, "next: nas --debug run --budget-gflops 0.05 --trials 2 shows where it fails"),
        ("Ray", search_with_ray, "next: pip install -U 'ray[tune]'; searches without --executor ray do not need it"),
    ]
    checks: list[Check] = []
    for name, do, advice in steps:
        tell(f"self-test: {name}")
        checks.append(_tried(name, do, folder, advice))
        if checks[-1].state == "fault":
            break
    return checks


def _tried(name: str, do: Callable[[Path], str], folder: Path, advice: str) -> Check:
    began = time.monotonic()
    try:
        found = do(folder)
    except Exception as error:  # whatever it is, it is what the examination is for
        found = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return Check(name=name, found=found, state="note" if name == "Ray" else "fault", advice=advice)
    return Check(name=name, found=f"{found}, {time.monotonic() - began:.1f} s")


def search(folder: Path) -> str:
    """Searches: asks, costs, trains, scores, records."""
    _check(api.search(out=folder, **SMALL), NUM_TRIALS)
    return f"{NUM_TRIALS} trials trained and scored"


def search_with_ray(folder: Path) -> str:
    """Goes on with the same run for one more trial, in a worker of Ray."""
    run = api.search(resume=folder / SMALL["name"], trials=NUM_TRIALS + 1, executor="ray", workers=1)
    _check(run, NUM_TRIALS + 1)
    return "started, one trial trained and scored in a worker of it"


def _check(run: SearchRun, num_trials: int) -> None:
    outcomes = run.table["outcome"].tolist()
    if outcomes.count("complete") != num_trials:
        raise RuntimeError(f"{num_trials} trials were asked for, their outcomes are {', '.join(outcomes)}")


def count(folder: Path) -> str:
    """Compares our count of the best member with fvcore's."""
    from nas.cost import cost_of
    from nas.cost.oracle import fvcore_macs
    from search_space import Architecture, Detector, lower

    architecture = Architecture.from_yaml(_member(folder))
    graph = lower(architecture, num_classes=NUM_CLASSES)
    ours = cost_of(architecture, num_classes=NUM_CLASSES).macs
    theirs = fvcore_macs(Detector(graph), (3, *graph.input_hw))
    if ours != theirs:
        raise RuntimeError(f"we count {ours} multiply-adds of {_member(folder)} and fvcore {theirs}")
    return f"{ours} multiply-adds, as fvcore counts"


def detect(folder: Path) -> str:
    """Opens the weights of the best member and lets it look at a picture."""
    import torch

    from nas.weights_path import weights_file
    from trainers import load_weights

    loaded = load_weights(weights_file(_member(folder)))
    detector = loaded.detector().eval()
    with torch.no_grad():
        outputs = detector(torch.zeros(1, 3, *detector.input_hw))
    if not all(bool(output.isfinite().all()) for output in outputs):
        raise RuntimeError("the outputs of trained weights are not finite")
    return f"{len(loaded.state)} tensors read, outputs finite"


def _member(folder: Path) -> Path:
    return next(iter(sorted((folder / str(SMALL["name"]) / "front").glob("*.yaml"))))
