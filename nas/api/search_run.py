"""A run of a search as a frozen result: its trials, its front, and how far its rankings can be trusted."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from nas.api.result import Result
from nas.config import RunConfig, read_config
from nas.engine.audit import AuditCorrelation, audit_correlation
from nas.engine.ladder import Ladder, RungCorrelation, rung_correlation
from nas.engine.objectives import objectives
from nas.engine.time_plan import TimeRecord, read_record
from nas.reports.finished_member import FinishedMember, read_finished
from nas.reports.nothing_found import NothingFound, nothing_found
from nas.reports.unfinished import UnfinishedFront, unfinished_front
from nas.run_folder import CONFIG_YAML, read_trials
from results import records
from results.export import member_file, member_name
from results.levelling import levelled
from results.seeds import over_seeds
from results.ties import tied_with_better
from results.trials import tidy
from search_space import Architecture

if TYPE_CHECKING:
    from nas.engine.acquisition import SurrogateCorrelation
    from nas.engine.ending import SearchEnding
    from results.trial import Trial

ASKED = ("device", "data", "split", "strategy", "seed", "trials", "minutes", "finish")
"""Settings that `SearchRun.to_dict` repeats, beside the budget."""


@dataclass(frozen=True, kw_only=True)
class FrontMember:
    """A detector of the front.

    Accuracies are shares between 0 and 1; a score that was not measured is None.
    """

    name: str
    """Its rank by accuracy and its key."""
    key: str
    """Of the architecture."""
    architecture: Architecture
    classes: tuple[str, ...]
    """Of the data of the run."""
    path: Path
    """The file of the architecture."""
    weights: Path
    """The file of the trained weights."""
    stage: str
    """How far it was trained, such as `rung 1 of 2`; empty for a member that has done the last rung."""
    epochs: float | None
    """Passes over the training images."""
    accuracy: float | None
    scores: Mapping[str, float | None]
    """The accuracy with its interval, APs by the names of their columns, and predicted latencies in milliseconds.

    Those on the images that are held out, `held_out_...`, are there for members of the last rung of a run that holds
    images out.
    """
    accuracy_over_seeds: tuple[float, ...]
    """With each seed that it was trained with."""
    macs: int
    """Multiply-adds, which are fvcore's FLOPs."""
    params: int
    memory_bytes: int
    """The peak of one image's activations as 32-bit floats."""
    tied_with: tuple[str, ...]
    """Keys of more accurate members that the validation images cannot tell apart from it."""

    def __repr__(self) -> str:
        accuracy = "no accuracy" if self.accuracy is None else f"accuracy {100 * self.accuracy:.2f} %"
        stage = f", {self.stage}" if self.stage else ""
        return f"<FrontMember {self.name}: {accuracy}, {self.macs / 1e9:.4f} GMACs{stage}>"

    @property
    def num_classes(self) -> int:
        """How many classes it tells apart."""
        return len(self.classes)

    @property
    def folder(self) -> Path:
        """The folder of the run."""
        return self.path.parent.parent

    def to_dict(self) -> dict[str, Any]:
        """Returns plain data for JSON, counts unrounded."""
        return {
            "key": self.key,
            "stage": self.stage,
            "epochs": self.epochs,
            "path": str(self.path),
            "macs": self.macs,
            "flops_2x": 2 * self.macs,
            "params": self.params,
            "memory_bytes": self.memory_bytes,
            **self.scores,
            "accuracy_over_seeds": list(self.accuracy_over_seeds),
            "input_hw": list(self.architecture.input_hw),
            "tied_with": list(self.tied_with),
        }


