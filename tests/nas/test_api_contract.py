"""The contract of every public function of `nas`: types, docstrings, frozen results, keywords, no printing."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import pkgutil
import subprocess
import sys
import time
import typing
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest

import nas
import nas.api
from nas.api.result import Result, plain
from nas.cli import group

FUNCTIONS = [name for name in nas.__all__ if inspect.isfunction(getattr(nas, name)) and name != "use_plugins"]
CALLBACKS = {"on_notice", "on_progress"}
COMMANDS = {
    "run": "search",
    "train": "train",
    "val": "evaluate",
    "predict": "predict",
    "inspect": "inspect",
    "explain": "explain",
    "reproduce": "reproduce",
    "latency predict": "latency",
    "latency calibrate": "calibrate",
    "latency predict-ops": "predict_ops",
    "export": "export",
    "report": "report",
    "data check": "check_data",
    "data convert": "convert_data",
    "weights import": "import_weights",
    "designs": "list_designs",
    "devices": "list_devices",
    "bench": "compare_strategies",
    "doctor": "diagnose",
}
ONLY_COMMAND = {
    "json": "results have to_dict()",
    "wide": "it lays out tables",
    "all": "reproduce_all is a function of its own",
    "no_pictures": "predict draws only where `out` is given",
    "dry_run": "plan_training returns what it prints",
    "set": "train takes every setting by its name",
}
"""Options that are no keyword, and why."""
RENAMED = {
    ("*", "input"): "input_hw",  # which says the order
    ("train", "input"): "input",
    ("export", "format"): "formats",  # of the files that are written
    ("run", "from"): "from_run",  # `from` and `as` are keywords of Python
    ("weights import", "as"): "architecture",
}
ONLY_KEYWORD = {"search": {"plugin"}}
"""A command has --plugin too, which loads the file before anything else is read."""


def _module_names(function: Callable[..., Any]) -> dict[str, Any]:
    """Returns the names of a function's module, with those that it imports for type checkers only."""
    module = sys.modules[function.__module__]
    names = dict(vars(module))
    blocks = [node for node in ast.parse(inspect.getsource(module)).body if isinstance(node, ast.If)]
    for node in (node for block in blocks if ast.unparse(block.test) == "TYPE_CHECKING" for node in block.body):
        if isinstance(node, ast.ImportFrom):
            source = importlib.import_module(str(node.module))
            names |= {each.asname or each.name: getattr(source, each.name) for each in node.names}
    return names


def _command(path: str) -> click.Command:
    command: click.Command | None = group
    for name in path.split():
        assert isinstance(command, click.Group)
        command = command.get_command(click.Context(command), name)
    assert command is not None
    return command


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_says_its_types_arguments_and_errors(name: str) -> None:
    function = getattr(nas, name)
    parameters = inspect.signature(function).parameters
    untyped = [each.name for each in parameters.values() if each.annotation is inspect.Parameter.empty]
    assert not untyped and inspect.signature(function).return_annotation is not inspect.Signature.empty
    doc = inspect.getdoc(function) or ""
    assert "Raises:" in doc and (not parameters or "Args:" in doc)
    assert not [each for each in parameters if f"{each}:" not in doc]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_returns_frozen_dataclasses(name: str) -> None:
    function = getattr(nas, name)
    annotated = SimpleNamespace(__annotations__={"return": function.__annotations__["return"]})
    returned = typing.get_type_hints(annotated, localns=_module_names(function))["return"]
    kinds = typing.get_args(returned) or (returned,)
    assert all(dataclasses.is_dataclass(kind) and kind.__dataclass_params__.frozen for kind in kinds)


def test_all_results_are_frozen() -> None:
    for module in pkgutil.iter_modules(nas.api.__path__):
        importlib.import_module(f"nas.api.{module.name}")
    results = Result.__subclasses__()
    assert len(results) > 10
    assert [kind.__name__ for kind in results if not kind.__dataclass_params__.frozen] == []  # type: ignore[attr-defined]


def _word(path: str, parameter: click.Parameter) -> str:
    """Returns the keyword that stands for an option or an argument."""
    longest = max(parameter.opts, key=len).lstrip("-").replace("-", "_")
    word = longest if isinstance(parameter, click.Option) else str(parameter.name)
    return RENAMED.get((path, word), RENAMED.get(("*", word), word))


@pytest.mark.parametrize("path", COMMANDS)
def test_an_option_is_a_keyword_of_the_function(path: str) -> None:
    name = COMMANDS[path]
    options = {_word(path, each) for each in _command(path).params if each.expose_value} - ONLY_COMMAND.keys()
    keywords = inspect.signature(getattr(nas, name)).parameters.keys() - CALLBACKS - ONLY_KEYWORD.get(name, set())
    assert options <= keywords
    assert name == "train" or options == keywords, "only train has settings without an option, by --set"


def test_every_command_has_its_function() -> None:
    def leaves(command: click.Command, path: str) -> list[str]:
        if not isinstance(command, click.Group):
            return [path]
        names = command.list_commands(click.Context(command))
        return [leaf for name in names for leaf in leaves(_command(f"{path} {name}".strip()), f"{path} {name}".strip())]

    assert set(leaves(group, "")) - {"completion", "latency validate"} == COMMANDS.keys()


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    notices: list[str] = []
    nas.explain(nas.DESIGNS.get("yolov8n").architecture, on_notice=notices.append)
    nas.latency("yolov8n", device="jetson-nano", on_notice=notices.append)
    nas.list_devices()
    nas.reproduce("sodet-s", check_fvcore=False)
    assert capfd.readouterr() == ("", "")
    assert notices[0].startswith("note: counted for 80 classes") and notices[1].startswith("device: jetson-nano means")


@pytest.mark.slow
def test_the_api_needs_neither_click_nor_rich() -> None:
    script = (
        "import sys, nas\n"
        "from nas.api import bench, calibrate, data, evaluate, export, inspect, load, predict, report\n"
        "nas.explain('yolov8n'); nas.latency('yolov8n', device='jetson-nano'); nas.list_devices()\n"
        "print(sorted({'click', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_import_is_quick_and_lazy() -> None:
    script = (
        "import sys, time; started = time.perf_counter(); import nas; seconds = time.perf_counter() - started\n"
        "print(seconds, *sorted({'torch', 'numpy', 'pandas', 'click', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    seconds, *heavy = done.stdout.split()
    assert float(seconds) < 0.2 and heavy == []


def test_the_help_is_quick() -> None:
    def seconds() -> float:
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "nas.cli", "--help"], capture_output=True, check=True)
        return time.perf_counter() - started

    assert min(seconds() for _ in range(3)) < 0.5


def test_the_names_of_the_package_are_listed_and_others_refused() -> None:
    assert set(nas.__all__) <= set(dir(nas)) and all(getattr(nas, name) is not None for name in nas.__all__)
    with pytest.raises(AttributeError):
        _ = nas.serch  # type: ignore[attr-defined]


def test_plain_data_is_ready_for_json() -> None:
    @dataclasses.dataclass(frozen=True)
    class Part:
        path: Path
        sizes: tuple[float, ...]

    assert plain({"part": Part(Path("a"), (1.0, float("nan"), float("inf")))}) == {
        "part": {"path": "a", "sizes": [1.0, None, None]}
    }
