"""Short trainings from transferred weights and from scratch, on data that the weights have not seen.

The training images of a data set are split into two halves, in the order of their file names, so that frames of one
flight stay together. A donor is trained on the first half, another one on the built-in set. Each target is then trained
for a short time on the second half: from scratch, and from each donor. All are measured on the validation images. The
learning rate is that of `nas train` for all of them.

Each training is a process of one thread; its CPU seconds are those of the process. A training whose result is in the
output folder is not repeated.

Usage: python -m benchmarks.transfer --data PATH --split block --out runs/transfer [--jobs 2]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from nas.cost import Budget, cost_of
from nas.engine.domain import CostedDomain
from nas.transfer import transfer
from search_space import DESIGNS, Architecture, SearchSpace
from trainers.data import open_data
from trainers.weights import Weights, fresh_detector, load_weights, numbered_classes

INPUT_HW = (160, 192)
DONOR = "yolov8n-p2-nop5"
DONOR_EPOCHS = 6
BUILT_IN_EPOCHS = 12
BUDGET_GMACS, LEAST_GMACS = 0.4, 0.15
FINEST_LEVEL = 3
"""Of the random points, which have a neck: others cannot find objects of 10 pixels."""
LEAST_SHARE = 0.2
DESIGN_TARGETS = ("yolov8n-p2-nop5", "sodet-s")
NUM_RANDOM = 2


def write_halves(options: argparse.Namespace) -> tuple[Path, Path, Path]:
    """Writes the two halves of the training images as COCO data sets with the same validation part.

    Returns their folders, and that of the images.
    """
    splits = open_data(options.data, split=options.split)
    records = [*splits.train.records, *splits.val.records]
    root = Path(os.path.commonpath([str(record.path) for record in records]))
    folders = options.out / "first-half", options.out / "second-half"
    order = sorted(range(len(splits.train)), key=lambda index: str(splits.train.records[index].path))
    parts = order[: len(order) // 2], order[len(order) // 2 :]
    for folder, part in zip(folders, parts, strict=True):
        folder.mkdir(parents=True, exist_ok=True)
        for name, dataset, indices in (
            ("train", splits.train, part),
            ("val", splits.val, range(len(splits.val))),
        ):
            content = coco(dataset.classes, [dataset.records[index] for index in indices], root)
            (folder / f"instances_{name}.json").write_text(json.dumps(content))
    return *folders, root


def coco(classes: tuple[str, ...], records: list[Any], root: Path) -> dict[str, Any]:
    """Returns COCO annotations of records; an ignored region is a crowd of its class, or of each class."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, record in enumerate(records):
        size = {"height": record.height, "width": record.width}
        images.append({"id": number, "file_name": os.path.relpath(record.path, root), **size})
        rows = [(box, label, 0) for box, label in zip(record.boxes, record.labels, strict=True)]
        for box, label in zip(record.ignored, record.ignored_labels, strict=True):
            labels = [label] if label >= 0 else range(len(classes))
            rows += [(box, each, 1) for each in labels]
        for (x1, y1, x2, y2), label, crowd in rows:
            annotations.append(
                {"id": len(annotations) + 1, "image_id": number, "category_id": int(label) + 1, "iscrowd": crowd,
                 "bbox": [float(x1), float(y1), float(x2 - x1), float(y2 - y1)], "area": float((x2 - x1) * (y2 - y1))}
            )  # fmt: skip
    categories = [{"id": index + 1, "name": name} for index, name in enumerate(classes)]
    return {"images": images, "annotations": annotations, "categories": categories}


def targets(num_classes: int) -> dict[str, Architecture]:
    """Returns the named designs at the input of the benchmark, and random points of the space within the budget.

    Of a random point, the donor gives at least `LEAST_SHARE` of the parameters: others would tell little.
    """
    found = {name: DESIGNS.get(name).architecture.resized(INPUT_HW) for name in DESIGN_TARGETS}
    space = SearchSpace()
    domain = CostedDomain(space, Budget(gmacs=BUDGET_GMACS), num_classes=num_classes)
    generator = np.random.default_rng(0)
    while len(found) < len(DESIGN_TARGETS) + NUM_RANDOM:
        point = domain.consider(space.random(generator))
        if point is None or not point.feasible or point.cost.gmacs < LEAST_GMACS:
            continue
        head = point.architecture.head
        is_able = (
            head.kind == "anchor_free" and head.finest_level <= FINEST_LEVEL and point.architecture.neck is not None
        )
        if is_able and untrained_share(point.architecture, found[DONOR], num_classes) >= LEAST_SHARE:
            found[f"random point {len(found) - len(DESIGN_TARGETS) + 1}"] = point.architecture
    return found


