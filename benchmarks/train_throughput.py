"""Compares the training speed of `trainers.train` and Ultralytics' trainer on yolov8n, in images per second.

Both train the same model from scratch in float32 on the same image files, with the same input and batch size, number of
threads and loading workers, pinned to the same cores, in alternation. Each round is a new process: its first steps are
skipped, then windows of steps are timed, and the medians of all windows are compared. The windows contain no evaluation
and no checkpoint. If this machine supports bfloat16, ours is timed in it as well.

The same in both: AdamW, one step per batch, an average of the weights at each step, mirroring, scaling by +-30 %,
shifting by +-10 %, no mosaic by default, decoded images in memory (with --no-cache both read files). Different: ours
varies contrast and brightness by 20 %, the peer the V of HSV by 20 %; ours loads in threads, the peer in processes;
ours caches images at their own size, the peer at the input size; each has its own loss.

The peer runs as a separate program in its own virtual environment; `benchmarks/peer.py` says how that is made.

Usage: python benchmarks/train_throughput.py --peer-python peer/bin/python --data PATH [--imgsz 640] [--batch 4]
       python benchmarks/train_throughput.py --profile [--data PATH]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks import peer  # noqa: E402

Job = dict[str, Any]
LIKE_OURS = {"fliplr": 0.5, "scale": 0.3, "translate": 0.1, "hsv_v": 0.2}
"""The peer's options for the defaults of `trainers.Augmentation`."""
OFF = ("hsv_h", "hsv_s", "degrees", "shear", "perspective", "flipud", "bgr", "mixup", "cutmix", "copy_paste")


def write_images(options: argparse.Namespace, folder: Path) -> tuple[list[str], float]:
    """Writes a YOLO data set with one image per batch slot of every step; returns its classes and objects per image.

    The peer is stopped before it uses the validation images.
    """
    from trainers.data import open_data

    dataset = open_data(options.data, split=options.split).train
    count = options.batch * num_steps(options)
    objects = peer.write_yolo(dataset, [number % len(dataset) for number in range(count)], folder)
    return list(dataset.classes), objects / count


def num_steps(options: argparse.Namespace) -> int:
    return int(options.warmup + options.windows * options.window)


def train_ours(job: Job, on_step: Callable[[], None]) -> dict[str, object]:
    """Trains with this project."""
    import torch

    from search_space import DESIGNS
    from trainers import Augmentation, TrainConfig, fresh_detector, train
    from trainers.data import open_data
    from trainers.optimizer import device_for, precision_for

    torch.set_num_threads(job["threads"])
    dataset = open_data(Path(job["folder"]) / "data.yaml").train
    if job["cache"]:
        for index in range(len(dataset)):
            dataset.image(index)
    size = (job["imgsz"], job["imgsz"])
    detector = fresh_detector(DESIGNS.get("yolov8n").architecture, num_classes=job["classes"], seed=0, input_hw=size)
    config = TrainConfig(
        epochs=job["steps"] * job["batch"] / len(dataset),
        batch_size=job["batch"],
        precision=job["precision"],
        num_readers=max(1, job["workers"]),
        augmentation=Augmentation(mosaic=job["mosaic"], mosaic_until=1.0),
    )
    params = sum(value.numel() for value in detector.parameters())
    train(detector, dataset, config=config, on_step=lambda progress: on_step())
    precision = precision_for(device_for("auto"), job["precision"])
    return {"params": params, "torch": torch.__version__, "precision": str(precision).removeprefix("torch.")}


class Enough(Exception):
    """Ends the peer's training before it evaluates."""


def train_peer(job: Job, on_step: Callable[[], None]) -> dict[str, object]:
    """Trains with Ultralytics in its own virtual environment, without importing this project."""
    home = Path(job["folder"]) / "peer"
    home.mkdir(exist_ok=True)
    ultralytics = peer.import_peer(home)
    import torch
    from ultralytics.models.yolo.detect import DetectionTrainer

    same = {"model": "yolov8n.yaml", "data": str(Path(job["folder"]) / "data.yaml"), "imgsz": job["imgsz"],
            "batch": job["batch"], "nbs": job["batch"], "workers": job["workers"], "device": "cpu", "epochs": 1,
            "optimizer": "AdamW", "lr0": 1e-3, "cache": "ram" if job["cache"] else False,
            "project": str(home)}  # fmt: skip
    without = dict.fromkeys(("pretrained", "amp", "plots", "save", "val", "deterministic", "verbose"), False)
    augment = dict.fromkeys(OFF, 0.0) | LIKE_OURS | {"mosaic": job["mosaic"], "close_mosaic": 0}
    trainer = DetectionTrainer(overrides=same | without | augment)
    done = 0

    def finished(_: object) -> None:
        nonlocal done
        on_step()
        done += 1
        if done == job["steps"]:
            raise Enough

    trainer.add_callback("on_train_start", lambda _: torch.set_num_threads(job["threads"]))
    trainer.add_callback("on_train_batch_end", finished)
    try:
        trainer.train()
    except Enough:
        pass
    params = sum(value.numel() for value in trainer.model.parameters())
    return {"params": params, "torch": torch.__version__, "version": ultralytics.__version__, "precision": "float32"}


