"""docs/python.md and the notebook do what they say: both are executed in a temporary folder."""

from __future__ import annotations

import inspect
import re
import shutil
from pathlib import Path

import pytest

import nas

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
NOTEBOOK = ROOT / "docs" / "notebooks" / "quickstart.ipynb"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_page_runs_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(ROOT / "tests" / "data" / "hit_uav", tmp_path / "hit-uav")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, object] = {}
    for number, block in enumerate(blocks, start=1):
        exec(compile(block, f"block {number} of docs/python.md", "exec"), names)
    assert len(blocks) >= 10
    assert (tmp_path / "found.png").is_file() and (tmp_path / "first.html").is_file()
    assert (tmp_path / "front" / "front.csv").is_file() and (tmp_path / "runs" / "best" / "weights.pt").is_file()
    assert "did you mean 'yolov8n'" in capsys.readouterr().out


def test_the_page_names_every_function() -> None:
    functions = [name for name in nas.__all__ if inspect.isfunction(getattr(nas, name))]
    table = PAGE.split("## Functions and commands")[1]
    assert [name for name in functions if f"`{name}(" not in table] == []
    assert [name for name in re.findall(r"`(\w+)\(", table.split("A keyword is")[0]) if name not in functions] == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_notebook_runs(tmp_path: Path) -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    for cell in notebook.cells:  # as written, but trained for a shorter time
        cell.source = re.sub(r"\bepochs=[\d.]+", "epochs=0.05", cell.source)
    nbclient.NotebookClient(notebook, timeout=1000, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    kinds = {kind for output in outputs for kind in output.get("data", {})}
    assert {"text/html", "image/png"} <= kinds
    assert (tmp_path / "quickstart-front" / "front.csv").is_file() and (tmp_path / "quickstart.html").is_file()


def test_the_notebook_is_stored_without_outputs() -> None:
    nbformat = pytest.importorskip("nbformat")
    cells = [cell for cell in nbformat.read(NOTEBOOK, as_version=4).cells if cell.cell_type == "code"]
    assert cells and all(not cell.outputs and cell.execution_count is None for cell in cells)
