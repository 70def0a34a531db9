"""The examples of docs/architecture.md do what the page says: each is one file, and its commands use it."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from nas.cli import group, main
from nas.engine.strategies import STRATEGIES
from nas.executors import Evaluator, Executor, NothingUnderWay
from nas.executors.kind import Workers
from nas.executors.kinds import EXECUTORS
from search_space import DESIGNS, Architecture, SearchSpace, plugins
from search_space.errors import PluginError, SpaceError
from search_space.head_kind import HEAD_KINDS
from trainers import HEAD_TRAINING
from trainers.data import FORMATS, open_data

PAGE = (Path(__file__).parents[2] / "docs" / "architecture.md").read_text(encoding="utf-8")
DATA = str(Path(__file__).parents[1] / "data" / "hit_uav")
SECTION = re.compile(r"<!-- (\S+) -->\n```\w+\n(.*?)```\n(?:.*?)```sh\n(.*?)```", re.DOTALL)
EXAMPLES = {name: text for name, text, _ in SECTION.findall(PAGE)}
COMMANDS = {name: [shlex.split(line)[1:] for line in lines.splitlines()] for name, _, lines in SECTION.findall(PAGE)}
QUICK = shlex.split(
    f"--data {DATA} --budget-gflops 0.05 --fix input_size=128 --fix width=0.125 --rungs 0.2 --batch 2 --threads 1"
)
HELP = {
    "--format": ("data", "check", FORMATS),
    "--to": ("data", "convert", [name for name in FORMATS if FORMATS.get(name).writer is not None]),
    "--executor": ("run", "", EXECUTORS),
    "--strategy": ("run", "", STRATEGIES),
}

Nas = Callable[..., Any]


@pytest.fixture
def nas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Nas]:
    """Runs a command in a folder with all examples and returns its JSON; other tests see the registries as before."""
    monkeypatch.chdir(tmp_path)
    for name, text in EXAMPLES.items():
        (tmp_path / name).write_text(text)

    def run(*arguments: str) -> Any:
        main([*arguments, "--json"])
        return json.loads(capsys.readouterr().out)

    yield run
    for plugin in plugins.loaded():
        plugins.forget_plugin(plugin)


def test_each_of_the_seven_has_a_section_with_one_example_and_a_command() -> None:
    linked = re.findall(r"\]\(#(an?-[a-z-]+)\)", PAGE)
    headings = [heading.lower().replace(" ", "-") for heading in re.findall(r"^### (.*)$", PAGE, re.MULTILINE)]
    assert linked == headings and len(headings) == len(EXAMPLES) == PAGE.count("<!-- ") == 7
    for name, commands in COMMANDS.items():
        assert commands and any(name in command for command in commands)


@pytest.mark.slow
def test_the_fusion_is_searched_and_costed(nas: Nas) -> None:
    (run,) = COMMANDS["product.py"]
    with_fusion = ("--choices", "backbone=yolov8,yolo11", "--fix", "topology=pan", "--fix", "head_levels=P3-P5")
    assert nas(*run, *QUICK, *with_fusion, "--trials", "1", "--name", "r")["complete"] == 1
    (member,) = Path("runs/r/front").iterdir()
    assert "fusion:product" in {node["block"] for node in nas("explain", str(member))["nodes"]}


@pytest.mark.slow
def test_the_design_is_listed_and_equals_its_published_count(nas: Nas) -> None:
    designs, reproduce = COMMANDS["drone.py"]
    assert "drone-n" in str(nas(*designs))
    (figure,) = nas(*reproduce, "--no-check-fvcore")["published"]
    assert figure["as_printed"] is True


@pytest.mark.slow
def test_the_head_is_searched_trained_explained_and_exported(nas: Nas, capsys: pytest.CaptureFixture[str]) -> None:
    before = SearchSpace()
    run, export = map(list, COMMANDS["centre.py"])
    assert nas(*run, *QUICK, "--trials", "1", "--fix", "tower=16")["complete"] == 1
    assert [axis.name for axis in SearchSpace().axes] == [*(axis.name for axis in before.axes), "tower"]
    (member,) = Path("runs/centre/front").iterdir()
    assert yaml.safe_load(member.read_text())["head"]["options"] == {"tower": 16}
    assert {"head:centre"} == {node["block"] for node in nas("explain", str(member))["nodes"] if node["part"] == "head"}
    (weights,) = Path("runs/centre/weights").iterdir()
    assert 0 <= nas("val", str(weights), "--data", DATA)["score"]["ap"] <= 1
    (exported,) = nas(*export)["front"]
    assert exported["onnx"]["largest_relative_difference"] < 1e-4
    export[export.index("decoded")], export[export.index("exported")] = "raw", "other"
    with pytest.raises(SystemExit):
        nas(*export)
    assert "raw outputs of a head of kind 'centre'" in capsys.readouterr().err and not Path("other").exists()


def test_an_option_is_one_of_its_head_and_the_default_is_not_written(nas: Nas) -> None:
    nas("explain", "yolov8n", "--plugin", "centre.py")
    plain = DESIGNS.get("yolov8n").architecture.to_dict()

    def with_head(**head: Any) -> Architecture:
        return Architecture.from_dict({**plain, "head": {"finest_level": 3, "coarsest_level": 5, **head}})

    said = with_head(kind="centre", options={"tower": 32})
    assert said == with_head(kind="centre") and said.head.option("tower") == 32 and "options" not in str(said.to_dict())
    assert with_head(kind="centre", options={"tower": 48}).head.option("tower") == 48, "no axis holds it, a head may"
    for options, words in (({"towr": 16}, "did you mean 'tower'"), ({"tower": "x"}, "must be of type int, got 'x'")):
        with pytest.raises(SpaceError, match=words):
            with_head(kind="centre", options=options)
    with pytest.raises(SpaceError, match="box_channels is not used by kind 'centre'"):
        with_head(kind="centre", box_channels=32)


@pytest.mark.slow
def test_the_format_is_written_found_checked_and_trained_on(nas: Nas, capsys: pytest.CaptureFixture[str]) -> None:
    convert, check, train = COMMANDS["csv_boxes.py"]
    done = nas(*(DATA if word == "DATA" else word for word in convert))
    report = nas(*check)
    assert (report["format"], report["num_boxes"], report["defects"]) == ("csv", done["num_boxes"], [])
    source, target = open_data(DATA), open_data("boxes")
    for record, other in zip(source.train.records, target.train.records, strict=True):
        assert record.name == other.name and (record.boxes == other.boxes).all()
        assert list(record.labels) == list(other.labels)
    lines = Path("boxes/boxes_val.csv").read_text().splitlines()
    Path("boxes/boxes_val.csv").write_text("\n".join([*lines, f"{lines[0]},1,2,three,4,Car"]))
    with pytest.raises(SystemExit):
        nas(*check)
    (defect,) = json.loads(capsys.readouterr().out)["defects"]
    assert (defect["kind"], defect["line"]) == ("malformed", len(lines) + 1)
    nas(*train, "--input", "64", "64", "--epochs", "0.2", "--batch", "2", "--threads", "1", "--out", "trained")
    assert any(Path("trained").iterdir())


def test_the_board_predicts(nas: Nas) -> None:
    (predict,) = COMMANDS["my-board.yaml"]
    found = nas(*predict)
    assert "my-board-ort-fp32" in str(found) and found["low_ms"] < found["latency_ms"] < found["high_ms"]


@pytest.mark.slow
def test_the_strategy_searches_and_is_judged(nas: Nas) -> None:
    run, bench = COMMANDS["walk.py"]
    assert nas(*run, *QUICK, "--trials", "2", "--name", "r")["complete"] == 2
    judged = nas(*bench, "--seeds", "1", "--evaluations", "12")["results"]
    assert {row["strategy"] for row in judged} == {"walk", "random"}


class NoFactory:
    """Of an executor that is given nothing to do."""

    def make(self, worker: int = 0) -> Evaluator:
        raise AssertionError("nothing is to be evaluated")


@pytest.mark.slow
def test_the_executor_trains(nas: Nas, capsys: pytest.CaptureFixture[str]) -> None:
    (run,) = COMMANDS["fresh.py"]
    assert nas(*run, *QUICK, "--trials", "1", "--trial-minutes", "5", "--name", "r")["complete"] == 1
    idle = EXECUTORS.get("fresh").open(Workers(factory=NoFactory(), here=NoFactory().make))
    idle.interrupt()
    with pytest.raises(NothingUnderWay):
        idle.wait(lambda step: None)
    assert all(callable(getattr(idle, name)) for name in vars(Executor) if not name.startswith("_"))
    with pytest.raises(SystemExit):
        main([*run, *QUICK, "--workers", "2"])
    assert "--workers needs --executor local or processes or ray" in capsys.readouterr().err


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name.endswith(".py")])
def test_what_a_file_registers_is_forgotten_whole(name: str, nas: Nas) -> None:
    registries = (HEAD_KINDS, HEAD_TRAINING, FORMATS, EXECUTORS, STRATEGIES, DESIGNS)
    before = SearchSpace().fingerprint(), [registry.names() for registry in registries]
    plugin = plugins.load_plugin(name)
    assert plugin.added and plugin.path == Path(name).absolute()
    plugins.forget_plugin(plugin)
    assert (SearchSpace().fingerprint(), [registry.names() for registry in registries]) == before


WRONG_HEADS = {
    "an axis of another part": ('"tower"', '"width"', "two axes are called 'width'"),
    "an axis without its option": ('options={"tower": 32}, ', "", "unexpected keyword argument 'tower'"),
    "outputs that are no nodes": ("return [\n        builder", "return 3\n    [\n        builder", "not iterable"),
}


@pytest.mark.parametrize(("old", "new", "said"), WRONG_HEADS.values(), ids=WRONG_HEADS)
def test_what_is_wrong_with_a_head_is_told_when_it_is_loaded(old: str, new: str, said: str, nas: Nas) -> None:
    from nas.plugins import use_plugins

    before = SearchSpace().fingerprint()
    Path("wrong.py").write_text(EXAMPLES["centre.py"].replace(old, new))
    assert Path("wrong.py").read_text() != EXAMPLES["centre.py"]
    with pytest.raises(PluginError, match=said):
        use_plugins(["wrong.py"])
    assert SearchSpace().fingerprint() == before and "centre" not in HEAD_TRAINING


@pytest.mark.parametrize("option", HELP)
def test_the_help_names_all_that_is_registered(option: str) -> None:
    command, sub, registry = HELP[option]
    said = " ".join(CliRunner().invoke(group, [command, *filter(None, [sub]), "--help"]).output.split())
    about = said[said.index(f" {option} ") :][:200]
    assert [name for name in registry if name not in about] == []
