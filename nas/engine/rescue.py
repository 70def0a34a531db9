"""What a journal has lost of the trials that had ended, put back from the table that was derived from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import pandas as pd

from nas.engine.domain import CostedDomain
from nas.engine.journal import Damage, heal
from nas.engine.search_study import SearchStudy, TrialSpec
from nas.engine.warm_start import recorded_point
from nas.run_folder import RunFolder
from results import records
from search_space.errors import ConfigError, SpaceError

Row = Mapping[str, Any]
RECORD = (
    "outcome reason epochs images_seen seconds peak_memory_bytes accuracy_draws proxy accuracy accuracy_low "
    "accuracy_high ap ap50 ap_small ap_medium ap_large"
).split()


class Rescue:
    """The table of a run, read before its journal is opened and compared with it afterwards.

    The table is written after every trial that ends, so that it never knows more than the journal of a sound run.
    """

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._table, self._unread = _read(folder)
        self._damage: Damage | None = None

    def heal(self) -> None:
        """Mends the journal as far as it goes; see `nas.engine.journal.heal`.

        Raises:
            ConfigError: If it is damaged, and the table cannot tell what is lost.
        """
        self._damage = heal(self._folder.journal, may_cut=self._table is not None)

    def restore(self, study: SearchStudy, domain: CostedDomain) -> list[str]:
        """Puts the trials that ended and are missing into the study; returns what the user is to know.

        Raises:
            ConfigError: If the table is gone or damaged where it is needed.
        """
        known = {int(row["number"]) for row in study.rows()}
        if self._table is None:
            self._check_begun(study)
            return [f"{self._unread}; it is written anew from the study"] if known else []
        rows = {int(row["number"]): row for row in _plain(self._table)}
        missing = sorted(set(rows) - known)
        for number in missing:
            row = rows[number]
            study.restore(number, self._spec(domain, row), _record(row), worker=str(row["worker"] or ""))
        if self._damage is None and not missing:
            return []
        where, kept = "had lost its end", ""
        if self._damage is not None:
            where, kept = f"was damaged at line {self._damage.line}", f"; it is kept as {self._damage.kept.name}"
        back = f"trials {', '.join(map(str, missing))} are put back" if missing else "no trial that had ended is lost"
        return [f"{self._folder.journal} {where}: {back} from {self._folder.trials_csv.name}{kept}"]

    def _check_begun(self, study: SearchStudy) -> None:
        """Raises ConfigError where a run that has trained holds no trial and no table."""
        path = self._folder.path
        trained = any((path / "front").iterdir()) or (
            any((path / "weights").iterdir()) and not self._folder.imported_csv.is_file()
        )
        if trained and not study.rows() and not study.running():
            raise ConfigError(
                f"the run has trained, but {self._folder.journal} holds no trial and {self._unread}; next: put a copy "
                "of one of them in its place, or start another run with --name and --start of the files in front/"
            )

    def _spec(self, domain: CostedDomain, row: Row) -> TrialSpec:
        """Returns what a record of the table was asked for."""
        try:
            candidate = domain.assess(recorded_point(domain.space, row))
        except (SpaceError, LookupError) as error:
            raise self._damaged(row, str(error)) from None
        if candidate.key != row["key"]:
            raise self._damaged(row, "its axes are not those of its key")
        names = {each.name for each in fields(TrialSpec)} - {"candidate"}
        return TrialSpec(candidate=candidate, **{name: _python(row[name]) for name in names})

    def _damaged(self, row: Row, why: str) -> ConfigError:
        return ConfigError(
            f"the study has lost trial {row['number']}, and its record in {self._folder.trials_csv} is damaged "
            f"({why}); next: put a copy of study.journal in its place, or start another run with --name"
        )


def _read(folder: RunFolder) -> tuple[pd.DataFrame | None, str]:
    """Returns the table, or None and why there is none."""
    try:
        return records.load(folder.path), ""
    except FileNotFoundError:
        return None, f"{folder.trials_csv.name} is gone"
    except (OSError, ValueError):
        return None, f"{folder.trials_csv.name} is damaged"


def _plain(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Returns the records as plain values, None for what is missing."""
    plain = table.astype(object).where(table.notna(), None)
    return [{str(name): value for name, value in row.items()} for row in plain.to_dict("records")]


def _record(row: Row) -> dict[str, Any]:
    """Returns what became of a trial, as its study keeps it."""
    bins = [name for name in row if records.BIN_COLUMN.fullmatch(name)]
    found = {name: _python(row[name]) for name in (*RECORD, *bins) if row.get(name) is not None}
    return {"reason": "", **found}


def _python(value: Any) -> Any:
    """Returns a number of numpy as one of Python."""
    return value.item() if hasattr(value, "item") else value
