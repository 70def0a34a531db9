"""The study of the latency model, on a part of the measurements: each figure is there, and is what it says."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from benchmarks.latency_study import study
from benchmarks.latency_study.baselines import PEERS
from nas.cost.measurements import Measurements
from nas.cost.profile import Profile

ARCHITECTURES, CLASSIFIERS = 10, 30
WHOLE = study.parts_of


def few(detectors: Measurements) -> Measurements:
    """Keeps some architectures of every family, with all their input sizes."""
    folds = study.architecture_folds(detectors)
    names = np.unique(folds)
    kept = names[np.linspace(0, len(names) - 1, min(ARCHITECTURES, len(names))).astype(int)]
    return detectors.kept(np.isin(folds, kept))


def parts_of(name: str) -> tuple[Profile, list[Measurements]]:
    profile, (detectors, *others) = WHOLE(name)
    if len(detectors) < 100:
        return profile, [detectors, *others]
    thinned = [each.kept(np.arange(0, len(each), max(1, len(each) // CLASSIFIERS))) for each in others]
    return profile, [few(detectors), *thinned]


@pytest.fixture(scope="module")
def found() -> Iterator[dict[str, Any]]:
    """The whole study, nested intervals included."""
    pytest.importorskip("sklearn")
    told: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "parts_of", parts_of)
        patch.setattr(study, "CANDIDATES", 30)
        patch.setattr(study, "PICKS", 3)
        study.nested_predictions.cache_clear()
        yield {**study.validate(draws=2, report=told.append), "told": told}
        study.nested_predictions.cache_clear()


@pytest.mark.slow
def test_every_step_is_told_and_has_figures(found: dict[str, Any]) -> None:
    steps = [name.replace(" ", "_") for name in found["told"]]
    assert steps == [name for name in found if name != "told"] and all(found[name] for name in steps)


@pytest.mark.slow
@pytest.mark.parametrize("board", ["jetson_nano", "nvidia_a40"])
def test_the_model_and_each_peer_are_scored_on_both_splits(board: str, found: dict[str, Any]) -> None:
    for name in ("model", *PEERS):
        splits = found[board][name]
        for split in splits.values():
            assert 0 < split["median_percent"] and 0 <= split["within_10_percent"] <= 100
            assert -1 <= split["kendall_tau"] <= 1
        family = splits["leave_one_family_out"]
        assert family["worst_family_percent"] == max(family["by_family"].values())
        assert "by_family" not in splits["leave_one_architecture_out"]
    model = found[board]["model"]["leave_one_architecture_out"]["mean_percent"]
    assert model < found[board]["line in GFLOPs"]["leave_one_architecture_out"]["mean_percent"]


@pytest.mark.slow
def test_more_shots_and_intervals_are_reported_with_their_spread(found: dict[str, Any]) -> None:
    for by_shots in found["few_shots"].values():
        assert list(by_shots) == [str(shots) for shots in study.SHOTS]
        for each in by_shots.values():
            assert each["worst_draw_percent"] >= each["mean_percent"] and each["draws"] == 2
    for by_split in found["intervals"].values():
        assert all(60 <= each["coverage_percent"] <= 100 for each in by_split.values())


@pytest.mark.slow
def test_picks_by_the_upper_bound_are_over_the_limit_least(found: dict[str, Any]) -> None:
    picking = found["picking"]
    assert picking["by upper bound"]["over_percent"] <= picking["by FLOPs"]["over_percent"]


@pytest.mark.slow
def test_classifiers_in_a_hurry_are_held_out_at_random_alone(
    found: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = found["depthwise"]["all"]["with_classifiers"]
    assert list(whole) == ["random_fifths", "leave_one_family_out"]
    monkeypatch.setattr(study, "parts_of", parts_of)
    quick = study.depthwise(quick=True)["all"]["with_classifiers"]
    assert quick == {"random_fifths": whole["random_fifths"]}


def test_trees_without_their_package_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    profile, (detectors, *_) = parts_of(study.NANO)
    networks = study.networks_of(profile, profile.measurements[0], detectors)
    for name in ("sklearn.ensemble", "sklearn.linear_model", "sklearn.pipeline", "sklearn.preprocessing"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r"pyramidnas\[study\]"):
        study._peer_held_out(PEERS["boosted trees"](networks), study.named_folds(detectors.families))


def test_what_is_left_out_when_it_has_to_be_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("whole_study", "other_boards", "few_shots", "orin", "nano_tensorrt", "input_steps", "depthwise"):
        monkeypatch.setattr(study, name, lambda *args, **kwargs: {"quick": kwargs.get("quick")})
    result = study.validate(draws=1, quick=True)
    assert result["intervals"] == result["picking"] == {} and result["depthwise"] == {"quick": True}
