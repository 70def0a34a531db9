"""The normalised Wasserstein distance by hand, and what all kinds of head owe to training."""

from __future__ import annotations

from math import exp, nan

import pytest
import torch
from head_cases import objects, small_detector

from search_space.errors import ConfigError
from trainers import TrainConfig
from trainers.assigners import Objects, TaskAlignedAssigner
from trainers.boxes import anchor_grid, box_similarity, ciou, wasserstein_similarity
from trainers.data import Dataset
from trainers.heads import HEAD_TRAINING, DetectionLimits, HeadOptions, head_training
from trainers.heads.anchor_free import AnchorFreeLoss, AnchorFreeTraining
from trainers.loss_settings import AssignerOptions, LossWeights
from trainers.settings import SettingError
from trainers.steps import prepare_run


@pytest.mark.parametrize(
    ("first", "second", "distance"),
    [
        ((0, 0, 4, 4), (3, 4, 7, 8), 5.0),  # centres 3 and 4 px apart
        ((2, 0, 6, 4), (0, 0, 8, 4), 2.0),  # half of 4 px more width
        ((0, 0, 4, 4), (0, 0, 10, 4), 18**0.5),  # centres and half sides both 3 px apart
        ((0, 0, 4, 4), (0, 0, 4, 4), 0.0),
    ],
)
def test_wasserstein_likeness_by_hand(first: tuple[int, ...], second: tuple[int, ...], distance: float) -> None:
    found = wasserstein_similarity(torch.tensor([first]).float(), torch.tensor([second]).float())
    assert found.item() == pytest.approx(exp(-distance / 12.8), abs=1e-4)


def test_equal_boxes_have_a_finite_gradient() -> None:
    boxes = torch.tensor([[0.0, 0.0, 4.0, 4.0]], requires_grad=True)
    torch.autograd.backward(wasserstein_similarity(boxes, boxes.detach()).sum())
    assert boxes.grad is not None and boxes.grad.isfinite().all()


def test_likeness_mixes_by_the_share() -> None:
    first, second = torch.tensor([[0.0, 0.0, 4.0, 4.0]]), torch.tensor([[1.0, 2.0, 7.0, 5.0]])
    assert torch.equal(box_similarity(first, second), ciou(first, second))
    mixed = 0.75 * ciou(first, second) + 0.25 * wasserstein_similarity(first, second)
    assert torch.allclose(box_similarity(first, second, nwd=0.25), mixed)


def assigned_score(nwd: float) -> float:
    grid = anchor_grid(((4, 4),), (4,))
    logits = torch.zeros(16, 64)
    logits.view(16, 4, 16)[..., 0] = 50.0  # all boxes are points at the middles of their cells
    wanted = objects((6.5, 6.5, 7.5, 7.5, 0, 0))
    return float(TaskAlignedAssigner(nwd=nwd)(torch.zeros(16, 1), logits, grid, wanted, 16).scores.max())


def test_an_object_that_all_boxes_miss_is_taught_through_the_wasserstein_distance_only() -> None:
    assert assigned_score(0.0) == 0.0
    assert assigned_score(1.0) == pytest.approx(exp(-(2.5**0.5) / 12.8), abs=1e-3)  # 1 px, 1 px, and half sides of 0.5


def test_box_loss_uses_the_share() -> None:
    maps = [torch.zeros(1, 66, 4, 4), torch.zeros(1, 66, 2, 2)]
    wanted = objects((1, 1, 9, 9, 0, 0))
    plain = AnchorFreeLoss(strides=(4, 8), reg_max=16)(maps, wanted, objects()).parts
    mixed = AnchorFreeLoss(strides=(4, 8), reg_max=16, nwd=0.5)(maps, wanted, objects()).parts
    assert mixed["distribution"] == plain["distribution"] and mixed["box"] != plain["box"]


def test_options_reach_the_assigner_and_the_loss() -> None:
    training = head_training(small_detector("anchor_free"), HeadOptions(nwd=0.3))
    assert isinstance(training, AnchorFreeTraining)
    assert training.loss_of.nwd == training.loss_of.assigner.nwd == 0.3


