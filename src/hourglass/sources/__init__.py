"""Where rows come from: each module is one kind of source under one contract.

A source tells its columns first and then gives the rows in chunks, so that no source ever needs
all rows in memory.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hourglass.catalog import Catalog
from hourglass.schema import Kind


@dataclass(frozen=True)
class Layout:
    """What a source knows of its columns before reading the rows.

    Attributes:
        names: The columns that are features, F of them, in order.
        dropped: Columns that are left out: name -> reason.
        kind: The kind of every column where the source knows it; None: infer.
        bounds: Walls (low, high) of every column where the source knows them; None: infer.
        grid: (height, width) where the columns are pixels in row-major order.
    """

    names: tuple[str, ...]
    dropped: dict[str, str]
    kind: Kind | None = None
    bounds: tuple[float, float] | None = None
    grid: tuple[int, int] | None = None


class Source(ABC):
    """One data set: `layout` first, then `chunks`, as often as wanted, the same each time.

    Args:
        dataset: Name within the source, for sources that have several.
        path: File or folder, for sources that read one.
        drop: Columns that are not features.
        label: Column that holds a label, or "".
    """

    def __init__(self, dataset: str, path: Path, drop: tuple[str, ...], label: str) -> None:
        self.dataset = dataset
        self.path = path
        self.drop = drop
        self.label = label

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

    @abstractmethod
    def chunks(self) -> Iterator[NDArray[np.float64]]:
        """The rows in their order, chunk by chunk, shape (n, F); missing values are NaN."""

    def place(self, row: int) -> str:
        """Where a person finds row `row`, counted from 0, in the source; for messages."""
        return f"row {row + 1}"


SOURCES: Catalog[type[Source]] = Catalog("hourglass.sources", "source", "SOURCE")
