"""Which trial is promoted to the next rung: the one with the largest expected gain in hypervolume on the last rung.

A third of the trials of a rung is promoted (successive halving, Jamieson and Talwalkar, 2016; asynchronously as in
Schmucker et al., "Multi-objective asynchronous successive halving", 2021). Which ones is decided by an expected gain,
not by a rank: costs are known, and the accuracy that a trial would have on the last rung is predicted from that on its
own. So a cheap trial is promoted as well where it adds to the front, although all expensive ones are more accurate. The
scores of two rungs are never compared, as they may be measured on different images.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from nas.engine.hypervolume_improvement import expected_hypervolume_improvement
from nas.engine.ladder import PROMOTED_SHARE, Ladder, evaluated, rung_correlation
from nas.engine.objectives import Objective
from nas.engine.utility import NO_FLOORS, Floors, utility
from results.pareto import nondominated
from results.trial import Trial

Points = NDArray[np.float64]
MIN_ON_RUNG = 4
"""Trials on a rung from which on one that dominates all others is promoted at once."""
MIN_FIT = 3
"""Trials on two neighbouring rungs from which on a line is fitted."""
PRIOR_PAIRS = 3.0
"""The weight of the prior slope and deviation of the line, in trials."""
PRIOR_DEVIATION = 0.3
"""Deviation of the accuracy on the next rung, as a share of what is predicted."""
MARGIN = 0.1
"""Distance of the reference point from the largest cost, as a share of the range of the log costs; at least
`log(1 + MARGIN)`."""


@dataclass(frozen=True, kw_only=True)
class RungLine:
    """Predicts a score on a higher rung from that on a lower one."""

    slope: float
    offset: float
    deviation: float
    """Of the residuals."""
    relative: float = 0.0
    """Further deviation, as a share of the prediction."""

    def predict(self, score: float, deviation: float = 0.0) -> tuple[float, float]:
        """Returns mean and deviation of the prediction from a score that may be a prediction itself."""
        mean = self.offset + self.slope * score
        own = math.hypot(self.deviation, self.relative * mean)
        return mean, math.hypot(own, self.slope * deviation)


def rung_line(low: Sequence[float], high: Sequence[float], waiting: Sequence[float], *, is_proxy: bool) -> RungLine:
    """Fits the line from the scores of trials on a rung to those on the next one.

    From `MIN_FIT` pairs on it is a least-squares line through their mean. Its slope is shrunk towards the ratio of the
    means, that of a proxy towards 0, and never negative. With fewer pairs it is a ratio, shrunk towards 1 with the
    weight of one trial; a proxy has no ratio to an accuracy, so it only orders trials.

    Args:
        low: Scores of the trials that are on both rungs.
        high: Their scores on the next rung.
        waiting: Scores of all trials of the lower rung.
        is_proxy: Whether the lower rung is a score without training.
    """
    xs, ys, every = np.asarray(low), np.asarray(high), np.asarray(waiting)
    if len(xs) < MIN_FIT:
        if is_proxy:
            scale = float(every.std()) or 1.0
            centre = float(ys.mean()) if len(ys) else 1.0
            deviation = PRIOR_DEVIATION * centre
            slope = deviation / scale
            return RungLine(slope=slope, offset=centre - slope * float(every.mean()), deviation=deviation)
        prior = max(float(every.mean()), 1e-9) if len(every) else 1.0
        ratio = (float(ys.sum()) + prior) / (float(xs.sum()) + prior)
        return RungLine(slope=ratio, offset=0.0, deviation=0.0, relative=PRIOR_DEVIATION)
    x_mean, y_mean = float(xs.mean()), float(ys.mean())
    prior_slope = 0.0 if is_proxy or x_mean <= 0 else y_mean / x_mean
    weight = PRIOR_PAIRS * max(float(xs.var()), 1e-12)
    slope = (float((xs - x_mean) @ (ys - y_mean)) + weight * prior_slope) / (len(xs) * float(xs.var()) + weight)
    slope = max(0.0, slope)
    offset = y_mean - slope * x_mean
    squared = float(((ys - offset - slope * xs) ** 2).sum()) + PRIOR_PAIRS * (PRIOR_DEVIATION * y_mean) ** 2
    deviation = math.sqrt(squared / (len(xs) - 2 + PRIOR_PAIRS))
    return RungLine(slope=slope, offset=offset, deviation=deviation)


def promotion(
    trials: Sequence[Trial],
    running: Sequence[Trial],
    ladder: Ladder,
    objectives: Sequence[Objective],
    *,
    final: bool = False,
    fits: Callable[[Trial], bool] = lambda trial: True,
    floors: Floors = NO_FLOORS,
) -> Trial | None:
    """Returns the trial to promote to the next rung, from the highest rung that has one; None if no trial is due.

    A rung that is not trusted promotes all its trials. A trial whose score is better than that of every other trial of
    its rung, by more than its bootstrap interval, is due at once.

    Args:
        trials: Those that have ended.
        running: Those under way.
        ladder: The rungs.
        objectives: Of the front; costs and accuracies.
        final: At the end of a run: every trial that no other of its rung dominates is due.
        fits: Whether the time is enough for the next rung of a trial; others are passed over.
        floors: Costs below which a detector is worth no more, by column.
    """
    for rung in reversed(range(ladder.first, ladder.last)):
        above = [trial for trial in (*trials, *running) if trial.rung > rung and not trial.is_repetition]
        promoted = {trial.key for trial in above}
        on_rung = evaluated(trials, rung)
        waiting = [trial for trial in on_rung if trial.key not in promoted]
        if final:
            due = _undominated(on_rung, waiting, objectives)
        else:
            best = _dominating(on_rung)
            if best is not None and best in waiting and fits(best):
                return best
            share = PROMOTED_SHARE if rung_correlation(trials, rung).trusted else 1
            due = waiting if len(on_rung) - len(waiting) < -(-len(on_rung) // share) else []
        due = [trial for trial in due if fits(trial)]
        if due:
            gains = expected_gains(due, trials, running, ladder, objectives, floors)
            best, gain = min(
                zip(due, gains, strict=True), key=lambda each: (-each[1], -_score(each[0]), each[0].number)
            )
            if gain > 0 or final or rung == 0:
                return best
    return None


def expected_gains(
    waiting: Sequence[Trial],
    trials: Sequence[Trial],
    running: Sequence[Trial],
    ladder: Ladder,
    objectives: Sequence[Objective],
    floors: Floors = NO_FLOORS,
) -> list[float]:
    """Returns the expected gain in hypervolume on the last rung of trials of one rung.

    Promoted trials that are not yet on the last rung count with what is predicted for them. The reference point has
    the lowest accuracy in sight, and somewhat more than the largest cost.

    Args:
        waiting: One trial or more of a rung below the last, with the score of their rung.
        trials: Those that have ended.
        running: Those under way.
        ladder: The rungs.
        objectives: Of the front.
        floors: Costs below which a detector is worth no more, by column.
    """
    rung = waiting[0].rung
    lines = {each.name: _lines(each.name, trials, ladder) for each in objectives if not each.is_cost}
    reached = _promoted(trials, running, rung)
    predicted = [_predicted(trial, lines, objectives, ladder, floors) for trial in (*waiting, *reached)]
    mean, deviation = (np.array([each[part] for each in predicted]) for part in (0, 1))
    known = ~np.isnan(mean).any(axis=1)
    if not known.any():
        return [0.0] * len(waiting)
    lowest, highest = mean[known].min(axis=0), mean[known].max(axis=0)
    margins = np.maximum(MARGIN * (highest - lowest), math.log(1 + MARGIN))
    reference = lowest - np.where([each.is_cost for each in objectives], margins, 0.0)
    count = len(waiting)
    front = mean[count:][known[count:]]
    gains = np.zeros(count)
    rows = known[:count]
    if rows.any():
        gains[rows] = expected_hypervolume_improvement(mean[:count][rows], deviation[:count][rows], front, reference)
    return [float(each) for each in gains]


def _lines(column: str, trials: Sequence[Trial], ladder: Ladder) -> dict[int, RungLine]:
    """Returns the line from each rung to the next one."""
    found = {}
    for rung in range(ladder.first, ladder.last):
        lower = [(trial.key, _of_rung(trial, column)) for trial in evaluated(trials, rung)]
        upper = {trial.key: _of_rung(trial, column) for trial in evaluated(trials, rung + 1)}
        pairs = [(score, upper[key]) for key, score in lower if key in upper]
        pairs = [pair for pair in pairs if all(math.isfinite(value) for value in pair)]
        every = [score for _, score in lower if math.isfinite(score)]
        low, high = ([pair[side] for pair in pairs] for side in (0, 1))
        found[rung] = rung_line(low, high, every, is_proxy=not rung)
    return found


def _promoted(trials: Sequence[Trial], running: Sequence[Trial], rung: int) -> list[Trial]:
    """Returns the trials above a rung, each architecture by its trial on the highest rung that has a score.

    An architecture whose training on the rung above has just begun is there with the trial that it was promoted from.
    """
    under_way = {trial.key for trial in running if trial.rung > rung and not trial.is_repetition}
    highest: dict[str, Trial] = {}
    for trial in trials:
        if trial.is_promotable and (trial.rung > rung or (trial.rung == rung and trial.key in under_way)):
            known = highest.get(trial.key)
            highest[trial.key] = trial if known is None or trial.rung > known.rung else known
    return list(highest.values())


def _predicted(
    trial: Trial,
    lines: dict[str, dict[int, RungLine]],
    objectives: Sequence[Objective],
    ladder: Ladder,
    floors: Floors,
) -> tuple[list[float], list[float]]:
    """Returns the utilities of a trial on the last rung and their deviations; NaN where a score is unknown."""
    found = []
    for each in objectives:
        if each.is_cost:
            cost = trial.value(each.name)
            found.append((math.nan if cost is None else utility(each, cost, floors), 0.0))
        else:
            path = [lines[each.name][rung] for rung in range(trial.rung, ladder.last)]
            start = (_of_rung(trial, each.name), 0.0)
            found.append(reduce(lambda so_far, line: line.predict(*so_far), path, start))
    return [mean for mean, _ in found], [deviation for _, deviation in found]


def _dominating(on_rung: Sequence[Trial]) -> Trial | None:
    """Returns the trial that is better than every other of its rung by more than its interval; None if none is."""
    if len({trial.key for trial in on_rung}) < MIN_ON_RUNG:
        return None
    best = max(on_rung, key=lambda trial: (_score(trial), -trial.number))
    low = best.scores.get("accuracy_low") if best.rung else None
    others = [_score(trial) for trial in on_rung if trial.key != best.key]
    return best if low is not None and low > max(others, default=math.inf) else None


def _undominated(on_rung: list[Trial], waiting: list[Trial], objectives: Sequence[Objective]) -> list[Trial]:
    """Returns the waiting trials that no trial of the rung dominates."""
    if not waiting:
        return []
    values = [[_value_on_rung(trial, each) for each in objectives] for trial in on_rung]
    points = np.asarray(values, dtype=np.float64)
    good = nondominated(points, [each.maximise for each in objectives])
    front = {trial.number for trial, chosen in zip(on_rung, good, strict=True) if chosen}
    return [trial for trial in waiting if trial.number in front]


def _value_on_rung(trial: Trial, objective: Objective) -> float:
    if not objective.is_cost:
        return _of_rung(trial, objective.name)
    value = trial.value(objective.name)
    return math.nan if value is None else value


def _of_rung(trial: Trial, column: str) -> float:
    """Returns the accuracy of a trial, on rung 0 the proxy, which stands for all accuracies."""
    value = trial.value(column if trial.rung else "proxy")
    return math.nan if value is None else value


def _score(trial: Trial) -> float:
    return trial.rung_score or 0.0
