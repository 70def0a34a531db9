"""Trackers of searches and trainings: what they are told, that they go on at a resume, and that none does harm."""

from __future__ import annotations

import json
import math
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import tracker_fakes
from search_fakes import FakeEvaluator
from tracker_fakes import StandInTracker, fake_mlflow, fake_wandb

from nas.api.events import FinishEnded, SearchEvent, TrialFinished
from nas.api.search import SearchInterrupted, search
from nas.api.search_run import SearchRun
from nas.api.tracked_search import TrackedSearch
from nas.api.train import TrainingInterrupted, train
from nas.api.train_results import Training
from nas.reports.finished_member import FinishedMember
from nas.trackers import TRACKERS, TrackedEnding, TrackedRun, Tracking, background, tracker_names
from nas.trackers.background import TRACKING_JSON, BackgroundTracker, read_ids
from nas.trackers.tracker import flat
from search_space.errors import ConfigError
from trainers import TrainProgress, load_weights

DATA = Path(__file__).parents[1] / "data" / "hit_uav"
QUICK: dict[str, Any] = {
    "budget_gflops": 0.4,
    "fix": {"block": "c2f"},
    "choices": {"input_size": (128, 160, 192), "width": (0.125, 0.25)},
}
ENVIRONMENT = (
    *("MLFLOW_ALLOW_FILE_STORE", "MLFLOW_DISABLE_TELEMETRY", "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"),
    *("MLFLOW_EXPERIMENT_NAME", "MLFLOW_TRACKING_URI", "WANDB_DIR", "WANDB_ERROR_REPORTING", "WANDB_MODE"),
    "WANDB_PROJECT",
)


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts a formula in the place of training, and an empty folder and environment in that of this one."""
    monkeypatch.setattr("nas.executors.training.TrainingEvaluator", lambda *args, **kwargs: FakeEvaluator())
    monkeypatch.chdir(tmp_path)
    for name in ENVIRONMENT:
        monkeypatch.setenv(name, "")  # so that it is removed at the end
        monkeypatch.delenv(name)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[StandInTracker]]:
    """Puts a stand-in in the place of the tracker for MLflow; ends with the threads of those that were left hanging."""
    monkeypatch.setitem(TRACKERS, "mlflow", "tracker_fakes:StandInTracker")
    StandInTracker.reset()
    yield StandInTracker
    StandInTracker.released.set()
    for thread in threading.enumerate():
        if thread.name == "tracker-mlflow":
            thread.join(60)
            assert not thread.is_alive()


def run(**more: Any) -> SearchRun:
    return search(DATA, trials=4, name="a", **QUICK, **more)


def test_a_search_tells_its_settings_trials_front_and_end(stand_in: type[StandInTracker]) -> None:
    events: list[SearchEvent] = []
    found = run(track="mlflow", on_progress=events.append)
    (session,) = stand_in.sessions
    assert session.run is not None and session.run.is_search and session.run.name == "a"
    assert session.run.settings["budget_gflops"] == 0.4 and session.run.settings["data"] == str(DATA)
    trials = [event.trial for event in events if isinstance(event, TrialFinished)]
    assert [part.number for part in session.parts] == [trial.number for trial in trials] and len(trials) >= 4
    for part, trial in zip(session.parts, trials, strict=True):
        assert dict(trial.axes).items() <= part.params.items() and part.params["outcome"] == trial.outcome
        assert part.metrics["macs"] == trial.macs and part.metrics["rung"] == trial.rung
        assert [part.metrics.get(name) for name in ("accuracy", "seconds")] == [trial.accuracy, trial.seconds]
    steps, metrics = zip(*session.metrics, strict=True)
    assert list(steps) == [trial.number for trial in trials] and metrics[-1]["front/size"] == len(found.front)
    assert session.results["result/best_accuracy"] == found.front["accuracy"].max()
    assert session.results["result/asked"] == len(found.trials) and session.ending is TrackedEnding.FINISHED


def test_a_resume_continues_what_is_tracked(stand_in: type[StandInTracker]) -> None:
    def press(event: SearchEvent) -> None:
        if isinstance(event, TrialFinished):
            raise KeyboardInterrupt

    with pytest.raises(SearchInterrupted):
        run(track="mlflow", on_progress=press)
    resumed = search(resume="runs/a")
    first, second = stand_in.sessions
    assert first.ending is TrackedEnding.INTERRUPTED and second.ending is TrackedEnding.FINISHED
    assert first.run is not None and first.run.tracked_id is None
    assert second.run is not None and second.run.tracked_id == "id-1"
    numbers = [part.number for session in (first, second) for part in session.parts]
    assert numbers == resumed.trials["number"].tolist()
    search(resume="runs/a", trials=5, track="none")
    assert len(stand_in.sessions) == 2


def test_a_member_that_was_trained_on_is_told(stand_in: type[StandInTracker], tmp_path: Path) -> None:
    folder = tmp_path / "finished" / "02-abc"
    member = FinishedMember(
        name="02-abc",
        key="abc",
        folder=folder,
        weights=folder / "weights.pt",
        export=None,
        onnx=None,
        scored_on="held-out",
        num_images=7,
        scores={"ap50": 0.25, "ap_small": math.nan},
        epochs=3.0,
        images_seen=18,
        seconds=2.5,
        evaluation_seconds=1.0,
        macs=10**8,
        params=1000,
    )
    events: list[SearchEvent] = []
    with Tracking({"mlflow": StandInTracker()}, pytest.fail) as tracking:
        tracking.start(lambda: TrackedRun(folder=tmp_path, name="a", is_search=True, settings={}))
        TrackedSearch(tracking, events.append)(FinishEnded(member=member))
    (part,) = stand_in.sessions[0].parts
    assert (part.name, part.number, part.params["scored_on"]) == ("finished-02-abc", 2, "held-out")
    assert part.metrics["ap50"] == 0.25 and part.metrics["seconds"] == 2.5 and "ap_small" not in part.metrics
    assert part.notes == {"weights": str(folder / "weights.pt"), "export": ""} and len(events) == 1


def test_without_a_tracker_nothing_is_written_or_stored() -> None:
    assert "\ntrack:" not in (run().folder / "config.yaml").read_text()
    assert not Path("runs/a", TRACKING_JSON).exists()


@pytest.mark.parametrize("method", ["start", "log_metrics", "log_part", "log_results", "close"])
def test_a_tracker_that_fails_is_off_after_one_notice(method: str, stand_in: type[StandInTracker]) -> None:
    expected = search(DATA, trials=4, name="b", **QUICK).trials["key"].tolist()
    stand_in.fails_in, notices = method, list[str]()
    found = run(track="mlflow", on_notice=notices.append)
    told = [notice for notice in notices if "tracking by mlflow" in notice]
    assert told == [
        "note: tracking by mlflow has ended (ConnectionError: the server is gone); the rest goes on without it"
    ]
    assert found.trials["key"].tolist() == expected
    assert all(session.calls[-1] == method for session in stand_in.sessions)


def test_a_tracker_that_hangs_delays_nothing(stand_in: type[StandInTracker], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "PATIENCE_S", 0.01)
    stand_in.hangs_in, notices = "log_part", list[str]()
    found = run(track="mlflow", on_notice=notices.append)
    assert len(found.trials) >= 4 and stand_in.sessions[0].parts == []
    assert [each for each in notices if "tracking" in each] == [
        "note: tracking by mlflow has ended (it has not answered for 0.01 s); the rest goes on without it"
    ]
    stand_in.released.set()


def test_a_tracker_that_falls_behind_is_turned_off(
    stand_in: type[StandInTracker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "MAX_WAITING", 2)
    monkeypatch.setattr(background, "PATIENCE_S", 0.01)
    stand_in.hangs_in, notices = "start", list[str]()
    run(track="mlflow", on_notice=notices.append)
    assert sum("2 records wait for it" in each for each in notices) == sum("tracking" in each for each in notices) == 1
    stand_in.released.set()


def test_an_error_of_the_search_is_the_ending_of_the_tracking(stand_in: type[StandInTracker]) -> None:
    def fail(event: SearchEvent) -> None:
        if isinstance(event, TrialFinished):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(track="mlflow", on_progress=fail)
    assert stand_in.sessions[0].ending is TrackedEnding.FAILED


@pytest.mark.parametrize(
    ("name", "module", "extra"),
    [("tensorboard", "torch.utils.tensorboard", "train"), ("mlflow", "mlflow", "mlflow"), ("wandb", "wandb", "wandb")],
)
def test_a_missing_package_is_told_with_its_extra(
    name: str, module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError) as caught:
        run(track=name)
    assert f"pip install 'pyramidnas[{extra}]'" in str(caught.value) and not Path("runs").exists()


def test_a_package_that_cannot_be_imported_is_an_error_of_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wandb.py").write_text("raise TypeError('old\\nprotobuf')")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("wandb", "nas.trackers.wandb_tracker"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(ConfigError, match=r"cannot be imported \(TypeError: old protobuf\)"):
        run(track="wandb")


@pytest.fixture(params=["stand-in", "real"])
def mlflow_module(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module mlflow: a stand-in, and the real one where it is installed."""
    if request.param == "real":
        monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        return pytest.importorskip("mlflow")
    for name, module in fake_mlflow().items():
        monkeypatch.setitem(sys.modules, name, module)
    return sys.modules["mlflow"]


