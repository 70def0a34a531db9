"""What a training can be asked for beyond its schedule: parts of steps, patience, float16, images that are broken."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from search_space.errors import ConfigError, DataError
from tests.trainers.conftest import tiny_detector
from tests.trainers.test_loop import SHORT, Failing, equal_states, losses_of
from trainers import Augmentation, Score, TrainConfig, TrainProgress, evaluate, train
from trainers.checkpoint import TrainingState
from trainers.data import Dataset
from trainers.data.dataset import Image, Record
from trainers.steps import DetectorLoss, TrainingRun, prepare_run
from trainers.tiling import Tiling
from trainers.weights import read_torch

SPLIT = replace(SHORT, accumulate=2, precision="float32")


def run_of(dataset: Dataset, config: TrainConfig, detector: Any = None) -> TrainingRun:
    return prepare_run(detector or tiny_detector(), dataset, None, config, None, None)


def gradients(run: TrainingRun) -> Tensor:
    """Returns the gradient of the first step, all weights in one vector."""
    run.begin_step(0)
    for number, part in enumerate(run.stream.parts(0)):
        run.add_gradients(part, 0, number)
    grads = [value.grad for value in run.detector.parameters() if value.grad is not None]
    return torch.cat([grad.flatten() for grad in grads])


def test_gradients_of_parts_are_averaged(shapes: Dataset) -> None:
    run = run_of(shapes, SPLIT)
    together = gradients(run)
    alone = []
    for part in run.stream.parts(0):
        detector = tiny_detector().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        torch.autograd.backward(run.module.head.loss(detector, part.images / 255, part.objects, part.ignored).total)  # type: ignore[union-attr]
        alone.append(torch.cat([value.grad.flatten() for value in detector.parameters()]))  # type: ignore[union-attr]
    assert not torch.allclose(*alone, rtol=0.1)
    assert torch.allclose(together, (alone[0] + alone[1]) / 2, rtol=1e-4, atol=1e-6)


class MeanLoss(DetectorLoss):
    """A loss that is a mean over images, of a detector whose norms take no notice of the batch."""

    def forward(self, images: Tensor, *_: object) -> dict[str, Tensor]:
        self.detector.eval()
        return {"mean": torch.stack([level.square().mean(dim=(1, 2, 3)) for level in self.detector(images)]).mean()}


def test_split_steps_equal_whole_ones_where_the_loss_is_a_mean(shapes: Dataset) -> None:
    found = []
    for config in (replace(SPLIT, accumulate=1), replace(SPLIT, accumulate=4)):
        run = run_of(shapes, config)
        found.append(gradients(replace(run, module=MeanLoss(run.detector, run.module.head))))  # type: ignore[arg-type]
    assert found[0].norm() > 0.1 and torch.allclose(*found, rtol=1e-4, atol=1e-6 * float(found[0].norm()))


@pytest.mark.slow
def test_split_training_repeats_and_resumes(shapes: Dataset, tmp_path: Path) -> None:
    whole, result = losses_of(shapes, SPLIT)
    assert len(whole) == 12 and whole != losses_of(shapes, replace(SPLIT, accumulate=1))[0]

    def interrupt(progress: TrainProgress) -> None:
        if progress.step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tiny_detector(), shapes, config=SPLIT, on_step=interrupt, checkpoint=tmp_path / "last.pt")  # type: ignore[arg-type]
    rest, resumed = losses_of(shapes, SPLIT, checkpoint=tmp_path / "last.pt", resume=True)
    assert rest == whole[5:] and equal_states(resumed, result)


@pytest.mark.slow
@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_number_of_readers_changes_nothing(shapes: Dataset, accumulate: int) -> None:
    config = replace(SHORT, epochs=1, accumulate=accumulate)
    one, other = (losses_of(shapes, replace(config, num_readers=readers)) for readers in (1, 3))
    assert one[0] == other[0] and equal_states(one[1], other[1])


@pytest.mark.slow
def test_a_bad_part_spoils_its_step_only(shapes: Dataset) -> None:
    result = train(Failing(range(3, 5)), shapes, shapes.limited(4), config=SPLIT)  # type: ignore[arg-type]
    assert result.bad_steps == 1, "passes 3 and 4 are the two parts of step 2"
    assert all(value.isfinite().all() for value in result.state_dict.values())
    with pytest.raises(ConfigError, match="not finite in 5 steps in a row"):
        train(Failing(range(1, 99)), shapes, config=replace(SPLIT, max_bad_steps=5))  # type: ignore[arg-type]


@pytest.mark.slow
def test_float16_finds_its_scale_and_keeps_it_when_resumed(
    shapes: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.amp.GradScaler", partial(torch.amp.GradScaler, init_scale=2.0**22))
    config = replace(SHORT, precision="float16", max_bad_steps=1, batch_size=1, epochs=8 / 24)  # slow on a CPU
    place = tmp_path / "last.pt"
    whole, result = losses_of(shapes, config)
    assert result.bad_steps == 0 and result.scaled_down > 0

    def interrupt(progress: TrainProgress) -> None:
        if progress.step == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tiny_detector(), shapes, config=config, on_step=interrupt, checkpoint=place)  # type: ignore[arg-type]
    assert 1 < read_torch(place, "checkpoint")["scaler"]["scale"] < 2**22
    rest, resumed = losses_of(shapes, config, checkpoint=place, resume=True)
    assert rest == whole[4:] and equal_states(resumed, result)
    with pytest.raises(ConfigError, match="not finite in 1 steps in a row"):
        train(Failing(range(1, 99)), shapes, config=config)  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_low_precision_stays_near_float32(shapes: Dataset, precision: str) -> None:
    exact, _ = losses_of(shapes, replace(SHORT, epochs=0.5, precision="float32"))
    low, _ = losses_of(shapes, replace(SHORT, epochs=0.5, precision=precision))
    assert low != exact and low == pytest.approx(exact, rel=0.1)


def scores(*accuracies: float) -> Any:
    """Returns a stand-in for `evaluate` that gives these accuracies, one a call."""
    left = list(accuracies)
    return lambda *_, **__: Score(ap=0.0, ap50=left.pop(0))


PATIENT = replace(SHORT, epochs=6, eval_every=1.0, patience=2)


@pytest.mark.slow
def test_patience_ends_a_training_that_gets_no_better(
    shapes: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainers.steps.evaluate", scores(0.1, 0.3, 0.3, 0.2, 0.9, 0.9))
    place = tmp_path / "last.pt"
    kept: list[float] = []

    def keep(state: Mapping[str, Tensor], score: Score) -> None:
        kept.append(score.ap50)

    result = train(tiny_detector(), shapes, shapes, config=PATIENT, on_best=keep, checkpoint=place)  # type: ignore[arg-type]
    assert result.out_of_patience and not result.stopped and kept == [0.1, 0.3]
    assert (result.epochs, result.best_epoch) == (4.0, 2.0) and len(result.history) == 4
    assert result.best_score is not None and result.score is not None
    assert (result.best_score.ap50, result.score.ap50) == (0.3, 0.2)
    again, same = losses_of(shapes, PATIENT, val_set=shapes, checkpoint=place, resume=True)
    assert again == [] and same.out_of_patience, "it stays ended"
    more, longer = losses_of(shapes, replace(PATIENT, patience=9), val_set=shapes, checkpoint=place, resume=True)
    assert len(more) == 12 and longer.best_epoch == 5.0 and not longer.out_of_patience


def test_the_best_weights_are_kept_before_the_checkpoint(shapes: Dataset, tmp_path: Path) -> None:
    """Else a kill between the two would leave weights that are older than the best that is remembered."""
    place, kept = tmp_path / "last.pt", {}

    def keep(state: Mapping[str, Tensor], score: Score) -> None:
        assert not place.exists() or read_torch(place, "checkpoint")["state"]["best_step"] < 6
        kept.update(state)

    few = shapes.limited(4)
    config = replace(SHORT, epochs=1)
    result = train(tiny_detector(), shapes, few, config=config, on_best=keep, checkpoint=place)  # type: ignore[arg-type]
    detector = tiny_detector()
    detector.load_state_dict(kept)
    assert repr(evaluate(detector, few)) == repr(result.best_score)  # type: ignore[arg-type]
    assert read_torch(place, "checkpoint")["state"]["best_step"] == 6


def test_a_score_that_is_not_a_number_is_never_better() -> None:
    state, nan = TrainingState(step=1), float("nan")
    assert state.rate(Score(ap=nan, ap50=nan)) and not state.rate(Score(ap=nan, ap50=nan))
    assert state.rate(Score(ap=0.1, ap50=0.0)) and not state.rate(Score(ap=0.1, ap50=nan)) and state.num_worse == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seconds", "steps", "written"), [(0.0, 0, [6, 12]), (1e-9, 0, range(1, 13)), (0, 5, [5, 6, 10, 12])]
)
def test_checkpoints_are_written_at_the_chosen_intervals(
    shapes: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, steps: int, written: Any
) -> None:
    seen: list[int] = []
    monkeypatch.setattr("trainers.checkpoint.write_torch", lambda _, content: seen.append(content["state"]["step"]))
    losses_of(
        shapes, replace(SHORT, checkpoint_seconds=seconds, checkpoint_steps=steps), checkpoint=tmp_path / "last.pt"
    )
    assert seen == list(written)


def broken(dataset: Dataset, numbers: set[int]) -> Dataset:
    """Returns a copy of a data set some of whose images cannot be read."""

    def read(record: Record) -> Image:
        if record.number in numbers:
            raise DataError(f"cannot decode image {record.number}")
        return dataset.image(record.number)

    records = [replace(record, number=index) for index, record in enumerate(dataset.records)]
    return Dataset(records, dataset.classes, reader=read)


@pytest.mark.slow
def test_broken_images_are_replaced_and_counted(shapes: Dataset, caplog: pytest.LogCaptureFixture) -> None:
    config = replace(SHORT, augmentation=Augmentation(mosaic=0.5))
    one, other = (losses_of(broken(shapes, {3, 17}), replace(config, num_readers=readers)) for readers in (1, 3))
    assert one[1].broken_images == other[1].broken_images == 2 and one[0] == other[0]
    assert one[0] != losses_of(shapes, config)[0]
    assert sum("cannot decode image 17 (not used for training" in message for message in caplog.messages) == 2, (
        "once a training"
    )


def test_too_many_broken_images_end_the_training(shapes: Dataset) -> None:
    with pytest.raises(DataError, match="3 of 24 training images cannot be read, allowed are 10%.*cannot decode"):
        losses_of(broken(shapes, {1, 2, 3}), SHORT)
    many = Dataset(
        shapes.records + shapes.records[:8], shapes.classes, reader=lambda record: shapes.image(record.number)
    )
    assert losses_of(broken(many, {1, 2, 3}), SHORT)[1].broken_images == 3, "under a tenth of 32"
    with pytest.raises(DataError, match="1 of 1 training images cannot be read"):
        losses_of(broken(shapes.limited(1), {0}), SHORT)


def test_copies_of_activations_are_saved_without_a_change(shapes: Dataset) -> None:
    detector = tiny_detector()
    for module in detector.modules():
        if isinstance(module, nn.SiLU):
            module.inplace = True
    before = copy.deepcopy(detector)
    run = run_of(shapes, SHORT, detector)
    assert not any(getattr(module, "inplace", False) for module in detector.modules())
    images = torch.rand(2, 3, 96, 96).contiguous(memory_format=torch.channels_last)
    before.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    assert all(torch.equal(*pair) for pair in zip(before(images), run.detector(images), strict=True))


@pytest.mark.parametrize("eval_tile", [False, True])
def test_evaluations_can_be_tiled(shapes: Dataset, monkeypatch: pytest.MonkeyPatch, eval_tile: bool) -> None:
    seen: list[Tiling | None] = []

    def note(*_: object, tiling: Tiling | None, **__: object) -> Score:
        seen.append(tiling)
        return Score(ap=0.0, ap50=0.0)

    monkeypatch.setattr("trainers.steps.evaluate", note)
    losses_of(shapes, replace(SHORT, epochs=0.2, eval_tile=eval_tile), val_set=shapes)
    assert seen == ([Tiling(tile_hw=(96, 96), whole=True)] if eval_tile else [None])


def test_gradients_are_clipped_to_their_norm(shapes: Dataset) -> None:
    for limit in (1e-3, 1e6):
        run = run_of(shapes, replace(SHORT, precision="float32", clip_norm=limit))
        norm = float(gradients(run).norm())
        run.update_weights([{"box": torch.tensor(1.0)}], TrainingState())
        clipped = torch.cat([value.grad.flatten() for value in run.detector.parameters() if value.grad is not None])
        assert float(clipped.norm()) == pytest.approx(min(norm, limit), rel=1e-3)
