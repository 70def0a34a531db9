"""Each setting of a training is declared once; options, config.yaml, resume, API and documentation follow."""

from __future__ import annotations

import importlib.util
import inspect
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click
import hypothesis
import pytest
import yaml
from click.testing import CliRunner
from hypothesis import strategies as st

from nas.api.train import train_signature
from nas.api.train_folder import read_config
from nas.api.train_request import TRAINING, TrainingRequest, place_in_config, training_settings
from nas.api.train_settings import TrainSettings, fresh, placed, resumed, settings_called
from nas.commands.setting_options import setting_options
from search_space import DESIGNS
from search_space.errors import ConfigError
from trainers.checkpoint import Checkpoint
from trainers.config import TrainConfig
from trainers.data.augmentation import Augmentation
from trainers.settings import (
    DeclaredSetting,
    SettingError,
    all_settings,
    declared_settings,
    fixed_changes,
    setting,
    value_at,
)
from trainers.step_settings import RateSchedule

DESIGN = "yolov8n-p2-nop5"
SETTINGS = training_settings()


@dataclass(frozen=True, kw_only=True)
class MadeUpAugmentation(Augmentation):
    """Augmentation with one more setting."""

    fog: float = setting(0.0, "Largest density of fog.", minimum=0, maximum=1)


@dataclass(frozen=True, kw_only=True)
class MadeUpConfig(TrainConfig):
    """A training with two more settings."""

    glow: float = setting(0.25, "How much weights glow.", minimum=0, maximum=2, command_default=0.75)
    rest: int = setting(0, "Seconds of rest after an epoch.", option="-", minimum=0, resumable=True)
    augmentation: MadeUpAugmentation = field(default_factory=MadeUpAugmentation)


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainers.config.TrainConfig", MadeUpConfig)


def ignore(_: str | None) -> None:
    """Takes notices."""


def example(declared: DeclaredSetting) -> Any:
    """Returns a value that is allowed and is not the default."""
    about, kind = declared.about, declared.scalar
    if about.choices:
        return next(choice for choice in about.choices if choice != declared.initial)
    if kind is bool:
        return not declared.initial
    if kind is str:
        text = "cpu" if declared.name == "device" else "other"
        return (text,) if declared.is_list else text
    if declared.count:
        return (96,) * declared.count
    if kind is int:
        return declared.initial + 1 if declared.initial is not None else 2
    below = about.maximum if about.maximum is not None else about.below
    low = about.minimum if about.minimum is not None else about.above
    assert low is not None
    candidates = [low + share * ((below if below is not None else low + 8) - low) for share in (0.25, 0.5)]
    return next(value for value in candidates if value != declared.initial)


def folder_of(settings: TrainSettings) -> Path:
    settings.write()
    return settings.out


def test_a_made_up_setting_is_an_option_with_its_help_and_checks(made_up: None) -> None:
    @click.command()
    @setting_options(training_settings().values())
    def command(**options: Any) -> None:
        click.echo(f"{options['glow']} {options['fog']}")

    run = CliRunner().invoke
    shown = " ".join(run(command, ["--help"]).output.split())
    assert "--glow FLOAT How much weights glow. Default: 0.75; from 0 to 2." in shown and "--fog FLOAT" in shown
    assert "--rest" not in shown
    assert run(command, ["--glow", "1.5", "--fog", "0.5"]).output == "1.5 0.5\n"
    assert run(command, ["--glow", "much"]).exit_code == 2
    with pytest.raises(SettingError) as error, settings_called(lambda declared: declared.option):
        fresh(DESIGN, {"glow": 3.0}, ignore)
    assert error.value.setting == "--glow" and str(error.value).startswith("--glow is 3.0; ")


