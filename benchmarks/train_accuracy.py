"""Compares the accuracy that yolov8n reaches from scratch with `trainers.train` and with Ultralytics' trainer.

Rows: `ours`, the defaults of `nas train`; `peer`, the defaults of Ultralytics, which adds up the gradients of several
batches to a nominal batch of 64 images; `peer-nbs`, the same with a nominal batch of one batch, so that each batch
changes the weights. In all rows: the same images, input, batch size and number of epochs, float32, one thread, no
validation during the training, and the averaged weights of the last step, not those of a best epoch. The number of
changes of the weights is in the table, as it differs by up to 16 times.

Not equal: initial weights and order of the images (each trainer has its own generator), optimizer, schedule, loss and
augmentation, which are what is compared. Ultralytics switches mosaics off in the last 10 epochs, so a training of up
to 10 epochs has none. It chooses the optimizer by the number of steps. It stores its weights in half precision.

The weights of both are evaluated by this project, those of the peer after `nas.import_weights`: all validation images,
NMS at IoU 0.6, 100 detections per image. A short training says little about a long one: read the rows of the longest
training, and how the differences change with the epochs. CPU seconds are user and system time of the training alone.

The peer runs as a separate program in its own virtual environment; `benchmarks/peer.py` says how that is made. Cells
that have a file are not repeated, so the script may be stopped at any time.

Usage: python benchmarks/train_accuracy.py --peer-python peer/bin/python --data PATH --split block --epochs 2 6 \
           --seeds 0 1 2 --out runs/train_accuracy
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks import cells, peer  # noqa: E402

DESIGN = "yolov8n"
ROWS = {
    "ours": "trainers.train",
    "peer": "Ultralytics {}, defaults",
    "peer-nbs": "Ultralytics {}, nominal batch = batch",
}
COLUMNS = ("trainer", "epochs", "seeds", "changes of the weights", "AP50 %", "AP %", "AP_small %", "CPU s")
SAME = ("split", "images", "val_images", "imgsz", "batch")
"""Options in which all cells of a folder agree, beside the data."""


def train_ours(train_set: Any, seed: int, epochs: int, options: argparse.Namespace) -> dict[str, Any]:
    """Trains with this project; returns the detector and facts."""
    from search_space import DESIGNS
    from trainers import TrainConfig, fresh_detector, train

    size = (options.imgsz, options.imgsz)
    config = TrainConfig(epochs=epochs, batch_size=options.batch, seed=seed, precision="float32")
    before = cells.cpu_seconds()
    detector = fresh_detector(
        DESIGNS.get(DESIGN).architecture.resized(size), num_classes=len(train_set.classes), seed=seed
    )
    result = train(detector, train_set, config=config)
    seconds = cells.cpu_seconds() - before
    detector.load_state_dict(result.state_dict)
    updates = result.images_seen // options.batch - result.bad_steps
    return {"detector": detector, "cpu_seconds": seconds, "updates": updates, "version": ""}


def train_theirs(row: str, train_set: Any, seed: int, epochs: int, options: argparse.Namespace) -> dict[str, Any]:
    """Trains with the peer in a process of its own, and imports its weights; returns the detector and facts."""
    from nas.api.import_weights import import_weights
    from nas.api.trained_detector import load_detector

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        peer.write_yolo(train_set, range(len(train_set)), folder / "data")
        job = {"folder": name, "seed": seed, "epochs": epochs, "imgsz": options.imgsz, "batch": options.batch}
        job |= {"nbs": options.batch} if row == "peer-nbs" else {}
        (folder / "job.json").write_text(json.dumps(job))
        command = [str(Path(options.peer_python).absolute()), str(Path(__file__).resolve()), "--peer", name]
        run = subprocess.run(command, env=peer.environment(1), cwd=name, capture_output=True, text=True)
        if run.returncode:
            raise SystemExit(f"the peer failed with {run.returncode}:\n{(run.stdout + run.stderr)[-3000:]}")
        facts = json.loads((folder / "result.json").read_text())
        imported = import_weights(facts.pop("weights"), architecture=DESIGN, out=folder / "imported.safetensors")
        loaded = load_detector(imported)
        if imported.missing or imported.unused or loaded.classes != tuple(train_set.classes):
            raise SystemExit(f"the weights of the peer are not those of {DESIGN} on this data: {imported}")
        return {"detector": loaded.module(), **facts}


def run_peer(folder: Path) -> None:
    """Trains in a process of the peer and writes its facts."""
    job = json.loads((folder / "job.json").read_text())
    (folder / "peer").mkdir()
    package = peer.import_peer(folder / "peer")
    import torch
    from ultralytics.models.yolo.detect import DetectionTrainer

    class Trainer(DetectionTrainer):
        """The peer's trainer without evaluations, which counts the changes of the weights."""

        updates = 0

        def optimizer_step(self) -> None:
            self.updates += 1
            super().optimizer_step()

        def validate(self) -> tuple[dict[str, float], float]:
            return {}, 0.0

        def final_eval(self) -> None:
            pass

        def read_results_csv(self) -> dict[str, Any]:
            return {}

    overrides = {"model": f"{DESIGN}.yaml", "pretrained": False, "data": str(folder / "data" / "data.yaml")}
    overrides |= {"device": "cpu", "workers": 0, "val": False, "plots": False, "project": str(folder / "peer")}
    overrides |= {name: job[name] for name in ("seed", "epochs", "imgsz", "batch", "nbs") if name in job}
    before = cells.cpu_seconds()
    trainer = Trainer(overrides=overrides)
    trainer.add_callback("on_train_start", lambda _: torch.set_num_threads(1))
    trainer.train()
    facts = {"cpu_seconds": cells.cpu_seconds() - before, "updates": trainer.updates, "weights": str(trainer.last)}
    facts |= {"version": package.__version__, "optimizer": type(trainer.optimizer).__name__}
    (folder / "result.json").write_text(json.dumps(facts))


