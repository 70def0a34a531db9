"""Which weights file a user means."""

from __future__ import annotations

from pathlib import Path


def weights_file(path: Path) -> Path:
    """Returns the weights file in `path`: itself, that of a training's folder, or that of a member of a run's front.

    A run's folder stands for the most accurate member of its front. What is none of these is returned as it is, so
    that reading it says what is wrong.
    """
    if path.is_dir():
        trained, members = path / "weights.pt", sorted((path / "front").glob("*.yaml"))
        return trained if trained.is_file() or not members else _of_member(members[0])
    return _of_member(path) if path.suffix == ".yaml" else path


def _of_member(architecture: Path) -> Path:
    key = architecture.stem.partition("-")[2]
    weights = architecture.parent.parent / "weights" / f"{key}.pt"
    return weights if weights.is_file() else architecture
