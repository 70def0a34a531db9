"""Opens the search of a new run, or of a run that is resumed, from what the user asks for."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nas.advice.box_sizes import BoxSizes, box_sizes
from nas.config import RunConfig, check_fingerprint, check_same, read_config
from nas.data_state import DataWatch, data_fingerprint_of, open_data_of
from nas.engine.advised import NO_ADVICE, check_auto, follow_advice
from nas.engine.domain import CostedDomain
from nas.engine.fastest_starts import fastest_starts
from nas.engine.feasibility import ensure_feasible
from nas.engine.history import History
from nas.engine.inheritance import InheritanceRule
from nas.engine.ladder import Ladder
from nas.engine.loop import Limits, Observer, Search
from nas.engine.narrowing import narrowing_of, parse_narrowing, with_defaults
from nas.engine.objectives import Objective, objectives
from nas.engine.rescue import Rescue
from nas.engine.run_request import (
    RunRequest,
    budget_of,
    check_device,
    checked_name,
    default_starts,
    device_of,
    frame_notice,
    objectives_notice,
    resolve,
    tiles_for,
)
from nas.engine.scheduler import Scheduler
from nas.engine.search_study import STUDY_NAME, SearchStudy
from nas.engine.starts import Start, least_cells, side_for, starting_points
from nas.engine.storage import Heartbeats, database_storage, heartbeat, journal_storage, worker_name
from nas.engine.strategies import STRATEGIES
from nas.engine.threads import with_threads
from nas.engine.time_plan import check_finish, search_minutes
from nas.engine.warm_start import Earlier, Starts, import_trials, open_earlier, read_starts
from nas.executors import Executor
from nas.plugins import check_plugins
from nas.pretrained import Pretrained, open_pretrained, reopen_pretrained
from nas.run_folder import RunFolder, create, reopen
from nas.setting_forms import check_bounds, stored_settings
from nas.settings import RunSettings
from search_space import SearchSpace
from search_space.errors import ConfigError
from search_space.point import optional_axes
from trainers.data import DataSplits
from trainers.weights import load_weights

TOTALS = {"trials", "minutes"}
"""Limits of the whole run; one that is given at a resume replaces both."""


@dataclass(frozen=True, kw_only=True)
class Session:
    """Configuration, data, costs, starts and folder of a run that is about to search."""

    config: RunConfig
    splits: DataSplits
    domain: CostedDomain
    starts: list[Start]
    named: Starts
    """The starts before they were fitted into the budget."""
    notices: list[str]
    folder: RunFolder
    lost_pretrained: Pretrained | None = None
    """Weights to copy into the folder, which has lost its copy of them."""
    storage: str | None = None
    """URL of the database, password included; None: a journal file in the run's folder."""

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """The objectives of the front."""
        return objectives(self.config.objective)

    @property
    def lays_rungs(self) -> bool:
        """Whether the rungs follow from the time and the speed, and have not been laid yet."""
        config = self.config
        return config.rungs_by_time and not config.rung_images and bool(self.starts) and config.minutes is not None

    @property
    def ladder(self) -> Ladder:
        """The rungs of training."""
        return Ladder(epochs=self.config.rungs, proxy=self.config.proxy, images=self.config.rung_images)


def begin(request: RunRequest) -> Session:
    """Resolves the settings of a new run, checks that a point fits the budget, then creates the folder.

    Raises:
        UserError: A setting, the data or the budget cannot be used; nothing was written.
    """
    said = request.settings
    narrowing = parse_narrowing(SearchSpace(), said.fix, said.choices, said.space)
    check_auto(said)
    path = Path(said.out) / checked_name(request.given.get("name"))
    _check_new(path, said)
    device = check_device(request)
    pretrained = None if said.pretrained is None else open_pretrained(said.pretrained)
    earlier = None if said.from_run is None else open_earlier(Path(said.from_run))
    with_defaults(narrowing)
    named = read_starts(said.start or default_starts(narrowing))
    splits = open_data_of(said)
    narrowing = {**narrowing, **tiles_for(said, narrowing)}
    advised = follow_advice(splits.train.records, narrowing) if said.auto else NO_ADVICE
    narrowing = {**narrowing, **advised.narrowing}
    space = SearchSpace().narrowed(with_defaults(narrowing))
    config = resolve(request, path.name, space, splits, narrowing, device, pretrained)
    config, named, notices = _with_earlier(*_with_fastest(said, config, named, space, splits), earlier)
    config, busy = with_threads(config)
    with advised.errors_mention_advice():
        domain, starts, more = prepare(config, space, splits, named)
    propose_once(config, domain)
    if said.storage is not None:
        database_storage(said.storage)

    def fill(folder: RunFolder) -> None:
        named.write(folder)
        if pretrained is not None:
            pretrained.write(folder)
        if earlier is not None and config.from_run is not None:
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
            *busy,
            *more,
            *_pretrained_notices(config, pretrained, starts, named),
            *objectives_notice(objectives(config.objective)),
            *frame_notice(config, splits),
        ],
        folder=create(path, config, fill),
        storage=said.storage,
    )


