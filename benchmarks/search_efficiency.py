"""Counts the evaluations that the default strategy, random points and Optuna's samplers need to find YOLOBench's front.

All four fine-tuned data sets with the latency of the Jetson Nano, 20 seeds; about ten minutes on one free core.
Required, as medians on at least three of the four data sets: the default strategy reaches 95 % of the hypervolume in at
most a third of the evaluations of random points, 99 % in at most half, and both in fewer than each sampler of Optuna.

Usage: python -m benchmarks.search_efficiency [--seeds 20] [--evaluations 150] [--plot docs/bench.png]
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.sampler_peers import PEERS, peer_order
from nas.bench.plot import draw
from nas.bench.replay import SHARES
from nas.bench.summary import Summary, summarise
from nas.bench.table import MAIN_DATA_SETS, load_table
from nas.engine.strategies import DEFAULT_STRATEGY

RESULTS = Path(__file__).parent / "results" / "search_efficiency.csv"
BARS = {0.95: 1 / 3, 0.99: 1 / 2}
"""Largest allowed ratio of the evaluations of the default strategy to those of random points, by share."""
MIN_DATA_SETS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--evaluations", type=int, default=150, help="limit of each strategy except random")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    summaries = []
    for data_set in MAIN_DATA_SETS:
        for strategy in (DEFAULT_STRATEGY, "random", *PEERS):
            summaries.append(replayed(data_set, strategy, options.seeds, options.evaluations))
        write(summaries, options.out)
    if options.plot is not None:
        draw(summaries, options.plot)
    for line in verdict(summaries):
        print(line)


def replayed(data_set: str, strategy: str, seeds: int, evaluations: int) -> Summary:
    """Replays a strategy and prints its line."""
    began = time.perf_counter()
    table = load_table(data_set)
    allowed = len(table.points) if strategy == "random" else evaluations
    order = peer_order if strategy in PEERS else None
    summary = summarise(table, strategy, seeds=range(seeds), evaluations=allowed, order=order)
    medians = ", ".join(f"{100 * share:.0f} %: {summary.median(share)}" for share in SHARES)
    print(f"{data_set:10} {strategy:13} {medians}  ({(time.perf_counter() - began) / seeds:.1f} s a seed)", flush=True)
    return summary


def write(summaries: Sequence[Summary], path: Path) -> None:
    """Writes one row per data set and strategy; a cell is empty if the share was not reached."""
    rows = list(_rows(summaries))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _rows(summaries: Sequence[Summary]) -> Iterator[dict[str, object]]:
    for summary in summaries:
        row: dict[str, object] = {
            "data_set": summary.data_set,
            "board": summary.board,
            "strategy": summary.strategy,
            "seeds": len(summary.replays),
            "evaluations": summary.evaluations,
        }
        for kind, linear in (("log", False), ("linear", True)):
            for share in SHARES:
                names = (f"{kind}_{100 * share:.0f}_{part}" for part in ("q1", "median", "q3"))
                row |= dict(zip(names, summary.quartiles(share, linear=linear), strict=True))
        yield row


def verdict(summaries: Sequence[Summary]) -> Iterator[str]:
    """Yields a line per requirement: on how many data sets it is met."""
    medians = {(s.data_set, s.strategy, share): s.median(share) for s in summaries for share in BARS}
    data_sets = list(dict.fromkeys(summary.data_set for summary in summaries))
    for share, bar in BARS.items():
        ratios = {name: _ratio(medians, name, "random", share) for name in data_sets}
        yield _line(f"{100 * share:.0f} %: at most {bar:.2f} of random's", ratios, bar)
        for peer in PEERS:
            ratios = {name: _ratio(medians, name, peer, share) for name in data_sets}
            yield _line(f"{100 * share:.0f} %: fewer than {peer}", ratios, 1 - 1e-9)


def _ratio(medians: dict[tuple[str, str, float], float | None], data_set: str, peer: str, share: float) -> float:
    """Returns the evaluations of the default strategy over those of a peer; 0 if only the peer missed the share."""
    own, other = medians[data_set, DEFAULT_STRATEGY, share], medians[data_set, peer, share]
    if own is None:
        return float("inf")
    return 0.0 if other is None else own / other


def _line(what: str, ratios: dict[str, float], bar: float) -> str:
    met = sum(ratio <= bar for ratio in ratios.values())
    listed = ", ".join(
        f"{name} {'not reached by it' if not ratio else f'{ratio:.2f}'}" for name, ratio in ratios.items()
    )
    return f"{'met' if met >= MIN_DATA_SETS else 'MISSED'}  {what}: {met} of {len(ratios)} ({listed})"


if __name__ == "__main__":
    main()
