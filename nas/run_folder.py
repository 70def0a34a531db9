"""The folder of a run: its files, its lock, and what is derived from the study."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from nas.config import RunConfig
from nas.locking import locked
from search_space.errors import ConfigError, WriteError
from search_space.files import write_text

if TYPE_CHECKING:
    import pandas as pd

    from results.trial import Trial
    from search_space import Architecture

CONFIG_YAML = "config.yaml"
FOLDERS = ("front", "weights")


class RunFolder:
    """`runs/NAME`: config.yaml, study.journal, trials.csv, front/, weights/; of a warm start imported.csv and starts/;
    pretrained.safetensors; with a finish plan.json and finished/.

    The sources are `config.yaml`, the journal, the pretrained weights and the files of a warm start; `derive` makes the
    rest from the study whenever it changes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._written: dict[str, int] = {}
        """What this process has written of the front: the numbers of trials, which do not change, by file name."""

    @property
    def config_yaml(self) -> Path:
        """The resolved configuration."""
        return self.path / CONFIG_YAML

    @property
    def journal(self) -> Path:
        """The study."""
        return self.path / "study.journal"

    @property
    def trials_csv(self) -> Path:
        """The table of trials, one row each."""
        return self.path / "trials.csv"

    @property
    def imported_csv(self) -> Path:
        """The trials of an earlier run that this one starts with."""
        return self.path / "imported.csv"

    @property
    def pretrained(self) -> Path:
        """The weights that the trials start from."""
        return self.path / "pretrained.safetensors"

    def weights_path(self, key: str, suffix: str = "") -> Path:
        """Returns the path of the weights of an architecture on the front, or of one that may be trained further."""
        return self.path / "weights" / f"{key}{suffix}.pt"

    def locked(self) -> AbstractContextManager[None]:
        """Holds the folder for one process; see `nas.locking.locked`."""
        return locked(self.path, f"another process is searching in {self.path}; wait for it or end it first")

    def derive(
        self,
        trials: Sequence[Trial],
        architecture_of: Callable[[Trial], Architecture],
        *,
        num_classes: int,
        keep: Collection[str] = (),
    ) -> None:
        """Writes the table of trials and the architectures of the front, and removes weights of former members.

        Weights of trials that may be trained further stay.

        Args:
            trials: All that have ended.
            architecture_of: Returns the architecture of a trial.
            num_classes: Of the data, which the files of the front name.
            keep: Keys of further architectures whose weights stay.

        Raises:
            WriteError: A file cannot be written; it can be derived again later.
        """
        try:
            self._derive(trials, architecture_of, num_classes, keep)
        except OSError as error:
            reason = error.strerror or error
            raise WriteError(
                f"cannot write to {self.path}: {reason}; free disk space, or fix the folder's permissions"
            ) from None

    def _derive(
        self,
        trials: Sequence[Trial],
        architecture_of: Callable[[Trial], Architecture],
        num_classes: int,
        keep: Collection[str],
    ) -> None:
        from results import records
        from results.trial import Outcome

        table = records.frame(trials)
        records.write(table, self.trials_csv)
        by_number = {trial.number: trial for trial in trials}
        members = [by_number[int(number)] for number in records.front(table)["number"]]
        self._write_front(members, lambda trial: _member_text(trial, architecture_of(trial), num_classes))
        ended = {trial.key for trial in trials if trial.outcome is Outcome.COMPLETE and not trial.is_repetition}
        for key in ended - {member.key for member in members} - set(keep):
            self.weights_path(key).unlink(missing_ok=True)

    def _write_front(self, members: Sequence[Trial], text_of: Callable[[Trial], str]) -> None:
        from results.export import member_file

        folder = self.path / "front"
        names = [member_file(rank, member.key) for rank, member in enumerate(members, start=1)]
        for name, member in zip(names, members, strict=True):
            if self._written.get(name) != member.number or not (folder / name).is_file():
                write_text(folder / name, text_of(member))
                self._written[name] = member.number
        for path in folder.iterdir():
            if path.name not in names:
                path.unlink()


def _member_text(trial: Trial, architecture: Architecture, num_classes: int) -> str:
    """Returns the content of the file of a member of the front."""
    from search_space.trained_section import TrainedSection

    section = TrainedSection(
        num_classes=num_classes,
        epochs=trial.epochs,
        rung=trial.rung,
        rungs=trial.rungs,
        complete=not trial.stage,
    )
    return section.text(architecture)


def create(path: Path, config: RunConfig, fill: Callable[[RunFolder], None] = lambda folder: None) -> RunFolder:
    """Makes the folder of a new run atomically, with its configuration.

    Args:
        path: Of the folder.
        config: Of the run.
        fill: Adds further files before the folder gets its name.

    Raises:
        ConfigError: The folder exists already.
        WriteError: It cannot be made.
    """
    if path.exists():
        raise ConfigError(f"{path} exists already; next: nas run --resume {path}, or another --name")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    except OSError as error:
        reason = "it is a file" if path.parent.is_file() else error.strerror or error
        raise WriteError(f"no run can be made in {path.parent}: {reason}; next: another folder with --out") from None
    try:
        staging.chmod(0o755)
        for name in FOLDERS:
            (staging / name).mkdir()
        config.to_yaml(staging / CONFIG_YAML)
        fill(RunFolder(staging))
        os.rename(staging, path)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return RunFolder(path)


def read_trials(path: Path, *, whole: bool = True) -> pd.DataFrame:
    """Reads the table of trials of a run.

    Raises:
        ConfigError: There is none, it is damaged, or, with `whole`, the study has more trials.
    """
    from results import records

    try:
        table = records.load(path)
    except (OSError, ValueError) as error:
        raise ConfigError(str(error)) from None
    missing = records.shortfall(path, table) if whole else ""
    if missing:
        raise ConfigError(f"some trials are missing: {missing}")
    return table


def reopen(path: Path) -> RunFolder:
    """Opens the folder of a run to resume it; raises ConfigError if it is not one."""
    folder = RunFolder(path)
    if not folder.config_yaml.is_file():
        if not path.exists():
            raise ConfigError(f"there is no folder {path}; next: --resume with the folder of a run, such as runs/NAME")
        raise ConfigError(f"{path} is not the folder of a run: it has no {CONFIG_YAML}; next: --resume runs/NAME")
    for name in FOLDERS:
        (path / name).mkdir(exist_ok=True)
    return folder
