"""The cost of an architecture, and budgets that limit it."""

from __future__ import annotations

from nas.cost.budget import Budget, Violation
from nas.cost.cost import Cost, Latency, cost_of, forget_blocks, meta_block, node_costs, peak_memory

__all__ = [
    "Budget",
    "Cost",
    "Latency",
    "Violation",
    "cost_of",
    "forget_blocks",
    "meta_block",
    "node_costs",
    "peak_memory",
]
