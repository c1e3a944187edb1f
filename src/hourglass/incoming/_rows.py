"""The contract of what holds raw rows."""

import stat
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from hourglass.schema import Schema


@dataclass(frozen=True)
class Chunk:
    """Some rows.

    Attributes:
        rows: As `given.read` takes them: all columns of a table, where numbers of a text have a
            decimal point where they are asked for; or an array of the model's shape.
        kept: Some columns as they stand in the file (pandas would make floats of whole numbers
            beside a gap), those of `Incoming.told` first; as many rows.
        place: Where a row of the chunk stands, for messages.
        wrong: Position of each row that could not be read -> why; its values are NaN.
    """

    rows: pd.DataFrame | NDArray[Any]
    kept: pa.Table
    place: Callable[[int], str]
    wrong: Mapping[int, str] = field(default_factory=dict)


class Incoming(ABC):
    """Something that holds rows.

    Attributes:
        names: Of its columns, those that may be kept.
        needs: Whose columns must be among `names`; None: there are no names.
        told: Columns that stand first in the answers unasked: which row of IN each one is for.
    """

    names: Sequence[str] = ()
    needs: Schema | None = None
    told: Sequence[str] = ()

    @abstractmethod
    def chunks(self, rows: int, keep: Sequence[str], numbers: Collection[str]) -> Iterator[Chunk]:
        """All rows in their order, at most `rows` a chunk; one empty chunk where there are none.

        Args:
            rows: Of a chunk at most.
            keep: Names of the columns in `Chunk.kept`, beside `told`.
            numbers: Names of the columns that should hold numbers.

        Raises:
            DataError: it can't be read.
        """


def rows_of(array_N: NDArray[Any], first: int) -> Chunk:
    """A chunk of rows without columns to keep, the first of which is row `first` of its file."""
    none = pa.table({"": pa.nulls(len(array_N))}).select([])
    return Chunk(array_N, none, lambda row: numbered(first + row))


def numbered(row: int) -> str:
    """Where row `row`, counted from 0, stands in a file without lines."""
    return f"row {row + 1} (the first is 1)"


def stamp(path: Path) -> list[tuple[str, int, int, int, int]]:
    """Changes whenever a file, or any file below a folder, may have changed.

    The time of a file's last change (ctime) is the system's: no copy brings an old one along.
    """
    files = [path] if not path.is_dir() else sorted(path.rglob("*"))
    found = ((str(file.absolute()), file.stat()) for file in files)
    return [
        (name, s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino)
        for name, s in found
        if stat.S_ISREG(s.st_mode)
    ]
