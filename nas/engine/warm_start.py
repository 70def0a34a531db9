"""What a run begins with: named designs, architectures from files, and the trials of an earlier run."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from nas.config import RunConfig, read_config
from nas.engine.domain import CostedDomain
from nas.engine.narrowing import narrowing_of
from nas.engine.search_study import SearchStudy, TrialSpec
from nas.run_folder import CONFIG_YAML, RunFolder, read_trials
from results import records
from search_space import DESIGNS, Architecture, SearchSpace
from search_space.axis import Axis
from search_space.errors import ConfigError, SpaceError
from trainers.settings import declared_settings

STARTS = "starts"
MAX_MEMBERS = 8
"""Members of an earlier front that a run starts from where their results cannot be taken over."""


@dataclass(frozen=True, kw_only=True)
class Starts:
    """Architectures to begin with, and where those that are no designs come from."""

    architectures: Mapping[str, Architecture]
    """By the name that the run's configuration has for them: a design's, or `starts/NAME.yaml`."""
    notices: tuple[str, ...] = ()

    def write(self, folder: RunFolder) -> None:
        """Writes the architectures that are no designs into a run's folder, so that a resume has them."""
        for name, architecture in self.architectures.items():
            if name.startswith(f"{STARTS}/"):
                (folder.path / STARTS).mkdir(exist_ok=True)
                architecture.to_yaml(folder.path / name)


@dataclass(frozen=True, kw_only=True)
class Earlier:
    """An earlier run to begin with."""

    path: Path
    config: RunConfig
    table: pd.DataFrame = field(repr=False)

    def differences(self, config: RunConfig) -> list[str]:
        """Returns in what its trainings differ from those of a run, so that results could not be compared."""
        alike = {name: name for name, each in declared_settings(type(config)).items() if each.about.identity}
        names = {"data_fingerprint": "data", "classes": "classes", **alike}
        return [title for name, title in names.items() if getattr(self.config, name) != getattr(config, name)]

    def members(self) -> Iterator[tuple[str, Architecture]]:
        """Yields the front as starts, the most accurate first."""
        files = sorted((self.path / "front").glob("*.yaml"))[:MAX_MEMBERS]
        for path in files:
            yield f"{STARTS}/{path.stem.partition('-')[2]}.yaml", Architecture.from_yaml(path)

    def write(self, folder: RunFolder) -> None:
        """Copies its trials into a new run's folder, and the weights that there are."""
        records.write(self.table, folder.imported_csv)
        for key in set(self.table["key"].dropna()):
            weights = self.path / "weights" / f"{key}.pt"
            if weights.is_file():
                shutil.copyfile(weights, folder.weights_path(key))


def read_starts(names: Iterable[str], folder: Path | None = None) -> Starts:
    """Reads what a run is to start from: designs by name, architectures by file.

    Args:
        names: As the user or the configuration of a run gives them.
        folder: Of the run, where `starts/` lies.

    Raises:
        UserError: For an unknown design, and a file that is no architecture.
    """
    found: dict[str, Architecture] = {}
    for name in names:
        if not name.endswith((".yaml", ".yml")):
            found[name] = DESIGNS.get(name).architecture
        elif folder is not None and name.startswith(f"{STARTS}/"):
            found[name] = Architecture.from_yaml(folder / name)
        else:
            if not Path(name).is_file():
                raise ConfigError(f"--start {name}: there is no such file; next: the name of a design, or a YAML file")
            found[f"{STARTS}/{Path(name).stem}.yaml"] = Architecture.from_yaml(Path(name))
    return Starts(architectures=found)


def open_earlier(path: Path) -> Earlier:
    """Opens the run of `--from`; raises ConfigError where there is none, or none that this version can read."""
    if not (path / CONFIG_YAML).is_file():
        raise ConfigError(f"--from {path} is not the folder of a run: it has no {CONFIG_YAML}; next: --from runs/NAME")
    config = read_config(path / CONFIG_YAML)
    table = read_trials(path)
    results = table["outcome"].isin(["complete", "stopped", "cached"]) & table["repeat_of"].isna()
    usable = results & (table["accuracy"].notna() | table["proxy"].notna())
    space = SearchSpace().narrowed(narrowing_of(config))
    return Earlier(path=path, config=config, table=_spelled_out(table[usable.astype(bool)], space))


def import_trials(
    study: SearchStudy, domain: CostedDomain, folder: RunFolder, *, source: str, training_seed: int
) -> int:
    """Records the trials of an earlier run, as cached, that are points of this one's space and within its budget.

    What a killed session has recorded already is not recorded again.

    Returns:
        How many of the earlier trials were left out.
    """
    if not folder.imported_csv.is_file():
        return 0
    table = records.load(folder.imported_csv.parent, folder.imported_csv.name)
    done = {row.get("imported_from") for row in study.rows()}
    left_out = 0
    for row in table.astype(object).where(table.notna(), None).to_dict("records"):
        name = f"trial {row['number']} of {source}"
        if name in done:
            continue
        params = point_of(domain.space, row)
        candidate = None if params is None else domain.consider(params)
        missing = any(row.get(each.name) is None for each in study.objectives if not each.is_cost)
        if candidate is None or not candidate.feasible or (missing and row["rung"]):
            left_out += 1
            continue
        spec = TrialSpec(
            candidate=candidate,
            origin=str(row["origin"]),
            rung=int(row["rung"]),
            imported_from=name,
            training_seed=training_seed,
        )
        study.repeat(spec, {k: v for k, v in row.items() if v is not None}, name)
    return left_out


def point_of(space: SearchSpace, row: Mapping[Any, Any]) -> dict[str, Any] | None:
    """Returns the point of a record, whose choices are texts; None where this space does not have it."""
    try:
        return dict(space.sample(lambda axis: axis.parse(str(row.get(f"axis_{axis.name}")))))
    except SpaceError:
        return None


def _spelled_out(table: pd.DataFrame, space: SearchSpace) -> pd.DataFrame:
    """Adds the axes that the earlier run had fixed, which its records leave out."""
    rows = []
    for row in table.astype(object).where(table.notna(), None).to_dict("records"):
        rows.append(row | {f"axis_{name}": choice for name, choice in recorded_point(space, row).items()})
    return records.frame(rows)


def recorded_point(space: SearchSpace, row: Mapping[Any, Any]) -> dict[str, Any]:
    """Returns the point of a record of this very space; raises SpaceError where it is none."""

    def choose(axis: Axis) -> Any:
        text = row.get(f"axis_{axis.name}")
        return axis.choices[0] if text is None else axis.parse(str(text))

    return dict(space.sample(choose))
