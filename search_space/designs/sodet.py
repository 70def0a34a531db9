"""SO-Det: downsampling without loss of information (CDown), and fusion of P2 with the backbone map (EAFusion)."""

from __future__ import annotations

from search_space.architecture import Architecture
from search_space.designs.design import DESIGNS, Design, Figure, percent
from search_space.parts import Backbone, Head, Neck, Stage
from search_space.tables import CHANNEL_TABLES, NOMINAL_STEM

PAPER = "SO-Det"
CITATION = "SO-Det, public repository magic524/SO-Det; figures of its README"


def sodet(width: float, block: str) -> Architecture:
    """Returns SO-Det at a width. `block` decides whether C3k blocks depend on the level or are on every level."""
    table = CHANNEL_TABLES["yolo11"]
    return Architecture(
        input_hw=(640, 640),
        backbone=Backbone(
            stem_channels=int(NOMINAL_STEM * width),
            stages=tuple(_stage(level, width, block) for level in (2, 3, 4)),
            context="sppf_c2psa",
        ),
        neck=Neck(
            repeats=1,
            block=block,
            downsample="conv",
            channels=tuple(int(table.neck[level] * width) for level in (2, 3, 4)),
            cross_layer="weighted_concat",
            finest_fusion="eafusion",
        ),
        head=Head(finest_level=2, coarsest_level=4, class_branch="depthwise"),
    )


def _stage(level: int, width: float, block: str) -> Stage:
    table = CHANNEL_TABLES["yolo11"]
    channels, down = int(table.stage[level] * width), int(table.down[level] * width)
    return Stage(
        level=level,
        channels=channels,
        down_channels=None if down == channels else down,
        repeats=1,
        block=block,
        downsample="cdown",
    )


def _register(
    letter: str,
    width: float,
    block: str,
    counts: tuple[float, float],
    visdrone: tuple[float, float],
    tinyperson: tuple[float, float],
) -> None:
    DESIGNS.add(
        f"sodet-{letter}",
        Design(
            name=f"sodet-{letter}",
            architecture=sodet(width, block),
            paper=PAPER,
            citation=CITATION,
            num_classes=10,
            published={
                "params_m": Figure(value=counts[0], unit="M parameters"),
                "ultralytics_gflops": Figure(value=counts[1], unit="GFLOPs as Ultralytics prints them"),
                **percent(visdrone_val_map50=visdrone[0], visdrone_val_map=visdrone[1]),
                **percent(tinyperson_val_map50=tinyperson[0], tinyperson_val_map=tinyperson[1]),
            },
            notes="Reconstructed from its six published counts: the files of the repository do not run, and its "
            "widths and depth contradict the counts.",
            recipe="so-det",
            weights="github.com/magic524/SO-Det, releases",
        ),
    )


_register("s", 0.25, "c3k2", (1.1, 16.3), (40.2, 23.7), (19.3, 6.3))
_register("m", 0.5, "c3k2", (3.5, 50.2), (46.8, 28.0), (24.7, 7.7))
_register("l", 1.0, "c3k2_nested", (13.1, 182.1), (51.7, 32.0), (26.1, 8.3))
