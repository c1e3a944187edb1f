"""What is known of the columns: kind, resolution, walls, gaps; written once, read by all stages."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Fewer rows can't carry what is fitted on them: a scaler and a network on training rows, a scale a
# column and its cross-fit on validation rows, a mean with an interval on test rows.
LEAST = {"training": 20, "validation": 10, "test": 10}


class Kind(StrEnum):
    """What the values of a column are; decides which residual families may code it."""

    CONTINUOUS = "continuous"
    BINARY = "binary"
    COUNT = "count"
    CATEGORICAL = "categorical"


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
        levels: Of a categorical column: what its codes 0, 1, ... stand for, as training rows show
            them. The code `len(levels)` stands for any level that training rows lack.
    """

    name: str
    kind: Kind
    resolution: float | None
    low: float | None
    high: float | None
    missing: int
    levels: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """Numbers of its reconstruction: one, or of a categorical column one for each level."""
        return len(self.levels) if self.kind is Kind.CATEGORICAL else 1

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Rebuilds a column from plain data."""
        return cls(**{**data, "kind": Kind(data["kind"]), "levels": tuple(data["levels"])})


@dataclass(frozen=True)
class Schema:
    """The features in their order, and what was left out.

    Attributes:
        source: Where the rows came from, for people, for example "builtin: digits".
        columns: The features, F of them.
        dropped: Columns that are not features: name -> reason.
        constants: Value of each column that was dropped because it never varies.
        shape: Where the features are the values of one array in row-major order: (height, width,
            channels) of an image, (length, channels) of a window of a series. None: a table.
        rows: Number of rows of each split: {"train": n, "val": n, "test": n}.
        digest: SHA-256 (first 16 hex digits) of the values and weights of all splits.
        gaps: Whether values may be missing, now and in rows to come.
        split: How rows were dealt out: "random", "group", "time", or "source" where the source
            decided.
        labels: What the codes in labels.npy stand for; () if labels are numbers or there are none.
        left_out: Rows of the source that are in no split: reason -> how many.
        missing_values: What stands for a gap beside the usual texts, see `hourglass.gaps`.
        group: Column beside the features that tells series or groups of rows apart; "": none.
        time: Column beside the features that orders the rows; "": none.
        day_first: Of series: whether the day stands first in its dates with slashes; None: there
            are none.
        resized: Whether images of any size were brought to `shape`.
    """

    source: str
    columns: tuple[Column, ...]
    dropped: dict[str, str]
    constants: dict[str, float]
    shape: tuple[int, ...] | None
    rows: dict[str, int]
    digest: str
    gaps: bool = False
    split: str = "random"
    labels: tuple[str, ...] = ()
    left_out: dict[str, int] = field(default_factory=dict)
    missing_values: tuple[str | float, ...] = ()
    group: str = ""
    time: str = ""
    day_first: bool | None = None
    resized: bool = False

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
        columns = tuple(Column.from_json(c) for c in data["columns"])
        shape = tuple(data["shape"]) if data["shape"] else None
        lists = {name: tuple(data[name]) for name in ("labels", "missing_values")}
        return cls(**{**data, **lists, "columns": columns, "shape": shape})


def channels(names: Sequence[str], shape: tuple[int, ...] | None) -> tuple[str, ...]:
    """The names of an image's or a window's channels; of a table all columns are channels."""
    if shape is None:
        return tuple(names)
    first = names[: shape[-1]]
    if len(shape) == 2:
        return tuple(name.rpartition("@")[0] or name for name in first)
    if len(first) == 1:
        return ("all pixels",)
    return tuple(f"channel {name.rpartition(',')[2]}" for name in first)


def searched_kind(columns: Sequence[Column]) -> Kind:
    """The kind of the columns that the searched loss serves; the others have a loss of their own.

    They are the continuous ones; where a table has none, its counts, then its flags.
    """
    kinds = {c.kind for c in columns}
    return next(
        k for k in (Kind.CONTINUOUS, Kind.COUNT, Kind.BINARY, Kind.CATEGORICAL) if k in kinds
    )


def optional(values: Sequence[float | None]) -> Array:
    """Packs optional numbers into an array, None as NaN. Shape (F,)."""
    return np.array([np.nan if v is None else v for v in values], dtype=np.float64)
