"""Fake histories and domains for tests of strategies."""

from __future__ import annotations

import math

from search_fakes import NUM_CLASSES, small_space

from nas.bench.table import TableDomain, load_table
from nas.cost import Budget
from nas.engine.domain import CostedDomain, CostedPoint
from nas.engine.history import History, Observation
from nas.engine.objectives import objectives
from nas.engine.strategies import STRATEGIES
from search_space import SearchSpace

OBJECTIVES = objectives(("accuracy", "macs"))
TABLE = load_table("sku110k")
BUDGET = Budget(gmacs=0.5)
CHEAP = {"block": ("c2f",), "width": (0.125, 0.25, 0.5), "topology": ("pan", "fpn"), "attention_neck": ("none",)}
LARGE = SearchSpace().narrowed({"head": ("anchor_free",), "backbone": ("yolov8", "mobilenetv1"), **CHEAP})


def known(number: int, point: CostedPoint, state: str = "evaluated") -> Observation:
    """A trial whose accuracy grows with its cost and its input, with a bump that its key decides."""
    bump = int.from_bytes(point.key.encode()[-2:], "big") % 100 / 1000
    accuracy = 1 - math.exp(-((point.costs["macs"] / 1e8) ** 0.4)) + bump
    values = (accuracy if state == "evaluated" else None, point.costs["macs"])
    return Observation(
        number=number, key=point.key, params=point.params, state=state, values=values, costs=point.costs, origin="test"
    )


def run(
    name: str, domain: CostedDomain | TableDomain, trials: int, *, start: tuple[Observation, ...] = ()
) -> list[Observation]:
    told = list(start)
    for number in range(len(told), len(told) + trials):
        proposal = STRATEGIES.get(name)(History(objectives=OBJECTIVES, trials=tuple(told)), domain, seed=number)
        if proposal is None:
            break
        domain.space.check(proposal.params)
        point = domain.consider(proposal.params)
        assert point is not None and point.feasible and point.key not in {trial.key for trial in told}
        told.append(known(number, point))
    return told


def table_domain() -> TableDomain:
    return TableDomain(TABLE.points)


def tiny_domain(gmacs: float = 10.0) -> CostedDomain:
    space = small_space().narrowed({axis.name: axis.choices[:1] for axis in small_space().axes})
    axes = {axis.name: axis for axis in small_space().axes}
    return CostedDomain(
        SearchSpace(
            tuple(axes[each.name] if each.name in ("input_size", "width") else each for each in space.axes),
        ),
        Budget(gmacs=gmacs),
        num_classes=NUM_CLASSES,
    )
