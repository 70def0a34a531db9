"""The table of trials: round trip, front, sums."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from trial_fakes import make_table, make_trial

from results import front, hypervolume, records
from results.trial import Trial


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


def test_a_pyramid_of_extra_stages_is_read_back(tmp_path: Path) -> None:
    levels = " ".join(f"P{level}" for level in range(5, 11))
    records.write(make_table([row(0, levels=levels)]), tmp_path / records.TRIALS_CSV)
    assert records.load(tmp_path)["levels"][0] == levels


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


def test_what_detects_nothing_is_on_the_front_only_where_nothing_detects() -> None:
    blind = [row(0, accuracy=0.0, macs=5), row(1, accuracy=0.0, macs=3)]
    assert records.front(make_table([*blind, row(2, accuracy=0.1, macs=50)]))["number"].tolist() == [2]
    assert records.front(make_table(blind))["number"].tolist() == [1]


def lower(number: int, accuracy: float, macs: int, rung: int, cause: str = "rung_done", **more: object) -> Trial:
    return make_trial(row(number, "stopped", cause=cause, accuracy=accuracy, macs=macs, rung=rung, rungs=3, **more))


def test_a_front_without_complete_trials_is_of_the_highest_rung_that_has_any() -> None:
    cut = [lower(0, 0.99, 1, 1, "time_up")]
    first = [lower(1, 0.9, 5, 1), lower(2, 0.8, 3, 1)]
    second = [lower(3, 0.3, 50, 2), lower(4, 0.2, 20, 2), lower(5, 0.1, 30, 2), lower(6, 0.9, 1, 2, repeat_of=3)]
    done = [make_trial(row(7, accuracy=0.01, macs=90, rung=3, rungs=3))]

    def members(*trials: Trial) -> list[int]:
        return [int(each) for each in records.front(records.frame(trials))["number"]]

    assert members(*cut) == [0]
    assert members(*cut, *first) == [1, 2]
    assert members(*cut, *first, *second) == [3, 4]
    assert members(*cut, *first, *second, *done) == [7]
    unscored = lower(8, 0.5, 1, 1, "interrupted")
    assert members(replace(unscored, scores={})) == []


def test_the_hypervolume_counts_the_last_rung_only() -> None:
    table = records.frame([lower(0, 0.9, 5, 1)])
    assert len(front(table)) == 1 and hypervolume(table) == 0.0


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
