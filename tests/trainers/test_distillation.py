"""What is learned from a teacher: the loss against plain arithmetic, what fits, what is kept, and what it does."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from search_space import DESIGNS, Architecture, InputFormat
from search_space.errors import ConfigError
from tests.trainers.head_cases import objects, small_architecture, small_detector
from tests.trainers.teacher_cases import CLASSES, SMALL, weights_of, with_levels, with_options
from trainers import Augmentation, TrainConfig, Weights, fresh_detector
from trainers.boxes import anchor_grid, ciou, decode_boxes
from trainers.data import Dataset
from trainers.data.batches import Batch
from trainers.heads import HeadOptions, head_training
from trainers.heads.distillation import DistillationLoss, SoftTargets, joined
from trainers.heads.head_training import LearnsFromTeacher
from trainers.steps import prepare_run
from trainers.teacher import Teacher, match_teacher

NOTHING = objects()


# --- loss


def drawn_loss(**changes: Any) -> DistillationLoss:
    values: dict[str, Any] = {
        "strides": (8, 16),
        "reg_max": 4,
        "weight": 2.0,
        "temperature": 3.0,
        "box_weight": 7.0,
        "distribution_weight": 1.5,
        "class_weight": 0.5,
        "nwd": 0.0,
    }
    return DistillationLoss(**{**values, **changes})


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def softmax(values: list[float]) -> list[float]:
    powers = [math.exp(value) for value in values]
    return [power / sum(powers) for power in powers]


def plain_classes(logits: list[float], scores: list[float]) -> float:
    """The cross-entropy of each class, weighted by the difference."""
    total = 0.0
    for logit, wanted in zip(logits, scores, strict=True):
        own = sigmoid(logit)
        total -= abs(own - wanted) * (wanted * math.log(own) + (1 - wanted) * math.log(1 - own))
    return total


def plain_distributions(logits: list[float], wanted: list[float], bins: int, temperature: float) -> float:
    total = 0.0
    for side in range(0, 4 * bins, bins):
        own, target = (softmax([v / temperature for v in each[side : side + bins]]) for each in (logits, wanted))
        total += sum(t * math.log(t / o) for t, o in zip(target, own, strict=True)) * temperature**2 / bins
    return total / 4


def drawn(seed: int, *, bins: int = 4, places: tuple[int, ...] = (1, 7, 30)) -> tuple[list[Tensor], SoftTargets]:
    """Returns maps of two images at the strides 8 and 16, and targets on the second level, of 2 x 3 places."""
    generator = torch.Generator().manual_seed(seed)
    maps = [torch.randn(2, 4 * bins + 3, *hw, generator=generator) * 2 for hw in ((4, 6), (2, 3))]
    kept = torch.tensor([place % 12 for place in places]).unique()
    return maps, SoftTargets(
        levels=(1,),
        shapes=((2, 3),),
        places=kept,
        scores=torch.rand(len(kept), 3, generator=generator),
        boxes=torch.randn(len(kept), 4 * bins, generator=generator) * 2,
        has_distributions=True,
    )


def row_of(maps: list[Tensor], place: int) -> list[float]:
    image, (row, column) = place // 6, divmod(place % 6, 3)
    return [float(value) for value in maps[1][image, :, row, column]]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.lists(st.integers(0, 11), min_size=1, max_size=5))
def test_the_loss_is_that_of_plain_arithmetic(seed: int, places: list[int]) -> None:
    maps, targets = drawn(seed, places=tuple(places))
    parts = drawn_loss()(maps, targets).parts
    best = [float(row.max()) for row in targets.scores]
    amount = max(1.0, sum(best))
    rows = [row_of(maps, int(place)) for place in targets.places]
    classes = sum(plain_classes(row[16:], wanted.tolist()) for row, wanted in zip(rows, targets.scores, strict=True))
    pairs = zip(rows, targets.boxes, best, strict=True)
    boxes = sum(score * plain_distributions(row[:16], wanted.tolist(), 4, 3.0) for row, wanted, score in pairs)
    assert float(parts["distilled_classes"]) == pytest.approx(2.0 * 0.5 * classes / amount, rel=1e-4)
    assert float(parts["distilled_boxes"]) == pytest.approx(2.0 * 1.5 * boxes / amount, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("bins", [1, 4])
def test_other_bins_compare_the_boxes(bins: int) -> None:
    maps, targets = drawn(3, bins=bins)
    maps = [each.abs() for each in maps]
    wanted = torch.tensor([[2.0, 3.0, 20.0, 25.0], [20.0, 1.0, 47.0, 30.0], [1.0, 15.0, 30.0, 32.0]])
    targets = replace(targets, boxes=wanted[: len(targets.places)], has_distributions=False)
    grid = anchor_grid(((2, 3),), (16,))
    best = targets.scores.amax(dim=1)
    expected = torch.zeros(())
    for place, box, score in zip(targets.places, targets.boxes, best, strict=True):
        point = int(place) % 6
        logits = torch.tensor(row_of(maps, int(place)))[: 4 * bins]
        own = decode_boxes(logits, grid.points[point], grid.point_strides[point], bins)
        expected += score * (1 - ciou(own, box))
    part = drawn_loss(reg_max=bins)(maps, targets).parts["distilled_boxes"]
    assert float(part) == pytest.approx(2.0 * 7.0 * float(expected / best.sum().clamp(min=1)), rel=1e-5)


def test_no_difference_is_no_loss_and_no_place_neither() -> None:
    maps, targets = drawn(1)
    rows = torch.tensor([row_of(maps, int(place)) for place in targets.places])
    maps[1].requires_grad_(True)
    same = replace(targets, scores=rows[:, 16:].sigmoid(), boxes=rows[:, :16])
    assert [float(part) for part in drawn_loss()(maps, same).parts.values()] == pytest.approx([0, 0], abs=1e-6)
    none = replace(targets, places=targets.places[:0], scores=targets.scores[:0], boxes=targets.boxes[:0])
    loss = drawn_loss()(maps, none).total
    loss.backward()
    assert float(loss) == 0 and maps[1].grad is not None, "several processes need a gradient of each weight"


def test_maps_of_another_size_are_refused() -> None:
    maps, targets = drawn(1)
    with pytest.raises(ConfigError, match="stride 16 has 2x3 places in the detector, 2x4 in the teacher"):
        drawn_loss()(maps, replace(targets, shapes=((2, 4),)))


def test_the_images_of_a_batch_are_joined() -> None:
    first, second = drawn(1, places=(1, 5))[1], drawn(2, places=(0,))[1]
    both = joined([first, second])
    assert both.places.tolist() == [1, 5, 6] and both.scores.shape == (3, 3) and both.boxes.shape == (3, 16)


# --- what fits


@pytest.fixture
def images(shapes: Dataset) -> Dataset:
    return shapes.replaced(shapes.records, CLASSES)


def match(weights: Weights, images: Dataset, student: Architecture = SMALL) -> Any:
    return match_teacher(weights, fresh_detector(student, num_classes=3, seed=0), images)


@pytest.mark.parametrize(
    ("teacher", "student", "words"),
    [
        (small_architecture("ssd"), SMALL, "the teacher has a head of kind 'ssd'"),
        (SMALL, small_architecture("two_stage"), "the detector has a head of kind 'two_stage'"),
        (with_levels(3, 3), with_levels(4, 4), "strides 8, the detector of 16"),
        (SMALL, replace(SMALL, input_format=InputFormat(fit="stretch")), "fit letterbox"),
        (DESIGNS.get("yolov8n").architecture, replace(SMALL, input_hw=(48, 48)), "cannot take the input"),
    ],
)
def test_what_does_not_fit_is_refused(
    teacher: Architecture, student: Architecture, words: str, images: Dataset
) -> None:
    with pytest.raises(ConfigError, match=words) as refusal:
        match(weights_of(teacher), images, student)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("classes", [("a", "b"), ("a", "b", "d"), ("a", "b", "c", "d"), ("class_0", "class_1")])
def test_other_classes_are_refused(classes: tuple[str, ...], images: Dataset) -> None:
    with pytest.raises(ConfigError, match="give a teacher for the classes of the data"):
        match(weights_of(classes=classes), images)


def test_another_pixel_range_is_refused(images: Dataset) -> None:
    ranged, wide = replace(weights_of(), pixel_range=(0.0, 100.0)), images.in_range((5.0, 90.0))
    with pytest.raises(ConfigError, match="pixel range"):
        match(ranged, wide)
    assert match(ranged, images) and match(weights_of(), wide), "one of 8 bits fits the other"


def test_classes_are_matched_by_name_and_levels_by_stride(images: Dataset) -> None:
    assert match(weights_of(classes=("c", "a", "b")), images).channels == (1, 2, 0)
    assert match(weights_of(classes=("class_0", "class_1", "class_2")), images).channels == (0, 1, 2)
    assert match(weights_of(with_levels(4, 4)), images).pairs == ((1, 0),)
    assert match(weights_of(), images, with_levels(4, 4)).pairs == ((0, 1),)
    for bins, same in ((16, True), (8, False), (1, False)):
        assert match(weights_of(with_options(bins=bins)), images).has_distributions is same


# --- the teacher


def teacher_of(weights: Weights, images: Dataset, *, student: Architecture = SMALL, **changes: Any) -> Teacher:
    values: dict[str, Any] = {
        "weights": weights,
        "match": match(weights, images, student),
        "confidence": 0.01,
        "caches": True,
        "device": torch.device("cpu"),
        "precision": torch.float32,
    }
    return Teacher(**{**values, **changes})


def batch_of(seed: int, number: int = 2) -> Batch:
    pixels = torch.randint(0, 256, (number, 3, 64, 96), generator=torch.Generator().manual_seed(seed))
    return Batch(images=pixels.to(torch.uint8), objects=NOTHING, ignored=NOTHING)


def confident(seed: int = 5, classes: tuple[str, ...] = CLASSES, architecture: Architecture = SMALL) -> Weights:
    """Weights whose scores lie on both sides of 0.5."""
    weights = weights_of(architecture, seed=seed, classes=classes)
    generator = torch.Generator().manual_seed(seed)
    state = {
        name: torch.randn(value.shape, generator=generator) * 0.5 if value.ndim > 1 or "bias" in name else value
        for name, value in weights.state.items()
    }
    return replace(weights, state=state)


@pytest.mark.parametrize("bins", [16, 8])
def test_targets_are_the_confident_places_of_the_teacher(bins: int, images: Dataset) -> None:
    weights = confident(classes=("c", "a", "b"), architecture=with_options(bins=bins))
    batch = batch_of(1)
    found = teacher_of(weights, images, confidence=0.5, caches=False).targets(batch)
    with torch.no_grad():
        maps = weights.detector().to(memory_format=torch.channels_last)(batch.images.float() / 255)
    rows = torch.cat([each.flatten(2).transpose(1, 2) for each in maps], dim=1).flatten(0, 1)
    scores = rows[:, 4 * bins :].sigmoid()[:, [1, 2, 0]]
    wanted = [place for place, row in enumerate(scores.tolist()) if max(row) >= 0.5]
    assert 0 < len(wanted) < len(rows) and found.places.tolist() == wanted
    torch.testing.assert_close(found.scores, scores[wanted], rtol=1e-4, atol=1e-5)
    assert found.has_distributions is (bins == 16)
    if bins == 16:
        torch.testing.assert_close(found.boxes, rows[wanted, : 4 * bins], rtol=1e-3, atol=1e-4)
    else:
        grid = anchor_grid(((8, 12), (4, 6)), (8, 16))
        points = torch.tensor(wanted) % len(grid)
        boxes = decode_boxes(rows[wanted, : 4 * bins], grid.points[points], grid.point_strides[points], bins)
        torch.testing.assert_close(found.boxes, boxes, rtol=1e-3, atol=1e-3)


def test_the_input_is_converted_as_the_teacher_needs_it(images: Dataset) -> None:
    weights, batch = confident(), batch_of(1)
    bgr = replace(SMALL, input_format=InputFormat(channels="bgr", value_range=255))
    other = replace(weights, architecture=bgr.to_dict())
    flipped = replace(batch, images=batch.images.flip(1))
    state = {**weights.state}
    first = next(name for name, value in state.items() if value.ndim == 4)
    state[first] = state[first] * 255
    ranged = teacher_of(other, images, caches=False).targets(flipped)
    plain = teacher_of(replace(weights, state=state), images, caches=False).targets(batch)
    torch.testing.assert_close(ranged.scores, plain.scores)


def test_each_image_is_predicted_once_and_kept(images: Dataset) -> None:
    first, second = batch_of(1), batch_of(2)
    mixed = replace(first, images=torch.stack([second.images[0], first.images[1]]))
    kept, none = teacher_of(confident(), images), teacher_of(confident(), images, limit_bytes=0)
    for batch in (first, second, mixed, first):
        for one, other in zip(*(dataclasses.astuple(each.targets(batch)) for each in (kept, none)), strict=True):
            assert torch.equal(one, other) if isinstance(one, Tensor) else one == other
    assert (kept.num_predicted, none.num_predicted) == (4, 8) and kept.seconds > 0
    assert none.num_bytes == 0 and kept.num_bytes == sum(each.num_bytes for each in kept._cache.values()) > 0


def test_the_cache_stays_within_its_memory(images: Dataset) -> None:
    small = teacher_of(confident(), images)
    small.targets(batch_of(1, 1))
    limited = teacher_of(confident(), images, limit_bytes=int(2.5 * small.num_bytes))
    for seed in range(1, 6):
        limited.targets(batch_of(seed, 1))
    assert 0 < limited.num_bytes <= limited.limit_bytes and 1 <= len(limited._cache) < 5


@pytest.mark.parametrize("each", dataclasses.fields(Augmentation), ids=lambda each: each.name)
def test_only_flips_leave_few_forms_of_an_image(each: dataclasses.Field[Any]) -> None:
    still = {"scale": 0.0, "translate": 0.0, "light": 0.0}
    assert Augmentation(**still).only_flips
    harmless = {"flip", "flip_vertical", "mosaic_until", "mosaic_canvas", "close_mosaic", "zoom_out_max"}
    value = {"mosaic_canvas": "double", "crop_first": True, "zoom_out_max": 2.0}.get(each.name, 0.5)
    assert Augmentation(**{**still, each.name: value}).only_flips is (
        each.name in harmless | {"crop_first", "distort_hue"}
    )


# --- the head


def loss_of(architecture: Architecture, *, taught: bool, progress: float = 0.25) -> dict[str, float]:
    detector = fresh_detector(architecture, num_classes=3, seed=1).train()
    options = HeadOptions()
    from trainers.heads.one_to_many import add_one_to_many

    add_one_to_many(detector)
    head: Any = head_training(detector, options)
    head.set_progress(progress)
    batch = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    wanted = objects((3, 4, 20, 30, 1, 0))
    if not taught:
        return {name: float(value) for name, value in head.loss(detector, batch, wanted, NOTHING).parts.items()}
    count = torch.arange(0, 240, 7)
    targets = SoftTargets(
        levels=(0, 1),
        shapes=((8, 12), (4, 6)),
        places=count,
        scores=torch.full((len(count), 3), 0.5),
        boxes=torch.linspace(-1, 1, 64).repeat(len(count), 1),
        has_distributions=True,
    )
    parts = head.distilled_loss(detector, batch, wanted, NOTHING, targets).parts
    return {name: float(value) for name, value in parts.items()}


@pytest.mark.parametrize("assignment", ["many", "dual"])
def test_a_teacher_adds_its_parts_and_changes_no_other(assignment: str) -> None:
    architecture = with_options(assignment=assignment)
    plain, taught = loss_of(architecture, taught=False), loss_of(architecture, taught=True)
    assert {name: value for name, value in taught.items() if name in plain} == plain
    added = {name for name in taught if name not in plain}
    assert added == {"distilled_classes", "distilled_boxes"}
    assert all(taught[name] > 0 for name in added)


def test_in_a_dual_loss_the_parts_have_the_share_of_the_head_that_trains_the_body() -> None:
    dual = with_options(assignment="dual")
    first, last = (loss_of(dual, taught=True, progress=share) for share in (0.0, 1.0))
    for name in ("distilled_classes", "distilled_boxes"):
        assert first[name] / last[name] == pytest.approx(0.8 / 0.1, rel=1e-4)


def test_only_the_anchor_free_head_learns_from_a_teacher(images: Dataset) -> None:
    for kind in ("anchor_free", "ssd", "two_stage"):
        assert isinstance(head_training(small_detector(kind)), LearnsFromTeacher) is (kind == "anchor_free")
    config = TrainConfig()
    with pytest.raises(ConfigError, match="'ssd'"):
        prepare_run(small_detector("ssd"), images, None, config, None, None, weights_of())
