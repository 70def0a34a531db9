"""Compares exported ONNX files with PyTorch: AP on real images where there are trained weights, outputs elsewhere.

One design of each head, and one whose head needs no suppression, are trained for a short time, or their weights are
given; their AP is measured in PyTorch and of the ONNX files in fp32 and fp16, on the same validation images. The AP may
differ by 0.1 (fp32) and 0.2 (fp16) points. The other designs and random points have initial weights, with which AP
says nothing: the largest difference of a raw output on two of the images is compared, relative to the output's scale.

A line of JSON for each result is added to the file of `--results`; what it holds already is not measured again, so
that the same command continues an interrupted one. The table is printed at the end.

Usage: python benchmarks/artefact_agreement.py --data DATA [--split NAME] [--images 200] [--points 20]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import nas
from nas.exporters.entry_files import MAX_DIFFERENCE
from nas.exporters.onnx_model import OnnxOptions, difference, write_onnx
from search_space import DESIGNS, Architecture
from trainers.data import Dataset, open_data
from trainers.data.geometry import ImageFit

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.onnx_agreement import architectures, lively  # noqa: E402

TRAINED = {
    "yolov8n-p2-nop5": "anchor-free",
    "yolo26n-p2": "anchor-free, without suppression",
    "ssd-mobilenetv1-s1l0": "SSD",
    "tinydet-s": "two-stage",
}
AP_BAR = {"fp32": 0.1, "fp16": 0.2}
"""Points of AP."""
NUM_RAW = 2
"""Images that raw outputs are compared on."""


def main() -> None:
    """Measures what the file of results lacks, prints the table, and exits with 1 if a bar is not met."""
    options = _options()
    options.results.parent.mkdir(parents=True, exist_ok=True)
    done = _read(options.results)
    for key, measure in _tasks(options):
        if key in done:
            continue
        began = time.perf_counter()
        done[key] = {"key": key, **measure(), "seconds": round(time.perf_counter() - began, 1)}
        with options.results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(done[key]) + "\n")
        print(f"{key}: {done[key]}", file=sys.stderr, flush=True)
    sys.exit(_print(list(done.values())))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="a data set with real images")
    parser.add_argument("--split")
    parser.add_argument("--images", type=int, default=200, help="validation images, evenly spaced")
    parser.add_argument("--points", type=int, default=20, help="random points")
    parser.add_argument("--max-gmacs", type=float, default=60.0, help="of random points")
    parser.add_argument("--designs", nargs="*", help="only these designs; default: all")
    parser.add_argument(
        "--weights",
        metavar="DESIGN=FOLDER",
        action="append",
        default=[],
        help="a training that is used",
    )
    parser.add_argument("--epochs", type=float, default=3.0, help="of the short trainings")
    parser.add_argument("--side", type=int, default=320, help="input of the short trainings in pixels")
    parser.add_argument("--trainings", type=Path, default=Path("runs/artefact_agreement"), help="their folders")
    parser.add_argument("--results", type=Path, default=Path("runs/artefact_agreement/results.jsonl"))
    return parser.parse_args()


def _read(path: Path) -> dict[str, dict[str, Any]]:
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return {each["key"]: each for each in map(json.loads, lines)}


def _tasks(options: argparse.Namespace) -> Iterator[tuple[str, Any]]:
    """Yields the name of each result and what measures it."""
    designs = options.designs if options.designs is not None else list(DESIGNS)
    for design in (name for name in TRAINED if name in designs):
        for precision in AP_BAR:
            yield f"AP {design} {precision}", lambda d=design, p=precision: _accuracy(d, p, options)
    images = open_data(options.data, split=options.split).val.limited(options.images)
    for name, architecture in architectures(options.points, options.max_gmacs, ()):
        if name in DESIGNS and name not in designs:
            continue
        for precision in AP_BAR:
            yield f"raw {name} {precision}", lambda a=architecture, p=precision: _raw(a, p, images)


def _accuracy(design: str, precision: str, options: argparse.Namespace) -> dict[str, Any]:
    weights = _trained(design, options)
    with tempfile.TemporaryDirectory() as folder:
        (member,) = nas.export(
            weights,
            out=Path(folder) / "out",
            precision=precision,
            data=options.data,
            split=options.split,
            val_images=options.images,
        ).front
    measured = member.accuracy
    assert measured is not None
    ap = {name: 100 * (measured[name]["ap"] or 0.0) for name in ("pytorch", "onnx")}
    apart = {name: abs((measured["onnx"][name] or 0) - (measured["pytorch"][name] or 0)) for name in ("ap", "ap_small")}
    return {
        "name": design,
        "head": TRAINED[design],
        "precision": precision,
        "images": measured["num_images"],
        "ap_pytorch": ap["pytorch"],
        "ap_onnx": ap["onnx"],
        "apart": 100 * apart["ap"],
        "apart_small": 100 * apart["ap_small"],
        "bar": AP_BAR[precision],
    }


def _trained(design: str, options: argparse.Namespace) -> Path:
    """Returns the folder of a training, which is made or resumed if it is not complete."""
    given = dict(each.split("=", 1) for each in options.weights)
    if design in given:
        return Path(given[design])
    folder: Path = options.trainings / design
    if (folder / "results.json").is_file():
        return folder
    if (folder / "config.yaml").is_file():
        nas.train(resume=folder)
        return folder
    side = (options.side, options.side)
    nas.train(design, data=options.data, split=options.split, input_hw=side, epochs=options.epochs, out=folder)
    return folder


def _raw(architecture: Architecture, precision: str, dataset: Dataset) -> dict[str, Any]:
    detector, hw, how = lively(architecture), architecture.input_hw, architecture.input_format.fit
    pictures = [dataset.image(index) for index in range(NUM_RAW)]
    fits = [ImageFit.of((each.shape[0], each.shape[1]), hw, how).apply(each) for each in pictures]
    images = np.stack([each.transpose(2, 0, 1) for each in fits]).astype(np.float32) / np.float32(255)
    options = OnnxOptions(precision=precision)
    return {
        "name": architecture.key(),
        "head": architecture.head.kind,
        "precision": precision,
        "images": NUM_RAW,
        "apart": difference(detector, write_onnx(detector, options), options, images),
        "bar": MAX_DIFFERENCE[precision],
    }


def _print(results: list[dict[str, Any]]) -> int:
    """Prints the table and the worst results; returns 1 where a bar is not met."""
    missed = [each for each in results if not each["apart"] <= each["bar"]]
    for each in results:
        scores = f"AP {each['ap_pytorch']:.2f} ONNX {each['ap_onnx']:.2f} " if "ap_onnx" in each else ""
        print(f"{each['key']:<42} {each['head']:<32} {each['images']:>4} images {scores}apart {each['apart']:.2g}")
    for precision in AP_BAR:
        for kind, unit in (("AP", "points of AP"), ("raw", "of an output's scale")):
            found = [each for each in results if each["key"].startswith(kind) and each["precision"] == precision]
            if found:
                worst = max(each["apart"] for each in found)
                print(f"{precision}, {len(found)} {kind}: at most {worst:.2g} {unit}, bar {found[0]['bar']:g}")
    print("all within the bars" if not missed else f"NOT within the bar: {', '.join(each['key'] for each in missed)}")
    return 1 if missed else 0


if __name__ == "__main__":
    main()
