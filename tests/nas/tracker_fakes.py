"""Stand-ins: a tracker that remembers what it is told, and modules in the place of mlflow and wandb."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

from nas.trackers import TrackedEnding, TrackedPart, TrackedRun, Value


class StandInTracker:
    """Remembers each call of each session; fails or hangs in the method that a test names."""

    step_interval: int | None = None
    sessions: ClassVar[list[StandInTracker]] = []
    fails_in: ClassVar[str] = ""
    hangs_in: ClassVar[str] = ""
    released: ClassVar[threading.Event] = threading.Event()
    """Ends the hanging."""

    def __init__(self) -> None:
        self.run: TrackedRun | None = None
        self.parts: list[TrackedPart] = []
        self.metrics: list[tuple[int, Mapping[str, float]]] = []
        self.results: Mapping[str, Value] = {}
        self.ending: TrackedEnding | None = None
        self.calls: list[str] = []

    @classmethod
    def reset(cls) -> None:
        """Forgets all sessions."""
        cls.sessions, cls.fails_in, cls.hangs_in, cls.released = [], "", "", threading.Event()

    def start(self, run: TrackedRun) -> str:
        self._called("start")
        self.run = run
        self.sessions.append(self)
        return run.tracked_id or f"id-{len(self.sessions)}"

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        self._called("log_metrics")
        self.metrics.append((step, metrics))

    def log_part(self, part: TrackedPart) -> None:
        self._called("log_part")
        self.parts.append(part)

    def log_results(self, results: Mapping[str, Value]) -> None:
        self._called("log_results")
        self.results = results

    def close(self, ending: TrackedEnding) -> None:
        self._called("close")
        self.ending = ending

    def _called(self, name: str) -> None:
        assert threading.current_thread() is not threading.main_thread()
        self.calls.append(name)
        if name == self.hangs_in:
            self.released.wait(30)
        if name == self.fails_in:
            raise ConnectionError("the server\nis gone")


class FakeMlflowClient:
    """The part of MLflow's client that is used, with MLflow's limits; its stores are in memory, by their URI."""

    stores: ClassVar[dict[str, dict[str, Any]]] = {}

    def __init__(self, tracking_uri: str) -> None:
        self._store = self.stores.setdefault(tracking_uri, {"experiments": {}, "runs": {}})

    def get_experiment_by_name(self, name: str) -> Any:
        return self._store["experiments"].get(name)

    def create_experiment(self, name: str) -> str:
        self._store["experiments"][name] = SimpleNamespace(experiment_id=str(len(self._store["experiments"]) + 1))
        return str(self._store["experiments"][name].experiment_id)

    def create_run(self, experiment_id: str, *, run_name: str, tags: dict[str, str]) -> Any:
        assert all(isinstance(value, str) and len(value) <= 8000 for value in tags.values())
        info = SimpleNamespace(run_id=uuid.uuid4().hex, run_name=run_name, status="RUNNING")
        info.experiment_id = experiment_id
        data = SimpleNamespace(tags=dict(tags), params={}, metrics={})
        self._store["runs"][info.run_id] = SimpleNamespace(info=info, data=data, history={})
        return self._store["runs"][info.run_id]

    def get_run(self, run_id: str) -> Any:
        return self._store["runs"][run_id]

    def search_runs(self, experiment_ids: list[str]) -> list[Any]:
        return [run for run in self._store["runs"].values() if run.info.experiment_id in experiment_ids]

    def get_metric_history(self, run_id: str, name: str) -> list[Any]:
        return list(self._store["runs"][run_id].history[name])

    def update_run(self, run_id: str, *, status: str) -> None:
        self._store["runs"][run_id].info.status = status

    def set_terminated(self, run_id: str, *, status: str) -> None:
        self._store["runs"][run_id].info.status = status

    def set_tag(self, run_id: str, name: str, value: str) -> None:
        assert isinstance(value, str)
        self._store["runs"][run_id].data.tags[name] = value

    def log_batch(self, run_id: str, *, metrics: Any = (), params: Any = ()) -> None:
        assert len(params) <= 100 and len(metrics) <= 1000
        run = self._store["runs"][run_id]
        for each in params:
            assert isinstance(each.value, str) and len(each.value) <= 6000 and each.key not in run.data.params
            run.data.params[each.key] = each.value
        for each in metrics:
            assert isinstance(each.value, float)
            run.data.metrics[each.key] = each.value
            run.history.setdefault(each.key, []).append(each)


def fake_mlflow(uri: str = "") -> dict[str, ModuleType]:
    """Returns modules in the place of mlflow; the user has set the store `uri`, or none."""

    class Metric(SimpleNamespace):
        def __init__(self, key: str, value: float, timestamp: int, step: int) -> None:
            super().__init__(key=key, value=value, timestamp=timestamp, step=step)

    class Param(SimpleNamespace):
        def __init__(self, key: str, value: str) -> None:
            super().__init__(key=key, value=value)

    module, entities = ModuleType("mlflow"), ModuleType("mlflow.entities")
    module.__dict__.update(
        MlflowClient=FakeMlflowClient,
        entities=entities,
        is_tracking_uri_set=lambda: bool(uri),
        get_tracking_uri=lambda: uri,
    )
    entities.__dict__.update(Metric=Metric, Param=Param)
    return {"mlflow": module, "mlflow.entities": entities}


class FakeWandbRun:
    """One session of a run of Weights & Biases."""

    def __init__(self, **settings: Any) -> None:
        self.settings, self.rows, self.summary, self.steps_by = settings, [], {}, {}  # type: ignore[var-annotated]
        self.exit_code: int | None = None

    def define_metric(self, name: str, *, step_metric: str) -> None:
        self.steps_by[name] = step_metric

    def log(self, row: Mapping[str, Any]) -> None:
        self.rows.append(dict(row))

    def finish(self, *, exit_code: int) -> None:
        self.exit_code = exit_code


def fake_wandb() -> tuple[ModuleType, list[FakeWandbRun]]:
    """Returns a module in the place of wandb, and the sessions that it will begin."""
    begun: list[FakeWandbRun] = []

    def init(
        *,
        project: str,
        dir: str,
        id: str,
        name: str,
        job_type: str,
        config: dict[str, Any] | None,
        mode: str,
        resume: str,
        reinit: str,
        settings: dict[str, Any],
    ) -> FakeWandbRun:
        begun.append(FakeWandbRun(**locals()))
        return begun[-1]

    module = ModuleType("wandb")
    module.__dict__.update(init=init)
    return module, begun
