"""The commands explain and reproduce, as a script calls them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nas.api.differences import differences
from nas.api.reproduce import num_decimals, reproduce
from nas.cli import main
from nas.cost import cost_of
from search_space import DESIGNS, SearchSpace, Unit

GOLDEN = json.loads((Path(__file__).parents[1] / "data" / "golden.json").read_text())["designs"]
COUNTED_OTHERWISE = {
    ("yolov6-n", "params_m_deployed"): -1.081,
    ("yolov6-n", "gflops_2x"): -0.737,
    ("rtmdet-tiny", "params_m"): 2.004,
    ("rtmdet-tiny", "gmacs"): -0.789,
    ("picodet-s", "params_m"): 0.551,
    ("picodet-s", "gflops_2x"): -1.401,
    ("picodet-xs", "gflops_2x"): -0.992,
    ("damo-yolo-ns", "gflops_2x"): -4.002,
    ("damo-yolo-nm", "gflops_2x"): -2.932,
}
"""Percent by which our count differs from a published one that its authors counted otherwise, as its note says."""
COUNTED_UNITS = ("M", "GFLOPs", "MFLOPs", "G multiply-adds")
"""How the units of published counts begin; the rest are accuracies and latencies."""


def _run(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> tuple[str, str]:
    try:
        main(list(arguments))
    except SystemExit as stop:
        assert stop.code == code
    else:
        assert code == 0
    return capsys.readouterr()


def _json(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    return json.loads(_run(capsys, *arguments, "--json")[0])


@pytest.mark.slow(but=("yolov8n-10", "yolov8n-p2-10"))
@pytest.mark.parametrize("row", GOLDEN, ids=lambda row: f"{row['design']}-{row['num_classes']}")
def test_reproduce_gives_golden_counts(row: dict[str, Any], capsys: pytest.CaptureFixture[str]):
    arguments = ("--num-classes", str(row["num_classes"]), "--input", *map(str, row["input_hw"]), "--no-check-fvcore")
    out = _json(capsys, "reproduce", row["design"], *arguments)
    keys = ("design", "num_classes", "input_hw", "params", "macs", "dfl_constants")
    assert {key: out[key] for key in keys} == {key: row[key] for key in keys}
    assert out["flops_2x"] == 2 * out["macs"] and out["fvcore_macs"] is None
    for name in ("params", "macs", "flops_2x"):
        assert out[name] == sum(part[name] for part in out["parts"])
        if f"{name}_by_part" in row:
            assert {part["part"]: part[name] for part in out["parts"]} == row[f"{name}_by_part"]
    if "params_conv_bn_folded" in row:
        assert out["params_conv_bn_folded"] == row["params_conv_bn_folded"]


def test_explain_tells_an_input_format_that_is_not_the_default(capsys: pytest.CaptureFixture[str]):
    told, plain = (_run(capsys, "explain", name)[0].splitlines() for name in ("ssd-mobilenetv1", "yolov8n"))
    assert told[1] == "input format: BGR, 0 to 255, minus 103.94, 116.78, 123.68, stretched"
    assert not any(line.startswith("input format") for line in plain)
    assert _json(capsys, "explain", "ssd-mobilenetv1")["input_format"] == {
        "mean": [103.94, 116.78, 123.68],
        "std": [1.0, 1.0, 1.0],
        "channels": "bgr",
        "value_range": 255,
        "fit": "stretch",
    }


@pytest.mark.slow(but=("yolov8n-p2-nop5-bidir", "syolo"))
@pytest.mark.parametrize("name", DESIGNS.names())
def test_every_published_count_is_compared_and_near(name: str):
    for row in reproduce(name, check_fvcore=False).to_dict()["published"]:
        if not row["unit"].startswith(COUNTED_UNITS):
            assert (
                row["num_classes"] is None
                and row["ours"] is None
                and row["reason"] == "not measured"
                and row["convention"] is None
            )
            continue
        known = COUNTED_OTHERWISE.get((name, row["name"]), 0.0)
        assert row["note"] or not known
        assert row["as_printed"] or abs(row["deviation_percent"] - known) < (0.01 if known else 0.25), row
        assert row["ours"] == row["count"] / row["multiple_of"] and row["convention_sentence"]
        assert row["deviation_percent"] == pytest.approx(100 * (row["ours"] - row["published"]) / row["published"])
        assert row["reason"] not in ("", "not explained")
        assert (row["reason"] == "equal as printed") == row["as_printed"]


@pytest.mark.parametrize("row", [row for row in GOLDEN if row["published"]], ids=lambda row: row["design"])
def test_the_designs_publish_what_the_golden_file_says(row: dict[str, Any]):
    published = DESIGNS.get(row["design"]).published
    for name, value in row["published"].items():
        assert name == "note" or published[name].value == value


@pytest.mark.slow
def test_figures_for_other_classes_than_the_design_are_compared_at_their_own(capsys: pytest.CaptureFixture[str]):
    def rows(*arguments: str) -> dict[str, Any]:
        out = _json(capsys, "reproduce", "syolo", "--no-check-fvcore", *arguments)
        return {row["name"]: row for row in out["published"]}

    assert rows()["params_m_folded"]["num_classes"] == 20 and rows()["params_m_folded"]["count"] == 57_233_036
    assert rows("--num-classes", "20")["params_m_folded"]["as_printed"]
    other = rows("--num-classes", "20")["params_m"]
    assert other["ours"] is None and other["reason"] == "not compared: published for 80 classes at 640x640"
    smaller = rows("--input", "320", "320")["params_m"]
    assert smaller["ours"] is None and smaller["deviation_percent"] is None


@pytest.mark.slow
@pytest.mark.parametrize("name", ["yolov8n", "tinydet-s", "ssd-mobilenetv1-s1l0-dualpath"])
def test_one_design_is_checked_with_fvcore(name: str, capsys: pytest.CaptureFixture[str]):
    arguments = ("reproduce", name, "--input", "128", "128", "--num-classes", "3")
    text, _ = _run(capsys, *arguments)
    assert "on the built module: equal" in text and "not measured" in text
    out = _json(capsys, *arguments)
    assert out["fvcore_macs"] == out["macs"]


@pytest.mark.slow
def test_a_count_that_fvcore_denies_shows(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr("nas.cost.oracle.fvcore_macs", lambda *_: 1)
    assert "DIFFERENT" in _run(capsys, "reproduce", "yolov8n", "--input", "64", "64")[0]
    monkeypatch.setattr("search_space.DESIGNS._things", {"yolov8n": DESIGNS.get("yolov8n")})
    text, _ = _run(capsys, "reproduce", "--all", "--check-fvcore")
    assert "DIFFERENT" in text and "0 of 1 published counts equal ours" in text


@pytest.mark.slow
def test_reproduce_all_has_a_row_for_every_published_count(capsys: pytest.CaptureFixture[str]):
    rows = _json(capsys, "reproduce", "--all")["rows"]
    assert list(dict.fromkeys(row["design"] for row in rows)) == list(DESIGNS)
    for name in DESIGNS:
        units = [figure.unit for figure in DESIGNS.get(name).published.values()]
        counts = sum(unit.startswith(COUNTED_UNITS) for unit in units)
        mine = [row for row in rows if row["design"] == name]
        assert len(mine) == max(counts, 1)
        if not counts:
            assert mine[0]["figure"] is None and mine[0]["reason"] == "none published"


@pytest.mark.parametrize(("value", "decimals"), [(1.1, 1), (495.0, 0), (3.001, 3), (57, 0)])
def test_figures_are_compared_to_the_digits_they_are_printed_with(value: float, decimals: int):
    assert num_decimals(value) == decimals


def test_explain_adds_up_and_takes_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "a.yaml"
    DESIGNS.get("yolov8n-p2").architecture.to_yaml(path)
    out = _json(capsys, "explain", str(path), "--num-classes", "10")
    assert (out["params"], out["macs"]) == (1741816, 5603148800)
    for name in ("params", "macs", "weight_bytes", "activation_bytes"):
        assert out[name] == sum(node[name] for node in out["nodes"])
    assert sum(node["macs_percent"] for node in out["nodes"]) == pytest.approx(100)
    assert out["memory_bytes"] == cost_of(DESIGNS.get("yolov8n-p2").architecture, num_classes=10).memory_bytes
    text, err = _run(capsys, "explain", str(path), "--input", "64", "96")
    assert "stage:c2f" in text and "96x64" in text and "repeats=2 shortcut=True" in text
    assert "counted for 80 classes" in err


@pytest.mark.slow
@pytest.mark.parametrize("name", DESIGNS.names())
def test_explain_shows_shared_weights_as_such(name: str, capsys: pytest.CaptureFixture[str]):
    design = DESIGNS.get(name)
    out = _json(capsys, "explain", name)
    assert out["params"] == cost_of(design.architecture, num_classes=design.num_classes).params
    shared = [node for node in out["nodes"] if node["shares"] is not None]
    assert bool(shared) == ("dualpath" in name or "tinydet" in name)
    assert all(node["params"] == 0 and node["weight_bytes"] == 0 for node in shared)
    if shared:
        assert f"those of {shared[0]['shares']}" in _run(capsys, "explain", name)[0]


PAIRS = [
    ("yolov8n", "yolov8n-p2-nop5-bidir-cbam"),
    ("yolov8n-p2-nop5-bidir-cbam", "yolov8n"),
    ("sodet-s", "yolov8n-p2"),
    ("yolov8n-sni", "yolov8n"),
    ("tinydet-s", "tinydet-l"),
    ("ssd-mobilenetv1", "ssd-mobilenetv1-s1l0-dualpath"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_diff_names_the_axes_and_prices_each(a: str, b: str, capsys: pytest.CaptureFixture[str]):
    out = _json(capsys, "explain", a, "--diff", b)
    space, num_classes = SearchSpace(), DESIGNS.get(a).num_classes
    points = [space.encode(DESIGNS.get(name).architecture) for name in (a, b)]
    rows = {row["name"]: row for row in out["differences"]}
    assert out["compared"] == "axes" and out["num_classes"] == num_classes
    names = [axis.name for axis in space.axes]
    assert list(rows) == [name for name in names if points[0].get(name) != points[1].get(name)]
    costs = [cost_of(DESIGNS.get(name).architecture, num_classes=num_classes) for name in (a, b)]
    assert out["total"] == {key: getattr(costs[1], key) - getattr(costs[0], key) for key in ("macs", "params")}
    priced = 0
    for name, row in rows.items():
        assert (row["a"], row["b"]) == (points[0].get(name, "-"), points[1].get(name, "-"))
        assert set(row["only_with"]) <= set(names) - {name}
        if row["macs"] is None:
            assert row["only_with"]
            continue
        taken = {other: points[1][other] for other in (name, *row["only_with"]) if other in points[1]}
        point = space.completed({**points[0], **taken}, lambda axis: pytest.fail(f"{axis.name} is missing"))
        cost = cost_of(space.decode(point), num_classes=num_classes)
        assert (row["macs"], row["params"]) == (cost.macs - costs[0].macs, cost.params - costs[0].params)
        priced += 1
    assert priced


def test_diff_says_what_goes_only_together(capsys: pytest.CaptureFixture[str]):
    out = _json(capsys, "explain", "yolov8n", "--diff", "yolov8n-p2-nop5-bidir")
    rows = {row["name"]: row for row in out["differences"]}
    assert rows["channel_cap"]["only_with"] == [] and rows["channel_cap"]["params"] < 0
    assert "trunk_level" in rows["head_levels"]["only_with"] and rows["head_levels"]["macs"] > 0
    assert rows["trunk_level"]["a"] == "-" and rows["trunk_level"]["only_with"] == ["head_levels"]
    assert rows["trunk_level"]["macs"] is None
    text, _ = _run(capsys, "explain", "yolov8n", "--diff", "yolov8n-p2-nop5-bidir")
    assert "only together with head_levels, counted there" in text and "only together with skip_wiring" in text
    assert "both for 10 classes, both at 640x640" in text and "total" in text


def test_diff_counts_each_at_its_own_size():
    architecture = DESIGNS.get("yolov8n").architecture
    result = differences(architecture, architecture.resized((320, 320)), num_classes=10, input_hw=None).to_dict()
    (row,) = result["differences"]
    assert row["name"] == "input_size" and row["only_with"] == [] and row["reason"] is None
    assert row["params"] == 0 and row["macs"] == result["total"]["macs"] == -3 * 4045670400 // 4
    assert result["a"]["input_hw"] == [640, 640] and result["b"]["input_hw"] == [320, 320]


def test_diff_of_two_that_need_each_other_prices_the_pair():
    """A stage has either repeats of a block or units, so that neither change can be had without the other."""
    a = DESIGNS.get("yolov8n").architecture
    units = replace(a.backbone.stages[-1], repeats=0, units=(Unit(kind="separable", channels=256),))
    b = replace(a, backbone=replace(a.backbone, stages=(*a.backbone.stages[:-1], units)))
    result = differences(a, b, num_classes=10, input_hw=None).to_dict()
    rows = {row["name"].rpartition(".")[2]: row for row in result["differences"]}
    assert set(rows) == {"repeats", "units"}
    for name, other in (("repeats", "units"), ("units", "repeats")):
        assert rows[name]["only_with"] == [f"backbone.stages.3.{other}"]
        assert {key: rows[name][key] for key in ("macs", "params")} == result["total"]


def test_diff_counts_both_at_a_given_size_and_class_count(capsys: pytest.CaptureFixture[str]):
    arguments = ("tinydet-m", "--diff", "tinydet-l", "--input", "256", "320", "--num-classes", "3")
    out = _json(capsys, "explain", *arguments)
    assert out["num_classes"] == 3 and out["a"]["input_hw"] == out["b"]["input_hw"] == [256, 320]
    assert out["total"] == {"macs": 0, "params": 0}
    assert {row["name"] for row in out["differences"]} >= {"input_size"}
    own, _ = _run(capsys, "explain", "tinydet-m", "--diff", "tinydet-l")
    assert "tinydet-m at 320x320, tinydet-l at 512x512" in own


def test_diff_compares_fields_where_one_is_no_point(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    design = DESIGNS.get("yolov8n")
    stages = design.architecture.backbone.stages
    odd = replace(stages[-1], channels=200, attention="eca")
    backbone = replace(design.architecture.backbone, stages=(*stages[:-1], odd))
    path = tmp_path / "odd.yaml"
    replace(design.architecture, backbone=backbone, input_hw=(320, 640)).to_yaml(path)
    out = _json(capsys, "explain", "yolov8n", "--diff", str(path))
    rows = {row["name"]: row for row in out["differences"]}
    assert out["compared"] == "fields" and out["why_fields"].startswith("the second is no point")
    assert list(rows) == ["input_hw", "backbone.stages.3.channels", "backbone.stages.3.attention"]
    assert rows["backbone.stages.3.channels"]["a"] == 256 and rows["backbone.stages.3.channels"]["params"] < 0
    assert rows["input_hw"]["params"] == 0 and rows["input_hw"]["macs"] < 0
    assert out["why_fields"].count("no point of") == 1
    text, _ = _run(capsys, "explain", str(path), "--diff", "yolov8n", "--num-classes", "10")
    assert "compared field by field: the first is no point" in text and "320, 640" in text


def test_diff_of_fields_names_what_contradicts():
    yolo = DESIGNS.get("yolov8n").architecture
    assert yolo.neck is not None
    odd = replace(
        yolo, input_hw=(320, 640), neck=replace(yolo.neck, repeats=0, kind="fpn", downsample=None, channels=(64,))
    )
    result = differences(yolo, odd, num_classes=10, input_hw=(320, 320)).to_dict()
    rows = {row["name"]: row for row in result["differences"]}
    assert rows["neck.kind"]["macs"] is None and len(rows["neck.kind"]["only_with"]) > 1
    assert "fpn" in rows["neck.kind"]["reason"] or "repeats" in rows["neck.kind"]["reason"]
    assert rows["input_hw"]["macs"] == 0


def test_the_same_twice_differs_in_nothing(capsys: pytest.CaptureFixture[str]):
    assert "they are the same" in _run(capsys, "explain", "sodet-s", "--diff", "sodet-s")[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("reproduce", "yolov8n-p3"), "did you mean 'yolov8n-p2'"),
        (("reproduce",), "give either the name of a design or --all"),
        (("reproduce", "yolov8n", "--all"), "give either the name of a design or --all"),
        (("reproduce", "--all", "--num-classes", "3"), "omit the other options"),
        (("explain", "yolo8n"), "did you mean 'yolov8n'"),
        (("explain", "yolov8n", "--diff", "tinydet"), "did you mean 'tinydet-"),
        (("explain", "none.yaml"), "none.yaml"),
        (("explain", "yolov8n", "--input", "630", "640"), "nearest: 608 or 640"),
        (("explain", "yolov8n", "--num-classes", "0"), "num_classes must be at least 1"),
        (("explain", "yolov8n", "--diff", "sodet-s", "--num-classes", "0"), "num_classes must be at least 1"),
        (("explane", "yolov8n"), "did you mean 'explain'; known: run"),
        (("explain", "yolov8n", "--num-classes", "x"), "see nas explain --help"),
    ],
)
def test_mistakes_get_one_line(arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]):
    out, err = _run(capsys, *arguments, code=2)
    assert message in err and "Traceback" not in err and not out
    assert err.count("\n") == 1


@pytest.mark.slow
def test_a_dear_detector_is_run_under_fvcore_only_when_asked(capsys: pytest.CaptureFixture[str]):
    out, _ = _run(capsys, "reproduce", "ssd-vgg16-s1l2")
    assert "not run on the built module; --check-fvcore runs it" in out
    small = ("--input", "32", "32", "--json")
    assert json.loads(_run(capsys, "reproduce", "ssd-vgg16-s1l2", *small)[0])["fvcore_macs"] > 0
    assert json.loads(_run(capsys, "reproduce", "yolov8n", *small, "--no-check-fvcore")[0])["fvcore_macs"] is None
