"""The folder of a training: whether a training may start in it or resume from it, and its settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nas.api.train_request import TRAINING, request_of, training_settings
from search_space.errors import ConfigError
from search_space.yaml_text import YamlError, read_yaml

CHECKPOINT = "last.pt"
RESULTS = ("weights.pt", "results.json", "history.csv")
"""Results of a training that must not be overwritten, besides the checkpoint."""
OF_A_SEARCH = "study.journal"


def check_free(out: Path) -> None:
    """Raises ConfigError if `out` is not a folder, or holds something that a training would overwrite."""
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out} is a file; give a folder; it is created if it does not exist")
    if (out / CHECKPOINT).exists():
        raise ConfigError(f"{out} holds a training already; continue it with --resume {out} or choose another --out")
    if (out / OF_A_SEARCH).exists():
        raise ConfigError(f"{out} is the folder of a search; choose another --out")
    left = [name for name in RESULTS if (out / name).exists()]
    if left:
        raise ConfigError(
            f"{out} holds {' and '.join(left)} of a training whose {CHECKPOINT} is gone; choose another --out, or move "
            "them away"
        )


def can_go_on(folder: Path) -> bool:
    """Returns whether the training in a folder has written a checkpoint; if it has not, it starts again.

    Raises:
        ConfigError: there are results, but no checkpoint; starting again would overwrite the results.
    """
    if (folder / CHECKPOINT).exists():
        return True
    left = [name for name in RESULTS if (folder / name).exists()]
    if left:
        raise ConfigError(
            f"{folder} holds {' and '.join(left)} but no {CHECKPOINT}, so its training cannot be resumed; train "
            f"with another --out, from its weights with --weights {folder / 'weights.pt'}"
        )
    return False


def no_folder(architecture: str) -> None:
    """Raises ConfigError, which names what can be trained, if a folder is given as an architecture."""
    path = Path(architecture)
    if not path.is_dir():
        return
    if is_training(path):
        raise ConfigError(
            f"{path} is the folder of a training; next: nas train --resume {path}, or its architecture "
            f"anew: nas train {path / 'architecture.yaml'}"
        )
    found = [
        *path.glob("architecture.yaml"),
        *sorted(path.glob("front/*.yaml")),
        *sorted(path.glob("*/architecture.yaml")),
    ]
    which = f"one of its architectures, such as nas train {found[0]}" if found else "an architecture's YAML or a design"
    raise ConfigError(f"{path} is a folder; next: {which}")


def is_training(folder: Path) -> bool:
    """Returns whether a folder has the files that a training begins with."""
    return (folder / "architecture.yaml").is_file() and (folder / "config.yaml").is_file()


def read_config(folder: Path) -> dict[str, Any]:
    """Returns the settings in config.yaml of a training, without the versions.

    Raises:
        ConfigError: the file does not exist, or it is damaged.
    """
    from trainers.config import TrainConfig

    path = folder / "config.yaml"
    none = ConfigError(f"{folder} has no training to resume; give a folder that nas train wrote")
    try:
        content = read_yaml(path)
    except OSError:
        raise none from None
    except YamlError:
        content = None
    if isinstance(content, dict) and TRAINING not in content:
        raise none
    if not isinstance(content, dict) or not isinstance(content[TRAINING], dict) or not _has_valid_request(content):
        raise ConfigError(f"{path} is damaged; restore it from a copy, or start a new training with another --out")
    try:
        TrainConfig.from_dict(content[TRAINING])
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    return {name: value for name, value in content.items() if name == TRAINING or name in training_settings()}


def _has_valid_request(content: dict[str, Any]) -> bool:
    try:
        request_of(content)
    except ConfigError:
        return False
    return True