def run_cell(row: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Trains a row and scores it; returns the result of the cell."""
    import torch

    from trainers.data import open_data
    from trainers.evaluation import detect_dataset

    torch.set_num_threads(1)
    who, epochs = row.rsplit("-", 1)
    splits = open_data(options.data, split=options.split)
    train_set = splits.train.limited(options.images or len(splits.train))
    val_set = splits.val.limited(options.val_images or len(splits.val))
    if who == "ours":
        facts = train_ours(train_set, seed, int(epochs), options)
    else:
        facts = train_theirs(who, train_set, seed, int(epochs), options)
    found = detect_dataset(facts.pop("detector"), val_set, input_hw=(options.imgsz, options.imgsz))
    score = found.score(found.match())
    scores = {name: getattr(score, name) for name in cells.SCORES}
    counts = {"epochs": int(epochs), "images": len(train_set), "val_images": len(val_set)}
    return {"row": who, "seed": seed, **counts, **facts, **scores}


def line(who: str, found: Sequence[dict[str, Any]]) -> str:
    """Returns the line of the table for a row that has cells."""
    shown = (
        ROWS[who].format(found[0]["version"]),
        str(found[0]["epochs"]),
        str(len(found)),
        f"{cells.mean(found, 'updates'):.0f}",
        *(cells.percent(found, name) for name in cells.SCORES),
        f"{cells.mean(found, 'cpu_seconds'):.0f}",
    )
    return f"| {' | '.join(shown)} |"


def table(options: argparse.Namespace) -> str:
    """Returns a Markdown table of the cells that have ended."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    for row in options.rows:
        found = cells.read_cells(options.out, row, options.seeds)
        lines += [line(row.rsplit("-", 1)[0], found)] if found else []
    return "\n".join(lines)


def main() -> None:
    if sys.argv[1:2] == ["--peer"]:
        return run_peer(Path(sys.argv[2]))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cells.add_options(parser, ROWS)
    parser.add_argument("--peer-python", default=sys.executable, help="the python that has ultralytics")
    parser.add_argument("--epochs", type=int, nargs="+", default=[2, 6])
    parser.add_argument("--images", type=int, help="training images; default: all")
    parser.add_argument("--val-images", type=int, help="validation images; default: all")
    parser.add_argument("--imgsz", type=int, default=320)
    parser.add_argument("--batch", type=int, default=4)
    options = parser.parse_args()
    if cells.run_own_cell(options, run_cell):
        return None
    wanted = {"data": str(Path(options.data).resolve()), **{name: getattr(options, name) for name in SAME}}
    cells.check_same(options.out, wanted)
    options.rows = [f"{who}-{epochs}" for epochs in options.epochs for who in options.rows]
    cells.run_cells(__file__, options)
    return print(table(options))


if __name__ == "__main__":
    main()
