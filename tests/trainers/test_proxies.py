"""The scores without training: against hand-made values, on every design, and what they must leave alone."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_space import DESIGNS, Architecture, Detector, InputFormat, SearchSpace, lower
from search_space.detector import InputConversion
from search_space.errors import ConfigError, DataError, SpaceError
from trainers.assigners import Objects
from trainers.data import Dataset
from trainers.data.dataset import Record
from trainers.heads import HEAD_TRAINING
from trainers.losses import Loss
from trainers.proxies import PROXIES, proxy, proxy_batch
from trainers.proxies.gradients import part_of
from trainers.proxies.zen import head_inputs, norm_deviations
from trainers.proxies.zico import MAX_RATIO, gradient_consistency

NEED_A_LOSS = {"gradient_norm", "zico"}
SIDES = (64, 288)


def with_axes(name: str, **choices: float) -> Architecture:
    """A design with other choices on some axes, at the smaller of two inputs, where it takes that."""
    space = SearchSpace()
    point = space.encode(DESIGNS.get(name).architecture)
    point |= {axis: choice for axis, choice in choices.items() if axis in point}
    return at_small_input(space.decode(space.completed(point, lambda axis: axis.choices[0])))


def at_small_input(architecture: Architecture) -> Architecture:
    try:
        small = architecture.resized((SIDES[0], SIDES[0]))
        lower(small, num_classes=3)
        return small
    except SpaceError:
        return architecture.resized((SIDES[1], SIDES[1]))


def built(architecture: Architecture, seed: int = 0) -> Detector:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Detector(lower(architecture, num_classes=3))


def noise(side: int, count: int = 4) -> tuple[Tensor, Objects]:
    images = torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(1))
    corner = torch.arange(count)[:, None] * 4.0 + 8
    boxes = torch.cat((corner, corner, corner + 14, corner + 18), dim=1)
    return images, Objects(boxes=boxes, labels=torch.arange(count) % 3, images=torch.arange(count))


def score(name: str, detector: nn.Module, seed: int = 0, count: int = 4) -> float:
    side = detector.input_hw[0] if isinstance(detector, Detector) else 8
    return PROXIES.get(name)(detector, *noise(side, count), seed=seed)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def thin() -> Detector:
    return built(with_axes("yolov8n-p2", width=0.125))


class Toy(nn.Module):
    """Two linear layers on flattened images; its head and loss are registered by `toy_head`."""

    head = "toy"

    def __init__(self, *, bias: bool = False) -> None:
        super().__init__()
        self.convert = InputConversion(InputFormat())
        with torch.random.fork_rng():
            torch.manual_seed(5)
            self.first, self.second = nn.Linear(192, 6, bias=bias), nn.Linear(6, 2, bias=bias)

    def forward(self, images: Tensor) -> list[Tensor]:
        return [self.second(F.relu(self.first(images.flatten(1))))]


class ToyHead:
    def __init__(self, detector: object, *options: object) -> None:
        pass

    def loss(self, detector: nn.Module, images: Tensor, objects: Objects, ignored: Objects) -> Loss:
        assert len(ignored) == 0 and bool((objects.images < len(images)).all())
        return Loss(parts={"a": detector(images)[0].square().sum(), "b": 3 * detector(images)[0].sum()})


@pytest.fixture
def toy_head(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HEAD_TRAINING, "_things", {"toy": ToyHead})


@pytest.mark.slow(but=("yolov8n-p2-nop5",))
@pytest.mark.parametrize("design", DESIGNS.names())
def test_scores_are_finite_on_every_design(design: str, monkeypatch: pytest.MonkeyPatch):
    """With thin layers; some designs take minutes as they are, with `python benchmarks/proxies.py designs`."""
    monkeypatch.setattr("trainers.proxies.zen.REPEATS", 1)
    detector = built(with_axes(design, width=0.125))
    for name in PROXIES:
        count = 4 if name == "zico" else 2
        if name not in NEED_A_LOSS or detector.head in HEAD_TRAINING:
            assert math.isfinite(score(name, detector, count=count)), name
        else:
            with pytest.raises(ConfigError, match="has no training"):
                score(name, detector, count=count)


@pytest.mark.slow
@pytest.mark.parametrize("name", PROXIES.names())
def test_a_score_leaves_everything_as_it_was(name: str, thin: Detector):
    thin.train()
    next(iter(thin.blocks.values())).eval()
    frozen, warm = list(thin.parameters())[:2]
    frozen.requires_grad_(False)
    warm.grad = torch.full_like(warm, 2.0)
    state = {key: value.clone() for key, value in thin.state_dict().items()}
    modes = [module.training for module in thin.modules()]
    images, objects = noise(thin.input_hw[0])
    given = images.clone(), objects.boxes.clone()
    generators = torch.get_rng_state(), np.random.get_state()[1], random.getstate()
    PROXIES.get(name)(thin, images, objects, seed=3)
    assert all(torch.equal(value, state[key]) for key, value in thin.state_dict().items())
    assert [module.training for module in thin.modules()] == modes
    assert not frozen.requires_grad and all(p.requires_grad for p in list(thin.parameters())[1:])
    assert warm.grad is not None and bool((warm.grad == 2).all())
    assert [p.grad for p in thin.parameters()].count(None) == len(list(thin.parameters())) - 1
    assert not any(module._forward_pre_hooks for module in thin.modules())
    assert torch.equal(images, given[0]) and torch.equal(objects.boxes, given[1])
    assert torch.equal(torch.get_rng_state(), generators[0])
    assert np.array_equal(np.random.get_state()[1], generators[1]) and random.getstate() == generators[2]
    frozen.requires_grad_(True)
    warm.grad = None


@pytest.mark.slow(but=("nwot",))
@pytest.mark.parametrize("name", PROXIES.names())
def test_a_score_follows_from_its_seed(name: str, thin: Detector):
    with torch.random.fork_rng():
        torch.manual_seed(11)
        first = score(name, thin.train(), seed=4)
        torch.manual_seed(12)
        assert score(name, thin.eval(), seed=4) == first
        assert (score(name, thin, seed=5) != first) == (name == "zen")


@pytest.mark.slow(but=("nwot",))
@pytest.mark.parametrize("name", PROXIES.names())
def test_a_score_depends_on_the_weights_it_reads(name: str, thin: Detector):
    other = built(with_axes("yolov8n-p2", width=0.125), seed=1)
    assert (score(name, other) == score(name, thin)) == (name == "zen")  # it draws its own weights


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nwot", "synflow", "zen"])
@pytest.mark.parametrize(("axis", "choices"), [("width", (0.125, 0.25, 0.5)), ("depth", (0.33, 0.67, 1.0))])
def test_wider_and_deeper_score_higher(name: str, axis: str, choices: tuple[float, ...]):
    fixed = {"depth": 0.33, "width": 0.125} | {axis: 0.0}
    scores = [score(name, built(with_axes("yolov8n", **(fixed | {axis: choice})))) for choice in choices]
    assert scores == sorted(scores) and len(set(scores)) == len(scores)


def test_nwot_is_the_log_determinant_of_equal_switches():
    toy, (images, objects) = Toy(bias=True), noise(8)
    on = toy.first(images.flatten(1)) > 0
    kernel = [[float((a == b).sum()) + (i == j) for j, b in enumerate(on)] for i, a in enumerate(on)]
    wanted = np.linalg.slogdet(np.array(kernel))[1]
    assert len({tuple(row.tolist()) for row in on}) > 1
    assert PROXIES.get("nwot")(toy, images, objects, seed=0) == pytest.approx(wanted)


@pytest.mark.parametrize(
    "activation",
    [nn.ReLU(inplace=True), nn.ReLU6(), nn.SiLU(inplace=True), nn.Hardswish(inplace=True), nn.LeakyReLU(), nn.GELU()],
    ids=lambda module: type(module).__name__,
)
def test_nwot_knows_every_activation_of_the_blocks(activation: nn.Module):
    images, objects = noise(8)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layer = nn.Conv2d(3, 4, 3)
    net = nn.Sequential(layer, activation)
    relu = nn.Sequential(layer, nn.ReLU())
    scores = [PROXIES.get("nwot")(each, images, objects, seed=0) for each in (net, relu, layer)]
    assert scores[0] == scores[1] > scores[2] == 0


def test_nwot_of_equal_images_is_finite_and_lower():
    images, objects = noise(8)
    same = images[:1].expand_as(images)
    assert -1 < PROXIES.get("nwot")(Toy(), same, objects, seed=0) < PROXIES.get("nwot")(Toy(), images, objects, seed=0)


def test_synflow_of_linear_layers_is_the_flow_through_each():
    toy = Toy()
    through = float((toy.second.weight.detach().double().abs() @ toy.first.weight.detach().double().abs()).sum())
    assert score("synflow", toy) == pytest.approx(math.log(2 * through))


@pytest.mark.parametrize("name", ["synflow", "zen"])
def test_scores_of_inputs_of_their_own_do_not_depend_on_the_input_format(name: str, thin: Detector):
    bgr = InputFormat(channels="bgr", value_range=255, mean=(104, 117, 123), std=(57, 58, 59))
    other = built(replace(with_axes("yolov8n-p2", width=0.125), input_format=bgr))
    assert score(name, other, count=2) == pytest.approx(score(name, thin, count=2), rel=1e-5)


def test_gradient_norm_is_that_of_the_loss(toy_head: None):
    toy, (images, objects) = Toy(), noise(8)
    outputs = toy(images)[0]
    (outputs.square().sum() + 3 * outputs.sum()).backward()
    wanted = float(toy.first.weight.grad.norm() + toy.second.weight.grad.norm())
    assert PROXIES.get("gradient_norm")(toy, images, objects, seed=0) == pytest.approx(wanted, rel=1e-5)


def test_zico_deals_images_and_objects_out_to_batches(toy_head: None):
    toy, (images, objects) = Toy(), noise(8, count=9)
    gradients = []
    for first, end in ((0, 2), (2, 4), (4, 6), (6, 9)):
        outputs = toy(images[first:end])[0]
        gradients.append(torch.autograd.grad(outputs.square().sum() + 3 * outputs.sum(), list(toy.parameters())))
    wanted = sum(gradient_consistency(layer) for layer in zip(*gradients, strict=True))
    assert PROXIES.get("zico")(toy, images, objects, seed=0) == pytest.approx(wanted, rel=1e-5)


def test_gradient_consistency_is_the_ratio_of_mean_and_deviation():
    layer = torch.tensor([[[1.0, -3.0], [2.0, 1.0]], [[3.0, 3.0], [2.0, 1.0]]])  # two weights never change
    assert gradient_consistency(list(layer)) == pytest.approx(math.log(2 / 1 + 3 / 3))
    assert gradient_consistency([torch.ones(3), torch.ones(3)]) == 0
    assert gradient_consistency([torch.tensor([1.0]), torch.tensor([1.0001])]) == pytest.approx(math.log(MAX_RATIO))


def test_objects_of_a_part_are_numbered_from_its_first_image():
    _, objects = noise(8, count=5)
    part = part_of(objects, 2, 4)
    assert part.images.tolist() == [0, 1] and torch.equal(part.boxes, objects.boxes[2:4])
    assert part.labels.tolist() == objects.labels[2:4].tolist()


def test_zen_measures_norms_as_they_are_fed():
    norm = nn.BatchNorm2d(2)
    with norm_deviations(norm) as found:
        norm(torch.tensor([[[[0.0, 2.0]], [[4.0, 10.0]]], [[[2.0, 0.0]], [[10.0, 4.0]]]]))
        norm(torch.ones(2, 2, 1, 1))
    norm(torch.ones(2, 2, 1, 1))
    assert len(found) == 2
    assert found[0] == pytest.approx(math.sqrt((1 + 9) / 2)) and 0 < found[1] < 1e-6


@pytest.mark.parametrize(
    ("design", "count", "outside"),
    [("yolov8n", 3, "head"), ("ssd-mobilenetv1", 6, "head"), ("tinydet-s", 4, "rpn")],
)
def test_zen_reads_the_maps_before_the_head(design: str, count: int, outside: str):
    detector = built(with_axes(design, width=0.125))
    names = head_inputs(detector)
    maps = detector.maps(noise(64)[0], names)
    assert len(set(names)) == count and not any(name.startswith(outside) for name in names)
    assert [level.shape[-1] for level in maps] == sorted((level.shape[-1] for level in maps), reverse=True)


class LinearTrunk(nn.Module):
    """A 1x1 convolution, perhaps with a batch norm behind it, whose maps a head would read."""

    def __init__(self, *, norm: bool) -> None:
        super().__init__()
        self.convert = InputConversion(InputFormat())
        self.trunk = nn.Sequential(nn.Conv2d(3, 512, 1), nn.BatchNorm2d(512) if norm else nn.Identity())
        self.graph = SimpleNamespace(nodes=[SimpleNamespace(name="out", block="head:any", inputs=("trunk",))])

    def maps(self, images: Tensor, names: tuple[str, ...]) -> list[Tensor]:
        assert names == ("trunk",)
        return [self.trunk(images)]


@pytest.mark.parametrize("norm", [False, True], ids=["plain", "normalised"])
def test_zen_is_the_log_of_the_answer_to_a_change_whatever_a_norm_divides_by(norm: bool):
    """Weights and change are Gaussian: the answer's square has an expectation of channels in x out x positions."""
    images, objects = noise(16)
    wanted = math.log(math.sqrt(3 * 512 * 16 * 16))
    found = PROXIES.get("zen")(LinearTrunk(norm=norm), images, objects, seed=0)  # type: ignore[arg-type]
    assert found == pytest.approx(wanted, abs=0.1)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "least"), [("nwot", 2), ("zen", 2), ("gradient_norm", 2), ("zico", 4)])
