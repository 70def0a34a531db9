"""`nas run`: searches detectors under a budget."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from nas.commands.display import say
from nas.commands.options import common_options, complete, complete_device, echo_json
from nas.commands.setting_options import GroupedCommand, setting_options
from nas.process_control import ended_by_sigterm
from nas.settings import RunSettings

if TYPE_CHECKING:
    from nas.api.search_run import SearchRun
    from nas.commands.run_display import Display

NO_FRONT = 3
"""The exit code of a run that has no front, or whose detectors detect nothing."""


@click.command(name="run", cls=GroupedCommand, owner=RunSettings)
@setting_options(
    RunSettings,
    {
        "device": complete_device,
        "strategy": complete("strategy"),
        "data_format": complete("format"),
        "start": complete("design"),
    },
)
@click.option("--resume", type=click.Path(), metavar="DIR", help="Resume the run in this folder.")
@click.option("--join", is_flag=True, help="Join the run --name in --storage as another worker.")
@common_options
def command(resume: str | None, join: bool, as_json: bool, **settings: Any) -> None:
    """Search detectors under a budget and keep the best trade-offs of accuracy against cost.

    The cost of every candidate is computed first; candidates over budget are never trained. The folder of the run
    contains the architectures of the front for `nas train`, their weights, and trials.csv with one row per trial. A
    run can be killed at any time and resumed with --resume. With --finish N, the best N members are trained on in the
    second half of the time, evaluated on validation images that decided nothing, and exported. The exit code is 3 if
    there is no front, or if nothing on it detects an object.

    \b
    Examples:
      nas run --budget-gflops 1
      nas run --budget-gflops 1 --data hit-uav --split block --minutes 60 --name first
      nas run --budget-gflops 1 --data hit-uav --split block --hours 8 --finish 3
      nas run --budget-latency-ms 30 --device jetson-nano --objective latency --data hit-uav
      nas run --resume runs/first --minutes 120
    """
    from nas.api.search import SearchInterrupted, search
    from nas.commands.run_display import make_display

    display = make_display(to_stderr=as_json)
    with ended_by_sigterm() as exit_code, _resume_hint(display, exit_code):
        try:
            with display:
                run = search(resume=resume, join=join, on_notice=display.notice, on_progress=display, **settings)
        except SearchInterrupted as interrupt:
            _show(interrupt.run, as_json)
            raise
        _show(run, as_json)
        if has_no_front(run):
            raise SystemExit(NO_FRONT)


def has_no_front(run: SearchRun) -> bool:
    """Whether a run has no front, or one that detects nothing."""
    return not run.members or run.nothing_found is not None


@contextmanager
def _resume_hint(display: Display, exit_code: Callable[[], int]) -> Iterator[None]:
    """Says after Ctrl-C and SIGTERM how to resume the run."""
    from nas import plugins

    try:
        yield
    except KeyboardInterrupt:
        resume = f"; resume with: nas run --resume {display.folder}{plugins.options()}"
        say(f"nas: interrupted{resume if display.folder is not None else ''}", err=True)
        raise SystemExit(exit_code()) from None  # click would swallow its own Exit here


def _show(run: SearchRun, as_json: bool) -> None:
    """Prints what the run has so far."""
    from nas.commands.run_summary import print_summary

    if as_json:
        echo_json(run.to_dict())
    else:
        print_summary(run)
