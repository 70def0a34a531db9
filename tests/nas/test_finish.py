"""The finish of a run: its best members are trained on, scored and exported, and all of it can be interrupted."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from search_fakes import FakeEvaluator, formula, make_config

from nas.api.events import FinishEnded, FinishStarted, FinishStep, SearchEvent
from nas.api.finish_results import evaluated_images
from nas.api.finishing import finish
from nas.api.search import SearchInterrupted, search
from nas.api.search_run import open_run
from nas.api.training_speed import EVALUATION_SPEEDUP, Schedule
from nas.cli import main
from nas.commands.run_display import plan_line
from nas.engine.ending import INTERRUPTED
from nas.engine.time_plan import MAX_FINISH_EPOCHS, PLAN_JSON, plan_time, read_record
from nas.executors import Evaluation, Job
from nas.reports.finished_member import FINISH_JSON, read_finished
from search_space.errors import ConfigError
from trainers import fresh_detector, load_weights, save_weights
from trainers.data import open_data
from trainers.data.holdout import divide

DATA = Path(__file__).parents[1] / "data" / "hit_uav"
QUICK: dict[str, Any] = {
    "budget_gflops": 0.1,
    "fix": {"block": "c2f", "width": "0.125", "input_size": "128", "depth": "0.17"},
    "choices": {"backbone": ("yolov8",)},
    "epochs": 1,
    "threads": 1,
}
TICK = 0.05


def test_the_plan_is_said_in_words() -> None:
    assert plan_line(plan_time(8 * 3600, 3)) == (
        "plan:   8 h in all: 2.8 h search, 4.96 h training of the best 3 members (1.65 h each, at most 100 epochs), "
        "14.4 min evaluation and export"
    )
    assert "30 s in all: 10.5 s search, 18.6 s training of the best member (at most" in plan_line(plan_time(30, 1))


class Ticking:
    """A clock that goes on by the same time whenever it is read."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += TICK
        return self.now


class Writing(FakeEvaluator):
    """Scores by a formula and writes random weights that can be trained on."""

    def evaluate(self, job: Job, report: Any) -> Evaluation:
        self.jobs.append(job)
        detector = fresh_detector(job.architecture, num_classes=len(CLASSES), seed=job.seed)
        assert job.weights_path is not None
        save_weights(job.weights_path, detector.state_dict(), job.architecture.to_dict(), CLASSES)
        return formula(job)


CLASSES = open_data(str(DATA)).train.classes


@pytest.fixture
def evaluator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Writing:
    """Puts a formula in the place of trials, and an empty folder in that of this one."""
    fake = Writing()
    monkeypatch.setattr("nas.executors.training.TrainingEvaluator", lambda *args, **kwargs: fake)
    monkeypatch.chdir(tmp_path)
    return fake


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that has searched."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nas.executors.training.TrainingEvaluator", lambda *args, **kwargs: Writing())
        out = tmp_path_factory.mktemp("runs")
        run = search(DATA, trials=4, out=out, name="a", **QUICK)
    assert len(run.members) >= 2
    return run.folder


@pytest.fixture
def folder(searched: Path, tmp_path: Path) -> Path:
    return shutil.copytree(searched, tmp_path / "a")


