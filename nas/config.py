"""The resolved configuration of a run, as its folder keeps it."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from importlib import metadata
from pathlib import Path
from typing import Any

from nas.setting_forms import check_bounds, command_words, is_kept, spelled, stored_settings
from nas.settings import RunSettings
from search_space.errors import ConfigError, shown
from search_space.files import read_bytes, write_text
from search_space.plain import FieldError, read_plain
from search_space.yaml_text import MAX_BYTES, YamlError, parse_yaml
from trainers.settings import declared_settings

VERSION = 3
REMEDY = "it is written by nas run and not meant to be edited; next: restore it from a copy, or start another run"


@dataclass(frozen=True, kw_only=True)
class RunConfig(RunSettings):
    """The settings of a run with their defaults filled in, and what was found out when it began.

    `fix` and `choices` hold all axes that are narrowed, those of `--space` and `--auto` included, with the choices that
    remain; `start` names designs, and files `starts/NAME.yaml` in the run's folder; `device` is the full name of a
    profile or the path of one; `storage` is without its password; `from_run` is the run whose trials lie in
    `imported.csv`. `workers` and the like are those of the last session.

    Raises:
        ConfigError: A setting is out of bounds, or the rungs do not rise.
    """

    space_fingerprint: str
    data_fingerprint: str
    classes: tuple[str, ...]
    device_fingerprint: str | None = None
    pretrained_fingerprint: str | None = None
    rungs_by_time: bool = False
    """Whether the rungs follow from the time of the run: they are laid when its first session begins."""
    rung_images: tuple[int, ...] = ()
    """The validation images that score the trials of each rung; none: all of them, on every rung."""
    plugins: tuple[str, ...] = ()
    """The plug-in files that the run was started with, with a digest of their content: `name.py digest`."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Versions of the software."""
    format: int = VERSION
    """Of the file."""

    def __post_init__(self) -> None:
        check_bounds(self)
        if not self.rungs:
            raise ConfigError("--rungs names no epochs; next: --rungs 0.5,1.5")
        if any(after <= before for before, after in zip(self.rungs, self.rungs[1:], strict=False)):
            raise ConfigError(
                f"--rungs must rise, got {','.join(f'{each:g}' for each in self.rungs)}; "
                f"next: --rungs {','.join(f'{each:g}' for each in sorted(set(self.rungs)))}"
            )

    @property
    def narrowing(self) -> dict[str, tuple[str, ...]]:
        """The choices that remain, as text, of each axis that is fixed or narrowed."""
        fixed = {axis: (value,) for axis, _, value in (each.partition("=") for each in self.fix)}
        kept = {axis: tuple(values.split(",")) for axis, _, values in (each.partition("=") for each in self.choices)}
        return fixed | kept

    def tiles_of(self, axes: Mapping[str, str]) -> str:
        """Returns the tiles of a trial with these choices, such as `3x2`; an axis with one choice may be missing."""
        return axes.get("tiles") or self.narrowing.get("tiles", ("1",))[0]

    def data_words(self) -> list[str]:
        """Returns the options of a command that name the data set; none for the built-in one."""
        return command_words(self, "Data")

    def plugin_words(self) -> list[str]:
        """Returns the options of a command that load the plug-ins of the run, by their file names."""
        return [word for label in self.plugins for word in ("--plugin", label.rpartition(" ")[0])]

    @property
    def frame_text(self) -> str:
        """Width and height of a frame, such as `1920x1080`; empty without one."""
        return "" if self.frame is None else f"{self.frame[1]}x{self.frame[0]}"

    def limit_words(self) -> list[str]:
        """Returns each limit of the budget in words."""
        limits = []
        if self.budget_gflops is not None:
            limits.append(f"{self.budget_gflops:g} GFLOPs (= GMACs, fvcore; {2 * self.budget_gflops:g} GFLOPs at 2x)")
        if self.budget_params_m is not None:
            limits.append(f"{self.budget_params_m:g} million parameters")
        if self.budget_latency_ms is not None:
            whole = "" if self.frame is None or not self.end_to_end else f", end to end, frames of {self.frame_text}"
            interval = f"the {100 * self.confidence:g} % interval{whole}"
            limits.append(f"{self.budget_latency_ms:g} ms at the upper end of {interval}")
        if self.budget_memory_mb is not None:
            limits.append(f"{self.budget_memory_mb:g} MB of activations (one image, 32-bit floats)")
        return limits

    def to_yaml(self, path: Path) -> None:
        """Writes the configuration."""
        write_text(path, self.to_text())

    def to_text(self) -> str:
        """Returns the configuration as YAML."""
        import yaml

        left_out = declared_settings(type(self)).keys() - stored_settings(type(self)).keys()
        plain = {each.name: getattr(self, each.name) for each in fields(self) if each.name not in left_out}
        for name, each in stored_settings(type(self)).items():
            if not is_kept(each, plain[name]):
                del plain[name]
        listed = {name: list(value) if isinstance(value, tuple) else value for name, value in plain.items()}
        ends = {"versions": dict(self.versions), "format": listed.pop("format")}
        return str(yaml.safe_dump(listed | ends, sort_keys=False, allow_unicode=True))


