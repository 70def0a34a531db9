"""Profiles of boards: what one launch, byte, multiplication and step of depth costs on a board with a runtime.

Each profile is one readable YAML file in `nas/cost/devices/`, named by board, runtime and precision.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from nas.cost.measurements import Source
from nas.cost.operators import CLASSES
from nas.cost.terms import CLASS_OF_TERM, START, TERMS, Rules, Vector
from search_space.errors import ConfigError, nearest, shown, unknown_name
from search_space.plain import NOT_IN_FILES, READ, WRITE, read_plain, without_defaults

DEVICES = Path(__file__).parent / "devices"

BANDWIDTH_FRACTION = {"act_exp": 0.25, "act_cheap": 0.4, "eltwise": 0.4, "split": 0.25, "dwconv": 0.13}
"""Share of the data sheet's bandwidth that a class reaches before anything is measured; 0.5 where not named."""
PEAK_FRACTION = {"conv3x3": 1.0, "dwconv": 0.05}
"""The same of its peak, with a multiply-add as two. Winograd lets a 3x3 convolution do with fewer products."""
USUAL_FRACTION = 0.5
DEPTH_S = 1e-8
"""Seconds for one step of the serial sum inside a product."""
STARTS = 3.0
"""Launches that starting a network takes."""

UNITS = {"launch": "launch_us", "bytes": "gbytes_per_s", "flops": "gflops_2x_per_s", "depth": "depth_ns"}
"""What constants are called in a profile, by kind; rates are reciprocal."""
GRID = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
"""Confidences that the quantiles of the error are kept for."""
FIGURE_TYPES = ("a number from 0", "text")


@dataclass(frozen=True, kw_only=True)
class DataSheet:
    """What is known of a board before anything is measured."""

    peak_flops: float
    """Operations a second at the profile's precision, a multiply-add as two."""
    bandwidth: float
    """Bytes a second between memory and processor."""
    launch_us: float
    """Guess of the time to launch one operator, which depends on the runtime more than on the board."""
    source: str = ""

    def __post_init__(self) -> None:
        for name in ("peak_flops", "bandwidth", "launch_us"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"data_sheet {name} is {getattr(self, name)}; it must be above 0")

    def constants(self) -> Vector:
        """Returns the seconds that one of each term takes, `(len(TERMS),)`, by the data sheet alone."""
        seconds = []
        for kind, name in TERMS:
            if kind == "launch":
                seconds.append(self.launch_us * 1e-6)
            elif kind == "bytes":
                seconds.append(1.0 / (BANDWIDTH_FRACTION.get(name, USUAL_FRACTION) * self.bandwidth))
            elif kind == "flops":
                seconds.append(1.0 / (PEAK_FRACTION.get(name, USUAL_FRACTION) * self.peak_flops))
            else:
                seconds.append(DEPTH_S if kind == "depth" else STARTS * self.launch_us * 1e-6)
        return np.array(seconds)


@dataclass(frozen=True, kw_only=True)
class ErrorModel:
    """How wrong a profile's predictions are, measured on networks that it was not fitted on."""

    quantiles: Mapping[float, float] = field(metadata={WRITE: lambda values: _rounded(values)})
    """By confidence: how many of its scales the logarithm of a prediction is off at most."""
    class_scale: Mapping[str, float] = field(default_factory=dict, metadata={WRITE: lambda values: _rounded(values)})
    """By operator class: 90 % quantile of |log(measured / predicted)|, weighted by the time spent in that class."""
    figures: Mapping[str, Any] = field(default_factory=dict)
    """The measured error in words and numbers: what was held out, how many, how far off."""

    def __post_init__(self) -> None:
        if sorted(self.quantiles) != sorted(GRID) or not set(self.class_scale) <= set(CLASSES):
            raise ValueError("its error has other confidences or operator classes than this version")
        values = [self.quantiles[level] for level in GRID]
        numbers = (*values, *self.class_scale.values())
        if values != sorted(values) or not all(0 <= each < float("inf") for each in numbers):
            raise ValueError("its error has a quantile or class_scale that is no number from 0, or quantiles that fall")
        for name, value in self.figures.items():
            is_number = type(value) in (int, float) and 0 <= value < float("inf")
            if not (isinstance(value, str) if name == "held_out" else is_number):
                raise ValueError(f"error figures {name} is {value!r}; it must be {FIGURE_TYPES[name == 'held_out']}")


