"""The commands that make a run again, train what it found and hand it on."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

from nas.config import RunConfig
from nas.engine.warm_start import STARTS
from nas.setting_forms import command_words
from results.report import Command


def commands(config: RunConfig, folder: Path, first: str | None, finished: str = "") -> tuple[Command, ...]:
    """Returns the commands to run next.

    Args:
        config: Of the run.
        folder: Of the run.
        first: The file of the front's first member; None where there is no front yet.
        finished: The name of the best member that was trained in full; empty where none was.
    """
    note = "With --minutes, another machine may run other trials; with --trials it runs the same ones."
    note = "" if config.minutes is None else note
    listed = [
        Command(title="Search again", line=_line(["nas", "run", *again(config, folder)]), note=note),
        Command(title="Continue this search", line=_line(["nas", "run", "--resume", str(folder)])),
    ]
    if finished:
        val = ["nas", "val", str(folder / "finished" / finished), *config.data_words()]
        listed.append(Command(title="Evaluate the best finished detector on all validation images", line=_line(val)))
    elif first is not None:
        train = ["nas", "train", str(folder / "front" / first), *config.data_words()]
        listed.append(Command(title="Train the most accurate member in full", line=_line(train)))
    if first is not None:
        export = ["nas", "export", str(folder), "--out", f"{config.name}-front"]
        listed.append(Command(title="Export the front, with weights and a table", line=_line(export)))
    loaded = _line(config.plugin_words())
    return tuple(replace(each, line=f"{each.line} {loaded}".rstrip()) for each in listed)


def _line(words: list[str]) -> str:
    return " ".join(map(shlex.quote, words))


def again(config: RunConfig, folder: Path) -> list[str]:
    """Returns the options of `nas run` that repeat all settings of a run, under another name.

    Rungs that followed from the time of the run do so again.
    """
    starts = tuple(str(folder / name) if name.startswith(f"{STARTS}/") else name for name in config.start)
    words = command_words(replace(config, name=f"{config.name}-again", start=starts))
    if config.rungs_by_time:
        place = words.index("--rungs")
        del words[place : place + 2]
    return words