@pytest.mark.parametrize("nwd", [-0.1, 1.1, nan])
def test_shares_outside_0_to_1_are_an_error(nwd: float) -> None:
    with pytest.raises(ConfigError, match="must be in 0 .. 1"):
        HeadOptions(nwd=nwd)


@pytest.mark.parametrize("kind", [kind for kind in HEAD_TRAINING if kind != "anchor_free"])
def test_heads_without_use_for_it_refuse_it(kind: str) -> None:
    head_training(small_detector(kind), HeadOptions())
    with pytest.raises(ConfigError, match=f"only a head of kind 'anchor_free' uses it, not '{kind}'; set it to 0"):
        head_training(small_detector(kind), HeadOptions(nwd=0.5))


OTHER_OPTIONS = {
    "min_extent": HeadOptions(assigner=AssignerOptions(min_extent=0)),
    "distribution_weight": HeadOptions(loss=LossWeights(distribution_weight=1)),
}


@pytest.mark.parametrize("kind", [kind for kind in HEAD_TRAINING if kind != "anchor_free"])
@pytest.mark.parametrize(("name", "advice"), [("min_extent", "set it to 2"), ("distribution_weight", "omit it")])
def test_options_of_another_head_are_refused_by_name(kind: str, name: str, advice: str) -> None:
    head_training(small_detector("anchor_free"), OTHER_OPTIONS[name])
    with pytest.raises(ConfigError, match=f"^{name} is .*, but only a head of kind 'anchor_free'.*; {advice}$"):
        head_training(small_detector(kind), OTHER_OPTIONS[name])


def test_matching_options_reach_both_assigners() -> None:
    options = HeadOptions(assigner=AssignerOptions(min_extent=0, metric_floor=1e-9))
    training = head_training(small_detector("anchor_free"), options)
    assert isinstance(training, AnchorFreeTraining)
    for loss in (training.loss_of, training.dual.one):
        assert isinstance(loss, AnchorFreeLoss)
        assert (loss.assigner.min_extent, loss.assigner.metric_floor) == (0, 1e-9)


WEIGHTS = {"box": 3.0, "region_box": 3.0, "distribution": 2.0, "classes": 0.25, "objectness": 0.25}
OWN = {"anchor_free": {"box": 7.5, "distribution": 1.5, "classes": 0.5}}
"""The weights of the heads where they are not 1."""


@pytest.mark.parametrize("kind", list(HEAD_TRAINING))
def test_weights_scale_the_parts_of_the_loss(kind: str) -> None:
    detector = small_detector(kind).train()
    images = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    wanted = objects((8, 8, 40, 40, 0, 0), (0, 0, 90, 60, 2, 1))
    distribution = 2.0 if kind == "anchor_free" else None
    given = LossWeights(box_weight=3.0, class_weight=0.25, distribution_weight=distribution)
    parts = []
    for options in (HeadOptions(), HeadOptions(loss=given)):
        torch.manual_seed(0)
        parts.append(head_training(detector, options).loss(detector, images, wanted, NOTHING).parts)
    for name, part in parts[0].items():
        before = OWN.get(kind, {}).get(name, 1.0)
        assert part > 0 and parts[1][name].item() == pytest.approx(part.item() * WEIGHTS[name] / before, rel=1e-5)


def test_the_settings_of_a_training_reach_its_head(shapes: Dataset) -> None:
    given = {"assigner": {"min_extent": 0}, "loss": {"box_weight": 2}}
    config = TrainConfig.from_dict({**given, "device": "cpu"})
    assert TrainConfig.from_dict(config.to_dict()) == config
    run = prepare_run(small_detector("anchor_free"), shapes, None, config, None, None)
    run.close()
    assert isinstance(run.head, AnchorFreeTraining)
    assert run.head.loss_of.box_weight == 2 and run.head.loss_of.assigner.min_extent == 0
    assert run.head.loss_of.class_weight == 0.5


def test_negative_weights_are_an_error() -> None:
    with pytest.raises(SettingError, match="class_weight is -1.0; it must be at least 0") as caught:
        TrainConfig.from_dict({"loss": {"class_weight": -1.0}})
    assert caught.value.setting == "class_weight"


