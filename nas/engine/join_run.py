"""Lets workers join a run whose study is in a database, which holds everything they need except the data."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import optuna

from nas.config import parse_config
from nas.engine.run_request import RunRequest
from nas.engine.search_study import SearchStudy
from nas.engine.session import Session, changed, prepare, reopen_data
from nas.engine.storage import database_storage, hide_password
from nas.engine.warm_start import Starts
from nas.pretrained import joined_pretrained
from nas.run_folder import RunFolder, create
from search_space import Architecture
from search_space.errors import ConfigError
from trainers.settings import declared_settings

CONFIG, STARTS = "config", "starts"
"""Notes of the study."""
SCRATCH = "trials of this worker start from random weights; next: --join with --pretrained FILE, its path on this host"


def publish(study: SearchStudy, session: Session) -> None:
    """Stores the configuration in the study, for workers that join."""
    if CONFIG in study.notes:
        return
    study.note(STARTS, {name: each.to_dict() for name, each in session.named.architectures.items()})
    study.note(CONFIG, session.config.to_text())


def join(request: RunRequest) -> Session:
    """Opens a run in a database for one more worker, with a folder of its own.

    Raises:
        ConfigError: If there is no such run, the data is not the run's, or a setting is given that is the run's.
    """
    said, declared = request.settings, declared_settings(type(request.settings))
    refused = [declared[name].option for name in request.given if not declared[name].about.joinable]
    if refused:
        raise ConfigError(f"--join takes all settings from the run; next: drop {', '.join(refused)}")
    if said.storage is None or not said.name:
        raise ConfigError("--join needs --storage URL and --name NAME of the run to join")
    notes = _notes(said.storage, said.name)
    config = parse_config(str(notes[CONFIG]), source=f"the run {said.name}")
    pretrained = joined_pretrained(config, request.stored(config).get("pretrained"))
    here = {"threads": None, "track": None, "out": str(Path(said.out).resolve())}
    config = changed(config, here | request.stored(config))
    space, splits = reopen_data(config)
    named = Starts(architectures={name: Architecture.from_dict(each) for name, each in notes[STARTS].items()})
    domain, starts, notices = prepare(config, space, splits, named)
    if config.pretrained is not None and pretrained is None:
        notices = [*notices, f"the weights {config.pretrained} of the run cannot be read here: {SCRATCH}"]

    def fill(folder: RunFolder) -> None:
        named.write(folder)
        if pretrained is not None:
            pretrained.write(folder)

    path = Path(said.out) / f"{config.name}-{socket.gethostname()}-{os.getpid()}"
    return Session(
        config=config,
        splits=splits,
        domain=domain,
        starts=starts,
        named=named,
        notices=[*splits.notices, *notices],
        folder=create(path, config, fill),
        storage=said.storage,
    )


def _notes(url: str, name: str) -> dict[str, Any]:
    try:
        notes: dict[str, Any] = optuna.load_study(study_name=name, storage=database_storage(url)).user_attrs
    except KeyError:
        notes = {}
    if CONFIG not in notes:
        raise ConfigError(f"there is no run {name!r} in {hide_password(url)}; next: start it without --join")
    return notes
