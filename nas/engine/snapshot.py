"""The trials of a run as they are now, without taking part in it."""

from __future__ import annotations

from typing import Any

import optuna

from nas.config import RunConfig
from nas.engine.objectives import objectives
from nas.engine.search_study import SearchStudy
from nas.engine.storage import database_storage, hide_password
from search_space import SearchSpace
from search_space.errors import ConfigError


def rows_in_database(config: RunConfig, space: SearchSpace) -> list[dict[str, Any]]:
    """Returns one record a finished trial of a run whose study lies in a database.

    A password that the run's configuration does not hold is taken from the environment, as libpq does.

    Raises:
        ConfigError: If the database does not answer, or has no such run.
    """
    assert config.storage is not None
    url = config.storage.replace(":***@", "@", 1)
    storage = database_storage(url)
    if config.name not in optuna.get_all_study_names(storage):
        raise ConfigError(
            f"there is no run {config.name!r} in {hide_password(url)}; next: see whether it is the "
            "database that the run was started with"
        )
    study = SearchStudy(
        storage, space, objectives(config.objective), name=config.name, num_rungs=len(config.rungs), worker="report"
    )
    return study.rows()
