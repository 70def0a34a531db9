"""The weights that the trials of a run start from: opened and checked once, and copied into the folder of the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from nas.config import RunConfig, check_same
from nas.run_folder import RunFolder
from nas.transfer import transfer
from nas.weights_path import weights_file
from search_space import Architecture
from search_space.errors import ConfigError, UserError, shortened
from trainers.importing.opening import open_weights
from trainers.weights import Weights, fresh_detector, save_weights


@dataclass(frozen=True, kw_only=True)
class Pretrained:
    """Weights that a run may start from."""

    weights: Weights = field(repr=False)
    fingerprint: str
    """A digest of the architecture, the class names and the tensors; the format of the file does not matter."""

    def write(self, folder: RunFolder) -> None:
        """Copies the weights into the folder of a run; raises WriteError if that fails."""
        save_weights(
            folder.pretrained,
            self.weights.state,
            self.weights.architecture,
            self.weights.classes,
            self.weights.pixel_range,
        )

    def notices(self, path: str, starts: Mapping[str, Architecture], classes: Sequence[str]) -> list[str]:
        """Returns what of the weights comes along into each architecture that a run starts with.

        Args:
            path: As the user gave it.
            starts: The architectures by name.
            classes: Of the data.
        """
        shares = {}
        for name, architecture in starts.items():
            detector = fresh_detector(architecture, num_classes=len(classes), seed=0)
            shares[name] = transfer(detector, self.weights, classes=classes)
        told = "; ".join(f"{name} {report}" for name, report in shares.items() if not report.is_empty)
        empty = [name for name, report in shares.items() if report.is_empty]
        notices = [f"share of the designs to start with that comes from {path}: {told}"] if told else []
        if empty:
            notices.append(
                f"warning: nothing of {path} fits {shortened(empty)}; such trials start from random weights; "
                "give weights of a related design"
            )
        return notices


def open_pretrained(path: str | Path) -> Pretrained:
    """Opens the weights at a path: a file, or the folder or the front of a run, as `weights_file` says.

    Raises:
        ConfigError: There are none, or they are not those of a detector.
    """
    weights = open_weights(weights_file(Path(path)))
    try:
        architecture = Architecture.from_dict(weights.architecture)
        own = fresh_detector(architecture, num_classes=len(weights.classes), seed=0).state_dict()
    except UserError as error:
        raise ConfigError(f"--pretrained {path} has no usable architecture: {error}") from None
    shared = [(own[name], value) for name, value in weights.state.items() if name in own]
    fits = all(mine.shape == value.shape for mine, value in shared) and all(map(_is_dense, weights.state.values()))
    if not fits or not any(value.ndim > 1 for _, value in shared):
        raise ConfigError(f"--pretrained {path} does not fit its own architecture; give a file that nas wrote")
    return Pretrained(weights=weights, fingerprint=weights.fingerprint())


def reopen_pretrained(folder: RunFolder, config: RunConfig, given: str | None) -> Pretrained | None:
    """Checks the weights of a run that is resumed; returns those to copy into its folder if its copy is unusable.

    Args:
        folder: Of the run.
        config: Of the run, as it was before.
        given: The path that the user gives at the resume; None: none.

    Raises:
        ConfigError: The run was started with other weights, or they cannot be found any more.
    """
    found = _given(config, given)
    if config.pretrained_fingerprint is None or _opened(folder.pretrained, config) is not None:
        return None
    found = found or _opened(config.pretrained, config)
    if found is None:
        raise ConfigError(
            f"{folder.pretrained} is missing or damaged; next: nas run --resume {folder.path} --pretrained FILE with "
            "the weights that the run was started with"
        )
    return found


def joined_pretrained(config: RunConfig, given: str | None) -> Pretrained | None:
    """Returns the weights of a run that is joined; None if it has none, or if none can be read from here.

    They are read from `given`, from the folder in which the run was started, or from where the user had them.

    Raises:
        ConfigError: The run was started with other weights than the given ones.
    """
    copy = RunFolder(Path(config.out) / config.name).pretrained
    return _given(config, given) or _opened(copy, config) or _opened(config.pretrained, config)


def _given(config: RunConfig, path: str | None) -> Pretrained | None:
    if path is None:
        return None
    if config.pretrained_fingerprint is None:
        check_same(config, {"pretrained": path})
    found = open_pretrained(path)
    if found.fingerprint != config.pretrained_fingerprint:
        raise ConfigError(
            f"--pretrained {path} is not what the run {config.name} was started with: the weights of "
            f"{config.pretrained} had the fingerprint {config.pretrained_fingerprint}, these have {found.fingerprint}; "
            "next: resume without it, or start another run with --name"
        )
    return found


def _opened(path: str | Path | None, config: RunConfig) -> Pretrained | None:
    """Returns the weights at a path if they are those of a run."""
    if config.pretrained_fingerprint is None or path is None:
        return None
    try:
        found = open_pretrained(path)
    except ConfigError:
        return None
    return found if found.fingerprint == config.pretrained_fingerprint else None


def _is_dense(value: torch.Tensor) -> bool:
    return value.layout is torch.strided and not value.is_quantized and not value.is_meta
