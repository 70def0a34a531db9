"""What runs the trainings of a search: one of the registered executors, with the settings that it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas.executors.kind import Workers
from nas.executors.kinds import EXECUTORS
from nas.setting_forms import check_bounds
from nas.settings import RunSettings
from search_space.errors import ConfigError, check_known
from trainers.settings import declared_settings

if TYPE_CHECKING:
    from nas.engine.session import Session
    from nas.executors import Executor


def check_executor(settings: RunSettings) -> None:
    """Checks the settings of a search that are about its executor.

    Raises:
        ConfigError: The executor is unknown, does not take a setting, or one is out of bounds.
    """
    name = settings.executor
    check_known("executor", name, EXECUTORS, ConfigError)
    takes = EXECUTORS.get(name).takes
    for each in (*_own_settings(settings), "trial_minutes"):
        if getattr(settings, each) is not None and each not in takes:
            users = " or ".join(other for other in EXECUTORS if each in EXECUTORS.get(other).takes)
            option = declared_settings(type(settings))[each].option
            raise ConfigError(f"{option} needs --executor {users}; next: add that or omit {option}")
    check_bounds(settings, _own_settings(settings))


def executor_words(settings: RunSettings) -> str:
    """Returns in a few words what runs the trainings."""
    if settings.executor == "local":
        return f"{settings.workers} workers" if (settings.workers or 1) > 1 else "one worker"
    at = f" at {settings.address}" if settings.address else ""
    return f"trained by {settings.executor}{at}" + (f", {settings.workers} at a time" if settings.workers else "")


def open_executor(session: Session) -> Executor:
    """Returns the executor of a session's trials, which is a context manager.

    Raises:
        ConfigError: It does not take a setting of the run, or cannot be had.
    """
    from nas.executors.training import TrainingSpec

    config = session.config
    check_executor(config)
    spec = TrainingSpec.of(config)
    own = {name: getattr(config, name) for name in _own_settings(config)}
    return EXECUTORS.get(config.executor).open(
        Workers(factory=spec, here=lambda: spec.over(session.splits), trial_minutes=config.trial_minutes, **own)
    )


def _own_settings(settings: RunSettings) -> list[str]:
    """Returns the names of the settings that an executor is opened with, without the limit of time of the run."""
    declared = declared_settings(type(settings)).items()
    return [name for name, each in declared if each.about.per_session and name in Workers.__dataclass_fields__]
