"""`results.load`, `results.front` and `results.hypervolume`, with numbers by hand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from report_fakes import FRONT
from trial_fakes import make_table

import results
from results import records


@pytest.fixture
def run(tmp_path: Path) -> Path:
    records.write(make_table(reversed(FRONT)), tmp_path / records.TRIALS_CSV)
    return tmp_path


def test_all_trials_one_row_each_with_units(run: Path) -> None:
    frame = results.load(run)
    assert frame["number"].tolist() == [0, 1, 2, 3, 4, 5]
    assert frame["gmacs"].tolist()[:2] == [0.2, 0.4] and frame["gflops_2x"].tolist()[:2] == [0.4, 0.8]
    assert frame["input_width_px"].tolist()[0] == 160 and "input_width" not in frame
    with pytest.raises(FileNotFoundError, match="not the folder of a run"):
        results.load(run / "nowhere")


def test_the_front_and_what_it_dominates(run: Path) -> None:
    frame = results.load(run)
    assert results.front(frame)["key"].tolist() == ["dd", "aa"]
    # up to 1 GMAC: 0.2 x 0.8 of aa and 0.4 x 0.2 more of dd, in shares x MACs
    assert results.hypervolume(frame, reference={"macs": 1e9}) == pytest.approx(0.24e9)
    # left out, the reference is the dearest complete trial, dd: only aa is better than that
    assert results.hypervolume(frame) == pytest.approx(0.2 * 0.6e9)
    assert results.hypervolume(frame, ["accuracy"]) == pytest.approx(0.6)
    assert results.hypervolume(frame, ["accuracy"], reference={"accuracy": 0.7}) == 0
    three = results.hypervolume(frame, ["accuracy", "gmacs", "params"], reference={"gmacs": 1, "params": 1500})
    assert three == pytest.approx(0.24 * 500)
    assert results.front(frame, ["accuracy"])["key"].tolist() == ["dd"]
    assert results.front(frame, ["accuracy", "seconds"])["key"].tolist() == ["dd"]
    assert results.hypervolume(frame[frame["outcome"] == "rejected"]) == 0


def test_wrong_objectives_name_the_right_ones(run: Path) -> None:
    frame = results.load(run)
    with pytest.raises(ValueError, match="'speed' is no number of a trial; allowed: .*gmacs"):
        results.front(frame, ["accuracy", "speed"])
    with pytest.raises(ValueError, match="'origin' is no number"):
        results.front(frame, ["accuracy", "origin"])
    with pytest.raises(ValueError, match="none of the objectives macs is an accuracy"):
        results.hypervolume(frame, ["macs"])
    with pytest.raises(ValueError, match="the reference names params; allowed: accuracy, macs"):
        results.hypervolume(frame, reference={"params": 1.0})


def test_the_package_is_light_until_it_is_used() -> None:
    script = "import sys, results; assert 'pandas' not in sys.modules; results.load; assert 'pandas' in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        results.nothing  # noqa: B018
