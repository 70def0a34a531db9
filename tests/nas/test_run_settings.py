"""The settings of a search: one declaration each, and all that follows from it."""

from __future__ import annotations

import inspect
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from search_fakes import make_config

from nas.api.search import search
from nas.commands.run import command as run_command
from nas.commands.setting_options import GroupedCommand, setting_options
from nas.config import RunConfig, parse_config
from nas.cost.latency import CONFIDENCE
from nas.engine.join_run import join
from nas.engine.run_request import RunRequest
from nas.engine.session import resumed
from nas.reports.next_commands import again, commands
from nas.setting_forms import (
    check_bounds,
    described_keywords,
    given_settings,
    settings_table,
    signature_of,
    stored_settings,
)
from nas.settings import RunSettings
from search_space.errors import ConfigError
from trainers.config import MAX_SEED
from trainers.settings import DeclaredSetting, SettingError, declared_settings, setting

DECLARED = declared_settings(RunSettings)
RESUMABLE = {
    *("data", "images", "trials", "minutes", "hours", "finish", "trial_minutes", "repeats", "threads", "pretrained"),
    "track",
}
FACTS = {"space_fingerprint": "s", "data_fingerprint": "d", "classes": ("a",), "rungs": (1.0,)}
KNOWN: dict[str, tuple[Any, Any]] = {
    "frame": ((480, 640), (1080, 1920)),
    "device": ("jetson-nano-trt-fp16", "jetson-nano-ort-fp32"),
    "objective": (("accuracy", "macs"), ("ap50", "params")),
    "fix": (("block=c2f",), ("block=c3",)),
    "choices": (("width=0.125,0.25",), ("width=0.25,0.5",)),
    "start": (("tinydet-s",), ("sodet-s",)),
    "data": ("/a", "/b"),
    "images": ("/a", "/b"),
    "from_run": ("/a", "/b"),
    "pretrained": ("/a", "/b"),
    "out": ("/a", "/b"),
    "rungs": ((1.0,), (0.5, 1.0)),
    "pixel_range": ((7200.0, 7550.5), (-5.0, 1.0)),
}
"""Two values of each setting that is looked up or stored in another form than it is given."""


@dataclass(frozen=True, kw_only=True)
class MadeUpSettings(RunSettings):
    """The settings of a search and one more."""

    num_pets: int = setting(2, "Pets in the room.", group="Space", unit="pets", minimum=1)


@dataclass(frozen=True, kw_only=True)
class MadeUpConfig(RunConfig, MadeUpSettings):
    """What a run with these settings keeps."""


def two_values(declared: DeclaredSetting) -> tuple[Any, Any]:
    by_type: dict[type, tuple[Any, Any]] = {float: (0.5, 0.25), int: (3, 7), bool: (False, True), str: ("a", "b")}
    first, second = KNOWN.get(declared.name) or declared.about.choices[:2] or by_type[declared.scalar]
    return ((first,), (second,)) if declared.is_list and isinstance(first, str) else (first, second)


def test_a_setting_is_added_by_one_declaration() -> None:
    @click.command(cls=GroupedCommand, owner=MadeUpSettings)
    @setting_options(MadeUpSettings)
    def command(**given: Any) -> None: ...

    context = command.make_context("run", ["--num-pets", "3", "--budget-gflops", "1"])
    assert "--num-pets" in command.get_help(
        context
    ) and "Pets in the room. Default: 2; at least 1." in command.get_help(context)
    request = RunRequest.of(MadeUpSettings, **context.params)
    assert request.given == {"num_pets": 3, "budget_gflops": 1.0}
    config = MadeUpConfig(**{**FACTS, **request.stored()}, name="r")
    assert "num_pets: 3" in config.to_text()
    assert parse_config(config.to_text(), source="config.yaml", owner=MadeUpConfig) == config
    with pytest.raises(ConfigError, match="started with --num-pets 3, got --num-pets 4"):
        resumed(config, RunRequest.of(MadeUpSettings, num_pets=4))
    with pytest.raises(SettingError, match="--num-pets must be at least 1, got 0"):
        replace(config, num_pets=0)
    words = again(config, Path("runs/r"))
    assert words[words.index("--num-pets") + 1] == "3"
    assert signature_of(search, MadeUpSettings).parameters["num_pets"].default == 2
    assert "num_pets: Pets in the room. Default: 2; at least 1." in described_keywords(MadeUpSettings)
    assert "| `--num-pets` | `num_pets` | Pets in the room. | at least 1 pets | 2 | fixed |" in settings_table(
        MadeUpSettings
    )


