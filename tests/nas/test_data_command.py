"""The commands `nas data check` and `nas data convert`, run through the entry point."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from nas.cli import main
from trainers.data.defects import DEFECTS, NOTES

ROOT = Path(__file__).parents[2]
FORMATS = ROOT / "tests" / "data" / "formats"
IMAGES = FORMATS / "images"
PATHS = {"coco": "coco.json", "yolo": "yolo", "visdrone": "visdrone", "tinyperson": "tinyperson.json", "voc": "voc_xml"}
PAGE = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")


def run(*arguments: object) -> int:
    """Returns the exit code of `nas` with these arguments."""
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


@pytest.mark.parametrize("name", PATHS)
def test_check_reports_the_same_of_all_formats(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("data", "check", FORMATS / PATHS[name], "--images", IMAGES, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    keys = {"format", "source", "num_images_by_part", "num_images", "num_boxes", "num_ignored", "classes"}
    assert report.keys() == keys | {"num_boxes_by_class", "defects", "notes"}
    assert report["format"] == name and report["defects"] == []
    assert (report["num_images"], report["num_boxes"]) == (23, 301)
    assert report["num_ignored"] == (0 if name == "yolo" else 3)
    assert sorted(count for count in report["num_boxes_by_class"].values() if count) == [8, 36, 50, 207]
    assert list(report["num_boxes_by_class"]) == report["classes"]


def spoiled(folder: Path) -> Path:
    """Writes a data set of one image with three defects and returns its folder."""
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    image = sorted(IMAGES.iterdir())[0]
    (folder / "images" / image.name).write_bytes(image.read_bytes())
    (folder / "images" / "cut.jpg").write_bytes(image.read_bytes()[:9000])
    label = folder / "labels" / f"{image.stem}.txt"
    label.write_text("0 0.5 0.5 0.1 0.1\n\x1b[31m\n0 2 2 0.1 0.1\n")
    (folder / "classes.txt").write_text("thi\x08ng\n")
    return folder


def test_defects_have_file_and_line_and_an_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = spoiled(tmp_path / "set")
    assert run("data", "check", folder, "--json") == 1
    report = json.loads(capsys.readouterr().out)
    found = {defect["kind"]: (Path(defect["file"]).suffix, defect["line"]) for defect in report["defects"]}
    assert found == {"malformed": (".txt", 2), "outside_image": (".txt", 3), "truncated_image": (".jpg", None)}
    assert all(defect.keys() == {"kind", "file", "line", "what"} for defect in report["defects"])
    assert (report["num_images"], report["num_boxes"]) == (1, 1)
    assert run("data", "check", folder) == 1
    lines = capsys.readouterr().out.splitlines()
    label = next((folder / "labels").iterdir())
    assert any(line.startswith(f"{label}:3: outside_image: ") for line in lines)
    assert lines[-1] == "3 defects" and not re.search("[\\x00-\\x09]", "".join(lines))


def test_one_of_a_kind_has_no_plural(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = spoiled(tmp_path / "set")
    next((folder / "labels").iterdir()).write_text("0 0.5 0.5 0.1 0.1\n")
    assert run("data", "check", folder) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "yolo: 1 image, 1 box, 0 ignored regions, 1 class" in lines and lines[-1] == "1 defect"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("check", "nowhere"), "no data set at nowhere: the path does not exist"),
        (("check", FORMATS, "--format", "vok"), "unknown format 'vok'; did you mean 'voc'; known: coco, tinyperson"),
        (("check", FORMATS / "yolo", "--format", "voc"), "no voc data set found"),
        (("convert", FORMATS / "coco.json", "out"), "Missing option '--to'"),
        (("convert", FORMATS / "coco.json", "out", "--to", "cocoo"), "unknown format 'cocoo'; did you mean 'coco'"),
        (("convert", FORMATS / "coco.json", FORMATS, "--to", "coco"), "exists already"),
        (("chek",), "unknown command 'chek'; did you mean 'check'; known: check, convert"),
    ],
)
def test_errors_are_one_line(
    arguments: tuple[object, ...],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("data", *arguments) == 2
    told = capsys.readouterr().err
    assert message in told and told.startswith("nas: error: ") and told.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_convert_tells_what_is_lost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert run("data", "convert", FORMATS / "coco.json", out, "--to", "yolo", "--link", "--json") == 0
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert (result["num_images"], result["num_boxes"], result["to_format"]) == (23, 301, "yolo")
    assert result["out"] == str(out) and len(result["losses"]) == 1
    assert captured.err.count("warning: ") == 1 and "3 are dropped" in captured.err
    assert next((out / "images").iterdir()).is_symlink()
    assert run("data", "check", out) == 0


def commands_of_the_page() -> list[str]:
    blocks = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def test_every_command_of_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    monkeypatch.chdir(tmp_path)
    commands = commands_of_the_page()
    assert len(commands) >= 10
    for command in commands:
        name, *arguments = shlex.split(command)
        assert name == "nas" and run(*arguments) == 0, command
        if command == commands[0]:
            assert capsys.readouterr().out in PAGE


def test_the_page_names_every_kind_of_defect() -> None:
    assert [kind for kind in DEFECTS if f"`{kind}`" not in PAGE] == []
    assert len(NOTES) == 26, "a new note: name it on the page, too"


def test_help_shows_both_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("data", "--help") == 0
    shown = capsys.readouterr().out
    assert "check" in shown and "convert" in shown and "Formats: COCO, YOLO" in shown