def test_a_kind_without_training_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(HEAD_TRAINING._things, "two_stage")
    with pytest.raises(ConfigError, match="'two_stage' has no training.*anchor_free.*, ssd"):
        head_training(small_detector("two_stage"))


NOTHING = objects()
EVERYWHERE = objects((0, 0, 96, 64, -1, 0), (0, 0, 96, 64, -1, 1))
BATCHES = {
    "objects": (objects((8, 8, 40, 40, 0, 0), (50, 30, 70, 44, 0, 1)), NOTHING),
    "one image without": (objects((8, 8, 40, 40, 0, 1)), NOTHING),
    "no objects": (NOTHING, NOTHING),
    "smaller than a cell": (objects((20.2, 20.2, 21.7, 21.4, 0, 0), (90, 60, 90.5, 60.5, 0, 0)), NOTHING),
    "without area": (objects((20, 20, 20, 20, 0, 0)), NOTHING),
    "many at one place": (objects(*((8, 8, 40, 40, 0, 0),) * 40), NOTHING),
    "all of the image": (objects((0, 0, 96, 64, 0, 0)), NOTHING),
    "everything ignored": (NOTHING, EVERYWHERE),
    "objects in ignored regions": (objects((8, 8, 40, 40, 0, 0)), EVERYWHERE),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(HEAD_TRAINING))
@pytest.mark.parametrize("name", list(BATCHES))
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def test_losses_and_gradients_are_finite(kind: str, name: str, precision: torch.dtype) -> None:
    detector = small_detector(kind, num_classes=1).train()
    wanted, ignored = BATCHES[name]
    images = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision is torch.bfloat16):
        loss = head_training(detector).loss(detector, images, wanted, ignored)
    assert loss.total.dtype == torch.float32 and loss.total.isfinite()
    torch.autograd.backward(loss.total)
    for weight_name, weight in detector.named_parameters():
        assert weight.grad is not None and weight.grad.isfinite().all(), weight_name


@pytest.mark.parametrize("kind", list(HEAD_TRAINING))
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def test_objects_reach_every_weight(kind: str, precision: torch.dtype) -> None:
    detector = small_detector(kind).train()
    images = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    wanted = objects((8, 8, 40, 40, 0, 0), (0, 0, 90, 60, 2, 1), (40, 30, 60, 44, 1, 1))
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision is torch.bfloat16):
        loss = head_training(detector).loss(detector, images, wanted, NOTHING)
    torch.autograd.backward(loss.total)
    still = [name for name, weight in detector.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert still == []


@pytest.mark.parametrize("kind", list(HEAD_TRAINING))
def test_what_is_read_obeys_the_limits(kind: str) -> None:
    detector = small_detector(kind).eval()
    with torch.no_grad():
        outputs = detector(torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(1)))
    training = head_training(detector)
    for limits in (
        DetectionLimits(score_threshold=0.0, max_detections=7),
        DetectionLimits(score_threshold=0.3, max_detections=7),
        DetectionLimits(score_threshold=2.0),
    ):
        found = training.read(outputs, limits)
        assert len(found) == 2
        for boxes, scores, labels in found:
            assert boxes.shape == (len(scores), 4) and len(labels) == len(scores) <= limits.max_detections
            assert (scores >= limits.score_threshold).all() and (scores.diff() <= 0).all()
            assert boxes.dtype == scores.dtype == torch.float32 and labels.dtype == torch.int64
            assert ((labels >= 0) & (labels < 3)).all()
    assert len(training.read(outputs, DetectionLimits(score_threshold=0.0))[0][0]) > 0


def _total(kind: str, seed: int, wanted: Objects) -> float:
    detector = small_detector(kind).train()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return head_training(detector).loss(detector, torch.zeros(1, 3, 64, 96), wanted, NOTHING).total.item()


@pytest.mark.parametrize("kind", list(HEAD_TRAINING))
def test_the_seed_decides_a_loss(kind: str) -> None:
    wanted = objects((8, 8, 40, 40, 0, 0))
    assert _total(kind, 0, wanted) == _total(kind, 0, wanted)
