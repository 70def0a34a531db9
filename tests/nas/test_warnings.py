"""No warning of a dependency reaches a user: a search on real images and its export, in a process of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

DATA = Path(__file__).parents[1] / "data" / "hit_uav"
SCRIPT = """
import sys
from nas.cli import main
try:
    main(["run", "--data", sys.argv[1], "--budget-gflops", "0.05", "--fix", "input_size=128", "--fix", "width=0.125",
          "--rungs", "0.2", "--batch", "2", "--threads", "1", "--trials", "2", "--name", "r"])
except SystemExit as stop:
    assert stop.code == 3  # so short a search may find nothing
main(["export", "runs/r", "--out", "exported", "--top", "1"])
main(["report", "runs/r"])
"""


def test_nothing_warns_of_what_a_user_does(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(DATA)], capture_output=True, text=True, cwd=tmp_path, timeout=240
    )
    assert run.returncode == 0, run.stderr
    assert list(tmp_path.glob("exported/*/model.onnx")) and (tmp_path / "runs" / "r" / "report.html").is_file()
    said = [line for line in (run.stdout + run.stderr).splitlines() if "warn" in line.lower() or "[W" in line]
    assert said == []
