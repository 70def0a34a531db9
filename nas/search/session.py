"""From what a user asks for to a search that can run: a new run, or one that goes on."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nas.config import RunConfig, check_same, read_config, versions
from nas.cost import Budget
from nas.cost.latency import CONFIDENCE, LatencyModel, load_model
from nas.cost.profile import Profile, find_profile
from nas.executors import Executor
from nas.run_folder import RunFolder, create, reopen
from nas.search.feasibility import ensure_feasible
from nas.search.gate import Gate
from nas.search.loop import Limits, Observer, Search
from nas.search.starts import ANCHOR_FREE, Start, starting_points
from nas.search.study import OBJECTIVES, SearchStudy
from search_space import DESIGNS, SearchSpace
from search_space.errors import ConfigError, SpaceError
from trainers import HEAD_TRAINING
from trainers.data import DataSplits, open_data

DEFAULT_STARTS = ("yolov8n-p2-nop5", "sodet-s", "sn2-yolov8n", "tinydet-s")
"""One a paper, the cheapest with a P2 or P3 head: what a short search has time for."""
DEFAULT_MINUTES = {"built-in": 8.0, "data": 30.0}
DEFAULT_EPOCHS = {"built-in": 0.6, "data": 1.0}
"""The built-in set is learned in 600 images; shorter trials leave time for a search."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the user asked for; None and empty where nothing was said."""

    budget_gflops: float | None = None
    budget_params_m: float | None = None
    budget_latency_ms: float | None = None
    device: str | None = None
    precision: str | None = None
    confidence: float | None = None
    objective: str | None = None
    data: str | None = None
    split: str | None = None
    data_format: str | None = None
    images: str | None = None
    trials: int | None = None
    minutes: float | None = None
    epochs: float | None = None
    batch: int | None = None
    seed: int | None = None
    threads: int | None = None
    name: str | None = None
    out: str | None = None
    fix: tuple[str, ...] = ()
    """`axis=value`."""
    choices: tuple[str, ...] = ()
    """`axis=value,value`."""
    starts: tuple[str, ...] = ()
    """Names of designs."""


@dataclass(frozen=True, kw_only=True)
class Session:
    """All that a search needs; the folder is None until a new run is created."""

    config: RunConfig
    splits: DataSplits
    gate: Gate
    starts: list[Start]
    notices: list[str]
    folder: RunFolder


def begin(request: Request) -> Session:
    """Resolves a new run, checks that something fits its budget, and only then creates its folder.

    Raises:
        UserError: Of the kind that fits; then nothing was written.
    """
    narrowing = parse_narrowing(SearchSpace(), request.fix, request.choices)
    path = Path(request.out or "runs") / _checked_name(request.name)
    if path.exists():
        raise ConfigError(f"{path} exists already; next: nas run --resume {path}, or another --name")
    if not _budget(request).limits():
        raise ConfigError(
            "no budget is given; next: nas run --budget-gflops 1, --budget-params-m 2, "
            "--budget-latency-ms 30 --device jetson-nano, or several of them"
        )
    device = check_device(request)
    for name in request.starts:
        DESIGNS.get(name)
    space = _space(narrowing)
    splits = open_data(request.data, split=request.split, format=request.data_format, images=request.images)
    config = _resolve(request, path.name, space, splits, narrowing, device)
    gate, starts, notices = _prepare(config, space, splits)
    return Session(config=config, splits=splits, gate=gate, starts=starts, notices=notices, folder=create(path, config))


