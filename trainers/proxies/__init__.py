"""Scores of untrained detectors, so that candidates can be ranked before any of them is trained.

How far each of them can be trusted, and what plain counts do beside them, is told in docs/proxies.md.
"""

from __future__ import annotations

from trainers.proxies import gradient_norm, nwot, synflow, zen, zico  # noqa: F401  they register themselves
from trainers.proxies.batch import proxy_batch
from trainers.proxies.proxy import PROXIES, Proxy, proxy

__all__ = ["PROXIES", "Proxy", "proxy", "proxy_batch"]
