"""Runs in MLflow: a search or a training is a run, each trial a run below that of the search."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nas.trackers.tracker import TrackedEnding, TrackedPart, TrackedRun, Value, flat, is_number

EXPERIMENT = "pyramidnas"
"""Unless MLFLOW_EXPERIMENT_NAME is set."""
STORE = "mlruns"
"""The local store in the folder of a run or a training."""
PARENT = "mlflow.parentRunId"
MAX_TEXT = 5000
"""Characters of a value; MLflow takes 6000 bytes."""
MAX_PARAMS = 100
"""Of one request."""
STATUS = {
    TrackedEnding.FINISHED: "FINISHED",
    TrackedEnding.INTERRUPTED: "KILLED",
    TrackedEnding.FAILED: "FAILED",
}


class MlflowTracker:
    """Writes into the store that the user has set for MLflow, else into a local one in the folder.

    It uses a client of its own, so a run that is active in this process is left alone.

    Raises:
        ImportError: The package mlflow is not installed.
    """

    step_interval: int | None = None

    def __init__(self) -> None:
        import mlflow

        self._mlflow: Any = mlflow
        self._client: Any = None
        self._experiment = self._run = ""

    def start(self, run: TrackedRun) -> str:
        """Creates a run with the settings as parameters, or opens that of an earlier session."""
        self._client = self._mlflow.MlflowClient(tracking_uri=self._uri(run.folder))
        if run.tracked_id is not None:
            self._run = run.tracked_id
            self._client.update_run(self._run, status="RUNNING")
            self._experiment = self._client.get_run(self._run).info.experiment_id
            return self._run
        self._experiment = self._find_experiment()
        kind = "search" if run.is_search else "training"
        tags = {"kind": kind, "folder": str(run.folder.resolve())}
        created = self._client.create_run(self._experiment, run_name=run.name, tags=tags)
        self._run = str(created.info.run_id)
        self._log(self._run, params=dict(flat(run.settings)))
        return self._run

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Writes metrics of the run."""
        self._log(self._run, metrics=metrics, step=step)

    def log_part(self, part: TrackedPart) -> None:
        """Writes a run below that of the search."""
        tags = {PARENT: self._run, **{name: text[:MAX_TEXT] for name, text in part.notes.items()}}
        created = self._client.create_run(self._experiment, run_name=part.name, tags=tags)
        below = str(created.info.run_id)
        self._log(below, metrics=part.metrics, params=part.params)
        self._client.set_terminated(below, status=STATUS[part.ending])

    def log_results(self, results: Mapping[str, Value]) -> None:
        """Writes numbers as metrics, and the rest as tags."""
        self._log(self._run, metrics={name: float(value) for name, value in results.items() if is_number(value)})
        for name, value in results.items():
            if not is_number(value):
                self._client.set_tag(self._run, name, str(value)[:MAX_TEXT])

    def close(self, ending: TrackedEnding) -> None:
        """Ends the run; a later session opens it again."""
        self._client.set_terminated(self._run, status=STATUS[ending])

    def _uri(self, folder: Path) -> str:
        """Returns where the user has MLflow write, else the local store, which newer versions have to be allowed."""
        if self._mlflow.is_tracking_uri_set():
            return str(self._mlflow.get_tracking_uri())
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        return (folder / STORE).resolve().as_uri()

    def _find_experiment(self) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
        found = self._client.get_experiment_by_name(name)
        return str(self._client.create_experiment(name) if found is None else found.experiment_id)

    def _log(
        self,
        run: str,
        *,
        metrics: Mapping[str, float] | None = None,
        params: Mapping[str, Value] | None = None,
        step: int = 0,
    ) -> None:
        from mlflow.entities import Metric, Param

        if metrics:
            now = int(1000 * time.time())
            values = [Metric(name, float(value), now, step) for name, value in metrics.items()]
            self._client.log_batch(run, metrics=values)
        texts = [Param(name, str(value)[:MAX_TEXT]) for name, value in (params or {}).items()]
        for first in range(0, len(texts), MAX_PARAMS):
            self._client.log_batch(run, params=texts[first : first + MAX_PARAMS])
