"""What every reader does with doubtful boxes: clip or drop, and count."""

from __future__ import annotations

import logging
import math
from collections import Counter
from dataclasses import dataclass, field

logger = logging.getLogger(__name__)

MIN_SIDE_PX = 0.1
CLIP_TOLERANCE_PX = 1.0


@dataclass(kw_only=True)
class Doubts:
    """Counts what was wrong in one annotation file, so that it is reported once and not box by box."""

    source: str
    dropped: Counter[str] = field(default_factory=Counter)
    clipped: int = 0
    example: str = ""

    def drop(self, reason: str, where: str) -> None:
        """Counts a label that is left out."""
        self.dropped[reason] += 1
        self.example = self.example or where

    def check(self, box: tuple[float, float, float, float], hw: tuple[int, int], where: str) -> list[float] | None:
        """Returns a box `(x1, y1, x2, y2)` clipped to an image of `(H, W)`, or None if nothing usable is left."""
        if not all(math.isfinite(value) for value in box):
            self.drop("not a number", where)
            return None
        x1, y1, x2, y2 = box
        if x2 - x1 < MIN_SIDE_PX or y2 - y1 < MIN_SIDE_PX:
            self.drop("without area", where)
            return None
        inside = [min(max(x1, 0), hw[1]), min(max(y1, 0), hw[0]), min(max(x2, 0), hw[1]), min(max(y2, 0), hw[0])]
        if inside[2] - inside[0] < MIN_SIDE_PX or inside[3] - inside[1] < MIN_SIDE_PX:
            self.drop("outside the image", where)
            return None
        if max(abs(old - new) for old, new in zip(box, inside, strict=True)) > CLIP_TOLERANCE_PX:
            self.clipped += 1
            self.example = self.example or where
        return inside

    def notices(self) -> tuple[str, ...]:
        """Returns one line that says what was done, or nothing; the line is logged as well."""
        parts = [f"{sum(self.dropped.values())} labels left out ("] if self.dropped else []
        if parts:
            parts[0] += ", ".join(f"{count} {reason}" for reason, count in self.dropped.most_common()) + ")"
        if self.clipped:
            parts.append(f"{self.clipped} boxes clipped to the image")
        if not parts:
            return ()
        line = f"{self.source}: {', '.join(parts)}; first: {self.example}"
        logger.warning(line)
        return (line,)
