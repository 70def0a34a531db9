"""Spoilt checkpoints and random pickles end in weights or in one line: a little of what `python -m tests.fuzz` does."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from tests.fuzz.judge import Tally, judge
from tests.fuzz.parsers import PARSERS

CASES = 150


@pytest.mark.parametrize("name", ["foreign checkpoints", "foreign pickles"])
def test_nothing_but_weights_or_one_line_comes_of_spoilt_checkpoints(name: str, tmp_path: Path) -> None:
    tally, cases = Tally(parser=name), PARSERS[name].prepare(tmp_path)
    for number in range(CASES):
        judge(tally, f"case {number}", cases(Random(f"1 {name} {number}")))
    assert not tally.failures and not tally.weak
    assert tally.read > CASES / 20 and tally.refused > CASES / 20, "both outcomes occur"