def test_a_made_up_setting_is_in_the_configuration_and_checked_at_a_resume(made_up: None, tmp_path: Path) -> None:
    given = {"fog": 0.5, "augmentation.scale": 0.1, "rest": 4, "out": tmp_path / "out"}
    folder = folder_of(fresh(DESIGN, given, ignore))
    written = yaml.safe_load((folder / "config.yaml").read_text())[TRAINING]
    assert (written["glow"], written["rest"], written["augmentation"]["fog"]) == (0.75, 4, 0.5)
    config = resumed(folder, None, {"rest": 9, "glow": 0.75}).config
    assert isinstance(config, MadeUpConfig)
    assert (config.rest, config.glow, config.augmentation.fog, config.augmentation.scale) == (9, 0.75, 0.5, 0.1)
    for name in ("glow", "fog"):
        with pytest.raises(SettingError) as error:
            resumed(folder, None, {name: 1.0})
        assert error.value.setting.endswith(name)


@pytest.mark.parametrize("name", ["augmentation.flips", "foo.bar"])
def test_an_unknown_setting_is_refused_at_a_resume(name: str, tmp_path: Path) -> None:
    folder = folder_of(fresh(DESIGN, {"out": tmp_path / "out"}, ignore))
    with pytest.raises(SettingError, match=f"{name} is 1, but") as error:
        resumed(folder, None, {name: 1})
    assert error.value.setting == name


def test_a_made_up_setting_is_checked_against_the_checkpoint() -> None:
    before = MadeUpConfig(glow=1.0, rest=3)
    assert not list(fixed_changes(before.to_dict(), replace(before, rest=5).to_dict(), MadeUpConfig))
    for change in ({"glow": 2.0}, {"augmentation": MadeUpAugmentation(fog=1.0)}):
        checkpoint = _checkpoint(replace(before, **change))
        with pytest.raises(SettingError) as error:
            checkpoint._check({"config": before.to_dict()})
        assert error.value.setting in ("glow", "augmentation.fog")


def test_a_checkpoint_from_before_a_setting_had_its_default(made_up: None, tmp_path: Path) -> None:
    before = TrainConfig().to_dict()
    assert not list(fixed_changes(before, MadeUpConfig().to_dict(), MadeUpConfig))
    changed = MadeUpConfig(glow=0.5).to_dict()
    assert list(fixed_changes(before, changed, MadeUpConfig)) == [("glow", 0.25, 0.5)]
    del before["schedule"]
    late = TrainConfig(schedule=RateSchedule(decay_shape="linear")).to_dict()
    assert list(fixed_changes(before, late, TrainConfig)) == [("schedule.decay_shape", "cosine", "linear")]
    folder = folder_of(fresh(DESIGN, {"out": tmp_path / "out"}, ignore))
    content = yaml.safe_load((folder / "config.yaml").read_text())
    del content[TRAINING]["glow"]
    (folder / "config.yaml").write_text(yaml.safe_dump(content))
    assert resumed(folder, None, {"glow": 0.25}).config == MadeUpConfig.from_dict(content[TRAINING])
    with pytest.raises(SettingError) as error:
        resumed(folder, None, {"glow": 0.75})
    assert error.value.setting == "glow"


def _checkpoint(config: TrainConfig) -> Checkpoint:
    parts: dict[str, Any] = dict.fromkeys(("train_set", "val_set", "detector", "optimizer", "scaler", "average"))
    return Checkpoint(path=Path("last.pt"), writes=False, config=config, **parts)


def test_a_made_up_setting_is_a_keyword_of_the_api(made_up: None) -> None:
    parameters = train_signature().parameters
    assert (parameters["glow"].default, parameters["rest"].default, parameters["fog"].default) == (0.75, 0, 0.0)
    assert parameters["glow"].kind is inspect.Parameter.KEYWORD_ONLY


