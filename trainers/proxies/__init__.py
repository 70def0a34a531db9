"""Zero-cost proxies: scores of untrained detectors that rank candidates before training.

docs/proxies.md compares their rank correlations with those of plain counts.
"""

from __future__ import annotations

from trainers.proxies import gradient_norm, nwot, synflow, zen, zico  # noqa: F401  they register themselves
from trainers.proxies.batch import proxy_batch
from trainers.proxies.proxy import PROXIES, Proxy, proxy

__all__ = ["PROXIES", "Proxy", "proxy", "proxy_batch"]
