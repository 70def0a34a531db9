"""The peer of the comparisons of trainers: Ultralytics, as a separate program in its own virtual environment.

The peer is not part of this project and has another licence (AGPL-3.0). It runs without a network, in an
environment that is made once:

    python -m venv peer
    peer/bin/pip install "torch>=2.6,<2.14" --index-url https://download.pytorch.org/whl/cpu
    peer/bin/pip install ultralytics       # or, without a matching torchvision: --no-deps, then its requirements

This module imports nothing of the peer and of this project until its functions are called.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trainers.data import Dataset

UNUSED = ("sync", "clearml", "comet", "dvc", "mlflow", "raytune", "wandb")
"""Reports of the peer to other services, which are switched off."""
_STUB = "0.0"
"""The version of the package that stands in for torchvision."""


def write_yolo(dataset: Dataset, indices: Sequence[int], folder: Path) -> int:
    """Writes images as a YOLO data set, in the order of their indices; returns the number of its objects.

    Existing files are linked, under a new name for each use. The peer requires validation images: they are the same.
    """
    import cv2

    objects = 0
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    for number, index in enumerate(indices):
        record = dataset.records[index]
        target = folder / "images" / f"{number:06d}{record.path.suffix if record.path else '.png'}"
        if record.path:
            target.symlink_to(record.path.resolve())
        else:
            cv2.imwrite(str(target), dataset.image(index)[:, :, ::-1])
        lines = []
        sides = (record.width, record.height) * 2
        for (x1, y1, x2, y2), label in zip(record.boxes.tolist(), record.labels.tolist(), strict=True):
            place = ((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1)
            values = " ".join(f"{value / side:.6f}" for value, side in zip(place, sides, strict=True))
            lines.append(f"{label} {values}")
        (folder / "labels" / f"{number:06d}.txt").write_text("\n".join(lines))
        objects += len(lines)
    content = {"path": str(folder), "train": "images", "val": "images", "names": list(dataset.classes)}
    (folder / "data.yaml").write_text(json.dumps(content))  # JSON is YAML
    return objects


def environment(threads: int) -> dict[str, str]:
    """Returns the environment of a process of the peer."""
    found = os.environ | {"OMP_NUM_THREADS": str(threads)}
    found.pop("PYTHONPATH", None)
    return found


def import_peer(home: Path) -> Any:
    """Returns the package of the peer, in its own environment, without access to the network.

    Args:
        home: an existing folder for its settings.
    """
    os.environ.update(YOLO_CONFIG_DIR=str(home), YOLO_OFFLINE="true", YOLO_VERBOSE="false", YOLO_AUTOINSTALL="false")
    os.environ.update(WANDB_DISABLED="true", COMET_MODE="disabled")
    _stand_in_for_torchvision()
    import ultralytics

    known = ultralytics.settings
    known.update({name: False for name in UNUSED if name in known})
    return ultralytics


def _stand_in_for_torchvision() -> None:
    """Lets the peer start without a torchvision of the same build as torch; it needs it only to evaluate.

    Recent versions of the peer also ask for the version of the installed package.
    """
    try:
        import torchvision  # noqa: F401
    except (ImportError, RuntimeError):
        sys.modules["torchvision"] = ModuleType("torchvision")
    else:
        return
    version_of = importlib.metadata.version

    def version(name: str) -> str:
        try:
            return version_of(name)
        except importlib.metadata.PackageNotFoundError:
            if name == "torchvision":
                return _STUB
            raise

    importlib.metadata.version = version
