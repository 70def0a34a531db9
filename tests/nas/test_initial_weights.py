"""What a training starts from: a donor, the damage, the peak learning rate, and donors that cannot be read."""

from __future__ import annotations

import dataclasses
import math
import random
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nas.executors import Donor, Evaluation, Job
from nas.executors.initial_weights import LOWEST_RATE, InitialWeights, initialise, rate_share
from nas.executors.training import TrainingSpec
from nas.transfer import TransferReport
from results.trial import Outcome
from search_space import DESIGNS, Architecture
from trainers import TrainConfig, fresh_detector, load_weights, save_weights
from trainers.batch_statistics import estimate_statistics
from trainers.data import open_data
from trainers.data.dataset import Dataset

DATA = str(Path(__file__).parents[1] / "data" / "hit_uav")
SMALL = DESIGNS.get("yolov8n-p2-nop5").architecture.resized((64, 64))
RELATED = DESIGNS.get("yolov8n-p2").architecture.resized((64, 64))
CONFIG = TrainConfig(epochs=0.34, batch_size=2, device="cpu")
USUAL = 4e-3
SHARES = st.floats(0, 1)


@given(child=SHARES, donor=st.floats(1e-6, 1))
def test_the_rate_rises_with_the_damage(child: float, donor: float) -> None:
    share = rate_share(child, donor)
    assert LOWEST_RATE <= share <= 1 and rate_share(child / 2, donor) >= share
    assert share == pytest.approx(1 - (1 - LOWEST_RATE) * min(1, child / donor))


@pytest.mark.parametrize(
    ("child", "donor", "share"),
    [(0.3, 0.3, 0.2), (0.4, 0.3, 0.2), (0.0, 0.3, 1.0), (0.15, 0.3, 0.6), (0.1, 0.0, 1.0), (0.1, None, 1.0)]
    + [(math.nan, 0.3, 1.0), (0.1, math.nan, 1.0)],
)
def test_the_rate_is_low_for_what_is_whole_and_usual_for_what_is_broken_or_unknown(
    child: float, donor: float | None, share: float
) -> None:
    assert rate_share(child, donor) == pytest.approx(share)


def donor_file(path: Path, seed: int = 5, architecture: Architecture = SMALL) -> Path:
    detector = fresh_detector(architecture, num_classes=len(open_data(DATA).train.classes), seed=seed)
    save_weights(path, detector, architecture.to_dict(), open_data(DATA).train.classes)
    return path


def job(path: Path, accuracy: float | None = 0.5) -> Job:
    donor = Donor(number=0, key=SMALL.key(), weights=path, accuracy=accuracy)
    return Job(number=1, architecture=SMALL, seed=0, donor=donor)


def test_a_detector_takes_the_weights_of_its_donor_and_new_statistics(tmp_path: Path) -> None:
    splits, path = open_data(DATA), donor_file(tmp_path / "donor.pt")
    detector = fresh_detector(SMALL, num_classes=len(splits.train.classes), seed=0)
    start = initialise(detector, job(path), splits, CONFIG)
    assert start.inherited is not None and start.inherited.macs == 1.0 and not start.note
    assert start.peak_learning_rate == USUAL, "an untrained donor detects nothing"
    given, own, parameters = load_weights(path).state, detector.state_dict(), dict(detector.named_parameters())
    assert all(torch.equal(own[name], given[name]) for name in parameters)
    assert any(not torch.equal(own[name], given[name]) for name in own if name.endswith("running_var"))
    again = fresh_detector(SMALL, num_classes=len(splits.train.classes), seed=0)
    assert initialise(again, job(path), splits, CONFIG) == start
    assert all(map(torch.equal, own.values(), again.state_dict().values()))


