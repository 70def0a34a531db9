"""Files, names and settings that someone made to do harm: one test for each way."""

from __future__ import annotations

import csv
import gzip
import io
import os
import pickle
import struct
import sys
import zipfile
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
import yaml

from nas.api.coco_ids import CocoIds
from nas.api.media_input import list_sources
from nas.api.media_output import Pictures
from nas.box_drawing import draw
from nas.cli import main
from nas.commands.display import console, say
from nas.config import RunConfig, parse_config
from nas.cost.operators import read_operators
from nas.cost.profile import DEVICES, read_profile
from nas.cost.residual import read_residual
from nas.engine.run_request import checked_name
from nas.run_folder import read_trials
from results import records
from search_space import plugins
from search_space.errors import ConfigError, DataError, PluginError, UserError
from tests.fuzz.__main__ import _build, _spoil
from tests.fuzz.judge import Tally
from tests.fuzz.mutations import BOMB
from tests.results.report_fakes import FRONT
from tests.results.trial_fakes import make_table
from tests.trainers.data_sets import coco_content, write_coco_set, write_image
from trainers import Detections, load_weights
from trainers.checkpoint import RESTART_HINT
from trainers.weights import read_torch

NASTY = "\x1b[31mred\x1b]0;title\x07\u202e"
ONE_GPU = ["--budget-gflops", "1", "--trials", "1"]


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Runs a command that must end with code 2, and returns the one line that it says."""
    with pytest.raises(SystemExit) as caught:
        main(list(arguments))
    lines = capsys.readouterr().err.strip().split("\n")
    assert caught.value.code == 2 and lines[-1].startswith("nas: error: ") and lines[-1].isprintable()
    return lines[-1]


class Harm:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("form", ["zip", "old", "bare", "inside"])
def test_a_pickle_that_runs_something_is_refused_and_does_not_run(form: str, tmp_path: Path) -> None:
    path, harm = tmp_path / "w.pt", Harm(tmp_path / "harm")
    content = {"architecture": {}, "classes": ["a"], "state": {"a": harm if form == "inside" else torch.zeros(1)}}
    if form == "bare":
        path.write_bytes(pickle.dumps(harm))
    else:
        torch.save(content | {"more": harm}, path, _use_new_zipfile_serialization=form != "old")
    for read in (lambda: load_weights(path), lambda: read_torch(path, "checkpoint", RESTART_HINT)):
        with pytest.raises(ConfigError) as caught:
            read()
        assert "of this program, or it is damaged;" in str(caught.value) and not (tmp_path / "harm").exists()


def test_a_packed_file_of_weights_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(50_000_000, dtype=torch.int8)}, tmp_path / "plain.pt")
    with zipfile.ZipFile(tmp_path / "plain.pt") as old, zipfile.ZipFile(tmp_path / "bomb.pt", "w", 8) as new:
        for each in old.infolist():
            new.writestr(each.filename, old.read(each))
    assert (tmp_path / "bomb.pt").stat().st_size < 100_000
    with pytest.raises(ConfigError, match="is not a checkpoint of this program"):
        read_torch(tmp_path / "bomb.pt", "checkpoint")
    assert read_torch(tmp_path / "plain.pt", "checkpoint")["a"].numel() == 50_000_000


@pytest.mark.parametrize("described", ["[" * 5000, "\x00", '"\\ud800"', '["\\ud800"]'])
def test_a_hostile_description_of_tensors_is_one_line(described: str, tmp_path: Path) -> None:
    metadata = {"architecture": "{}", "classes": described}
    (tmp_path / "w.safetensors").write_bytes(safetensors.torch.save({"a": torch.zeros(1)}, metadata))
    (tmp_path / "huge.safetensors").write_bytes(struct.pack("<Q", 2**60) + b"{}")
    for name in ("w", "huge"):
        with pytest.raises(ConfigError, match="not a weights file|damaged weights file"):
            load_weights(tmp_path / f"{name}.safetensors")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- fusion\n- block\n", "holds a list instead of axes; next: lines such as 'fusion: [concat, sni]'"),
        ("fusion: [", "is no YAML: line 1: expected the node content"),
        ("fusion: concat\nfusion: sni", "is no YAML: line 2: 'fusion' is given twice"),
        (f"{BOMB}fusion: *a11", "is no YAML: line"),
        ("fusion: {a: b}", "fusion has no choices; next: lines such as"),
        ("fusion: []", "fusion has no choices"),
        ("fusion: [!!python/object/apply:os.system ['true']]", "could not determine a constructor"),
        ("fusio: concat", "bad.yaml: unknown axis 'fusio'"),
        ("fusion: [\x00]", "is no YAML: character 9 is not allowed"),
    ],
)
def test_a_bad_file_of_a_space_is_named(
    text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.yaml").write_text(text)
    line = refused(capsys, "run", *ONE_GPU, "--space", "bad.yaml")
    assert message in line and "bad.yaml" in line and "unicode string" not in line


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"classes": 7},
            "classes is 7; it must be a list; it is written by nas run and not meant to be edited",
        ),
        ({"rungs": "0.5"}, "rungs is '0.5'; it must be a list; it is written by nas run"),
        ({"fix": [1]}, "fix[0] is 1; it must be text"),
        ({"choices": "fusion=concat"}, "choices is 'fusion=concat'; it must be a list"),
        ({"rungs": []}, "--rungs names no epochs"),
        ({"format": 2}, "written in format 2, this version reads format 3"),
        ({"seed": "1"}, "seed is '1'; it must be a whole number"),
        ({"minutes": [BOMB]}, "minutes is a list; it must be a finite number or empty"),
        ({"budget_gflops": float("nan")}, "budget_gflops is nan; it must be a finite number or empty"),
        ({"confidence": 2.0}, "--confidence must be above 0 and below 1, got 2.0"),
        ({"nmae": "x"}, "unknown field 'nmae'; did you mean 'name'"),
        ({"name": None}, "name is nothing; it must be text"),
    ],
)
def test_a_damaged_configuration_of_a_run_names_what_and_where(changes: dict[str, Any], message: str) -> None:
    good = RunConfig(
        name="x", space_fingerprint="a", data_fingerprint="b", classes=("c",), budget_gflops=1.0, rungs=(1.0,)
    )
    plain = yaml.safe_load(good.to_text())
    assert parse_config(good.to_text(), source="runs/x/config.yaml") == good
    with pytest.raises(ConfigError) as caught:
        parse_config(yaml.safe_dump(plain | changes), source="runs/x/config.yaml")
    assert message in str(caught.value) and str(caught.value).startswith("runs/x/config.yaml")


@pytest.mark.parametrize("text", [BOMB, "[" * 9000, "a: 1\na: 2", "- 1"])
def test_a_configuration_that_is_no_mapping_says_what_to_do(text: str) -> None:
    with pytest.raises(ConfigError, match="restore it from a copy"):
        parse_config(text, source="config.yaml")


@pytest.mark.parametrize(
    "value", ["epochs=" + "[" * 3000, "epochs=2026-99-99", "a\nb=1", "=1", "\x1b=1", "epochs=" + BOMB]
)
def test_a_hostile_setting_is_one_line(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(capsys, "train", "sodet-s", "--set", value)
    assert "give NAME=VALUE" in line and len(line) < 250


@pytest.mark.parametrize("name", ["../x", "/x", "a/b", "..", ".x", "", " ", "a\0", "a\nb", NASTY, "x" * 300, "é" * 150])
def test_a_run_is_named_like_one_folder(name: str) -> None:
    with pytest.raises(ConfigError, match="is not the name of a folder; next: "):
        checked_name(name)


@pytest.mark.parametrize("name", ["", "a\nb", NASTY, "../x", "=1+1", "<script>", "x" * 80, "a b", "a,b"])
def test_what_a_plug_in_registers_has_a_plain_name(name: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(f"from search_space.blocks import STAGES\n@STAGES.register({name!r})\nclass Mine:\n    pass\n")
    with pytest.raises(PluginError, match="next: use a name that begins with a letter or digit"):
        plugins.load_plugin(path)
    assert not [each for each in plugins.additions() if each[1] == name]


@pytest.mark.parametrize("name", ["a\0.py", "a\n.py", f"{NASTY}.py"])
def test_a_plug_in_has_a_plain_name_itself(name: str) -> None:
    with pytest.raises(PluginError, match="has an invalid file name; rename it"):
        plugins.load_plugin(name)


@pytest.mark.parametrize("read", [read_residual, read_operators])
def test_a_packed_table_that_unpacks_without_end_is_refused(
    read: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[read.__module__], "MAX_BYTES", 1_000_000)
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n" + bytes(30_000_000)))
    with pytest.raises(UserError, match="unpacks to more than 1,000,000 bytes;"):
        read(path)


@pytest.mark.parametrize("name", ["../../../../etc/passwd", "/etc/passwd", "a/b.csv"])
def test_a_profile_names_tables_of_the_package_alone(name: str, tmp_path: Path) -> None:
    plain = yaml.safe_load((DEVICES / "jetson-nano-trt-fp16.yaml").read_text())
    plain["measurements"][0]["latency"] = name
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(plain))
    with pytest.raises(ConfigError, match="must be the name of a file in nas/cost/data; compare"):
        read_profile(tmp_path / "a.yaml")


@pytest.mark.parametrize("cell", ["inf", "1e308", "1e18", "nan", "-1", "9" * 5000])
def test_sides_of_any_size_in_a_table_of_latencies_are_refused(
    cell: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "m.csv"
    path.write_text(f"model,latency_ms,input_h,input_w\nyolov8n,3,{cell},64\n")
    assert "row 2: input_h is" in refused(capsys, "latency", "calibrate", str(path), "--device", "jetson-nano")


def test_numbers_of_any_length_in_a_table_of_operators_are_refused(tmp_path: Path) -> None:
    from latency_fakes import OPS

    (tmp_path / "ops.csv").write_text(OPS.replace("5529600", "9" * 400))
    with pytest.raises(DataError, match="row 2: macs is 9"):
        read_operators(tmp_path / "ops.csv")


def test_nothing_in_a_table_of_trials_is_a_formula_and_all_of_it_comes_back(tmp_path: Path) -> None:
    texts = ("=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "\t=1", "'=1", "''", "-1", "1e5", "plain", "-")
    rows = [FRONT[1] | {"number": n, "reason": text, "origin": text, "axis_x": text} for n, text in enumerate(texts)]
    records.write(make_table(rows), tmp_path / records.TRIALS_CSV)
    with (tmp_path / records.TRIALS_CSV).open(newline="") as file:
        cells = [row[name] for row in csv.DictReader(file) for name in ("reason", "origin", "axis_x")]
    assert {cell for cell in cells if cell[0] in "=+-@\t\r"} == {"-1"}
    table = records.load(tmp_path)
    assert table["reason"].tolist() == table["origin"].tolist() == table["axis_x"].tolist() == list(texts)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("key", "../../x", "key '../../x' is none that a trial can have"),
        ("levels", "P2 Q", "levels 'P2 Q' is none"),
        ("outcome", "won", "outcome 'won' is none"),
        ("number", "", "lacks its number"),
        ("rung", "1.5", "is damaged or no table"),
        ("macs", "1e400", "is damaged or no table"),
        ("objectives", "key macs", "objective 'key' is no number"),
        ("objectives", "macs", "none of its objectives is an accuracy"),
    ],
)
def test_a_damaged_table_of_trials_says_what_and_how_it_is_made_anew(
    column: str, value: str, message: str, tmp_path: Path
) -> None:
    records.write(make_table(FRONT), tmp_path / records.TRIALS_CSV)
    with (tmp_path / records.TRIALS_CSV).open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row[column] = value
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0].keys())
    writer.writeheader()
    writer.writerows(rows)
    (tmp_path / records.TRIALS_CSV).write_text(text.getvalue())
    with pytest.raises(ConfigError) as caught:
        read_trials(tmp_path)
    assert message in str(caught.value) and "rewrites it from the study" in str(caught.value)


def test_a_terminal_shows_names_and_obeys_none(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from rich.table import Table

    table = Table("class")
    table.add_row(f"{NASTY}[bold]x[/bold][/]")
    console().print(table)
    say(f"class {NASTY}\nand \ud800")
    content = coco_content()
    content["categories"][0]["name"] = NASTY
    with pytest.raises(SystemExit):
        main(["data", "check", str(write_coco_set(tmp_path / "set", content).with_name(f"{NASTY}.json"))])
    main(["data", "check", str(write_coco_set(tmp_path / "other", content))])
    said = "".join(capsys.readouterr())
    assert (
        not {"\x1b", "\x07", "\u202e"} & set(said) and said.count("\\x1b[31mred") >= 4 and "[bold]x[/bold][/]" in said
    )


def test_an_error_of_any_length_is_a_page_at_most(capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(capsys, "latency", "yolov8n", "--device", "jetson-nano", "--precision", "x" * 10_000)
    assert 3000 < len(line) < 4100 and line.endswith("jetson-nano-trt-fp16")


@pytest.mark.parametrize("name", ["..png", "...png", " .png"])
def test_pictures_stay_in_their_folder(name: str, tmp_path: Path) -> None:
    path = write_image(tmp_path / "in" / "a.png").rename(tmp_path / "in" / name)
    pictures = Pictures.into(tmp_path / "out", list_sources([path]))
    for target in pictures.files():
        assert target.resolve().parent == tmp_path / "out"


def test_a_name_that_is_no_text_does_not_end_the_process(tmp_path: Path) -> None:
    found = Detections(boxes=torch.ones(1, 4), scores=torch.ones(1), labels=torch.zeros(1, dtype=torch.int64))
    assert draw(np.zeros((40, 40, 3), np.uint8), found, ("\ud800",)).any()  # OpenCV would end the process
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.avi"))
    path.write_bytes(b"RIFF")
    with pytest.raises(DataError, match="cannot be read as text; rename it"):
        list_sources([path])


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"categories": [{"name": "a", "id": Infinity}], "images": []}', '{"categories": 3}']
)
def test_hostile_ids_are_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "ids.json").write_text(text)
    with pytest.raises(DataError, match="is no COCO annotation file .*; give the json of the data set"):
        CocoIds.read(tmp_path / "ids.json", ("a",), [])


def test_a_case_of_the_script_follows_from_its_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.fuzz.judge.limit_memory", lambda: None)
    tallies = []
    for number, name in enumerate(("run config", "run config", "YAML layout, rule")):
        (tmp_path / str(number)).mkdir()
        tally, options = Tally(parser=name), Namespace(only=name, seed=3, case=None, cases=25)
        (_build if number == 2 else _spoil)(tally, tmp_path / str(number), options)
        assert tally.cases == tally.read + tally.refused == 25 and not tally.failures
        tallies.append((tally.read, tally.refused))
    assert tallies[0] == tallies[1]
