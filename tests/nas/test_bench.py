"""`nas bench`: the tables, the replays, and the command."""

from __future__ import annotations

import csv
import gzip
import json
import math
from pathlib import Path
from typing import Any

import pytest

from benchmarks.sampler_peers import PEERS, nearest, peer_order
from nas.bench.replay import measured, replay
from nas.bench.summary import Summary, summarise
from nas.bench.table import ACCURACIES, BOARDS, DATA_SETS, LATENCIES, load_table
from nas.cli import main


@pytest.mark.parametrize("data_set", DATA_SETS)
def test_a_table_holds_the_rows_of_its_source(data_set: str) -> None:
    num_points = 825 if data_set == "voc-scratch" else 429
    table = load_table(data_set, "raspberry-pi4")
    with gzip.open(ACCURACIES, "rt") as file:
        accuracies = {row["model_name"]: row for row in csv.DictReader(file)}
    with LATENCIES.open() as file:
        latencies = {row["model_name"]: row for row in csv.DictReader(file)}
    assert len(table.points) == num_points == len(table.domain.listed())
    for point in table.points[::7]:
        row = latencies[point.key]
        assert table.domain.consider(point.params) is point
        table.domain.space.check(point.params)
        assert table.accuracies[point.key] == float(accuracies[point.key][DATA_SETS[data_set]])
        assert point.costs["latency_ms"] == pytest.approx(1e3 * float(row[BOARDS["raspberry-pi4"]]))
        assert point.costs["macs"] == float(row["macs"]) and point.costs["input_px"] == float(row["input_px"])
        assert point.params["family"] == row["family"] and point.params["depth"] == float(row["depth_multiple"])


def test_a_point_that_is_no_row_is_no_point() -> None:
    table = load_table("voc")
    point = next(point for point in table.points if point.params["family"] == "yolov8")
    assert table.domain.consider({**point.params, "width": 0.3}) is None
    assert table.domain.resized(point.params, 100) is None


def test_the_whole_table_has_the_whole_front() -> None:
    table = load_table("sku110k")
    whole = measured(table, table.points)
    assert whole.shares[-1] == pytest.approx(1.0) and whole.linear_shares[-1] == pytest.approx(1.0)
    assert all(before <= after for before, after in zip(whole.shares, whole.shares[1:], strict=False))
    assert whole.evaluations_to(2.0) is None
    # By hand: of two points of the front each dominates a rectangle up to the nadir.
    front = sorted(table.front, key=lambda value: value[1])
    nadir = front[0][0], math.log(front[-1][1])
    area = sum(
        (nadir[1] - math.log(latency)) * (accuracy - before)
        for (accuracy, latency), before in zip(front[1:-1], [each[0] for each in front[:-2]], strict=True)
    )
    point = next(point for point in table.points if table.values(point) == front[len(front) // 2])
    own = (nadir[1] - math.log(point.costs["latency_ms"])) * (table.accuracies[point.key] - nadir[0])
    assert measured(table, [point]).shares[0] == pytest.approx(own / area)


@pytest.mark.slow
def test_the_default_strategy_needs_less_than_half_of_what_random_points_do() -> None:
    table = load_table("sku110k")
    own = summarise(table, "ehvi", seeds=range(3), evaluations=25)
    blind = summarise(table, "random", seeds=range(3), evaluations=429)
    median, random = own.median(0.95), blind.median(0.95)
    assert median is not None and random is not None and median < random / 2


@pytest.mark.parametrize("peer", PEERS)
def test_plain_samplers_evaluate_different_points(peer: str) -> None:
    table = load_table("voc")
    first = replay(table, peer, seed=0, evaluations=12, order=peer_order)
    assert len(first.shares) == 12
    odd = {"family": "yolov6", "variant": "l", "depth": 1.0, "width": 1.0, "input_size": 480}
    assert table.domain.consider(odd) is None
    near = nearest(table, odd).params
    assert near["family"] == "yolov6" and near["input_size"] == 480
    assert replay(table, peer, seed=0, evaluations=12, order=peer_order) == first


def test_medians_know_what_was_not_reached() -> None:
    table = load_table("voc")
    whole = measured(table, table.points)
    parts = (measured(table, table.points[:1]), whole, whole)
    summary = Summary(data_set="voc", board="b", strategy="s", num_points=429, evaluations=429, replays=parts)
    assert summary.median(0.99) == whole.evaluations_to(0.99) and summary.quartiles(0.99)[2] is None
    assert len(summary.curve()) == 429 and summary.curve()[-1] == pytest.approx(1.0)


@pytest.mark.slow
def test_the_command_prints_stable_json_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def said() -> Any:
        main(["bench", "--data-set", "sku110k", "--strategy", "ehvi", "--strategy", "random", "--seeds", "2"]
             + ["--evaluations", "9", "--json", "--plot", str(tmp_path / "curves.png")])  # fmt: skip
        return json.loads(capsys.readouterr().out)

    first, second = said(), said()
    assert first == second and [row["strategy"] for row in first["results"]] == ["ehvi", "random"]
    assert set(first["results"][0]) == {
        *("data_set", "board", "strategy", "points", "seeds", "evaluations", "to", "to_linear", "curve")
    }
    assert len(first["results"][0]["curve"]) == 9 and (tmp_path / "curves.png").stat().st_size > 1000


def test_the_command_prints_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    main(["bench", "--data-set", "voc", "--strategy", "random", "--seeds", "1", "--evaluations", "5"])
    assert "random" in (said := capsys.readouterr().out) and ">5" in said


@pytest.mark.parametrize(
    ("option", "name", "near"),
    [("--data-set", "vox", "voc"), ("--board", "jetson", "jetson-nano"), ("--strategy", "ehvii", "ehvi")],
)
def test_unknown_names_are_one_line(option: str, name: str, near: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["bench", option, name])
    said = capsys.readouterr().err.strip()
    assert caught.value.code == 2 and len(said.splitlines()) == 1
    assert f"unknown {option[2:].replace('-', ' ')} {name!r}" in said and near in said
