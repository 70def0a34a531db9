"""The wheel: it holds all that the product needs, and the main job runs from it in an empty folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
PACKAGES = ("nas", "results", "search_space", "trainers")
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc", "*.egg-info")
JOB = """
import sys
from importlib import metadata
import nas
from nas.cli import main

target = sys.argv[1]
assert nas.__path__[0].startswith(target), nas.__path__
assert str(metadata.distribution("pyramidnas").locate_file("nas")).startswith(target)
for line in (
    "run --budget-gflops 0.05 --fix input_size=128 --fix width=0.125 --rungs 0.03 --trials 2 --threads 1 --name small",
    "report runs/small",
    "export runs/small --out front --format yaml",
    "latency runs/small --device jetson-nano",
    "bench --board jetson-nano --evaluations 5 --seeds 1 --strategy random",
    "reproduce sodet-s --no-check-fvcore",
):
    main(line.split())
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel that was built of a copy, so that the source tree stays as it is."""
    source = tmp_path_factory.mktemp("source")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, source / name, ignore=LEFT_OUT)
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, source)
    out = tmp_path_factory.mktemp("wheel")
    options = ("--no-deps", "--no-build-isolation", "--quiet", "--disable-pip-version-check")
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", out, source], check=True)
    (built,) = out.glob("pyramidnas-*-py3-none-any.whl")
    return built


def test_it_holds_every_file_of_the_packages_and_nothing_else(wheel: Path) -> None:
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    there = {
        str(path.relative_to(ROOT))
        for name in PACKAGES
        for path in (ROOT / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert held == there


def test_its_licence_comes_along(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.rpartition("/")[2] for name in names if "/licenses/" in name} == {"LICENSE", "NOTICE"}


def test_the_main_job_runs_from_it_in_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    target, home = tmp_path / "installed", tmp_path / "home"
    home.mkdir()
    options = ("--no-deps", "--no-index", "--no-compile", "--quiet", "--disable-pip-version-check")
    subprocess.run([sys.executable, "-m", "pip", "install", *options, "--target", target, wheel], check=True)
    environment = {**os.environ, "PYTHONPATH": str(target)}
    ended = subprocess.run(
        [sys.executable, "-c", JOB, str(target)], cwd=home, env=environment, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert (home / "runs" / "small" / "report.html").is_file() and (home / "front" / "front.csv").is_file()
    assert "Warning" not in ended.stderr, ended.stderr
