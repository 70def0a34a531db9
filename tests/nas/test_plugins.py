"""Blocks of the user's own: the documented example goes all the way; what is wrong with one is told at once."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from nas.cli import main
from nas.executors.training import TrainingSpec
from nas.plugins import labels, use_plugins
from search_space import DESIGNS, SearchSpace, plugins
from search_space.blocks import STAGES
from search_space.errors import PluginError

DOCUMENT = Path(__file__).parents[2] / "docs" / "own-block.md"
EXAMPLE = re.search(r"<!-- my_blocks.py -->\n```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
DATA = str(Path(__file__).parents[1] / "data" / "hit_uav")
QUICK = (
    "--data",
    DATA,
    "--budget-gflops",
    "0.05",
    "--fix",
    "input_size=128",
    "--fix",
    "width=0.125",
    "--batch",
    "2",
    "--threads",
    "1",
)

GHOSTS = ("--fix", "block=ghost", "--fix", "backbone=yolov8")


@pytest.fixture
def clean() -> Iterator[None]:
    """Lets other tests see the space as it was."""
    yield
    for plugin in plugins.loaded():
        plugins.forget_plugin(plugin)


@pytest.fixture
def example(tmp_path: Path, clean: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    assert EXAMPLE is not None
    (tmp_path / "my_blocks.py").write_text(EXAMPLE.group(1))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "my_blocks.py"


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    main([*arguments, "--json"])
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as caught:
        main(list(arguments))
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.slow
def test_the_documented_block_is_searched_costed_explained_trained_and_exported(
    example: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fingerprint = SearchSpace().fingerprint()
    only = (*GHOSTS, "--plugin", str(example))
    found = run_json(capsys, "run", *QUICK, *only, "--trials", "1", "--rungs", "0.2", "--name", "r")
    assert found["complete"] == 1 and SearchSpace().fingerprint() != fingerprint
    config = yaml.safe_load(Path("runs/r/config.yaml").read_text())
    assert config["plugins"] == [plugins.loaded()[0].label] and config["plugins"][0].startswith("my_blocks.py ")
    member = sorted(Path("runs/r/front").iterdir())[0]
    assert "ghost" in member.read_text()
    told = run_json(capsys, "explain", str(member), "--num-classes", "4")
    nodes = [node for node in told["nodes"] if node["block"] == "stage:ghost"]  # type: ignore[attr-defined]
    assert nodes and all(node["macs"] > 0 and node["params"] > 0 for node in nodes)
    exported = run_json(capsys, "export", "runs/r", "--out", "out")
    assert exported["front"][0]["onnx"]["largest_relative_difference"] < 1e-4  # type: ignore[index]
    run_json(capsys, "report", "runs/r")
    page = Path("runs/r/report.html").read_text()
    assert "--plugin my_blocks.py" in page
    weights = sorted(Path("runs/r/weights").iterdir())[0]
    assert 0 <= run_json(capsys, "val", str(weights), "--data", DATA)["score"]["ap"] <= 1  # type: ignore[index]
    assert TrainingSpec.of(_config()).plugins == (str(example),)


def _config() -> object:
    from nas.config import read_config

    return read_config(Path("runs/r/config.yaml"))


@pytest.mark.slow
def test_worker_processes_and_a_resume_have_the_block(example: Path, capsys: pytest.CaptureFixture[str]) -> None:
    begin = (*QUICK, "--plugin", str(example), *GHOSTS, "--trials", "1", "--rungs", "0.2", "--name", "r")
    assert run_json(capsys, "run", *begin, "--workers", "2")["complete"] == 1
    plugins.forget_plugin(plugins.loaded()[0])
    went_on = ("run", "--resume", "runs/r", "--trials", "2")
    assert "with --plugin my_blocks.py" in fails(capsys, *went_on)
    assert run_json(capsys, *went_on, "--plugin", str(example))["complete"] == 2


@pytest.mark.slow
def test_a_changed_file_is_refused_at_a_resume(example: Path, capsys: pytest.CaptureFixture[str]) -> None:
    begin = (*QUICK, "--plugin", str(example), "--trials", "1", "--rungs", "0.2", "--name", "r")
    main(["run", *begin])
    assert f"(to resume: nas run --resume runs/r --plugin {example})" in capsys.readouterr().out
    config = Path("runs/r/config.yaml")
    config.write_text(config.read_text().replace(plugins.loaded()[0].digest, "0" * 12))
    line = fails(capsys, "run", "--resume", "runs/r", "--plugin", str(example))
    assert "my_blocks.py 000000000000" in line and "the files as they were" in line


def test_a_file_is_loaded_once_and_known_by_what_it_adds(example: Path) -> None:
    (plugin,) = use_plugins([str(example)])
    assert use_plugins(["my_blocks.py"]) == (plugin,)
    assert plugin.added == (("stage block", "ghost"),) and plugin.blocks == ("stage:ghost",)
    assert labels() == (plugin.label,) and STAGES.get("ghost").__name__ == "GhostStage"


def test_a_design_of_ones_own_may_come_in(tmp_path: Path, clean: None) -> None:
    file = tmp_path / "designs.py"
    file.write_text('from search_space import DESIGNS\nDESIGNS.add("mine", DESIGNS.get("yolov8n"))\n')
    (plugin,) = use_plugins([str(file)])
    assert plugin.added == (("design", "mine"),) and plugin.blocks == () and "mine" in DESIGNS


HEAD = "import torch\nfrom torch import nn\nfrom search_space.blocks import ATTENTIONS, FUSIONS, STAGES\n"
WRONG = {
    "syntax": ("class", "in line 1: SyntaxError"),
    "raises": ("x = 1\nx / 0\n", "in line 2: ZeroDivisionError: division by zero"),
    "import": ("import not_there_at_all\n", "No module named 'not_there_at_all'"),
    "exits": ("raise SystemExit(3)\n", "in line 1: SystemExit: 3"),
    "nothing": ("x = 1\n", "registers nothing"),
    "taken": (HEAD + "STAGES.register('c2f')(nn.Identity)\n", "'c2f' is already registered"),
    "half": (HEAD + "ATTENTIONS.add('mine', nn.Identity)\n1 / 0\n", "in line 5: ZeroDivisionError"),
    "arguments": (
        HEAD + "@STAGES.register('mine')\nclass M(nn.Module):\n    def __init__(self):\n        super().__init__()\n",
        "stage:mine cannot be used",
    ),
    "shape": (
        HEAD + "@ATTENTIONS.register('mine')\nclass M(nn.Module):\n    def __init__(self, channels):\n"
        "        super().__init__()\n    def forward(self, x):\n        return x[:, :1]\n",
        "attention:mine cannot be used: its output for (",
    ),
    "fusion": (
        HEAD + "@FUSIONS.register('mine')\nclass M(nn.Module):\n    pass\n",
        "fusion:mine cannot be used: AttributeError",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(("text", "said"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_one_line_and_nothing_stays(text: str, said: str, tmp_path: Path, clean: None) -> None:
    file, before = tmp_path / "mine.py", SearchSpace().fingerprint()
    file.write_text(text)
    with pytest.raises(PluginError) as caught:
        use_plugins([str(file)])
    assert said in str(caught.value).replace("\n", " ") and str(file) in str(caught.value)
    assert SearchSpace().fingerprint() == before and plugins.loaded() == ()


@pytest.mark.parametrize(("name", "said"), [("absent.py", "No such file"), ("blocks.txt", "is not a Python file")])
def test_what_is_no_python_file_is_refused(name: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "blocks.txt").touch()
    with pytest.raises(PluginError, match=said):
        use_plugins([str(tmp_path / name)])


def test_a_command_says_it_in_one_line(tmp_path: Path, clean: None, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.py").write_text("1 / 0\n")
    assert "ZeroDivisionError" in fails(capsys, "explain", "yolov8n", "--plugin", str(tmp_path / "mine.py"))
    shutil.rmtree(tmp_path)
