"""`nas doctor`: checks whether this machine can run the other commands."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nas.commands.display import counted, notify, say
from nas.commands.options import echo_json, json_option

if TYPE_CHECKING:
    from nas.doctor.diagnosis import Diagnosis

MARKS = {"ok": "ok", "note": "note", "fault": "FAULT"}


@click.command("doctor")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    default=Path("runs"),
    show_default=True,
    help="Folder of the runs, as in nas run.",
)
@click.option("--quick", is_flag=True, help="Skip the self-test and Ray.")
@json_option
def command(out: Path, quick: bool, as_json: bool) -> None:
    """Check whether this machine can search and train: versions, cores, memory, GPUs, folders, extras, Ray.

    The self-test runs a search and a training of about ten seconds in a temporary folder, counts with fvcore, opens
    the results, and repeats this with Ray; the folder is removed. The exit code is 1 if there is a fault, else 0. A
    note is about an optional part.

    \b
    Examples:
      nas doctor
      nas doctor --quick --json
    """
    from nas.doctor.diagnosis import diagnose

    diagnosis = diagnose(out=out, quick=quick, on_notice=notify)
    if as_json:
        echo_json(diagnosis.to_dict())
    else:
        print_checks(diagnosis)
    if not diagnosis.is_well:
        raise SystemExit(1)


def print_checks(diagnosis: Diagnosis) -> None:
    """Prints the checks by part, with advice, and their number."""
    from nas.commands.table import Column, print_table

    columns = (Column("check", is_name=True), Column("state"), Column("found", is_text=True))
    rows: list[tuple[str, ...]] = []
    for part, of_part in diagnosis.checks.items():
        rows.append((part.upper(),))
        for check in of_part:
            rows.append((f"  {check.name}", MARKS[check.state], check.found))
            if check.advice:
                rows.append(("", "", f"  {check.advice}"))
    print_table(columns, rows, has_titles=False)
    states = [check.state for of_part in diagnosis.checks.values() for check in of_part]
    faults, notes = states.count("fault"), states.count("note")
    say(f"{counted(faults, 'fault')}, {counted(notes, 'note')}" + ("" if faults else "; ready for nas run"))
