"""Training, evaluation, transfer, tiling and proxies keep to one device; see `device_mode`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from device_mode import CUDA, DeviceMode, DevicesMixed, device_mode, is_on_device
from test_loop_heads import SMALL

from nas.transfer import transfer
from search_space import DESIGNS, Architecture, Detector
from trainers import TrainConfig, evaluate, fresh_detector, train
from trainers.assigners import Objects
from trainers.batch_statistics import estimate_statistics
from trainers.data import Dataset
from trainers.heads import anchor_free, roi_loss, ssd
from trainers.proxies import PROXIES, proxy_batch
from trainers.tiling import Tiling
from trainers.weights import Weights

__all__ = ["device_mode"]
CONFIG = TrainConfig(epochs=8 / 24, batch_size=4, accumulate=2, seed=3, device="cuda", precision="float32")
WAITS_OF_LOSS = {"anchor_free": 3, "ssd": 6, "two_stage": 31}
"""How often the loss of two images makes the host wait for the device: for the number of rows that a mask has."""


def architecture(head: str) -> Architecture:
    design, side = SMALL[head]
    return DESIGNS.get(design).architecture.resized((side, side))


def small(head: str) -> Detector:
    return fresh_detector(architecture(head), num_classes=3, seed=1)


def host() -> torch.Tensor:
    return torch.ones(2, 3)


@pytest.mark.parametrize(
    "mix",
    [
        lambda there: there + host(),
        lambda there: torch.cat((there, host())),
        lambda there: torch.stack((there.sum(), torch.tensor(1.0))),
        lambda there: torch.where(host() > 0, there, 0.0),
        lambda there: torch.nn.functional.linear(host(), there),
        lambda there: host()[there[0].long()],
        lambda there: there.index_select(0, torch.tensor([0])),
        lambda there: there.__setitem__(torch.tensor([0, 1]), host()),
        lambda there: there.numpy(),
        lambda there: np.asarray(there),
        lambda there: there.add_(torch.from_numpy(np.ones((2, 3), np.float32))),
        lambda there: torch.nn.Linear(3, 2)(there),
    ],
)
def test_what_cuda_refuses_raises(device_mode: DeviceMode, mix: Callable[[torch.Tensor], Any]) -> None:
    with pytest.raises(DevicesMixed):
        mix(torch.ones(2, 3, device="cuda"))


@pytest.mark.parametrize(
    ("keep", "waits"),
    [
        (lambda there: there + host().to(there.device), 0),
        (lambda there: there * torch.tensor(2.0), 0),
        (lambda there: there[torch.tensor([0])], 0),
        (lambda there: there.copy_(host()), 0),
        (lambda there: torch.arange(3, device=there.device) + there, 0),
        (lambda there: torch.nn.Linear(3, 2).to(CUDA)(there), 0),
        (lambda there: there.new_zeros(3) + there, 0),
        (lambda there: there[there > 0], 1),
        (lambda there: there * there.sum().item(), 1),
        (lambda there: there if there.any() else there + 1, 1),
        (lambda there: there.masked_fill(there > 0, 0.0), 0),
    ],
)
def test_what_cuda_takes_stays_on_the_device(
    device_mode: DeviceMode, keep: Callable[[torch.Tensor], torch.Tensor], waits: int
) -> None:
    found = keep(torch.ones(2, 3, device="cuda"))
    assert is_on_device(found) and found.device == CUDA and device_mode.waits.total() == waits
    assert found.cpu().device.type == "cpu" and not is_on_device(found.to("cpu"))


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("head", SMALL)
def test_a_training_keeps_to_one_device(device_mode: DeviceMode, head: str, precision: str, shapes: Dataset) -> None:
    result = train(small(head), shapes, config=replace(CONFIG, precision=precision))
    assert result.new_steps == 2 and (result.scaled_down or np.isfinite(result.history[-1]["loss"]))
    assert not any(map(is_on_device, result.state_dict.values()))
    waits = device_mode.waits
    assert waits[next(place for place in waits if place.startswith("tolist at trainers/steps.py"))] == 2, "one a step"
    num_parts = 2 * CONFIG.accumulate
    parts_of_loss = ("trainers/heads", "trainers/assigners", "search_space/heads")
    in_loss = [times for place, times in waits.items() if any(part in place for part in parts_of_loss)]
    assert sum(in_loss) == num_parts * WAITS_OF_LOSS[head]


@pytest.mark.slow
@pytest.mark.parametrize("head", SMALL)
def test_evaluation_statistics_and_transfer_keep_to_one_device(
    device_mode: DeviceMode, head: str, shapes: Dataset
) -> None:
    detector, donor = small(head).to(CUDA), small(head)
    report = transfer(
        detector, Weights(state=donor.state_dict(), architecture=architecture(head).to_dict(), classes=("a", "b", "c"))
    )
    assert report.macs == 1.0 and all(map(is_on_device, detector.state_dict().values()))
    estimate_statistics(detector, shapes, seed=0, num_batches=1, batch_size=4)
    evaluate(detector, shapes.limited(4), tiling=Tiling(tile_hw=detector.input_hw, whole=True))
    assert all(map(is_on_device, detector.state_dict().values()))


@pytest.mark.slow
@pytest.mark.parametrize("name", list(PROXIES))
@pytest.mark.parametrize("head", SMALL)
def test_proxies_keep_to_one_device(device_mode: DeviceMode, head: str, name: str, shapes: Dataset) -> None:
    images, objects = proxy_batch(shapes, small(head).input_hw, batch_size=4, seed=0, fit="letterbox")
    on_device = Objects(**{key: value.to(CUDA) for key, value in vars(objects).items()})
    assert np.isfinite(PROXIES.get(name)(small(head).to(CUDA), images.to(CUDA), on_device, seed=0))


MISTAKES = {
    "anchor_free": (anchor_free, "decode_boxes"),
    "ssd": (ssd, "class_entropy"),
    "two_stage": (roi_loss, "to_offsets"),
}


@pytest.mark.parametrize("head", SMALL)
def test_a_host_tensor_in_a_loss_is_found(
    device_mode: DeviceMode, head: str, shapes: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, name = MISTAKES[head]
    right = getattr(module, name)
    monkeypatch.setattr(module, name, lambda *args, **kwargs: right(*args, **kwargs) + torch.zeros(1))
    with pytest.raises(DevicesMixed):
        train(small(head), shapes, config=CONFIG)
