"""Evaluation by Ray Tune, on this machine or on a cluster.

The search decides, Tune executes: each job is a Tune trial, whose resources follow from its predicted memory. Tune's
controller runs in a thread. Steps and requests to stop go through a small actor, the `ProgressBoard`.
"""

from __future__ import annotations

import logging
import math
import os
import queue
import shutil
import threading
import time
from collections.abc import Callable
from typing import Any

from nas.executors import (
    Evaluation,
    Evaluator,
    EvaluatorFactory,
    Job,
    NothingUnderWay,
    Report,
    Step,
    StopTrial,
)
from nas.executors.attempt import Attempt, attempt, interrupted, limit_exceeded
from nas.executors.memory import gpu_bytes
from nas.executors.ray_env import handlers_kept, path_handed_on, short_folder, silence_ray
from nas.executors.ray_progress import ProgressBoard
from nas.executors.ray_queue import JobQueue
from nas.executors.ray_resources import place_in, room_in
from nas.executors.worker import throttled, unmade
from results.trial import Cause, Outcome
from search_space.errors import ConfigError

try:
    import ray
    from ray import tune
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    from nas.executors.ray_hooks import Suggestions, TrialEnds, WhenClosed
except ImportError as error:
    raise ConfigError(f"Ray Tune cannot be imported ({error}); next: pip install 'ray[tune]'") from None

POLL_SECONDS = 0.25
JOIN_SECONDS = 30.0
MOST_JOBS = 10_000
"""Limit of Tune for a cluster that may grow; the search submits no more jobs than there is room for."""
STORE_BYTES = 100 * 2**20
"""Size of Ray's object store, which only passes short messages."""
TOKENS = "; set RAY_AUTH_MODE=token if ray start said that token authentication is enabled"
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",
}
"""No usage statistics, no output, and no file for each result, because the study stores the results.

Workers have the priority of this process. With Ray's default, a lower priority, they hardly start on a busy machine.
"""

logger = logging.getLogger(__name__)


