"""The contract of what holds raw rows."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from hourglass.schema import Schema

Rows = pd.DataFrame | NDArray[Any]  # as `given.read` takes them
Loaded = tuple[Rows, Mapping[int, str]]


@dataclass(frozen=True)
class Chunk:
    """Some rows.

    Attributes:
        load: Reads them, as often as asked: all columns of a table, where numbers of a text have a
            decimal point where they are asked for, or an array of the model's shape; and which of
            them can't be used: position -> why. The values of these count for nothing.
        beside: `Incoming.told` and `Incoming.names` as they stand in the file, as many rows: to
            be kept as they are (pandas would make floats of whole numbers beside a gap).
        place: Where a row of the chunk stands, for messages.
    """

    load: Callable[[], Loaded]
    beside: pa.Table
    place: Callable[[int], str]


class Incoming(ABC):
    """Something that holds rows.

    Attributes:
        files: That they are read from.
        names: Of its columns.
        needs: Whose columns must be among `names`; None: there are no names.
        told: Columns that stand first in the answers unasked: which row of IN each one is for.
    """

    files: Sequence[Path]
    names: Sequence[str] = ()
    needs: Schema | None = None
    told: Sequence[str] = ()

    @abstractmethod
    def chunks(self, rows: int) -> Iterator[Chunk]:
        """All rows in their order, about `rows` a chunk; one empty chunk where there are none.

        Raises:
            DataError: it can't be read.
        """


def rows_of(array_N: NDArray[Any], first: int) -> Chunk:
    """A chunk of rows without columns, the first of which is row `first` of its file."""
    none = pa.table({"": pa.nulls(len(array_N))}).select([])
    return Chunk(lambda: (array_N, {}), none, lambda row: numbered(first + row))


def numbered(row: int) -> str:
    """Where row `row`, counted from 0, stands in a file without lines."""
    return f"row {row + 1} (the first is 1)"
