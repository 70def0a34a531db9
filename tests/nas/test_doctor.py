"""`nas doctor`: what it finds on this machine, and what it says of machines that lack something."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from nas.cli import main
from nas.doctor import machine, packages, self_test
from nas.doctor.machine_check import Check


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def quick(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, Check]:
    """Runs `nas doctor --quick --json` and returns its checks by name."""
    try:
        main(["doctor", "--quick", "--json", *arguments])
        left = 0
    except SystemExit as exit:
        left = int(str(exit.code))
    said: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert left == code and said["is_well"] == (code == 0)
    return {each["name"]: Check(**each) for part in said["checks"].values() for each in part}


def test_all_that_the_distribution_requires_is_looked_at(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    checks = quick(capsys)
    for line in metadata.requires("pyramidnas") or ():
        name = packages.Requirement(line).name
        if "extra ==" not in line:
            assert checks[name].state == "ok" and checks[name].found == metadata.version(name)
    assert {"python", "cores", "memory", "GPUs", "runs folder", "extra onnx", "extra postgres"} <= checks.keys()
    assert "extra dev" not in checks
    assert list(home.iterdir()) == [], "nothing is left behind"


@pytest.mark.parametrize(
    ("name", "check", "state", "advice"),
    [
        ("fvcore", "fvcore", "fault", "pip install 'fvcore>=0.1.5'"),
        ("matplotlib", "extra plots", "note", "pip install 'pyramidnas[plots]'"),
    ],
)
def test_a_package_that_is_missing_is_told_with_the_command_that_brings_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str, check: str, state: str, advice: str
) -> None:
    def version(of: str) -> str:
        if of == name:
            raise metadata.PackageNotFoundError(of)
        return there(of)

    there = metadata.version
    monkeypatch.setattr(packages.metadata, "version", version)
    found = quick(capsys, code=int(state == "fault"))[check]
    assert found.state == state and "not installed" in found.found and advice in found.advice


def test_a_package_of_another_version_or_that_breaks_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    requirement = packages.Requirement("optuna>=5,<6")
    monkeypatch.setattr(packages.metadata, "version", lambda _: "4.1")
    assert packages._state(requirement, {}) == ("4.1, which is not <6,>=5", True)
    monkeypatch.setattr(packages.metadata, "version", lambda _: "5.1")
    what, is_fault = packages._state(requirement, {"optuna": "no_such_module"})
    assert is_fault and "5.1, which cannot be imported (ModuleNotFoundError" in what


def test_a_missing_shared_library_is_told_with_its_apt_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_library(name: str) -> None:
        raise ImportError("libGL.so.1: cannot open shared object file: No such file or directory")

    requirement = packages.Requirement("opencv-python-headless>=4")
    monkeypatch.setattr(packages.metadata, "version", lambda _: "4.1")
    monkeypatch.setattr(packages.importlib, "import_module", no_library)
    check = packages._needed(requirement, {requirement.name: "cv2"})
    assert check.state == "fault" and check.advice == "next: sudo apt install libgl1"
    check = packages._extra("video", [requirement], {requirement.name: "cv2"})
    assert check.advice == "next, where you need it: sudo apt install libgl1"


def test_a_source_tree_that_is_not_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def requires(name: str) -> list[str]:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(packages.metadata, "requires", requires)
    (check,) = packages.check_packages()
    assert check.state == "fault" and "pip install ." in check.advice


def test_a_folder_that_cannot_be_made_is_a_fault(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    (home / "file").write_text("")
    check = quick(capsys, "--out", "file/runs", code=1)["runs folder"]
    assert check.state == "fault" and "Not a directory" in check.found and "--out" in check.advice


def test_a_folder_without_links_or_with_a_full_disk_is_told(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: SimpleNamespace(free=2**20))
    check = machine.folder("runs", home / "new" / "runs")
    assert check.state == "note" and "0.0 GiB free" in check.found and not (home / "new").exists()

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(machine.Path, "symlink_to", refuse)
    check = machine.folder("temporary", home)
    assert check.state == "fault" and "Operation not permitted" in check.found and "TMPDIR" in check.advice


def test_limits_of_a_container_count(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setattr(machine, "CGROUP", home)
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _: set(range(8)))
    assert machine.cores().state == "ok"
    (home / "cpu.max").write_text("max 100000\n")
    assert machine.cores().state == "ok"
    (home / "cpu.max").write_text("250000 100000\n")
    assert "2.5 by the container" in machine.cores().found and "--threads 2" in machine.cores().advice
    (home / "meminfo").write_text("MemTotal: 16777216 kB\nMemAvailable: 8388608 kB\n")
    monkeypatch.setattr(machine, "MEMINFO", home / "meminfo")
    assert machine.memory() == Check(name="memory", found="8.0 GiB free of 16.0 GiB")
    (home / "memory.max").write_text(f"{4 * 2**30}\n")
    (home / "memory.current").write_text(f"{3 * 2**30}\n")
    assert machine.memory().found == "1.0 GiB free of 4.0 GiB" and machine.memory().state == "note"


def test_a_gpu_that_torch_does_not_see_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(machine.shutil, "which", lambda name: f"/usr/bin/{name}")
    assert machine.gpus().state == "note" and "does not see" in machine.gpus().found
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    orin = SimpleNamespace(name="Orin", total_memory=8 * 2**30)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: orin)
    assert machine.gpus() == Check(name="GPUs", found="Orin, 8.0 GiB")


@pytest.mark.slow
def test_the_self_test_searches_counts_and_detects(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    told: list[str] = []
    monkeypatch.setattr(self_test, "search_with_ray", lambda folder: "left out here")
    checks = self_test.check_by_doing(home, told.append)
    assert [check.state for check in checks] == ["ok"] * 4, checks
    assert [check.name for check in checks] == ["search", "counts", "weights", "Ray"] and len(told) == 4


def test_a_step_of_the_self_test_that_fails_is_told_and_ends_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(folder: Path) -> str:
        raise RuntimeError("no\nluck")

    monkeypatch.setattr(self_test, "search", lambda folder: "done")
    monkeypatch.setattr(self_test, "count", fail)
    with pytest.raises(SystemExit) as caught:
        main(["doctor"])
    said = capsys.readouterr().out
    assert caught.value.code == 1
    assert "FAULT" in said and "RuntimeError: no luck" in said and "trust no FLOPs" in said and "1 fault," in said
    assert "Ray" not in said.split("SELF-TEST")[1]


def test_a_ray_that_does_not_start_is_a_note(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    def fail(folder: Path) -> str:
        raise OSError("no sockets")

    for name in ("search", "count", "detect"):
        monkeypatch.setattr(self_test, name, lambda folder: "done")
    monkeypatch.setattr(self_test, "search_with_ray", fail)
    assert [check.state for check in self_test.check_by_doing(home, lambda _: None)] == ["ok", "ok", "ok", "note"]
