"""The results of a search: its trials, their table, the front, and the report of a run.

`load`, `front` and `hypervolume` are for notebooks; see docs/results-api.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from results.trials import front, hypervolume, load

__all__ = ["front", "hypervolume", "load"]


if not TYPE_CHECKING:  # so that type checkers report a name that is not there

    def __getattr__(name: str) -> Any:
        """Imports a public name on its first use, because importing pandas is slow."""
        if name in __all__:
            from results import trials

            return getattr(trials, name)
        raise AttributeError(f"module 'results' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
