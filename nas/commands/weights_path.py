"""Which weights file a user means."""

from __future__ import annotations

from pathlib import Path


def weights_file(path: Path) -> Path:
    """Returns the weights file in `path`: itself, or that of a training, of an export, or of a member of a run's front.

    A folder of several stands for the most accurate one with weights. What is none of these is returned as it is, so
    that reading it says what is wrong.
    """
    if path.is_dir():
        exported = sorted(path.glob("weights.safetensors")) or sorted(path.glob("*/weights.safetensors"))
        trained, members = path / "weights.pt", sorted((path / "front").glob("*.yaml"))
        if exported and not trained.is_file():
            return exported[0]
        return trained if trained.is_file() or not members else _of_member(members[0])
    return _of_member(path) if path.suffix in (".yaml", ".yml") else path


def _of_member(architecture: Path) -> Path:
    beside = architecture.with_name("weights.safetensors")
    if beside.is_file():
        return beside
    key = architecture.stem.partition("-")[2]
    weights = architecture.parent.parent / "weights" / f"{key}.pt"
    return weights if weights.is_file() else architecture