def go_on(path: Path, request: Request) -> Session:
    """Opens a run to go on with it, with new totals of trials or time where they are given.

    Raises:
        ConfigError: If a setting, the data or the space is not that of the run; it names the difference.
    """
    if request.out is not None:
        raise ConfigError(f"--out {request.out} does not go with --resume {path}, which says where the run is; drop it")
    folder = reopen(path)
    config = read_config(folder.config_yaml)
    given = (
        *("budget_gflops", "budget_params_m", "budget_latency_ms", "confidence", "objective"),
        *("split", "data_format", "epochs", "batch", "seed", "name"),
    )
    check_same(config, {name: getattr(request, name) for name in given})
    if request.device is not None or request.precision is not None:
        profile = find_profile(request.device or config.device or "", request.precision)
        check_same(config, {"device": _device_name(request.device, profile)})
    if request.fix or request.choices:
        wanted = parse_narrowing(SearchSpace(), request.fix, request.choices)
        check_same(config, {"narrowing": {name: tuple(map(str, kept)) for name, kept in wanted.items()}})
    check_same(config, {"starts": request.starts or None})
    space = _space(parse_narrowing(SearchSpace(), (), [f"{n}={','.join(c)}" for n, c in config.narrowing.items()]))
    images = request.images or config.images
    splits = open_data(request.data or config.data, split=config.split, format=config.data_format, images=images)
    check_same(config, {"data_fingerprint": _data_fingerprint(splits), "space_fingerprint": space.fingerprint()})
    if request.trials is not None or request.minutes is not None:
        config = replace(config, trials=request.trials, minutes=request.minutes)
    config = replace(config, threads=request.threads or config.threads)
    gate, starts, notices = _prepare(config, space, splits)
    return Session(config=config, splits=splits, gate=gate, starts=starts, notices=notices, folder=folder)


def open_search(session: Session, executor: Executor, observer: Observer) -> Search:
    """Opens the study of a session, whose folder must be locked, and queues again what an earlier one left open."""
    session.config.to_yaml(session.folder.config_yaml)
    study = SearchStudy(session.folder.journal, session.gate.space, objective=session.config.objective)
    requeued = study.settle()
    return Search(
        study=study,
        gate=session.gate,
        executor=executor,
        folder=session.folder,
        starts=session.starts,
        limits=Limits(trials=session.config.trials, minutes=session.config.minutes),
        seed=session.config.seed,
        observer=observer,
        requeued=requeued,
    )


def parse_narrowing(space: SearchSpace, fixes: Iterable[str], choices: Iterable[str]) -> dict[str, tuple[Any, ...]]:
    """Reads `axis=value` and `axis=value,value` into the choices that remain.

    Raises:
        SpaceError: For an unknown axis or choice, naming near ones, and for an axis given twice.
    """
    narrowing: dict[str, tuple[Any, ...]] = {}
    for option, text in [*(("--fix", each) for each in fixes), *(("--choices", each) for each in choices)]:
        name, separator, values = text.partition("=")
        if not separator or not values:
            raise SpaceError(f"{option} {text!r} is not of the form axis=value; next: {option} input_size=320")
        axis = space.axis(name.strip())
        if axis.name in narrowing:
            raise SpaceError(f"axis {axis.name!r} is given twice; next: name all its choices in one --choices")
        texts = [values.strip()] if option == "--fix" else [value.strip() for value in values.split(",")]
        narrowing[axis.name] = tuple(dict.fromkeys(axis.parse(value) for value in texts))
    return narrowing


def _space(narrowing: Mapping[str, tuple[Any, ...]]) -> SearchSpace:
    """Returns the space of the run: as the user narrowed it, with the heads asked for, or the anchor-free one.

    Raises:
        ConfigError: If the user asked for a head that cannot be trained.
    """
    # Not all heads by default: a short training brings them to different shares of what they reach in a long one, so
    # that it would rank the kinds of head by how fast they start.
    heads = narrowing.get("head", (ANCHOR_FREE,))
    for head in heads:
        if head not in HEAD_TRAINING:
            raise ConfigError(
                f"a head of kind {head!r} can be built and counted, but not trained yet; "
                f"allowed in a search: {', '.join(HEAD_TRAINING)}; next: leave out --fix head={head}"
            )
    return SearchSpace().narrowed({**narrowing, "head": heads})


def _checked_name(name: str | None) -> str:
    if name is None:
        return time.strftime("%Y%m%d-%H%M%S")
    if not name or name != Path(name).name or name.startswith("."):
        raise ConfigError(f"--name {name!r} is not the name of a folder; next: --out FOLDER --name NAME")
    return name


