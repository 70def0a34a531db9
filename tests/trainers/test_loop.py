"""The training loop: it learns, repeats itself, resumes, and reacts to stops and bad losses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from search_space.errors import ConfigError, DataError
from tests.trainers.conftest import TinyDetector, tiny_detector
from trainers import Augmentation, StopTraining, TrainConfig, TrainProgress, TrainResult, evaluate, train
from trainers.averaging import StatisticsWarmup, WeightAverage
from trainers.data import Dataset, DataSplits
from trainers.optimizer import make_optimizer
from trainers.weights import read_torch, write_torch

SHORT = TrainConfig(epochs=2, batch_size=4, seed=1, augmentation=Augmentation(mosaic=0.5))
PLAIN = Augmentation(flip=0, scale=0, translate=0, light=0)


def losses_of(dataset: Dataset, config: TrainConfig, **more: object) -> tuple[list[float], TrainResult]:
    seen: list[float] = []
    detector = tiny_detector()
    result = train(
        detector,  # type: ignore[arg-type]
        dataset,
        config=config,
        on_step=lambda progress: seen.append(progress.loss),
        **more,  # type: ignore[arg-type]
    )
    return seen, result


def equal_states(first: TrainResult, second: TrainResult) -> bool:
    return all(torch.equal(first.state_dict[name], second.state_dict[name]) for name in first.state_dict)


@pytest.mark.slow
def test_same_seed_same_bits_other_seed_other_losses(shapes: Dataset) -> None:
    first, first_result = losses_of(shapes, SHORT)
    second, second_result = losses_of(shapes, SHORT)
    other, _ = losses_of(shapes, TrainConfig(**{**vars(SHORT), "seed": 2}))
    assert first == second and len(first) == 12
    assert equal_states(first_result, second_result)
    assert first != other


def test_the_global_generator_is_left_alone(shapes: Dataset) -> None:
    before = torch.random.get_rng_state()
    losses_of(shapes, TrainConfig(epochs=0.2, batch_size=4))
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.slow
@pytest.mark.parametrize("stop_at", [3, 6, 8])
def test_resumed_equals_uninterrupted(shapes: Dataset, tmp_path: Path, stop_at: int) -> None:
    whole, whole_result = losses_of(shapes, SHORT, val_set=shapes.limited(4))
    seen: list[float] = []

    def interrupt(progress: TrainProgress) -> None:
        seen.append(progress.loss)
        if progress.step == stop_at:
            raise KeyboardInterrupt

    place = tmp_path / "last.pt"
    with pytest.raises(KeyboardInterrupt):
        train(tiny_detector(), shapes, config=SHORT, on_step=interrupt, checkpoint=place)  # type: ignore[arg-type]
    rest, rest_result = losses_of(shapes, SHORT, val_set=shapes.limited(4), checkpoint=place, resume=True)
    assert seen + rest == whole
    assert equal_states(rest_result, whole_result) and repr(rest_result.score) == repr(
        whole_result.score
    )  # nan is not equal to nan
    assert rest_result.history == whole_result.history
    again, again_result = losses_of(shapes, SHORT, val_set=shapes.limited(4), checkpoint=place, resume=True)
    assert again == [] and repr(again_result.score) == repr(whole_result.score)


@pytest.mark.slow
def test_an_interrupted_evaluation_is_made_up_for(
    shapes: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    place = tmp_path / "last.pt"
    with monkeypatch.context() as patch:
        patch.setattr("trainers.steps.evaluate", interrupted)
        with pytest.raises(KeyboardInterrupt):
            losses_of(shapes, SHORT, val_set=shapes.limited(4), checkpoint=place)
    rest, result = losses_of(shapes, SHORT, val_set=shapes.limited(4), checkpoint=place, resume=True)
    assert rest == [] and result.score is not None and "ap50" in result.history[-1]


@pytest.mark.slow
def test_the_score_is_that_of_the_averaged_weights(shapes: Dataset) -> None:
    _, result = losses_of(shapes, TrainConfig(epochs=12, batch_size=4, augmentation=PLAIN), val_set=shapes)
    detector = tiny_detector()
    detector.load_state_dict(result.state_dict)
    score = evaluate(detector, shapes)  # type: ignore[arg-type]
    assert result.score is not None and score.ap > 0
    assert score.ap == pytest.approx(result.score.ap, abs=1e-6)
    assert not torch.equal(result.state_dict["stem.0.0.weight"], tiny_detector().state_dict()["stem.0.0.weight"])


@pytest.mark.slow
def test_resuming_with_other_settings_is_refused(shapes: Dataset, tmp_path: Path) -> None:
    place = tmp_path / "last.pt"
    losses_of(shapes, SHORT, checkpoint=place)
    with pytest.raises(ConfigError, match="seed is 9, but .* was trained with 1"):
        losses_of(shapes, TrainConfig(**{**vars(SHORT), "seed": 9}), checkpoint=place, resume=True)
    with pytest.raises(ConfigError, match="other training data"):
        losses_of(shapes.limited(20), SHORT, checkpoint=place, resume=True)


def test_resuming_with_another_validation_set_is_refused(shapes: Dataset, tmp_path: Path) -> None:
    place = tmp_path / "last.pt"
    short = replace(SHORT, epochs=0.2)
    losses_of(shapes, short, val_set=shapes.limited(2), checkpoint=place)
    with pytest.raises(ConfigError, match="other validation data"):
        losses_of(shapes, short, val_set=shapes.limited(3), checkpoint=place, resume=True)


@pytest.mark.slow
def test_time_and_broken_images_of_all_parts_are_counted(shapes: Dataset, tmp_path: Path) -> None:
    place = tmp_path / "last.pt"

    def interrupt(progress: TrainProgress) -> None:
        if progress.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tiny_detector(), shapes, config=SHORT, on_step=interrupt, checkpoint=place)  # type: ignore[arg-type]
    content = read_torch(place, "checkpoint")
    assert content["state"]["seconds"] > 0
    content["state"] |= {"seconds": 1000.0, "broken": {5: "cannot decode image 5"}}
    write_torch(place, content)
    _, rest = losses_of(shapes, SHORT, checkpoint=place, resume=True)
    assert rest.seconds > 1000 and rest.new_steps == 9 and rest.broken_images == 1
    _, again = losses_of(shapes, SHORT, checkpoint=place, resume=True)
    assert again.new_steps == 0 and again.broken_images == 1 and 1000 < again.seconds <= rest.seconds


def test_weights_never_lie_in_a_folder_without_a_checkpoint(shapes: Dataset, tmp_path: Path) -> None:
    place = tmp_path / "last.pt"

    def killed(*_: object) -> None:
        assert place.exists()
        raise SystemExit

    config = replace(SHORT, epochs=0.4, eval_every=0.2)
    with pytest.raises(SystemExit):
        losses_of(shapes, config, val_set=shapes.limited(2), checkpoint=place, on_best=killed)
    state = read_torch(place, "checkpoint")["state"]
    assert state["finished_step"] == state["step"] - 1, "the evaluation is made up for"


def test_stop_training_ends_orderly(shapes: Dataset, tmp_path: Path) -> None:
    def stop(progress: TrainProgress) -> None:
        if progress.step == 2:
            raise StopTraining

    result = train(tiny_detector(), shapes, config=SHORT, on_step=stop, checkpoint=tmp_path / "last.pt")  # type: ignore[arg-type]
    assert result.stopped and result.images_seen == 8 and result.score is None
    assert read_torch(tmp_path / "last.pt", "checkpoint")["state"]["step"] == 2


@pytest.mark.slow
def test_a_handful_of_real_images_is_learned(hit_uav: DataSplits) -> None:
    few = hit_uav.train.limited(3)
    detector = tiny_detector(num_classes=4, input_hw=(256, 320))
    before = evaluate(detector, few).ap50  # type: ignore[arg-type]
    config = TrainConfig(epochs=80, batch_size=3, learning_rate=1e-2, augmentation=PLAIN)
    seen: list[float] = []
    result = train(detector, few, few, config=config, on_step=lambda progress: seen.append(progress.loss))  # type: ignore[arg-type]
    assert sum(seen[-5:]) < 0.6 * sum(seen[:5])
    assert result.score is not None and before < 0.05 and result.score.ap50 > 0.5


class Failing(TinyDetector):
    """Gives nan in the forward passes numbered in `bad`."""

    def __init__(self, bad: range) -> None:
        super().__init__(3, (96, 96))
        self.bad, self.passes = bad, 0

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        self.passes += self.training
        factor = float("nan") if self.training and self.passes in self.bad else 1.0
        return super().forward(images * factor)


def test_a_bad_step_is_skipped_and_counted(shapes: Dataset) -> None:
    result = train(Failing(range(3, 5)), shapes, shapes.limited(4), config=SHORT)  # type: ignore[arg-type]
    assert result.bad_steps == 2
    assert all(value.isfinite().all() for value in result.state_dict.values())


def test_a_loss_that_stays_bad_ends_the_training(shapes: Dataset) -> None:
    with pytest.raises(ConfigError, match="not finite in 5 steps in a row.*lower the learning rate"):
        train(Failing(range(1, 99)), shapes, config=TrainConfig(**{**vars(SHORT), "max_bad_steps": 5}))  # type: ignore[arg-type]


def test_wrong_data_is_refused(shapes: Dataset) -> None:
    with pytest.raises(DataError, match="3 classes, the detector 5"):
        train(tiny_detector(num_classes=5), shapes, config=SHORT)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="no images"):
        train(tiny_detector(), Dataset([], ("a", "b", "c")), config=SHORT)  # type: ignore[arg-type]


def test_schedule_warms_up_and_runs_down() -> None:
    config = TrainConfig(learning_rate=1.0)
    rates = [config.learning_rate_at(step, 100) for step in range(100)]
    assert rates[0] < 0.1 and max(rates) == pytest.approx(1.0, abs=0.01)
    assert rates[:10] == sorted(rates[:10]) and rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(0.01)
    assert TrainConfig(epochs=0.5, batch_size=4).num_steps(100) == 12  # 12.5 rounded to even
    assert TrainConfig(epochs=0.001).num_steps(10) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"batch_size": -1}, "batch_size is -1"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"optimizer": "adam"}, "did you mean 'adamw'"),
        ({"epoch": 3}, "unknown field 'epoch'; did you mean 'epochs'"),
        ({"augmentation": {"flips": 1}}, "did you mean 'flip'"),
        ({"augmentation": {"scale": "x"}}, "augmentation.scale is 'x'; it must be a finite number"),
        ({"augmentation": 3}, "augmentation is 3; it must be a mapping with fields such as augmentation.mosaic"),
        ({"checkpoint_steps": 1.5}, "checkpoint_steps is 1.5; it must be a whole number"),
        ({"batch_size": True}, "batch_size is True; it must be a whole number"),
        ({"clip_norm": 10**400}, "clip_norm is 1000000.*it must be a finite number"),
        ({"optimizer": None}, "optimizer is nothing; it must be text"),
        ({"learning_rate": "fast"}, "learning_rate is 'fast'; it must be a finite number or empty"),
        ({"epochs": 1e300}, r"epochs is 1e\+300; it must be above 0 and at most 1,000,000"),
        ({"seed": 2**32}, "seed is 4294967296; it must be from 0 to 4,294,967,295"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainConfig.from_dict(settings)


def test_config_round_trip() -> None:
    assert TrainConfig.from_dict(SHORT.to_dict()) == SHORT
    assert isinstance(TrainConfig.from_dict({"epochs": 3}).epochs, float)


def test_norms_and_biases_do_not_decay() -> None:
    optimizer = make_optimizer(tiny_detector(), TrainConfig())
    decayed, plain = optimizer.param_groups
    assert all(value.ndim > 1 for value in decayed["params"]) and decayed["weight_decay"] > 0
    assert all(value.ndim == 1 for value in plain["params"]) and plain["weight_decay"] == 0
    assert len(decayed["params"]) == 6 and len(plain["params"]) == 10


def test_average_spans_the_last_tenth_and_covers_statistics() -> None:
    detector = tiny_detector()
    average = WeightAverage(detector, 0.9998)  # type: ignore[arg-type]
    with torch.no_grad():
        for step in range(100):
            for value in (*detector.parameters(), *detector.buffers()):
                if value.is_floating_point():
                    value.fill_(float(step))
            average.update()
    mean = average.detector.state_dict()
    assert 85 < mean["stem.0.0.weight"].mean() < 93
    assert mean["stem.0.1.running_mean"][0] == mean["stem.0.0.weight"].flatten()[0]


def test_first_batches_count_fully_in_the_statistics() -> None:
    norm = torch.nn.BatchNorm1d(1, momentum=0.03)
    warmup = StatisticsWarmup(norm)
    for step, mean in enumerate((10.0, 20.0, 30.0)):
        warmup.set_pass(step)
        norm(torch.full((8, 1), mean))
    assert norm.running_mean.item() == pytest.approx(20.0)
    warmup.set_pass(500)
    assert norm.momentum == 0.03
