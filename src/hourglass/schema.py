"""What is known of the columns: kind, resolution, walls, gaps; written once, read by all stages."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Kind(StrEnum):
    """What the values of a column are; decides which residual families may code it."""

    CONTINUOUS = "continuous"
    BINARY = "binary"
    COUNT = "count"


@dataclass(frozen=True)
class Column:
    """One feature.

    Attributes:
        name: As the user knows it.
        kind: See `Kind`.
        resolution: Smallest step between values, in the column's unit; None where there is none.
        low: Lower bound that the values can't pass (a wall, not merely the minimum); None if open.
        high: Upper bound, likewise.
        missing: Number of missing values seen in the source.
    """

    name: str
    kind: Kind
    resolution: float | None
    low: float | None
    high: float | None
    missing: int


@dataclass(frozen=True)
class Schema:
    """The features in their order, and what was left out.

    Attributes:
        source: Where the rows came from, for people, for example "builtin: digits".
        columns: The features, F of them.
        dropped: Columns that are not features: name -> reason.
        constants: Value of each column that was dropped because it never varies.
        grid: (height, width) where the features are the pixels of an image in row-major order.
        rows: Number of rows of each split: {"train": n, "val": n, "test": n}.
        digest: SHA-256 (first 16 hex digits) of the values of all splits.
    """

    source: str
    columns: tuple[Column, ...]
    dropped: dict[str, str]
    constants: dict[str, float]
    grid: tuple[int, int] | None
    rows: dict[str, int]
    digest: str

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the features in order."""
        return tuple(c.name for c in self.columns)

    def to_json(self) -> dict[str, Any]:
        """Plain data for json.dump; `from_json` is its inverse."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Rebuilds a schema from what `to_json` gave."""
        columns = tuple(Column(**{**c, "kind": Kind(c["kind"])}) for c in data["columns"])
        grid = tuple(data["grid"]) if data["grid"] else None
        return cls(**{**data, "columns": columns, "grid": grid})


def optional(values: Sequence[float | None]) -> Array:
    """Packs optional numbers into an array, None as NaN. Shape (F,)."""
    return np.array([np.nan if v is None else v for v in values], dtype=np.float64)
