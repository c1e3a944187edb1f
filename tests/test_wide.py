"""The wide form: numbers stay, levels become a number each, and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hourglass import wide
from hourglass.schema import Column, Kind


def column(name: str, levels: int) -> Column:
    """A column of numbers, or of so many levels."""
    if not levels:
        return Column(name, Kind.CONTINUOUS, None, None, None, 0)
    texts = tuple(f"L{k}" for k in range(levels))
    return Column(name, Kind.CATEGORICAL, None, None, None, 0, texts)


@st.composite
def tables(draw) -> tuple[list[Column], np.ndarray]:
    """Columns in any mixture, and rows with gaps and with levels that training rows lack."""
    levels = draw(st.lists(st.integers(0, 4), min_size=1, max_size=6))
    columns = [column(f"c{f}", n) for f, n in enumerate(levels)]
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    rows = draw(st.integers(0, 5))
    values = [rng.integers(0, n + 1, rows) if n else rng.normal(size=rows) for n in levels]
    rows_NF = np.column_stack(values).astype(np.float64)
    rows_NF[rng.random(rows_NF.shape) < 0.2] = np.nan
    return columns, rows_NF


@given(tables())
def test_each_column_has_a_place_of_its_width_and_no_two_share_one(table):
    columns, _ = table
    taken = [w for place in wide.slices(columns) for w in range(place.start, place.stop)]
    assert taken == list(range(wide.width(columns)))
    assert [p.stop - p.start for p in wide.slices(columns)] == [c.width for c in columns]


@given(tables())
def test_the_wide_form_says_the_same(table):
    columns, rows_NF = table
    wide_NW = wide.expand(rows_NF, columns)
    assert wide_NW.shape == (len(rows_NF), wide.width(columns))
    for f, (described, place) in enumerate(zip(columns, wide.slices(columns), strict=True)):
        for row, value in enumerate(rows_NF[:, f]):
            part = wide_NW[row, place].tolist()
            if np.isnan(value):
                assert np.isnan(part).all()
            elif described.kind is Kind.CATEGORICAL:
                assert part == [float(value == k) for k in range(described.width)]
            else:
                assert part == [value]


@given(tables())
def test_collapsing_what_was_expanded_gives_back_what_was_known(table):
    columns, rows_NF = table
    back_NF = wide.collapse(np.nan_to_num(wide.expand(rows_NF, columns)), columns)
    assert back_NF.shape == rows_NF.shape
    levels_F = np.array([c.width if c.kind is Kind.CATEGORICAL else np.inf for c in columns])
    known_NF = rows_NF < levels_F
    np.testing.assert_array_equal(back_NF[known_NF], rows_NF[known_NF])


def test_the_most_probable_level_is_taken():
    columns = [column("a", 3), column("b", 0), column("c", 2)]
    wide_NW = np.array([[0.2, 0.5, 0.3, -7.5, 0.4, 0.6], [0.5, 0.4, 0.1, 2.0, 0.9, 0.1]])
    assert wide.collapse(wide_NW, columns).tolist() == [[1, -7.5, 1], [0, 2, 0]]


def test_positions_of_numbers_in_both_forms():
    columns = [column("a", 3), column("b", 0), column("c", 2), column("d", 0), column("e", 1)]
    at_F, at_W = wide.single(columns)
    assert (at_F.tolist(), at_W.tolist()) == ([1, 3], [3, 6])
    rows_NF = np.array([[0.0, 1.5, 1.0, 2.5, 0.0]])
    np.testing.assert_array_equal(wide.expand(rows_NF, columns)[:, at_W], rows_NF[:, at_F])


@pytest.mark.parametrize("levels", [[], [2, 3]])
def test_a_table_without_numbers_has_no_position_of_one(levels):
    at_F, at_W = wide.single([column(f"c{f}", n) for f, n in enumerate(levels)])
    assert (at_F.shape, at_W.shape, at_F.dtype) == ((0,), (0,), np.int64)


def test_names_tell_levels_apart():
    colour = Column("colour", Kind.CATEGORICAL, None, None, None, 0, ("red", "blue"))
    one = Column("one", Kind.CATEGORICAL, None, None, None, 0, ("only",))
    named = wide.names([column("x", 0), colour, one])
    assert named == ("x", "colour=red", "colour=blue", "one=only")


def test_a_table_of_numbers_is_its_own_wide_form():
    columns = [column("a", 0), column("b", 0)]
    rows_NF = np.array([[1.0, np.nan]])
    assert wide.expand(rows_NF, columns) is rows_NF
    assert wide.collapse(rows_NF, columns) is rows_NF
