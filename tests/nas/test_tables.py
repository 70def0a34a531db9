"""Tables of all commands at 80 columns, with `--wide` and in a pipe: no name is cut, hidden columns are counted."""

from __future__ import annotations

import contextlib
import io
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest
from latency_fakes import MINE, OPS, write
from rich.cells import cell_len
from search_fakes import FakeEvaluator
from test_cli import COMMANDS
from val_predict_fakes import DATA, FAST, make_weights

from nas.cli import main
from nas.commands import table
from nas.commands.table import Column, print_table
from nas.cost.profile import device_names
from nas.doctor.diagnosis import Diagnosis
from nas.doctor.machine_check import Check
from nas.reports.finished_member import FinishedMember
from search_space import DESIGNS, lower

CLASSES = ("Person", "Car", "Bicycle")
BOARD = ("--device", "jetson-nano")
RUN = ("run", "--data", DATA, "--budget-gflops", 1, *BOARD, "--epochs", 1, "--trials", 5, "--name", "r", "--wide")


class Screen80(io.StringIO):
    """Standard output that says it is a terminal; its width comes from COLUMNS."""

    def isatty(self) -> bool:
        return True


@dataclass(frozen=True, kw_only=True)
class Printed:
    """A table that a command printed."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    shown: Sequence[int]
    lines: Sequence[str]
    has_titles: bool

    def again(self) -> None:
        """Prints it once more, for the output and the options of now."""
        print_table(self.columns, self.rows, has_titles=self.has_titles)


@dataclass(frozen=True, kw_only=True)
class Call:
    """A command line that prints tables, the files that it needs, and names that its tables hold."""

    words: Sequence[object]
    names: Callable[[], Sequence[str]]
    prepare: Callable[[], object] = lambda: None


def node_names(design: str) -> list[str]:
    return [node.name for node in lower(DESIGNS.get(design).architecture, num_classes=10).nodes]


def members(end: str = "") -> list[str]:
    return [path.stem + end for path in Path("runs", "r", "front").glob("0*.yaml")]


CALLS = {
    "designs": Call(words=("designs",), names=DESIGNS.names),
    "devices": Call(words=("devices",), names=device_names),
    "explain": Call(words=("explain", "yolov8n-p2"), names=lambda: node_names("yolov8n-p2")),
    "explain --diff": Call(
        words=("explain", "yolov8n", "--diff", "yolov8n-p2"),
        names=lambda: ("head_levels", "last_downsample_width", "yolov8n", "yolov8n-p2"),
    ),
    "reproduce": Call(words=("reproduce", "tinydet-s"), names=lambda: ("roi_head", "mflops_with_conv_bias")),
    "reproduce --all": Call(words=("reproduce", "--all"), names=DESIGNS.names),
    "latency": Call(words=("latency", "yolov8n", *BOARD), names=lambda: ("conv3x3s2", "down3_block", "p2_block")),
    "latency RUN": Call(
        words=("latency", "runs/r", *BOARD), names=lambda: members(".yaml"), prepare=lambda: call(*RUN)
    ),
    "latency calibrate": Call(
        words=("latency", "calibrate", "mine.csv", *BOARD),
        names=lambda: MINE,
        prepare=lambda: write(Path("mine.csv"), *(f"{name},{20 + len(name)}" for name in MINE)),
    ),
    "latency predict-ops": Call(
        words=("latency", "predict-ops", "ops.csv", *BOARD),
        names=lambda: ("known", "odd"),
        prepare=lambda: Path("ops.csv").write_text(OPS),
    ),
    "bench": Call(
        words=("bench", "--seeds", 1, "--evaluations", 5, "--strategy", "random", "--data-set", "widerface"),
        names=lambda: ("widerface", "jetson-nano", "random"),
    ),
    "doctor": Call(words=("doctor",), names=lambda: ("opencv-python-headless", "postgres")),
    "inspect": Call(words=("inspect", DATA), names=lambda: CLASSES),
    "train": Call(
        words=("train", "yolov8n-p2", "--data", DATA, "--input", 64, 64, "--epochs", 0.5, "--out", "t", "--threads", 1),
        names=lambda: CLASSES,
    ),
    "train --dry-run": Call(
        words=("train", "yolov8n-p2-nop5", "--data", DATA, "--recipe", "paper", "--dry-run", "--out", "t"),
        names=lambda: ("epochs", "batch_size", "schedule.warmup_epochs", "update.nominal_batch"),
    ),
    "val": Call(
        words=("val", "weights.pt", "--data", DATA, "--bins", "tinyperson", "--bootstrap", 20, *FAST),
        names=lambda: (*CLASSES, "background", "tiny1"),
        prepare=lambda: make_weights(Path()),
    ),
    "run": Call(words=RUN[:-1], names=members),
    "run --finish": Call(
        words=("run", "--resume", "runs/r"), names=lambda: ["01-finished"], prepare=lambda: finished_run()
    ),
}
"""Every command that prints a table, by its name and what tells its tables apart."""


def finished_run() -> None:
    """Makes a run with a member that was trained on."""
    call(*RUN)
    folder = Path("runs", "r", "finished", "01-finished")
    folder.mkdir(parents=True)
    ends = {f"{name}{end}": 0.25 for name in ("ap", "ap50", "ap_small") for end in ("", "_low", "_high")}
    FinishedMember(
        **{"name": folder.name, "key": "k", "folder": folder, "weights": folder / "weights.pt", "scores": ends},
        **{"export": None, "onnx": None, "scored_on": "held-out", "num_images": 290, "images_seen": 20_000},
        **{"epochs": 10.0, "seconds": 900.0, "evaluation_seconds": 20.0, "macs": 240_000_000, "params": 300_000},
    ).write()


def call(*words: object) -> None:
    main([str(word) for word in words])


def diagnose(**options: object) -> Diagnosis:
    """Stands in for what `nas doctor` looks at, with a sentence that is longer than a line."""
    note = Check(name="extra postgres", found="not installed", state="note", advice="needed by nas run " * 8)
    checks = {"packages": (Check(name="opencv-python-headless", found="5.0.0 " * 20), note)}
    return Diagnosis(is_well=True, checks=checks)


@pytest.fixture
def printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Printed]:
    """The tables that are laid out from now on; in a folder of its own, and without training in a search."""
    tables, lay_out = [], table.lay_out

    def recorded(columns: Sequence[Column], rows: Sequence[Sequence[str]], **how: Any) -> list[str]:
        lines = lay_out(columns, rows, **how)
        plain = [click.unstyle(line) for line in lines]
        shown, has_titles = how["shown"], how["has_titles"]
        tables.append(Printed(columns=columns, rows=rows, shown=shown, lines=plain, has_titles=has_titles))
        return lines

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("nas.executors.training.TrainingEvaluator", lambda *args, **kwargs: FakeEvaluator())
    monkeypatch.setattr("nas.doctor.diagnosis.diagnose", diagnose)
    monkeypatch.setattr(table, "lay_out", recorded)
    return tables


def in_terminal(monkeypatch: pytest.MonkeyPatch, action: Callable[[], object]) -> str:
    """Returns what an action prints on a terminal, without the styles."""
    screen = Screen80()
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", screen)
        action()
    return click.unstyle(screen.getvalue())


@pytest.mark.slow(but=("devices", "explain", "explain --diff", "latency", "bench", "doctor", "inspect", "val"))
@pytest.mark.parametrize("name", CALLS)
def test_every_table_is_whole_in_a_narrow_terminal_and_without_one(
    name: str, printed: list[Printed], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    CALLS[name].prepare()
    printed.clear()
    said = in_terminal(monkeypatch, lambda: call(*CALLS[name].words))
    tables = printed.copy()
    words = {word.rstrip("*") for each in tables for line in each.lines for word in line.split()}
    assert tables and CALLS[name].names() and set(CALLS[name].names()) <= words
    for each in tables:
        assert "…" not in said and max(map(cell_len, each.lines)) <= 80
        assert_whole(each, each.lines, each.shown)
        if hidden := len(each.columns) - len(each.shown):
            assert f"{hidden} column{'s' * (hidden > 1)} hidden; --wide shows all" in said
            assert "--wide" in {flag for option in command_of(name).params for flag in option.opts}
        capsys.readouterr()
        each.again()
        piped = capsys.readouterr().out.splitlines()
        with click.Context(click.Command("wide")) as context:
            context.meta["nas.wide"] = True
            assert in_terminal(monkeypatch, each.again).splitlines() == piped
        assert piped == [line.rstrip() for line in piped]
        assert_whole(each, piped, range(len(each.columns)))


def assert_whole(printed: Printed, lines: Sequence[str], shown: Sequence[int]) -> None:
    """Asserts that each row has its cells in one line; titles and sentences may be broken, their words may not."""
    told = "\n".join(lines)
    assert not printed.has_titles or all(
        word in told for index in shown for word in printed.columns[index].title.split()
    )
    for row in printed.rows:
        indices = shown if len(row) == len(printed.columns) else range(len(row))
        whole = [row[index].strip() for index in indices if not printed.columns[index].is_text]
        assert any(all(cell in line for cell in whole) for line in lines)
        assert all(word in told for index in indices for word in row[index].split())


def command_of(name: str) -> click.Command:
    """Returns the command of a call, `nas latency predict` for the nameless use of `nas latency`."""
    words = [word for word in name.split() if word.islower() and not word.startswith("-")]
    command = COMMANDS[" ".join(words)]
    if isinstance(command, click.Group):
        found = command.get_command(click.Context(command), "predict")
        assert found is not None
        return found
    return command


def test_every_command_that_lays_out_tables_is_tested() -> None:
    modules = {path.stem for path in Path(table.__file__).parent.glob("*.py") if "print_table(" in path.read_text()}
    tested = {"designs", "devices", "explain_display", "reproduce_display", "latency_display", "latency_calibrate"}
    tested |= {"latency_ops", "bench", "doctor", "inspect_display", "score_display", "run_summary"}
    tested |= {"finish_summary", "recipe_display"}
    assert modules - {"table"} == tested
    assert not [path.name for path in Path(table.__file__).parent.glob("*.py") if "Table(" in path.read_text()][1:]


SCRIPT = """
import fcntl, struct, termios
fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 80, 0, 0))
from nas.commands.table import Column, print_table
print_table([Column(50 * "a"), Column(25 * "b", priority=1), Column(9 * "c", priority=1)], [])
"""


@pytest.mark.parametrize(("columns", "titles"), [(None, "ab"), ("100", "abc"), ("60", "a")])
def test_columns_of_the_environment_come_before_the_width_of_the_terminal(columns: str | None, titles: str) -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": columns or ""}
    with subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=theirs, env=environment) as child:
        os.close(theirs)
        said = b""
        with contextlib.suppress(OSError):  # the child has ended
            while True:
                said += os.read(ours, 65536)
    os.close(ours)
    lines = click.unstyle(said.decode()).splitlines()
    assert child.returncode == 0 and [title[0] for title in lines[0].split()] == list(titles)
    assert ("--wide" in lines[-1]) == (titles != "abc")


def test_names_that_are_too_long_are_not_cut_and_the_least_important_column_is_hidden_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    columns = [Column("a b", is_name=True), Column("long title", priority=2), Column("c", priority=1)]
    rows = [("n" * 30, "1", "2"), ("a heading over all columns",), ("m", "3", "\x1b[1m")]
    said = in_terminal(monkeypatch, lambda: print_table(columns, rows))
    assert said.splitlines() == [
        f"{'a b':<32}c",
        "─" * 39,
        f"{'n' * 30}  2",
        "",
        "a heading over all columns",
        f"{'m':<32}\\x1b[1m",
        "1 column hidden; --wide shows all",
    ]
    rows[0] = ("n" * 60, "1", "2")
    lines = in_terminal(monkeypatch, lambda: print_table(columns, rows)).splitlines()
    assert lines[2] == "n" * 60 and lines[-1].startswith("2 columns hidden")
