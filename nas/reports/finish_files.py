"""What the report shows of the finished detectors of a run and of the plan of its time."""

from __future__ import annotations

from pathlib import Path

from nas.engine.time_plan import read_record
from nas.reports.finished_member import read_finished
from results.report import FinishedDetector, PhaseTime

TITLES = {"search": "search", "finish": "training of the best", "evaluation": "evaluation and export"}
"""Of the phases in `plan.json`."""


def finished_detectors(run: Path) -> tuple[FinishedDetector, ...]:
    """Returns the detectors in `finished/` of a run, by rank; those whose files are damaged are left out."""
    return tuple(
        FinishedDetector(
            name=member.name,
            scores=member.scores,
            epochs=member.epochs,
            images_seen=member.images_seen,
            seconds=member.seconds,
            macs=member.macs,
            params=member.params,
            weights=member.weights.relative_to(run).as_posix(),
            export="" if member.export is None else member.export.relative_to(run).as_posix(),
        )
        for member in read_finished(run)
    )


def phase_times(run: Path) -> tuple[PhaseTime, ...]:
    """Returns the phases in `plan.json` of a run; empty where there is none that can be read."""
    record = read_record(run)
    if record is None:
        return ()
    return tuple(
        PhaseTime(
            title=title,
            planned_seconds=getattr(record.plan, f"{name}_seconds"),
            actual_seconds=record.actual.get(name),
        )
        for name, title in TITLES.items()
    )
