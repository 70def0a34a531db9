"""YOLOv8 and YOLO11 at their five scales: architectures that weights are published for.

They are no designs of the papers: `DESIGNS` does not contain them. A search starts with them where they are named or,
with a limit on latency, where they are among the designs that are predicted fastest. `yolov8n` is both. Depths, widths
and limits of the channels are those of Ultralytics' model files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from search_space.architecture import Architecture
from search_space.parts import Backbone, Head, Neck, Stage
from search_space.tables import CHANNEL_TABLES, NOMINAL_STEM

LEVELS = (2, 3, 4, 5)


@dataclass(frozen=True, kw_only=True)
class Scale:
    """One scale of a family: multipliers of repeats and channels, and the largest number of channels before it."""

    depth: float
    width: float
    most_channels: int


YOLOV8_SCALES = {
    "n": Scale(depth=0.33, width=0.25, most_channels=1024),
    "s": Scale(depth=0.33, width=0.5, most_channels=1024),
    "m": Scale(depth=0.67, width=0.75, most_channels=768),
    "l": Scale(depth=1.0, width=1.0, most_channels=512),
    "x": Scale(depth=1.0, width=1.25, most_channels=512),
}
YOLO11_SCALES = {
    "n": Scale(depth=0.5, width=0.25, most_channels=1024),
    "s": Scale(depth=0.5, width=0.5, most_channels=1024),
    "m": Scale(depth=0.5, width=1.0, most_channels=512),
    "l": Scale(depth=1.0, width=1.0, most_channels=512),
    "x": Scale(depth=1.0, width=1.5, most_channels=512),
}
NESTED_EVERYWHERE = ("m", "l", "x")
"""Scales of YOLO11 with C3k blocks in every C3k2."""
YOLOV8_REPEATS = {2: 3, 3: 6, 4: 6, 5: 3}
REPEATS = {"yolov8 neck": 3, "yolo11": 2}
"""Repeats at depth 1: of the blocks in the neck of YOLOv8, and of all blocks and the attention of YOLO11."""


def _channels(nominal: Mapping[int, int], scale: Scale) -> dict[int, int]:
    return {level: int(min(nominal[level], scale.most_channels) * scale.width) for level in LEVELS}


def _repeats(nominal: int, scale: Scale) -> int:
    return max(round(nominal * scale.depth), 1)


def _head(finest_channels: int, class_branch: str) -> Head:
    """Returns the head; its box branches are 64 channels wide, or a quarter of the finest map where that is more."""
    wide = max(64, finest_channels // 4)
    return Head(finest_level=3, coarsest_level=5, box_channels=wide, class_branch=class_branch)


def yolov8(letter: str) -> Architecture:
    """Returns YOLOv8 at a scale, `n` to `x`."""
    scale = YOLOV8_SCALES[letter]
    channels = _channels(CHANNEL_TABLES["yolov8"].stage, scale)
    return Architecture(
        input_hw=(640, 640),
        backbone=Backbone(
            stem_channels=int(NOMINAL_STEM * scale.width),
            stages=tuple(
                Stage(level=level, channels=channels[level], repeats=_repeats(YOLOV8_REPEATS[level], scale))
                for level in LEVELS
            ),
        ),
        neck=Neck(repeats=_repeats(REPEATS["yolov8 neck"], scale), downsample="conv"),
        head=_head(channels[3], "plain"),
    )


def yolo11(letter: str) -> Architecture:
    """Returns YOLO11 at a scale, `n` to `x`."""
    scale, table = YOLO11_SCALES[letter], CHANNEL_TABLES["yolo11"]
    down, stages, neck = (_channels(column, scale) for column in (table.down, table.stage, table.neck))
    everywhere = letter in NESTED_EVERYWHERE
    block, repeats = "c3k2_nested" if everywhere else "c3k2", _repeats(REPEATS["yolo11"], scale)
    return Architecture(
        input_hw=(640, 640),
        backbone=Backbone(
            stem_channels=int(NOMINAL_STEM * scale.width),
            stages=tuple(
                Stage(
                    level=level,
                    channels=stages[level],
                    down_channels=None if down[level] == stages[level] else down[level],
                    repeats=repeats,
                    block=block,
                )
                for level in LEVELS
            ),
            context="sppf_c2psa",
            context_repeats=repeats,
        ),
        neck=Neck(
            repeats=repeats,
            block=block,
            downsample="conv",
            channels=tuple(neck[level] for level in (3, 4, 5)),
            nested="by_level" if everywhere else "last",
        ),
        head=_head(neck[3], "depthwise"),
    )


FAMILIES: dict[str, Callable[[str], Architecture]] = {"yolov8": yolov8, "yolo11": yolo11}
LETTERS = tuple(YOLOV8_SCALES)


class References(Mapping[str, Architecture]):
    """The architectures by name, such as `yolov8s`, each built when it is first read."""

    def __getitem__(self, name: str) -> Architecture:
        family, letter = name[:-1], name[-1:]
        if family not in FAMILIES or letter not in LETTERS:
            raise KeyError(name)
        return _built(family, letter)

    def __iter__(self) -> Iterator[str]:
        return (f"{family}{letter}" for family in FAMILIES for letter in LETTERS)

    def __len__(self) -> int:
        return len(FAMILIES) * len(LETTERS)


@cache
def _built(family: str, letter: str) -> Architecture:
    return FAMILIES[family](letter)


REFERENCES = References()
