"""`nas bench`: compare search strategies on tables of trained detectors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nas.commands.options import common_options, complete, echo_json

if TYPE_CHECKING:
    from nas.api.bench import StrategyComparison


@click.command(name="bench")
@click.option(
    "--data-set",
    multiple=True,
    metavar="NAME",
    help="Data set of the accuracies: voc, sku110k, widerface, coco (default) or voc-scratch.",
)
@click.option(
    "--board",
    multiple=True,
    metavar="NAME",
    help="Board of the latencies: jetson-nano (default), intel-i7, khadas-vim3, raspberry-pi4, raspberry-pi4-ort, "
    "raspberry-pi4-int8, raspberry-pi5, orange-pi5 or nvidia-a40.",
)
@click.option(
    "--strategy",
    multiple=True,
    metavar="NAME",
    shell_complete=complete("strategy"),
    help="ehvi, tpe, nsga2, evolution, random or grid. May be repeated. Default: ehvi, tpe, nsga2, random.",
)
@click.option("--seeds", type=click.IntRange(1), default=20, metavar="N", help="Replays per strategy. Default: 20.")
@click.option(
    "--evaluations", type=click.IntRange(1), default=120, metavar="N", help="Evaluations per replay. Default: 120."
)
@click.option(
    "--plot", type=click.Path(path_type=Path), metavar="FILE", help="Plot the curves to this file; needs matplotlib."
)
@common_options
def command(as_json: bool, **options: Any) -> None:
    """Count the evaluations that a strategy needs to find the front of a table of trained detectors.

    As in a search, costs are known in advance, and an accuracy only after its evaluation. The result is the number of
    different detectors evaluated until 90, 95 and 99 % of the hypervolume of the true front are reached.

    \b
    Example:
      nas bench --data-set sku110k --strategy ehvi --strategy random --seeds 5
    """
    from nas.api.bench import compare_strategies
    from nas.commands.progress import progress_bar

    with progress_bar(unit="replays", always=True) as on_progress:
        result = compare_strategies(on_progress=on_progress, **options)
    return echo_json(result.to_dict()) if as_json else print_comparison(result)


def print_comparison(result: StrategyComparison) -> None:
    """Prints the evaluations of each strategy to each share, with their quartiles."""
    from nas.bench.replay import SHARES
    from nas.commands.table import Column, numbers, print_table

    summaries = result.results
    columns = (
        *(Column(title, is_name=True) for title in ("data set", "board", "strategy")),
        *(numbers(f"to {100 * share:.0f} %", priority=1) for share in SHARES),
        numbers("to 95 %, linear", priority=2),
    )
    rows: list[tuple[str, ...]] = []
    before = None
    for summary in summaries:
        if before is not None and (summary.data_set, summary.board) != before:
            rows.append(())
        before = (summary.data_set, summary.board)
        cells = [cell(summary.quartiles(share), summary.evaluations) for share in SHARES]
        linear = cell(summary.quartiles(0.95, linear=True), summary.evaluations)
        rows.append((*before, summary.strategy, *cells, linear))
    print_table(columns, rows)
    click.echo(
        f"Evaluations until a share of the hypervolume of the true front is reached: median and quartiles of "
        f"{len(summaries[0].replays)} seeds. Axes: accuracy and log latency (linear: latency); reference: nadir."
    )


def cell(quartiles: tuple[float | None, ...], evaluations: int) -> str:
    """Returns a median with its quartiles as text; one that was not reached is above the limit."""
    low, median, high = (f">{evaluations}" if value is None else f"{value:g}" for value in quartiles)
    return f"{median} ({low}-{high})"
