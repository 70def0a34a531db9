"""`nas run`: searches detectors under a budget."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nas.commands.options import data_option, echo_json, format_option, images_option, json_option, split_option

if TYPE_CHECKING:
    import pandas as pd

    from nas.search.session import Session


@click.command(name="run")
@click.option("--budget-gflops", type=float, metavar="G", help="Upper limit on GFLOPs (= GMACs, fvcore's convention).")
@click.option("--budget-params-m", type=float, metavar="P", help="Upper limit on million parameters.")
@click.option(
    "--budget-latency-ms",
    type=float,
    metavar="MS",
    help="Upper limit on the upper end of the predicted latency; needs --device.",
)
@click.option("--device", metavar="NAME", help="Board to predict latency for; nas devices lists all. Or a YAML file.")
@click.option("--precision", metavar="P", help="Of the board's profile, such as fp16. Default: the board's usual one.")
@click.option("--confidence", type=float, metavar="C", help="Of the interval of the latency. Default: 0.9.")
@click.option(
    "--objective",
    type=click.Choice(["macs", "latency"]),
    help="What to minimise beside maximising accuracy. Default: macs; latency needs --device.",
)
@data_option
@split_option
@format_option
@images_option
@click.option(
    "--trials",
    type=int,
    metavar="N",
    help="End after N trials that were trained, cached or failed; candidates rejected for their cost do not count.",
)
@click.option("--minutes", type=float, metavar="M", help="End after M minutes. Default: 8, with --data 30.")
@click.option("--epochs", type=float, metavar="E", help="Passes over the images a trial. Default: 0.6, with --data 1.")
@click.option("--batch", type=int, metavar="B", help="Images per training step. Default: 4.")
@click.option("--seed", type=int, metavar="S", help="Decides the search and the training. Default: 0.")
@click.option("--name", metavar="NAME", help="Name of the run's folder. Default: date and time.")
@click.option("--out", metavar="DIR", help="Where the run's folder is made. Default: runs.")
@click.option("--resume", type=click.Path(path_type=Path), metavar="DIR", help="Go on with the run in this folder.")
@click.option("--threads", type=int, metavar="N", help="CPU threads of training.")
@click.option("--fix", multiple=True, metavar="AXIS=VALUE", help="Fix an axis of the space. May be repeated.")
@click.option("--choices", multiple=True, metavar="AXIS=A,B", help="Narrow an axis of the space. May be repeated.")
@click.option(
    "--start",
    "starts",
    multiple=True,
    metavar="DESIGN",
    help="Begin with this design. May be repeated. Default: four, one a paper; nas designs lists all.",
)
@json_option
def command(resume: Path | None, as_json: bool, **options: Any) -> None:
    """Search detectors under a budget and keep the best trade-offs of accuracy against cost.

    Every candidate is costed before anything is trained; what is over budget is never trained. The run's folder
    holds the front as architectures for `nas train`, their weights, and one record a trial in trials.csv. It can be
    killed at any time and resumed with --resume.
    """
    from nas.commands.run_display import make_display
    from nas.executors import INTERRUPTED
    from nas.executors.local import LocalExecutor
    from nas.executors.training import TrainingEvaluator
    from nas.search.session import Request, begin, go_on, open_search
    from trainers import TrainConfig

    options["objective"] = {"latency": "latency_ms"}.get(options["objective"], options["objective"])
    request = Request(**options)
    session = go_on(resume, request) if resume is not None else begin(request)
    config = session.config
    display = make_display(session, to_stderr=as_json)
    training = TrainConfig(epochs=config.epochs, batch_size=config.batch, seed=config.seed)
    evaluator = TrainingEvaluator(session.splits, training, num_threads=config.threads)
    with session.folder.locked():
        search = open_search(session, LocalExecutor(evaluator), display)
        with display.following(search):
            ending = search.run()
    _show(session, ending, as_json)
    if ending == INTERRUPTED:
        raise KeyboardInterrupt


def _show(session: Session, ending: str, as_json: bool) -> None:
    """Prints what the run has so far."""
    from nas.commands.run_display import print_summary
    from results import records

    table = records.load(session.folder.path)
    if as_json:
        echo_json(result(session.folder.path, table))
    else:
        print_summary(session, table, ending)


def result(path: Path, table: pd.DataFrame) -> dict[str, Any]:
    """Returns what `--json` prints: the accounting and the front, counts unrounded."""
    from results import records
    from results.export import member_file

    members = []
    for rank, row in enumerate(records.front(table).to_dict("records"), start=1):
        scores = {name: _plain(row[name]) for name in ("ap", "ap50", "ap_small", "accuracy")}
        members.append(
            {
                "key": row["key"],
                "path": str(path / "front" / member_file(rank, row["key"])),
                "macs": int(row["macs"]),
                "flops_2x": 2 * int(row["macs"]),
                "params": int(row["params"]),
                **scores,
                "latency_ms": _plain(row["latency_ms"]),
                "latency_low_ms": _plain(row["latency_low_ms"]),
                "latency_high_ms": _plain(row["latency_high_ms"]),
                "input_hw": [int(row["input_height"]), int(row["input_width"])],
            }
        )
    return {"run": str(path), **records.tally(table), "front": members}


def _plain(value: Any) -> float | None:
    """Returns a score as JSON takes it: a missing one is null."""
    import pandas as pd

    return None if pd.isna(value) else float(value)
