"""The inspection report of a data set, as plain data with stable keys."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from nas.advice.advice import Advice, advise
from nas.advice.box_sizes import BoxSizes, Sides, box_sizes, histogram, num_under
from nas.advice.contents import Contents, contents
from nas.advice.leaks import ALIKE, CHANCE, Leaks
from nas.advice.levels import num_seen, num_served
from nas.advice.notes import notes
from nas.advice.recommendation import Recommendation
from search_space import SearchSpace
from search_space.space import INPUT_AXES
from trainers.data import DataSplits


@dataclass(frozen=True, kw_only=True)
class InspectionReport:
    """What is known about a data set, and the advice for it."""

    parts: tuple[Contents, ...]
    sizes: BoxSizes
    """Sizes of the training boxes."""
    leaks: Leaks
    advice: Advice
    notes: tuple[Recommendation, ...]

    @property
    def items(self) -> tuple[Recommendation, ...]:
        """All advice; that on axes of the search space comes first."""
        return (*self.advice.items, *self.notes)

    def to_dict(self) -> dict[str, Any]:
        """Returns the report as JSON-ready fields: integer counts, unrounded shares."""
        return {
            "parts": [asdict(part) for part in self.parts],
            "image_sizes": [
                {"width": width, "height": height, "num_images": count}
                for (height, width), count in zip(self.sizes.hws, self.sizes.num_images, strict=True)
            ],
            "original": _sizes(self.sizes.original),
            "inputs": [_input(self.sizes, size) for size in input_sizes()],
            "levels": [asdict(level) for level in self.advice.levels],
            "considered_px": list(self.advice.considered),
            "leaks": {
                **asdict(self.leaks),
                "chance": CHANCE,
                "alike": ALIKE,
                "pairs": [{**asdict(pair), "share": pair.share} for pair in self.leaks.pairs],
            },
            "advice": [asdict(item) for item in self.items],
            "run_flags": run_flags(self.advice.items),
        }


def make_report(splits: DataSplits, leaks: Leaks) -> InspectionReport:
    """Builds the report of a data set; the advice on the search space uses the training images alone."""
    parts = [contents("train", splits.train), contents("val", splits.val)]
    return InspectionReport(
        parts=tuple(parts),
        sizes=box_sizes(splits.train.records),
        leaks=leaks,
        advice=advise(splits.train.records),
        notes=notes(parts, leaks),
    )


def input_sizes() -> list[int]:
    """Returns all input sizes in px of the search space."""
    space = SearchSpace()
    return sorted({int(choice) for name in INPUT_AXES for choice in space.axis(name).choices})


def run_flags(items: Iterable[Recommendation]) -> list[str]:
    """Returns the arguments that restrict `nas run` to the advice."""
    return [word for item in items if item.choices for word in item.flags]


def _input(sizes: BoxSizes, input_px: int) -> dict[str, Any]:
    sides = sizes.at(input_px)
    return {
        "input_px": input_px,
        **_sizes(sides),
        "served": {f"P{level}": count for level, count in num_served(sides).items()},
        "seen": {f"P{level}": count for level, count in num_seen(sides).items()},
    }


def _sizes(sides: Sides) -> dict[str, Any]:
    return {
        "bins": [asdict(each) for each in histogram(sides)],
        "under_px": {str(limit): count for limit, count in num_under(sides).items()},
    }