def test_mlflow_writes_into_a_local_store(mlflow_module: Any) -> None:
    notices: list[str] = []
    run(track="mlflow", on_notice=notices.append)
    found = search(resume="runs/a", trials=6, on_notice=notices.append)
    assert not [notice for notice in notices if "tracking" in notice]
    client = mlflow_module.MlflowClient(tracking_uri=Path("runs/a/mlruns").resolve().as_uri())
    experiment = client.get_experiment_by_name("pyramidnas").experiment_id
    runs = client.search_runs([experiment])
    (whole,) = [each for each in runs if "mlflow.parentRunId" not in each.data.tags]
    below = {each.info.run_name: each for each in runs if each is not whole}
    assert read_ids(Path("runs/a", TRACKING_JSON)) == {"mlflow": whole.info.run_id}
    assert whole.info.status == "FINISHED" and whole.data.params["budget_gflops"] == "0.4"
    assert set(below) == {f"trial-{number}" for number in found.trials["number"]}
    assert {each.data.tags["mlflow.parentRunId"] for each in below.values()} == {whole.info.run_id}
    best = found.front.iloc[0]
    assert below[f"trial-{best['number']}"].data.metrics["accuracy"] == pytest.approx(best["accuracy"])
    assert below[f"trial-{best['number']}"].data.params["input_size"] == str(best["input_width_px"])
    sizes = client.get_metric_history(whole.info.run_id, "front/size")
    assert sorted(each.step for each in sizes) == sorted(found.trials["number"])
    assert whole.data.metrics["front/best_accuracy"] == pytest.approx(best["accuracy"])
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_mlflow_writes_where_the_user_has_set_it(monkeypatch: pytest.MonkeyPatch) -> None:
    uri = Path("elsewhere").resolve().as_uri()
    for name, module in fake_mlflow(uri).items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    run(track="mlflow")
    assert set(tracker_fakes.FakeMlflowClient.stores[uri]["experiments"]) == {"mine"}
    assert "MLFLOW_ALLOW_FILE_STORE" not in os.environ


