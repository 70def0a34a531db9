"""Read widths and repeats of a known layer list from the shapes of a file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from search_space import Architecture, Backbone, Neck, Stage, lower
from trainers.importing.fitting import PlacedFile

REPEAT = re.compile(r"m\.(\d{1,3})\.")
"""In files of Ultralytics, the repeats of a block."""
JOINS = ("join.conv.weight",)
DOWNS = ("conv.weight", "conv.conv.weight")


class _Shapes:
    """The shapes of a file by our names, and the repeats of its blocks, as far as a template has such tensors."""

    def __init__(self, file: PlacedFile, template: Architecture, num_classes: int) -> None:
        shapes = file.shapes
        repeats: dict[int, int] = {}
        for place in shapes:
            match = REPEAT.match(place.name)
            if match is not None:
                repeats[place.layer] = max(repeats.get(place.layer, 0), int(match[1]) + 1)
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._repeats: dict[str, int] = {}
        places = file.layout.places(lower(template, num_classes=num_classes), norms_folded=file.foreign.norms_folded)
        for place, owns in places.items():
            if place in shapes:
                self._shapes[owns[0].name] = shapes[place]
                self._repeats.setdefault(owns[0].node, repeats.get(place.layer, 0))

    def of(self, node: str, names: tuple[str, ...]) -> tuple[int, ...] | None:
        """Returns the shape of the first of these tensors of a node that the file has."""
        return next((self._shapes[full] for name in names if (full := f"blocks.{node}.{name}") in self._shapes), None)

    def channels(self, node: str, names: tuple[str, ...], otherwise: int) -> int:
        """Returns the output channels of a convolution of a node, or a default."""
        shape = self.of(node, names)
        return shape[0] if shape else otherwise

    def repeats(self, node: str, otherwise: int) -> int:
        """Returns the repeats of the block of a node, or a default."""
        return self._repeats.get(node, 0) or otherwise


def refitted(file: PlacedFile, template: Architecture, num_classes: int) -> Architecture | None:
    """Returns a template with the widths and repeats of a file, or None where it has no such numbers.

    Only detectors with a `pan` have them. Whether all tensors fit is left to a comparison.

    Raises:
        SpaceError: The numbers make no architecture.
    """
    neck = template.neck
    if file.layout.table != "ultralytics" or neck is None or neck.kind != "pan":
        return None
    shapes = _Shapes(file, template, num_classes)
    backbone = _backbone(shapes, template.backbone)
    box = shapes.channels(f"head{template.head.finest_level}", ("box_tower.0.conv.weight",), 0)
    if not box:
        return None
    refit = replace(template, backbone=backbone, head=replace(template.head, box_channels=box))
    return replace(refit, neck=_neck(shapes, refit, neck))


def _backbone(shapes: _Shapes, template: Backbone) -> Backbone:
    stem = shapes.of("stem", ("conv.weight",))
    attention = shapes.repeats("context_attention", template.context_repeats)
    return replace(
        template,
        stem_channels=stem[0] if stem else template.stem_channels,
        stem_kernel=stem[2] if stem and len(stem) == 4 else template.stem_kernel,
        stages=tuple(_stage(shapes, stage) for stage in template.stages),
        context_repeats=attention if template.context.endswith("c2psa") else 1,
    )


def _stage(shapes: _Shapes, template: Stage) -> Stage:
    name = f"p{template.level}"
    channels = shapes.channels(f"{name}_block", JOINS, template.channels)
    down = shapes.channels(f"{name}_down", DOWNS, template.down_channels or template.channels)
    return replace(
        template,
        channels=channels,
        down_channels=None if down == channels else down,
        repeats=shapes.repeats(f"{name}_block", template.repeats),
    )


def _neck(shapes: _Shapes, architecture: Architecture, template: Neck) -> Neck:
    of_stages = {stage.level: stage.channels for stage in architecture.backbone.stages}
    names = {level: f"{'up' if level == max(of_stages) else 'down'}{level}_block" for level in architecture.neck_levels}
    channels = {level: shapes.channels(name, JOINS, of_stages[level]) for level, name in names.items()}
    coarsest = architecture.head.coarsest_level
    down = shapes.of(f"up{coarsest}_down", ("conv.weight",))
    narrowed = down[0] / down[1] if down and len(down) == 4 and template.downsample_to == "input" else None
    return replace(
        template,
        channels=None if channels == _matching(of_stages, channels) else tuple(channels.values()),
        repeats=shapes.repeats(f"down{architecture.head.finest_level}_block", template.repeats),
        last_downsample_width=narrowed if narrowed is not None and 0 < narrowed <= 1 else 1.0,
    )


def _matching(of_stages: Mapping[int, int], channels: Mapping[int, int]) -> dict[int, int]:
    return {level: of_stages[level] for level in channels}