@dataclass(frozen=True, kw_only=True)
class SearchRun(Result):
    """A run as its folder has it when the result is made; `open_run` reads one from its folder."""

    folder: Path
    config: RunConfig
    """Its settings with all defaults filled in, and the fingerprints of its data and space."""
    ending: SearchEnding | None
    """Why the search ended; None where the run was read from its folder."""
    table: pd.DataFrame = field(repr=False, compare=False)
    """The records of `trials.csv`; `results.records.COLUMNS` says what they hold."""
    rung_correlations: tuple[RungCorrelation, ...]
    """How each rung ranks the trials that went on to the next one."""
    surrogate_correlation: SurrogateCorrelation | None = None
    """How well the surrogate of the strategy ranks what was trained; None where the strategy has none, there are
    fewer than two trials, or the run was read from its folder."""

    def __repr__(self) -> str:
        found = "nothing found" if self.nothing_found is not None else f"{len(self.front)} on the front"
        return f"<SearchRun {self.folder}: {len(self.table)} trials, {found}>"

    @cached_property
    def trials(self) -> pd.DataFrame:
        """All trials, as `results.load` returns them: one row a trial."""
        return tidy(self.table)

    @cached_property
    def front(self) -> pd.DataFrame:
        """The trials that no other beats in the objectives, in the columns of `trials`, the most accurate first.

        They are of the last rung. While no trial has done it, they are of the highest rung that has any, and
        `unfinished` says so. While nothing is detected, they are the cheapest, and `nothing_found` says so.
        """
        return records.front(self.trials)

    @cached_property
    def members(self) -> tuple[FrontMember, ...]:
        """The detectors of `front`, whose files are in the folder `front/`, the most accurate first."""
        found, trials = records.front(self.table), records.trials_of(self.table)
        pairs = zip(records.trials_of(found), tied_with_better(found), strict=True)
        return tuple(_member(self, trial, trials, rank, tied) for rank, (trial, tied) in enumerate(pairs, start=1))

    def most_promising(self, number: int) -> tuple[FrontMember, ...]:
        """Returns the detectors that are worth a full training: the first of the front, the most accurate first.

        In a run with inheritance they are the first of the front of all accuracies at equal training, so that a
        detector does not come first because its weights have seen more images; see `results.levelling`.
        """
        if levelled(self.table) is self.table:
            return self.members[:number]
        trials, front = records.trials_of(self.table), {member.key: member for member in self.members}
        chosen = records.trials_of(records.front(levelled(self.table)))
        own = {trial.number: trial for trial in trials}  # with the accuracies that were measured
        kept = [trial for trial in chosen if trial.key in front or self.weights_of(trial.key).is_file()]
        found = (front.get(each.key) or _member(self, own[each.number], trials, 0, "") for each in kept[:number])
        return tuple(replace(each, name=member_name(rank, each.key)) for rank, each in enumerate(found, start=1))

    def weights_of(self, key: str) -> Path:
        """Returns the file of the weights of an architecture; there is none where they are no longer needed."""
        return self.folder / "weights" / f"{key}.pt"

    @property
    def unfinished(self) -> UnfinishedFront | None:
        """What is missing where the front is of a lower rung, because no trial has reached the last one; else None."""
        return unfinished_front(records.trials_of(records.front(self.table)), self.config)

    @cached_property
    def nothing_found(self) -> NothingFound | None:
        """The likely causes if all trials scored 0, so that the front means nothing; else None."""
        return nothing_found(self.table, self.config)

    @cached_property
    def audit_correlation(self) -> AuditCorrelation | None:
        """How well scores of trials with a donor agree with those of the same architectures from scratch; None where
        none was trained so."""
        return audit_correlation(records.trials_of(self.table))

    @cached_property
    def finished(self) -> tuple[FinishedMember, ...]:
        """The members that were trained to their end after the search, by rank; empty without `--finish`."""
        return read_finished(self.folder)

    @property
    def times(self) -> TimeRecord | None:
        """How the time was divided, and what each phase took; None without `--finish`."""
        return read_record(self.folder)

    @property
    def objectives(self) -> tuple[str, ...]:
        """What the front is made of, as columns of `trials`."""
        return tuple(each.name for each in objectives(self.config.objective))

    def to_dict(self) -> dict[str, Any]:
        """Returns plain data for JSON: settings, the number of trials by outcome, the front, the correlations."""
        surrogate, config, unfinished = self.surrogate_correlation, self.config, self.unfinished
        audits = self.audit_correlation
        times = self.times
        budgets = [name for name in vars(config) if name.startswith("budget_")]
        return {
            "run": str(self.folder),
            **records.tally(self.table),
            "objectives": list(self.objectives),
            "epochs_of_rungs": list(config.rungs),
            **{name: getattr(config, name) for name in (*budgets, *ASKED)},
            "unfinished": None if unfinished is None else dataclasses.asdict(unfinished),
            "plan": None if times is None else times.to_dict(),
            "nothing_found": None if self.nothing_found is None else self.nothing_found.to_dict(),
            "front": [] if self.nothing_found is not None else [member.to_dict() for member in self.members],
            "finished": [member.to_dict() for member in self.finished],
            "rungs": [_correlation(each) for each in self.rung_correlations],
            "audits": None
            if audits is None
            else {"tau": _plain(audits.tau), "num_trials": audits.num_trials, "trusted": audits.trusted},
            "surrogate": None
            if surrogate is None
            else {"tau": _plain(surrogate.tau), "num_trials": surrogate.num_points, "trusted": surrogate.trusted},
        }

    def _repr_html_(self) -> str:
        """Returns the front as a table for a notebook."""
        shown = ["gmacs", "params", "latency_ms", "accuracy", "ap", "ap50", "ap_small", "origin"]
        columns = [name for name in shown if self.front[name].notna().any()] if len(self.front) else []
        counts = records.tally(self.table)
        head = f"<p><code>{self.folder}</code>: {counts['asked']} trials, {len(self.front)} on the front</p>"
        return head + str(self.front[columns].to_html(index=False))


