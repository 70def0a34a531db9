"""Schedules, warm-ups and accumulated gradients as other programs have them; the defaults are in test_loop.py."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from nas.api.train_settings import fresh
from tests.trainers.conftest import tiny_detector
from tests.trainers.test_loop import PLAIN, equal_states, losses_of
from trainers import TrainConfig, TrainProgress, train
from trainers.averaging import WeightAverage
from trainers.data import Dataset
from trainers.optimizer import make_optimizer, set_rates
from trainers.step_settings import RateSchedule, UpdateRule
from trainers.steps import prepare_run

ULTRALYTICS = fresh("yolov8n", {"recipe": "ultralytics", "batch": 4}, lambda _: None).config


def of_authors(step: int, *, per_epoch: int, epochs: int = 100) -> tuple[float, float, float, int]:
    """Returns rate, rate of biases, momentum and batches of a step by the rule that Ultralytics publishes."""
    warm, line = max(3 * per_epoch, 100), (1 - step // per_epoch / epochs) * 0.99 + 0.01
    share = min(1.0, step / warm)
    rates = (0.01 * line * share, 0.1 + (0.01 * line - 0.1) * share)
    return (*rates, 0.8 + 0.137 * share, round(1 + 15 * share))


@given(st.integers(1, 300), st.data())
def test_rates_of_ultralytics(per_epoch: int, data: Any) -> None:
    steps = 100 * per_epoch
    step = data.draw(st.integers(0, steps - 1))
    found = [rate(step, steps) for rate in (ULTRALYTICS.learning_rate_at, ULTRALYTICS.bias_rate_at)]
    found += [ULTRALYTICS.momentum_at(step, steps), ULTRALYTICS.batches_at(step, steps)]
    assert found == pytest.approx(of_authors(step, per_epoch=per_epoch))


def test_rates_of_a_cosine_by_epoch_with_a_warmup_of_500_steps() -> None:
    schedule = RateSchedule(decay_from_start=True, decay_by_epoch=True, warmup_steps=500, warmup_start=1 / 3)
    config = TrainConfig(epochs=240, optimizer="sgd", learning_rate=0.35, final_share=1e-5 / 0.35, schedule=schedule)
    for step in (0, 250, 499, 500, 1000, 24_000, 47_999):
        regular = 1e-5 + (0.35 - 1e-5) * (1 + math.cos(math.pi * (step // 200) / 240)) / 2
        assert config.learning_rate_at(step, 48_000) == pytest.approx(regular * (1 - max(0, 1 - step / 500) * 2 / 3))


def test_a_constant_warmup_comes_before_the_decay() -> None:
    config = TrainConfig(
        epochs=60, learning_rate=0.004, final_share=0, schedule=RateSchedule(warmup_epochs=5, warmup_start=1)
    )
    assert {config.learning_rate_at(step, 600) for step in range(50)} == {0.004}
    assert config.learning_rate_at(50, 600) < 0.004
    assert config.learning_rate_at(324, 600) == pytest.approx(0.002)
    assert config.learning_rate_at(599, 600) == 0


@pytest.mark.parametrize("decay_all", [False, True])
def test_groups_of_weights(decay_all: bool) -> None:
    config = replace(ULTRALYTICS, update=replace(ULTRALYTICS.update, decay_all=decay_all, nesterov=False))
    detector = tiny_detector()
    optimizer = make_optimizer(detector, config)
    names = {id(value): name for name, value in detector.named_parameters()}
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(names)
    set_rates(optimizer, config, 50, 10_000)
    for group in optimizer.param_groups:
        for value in group["params"]:
            is_bias = names[id(value)].endswith("bias")
            assert group["lr"] == pytest.approx(0.1 - 0.09 / 6 if is_bias else 0.01 / 6)
            assert group["weight_decay"] == (5e-4 if value.ndim > 1 or decay_all else 0)
        assert group["momentum"] == pytest.approx(0.8 + 0.137 / 6) and not group["nesterov"]


def test_momentum_of_adamw_is_its_beta1() -> None:
    config = replace(ULTRALYTICS, optimizer="adamw")
    optimizer = make_optimizer(tiny_detector(), config)
    set_rates(optimizer, config, 0, 10_000)
    assert {group["betas"] for group in optimizer.param_groups} == {(0.8, 0.999)}


def test_the_decay_of_the_average_rises_as_published() -> None:
    detector = tiny_detector()
    average = WeightAverage(detector, 0.9999, ramp=2000)  # type: ignore[arg-type]
    before = average.detector.stem[0][0].weight.clone()  # type: ignore[index,union-attr]
    with torch.no_grad():
        detector.stem[0][0].weight.zero_()
    average.update()
    decay = 0.9999 * (1 - math.exp(-1 / 2000))
    assert torch.allclose(average.detector.stem[0][0].weight, before * decay, rtol=1e-4)  # type: ignore[index,union-attr]


AT_ONCE = RateSchedule(warmup_steps=0, warmup_bias_rate=0.1, decay_by_epoch=True)
FLAT = replace(ULTRALYTICS, augmentation=PLAIN, precision="float32", schedule=AT_ONCE)


def weights_after(shapes: Dataset, config: TrainConfig, epochs: float) -> Tensor:
    detector = tiny_detector()
    train(detector, shapes, config=replace(config, epochs=epochs))  # type: ignore[arg-type]
    return torch.cat([value.detach().flatten() for value in detector.parameters()])


def test_one_step_is_that_of_the_authors(shapes: Dataset) -> None:
    """Sum, 0.01, 10 and 5e-4 are 0.64, 10 / 64 and 5e-4 / 64 on the mean; both are the step that Ultralytics makes."""
    summed = replace(FLAT, batch_size=8, update=UpdateRule(nominal_batch=8, loss_scale="sum"))
    mean = replace(
        summed, learning_rate=0.01 * 8, clip_norm=10 / 8, weight_decay=5e-4 / 8, update=UpdateRule(nominal_batch=8)
    )
    detector = tiny_detector()
    run = prepare_run(detector, shapes, None, replace(summed, epochs=8 / 24), None, None)  # type: ignore[arg-type]
    run.begin_step(0)
    torch.autograd.backward(8 * sum(run.module(*_inputs(run.stream.batch(0))).values()))
    nn.utils.clip_grad_norm_(detector.parameters(), 10.0)
    names = {name: value for name, value in detector.named_parameters()}
    decayed = [value for value in names.values() if value.ndim > 1]
    others = [value for value in names.values() if value.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": 5e-4}, {"params": others, "weight_decay": 0.0}]
    torch.optim.SGD(groups, lr=0.01, momentum=0.937, nesterov=True).step()
    authors = torch.cat([value.detach().flatten() for value in names.values()])
    start = torch.cat([value.detach().flatten() for value in tiny_detector().parameters()])
    assert (authors - start).abs().max() > 1e-3
    for config in (summed, mean):
        assert torch.allclose(weights_after(shapes, config, 8 / 24) - start, authors - start, rtol=1e-3, atol=1e-6)


def _inputs(batch: Any) -> tuple[Any, ...]:
    return batch.images.float().div(255), batch.objects, batch.ignored


def test_the_step_of_the_recipe_is_that_of_the_authors_on_a_sum_of_64_images() -> None:
    update = ULTRALYTICS.update
    assert (update.loss_scale, update.nominal_batch, update.nesterov, update.decay_all) == ("sum", 64, True, False)
    assert (ULTRALYTICS.learning_rate, ULTRALYTICS.clip_norm, ULTRALYTICS.weight_decay) == (0.01, 10, 5e-4)


@pytest.mark.parametrize("loss_scale", ["mean", "sum"])
def test_accumulated_batches_are_parts_of_one(shapes: Dataset, loss_scale: str) -> None:
    several = replace(FLAT, batch_size=4, update=UpdateRule(nominal_batch=12, loss_scale=loss_scale))
    whole = replace(several, batch_size=12, accumulate=3)
    assert torch.allclose(weights_after(shapes, several, 1), weights_after(shapes, whole, 1), rtol=1e-3, atol=1e-6)
    assert not torch.allclose(
        weights_after(shapes, replace(several, update=UpdateRule()), 1), weights_after(shapes, whole, 1), atol=1e-4
    )


def test_weight_decay_is_for_the_nominal_batch() -> None:
    assert replace(ULTRALYTICS, batch_size=16).weight_decay_per_update == 5e-4
    assert replace(ULTRALYTICS, batch_size=24).weight_decay_per_update == pytest.approx(5e-4 * 72 / 64)
    assert replace(ULTRALYTICS, batch_size=128).weight_decay_per_update == pytest.approx(1e-3)
    assert replace(ULTRALYTICS, batch_size=128, update=UpdateRule()).weight_decay_per_update == 5e-4


@pytest.mark.parametrize("stop_at", [2, 3])
def test_waiting_gradients_are_kept_at_an_interruption(shapes: Dataset, tmp_path: Path, stop_at: int) -> None:
    config = replace(FLAT, epochs=1, update=UpdateRule(nominal_batch=12))
    whole, result = losses_of(shapes, config)

    def interrupt(progress: TrainProgress) -> None:
        if progress.step == stop_at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tiny_detector(), shapes, config=config, on_step=interrupt, checkpoint=tmp_path / "last.pt")  # type: ignore[arg-type]
    rest, resumed = losses_of(shapes, config, checkpoint=tmp_path / "last.pt", resume=True)
    assert rest == whole[stop_at:] and equal_states(resumed, result)
