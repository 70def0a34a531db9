"""Slow blocks are in the space, and in a search only where the user names them."""

from __future__ import annotations

import numpy as np

from nas.engine.narrowing import parse_narrowing, with_defaults
from search_space import SearchSpace
from search_space.axis import Axis

SPACE = SearchSpace()
BY_NAME = {axis.name: axis for axis in SPACE.axes if axis.by_name}


def test_a_search_has_the_other_choices() -> None:
    assert {"block", "neck_block", "downsample_p3", "unit_downsample_p3", "downsample_neck", "backbone", "context"} <= (
        BY_NAME.keys()
    )
    searched = SPACE.narrowed(with_defaults({}))
    for name, axis in BY_NAME.items():
        kept = searched.axis(name).choices
        assert set(axis.by_name) < set(axis.choices)
        assert kept == tuple(choice for choice in axis.choices if choice not in axis.by_name)
    assert {"c2f", "c2f_unsplit", "elan4", "elan7"} <= set(searched.axis("block").choices)


def test_a_named_choice_is_searched_and_stays_named() -> None:
    narrowing = parse_narrowing(SPACE, ["block=gelan"], ["downsample_p3=conv,scdown"])
    searched = SPACE.narrowed(with_defaults(narrowing))
    assert searched.axis("block").choices == ("gelan",)
    assert searched.axis("downsample_p3").choices == ("conv", "scdown")
    assert not set(searched.axis("neck_block").choices) & set(BY_NAME["neck_block"].by_name)


def test_random_points_have_them_seldom() -> None:
    axis = Axis(name="a", choices=("x", "y", "z"), doc="", by_name=("z",))
    assert np.allclose(axis.odds(), [1 / 2.1, 1 / 2.1, 0.1 / 2.1])
