"""Strategies of a search, compared on tables of trained detectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.api.bounds import check_at_least
from nas.api.plots import check_plot
from nas.api.result import OnProgress, ProgressUpdate, Result, table_of

if TYPE_CHECKING:
    import pandas as pd

    from nas.bench.summary import Summary

DEFAULT_STRATEGIES = ("ehvi", "tpe", "nsga2", "random")
DEFAULT_BOARDS = ("jetson-nano",)


@dataclass(frozen=True, kw_only=True)
class StrategyComparison(Result):
    """How many evaluations each strategy needs on each table."""

    results: tuple[Summary, ...]

    @property
    def frame(self) -> pd.DataFrame:
        """The medians as a table, a row for each strategy on a table; NaN where a share was not reached."""
        from nas.bench.replay import SHARES

        return table_of(
            {
                "data_set": each.data_set,
                "board": each.board,
                "strategy": each.strategy,
                **{f"to {100 * share:.0f} %": each.median(share) for share in SHARES},
            }
            for each in self.results
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON-ready data."""
        return {"results": [each.as_json() for each in self.results]}


def compare_strategies(
    *,
    data_set: str | Sequence[str] = (),
    board: str | Sequence[str] = DEFAULT_BOARDS,
    strategy: str | Sequence[str] = DEFAULT_STRATEGIES,
    seeds: int = 20,
    evaluations: int = 120,
    plot: str | Path | None = None,
    on_progress: OnProgress | None = None,
) -> StrategyComparison:
    """Replays tables of trained detectors and counts the evaluations that a strategy needs to find their front.

    Args:
        data_set: data sets of the tables; none: the default one.
        board: board of the latencies.
        strategy: strategies to compare, as in `nas run`.
        seeds: replays per strategy.
        evaluations: evaluations per replay.
        plot: file to plot the curves to; needs matplotlib.
        on_progress: is called after each replay.

    Raises:
        UserError: a name is not known, or the plot cannot be written.
    """
    from nas.bench.replay import check_strategy
    from nas.bench.summary import summarise
    from nas.bench.table import MAIN_DATA_SETS, load_table

    check_plot(None if plot is None else Path(plot))
    check_at_least("--seeds", seeds, 1)
    check_at_least("--evaluations", evaluations, 1)
    chosen = _names(strategy) or DEFAULT_STRATEGIES
    for name in chosen:
        check_strategy(name)
    boards = _names(board) or DEFAULT_BOARDS
    tables = [load_table(each, other) for each in _names(data_set) or MAIN_DATA_SETS for other in boards]
    total, done = len(tables) * len(chosen) * seeds, 0

    def advance() -> None:
        nonlocal done
        done += 1
        if on_progress is not None:
            on_progress(ProgressUpdate(task="replays", done=done, total=total))

    summaries = tuple(
        summarise(table, name, seeds=range(seeds), evaluations=evaluations, done=advance)
        for table in tables
        for name in chosen
    )
    if plot is not None:
        from nas.bench.plot import draw

        draw(list(summaries), Path(plot))
    return StrategyComparison(results=summaries)


def _names(given: str | Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)
