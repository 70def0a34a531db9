"""Check that a plot can be drawn, before the work whose result it shows."""

from __future__ import annotations

from pathlib import Path

from search_space.errors import ConfigError

PICTURES = (".png", ".svg", ".pdf")


def check_plot(path: Path | None) -> None:
    """Checks that a plot can be drawn to a path; None is no plot.

    Raises:
        ConfigError: Its name is none of a picture, its folder is not there, or matplotlib is missing.
    """
    import importlib.util

    if path is None:
        return
    if path.suffix.lower() not in PICTURES:
        raise ConfigError(f"--plot {path} is no picture; next: a name that ends in {', '.join(PICTURES)}")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"--plot {path}: there is no folder {path.parent}; next: make it, or name another one")
    if importlib.util.find_spec("matplotlib") is None:
        raise ConfigError("--plot needs matplotlib; next: pip install 'pyramidnas[plots]'")
