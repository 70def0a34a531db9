"""`nas predict`: draw what trained weights find into pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nas.commands.options import echo_json, json_option

if TYPE_CHECKING:
    import numpy as np

    from trainers import Detections

COLORS = ((230, 60, 60), (60, 160, 240), (70, 200, 90), (250, 190, 40), (190, 90, 220), (60, 210, 210))


@click.command("predict")
@click.argument("weights", type=click.Path(path_type=Path))
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="IMAGE...")
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs/predict"), show_default=True)
@click.option("--score", "score_threshold", type=click.FloatRange(0, 1), default=0.25, show_default=True)
@click.option("--iou", "iou_threshold", type=click.FloatRange(0, 1), default=0.6, show_default=True)
@click.option("--threads", type=click.IntRange(min=1), default=None, help="CPU threads; default: all.")
@json_option
def command(
    weights: Path, images: tuple[Path, ...], out: Path, threads: int | None, as_json: bool, **limits: float
) -> None:
    """Find objects in IMAGEs with trained WEIGHTS and write the pictures with boxes, classes and scores."""
    from nas.commands.training import set_threads
    from trainers import load_weights, predict
    from trainers.data import read_rgb

    set_threads(threads)
    loaded = load_weights(weights)
    for path in images:  # all are read once before anything is written, so that a typing error costs nothing
        read_rgb(path)
    targets = _targets(images, out)
    detector = loaded.detector()
    out.mkdir(parents=True, exist_ok=True)
    listed = []
    for path, target in zip(images, targets, strict=True):
        pixels = read_rgb(path)
        found = predict(detector, pixels, **limits)  # type: ignore[arg-type]
        _write_png(target, _draw(pixels, found, loaded.classes))
        listed.append({"image": str(path), "picture": str(target), "detections": _listed(found, loaded.classes)})
        if not as_json:
            click.echo(f"{path}: {_counts(found, loaded.classes)} -> {target}")
    if as_json:
        echo_json(listed)


def _targets(images: tuple[Path, ...], out: Path) -> list[Path]:
    """Returns one PNG path an image; equal file names from different folders get a number."""
    targets: list[Path] = []
    for path in images:
        target, number = out / f"{path.stem}.png", 1
        while target in targets:
            number += 1
            target = out / f"{path.stem}-{number}.png"
        targets.append(target)
    return targets


def _listed(found: Detections, classes: tuple[str, ...]) -> list[dict[str, Any]]:
    return [
        {"class": classes[label], "score": round(float(score), 4), "box": [round(float(side), 2) for side in box]}
        for box, score, label in zip(found.boxes, found.scores, found.labels, strict=True)
    ]


def _counts(found: Detections, classes: tuple[str, ...]) -> str:
    labels = found.labels.tolist()
    return ", ".join(f"{labels.count(index)} {classes[index]}" for index in sorted(set(labels))) or "nothing found"


def _draw(image: np.ndarray, found: Detections, classes: tuple[str, ...]) -> np.ndarray:
    import cv2

    canvas: np.ndarray = image.copy()
    for box, score, label in zip(found.boxes, found.scores, found.labels, strict=True):
        x1, y1, x2, y2 = (round(float(side)) for side in box)
        color = COLORS[int(label) % len(COLORS)]
        cv2.rectangle(canvas, (x1, y1), (x2, y2), color, 1)
        text = f"{classes[label]} {score:.2f}"
        cv2.putText(canvas, text, (x1, max(y1 - 3, 8)), cv2.FONT_HERSHEY_SIMPLEX, 0.35, color, 1, cv2.LINE_AA)
    return canvas


def _write_png(path: Path, image: np.ndarray) -> None:
    import os

    import cv2

    _, encoded = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(encoded.tobytes())
    os.replace(temporary, path)
