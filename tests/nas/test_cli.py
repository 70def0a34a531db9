"""The command line as a whole: every command has a help with examples that its parser takes, and shells complete it."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import click
import pytest

from nas.cli import group, main


def commands(inner: click.Group = group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yields every command of `nas` with the words that call it, groups included."""
    context = click.Context(inner)
    for name in inner.list_commands(context):
        command = inner.get_command(context, name)
        assert command is not None
        if not (*path, name) == ("latency", "predict"):  # is called by `nas latency`, and its help is shown there
            yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


COMMANDS = {"": group, **{" ".join(path): command for path, command in commands()}}


def examples(command: click.Command) -> list[list[str]]:
    """Returns the examples of a command's help, each in words."""
    _, _, after = (command.help or "").partition("Example")
    return [shlex.split(line) for line in after.splitlines() if line.strip().startswith("nas ")]


def parse(words: list[str]) -> None:
    """Parses a call of `nas` without running it.

    Raises:
        click.UsageError: A command, an option or a value is not known.
    """
    assert words[0] == "nas"
    context, command = group.make_context("nas", words[1:]), group
    while isinstance(command, click.Group):
        _, command, arguments = command.resolve_command(context, [*context._protected_args, *context.args])
        context = command.make_context(command.name, arguments, parent=context)


@pytest.mark.parametrize("words", [[], ["weights"], ["data"]], ids=["nas", "weights", "data"])
def test_a_group_without_a_command_shows_its_help(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    shown = capsys.readouterr()
    assert caught.value.code == 2 and shown.out == ""
    assert shown.err.startswith(" ".join(["Usage: nas", *words])) and "\nCommands:\n" in shown.err


@pytest.mark.parametrize("command", [["explain"], ["train"], ["export", "--out", "out"]], ids=lambda words: words[0])
@pytest.mark.parametrize("trained", [False, True])
def test_weights_given_as_an_architecture_are_told(
    command: list[str],
    trained: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("w.pt").write_bytes(bytes(2_000_000))
    if trained:
        Path("architecture.yaml").touch()
    with pytest.raises(SystemExit) as caught:
        main([*command, "w.pt"])
    said = capsys.readouterr().err
    which = "architecture.yaml" if trained else "its design or YAML file (nas weights import w.pt says which)"
    assert caught.value.code == 2 and said.endswith(f"w.pt is a file of weights, not an architecture; give {which}\n")


def test_every_module_of_a_command_is_known() -> None:
    files = {path.stem for path in Path(str(resources.files("nas.commands"))).glob("*.py")}
    modules = {command.callback.__module__.rpartition(".")[2] for command in COMMANDS.values() if command.callback}
    defining = {
        name for name in files if "@click.command(" in (resources.files("nas.commands") / f"{name}.py").read_text()
    }
    assert defining - {"latency_predict"} <= modules


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_examples_that_the_parser_takes(name: str) -> None:
    if name == "completion":  # its examples are lines of a shell's start-up file
        assert "nas completion bash" in (COMMANDS[name].help or "")
        return
    shown = examples(COMMANDS[name])
    assert shown and all(f"nas {name}" in " ".join(words) for words in shown)
    for words in shown:
        parse(words)


def test_an_example_with_an_unknown_option_would_be_found() -> None:
    for wrong in ("nas run --budget-gflop 1", "nas data chek x", "nas val"):
        with pytest.raises(click.UsageError):
            parse(shlex.split(wrong))


def test_options_of_one_name_take_the_same_kind_of_value() -> None:
    """`--device` alone means two things: a board where latency is predicted, a processor where something is run."""
    kinds: dict[str, set[tuple[int, bool, bool]]] = {}
    for command in COMMANDS.values():
        for option in command.params:
            if isinstance(option, click.Option) and not option.hidden:
                for name in option.opts:
                    kinds.setdefault(name, set()).add((option.nargs, option.multiple, option.is_flag))
    apart = {name for name, found in kinds.items() if len(found) > 1}
    assert apart <= {"--strategy", "--seeds"}, "nas bench compares several of what nas run takes one of"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_is_told_how_to_complete(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["completion", shell])
    assert "_NAS_COMPLETE" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("nas re", {"reproduce", "report"}),
        ("nas data ", {"check", "convert"}),
        ("nas run --budget-g", {"--budget-gflops"}),
        ("nas latency calibrate --device agx", {f"agx-orin-trt-{precision}" for precision in ("fp16", "fp32", "int8")}),
    ],
)
def test_commands_and_options_are_completed(
    line: str, expected: set[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_NAS_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(line.count(" ")))
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == 0
    assert {each.partition(",")[2] for each in capsys.readouterr().out.split()} == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("nas explain sodet-", {"sodet-l", "sodet-m", "sodet-s"}),
        ("nas run --strategy e", {"ehvi", "evolution"}),
        ("nas run --start tinydet-s", {"tinydet-s"}),
        ("nas train --recipe pap", {"paper"}),
        ("nas val --format visdrone", {"visdrone", "visdrone-vid"}),
        ("nas data convert a b --to vo", {"voc"}),
        ("nas data convert a b --to uav", {"uav"}),  # of files, because that format is only read
    ],
)
def test_names_are_completed_without_torch(line: str, expected: set[str]) -> None:
    words = {"_NAS_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    code = (
        "import sys; from nas.cli import main\ntry: main([])\nfinally: print('torch' in sys.modules, file=sys.stderr)"
    )
    told = subprocess.run([sys.executable, "-c", code], env={**os.environ, **words}, capture_output=True, text=True)
    assert {each.partition(",")[2] for each in told.stdout.split()} == expected
    assert told.stderr.split()[-1] == "False"


@pytest.mark.parametrize("line", ["nas run --data ", "nas latency --device mine", "nas inspect ", "nas export "])
def test_paths_are_completed_by_the_shell(
    line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_NAS_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(line.count(" ")))
    with pytest.raises(SystemExit):
        main([])
    assert capsys.readouterr().out.startswith("file,")


def test_help_lists_what_there_is_by_name() -> None:
    from nas.bench.table import BOARDS, DATA_SETS
    from nas.engine.strategies import STRATEGIES

    shown = {
        name: " ".join(COMMANDS[name].get_help(click.Context(COMMANDS[name])).split()) for name in ("run", "bench")
    }
    for name in STRATEGIES:
        assert name in shown["run"] and name in shown["bench"]
    for name in (*BOARDS, *DATA_SETS):
        assert name in shown["bench"].replace("- ", "-")


@pytest.mark.parametrize(
    ("path", "says"),
    [("curves.foo", "is no picture; next"), ("nowhere/curves.png", "there is no folder nowhere; next")],
)
def test_a_plot_that_cannot_be_drawn_is_told_before_the_work(
    path: str,
    says: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        main(["bench", "--plot", path])
    assert caught.value.code == 2 and says in capsys.readouterr().err
