"""An untrained detector that finds something, and how the tests of val and predict call the commands."""

from __future__ import annotations

from pathlib import Path

from nas.cli import main
from search_space import DESIGNS
from trainers import fresh_detector, save_weights
from trainers.data import open_data

DATA = Path(__file__).parent.parent / "data" / "hit_uav"
IMAGES = sorted((DATA / "images" / "val").glob("*.jpg"))
FAST = ("--threads", 1)


def run(*arguments: object) -> int:
    """Returns the exit code of `nas` with these arguments."""
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def make_weights(folder: Path) -> Path:
    """Writes weights of an untrained detector that is made to find many boxes with scores that are not all tiny."""
    path = folder / "weights.pt"
    arch = DESIGNS.get("yolov8n-p2-nop5").architecture.resized((64, 64))
    classes = open_data(DATA).val.classes
    state = fresh_detector(arch, num_classes=len(classes), seed=0).state_dict()
    for name, values in state.items():
        if name.endswith("class_logits.bias"):
            values += 7
        elif name.endswith("_logits.weight"):
            values *= 20
    save_weights(path, state, arch.to_dict(), classes)
    return path


def predict(weights: Path, out: Path, *more: object) -> int:
    return run("predict", weights, "--out", out, "--score", 0.0, "--max-detections", 5, *FAST, *more)