def values_of(declared: DeclaredSetting) -> st.SearchStrategy[Any]:
    """Returns a strategy for the values of a setting within its bounds."""
    about = declared.about
    texts = st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")), min_size=1, max_size=12)
    low = about.minimum if about.minimum is not None else about.above
    scalars: dict[type, st.SearchStrategy[Any]] = {
        str: texts,
        bool: st.booleans(),
        int: st.integers(min_value=None if low is None else int(low), max_value=int(about.maximum or 10**9)),
        float: st.floats(
            min_value=low,
            max_value=about.maximum if about.maximum is not None else about.below,
            exclude_min=about.above is not None,
            exclude_max=about.below is not None,
            allow_nan=False,
            allow_infinity=False,
        ),
    }
    one = st.sampled_from(about.choices) if about.choices else scalars[declared.scalar]
    if declared.name == "rungs":
        return st.lists(one, min_size=1, max_size=4, unique=True).map(lambda found: tuple(sorted(found)))
    if declared.count:
        return st.none() | st.tuples(*[one] * declared.count)
    if declared.is_list:
        return st.lists(one, min_size=1 if declared.default else 0, max_size=3).map(tuple)
    return st.none() | one if declared.default is None else one


@st.composite
def configs(draw: st.DrawFn) -> RunConfig:
    """Draws the configuration of a run, each of its settings at random."""
    values = {name: draw(values_of(declared), label=name) for name, declared in stored_settings(RunSettings).items()}
    if values["device"] is None:  # what needs a device is not there without one
        values = {name: each for name, each in values.items() if not DECLARED[name].about.needs}
    return RunConfig(**{**FACTS, **values})


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(configs())
def test_the_command_of_the_report_repeats_every_setting(config: RunConfig) -> None:
    line = commands(config, Path("runs/r"), None)[0].line
    parsed = run_command.make_context("run", shlex.split(line)[2:]).params
    request = RunRequest.of(**{name: value for name, value in parsed.items() if name in DECLARED})
    expected = replace(config, name=f"{config.name}-again")
    said = request.settings
    assert {name: getattr(said, name) for name in stored_settings(RunSettings)} == {
        name: getattr(expected, name) for name in stored_settings(RunSettings)
    }


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(configs())
def test_a_configuration_is_read_as_it_was_written(config: RunConfig) -> None:
    assert parse_config(config.to_text(), source="config.yaml") == config


@pytest.mark.parametrize("name", stored_settings(RunSettings))
def test_a_resume_changes_what_it_may_and_refuses_the_rest(name: str) -> None:
    declared = DECLARED[name]
    was, now = two_values(declared)
    config = make_config(**{"minutes": 5.0, name: was})  # without a limit of time there is no finish
    same = resumed(config, RunRequest.of(**{declared.keyword: was}))
    assert getattr(same, name) == was
    request = RunRequest.of(**{declared.keyword: now})
    if declared.about.resumable or declared.about.per_session:
        assert getattr(resumed(config, request), name) == now
        return
    with pytest.raises(ConfigError) as caught:
        resumed(config, request)
    assert declared.option in str(caught.value) and " was started with " in str(caught.value)


def test_what_a_resume_may_change_and_what_a_session_says_anew() -> None:
    assert {name for name, each in DECLARED.items() if each.about.resumable} == RESUMABLE
    config = make_config(executor="ray", workers=3, threads=2, trial_minutes=5.0)
    kept = resumed(config, RunRequest.of())
    assert (kept.executor, kept.workers, kept.threads, kept.trial_minutes) == ("local", None, 2, 5.0)
    assert resumed(config, RunRequest.of(minutes=9)) == replace(kept, minutes=9.0, trials=None)


