"""What a search may maximise or minimise, by name: each is a column of a record."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from search_space.errors import ConfigError, nearest

MAX_OBJECTIVES = 3
SIZE_BIN = re.compile(r"ap_(\d+)_(\d+)")


@dataclass(frozen=True, kw_only=True)
class Objective:
    """One thing that a search makes large or small."""

    name: str
    """The column of a record, and of a candidate's costs where it is one."""
    option: str
    """How it is spelt on the command line."""
    title: str
    unit: str = ""
    """Of the values as they are stored; empty for a share between 0 and 1."""
    is_cost: bool = False
    """Whether it is known before training; costs are minimised, all else is maximised."""

    @property
    def maximise(self) -> bool:
        """Whether more is better."""
        return not self.is_cost


def _accuracy(name: str, title: str) -> Objective:
    return Objective(name=name, option=name.replace("_", "-"), title=title)


_KNOWN = (
    _accuracy("accuracy", "accuracy"),
    _accuracy("ap", "AP"),
    _accuracy("ap50", "AP50"),
    _accuracy("ap_small", "AP small"),
    _accuracy("ap_medium", "AP medium"),
    _accuracy("ap_large", "AP large"),
    Objective(name="macs", option="macs", title="MACs", unit="MACs", is_cost=True),
    Objective(name="params", option="params", title="parameters", unit="parameters", is_cost=True),
    Objective(name="latency_ms", option="latency", title="latency", unit="ms", is_cost=True),
    Objective(name="memory_bytes", option="memory", title="peak activation memory", unit="bytes", is_cost=True),
)
OBJECTIVES = {objective.name: objective for objective in _KNOWN}
"""By the name of the column; an accuracy on objects of a size of one's own, `ap_LOW_HIGH`, is understood as well."""


def objective(name: str) -> Objective:
    """Returns the objective of a column's name or of a command line's spelling.

    Raises:
        ConfigError: For an unknown one; it names the near and the known ones.
    """
    spelt = name.strip().lower().replace("-", "_")
    known = {each.option.replace("-", "_"): each for each in _KNOWN} | OBJECTIVES
    if spelt in known:
        return known[spelt]
    bounds = SIZE_BIN.fullmatch(spelt)
    if bounds is not None and int(bounds[1]) < int(bounds[2]):
        return _accuracy(spelt, f"AP {bounds[1]}-{bounds[2]} px")
    options = [each.option for each in _KNOWN]
    hint = nearest(name, options)
    raise ConfigError(
        f"unknown objective {name!r}{hint}; known: {', '.join(options)}, ap-LOW-HIGH (sizes in pixels, LOW below HIGH)"
    )


def objectives(names: Iterable[str]) -> tuple[Objective, ...]:
    """Returns two or three different objectives by their names, in the order given.

    Raises:
        ConfigError: For fewer or more, for one named twice, and where none of them is an accuracy.
    """
    found = tuple(objective(name) for name in names)
    spelt = ", ".join(each.option for each in found) or "none"
    if not 2 <= len(found) <= MAX_OBJECTIVES or len({each.name for each in found}) < len(found):
        raise ConfigError(f"a search has two or three different objectives, got {spelt}; such as: accuracy, macs")
    if all(each.is_cost for each in found):
        raise ConfigError(f"none of the objectives {spelt} is an accuracy; next: add accuracy or ap-small")
    return found
