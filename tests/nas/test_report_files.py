"""What a report shows of a run beside its trials: finished detectors, the plan, audits, held-out images."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from nas.reports.audits import audits_of
from nas.reports.finish_files import finished_detectors, phase_times
from nas.reports.held_out import finished_on, held_out_words, shown_images
from results.report import AuditPair, PhaseTime
from tests.results.trial_fakes import make_table
from trainers.data import Dataset, DataSplits, Record

FINISH: dict[str, Any] = {
    "name": "01-aa",
    "key": "aa",
    "weights": "weights.pt",
    "export": "export",
    "onnx": None,
    "scored_on": "held-out",
    "num_images": 100,
    "scores": {"ap50": 0.5, "ap_small": None},
    "epochs": 12.5,
    "images_seen": 1250,
    "seconds": 60.5,
    "evaluation_seconds": 2.0,
    "macs": 10,
    "params": 20,
}
PLAN: dict[str, Any] = {
    "num_members": 2,
    "planned_seconds": {"search": 810.0, "finish": 936.0, "evaluation": 54.0},
    "actual_seconds": {"search": 800.5, "finish": None, "evaluation": None},
    "search_ended_by": "time_up",
}


def write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def test_finished_detectors_are_read_by_rank(tmp_path: Path) -> None:
    for name in ("02-bb", "01-aa"):
        write(tmp_path / "finished" / name / "finish.json", FINISH | {"name": name, "export": None})
    first, second = finished_detectors(tmp_path)
    assert (first.name, second.name) == ("01-aa", "02-bb")
    assert first.scores["ap50"] == 0.5 and math.isnan(first.scores["ap_small"])
    assert (first.epochs, first.images_seen, first.seconds, first.macs, first.params) == (12.5, 1250, 60.5, 10, 20)
    assert (first.weights, first.export) == ("finished/01-aa/weights.pt", "")
    write(tmp_path / "finished" / "01-aa" / "finish.json", FINISH)
    assert finished_detectors(tmp_path)[0].export == "finished/01-aa/export"
    assert finished_detectors(tmp_path / "other") == ()


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        "[" * 100_000,
        "\x00",
        FINISH | {"epochs": "many"},
        FINISH | {"epochs": True},
        FINISH | {"scores": [1]},
        FINISH | {"scores": {"ap50": math.inf}},
        FINISH | {"macs": None},
        {name: value for name, value in FINISH.items() if name != "seconds"},
    ],
)
def test_a_damaged_file_of_a_finished_detector_is_left_out(content: object, tmp_path: Path) -> None:
    write(tmp_path / "finished" / "01-aa" / "finish.json", content)
    write(tmp_path / "finished" / "02-bb" / "finish.json", FINISH | {"name": "02-bb"})
    assert [each.name for each in finished_detectors(tmp_path)] == ["02-bb"]


def test_the_plan_is_read_with_what_happened(tmp_path: Path) -> None:
    assert phase_times(tmp_path) == ()
    write(tmp_path / "plan.json", PLAN)
    assert phase_times(tmp_path) == (
        PhaseTime(title="search", planned_seconds=810.0, actual_seconds=800.5),
        PhaseTime(title="training of the best", planned_seconds=936.0, actual_seconds=None),
        PhaseTime(title="evaluation and export", planned_seconds=54.0, actual_seconds=None),
    )


@pytest.mark.parametrize(
    "content",
    [
        "",
        "null",
        PLAN | {"actual_seconds": 3},
        PLAN | {"planned_seconds": {}},
        PLAN | {"planned_seconds": {"search": "x"}},
    ],
)
def test_a_damaged_plan_is_no_plan(content: object, tmp_path: Path) -> None:
    write(tmp_path / "plan.json", content)
    assert phase_times(tmp_path) == ()


def test_audits_pair_scores_of_the_same_architectures() -> None:
    rows = [{"number": number, "key": f"k{number}", "accuracy": number / 10} for number in range(4)]
    rows += [{"number": 4 + number, "key": f"k{number}", "accuracy": (2 - number) / 10} for number in range(3)]
    table = make_table([*rows, {"number": 7, "key": "k3", "outcome": "failed"}])
    assert audits_of(table) is None
    table["audit_of"] = pd.array([None] * 4 + [0, 1, 2, 3], "Int64")
    audits = audits_of(table)
    assert audits is not None
    assert audits.pairs == (AuditPair(0, 4, 0.0, 0.2), AuditPair(1, 5, 0.1, 0.1), AuditPair(2, 6, 0.2, 0.0))
    assert "Kendall's tau -1.00 on 3 audits" in audits.line
    table["audit_of"] = pd.array([None] * 4 + [40, None, None, None], "Int64")
    assert audits_of(table) is None


@dataclass(frozen=True, kw_only=True)
class HoldoutSetting:
    """The part of a configuration that says whether images are held out."""

    holdout: str
    rung_images: tuple[int, ...] = ()


def splits(number: int) -> DataSplits:
    records = [
        Record(path=None, height=9, width=9, boxes=np.zeros((0, 4)), labels=np.zeros(0), number=n)
        for n in range(number)
    ]
    dataset = Dataset(records, ("a",))
    return DataSplits(train=dataset, val=dataset, source="made up")


def test_the_words_on_held_out_images() -> None:
    held: Any = HoldoutSetting(holdout="yes")
    all_images: Any = HoldoutSetting(holdout="no")
    shown = shown_images(held, splits(40))
    assert [each.number for each in shown.dataset.records] == [n for n in range(40) if n // 4 % 2]
    assert shown.words == "the 20 held-out validation images, which the search did not use"
    assert len(shown_images(all_images, splits(40)).dataset) == 40
    assert "are of 20 validation images that the search did not use" in held_out_words(held, splits(40))
    assert held_out_words(held, splits(40)).endswith("by 20 others.")
    few: Any = HoldoutSetting(holdout="yes", rung_images=(8, 12))
    assert "are of 12 validation" in held_out_words(few, splits(40)) and "by 12 others" in held_out_words(
        few, splits(40)
    )
    assert held_out_words(all_images, splits(40)) == held_out_words(all_images, "gone") == ""
    assert "did not use" in held_out_words(held, "gone")
    assert finished_on(held, splits(40)) == f"They are scored on {shown.words}."
    assert "all" not in finished_on(held, "gone") and finished_on(all_images, "gone") == ""
