"""Statistics over the replays of one strategy on one table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nas.bench.replay import SHARES, Order, Replay, replay
from nas.bench.table import Table

QUARTILES = (0.25, 0.5, 0.75)


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The replays of one strategy on one table, one per seed."""

    data_set: str
    board: str
    strategy: str
    num_points: int
    """Of the table."""
    evaluations: int
    """Limit of each replay."""
    replays: tuple[Replay, ...]

    def quartiles(self, share: float, *, linear: bool = False) -> tuple[float | None, ...]:
        """Returns the quartiles of the evaluations to a share, the median in the middle; None where not reached."""
        counts = [replay.evaluations_to(share, linear=linear) for replay in self.replays]
        ordered = sorted(np.inf if count is None else float(count) for count in counts)
        found = [_quantile(ordered, fraction) for fraction in QUARTILES]
        return tuple(None if value == np.inf else value for value in found)

    def median(self, share: float) -> float | None:
        """Returns the median of the evaluations to a share; None where half of the replays did not reach it."""
        return self.quartiles(share)[1]

    def curve(self) -> list[float]:
        """Returns the median share of the hypervolume after each evaluation; a replay that ended keeps its last."""
        length = max(len(replay.shares) for replay in self.replays)
        rows = [[*each.shares, *[each.shares[-1]] * (length - len(each.shares))] for each in self.replays]
        return [float(value) for value in np.median(rows, axis=0)]

    def as_json(self) -> dict[str, Any]:
        """Returns plain values: quartiles of the evaluations to each share, and the curve."""
        return {
            "data_set": self.data_set,
            "board": self.board,
            "strategy": self.strategy,
            "points": self.num_points,
            "seeds": len(self.replays),
            "evaluations": self.evaluations,
            "to": {f"{share:.2f}": list(self.quartiles(share)) for share in SHARES},
            "to_linear": {f"{share:.2f}": list(self.quartiles(share, linear=True)) for share in SHARES},
            "curve": [round(value, 6) for value in self.curve()],
        }


def summarise(
    table: Table,
    strategy: str,
    *,
    seeds: Sequence[int],
    evaluations: int,
    order: Order | None = None,
    done: Callable[[], None] = lambda: None,
) -> Summary:
    """Replays a strategy once per seed, as `replay` does; `done` is called after each."""
    replays = []
    for seed in seeds:
        replays.append(replay(table, strategy, seed=seed, evaluations=evaluations, order=order))
        done()
    return Summary(
        data_set=table.data_set,
        board=table.board,
        strategy=strategy,
        num_points=len(table.points),
        evaluations=min(evaluations, len(table.points)),
        replays=tuple(replays),
    )


def _quantile(ordered: Sequence[float], fraction: float) -> float:
    """Returns a quantile, interpolated between its two neighbours; infinity if one of them is infinite."""
    place = fraction * (len(ordered) - 1)
    low, high = ordered[int(place)], ordered[min(int(place) + 1, len(ordered) - 1)]
    return low if place == int(place) or low == high else low + (place - int(place)) * (high - low)
