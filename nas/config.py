"""The resolved configuration of a run, as it lies in its folder."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from search_space.errors import ConfigError

VERSION = 3
OPTIONS = {"data_format": "--format", "space_fingerprint": "the space"}
"""Settings that are no options of their name."""
REMEDY = "it is written by nas run and not meant to be edited; next: put a copy of it back, or begin another run"
BUDGETS = ("budget_gflops", "budget_params_m", "budget_latency_ms", "budget_memory_mb")
LISTS = ("classes", "objectives", "rungs", "starts", "plugins")


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Everything that decides what a run does."""

    name: str
    space_fingerprint: str
    data_fingerprint: str
    classes: tuple[str, ...]
    budget_gflops: float | None = None
    """Upper limit on FLOPs of one image in fvcore's convention (a multiply-add is one), in units of 1e9."""
    budget_params_m: float | None = None
    budget_latency_ms: float | None = None
    """Upper limit on the upper end of the interval of the latency predicted for the device, in milliseconds."""
    device: str | None = None
    """The device that latency is predicted for: the full name of a profile, or the path of one."""
    device_fingerprint: str | None = None
    confidence: float = 0.9
    """Of the interval."""
    budget_memory_mb: float | None = None
    """Upper limit on the peak of one image's activations as 32-bit floats, in MB (1e6 bytes)."""
    objectives: tuple[str, ...] = ("accuracy", "macs")
    """What the front is of, as columns of a record: accuracies are maximised, costs minimised."""
    strategy: str = "ehvi"
    data: str | None = None
    """Path of the data set; None for the built-in one."""
    split: str | None = None
    data_format: str | None = None
    images: str | None = None
    """Folder of the images where they do not lie beside the annotations."""
    trials: int | None = None
    minutes: float | None = None
    trial_minutes: float | None = None
    """How long one trial may take on a rung; None: as long as it does."""
    rungs: tuple[float, ...] = (1.0,)
    """Passes over the training images on each rung; a trial goes on from its weights of the rung below."""
    proxy: str | None = None
    """The score without training that decides which trials are trained at all."""
    repeats: int = 1
    """Seeds with which the members of the front are trained in the end."""
    batch: int = 4
    seed: int = 0
    threads: int | None = None
    """CPU threads of training; None leaves it to torch."""
    narrowing: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The allowed choices, as text, of every axis that the user fixed or narrowed."""
    starts: tuple[str, ...] = ()
    """What the search begins with: names of designs, and files `starts/NAME.yaml` in the run's folder."""
    imported_from: str | None = None
    """The run whose trials lie in `imported.csv`."""
    storage: str | None = None
    """The database that holds the study, without its password; None: a journal file in the run's folder."""
    plugins: tuple[str, ...] = ()
    """The files of blocks of the user's own that the run was started with, and what they held: `name.py digest`."""
    versions: Mapping[str, str] = field(default_factory=dict)
    format: int = VERSION

    def __post_init__(self) -> None:
        budgets = {name: getattr(self, name) for name in BUDGETS}
        checks = {
            **{name: limit is None or 0 < limit < float("inf") for name, limit in budgets.items()},
            "confidence": 0 < self.confidence < 1,
            "rungs": bool(self.rungs) and all(0 < each < float("inf") for each in self.rungs),
            "repeats": self.repeats >= 1,
            "batch": self.batch >= 1,
            "seed": self.seed >= 0,
            "trials": self.trials is None or self.trials >= 1,
            "minutes": self.minutes is None or self.minutes > 0,
            "trial_minutes": self.trial_minutes is None or self.trial_minutes > 0,
            "threads": self.threads is None or self.threads >= 1,
        }
        for name, good in checks.items():
            if not good:
                value = getattr(self, name)
                got = ",".join(map(str, value)) if isinstance(value, tuple) else value
                allowed = {"confidence": "between 0 and 1", "seed": "0 or more"}.get(name, "above zero")
                raise ConfigError(f"--{name.replace('_', '-')} must be {allowed}, got {got}; give another")
        if any(after <= before for before, after in zip(self.rungs, self.rungs[1:], strict=False)):
            raise ConfigError(
                f"--rungs must rise, got {','.join(f'{each:g}' for each in self.rungs)}; "
                f"next: --rungs {','.join(f'{each:g}' for each in sorted(set(self.rungs)))}"
            )
        if self.format != VERSION:
            written = f"the run was written in format {self.format}, this version reads format {VERSION}"
            raise ConfigError(
                f"{written}; next: use the version that wrote it, or nas run --start with the files in front/"
            )

    def data_words(self) -> list[str]:
        """Returns the options of a command that name the data set; none for the built-in one."""
        given = {"--data": self.data, "--split": self.split, "--format": self.data_format, "--images": self.images}
        return [word for option, value in given.items() if value is not None for word in (option, value)]

    def limit_words(self) -> list[str]:
        """Returns each limit of the budget in words."""
        limits = []
        if self.budget_gflops is not None:
            limits.append(f"{self.budget_gflops:g} GFLOPs (= GMACs, fvcore; {2 * self.budget_gflops:g} GFLOPs at 2x)")
        if self.budget_params_m is not None:
            limits.append(f"{self.budget_params_m:g} million parameters")
        if self.budget_latency_ms is not None:
            limits.append(f"{self.budget_latency_ms:g} ms at the upper end of the {100 * self.confidence:g} % interval")
        if self.budget_memory_mb is not None:
            limits.append(f"{self.budget_memory_mb:g} MB of activations (one image, 32-bit floats)")
        return limits

    def to_yaml(self, path: Path) -> None:
        """Writes the configuration."""
        from search_space.files import write_text

        write_text(path, self.to_text())

    def to_text(self) -> str:
        """Returns the configuration as YAML."""
        import yaml

        plain = asdict(self) | {
            **{name: list(getattr(self, name)) for name in LISTS},
            "narrowing": {name: list(choices) for name, choices in self.narrowing.items()},
            "versions": dict(self.versions),
        }
        return str(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True))


