"""Further workers on a run whose study lies in a database: all that they need is there, but the data."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna

from nas.config import parse_config
from nas.engine.run_request import RunRequest
from nas.engine.search_study import SearchStudy
from nas.engine.session import Session, prepare, reopen_data, with_totals
from nas.engine.storage import database_storage, hide_password
from nas.engine.warm_start import Starts
from nas.run_folder import create
from search_space import Architecture
from search_space.errors import ConfigError

CONFIG, STARTS = "config", "starts"
"""Notes of the study."""
ALLOWED = ("data", "images", "threads", "name", "out", "storage", "trials", "minutes", "trial_minutes")
"""What a worker may say for itself; all else is the run's."""


def publish(study: SearchStudy, session: Session) -> None:
    """Writes down with the study what another worker needs to join."""
    if CONFIG in study.notes:
        return
    study.note(STARTS, {name: each.to_dict() for name, each in session.named.architectures.items()})
    study.note(CONFIG, session.config.to_text())


def join(request: RunRequest) -> Session:
    """Opens a run in a database for one more worker, with a folder of its own.

    Raises:
        ConfigError: If there is no such run, the data is not the run's, or a setting is given that is the run's.
    """
    given = [name for name, value in vars(request).items() if value not in (None, ()) and name not in ALLOWED]
    if given:
        raise ConfigError(f"--join takes all settings from the run; next: drop {', '.join(map(_option, given))}")
    if request.storage is None or request.name is None:
        raise ConfigError("--join needs --storage URL and --name NAME of the run to join")
    notes = _notes(request.storage, request.name)
    config = parse_config(str(notes[CONFIG]), source=f"the run {request.name}")
    space, splits = reopen_data(config, request)
    named = Starts(architectures={name: Architecture.from_dict(each) for name, each in notes[STARTS].items()})
    data = request.data or config.data
    config = with_totals(replace(config, threads=request.threads, data=data and str(Path(data).resolve())), request)
    domain, starts, notices = prepare(config, space, splits, named)
    path = Path(request.out or "runs") / f"{config.name}-{socket.gethostname()}-{os.getpid()}"
    return Session(
        config=config,
        splits=splits,
        domain=domain,
        starts=starts,
        named=named,
        notices=[*splits.notices, *notices],
        folder=create(path, config, named.write),
        storage=request.storage,
    )


def _notes(url: str, name: str) -> dict[str, Any]:
    try:
        notes: dict[str, Any] = optuna.load_study(study_name=name, storage=database_storage(url)).user_attrs
    except KeyError:
        notes = {}
    if CONFIG not in notes:
        raise ConfigError(f"there is no run {name!r} in {hide_password(url)}; next: start it without --join")
    return notes


def _option(name: str) -> str:
    named = {"choices": "--choices", "starts": "--start", "earlier": "--from", "data_format": "--format"}
    return named.get(name, f"--{name.replace('_', '-')}")
