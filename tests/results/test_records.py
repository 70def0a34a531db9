"""The table of trials: round trip, front, sums."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from trial_fakes import make_table, make_trial

from results import records


def row(number: int, outcome: str = "complete", **values: object) -> dict[str, object]:
    return {"number": number, "outcome": outcome, "key": f"key{number}", "macs": 10 + number, **values}


def test_round_trip_keeps_types_and_the_word_none(tmp_path: Path) -> None:
    table = make_table(
        [
            row(0, accuracy=0.25, macs=2**53 + 1, axis_attention="none", axis_size=96),
            row(1, outcome="rejected", reason="over, by 10 %", axis_size=128),
        ]
    )
    records.write(table, tmp_path / records.TRIALS_CSV)
    again = records.load(tmp_path)
    assert again.equals(table)
    assert again["macs"][0] == 2**53 + 1
    assert again["axis_attention"][0] == "none" and again["axis_attention"].isna()[1]
    assert [path.name for path in tmp_path.iterdir()] == [records.TRIALS_CSV]


def test_front_takes_complete_trials_only() -> None:
    table = make_table(
        [
            row(0, accuracy=0.2, macs=50),
            row(1, accuracy=0.3, macs=50),
            row(2, accuracy=0.1, macs=20),
            row(3, "stopped", accuracy=0.9, macs=5),
            row(4, "cached", accuracy=0.3, macs=50, key="key1"),
            row(5, "failed", macs=1),
            row(6, accuracy=float("nan"), macs=2),
        ]
    )
    assert records.front(table)["number"].tolist() == [1, 2]


def test_front_of_nothing_is_empty() -> None:
    assert records.front(records.frame([])).empty


def test_tally_adds_up() -> None:
    table = make_table([row(0), row(1, "rejected"), row(2, "rejected"), row(3, "failed")])
    counts = records.tally(table)
    assert counts == {"asked": 4, "complete": 1, "stopped": 0, "rejected": 2, "cached": 0, "failed": 1}
    assert counts["asked"] == sum(counts[outcome] for outcome in records.OUTCOMES)


def test_unknown_columns_and_outcomes_are_errors() -> None:
    with pytest.raises(ValueError, match="mac'"):
        records.frame([replace(make_trial(row(0)), scores={"mac": 1.0})])
    with pytest.raises(ValueError, match="done"):
        make_table([row(0, "done")])


def test_load_names_the_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="not the folder of a run"):
        records.load(tmp_path)
    (tmp_path / records.TRIALS_CSV).write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="lacks the columns"):
        records.load(tmp_path)
