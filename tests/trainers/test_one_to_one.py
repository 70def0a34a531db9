"""The assignment `dual`: one point per object, a second head that only the training has, and reading without NMS."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from head_cases import objects, small_architecture
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nas.transfer import transfer
from search_space import Detector, lower
from search_space.heads.towers import BorrowedConv
from search_space.plain import Options
from trainers import TrainConfig, TrainProgress, TrainResult, Weights, fresh_detector, train
from trainers.assigners import TaskAlignedAssigner
from trainers.boxes import anchor_grid
from trainers.data import Dataset
from trainers.heads import DetectionLimits, HeadOptions, HeadTraining, head_training
from trainers.heads.anchor_free import AnchorFreeLoss, AnchorFreeTraining
from trainers.heads.head_training import UsesProgress
from trainers.heads.one_to_many import add_one_to_many, deployed_state, one_to_many_state, remove_one_to_many
from trainers.heads.reading import NUM_READ, is_first, top_pairs
from trainers.steps import prepare_run
from trainers.weights import read_torch

GRID = anchor_grid(((8, 8), (4, 4)), (4, 8))
CONFIG = TrainConfig(epochs=12 / 24, batch_size=4, accumulate=2, seed=3, precision="float32", device="cpu")
WANTED = objects((8, 8, 40, 40, 0, 0), (50, 30, 70, 44, 2, 1))
NOTHING = objects()


def small(options: dict[str, object] | None = None, num_classes: int = 3) -> Detector:
    """A small detector with the assignment `dual` and further options of the head."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Detector(lower(dual_architecture(options), num_classes=num_classes))


def dual_architecture(options: dict[str, object] | None = None):  # type: ignore[no-untyped-def]
    architecture = small_architecture("anchor_free")
    chosen = Options({"assignment": "dual", **(options or {})})  # type: ignore[dict-item]
    return replace(architecture, head=replace(architecture.head, class_branch="plain", options=chosen))


def loss_of(detector: Detector, progress: float = 0.0) -> dict[str, Tensor]:
    head = head_training(detector)
    assert isinstance(head, UsesProgress)
    head.set_progress(progress)
    images = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    return dict(head.loss(detector.train(), images, WANTED, NOTHING).parts)  # type: ignore[attr-defined]


# --- assignment

BOXES = st.tuples(st.integers(0, 24), st.integers(0, 24), st.integers(1, 20), st.integers(1, 20), st.integers(0, 1))


@settings(max_examples=60, deadline=None)
@given(st.lists(BOXES, min_size=1, max_size=8), st.integers(0, 1000))
def test_one_point_per_object_and_one_object_per_point(rows: list[tuple[int, ...]], seed: int) -> None:
    wanted = objects(*((x, y, min(x + w, 32), min(y + h, 32), label, 0) for x, y, w, h, label in rows))
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(len(GRID), 2, generator=generator), torch.randn(len(GRID), 64, generator=generator)
    found = TaskAlignedAssigner(top_k=7, keep=1)(*logits, GRID, wanted, 16)
    assert len(found.objects.unique()) == len(found.objects) and len(found.anchors.unique()) == len(found.anchors)
    many = TaskAlignedAssigner(top_k=7)(*logits, GRID, wanted, 16)
    assert set(found.objects.tolist()) == set(many.objects.tolist()), "the one of each object is of its seven"


def test_two_objects_that_want_one_point_get_one_each() -> None:
    logits = torch.full((len(GRID), 64), 0.0)
    wanted = objects((4, 4, 20, 20, 0, 0), (5, 5, 21, 21, 0, 0))
    scores = torch.zeros(len(GRID), 1)
    scores[3 * 8 + 3] = 4.0  # the point (14, 14) is the best of both
    by_score = TaskAlignedAssigner(alpha=1.0, beta=0.0, top_k=1)
    of_seven = replace(by_score, top_k=7, keep=1)(scores, logits, GRID, wanted, 16)
    of_one = by_score(scores, logits, GRID, wanted, 16)
    assert sorted(of_seven.objects.tolist()) == [0, 1] and len(of_one.objects) == 1


# --- the second head and the loss


def test_each_head_has_its_assignment() -> None:
    head = head_training(small(), HeadOptions(nwd=0.3))
    assert isinstance(head, AnchorFreeTraining)
    assert isinstance(head.dual.many, AnchorFreeLoss) and isinstance(head.dual.one, AnchorFreeLoss)
    assert head.dual.many.assigner == TaskAlignedAssigner(nwd=0.3)
    assert head.dual.one.assigner == TaskAlignedAssigner(top_k=7, keep=1, nwd=0.3)
    assert head.dual.one.nwd == head.dual.many.nwd == 0.3


