"""`nas val`: measure the accuracy of trained weights."""

from __future__ import annotations

from pathlib import Path

import click

from nas.commands.options import data_option, echo_json, json_option, split_option


@click.command("val")
@click.argument("weights", type=click.Path(path_type=Path))
@data_option
@split_option
@click.option("--part", type=click.Choice(("val", "train")), default="val", show_default=True, help="Which images.")
@click.option("--input", "input_hw", type=(int, int), default=None, metavar="H W", help="Input size in pixels.")
@click.option("--batch", "batch_size", type=click.IntRange(min=1), default=8, show_default=True, help="Images at once.")
@click.option("--threads", type=click.IntRange(min=1), default=None, help="CPU threads; default: all.")
@json_option
def command(
    weights: Path,
    data: str | None,
    split: str | None,
    part: str,
    input_hw: tuple[int, int] | None,
    batch_size: int,
    threads: int | None,
    as_json: bool,
) -> None:
    """Measure AP, AP50 and AP_small of trained WEIGHTS on a data set."""
    from nas.commands.training import open_for_user, print_score, score_fields, set_threads
    from search_space.errors import DataError
    from trainers import evaluate, load_weights

    set_threads(threads)
    loaded = load_weights(weights)
    if input_hw is not None:
        loaded.check_input(input_hw)
    splits = open_for_user(data, split)
    dataset = splits.val if part == "val" else splits.train
    if dataset.classes != loaded.classes:
        raise DataError(
            f"{weights} finds {', '.join(loaded.classes)}, the data has {', '.join(dataset.classes)}; "
            "give data with the same classes in the same order"
        )
    score = score_fields(evaluate(loaded.detector(), dataset, input_hw=input_hw, batch_size=batch_size))
    assert score is not None
    if as_json:
        echo_json({"weights": str(weights), "data": splits.source, "part": part, "score": score})
    else:
        print_score(score)
