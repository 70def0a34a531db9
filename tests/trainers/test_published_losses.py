"""The losses of all heads on drawn boxes against references that follow the equations of the papers, in float64."""

from __future__ import annotations

from math import pi

import numpy as np
import pytest
import torch
from head_cases import objects

from trainers.assigners import Objects, TaskAlignedAssigner
from trainers.boxes import grid_of
from trainers.heads.anchor_free import AnchorFreeLoss
from trainers.heads.anchor_matching import match_anchors
from trainers.heads.region_loss import RegionLoss
from trainers.heads.ssd import MultiboxLoss, _anchor_boxes

NOTHING = objects()
VGG16 = ((38, 38), (19, 19), (10, 10), (5, 5), (3, 3), (1, 1))


def drawn(seed: int, count: int, sides: tuple[float, float], extent: int, num_images: int = 2) -> Objects:
    """Boxes of a width and height between `sides` px inside of images of `extent` px; three classes."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        width, height = rng.uniform(*sides, size=2)
        x, y = rng.uniform(0, extent - width), rng.uniform(0, extent - height)
        rows.append((x, y, x + width, y + height, int(rng.integers(3)), number % num_images))
    return objects(*rows)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(0.0, width) * max(0.0, height)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def ious(anchors: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    return np.array([[iou(anchor, box) for box in boxes] for anchor in anchors])


def of(found: Objects, image: int) -> tuple[np.ndarray, np.ndarray]:
    rows = (found.images == image).numpy()
    return found.boxes.numpy().astype(float)[rows], found.labels.numpy()[rows]


def smooth_l1(error: np.ndarray, beta: float = 1.0) -> float:
    size = np.abs(error)
    return float(np.where(size < beta, size**2 / (2 * beta), size - beta / 2).sum())


def offsets_of(box: np.ndarray, anchor: np.ndarray) -> np.ndarray:
    centre, size = (anchor[:2] + anchor[2:]) / 2, anchor[2:] - anchor[:2]
    return np.concatenate((((box[:2] + box[2:]) / 2 - centre) / size, np.log((box[2:] - box[:2]) / size)))


def test_an_object_smaller_than_all_priors_has_one_prior() -> None:
    """Objects of 6 to 18 px on the priors of VGG16, of which the smallest squares have 30 px."""
    anchors = _anchor_boxes("vgg16", VGG16, (300, 300), "cpu")
    found = drawn(0, 240, (6, 18), 300, num_images=40)
    number, tied = 0, 0
    for image in range(40):
        boxes = found.boxes[found.images == image]
        match = match_anchors(anchors, boxes, positive=0.5)
        assert torch.bincount(match.objects[match.positive], minlength=len(boxes)).max() == 1
        number += int(match.positive.sum())
        tied += int(match_anchors(anchors, boxes, positive=0.5, all_ties=True).positive.sum())
    assert 235 <= number <= 240 and tied > 4 * number


def multibox(
    offsets: np.ndarray, logits: np.ndarray, anchors: np.ndarray, found: Objects, near: list[np.ndarray]
) -> tuple[float, float]:
    """Liu et al., SSD, equations 1 to 3; the last object that has an anchor as its best keeps it."""
    box, classes, count = 0.0, 0.0, 0
    for image in range(len(offsets)):
        boxes, labels = of(found, image)
        table = near[image]
        owner = [int(row.argmax()) if row.max() >= 0.5 else -1 for row in table]
        for number in range(len(boxes)):
            owner[int(table[:, number].argmax())] = number
        shifted = logits[image] - logits[image].max(axis=1, keepdims=True)
        log_shares = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        positive = [row for row, number in enumerate(owner) if number >= 0]
        for row in positive:
            wanted = offsets_of(boxes[owner[row]], anchors[row]) / (0.1, 0.1, 0.2, 0.2)
            box += smooth_l1(offsets[image, row] - wanted)
            classes -= log_shares[row, labels[owner[row]] + 1]
        hardest = sorted(-log_shares[row, 0] for row, number in enumerate(owner) if number < 0)[::-1]
        classes += sum(hardest[: 3 * len(positive)])
        count += len(positive)
    return box / count, classes / count


@pytest.mark.parametrize("sides", [(34, 90), (40, 250)])
def test_the_loss_of_ssd(sides: tuple[float, float]) -> None:
    shapes = ((30, 30), (15, 15), (8, 8), (4, 4))
    anchors = _anchor_boxes("by_cell", shapes, (300, 300), "cpu")
    found = drawn(1, 16, sides, 300)
    generator = torch.Generator().manual_seed(2)
    offsets = torch.randn(2, len(anchors), 4, generator=generator)
    logits = 3 * torch.randn(2, len(anchors), 4, generator=generator)
    parts = MultiboxLoss()(offsets, logits, anchors, found, NOTHING).parts
    exact = anchors.numpy().astype(float)
    near = [ious(exact, of(found, image)[0]) for image in range(2)]
    expected = multibox(offsets.numpy().astype(float), logits.numpy().astype(float), exact, found, near)
    assert (parts["box"].item(), parts["classes"].item()) == pytest.approx(expected, rel=1e-5)
    halved = MultiboxLoss(box_weight=0.5, class_weight=2.0)(offsets, logits, anchors, found, NOTHING).parts
    assert (halved["box"], halved["classes"]) == (0.5 * parts["box"], 2 * parts["classes"])


def ciou_of(box: np.ndarray, wanted: np.ndarray) -> float:
    """Zheng et al., AAAI 2020: IoU, less the distance of the centres and the difference of the aspects."""
    outer = np.maximum(box[2:], wanted[2:]) - np.minimum(box[:2], wanted[:2])
    apart = (box[:2] + box[2:] - wanted[:2] - wanted[2:]) / 2
    angles = [np.arctan((each[2] - each[0]) / (each[3] - each[1])) for each in (box, wanted)]
    aspect, overlap = 4 / pi**2 * (angles[0] - angles[1]) ** 2, iou(box, wanted)
    weight = aspect / (1 - overlap + aspect + 1e-7)
    return float(overlap - (apart @ apart) / (outer @ outer) - weight * aspect)


def task_aligned(
    table: np.ndarray, points: np.ndarray, strides: np.ndarray, found: Objects, floor: float
) -> dict[str, float]:
    """TOOD with the numbers of YOLOv8, its box, distribution and class parts with their weights; points inside only."""
    logits = table[..., 64:]
    targets, weighted = np.zeros_like(logits), []
    bins = np.exp(table[..., :64].reshape(*table.shape[:2], 4, 16))
    bins /= bins.sum(axis=-1, keepdims=True)
    sides = (bins @ np.arange(16)) * strides[:, None]
    for image in range(len(table)):
        boxes, labels = of(found, image)
        claims: dict[int, list[tuple[float, int, float]]] = {}
        for number, (wanted, label) in enumerate(zip(boxes, labels, strict=True)):
            inside = ((points > wanted[:2]) & (points < wanted[2:])).all(axis=1).nonzero()[0]
            rows = []
            for row in inside:
                box = np.concatenate((points[row] - sides[image, row, :2], points[row] + sides[image, row, 2:]))
                near = max(0.0, ciou_of(box, wanted))
                score = 1 / (1 + np.exp(-logits[image, row, label]))
                rows.append((score**0.5 * near**6, near, int(row)))
            for metric, near, row in sorted(rows, reverse=True)[:10]:
                claims.setdefault(row, []).append((near, number, metric))
        owned: dict[int, list[tuple[int, float, float]]] = {}
        for row, claim in claims.items():
            near, number, metric = max(claim)
            owned.setdefault(number, []).append((row, near, metric))
        for number, mine in owned.items():
            best, nearest = max(metric for *_, metric in mine), max(near for _, near, _ in mine)
            for row, _, metric in mine:
                target = metric / (best + floor) * nearest if best else 0.0
                targets[image, row, labels[number]] = target
                cells = (
                    np.concatenate((points[row] - boxes[number, :2], boxes[number, 2:] - points[row])) / strides[row]
                )
                cells = cells.clip(0, 14.99)
                low, chances = cells.astype(int), bins[image, row]
                share = cells - low
                at_low, at_high = chances[range(4), low], chances[range(4), low + 1]
                unlikely = -((1 - share) * np.log(at_low) + share * np.log(at_high)).mean()
                true = np.concatenate((points[row] - sides[image, row, :2], points[row] + sides[image, row, 2:]))
                weighted.append((target, 1 - ciou_of(true, boxes[number]), unlikely))
    entropy = np.logaddexp(0, logits) - targets * logits
    total = max(1.0, targets.sum())
    return {
        "box": 7.5 * sum(target * box for target, box, _ in weighted) / total,
        "distribution": 1.5 * sum(target * unlikely for target, _, unlikely in weighted) / total,
        "classes": 0.5 * entropy.sum() / total,
    }


PUBLISHED = TaskAlignedAssigner(min_extent=0, metric_floor=1e-9)


@pytest.mark.parametrize(
    ("assigner", "sides", "floor"),
    [
        (TaskAlignedAssigner(), (24, 120), 0.0),
        (PUBLISHED, (24, 120), 1e-9),
        (PUBLISHED, (10, 24), 1e-9),
        (PUBLISHED, (4, 10), 1e-9),
    ],
)
def test_the_loss_of_yolo(assigner: TaskAlignedAssigner, sides: tuple[float, float], floor: float) -> None:
    generator = torch.Generator().manual_seed(3)
    maps = [torch.randn(2, 67, 160 // stride, 160 // stride, generator=generator) for stride in (8, 16, 32)]
    found = drawn(4, 12, sides, 160)
    parts = AnchorFreeLoss(strides=(8, 16, 32), reg_max=16, assigner=assigner)(maps, found, NOTHING).parts
    table = np.concatenate([level.flatten(2).transpose(1, 2).numpy().astype(float) for level in maps], axis=1)
    grid = grid_of(maps, (8, 16, 32))
    expected = task_aligned(table, grid.points.numpy(), grid.point_strides.numpy(), found, floor)
    assert {name: part.item() for name, part in parts.items()} == pytest.approx(expected, rel=2e-4)


def test_tiny_objects_are_learned_by_default_and_not_as_published() -> None:
    """Boxes of 2 to 4 px between the points of all levels."""
    maps = [torch.zeros(1, 67, 160 // stride, 160 // stride) for stride in (8, 16, 32)]
    found = objects((9, 9, 11, 11, 0, 0), (30.5, 38, 33, 41.5, 1, 0))
    grid, rows = grid_of(maps, (8, 16, 32)), torch.zeros(525, 67)
    default, published = (
        each(rows[:, 64:], rows[:, :64], grid, found, 16) for each in (TaskAlignedAssigner(), PUBLISHED)
    )
    assert set(default.objects.tolist()) == {0, 1} and len(published.anchors) == 0


@pytest.mark.parametrize(("strides", "scale"), [((8, 16), 2.25), ((4, 8, 16), 3.2)])
def test_the_loss_of_the_proposals_of_tinydet(strides: tuple[int, ...], scale: float) -> None:
    """Ren et al., Faster R-CNN, with TinyDet's thresholds; all anchors are samples."""
    generator = torch.Generator().manual_seed(5)
    maps = [torch.randn(2, 15, 96 // stride, 96 // stride, generator=generator) for stride in strides]
    found = drawn(6, 10, (6, 60), 96)
    loss = RegionLoss(strides=strides, anchor_scale=scale, num_samples=10**6, positive_share=1.0)
    anchors, inside = loss._anchors(maps)
    exact = anchors.numpy().astype(float)
    logits = np.concatenate([level[:, :3].permute(0, 2, 3, 1).reshape(2, -1).numpy() for level in maps], axis=1)
    moved = np.concatenate([level[:, 3:].permute(0, 2, 3, 1).reshape(2, -1, 4).numpy() for level in maps], axis=1)
    objectness, box, samples = 0.0, 0.0, 0
    for image in range(2):
        boxes, _ = of(found, image)
        table = ious(exact[inside], boxes)
        best = table.max(axis=0)
        for row, near in zip(inside.tolist(), table, strict=True):
            tied = (near > best - 1e-6) & (near >= 0.3)
            forced = tied.nonzero()[0].tolist()
            if near.max() < 0.3:
                objectness += np.logaddexp(0, logits[image, row])
            elif near.max() >= 0.5 or forced:
                objectness += np.logaddexp(0, -logits[image, row])
                number = max(forced, key=lambda each: near[each]) if forced else int(near.argmax())
                box += smooth_l1(moved[image, row] - offsets_of(boxes[number], exact[row]), beta=1 / 9)
            else:
                continue
            samples += 1
    found_parts = [part.item() for part in loss(maps, found, NOTHING)]
    assert found_parts == pytest.approx([objectness / samples, box / samples], rel=1e-4)
