"""The strategies: which point to try next. Each is in a file of its own and registered by its name."""

from __future__ import annotations

from nas.search.proposal import STRATEGIES, Proposal, Strategy
from nas.search.strategies import evolution, grid, nsga2, random, tpe

DEFAULT_STRATEGY = "tpe"

__all__ = ["DEFAULT_STRATEGY", "STRATEGIES", "Proposal", "Strategy", "evolution", "grid", "nsga2", "random", "tpe"]
