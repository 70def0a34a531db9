"""Profiles of boards: the cost of one launch, byte, multiplication and step of depth on a board with a runtime.

Each profile is a YAML file in `nas/cost/devices/`, named by board, runtime and precision.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from nas.cost.host import HostTimes
from nas.cost.measurements import MeasurementSource
from nas.cost.operators import CLASSES
from nas.cost.terms import CLASS_OF_TERM, START, TERMS, Rules, Vector
from search_space.errors import ConfigError, shown, unknown_name
from search_space.files import write_text
from search_space.plain import NOT_IN_FILES, READ, WRITE, read_plain, without_defaults
from search_space.yaml_text import YamlError, read_yaml

DEVICES = Path(__file__).parent / "devices"

BANDWIDTH_FRACTION = {"act_exp": 0.25, "act_cheap": 0.4, "eltwise": 0.4, "split": 0.25, "dwconv": 0.13}
"""Assumed share of the data sheet's bandwidth that a class reaches; 0.5 if not listed."""
PEAK_FRACTION = {"conv3x3": 1.0, "dwconv": 0.05}
"""Assumed share of the peak, a multiply-add counted as two. Winograd saves products in 3x3 convolutions."""
USUAL_FRACTION = 0.5
DEPTH_S = 1e-8
"""Seconds for one step of the serial sum inside a product."""
STARTS = 3.0
"""Fixed time per network, in launches."""

UNITS = {"launch": "launch_us", "bytes": "gbytes_per_s", "flops": "gflops_2x_per_s", "depth": "depth_ns"}
"""Names and units of constants in a profile, by kind; rates are reciprocal."""
GRID = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
"""Confidences with stored error quantiles."""
FIGURE_TYPES = ("a number of 0 or more", "text")


@dataclass(frozen=True, kw_only=True)
class DataSheet:
    """Figures of a board before anything is measured."""

    peak_flops: float
    """Operations per second at the profile's precision, a multiply-add counted as two."""
    bandwidth: float
    """Bytes per second between memory and processor."""
    launch_us: float
    """Estimated time to launch one operator, which depends more on the runtime than on the board."""
    source: str = ""

    def __post_init__(self) -> None:
        for name in ("peak_flops", "bandwidth", "launch_us"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"data_sheet {name} is {getattr(self, name)}; it must be above 0")

    def constants(self) -> Vector:
        """Returns the seconds per unit of each term, `(len(TERMS),)`, from the data sheet alone."""
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
    """The error of a profile's predictions, measured on networks held out of the fit."""

    quantiles: Mapping[float, float] = field(metadata={WRITE: lambda values: _rounded(values)})
    """By confidence: the largest log error, in units of its scale."""
    class_scale: Mapping[str, float] = field(default_factory=dict, metadata={WRITE: lambda values: _rounded(values)})
    """By operator class: 90 % quantile of |log(measured / predicted)|, weighted by the time spent in that class."""
    family_quantiles: Mapping[float, float] = field(
        default_factory=dict, metadata={WRITE: lambda values: _rounded(values)}
    )
    """By confidence: the largest log error in a family that was never measured, in units of the scale of a network's
    composition (`families`); empty if too few families were measured."""
    figures: Mapping[str, Any] = field(default_factory=dict)
    """The measured error: what was held out, how many networks, how far off."""

    def __post_init__(self) -> None:
        by_level = [self.quantiles, *([self.family_quantiles] if self.family_quantiles else [])]
        if any(sorted(each) != sorted(GRID) for each in by_level) or not set(self.class_scale) <= set(CLASSES):
            raise ValueError("its error has confidences or operator classes that this version does not know")
        rising = [[each[level] for level in GRID] for each in by_level]
        numbers = (*(value for values in rising for value in values), *self.class_scale.values())
        if rising != [sorted(each) for each in rising] or not all(0 <= each < float("inf") for each in numbers):
            raise ValueError("its error has a negative or non-finite quantile or class_scale, or decreasing quantiles")
        for name, value in self.figures.items():
            is_number = type(value) in (int, float) and 0 <= value < float("inf")
            if not (isinstance(value, str) if name == "held_out" else is_number):
                raise ValueError(f"error figures {name} is {value!r}; it must be {FIGURE_TYPES[name == 'held_out']}")


def _rounded(values: Mapping[Any, float]) -> dict[Any, float]:
    return {name: round(value, 4) for name, value in values.items()}