def test_wandb_is_offline_unless_the_environment_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    module, begun = fake_wandb()
    monkeypatch.setitem(sys.modules, "wandb", module)
    found = run(track="wandb")
    monkeypatch.setenv("WANDB_MODE", "online")
    search(resume=found.folder, trials=5)
    first, second = begun
    assert [each.settings["mode"] for each in begun] == ["offline", "online"]
    assert first.settings["id"] == second.settings["id"] == read_ids(found.folder / TRACKING_JSON)["wandb"]
    assert first.settings["config"]["budget_gflops"] == 0.4 and second.settings["config"] is None
    assert (first.settings["dir"], first.settings["name"]) == (str(found.folder), "a")
    assert (first.exit_code, first.steps_by) == (0, {"*": "step"})
    rows = [row for row in first.rows if "trial/outcome" in row]
    assert [row["step"] for row in rows] == found.trials["number"].tolist()
    assert rows[0]["trial/accuracy"] == found.trials["accuracy"][0] and "trial/input_size" in rows[0]
    assert first.summary["result/front_size"] == len(found.front) and os.environ["WANDB_ERROR_REPORTING"] == "false"


def test_tensorboard_shows_trials_and_the_front(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = run(track="tensorboard")
    events = EventAccumulator(str(found.folder / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("front/size")] == found.trials["number"].tolist()
    assert {"settings/text_summary", "results/text_summary"} <= set(events.Tags()["tensors"])
    trial = EventAccumulator(str(found.folder / "tensorboard" / "trial-0")).Reload()
    assert trial.Scalars("accuracy")[0].value == pytest.approx(found.trials["accuracy"][0])
    assert not (found.folder / TRACKING_JSON).exists()


def trained(out: str, **more: Any) -> Training:
    return train("yolov8n-p2-nop5", DATA, out=out, input=(64, 64), batch=3, epochs=2, threads=1, **more)


def test_a_training_is_tracked_and_stays_as_it_is(stand_in: type[StandInTracker]) -> None:
    def press(progress: TrainProgress) -> None:
        if progress.step == 3:
            raise KeyboardInterrupt

    plain = trained("plain")
    with pytest.raises(TrainingInterrupted):
        trained("tracked", track="mlflow", on_progress=press)
    found = train(resume="tracked")
    train(resume="tracked")  # which had ended
    first, second = stand_in.sessions
    assert first.run is not None and not first.run.is_search and first.run.name == "tracked"
    settings = dict(flat(first.run.settings))
    assert settings["training.batch_size"] == 3 and settings["architecture"] == found.architecture.key()
    assert (first.ending, second.ending) == (TrackedEnding.INTERRUPTED, TrackedEnding.FINISHED)
    assert second.run is not None and second.run.tracked_id == "id-1"
    rows = [*first.metrics, *second.metrics]
    assert [step for step, _ in rows] == [row["step"] for row in found.rows] == [2, 4]
    assert rows[0][1]["train/loss"] == found.rows[0]["loss"] and rows[1][1]["val/ap_small"] == found.rows[1]["ap_small"]
    assert found.score is not None and second.results["best/ap50"] == found.score.ap50
    assert second.results["weights"] == str(found.weights.resolve()) and first.results == {}
    same, other = load_weights(plain.weights).state, load_weights(found.weights).state
    assert all(torch.equal(value, other[name]) for name, value in same.items()) and plain.rows == found.rows
    assert "\ntrack:" not in (plain.folder / "config.yaml").read_text()


def test_the_option_tensorboard_goes_with_another_tracker(stand_in: type[StandInTracker]) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = trained("out", track="mlflow", tensorboard=True)
    events = EventAccumulator(str(found.folder)).Reload()
    assert [event.step for event in events.Scalars("val/ap50")] == [2, 4]
    assert [event.step for event in events.Scalars("train/loss")] == [2, 4]
    assert [step for step, _ in stand_in.sessions[0].metrics] == [2, 4]
    assert {"settings/text_summary", "results/text_summary"} <= set(events.Tags()["tensors"])


def test_names_of_trackers() -> None:
    assert tracker_names(None) == tracker_names("none", tensorboard=True) == ()
    assert tracker_names("tensorboard", tensorboard=True) == ("tensorboard",)
    assert tracker_names("wandb", tensorboard=True) == ("tensorboard", "wandb")


def test_settings_are_flattened() -> None:
    nested = {"a": 1, "b": {"c": None, "d": {"e": (1, 2)}, "f": False}, "g": ()}
    assert dict(flat(nested)) == {"a": 1, "b.d.e": "1, 2", "b.f": False, "g": ""}


@pytest.mark.parametrize("content", ["", "[1]", "{", json.dumps({"mlflow": 3}), "\xff"])
def test_a_damaged_file_of_ids_is_as_none(content: str, tmp_path: Path) -> None:
    (tmp_path / TRACKING_JSON).write_text(content, encoding="latin-1")
    assert read_ids(tmp_path / TRACKING_JSON) == {} == read_ids(tmp_path / "none")


def test_no_thread_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("threading.Thread.start", refuse)
    notices: list[str] = []
    with Tracking({"mlflow": StandInTracker()}, notices.append) as tracking:
        tracking.start(lambda: None)  # type: ignore[arg-type, return-value]
    assert len(notices) == 1 and "can't start new thread" in notices[0]
    assert isinstance(tracking._threads[0], BackgroundTracker)