def open_run(folder: Path | str) -> SearchRun:
    """Reads a run from its folder; the run may be under way.

    Raises:
        ConfigError: It is not the folder of a run, or its table of trials is missing or damaged.
    """
    path = Path(folder)
    config = read_config(path / CONFIG_YAML)
    table = read_trials(path, whole=False)
    return SearchRun(
        folder=path, config=config, ending=None, table=table, rung_correlations=correlations_of(config, table)
    )


def correlations_of(config: RunConfig, table: pd.DataFrame) -> tuple[RungCorrelation, ...]:
    """Returns how each rung of a run ranks the trials that went on to the next one."""
    ladder = Ladder(epochs=config.rungs, proxy=config.proxy)
    trials = records.trials_of(table)
    return tuple(rung_correlation(trials, rung) for rung in range(ladder.first, ladder.last))


def _member(run: SearchRun, trial: Trial, trials: Sequence[Trial], rank: int, tied: str) -> FrontMember:
    """Returns a trial as a member of the front, or, with rank 0, one that is not on it."""
    plain = "ap ap50 ap_small accuracy accuracy_low accuracy_high latency_ms latency_low_ms latency_high_ms".split()
    bins = [name for name in trial.scores if records.BIN_COLUMN.fullmatch(name) or name.startswith("held_out_")]
    weights = run.weights_of(trial.key)
    path = run.folder / "front" / member_file(rank, trial.key) if rank else weights
    return FrontMember(
        name=member_name(rank, trial.key),
        key=trial.key,
        architecture=_architecture(path),
        classes=run.config.classes,
        path=path,
        weights=weights,
        stage=trial.stage,
        epochs=trial.epochs,
        accuracy=trial.accuracy,
        scores={name: trial.value(name) for name in (*plain, *bins)},
        accuracy_over_seeds=tuple(over_seeds(trial, trials)),
        macs=trial.macs,
        params=trial.params,
        memory_bytes=trial.memory_bytes,
        tied_with=tuple(tied.split()),
    )


def _architecture(path: Path) -> Architecture:
    """Reads an architecture from its own file or from that of its weights."""
    if path.suffix == ".yaml":
        return Architecture.from_yaml(path)
    from trainers import load_weights  # not needed to read a front

    return Architecture.from_dict(load_weights(path).architecture)


def _correlation(each: RungCorrelation) -> dict[str, Any]:
    return {
        "rung": each.rung,
        "num_trials": each.num_trials,
        "tau": _plain(each.tau),
        "tau_counts": _plain(each.tau_counts),
        "trusted": each.trusted,
    }


def _plain(value: float | None) -> float | None:
    """Returns a number as JSON takes it: None where it is not finite."""
    return None if value is None or value != value else value
