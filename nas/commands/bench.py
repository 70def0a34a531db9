"""`nas bench`: judges search strategies on tables of trained detectors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nas.commands.options import check_plot, echo_json, json_option, plugin_option, wide_option

if TYPE_CHECKING:
    from nas.bench.summary import Summary

DEFAULT_STRATEGIES = ("ehvi", "tpe", "nsga2", "random")


@click.command(name="bench")
@click.option(
    "--data-set",
    "data_sets",
    multiple=True,
    metavar="NAME",
    help="voc, sku110k, widerface, coco (default) or voc-scratch.",
)
@click.option(
    "--board",
    "boards",
    multiple=True,
    metavar="NAME",
    help="Whose latency: jetson-nano (default), intel-i7, khadas-vim3, raspberry-pi4, raspberry-pi4-ort, "
    "raspberry-pi4-int8, raspberry-pi5, orange-pi5 or nvidia-a40.",
)
@click.option(
    "--strategy",
    "strategies",
    multiple=True,
    metavar="NAME",
    help=f"ehvi, tpe, nsga2, evolution, random or grid. Default: {', '.join(DEFAULT_STRATEGIES)}.",
)
@click.option("--seeds", type=click.IntRange(1), default=20, metavar="N", help="Replays of each. Default: 20.")
@click.option("--evaluations", type=click.IntRange(1), default=120, metavar="N", help="Of a replay. Default: 120.")
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE", help="Draw the curves; needs matplotlib.")
@plugin_option
@wide_option
@json_option
def command(plot: Path | None, as_json: bool, **options: Any) -> None:
    """Replay tables of trained detectors, and count how many evaluations a strategy needs to have their front.

    As in a search, costs are known beforehand and an accuracy only once it is evaluated. What is counted are different
    detectors evaluated until 90, 95 and 99 % of the hypervolume of the true front is reached.

    \b
    Example:
      nas bench --data-set sku110k --strategy ehvi --strategy random --seeds 5
    """
    check_plot(plot)
    summaries = _summaries(**options, to_stderr=as_json)
    if plot is not None:
        from nas.bench.plot import draw

        draw(summaries, plot)
    if as_json:
        echo_json({"results": [summary.as_json() for summary in summaries]})
    else:
        _print(summaries)


def _summaries(
    *,
    data_sets: tuple[str, ...],
    boards: tuple[str, ...],
    strategies: tuple[str, ...],
    seeds: int,
    evaluations: int,
    to_stderr: bool,
) -> list[Summary]:
    """Replays every combination; all names are checked before anything runs."""

    from nas.bench.replay import check_strategy
    from nas.bench.summary import summarise
    from nas.bench.table import MAIN_DATA_SETS, load_table

    chosen = strategies or DEFAULT_STRATEGIES
    for name in chosen:
        check_strategy(name)
    tables = [
        load_table(data_set, board) for data_set in data_sets or MAIN_DATA_SETS for board in boards or ("jetson-nano",)
    ]
    with _progress(len(tables) * len(chosen) * seeds, to_stderr=to_stderr) as (progress, task):
        summaries = []
        for table in tables:
            for name in chosen:
                progress.update(task, description=f"{table.data_set} {table.board} {name}")
                summaries.append(
                    summarise(
                        table, name, seeds=range(seeds), evaluations=evaluations, done=lambda: progress.advance(task)
                    )
                )
    return summaries


def _progress(total: int, *, to_stderr: bool) -> Any:
    """Returns a context that gives a progress bar with rate and time left, and its task."""
    from contextlib import contextmanager

    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from nas.commands.display import console

    @contextmanager
    def shown() -> Any:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console(stderr=True), transient=True) as progress:
            yield progress, progress.add_task("", total=total, rate="replays")

    return shown()


def _print(summaries: list[Summary]) -> None:
    from nas.bench.replay import SHARES
    from nas.commands.table import Column, numbers, print_table

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
        f"Evaluations, median and quartiles of {len(summaries[0].replays)} seeds, to a share of the hypervolume of "
        "the true front in accuracy and log latency (linear: latency), reference its nadir."
    )


def cell(quartiles: tuple[float | None, ...], evaluations: int) -> str:
    """Returns a median with its quartiles as text; what was not reached is more than was allowed."""
    low, median, high = (f">{evaluations}" if value is None else f"{value:g}" for value in quartiles)
    return f"{median} ({low}-{high})"
