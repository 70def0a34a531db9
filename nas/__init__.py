"""Hardware-aware architecture search for small-object detectors: each command of `nas` as a function.

    import nas

    run = nas.search("hit-uav", split="block", budget_gflops=1, minutes=60)
    run.front                                  # a pandas frame
    trained = nas.train(run.members[0], epochs=50)
    nas.predict(trained, "frames/")[0].draw()  # a picture

Functions take plain values and return frozen results; they print nothing. docs/python.md shows them by task. Importing
the package is quick: each function is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nas.api.bench import compare_strategies
    from nas.api.calibrate import calibrate
    from nas.api.data import check_data, convert_data
    from nas.api.designs import list_designs
    from nas.api.devices import list_devices
    from nas.api.evaluate import evaluate
    from nas.api.explain import explain
    from nas.api.export import export
    from nas.api.import_weights import import_weights
    from nas.api.inspect import inspect
    from nas.api.latency import latency, predict_ops
    from nas.api.load import load
    from nas.api.predict import predict
    from nas.api.report import report
    from nas.api.reproduce import reproduce, reproduce_all
    from nas.api.search import search
    from nas.api.train import train
    from nas.cost import Budget
    from nas.doctor.diagnosis import diagnose
    from nas.plugins import use_plugins
    from search_space import DESIGNS, Architecture, SearchSpace
    from search_space.errors import UserError

__all__ = [
    "DESIGNS",
    "Architecture",
    "Budget",
    "SearchSpace",
    "UserError",
    "calibrate",
    "check_data",
    "compare_strategies",
    "convert_data",
    "diagnose",
    "evaluate",
    "explain",
    "export",
    "import_weights",
    "inspect",
    "latency",
    "list_designs",
    "list_devices",
    "load",
    "predict",
    "predict_ops",
    "report",
    "reproduce",
    "reproduce_all",
    "search",
    "train",
    "use_plugins",
]

_MODULES = {
    "DESIGNS": "search_space",
    "Architecture": "search_space",
    "Budget": "nas.cost",
    "SearchSpace": "search_space",
    "UserError": "search_space.errors",
    "check_data": "nas.api.data",
    "compare_strategies": "nas.api.bench",
    "convert_data": "nas.api.data",
    "diagnose": "nas.doctor.diagnosis",
    "list_designs": "nas.api.designs",
    "list_devices": "nas.api.devices",
    "predict_ops": "nas.api.latency",
    "reproduce_all": "nas.api.reproduce",
    "use_plugins": "nas.plugins",
}
"""The module of each name; a function is in `nas.api.NAME` unless it is named here."""


if not TYPE_CHECKING:  # so that type checkers report a name that is not there

    def __getattr__(name: str) -> Any:
        """Imports what is asked for when it is first used."""
        if name not in __all__:
            raise AttributeError(f"module 'nas' has no attribute {name!r}")
        value = getattr(importlib.import_module(_MODULES.get(name, f"nas.api.{name}")), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
