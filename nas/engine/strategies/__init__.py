"""The strategies, which propose the next point; each is registered by its name in a file of its own."""

from __future__ import annotations

from nas.engine.proposal import STRATEGIES, Proposal, Strategy, has_surrogate
from nas.engine.strategies import ehvi, evolution, grid, nsga2, random, tpe
from nas.settings import RunSettings

DEFAULT_STRATEGY = RunSettings.strategy

__all__ = [
    "DEFAULT_STRATEGY",
    "STRATEGIES",
    "Proposal",
    "Strategy",
    "ehvi",
    "evolution",
    "grid",
    "has_surrogate",
    "nsga2",
    "random",
    "tpe",
]
