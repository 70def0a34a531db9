"""Coverage of the 90 % intervals for families of networks that were not measured, family by family.

    python -m benchmarks.family_coverage
    python -m benchmarks.family_coverage --docs

Each family of detectors of the Jetson Nano and the A40 is left out in turn: constants, residual, scale and quantiles
come from the other families alone. A family of classifiers on the Nano is left out of the fit, and its errors are left
out of the quantile; the errors of the other families, which the quantile is taken of, come from fits that contain it.
Takes about one minute.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.latency_study.study import A40, NANO, named_folds, nested_predictions, parts_of
from nas.cost.calibration import family_folds, hold_out
from nas.cost.families import MIN_NETWORKS, family_quantiles
from nas.cost.measurements import Measurements, joined
from nas.cost.profile import Profile, prior
from nas.cost.terms import Vector
from search_space.files import write_text

LEVEL = 0.9
LOWEST, HIGHEST = 87.0, 97.0
"""Coverage in percent that an interval of 90 % is meant to have in each family."""
PAGE = Path(__file__).parents[1] / "docs" / "latency.md"
BEGIN, END = "<!-- families -->\n```text\n", "```\n<!-- end of families -->"


def detector_families(name: str) -> dict[str, Any]:
    """Returns coverage, half-width and bias in percent of each family of detectors, all nested."""
    detectors = parts_of(name)[1][0]
    made = nested_predictions(name, "families")
    off, half = np.log(detectors.latency_ms / made.latency_ms), np.log(made.high_ms / made.latency_ms)
    return {
        family: {**figures(off[mask], half[mask]), "unlike_percent": percent(made.unlike_measured[mask])}
        for family, mask in masks(detectors).items()
    }


def masks(measurements: Measurements) -> dict[str, Vector]:
    """Returns which networks belong to each family of at least `MIN_NETWORKS`."""
    folds, names = named_folds(measurements.families), np.unique(np.asarray(measurements.families))
    found = {str(name): folds == fold for fold, name in enumerate(names)}
    return {name: mask for name, mask in found.items() if mask.sum() >= MIN_NETWORKS}


def percent(mask: Vector) -> float:
    """Returns the share of true elements in percent."""
    return round(float(100 * np.mean(mask)), 1)


def figures(off: Vector, half: Vector) -> dict[str, float]:
    """Returns the figures of one family from its log errors and the half-widths of its log intervals."""
    return {
        "networks": len(off),
        "bias_percent": round(float(100 * np.expm1(off.mean())), 1),
        "coverage_percent": percent(np.abs(off) <= half),
        "half_width_percent": round(float(100 * np.expm1(np.median(half))), 1),
    }


def left_out(profile: Profile, measurements: Measurements) -> dict[str, dict[str, float]]:
    """Leaves each family out of the fit once, and its errors out of the quantile of its own interval."""
    held_out = hold_out(prior(profile), measurements, family_folds(measurements)[0])
    off = np.log(measurements.latency_ms / held_out.latency_ms)
    families = np.asarray(measurements.families)
    found = {}
    for family, mask in masks(measurements).items():
        scores = np.abs(off[~mask]) / held_out.scale[~mask]
        bound = family_quantiles(scores, tuple(families[~mask]), (LEVEL,))[LEVEL]
        found[family] = figures(off[mask], bound * held_out.scale[mask])
    return found


def study() -> dict[str, Any]:
    """Returns the figures of all families, JSON-ready."""
    profile, parts = parts_of(NANO)
    classifiers = {
        family: row for family, row in left_out(profile, joined(parts)).items() if family in parts[1].families
    }
    return {NANO: detector_families(NANO), A40: detector_families(A40), "classifiers": classifiers}


def lines(result: Mapping[str, Any]) -> Iterator[str]:
    """Yields the figures as lines of text."""
    for title, board in (("Jetson Nano, ONNX Runtime FP32", NANO), ("NVIDIA A40, TensorRT", A40)):
        yield f"{title}: each family of detectors left out of everything"
        yield from _table(result[board])
        yield ""
    yield _title(result["classifiers"])
    yield from _table(result["classifiers"])


def _title(rows: Mapping[str, Any]) -> str:
    """Returns the title of the table of classifiers, with the number of families that are covered."""
    good = sum(row["coverage_percent"] >= LOWEST for row in rows.values())
    return (
        f"Jetson Nano: {len(rows)} families of {MIN_NETWORKS} or more classifiers, left out of the fit; "
        f"{good} are covered by {LOWEST:g} % or more"
    )


def _table(rows: Mapping[str, Any]) -> Iterator[str]:
    yield f"{'family':<14}{'networks':>9}{'measured over predicted':>25}{'covered':>10}{'half-width':>12}"
    for family, row in rows.items():
        covered = row["coverage_percent"]
        verdict = "below" if covered < LOWEST else "above" if covered > HIGHEST else ""
        yield (
            f"{family:<14}{row['networks']:>9}{row['bias_percent']:>+23.1f} %{covered:>8.1f} %"
            f"{row['half_width_percent']:>10.1f} %  {verdict}"
        ).rstrip()
    worst = min(rows, key=lambda family: rows[family]["coverage_percent"])
    yield f"worst family: {worst}, {rows[worst]['coverage_percent']:.1f} % covered"


def main() -> None:
    """Runs the study and prints it, or writes it into the documentation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--docs", action="store_true", help="write the table into docs/latency.md")
    options = parser.parse_args()
    result = study()
    text = "\n".join(lines(result)) + "\n"
    print(json.dumps(result, indent=2) if options.json else text)
    if options.docs:
        before, begin, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        _, end, after = rest.partition(END)
        if not (begin and end):
            parser.error(f"{PAGE} has no place for the table: {BEGIN.splitlines()[0]}")
        write_text(PAGE, before + BEGIN + text + END + after)


if __name__ == "__main__":
    main()
