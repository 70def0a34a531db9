"""The axes, and the conversion between the choices of a point and its architecture, part by part."""

from __future__ import annotations

from collections import Counter

from search_space.architecture import Architecture
from search_space.axis import Axis, Params, Point
from search_space.errors import SpaceError
from search_space.point import activation_axes, backbone, head, layout, neck, tiles

__all__ = ["all_axes", "decode", "optional_axes", "read"]


def all_axes() -> tuple[Axis, ...]:
    """Returns the axes in dependency order: whether an axis is active depends only on the axes before it.

    Raises:
        SpaceError: Two axes have the same name, because of a kind of head.
    """
    axes = (*layout.axes(), *backbone.axes(), *neck.axes(), *activation_axes.axes(), *head.axes())
    names = Counter(axis.name for axis in axes)
    for name in (name for name, count in names.items() if count > 1):
        raise SpaceError(f"two axes are called {name!r}; choose another name for the axis of the new head")
    return axes


def optional_axes() -> tuple[Axis, ...]:
    """Returns the axes that a space has only where they are asked for by name; they come after all others."""
    return tiles.axes()


def decode(params: Point) -> Architecture:
    """Returns the architecture of a point."""
    size = layout.input_size(params)
    return Architecture(
        input_hw=(size, size),
        backbone=backbone.decode(params),
        neck=neck.decode(params) if layout.topology(params) != "none" else None,
        head=head.decode(params),
        extras=backbone.decode_extras(params),
        input_format=backbone.input_format(params),
        tiles=tiles.decode(params),
        **activation_axes.decode(params),  # type: ignore[arg-type]
    )


def read(architecture: Architecture) -> Params:
    """Returns a choice for every axis that may be active for an architecture; raises SpaceError where none fits.

    The result may contain choices outside the space. They are found when the active ones are checked and decoded.
    """
    rest = {**layout.read(architecture), **backbone.read(architecture)}
    rest |= {**neck.read(architecture, rest), **head.read(architecture), **activation_axes.read(architecture)}
    return {**rest, **tiles.read(architecture)}
