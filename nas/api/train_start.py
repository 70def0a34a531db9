"""The weights that a new training starts from, where the user gives none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from nas.api.train_request import TrainingRequest
from search_space.errors import ConfigError


def start_of(request: TrainingRequest, file: Path | None, on_notice: Callable[[str | None], None]) -> TrainingRequest:
    """Returns the settings of a new training with the weights that it starts from.

    A member of the front of a run starts from the weights of the run, an exported architecture from those beside it.

    Args:
        request: what the user gives.
        file: of the architecture; None where it has none.
        on_notice: is told what an architecture starts from that has weights of its own.

    Raises:
        ConfigError: settings contradict each other.
    """
    if None not in (request.weights, request.pretrained):
        raise ConfigError("--weights and --pretrained exclude each other; give one of them")
    is_given = (request.weights, request.pretrained) != (None, None)
    if request.from_scratch and is_given:
        raise ConfigError("--from-scratch excludes --weights and --pretrained; omit it, or give no weights")
    found = None if request.from_scratch or is_given or file is None else _own_weights(file)
    if found is None:
        return request
    owner, weights = found
    missing = _unreadable(weights)
    if missing:
        on_notice(f"note: the {owner} has no weights for {file}: {missing}; the training starts from random weights")
        return request
    on_notice(f"note: the training starts from the weights of the {owner}, {weights}; random ones: --from-scratch")
    return replace(request, pretrained=str(weights))


def _own_weights(file: Path) -> tuple[str, Path] | None:
    """Returns what an architecture was written by, `run` or `export`, and its weights; None if it has none."""
    from nas.weights_path import weights_beside

    exported = weights_beside(file)
    if file.name == "architecture.yaml" and exported.is_file():
        return "export", exported
    weights = _weights_of_run(file)
    return None if weights is None else ("run", weights)


def _weights_of_run(file: Path) -> Path | None:
    """Returns where the weights of a member of a run's front are; None if a file is no such member."""
    from nas.config import read_config
    from nas.run_folder import CONFIG_YAML
    from nas.weights_path import member_weights

    if file.parent.name != "front":
        return None
    try:
        read_config(file.parent.parent / CONFIG_YAML)
    except ConfigError:
        return None
    return member_weights(file)


def _unreadable(weights: Path) -> str:
    """Returns why a weights file cannot be read; nothing if it can."""
    from trainers import load_weights

    try:
        load_weights(weights)
    except ConfigError as error:
        return str(error).partition(";")[0]
    return ""
