"""What to look at first: stand-ins for gaps are told from walls, tails and ordinary values."""

import numpy as np
import pytest

from hourglass.findings import far_values, left_out
from hourglass.inference import Extent, Known, infer
from hourglass.moments import moments
from hourglass.profile import profile
from hourglass.schema import Column, Kind, Schema

ROWS = 1000


def rng(seed=0):
    return np.random.default_rng(seed)


def with_some(values, odd, share=0.02):
    """The values with `odd` in a share of the rows."""
    return np.where(np.arange(len(values)) % round(1 / share) == 0, odd, values)


def warned(known=(), **columns):
    """What is said of columns given by name."""
    rows_NF = np.column_stack(list(columns.values())).astype(float)
    whole_F = (rows_NF == np.floor(rows_NF)).all(axis=0)
    low_F, high_F = rows_NF.min(axis=0), rows_NF.max(axis=0)
    extent = Extent(low_F, high_F, whole_F, np.zeros(len(columns), np.int64))
    own = infer(tuple(columns), rows_NF, extent, Known(None, None, {}))
    figures = profile(own, rows_NF, moments(rows_NF))["columns"]
    return far_values(own, figures, rows_NF, low_F, high_F, known)


def temperatures(seed=0):
    return rng(seed).normal(20, 3, ROWS).round(2)


def test_one_line_speaks_of_all_columns_with_the_same_odd_value():
    columns = {f"s{i}": with_some(temperatures(i), -9999) for i in range(64)}
    (line,) = warned(**columns)
    assert "-9999 in 64 columns ('s0', 's1', 's2' and 61 more)" in line
    assert line.endswith("set params.yaml: preprocess.missing_values: [-9999]")
    assert "logarithm" not in line


@pytest.mark.parametrize(
    ("values", "odd"),
    [
        (lambda: temperatures(), -99),
        (lambda: rng().normal(100, 10, ROWS).round(1), 999),
        (lambda: rng().integers(1, 6, ROWS), 99),
        (lambda: rng().poisson(3, ROWS), 999),
        (lambda: rng().integers(0, 5, ROWS) // 4, 99),  # quartiles say nothing
        (lambda: np.minimum(temperatures(), 24), -99),  # a wall at the other end
    ],
)
@pytest.mark.parametrize("share", [0.01, 0.34])
def test_a_spike_away_from_the_others_is_recognised(values, odd, share):
    (line,) = warned(a=with_some(values(), odd, share), b=temperatures(1))
    assert f": {odd} in column 'a'; " in line
    assert line.endswith(f"preprocess.missing_values: [{odd}]")


@pytest.mark.parametrize(
    "values",
    [
        lambda: rng().normal(size=ROWS),
        lambda: rng().normal(size=ROWS).round(1),
        lambda: rng().standard_t(3, ROWS).round(1),
        lambda: rng().exponential(size=ROWS) * (rng(1).random(ROWS) < 0.3),
        lambda: np.maximum(0, rng().normal(1, 2, ROWS)),
        lambda: np.clip(rng().normal(size=ROWS), -1, 1),
        lambda: rng().poisson(0.3, ROWS),
        lambda: rng().integers(1, 6, ROWS),
        lambda: rng().integers(0, 2, ROWS),
        lambda: with_some(with_some(rng().normal(0.5, 0.02, ROWS), 0, 0.05), 1, 0.03),
    ],
)
def test_tails_zeros_walls_levels_and_salt_and_pepper_are_no_findings(values):
    assert warned(a=values()) == []


def test_numbers_of_nines_count_in_a_single_row_and_others_do_not():
    values = temperatures()
    values[3] = -99.9
    assert "-99.9 in column 'a'" in warned(a=values)[0]
    values[3] = -71.3
    assert warned(a=values) == []


def test_far_values_that_do_not_recur_are_told_in_one_line_with_the_logarithm_where_it_is_defined():
    wide = np.exp(rng().normal(0, 3, ROWS))
    (line,) = warned(a=wide, b=wide * 2)
    assert line.startswith(f"column 'a' reaches from {wide.min():g} to {wide.max():g}, more than")
    assert "(so do 'b')" in line
    assert line.endswith("or take the logarithm if they are right")
    (line,) = warned(a=wide - 1, b=wide * 2)
    assert line.endswith("or take the logarithm of column 'b'")
    assert "logarithm" not in warned(a=wide - 1)[0]


def test_the_remedy_keeps_what_is_named_already():
    (line,) = warned(("?", -1), a=with_some(temperatures(), -99))
    assert line.endswith("preprocess.missing_values: ['?', -1, -99]")


def test_a_value_that_another_column_may_mean_is_not_to_be_named_for_all():
    (line,) = warned(a=with_some(temperatures(), 99), n=np.arange(ROWS) % 200)
    assert "missing_values" not in line
    assert line.endswith("empty these cells in the file (column 'n' may well mean it)")


def test_images_can_name_no_values_and_are_to_have_nan():
    (line,) = warned(None, a=with_some(temperatures(), -99))
    assert line.endswith("put NaN in its place in the file")


def test_gaps_of_a_window_are_told_by_channel_and_what_the_user_left_out_is_no_finding():
    columns = tuple(
        Column(f"{name}@{step}", Kind.CONTINUOUS, None, None, None, 10 * (name == "load"))
        for step in range(4)
        for name in ("temp", "load")
    )
    rows = {"train": 80, "val": 10, "test": 10}
    dropped = {"id": "named in preprocess.drop", "text": "holds no numbers"}
    schema = Schema(
        "s", columns, dropped, {}, (4, 2), rows, "", gaps=True, left_out={"unreadable": 3}
    )
    assert left_out(schema, dropped) == [
        "left out, holds no numbers: column 'text'",
        "gaps, which stay gaps and are masked: 10.0% of 'load'",
        "left out, unreadable: 3 rows",
    ]
