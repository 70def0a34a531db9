"""Tests which trainings are bitwise equal, and how far apart the others are.

Trains yolov8n at 96x96 px for twelve steps on the built-in set, each time in a new process, changes one setting at a
time and prints the CPU rows of the table in docs/reproducibility.md.

    python benchmarks/reproducibility.py
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROWS: tuple[tuple[str, dict[str, Any], dict[str, Any]], ...] = (
    ("again", {}, {}),
    ("3 workers instead of 1", {}, {"num_readers": 3}),
    ("interrupted after step 5 and resumed", {}, {"stop_at": 5}),
    ("bfloat16, again", {"precision": "bfloat16"}, {"precision": "bfloat16"}),
    ("float16 interrupted and resumed", {"precision": "float16"}, {"precision": "float16", "stop_at": 5}),
    ("accumulate 2, again", {"accumulate": 2}, {"accumulate": 2}),
    ("2 processes, again", {"processes": 2}, {"processes": 2}),
    ("2 processes instead of accumulate 2", {"accumulate": 2}, {"processes": 2}),
    ("accumulate 2 instead of 1", {}, {"accumulate": 2}),
    ("2 threads, again", {"threads": 2}, {"threads": 2}),
    ("2 threads instead of 1", {}, {"threads": 2}),
    ("a CPU without AVX-512 (kernels limited to AVX2)", {}, {"isa": "AVX2"}),
    ("bfloat16 instead of float32", {}, {"precision": "bfloat16"}),
    ("another seed", {}, {"seed": 1}),
)
"""Comparisons: name, settings of the first training, settings of the second."""
BASE = {"epochs": 1.0, "batch_size": 4, "precision": "float32", "device": "cpu"}


def train_once(settings: dict[str, Any], folder: Path) -> None:
    """Trains in this process and prints the losses and digests of the weights and of the batch statistics."""
    import torch

    from search_space import DESIGNS
    from trainers import StopTraining, TrainConfig, fresh_detector, train
    from trainers.data.synthetic import synthetic_splits
    from trainers.distributed import join_processes

    torch.set_num_threads(settings.pop("threads", 1))
    stop_at = settings.pop("stop_at", None)
    dataset = synthetic_splits(seed=0, num_train=48, num_val=1)[0]
    architecture = DESIGNS.get("yolov8n").architecture.resized((96, 96))
    losses: list[float] = []

    def note(progress: Any) -> None:
        losses.append(progress.loss)
        if progress.step == stop_at:
            raise StopTraining

    with join_processes("cpu") as rank:
        for resume in (False, True) if stop_at else (False,):
            detector = fresh_detector(architecture, num_classes=len(dataset.classes), seed=0)
            config = TrainConfig(**{**BASE, **settings})
            place = folder / "last.pt"
            result = train(detector, dataset, config=config, on_step=note, checkpoint=place, resume=resume)
            stop_at = None
    if rank == 0:
        weights = {name for name, _ in detector.named_parameters()}
        both = {name: name in weights for name in result.state_dict}
        digests = {
            part: _digest([result.state_dict[name] for name in both if both[name] == is_weight])
            for part, is_weight in (("weights", True), ("statistics", False))
        }
        print(json.dumps({"losses": losses, **digests}))


def _digest(tensors: list[Any]) -> str:
    return hashlib.sha256(b"".join(value.numpy().tobytes() for value in tensors)).hexdigest()[:16]


def in_a_process(settings: dict[str, Any]) -> dict[str, Any]:
    """Returns the output of `train_once` in a new process, or in several that train together."""
    settings = dict(settings)
    num_processes, isa = settings.pop("processes", 1), settings.pop("isa", None)
    environment = {**os.environ, "OMP_NUM_THREADS": str(settings.get("threads", 1))}
    if isa:
        environment |= {"ONEDNN_MAX_CPU_ISA": isa, "ATEN_CPU_CAPABILITY": isa.lower()}
    launch = [sys.executable]
    if num_processes > 1:
        launch += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={num_processes}"]
    with tempfile.TemporaryDirectory() as folder:
        command = [*launch, __file__, json.dumps(settings), folder]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def compare(first: dict[str, Any], second: dict[str, Any]) -> str:
    """Returns the cells of a row: what is bitwise equal, and the differences of the first and the last loss."""
    equal = ["yes" if first[part] == second[part] else "no" for part in ("losses", "weights", "statistics")]
    apart = [abs(a - b) / abs(a) for a, b in zip(first["losses"], second["losses"], strict=True)]
    return " | ".join((*equal, f"{apart[0]:.0e}", f"{apart[-1]:.0e}"))


def main() -> None:
    """Prints the table."""
    import torch

    print(f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, 12 steps of yolov8n at 96 px\n")
    names = ("what changed", "losses", "weights", "statistics", "first loss apart", "last loss apart")
    print(f"| {' | '.join(names)} |\n|{'---|' * len(names)}")
    known: dict[str, dict[str, Any]] = {}
    for name, first, second in ROWS:
        key = json.dumps(first, sort_keys=True)
        if key not in known:
            known[key] = in_a_process(first)
        print(f"| {name} | {compare(known[key], in_a_process(second))} |", flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        train_once(json.loads(sys.argv[1]), Path(sys.argv[2]))
    else:
        main()
