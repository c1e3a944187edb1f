"""Where rows come from: each module is one kind of source under one contract.

A source tells its columns first and then gives the rows in chunks, so that no source ever needs
all rows in memory. Labels, groups, times and weights travel beside the values, never among them.
Shapes: n rows of a chunk, F features.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hourglass.catalog import Catalog
from hourglass.config import Preprocess
from hourglass.schema import Kind

LABEL = "label"  # the key of a label's levels in `Source.levels`; no column has it there


@dataclass(frozen=True)
class Layout:
    """What a source knows of its columns before reading the rows.

    Attributes:
        names: The columns that are features, F of them, in order.
        dropped: Columns that are left out: name -> reason.
        kind: The kind of every column where the source knows it; None: infer.
        bounds: Walls (low, high) of every column where the source knows them; None: infer.
        shape: (height, width, channels) where the columns are the pixels of an image in row-major
            order, (length, channels) where they are a window of a series; None: a table.
        categorical: Columns that hold levels; their values are codes, see `Source.levels`.
        dtype: Of all chunks' values; the smallest that holds them exactly.
    """

    names: tuple[str, ...]
    dropped: dict[str, str]
    kind: Kind | None = None
    bounds: tuple[float, float] | None = None
    shape: tuple[int, ...] | None = None
    categorical: frozenset[str] = frozenset()
    dtype: np.dtype[Any] = field(default_factory=lambda: np.dtype(np.float64))


@dataclass(frozen=True)
class Chunk:
    """Consecutive rows.

    Attributes:
        values_NF: Shape (n, F), of the layout's dtype; missing values are NaN, levels are codes
            0, 1, ... in the order in which the source met them.
        row_N: Each row's number in the source, int64; None: they go on counting from 0.
        group_N: Code of each row's group, int64, in the order of first appearance.
        time_N: Each row's time as a number, float64; only its order counts.
        label_N: Each row's label, float64: a number, or a code, see `Source.levels`.
        weight_N: How much each row counts, float64, above 0.
        split_N: 0 training, 1 validation, 2 test, int8, where the source decides: windows that
            would straddle a cut are not given at all. None: preprocess deals the rows out.
    """

    values_NF: NDArray[Any]
    row_N: NDArray[np.int64] | None = None
    group_N: NDArray[np.int64] | None = None
    time_N: NDArray[np.float64] | None = None
    label_N: NDArray[np.float64] | None = None
    weight_N: NDArray[np.float64] | None = None
    split_N: NDArray[np.int8] | None = None


class Source(ABC):
    """One data set: `layout` first, then `chunks`, as often as wanted, the same each time.

    Args:
        options: Section preprocess of params.yaml.
        path: File, folder or pattern, for sources that read files.

    Attributes:
        skipped: Why rows were left out (preprocess.on_bad_row: skip): reason -> how many, of the
            last time that all chunks were read.
    """

    def __init__(self, options: Preprocess, path: Path) -> None:
        self.options = options
        self.path = path
        self.skipped: dict[str, int] = {}

    @property
    @abstractmethod
    def title(self) -> str:
        """For people: where the rows come from, e.g. "builtin: digits"."""

    @abstractmethod
    def layout(self) -> Layout:
        """The columns.

        Raises:
            DataError: the data can't be read, or a column is no number; file and column are named.
        """

    def rows(self) -> int | None:
        """How many rows the files say that they hold, without reading them; None: unknown."""
        return None

    @abstractmethod
    def chunks(self) -> Iterator[Chunk]:
        """The rows in their order, chunk by chunk.

        Raises:
            DataError: a row can't be read.
        """

    def levels(self) -> Mapping[str, tuple[str, ...]]:
        """After the last chunk: the text behind the codes of each categorical column.

        The key `LABEL` holds those of the label, where labels are texts.
        """
        return {}

    def day_first(self) -> bool | None:
        """After the last chunk: whether the day stands first in times with slashes.

        None: there are none, or rows are no series.
        """
        return None

    def more_rows(self) -> str:
        """After the last chunk: what would give each split more of them; "": nobody knows."""
        return ""

    def place(self, row: int) -> str:
        """Where a person finds row `row`, counted from 0, in the source; for messages."""
        return f"row {row + 1}"


SOURCES: Catalog[type[Source]] = Catalog("hourglass.sources", "source", "SOURCE")