def _check_new(path: Path, said: RunSettings) -> None:
    """Raises ConfigError where the folder of a new run exists, or where it has no budget or one out of bounds."""
    if path.exists():
        raise ConfigError(f"{path} exists already; next: nas run --resume {path}, or another --name")
    if not budget_of(said).limits():
        raise ConfigError(
            "no budget is given; next: nas run --budget-gflops 1, --budget-params-m 2, --budget-memory-mb 50, "
            "--budget-latency-ms 30 --device jetson-nano, or several of them"
        )
    check_bounds(said)


def _pretrained_notices(
    config: RunConfig, pretrained: Pretrained | None, starts: list[Start], named: Starts
) -> list[str]:
    """Returns what the weights were recognised as, and how much they fill of the starts, or of all if none fits."""
    if pretrained is None:
        return []
    designs = {start.name: start.candidate.architecture for start in starts} or named.architectures
    return [*pretrained.weights.notes, *pretrained.notices(str(config.pretrained), designs, config.classes)]


def _with_fastest(
    said: RunSettings, config: RunConfig, named: Starts, space: SearchSpace, splits: DataSplits
) -> tuple[RunConfig, Starts, list[str]]:
    """Replaces the default starts of a search with a limit on latency by the designs that are predicted fastest."""
    if said.start or config.budget_latency_ms is None:
        return config, named, []
    domain, boxes = _domain_of(config, space, splits)
    names, notice = fastest_starts(domain, count=len(config.start), wanted_side=side_for(boxes))
    return (replace(config, start=names), read_starts(names), [notice]) if names else (config, named, [])


def _with_earlier(
    config: RunConfig, named: Starts, notices: list[str], earlier: Earlier | None
) -> tuple[RunConfig, Starts, list[str]]:
    """Imports the trials of an earlier run with the same training settings; of any other run, its front as starts."""
    if earlier is None:
        return config, named, notices
    if config.rungs_by_time:
        rungs = {name: getattr(earlier.config, name) for name in ("rungs", "rung_images")}
        config = replace(config, rungs_by_time=False, **rungs)
    apart = earlier.differences(config)
    if not apart:
        imported = f"from {earlier.path}: {len(earlier.trials)} trials with the same data and training are imported"
        return config, named, [*notices, imported]
    members = dict(earlier.members())
    named = Starts(architectures={**members, **named.architectures})
    notice = (
        f"from {earlier.path}: its {' and '.join(apart)} differ, so this run starts with its {len(members)} best "
        "members and trains them again"
    )
    return replace(config, from_run=None, start=tuple(named.architectures)), named, [*notices, notice]


def go_on(path: Path, request: RunRequest) -> Session:
    """Opens a run to resume it, with those settings changed that a resume may change.

    Raises:
        ConfigError: Another setting, the data or the space differs from that of the run; the message names it.
    """
    folder = reopen(path)
    before = read_config(folder.config_yaml)
    config = resumed(before, request)
    space, splits = reopen_data(config)
    lost = reopen_pretrained(folder, before, request.stored(before).get("pretrained"))
    restored = [] if lost is None else [f"{folder.pretrained} was missing or damaged; it is copied again"]
    named = read_starts(config.start, path)
    domain, starts, notices = prepare(config, space, splits, named)
    return Session(
        config=config,
        splits=splits,
        domain=domain,
        starts=starts,
        named=named,
        notices=[*splits.notices, *notices, *restored],
        folder=folder,
        lost_pretrained=lost,
        storage=request.settings.storage or config.storage,
    )


def resumed(config: RunConfig, request: RunRequest) -> RunConfig:
    """Returns the configuration of a run with what the user changes at a resume.

    Raises:
        ConfigError: A setting differs that a resume may not change.
    """
    declared, given = stored_settings(type(config)), request.stored(config)
    free = {name for name in given if declared[name].about.resumable or declared[name].about.per_session}
    check_same(config, {name: value for name, value in given.items() if name not in free})
    now = changed(config, {name: value for name, value in given.items() if name in free})
    check_finish(now)
    return now


