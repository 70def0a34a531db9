"""The stage tables of the backbones: the channels or units of each level at width 1."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from search_space.input_format import InputFormat
from search_space.parts import Backbone, Stage, Unit


@dataclass(frozen=True, kw_only=True)
class ChannelTable:
    """A backbone of one repeated block: channels by level."""

    down: Mapping[int, int]
    """Of the downsampling into the level."""
    stage: Mapping[int, int]
    neck: Mapping[int, int]


@dataclass(frozen=True, kw_only=True)
class UnitTable:
    """A backbone defined by a list of units per level. The stride is in the first unit of a level or in a pool."""

    stem: str
    stem_channels: int
    stem_stride: int
    stem_units: tuple[Unit, ...]
    stages: Mapping[int, tuple[Unit, ...]]
    pooled: bool = False
    """Whether a pool downsamples instead of the first unit."""
    multiple: int = 4
    """What channels are rounded to multiples of."""
    input_format: InputFormat = InputFormat()
    """What the published weights of this backbone were trained on."""


@dataclass(frozen=True, kw_only=True)
class TableVariant:
    """Published stages of a unit table that no width gives exactly. They replace the stages at the nearest width."""

    name: str
    table: str
    width: float
    stages: Mapping[int, tuple[Unit, ...]]
    differs_from: int
    """The finest level at which it differs from the table at that width."""


NOMINAL_STEM = 64
"""Channels of the stem of the channel tables."""
NOMINAL_REPEATS = {2: 3, 3: 6, 5: 3}
"""Repeats at depth 1; those of P4 are an axis."""
_RE, _HS = "relu", "hswish"
_V8 = {2: 128, 3: 256, 4: 512, 5: 1024}

CHANNEL_TABLES: dict[str, ChannelTable] = {
    "yolov8": ChannelTable(down=_V8, stage=_V8, neck=_V8),
    "yolo11": ChannelTable(down=_V8, stage={2: 256, 3: 512, 4: 512, 5: 1024}, neck={2: 256, 3: 256, 4: 512, 5: 1024}),
}
"""`yolov8` is also the table of YOLOv5; `yolo11` as in SO-Det."""


def _v3(*rows: tuple[int, int, int, bool, str]) -> tuple[Unit, ...]:
    """Inverted residuals from (kernel, expanded, channels, squeeze, activation)."""
    names = ("kernel", "expanded", "channels", "squeeze", "activation")
    return tuple(Unit(kind="inverted_residual", **dict(zip(names, row, strict=True))) for row in rows)  # type: ignore[arg-type]


def _separable(*channels: int) -> tuple[Unit, ...]:
    return tuple(Unit(kind="separable", channels=width) for width in channels)


def _lcnet(*rows: tuple[int, int], squeeze: bool = False) -> tuple[Unit, ...]:
    """Layers of LCNet from (kernel, channels)."""
    return tuple(
        Unit(kind="separable", channels=channels, kernel=kernel, squeeze=squeeze, activation=_HS)
        for kernel, channels in rows
    )


def _shuffle(units: int, channels: int) -> tuple[Unit, ...]:
    return (Unit(kind="shuffle", channels=channels),) * units


def _shuffle_stages(p3: int, p4: int, p5: int) -> dict[int, tuple[Unit, ...]]:
    """Stages of ShuffleNetV2. P2 is a max pool of the stem without weights."""
    return {2: (Unit(kind="max_pool3", channels=24),), 3: _shuffle(4, p3), 4: _shuffle(8, p4), 5: _shuffle(4, p5)}


def _lcnet_stages(p2: int, p3: int, p4: int, p5: int) -> dict[int, tuple[Unit, ...]]:
    return {
        2: _lcnet((3, p2), (3, p2)),
        3: _lcnet((3, p3), (3, p3)),
        4: _lcnet((3, p4), *((5, p4),) * 5),
        5: _lcnet((5, p5), (5, p5), squeeze=True),
    }


def _swish(*rows: tuple[int, int]) -> tuple[Unit, ...]:
    """Inverted residuals of DAMO-YOLO nano from (expanded, channels)."""
    return tuple(
        Unit(kind="inverted_residual", channels=channels, kernel=5, expanded=expanded, activation="silu")
        for expanded, channels in rows
    )


def _pooled(channels: int) -> Unit:
    return Unit(kind="sppf", channels=channels)


def _vgg(*channels: int) -> tuple[Unit, ...]:
    return tuple(Unit(kind="conv_bias_relu", channels=width) for width in channels)


def _residual(channels: int) -> tuple[Unit, ...]:
    return (Unit(kind="depthwise_residual", channels=channels),)


IMAGENET_INPUT = InputFormat(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), fit="stretch")
"""As in the configuration of TinyDet, which gives 123.675, 116.28, 103.53 and 58.395, 57.12, 57.375 of 0 to 255."""
SSD_INPUT = InputFormat(mean=(103.94, 116.78, 123.68), channels="bgr", value_range=255, fit="stretch")
"""As in the configuration of SSD by Mudassar and Mukhopadhyay."""

UNIT_TABLES: dict[str, UnitTable] = {
    "mobilenetv1": UnitTable(
        input_format=SSD_INPUT,
        stem="conv_relu",
        stem_channels=32,
        stem_stride=2,
        stem_units=_separable(64),
        stages={
            2: _separable(128, 128),
            3: _separable(256, 256),
            4: _separable(512, 512, 512, 512, 512, 512),
            5: _separable(1024, 1024),
        },
    ),
    "mobilenetv3-d": UnitTable(
        input_format=IMAGENET_INPUT,
        stem="conv_hswish",
        stem_channels=16,
        stem_stride=2,
        stem_units=_residual(16),
        stages={
            2: _v3((3, 64, 24, False, _RE), (3, 72, 24, False, _RE)),
            3: _v3((5, 72, 40, True, _RE), (5, 120, 40, True, _RE), (5, 120, 40, True, _RE)),
            4: _v3(
                (3, 240, 80, False, _HS),
                (3, 240, 80, False, _HS),
                (5, 240, 80, False, _HS),
                (5, 240, 80, False, _HS),
                (3, 240, 112, True, _HS),
                (3, 336, 112, True, _HS),
            ),
            5: _v3((5, 336, 160, True, _HS), (5, 480, 160, True, _HS), (5, 480, 160, True, _HS)),
            6: _v3((5, 960, 160, True, _HS)),
        },
    ),
    "mobilenetv3-bc": UnitTable(
        input_format=IMAGENET_INPUT,
        stem="conv_hswish",
        stem_channels=24,
        stem_stride=2,
        stem_units=_residual(24),
        stages={
            2: _v3((3, 72, 36, False, _RE), *((3, 108, 36, False, _RE),) * 3),
            3: _v3((5, 108, 60, True, _RE), *((5, 180, 60, True, _RE),) * 2),
            4: _v3(
                (3, 240, 80, False, _HS),
                (3, 200, 80, False, _HS),
                (3, 184, 80, False, _HS),
                (3, 184, 80, False, _HS),
                (3, 480, 112, True, _HS),
                (3, 672, 112, True, _HS),
            ),
            5: _v3((5, 672, 160, True, _HS), *((5, 960, 160, True, _HS),) * 2),
            6: _v3(*((5, 960, 160, True, _HS),) * 2),
        },
    ),
    "vgg16": UnitTable(
        input_format=SSD_INPUT,
        stem="conv_bias_relu",
        stem_channels=64,
        stem_stride=1,
        stem_units=_vgg(64),
        stages={
            2: _vgg(128, 128),
            3: _vgg(256, 256, 256),
            4: _vgg(512, 512, 512),
            5: (
                *_vgg(512, 512, 512),
                Unit(kind="max_pool3", channels=512),
                Unit(kind="conv_bias_relu", channels=1024, dilation=6),
                Unit(kind="conv_bias_relu", channels=1024, kernel=1),
            ),
        },
        pooled=True,
    ),
    "lcnet": UnitTable(
        stem="conv_hswish",
        stem_channels=16,
        stem_stride=2,
        stem_units=_lcnet((3, 32)),
        stages=_lcnet_stages(64, 128, 256, 512),
        multiple=8,
    ),
    "shufflenetv2": UnitTable(
        stem="conv",
        stem_channels=24,
        stem_stride=2,
        stem_units=(),
        stages=_shuffle_stages(116, 232, 464),
        multiple=8,
    ),
    "tinynas-ns": UnitTable(
        stem="conv",
        stem_channels=16,
        stem_stride=2,
        stem_units=(),
        stages={
            2: _swish((88, 24)),
            3: _swish((160, 40), (160, 40)),
            4: _swish((288, 64), (288, 64), (400, 80), (400, 80)),
            5: (*_swish((880, 160)), _pooled(160), *_swish((880, 160))),
        },
        multiple=8,
    ),
    "tinynas-nm": UnitTable(
        stem="conv",
        stem_channels=16,
        stem_stride=2,
        stem_units=(),
        stages={
            2: _swish((144, 40), (144, 40)),
            3: _swish((256, 64), (256, 64)),
            4: _swish((504, 112), (504, 112), (640, 128), (640, 128)),
            5: (*_swish((1408, 256)), _pooled(256)),
        },
        multiple=8,
    ),
}
"""MobileNetV1 and VGG16 as in SSD; the MobileNetV3 variants `d` and `bc` as in TinyDet, P6 included; LCNet as in
PicoDet-S at width 0.75; ShuffleNetV2 as in NanoDet-Plus-m; the TinyNAS nets as in DAMO-YOLO Ns and Nm."""
NAMED_ONLY = ("lcnet", "shufflenetv2", "tinynas-ns", "tinynas-nm")
"""Tables that a search has only where the user names them: slow on boards with TensorRT."""

TABLE_VARIANTS = (
    TableVariant(name="0.35", table="lcnet", width=0.375, stages=_lcnet_stages(24, 48, 88, 176), differs_from=4),
    TableVariant(name="1.5", table="shufflenetv2", width=1.0, stages=_shuffle_stages(176, 352, 704), differs_from=3),
)
"""LCNet of PicoDet-XS and ShuffleNetV2 of NanoDet-Plus-m-1.5x, by their width in the papers."""

EXTRA_CHANNELS = {"separable": (512, 256, 256, 128), "plain": (512, 256, 256, 256)}
"""Channels of the four extra stages of SSD at width 1."""

BACKBONES = (*CHANNEL_TABLES, *UNIT_TABLES)


def scaled(channels: int, width: float, least: int = 8, multiple: int = 4) -> int:
    """Returns channels times a width, rounded to a multiple and at least `least`; unchanged at width 1."""
    return channels if width == 1 else max(least, multiple * round(channels * width / multiple))


def native_downsample(table: UnitTable, level: int) -> str:
    """Returns the downsampling of a table into a level; the pool of VGG into P4 rounds up."""
    if not table.pooled:
        return "strided"
    return "max_pool_ceil" if level == 4 else "max_pool"


def unit_backbone(table: UnitTable, stages: Iterable[Stage], **fields: Any) -> Backbone:
    """Returns the backbone of a table with the given stages; `fields` override the values of the table."""
    own: dict[str, Any] = {
        "stem": table.stem,
        "stem_channels": table.stem_channels,
        "stem_stride": table.stem_stride,
        "stem_units": table.stem_units,
        "context": "none",
    }
    return Backbone(**{**own, **fields}, stages=tuple(stages))


def unit_stage(level: int, units: tuple[Unit, ...], **fields: Any) -> Stage:
    """Returns the stage of a level with these units; `fields` are the other fields of `Stage`."""
    return Stage(level=level, channels=units[-1].channels, units=units, **fields)


@cache
def scaled_units(units: tuple[Unit, ...], width: float, squeeze: str, multiple: int = 4) -> tuple[Unit, ...]:
    """Returns units at a width, with squeeze and excitation as in the `table`, in `none` or in `all` of them."""
    forced = {"table": None, "none": False, "all": True}[squeeze]
    return tuple(
        replace(
            unit,
            channels=scaled(unit.channels, width, multiple=multiple),
            expanded=scaled(unit.expanded, width) if unit.expanded else 0,
            squeeze=unit.squeeze if forced is None else forced,
        )
        for unit in units
    )
