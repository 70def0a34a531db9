"""What a user asks for, and the configuration that it comes to."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from nas.config import RunConfig, versions
from nas.cost import Budget
from nas.cost.latency import CONFIDENCE, LatencyModel, load_model
from nas.cost.profile import Profile
from nas.data_state import data_fingerprint_of
from nas.engine.narrowing import Narrowing
from nas.engine.objectives import Objective, objective, objectives
from nas.engine.starts import ANCHOR_FREE
from nas.engine.storage import hide_password
from nas.engine.strategies import STRATEGIES
from nas.engine.warm_start import read_starts
from nas.plugins import labels
from search_space import SearchSpace
from search_space.errors import ConfigError
from trainers.data import DataSplits
from trainers.proxies import PROXIES

LONGEST_NAME = 200
"""Bytes of the name of a run, for a folder whose files have names of their own."""
DEFAULT_STARTS = {
    ANCHOR_FREE: ("yolov8n-p2-nop5", "sodet-s", "sn2-yolov8n", "tinydet-s"),
    "ssd": ("ssd-mobilenetv1-s1l0", "ssd-mobilenetv1-s1l0-dualpath"),
    "two_stage": ("tinydet-s", "tinydet-m"),
}
"""By kind of head: what a short search has time for. For the anchor-free one that is the cheapest design of each paper
with a P2 or P3 head."""
DEFAULT_MINUTES = {"built-in": 8.0, "data": 30.0}
DEFAULT_RUNGS = {"built-in": (0.3, 0.6), "data": (0.5, 1.5)}
"""Epochs of each rung. The built-in set is learned in 600 images; shorter trials leave time for a search."""


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """What the user asked for; None and empty where nothing was said."""

    budget_gflops: float | None = None
    budget_params_m: float | None = None
    budget_latency_ms: float | None = None
    budget_memory_mb: float | None = None
    device: str | None = None
    precision: str | None = None
    confidence: float | None = None
    objective: tuple[str, ...] = ()
    strategy: str | None = None
    data: str | None = None
    split: str | None = None
    data_format: str | None = None
    images: str | None = None
    trials: int | None = None
    minutes: float | None = None
    trial_minutes: float | None = None
    epochs: float | None = None
    """A ladder of one rung."""
    rungs: str | None = None
    """Epochs of each rung, separated by commas."""
    proxy: str | None = None
    repeats: int | None = None
    batch: int | None = None
    seed: int | None = None
    threads: int | None = None
    name: str | None = None
    out: str | None = None
    fix: tuple[str, ...] = ()
    """`axis=value`."""
    choices: tuple[str, ...] = ()
    """`axis=value,value`."""
    space: str | None = None
    """A file of axes and their choices."""
    auto: bool | None = None
    """Whether the axes that the user says nothing of are narrowed by the boxes of the data; see `nas.advice`."""
    starts: tuple[str, ...] = ()
    """Names of designs, and files of architectures."""
    earlier: str | None = None
    """The folder of an earlier run."""
    storage: str | None = None
    """URL of a database."""


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
) -> RunConfig:
    """Fills in the defaults; raises ConfigError for what does not go with the data, or is unknown."""
    minutes, kind = request.minutes, "built-in" if request.data is None else "data"
    if request.trials is None and minutes is None:
        minutes = DEFAULT_MINUTES[kind]
    if request.proxy is not None:
        PROXIES.get(request.proxy)
    STRATEGIES.get(request.strategy or RunConfig.strategy)
    if (request.batch or 0) > len(splits.train):
        raise ConfigError(
            f"--batch is {request.batch}, but there are {len(splits.train)} training images; "
            f"next: --batch {len(splits.train)} or less"
        )
    return RunConfig(
        name=name,
        space_fingerprint=space.fingerprint(),
        data_fingerprint=data_fingerprint_of(splits),
        classes=splits.train.classes,
        budget_gflops=request.budget_gflops,
        budget_params_m=request.budget_params_m,
        budget_latency_ms=request.budget_latency_ms,
        budget_memory_mb=request.budget_memory_mb,
        device=None if device is None else device_name(request.device, device.profile),
        device_fingerprint=None if device is None else device.fingerprint(),
        confidence=CONFIDENCE if request.confidence is None else request.confidence,
        objectives=objectives_of(request),
        strategy=request.strategy or RunConfig.strategy,
        data=None if request.data is None else str(Path(request.data).resolve()),
        split=request.split,
        data_format=request.data_format,
        images=None if request.images is None else str(Path(request.images).resolve()),
        trials=request.trials,
        minutes=minutes,
        trial_minutes=request.trial_minutes,
        rungs=rungs_of(request) or DEFAULT_RUNGS[kind],
        proxy=request.proxy,
        repeats=1 if request.repeats is None else request.repeats,
        batch=RunConfig.batch if request.batch is None else request.batch,
        seed=request.seed or 0,
        threads=request.threads,
        narrowing={axis: tuple(map(str, kept)) for axis, kept in narrowing.items()},
        starts=tuple(read_starts(request.starts).architectures) or default_starts(narrowing),
        storage=None if request.storage is None else hide_password(request.storage),
        plugins=labels(),
        versions=versions(),
    )


def default_starts(narrowing: Mapping[str, Iterable[object]]) -> tuple[str, ...]:
    """Returns the designs that a search begins with where the user names none: those of the kinds of head it has."""
    heads = map(str, narrowing.get("head", (ANCHOR_FREE,)))
    return tuple(dict.fromkeys(name for head in heads for name in DEFAULT_STARTS.get(head, ())))


def rungs_of(request: RunRequest) -> tuple[float, ...] | None:
    """Returns the epochs of each rung that the user asked for; None where nothing was said.

    Raises:
        ConfigError: where the rungs are no numbers, or `--epochs` is given as well.
    """
    if request.rungs is None:
        return None if request.epochs is None else (request.epochs,)
    if request.epochs is not None:
        raise ConfigError("--epochs is a ladder of one rung and does not go with --rungs; next: drop one of them")
    try:
        return tuple(float(each) for each in request.rungs.split(","))
    except ValueError:
        raise ConfigError(f"--rungs {request.rungs!r} is no list of epochs; next: --rungs 0.5,1.5") from None


def objectives_of(request: RunRequest) -> tuple[str, ...]:
    """Returns the columns that the front is of: what the user named, with accuracy and MACs for what is missing."""
    named = [objective(each) for each in dict.fromkeys(request.objective)]
    accuracies = [each.name for each in named if not each.is_cost] or ["accuracy"]
    costs = [each.name for each in named if each.is_cost]
    costs = costs or ([] if len(accuracies) > 1 else ["macs"])
    return tuple(each.name for each in objectives([*accuracies, *costs]))


def objectives_notice(chosen: Iterable[Objective]) -> list[str]:
    """Says it where no objective is a cost, which is rarely meant; nothing otherwise."""
    if any(each.is_cost for each in chosen):
        return []
    return [
        "no objective is a cost, so that the front is of accuracies alone and its members lie close to the budget; "
        "--objective macs beside them gives cheaper ones too"
    ]


def budget_of(settings: RunRequest | RunConfig) -> Budget:
    """Returns the limits that were asked for, GFLOPs as multiply-adds in billions."""
    return Budget(
        gmacs=settings.budget_gflops,
        params_m=settings.budget_params_m,
        latency_ms=settings.budget_latency_ms,
        memory_mb=settings.budget_memory_mb,
    )


def check_device(request: RunRequest) -> LatencyModel | None:
    """Returns the device that latency is predicted for, or None where the user named none.

    Raises:
        ConfigError: where a setting that needs a device comes without one, or the device is unknown.
    """
    wanted = objectives_of(request)
    if request.device is not None:
        confidence = CONFIDENCE if request.confidence is None else request.confidence
        return load_model(request.device, request.precision, confidence=confidence)
    needing = {
        "--budget-latency-ms": request.budget_latency_ms is not None,
        "--precision": request.precision is not None,
        "--confidence": request.confidence is not None,
        "--objective latency": "latency_ms" in wanted,
    }
    for option, given in needing.items():
        if given:
            raise ConfigError(f"{option} needs a board; next: --device jetson-nano (nas devices lists all)")
    return None


def device_name(given: str | None, profile: Profile) -> str:
    """Returns what a run writes down: the full name of a profile that comes with the package, or a file's path."""
    is_file = given is not None and given.endswith((".yaml", ".yml"))
    return str(Path(given).resolve()) if given is not None and is_file else profile.name
