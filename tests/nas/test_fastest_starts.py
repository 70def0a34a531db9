"""With a limit on latency a search starts with the named designs that are predicted fastest on its board."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from nas.config import read_config
from nas.cost import Budget, cost_of
from nas.cost.latency import LatencyModel, load_model
from nas.engine.domain import CostedDomain
from nas.engine.fastest_starts import fastest_starts
from nas.engine.narrowing import with_defaults
from nas.engine.run_request import DEFAULT_STARTS, RunRequest
from nas.engine.session import Session, begin, go_on
from nas.engine.starts import starting_points
from nas.engine.warm_start import read_starts
from search_space import DESIGNS, Architecture, Design, SearchSpace
from search_space.designs.references import REFERENCES
from search_space.errors import UserError
from search_space.registry import Registry

DATA = str(Path(__file__).parents[1] / "data" / "hit_uav")
SIDE = 320
FEW = ("yolov8n-p2-nop5", "yolov8n", "sodet-s", "sn2-yolov8n", "yolov8n-gsconv", "yolov8n-p2")
"""Designs of three papers; that of the third is the slowest."""


@pytest.fixture(scope="module")
def model() -> LatencyModel:
    return load_model("jetson-nano")


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mapping[str, Architecture]]:
    """The named designs, as if there were only a few: costing all takes seconds."""
    references = {name: REFERENCES[name] for name in ("yolov8n", "yolo11n", "yolo11s")}
    designs: Registry[Design] = Registry("design")
    for name in FEW:
        designs.add(name, DESIGNS.get(name))
    monkeypatch.setattr("nas.engine.fastest_starts.REFERENCES", references)
    monkeypatch.setattr("nas.engine.fastest_starts.DESIGNS", designs)
    yield {**references, **{name: DESIGNS.get(name).architecture for name in FEW}}
    for name in FEW:
        designs.remove(name)


def domain_of(model: LatencyModel, limit_ms: float, **narrowing: tuple[Any, ...]) -> CostedDomain:
    space = SearchSpace().narrowed(with_defaults(narrowing))
    return CostedDomain(space, Budget(latency_ms=limit_ms), num_classes=4, device=model)


def milliseconds(architecture: Architecture, model: LatencyModel, side: int = SIDE) -> float:
    latency = cost_of(architecture, num_classes=4, input_hw=(side, side), device=model).latency
    assert latency is not None
    return latency.latency_ms


def test_the_fastest_of_each_paper_come_first(model: LatencyModel, few: Mapping[str, Architecture]) -> None:
    names, notice = fastest_starts(domain_of(model, 200), count=5, wanted_side=SIDE)
    times = {name: milliseconds(few[name], model) for name in names}
    assert names == ("yolov8n", "yolov8n-gsconv", "yolo11n", "sodet-s", "sn2-yolov8n")
    assert sorted(names[:4], key=times.__getitem__) == list(names[:4]) and times["sn2-yolov8n"] < times["sodet-s"]
    assert all(f"{name} {times[name]:.3g} ms" in notice for name in names) and f"at {SIDE}x{SIDE} px" in notice
    assert (names, notice) == fastest_starts(domain_of(model, 200), count=5, wanted_side=SIDE)


def test_designs_that_do_not_fit_the_budget_are_passed_over(
    model: LatencyModel, few: Mapping[str, Architecture]
) -> None:
    narrowing: dict[str, Any] = {"input_size": (SIDE,), "width": (0.25,)}
    names, _ = fastest_starts(domain_of(model, 40, **narrowing), count=4, wanted_side=SIDE)
    assert names == ("yolov8n", "yolov8n-gsconv", "yolo11n", "sn2-yolov8n"), "sodet-s takes 78 ms at the only size"
    starts, notices = starting_points(domain_of(model, 40, **narrowing), {name: few[name] for name in names})
    assert [start.name for start in starts] == list(names) and not any("left out" in notice for notice in notices)
    assert fastest_starts(domain_of(model, 0.5), count=4, wanted_side=SIDE)[0] == ()


def test_designs_with_a_head_outside_the_space_are_no_starts(
    model: LatencyModel, few: Mapping[str, Architecture]
) -> None:
    assert fastest_starts(domain_of(model, 100, head=("ssd",)), count=4, wanted_side=SIDE)[0] == ()


def test_a_domain_without_a_board_has_no_fastest_designs() -> None:
    domain = CostedDomain(SearchSpace().narrowed(with_defaults({})), Budget(gmacs=1.0), num_classes=4)
    with pytest.raises(ValueError, match="no board"):
        fastest_starts(domain, count=4, wanted_side=SIDE)


def opened(tmp_path: Path, **settings: Any) -> Session:
    return begin(RunRequest.of(data=DATA, trials=1, out=str(tmp_path), name="run", **settings))


def test_a_run_with_a_limit_on_latency_starts_with_the_fastest_and_says_so(
    tmp_path: Path, few: Mapping[str, Architecture]
) -> None:
    session = opened(tmp_path, budget_latency_ms=60.0, device="jetson-nano")
    assert session.config.start == ("yolov8n", "yolov8n-gsconv", "yolo11n", "sodet-s")
    assert [start.name for start in session.starts] == list(session.config.start)
    (notice,) = [notice for notice in session.notices if "predicted fastest" in notice]
    assert "--start replaces them" in notice
    assert read_config(session.folder.config_yaml).start == session.config.start
    resumed = go_on(session.folder.path, RunRequest.of(trials=2))
    assert resumed.named == session.named and not any("predicted fastest" in each for each in resumed.notices)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"budget_gflops": 1.0}, DEFAULT_STARTS["anchor_free"]),
        ({"budget_gflops": 1.0, "device": "jetson-nano"}, DEFAULT_STARTS["anchor_free"]),
        ({"budget_latency_ms": 60.0, "device": "jetson-nano", "start": ("yolo11n",)}, ("yolo11n",)),
    ],
)
def test_other_runs_start_as_before(tmp_path: Path, settings: dict[str, Any], expected: tuple[str, ...]) -> None:
    session = opened(tmp_path, **settings)
    assert session.config.start == expected and tuple(session.named.architectures) == expected
    assert not any("predicted fastest" in notice for notice in session.notices)


def test_a_scale_of_yolo_is_a_start_by_name() -> None:
    assert read_starts(("yolo11n",)).architectures == {"yolo11n": REFERENCES["yolo11n"]}
    with pytest.raises(UserError, match="yolo11z"):
        read_starts(("yolo11z",))