@pytest.fixture(autouse=True)
def without_onnx(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves ONNX out of the exports, as where the extra is not installed: it takes seconds."""
    monkeypatch.setitem(sys.modules, "onnx", None)


class Told:
    """What a finish tells."""

    def __init__(self, on_event: Callable[[SearchEvent], None] = lambda event: None) -> None:
        self.events: list[SearchEvent] = []
        self.notices: list[str] = []
        self.spent: dict[str, float] = {}
        self._on_event = on_event

    def __call__(self, event: SearchEvent) -> None:
        self.events.append(event)
        self._on_event(event)

    def spend(self, phase: str, seconds: float) -> None:
        self.spent[phase] = self.spent.get(phase, 0.0) + seconds

    @property
    def kinds(self) -> list[type]:
        return list(dict.fromkeys(map(type, self.events)))


def finished(folder: Path, seconds: float = 0.6, num_members: int = 1, told: Told | None = None) -> Any:
    told = told or Told()
    return finish(
        folder,
        num_members,
        seconds,
        clock=Ticking(),
        threads=1,
        on_notice=told.notices.append,
        on_progress=told,
        on_spent=told.spend,
    )


def interrupt(*arguments: Any, **keywords: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.slow
def test_members_are_trained_on_scored_and_exported(folder: Path) -> None:
    told = Told()
    found = finished(folder, 3.0, 2, told)
    members = open_run(folder).members
    assert [each.key for each in found] == [each.key for each in members[:2]] and found == read_finished(folder)
    assert [each.name for each in found] == [each.name for each in members[:2]]
    assert told.kinds == [FinishStarted, FinishStep, FinishEnded] and set(told.spent) == {"finish", "evaluation"}
    first = found[0]
    assert first.folder == folder / "finished" / members[0].name and (first.folder / "history.csv").is_file()
    assert (first.scored_on, first.num_images) == ("all", len(open_data(str(DATA)).val))
    assert first.scores["ap50_low"] <= first.scores["ap50"] <= first.scores["ap50_high"]
    settings = (first.folder / "config.yaml").read_text()
    assert "eval_every: 0.0" in settings and f"pretrained: {members[0].weights.resolve()}" in settings
    steps = [each for each in told.events if isinstance(each, FinishStep) and each.name == first.name]
    assert [each.step for each in steps] == list(range(1, steps[0].num_steps + 1))
    assert steps[-1].seconds_left == 0 and steps[-1].images_per_second == pytest.approx(4 / TICK, rel=0.6)
    assert first.images_seen == steps[0].num_steps * 4
    assert first.export is not None and (first.export / "weights.safetensors").is_file()
    trained, exported = load_weights(first.weights), load_weights(first.export / "weights.safetensors")
    assert all(torch.equal(exported.state[name], value) for name, value in trained.state.items())
    assert json.loads((first.folder / FINISH_JSON).read_text())["weights"] == "weights.pt"


@pytest.mark.slow
def test_a_run_that_finished_is_not_trained_again_and_may_be_moved(folder: Path) -> None:
    before = finished(folder)
    moved = folder.rename(folder.with_name("b"))
    told = Told()
    after = finished(moved, told=told)
    assert told.events == [] and after[0].weights == moved / "finished" / before[0].name / "weights.pt"
    assert after[0].scores == pytest.approx(before[0].scores, nan_ok=True)


@pytest.mark.slow
@pytest.mark.parametrize("is_killed", [False, True], ids=["Ctrl-C", "a kill before the first checkpoint"])
def test_an_interrupted_training_is_resumed_with_its_schedule(is_killed: bool, folder: Path, tmp_path: Path) -> None:
    whole = shutil.copytree(folder, tmp_path / "whole")
    (expected,) = finished(whole)

    def press(event: SearchEvent) -> None:
        if isinstance(event, FinishStep) and event.step == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finished(folder, told=Told(press))
    assert read_finished(folder) == ()
    if is_killed:
        next(folder.glob("finished/*/last.pt")).unlink()
    told = Told()
    (found,) = finished(folder, seconds=0.01, told=told)
    assert [each.step for each in told.events if isinstance(each, FinishStep)][0] == (1 if is_killed else 2)
    assert next(each for each in told.events if isinstance(each, FinishStarted)).epochs is None
    assert (found.epochs, found.images_seen) == (expected.epochs, expected.images_seen)
    same = load_weights(expected.weights).state
    assert all(torch.equal(same[name], value) for name, value in load_weights(found.weights).state.items())


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["images_per_second", "scored", "exported"])
def test_a_kill_between_the_trainings_loses_no_training(
    phase: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(f"nas.api.finishing.{phase}", interrupt)
        with pytest.raises(KeyboardInterrupt):
            finished(folder)
    assert read_finished(folder) == ()
    was_trained = phase != "images_per_second"
    assert (folder / "finished").exists() is was_trained
    told = Told()
    (found,) = finished(folder, told=told)
    assert any(isinstance(each, FinishStep) for each in told.events) is not was_trained
    assert found.export is not None and found.epochs > 0


@pytest.mark.slow
def test_without_the_packages_for_onnx_the_rest_is_exported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told()
    (found,) = finished(folder, told=told)
    assert found.onnx is None and found.export is not None and (found.export / "weights.safetensors").is_file()
    (line,) = [each for each in told.notices if "pyramidnas[onnx]" in each]
    assert line.startswith(f"{found.name}: the export is without ONNX: ")
    (found.folder / FINISH_JSON).unlink()
    monkeypatch.setattr("nas.exporters.entry_files.write_onnx", lambda *given: {"model.onnx": b"a graph"})
    monkeypatch.setattr("nas.exporters.entry_files.difference", lambda *given: 0.0)
    (again,) = finished(folder, told=told)
    assert again.onnx is not None and again.onnx.read_bytes() == b"a graph"
    assert again.onnx.parent == again.export


@pytest.mark.slow
def test_a_member_without_weights_starts_from_random_ones(folder: Path) -> None:
    member = open_run(folder).members[0]
    member.weights.write_bytes(b"damaged")
    told = Told()
    (found,) = finished(folder, told=told)
    assert "from_scratch: true" in (found.folder / "config.yaml").read_text()
    assert f"finish: {member.weights} is missing or damaged: {member.name} starts from random weights" in told.notices


@pytest.mark.slow
def test_a_member_that_cannot_be_trained_is_told_and_the_next_one_is_trained(folder: Path) -> None:
    first, second = open_run(folder).members[:2]
    taken = folder / "finished" / first.name
    taken.mkdir(parents=True)
    (taken / "weights.pt").write_bytes(b"of another training")
    told = Told()
    found = finished(folder, 3.0, 2, told)
    assert [each.key for each in found] == [second.key]
    assert any(each.startswith(f"finish: {first.name}: ") for each in told.notices)


def test_without_time_or_members_nothing_is_trained(folder: Path) -> None:
    told = Told()
    assert finished(folder, 0.0, 1, told) == () and not (folder / "finished").exists()
    assert told.events == [] and "no time is left to train 01-" in told.notices[0]
    shutil.rmtree(folder / "front")
    (folder / "trials.csv").write_text((folder / "trials.csv").read_text().splitlines()[0] + "\n")
    assert finished(folder, 9.0, 2, told) == ()
    assert told.notices[-1] == "finish: the front has 0 of the 2 members that are to be trained on"


@pytest.mark.slow
def test_time_that_is_left_over_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.api.training_speed.MAX_FINISH_EPOCHS", 1.0)
    monkeypatch.setattr("nas.api.finishing.MAX_FINISH_EPOCHS", 1.0)
    told = Told()
    (found,) = finished(folder, 600.0, 1, told)
    assert found.epochs < 2
    assert any("minutes are left over" in each and f"{folder} --finish 2 uses them" in each for each in told.notices)


def test_changed_data_is_refused(folder: Path) -> None:
    path = folder / "config.yaml"
    path.write_text(path.read_text().replace("data_fingerprint: ", "data_fingerprint: x"))
    with pytest.raises(ConfigError, match="has changed since the run"):
        finished(folder)


def test_the_images_of_the_scores_are_held_out_where_the_run_holds_some_out() -> None:
    val = open_data(str(DATA)).val
    assert evaluated_images(make_config(holdout="no"), val) == ("all", val)
    name, images = evaluated_images(make_config(holdout="yes"), val)
    assert name == "held-out" and images.fingerprint() == divide(val).held_out.fingerprint()
    assert 0 < len(images) < len(val)


def test_the_epochs_fill_the_time_beside_the_evaluation() -> None:
    known = Schedule(images_per_second=20.0, train_images=100, evaluated_images=80, batch_size=4)
    evaluation = 80 / (EVALUATION_SPEEDUP * 20)
    assert known.epochs_within(12.0, 0.0) == pytest.approx((12.0 - evaluation) * 20 / 100)
    assert known.epochs_within(12.0, 5.0) == pytest.approx(7 * 20 / 100)
    assert known.epochs_within(evaluation + 0.1, 0.0) is None
    assert known.epochs_within(1e6, 0.0) == MAX_FINISH_EPOCHS
    assert replace(known, images_per_second=1e9).epochs_within(1.0, 0.0) == MAX_FINISH_EPOCHS


@pytest.mark.parametrize(
    "change",
    [
        {"weights": "../../other.pt"},
        {"weights": "/etc/passwd"},
        {"weights": None},
        {"name": "02-other"},
        {"scored_on": "train"},
        {"scores": []},
        {"epochs": "many"},
    ],
)
def test_a_damaged_file_of_a_finish_is_left_out(change: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "finished" / "01-abc" / FINISH_JSON
    path.parent.mkdir(parents=True)
    counts = dict.fromkeys(
        ("num_images", "images_seen", "macs", "params", "epochs", "seconds", "evaluation_seconds"), 1
    )
    good = {"name": "01-abc", "key": "abc", "scored_on": "all", "scores": {"ap50": None}, "weights": "weights.pt"}
    good |= {"export": None, "onnx": None, **counts}
    path.write_text(json.dumps(good))
    assert read_finished(tmp_path)[0].to_dict()["scores"] == {"ap50": None}
    path.write_text(json.dumps(good | change))
    assert read_finished(tmp_path) == ()


@pytest.mark.slow
def test_the_command_finishes_and_says_so(evaluator: Writing, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--data", str(DATA), "--budget-gflops", "0.1", "--epochs", "1", "--trials", "3", "--threads", "1"]
    words += ["--choices", "backbone=yolov8", "--hours", "0.001", "--finish", "1", "--name", "a"]
    words += [f"--fix={axis}={value}" for axis, value in QUICK["fix"].items()]
    main(["run", *words])
    lines = capsys.readouterr().out.splitlines()
    assert "plan:   3.6 s in all: 1.26 s search, 2.23 s training of the best member (at most 100 epochs)" in "".join(
        lines
    )
    (member,) = open_run("runs/a").finished
    table = lines[[each.startswith("finished: scores on ") for each in lines].index(True) :]
    assert table[3].split()[:2] == [member.name, f"{member.macs / 1e9:.4f}"]
    assert (
        f"export: {member.export}" in table and f"next:   nas val runs/a/finished/{member.name} --data {DATA}" in table
    )
    main(["run", "--resume", "runs/a", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert told["finished"] == [json.loads(json.dumps(member.to_dict()))] and told["finish"] == 1
    assert all(seconds > 0 for seconds in told["plan"]["actual_seconds"].values())
    assert told["plan"]["planned_seconds"]["search"] == pytest.approx(1.26)


@pytest.mark.slow
def test_a_finish_that_was_interrupted_goes_on_without_another_search(evaluator: Writing) -> None:
    def press(event: SearchEvent) -> None:
        if isinstance(event, FinishStep):
            raise KeyboardInterrupt

    with pytest.raises(SearchInterrupted) as caught:
        search(DATA, trials=3, minutes=0.1, finish=1, name="a", on_progress=press, **QUICK)
    assert caught.value.run.ending == INTERRUPTED and caught.value.run.finished == ()
    count = len(evaluator.jobs)
    run = search(resume="runs/a")
    assert len(evaluator.jobs) == count and len(run.finished) == 1
    times = read_record(run.folder)
    assert times is not None and times.search_ended_by == "trials_done" and times.actual["finish"] > 0


@pytest.mark.slow
def test_ctrl_c_in_the_search_is_no_end_of_it(evaluator: Writing) -> None:
    def press(event: SearchEvent) -> None:
        if type(event).__name__ == "TrialFinished":
            raise KeyboardInterrupt

    with pytest.raises(SearchInterrupted) as caught:
        search(DATA, trials=3, minutes=0.1, finish=1, name="a", on_progress=press, **QUICK)
    times = read_record(caught.value.run.folder)
    assert times is not None and dict(times.actual) == {} and not (caught.value.run.folder / "finished").exists()


def test_a_run_without_a_finish_is_as_before(searched: Path) -> None:
    run = open_run(searched)
    assert run.finished == () and run.times is None
    told = run.to_dict()
    assert (told["plan"], told["finished"], told["finish"]) == (None, [], 0)
    assert not (searched / PLAN_JSON).exists() and not (searched / "finished").exists()


def test_a_finish_without_a_limit_of_time_is_refused(evaluator: Writing, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--finish 1 needs a limit of time"):
        search(DATA, trials=3, finish=1, **QUICK)
    assert list(tmp_path.iterdir()) == []