def untrained_share(architecture: Architecture, donor: Architecture, num_classes: int) -> float:
    """Returns the share of parameters that any weights of `donor` give."""
    classes = numbered_classes(num_classes)
    state = fresh_detector(donor, num_classes=num_classes, seed=0).state_dict()
    weights = Weights(architecture=donor.to_dict(), classes=classes, state=state)
    return transfer(fresh_detector(architecture, num_classes=num_classes, seed=0), weights).parameters


def train(folder: Path, architecture: Path, options: list[str]) -> None:
    """Runs `nas train` in a process of one thread and notes its CPU seconds, unless its result is there."""
    if (folder / "cpu.json").exists():
        return
    command = [sys.executable, "-m", "nas.cli", "train"]
    command += ["--resume", str(folder)] if (folder / "last.pt").exists() else [str(architecture), *options]
    command += [] if "--resume" in command else ["--threads", "1", "--out", str(folder)]
    log = folder.with_suffix(".log").open("w")
    process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"})
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"a training failed; see {log.name}")
    (folder / "cpu.json").write_text(json.dumps({"cpu_seconds": usage.ru_utime + usage.ru_stime}))


def result(folder: Path) -> dict[str, float]:
    """Returns AP50 and AP in percent, and the CPU seconds, of a finished training."""
    score = json.loads((folder / "results.json").read_text())["score"]
    cpu = json.loads((folder / "cpu.json").read_text())["cpu_seconds"]
    return {"ap50": 100 * score["ap50"], "ap": 100 * score["ap"], "cpu": cpu}


def cell(results: list[dict[str, float]]) -> str:
    """Returns the mean AP50 and AP of several seeds, AP50 of each, and the mean CPU seconds of a training."""
    each = " ".join(f"{one['ap50']:.1f}" for one in results)
    ap50, ap, cpu = (statistics.mean(one[name] for one in results) for name in ("ap50", "ap", "cpu"))
    return f"{ap50:.1f} / {ap:.1f} ({each}), {cpu:.0f} s"


def shares(architecture: Architecture, donor: Path, num_classes: int) -> str:
    """Returns the shares of parameters and multiply-adds that a donor gives, in percent."""
    report = transfer(fresh_detector(architecture, num_classes=num_classes, seed=0), load_weights(donor))
    return f"{100 * report.parameters:.0f} / {100 * report.macs:.0f} %"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--split")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=float, default=1.5)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--jobs", type=int, default=2, help="parallel trainings")
    options = parser.parse_args()
    first, second, root = write_halves(options)
    num_classes = len(open_data(str(second), images=root).train.classes)
    architectures = targets(num_classes)
    files = {name: options.out / f"{name.replace(' ', '-')}.yaml" for name in architectures}
    for name, path in files.items():
        architectures[name].to_yaml(path)
    donors = {"other half": options.out / "donor-half", "built-in set": options.out / "donor-built-in"}
    donor_options = {
        "other half": ["--data", str(first), "--images", str(root), "--epochs", str(DONOR_EPOCHS)],
        "built-in set": ["--epochs", str(BUILT_IN_EPOCHS)],
    }
    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(lambda name: train(donors[name], files[DONOR], donor_options[name]), donors))
        jobs = []
        for seed in options.seeds:
            for path in files.values():
                common = ["--data", str(second), "--images", str(root), "--epochs", str(options.epochs)]
                common += ["--seed", str(seed)]
                jobs.append((options.out / f"{path.stem}-scratch-{seed}", path, common))
                for folder in donors.values():
                    start = ["--pretrained", str(folder)]
                    jobs.append((options.out / f"{path.stem}-{folder.name}-{seed}", path, common + start))
        list(pool.map(lambda job: train(*job), jobs))
    print_table(options, architectures, files, donors, num_classes)


def print_table(
    options: argparse.Namespace,
    architectures: dict[str, Architecture],
    files: dict[str, Path],
    donors: dict[str, Path],
    num_classes: int,
) -> None:
    """Prints a Markdown table, a row for each target, and the scores of the donors."""
    for donor, folder in donors.items():
        score = result(folder)
        print(f"donor {DONOR} trained on the {donor}: AP50 {score['ap50']:.1f}, {score['cpu']:.0f} CPU s")
    print(
        "\n| target | GMACs | along from " + " | along from ".join(donors) + " | scratch | " + " | ".join(donors) + " |"
    )
    print("|---" * (3 + 2 * len(donors)) + "|")
    for name, architecture in architectures.items():
        gmacs = cost_of(architecture, num_classes=num_classes).gmacs
        along = [shares(architecture, folder / "weights.pt", num_classes) for folder in donors.values()]
        starts = ("scratch", *(folder.name for folder in donors.values()))
        cells = [
            cell([result(options.out / f"{files[name].stem}-{start}-{seed}") for seed in options.seeds])
            for start in starts
        ]
        print(f"| {name} | {gmacs:.3f} | {' | '.join(along)} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
