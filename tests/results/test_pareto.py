"""Non-dominated points and hypervolume, against brute force and by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from results.pareto import hypervolume, hypervolume_2d, nondominated

small = st.integers(-3, 3).map(float)
points_2d = st.lists(st.tuples(small, small), max_size=12)
points_3d = st.lists(st.tuples(small, small, small), max_size=10)
flags = st.tuples(st.booleans(), st.booleans())


def dominates(one: tuple[float, ...], other: tuple[float, ...], maximise: tuple[bool, ...]) -> bool:
    pairs = [(a, b) if up else (-a, -b) for a, b, up in zip(one, other, maximise, strict=True)]
    return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)


@given(points=points_3d, maximise=st.tuples(st.booleans(), st.booleans(), st.booleans()))
def test_nondominated_is_the_definition(points: list[tuple[float, ...]], maximise: tuple[bool, ...]) -> None:
    expected = [not any(dominates(other, point, maximise) for other in points) for point in points]
    assert nondominated(points, maximise).tolist() == expected


@given(points=points_2d, maximise=flags)
def test_hypervolume_counts_unit_cells(points: list[tuple[float, float]], maximise: tuple[bool, bool]) -> None:
    signs = [-1.0 if up else 1.0 for up in maximise]
    losses = [(a * signs[0], b * signs[1]) for a, b in points]
    cells = itertools.product(np.arange(-3.0, 2.0), repeat=2)
    expected = sum(any(a <= x and b <= y for a, b in losses) for x, y in cells)
    reference = (2.0 * signs[0], 2.0 * signs[1])
    assert hypervolume_2d(points, reference, maximise) == pytest.approx(expected)


def test_nondominated_by_hand() -> None:
    points = [(0.5, 3.0), (0.5, 3.0), (0.4, 3.0), (0.4, 1.0), (np.nan, 0.0), (0.1, 2.0)]
    assert nondominated(points, (True, False)).tolist() == [True, True, False, True, False, False]


def test_nondominated_of_nothing_and_of_nan_only() -> None:
    assert nondominated([], (True, False)).shape == (0,)
    assert nondominated([(np.nan, np.nan)], (True, False)).tolist() == [False]


def test_infinities_are_values() -> None:
    assert nondominated([(np.inf, 1.0), (0.0, -np.inf), (0.0, 1.0)], (True, False)).tolist() == [True, True, False]


def test_hypervolume_by_hand() -> None:
    # (3 - 1) * (3 - 2) + (3 - 2) * (2 - 1) = 3, both minimised, reference (3, 3)
    assert hypervolume_2d([(1, 2), (2, 1), (2, 2), (2, 1), (np.nan, 0), (4, 0)], (3, 3), (False, False)) == 3.0
    assert hypervolume_2d([], (3, 3), (False, False)) == 0.0


def test_hypervolume_ignores_points_at_the_reference() -> None:
    assert hypervolume_2d([(0.0, 3.0), (0.3, 5.0)], (0.0, 5.0), (True, False)) == 0.0


@pytest.mark.parametrize("points", [[1.0, 2.0], [[1.0, 2.0, 3.0]]])
def test_wrong_shapes_are_named(points: list[object]) -> None:
    with pytest.raises(ValueError, match=r"\(N, 2\)"):
        nondominated(points, (True, False))


def test_reference_must_be_finite() -> None:
    with pytest.raises(ValueError, match="finite"):
        hypervolume_2d([(1.0, 1.0)], (np.inf, 1.0), (False, False))


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("seed", range(4))
def test_hypervolume_is_the_cells_of_a_grid(dimensions: int, seed: int) -> None:
    """Of whole numbers up to 6 the volume is that of the unit cells below some point."""
    rng = np.random.default_rng(seed)
    points = rng.integers(0, 7, (9, dimensions)).astype(float)
    cells = np.stack(np.meshgrid(*[np.arange(6) + 0.5] * dimensions), axis=-1).reshape(-1, dimensions)
    expected = (cells[:, None] < points[None]).all(axis=2).any(axis=1).sum()
    maximise = (True,) * dimensions
    assert hypervolume(points, np.zeros(dimensions), maximise) == pytest.approx(expected)
    turned = tuple(reversed(range(dimensions)))
    assert hypervolume(points[::-1, list(turned)], np.zeros(dimensions), maximise) == pytest.approx(expected)
    assert hypervolume(-points, np.zeros(dimensions), (False,) * dimensions) == pytest.approx(expected)
    assert hypervolume(np.empty((0, dimensions)), np.zeros(dimensions), maximise) == 0.0


def test_hypervolume_in_three_objectives_says_what_it_wants() -> None:
    with pytest.raises(ValueError, match="two or three finite"):
        hypervolume([(1.0, 1.0, 1.0)], (np.inf, 0.0, 0.0), (True, True, True))
    with pytest.raises(ValueError, match="two or three"):
        hypervolume([(1.0,) * 4], (0.0,) * 4, (True,) * 4)


@settings(max_examples=60, deadline=None)
@given(
    points=points_3d,
    maximise=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    order=st.permutations(range(3)),
    seed=st.integers(0, 9),
)
def test_a_volume_is_that_of_its_unit_cells_in_any_order(
    points: list[tuple[float, ...]], maximise: tuple[bool, ...], order: list[int], seed: int
) -> None:
    signs = np.array([-1.0 if up else 1.0 for up in maximise])
    losses = [tuple(signs * point) for point in points]
    cells = itertools.product(np.arange(-3.0, 2.0), repeat=3)
    expected = sum(any(all(a <= x for a, x in zip(loss, cell, strict=True)) for loss in losses) for cell in cells)
    reference = 2.0 * signs
    assert hypervolume(points, reference, maximise) == pytest.approx(expected)
    shuffled = np.random.default_rng(seed).permutation(np.array(points).reshape(-1, 3))[:, order]
    flags = [maximise[axis] for axis in order]
    assert hypervolume(shuffled, reference[order], flags) == pytest.approx(expected)
