"""Every reader on garbage that is built by rule: a little of what `python -m tests.fuzz` does at length."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings

from search_space.errors import DataError
from tests.fuzz.judge import Tally, judge
from tests.fuzz.parsers import PARSERS
from tests.fuzz.rules import RULES
from tests.trainers.data_sets import write_coco_set, write_yolo_set
from trainers.data import open_data

fuzz = settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.slow
@pytest.mark.parametrize("name", RULES)
def test_nothing_but_an_error_of_the_user_comes_of_what_is_built_by_rule(name: str, tmp_path: Path) -> None:
    strategy, prepare = RULES[name]
    case = prepare(tmp_path)

    @fuzz
    @given(strategy)
    def run(value: object) -> None:
        tally = Tally(parser=name)
        judge(tally, name, case(value))
        assert not tally.failures

    run()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # pytest sets filters of its own
@pytest.mark.parametrize("name", PARSERS)
def test_nothing_but_an_error_of_the_user_comes_of_spoilt_files(name: str, tmp_path: Path) -> None:
    tally, cases = Tally(parser=name), PARSERS[name].prepare(tmp_path)
    for number in range(20):
        judge(tally, f"case {number}", cases(Random(f"0 {name} {number}")))
    assert not tally.failures and tally.cases == tally.read + tally.refused == 20


def test_the_judge_tells_a_crash_a_long_wait_and_several_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.fuzz.judge.SECONDS", 0.05)

    def crash() -> None:
        raise KeyError("x")

    def wait() -> None:
        while True:
            pass

    def talk() -> None:
        raise DataError("one\ntwo")

    tally = Tally(parser="x")
    for act in (crash, wait, talk):
        judge(tally, "case", act)
    assert [words in line for words, line in zip(("KeyError", "TooSlow", "several"), tally.failures, strict=True)]
    assert len(tally.failures) == 3 and not tally.read


def test_deeply_nested_files_are_refused(tmp_path: Path) -> None:
    path = write_coco_set(tmp_path)
    path.write_text("[" * 200_000)
    with pytest.raises(DataError, match="is not JSON"):
        open_data(path)
    folder = write_yolo_set(tmp_path / "yolo")
    (folder / "data.yaml").write_text("[" * 5_000)
    with pytest.raises(DataError, match="is not YAML: line 1: it is nested deeper"):
        open_data(folder / "data.yaml")
