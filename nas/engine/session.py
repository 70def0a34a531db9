"""From what a user asks for to a search that can run: a new run, or one that goes on."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from nas.config import RunConfig, check_same, read_config
from nas.cost.latency import load_model
from nas.cost.profile import find_profile
from nas.data_state import DataWatch, data_fingerprint_of
from nas.engine.advised import NO_ADVICE, check_auto, follow_advice
from nas.engine.domain import CostedDomain
from nas.engine.feasibility import ensure_feasible
from nas.engine.history import History
from nas.engine.ladder import Ladder
from nas.engine.loop import Limits, Observer, Search
from nas.engine.narrowing import narrowing_of, parse_narrowing, with_heads
from nas.engine.objectives import Objective, objectives
from nas.engine.rescue import Rescue
from nas.engine.run_request import (
    RunRequest,
    budget_of,
    check_device,
    checked_name,
    default_starts,
    device_name,
    objectives_notice,
    objectives_of,
    resolve,
    rungs_of,
)
from nas.engine.scheduler import Scheduler
from nas.engine.search_study import STUDY_NAME, SearchStudy
from nas.engine.starts import Start, starting_points
from nas.engine.storage import Heartbeats, database_storage, heartbeat, hide_password, journal_storage, worker_name
from nas.engine.strategies import STRATEGIES
from nas.engine.warm_start import Earlier, Starts, import_trials, open_earlier, read_starts
from nas.executors import Executor
from nas.plugins import check_plugins
from nas.run_folder import RunFolder, create, reopen
from search_space import SearchSpace
from search_space.errors import ConfigError
from trainers.data import DataSplits, open_data


@dataclass(frozen=True, kw_only=True)
class Session:
    """All that a search needs."""

    config: RunConfig
    splits: DataSplits
    domain: CostedDomain
    starts: list[Start]
    named: Starts
    """The starts before they were fitted into the budget."""
    notices: list[str]
    folder: RunFolder
    storage: str | None = None
    """URL of the database, password included; None: a journal file in the run's folder."""

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """What the front is of."""
        return objectives(self.config.objectives)

    @property
    def ladder(self) -> Ladder:
        """The rungs of training."""
        return Ladder(epochs=self.config.rungs, proxy=self.config.proxy)


def begin(request: RunRequest) -> Session:
    """Resolves a new run, checks that something fits its budget, and only then creates its folder.

    Raises:
        UserError: Of the kind that fits; then nothing was written.
    """
    narrowing = parse_narrowing(SearchSpace(), request.fix, request.choices, request.space)
    check_auto(request)
    path = Path(request.out or "runs") / checked_name(request.name)
    if path.exists():
        raise ConfigError(f"{path} exists already; next: nas run --resume {path}, or another --name")
    if not budget_of(request).limits():
        raise ConfigError(
            "no budget is given; next: nas run --budget-gflops 1, --budget-params-m 2, --budget-memory-mb 50, "
            "--budget-latency-ms 30 --device jetson-nano, or several of them"
        )
    device = check_device(request)
    earlier = None if request.earlier is None else open_earlier(Path(request.earlier))
    with_heads(narrowing)
    named = read_starts(request.starts or default_starts(narrowing))
    splits = open_data(request.data, split=request.split, format=request.data_format, images=request.images)
    advised = follow_advice(splits.train.records, narrowing) if request.auto else NO_ADVICE
    narrowing = {**narrowing, **advised.narrowing}
    space = SearchSpace().narrowed(with_heads(narrowing))
    config = resolve(request, path.name, space, splits, narrowing, device)
    config, named, notices = _with_earlier(config, named, earlier)
    with advised.told_of_errors():
        domain, starts, more = prepare(config, space, splits, named)
    propose_once(config, domain)
    if request.storage is not None:
        database_storage(request.storage)

    def fill(folder: RunFolder) -> None:
        named.write(folder)
        if earlier is not None and config.imported_from is not None:
            earlier.write(folder)

    return Session(
        config=config,
        splits=splits,
        domain=domain,
        starts=starts,
        named=named,
        notices=[
            *splits.notices,
            *advised.notices,
            *notices,
            *more,
            *objectives_notice(objectives(config.objectives)),
        ],
        folder=create(path, config, fill),
        storage=request.storage,
    )


def _with_earlier(config: RunConfig, named: Starts, earlier: Earlier | None) -> tuple[RunConfig, Starts, list[str]]:
    """Takes an earlier run in: its trials where they were trained alike, else its front as starts."""
    if earlier is None:
        return config, named, []
    apart = earlier.differences(config)
    if not apart:
        config = replace(config, imported_from=str(earlier.path))
        return config, named, [f"from {earlier.path}: {len(earlier.trials)} trials, trained alike, are taken over"]
    members = dict(earlier.members())
    named = Starts(architectures={**members, **named.architectures})
    notice = (
        f"from {earlier.path}: its {' and '.join(apart)} differ, so that its {len(members)} best members are where "
        "this run starts, and are trained anew"
    )
    return replace(config, starts=tuple(named.architectures)), named, [notice]


def go_on(path: Path, request: RunRequest) -> Session:
    """Opens a run to go on with it, with new totals of trials or time where they are given.

    Raises:
        ConfigError: If a setting, the data or the space is not that of the run; it names the difference.
    """
    given = {"--auto": request.auto, f"--out {request.out}": request.out, f"--from {request.earlier}": request.earlier}
    for option, value in given.items():
        if value is not None:
            raise ConfigError(f"{option} does not go with --resume {path}, which says all about the run; drop it")
    folder = reopen(path)
    config = read_config(folder.config_yaml)
    _check_given(config, request)
    space, splits = reopen_data(config, request)
    config = with_totals(config, request)
    config = replace(
        config,
        threads=request.threads or config.threads,
        trial_minutes=config.trial_minutes if request.trial_minutes is None else request.trial_minutes,
        repeats=config.repeats if request.repeats is None else request.repeats,
    )
    named = read_starts(config.starts, path)
    domain, starts, notices = prepare(config, space, splits, named)
    return Session(
        config=config,
        splits=splits,
        domain=domain,
        starts=starts,
        named=named,
        notices=[*splits.notices, *notices],
        folder=folder,
        storage=request.storage or config.storage,
    )