def test_the_heads_begin_alike_and_the_body_learns_from_the_second_one() -> None:
    detector = small()
    add_one_to_many(detector)
    state = detector.state_dict()
    copies = [name for name in state if name.startswith("one_to_many.")]
    assert copies and all(torch.equal(state[name], state[name.removeprefix("one_to_many.")]) for name in copies)
    parts = loss_of(detector)
    assert set(parts) == {f"{which}{part}" for which in ("", "one_") for part in ("box", "distribution", "classes")}
    one = torch.stack([value for name, value in parts.items() if name.startswith("one_")]).sum()
    torch.autograd.backward(one)
    learning = {name for name, value in detector.named_parameters() if value.grad is not None}
    assert learning == {name for name, _ in detector.named_parameters() if name.startswith("blocks.head")}


@pytest.mark.parametrize("options", [{}, {"branches": "joint", "bins": 1}, {"head_stem": 16, "head_weights": "shared"}])
def test_all_weights_learn_and_shared_ones_stay_shared(options: dict[str, object]) -> None:
    detector = small(options)
    add_one_to_many(detector)
    torch.autograd.backward(torch.stack(tuple(loss_of(detector).values())).sum())
    gradients = {name: value.grad for name, value in detector.named_parameters()}
    assert all(value is not None for value in gradients.values())
    still = [name for name, value in gradients.items() if value is not None and not value.any()]
    assert all(name.startswith("blocks.head") for name in still), "where no level has the point of an object"
    assert detector.one_to_many is not None
    own = sum(value.numel() for name, value in detector.named_parameters() if name.startswith("blocks.head"))
    assert sum(value.numel() for value in detector.one_to_many.parameters()) == own
    mine = {id(value) for value in detector.one_to_many.parameters()}
    borrowed = [module for module in detector.one_to_many.modules() if isinstance(module, BorrowedConv)]
    assert bool(borrowed) == ("head_weights" in options)
    assert all(id(module.conv.weight) in mine for module in borrowed), "those of the second head, not a copy of its own"


def test_the_weights_of_the_losses_move_from_the_second_head_to_the_first() -> None:
    detector = small()
    add_one_to_many(detector)
    begin, middle, end = (
        {name: value.item() for name, value in loss_of(detector, progress).items()} for progress in (0.0, 0.5, 1.0)
    )
    for name in ("box", "distribution", "classes"):
        assert begin[name] / end[name] == pytest.approx(0.8 / 0.1, rel=1e-4)
        assert begin[f"one_{name}"] / end[f"one_{name}"] == pytest.approx(0.2 / 0.9, rel=1e-4)
        assert middle[name] / end[name] == pytest.approx(0.45 / 0.1, rel=1e-4)


def test_without_a_second_head_the_loss_is_that_of_many() -> None:
    dual = small()
    architecture = small_architecture("anchor_free")
    plain = Detector(lower(replace(architecture, head=replace(architecture.head, class_branch="plain")), num_classes=3))
    plain.load_state_dict(dual.state_dict())
    images = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    expected = head_training(plain).loss(plain.train(), images, WANTED, NOTHING).parts
    assert {name: value.item() for name, value in loss_of(dual).items()} == {
        name: value.item() for name, value in expected.items()
    }


def test_states_are_told_apart() -> None:
    detector = small()
    deployed = set(detector.state_dict())
    add_one_to_many(detector)
    with torch.no_grad():
        for value in detector.one_to_many.parameters():  # type: ignore[union-attr]
            value += 1
    state = detector.state_dict()
    assert set(deployed_state(state)) == set(one_to_many_state(state)) == deployed < set(state)
    one, many = deployed_state(state), one_to_many_state(state)
    changed = {name for name in deployed if not torch.equal(one[name], many[name])}
    assert changed and all(name.startswith("blocks.head") for name in changed)
    remove_one_to_many(detector)
    assert set(detector.state_dict()) == deployed


# --- reading


def reader() -> AnchorFreeTraining:
    head: HeadTraining = head_training(small())
    assert isinstance(head, AnchorFreeTraining)
    return head


def random_maps(seed: int, images: int = 2) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [3 * torch.randn(images, 67, *hw, generator=generator) for hw in ((8, 12), (4, 6))]


def test_top_pairs_by_hand() -> None:
    logits = torch.tensor([[[0.0, -9.0], [3.0, 2.0], [-5.0, 1.0]]])
    points, labels, scores = top_pairs(logits)
    pairs = list(zip(points[0].tolist(), labels[0].tolist(), strict=True))
    assert pairs == [(1, 0), (1, 1), (2, 1), (0, 0), (2, 0), (0, 1)]
    assert torch.equal(scores[0], torch.tensor([3.0, 2.0, 1.0, 0.0, -5.0, -9.0]).sigmoid())
    assert is_first(points[0]).tolist() == [True, False, True, True, False, False]


def test_only_the_points_with_the_best_scores_are_read() -> None:
    logits = torch.randn(2, NUM_READ + 100, 3, generator=torch.Generator().manual_seed(0))
    points, labels, scores = top_pairs(logits)
    for image in range(2):
        best = logits[image].amax(dim=1).argsort(descending=True)[:NUM_READ]
        table = torch.full_like(logits[image], -torch.inf)
        table[best] = logits[image][best]
        expected = table.flatten().argsort(descending=True)[:NUM_READ]
        assert torch.equal(points[image] * 3 + labels[image], expected)
        assert torch.equal(scores[image], table.flatten()[expected].sigmoid())