def test_too_few_images_are_an_error_that_says_how_many(name: str, least: int, thin: Detector):
    with pytest.raises(ConfigError, match=rf"'{name}' needs at least {least} images and got {least - 1}"):
        score(name, thin, count=least - 1)
    assert math.isfinite(score(name, thin, count=least))


def test_a_proxy_of_ones_own_is_protected_like_the_others(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(PROXIES, "_things", dict(PROXIES._things))

    @proxy("mine")
    def mine(detector: Detector, images: Tensor, objects: Objects) -> float:
        with torch.no_grad():
            for weight in detector.parameters():
                weight.zero_()
        return math.nan if len(images) == 1 else float(torch.rand(()))

    toy = Toy()
    assert score("mine", toy, count=1) == -math.inf
    assert score("mine", toy) == score("mine", toy) != score("mine", toy, seed=1)
    assert all(bool(weight.any()) for weight in toy.parameters())
    with pytest.raises(SpaceError, match="already registered"):
        proxy("mine")(mine)


def small_set(num_objects: list[int]) -> Dataset:
    """Images 40x20, the box of each object white on black, numbered in the blue channel of its first pixel."""

    def paint(record: Record) -> np.ndarray:
        image = np.zeros((20, 40, 3), np.uint8)
        image[0, :, 2] = record.number
        for x1, y1, x2, y2 in record.boxes.astype(int):
            image[y1:y2, x1:x2] = 255
        return image

    records = [
        Record(
            path=None,
            height=20,
            width=40,
            boxes=np.tile(np.array([[10, 5, 20, 15]], np.float32), (count, 1)),
            labels=np.full(count, number % 3),
            number=number,
        )
        for number, count in enumerate(num_objects)
    ]
    return Dataset(records, ("a", "b", "c"), reader=paint)


def test_a_batch_holds_images_and_objects_where_they_are():
    images, objects = proxy_batch(small_set([1, 2, 0]), (80, 80), 3, seed=2, fit="letterbox")
    assert images.shape == (3, 3, 80, 80) and images.dtype == torch.float32
    assert 0 <= float(images.min()) and float(images.max()) == 1
    assert sorted(objects.images.tolist()) == objects.images.tolist() and set(objects.images.tolist()) == {0, 1}
    for box, image in zip(objects.boxes.round().int().tolist(), objects.images.tolist(), strict=True):
        assert box == [20, 30, 40, 50]  # twice as large, below 20 rows of padding
        assert bool((images[image, :, 32:48, 22:38] == 1).all()) and float(images[image, :, 32:48, 50:].max()) < 0.1
    counts = torch.bincount(objects.images).tolist()
    assert sorted(counts) == [1, 2]
    assert objects.labels.tolist() == [0 if counts[image] == 1 else 1 for image in objects.images.tolist()]


def test_a_batch_follows_from_its_seed_and_takes_images_with_objects_first():
    dataset = small_set([0, 1, 0, 1, 1, 0, 1, 1])
    batches = {seed: proxy_batch(dataset, (20, 40), 5, seed=seed, fit="letterbox")[0] for seed in range(6)}
    assert torch.equal(batches[3], proxy_batch(dataset, (20, 40), 5, seed=3, fit="letterbox")[0])
    orders = {tuple((batch[:, 2, 0, 0] * 255).round().int().tolist()) for batch in batches.values()}
    assert len(orders) > 1 and {tuple(sorted(order)) for order in orders} == {(1, 3, 4, 6, 7)}
    more = proxy_batch(dataset, (20, 40), 10, seed=0, fit="letterbox")[0]
    assert len(set((more[:8, 2, 0, 0] * 255).round().int().tolist())) == 8 and torch.equal(more[8:], more[:2])


def test_a_batch_cannot_be_drawn_of_nothing():
    with pytest.raises(DataError, match="no images"):
        proxy_batch(small_set([]), (32, 32), 2, fit="letterbox")
    with pytest.raises(ConfigError, match="must be positive"):
        proxy_batch(small_set([1]), (32, 32), 0, fit="letterbox")
    images, objects = proxy_batch(small_set([0, 0]), (32, 32), 2, fit="letterbox")
    assert len(images) == 2 and objects.boxes.shape == (0, 4) and objects.images.dtype == torch.int64