def test_a_made_up_setting_is_in_the_tables_of_the_documentation(made_up: None) -> None:
    path = Path(__file__).parents[2] / "docs" / "generate_train_settings.py"
    spec = importlib.util.spec_from_file_location("generate_train_settings", path)
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    page = script.page(script.PAGE.read_text(encoding="utf-8"))
    assert "| `--glow` | `glow` | How much weights glow. | from 0 to 2 | 0.75 | fixed |" in page
    assert "| `--set` | `rest` | Seconds of rest after an epoch. | at least 0 | 0 | may change |" in page
    assert "| `--fog` | `augmentation.fog` |" in page


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_can_be_given_by_each_of_its_names(name: str) -> None:
    declared = SETTINGS[name]
    value = example(declared)
    for word in {declared.name, declared.path, declared.keyword}:
        assert placed({word: value}) == {place_in_config(declared): value}


@pytest.mark.parametrize(
    "given",
    [{"batch": 2, "batch_size": 2}, {"scale": 0.1, "augmentation.scale": 0.1}, {"augmentation.hue": 0.1, "hue": 0.1}],
)
def test_a_setting_that_is_given_by_two_names_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="is given twice"):
        placed(given)


def test_an_unknown_setting_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(ConfigError, match="unknown training setting 'epoch'; did you mean 'epochs'"):
        placed({"epoch": 2})


@pytest.mark.parametrize("name", [name for name, each in SETTINGS.items() if each.about.is_stored])
def test_a_resume_changes_exactly_the_settings_that_say_so(name: str, tmp_path: Path) -> None:
    declared, out = SETTINGS[name], tmp_path / "out"
    start = {"batch_size": 2, "out": out}
    folder = folder_of(fresh(DESIGN, start, ignore))
    before = value_at(yaml.safe_load((folder / "config.yaml").read_text()), place_in_config(declared))
    value = example(declared)
    assert before != value
    if not declared.about.resumable:
        with pytest.raises(SettingError) as error:
            resumed(folder, None, {name: value})
        assert error.value.setting == declared.path
        return
    changed = resumed(folder, None, {name: value})
    changed.write()
    after = value_at(yaml.safe_load((folder / "config.yaml").read_text()), place_in_config(declared))
    assert after == (str(Path(value).resolve()) if declared.about.is_path else value)


def values_of(declared: DeclaredSetting) -> st.SearchStrategy[Any]:
    """Returns a strategy for the values that a setting may have."""
    about, kind = declared.about, declared.scalar
    if about.choices:
        return st.sampled_from(about.choices)
    if kind in (bool, str):
        return st.booleans() if kind is bool else st.text(max_size=8)
    low = about.minimum if about.minimum is not None else about.above
    high = next((bound for bound in (about.maximum, about.below) if bound is not None), 10**6)
    assert low is not None
    if kind is int:
        return st.integers(int(low), int(high))
    return st.floats(low, high, exclude_min=about.above is not None, exclude_max=about.below is not None)


def instances_of(owner: type[Any], **fixed: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Returns a strategy for instances of a dataclass of settings."""
    drawn = {name: values_of(each) for name, each in declared_settings(owner).items()}
    return st.builds(owner, **{**drawn, **fixed})


CONFIGS = instances_of(TrainConfig, accumulate=st.just(1), augmentation=instances_of(Augmentation))


@pytest.mark.slow
@hypothesis.given(CONFIGS)
def test_every_configuration_is_read_as_it_was_written(config: TrainConfig) -> None:
    assert TrainConfig.from_dict(yaml.safe_load(yaml.safe_dump(config.to_dict()))) == config


def test_the_settings_of_the_command_are_read_as_they_were_written(tmp_path: Path) -> None:
    stored = {name: example(each) for name, each in all_settings(TrainingRequest).items() if each.about.is_stored}
    del stored["weights"], stored["from_scratch"]
    stored["recipe"] = "ssd"
    settings = fresh(DESIGN, {**stored, "out": tmp_path / "out"}, ignore)
    again = resumed(folder_of(settings), None, {})
    places = {name: str(Path(stored[name]).resolve()) for name in ("data", "images", "pretrained", "teacher")}
    assert again.request == replace(settings.request, out=None, **places)
    assert again.architecture == DESIGNS.get(DESIGN).architecture
    assert read_config(again.out).keys() == {*stored, "weights", "from_scratch", TRAINING}
