"""Gathers what a report shows of a run, without changing the run; it may be under way."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pandas as pd

from nas.commands.run_summary import agreement_line, over_seeds
from nas.config import RunConfig, read_config
from nas.engine.importance import axis_importance
from nas.engine.ladder import Ladder, rung_correlation
from nas.engine.narrowing import narrowing_of
from nas.engine.objectives import objective, objectives
from nas.engine.snapshot import rows_in_database
from nas.plugins import check_plugins
from nas.reports.detectors import detectors_of, front_files, points_of
from nas.reports.next_commands import commands
from nas.reports.object_sizes import box_sizes
from nas.run_folder import CONFIG_YAML, read_trials
from results import records
from results.export import member_file
from results.report import Content
from results.report.payload import part
from search_space import SearchSpace
from search_space.errors import ConfigError, UserError

Row = dict[str, Any]


def gather(run: Path) -> Content:
    """Gathers what a report shows.

    Args:
        run: Folder of the run.

    Raises:
        ConfigError: If it is not the folder of a run that this version can read.
    """
    config = _config(run)
    check_plugins(config)
    space = SearchSpace().narrowed(narrowing_of(config))
    table, notices = _trials(run, config, space)
    rows = rows_of(table)
    points = points_of(rows, space)
    members = part(table)
    files = front_files(run)
    plotted = [*rows_of(members.front), *_designs_first(rows_of(members.others)), *rows_of(members.lower)]
    front = rows_of(members.front)
    first = member_file(1, front[0]["key"]) if front else None
    return Content(
        name=config.name,
        folder=str(run),
        written=time.strftime("%Y-%m-%d %H:%M %Z"),
        table=table,
        detectors=detectors_of(plotted, points, space, files, num_classes=len(config.classes)),
        importance=axis_importance(rows, points, space, objectives(config.objectives)),
        boxes=box_sizes(config, front) if front else "There is no member of the front yet to compare the objects with.",
        facts=_facts(config),
        limits=_limits(config),
        device=config.device or "",
        seeds={int(row["number"]): tuple(over_seeds(row, table)) for row in front},
        rungs=_rungs(config, rows),
        commands=commands(config, run, first),
        notices=tuple(notices),
    )


def rows_of(table: pd.DataFrame) -> list[Row]:
    """Returns records as plain dicts in which what is missing is None."""
    plain: list[Row] = table.astype(object).where(table.notna(), None).to_dict("records")
    return plain


def _config(run: Path) -> RunConfig:
    path = run / CONFIG_YAML
    if not path.is_file():
        raise ConfigError(f"{run} is not the folder of a run: it has no {CONFIG_YAML}; next: nas report runs/NAME")
    return read_config(path)


def _trials(run: Path, config: RunConfig, space: SearchSpace) -> tuple[pd.DataFrame, list[str]]:
    """Returns the trials, from the database where there is one that answers, and what to know of them."""
    notices = []
    if config.storage is not None:
        try:
            return records.frame(rows_in_database(config, space)), []
        except UserError as error:
            notices.append(
                "The trials are those that this folder knows of; other workers may have made more. The study was not "
                f"read: {error}"
            )
    if not (run / records.TRIALS_CSV).is_file():
        missing = records.shortfall(run, records.frame([]))
        return records.frame([]), [*notices, missing or "The run has not written any trial yet."]
    table = read_trials(run, whole=False)
    missing = records.shortfall(run, table)
    return table, [*notices, f"Some trials are missing: {missing}."] if missing else notices


def _designs_first(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: not str(row["origin"]).startswith("design "))


def _facts(config: RunConfig) -> tuple[tuple[str, str], ...]:
    rungs = ", ".join(f"{each:g}" for each in config.rungs)
    ends = [f"{config.trials} trials"] if config.trials else []
    ends += [f"{config.minutes:g} minutes"] if config.minutes else []
    facts = {
        "budget": " and ".join(config.limit_words()),
        "objectives": " against ".join(objective(name).title for name in config.objectives),
        "device": f"{config.device}; latencies are predicted, not measured" if config.device else "",
        "data": f"{config.data or 'built-in set'}; {len(config.classes)} classes: {', '.join(config.classes)}",
        "search": f"{config.strategy}, until {' or '.join(ends)}; epochs of each rung {rungs}; batch {config.batch}, "
        f"seed {config.seed}",
        "begun with": f"the trials of {config.imported_from}" if config.imported_from else "",
        "versions": ", ".join(f"{name} {version}" for name, version in config.versions.items()),
    }
    return tuple((name, text) for name, text in facts.items() if text)


def _limits(config: RunConfig) -> dict[str, float]:
    """Returns the budget by column, in the unit of the column."""
    given = {
        "macs": (config.budget_gflops, 1e9),
        "params": (config.budget_params_m, 1e6),
        "latency_ms": (config.budget_latency_ms, 1.0),
        "memory_bytes": (config.budget_memory_mb, 1e6),
    }
    return {name: limit * unit for name, (limit, unit) in given.items() if limit is not None}


def _rungs(config: RunConfig, rows: list[Row]) -> tuple[str, ...]:
    ladder = Ladder(epochs=config.rungs, proxy=config.proxy)
    return tuple(agreement_line(rung_correlation(rows, rung)) for rung in range(ladder.first, ladder.last))
