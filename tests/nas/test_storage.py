"""One study for workers in several processes, on a real PostgreSQL server: who is lost, who joins, what adds up."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import postgres_server
import pytest
from search_fakes import FakeEvaluator, Silent, formula, make_folder, make_search, open_study, small_space

from nas.engine import join_run
from nas.engine.run_request import RunRequest
from nas.engine.session import begin, open_search
from nas.engine.storage import Heartbeats, database_storage, heartbeat_name, hide_password, is_gone, worker_name
from nas.executors import Evaluation, Job
from nas.executors.local import LocalExecutor
from nas.run_folder import reopen
from results import records
from results.trial import Cause, Outcome
from search_space import DESIGNS
from search_space.errors import ConfigError
from trainers import fresh_detector, save_weights

needs_postgres = pytest.mark.skipif(postgres_server.find("initdb") is None, reason="PostgreSQL's server is not here")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with postgres_server.running() as found:
        yield found


@pytest.mark.parametrize(
    "url, reason",
    [
        ("sqlite:///x.db", "takes a PostgreSQL URL"),
        ("runs/x", "takes a PostgreSQL URL"),
        ("postgresql://nas:secret@127.0.0.1:1/none", "does not answer"),
    ],
)
def test_what_is_no_database_is_one_line_without_a_password(url: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason) as caught:
        database_storage(url)
    assert "secret" not in str(caught.value) and "\n" not in str(caught.value)


def test_a_password_is_hidden() -> None:
    assert hide_password("postgresql://a:b@h/d") == "postgresql://a:***@h/d"
    assert hide_password("postgresql://a@h/d") == "postgresql://a@h/d"


def test_a_worker_of_this_host_is_known_to_be_gone() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert not is_gone(worker_name())
    assert is_gone(f"{socket.gethostname()}:{child.pid}:0")
    assert not is_gone(f"elsewhere:{child.pid}:0")


def test_only_a_silent_worker_is_lost(tmp_path: Path) -> None:
    folder, now = make_folder(tmp_path), [0.0]
    search = make_search(folder, FakeEvaluator(), trials=1)
    study = open_study(folder)
    study.worker = "far:1:x"
    study.begin(search.scheduler.next([], []))  # type: ignore[arg-type]
    heartbeats = Heartbeats(search.study, grace_seconds=60, clock=lambda: now[0])
    for now[0], beat in ((0.0, 1), (50.0, 2), (100.0, 2)):
        study.note(heartbeat_name(study.worker), beat)
        heartbeats.look()
        assert not heartbeats.is_lost("far:1:x")
    now[0] = 111.0
    heartbeats.look()
    assert heartbeats.is_lost("far:1:x") and not heartbeats.is_lost("nobody:2:y")
    search.study.settle(heartbeats.is_lost)
    (trial,) = search.study.trials()
    assert (trial.outcome, trial.cause, trial.worker) == (Outcome.FAILED, Cause.INTERRUPTED, "far:1:x")


def slow(job: Job) -> Evaluation:
    time.sleep(0.1)
    return formula(job)


def work(folder: Path, url: str) -> None:
    """What each worker does until 14 trials are done by all of them together."""
    evaluator = FakeEvaluator(slow)
    make_search(reopen(folder), evaluator, trials=14, storage=url, designs=False, strategy="random").run()


@pytest.mark.slow
@needs_postgres
def test_workers_share_a_study_and_one_that_is_killed_loses_its_trial_only(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [make_folder(tmp_path, f"worker{index}") for index in range(3)]
    started = multiprocessing.get_context("forkserver")  # a clean process imports torch, and workers come off it
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    started.set_forkserver_preload(["search_fakes"])
    children = [started.Process(target=work, args=(folder.path, url)) for folder in folders]
    for child in children:
        child.start()
    try:
        watching = open_study(folders[0], storage=url)
        deadline = time.monotonic() + 120
        while not any(trial.worker.split(":")[1] == str(children[0].pid) for trial in watching.running()):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        children[0].kill()
        for child in children:
            child.join(timeout=120)
        assert [child.exitcode for child in children] == [-signal.SIGKILL, 0, 0]
    finally:
        for child in children:
            child.kill()
    table = records.frame(watching.trials())
    counts = records.tally(table)
    assert counts["asked"] == len(table) == sum(counts[outcome] for outcome in records.OUTCOMES)
    lost = table[table["cause"] == "interrupted"]
    assert len(lost) <= 1 and set(lost["worker"].str.split(":").str[1]) <= {str(children[0].pid)}
    trained = table[table["outcome"] == "complete"]
    assert trained["retry_of"].dropna().tolist() == lost["number"].tolist()  # again, and once
    assert 14 <= len(trained) <= 16 and trained["worker"].nunique() >= 2
    assert trained["key"].is_unique
    assert sorted(table["number"]) == list(range(len(table)))
    assert watching.running() == []


@pytest.mark.slow
@needs_postgres
def test_a_worker_joins_with_nothing_but_the_database_and_the_data(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    narrow = tuple(
        f"{axis.name}={','.join(map(str, axis.choices))}" for axis in small_space().axes if len(axis.choices) < 6
    )
    asked = RunRequest.of(budget_gflops=0.2, trials=3, name="shared", storage=url, choices=narrow, seed=3)
    session = begin(asked)
    assert "secret" not in (session.folder.path / "config.yaml").read_text()
    first = open_search(session, LocalExecutor(FakeEvaluator()), Silent())
    join_run.publish(first.study, session)
    assert str(first.run()) == "3 trials are done"
    assert heartbeat_name(first.study.worker) in first.study.notes  # else it would be taken for lost after a minute
    monkeypatch.chdir(tmp_path / "runs")
    joined = join_run.join(RunRequest.of(name="shared", storage=url, trials=5))
    assert joined.config.narrowing == session.config.narrowing and joined.config.seed == 3
    second = open_search(joined, LocalExecutor(FakeEvaluator()), Silent())
    assert str(second.run()) == "5 trials are done"
    assert len(records.load(joined.folder.path)) == 5
    with pytest.raises(ConfigError, match="drop --budget-gflops"):
        join_run.join(RunRequest.of(name="shared", storage=url, budget_gflops=1.0))
    with pytest.raises(ConfigError, match="there is no run 'nowhere'"):
        join_run.join(RunRequest.of(name="nowhere", storage=url))


@pytest.mark.slow
@needs_postgres
def test_a_worker_that_joins_starts_from_the_pretrained_weights_of_the_run(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    architecture = DESIGNS.get("yolov8n").architecture.resized((64, 64))
    save_weights("donor.pt", fresh_detector(architecture, num_classes=1, seed=0), architecture.to_dict(), ("car",))
    narrow = tuple(f"{axis.name}={axis.choices[0]}" for axis in small_space().axes if len(axis.choices) == 1)
    session = begin(
        RunRequest.of(budget_gflops=0.2, trials=1, name="given", storage=url, fix=narrow, pretrained="donor.pt")
    )
    opened = open_search(session, LocalExecutor(FakeEvaluator()), Silent())
    join_run.publish(opened.study, session)
    opened.run()
    Path("donor.pt").rename("moved.pt")
    evaluator = FakeEvaluator()
    joined = join_run.join(RunRequest.of(name="given", storage=url, trials=2, out="elsewhere"))
    open_search(joined, LocalExecutor(evaluator), Silent()).run()
    assert [job.pretrained for job in evaluator.jobs] == [joined.folder.pretrained]
    assert joined.folder.pretrained.is_file()
    session.folder.pretrained.unlink()
    lacking = join_run.join(RunRequest.of(name="given", storage=url, out="third"))
    assert "cannot be read here" in lacking.notices[-1] and not lacking.folder.pretrained.exists()
    again = join_run.join(RunRequest.of(name="given", storage=url, out="fourth", pretrained="moved.pt"))
    assert again.folder.pretrained.is_file()


@needs_postgres
def test_a_connection_does_not_outlive_its_link_and_holds_no_lock_for_long(url: str) -> None:
    from sqlalchemy import text

    storage = database_storage(url)
    with storage.engine.connect() as connection:
        found = connection.execute(text("SHOW idle_in_transaction_session_timeout")).scalar()
        driver = connection.connection.dbapi_connection
        assert driver is not None
        assert found == "1min"
        assert driver.info.get_parameters()["tcp_user_timeout"] == "30000"  # type: ignore[attr-defined]
