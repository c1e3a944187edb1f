"""The wide form of rows: one number a feature, of a categorical column one for each level.

Reconstructions are wide: a level's number is its probability. Observed rows are brought into the
same form (1 for the level that was seen, 0 for the others) where the two are compared.
Shapes: N rows, F features, W numbers of the wide form.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hourglass.schema import Array, Column, Kind


def slices(columns: Sequence[Column]) -> list[slice]:
    """Where each column lies in the wide form."""
    ends = np.cumsum([c.width for c in columns], dtype=np.int64).tolist()
    return [slice(end - c.width, end) for c, end in zip(columns, ends, strict=True)]


def width(columns: Sequence[Column]) -> int:
    """W."""
    return sum(c.width for c in columns)


def single(columns: Sequence[Column]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions of the columns that are no levels, among the features and in the wide form."""
    at_F = [f for f, c in enumerate(columns) if c.kind is not Kind.CATEGORICAL]
    at_W = [place.start for place in slices(columns)]
    return np.array(at_F, np.int64), np.array([at_W[f] for f in at_F], np.int64)


def names(columns: Sequence[Column]) -> tuple[str, ...]:
    """Name of each number; levels as "colour=red"."""
    return tuple(
        name
        for c in columns
        for name in (
            [f"{c.name}={level}" for level in c.levels] if c.kind is Kind.CATEGORICAL else [c.name]
        )
    )


def expand(rows_NF: Array, columns: Sequence[Column]) -> Array:
    """Rows in wide form, (N, W); NaN where a value is missing, 0 at all levels of an unseen one."""
    if all(c.kind is not Kind.CATEGORICAL for c in columns):
        return rows_NF
    wide_NW = np.empty((len(rows_NF), width(columns)))
    for f, (column, place) in enumerate(zip(columns, slices(columns), strict=True)):
        values_N = rows_NF[:, f]
        if column.kind is not Kind.CATEGORICAL:
            wide_NW[:, place.start] = values_N
            continue
        seen_NL = values_N[:, None] == np.arange(column.width)
        wide_NW[:, place] = np.where(np.isnan(values_N)[:, None], np.nan, seen_NL)
    return wide_NW


def collapse(wide_NW: Array, columns: Sequence[Column]) -> Array:
    """One number a feature, (N, F): of a categorical column the code of the most probable level."""
    if all(c.kind is not Kind.CATEGORICAL for c in columns):
        return wide_NW
    parts = [
        wide_NW[:, place].argmax(axis=1) if c.kind is Kind.CATEGORICAL else wide_NW[:, place.start]
        for c, place in zip(columns, slices(columns), strict=True)
    ]
    return np.column_stack(parts).astype(np.float64)
