"""The point of a stored trial: its choices as text, and the axes that its table leaves out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from trial_rows import trial

from nas.engine.trial_point import point_of
from search_space import DESIGNS, SearchSpace
from search_space.errors import SpaceError

SPACE = SearchSpace()
POINT = SPACE.encode(DESIGNS.get("yolov8n-p2-nop5").architecture)
NEW = ("tower_convs", "branches", "box_branch", "tower_kernel", "bins", "head_stem")


def stored(*without: str) -> Any:
    axes = {name: str(choice) for name, choice in POINT.items() if name not in without}
    return replace(trial(0, 0.5, 1), axes=axes)


def test_choices_are_read_from_text() -> None:
    assert point_of(SPACE, stored()) == POINT


def test_a_trial_from_before_an_axis_has_the_head_that_there_was() -> None:
    assert point_of(SPACE, stored(*NEW)) == POINT


def test_an_axis_that_a_run_had_fixed_has_its_one_choice() -> None:
    assert point_of(SPACE.narrowed({"bins": [1]}), stored("bins")) == {**POINT, "bins": 1}


def test_a_trial_without_another_axis_is_refused() -> None:
    with pytest.raises(SpaceError, match="no choice on the axis 'fusion'"):
        point_of(SPACE, stored("fusion"))


def test_former_choices_are_choices() -> None:
    assert all(axis.formerly is None or axis.formerly in axis.choices for axis in SPACE.axes)
