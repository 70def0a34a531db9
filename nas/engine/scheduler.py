"""What is to be done next: decided from the trials so far and nothing else, so that a resumed run decides alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nas.engine.domain import CostedDomain
from nas.engine.history import History, Observation
from nas.engine.ladder import Ladder, promotion
from nas.engine.objectives import Objective
from nas.engine.search_study import TrialSpec, derive_seed, params_of
from nas.engine.starts import Start
from nas.engine.strategies import STRATEGIES, Strategy
from nas.executors import INTERRUPTED, WORKER_LOST

Row = dict[str, Any]
DESIGN = "design"
TIME_UP = "time is up"
MAX_ATTEMPTS = {INTERRUPTED: 3, TIME_UP: 3, WORKER_LOST: 2}
"""How often one trial is tried that its run, the end of the time or the death of its worker cut short: what kills its
process must not do so forever."""
NO_TIME = "no time is left for another trial"
NOTHING_NEW = "nothing new is left to ask for"


class TrialIndex:
    """The trials so far, looked at for what has been done."""

    def __init__(self, rows: Sequence[Row], running: Sequence[Row] = ()) -> None:
        self.rows, self.running = rows, running

    def known(self, spec: TrialSpec) -> Row | None:
        """Returns the trial that evaluated the same architecture on the same rung with the same seed."""
        wanted = (spec.candidate.key, spec.rung, spec.training_seed)
        done = (row for row in self.rows if is_evaluated(row))
        return next((row for row in done if (row["key"], row["rung"], row["training_seed"]) == wanted), None)

    def twin(self, spec: TrialSpec, number: int) -> int | None:
        """Returns the earlier trial, of another worker, that trains the same; numbers are given in turn, so of two
        workers that ask at the same time only one has such a trial."""
        wanted = (spec.candidate.key, spec.rung, spec.training_seed)
        earlier = (row for row in (*self.rows, *self.running) if row["number"] < number)
        alive = (row for row in earlier if row in self.running or is_evaluated(row))
        same = (row for row in alive if (row["key"], row["rung"], row["training_seed"]) == wanted)
        return next((int(row["number"]) for row in same), None)

    def interrupted(self) -> list[Row]:
        """Returns the trials that ended with their run or their worker and are to be tried again."""
        retried = {row.get("retry_of") for row in (*self.rows, *self.running)}
        return [row for row in self.rows if row["number"] not in retried and row["attempt"] < _max_attempts(row)]

    def seconds(self, rung: int, ladder: Ladder) -> float:
        """Returns what a trial of a rung takes, judged by those that were evaluated; 0 while none was."""
        times = [(row["rung"], row["seconds"]) for row in self.rows if is_evaluated(row) and row.get("seconds")]
        own: list[float] = [seconds for other, seconds in times if other == rung]
        if own:
            return sum(own) / len(own)
        rates = [seconds / ladder.effort(other) for other, seconds in times if ladder.effort(other)]
        return ladder.effort(rung) * sum(rates) / len(rates) if rates else 0.0


@dataclass(frozen=True, kw_only=True)
class Scheduler:
    """Everything that decides what a run does next, beside its trials."""

    domain: CostedDomain
    strategy: Strategy
    objectives: tuple[Objective, ...]
    ladder: Ladder
    starts: tuple[Start, ...] = ()
    seed: int = 0
    worker: int = 0
    """Its index in the seeds of a worker among several on one study."""
    repeats: int = 1
    """Seeds with which each member of the front is trained in the end."""

    @property
    def has_surrogate(self) -> bool:
        """Whether the strategy has a surrogate of the accuracies."""
        return self.strategy is STRATEGIES.get("ehvi")

    def next(
        self, rows: Sequence[Row], running: Sequence[Row], *, seconds_left: float = float("inf")
    ) -> TrialSpec | str:
        """Returns what is to be trained next, or why nothing is.

        What was interrupted comes first, then trials that are due on the next rung, then new points: the named
        designs, each followed by a point of the strategy, so that even a short run knows cheap detectors as well, and
        then the strategy alone. A new point is begun only if the time allows for all its rungs; after that, as
        many of the non-dominated trials go on as there is time for.
        """
        index = TrialIndex(rows, running)
        times = {rung: index.seconds(rung, self.ladder) for rung in range(self.ladder.first, self.ladder.last + 1)}
        for row in index.interrupted():
            if times[row["rung"]] <= seconds_left:
                return self._again(row)
        for final in (False, True):
            due = promotion(rows, running, self.ladder, self.objectives, final=final)
            if due is not None and times[due["rung"] + 1] <= seconds_left:
                return self._promoted(due)
            if not final and sum(times.values()) <= seconds_left:
                found = self._new(rows, running)
                if found is not None:
                    return found
        return NO_TIME if sum(times.values()) > seconds_left else NOTHING_NEW

    def repeat(self, rows: Sequence[Row], running: Sequence[Row], members: Sequence[Row]) -> TrialSpec | None:
        """Returns what is to be trained to know the members of the front over several seeds; None when all is done."""
        for member in members:
            for index in range(1, self.repeats):
                training_seed = self.seed + index
                done = [
                    row
                    for row in (*rows, *running)
                    if row.get("repeat_of") == member["number"] and row["training_seed"] == training_seed
                ]
                reached = max((row["rung"] for row in done if is_evaluated(row)), default=0)
                if reached < self.ladder.last and not any(row["rung"] > reached for row in done):
                    return TrialSpec(
                        candidate=self.domain.assess(params_of(self.domain.space, member)),
                        origin=member["origin"],
                        rung=reached + 1,
                        repeat_of=member["number"],
                        training_seed=training_seed,
                    )
        return None

    def schedule(self, spec: TrialSpec, *, has_weights: bool) -> float:
        """Returns the epochs of a trial; where the weights to go on from are missing, those of the rungs below too."""
        if has_weights or spec.rung <= 1:
            return self.ladder.effort(spec.rung)
        return sum(self.ladder.epochs[: spec.rung])

    def history(self, rows: Sequence[Row], running: Sequence[Row]) -> History:
        """Returns what the strategy is to see: each architecture once, by its first rung of training.

        All architectures were on that rung, so that its accuracies can be compared.
        """
        under_way = {row["number"] for row in running}
        by_key: dict[str, list[Row]] = {}
        for row in sorted((*rows, *running), key=lambda row: row["number"]):
            if row.get("repeat_of") is None:
                by_key.setdefault(row["key"], []).append(row)
        return History(
            objectives=self.objectives, trials=tuple(self._known(group, under_way) for group in by_key.values())
        )

    def _known(self, group: list[Row], under_way: set[int]) -> Observation:
        """Returns what is known of one architecture from its trials."""
        first = group[0]
        judged = next((row for row in group if row["rung"] == 1 and is_evaluated(row)), None)
        if judged is not None:
            state = "evaluated"
        elif any(row["number"] in under_way for row in group):
            state = "pending"
        else:
            outcome = str(group[-1]["outcome"])
            state = {"complete": "stopped", "cached": "stopped"}.get(outcome, outcome)
        values = tuple(_value(each, judged or first) for each in self.objectives)
        return Observation(
            number=first["number"],
            key=first["key"],
            params=params_of(self.domain.space, first),
            state=state,
            values=values,
            costs=_costs(first),
            origin=first["origin"],
        )

    def _again(self, row: Row) -> TrialSpec:
        names = ("origin", "rung", "promoted_from", "repeat_of", "training_seed")
        return TrialSpec(
            candidate=self.domain.assess(params_of(self.domain.space, row)),
            retry_of=row["number"],
            attempt=row["attempt"] + 1,
            **{name: row[name] for name in names},
        )

    def _promoted(self, row: Row) -> TrialSpec:
        return TrialSpec(
            candidate=self.domain.assess(params_of(self.domain.space, row)),
            origin=row["origin"],
            rung=row["rung"] + 1,
            promoted_from=row["number"],
            training_seed=self.seed,
        )

    def _new(self, rows: Sequence[Row], running: Sequence[Row]) -> TrialSpec | None:
        fresh = [row for row in (*rows, *running) if row["rung"] == self.ladder.first and row["retry_of"] is None]
        asked = {row["origin"] for row in fresh}
        designs = [start for start in self.starts if f"{DESIGN} {start.name}" not in asked]
        num_others = sum(not row["origin"].startswith(DESIGN) and not row.get("imported_from") for row in fresh)
        names: Mapping[str, Any] = {"rung": self.ladder.first, "training_seed": self.seed}
        if designs and num_others >= len(self.starts) - len(designs):
            return TrialSpec(candidate=designs[0].candidate, origin=f"{DESIGN} {designs[0].name}", **names)
        seed = derive_seed(self.seed, len(rows) + len(running), self.worker)
        proposal = self.strategy(self.history(rows, running), self.domain, seed=seed)
        if proposal is not None:
            return TrialSpec(candidate=self.domain.assess(proposal.params), origin=proposal.origin, **names)
        if designs:
            return TrialSpec(candidate=designs[0].candidate, origin=f"{DESIGN} {designs[0].name}", **names)
        return None


def is_evaluated(row: Mapping[str, Any]) -> bool:
    """Whether a trial has a result on its rung."""
    return row["outcome"] in ("complete", "stopped", "cached") and (
        row.get("accuracy") is not None or row.get("proxy") is not None
    )


def is_lost(row: Mapping[str, Any]) -> bool:
    """Whether a trial was cut short by an interrupt, the end of the time or the death of its worker."""
    return str(row.get("reason") or "").startswith(tuple(MAX_ATTEMPTS))


def _max_attempts(row: Mapping[str, Any]) -> int:
    reason = str(row.get("reason") or "")
    return next((count for start, count in MAX_ATTEMPTS.items() if reason.startswith(start)), 0)


def _value(objective: Objective, row: Mapping[str, Any]) -> float | None:
    value = row.get(objective.name)
    return None if value is None else float(value)


def _costs(row: Mapping[str, Any]) -> dict[str, float]:
    names = ("macs", "params", "activation_bytes", "memory_bytes", "latency_ms")
    known = {name: float(row[name]) for name in names if row.get(name) is not None}
    return {**known, "input_px": float(row["input_height"] * row["input_width"]) ** 0.5}