class RayExecutor:
    """Runs jobs as trials of Ray Tune, in workers that are kept from trial to trial.

    Args:
        factory: Makes the evaluator of each worker, in the worker.
        address: Of a running cluster; None: the Ray that this process is connected to, or else a new local one.
        num_workers: Jobs at a time; None: as many as the cluster has room for, also on machines that come or go later.
        cpus_per_trial: CPUs of each job.
        gpus_per_trial: Least share of a GPU of each job; None: a whole GPU where there are any, else none. A job that
            is predicted to need more memory gets a larger share.
        trial_seconds: Time limit of a job, from when its worker has it; None: no limit.

    Raises:
        ConfigError: There is no cluster at `address`, or it has no room for a job.
    """

    def __init__(
        self,
        factory: EvaluatorFactory,
        *,
        address: str | None = None,
        num_workers: int | None = None,
        cpus_per_trial: float = 1,
        gpus_per_trial: float | None = None,
        trial_seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._trial_seconds = trial_seconds
        self._overdue: set[int] = set()
        """The numbers of the jobs whose workers were killed at the time limit."""
        self._jobs: dict[int, Job] = {}
        self._began: dict[int, float] = {}
        self._stopping: set[int] = set()
        self._ended: dict[int, Evaluation] = {}
        self._folder = short_folder()
        self._started = self._closed = False
        num_cpus = None if num_workers is None else num_workers * cpus_per_trial
        try:
            self._started = _connect(address, self._folder, num_cpus)
            place = place_in(_machines(), num_workers, cpus_per_trial, gpus_per_trial)
            self.capacity = place.num_workers
            self._follows_cluster, self._place = num_workers is None, place
            self._queue = JobQueue(place)
            self._board = _progress_board()
            self._thread = threading.Thread(target=_run_tune, daemon=True, args=self._tune_arguments(factory))
            self._thread.start()
        except BaseException:
            self._disconnect()
            raise

    def submit(self, job: Job) -> None:
        """Takes a job and queues it for Tune."""
        assert len(self._jobs) < self.capacity, f"{self.capacity} jobs are under way"
        assert not self._closed, "the executor is closed"
        self._jobs[job.number], self._began[job.number] = job, self._clock()
        self._board.begin.remote(job.number)
        self._queue.put(job.absolute())

    def wait(self, report: Report) -> tuple[Job, Evaluation]:
        """Returns the next job to end with its evaluation; see `nas.executors.Executor`."""
        if not self._jobs:
            raise NothingUnderWay
        try:
            while not self._ended:
                self._turn(report)
        except KeyboardInterrupt:
            self._interrupt()
        if self._follows_cluster:
            self.capacity = max(1, room_in(_machines(), self._place.cpus, self._place.gpus))
        number = next(iter(self._ended))
        self._stopping.discard(number)
        del self._began[number]
        return self._jobs.pop(number), self._ended.pop(number)

    def interrupt(self) -> None:
        """Ends the jobs under way, even if they hang; `wait` then returns each of them as stopped."""
        if any(number not in self._ended for number in self._jobs):
            self._interrupt()

    def close(self) -> None:
        """Ends all workers, and Ray if it was started here; jobs under way are dropped."""
        if not self._closed:
            self._closed = True
            self._end_workers()
            self._disconnect()

    def __enter__(self) -> RayExecutor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _tune_arguments(self, factory: EvaluatorFactory) -> tuple[Any, ...]:
        """Returns the arguments of `_run_tune`."""
        trainable = tune.with_parameters(Worker, factory=factory, board=self._board)
        placed = tune.with_resources(trainable, lambda config: tune.PlacementGroupFactory([config["bundle"]]))
        return placed, self._queue, self._folder, MOST_JOBS if self._follows_cluster else self.capacity

    def _turn(self, report: Report) -> None:
        """Waits a moment for a job to end, and reports the steps that arrived meanwhile."""
        try:
            ended = self._queue.ended.get(timeout=POLL_SECONDS)
        except queue.Empty:
            ended = None
        try:
            steps = ray.get(self._board.take.remote())
        except ray.exceptions.RayError as error:
            raise ConfigError(
                f"the connection to Ray is lost: {error}; next: nas run --resume with the run's folder"
            ) from None
        for step in steps:
            self._report(step, report)
        self._end_overdue()
        if ended is not None:
            self._end_job(*ended)
        elif not self._thread.is_alive():
            raise ConfigError("Ray Tune has ended, and no job can be run; next: nas --debug run, to see why")

    def _end_overdue(self) -> None:
        """Kills the workers of jobs over the time limit, which may hang; Tune then reports that they are dead."""
        if self._trial_seconds is not None:
            for number, worker in ray.get(self._board.overdue.remote(self._trial_seconds)):
                self._overdue.add(number)
                ray.kill(worker)

    def _report(self, step: Step, report: Report) -> None:
        if step.number in self._jobs and step.number not in self._stopping:
            try:
                report(step)
            except StopTrial as stop:
                self._stopping.add(step.number)
                self._board.stop.remote(step.number, stop)

    def _end_job(self, number: int, tried: Attempt | str) -> None:
        """Records how a job ended: by an attempt, or with its worker, of whose death Ray says why."""
        if isinstance(tried, str):
            is_overdue = number in self._overdue
            self._ended[number] = Evaluation(
                outcome=Outcome.FAILED,
                cause=Cause.TIME_LIMIT if is_overdue else Cause.WORKER_LOST,
                reason=limit_exceeded(self._trial_seconds) if is_overdue else f"worker lost: {tried}",
                seconds=max(0.0, self._clock() - self._began[number]),
            )
            return
        if tried.fault is not None:
            del self._jobs[number], self._began[number]
            tried.check_fault()
        if tried.out_of_memory:
            if self._queue.put_alone(self._jobs[number].absolute()):
                return
            self._ended[number] = tried.given_up()
        else:
            self._ended[number] = tried.evaluation
            self._queue.learn(self._jobs[number], tried.evaluation)

    def _interrupt(self) -> None:
        """Ends all workers; jobs that have not ended are recorded as interrupted.

        Jobs are first asked to end, so that they report their progress, and then killed.
        """
        under_way = [number for number in self._jobs if number not in self._ended]
        if not under_way:
            raise KeyboardInterrupt
        for number in under_way:
            self._board.stop.remote(number, StopTrial(Cause.INTERRUPTED))
        last = self._queue.last_evaluations(under_way)
        self._end_workers()
        self._ended = {number: interrupted(last.get(number)) for number in under_way} | self._ended

    def _end_workers(self) -> None:
        """Ends Tune, and kills its workers so that it does not wait for them."""
        self._queue.close()
        deadline = time.monotonic() + JOIN_SECONDS
        while self._thread.is_alive() and time.monotonic() < deadline:
            try:
                for worker in ray.get(self._board.workers.remote()):
                    ray.kill(worker)
            except ray.exceptions.RayError:
                logger.info("the progress board is gone", exc_info=True)
            self._thread.join(POLL_SECONDS)

    def _disconnect(self) -> None:
        if self._started:
            ray.shutdown()
        elif ray.is_initialized() and hasattr(self, "_board"):
            ray.kill(self._board)
        shutil.rmtree(self._folder, ignore_errors=True)


class Worker(tune.Trainable):
    """A worker of Tune: it makes its evaluator once, and evaluates one job in each trial of Tune."""

    def setup(self, config: dict[str, Any], factory: EvaluatorFactory, board: Any) -> None:  # type: ignore[override]
        """Called by Tune once for each worker."""
        self._job: Job = config["job"]
        self._board = board
        self._evaluator: Evaluator | None = None
        self._factory = factory
        context = ray.get_runtime_context()
        board.enrol.remote(context.get_actor_id(), context.current_actor)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Called by Tune when the worker is reused."""
        self._job = new_config["job"]
        return True

    def step(self) -> dict[str, Any]:
        """Evaluates the job; called by Tune once for each trial."""
        return {"done": True, "attempt": self._attempt(), "gpu_bytes": gpu_bytes()}

    def _attempt(self) -> Attempt:
        ray.get(self._board.claim.remote(self._job.number, ray.get_runtime_context().current_actor))
        try:
            return self._evaluated()
        finally:
            ray.get(self._board.release.remote(self._job.number))

    def _evaluated(self) -> Attempt:
        try:
            if self._evaluator is None:
                self._evaluator = self._factory.make(0)
        except Exception as error:
            return unmade(error)
        request: StopTrial | None = None

        def send(step: Step) -> None:
            nonlocal request
            request = ray.get(self._board.post.remote(step))

        return attempt(self._evaluator, self._job, throttled(send, lambda: request))


def _run_tune(trainable: Any, jobs: JobQueue, folder: str, num_workers: int) -> None:
    """Runs Tune until the queue is closed."""
    try:
        tune.Tuner(
            trainable,
            tune_config=tune.TuneConfig(
                search_alg=Suggestions(jobs),
                num_samples=-1,
                max_concurrent_trials=num_workers,
                reuse_actors=True,
                trial_name_creator=lambda trial: trial.trial_id,
                trial_dirname_creator=lambda trial: trial.trial_id,
            ),
            run_config=tune.RunConfig(
                name="nas",
                storage_path=folder,
                verbose=0,
                callbacks=[TrialEnds(jobs)],
                stop=WhenClosed(jobs),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        ).fit()
    except Exception:
        logger.info("Tune ended", exc_info=True)


def _connect(address: str | None, folder: str, num_cpus: float | None) -> bool:
    """Connects to Ray; returns whether it was started here and has to be ended here.

    Raises:
        ConfigError: There is no cluster at the address.
    """
    debug = logger.isEnabledFor(logging.DEBUG)
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    if not debug:
        silence_ray()
    if address is None and ray.is_initialized():
        return False
    options: dict[str, Any] = {"log_to_driver": debug, "logging_level": logging.DEBUG if debug else logging.CRITICAL}
    if address is None:
        own = {"include_dashboard": False, "object_store_memory": STORE_BYTES, "_temp_dir": folder}
        options |= own | {"num_cpus": None if num_cpus is None else math.ceil(num_cpus)}
    try:
        with handlers_kept(), path_handed_on():
            ray.init(address=address or "local", **options)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"Ray cannot be reached at {address or 'this machine'}: {error}; next: nas doctor tells whether Ray works "
            "here, ray status on the cluster whether it runs, --executor processes needs none"
            f"{TOKENS if address else ''}"
        ) from None
    return True


def _progress_board() -> Any:
    """Starts the progress board on the machine of this process, so that it is not lost with another one."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    board: Any = ray.remote(num_cpus=0)(ProgressBoard)
    return board.options(scheduling_strategy=here).remote()


def _machines() -> list[dict[str, float]]:
    """Returns the resources of each machine of the connected cluster that is alive."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
