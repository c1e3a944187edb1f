"""The threshold for anomalies keeps its promise on the rows that it was made from."""

import json

import numpy as np
import pytest

from hourglass.usual import KEPT, Usual

NONE = np.array([np.nan])


@pytest.mark.parametrize("rows", [10, 99, 1000, 5000])
@pytest.mark.parametrize("share", [0.001, 0.01, 0.25])
def test_no_more_rows_than_the_share_lie_above_the_threshold(rows, share):
    bits_N = np.random.default_rng(rows).normal(size=rows)
    above = (bits_N > Usual.of(NONE, NONE, bits_N).threshold(share)).mean()
    assert share - 2 / min(rows, KEPT) <= above <= share + 1e-9


def test_many_code_lengths_are_kept_as_quantiles():
    kept = Usual.of(NONE, NONE, np.arange(10_000.0)[::-1]).bits_Q
    assert (len(kept), kept[0], kept[-1]) == (KEPT, 0, 9999)
    assert (np.diff(kept) > 0).all()


def test_what_was_never_observed_has_no_range():
    usual = Usual(np.array([0.0, np.nan]), np.array([1.0, np.nan]), np.ones(3))
    rows_NF = np.array([[0, 5], [1, 5], [-0.1, 5], [1.1, 5], [np.nan, np.nan]], np.float32)
    assert usual.outside(rows_NF)[:, 0].tolist() == [False, False, True, True, False]
    assert not usual.outside(rows_NF)[:, 1].any()


def test_it_comes_back_from_json():
    usual = Usual.of(np.array([0.1, np.nan]), np.array([0.3, np.nan]), np.array([3.5, 1 / 3]))
    again = Usual.from_json(json.loads(json.dumps(usual.to_json(), allow_nan=False)))
    for name, values in vars(usual).items():
        np.testing.assert_array_equal(vars(again)[name], values)