UNUSABLE = {
    "missing": "cannot read weights file",
    "empty": "is not a weights file",
    "cut": "is not a weights file",
    "garbage": "is not a weights file",
    "damaged": "damaged",
    "of other shapes": "do not fit their own architecture",
    "of a related architecture": "must have weights of the architecture",
    "of another family": "must have weights of the architecture",
    "of no architecture": "field",
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_a_donor_that_cannot_be_used_leaves_random_weights_and_is_told(kind: str, tmp_path: Path) -> None:
    splits, path = open_data(DATA), tmp_path / "donor.pt"
    if kind == "damaged":
        content = bytearray(donor_file(path).read_bytes())
        content[len(content) // 2] ^= 255
        path.write_bytes(content)
    elif kind == "empty":
        path.touch()
    elif kind == "cut":
        content = bytearray(donor_file(path).read_bytes())
        path.write_bytes(content[: len(content) // 2])
    elif kind == "garbage":
        path.write_bytes(random.Random(0).randbytes(5000))
    elif kind == "of no architecture":
        save_weights(path, _state(SMALL), {}, splits.train.classes)
    elif kind == "of a related architecture":
        donor_file(path, architecture=RELATED)
    elif kind == "of other shapes":
        state = {name: value[:1] if value.ndim else value for name, value in _state(SMALL).items()}
        save_weights(path, state, SMALL.to_dict(), splits.train.classes)
    elif kind == "of another family":
        other = DESIGNS.get("ssd-mobilenetv1").architecture
        save_weights(path, _state(other), other.to_dict(), splits.train.classes)
    detector = fresh_detector(SMALL, num_classes=len(splits.train.classes), seed=0)
    before = {name: value.clone() for name, value in detector.state_dict().items()}
    start = initialise(detector, job(path), splits, CONFIG)
    assert start.inherited is not None and start.inherited.macs == 0 and start.peak_learning_rate == USUAL
    assert start.note.startswith("trained from random weights, without its donor, trial 0: ")
    assert UNUSABLE[kind] in start.note and "\n" not in start.note
    assert all(map(torch.equal, before.values(), detector.state_dict().values()))


def test_the_recorded_share_is_the_usable_one() -> None:
    report = TransferReport(parameters=0.4, macs=0.9, usable_macs=0.5, by_node={})
    told = InitialWeights(inherited=report).told(Evaluation(outcome=Outcome.COMPLETE))
    assert (told.inherited_macs, told.pretrained_macs) == (0.5, None)
    told = InitialWeights(pretrained=report).told(Evaluation(outcome=Outcome.COMPLETE))
    assert (told.inherited_macs, told.pretrained_macs, told.pretrained_params) == (None, 0.9, 0.4)


def _state(architecture: object) -> dict[str, torch.Tensor]:
    return fresh_detector(architecture, num_classes=4, seed=1).state_dict()  # type: ignore[arg-type]


def test_statistics_are_the_means_of_batches_and_skip_unreadable_images(tmp_path: Path) -> None:
    train_set = open_data(DATA).train
    detector = fresh_detector(SMALL, num_classes=len(train_set.classes), seed=0).train()
    broken = dataclasses.replace(train_set.records[0], path=tmp_path / "gone.jpg")
    dataset = Dataset([broken, *train_set.records], train_set.classes)
    norm = next(each for each in detector.modules() if isinstance(each, torch.nn.BatchNorm2d))
    momentum, seen = norm.momentum, []
    norm.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0].mean((0, 2, 3))))
    estimate_statistics(detector, dataset, seed=0, num_batches=2, batch_size=2)
    assert len(seen) == 2 and torch.allclose(norm.running_mean, torch.stack(seen).mean(0), atol=1e-6)
    assert norm.momentum == momentum and all(each.training for each in detector.modules())
    assert all(value.grad is None for value in detector.parameters())


@pytest.mark.slow
def test_the_training_uses_the_rate_and_the_same_job_gives_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluator = TrainingSpec(config=CONFIG, data=DATA, threads=1).make()
    path, rates = donor_file(tmp_path / "donor.pt"), []
    monkeypatch.setattr("nas.executors.initial_weights.rate_share", lambda child, donor: donor)

    def train(name: str, accuracy: float) -> dict[str, torch.Tensor]:
        to = tmp_path / f"{name}.pt"
        found = evaluator.evaluate(dataclasses.replace(job(path, accuracy), weights_path=to), lambda step: None)
        rates.append((found.inherited_macs, found.peak_learning_rate))
        return load_weights(to).state

    first, second, other = train("a", 0.5), train("b", 0.5), train("c", 0.25)
    assert rates == [(1.0, USUAL / 2), (1.0, USUAL / 2), (1.0, USUAL / 4)]
    assert all(map(torch.equal, first.values(), second.values()))
    assert not all(map(torch.equal, first.values(), other.values()))
