"""The folder of a training: whether one may begin in it, whether the one in it can go on, and what it was asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

CHECKPOINT = "last.pt"
RESULTS = ("weights.pt", "results.json", "history.csv")
"""What a training leaves that must not be lost; the checkpoint apart."""
OF_A_SEARCH = "study.journal"
OPTIONAL_TEXTS = ("data", "data_format", "images", "split", "weights", "pretrained")


def check_free(out: Path) -> None:
    """Raises ConfigError if `out` is no folder, or holds something that a training would write over."""
    from search_space.errors import ConfigError

    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out} is a file; give a folder, which is made if it is not there")
    if (out / CHECKPOINT).exists():
        raise ConfigError(f"{out} holds a training already; go on with --resume {out} or choose another --out")
    if (out / OF_A_SEARCH).exists():
        raise ConfigError(f"{out} is the folder of a search; choose another --out")
    left = [name for name in RESULTS if (out / name).exists()]
    if left:
        raise ConfigError(
            f"{out} holds {' and '.join(left)} of a training whose {CHECKPOINT} is gone; choose another --out, or move "
            "them away"
        )


def can_go_on(folder: Path) -> bool:
    """Tells whether the training in a folder has come to a checkpoint; if it has not, it begins anew.

    Raises:
        ConfigError: there are results, but no checkpoint: beginning anew would write over them.
    """
    from search_space.errors import ConfigError

    if (folder / CHECKPOINT).exists():
        return True
    left = [name for name in RESULTS if (folder / name).exists()]
    if left:
        raise ConfigError(
            f"{folder} holds {' and '.join(left)} but no {CHECKPOINT}, without which its training cannot go on; train "
            f"with another --out, from its weights with --weights {folder / 'weights.pt'}"
        )
    return False


def no_folder(architecture: str) -> None:
    """Raises ConfigError if what is given as an architecture is a folder; it says what in it can be trained."""
    from search_space.errors import ConfigError

    path = Path(architecture)
    if not path.is_dir():
        return
    if (path / "architecture.yaml").is_file() and (path / "config.yaml").is_file():
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


def read_config(folder: Path) -> dict[str, Any]:
    """Returns what config.yaml of a training holds, without the versions.

    Raises:
        ConfigError: there is none, or it is damaged.
    """
    from search_space.errors import ConfigError
    from search_space.yaml_text import YamlError, read_yaml
    from trainers import TrainConfig

    path = folder / "config.yaml"
    none = ConfigError(f"{folder} holds no training that could go on; give the folder of one begun by nas train")
    try:
        content = read_yaml(path)
    except OSError:
        raise none from None
    except YamlError:
        content = None
    if isinstance(content, dict) and "training" not in content:
        raise none
    if not isinstance(content, dict) or not isinstance(content["training"], dict) or not _texts_are_texts(content):
        raise ConfigError(f"{path} is damaged; put a copy of it back, or begin anew with another --out")
    try:
        TrainConfig.from_dict(content["training"])
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    return {name: value for name, value in content.items() if name != "versions"}


def _texts_are_texts(content: dict[str, Any]) -> bool:
    return all(isinstance(content.get(name), str | None) for name in OPTIONAL_TEXTS)