def changed(config: RunConfig, given: Mapping[str, Any]) -> RunConfig:
    """Returns a run's configuration with settings changed; a total of trials or of time replaces both totals.

    Settings of a session that are not given are at their defaults.
    """
    session = {n: each.default for n, each in stored_settings(type(config)).items() if each.about.per_session}
    totals = {name: given.get(name) for name in TOTALS if given.keys() & TOTALS}
    return replace(config, **{**session, **given, **totals})


def reopen_data(config: RunConfig) -> tuple[SearchSpace, DataSplits]:
    """Opens the space and the data of a run.

    Raises:
        ConfigError: One of them has changed since the run began.
        DataError: The data cannot be opened.
    """
    check_plugins(config)
    space = SearchSpace().narrowed(narrowing_of(config))
    splits = open_data_of(config)
    check_fingerprint(config, "data", data_fingerprint_of(splits))
    check_fingerprint(config, "space", space.fingerprint())
    return space, splits


def open_search(
    session: Session, executor: Executor, observer: Observer, *, clock: Callable[[], float] = time.monotonic
) -> Search:
    """Opens the study of a session, whose folder must be locked, and ends trials that an earlier session left open."""
    config = session.config
    session.config.to_yaml(session.folder.config_yaml)
    if session.lost_pretrained is not None:
        session.lost_pretrained.write(session.folder)
    rescue = Rescue(session.folder)
    if session.storage is None:
        rescue.repair_journal()
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
    if config.from_run is not None:
        import_trials(study, session.domain, session.folder, source=config.from_run, training_seed=config.seed)
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
            inheritance=_inheritance(session, study),
        ),
        limits=Limits(trials=config.trials, minutes=search_minutes(config, session.folder.path)),
        observer=observer,
        notices=notices,
        pretrained=None if config.pretrained is None else session.folder.pretrained,
        settle=settle if session.storage is not None else lambda: None,
        check_data=DataWatch(config),
        alive=None if session.storage is None else heartbeat(study),
        clock=clock,
    )


def _inheritance(session: Session, study: SearchStudy) -> InheritanceRule | None:
    """Returns how a run chooses donors; None where trials do not inherit.

    Workers that share a database write weights into folders of their own, so each has donors of its own.
    """
    config = session.config
    if config.inherit == "none":
        return None
    pretrained = None
    if config.pretrained is not None and session.folder.pretrained.is_file():
        pretrained = load_weights(session.folder.pretrained)
    worker = None if session.storage is None else study.worker
    return InheritanceRule(session.domain, worker=worker, pretrained=pretrained)


def settling(study: SearchStudy, *, shared: bool) -> Callable[[], None]:
    """Returns a function that ends the trials of lost workers; without a database these are all running trials."""
    if not shared:
        return study.settle
    heartbeats = Heartbeats(study)

    def settle() -> None:
        heartbeats.look()
        study.settle(heartbeats.is_lost)

    return settle


def propose_once(config: RunConfig, domain: CostedDomain) -> None:
    """Asks the strategy for a point and discards it, so that a space it refuses is reported before the run begins.

    Raises:
        UserError: The strategy cannot search this space.
    """
    strategy = STRATEGIES.get(config.strategy)
    strategy(History(objectives=objectives(config.objective)), domain, seed=config.seed)


def prepare(
    config: RunConfig, space: SearchSpace, splits: DataSplits, named: Starts
) -> tuple[CostedDomain, list[Start], list[str]]:
    """Returns the domain, the starting points and notices; raises BudgetError if no point fits the budget."""
    domain, boxes = _domain_of(config, space, splits)
    notices = []
    if domain.device is not None and not domain.device.profile.num_measured:
        notices.append(
            f"nothing was ever measured on {domain.device.profile.name}: its latencies are of the data sheet alone; "
            "a few measurements help much: nas latency calibrate --help"
        )
    starts, left_out = starting_points(domain, named.architectures, wanted_side=side_for(boxes))
    if not starts:
        optional = {axis.name: axis.choices for axis in optional_axes() if axis.name in config.narrowing}
        ensure_feasible(domain, SearchSpace().narrowed(with_defaults(optional)), seed=config.seed)
    return domain, starts, [*notices, *left_out]


def _domain_of(config: RunConfig, space: SearchSpace, splits: DataSplits) -> tuple[CostedDomain, BoxSizes]:
    """Returns the domain of a run, and the boxes of its training images."""
    device = device_of(config)
    if device is not None:
        check_fingerprint(config, "device", device.fingerprint())
    boxes = box_sizes(splits.train.records)
    num_classes, cells = len(config.classes), least_cells(boxes)
    domain = CostedDomain(
        space,
        budget_of(config),
        num_classes=num_classes,
        device=device,
        least_cells=cells,
        frame_hw=config.frame or boxes.usual_hw,
    )
    return domain, boxes
