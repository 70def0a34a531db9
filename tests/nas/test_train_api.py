"""`nas.api.train`: what `nas train` does, as a function that prints nothing."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from nas.api.train import TrainingInterrupted, train
from nas.api.train_results import Training
from nas.process_control import launched_rank
from search_space import DESIGNS, Architecture
from search_space.errors import ConfigError
from trainers import Score, StopTraining, TrainProgress, load_weights
from trainers.settings import SettingError

DATA = Path(__file__).parent.parent / "data" / "hit_uav"
DESIGN = "yolov8n-p2-nop5"
FAST: dict[str, Any] = {"input": (64, 64), "batch": 3, "epochs": 1, "threads": 1}


@dataclasses.dataclass(frozen=True)
class Found:
    """A result that has an architecture, such as a member of a front."""

    architecture: Architecture
    folder: Path | None = None
    path: Path | None = None
    weights: Path | None = None


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Training:
    return train(DESIGN, DATA, out=tmp_path_factory.mktemp("runs") / "first", **FAST)


def test_a_training_is_returned_with_typed_fields(trained: Training) -> None:
    assert isinstance(trained.score, Score) and isinstance(trained.last_score, Score)
    assert isinstance(trained.architecture, Architecture) and trained.architecture.input_hw == (64, 64)
    assert trained.weights == trained.folder / "weights.pt"
    assert load_weights(trained.weights).classes == trained.classes
    assert (trained.epochs, trained.images_seen, trained.best_epoch, trained.ended_by) == (1.0, 6, 1.0, "schedule")
    assert trained.notices[0].startswith("data: ")
    assert list(trained.history["step"]) == [2] and trained.history["ap50"][0] == trained.score.ap50
    with pytest.raises(dataclasses.FrozenInstanceError):
        trained.epochs = 2.0  # type: ignore[misc]


def test_a_notebook_shows_the_scores_and_names_as_text(trained: Training) -> None:
    assert trained.score is not None
    assert repr(trained).startswith(f"<Training {trained.folder}: ") and "AP50" in repr(trained)
    page = dataclasses.replace(trained, data="<b>")._repr_html_()
    assert f"{100 * trained.score.ap50:.1f}" in page and "&lt;b&gt;" in page and "<b>" not in page


@pytest.mark.slow
def test_nothing_is_printed_and_callbacks_are_called(
    trained: Training, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    notices: list[str] = []
    seen: list[TrainProgress] = []
    result = train(DESIGN, DATA, out=tmp_path / "out", on_notice=notices.append, on_progress=seen.append, **FAST)
    assert capfd.readouterr() == ("", "")
    assert tuple(notices) == result.notices and [progress.step for progress in seen] == [1, 2]
    again, first = load_weights(result.weights).state, load_weights(trained.weights).state
    assert all(torch.equal(again[name], value) for name, value in first.items())


@pytest.mark.slow
def test_a_callback_can_end_the_training(tmp_path: Path) -> None:
    def stop(progress: TrainProgress) -> None:
        raise StopTraining

    result = train(DESIGN, DATA, out=tmp_path / "out", on_progress=stop, **FAST)
    assert (result.ended_by, result.images_seen) == ("callback", 3)


@pytest.mark.slow
def test_an_interrupted_training_names_its_folder_and_is_resumed(trained: Training, tmp_path: Path) -> None:
    def interrupt(progress: TrainProgress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(TrainingInterrupted) as interrupted:
        train(DESIGN, DATA, out=tmp_path / "out", on_progress=interrupt, **FAST)
    assert isinstance(interrupted.value, KeyboardInterrupt) and interrupted.value.folder == tmp_path / "out"
    result = train(resume=interrupted.value.folder, workers=2)
    assert result.score == trained.score and list(result.history["step"]) == [2]


@pytest.mark.slow
def test_a_training_that_has_ended_is_returned_again(trained: Training) -> None:
    again = train(resume=trained.folder)
    assert again.to_dict() == trained.to_dict() and again.classes == trained.classes


@pytest.mark.parametrize("known_by", ["folder", "path", "weights"])
def test_a_found_architecture_is_trained_on_the_data_of_its_run(known_by: str, trained: Training) -> None:
    from nas.api.train_settings import fresh

    places = {"folder": trained.folder, "path": trained.folder / "architecture.yaml", "weights": trained.weights}
    found = Found(architecture=DESIGNS.get(DESIGN).architecture, **{known_by: places[known_by]})
    notices: list[str | None] = []
    settings = fresh(found, {"epochs": 2, "out": trained.folder.with_name("next")}, notices.append)
    assert (settings.request.data, settings.architecture) == (str(DATA), found.architecture)
    assert notices == [f"note: no --data given: using the data of {trained.folder}"] and settings.config.epochs == 2.0
    elsewhere = fresh(found, {"data": "elsewhere", "out": trained.folder.with_name("next")}, notices.append)
    assert elsewhere.request.data == "elsewhere"


def test_the_default_folder_has_the_name_or_the_key_of_the_architecture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nas.api.train_settings import fresh

    monkeypatch.chdir(tmp_path)
    arch = DESIGNS.get(DESIGN).architecture
    found = Found(architecture=arch, path=Path("front/01-abc.yaml"))
    for given, name in ((DESIGN, DESIGN), (arch, arch.key()), (found, "01-abc")):
        assert fresh(given, {}, lambda _: None).out == Path("runs") / f"train-{name}"


@pytest.mark.parametrize(
    ("settings", "setting"),
    [
        ({"epochs": -1}, "epochs"),
        ({"batch": 7}, "batch"),
        ({"workers": 0}, "workers"),
        ({"tile_chance": 2}, "tile_chance"),
        ({"scale": "x"}, "scale"),
        ({"threads": 0}, "threads"),
        ({"input": 64}, "input"),
        ({"input": (64,)}, "input"),
        ({"accumulate": 2}, "accumulate"),
    ],
)
def test_a_wrong_setting_is_named_by_its_keyword(settings: dict[str, Any], setting: str, tmp_path: Path) -> None:
    with pytest.raises(SettingError) as error:
        train(DESIGN, DATA, out=tmp_path / "out", **{**FAST, **settings})
    assert error.value.setting == setting and str(error.value).startswith(f"{setting} is ")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("given", [{}, {"architecture": "no-such-design"}, {"resume": "nowhere"}])
def test_what_cannot_be_trained_is_refused(given: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        train(**given, **({} if "resume" in given else {"out": tmp_path / "out"}))


def test_settings_are_stored_as_the_command_stores_them(trained: Training) -> None:
    config = yaml.safe_load((trained.folder / "config.yaml").read_text())
    assert config["training"]["augmentation"]["mosaic"] == 0.5 and config["training"]["eval_every"] == 1.0
    assert config["data"] == str(DATA) and "out" not in config and launched_rank() == 0


def test_the_function_is_imported_without_torch_and_click() -> None:
    script = "import sys, nas.api.train; print({'torch', 'cv2', 'click', 'rich', 'pandas'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout == "set()\n"