def test_boxes_that_nms_would_drop_are_kept_unless_a_threshold_is_given() -> None:
    maps = random_maps(0)
    for each in maps:
        each[:, :64] = 0.0
        each[:, 64:] = -9.0
    maps[0][0, 64, 2, 3:5] = 4.0  # two neighbours with nearly the same box
    limits = DetectionLimits(score_threshold=0.5)
    found = [reader().read(maps, replace(limits, iou_threshold=iou)) for iou in (None, 0.6, 1.0)]
    assert [len(each[0][0]) for each in found] == [2, 1, 2] and [len(each[1][0]) for each in found] == [0, 0, 0]


def test_the_boxes_are_those_of_the_table() -> None:
    maps, head = random_maps(1), reader()
    boxes, scores, labels, points = head.top(maps)
    table, all_scores = head.table(maps, (64, 96))
    for image in range(2):
        assert torch.allclose(boxes[image], table[image][points[image]], atol=1e-4)
        assert torch.allclose(scores[image], all_scores[image][points[image], labels[image]])


def test_one_class_per_point_where_that_is_asked_for() -> None:
    maps, head = random_maps(2, images=1), reader()
    every, one = (head.read(maps, DetectionLimits(score_threshold=0.0, one_class=each))[0] for each in (False, True))
    assert len(every[0].unique(dim=0)) == len(one[0]) < len(every[0])
    assert len(head.read(maps, DetectionLimits(score_threshold=0.0, max_detections=5))[0][0]) == 5


# --- training


class Died(Exception):
    """What ends a training without a last checkpoint, as `kill -9` does."""


def run(
    dataset: Dataset, *, until: int = 99, ending: type[BaseException] = KeyboardInterrupt, **more: object
) -> tuple[list[float], TrainResult | None]:
    """Trains three steps, or until `ending` is raised after one; returns the losses."""
    losses: list[float] = []

    def note(progress: TrainProgress) -> None:
        losses.append(progress.loss)
        if progress.step == until:
            raise ending

    detector = fresh_detector(dual_architecture(), num_classes=3, seed=1)
    try:
        config = replace(CONFIG, checkpoint_steps=1)
        result = train(detector, dataset, config=config, on_step=note, **more)  # type: ignore[arg-type]
    except (KeyboardInterrupt, Died):
        return losses, None
    assert detector.one_to_many is None and set(detector.state_dict()) == set(result.state_dict)
    return losses, result


@pytest.mark.parametrize("ending", [KeyboardInterrupt, Died])
def test_interrupted_and_resumed_to_the_bit_with_both_heads(
    ending: type[BaseException], shapes: Dataset, tmp_path: Path
) -> None:
    whole, first = run(shapes, checkpoint=tmp_path / "whole.pt")
    begun, _ = run(shapes, until=2, ending=ending, checkpoint=tmp_path / "last.pt")
    rest, second = run(shapes, checkpoint=tmp_path / "last.pt", resume=True)
    assert len(whole) == 3 and begun + rest == whole
    assert first is not None and second is not None
    assert all(torch.equal(value, second.state_dict[name]) for name, value in first.state_dict.items())
    files = [read_torch(tmp_path / name, "checkpoint") for name in ("whole.pt", "last.pt")]
    for kind in ("detector", "average"):
        states = [file[kind] for file in files]
        assert any(name.startswith("one_to_many.") for name in states[0])
        assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    moved = one_to_many_state(files[0]["average"])
    assert any(not torch.equal(value, first.state_dict[name]) for name, value in moved.items()), "heads of their own"


def test_the_best_weights_are_those_of_the_deployed_detector(shapes: Dataset) -> None:
    names: list[set[str]] = []
    detector = fresh_detector(dual_architecture(), num_classes=3, seed=1)
    deployed = set(detector.state_dict())
    train(detector, shapes, shapes.limited(2), config=CONFIG, on_best=lambda state, score: names.append(set(state)))
    assert names == [deployed]


def test_the_steps_tell_the_loss_its_progress(shapes: Dataset) -> None:
    training = prepare_run(small(), shapes, None, CONFIG, None, None)
    head = training.head
    assert isinstance(head, AnchorFreeTraining)
    told = []
    for step in range(training.stream.num_steps):
        training.begin_step(step)
        told.append(head.progress)
    assert told == [0.0, 0.5, 1.0]


def test_weights_of_either_assignment_start_the_other() -> None:
    dual, plain = dual_architecture(), small_architecture("anchor_free")
    plain = replace(plain, head=replace(plain.head, class_branch="plain"))
    for donor, target in ((plain, dual), (dual, plain)):
        state = fresh_detector(donor, num_classes=3, seed=5).state_dict()
        weights = Weights(architecture=donor.to_dict(), classes=("a", "b", "c"), state=state)
        detector = fresh_detector(target, num_classes=3, seed=6)
        assert transfer(detector, weights).parameters == 1
        assert all(torch.equal(value, state[name]) for name, value in detector.state_dict().items())
