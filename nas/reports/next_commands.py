"""The commands that make a run again, train what it found and hand it on."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from nas.config import RunConfig
from nas.engine.objectives import objective
from nas.engine.run_request import default_starts
from nas.engine.warm_start import STARTS
from results.report import Command


def commands(config: RunConfig, folder: Path, first: str | None) -> tuple[Command, ...]:
    """Returns what to type.

    Args:
        config: Of the run.
        folder: Of the run.
        first: The file of the front's first member; None where there is no front yet.
    """
    note = "It ends by the clock: another machine makes other trials. With --trials in place of --minutes they repeat."
    note = "" if config.minutes is None else note
    listed = [
        Command(title="Search again", line=_line(["nas", "run", *_settings(config, folder)]), note=note),
        Command(title="Go on with this search", line=_line(["nas", "run", "--resume", str(folder)])),
    ]
    if first is not None:
        train = ["nas", "train", str(folder / "front" / first), *config.data_words()]
        listed.append(Command(title="Train the most accurate member in full", line=_line(train)))
        export = ["nas", "export", str(folder), "--out", f"{config.name}-front"]
        listed.append(Command(title="Hand the front on, with weights and a table", line=_line(export)))
    loaded = [word for label in config.plugins for word in ("--plugin", label.rpartition(" ")[0])]
    return tuple(replace(each, line=f"{each.line} {_line(loaded)}".rstrip()) for each in listed)


def _line(words: list[str]) -> str:
    return " ".join(map(shlex.quote, words))


def _settings(config: RunConfig, folder: Path) -> list[str]:
    """Returns the options of `nas run` that come to this configuration."""
    given: dict[str, object] = {
        "--budget-gflops": config.budget_gflops,
        "--budget-params-m": config.budget_params_m,
        "--budget-latency-ms": config.budget_latency_ms,
        "--budget-memory-mb": config.budget_memory_mb,
        "--device": config.device,
        "--confidence": config.confidence if config.device is not None else None,
        "--strategy": config.strategy,
        "--trials": config.trials,
        "--minutes": config.minutes,
        "--rungs": ",".join(f"{each:g}" for each in config.rungs),
        "--proxy": config.proxy,
        "--repeats": config.repeats if config.repeats > 1 else None,
        "--batch": config.batch,
        "--seed": config.seed,
        "--threads": config.threads,
        "--from": config.imported_from,
        "--storage": config.storage,
        "--name": f"{config.name}-again",
    }
    words = [word for option, value in given.items() if value is not None for word in (option, _text(value))]
    return [*words, *config.data_words(), *_repeated(config, folder)]


def _repeated(config: RunConfig, folder: Path) -> Iterator[str]:
    """Yields the options that may be given several times."""
    for name in config.objectives if config.objectives != RunConfig.objectives else ():
        yield from ("--objective", objective(name).option)
    for axis, choices in config.narrowing.items():
        yield from (("--fix" if len(choices) == 1 else "--choices"), f"{axis}={','.join(choices)}")
    if config.starts != default_starts(config.narrowing):
        for name in config.starts:
            yield from ("--start", str(folder / name) if name.startswith(f"{STARTS}/") else name)


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
