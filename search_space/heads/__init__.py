"""The heads of detectors: a kind of head a file, and the parts that they are made of."""

from __future__ import annotations

from search_space.heads import anchor_free, ssd, two_stage  # noqa: F401  they register themselves
