"""What a run starts with: named designs, architectures from files, and the trials of an earlier run."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from nas.config import RunConfig, read_config
from nas.engine.domain import Candidate, CostedDomain
from nas.engine.narrowing import narrowing_of
from nas.engine.search_study import SearchStudy, TrialSpec
from nas.engine.trial_point import point_of
from nas.run_folder import CONFIG_YAML, RunFolder, read_trials
from results import records
from results.trial import Cause, Trial
from search_space import DESIGNS, Architecture, SearchSpace
from search_space.designs.p2_scales import SCALES
from search_space.errors import ConfigError, SpaceError
from trainers.settings import declared_settings

STARTS = "starts"
MAX_MEMBERS = 8
"""How many members of an earlier front a run starts from where their results cannot be taken over."""


@dataclass(frozen=True, kw_only=True)
class Starts:
    """The architectures that a run starts with."""

    architectures: Mapping[str, Architecture]
    """By their name in the configuration of the run: that of a design, or `starts/NAME.yaml`."""
    notices: tuple[str, ...] = ()

    def write(self, folder: RunFolder) -> None:
        """Writes the architectures from files into the folder of a run, for a resume."""
        for name, architecture in self.architectures.items():
            if name.startswith(f"{STARTS}/"):
                (folder.path / STARTS).mkdir(exist_ok=True)
                architecture.to_yaml(folder.path / name)


@dataclass(frozen=True, kw_only=True)
class Earlier:
    """An earlier run to start with."""

    path: Path
    config: RunConfig
    trials: tuple[Trial, ...] = field(repr=False)
    """Those with a result, with their choices on all axes."""

    def differences(self, config: RunConfig) -> list[str]:
        """Returns the settings of training in which it differs from a run, so that results cannot be compared."""
        names = {"data_fingerprint": "data", "classes": "classes", "pretrained_fingerprint": "pretrained weights"}
        names |= {name: name for name, each in declared_settings(type(config)).items() if each.about.identity}
        return [title for name, title in names.items() if getattr(self.config, name) != getattr(config, name)]

    def members(self) -> Iterator[tuple[str, Architecture]]:
        """Yields the members of the front as starts, the most accurate first."""
        files = sorted((self.path / "front").glob("*.yaml"))[:MAX_MEMBERS]
        for path in files:
            yield f"{STARTS}/{path.stem.partition('-')[2]}.yaml", Architecture.from_yaml(path)

    def write(self, folder: RunFolder) -> None:
        """Copies its trials and their weights into the folder of a new run."""
        records.write(records.frame(self.trials), folder.imported_csv)
        for key in {trial.key for trial in self.trials}:
            weights = self.path / "weights" / f"{key}.pt"
            if weights.is_file():
                shutil.copyfile(weights, folder.weights_path(key))


def read_starts(names: Iterable[str], folder: Path | None = None) -> Starts:
    """Reads the starts of a run: designs and scales of YOLO by name, architectures by file.

    Args:
        names: As given by the user or the configuration of a run.
        folder: Of the run, with `starts/`.

    Raises:
        UserError: A design is unknown, or a file is not an architecture.
    """
    found: dict[str, Architecture] = {}
    for name in names:
        if name in SCALES and name not in DESIGNS:
            found[name] = SCALES[name]
        elif not name.endswith((".yaml", ".yml")):
            found[name] = DESIGNS.get(name).architecture
        elif folder is not None and name.startswith(f"{STARTS}/"):
            found[name] = Architecture.from_yaml(folder / name)
        else:
            if not Path(name).is_file():
                raise ConfigError(f"--start {name}: there is no such file; next: the name of a design, or a YAML file")
            found[f"{STARTS}/{Path(name).stem}.yaml"] = Architecture.from_yaml(Path(name))
    return Starts(architectures=found)


def open_earlier(path: Path) -> Earlier:
    """Opens the run of `--from`; raises ConfigError if there is none, or this version cannot read it."""
    if not (path / CONFIG_YAML).is_file():
        raise ConfigError(f"--from {path} is not the folder of a run: it has no {CONFIG_YAML}; next: --from runs/NAME")
    config = read_config(path / CONFIG_YAML)
    trials = [trial for trial in records.trials_of(read_trials(path)) if trial.is_evaluated and not trial.is_repetition]
    space = SearchSpace().narrowed(narrowing_of(config))
    return Earlier(path=path, config=config, trials=tuple(_with_all_axes(trial, space) for trial in trials))


def import_trials(
    study: SearchStudy, domain: CostedDomain, folder: RunFolder, *, source: str, training_seed: int
) -> int:
    """Adds the trials of an earlier run that are in the space and within the budget of this one, as cached.

    Trials that an earlier session has added are skipped.

    Returns:
        How many of the earlier trials were left out.
    """
    if not folder.imported_csv.is_file():
        return 0
    table = records.load(folder.imported_csv.parent, folder.imported_csv.name)
    done = {trial.imported_from for trial in study.trials()}
    left_out = 0
    for trial in records.trials_of(table):
        name = f"trial {trial.number} of {source}"
        if name in done:
            continue
        candidate = _candidate_of(domain, trial)
        missing = any(trial.value(each.name) is None for each in study.objectives if not each.is_cost)
        if candidate is None or not candidate.feasible or (missing and trial.rung):
            left_out += 1
            continue
        spec = TrialSpec(
            candidate=candidate,
            origin=trial.origin,
            rung=trial.rung,
            imported_from=name,
            training_seed=training_seed,
        )
        study.repeat(spec, trial, Cause.IMPORTED, name)
    return left_out


def _candidate_of(domain: CostedDomain, trial: Trial) -> Candidate | None:
    """Returns the candidate of an earlier trial; None if the space does not have it."""
    try:
        return domain.assess(point_of(domain.space, trial))
    except SpaceError:
        return None


def _with_all_axes(trial: Trial, space: SearchSpace) -> Trial:
    """Returns a trial with the axes that the earlier run had fixed, which its table leaves out."""
    return replace(trial, axes={name: str(choice) for name, choice in point_of(space, trial).items()})
