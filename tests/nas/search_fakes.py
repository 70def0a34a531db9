"""Stand-ins for training, so that searches take milliseconds a trial."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas.config import RunConfig
from nas.cost import Budget, cost_of
from nas.engine.domain import CostedDomain
from nas.engine.inheritance import InheritanceRule
from nas.engine.ladder import Ladder
from nas.engine.loop import Limits, Search
from nas.engine.objectives import objectives
from nas.engine.scheduler import Scheduler
from nas.engine.search_study import STUDY_NAME, RunningTrial, SearchStudy
from nas.engine.session import settling
from nas.engine.starts import starting_points
from nas.engine.storage import database_storage, journal_storage, worker_name
from nas.engine.strategies import STRATEGIES
from nas.executors import Evaluation, Executor, Job, Report, Step
from nas.executors.local import LocalExecutor
from nas.run_folder import RunFolder, create
from results.trial import Outcome, Trial
from search_space import DESIGNS, SearchSpace
from trainers import save_weights

NUM_CLASSES = 3
STARTS = ("yolov8n", "yolov8n-p2", "yolov8n-p2-nop5", "yolov8n-p2-nop5-bidir", "yolov8n-p2-nop5-bidir-cbam")
SMALL = {
    "head": ("anchor_free",),
    "backbone": ("yolov8",),
    "topology": ("pan",),
    "p4_repeats": (6,),
    "stem": ("conv",),
    "stem_kernel": (3,),
    "context": ("sppf",),
    "stride_p1": (2,),
    "stride_p2": (2,),
    "stride_p3": (2,),
    "stride_p4": (2,),
    "stride_p5": (2,),
    "input_size": (128, 160, 192, 224, 256),
    "depth": (0.17, 0.33),
    "width": (0.125, 0.25),
    "block": ("c2f",),
    "channel_cap": (0.5, 1.0),
    "activation": ("silu",),
}
FEW_BLOCKS = {
    **dict.fromkeys((f"downsample_p{level}" for level in range(2, 6)), ("conv", "cdown")),
    "downsample_neck": ("conv", "cdown"),
    "neck_block": ("c2f", "c3_light"),
    "neck_repeats": (1, 2),
    "box_channels": (32, 64),
    "head_stem": ("none", 16),
    "tower_convs": (1, 2),
    "branches": ("separate", "joint"),
    "bins": (8, 16),
}
"""Few choices where each one is another block, since a block that is met for the first time has to be counted."""


def small_space() -> SearchSpace:
    """The space narrowed to what is quickly costed; the named designs are still in it, smaller."""
    return SearchSpace().narrowed({**SMALL, **FEW_BLOCKS})


def formula(job: Job) -> Evaluation:
    """Scores an architecture by its cost and its key, as training would: dearer is better, with noise."""
    macs = cost_of(job.architecture, num_classes=NUM_CLASSES).macs
    noise = int(job.architecture.key(), 16) % 1000 / 5000
    accuracy = (1 - math.exp(-macs / 3e8)) * (0.8 + noise) * (0.5 if job.rung == 1 and job.epochs == 0.5 else 1.0)
    return Evaluation(
        outcome=Outcome.COMPLETE,
        scores={"accuracy": accuracy, "ap": accuracy / 2},
        epochs=job.epochs or 1.0,
        images_seen=8,
        seconds=1.0,
    )


class FakeEvaluator:
    """Remembers its jobs, writes tiny weights, and scores by a formula or by what a test gives it."""

    def __init__(self, evaluate: Callable[[Job], Evaluation] = formula) -> None:
        self.jobs: list[Job] = []
        self._evaluate = evaluate

    def evaluate(self, job: Job, report: Report) -> Evaluation:
        self.jobs.append(job)
        report(Step(number=job.number, step=1, num_steps=2, loss=1.0))
        if job.weights_path is not None:
            save_weights(job.weights_path, {}, job.architecture.to_dict(), "abc")
        return self._evaluate(job)


@dataclass(frozen=True)
class FormulaSpec:
    """Makes an evaluator by formula in a worker process."""

    def make(self, worker: int = 0) -> FakeEvaluator:
        return FakeEvaluator()


class Silent:
    """An observer that only counts."""

    def __init__(self) -> None:
        self.ended: list[Trial] = []

    def started(self, running: RunningTrial) -> None: ...

    def stepped(self, step: Step) -> None: ...

    def finished(self, trial: Trial, trials: list[Trial]) -> None:
        self.ended.append(trial)


def make_domain(
    gmacs: float | None = 0.5, params_m: float | None = None, space: SearchSpace | None = None
) -> CostedDomain:
    budget = Budget(gmacs=gmacs, params_m=params_m)
    return CostedDomain(small_space() if space is None else space, budget, num_classes=NUM_CLASSES)


def make_config(name: str = "run", **settings: Any) -> RunConfig:
    known: dict[str, Any] = {
        "space_fingerprint": small_space().fingerprint(),
        "data_fingerprint": "data",
        "classes": ("a", "b", "c"),
        "budget_gflops": 0.5,
        "trials": 4,
        "rungs": (1.0,),
    }
    return RunConfig(name=name, **{**known, **settings})


def make_folder(tmp_path: Path, name: str = "run") -> RunFolder:
    return create(tmp_path / name, make_config(name))


def make_search(
    folder: RunFolder,
    evaluator: FakeEvaluator,
    *,
    trials: int | None = None,
    minutes: float | None = None,
    domain: CostedDomain | None = None,
    seed: int = 0,
    designs: bool = True,
    executor: Executor | None = None,
    **options: Any,
) -> Search:
    """Opens a search in a folder, as `nas run --resume` does."""
    domain = make_domain() if domain is None else domain
    named = {name: DESIGNS.get(name).architecture for name in STARTS} if designs else {}
    ladder = options.pop("ladder", Ladder(epochs=(1.0,)))
    url = options.pop("storage", None)
    study = open_study(folder, domain.space, num_rungs=ladder.last, storage=url)
    settle = settling(study, shared=url is not None)
    settle()
    return Search(
        study=study,
        domain=domain,
        executor=executor or LocalExecutor(evaluator),
        folder=folder,
        scheduler=Scheduler(
            domain=domain,
            strategy=STRATEGIES.get(options.pop("strategy", "ehvi")),
            objectives=study.objectives,
            ladder=ladder,
            starts=tuple(starting_points(domain, named)[0]),
            seed=seed,
            worker=0 if url is None else zlib.crc32(study.worker.encode()),
            repeats=options.pop("repeats", 1),
            inheritance=InheritanceRule(domain) if options.pop("inherit", False) else None,
        ),
        limits=Limits(trials=trials, minutes=minutes),
        observer=options.pop("observer", Silent()),
        settle=settle if url is not None else lambda: None,
        **options,
    )


def open_study(
    folder: RunFolder,
    space: SearchSpace | None = None,
    *,
    num_rungs: int = 1,
    storage: str | None = None,
    name: str = STUDY_NAME,
) -> SearchStudy:
    """Opens the study in a run's folder, or in a database."""
    return SearchStudy(
        journal_storage(folder.journal) if storage is None else database_storage(storage),
        space or small_space(),
        objectives(("accuracy", "macs")),
        name=name,
        num_rungs=num_rungs,
        worker=worker_name(),
    )
