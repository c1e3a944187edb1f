"""What stands in a table by mistake: row numbers, identifiers, columns and rows that are copies.

Nothing is dropped for it: these are warnings. Shapes: B rows of a block, S sampled rows, F columns.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hourglass.moments import Moments
from hourglass.schema import Array

MOST_ROWS = 1 << 21  # whose hashes are kept (16 MiB); of more rows no copies are looked for
LEAST_ROWS = 50  # of which all must differ in an identifier
EXPECTED_PAIRS = 10  # of equal values that chance would give, where an identifier has none
LEAST_LEVELS = 20  # of a column of texts most of which may be rare
SPARE_BITS = 4  # of a row beyond those by which one pair of all rows would be equal by chance
_TILE_VALUES = 1 << 16
_FEW = 16
_NAMED = re.compile(r"(.*[\W_])?(id|nr|no|key|index|idx)", re.IGNORECASE)
_CAMEL = re.compile(r".*[a-z](Id|ID|Nr|No)")


class Counters:
    """Columns that go on by the same step from row to row; told block by block.

    Args:
        width: F.
    """

    def __init__(self, width: int) -> None:
        self._at = np.arange(width)
        self._step_F: NDArray[np.floating] | None = None
        self._last_F: NDArray[np.floating] = np.empty((0, width))
        self._rows = 0

    def add(self, values_BF: NDArray[np.floating]) -> None:
        """Takes notice of the next rows."""
        self._rows += len(values_BF)
        if not len(self._at) or not len(values_BF):
            return
        self._keep(values_BF[:_FEW])  # which leaves hardly any column to look at in all rows
        self._keep(values_BF)
        self._last_F = values_BF[-1:].copy()

    def _keep(self, rows_BF: NDArray[np.floating]) -> None:
        part_BF = np.concatenate([self._last_F[:, self._at], rows_BF[:, self._at]])
        with np.errstate(invalid="ignore", over="ignore"):
            step_BF = np.diff(part_BF, axis=0)
        if not len(step_BF):
            return
        if self._step_F is None:  # all columns are still looked at
            self._step_F = step_BF[0]
        own_F = self._step_F[self._at]
        self._at = self._at[(own_F != 0) & (step_BF == own_F).all(axis=0)]

    @property
    def found(self) -> list[int]:
        """Which columns they are."""
        at: list[int] = self._at.tolist()
        return at if self._rows >= LEAST_ROWS else []


class Copies:
    """Rows that stand in several splits, by a hash of each row.

    Args:
        width: F.
    """

    def __init__(self, width: int) -> None:
        weights = np.random.default_rng(0).integers(0, 1 << 63, width, dtype=np.uint64)
        self._weight_F = 2 * weights + np.uint64(1)
        self._hashes: dict[str, list[NDArray[np.uint64]]] = {}
        self._rows = 0

    def add(self, split: str, values_BF: NDArray[Any]) -> None:
        """Takes notice of rows of a split, in their order."""
        self._rows += len(values_BF)
        if self._rows > MOST_ROWS:
            self._hashes.clear()
        else:
            self._hashes.setdefault(split, []).append(self._hashed(values_BF))

    def _hashed(self, values_BF: NDArray[Any]) -> NDArray[np.uint64]:
        """A hash of each row, multilinear over its bits; (B,)."""
        bits_BF = values_BF
        if values_BF.dtype.kind == "f":
            bits_BF = values_BF.view(f"u{values_BF.itemsize}")
        hash_B = np.empty(len(values_BF), np.uint64)
        step = max(1, _TILE_VALUES // values_BF.shape[1])
        for start in range(0, len(values_BF), step):
            tile = bits_BF[start : start + step].astype(np.uint64)
            tile ^= tile >> np.uint64(29)  # round numbers differ in their upper bits only
            hash_B[start : start + step] = tile @ self._weight_F
        return hash_B

    def shared(self, split: str, other: str) -> tuple[int, int, int]:
        """How many rows of a split stand in another too, and the first one's number in each."""
        if not {split, other} <= set(self._hashes):
            return 0, -1, -1
        own_N, other_N = (np.concatenate(self._hashes[s]) for s in (split, other))
        known_N = np.sort(other_N)  # far faster than np.isin
        at_N = np.searchsorted(known_N, own_N).clip(max=len(known_N) - 1)
        copy_N = known_N[at_N] == own_N
        if not copy_N.any():
            return 0, -1, -1
        first = int(np.argmax(copy_N))
        return int(copy_N.sum()), first, int(np.argmax(other_N == own_N[first]))


def identifiers(names: Sequence[str], train_SF: Array, whole_F: NDArray[np.bool_]) -> list[int]:
    """Columns of integers that all differ, by their names or where chance would repeat some."""
    found = []
    for f in np.flatnonzero(whole_F).tolist():
        value_S = train_SF[~np.isnan(train_SF[:, f]), f]
        rows = len(value_S)
        if rows < LEAST_ROWS or len(np.unique(value_S[:LEAST_ROWS])) < LEAST_ROWS:
            continue
        span = float(np.ptp(value_S)) + 1
        told = EXPECTED_PAIRS * span <= rows * (rows - 1) / 2 or is_named_as_identifier(names[f])
        if told and len(np.unique(value_S)) == rows:
            found.append(f)
    return found


def is_named_as_identifier(name: str) -> bool:
    """Whether the name says so, such as customer_id or orderNr."""
    return bool(_NAMED.fullmatch(name) or _CAMEL.fullmatch(name))


def equal_columns(
    names: Sequence[str], train_SF: Array, seen: Moments, levels: Mapping[str, tuple[str, ...]]
) -> list[tuple[str, str]]:
    """Columns that hold the same as an earlier one, each with it."""
    first: dict[object, str] = {}
    found = []
    like: dict[object, list[int]] = {}
    for f, name in enumerate(names):
        key = (float(seen.low_F[f]), float(seen.high_F[f]), int(seen.count_F[f]), levels.get(name))
        like.setdefault(key, []).append(f)
    for alike, columns in like.items():
        for f in columns if len(columns) > 1 else ():
            values = (alike, train_SF[:, f].tobytes())
            if values in first:
                found.append((names[f], first[values]))
            else:
                first[values] = names[f]
    return found


def are_rows_rich(train_SF: Array, rows: int) -> bool:
    """Whether rows hold so much that two equal ones are hardly chance."""
    bits = 0.0
    needed = 2 * np.log2(max(rows, 2)) + SPARE_BITS
    for f in range(train_SF.shape[1]):
        bits += np.log2(len(np.unique(train_SF[:, f])))
        if bits > needed:
            return True
    return False
