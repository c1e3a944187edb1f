"""Assigns rows to training, validation and test.

No rule needs all rows at once, and none depends on how rows come in chunks: single rows are dealt
out by their number, groups by the order in which they first appear, and times by their rank.
"""

import math
from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hourglass.errors import DataError
from hourglass.schema import LEAST

TRAIN, VAL, TEST = 0, 1, 2
BLOCK_VALUES = 1 << 22  # numbers of the rows that are dealt out together: 32 MiB at most
MOST_ROWS, LEAST_BLOCK = 1 << 16, 1 << 8
DRAWS = 100  # a column with 30 values among them lacks one in 0.3 % of the usual draws
GOLDEN = (math.sqrt(5) - 1) / 2

Split = NDArray[np.int8]


class Fractions(Protocol):
    """What params.yaml says of the split."""

    @property
    def val_fraction(self) -> float:
        """Share of the validation rows."""

    @property
    def test_fraction(self) -> float:
        """Share of the test rows."""

    @property
    def seed(self) -> int:
        """Draws the split."""


def block_rows(columns: int) -> int:
    """Rows that are dealt out together: a power of two, the fewer the wider they are."""
    rows = BLOCK_VALUES // max(1, columns)
    return min(MOST_ROWS, max(LEAST_BLOCK, 1 << max(0, rows.bit_length() - 1)))


def deal(block: int, rows: int, fractions: Fractions) -> Split:
    """Deals the rows of one block out: each block holds the fractions to within a row, (rows,).

    Args:
        block: Its number; each block is permuted by a generator of its own.
        rows: Rows of this block.
        fractions: Shares and seed.
    """
    split = np.zeros(rows, dtype=np.int8)
    order = np.random.default_rng([fractions.seed, block]).permutation(rows)
    n_val = round(fractions.val_fraction * rows)
    n_test = round(fractions.test_fraction * rows)
    split[order[:n_val]] = VAL
    split[order[n_val : n_val + n_test]] = TEST
    return split


def by_group(group_N: NDArray[np.int64], fractions: Fractions) -> Split:
    """Keeps the rows of a group together, (N,).

    Groups are spread by the golden-ratio sequence, whose every stretch holds the fractions as well
    as can be: from some ten groups on each split has one.

    Args:
        group_N: Number of each row's group, in the order of first appearance.
        fractions: Shares of the groups, and seed.
    """
    first = np.random.default_rng(fractions.seed).random()
    u_N = (first + group_N * GOLDEN) % 1
    beyond = fractions.test_fraction + fractions.val_fraction
    return np.where(u_N < fractions.test_fraction, TEST, np.where(u_N < beyond, VAL, TRAIN)).astype(
        np.int8
    )


def by_time(time_N: NDArray[np.float64], fractions: Fractions) -> Split:
    """The earliest rows train, the latest test, (N,); rows of one time stay together.

    Rows of the time at which a cut falls go to the later split.
    """
    ordered = np.sort(time_N)
    rows = len(time_N)
    first_val = round((1 - fractions.val_fraction - fractions.test_fraction) * rows)
    first_test = round((1 - fractions.test_fraction) * rows)
    cuts = ordered[[min(first_val, rows - 1), min(first_test, rows - 1)]]
    return np.searchsorted(cuts, time_N, side="right").astype(np.int8)


# What to do about a split that is too small, though there are rows enough.
REMEDIES = {
    "group": "change the fractions or the seed in params.yaml, or bring more groups: each goes to "
    "one split as a whole",
    "time": "change the fractions in params.yaml, or bring rows of more times: those of one time "
    "stay together",
    "source": "bring more rows, or change the fractions in params.yaml",
}


def check(
    counts: dict[str, int],
    fractions: Fractions,
    how: str = "random",
    remedy: Callable[[], str] = str,
) -> None:
    """Refuses a split that is too small to say anything.

    Args:
        counts: Rows of each split, keyed as `LEAST`.
        fractions: Of params.yaml.
        how: How rows were dealt out, see `Schema.split`.
        remedy: Gives one that is known of these rows, or "".

    Raises:
        DataError: a split has fewer rows than `LEAST` says.
    """
    if all(counts[name] >= least for name, least in LEAST.items()):
        return
    total = sum(counts.values())
    val, test = fractions.val_fraction, fractions.test_fraction
    shares = (1 - val - test, val, test)
    needed = max(math.ceil(n / share) for n, share in zip(LEAST.values(), shares, strict=True))
    best = f"bring about {needed} rows or more, or change the fractions in params.yaml"
    if total >= needed:
        best = REMEDIES.get(how, best)
    raise DataError(
        f"{total} {'row is' if total == 1 else 'rows are'} too few: "
        f"preprocess.val_fraction {val:g} and test_fraction {test:g} give "
        + ", ".join(f"{n} {name}" for name, n in counts.items())
        + " rows, and at least "
        + ", ".join(f"{n}" for n in LEAST.values())
        + f" are needed; {remedy() or best}"
    )


def resplit(
    rows_train: int, rows_val: int, seed: int, seen_NF: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draws training and validation rows anew, in the same numbers.

    Args:
        rows_train: Number of training rows.
        rows_val: Number of validation rows.
        seed: Of the draw.
        seen_NF: Which values of [train; val] were observed. It is drawn again while a column has
            none among training or among validation rows, `DRAWS` times at most. None: all were.

    Returns:
        Positions in the concatenation [train; val], ascending: those of the new training rows,
        shape (rows_train,), and of the new validation rows, shape (rows_val,).
    """
    generator = np.random.default_rng([seed, rows_train, rows_val])
    for _ in range(DRAWS):
        order = generator.permutation(rows_train + rows_val)
        train, val = np.sort(order[:rows_train]), np.sort(order[rows_train:])
        if seen_NF is None or (seen_NF[train].any(axis=0) & seen_NF[val].any(axis=0)).all():
            break
    return train, val
