"""Assigns rows to training, validation and test, from their number and a seed alone."""

import math

import numpy as np
from numpy.typing import NDArray

from hourglass.errors import DataError

BLOCK = 65536  # rows that are dealt out together
TRAIN, VAL, TEST = 0, 1, 2
# Fewer rows can't carry what is fitted on them: a scaler and a network on training rows, a scale a
# column and its cross-fit on validation rows, a mean with an interval on test rows.
LEAST = {"training": 20, "validation": 10, "test": 10}


def assign(rows: int, val_fraction: float, test_fraction: float, seed: int) -> NDArray[np.int8]:
    """Deals rows out: 0 training, 1 validation, 2 test. Shape (rows,).

    Every block of 65536 rows is permuted by its own generator, so the result depends on nothing but
    the arguments, and each block holds the fractions to within a row.

    Raises:
        DataError: a split would have fewer rows than `LEAST` says.
    """
    split = np.zeros(rows, dtype=np.int8)
    for block, start in enumerate(range(0, rows, BLOCK)):
        part = split[start : start + BLOCK]
        order = np.random.default_rng([seed, block]).permutation(len(part))
        n_val, n_test = round(val_fraction * len(part)), round(test_fraction * len(part))
        part[order[:n_val]] = VAL
        part[order[n_val : n_val + n_test]] = TEST
    _check(split, val_fraction, test_fraction)
    return split


def _check(split: NDArray[np.int8], val_fraction: float, test_fraction: float) -> None:
    counts = dict(zip(LEAST, np.bincount(split, minlength=3).tolist(), strict=True))
    if all(counts[name] >= least for name, least in LEAST.items()):
        return
    shares = (1 - val_fraction - test_fraction, val_fraction, test_fraction)
    needed = max(math.ceil(n / share) for n, share in zip(LEAST.values(), shares, strict=True))
    raise DataError(
        f"{len(split)} {'row is' if len(split) == 1 else 'rows are'} too few: "
        f"preprocess.val_fraction {val_fraction:g} and test_fraction {test_fraction:g} give "
        + ", ".join(f"{n} {name}" for name, n in counts.items())
        + " rows, and at least "
        + ", ".join(f"{n}" for n in LEAST.values())
        + f" are needed; bring about {needed} rows or more, or change the fractions in params.yaml"
    )


def resplit(
    rows_train: int, rows_val: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draws training and validation rows anew, in the same numbers.

    Returns:
        Positions in the concatenation [train; val], ascending: those of the new training rows,
        shape (rows_train,), and of the new validation rows, shape (rows_val,).
    """
    order = np.random.default_rng([seed, rows_train, rows_val]).permutation(rows_train + rows_val)
    return np.sort(order[:rows_train]), np.sort(order[rows_train:])
