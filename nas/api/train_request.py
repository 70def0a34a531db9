"""The settings of `nas train`: those of the command, and those of the training itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from nas import data_settings, data_words
from nas.trackers import track_setting
from trainers import config
from trainers.settings import DeclaredSetting, all_settings, check_settings, read_settings, setting

TRAINING = "training"
"""Where the settings of the training stand in config.yaml."""

_DATA, _START, _COMPUTATION, _OUTPUT = (
    partial(setting, group=each) for each in ("Data", "Detector", "Computation", "Output")
)


@dataclass(frozen=True, kw_only=True)
class TrainingRequest:
    """The settings of a training that do not belong to `trainers.TrainConfig`.

    Raises:
        SettingError: a value is not allowed.
    """

    data: str | None = _DATA(
        None,
        data_words.DATA,
        metavar="PATH",
        default_words="the data of the run or training of ARCH.yaml, else the built-in set",
        is_path=True,
        resumable=True,
    )
    data_format: str | None = _DATA(
        None,
        data_words.DATA_FORMAT,
        default_words="detected",
        option="--format",
        metavar="NAME",
        resumable=True,
    )
    images: str | None = _DATA(
        None,
        data_words.IMAGES,
        metavar="DIR",
        is_path=True,
        resumable=True,
    )
    split: str | None = _DATA(
        None,
        data_words.SPLIT,
        metavar="NAME",
        resumable=True,
    )
    select_classes: tuple[str, ...] = data_settings.select_classes()
    merge: tuple[str, ...] = data_settings.merge()
    other_classes: str | None = data_settings.other_classes()
    pixel_range: tuple[float, float] | None = data_settings.pixel_range()
    weights: str | None = _START(
        None, "Initial weights; architecture and classes must be the same.", metavar="PATH", is_path=True
    )
    pretrained: str | None = _START(
        None,
        "Initial weights of a related architecture, of nas or published by others: what fits of them is taken, the "
        "rest starts from random weights.",
        metavar="PATH",
        is_path=True,
    )
    teacher: str | None = _START(
        None,
        "Weights of a trained detector that this one learns from besides the labels (distillation): any architecture "
        "with an anchor-free head and the same classes. At a resume only the same weights, in another place.",
        metavar="PATH",
        is_path=True,
        resumable=True,
        stored_if_set=True,
    )
    from_scratch: bool = _START(
        False,
        "Start from random weights; without it, a member of the front of a run starts from the weights of the run, and "
        "an exported architecture from those beside it.",
    )
    recipe: str | None = _START(
        None,
        "Settings of a paper or a framework: default, ultralytics, tinydet, ssd, another name in docs/training.md, "
        "paper for that of the design, or a YAML file. Other options override it.",
        metavar="NAME|FILE.yaml",
        default_words="default",
    )
    threads: int | None = _COMPUTATION(None, "CPU threads.", minimum=1, default_words="all", resumable=True)
    track: str | None = track_setting(_OUTPUT)
    tensorboard: bool = _OUTPUT(
        False, "The same as --track tensorboard; may be given with another tracker.", resumable=True
    )
    input_hw: tuple[int, int] | None = _START(
        None,
        "Height and width of the input in pixels.",
        option="--input",
        metavar="H W",
        default_words="that of the architecture",
        is_stored=False,
    )
    out: str | None = _OUTPUT(
        None,
        "Output folder; must be new.",
        metavar="DIR",
        is_path=True,
        default_words="runs/train-NAME",
        is_stored=False,
    )

    def __post_init__(self) -> None:
        check_settings(self)


def training_settings() -> dict[str, DeclaredSetting]:
    """Returns every setting of `nas train` by name: those of `TrainingRequest`, then those of `TrainConfig`."""
    of_command, of_training = all_settings(TrainingRequest), all_settings(config.TrainConfig)
    assert not of_command.keys() & of_training.keys()
    return {**of_command, **of_training}


def place_in_config(setting: DeclaredSetting) -> tuple[str, ...]:
    """Returns the keys under which a setting stands in config.yaml."""
    path = tuple(setting.path.split("."))
    return path if setting.name in all_settings(TrainingRequest) else (TRAINING, *path)


def request_of(values: Mapping[str, Any]) -> TrainingRequest:
    """Returns the settings of the command among these; others are left out."""
    names = all_settings(TrainingRequest)
    given = {name: value for name, value in values.items() if name in names and value is not None}
    return read_settings(TrainingRequest, given)
