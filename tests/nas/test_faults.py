"""What was mended for the bench of faults, and a part of the bench itself; all of it: `python -m tests.faults`."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from search_fakes import FakeEvaluator, formula, make_config, make_domain, make_folder, make_search, open_study

from nas.data_state import DataWatch, data_fingerprint_of
from nas.engine.journal import repair_journal
from nas.engine.ladder import Ladder
from nas.engine.loop import MAX_FAILURES, Search
from nas.engine.rescue import Rescue
from nas.engine.search_study import RunningTrial
from nas.executors import Evaluation, Job
from nas.run_folder import RunFolder
from results import records, trials
from results.trial import Cause, Outcome, Trial
from search_space.errors import ConfigError, DataError, WriteError
from trainers.data import open_data
from trainers.weights import is_readable, save_weights

DATA = Path(__file__).parent.parent / "data" / "hit_uav"
ROOT = Path(__file__).parent.parent.parent
KINDS = ("kill -9 of the driver", "study.journal: a line gone", "disk full: weights", "loss is NaN", "Ctrl-C twice")


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run of six trials on two rungs, one of which failed."""

    def some(job: Job) -> Evaluation:
        failed = Evaluation(outcome=Outcome.FAILED, cause=Cause.EXCEPTION, reason="on purpose")
        return failed if job.number == 2 else formula(job)

    folder = make_folder(tmp_path_factory.mktemp("searched"))
    make_search(folder, FakeEvaluator(some), trials=6, ladder=Ladder(epochs=(0.5, 1.0))).run()
    return folder


@pytest.fixture
def folder(searched: RunFolder, tmp_path: Path) -> RunFolder:
    """A copy of it."""
    subprocess.run(["cp", "-r", str(searched.path), str(tmp_path / "run")], check=True)
    return RunFolder(tmp_path / "run")


def rescued(folder: RunFolder) -> tuple[list[Trial], list[str]]:
    """Opens the study as a resume does; returns its trials and what the user is told."""
    rescue = Rescue(folder)
    rescue.repair_journal()
    study = open_study(folder, num_rungs=2)
    notices = rescue.restore(study, make_domain())
    return study.trials(), notices


