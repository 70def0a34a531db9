"""Prints the study of the latency model: its error on networks that it was not fitted on, beside baseline predictors.

    python -m benchmarks.latency_study --quick
    python -m benchmarks.latency_study --docs

Takes two to four minutes. The boosted trees need scikit-learn: pip install 'pyramidnas[study]'.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from benchmarks.latency_study.study import NANO, validate
from benchmarks.latency_study.text import draw_plot, lines
from search_space.files import write_text

DOCS = Path(__file__).parents[2] / "docs"
BEGIN, END = "<!-- study -->\n```text\n", "```\n<!-- end of study -->"


def main() -> None:
    """Runs the study and prints it, or writes it into the documentation."""
    options = arguments()
    result = validate(
        draws=options.draws,
        quick=options.quick,
        report=lambda step: print(f"study: {step}", file=sys.stderr, flush=True),
    )
    text = "\n".join(lines(result)) + "\n"
    print(json.dumps(result, indent=2) if options.json else text)
    if options.plot is not None:
        draw_plot(NANO, options.plot)
    if options.docs:
        page = (DOCS / "latency.md").read_text(encoding="utf-8")
        before, _, rest = page.partition(BEGIN)
        _, _, after = rest.partition(END)
        write_text(DOCS / "latency.md", before + BEGIN + text + END + after)
        draw_plot(NANO, DOCS / "latency.png")


def arguments() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.latency_study",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--draws", type=int, default=50, help="random draws of few networks and of candidates")
    parser.add_argument("--quick", action="store_true", help="skip the nested intervals and folds, the slowest steps")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw predicted against measured latencies")
    parser.add_argument("--docs", action="store_true", help="write text and plot into docs/latency.md")
    options = parser.parse_args()
    if options.draws < 1:
        parser.error(f"--draws must be positive, got {options.draws}")
    if options.docs and options.quick:
        parser.error("--docs needs the whole study; drop --quick")
    return options


if __name__ == "__main__":
    main()
