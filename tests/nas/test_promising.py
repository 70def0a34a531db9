"""Which detectors of a run are worth a full training."""

from __future__ import annotations

from pathlib import Path

from search_fakes import make_config
from trial_rows import trial

from nas.api.search_run import SearchRun
from results import records
from search_space import DESIGNS, Architecture
from trainers import fresh_detector, save_weights

NAMES = {"young": "yolov8n", "old": "yolov8n-p2"}
DESIGN_OF = {name: DESIGNS.get(design).architecture for name, design in NAMES.items()}


def make_run(folder: Path, ages: dict[str, int | None]) -> SearchRun:
    """A run whose older trial is more accurate and cheaper."""
    scores = {"young": (0.2, 90), "old": (0.3, 80)}
    trials = [
        trial(number, accuracy, macs, rung=2, key=name, images_in_all=ages[name])
        for number, (name, (accuracy, macs)) in enumerate(scores.items())
    ]
    (folder / "front").mkdir()
    DESIGN_OF["old"].to_yaml(folder / "front" / "01-old.yaml")
    return SearchRun(
        folder=folder, config=make_config(), ending=None, table=records.frame(trials), rung_correlations=()
    )


def save(folder: Path, key: str, architecture: Architecture) -> None:
    (folder / "weights").mkdir(exist_ok=True)
    detector = fresh_detector(architecture, num_classes=3, seed=0)
    save_weights(folder / "weights" / f"{key}.pt", detector.state_dict(), architecture.to_dict(), ("a", "b", "c"))


def test_a_detector_is_not_worth_more_for_its_age(tmp_path: Path) -> None:
    run = make_run(tmp_path, {"young": 1000, "old": 4000})
    save(tmp_path, "young", DESIGN_OF["young"])
    assert [member.key for member in run.members] == ["old"]
    first, second = run.most_promising(3)
    assert (first.name, second.name) == ("01-young", "02-old"), "at equal training the younger one is more accurate"
    assert (first.accuracy, second.accuracy) == (0.2, 0.3), "as measured"
    assert first.architecture == DESIGN_OF["young"] and second.architecture == DESIGN_OF["old"]
    assert first.folder == second.folder == tmp_path
    assert [member.key for member in run.most_promising(1)] == ["young"]


def test_a_detector_whose_weights_are_gone_is_not_trained_on(tmp_path: Path) -> None:
    run = make_run(tmp_path, {"young": 1000, "old": 4000})
    assert [member.name for member in run.most_promising(3)] == ["01-old"]


def test_without_inheritance_the_front_is_trained_on(tmp_path: Path) -> None:
    run = make_run(tmp_path, {"young": None, "old": None})
    assert run.most_promising(3) == run.members
