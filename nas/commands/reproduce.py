"""`nas reproduce`: rebuild a published design, count it, and compare it with the published figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from nas import data_words
from nas.commands.display import notify
from nas.commands.options import (
    common_options,
    complete,
    echo_json,
    format_option,
    images_option,
    input_option,
    split_option,
)


@click.command("reproduce")
@click.argument("design", metavar="[DESIGN]", required=False, shell_complete=complete("design"))
@click.option("--all", "all_designs", is_flag=True, help="All designs, one row for each published count.")
@click.option("--num-classes", type=int, default=None, help="Number of classes. Default: that of the published counts.")
@input_option
@click.option(
    "--check-fvcore/--no-check-fvcore",
    default=None,
    help="Count with fvcore too, and compare. Default: for one design of up to 20 GMACs.",
)
@click.option(
    "--weights",
    type=click.Path(path_type=Path),
    metavar="FILE",
    default=None,
    help="Weights of the design, as its authors publish them or as written by nas; measured on --data.",
)
@click.option(
    "--data", type=click.Path(), metavar="PATH", default=None, help=f"{data_words.DATA} Needed with --weights."
)
@format_option
@images_option
@split_option
@common_options
def command(design: str | None, all_designs: bool, check_fvcore: bool | None, as_json: bool, **options: Any) -> None:
    """Rebuild a published design and compare its counts with the published figures.

    Each figure is compared in its own convention, counted on the rebuilt detector. With --weights and --data, the
    published accuracy is compared with that of the weights on the validation images. Latency is shown as published.

    \b
    Examples:
      nas reproduce sodet-s
      nas reproduce sodet-s --weights SO-Dets.pt --data VisDrone
      nas reproduce --all --json
    """
    from nas.api.reproduce import reproduce, reproduce_all
    from nas.commands.progress import progress_bar
    from nas.commands.reproduce_display import print_all, print_reproduction
    from search_space import DESIGNS

    if (design is None) != all_designs:
        raise click.UsageError(f"give either the name of a design or --all; designs: {', '.join(DESIGNS)}")
    if design is not None:
        with progress_bar() as on_progress:
            reproduced = reproduce(
                design, check_fvcore=check_fvcore, on_notice=notify, on_progress=on_progress, **options
            )
        return echo_json(reproduced.to_dict()) if as_json else print_reproduction(reproduced)
    if any(value is not None for value in options.values()):
        raise click.UsageError("--all compares the counts of each design as published; omit the other options")
    table = reproduce_all(check_fvcore=bool(check_fvcore))
    return echo_json(table.to_dict()) if as_json else print_all(table)
