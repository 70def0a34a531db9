"""The latency model beside its peers, on networks that none of them was fitted on, in one run.

Usage: python benchmarks/latency.py [--draws 50] [--docs]. Needs the extra `study`. Prints what `nas latency validate`
prints. With --docs it writes that into docs/latency.md, and draws docs/latency.png.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from nas.commands.latency_validate import draw_plot, lines
from nas.cost.study import NANO, validate
from search_space.files import write_text

DOCS = Path(__file__).parents[1] / "docs"
BEGIN, END = "<!-- study -->\n```text\n", "```\n<!-- end of study -->"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=50, help="random draws of few networks and of candidates")
    parser.add_argument("--docs", action="store_true", help="write the result into the documentation")
    options = parser.parse_args()
    result = validate(draws=options.draws, report=lambda step: print(f"study: {step}", file=sys.stderr, flush=True))
    text = "\n".join(lines(result)) + "\n"
    print(text)
    if options.docs:
        page = (DOCS / "latency.md").read_text(encoding="utf-8")
        before, _, rest = page.partition(BEGIN)
        _, _, after = rest.partition(END)
        write_text(DOCS / "latency.md", before + BEGIN + text + END + after)
        draw_plot(NANO, DOCS / "latency.png")


if __name__ == "__main__":
    main()