@pytest.mark.parametrize(
    "alias", [name for name, each in DECLARED.items() if each.about.stands_for and not each.about.resumable]
)
def test_another_way_to_give_a_setting_is_compared_as_that_setting(alias: str, tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text("width: [0.25, 0.5]")
    value = {"epochs": 3.0, "precision": "fp16", "space": tmp_path / "space.yaml"}[alias]
    config = make_config(device="xavier-nx-trt-fp32" if alias == "precision" else None)
    assert f"\n{alias}:" not in config.to_text()
    with pytest.raises(ConfigError):
        resumed(config, RunRequest.of(**{alias: value}))


@pytest.mark.parametrize("name", [name for name, each in DECLARED.items() if not each.about.joinable])
def test_a_worker_that_joins_takes_the_settings_of_the_run(name: str) -> None:
    with pytest.raises(ConfigError, match=f"drop {DECLARED[name].option}"):
        join(RunRequest.of(**{name: two_values(DECLARED[name])[1]}))


def test_the_api_takes_values_of_python() -> None:
    values = {
        "budget_gflops": 1,
        "fix": {"head": "ssd", "width": 0.25},
        "choices": {"input_size": (320, 640)},
        "objective": "ap50",
        "start": ["tinydet-s"],
        "rungs": [1, 2],
        "from_run": Path("runs/a"),
        "format": "coco",
        "auto": False,
        "seed": 0,
        "trials": None,
    }
    assert given_settings(values, RunSettings) == {
        "budget_gflops": 1.0,
        "fix": ("head=ssd", "width=0.25"),
        "choices": ("input_size=320,640",),
        "objective": ("ap50",),
        "start": ("tinydet-s",),
        "rungs": (1.0, 2.0),
        "from_run": "runs/a",
        "data_format": "coco",
        "seed": 0,
    }
    assert given_settings({"rungs": "0.5,1.5"}, RunSettings) == {"rungs": (0.5, 1.5)}
    assert given_settings({"rungs": 0.5}, RunSettings) == {"rungs": (0.5,)}


@pytest.mark.parametrize(
    ("values", "field"),
    [({"trials": 2.5}, "trials"), ({"minutes": "5"}, "minutes"), ({"seed": True}, "seed"), ({"auto": 1}, "auto")],
)
def test_a_value_of_another_type_is_refused(values: dict[str, Any], field: str) -> None:
    with pytest.raises(SettingError) as caught:
        given_settings(values, RunSettings)
    assert caught.value.setting == field and f"--{field} must be" in str(caught.value)


def test_unknown_and_doubled_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="did you mean 'budget_gflops'"):
        given_settings({"budget_gflop": 1.0}, RunSettings)
    with pytest.raises(ConfigError, match="given twice"):
        given_settings({"format": "coco", "data_format": "yolo"}, RunSettings)


@pytest.mark.parametrize("name", [name for name, each in DECLARED.items() if each.allowed])
def test_every_bound_is_held(name: str) -> None:
    about = DECLARED[name].about
    low, high = (about.minimum, about.above), (about.maximum, about.below)
    wrong = [bound - 1 for bound in low if bound is not None] + [bound + 1 for bound in high if bound is not None]
    for value in wrong:
        typed = DECLARED[name].scalar(value)
        with pytest.raises(SettingError) as caught:
            check_bounds(RunSettings(**{name: (typed,) if DECLARED[name].is_list else typed}))
        assert caught.value.setting == name


def test_the_signature_of_the_search_names_every_setting() -> None:
    parameters = inspect.signature(search).parameters
    assert {each.keyword for each in DECLARED.values()} <= parameters.keys()
    assert all(f"        {each.keyword}: " in str(search.__doc__) for each in DECLARED.values())
    assert parameters["confidence"].default == CONFIDENCE and DECLARED["seed"].about.maximum == MAX_SEED
