"""Restores trials that a damaged journal has lost from the table that was derived from it."""

from __future__ import annotations

from dataclasses import fields

from nas.engine.domain import CostedDomain
from nas.engine.journal import Damage, repair_journal
from nas.engine.search_study import SearchStudy, TrialSpec
from nas.engine.trial_point import point_of
from nas.run_folder import RunFolder
from results import records
from results.trial import Trial
from search_space.errors import ConfigError, SpaceError


class Rescue:
    """The table of a run, read before its journal is opened and compared with it afterwards.

    The table is written after the journal whenever a trial ends, so it never has more trials than a sound journal.
    """

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._trials, self._unread = _read(folder)
        self._damage: Damage | None = None

    def repair_journal(self) -> None:
        """Repairs the journal as far as possible; see `nas.engine.journal.repair_journal`.

        Raises:
            ConfigError: It is damaged, and the table cannot be read.
        """
        self._damage = repair_journal(self._folder.journal, may_cut=self._trials is not None)

    def restore(self, study: SearchStudy, domain: CostedDomain) -> list[str]:
        """Adds the trials that ended and are missing to the study; returns notices for the user.

        Raises:
            ConfigError: The table is needed, and it is missing or damaged.
        """
        known = {trial.number for trial in study.trials()}
        if self._trials is None:
            self._check_begun(study)
            return [f"{self._unread}; it is rewritten from the study"] if known else []
        lost = {trial.number: trial for trial in self._trials if trial.number not in known}
        missing = sorted(lost)
        for number in missing:
            study.restore(self._spec(domain, lost[number]), lost[number])
        if self._damage is None and not missing:
            return []
        where, kept = "had lost its end", ""
        if self._damage is not None:
            where, kept = f"was damaged at line {self._damage.line}", f"; it is kept as {self._damage.kept.name}"
        back = f"trials {', '.join(map(str, missing))} are put back" if missing else "no trial that had ended is lost"
        return [f"{self._folder.journal} {where}: {back} from {self._folder.trials_csv.name}{kept}"]

    def _check_begun(self, study: SearchStudy) -> None:
        """Raises ConfigError if a run has trained, but neither its journal nor its table has a trial."""
        path = self._folder.path
        trained = any((path / "front").iterdir()) or (
            any((path / "weights").iterdir()) and not self._folder.imported_csv.is_file()
        )
        if trained and not study.trials() and not study.running():
            raise ConfigError(
                f"the run has trained, but {self._folder.journal} holds no trial and {self._unread}; next: put a copy "
                "of one of them in its place, or start another run with --name and --start of the files in front/"
            )

    def _spec(self, domain: CostedDomain, trial: Trial) -> TrialSpec:
        """Returns the specification of a trial of the table."""
        try:
            candidate = domain.assess(point_of(domain.space, trial))
        except (SpaceError, LookupError) as error:
            raise self._damaged(trial, str(error)) from None
        if candidate.key != trial.key:
            raise self._damaged(trial, "its axes are not those of its key")
        names = {each.name for each in fields(TrialSpec)} - {"candidate"}
        return TrialSpec(candidate=candidate, **{name: getattr(trial, name) for name in names})

    def _damaged(self, trial: Trial, why: str) -> ConfigError:
        return ConfigError(
            f"the study has lost trial {trial.number}, and its record in {self._folder.trials_csv} is damaged "
            f"({why}); next: put a copy of study.journal in its place, or start another run with --name"
        )


def _read(folder: RunFolder) -> tuple[list[Trial] | None, str]:
    """Returns the trials of the table, or None and why there are none."""
    try:
        return records.trials_of(records.load(folder.path)), ""
    except FileNotFoundError:
        return None, f"{folder.trials_csv.name} is gone"
    except (OSError, ValueError):
        return None, f"{folder.trials_csv.name} is damaged"