def read_config(path: Path) -> RunConfig:
    """Reads a configuration; raises ConfigError for a file that is none, or that holds an unknown setting."""
    try:
        return parse_config(read_bytes(path, MAX_BYTES), source=path)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}; give the folder of a run") from None
    except OverflowError as error:
        raise ConfigError(f"{path} is no configuration of a run: {error}; {REMEDY}") from None


def parse_config(text: str | bytes, *, source: Path | str, owner: type[RunConfig] = RunConfig) -> RunConfig:
    """Reads a configuration from its text, in the class `owner`; raises ConfigError where `read_config` does."""
    path = Path(source)
    try:
        plain = parse_yaml(text)
    except YamlError as error:
        raise ConfigError(f"{path} is not valid YAML: {error}; {REMEDY}") from None
    if not isinstance(plain, dict):
        raise ConfigError(f"{path} has no settings; {REMEDY}")
    if "space_fingerprint" not in plain:
        raise ConfigError(f"{path.parent} is not the folder of a run; give a folder that nas run wrote")
    try:
        if "format" not in plain:  # the last line of a whole file
            raise ConfigError(f"its end is missing; {REMEDY}")
        if plain["format"] != VERSION:
            raise ConfigError(
                f"the run was written in format {shown(plain['format'])}, this version reads format {VERSION}; "
                "next: use the version that wrote it, or nas run --start with the files in front/"
            )
        return read_plain(owner, {"holdout": "no", **plain})  # runs of older versions have no such setting
    except FieldError as error:
        raise ConfigError(f"{path}: {error}; {REMEDY}") from None
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def check_same(config: RunConfig, given: Mapping[str, Any]) -> None:
    """Compares settings with those that a run was started with.

    Args:
        config: The configuration of the run.
        given: Settings by name, in the form in which the configuration has them.

    Raises:
        ConfigError: Naming the first difference.
    """
    known = declared_settings(type(config))
    for name, value in given.items():
        stored = getattr(config, name)
        if value != stored:
            was, now = spelled(known[name], stored), spelled(known[name], value)
            raise ConfigError(
                f"the run {config.name} was started with {was}, got {now}; "
                "next: resume without it, or start another run with --name"
            )


def check_fingerprint(config: RunConfig, name: str, now: str) -> None:
    """Raises ConfigError where the data, the space or the device of a run is not what it was when the run began."""
    was = getattr(config, f"{name}_fingerprint")
    if now != was:
        places = {
            "data": f"data {config.data or 'built in'}",
            "device": f"constants of {config.device}",
        }
        raise ConfigError(
            f"the {places.get(name, name)} has changed since the run {config.name} was started: the fingerprint was "
            f"{was}, got {now}; next: resume with what it was, or start another run with --name"
        )


def versions() -> dict[str, str]:
    """Returns the versions of what decides the numbers of a run or a training."""
    found = {"python": platform.python_version()}
    for package in ("pyramidnas", "torch", "optuna", "numpy", "opencv-python-headless"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed as a package"
    return found
