"""Seconds and peak memory of opening a large data set in the COCO format, beside pycocotools on the same file.

The set is generated: images of one file each and boxes inside them. Each reader runs in a process of its own, three
times in turns; the fastest run counts. Seconds are CPU time, and memory is the peak of the whole process, imports
included. pycocotools only indexes the file; `open_data` also finds every image file and checks every box.

Usage: python benchmarks/open_data.py [--images 20000] [--boxes 500000]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np

NUM_CLASSES, SIZE_HW, REPEATS = 10, (540, 960), 3
READERS = {
    "open_data": "from trainers.data import open_data as read",
    "pycocotools": "from pycocotools.coco import COCO as read",
}
MEASURED = """
import resource, sys, time
{reader}
before = time.process_time()
found = read({path!r})
print(time.process_time() - before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def generate(folder: Path, num_images: int, num_boxes: int) -> Path:
    """Writes the images and the annotation file of a set; returns the file."""
    rng = np.random.default_rng(0)
    picture = cv2.imencode(".png", np.zeros(SIZE_HW, np.uint8))[1].tobytes()
    names = [f"{number:06d}.png" for number in range(num_images)]
    (folder / "images").mkdir()
    for name in names:
        (folder / "images" / name).write_bytes(picture)
    height, width = SIZE_HW
    corners = (rng.random((num_boxes, 2)) * (width - 40, height - 40)).round(2).tolist()
    sides = rng.uniform(4, 40, (num_boxes, 2)).round(2).tolist()
    labels = rng.integers(1, NUM_CLASSES + 1, num_boxes).tolist()
    images = [
        {"id": number, "file_name": name, "width": width, "height": height} for number, name in enumerate(names, 1)
    ]
    annotations = [
        {
            "id": number + 1,
            "image_id": number * num_images // num_boxes + 1,
            "category_id": label,
            "bbox": [*corner, *side],
            "area": round(side[0] * side[1], 2),
            "iscrowd": 0,
            "segmentation": [],
        }
        for number, (corner, side, label) in enumerate(zip(corners, sides, labels, strict=True))
    ]
    categories = [{"id": number, "name": f"class {number}"} for number in range(1, NUM_CLASSES + 1)]
    path = folder / "all.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path


def measured(reader: str, path: Path) -> tuple[float, float]:
    """Returns CPU seconds and peak MiB of a process that opens the file once."""
    program = MEASURED.format(reader=READERS[reader], path=str(path))
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    seconds, mebibytes = map(float, done.stdout.splitlines()[-1].split())
    return seconds, mebibytes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--boxes", type=int, default=500_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        with ProcessPoolExecutor(1) as apart:  # the peak of a process counts for those that it starts
            path = apart.submit(generate, Path(folder), options.images, options.boxes).result()
        print(f"{options.images} images, {options.boxes} boxes, {path.stat().st_size / 2**20:.0f} MiB of JSON")
        runs = [{name: measured(name, path) for name in READERS} for _ in range(REPEATS)]
    best = {name: min(run[name] for run in runs) for name in READERS}
    for name, (seconds, mebibytes) in best.items():
        print(f"{name:12} {seconds:6.2f} CPU s {mebibytes:6.0f} MiB at the peak")
    ours, theirs = best["open_data"], best["pycocotools"]
    print(f"open_data / pycocotools: {ours[0] / theirs[0]:.2f} of the time, {ours[1] / theirs[1]:.2f} of the memory")


if __name__ == "__main__":
    main()
