"""What a training of a member of a front starts from: the weights that its run has for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml
from search_fakes import make_config

import nas
from nas.api.train import train
from nas.api.train_settings import TrainSettings, fresh, resumed
from nas.cli import main
from nas.run_folder import create
from search_space import DESIGNS, Architecture
from search_space.errors import ConfigError, shortened
from trainers import fresh_detector, load_weights, save_weights
from trainers.data import open_data
from trainers.settings import SettingError
from trainers.weights import numbered_classes

DATA = Path(__file__).parents[1] / "data" / "hit_uav"
ARCHITECTURE = DESIGNS.get("yolov8n").architecture.resized((64, 64))
SHORT: dict[str, Any] = {"epochs": 0.3, "batch": 2, "threads": 1, "lr": 1e-12, "eval_every": 0}
CLASSES = open_data(DATA).train.classes


@dataclass(frozen=True)
class Member:
    """What the API knows of a member of a front."""

    architecture: Architecture
    path: Path
    folder: Path


@pytest.fixture
def member(tmp_path: Path) -> Path:
    """The file of the first member of a front, whose run has weights for it."""
    return make_member(tmp_path / "run", CLASSES)


def make_member(run: Path, classes: tuple[str, ...]) -> Path:
    folder = create(run, make_config(classes=classes, data=str(DATA)))
    detector = fresh_detector(ARCHITECTURE, num_classes=len(classes), seed=7)
    save_weights(folder.weights_path(ARCHITECTURE.key()), detector, ARCHITECTURE.to_dict(), classes)
    path = folder.path / "front" / f"01-{ARCHITECTURE.key()}.yaml"
    ARCHITECTURE.to_yaml(path)
    return path


def weights_of(member: Path) -> Path:
    return member.parent.parent / "weights" / f"{ARCHITECTURE.key()}.pt"


def opened(given: Any, tmp_path: Path, **more: Any) -> tuple[TrainSettings, list[str]]:
    """Returns the settings of a training and what is told about its start."""
    notices: list[str | None] = []
    settings = fresh(given, {"data": str(DATA), "out": tmp_path / "out", **more}, notices.append)
    return settings, [notice for notice in notices if notice is not None]


def test_a_member_of_a_front_starts_from_its_own_weights(member: Path, tmp_path: Path) -> None:
    weights = weights_of(member)
    found = Member(architecture=ARCHITECTURE, path=member, folder=member.parent.parent)
    for given in (member, str(member), found):
        settings, told = opened(given, tmp_path)
        assert settings.request.pretrained == str(weights)
        wanted = f"note: the training starts from the weights of the run, {weights}; random ones: --from-scratch"
        assert told == [wanted]


def test_what_the_user_gives_comes_first(member: Path, tmp_path: Path) -> None:
    for given, wanted in (
        ({"from_scratch": True}, (None, None)),
        ({"weights": "a.pt"}, ("a.pt", None)),
        ({"pretrained": "b.pt"}, (None, "b.pt")),
    ):
        settings, told = opened(member, tmp_path, **given)
        assert (settings.request.weights, settings.request.pretrained) == wanted and told == []


@pytest.mark.parametrize("more", [{"weights": "a.pt"}, {"pretrained": "a.pt"}])
def test_from_scratch_with_weights_is_refused(more: dict[str, str], member: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--from-scratch excludes --weights and --pretrained"):
        opened(member, tmp_path, from_scratch=True, **more)


@pytest.mark.parametrize("content", [None, b"", b"weights"], ids=["missing", "empty", "damaged"])
def test_a_member_without_weights_starts_from_scratch_and_is_told(
    content: bytes | None, member: Path, tmp_path: Path
) -> None:
    weights_of(member).unlink()
    if content is not None:
        weights_of(member).write_bytes(content)
    settings, (told,) = opened(member, tmp_path)
    assert settings.request.pretrained is None
    assert told.startswith(f"note: the run has no weights for {member}: ") and str(weights_of(member)) in told
    assert told.endswith("; the training starts from random weights")


def test_an_architecture_elsewhere_starts_from_scratch(member: Path, tmp_path: Path) -> None:
    other = tmp_path / "front" / member.name
    other.parent.mkdir()
    (tmp_path / "weights").mkdir()
    other.write_bytes(member.read_bytes())
    (tmp_path / "weights" / weights_of(member).name).write_bytes(weights_of(member).read_bytes())
    (member.parent.parent / "other").mkdir()
    copy = member.parent.parent / "other" / member.name
    copy.write_bytes(member.read_bytes())
    for given in (other, copy, "yolov8n", ARCHITECTURE):
        settings, told = opened(given, tmp_path)
        assert settings.request.pretrained is None and told == []


def test_the_configuration_has_the_start_and_a_resume_keeps_it(member: Path, tmp_path: Path) -> None:
    settings, _ = opened(member, tmp_path)
    settings.write()
    content = yaml.safe_load((tmp_path / "out" / "config.yaml").read_text())
    assert (content["pretrained"], content["from_scratch"]) == (str(weights_of(member)), False)
    weights_of(member).unlink()
    assert resumed(tmp_path / "out", member, {}).request.pretrained == str(weights_of(member))
    with pytest.raises(SettingError) as error:
        resumed(tmp_path / "out", member, {"from_scratch": True})
    assert error.value.setting == "from_scratch"


def test_a_training_begins_with_the_weights_of_the_run(
    member: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--epochs", "0.3", "--batch", "2", "--threads", "1", "--lr", "1e-12", "--eval-every", "0"]
    states = []
    for name, more in (("own", []), ("scratch", ["--from-scratch"])):
        main(["train", str(member), *options, *more, "--out", str(tmp_path / name)])
        states.append(load_weights(tmp_path / name / "weights.pt").state)
    before = load_weights(weights_of(member)).state
    kernels = [name for name, value in before.items() if value.ndim == 4]
    own, scratch = ([torch.allclose(before[name], each[name], atol=1e-6) for name in kernels] for each in states)
    assert kernels and all(own) and not any(scratch)
    assert capsys.readouterr().err.count(f"starts from the weights of the run, {weights_of(member)}") == 1


def test_other_classes_keep_the_body_and_are_told(tmp_path: Path) -> None:
    classes = ("a", "b", "c", "d", "e", "f")
    member = make_member(tmp_path / "run", classes)
    training = train(member, DATA, out=tmp_path / "out", **SHORT)
    note = f"{weights_of(member)} is for 6 classes (a, b, c, d and 2 more), the data has {len(CLASSES)} ("
    (told,) = [notice for notice in training.notices if note in notice]
    assert told.endswith(f": from random weights start those without a counterpart: {shortened(CLASSES)}")
    before, after = load_weights(weights_of(member)).state, load_weights(tmp_path / "out" / "weights.pt").state
    first = next(name for name, value in before.items() if value.ndim == 4)
    assert torch.allclose(before[first], after[first], atol=1e-6)
    scratch = train(member, DATA, out=tmp_path / "scratch", **SHORT, from_scratch=True)
    assert not any(note in notice for notice in scratch.notices)


def test_an_exported_architecture_starts_from_the_weights_beside_it(member: Path, tmp_path: Path) -> None:
    exported = tmp_path / "exported" / "01-KEY" / "architecture.yaml"
    exported.parent.mkdir(parents=True)
    ARCHITECTURE.to_yaml(exported)
    assert opened(exported, tmp_path)[1] == []
    weights = exported.with_name("weights.safetensors")
    content = load_weights(weights_of(member))
    save_weights(weights, content.state, content.architecture, content.classes)
    settings, told = opened(exported, tmp_path)
    assert settings.request.pretrained == str(weights)
    assert told == [f"note: the training starts from the weights of the export, {weights}; random ones: --from-scratch"]
    assert opened(exported, tmp_path, from_scratch=True)[0].request.pretrained is None
    other = exported.with_name("other.yaml")
    other.write_bytes(exported.read_bytes())
    assert opened(other, tmp_path)[0].request.pretrained is None
    weights.write_bytes(b"weights")
    settings, (line,) = opened(exported, tmp_path)
    assert settings.request.pretrained is None and line.startswith(f"note: the export has no weights for {exported}: ")


def test_a_resume_that_adds_a_flag_says_that_it_was_not_given(tmp_path: Path) -> None:
    settings, _ = opened(ARCHITECTURE, tmp_path)
    settings.write()
    with pytest.raises(SettingError) as error:
        resumed(tmp_path / "out", None, {"from_scratch": True})
    assert str(error.value).startswith(f"from_scratch is given, but {tmp_path / 'out'} was started without it; ")
    assert error.value.setting == "from_scratch"


@pytest.mark.parametrize("option", ["weights", "pretrained"])
def test_objects_that_have_weights_start_a_training(option: str, member: Path, tmp_path: Path) -> None:
    given = nas.load(weights_of(member))
    training = train(ARCHITECTURE, DATA, out=tmp_path / "out", **SHORT, **{option: given})
    before, after = load_weights(weights_of(member)).state, load_weights(training.weights).state
    first = next(name for name, value in before.items() if value.ndim == 4)
    assert torch.allclose(before[first], after[first], atol=1e-6)
    untrained = Member(architecture=ARCHITECTURE, path=member, folder=member.parent)
    with pytest.raises(ConfigError, match=f"{option} is Member.*must be text"):
        train(ARCHITECTURE, DATA, out=tmp_path / "none", **SHORT, **{option: untrained})
    with pytest.raises(ConfigError, match="SimpleNamespace has no weights; next: train it"):
        train(ARCHITECTURE, DATA, out=tmp_path / "none", **SHORT, **{option: SimpleNamespace(weights=None)})
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("option", ["weights", "pretrained"])
def test_weights_without_class_names_are_noted_to_be_taken_in_order(option: str, tmp_path: Path) -> None:
    names = numbered_classes(len(CLASSES))
    path = tmp_path / "w.pt"
    save_weights(path, fresh_detector(ARCHITECTURE, num_classes=len(names), seed=7), ARCHITECTURE.to_dict(), names)
    training = train(ARCHITECTURE, DATA, out=tmp_path / "out", **SHORT, **{option: path})
    note = f"note: {path} has no class names; those of the data are taken in their order"
    assert training.notices.count(note) == 1
    assert not any("the rest from random weights" in line for line in training.notices)


def test_weights_of_other_classes_are_told_in_short(tmp_path: Path) -> None:
    path, names = tmp_path / "w.pt", tuple(f"name {index}" for index in range(80))
    save_weights(path, fresh_detector(ARCHITECTURE, num_classes=80, seed=7), ARCHITECTURE.to_dict(), names)
    with pytest.raises(
        ConfigError, match="is for 80 classes .name 0, name 1, name 2, name 3 and 76 more.*--pretrained"
    ):
        train(ARCHITECTURE, DATA, out=tmp_path / "out", **SHORT, weights=path)
    assert not (tmp_path / "out").exists()
