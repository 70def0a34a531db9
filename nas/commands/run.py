"""`nas run`: searches detectors under a budget."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from nas.commands.display import say
from nas.commands.options import (
    complete_device,
    data_option,
    echo_json,
    format_option,
    images_option,
    json_option,
    plugin_option,
    split_option,
)

if TYPE_CHECKING:
    from nas.engine.ending import SearchEnding
    from nas.engine.loop import Search
    from nas.engine.session import Session

Command = TypeVar("Command", bound=Callable[..., Any])

BUDGET = (
    click.option(
        "--budget-gflops", type=float, metavar="G", help="Upper limit on GFLOPs (= GMACs, fvcore's convention)."
    ),
    click.option("--budget-params-m", type=float, metavar="P", help="Upper limit on million parameters."),
    click.option(
        "--budget-latency-ms",
        type=float,
        metavar="MS",
        help="Upper limit on the upper end of the predicted latency; needs --device.",
    ),
    click.option(
        "--budget-memory-mb",
        type=float,
        metavar="MB",
        help="Upper limit on the peak of one image's activations as 32-bit floats, in 1e6 bytes.",
    ),
    click.option(
        "--device",
        metavar="NAME",
        shell_complete=complete_device,
        help="Board to predict latency for; nas devices lists all. Or a YAML file.",
    ),
    click.option(
        "--precision", metavar="P", help="Of the board's profile, such as fp16. Default: the board's usual one."
    ),
    click.option("--confidence", type=float, metavar="C", help="Of the interval of the latency. Default: 0.9."),
)
SEARCH = (
    click.option(
        "--objective",
        multiple=True,
        metavar="NAME",
        help="What the front is of, two or three, may be repeated: accuracy, ap, ap50, ap-small, ap-medium, ap-large, "
        "ap-LOW-HIGH (sizes in px); macs, params, latency (needs --device), memory. Default: accuracy and macs; one of "
        "either kind takes the place of that.",
    ),
    click.option(
        "--strategy",
        metavar="NAME",
        help="What proposes points: ehvi, evolution, grid, nsga2, random, tpe or that of a plug-in. Default: ehvi.",
    ),
    click.option(
        "--trials",
        type=int,
        metavar="N",
        help="End after N trials that were trained or failed, on any rung; what is rejected for its cost or known "
        "already does not count.",
    ),
    click.option("--minutes", type=float, metavar="M", help="End after M minutes. Default: 8, with --data 30."),
    click.option(
        "--trial-minutes",
        type=float,
        metavar="M",
        help="End a trial that takes longer than M minutes on a rung, hung or not, as failed. Default: no limit.",
    ),
    click.option(
        "--rungs",
        metavar="E,E",
        help="Epochs of each rung: all trials are trained on the first, a third of them goes on to the next. "
        "Default: 0.3,0.6, with --data 0.5,1.5.",
    ),
    click.option(
        "--epochs", type=float, metavar="E", help="One rung of so many epochs: every trial is trained in full."
    ),
    click.option(
        "--proxy", metavar="NAME", help="A score without training as the lowest rung, such as nwot. Default: none."
    ),
    click.option("--repeats", type=int, metavar="R", help="Train the front with R seeds in the end. Default: 1."),
    click.option("--batch", type=int, metavar="B", help="Images per training step. Default: 4."),
    click.option("--seed", type=int, metavar="S", help="Decides the search and the training. Default: 0."),
)
SPACE = (
    click.option("--fix", multiple=True, metavar="AXIS=VALUE", help="Fix an axis of the space. May be repeated."),
    click.option("--choices", multiple=True, metavar="AXIS=A,B", help="Narrow an axis of the space. May be repeated."),
    click.option(
        "--space",
        type=click.Path(),
        metavar="FILE.yaml",
        help="Axes to fix or narrow, as lines 'axis: [choice, choice]'.",
    ),
    click.option(
        "--auto",
        is_flag=True,
        help="Narrow the axes that you say nothing of by the sizes of the boxes in --data, as nas inspect advises.",
    ),
    click.option(
        "--start",
        "starts",
        multiple=True,
        type=click.Path(),
        metavar="DESIGN|FILE.yaml",
        help="Begin with this design or architecture. May be repeated. Default: four, one a paper (nas designs).",
    ),
    click.option(
        "--from",
        "earlier",
        type=click.Path(),
        metavar="DIR",
        help="Begin with what an earlier run found: its trials where they were trained alike, else its front. Budget, "
        "space and objectives may differ.",
    ),
)
WHERE = (
    click.option("--name", metavar="NAME", help="Name of the run's folder. Default: date and time."),
    click.option("--out", type=click.Path(), metavar="DIR", help="Where the run's folder is made. Default: runs."),
    click.option("--resume", type=click.Path(path_type=Path), metavar="DIR", help="Go on with the run in this folder."),
    click.option("--threads", type=int, metavar="N", help="CPU threads of each training."),
    click.option("--workers", type=int, metavar="N", help="Trainings at a time. Default: 1; with ray all that fit."),
    click.option(
        "--executor",
        metavar="NAME",
        default="local",
        show_default=True,
        help="Who trains: local (this process, or several by --workers), processes, ray or that of a plug-in.",
    ),
    click.option("--address", metavar="HOST:PORT", help="Of the Ray cluster. Default: one on this machine."),
    click.option("--cpus-per-trial", type=float, metavar="C", help="With ray. Default: 1."),
    click.option(
        "--gpus-per-trial",
        type=float,
        metavar="G",
        help="With ray; a part of one will do. Default: a whole one where there are any.",
    ),
    click.option(
        "--storage",
        metavar="URL",
        help="PostgreSQL database for the study, postgresql://USER@HOST/DATABASE, for workers on several hosts.",
    ),
    click.option("--join", is_flag=True, help="Be one more worker of the run --name in --storage."),
)


def _options(*groups: Sequence[Callable[[Command], Command]]) -> Callable[[Command], Command]:
    """Returns a decorator that adds groups of options in their order."""

    def add(function: Command) -> Command:
        for option in reversed([option for group in groups for option in group]):
            function = option(function)
        return function

    return add


@click.command(name="run")
@_options(BUDGET, (data_option, split_option, format_option, images_option), SEARCH, SPACE, WHERE)
@plugin_option
@json_option
def command(
    resume: Path | None,
    as_json: bool,
    workers: int | None,
    executor: str,
    address: str | None,
    cpus_per_trial: float | None,
    gpus_per_trial: float | None,
    join: bool,
    auto: bool,
    **options: Any,
) -> None:
    """Search detectors under a budget and keep the best trade-offs of accuracy against cost.

    Every candidate is costed before anything is trained; what is over budget is never trained. The run's folder
    holds the front as architectures for `nas train`, their weights, and one record a trial in trials.csv. It can be
    killed at any time and resumed with --resume.

    \b
    Examples:
      nas run --budget-gflops 1
      nas run --budget-gflops 1 --data hit-uav --split block --minutes 60 --name first
      nas run --budget-latency-ms 30 --device jetson-nano --objective latency --data hit-uav
      nas run --resume runs/first --minutes 120
    """
    from nas.api.executor_options import ExecutorOptions
    from nas.commands.run_display import make_display
    from nas.engine import join_run
    from nas.engine.run_request import RunRequest
    from nas.engine.session import begin, go_on, open_search
    from nas.process_control import ended_by_sigterm

    executor_options = ExecutorOptions(
        executor=executor,
        workers=workers,
        address=address,
        cpus_per_trial=cpus_per_trial,
        gpus_per_trial=gpus_per_trial,
    )
    request = RunRequest(**options, auto=auto or None)
    if join:
        session = join_run.join(request)
    else:
        session = go_on(resume, request) if resume is not None else begin(request)
    display = make_display(session, executor_options, to_stderr=as_json)
    with ended_by_sigterm() as exit_code, _going_on_told(session.folder.path, exit_code):
        with session.folder.locked(), executor_options.executor_of(session) as trainer:
            search = open_search(session, trainer, display)
            if session.storage is not None:
                join_run.publish(search.study, session)
            with display.following(search):
                ending = search.run()
        _show(session, search, ending, as_json)
        if ending.is_interrupted:
            raise KeyboardInterrupt


@contextmanager
def _going_on_told(run: Path, exit_code: Callable[[], int]) -> Iterator[None]:
    """Tells after Ctrl-C and SIGTERM how the run goes on."""
    from nas import plugins

    try:
        yield
    except KeyboardInterrupt:
        say(f"nas: interrupted; go on with: nas run --resume {run}{plugins.options()}", err=True)
        raise SystemExit(exit_code()) from None  # click would swallow its own Exit here


def _show(session: Session, search: Search, ending: SearchEnding, as_json: bool) -> None:
    """Prints what the run has so far."""
    from nas.commands.run_summary import print_summary, result
    from nas.run_folder import read_trials

    table = read_trials(session.folder.path, whole=False)
    if as_json:
        echo_json(result(session, table, search.rung_correlations(), search.surrogate_correlation()))
    else:
        print_summary(session, table, search.rung_correlations(), search.surrogate_correlation(), ending)
