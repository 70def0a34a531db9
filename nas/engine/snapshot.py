"""Reads the trials of a run from its database without joining it."""

from __future__ import annotations

import optuna

from nas.config import RunConfig
from nas.engine.objectives import objectives
from nas.engine.search_study import SearchStudy
from nas.engine.storage import database_storage, hide_password
from results.trial import Trial
from search_space import SearchSpace
from search_space.errors import ConfigError


def trials_in_database(config: RunConfig, space: SearchSpace) -> list[Trial]:
    """Returns the trials that have ended of a run whose study is in a database.

    The password is taken from the environment, as by libpq, because the configuration does not hold it.

    Raises:
        ConfigError: The database does not answer, or has no such run.
    """
    assert config.storage is not None
    url = config.storage.replace(":***@", "@", 1)
    storage = database_storage(url)
    if config.name not in optuna.get_all_study_names(storage):
        raise ConfigError(
            f"there is no run {config.name!r} in {hide_password(url)}; next: check that it is the "
            "database that the run was started with"
        )
    study = SearchStudy(
        storage, space, objectives(config.objective), name=config.name, num_rungs=len(config.rungs), worker="report"
    )
    return study.trials()