@dataclass(frozen=True, kw_only=True, eq=False)
class Profile:
    """A board with a runtime and a precision: rules, constants, their measurements and their error."""

    name: str
    board: str
    runtime: str
    precision: str
    data_sheet: DataSheet
    rules: Rules
    usual: bool = False
    """Whether this is the default profile of its board."""
    like: str | None = None
    """A profile whose constants, relative to its data sheet, replace the general fractions as the prior."""
    includes: str = "the network alone, batch 1: no image decoding, no copy to the board, no non-maximum suppression"
    notes: str = ""
    constants: Vector = field(
        default_factory=lambda: np.zeros(0),
        metadata={READ: lambda plain: _seconds(plain), WRITE: lambda constants: _in_units(constants)},
    )
    """Seconds per unit of each term. An empty array is replaced by the prior when the profile is read."""
    measured: Mapping[str, int] = field(default_factory=dict)
    """By operator class: how many measured networks spend at least 1 % of their time in it."""
    measurements: tuple[MeasurementSource, ...] = ()
    """Tables in the package that the constants are fitted to."""
    fitted_on: tuple[str, ...] = ()
    """The measurements behind the constants, one sentence each; empty if they come from the data sheet."""
    num_measured: int = 0
    error: ErrorModel | None = None
    host: HostTimes | None = None
    """The work of the board around the network, where it was measured; None: `nas.cost.host.PRIOR`."""
    residual: str | None = None
    """Fingerprint of the learned residual in the file beside the profile, if any."""
    path: Path | None = field(default=None, metadata={NOT_IN_FILES: True})

    def __post_init__(self) -> None:
        if strange := [each for each in self.measured if each not in CLASSES]:
            raise ValueError(f"measured has {', '.join(strange)}; known: {', '.join(CLASSES)}")
        for count in (self.num_measured, *self.measured.values()):
            if count < 0:
                raise ValueError(f"num_measured or measured is {count}; it must be an integer of 0 or more")

    @property
    def residual_path(self) -> Path | None:
        """File of the learned residual, or None if the profile has none or was not read from a file."""
        has_one = self.residual is not None and self.path is not None
        return self.path.with_suffix(".residual.csv.gz") if has_one and self.path is not None else None


def prior(profile: Profile) -> Vector:
    """Returns the prior constants: from the data sheet, or scaled from the profile that this one is like."""
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
    """Writes a profile and returns it with its path. The caller writes its residual beside it."""
    import yaml

    write_text(path, yaml.safe_dump(without_defaults(profile), sort_keys=False, allow_unicode=True, width=120))
    return replace(profile, path=path)


def read_profile(path: Path) -> Profile:
    """Reads a profile.

    Raises:
        ConfigError: The file is not a profile, or has an unknown or invalid entry.
    """
    try:
        plain = read_yaml(path)
    except FileNotFoundError:
        raise ConfigError(f"no profile {path}; nas devices lists the profiles of PyramidNAS") from None
    except (OSError, YamlError) as error:
        raise ConfigError(f"{path} is not a profile: {error}; compare it with one in nas/cost/devices") from None
    if not isinstance(plain, dict):
        raise ConfigError(f"{path} is not a profile: it has no entries; start from a copy of one in nas/cost/devices")
    try:
        return _from_plain(plain, path)
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise ConfigError(f"{path} is not a profile: {reason}; compare it with one in nas/cost/devices") from None


def _from_plain(plain: Mapping[str, Any], path: Path) -> Profile:
    profile = replace(read_plain(Profile, plain), path=path)
    if profile.num_measured and not (len(profile.constants) and profile.error):
        raise ValueError("it has num_measured without constants or error; fit it, or remove num_measured")
    if profile.like is not None and profile.like not in device_names():
        raise ValueError(f"like: {unknown_name('profile', profile.like, device_names())}")
    return profile if len(profile.constants) else replace(profile, constants=prior(profile))


def device_names() -> tuple[str, ...]:
    """Returns the names of the profiles in the package, sorted."""
    return tuple(sorted(path.stem for path in DEVICES.glob("*.yaml")))


def find_profile(name: str, precision: str | None = None) -> Profile:
    """Returns a profile by its name, by a board (its default, or the one of `precision`), or from a YAML file.

    Raises:
        ConfigError: There is no such profile, or it has another precision.
    """
    if name.endswith((".yaml", ".yml")):
        profile = read_profile(Path(name))
    else:
        profile = _shipped(name, precision)
    if precision is not None and profile.precision != precision:
        raise ConfigError(
            f"{profile.name} has precision {profile.precision}, not {precision}; known: {', '.join(device_names())}"
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
        boards = dict.fromkeys(each.rsplit("-", 2)[0] for each in names)
        raise ConfigError(f"{unknown_name('device', name, names, also=boards)}; or give a YAML file")
    if not matching:
        raise ConfigError(
            f"{name} has no profile with precision {precision}; known: {', '.join(p.name for p in of_board)}"
        )
    return max(matching, key=lambda each: each.usual)


SHARE_CLASS = np.zeros((len(TERMS), len(CLASSES)))
"""Sums the terms of each class, `(len(TERMS), len(CLASSES))`; the start belongs to no class."""
SHARE_CLASS[np.arange(START), CLASS_OF_TERM[:START]] = 1.0
