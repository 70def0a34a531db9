"""Trials of a run with two rungs, for tests of promotions and audits."""

from __future__ import annotations

from typing import Any

from results.trial import Cause, Origin, Outcome, Trial


def trial(number: int, accuracy: float | None, macs: int, rung: int = 1, **more: Any) -> Trial:
    """A trial of two rungs: done on the first, or complete on the second."""
    known: dict[str, Any] = {"outcome": Outcome.COMPLETE, "key": f"k{number % 1000}", "activation_bytes": macs}
    if rung < 2:
        known |= {"outcome": Outcome.STOPPED, "cause": Cause.RUNG_DONE}
    known |= {"params": 1, "weight_bytes": 1, "memory_bytes": 1, "input_height": 1, "input_width": 1, "levels": ("P2",)}
    known |= {"scores": {} if accuracy is None else {"accuracy": accuracy}, "origin": Origin("random")}
    return Trial(**{"number": number, "macs": macs, "rung": rung, "rungs": 2, **known, **more})