def spoil_journal(folder: RunFolder, how: str) -> None:
    lines = folder.journal.read_bytes().splitlines(keepends=True)
    if how == "cut":
        folder.journal.write_bytes(b"".join(lines)[: len(b"".join(lines)) // 2])
    elif how == "gone":
        folder.journal.unlink()
    elif how == "line gone":
        folder.journal.write_bytes(b"".join(lines[:6] + lines[7:]))
    elif how == "another number":  # still JSON, and Optuna would take it
        assert b'"seconds":1.0' in lines[6] or b'"seconds":' in b"".join(lines)
        index = next(i for i, line in enumerate(lines) if b'"images_seen":8' in line)
        lines[index] = lines[index].replace(b'"images_seen":8', b'"images_seen":9')
        folder.journal.write_bytes(b"".join(lines))
    else:
        folder.journal.write_bytes(b"".join(lines[:6]) + b"\x00\xffgarbage" + b"".join(lines[6:]))


@pytest.mark.slow
@pytest.mark.parametrize("how", ["cut", "gone", "line gone", "another number", "garbled"])
def test_trials_that_a_journal_lost_come_back_from_the_table(folder: RunFolder, how: str) -> None:
    before = open_study(folder, num_rungs=2).trials()
    spoil_journal(folder, how)
    rows, notices = rescued(folder)
    assert rows == before
    assert len(notices) == 1 and "put back from trials.csv" in notices[0]
    kept = folder.path / "study.journal.damaged"
    assert kept.is_file() == (how not in ("cut", "gone"))
    assert rescued(folder) == (before, []), "once is enough"


def test_a_sound_run_is_left_alone(folder: RunFolder) -> None:
    before = open_study(folder, num_rungs=2).trials()
    folder.trials_csv.unlink()
    rows, notices = rescued(folder)
    assert rows == before and notices == ["trials.csv is gone; it is rewritten from the study"]


@pytest.mark.slow
def test_numbers_of_trials_in_flight_are_left_out(folder: RunFolder) -> None:
    before = open_study(folder, num_rungs=2).trials()
    lines = folder.trials_csv.read_text().splitlines(keepends=True)
    folder.trials_csv.write_text("".join(line for line in lines if not line.startswith("3,")))
    folder.journal.unlink()
    rows, _ = rescued(folder)
    assert rows == [trial for trial in before if trial.number != 3]
    make_search(folder, FakeEvaluator(), trials=8, ladder=Ladder(epochs=(0.5, 1.0))).run()
    assert records.load(folder.path)["number"].is_unique


def test_a_damaged_journal_without_its_table_is_refused(folder: RunFolder) -> None:
    folder.trials_csv.unlink()
    whole = folder.journal.read_bytes()
    spoil_journal(folder, "line gone")
    with pytest.raises(ConfigError, match=r"study\.journal is damaged at line 7: .*next: "):
        rescued(folder)
    folder.journal.write_bytes(whole)
    assert repair_journal(folder.journal) is None
    folder.journal.unlink()
    with pytest.raises(ConfigError, match=r"holds no trial and trials\.csv is gone; next: "):
        rescued(folder)


def test_a_record_that_is_needed_and_damaged_is_named(folder: RunFolder) -> None:
    folder.journal.unlink()
    table = folder.trials_csv.read_text()
    key = records.load(folder.path)["key"][1]
    folder.trials_csv.write_text(table.replace(str(key), "0123456789abcdef"))
    with pytest.raises(ConfigError, match=r"has lost trial \d, and its record in .*trials\.csv is damaged .*next: "):
        rescued(folder)


def test_a_journal_of_before_there_were_seals_is_read(folder: RunFolder) -> None:
    before = open_study(folder, num_rungs=2).trials()
    plain = [json.loads(line) for line in folder.journal.read_text().splitlines()]
    text = "".join(json.dumps({k: v for k, v in line.items() if k != "seal"}) + "\n" for line in plain)
    folder.journal.write_text(text)
    assert rescued(folder) == (before, [])
    make_search(folder, FakeEvaluator(), trials=7, ladder=Ladder(epochs=(0.5, 1.0))).run()
    assert repair_journal(folder.journal) is None and rescued(folder)[0][: len(before)] == before


@pytest.mark.parametrize("how", ["cut", "gone", "garbled"])
def test_readers_notice_a_table_that_lacks_trials(folder: RunFolder, how: str) -> None:
    lines = folder.trials_csv.read_text().splitlines(keepends=True)
    if how == "cut":
        folder.trials_csv.write_text("".join(lines[:4]))
        with pytest.warns(UserWarning, match=r"trials\.csv has 3 of the \d+ trials that have ended; next: nas run"):
            trials.load(folder.path)
    elif how == "garbled":
        folder.trials_csv.write_text("".join(lines[:3]) + '"\x00,,,\n' + "".join(lines[3:]))
        with pytest.raises(ValueError, match=r"trials\.csv is damaged .*next: nas run --resume") as caught:
            trials.load(folder.path)
        assert "\n" not in str(caught.value)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert len(trials.load(folder.path)) == len(lines) - 1


@pytest.mark.slow
@pytest.mark.parametrize("where", ["study.journal", "trials.csv", ".pt"])
def test_a_full_disk_ends_a_search_with_the_next_step(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_folder(tmp_path)
    make_search(folder, FakeEvaluator(), trials=2).run()
    before = open_study(folder).trials()

    def full(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    patches = {
        "study.journal": ("nas.engine.journal.os.fsync", full),
        "trials.csv": ("results.records.os.replace", full),
        ".pt": ("search_space.files.Path.write_bytes", full),
    }
    with monkeypatch.context() as patch:
        search = make_search(folder, FakeEvaluator(), trials=5)
        patch.setattr(*patches[where])
        with pytest.raises(WriteError, match=r"^cannot write .*No space left.*next: .*nas run --resume"):
            search.run()
    make_search(folder, FakeEvaluator(), trials=5).run()
    assert open_study(folder).trials()[: len(before)] == before
    assert repair_journal(folder.journal) is None and not list(folder.path.glob("*.part"))


@pytest.mark.slow
def test_after_many_failures_a_resume_may_try_again(tmp_path: Path) -> None:
    def never(job: Job) -> Evaluation:
        raise RuntimeError("no such device")

    folder = make_folder(tmp_path)
    with pytest.raises(ConfigError, match="next: remove the cause and nas run --resume"):
        make_search(folder, FakeEvaluator(never), trials=50).run()
    make_search(folder, FakeEvaluator(), trials=MAX_FAILURES + 2).run()
    assert records.tally(records.load(folder.path))["complete"] == 2


def test_damaged_weights_of_an_earlier_rung_are_not_gone_on_from(tmp_path: Path) -> None:
    folder, ladder = make_folder(tmp_path), Ladder(epochs=(0.5, 1.0))
    evaluator = FakeEvaluator()
    search = make_search(folder, evaluator, trials=6, ladder=ladder)
    real = Search._job

    def spoilt(self: Search, running: RunningTrial) -> Job:
        if running.spec.rung == 2:
            path = folder.weights_path(running.spec.candidate.key)
            path.write_bytes(path.read_bytes()[:-40])
        return real(self, running)

    search._job = spoilt.__get__(search)  # type: ignore[method-assign]
    search.run()
    promoted = [job for job in evaluator.jobs if job.rung == 2]
    assert promoted and all(job.start_weights is None and job.epochs == 1.5 for job in promoted)


def test_a_single_changed_byte_of_weights_is_found(tmp_path: Path) -> None:
    import torch

    path = tmp_path / "a.pt"
    save_weights(path, {"w": torch.ones(1000)}, {}, ["a"])
    assert is_readable(path) and not is_readable(tmp_path / "b.pt")
    content = bytearray(path.read_bytes())
    content[content.index(b"\x00\x00\x80\x3f" * 100) + 50] ^= 0x01
    path.write_bytes(content)
    assert not is_readable(path)


def test_data_that_changes_under_a_search_ends_it(tmp_path: Path) -> None:
    data = tmp_path / "data"
    subprocess.run(["cp", "-r", str(DATA), str(data)], check=True)
    config = make_config(data=str(data), data_fingerprint=data_fingerprint_of(open_data(data)))
    times = iter([0.0, 1.0, 10.0, 60.0, 61.0])
    watch = DataWatch(config, clock=lambda: next(times))
    watch()
    path = data / "annotations" / "instances_train.json"
    content = json.loads(path.read_text())
    content["annotations"][0]["bbox"][2] += 1
    path.write_text(json.dumps(content))
    watch()  # at 10 s, too soon after a look that took 1 s
    with pytest.raises(DataError, match="has changed since the run started .*restore the data set"):
        watch()
    DataWatch(replace(config, data=None))()


@pytest.mark.slow
def test_the_bench_injects_and_counts(tmp_path: Path) -> None:
    """In a process of its own, which forks: nothing may be lost, and the exit code says so."""
    words = [word for kind in KINDS for word in ("--only", kind)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults", "--times", "1", "--json", "--out", str(tmp_path), *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert len(found) == len(KINDS)
    assert all(line["injected"] == 1 and not line["lost"] and not line["doubled"] for line in found)