def reopen_data(config: RunConfig, request: RunRequest) -> tuple[SearchSpace, DataSplits]:
    """Opens the space and the data of a run, the latter possibly from where the user says that it lies now.

    Raises:
        ConfigError: If one of them is not that of the run.
        DataError: If the data cannot be opened.
    """
    check_plugins(config)
    space = SearchSpace().narrowed(narrowing_of(config))
    images = request.images or config.images
    splits = open_data(request.data or config.data, split=config.split, format=config.data_format, images=images)
    check_same(config, {"data_fingerprint": data_fingerprint_of(splits), "space_fingerprint": space.fingerprint()})
    return space, splits


def with_totals(config: RunConfig, request: RunRequest) -> RunConfig:
    """Returns a run's configuration with the totals of trials or time that a user gives anew."""
    if request.trials is None and request.minutes is None:
        return config
    return replace(config, trials=request.trials, minutes=request.minutes)


def _check_given(config: RunConfig, request: RunRequest) -> None:
    """Compares what the user gave beside `--resume` with the run's own settings."""
    given = (
        *("budget_gflops", "budget_params_m", "budget_latency_ms", "budget_memory_mb", "confidence", "strategy"),
        *("split", "data_format", "proxy", "batch", "seed", "name"),
    )
    check_same(config, {name: getattr(request, name) for name in given})
    check_same(
        config, {"rungs": rungs_of(request), "objectives": objectives_of(request) if request.objective else None}
    )
    if request.storage is not None:
        check_same(config, {"storage": hide_password(request.storage)})
    if request.device is not None or request.precision is not None:
        profile = find_profile(request.device or config.device or "", request.precision)
        check_same(config, {"device": device_name(request.device, profile)})
    if request.fix or request.choices or request.space:
        wanted = parse_narrowing(SearchSpace(), request.fix, request.choices, request.space)
        check_same(config, {"narrowing": {name: tuple(map(str, kept)) for name, kept in wanted.items()}})
    check_same(config, {"starts": tuple(read_starts(request.starts).architectures) or None})


def open_search(session: Session, executor: Executor, observer: Observer) -> Search:
    """Opens the study of a session, whose folder must be locked, and settles what an earlier session left open."""
    config = session.config
    session.config.to_yaml(session.folder.config_yaml)
    rescue = Rescue(session.folder)
    if session.storage is None:
        rescue.heal()
    study = SearchStudy(
        journal_storage(session.folder.journal) if session.storage is None else database_storage(session.storage),
        session.domain.space,
        session.objectives,
        name=STUDY_NAME if session.storage is None else config.name,
        worker=worker_name(),
        num_rungs=session.ladder.last,
    )
    notices = rescue.restore(study, session.domain) if session.storage is None else []
    settle = settling(study, shared=session.storage is not None)
    settle()
    if config.imported_from is not None:
        import_trials(study, session.domain, session.folder, source=config.imported_from, training_seed=config.seed)
    return Search(
        study=study,
        domain=session.domain,
        executor=executor,
        folder=session.folder,
        scheduler=Scheduler(
            domain=session.domain,
            strategy=STRATEGIES.get(config.strategy),
            objectives=session.objectives,
            ladder=session.ladder,
            starts=tuple(session.starts),
            seed=config.seed,
            worker=0 if session.storage is None else zlib.crc32(study.worker.encode()),
            repeats=config.repeats,
        ),
        limits=Limits(trials=config.trials, minutes=config.minutes),
        observer=observer,
        notices=notices,
        settle=settle if session.storage is not None else lambda: None,
        check_data=DataWatch(config),
        alive=None if session.storage is None else heartbeat(study),
    )


def settling(study: SearchStudy, *, shared: bool) -> Callable[[], None]:
    """Returns what ends the trials of workers that are no more: in a run's own folder all that are still running."""
    if not shared:
        return study.settle
    heartbeats = Heartbeats(study)

    def settle() -> None:
        heartbeats.look()
        study.settle(heartbeats.is_lost)

    return settle


def propose_once(config: RunConfig, domain: CostedDomain) -> None:
    """Lets the strategy propose a point that nobody takes, so that what it refuses is told before a run begins.

    Raises:
        UserError: The strategy cannot search this space.
    """
    strategy = STRATEGIES.get(config.strategy)
    strategy(History(objectives=objectives(config.objectives)), domain, seed=config.seed)


def prepare(
    config: RunConfig, space: SearchSpace, splits: DataSplits, named: Starts
) -> tuple[CostedDomain, list[Start], list[str]]:
    """Makes the domain and the starting points, and makes sure that something fits."""
    device = None if config.device is None else load_model(config.device, confidence=config.confidence)
    notices = []
    if device is not None:
        check_same(config, {"device_fingerprint": device.fingerprint()})
        if not device.profile.num_measured:
            notices.append(
                f"nothing was ever measured on {device.profile.name}: its latencies are of the data sheet alone; "
                "a few measurements help much: nas latency calibrate --help"
            )
    domain = CostedDomain(space, budget_of(config), num_classes=len(config.classes), device=device)
    starts, left_out = starting_points(domain, named.architectures)
    if not starts:
        ensure_feasible(domain, SearchSpace().narrowed(with_heads({})), seed=config.seed)
    return domain, starts, [*notices, *left_out]
