"""The folder of a run: what lies where, who may write, and everything that is derived from the study."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.config import RunConfig
from nas.locking import locked
from search_space.errors import ConfigError, WriteError

if TYPE_CHECKING:
    import pandas as pd

    from search_space import Architecture

CONFIG_YAML = "config.yaml"
FOLDERS = ("front", "weights")


class RunFolder:
    """`runs/NAME`: config.yaml, study.journal, trials.csv, front/, weights/; of a warm start imported.csv and starts/.

    Only `config.yaml`, the journal and what a warm start brought are sources; `derive` makes the rest from the study
    whenever it changed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._is_checked = False
        """Whether the front's files are those that this process wrote."""

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
        """One record a trial."""
        return self.path / "trials.csv"

    @property
    def imported_csv(self) -> Path:
        """The trials of an earlier run that this one begins with."""
        return self.path / "imported.csv"

    def weights_path(self, key: str, suffix: str = "") -> Path:
        """Returns where the weights of an architecture lie while it is on the front or may be trained further."""
        return self.path / "weights" / f"{key}{suffix}.pt"

    def locked(self) -> AbstractContextManager[None]:
        """Holds the folder for one process; see `nas.locking.locked`."""
        return locked(self.path, f"another process is searching in {self.path}; wait for it or end it first")

    def derive(self, rows: list[dict[str, Any]], architecture_of: Callable[[dict[str, Any]], Architecture]) -> None:
        """Writes the table of trials and the front's architectures, and drops weights that left the front.

        Weights of trials that may still be trained further stay.

        Args:
            rows: One record a trial.
            architecture_of: Returns the architecture of a trial.

        Raises:
            WriteError: The system refuses; what follows from the study can be written anew.
        """
        try:
            self._derive(rows, architecture_of)
        except OSError as error:
            raise WriteError(
                f"cannot write to {self.path}: {error.strerror or error}; free some space, or check its permissions"
            ) from None

    def _derive(self, rows: list[dict[str, Any]], architecture_of: Callable[[dict[str, Any]], Architecture]) -> None:
        from results import records

        table = records.frame(rows)
        records.write(table, self.trials_csv)
        members = records.front(table)
        by_number = {row["number"]: row for row in rows}
        self._write_front(members["key"].tolist(), [by_number[int(n)] for n in members["number"]], architecture_of)
        ended = {str(row["key"]) for row in rows if row["outcome"] == "complete" and row.get("repeat_of") is None}
        for key in ended - set(members["key"]):
            self.weights_path(key).unlink(missing_ok=True)

    def _write_front(
        self, keys: list[str], members: list[dict[str, Any]], architecture_of: Callable[[dict[str, Any]], Architecture]
    ) -> None:
        from results.export import member_file

        folder = self.path / "front"
        names = [member_file(rank, key) for rank, key in enumerate(keys, start=1)]
        for name, row in zip(names, members, strict=True):
            if not self._is_checked or not (folder / name).is_file():
                architecture_of(row).to_yaml(folder / name)
        for path in folder.iterdir():
            if path.name not in names:
                path.unlink()
        self._is_checked = True


def create(path: Path, config: RunConfig, fill: Callable[[RunFolder], None] = lambda folder: None) -> RunFolder:
    """Makes the folder of a new run, configuration included, or nothing.

    Args:
        path: Of the folder.
        config: Of the run.
        fill: Adds what else belongs into the folder before it stands.

    Raises:
        ConfigError: If the folder exists already.
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
        ConfigError: There is none, it is damaged, or, where it must be whole, the study knows of more trials.
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
    """Opens the folder of a run to go on with it; raises ConfigError if it is none."""
    folder = RunFolder(path)
    if not folder.config_yaml.is_file():
        if not path.exists():
            raise ConfigError(f"there is no folder {path}; next: --resume with the folder of a run, such as runs/NAME")
        raise ConfigError(f"{path} is not the folder of a run: it has no {CONFIG_YAML}; next: --resume runs/NAME")
    for name in FOLDERS:
        (path / name).mkdir(exist_ok=True)
    return folder
