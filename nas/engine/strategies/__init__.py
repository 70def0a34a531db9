"""The strategies: which point to try next. Each is in a file of its own and registered by its name."""

from __future__ import annotations

from nas.engine.proposal import STRATEGIES, Proposal, Strategy
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
    "nsga2",
    "random",
    "tpe",
]