def _rounded(values: Mapping[Any, float]) -> dict[Any, float]:
    return {name: round(value, 4) for name, value in values.items()}


@dataclass(frozen=True, kw_only=True, eq=False)
class Profile:
    """A board with a runtime at a precision: rules, constants, what they rest on, and their error."""

    name: str
    board: str
    runtime: str
    precision: str
    data_sheet: DataSheet
    rules: Rules
    usual: bool = False
    """Whether the bare name of the board means this profile."""
    like: str | None = None
    """A profile whose constants, relative to its data sheet, are the starting point instead of general fractions."""
    includes: str = "the network alone, batch 1: no image decoding, no copy to the board, no non-maximum suppression"
    notes: str = ""
    constants: Vector = field(
        default_factory=lambda: np.zeros(0),
        metadata={READ: lambda plain: _seconds(plain), WRITE: lambda constants: _in_units(constants)},
    )
    """Seconds for one of each term; empty until fitted, and then the data sheet's prior stands in."""
    measured: Mapping[str, int] = field(default_factory=dict)
    """By operator class: how many measured networks spend 1 % of their time or more in it."""
    measurements: tuple[Source, ...] = ()
    """Tables that come with the package, which the constants are fitted on."""
    fitted_on: tuple[str, ...] = ()
    """The measurements that the constants rest on, one sentence each; none: the data sheet alone."""
    num_measured: int = 0
    error: ErrorModel | None = None
    residual: str | None = None
    """Fingerprint of the learned residual that lies beside the file; None: there is none."""
    path: Path | None = field(default=None, metadata={NOT_IN_FILES: True})

    def __post_init__(self) -> None:
        if strange := [each for each in self.measured if each not in CLASSES]:
            raise ValueError(f"measured has {', '.join(strange)}; known: {', '.join(CLASSES)}")
        for count in (self.num_measured, *self.measured.values()):
            if count < 0:
                raise ValueError(f"num_measured or measured is {count}; it must be a whole number from 0")

    @property
    def residual_path(self) -> Path | None:
        """Where the learned residual lies, if the profile has one and was read from a file."""
        has_one = self.residual is not None and self.path is not None
        return self.path.with_suffix(".residual.csv.gz") if has_one and self.path is not None else None


def prior(profile: Profile) -> Vector:
    """Returns the constants that a fit starts from: the data sheet's, or the pattern of the profile it is like."""
    sheet = profile.data_sheet.constants()
    if profile.like is None:
        return sheet
    model = find_profile(profile.like)
    return np.asarray(sheet * model.constants / model.data_sheet.constants())


def _in_units(constants: Vector) -> dict[str, Any] | None:
    """Returns constants in the units of a profile; None where there are none."""
    if not len(constants):
        return None
    plain: dict[str, Any] = {"start_us": _short(constants[START] * 1e6)}
    for (kind, name), seconds in zip(TERMS, constants, strict=True):
        if kind == "start":
            continue
        value = {"launch": seconds * 1e6, "depth": seconds * 1e9}.get(kind, 1e-9 / seconds)
        plain.setdefault(UNITS[kind], {})[name] = _short(value)
    return plain


def _short(value: float) -> float:
    return float(f"{value:.6g}")


def _seconds(plain: Any) -> Vector:
    """Returns the constants of a profile's file in seconds: `(len(TERMS),)`, or empty where the file has none."""
    if not plain:
        return np.zeros(0)
    if not isinstance(plain, Mapping):
        raise ValueError(f"constants is {shown(plain)}; it must be a mapping")
    known = {(UNITS[kind], name) for kind, name in TERMS if kind in UNITS}
    given = {(unit, name) for unit, values in plain.items() if unit != "start_us" for name in values}
    if unknown := sorted(given - known):
        raise ValueError(f"constants has an unknown entry {unknown[0][0]} {unknown[0][1]}")
    seconds = []
    for kind, name in TERMS:
        value = float(plain["start_us"] if kind == "start" else plain[UNITS[kind]][name])
        if not 0 < value < float("inf"):
            raise ValueError(f"constant {name} is {value}; it must be above 0")
        seconds.append({"launch": value * 1e-6, "start": value * 1e-6, "depth": value * 1e-9}.get(kind, 1e-9 / value))
    return np.array(seconds)


