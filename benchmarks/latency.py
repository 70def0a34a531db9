"""The latency model beside its peers, on networks that none of them was fitted on, in one run.

Usage: python benchmarks/latency.py [--draws 50] [--docs]. Needs the extra `study`. Prints what `nas latency validate`
prints, then the ratio of the error of each peer to the model's. With --docs it writes both into docs/latency.md, and
docs/latency.png.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from nas.commands.latency_validate import SPLITS, draw_plot, lines
from nas.cost.baselines import PEERS
from nas.cost.study import NANO, validate
from search_space.files import write_text

DOCS = Path(__file__).parents[1] / "docs"
BEGIN, END = "<!-- study -->\n```text\n", "```\n<!-- end of study -->"


def ratios(result: dict[str, dict[str, dict[str, dict[str, float]]]]) -> list[str]:
    """Returns one line a board and split: how many times the model's error the error of each peer is."""
    rows = []
    for board in ("jetson_nano", "nvidia_a40"):
        for split in SPLITS:
            model = result[board]["model"][split]["mean_percent"]
            parts = [f"{peer} {result[board][peer][split]['mean_percent'] / model:.1f}x" for peer in PEERS]
            rows.append(f"{board} {split.replace('_', ' ')}: error against this model's: {', '.join(parts)}")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=50, help="random draws of few networks and of candidates")
    parser.add_argument("--docs", action="store_true", help="write the result into the documentation")
    options = parser.parse_args()
    result = validate(draws=options.draws, report=lambda step: print(f"study: {step}", file=sys.stderr, flush=True))
    text = "\n".join([*lines(result), "", *ratios(result)]) + "\n"
    print(text)
    if options.docs:
        page = (DOCS / "latency.md").read_text(encoding="utf-8")
        before, _, rest = page.partition(BEGIN)
        _, _, after = rest.partition(END)
        write_text(DOCS / "latency.md", before + BEGIN + text + END + after)
        draw_plot(NANO, DOCS / "latency.png")


if __name__ == "__main__":
    main()
