"""Gathers the content of a report, without changing the run; it may be under way."""

from __future__ import annotations

import time
from pathlib import Path

import pandas as pd

from nas.config import RunConfig, read_config
from nas.engine.importance import axis_importance
from nas.engine.ladder import Ladder, rung_correlation
from nas.engine.narrowing import narrowing_of
from nas.engine.objectives import objective, objectives
from nas.engine.snapshot import trials_in_database
from nas.plugins import check_plugins
from nas.reports.audits import audits_of
from nas.reports.correlation_words import rung_correlation_line
from nas.reports.detectors import detectors_of, front_files, points_of
from nas.reports.finish_files import finished_detectors, phase_times
from nas.reports.held_out import finished_on, held_out_words
from nas.reports.next_commands import commands
from nas.reports.nothing_found import nothing_found
from nas.reports.object_sizes import box_sizes, opened_data
from nas.reports.pictures import pictures_of
from nas.reports.unfinished import unfinished_front
from nas.run_folder import CONFIG_YAML, read_trials
from results import records
from results.export import member_file
from results.report import Content
from results.report.payload import part, without_front
from results.seeds import over_seeds
from results.trial import Trial
from search_space import SearchSpace
from search_space.errors import ConfigError, UserError, counted


def gather(run: Path, *, images: bool = True) -> Content:
    """Gathers the content of the report of a run.

    Args:
        run: Folder of the run.
        images: Whether to run members of the front on validation images.

    Raises:
        ConfigError: It is not the folder of a run that this version can read.
    """
    config = _config(run)
    check_plugins(config)
    space = SearchSpace().narrowed(narrowing_of(config))
    table, notices = _trials(run, config, space)
    trials = records.trials_of(table)
    points = points_of(trials, space)
    members = part(table)
    files = front_files(run)
    nothing = nothing_found(table, config)
    members = members if nothing is None else without_front(members)
    front, others, lower = map(records.trials_of, (members.front, members.others, members.lower))
    plotted = [*front, *_designs_first(others), *lower]
    first = member_file(1, front[0].key) if front else None
    splits, finished = opened_data(config), finished_detectors(run)
    return Content(
        name=config.name,
        folder=str(run),
        written=time.strftime("%Y-%m-%d %H:%M %Z"),
        table=table,
        detectors=detectors_of(plotted, points, space, files, num_classes=len(config.classes)),
        importance=axis_importance(trials, points, space, objectives(config.objective)),
        boxes=box_sizes(splits, front, config) if front else "The front has no member yet to compare the objects with.",
        pictures=pictures_of(run, config, splits, front) if images else "",
        held_out=held_out_words(config, splits),
        finished=finished,
        finished_on=finished_on(config, splits) if finished else "",
        phases=phase_times(run),
        audits=audits_of(table),
        facts=_facts(config),
        limits=_limits(config),
        device=config.device or "",
        seeds={member.number: tuple(over_seeds(member, trials)) for member in front},
        rungs=_rungs(config, trials),
        commands=commands(config, run, first, finished[0].name if finished else ""),
        notices=(*notices, *_unfinished(front, config, run)),
        nothing_found="" if nothing is None else f"{nothing.line()[0].upper()}{nothing.line()[1:]}.",
    )


def _config(run: Path) -> RunConfig:
    path = run / CONFIG_YAML
    if not path.is_file():
        raise ConfigError(f"{run} is not the folder of a run: it has no {CONFIG_YAML}; next: nas report runs/NAME")
    return read_config(path)


def _trials(run: Path, config: RunConfig, space: SearchSpace) -> tuple[pd.DataFrame, list[str]]:
    """Returns the table of trials, from the database if there is one that answers, and notices on it."""
    notices = []
    if config.storage is not None:
        try:
            return records.frame(trials_in_database(config, space)), []
        except UserError as error:
            notices.append(
                "The trials are those of this folder; other workers may have finished more. The study was not read: "
                f"{error}"
            )
    if not (run / records.TRIALS_CSV).is_file():
        missing = records.shortfall(run, records.frame([]))
        return records.frame([]), [*notices, missing or "The run has no trial yet."]
    table = read_trials(run, whole=False)
    missing = records.shortfall(run, table)
    return table, [*notices, f"Some trials are missing: {missing}."] if missing else notices


def _unfinished(front: list[Trial], config: RunConfig, run: Path) -> list[str]:
    """Says that the front is of a lower rung, where it is."""
    unfinished = unfinished_front(front, config)
    return [] if unfinished is None else [f"{unfinished.line(f'nas run --resume {run}')}."]


def _designs_first(trials: list[Trial]) -> list[Trial]:
    return sorted(trials, key=lambda trial: not trial.origin.is_design)


def _facts(config: RunConfig) -> tuple[tuple[str, str], ...]:
    rungs = " and ".join(f"{each:g}" for each in config.rungs)
    ends = [f"{config.trials} trials"] if config.trials else []
    ends += [f"{config.minutes:g} minutes"] if config.minutes else []
    facts = {
        "budget": " and ".join(config.limit_words()),
        "objectives": " against ".join(objective(name).title for name in config.objective),
        "device": f"{config.device}; latencies are predicted, not measured{_whole(config)}" if config.device else "",
        "data": f"{config.data or 'built-in set'}; {counted(len(config.classes), 'class', 'classes')}: "
        f"{', '.join(config.classes)}",
        "search": f"strategy {config.strategy}, limit {' or '.join(ends)}, rungs of {rungs} epochs, batch "
        f"{config.batch}, seed {config.seed}",
        "started from": f"the trials of {config.from_run}" if config.from_run else "",
        "pretrained weights": config.pretrained or "",
        "versions": ", ".join(f"{name} {version}" for name, version in config.versions.items()),
    }
    return tuple((name, text) for name, text in facts.items() if text)


def _whole(config: RunConfig) -> str:
    return f", end to end for frames of {config.frame_text}" if config.end_to_end else ""


def _limits(config: RunConfig) -> dict[str, float]:
    """Returns the limits of the budget by column, in the unit of the column."""
    given = {
        "macs": (config.budget_gflops, 1e9),
        "params": (config.budget_params_m, 1e6),
        "latency_ms": (config.budget_latency_ms, 1.0),
        "memory_bytes": (config.budget_memory_mb, 1e6),
    }
    return {name: limit * unit for name, (limit, unit) in given.items() if limit is not None}


def _rungs(config: RunConfig, trials: list[Trial]) -> tuple[str, ...]:
    ladder = Ladder(epochs=config.rungs, proxy=config.proxy)
    return tuple(rung_correlation_line(rung_correlation(trials, rung)) for rung in range(ladder.first, ladder.last))
