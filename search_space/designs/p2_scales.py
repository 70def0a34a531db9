"""YOLOv8 with a head on P2 at its five scales: the stock model file, and the files of Krasnov et al. at scales s to x.

The authors trained and counted scale n only, whose architectures are in `DESIGNS`. No count of the others is published
by them. They are known by name, as the scales of YOLOv8 are, but no search starts from one unless it is named.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache

from search_space.architecture import Architecture
from search_space.designs.references import REFERENCES, YOLOV8_SCALES, yolov8
from search_space.parts import Head

LARGER = tuple(letter for letter in YOLOV8_SCALES if letter != "n")
NARROW_P5 = 512
"""Channels of the stride-32 stage before scaling in the files of the paper; 1024 in the stock file."""


def yolov8_p2_stock(letter: str) -> Architecture:
    """Returns YOLOv8 with heads on P2 to P5 at a scale, as in the model file of Ultralytics."""
    return replace(yolov8(letter), head=Head(finest_level=2, coarsest_level=5))


def yolov8_p2_nop5(letter: str) -> Architecture:
    """Returns YOLOv8 with heads on P2 to P4 and a narrow stride-32 stage at a scale, `n` to `x`."""
    base, scale = yolov8(letter), YOLOV8_SCALES[letter]
    *finer, coarsest = base.backbone.stages
    narrow = replace(coarsest, channels=int(min(NARROW_P5, scale.most_channels) * scale.width))
    return replace(
        base,
        backbone=replace(base.backbone, stages=(*finer, narrow)),
        head=Head(finest_level=2, coarsest_level=4),
    )


def yolov8_p2_nop5_bidir(letter: str) -> Architecture:
    """Returns the same with bi-directional fusion, wired as in the file of the paper."""
    base = yolov8_p2_nop5(letter)
    assert base.neck is not None
    return replace(base, neck=replace(base.neck, fusion="bidir_concat", skip_wiring="published"))


def yolov8_p2_nop5_bidir_cbam(letter: str) -> Architecture:
    """Returns the same with CBAM after every block."""
    base = yolov8_p2_nop5_bidir(letter)
    assert base.neck is not None
    stages = tuple(replace(stage, attention="cbam") for stage in base.backbone.stages)
    return replace(base, backbone=replace(base.backbone, stages=stages), neck=replace(base.neck, attention="cbam"))


@dataclass(frozen=True, kw_only=True)
class ScaledFile:
    """A model file, and the scales at which it is known by name."""

    build: Callable[[str], Architecture]
    letters: tuple[str, ...]


FILES = {
    "p2-stock": ScaledFile(build=yolov8_p2_stock, letters=tuple(YOLOV8_SCALES)),
    "p2-nop5": ScaledFile(build=yolov8_p2_nop5, letters=LARGER),
    "p2-nop5-bidir": ScaledFile(build=yolov8_p2_nop5_bidir, letters=LARGER),
    "p2-nop5-bidir-cbam": ScaledFile(build=yolov8_p2_nop5_bidir_cbam, letters=LARGER),
}


class P2Scales(Mapping[str, Architecture]):
    """The architectures by name, such as `yolov8s-p2-nop5`, each built when it is first read."""

    def __getitem__(self, name: str) -> Architecture:
        model, _, variant = name.partition("-")
        if variant not in FILES or model[:-1] != "yolov8" or model[-1:] not in FILES[variant].letters:
            raise KeyError(name)
        return _built(variant, model[-1])

    def __iter__(self) -> Iterator[str]:
        return (f"yolov8{letter}-{variant}" for variant, file in FILES.items() for letter in file.letters)

    def __len__(self) -> int:
        return sum(len(file.letters) for file in FILES.values())


@cache
def _built(variant: str, letter: str) -> Architecture:
    return FILES[variant].build(letter)


P2_SCALES = P2Scales()
SCALES: Mapping[str, Architecture] = ChainMap(REFERENCES, P2_SCALES)  # type: ignore[arg-type]
"""All scales that are known by name."""
