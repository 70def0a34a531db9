"""Whether this machine can search and train, and what it lacks."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nas.api.result import OnNotice, Result, notify, table_of

if TYPE_CHECKING:
    import pandas as pd

    from nas.doctor.machine_check import Check


@dataclass(frozen=True, kw_only=True)
class Diagnosis(Result):
    """The checks of a machine, by what they are about."""

    is_well: bool
    """Whether nothing is at fault; a note is about what not everybody needs."""
    checks: Mapping[str, tuple[Check, ...]]

    @property
    def frame(self) -> pd.DataFrame:
        """The checks as a table, a row each."""
        return table_of({"part": part, **vars(check)} for part, of_part in self.checks.items() for check in of_part)


def diagnose(*, out: str | Path = "runs", quick: bool = False, on_notice: OnNotice | None = None) -> Diagnosis:
    """Checks versions, cores, memory, GPUs, folders and extras, then searches and trains for about ten seconds.

    Nothing is left behind.

    Args:
        out: where the folders of runs are to be made.
        quick: whether to leave out the self-test and Ray.
        on_notice: is called with what takes a while, before it starts.

    Raises:
        UserError: never for a fault that is found; it is in the result.
    """
    from nas.doctor.machine import check_machine
    from nas.doctor.packages import check_packages

    notify(on_notice, "packages ...")
    checks: dict[str, list[Check]] = {"machine": check_machine(Path(out)), "packages": check_packages()}
    if not quick:
        from nas.doctor.self_test import check_by_doing

        with tempfile.TemporaryDirectory(prefix="nas-doctor-") as folder:
            checks["self-test"] = check_by_doing(Path(folder), lambda what: notify(on_notice, f"{what} ..."))
    is_well = all(check.state != "fault" for of_part in checks.values() for check in of_part)
    return Diagnosis(is_well=is_well, checks={part: tuple(of_part) for part, of_part in checks.items()})
