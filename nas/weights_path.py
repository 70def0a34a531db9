"""Which weights file a user means."""

from __future__ import annotations

from pathlib import Path

from search_space.errors import ConfigError


def weights_file(path: Path) -> Path:
    """Returns the weights file in `path`: itself, or that of a training, of an export, or of a member of a run's front.

    A folder of several stands for the most accurate one with weights. What is none of these is returned as it is, so
    that reading it says what is wrong.

    Raises:
        ConfigError: It is an architecture, or a folder of some, that was not trained, or any other folder.
    """

    if path.is_dir():
        exported = sorted(path.glob("weights.safetensors")) or sorted(path.glob("*/weights.safetensors"))
        trained, members = path / "weights.pt", sorted((path / "front").glob("*.yaml"))
        if trained.is_file() or exported:
            return trained if trained.is_file() else exported[0]
        untrained = members or sorted(path.glob("architecture.yaml")) or sorted(path.glob("*/architecture.yaml"))
        if not untrained and (path / "front").is_dir():
            raise ConfigError(f"{path} has no front yet, and so no weights; next: nas run --resume {path}")
        if not untrained:
            raise ConfigError(
                f"{path} is a folder without weights: no training, run or export; give one of these, or a weights file"
            )
        return _of_member(untrained[0])
    return _of_member(path) if path.suffix in (".yaml", ".yml") else path


def member_weights(member: Path) -> Path:
    """Returns where a run keeps the weights of a member of its front, given as `RUN/front/NN-KEY.yaml`."""
    return member.parent.parent / "weights" / f"{member.stem.partition('-')[2]}.pt"


def weights_beside(architecture: Path) -> Path:
    """Returns where the weights of an exported architecture are, given as its `architecture.yaml`."""
    return architecture.with_name("weights.safetensors")


def _of_member(architecture: Path) -> Path:
    """Returns the weights of an architecture, which lie beside it or, of a front, in the folder of the run."""

    if not architecture.is_file():
        return architecture
    beside = weights_beside(architecture)
    if beside.is_file():
        return beside
    weights = member_weights(architecture)
    if not weights.is_file():
        raise ConfigError(f"{architecture} is an architecture without trained weights; next: nas train {architecture}")
    return weights
