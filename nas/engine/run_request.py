"""The settings that a user gives for a run, and the configuration that they resolve to."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas.advice.box_sizes import box_sizes
from nas.config import RunConfig, versions
from nas.cost import Budget
from nas.cost.frame import FRAME_NEEDED
from nas.cost.latency import LatencyModel, load_model
from nas.cost.profile import Profile, find_profile
from nas.data_state import data_fingerprint_of
from nas.engine.narrowing import Narrowing, narrowing_words, parse_narrowing
from nas.engine.objectives import Objective, objective, objectives
from nas.engine.starts import ANCHOR_FREE
from nas.engine.storage import hide_password
from nas.engine.strategies import STRATEGIES
from nas.engine.time_plan import check_finish
from nas.engine.warm_start import read_starts
from nas.plugins import labels
from nas.pretrained import Pretrained
from nas.setting_forms import absolute, check_bounds, check_needs, given_settings, stored_settings
from nas.settings import RunSettings
from search_space import SearchSpace
from search_space.errors import ConfigError
from search_space.point.tiles import grids_for
from trainers.data import DataSplits
from trainers.data.holdout import MIN_IMAGES
from trainers.proxies import PROXIES

LONGEST_NAME = 200
"""Bytes of the name of a run; files in its folder have names of their own."""
DEFAULT_STARTS = {
    ANCHOR_FREE: ("yolov8n-p2-nop5", "sodet-s", "sn2-yolov8n", "tinydet-s"),
    "ssd": ("ssd-mobilenetv1-s1l0", "ssd-mobilenetv1-s1l0-dualpath"),
    "two_stage": ("tinydet-s", "tinydet-m"),
}
"""By kind of head: as many designs as a short search has time for. For the anchor-free head that is the cheapest design
of each paper that has a P2 or P3 head."""
DEFAULT_MINUTES = {"built-in": 8.0, "data": 30.0}
DEFAULT_RUNGS = {"built-in": (0.3, 0.6), "data": (0.5, 1.5)}
"""Epochs of each rung. The built-in set is learned in 600 images; shorter trials leave time for a search."""
FRAME_RATIO = 1.25
"""Largest ratio between the longer sides of frames and training images without a notice."""
DEVICE_EXAMPLE = "--device jetson-nano (nas devices lists all)"


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """The settings that a user gave; `RunRequest.of` makes one."""

    given: Mapping[str, Any]
    """By name, only what was given."""
    settings: RunSettings
    """The same with the declared defaults in the place of the others."""

    @classmethod
    def of(cls, owner: type[RunSettings] = RunSettings, /, **values: Any) -> RunRequest:
        """Returns the request of some values, by the names or the keywords of the settings.

        Raises:
            ConfigError: A setting is unknown, or of another type.
        """
        given = given_settings(values, owner)
        return cls(given=given, settings=owner(**given))

    def stored(self, config: RunConfig | None = None) -> dict[str, Any]:
        """Returns what was given in the form in which a run's configuration keeps it.

        Args:
            config: Of the run that the request is about; None for a new one.

        Raises:
            UserError: A device, an axis, a design, a file or an objective is unknown.
        """
        said, names = self.settings, set(self.given)
        kept = stored_settings(type(said))
        values = {name: value for name, value in absolute(self.given, type(said)).items() if name in kept}
        if names & {"rungs", "epochs"}:
            values["rungs"] = rungs_of(self)
        if "hours" in names:
            values["minutes"] = minutes_of(self)
        if "objective" in names:
            values["objective"] = objectives_of(self)
        if names & {"device", "precision"}:
            board = said.device or (config.device if config is not None else None) or ""
            values["device"] = device_name(said.device, find_profile(board, said.precision))
        if names & {"fix", "choices", "space"}:
            values |= narrowing_words(parse_narrowing(SearchSpace(), said.fix, said.choices, said.space))
        if "start" in names:
            values["start"] = tuple(read_starts(said.start).architectures)
        if said.storage is not None:
            values["storage"] = hide_password(said.storage)
        return values


def checked_name(name: str | None) -> str:
    """Returns the name of a run, the time where none is given; raises ConfigError unless it can name a folder."""
    if name is None:
        return time.strftime("%Y%m%d-%H%M%S")
    plain = name.isprintable() and len(name.encode()) <= LONGEST_NAME
    if not plain or not name.strip() or name != Path(name).name or name.startswith("."):
        raise ConfigError(f"--name {name[:80]!r} is not the name of a folder; next: --out FOLDER --name NAME")
    return name


def resolve(
    request: RunRequest,
    name: str,
    space: SearchSpace,
    splits: DataSplits,
    narrowing: Narrowing,
    device: LatencyModel | None,
    pretrained: Pretrained | None = None,
    owner: type[RunConfig] = RunConfig,
) -> RunConfig:
    """Returns the configuration of a new run, of the class `owner`, with all defaults filled in.

    Raises:
        ConfigError: A setting does not go with the data, is unknown or out of bounds.
    """
    said, kind = request.settings, "built-in" if request.settings.data is None else "data"
    if said.proxy is not None:
        PROXIES.get(said.proxy)
    STRATEGIES.get(said.strategy)
    if request.given.get("batch", 0) > len(splits.train):
        raise ConfigError(
            f"--batch is {said.batch}, but there are {len(splits.train)} training images; "
            f"next: --batch {len(splits.train)} or less"
        )
    timed = said.trials is None or not request.given.keys().isdisjoint(("minutes", "hours"))
    defaults = {
        "minutes": DEFAULT_MINUTES[kind] if said.trials is None else None,
        "rungs": DEFAULT_RUNGS[kind],
        "rungs_by_time": timed and rungs_of(request) is None and said.proxy is None,
        "holdout": "yes" if len(splits.val) >= MIN_IMAGES else "no",
        "start": default_starts(narrowing),
        "out": str(Path(said.out).resolve()),
    }
    found = {
        "name": name,
        "space_fingerprint": space.fingerprint(),
        "data_fingerprint": data_fingerprint_of(splits),
        "pixel_range": splits.pixel_range,
        "classes": splits.train.classes,
        "device_fingerprint": None if device is None else device.fingerprint(),
        "pretrained_fingerprint": None if pretrained is None else pretrained.fingerprint,
        "plugins": labels(),
        "versions": versions(),
    }
    config = owner(**{**defaults, **request.stored(), **narrowing_words(narrowing), **found})
    check_finish(config)
    return config


def default_starts(narrowing: Mapping[str, Iterable[object]]) -> tuple[str, ...]:
    """Returns the designs that a search begins with by default: those of the kinds of head it has."""
    heads = map(str, narrowing.get("head", (ANCHOR_FREE,)))
    return tuple(dict.fromkeys(name for head in heads for name in DEFAULT_STARTS.get(head, ())))


def rungs_of(request: RunRequest) -> tuple[float, ...] | None:
    """Returns the epochs of each rung that the user asked for; None where none were given.

    Raises:
        ConfigError: Both `--rungs` and `--epochs` are given.
    """
    said = request.settings
    if said.rungs and said.epochs is not None:
        raise ConfigError("--epochs and --rungs exclude each other; give one of them")
    if said.epochs is not None:
        return (said.epochs,)
    return said.rungs or None


def minutes_of(request: RunRequest) -> float | None:
    """Returns the time of the whole run that the user asked for; None where none was given.

    Raises:
        ConfigError: Both `--minutes` and `--hours` are given, or the hours are out of bounds.
    """
    said = request.settings
    if said.hours is None:
        return said.minutes
    if said.minutes is not None:
        raise ConfigError("--hours and --minutes exclude each other; give one of them")
    check_bounds(said, ["hours"])
    return round(60 * said.hours, 9)


def objectives_of(request: RunRequest) -> tuple[str, ...]:
    """Returns the objectives of a search by the names of their options.

    Accuracy and MACs are added where no accuracy or no cost is given.

    Raises:
        ConfigError: One is unknown, or there are more than three.
    """
    named = [objective(each) for each in dict.fromkeys(request.given.get("objective", ()))]
    accuracies = [each.name for each in named if not each.is_cost] or ["accuracy"]
    costs = [each.name for each in named if each.is_cost]
    costs = costs or ([] if len(accuracies) > 1 else ["macs"])
    return tuple(each.option for each in objectives([*accuracies, *costs]))


def objectives_notice(chosen: Iterable[Objective]) -> list[str]:
    """Returns a notice where no objective is a cost, which is rarely meant; nothing otherwise."""
    if any(each.is_cost for each in chosen):
        return []
    return [
        "no objective is a cost: the front is of accuracies alone, and its members are close to the budget; "
        "add --objective macs for cheaper ones"
    ]


def frame_notice(config: RunConfig, splits: DataSplits) -> list[str]:
    """Returns a notice where most images of the data have another size than the frames."""
    if config.frame is None:
        return []
    height, width = box_sizes(splits.train.records).usual_hw
    scale = max(height, width) / max(config.frame)
    if 1 / FRAME_RATIO <= scale <= FRAME_RATIO:
        return []
    return [
        f"most training images have {width}x{height} px, but the frames {config.frame_text}: each picture is cut into "
        "the same tiles as a frame, so its objects are seen at another scale"
    ]


def budget_of(settings: RunSettings) -> Budget:
    """Returns the limits that were asked for; GFLOPs are multiply-adds in billions.

    Raises:
        BudgetError: A limit is not positive.
    """
    return Budget(
        gmacs=settings.budget_gflops,
        params_m=settings.budget_params_m,
        latency_ms=settings.budget_latency_ms,
        memory_mb=settings.budget_memory_mb,
    )


def check_device(request: RunRequest) -> LatencyModel | None:
    """Returns the device that latency is predicted for, or None where the user named none.

    Raises:
        ConfigError: A setting that needs a device is given without one, or the device is unknown.
    """
    said, wanted = request.settings, objectives_of(request)
    if said.end_to_end and said.frame is None:
        raise ConfigError(FRAME_NEEDED)
    if said.device is not None:
        return device_of(said)
    check_needs(request.given, type(said), DEVICE_EXAMPLE)
    if "latency" in wanted:
        raise ConfigError(f"--objective latency needs --device; next: {DEVICE_EXAMPLE}")
    return None


def tiles_for(settings: RunSettings, narrowing: Narrowing) -> Narrowing:
    """Returns the choices of tiles that suit a frame; none without a frame, or where the user narrowed them himself."""
    if settings.frame is None or "tiles" in narrowing:
        return {}
    return {"tiles": grids_for(settings.frame)}


def device_of(settings: RunSettings) -> LatencyModel | None:
    """Returns the model that predicts the latency of a network, or end to end of a frame; None without a device."""
    if settings.device is None:
        return None
    frame_hw = settings.frame if settings.end_to_end else None
    return load_model(settings.device, settings.precision, confidence=settings.confidence, frame_hw=frame_hw)


def device_name(given: str | None, profile: Profile) -> str:
    """Returns what a run stores: the full name of a profile of the package, or the absolute path of a file."""
    is_file = given is not None and given.endswith((".yaml", ".yml"))
    return str(Path(given).resolve()) if given is not None and is_file else profile.name