def write_profile(profile: Profile, path: Path) -> Profile:
    """Writes a profile and returns it with its path; its residual, if any, is written by the caller beside it."""
    import yaml

    from search_space.files import write_text

    write_text(path, yaml.safe_dump(without_defaults(profile), sort_keys=False, allow_unicode=True, width=120))
    return replace(profile, path=path)


def read_profile(path: Path) -> Profile:
    """Reads a profile.

    Raises:
        ConfigError: where the file is none, or holds an unknown or impossible entry.
    """
    from search_space.yaml_text import YamlError, read_yaml

    try:
        plain = read_yaml(path)
    except FileNotFoundError:
        raise ConfigError(f"no profile {path}; nas devices lists those that come with PyramidNAS") from None
    except (OSError, YamlError) as error:
        raise ConfigError(f"{path} is no profile: {error}; compare with one in nas/cost/devices") from None
    if not isinstance(plain, dict):
        raise ConfigError(f"{path} is no profile: it holds no entries; begin with a copy of one in nas/cost/devices")
    try:
        return _from_plain(plain, path)
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise ConfigError(f"{path} is no profile: {reason}; compare with one in nas/cost/devices") from None


def _from_plain(plain: Mapping[str, Any], path: Path) -> Profile:
    profile = replace(read_plain(Profile, plain), path=path)
    if profile.num_measured and not (len(profile.constants) and profile.error):
        raise ValueError("it has num_measured but no constants or no error; fit it, or leave num_measured out")
    if profile.like is not None and profile.like not in device_names():
        raise ValueError(f"like: {unknown_name('profile', profile.like, device_names())}")
    return profile if len(profile.constants) else replace(profile, constants=prior(profile))


def device_names() -> tuple[str, ...]:
    """Returns the names of the profiles that come with the package, sorted."""
    return tuple(sorted(path.stem for path in DEVICES.glob("*.yaml")))


def find_profile(name: str, precision: str | None = None) -> Profile:
    """Returns the profile of a name, of a bare board name (its usual one, or that of `precision`), or of a YAML file.

    Raises:
        ConfigError: where there is none, naming the near ones; or where the precision is another one.
    """
    if name.endswith((".yaml", ".yml")):
        profile = read_profile(Path(name))
    else:
        profile = _shipped(name, precision)
    if precision is not None and profile.precision != precision:
        raise ConfigError(
            f"profile {profile.name} is of {profile.precision}, not {precision}; known: {', '.join(device_names())}"
        )
    return profile


def _shipped(name: str, precision: str | None) -> Profile:
    names = device_names()
    if name in names:
        return read_profile(DEVICES / f"{name}.yaml")
    meant = [each for each in names if name in (each.rsplit("-", 1)[0], each.rsplit("-", 2)[0])]
    of_board = [read_profile(DEVICES / f"{each}.yaml") for each in meant]
    matching = [each for each in of_board if precision in (None, each.precision)]
    if not of_board:
        boards = {each.rsplit("-", 2)[0] for each in names}
        raise ConfigError(
            f"unknown device {name!r}{nearest(name, {*names, *boards})}; known: {', '.join(names)}; or give a YAML file"
        )
    if not matching:
        raise ConfigError(f"{name} has no profile of {precision}; known: {', '.join(p.name for p in of_board)}")
    return max(matching, key=lambda each: each.usual)


SHARE_CLASS = np.zeros((len(TERMS), len(CLASSES)))
"""Adds the terms of each class up: `(len(TERMS), len(CLASSES))`; the start is of no class."""
SHARE_CLASS[np.arange(START), CLASS_OF_TERM[:START]] = 1.0