def read_config(path: Path) -> RunConfig:
    """Reads a configuration; raises ConfigError for a file that is none, or that holds an unknown setting."""
    from search_space.files import read_bytes
    from search_space.yaml_text import MAX_BYTES

    try:
        return parse_config(read_bytes(path, MAX_BYTES), source=path)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}; give the folder of a run") from None
    except OverflowError as error:
        raise ConfigError(f"{path} is no configuration of a run: {error}; {REMEDY}") from None


def parse_config(text: str | bytes, *, source: Path | str) -> RunConfig:
    """Reads a configuration from its text; raises ConfigError where `read_config` does."""
    from search_space.plain import FieldError, read_plain
    from search_space.yaml_text import YamlError, parse_yaml

    path = Path(source)
    try:
        plain = parse_yaml(text)
    except YamlError as error:
        raise ConfigError(f"{path} is no YAML: {error}; {REMEDY}") from None
    if not isinstance(plain, dict):
        raise ConfigError(f"{path} holds no settings; {REMEDY}")
    if "space_fingerprint" not in plain:
        raise ConfigError(f"{path.parent} is not the folder of a run of nas run; give one that it wrote")
    try:
        if "format" not in plain:  # the last line of a whole file
            raise ConfigError(f"its end is missing; {REMEDY}")
        return read_plain(RunConfig, plain)
    except FieldError as error:
        raise ConfigError(f"{path}: {error}; {REMEDY}") from None
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def check_same(config: RunConfig, given: Mapping[str, Any]) -> None:
    """Compares settings with those that a run was started with.

    Args:
        config: The configuration of the run.
        given: Settings by name; those that are None were not given.

    Raises:
        ConfigError: Naming the first difference.
    """
    for name, value in given.items():
        stored = getattr(config, name)
        if value is not None and value != stored:
            was, now = _spelled(name, stored, config), _spelled(name, value, None)
            raise ConfigError(
                f"the run {config.name} was started with {was}, got {now}; "
                "next: resume without it, or start another run with --name"
            )


def _spelled(name: str, value: Any, config: RunConfig | None) -> str:
    """Says a setting in the user's words; of data, which is compared by what it holds, also where it was."""
    if name == "narrowing":
        return " ".join(f"{axis}={','.join(choices)}" for axis, choices in value.items()) or "the whole space"
    if name in ("rungs", "objectives"):
        option = {"rungs": "--rungs ", "objectives": "--objective "}[name]
        return option + (",".join(map(str, value)) if name == "rungs" else " --objective ".join(value))
    if name == "starts":
        return f"--start {' --start '.join(value)}"
    if name == "data_fingerprint":
        where = "other data" if config is None else f"the data of {config.data or 'the built-in set'}"
        return f"{where} (fingerprint {value})"
    if name == "device_fingerprint":
        where = "other constants" if config is None else f"the constants of {config.device} of then"
        return f"{where} (fingerprint {value})"
    return str(value) if config is None else f"{OPTIONS.get(name, f'--{name}').replace('_', '-')} {value}"


def versions() -> dict[str, str]:
    """Returns the versions of what decides the numbers of a run or a training."""
    found = {"python": platform.python_version()}
    for package in ("pyramidnas", "torch", "optuna", "numpy", "opencv-python-headless"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed as a package"
    return found
