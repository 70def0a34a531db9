"""The pages on results say what is so: their examples run, and their columns and options exist."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from nas.commands.report import command
from nas.engine.importance import MIN_TRIALS
from nas.reports.box_marks import IOU
from nas.reports.pictures import MAX_IMAGE_BYTES, NUM_IMAGES, SIDES_PX
from results import records
from results.trial import CAUSES, Outcome

DOCS = Path(__file__).parents[2] / "docs"


def _rows() -> list[dict[str, object]]:
    known = {"outcome": "complete", "rung": 1, "rungs": 1, "input_height": 128, "input_width": 128, "levels": "P2"}
    known |= {"objectives": "accuracy macs", "params": 9, "axis_backbone": "yolov8", "origin": "random"}
    known |= {"weight_bytes": 36, "activation_bytes": 1, "memory_bytes": 1}
    return [
        known | {"number": n, "key": f"k{n}", "macs": macs, "accuracy": score, "ap_small": score}
        for n, (macs, score) in enumerate([(200_000_000, 0.2), (400_000_000, 0.1), (500_000_000, 0.5)])
    ]


def test_the_example_of_the_results_page_runs_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    example = re.search(r"```python\n(.*?)```", (DOCS / "results-api.md").read_text(encoding="utf-8"), re.DOTALL)
    assert example is not None
    monkeypatch.chdir(tmp_path)
    Path("runs/demo").mkdir(parents=True)
    records.write(records.frame(map(records.trial_of, _rows())), Path("runs/demo") / records.TRIALS_CSV)
    Path("example.py").write_text(example[1])
    found = runpy.run_path("example.py")
    assert found["front"]["key"].tolist() == ["k2", "k0"] and found["small"]["key"].tolist() == ["k2"]
    assert "0.310 of 1" in capsys.readouterr().out  # 0.2 x 0.8 and 0.3 x 0.5


def test_the_results_page_names_every_column() -> None:
    page = (DOCS / "results-api.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([a-z0-9_]+)`", page.split("## Columns")[1]))
    renamed = {"input_height": "input_height_px", "input_width": "input_width_px"}
    columns = [*records.COLUMNS, *records.SOME_COLUMNS]
    assert {renamed.get(name, name) for name in columns} | {"gmacs", "gflops_2x"} <= named


def test_the_results_page_names_every_outcome_and_cause() -> None:
    page = (DOCS / "results-api.md").read_text(encoding="utf-8").split("| `outcome` | `cause` |")[1]
    for outcome in records.OUTCOMES:
        (line,) = re.findall(rf"^\| {outcome} \| (.*) \|$", page, re.MULTILINE)
        named = set(re.findall(r"[a-z_]+", re.sub(r"\(.*?\)", "", line)))
        assert named == {"missing" if cause is None else str(cause) for cause in CAUSES[Outcome(outcome)]}


def test_the_report_page_names_options_that_exist() -> None:
    page = (DOCS / "report.md").read_text(encoding="utf-8")
    commands = re.findall(r"^nas report (.*?)(?:#|$)", page, re.MULTILINE)
    options = {option for line in commands for option in re.findall(r"--[a-z-]+", line)}
    assert options == {"--out", "--no-images"} and options <= {name for each in command.params for name in each.opts}
    text = " ".join(page.split())
    assert f"at least {MIN_TRIALS} measured architectures" in text
    num_images = NUM_IMAGES * 3
    assert f"{num_images} JPEGs of up to {MAX_IMAGE_BYTES // 1000} kB each" in text and f"IoU {IOU:g}" in text
    assert f"between {SIDES_PX[0]} and {SIDES_PX[1]} px" in text
