"""The finish as the last phase of a run: the time that it has, and the record of what the phases took."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from nas.api.events import SearchEvent
from nas.api.finishing import finish
from nas.engine.ending import INTERRUPTED, SearchEnding
from nas.engine.session import Session
from nas.engine.time_plan import TimePlan, TimeRecord, read_record


def planned_times(folder: Path, plan: TimePlan) -> TimeRecord:
    """Writes the plan of a session into the folder of the run, and returns it with what earlier sessions took."""
    before = read_record(folder)
    times = TimeRecord(plan=plan)
    if before is not None:
        over = before.search_ended_by if before.is_search_over(plan) else None
        times = replace(times, actual=before.actual, search_ended_by=over)
    times.write(folder)
    return times


def finish_search(
    session: Session,
    times: TimeRecord,
    ending: SearchEnding,
    search_seconds: float,
    on_notice: Callable[[str], None],
    on_progress: Callable[[SearchEvent], None],
) -> SearchEnding:
    """Trains the best members on in the time that the search has left, and records what it takes.

    Args:
        session: whose folder is locked.
        times: see `planned_times`.
        ending: of the search.
        search_seconds: that it took, earlier sessions included.
        on_notice: is called with each line that the user should read.
        on_progress: is called with each event.

    Returns:
        The ending of the search, or that the finish was interrupted.

    Raises:
        UserError: See `nas.api.finishing.finish`.
    """
    folder, config = session.folder.path, session.config
    if times.search_ended_by is None:
        times = times.with_search(max(search_seconds, times.actual.get("search", 0.0)), ending.cause)
    times.write(folder)

    def spent(phase: str, seconds: float) -> None:
        nonlocal times
        times = times.with_spent(phase, seconds)
        times.write(folder)

    try:
        finish(
            folder,
            config.finish,
            times.seconds_left,
            threads=config.threads,
            on_notice=on_notice,
            on_progress=on_progress,
            on_spent=spent,
        )
    except KeyboardInterrupt:
        return INTERRUPTED
    return ending
