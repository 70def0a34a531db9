"""Designs: published detectors with their figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from search_space.architecture import Architecture
from search_space.registry import Registry


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure published by a paper or its repository."""

    value: float
    unit: str
    note: str = ""
    num_classes: int | None = None
    """Number of classes of the figure, where it differs from that of the design."""


@dataclass(frozen=True, kw_only=True)
class Design:
    """A named architecture from a paper or a public repository."""

    name: str
    architecture: Architecture
    paper: str
    citation: str
    num_classes: int
    """Number of classes of the published counts."""
    published: Mapping[str, Figure]
    """Published figures by name: `params_m_folded`, `visdrone_val_map50`, …"""
    derived: bool = False
    """Whether the design was derived for an ablation of the paper, of which no file was published."""
    reference: bool = False
    """Whether it is a general detector, for comparison with those for small objects; its weights are not imported."""
    by_name: bool = False
    """Whether a search starts with it only where it is named, and no file of weights is identified as it."""
    notes: str = ""
    recipe: str = ""
    """Name of the recipe by which its authors train it; empty: none is known."""
    weights: str = ""
    """Where its authors publish weights; empty: nowhere, or their files are not read here."""


DESIGNS: Registry[Design] = Registry("design")


def percent(**values: float) -> dict[str, Figure]:
    """Returns published accuracies in percent."""
    return {name: Figure(value=value, unit="%") for name, value in values.items()}
