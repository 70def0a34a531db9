"""The commands explain and reproduce, as a script calls them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nas.cli import main
from search_space import DESIGNS


def _run(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> tuple[str, str]:
    try:
        main(list(arguments))
    except SystemExit as stop:
        assert stop.code == code
    else:
        assert code == 0
    return capsys.readouterr()


@pytest.mark.parametrize("name", DESIGNS.names())
def test_reproduce_gives_golden_counts(name: str, capsys: pytest.CaptureFixture[str]):
    rows = json.loads((Path(__file__).parents[1] / "data" / "golden.json").read_text())["designs"]
    row = next(row for row in rows if row["design"] == name)
    arguments = ("--num-classes", str(row["num_classes"]), "--input", *map(str, row["input_hw"]), "--json")
    out = json.loads(_run(capsys, "reproduce", name, *arguments)[0])
    assert {key: out[key] for key in ("design", "num_classes", "input_hw", "params", "macs")} == {
        key: row[key] for key in ("design", "num_classes", "input_hw", "params", "macs")
    }
    assert out["fvcore_macs"] == out["macs"] and out["flops_2x"] == 2 * out["macs"]
    folded = next(figure for figure in out["published"] if figure["name"] == "params_m_folded")
    assert abs(folded["deviation_percent"]) < 0.25


def test_reproduce_prints_what_is_not_measured(capsys: pytest.CaptureFixture[str]):
    out, _ = _run(capsys, "reproduce", "yolov8n", "--input", "64", "64")
    assert "not measured" in out and "3,012,782" in out and "equal" in out


def test_explain_adds_up_and_takes_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "a.yaml"
    DESIGNS.get("yolov8n-p2").architecture.to_yaml(path)
    out = json.loads(_run(capsys, "explain", str(path), "--num-classes", "10", "--json")[0])
    assert (out["params"], out["macs"]) == (1741816, 5603148800)
    for name in ("params", "macs", "weight_bytes", "activation_bytes"):
        assert out[name] == sum(node[name] for node in out["nodes"])
    text, _ = _run(capsys, "explain", str(path), "--input", "64", "96")
    assert "stage:c2f" in text and "96x64" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("reproduce", "yolov8n-p3"), "did you mean 'yolov8n-p2'"),
        (("explain", "yolov8m"), "did you mean 'yolov8n'"),
        (("explain", "none.yaml"), "none.yaml"),
        (("explain", "yolov8n", "--input", "630", "640"), "nearest: 608 or 640"),
        (("explain", "yolov8n", "--num-classes", "0"), "num_classes must be at least 1"),
        (("explane", "yolov8n"), "did you mean 'explain'; known: run"),
        (("explain", "yolov8n", "--num-classes", "x"), "see nas explain --help"),
    ],
)
def test_mistakes_get_one_line(arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]):
    out, err = _run(capsys, *arguments, code=2)
    assert message in err and "Traceback" not in err and not out
    assert err.count("\n") == 1
