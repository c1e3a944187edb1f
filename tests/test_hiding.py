"""Values hidden from a model: each once, told from the rest of its row, by iteration."""

import numpy as np
import pytest

from hourglass import hiding
from hourglass.schema import Column, Kind

ROWS = np.random.default_rng(0).normal(size=(60, 6)) + np.arange(6)
COLUMNS = [Column(f"c{i}", Kind.CONTINUOUS, None, None, None, 0) for i in range(6)]


class Echo:
    """Answers with what it is shown, gaps by 100, and remembers it."""

    def __init__(self) -> None:
        self.asked: list[np.ndarray] = []

    def __call__(self, rows_NF: np.ndarray) -> np.ndarray:
        self.asked.append(rows_NF)
        return np.where(np.isnan(rows_NF), 100.0, rows_NF)


def test_each_value_is_hidden_once_and_its_answer_never_saw_it():
    echo = Echo()
    first, last = hiding.answers(echo, ROWS, COLUMNS)
    np.testing.assert_array_equal(first, 100.0)
    np.testing.assert_array_equal(last, np.broadcast_to(ROWS.max(axis=0), ROWS.shape))
    fresh = echo.asked[:: hiding.ROUNDS]
    np.testing.assert_array_equal(sum(np.isnan(rows).astype(int) for rows in fresh), 1)
    for rows in fresh:
        assert np.isnan(rows).mean() < 0.25
        np.testing.assert_array_equal(rows[~np.isnan(rows)], ROWS[~np.isnan(rows)])


def test_what_is_fed_back_stays_within_what_was_observed():
    echo = Echo()
    hiding.answers(echo, ROWS, COLUMNS)
    shown = np.array(echo.asked)
    assert np.nanmax(shown, axis=(0, 1)).tolist() == ROWS.max(axis=0).tolist()


def test_what_is_missing_stays_missing():
    rows = ROWS.copy()
    rows[3, 2] = np.nan
    echo = Echo()
    hiding.answers(echo, rows, COLUMNS)
    assert all(np.isnan(shown[3, 2]) for shown in echo.asked)


def test_iteration_finds_what_the_rest_of_the_row_determines():
    """Rows on a line: with a sixth hidden, one projection still leans to the mean."""
    generator = np.random.default_rng(1)
    axis = generator.normal(size=6)
    rows = generator.normal(size=(200, 1)) * axis

    def project(shown: np.ndarray) -> np.ndarray:
        return np.outer(np.nan_to_num(shown) @ axis / (axis @ axis), axis)

    first, last = hiding.answers(project, rows, COLUMNS)
    error = [np.sqrt(np.mean((found - rows) ** 2)) for found in (first, last)]
    assert error[1] < error[0] / 5


def test_the_most_probable_level_is_fed_back():
    columns = [Column("a", Kind.CATEGORICAL, None, None, None, 0, levels=("x", "y", "z"))]
    rows = np.array([[0.0], [1.0], [2.0]] * 10)
    shown = []

    def guess(codes: np.ndarray) -> np.ndarray:
        shown.append(codes)
        return np.tile([0.2, 0.3, 0.5], (len(codes), 1))

    first, last = hiding.answers(guess, rows, columns)
    assert first.shape == last.shape == (30, 3)
    assert not np.isnan(shown[1]).any()
    assert (shown[1][np.isnan(shown[0])] == 2.0).all()


@pytest.mark.parametrize(("rows", "asked"), [(100, 100), (10**6, hiding.VALUES // 6)])
def test_of_many_rows_evenly_spaced_ones_are_asked(rows, asked):
    assert (
        len(np.broadcast_to(0.0, (rows, 6))[hiding.asked(np.broadcast_to(0.0, (rows, 6)))]) == asked
    )
