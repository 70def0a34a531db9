"""The kinds of detection head, one file each, and their parts."""

from __future__ import annotations

from search_space.heads import anchor_free_kind, gated, ssd, two_stage  # noqa: F401  they register themselves
