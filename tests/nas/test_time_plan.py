"""How the time of a run is divided, and the record of it in the run's folder."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from search_fakes import make_config

from nas.api.finish_phase import planned_times
from nas.engine.ending import EndCause
from nas.engine.run_request import RunRequest
from nas.engine.session import resumed
from nas.engine.time_plan import (
    FINISH_SHARE,
    PLAN_JSON,
    SEARCH_SHARE,
    TimeRecord,
    check_finish,
    plan_of,
    plan_time,
    read_record,
    search_minutes,
)
from search_space.errors import ConfigError
from trainers.settings import SettingError


@given(st.floats(1e-3, 1e8), st.integers(0, 50))
def test_a_plan_sums_to_the_time_of_the_run(seconds: float, num_members: int) -> None:
    plan = plan_time(seconds, num_members)
    parts = (plan.search_seconds, plan.finish_seconds, plan.evaluation_seconds)
    assert math.fsum(parts) == pytest.approx(seconds) == plan.total_seconds and min(parts) >= 0
    assert plan.member_seconds * num_members == pytest.approx(plan.finish_seconds)
    if num_members:
        assert parts[:2] == (SEARCH_SHARE * seconds, FINISH_SHARE * seconds)
        assert plan.evaluation_share == pytest.approx(parts[2] / (parts[1] + parts[2]))
    else:
        assert parts == (seconds, 0.0, 0.0) and plan.evaluation_share == 0


def test_hours_stand_for_minutes() -> None:
    assert RunRequest.of(hours=1.5).stored() == {"minutes": 90.0}
    config = resumed(make_config(trials=3), RunRequest.of(hours=2))
    assert (config.minutes, config.trials) == (120.0, None) and "hours" not in config.to_text()
    with pytest.raises(ConfigError, match="--hours and --minutes exclude each other"):
        RunRequest.of(hours=1, minutes=60).stored()
    with pytest.raises(SettingError) as caught:
        resumed(config, RunRequest.of(hours=-1))
    assert caught.value.setting == "hours"


def test_a_finish_needs_a_limit_of_time() -> None:
    with pytest.raises(ConfigError, match="--finish 2 needs a limit of time.*next: --hours 1"):
        check_finish(make_config(finish=2, trials=4))
    with pytest.raises(ConfigError, match="--finish 2 needs a limit of time"):
        resumed(make_config(finish=2, minutes=4, trials=None), RunRequest.of(trials=9))
    check_finish(make_config(finish=2, trials=4, minutes=1))
    assert plan_of(make_config(finish=0, minutes=1)) is None
    assert plan_of(make_config(finish=2, minutes=1)) == plan_time(60, 2)


def test_the_search_gets_its_part_until_it_is_over(tmp_path: Path) -> None:
    config = make_config(finish=3, minutes=10, trials=None)
    assert search_minutes(make_config(minutes=10), tmp_path) == 10
    assert search_minutes(make_config(), tmp_path) is None
    part = pytest.approx(10 * SEARCH_SHARE)
    assert search_minutes(config, tmp_path) == part
    record = TimeRecord(plan=plan_time(600, 3))
    for cause in (EndCause.TRIALS_DONE, EndCause.NOTHING_NEW):
        record.with_search(270, cause).write(tmp_path)
        assert search_minutes(config, tmp_path) == part, "more trials may be asked for"
    for cause in (EndCause.TIME_UP, EndCause.NO_TIME):
        record.with_search(260, cause).write(tmp_path)
        assert search_minutes(config, tmp_path) == 0
    more = make_config(finish=3, minutes=20, trials=None)
    assert search_minutes(more, tmp_path) == pytest.approx(20 * SEARCH_SHARE), "a larger time extends the search"


def test_a_new_plan_keeps_what_was_spent(tmp_path: Path) -> None:
    first = planned_times(tmp_path, plan_time(600, 3))
    assert first == TimeRecord(plan=plan_time(600, 3)) and read_record(tmp_path) is not None
    spent = first.with_search(280, EndCause.TIME_UP).with_spent("finish", 20).with_spent("finish", 30.5)
    spent.write(tmp_path)
    same = planned_times(tmp_path, plan_time(600, 3))
    assert dict(same.actual) == {"search": 280, "finish": 50.5} and same.search_ended_by == "time_up"
    assert same.seconds_left == pytest.approx(600 - 330.5)
    longer = planned_times(tmp_path, plan_time(6000, 3))
    assert longer.search_ended_by is None and longer.seconds_left == pytest.approx(6000 - 330.5)
    assert read_record(tmp_path) == longer


def test_the_file_has_planned_and_actual_seconds(tmp_path: Path) -> None:
    TimeRecord(plan=plan_time(100, 2)).with_search(44, EndCause.TIME_UP).with_spent("finish", 1.25).write(tmp_path)
    assert json.loads((tmp_path / PLAN_JSON).read_text()) == {
        "num_members": 2,
        "planned_seconds": {"search": 35.0, "finish": 62.0, "evaluation": 3.0},
        "actual_seconds": {"search": 44.0, "finish": 1.25, "evaluation": None},
        "search_ended_by": "time_up",
    }


GOOD: dict[str, Any] = TimeRecord(plan=plan_time(100, 2)).with_search(44, EndCause.TIME_UP).to_dict()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        "[" * 10_000,
        json.dumps(GOOD | {"planned_seconds": None}),
        json.dumps(GOOD | {"planned_seconds": {"search": -1.0, "finish": 1.0, "evaluation": 1.0}}),
        json.dumps(GOOD | {"actual_seconds": {"search": "a", "finish": None, "evaluation": None}}),
        json.dumps(GOOD | {"actual_seconds": {"search": True, "finish": None, "evaluation": None}}),
        json.dumps(GOOD | {"actual_seconds": {"search": math.nan, "finish": None, "evaluation": None}}),
        json.dumps(GOOD | {"search_ended_by": "rain"}),
        json.dumps(GOOD | {"num_members": "two"}),
    ],
)
def test_a_damaged_file_is_none(text: str, tmp_path: Path) -> None:
    (tmp_path / PLAN_JSON).write_text(json.dumps(GOOD))
    assert read_record(tmp_path) is not None
    (tmp_path / PLAN_JSON).write_text(text)
    assert read_record(tmp_path) is None