def _resolve(
    request: Request,
    name: str,
    space: SearchSpace,
    splits: DataSplits,
    narrowing: Mapping[str, tuple[Any, ...]],
    device: LatencyModel | None,
) -> RunConfig:
    """Fills in the defaults."""
    minutes, kind = request.minutes, "built-in" if request.data is None else "data"
    if request.trials is None and minutes is None:
        minutes = DEFAULT_MINUTES[kind]
    return RunConfig(
        name=name,
        space_fingerprint=space.fingerprint(),
        data_fingerprint=_data_fingerprint(splits),
        classes=splits.train.classes,
        budget_gflops=request.budget_gflops,
        budget_params_m=request.budget_params_m,
        budget_latency_ms=request.budget_latency_ms,
        device=None if device is None else _device_name(request.device, device.profile),
        device_fingerprint=None if device is None else device.fingerprint(),
        confidence=CONFIDENCE if request.confidence is None else request.confidence,
        objective=request.objective or "macs",
        data=None if request.data is None else str(Path(request.data).resolve()),
        split=request.split,
        data_format=request.data_format,
        images=None if request.images is None else str(Path(request.images).resolve()),
        trials=request.trials,
        minutes=minutes,
        epochs=DEFAULT_EPOCHS[kind] if request.epochs is None else request.epochs,
        batch=RunConfig.batch if request.batch is None else request.batch,
        seed=request.seed or 0,
        threads=request.threads,
        narrowing={axis: tuple(map(str, kept)) for axis, kept in narrowing.items()},
        starts=tuple(dict.fromkeys(request.starts)) or DEFAULT_STARTS,
        versions=versions(),
    )


def _budget(settings: Request | RunConfig) -> Budget:
    return Budget(
        gmacs=settings.budget_gflops, params_m=settings.budget_params_m, latency_ms=settings.budget_latency_ms
    )


def check_device(request: Request) -> LatencyModel | None:
    """Returns the device that latency is predicted for, or None where the user named none.

    Raises:
        ConfigError: where a setting that needs a device comes without one, or the device is unknown.
    """
    if request.objective is not None and request.objective not in OBJECTIVES:
        raise ConfigError(f"a search cannot minimise {request.objective!r}; allowed: {', '.join(OBJECTIVES)}")
    if request.device is not None:
        confidence = CONFIDENCE if request.confidence is None else request.confidence
        return load_model(request.device, request.precision, confidence=confidence)
    needing = {
        "--budget-latency-ms": request.budget_latency_ms is not None,
        "--precision": request.precision is not None,
        "--confidence": request.confidence is not None,
        "--objective latency": request.objective == "latency_ms",
    }
    for option, given in needing.items():
        if given:
            raise ConfigError(f"{option} needs a board; next: --device jetson-nano (nas devices lists all)")
    return None


def _device_name(given: str | None, profile: Profile) -> str:
    """Returns what a run writes down: the full name of a profile that comes with the package, or a file's path."""
    is_file = given is not None and given.endswith((".yaml", ".yml"))
    return str(Path(given).resolve()) if given is not None and is_file else profile.name


def _data_fingerprint(splits: DataSplits) -> str:
    return f"{splits.train.fingerprint()}-{splits.val.fingerprint()}"


def _prepare(config: RunConfig, space: SearchSpace, splits: DataSplits) -> tuple[Gate, list[Start], list[str]]:
    """Makes the gate and the starting points, and makes sure that something fits."""
    device = None if config.device is None else load_model(config.device, confidence=config.confidence)
    notices = []
    if device is not None:
        check_same(config, {"device_fingerprint": device.fingerprint()})
        if not device.profile.num_measured:
            notices.append(
                f"nothing was ever measured on {device.profile.name}: its latencies are of the data sheet alone; "
                "a few measurements help much: nas latency calibrate --help"
            )
    gate = Gate(space, _budget(config), num_classes=len(config.classes), device=device)
    starts, left_out = starting_points(gate, {name: DESIGNS.get(name).architecture for name in config.starts})
    if not starts:
        ensure_feasible(gate, _space({}), seed=config.seed)
    return gate, starts, [*splits.notices, *notices, *left_out]
