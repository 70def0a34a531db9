"""A trial as data: its causes, its origin, and its way into the table and back."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trial_fakes import ENDED, KNOWN, make_table, make_trial

from results import records
from results.trial import CAUSES, EVALUATED, Cause, Origin, Outcome, Trial, check_cause

ROOT = Path(__file__).parents[2]
words = st.text("abcdefghijklmnopqrstuvwxyz_-0123456789", min_size=1, max_size=8)
counts = st.integers(0, 2**60)
shares = st.floats(0, 1, allow_subnormal=False)
scores = st.dictionaries(st.sampled_from([*records.SCORES, "ap_8_16", "ap_16_32"]), shares, max_size=4)
maybe = st.none() | st.integers(0, 10**6)
times = st.none() | st.floats(0, 1e6)


@st.composite
def trials(draw: st.DrawFn) -> Trial:
    """Trials that have ended, with any fields that a table can hold."""
    outcome, cause = draw(st.sampled_from(ENDED))
    return Trial(
        number=draw(st.integers(0, 10**6)),
        key=draw(words),
        origin=Origin(draw(words), draw(st.just("") | words)),
        rung=draw(st.integers(0, 3)),
        rungs=3,
        training_seed=draw(counts),
        promoted_from=draw(maybe),
        retry_of=draw(maybe),
        attempt=draw(st.integers(1, 3)),
        repeat_of=draw(maybe),
        imported_from=draw(st.none() | words),
        worker=draw(st.just("") | words),
        objectives=("accuracy", "macs"),
        axes=draw(st.dictionaries(words, words, max_size=3)),
        input_height=draw(st.integers(32, 2048)),
        input_width=draw(st.integers(32, 2048)),
        levels=draw(st.sampled_from([("P2",), ("P2", "P3"), tuple(f"P{level}" for level in range(5, 11))])),
        **{name: draw(counts) for name in ("macs", "params", "weight_bytes", "activation_bytes", "memory_bytes")},
        latency_ms=draw(times),
        outcome=outcome,
        cause=cause,
        reason=draw(st.just("") | words),
        scores=draw(scores) if outcome in EVALUATED else {},
        epochs=draw(times),
        images_seen=draw(maybe),
        seconds=draw(times),
        peak_memory_bytes=draw(maybe),
        accuracy_draws=tuple(draw(st.integers(0, 10_000)) / 1e4 for _ in range(draw(st.integers(0, 3)))),
    )


@settings(deadline=None, max_examples=60)
@pytest.mark.slow
@given(st.lists(trials(), max_size=3))
def test_trials_come_back_from_the_table_as_they_were(found: list[Trial]) -> None:
    assert records.trials_of(records.frame(found)) == found


def test_every_cause_comes_back_from_the_file(tmp_path: Path) -> None:
    rows = [{"number": n, "outcome": str(outcome), "cause": cause} for n, (outcome, cause) in enumerate(ENDED)]
    assert {cause for _, cause in ENDED} == {None, *Cause}
    found = [make_trial(row) for row in rows]
    records.write(records.frame(found), tmp_path / records.TRIALS_CSV)
    assert records.trials_of(records.load(tmp_path)) == found
    assert [(trial.outcome, trial.cause) for trial in found] == ENDED


@pytest.mark.parametrize(
    ("column", "value"), [("outcome", "won"), ("cause", "bad_luck"), ("cause", "over_budget"), ("outcome", "running")]
)
def test_a_table_with_an_outcome_or_a_cause_that_no_trial_has_is_refused(
    column: str, value: str, tmp_path: Path
) -> None:
    path = tmp_path / records.TRIALS_CSV
    records.write(make_table([{"number": 0, "outcome": "failed"}]), path)
    old = {"outcome": "failed", "cause": "exception"}[column]
    path.write_text(path.read_text().replace(f",{old},", f",{value},"))
    with pytest.raises(ValueError, match=r"damaged or no table of trials: .*\bnext: "):
        records.load(tmp_path)


@pytest.mark.parametrize("column", records.REQUIRED)
def test_a_trial_without_what_every_trial_has_is_refused(column: str) -> None:
    row = {**KNOWN, "number": 0}
    records.trial_of(row)
    with pytest.raises(ValueError, match=f"lacks its {column}$"):
        records.trial_of({name: value for name, value in row.items() if name != column})


@pytest.mark.parametrize("outcome", list(Outcome))
def test_a_cause_goes_with_its_outcomes_only(outcome: Outcome) -> None:
    for cause in (None, *Cause):
        if cause in CAUSES[outcome]:
            check_cause(outcome, cause)
        else:
            with pytest.raises(ValueError, match=f"a trial cannot be {outcome} with the cause {cause}"):
                check_cause(outcome, cause)


def test_a_running_trial_has_no_place_in_a_table() -> None:
    with pytest.raises(ValueError, match="under way"):
        records.frame([make_trial({"number": 0, "outcome": "running"})])


@pytest.mark.parametrize(
    ("text", "kind", "name"),
    [("crossover", "crossover", ""), ("design a b", "design", "a b"), ("x ", "x ", ""), (" x", " x", ""), ("", "", "")],
)
def test_an_origin_is_read_as_it_was_written(text: str, kind: str, name: str) -> None:
    origin = Origin.parse(text)
    assert (origin.kind, origin.name, str(origin)) == (kind, name, text)
    assert origin.is_design == (kind == "design")


@pytest.mark.parametrize(
    ("row", "evaluated", "ended", "lost", "promotable"),
    [
        ({"accuracy": 0.5}, True, True, False, True),
        ({"accuracy": 0.5, "repeat_of": 3}, True, True, False, False),
        ({"outcome": "stopped", "accuracy": 0.5, "rungs": 2}, True, True, False, True),
        ({"outcome": "stopped", "proxy": 0.5, "rung": 0}, True, True, False, True),
        ({"outcome": "cached", "accuracy": 0.5}, True, False, False, True),
        ({"outcome": "rejected"}, False, False, False, False),
        ({"outcome": "failed"}, False, True, False, False),
        ({"outcome": "failed", "cause": "time_limit"}, False, True, False, False),
        ({"outcome": "failed", "cause": "worker_lost"}, False, False, True, False),
        ({"outcome": "failed", "cause": "interrupted"}, False, False, True, False),
        ({"outcome": "stopped", "cause": "time_up"}, False, False, True, False),
        ({"outcome": "stopped", "cause": "time_up", "accuracy": 0.5}, False, False, True, False),
    ],
)
def test_what_an_outcome_means(
    row: dict[str, object], evaluated: bool, ended: bool, lost: bool, promotable: bool
) -> None:
    trial = make_trial({"number": 0, **row})
    found = (trial.is_evaluated, trial.is_ended, trial.is_lost, trial.is_promotable)
    assert found == (evaluated, ended, lost, promotable)


def test_a_value_is_a_score_or_a_cost() -> None:
    trial = make_trial({"number": 0, "accuracy": 0.5, "ap_8_16": 0.25, "macs": 7})
    assert [trial.value(name) for name in ("accuracy", "ap_8_16", "macs", "ap50", "latency_ms")] == [
        *(0.5, 0.25, 7.0),
        *(None, None),
    ]


def test_no_code_decides_by_the_text_of_a_reason() -> None:
    folders = ("nas/engine", "nas/executors", "nas/reports", "nas/api", "results")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    files += [ROOT / "nas" / "run_folder.py", *(ROOT / "nas" / "commands").glob("run*.py")]
    assert len(files) > 80
    found = [f"{path}:{line}" for path in files for line in reason_decisions(path.read_text(encoding="utf-8"))]
    assert found == []


@pytest.mark.parametrize(
    "code", ["trial.reason == 'x'", "row['reason'].startswith('x')", "'x' in str(row.get('reason'))", "f(a.reason[:3])"]
)
def test_decisions_by_the_text_of_a_reason_are_found(code: str) -> None:
    assert list(reason_decisions(code)) == [1]
    assert not list(reason_decisions("print(trial.reason); trial.reason or 'x'; table['reason'].iloc[-1]"))


def reason_decisions(source: str) -> Iterator[int]:
    """Yields the lines in which a reason is compared, searched or cut."""
    tests = {"startswith", "endswith", "find", "partition", "split", "removeprefix", "contains"}
    for node in ast.walk(ast.parse(source)):
        asked: list[ast.AST] = []
        if isinstance(node, ast.Compare) and not any(isinstance(op, (ast.Is, ast.IsNot)) for op in node.ops):
            asked = [node.left, *node.comparators]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in tests:
            asked = [node.func.value]
        elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice):
            asked = [node.value]
        if any(is_reason(each) for part in asked for each in ast.walk(part)):
            yield node.lineno


def is_reason(node: ast.AST) -> bool:
    """Whether an expression reads a reason: an attribute, an item or `get`."""
    if isinstance(node, ast.Attribute):
        return node.attr == "reason"
    if isinstance(node, ast.Subscript):
        return isinstance(node.slice, ast.Constant) and node.slice.value == "reason"
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get":
        return any(isinstance(each, ast.Constant) and each.value == "reason" for each in node.args)
    return False