class Stopwatch:
    """Sums the time that a training spends in its parts, by wrapping the functions that the loop calls."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += time.perf_counter() - started

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with self.part(name):
                return function(*args, **kwargs)

        return wrapped

    def timed_items(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Times the waiting for each item of a generator."""

        def wrapped(*args: Any, **kwargs: Any) -> Iterator[Any]:
            items = function(*args, **kwargs)
            try:
                while True:
                    with self.part(name):
                        item = next(items, self)
                    if item is self:
                        return
                    yield item
            finally:
                items.close()

        return wrapped

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Wraps the parts of `trainers.train` for an anchor-free head."""
        import torch

        from search_space import Detector
        from trainers.averaging import WeightAverage
        from trainers.data import batches
        from trainers.heads.anchor_free import AnchorFreeTraining

        with ExitStack() as stack:
            for owner, attribute, name in (
                (batches, "collate", "joining (in threads)"),
                (batches, "augment", "reading and augmenting (in threads)"),
                (Detector, "forward", "forward"),
                (AnchorFreeTraining, "loss", "forward and loss"),
                (torch.autograd, "backward", "backward"),
                (torch.nn.utils, "get_total_norm", "norm of the gradient"),
                (torch.optim.AdamW, "step", "optimizer"),
                (WeightAverage, "update", "average of weights"),
            ):
                stack.enter_context(mock.patch.object(owner, attribute, self.timed(name, getattr(owner, attribute))))
            read = self.timed_items("data (waiting)", batches.BatchStream.read)
            stack.enter_context(mock.patch.object(batches.BatchStream, "read", read))
            yield


def profile(job: Job) -> None:
    """Prints the time shares of our training, without warm-up."""
    watch, marks = Stopwatch(), []

    def on_step() -> None:
        marks.append((time.perf_counter(), dict(watch.seconds)))

    with watch.watching():
        facts = train_ours(job, on_step)
    (started, before), (ended, after) = marks[job["warmup"] - 1], marks[-1]
    total = ended - started
    spent = {name: after[name] - before.get(name, 0.0) for name in after}
    threads = {name: spent.pop(name) for name in list(spent) if name.endswith("(in threads)")}
    spent["loss"] = spent.pop("forward and loss") - spent["forward"]
    spent["rest"] = total - sum(spent.values())
    images = (job["steps"] - job["warmup"]) * job["batch"]
    print(f"\n| part ({facts['precision']}) | share | ms an image |\n|---|---|---|")
    for name, seconds in sorted(spent.items(), key=lambda item: -item[1]):
        print(f"| {name} | {seconds / total:.1%} | {1000 * seconds / images:.2f} |")
    print(f"| all | 100 % | {1000 * total / images:.2f} |")
    print("\nbeside that, wall time in the reader's threads: "
          + ", ".join(f"{name.split(' (')[0]} {1000 * seconds / images:.2f} ms an image"
                      for name, seconds in threads.items()))  # fmt: skip


def run_child(who: str, job: Job) -> None:
    """Trains in this process, pinned to cores, and writes the times of its steps to a file."""
    if job["cores"] and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: job["cores"]])
    if who == "profile":
        profile(job)
        return
    marks: list[float] = []
    facts = (train_ours if who == "ours" else train_peer)(job, lambda: marks.append(time.perf_counter()))
    starts = marks[job["warmup"] - 1 :: job["window"]]
    rates = [job["window"] * job["batch"] / (end - start) for start, end in zip(starts, starts[1:], strict=False)]
    Path(job["result"]).write_text(json.dumps({"rates": rates, **facts}))


def turn(python: str, who: str, job: Job) -> dict[str, Any]:
    """Runs one training in a new process and returns its result."""
    path = Path(job["folder"]) / "job.json"
    path.write_text(json.dumps(job))
    threads = job["threads"]
    environment = peer.environment(threads) if who == "peer" else os.environ | {"OMP_NUM_THREADS": str(threads)}
    command = [python, str(Path(__file__).resolve()), "--child", who, str(path)]
    output = None if who == "profile" else subprocess.PIPE
    run = subprocess.run(command, env=environment, cwd=job["folder"], stdout=output, stderr=output, text=True)
    if run.returncode:
        raise SystemExit(f"{who} failed with {run.returncode}:\n{(run.stderr or '')[-2000:]}")
    return {} if who == "profile" else dict(json.loads(Path(job["result"]).read_text()))


def compare(options: argparse.Namespace, job: Job) -> None:
    """Runs the rounds and prints rates and ratio."""
    sides = [("ours", "ours", sys.executable, "float32"), ("peer", "peer", options.peer_python, "float32")]
    if options.precision == "auto":
        sides.append(("ours, as it comes", "ours", sys.executable, "auto"))
    rates: dict[str, list[float]] = defaultdict(list)
    facts: dict[str, dict[str, Any]] = {}
    for _ in range(options.rounds):
        for name, who, python, precision in sides:
            found = turn(python, who, job | {"precision": precision})
            rates[name] += found.pop("rates")
            facts[name] = found
    print("| trainer | precision | images/s, median of windows | lowest … highest | windows |\n|---|---|---|---|---|")
    labels = {"ours": "trainers.train", "peer": f"Ultralytics {facts['peer']['version']}"}
    for name, values in rates.items():
        if name == "ours, as it comes" and facts[name]["precision"] == "float32":
            continue
        print(
            f"| {labels.get(name, 'trainers.train, as it comes')} | {facts[name]['precision']} "
            f"| {statistics.median(values):.3g} | {min(values):.3g} … {max(values):.3g} | {len(values)} |"
        )
    ours, theirs = (statistics.median(rates[name]) for name in ("ours", "peer"))
    print(f"\nratio ours / peer, float32: {ours / theirs:.2f}")
    if facts.get("ours, as it comes", {}).get("precision", "float32") != "float32":
        print(f"ratio ours as it comes / peer: {statistics.median(rates['ours, as it comes']) / theirs:.2f}")
    print(f"parameters: ours {facts['ours']['params']}, peer {facts['peer']['params']} (16 of its are constants); "
          f"torch: ours {facts['ours']['torch']}, peer {facts['peer']['torch']}")  # fmt: skip


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        run_child(sys.argv[2], json.loads(Path(sys.argv[3]).read_text()))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", default=sys.executable, help="the python that has ultralytics")
    parser.add_argument("--data", help="any data set that `nas train` takes; default: the built-in one")
    parser.add_argument("--split")
    parser.add_argument("--imgsz", type=int, default=640)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--workers", type=int, default=1, help="threads of ours, processes of the peer")
    parser.add_argument("--threads", type=int, default=1, help="threads of PyTorch")
    parser.add_argument("--cores", type=int, default=0, help="cores that each is pinned to; default: all")
    parser.add_argument("--mosaic", type=float, default=0.0, help="chance of a mosaic, for both")
    parser.add_argument("--no-cache", action="store_true", help="both decode every image from its file")
    parser.add_argument("--warmup", type=int, default=8, help="steps that are not counted")
    parser.add_argument("--window", type=int, default=5, help="steps in a window")
    parser.add_argument("--windows", type=int, default=6, help="windows per round")
    parser.add_argument("--rounds", type=int, default=2, help="rounds of each trainer")
    parser.add_argument("--precision", choices=("auto", "float32"), default="auto", help="float32: no bfloat16")
    parser.add_argument("--profile", action="store_true", help="only print the time shares of our training")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        classes, objects = write_images(options, Path(folder))
        job = {name: getattr(options, name) for name in ("imgsz", "batch", "workers", "threads", "cores", "mosaic",
               "warmup", "window")}  # fmt: skip
        job |= {"steps": num_steps(options), "classes": len(classes), "cache": not options.no_cache, "folder": folder,
                "result": str(Path(folder) / "result.json")}  # fmt: skip
        print(f"yolov8n, {len(classes)} classes, {options.imgsz}x{options.imgsz}, batch {options.batch}, "
              f"{objects:.1f} objects an image, {options.threads} threads, {options.workers} workers, "
              f"{options.cores or 'all'} cores\n", flush=True)  # fmt: skip
        if options.profile:
            for precision in ("float32", "auto")[: 2 if options.precision == "auto" else 1]:
                turn(sys.executable, "profile", job | {"precision": precision})
        else:
            compare(options, job)


if __name__ == "__main__":
    main()
