"""`nas doctor`: whether this machine can do what the other commands ask of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nas.commands.display import counted, say
from nas.commands.options import echo_json, json_option

if TYPE_CHECKING:
    from nas.doctor.machine_check import Check

MARKS = {"ok": "ok", "note": "note", "fault": "FAULT"}


@click.command("doctor")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    default=Path("runs"),
    show_default=True,
    help="As of nas run.",
)
@click.option("--quick", is_flag=True, help="Leave out the self-test and Ray.")
@json_option
def command(out: Path, quick: bool, as_json: bool) -> None:
    """Say whether this machine can search and train: versions, cores, memory, GPUs, folders, extras, Ray.

    The self-test searches and trains for about ten seconds in a temporary folder, counts with fvcore, opens what was
    found, and goes on with Ray; nothing is left behind. The exit code is 1 where something is at fault, else 0. A note
    is about what not everybody needs.

    \b
    Examples:
      nas doctor
      nas doctor --quick --json
    """
    checks = examine(out, quick=quick, tell=lambda what: say(f"{what} ...", err=True))
    is_well = all(check.state != "fault" for part in checks.values() for check in part)
    if as_json:
        plain = {part: [dict(vars(check)) for check in of_part] for part, of_part in checks.items()}
        echo_json({"is_well": is_well, "checks": plain})
    else:
        _print(checks)
    if not is_well:
        raise SystemExit(1)


def examine(out: Path, *, quick: bool, tell: Callable[[str], Any]) -> dict[str, list[Check]]:
    """Returns what was looked at, by part.

    Args:
        out: Where the folders of runs are to be made.
        quick: Whether to leave out what takes seconds.
        tell: Is told what takes a while, before it does.
    """
    import tempfile

    from nas.doctor.machine import check_machine
    from nas.doctor.packages import check_packages

    tell("packages")
    checks = {"machine": check_machine(out), "packages": check_packages()}
    if not quick:
        from nas.doctor.self_test import check_by_doing

        with tempfile.TemporaryDirectory(prefix="nas-doctor-") as folder:
            checks["self-test"] = check_by_doing(Path(folder), tell)
    return checks


def _print(checks: dict[str, list[Check]]) -> None:
    from nas.commands.table import Column, print_table

    columns = (Column("check", is_name=True), Column("state"), Column("found", is_text=True))
    rows: list[tuple[str, ...]] = []
    for part, of_part in checks.items():
        rows.append((part.upper(),))
        for check in of_part:
            rows.append((f"  {check.name}", MARKS[check.state], check.found))
            if check.advice:
                rows.append(("", "", f"  {check.advice}"))
    print_table(columns, rows, has_titles=False)
    states = [check.state for of_part in checks.values() for check in of_part]
    faults, notes = states.count("fault"), states.count("note")
    say(f"{counted(faults, 'fault')}, {counted(notes, 'note')}" + ("" if faults else "; ready for nas run"))
