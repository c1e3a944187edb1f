"""Thresholds are shares of what finished trials had at the same epoch."""

import math

import pytest

from hourglass import config, pruning
from hourglass.pruning import Pruner

CURVES = [[float(start)] * 12 for start in range(1, 9)]  # 1, 2, ..., 8 at every epoch


def test_every_rule_of_params_is_there():
    names = config.Search.model_fields["pruner"].annotation.__args__
    assert tuple(pruning.RULES) == names


def test_none_looks_nowhere():
    assert pruning.pruner("none", 60) == Pruner()
    assert Pruner().bars(CURVES) == {}


@pytest.mark.parametrize("name", ["median", "halving"])
@pytest.mark.parametrize("epochs", [1, 2, 3, 60, 1000])
def test_rungs_lie_within_the_fit_and_before_its_end(name, epochs):
    rungs = pruning.pruner(name, epochs).rungs
    assert all(1 <= r < epochs for r in rungs)
    assert list(rungs) == sorted(set(rungs))
    assert rungs or epochs < 3


def test_the_median_is_the_bar_of_the_one_and_a_third_goes_on_under_the_other():
    median, halving = (pruning.pruner(n, 12) for n in ("median", "halving"))
    assert set(median.bars(CURVES).values()) == {4.5}
    bars = halving.bars(CURVES)
    assert set(bars) == set(halving.rungs)
    assert all(sum(c[0] <= bar for c in CURVES) == 3 for bar in bars.values())


def test_a_bar_counts_the_trials_that_came_so_far_pruned_ones_too():
    curves = [[1.0, 1.0, 1.0], [2.0, 2.0], [3.0], []]
    assert Pruner((1, 2, 3), 0.5).bars(curves) == {1: 2.0, 2: 1.5, 3: 1.0}


def test_an_epoch_that_no_trial_came_to_has_no_bar_and_what_is_not_finite_counts_not():
    assert Pruner((1, 2), 0.5).bars([[2.0], [math.nan], [math.inf], [4.0]]) == {1: 3.0}
    assert Pruner((1,), 0.5).bars([]) == {}
