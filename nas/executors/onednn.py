"""The size of oneDNN's cache of primitives in a process that trains one architecture after the other."""

from __future__ import annotations

import os
from collections.abc import MutableMapping

CAPACITY = 20_000
"""Primitives; a trial needs some hundred, an unused place takes no memory."""
NAMES = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "DNNL_PRIMITIVE_CACHE_CAPACITY")
"""The variable that oneDNN reads before its first primitive, and its former name."""


def enlarge_primitive_cache(environment: MutableMapping[str, str] = os.environ) -> None:
    """Sets how many primitives oneDNN keeps, unless the user has; by default it keeps 1024.

    It has no effect where this process has already run a layer on its CPU.
    """
    if not any(name in environment for name in NAMES):
        environment[NAMES[0]] = str(CAPACITY)
