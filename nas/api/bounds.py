"""Bounds of the numbers that a caller gives."""

from __future__ import annotations

from search_space.errors import ConfigError


def check_at_least(option: str, value: float | None, least: float) -> None:
    """Raises ConfigError if a number is below `least`; None is not checked."""

    if value is not None and not value >= least:
        raise ConfigError(f"{option} must be at least {least:g}, got {value:g}")


def check_fraction(option: str, value: float | None) -> None:
    """Raises ConfigError if a number is not between 0 and 1; None is not checked."""

    if value is not None and not 0 <= value <= 1:
        raise ConfigError(f"{option} must be from 0 to 1, got {value:g}")
