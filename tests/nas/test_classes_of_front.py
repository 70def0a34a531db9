"""The file of a member of a front carries the number of classes of its run, which what counts it uses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import nas
from nas.cli import main
from nas.cost import cost_of
from search_space import DESIGNS
from search_space.errors import SpaceError
from search_space.trained_section import TrainedSection

ARCHITECTURE = DESIGNS.get("yolov8n-p2-nop5").architecture.resized((64, 64))


@pytest.fixture
def member(tmp_path: Path) -> Path:
    path = tmp_path / "01-member.yaml"
    path.write_text(TrainedSection(num_classes=3, rung=2, rungs=2).text(ARCHITECTURE))
    return path


def macs(num_classes: int) -> int:
    return cost_of(ARCHITECTURE, num_classes=num_classes).macs


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[Any, str]:
    main([*arguments, "--json"])
    out, err = capsys.readouterr()
    return json.loads(out), err


def test_explain_counts_the_classes_of_the_run(member: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found, said = run_json(capsys, "explain", str(member))
    assert (found["num_classes"], found["macs"]) == (3, macs(3)) and macs(3) < macs(80)
    assert f"counted for 3 classes, those of the run that found {member}" in said
    found, said = run_json(capsys, "explain", str(member), "--num-classes", "7")
    assert (found["num_classes"], found["macs"]) == (7, macs(7)) and "note" not in said


def test_latency_is_for_the_classes_of_the_run(member: Path) -> None:
    notes: list[str] = []
    found = nas.latency(member, device="jetson-nano", on_notice=lambda note: notes.append(str(note)))
    assert (found.num_classes, found.macs) == (3, macs(3)) and "those of the run" in "".join(notes)


def test_export_writes_as_many_classes_as_the_run_has(member: Path, tmp_path: Path) -> None:
    def exported(name: str, **more: Any) -> int:
        (entry,) = nas.export(member, out=tmp_path / name, formats="yaml", **more).front
        return int(entry.report["num_classes"])

    assert exported("own") == 3 and exported("given", num_classes=7) == 7


def test_a_damaged_section_is_an_error_that_names_the_file(member: Path) -> None:
    member.write_text(member.read_text().replace("num_classes: 3", "num_classes: many"))
    with pytest.raises(SpaceError, match="01-member.yaml: trained"):
        nas.explain(member)
    assert nas.explain(member, num_classes=3).macs == macs(3)
