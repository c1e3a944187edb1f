"""Baselines: constants and a PCA, fitted on training rows."""

import numpy as np
import pytest

from hourglass import baselines

RNG = np.random.default_rng(0)
TRAIN = RNG.normal(size=(60, 3)) @ RNG.normal(size=(3, 5)) + 2.0
ROWS = RNG.normal(size=(7, 5))


@pytest.mark.parametrize(("name", "of"), [("mean", np.mean), ("median", np.median)])
def test_constants_are_those_of_the_training_rows(name, of):
    answer = baselines.reconstruct(name, TRAIN, ROWS, 2)
    np.testing.assert_array_equal(answer, np.tile(of(TRAIN, axis=0), (7, 1)))
    answer[0, 0] = 1.0  # an array of its own
    assert answer[1, 0] != 1.0


def test_a_pca_is_the_best_linear_reconstruction_of_its_width():
    answer = baselines.reconstruct("pca", TRAIN, TRAIN, 2)
    left = np.square(np.linalg.svd(TRAIN - TRAIN.mean(axis=0))[1][2:]).sum()
    assert np.square(answer - TRAIN).sum() == pytest.approx(left, rel=1e-9)


def test_a_pca_as_wide_as_the_data_copies_them():
    np.testing.assert_allclose(baselines.reconstruct("pca", TRAIN, ROWS, 5), ROWS, atol=1e-10)


def test_a_bottleneck_wider_than_columns_or_rows_is_capped():
    np.testing.assert_allclose(baselines.reconstruct("pca", TRAIN, ROWS, 99), ROWS, atol=1e-10)
    assert baselines.reconstruct("pca", TRAIN[:3], ROWS, 99).shape == ROWS.shape


@pytest.mark.parametrize("name", baselines.BASELINES)
def test_rows_to_reconstruct_do_not_change_the_fit(name):
    alone = baselines.reconstruct(name, TRAIN, ROWS[:2], 2)
    np.testing.assert_allclose(alone, baselines.reconstruct(name, TRAIN, ROWS, 2)[:2], rtol=1e-12)
