"""What all readers of tables share: a table gives blocks of rows, a block gives columns."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

import pyarrow as pa
from numpy.typing import NDArray

from hourglass.errors import DataError

CHUNK_VALUES = 1 << 21  # numbers of one chunk: 16 MiB; malloc gives larger ones back each time
_TILE_VALUES = 1 << 15  # numbers that stay in a core's cache while columns become rows
_TILE_ROWS = 512  # but no fewer rows than this: each piece of a column costs a call


class Sort(StrEnum):
    """What a file holds in a column, as words of a message."""

    NUMBER = "numbers"
    BOOLEAN = "booleans"
    TEXT = "texts"
    LEVELS = "categories"  # which somebody declared, such as a categorical of pandas
    TIME = "dates or times"
    EMPTY = "no values"
    OTHER = "neither numbers nor texts"


NUMERIC = frozenset({Sort.NUMBER, Sort.BOOLEAN, Sort.EMPTY})


def sort_of(kind: pa.DataType) -> Sort:
    """The sort of a type of Arrow's."""
    types = pa.types
    tests = {
        Sort.LEVELS: (types.is_dictionary,),
        Sort.NUMBER: (types.is_integer, types.is_floating, types.is_decimal),
        Sort.BOOLEAN: (types.is_boolean,),
        Sort.TEXT: (types.is_string, types.is_large_string, types.is_string_view),
        Sort.TIME: (types.is_temporal,),
        Sort.EMPTY: (types.is_null,),
    }
    found = (sort for sort, of_it in tests.items() if any(test(kind) for test in of_it))
    return next(found, Sort.OTHER)


class Block(ABC):
    """Consecutive rows of a table.

    Attributes:
        rows: How many, n.
    """

    rows: int

    @abstractmethod
    def column(self, name: str) -> pa.Array:
        """One column as Arrow has it, n values."""

    @abstractmethod
    def fill(self, out_NF: NDArray[Any], at: Sequence[int], names: Sequence[str]) -> None:
        """Writes columns of numbers or booleans into the columns `at` of `out_NF`; gaps as NaN."""

    @abstractmethod
    def part(self, start: int, stop: int) -> "Block":
        """Some of the rows, nothing copied."""


class ArrowBlock(Block):
    """Columns of Arrow's.

    Args:
        columns: By name, n values each.
        rows: Their number, n.
    """

    def __init__(self, columns: Mapping[str, pa.Array], rows: int) -> None:
        self._columns = columns
        self.rows = rows

    @classmethod
    def of(cls, batch: pa.RecordBatch) -> "ArrowBlock":
        """A batch of rows."""
        columns = zip(batch.schema.names, batch.columns, strict=True)
        return cls(dict(columns), batch.num_rows)

    def column(self, name: str) -> pa.Array:
        """See `Block.column`."""
        return self._columns[name]

    def fill(self, out_NF: NDArray[Any], at: Sequence[int], names: Sequence[str]) -> None:
        """See `Block.fill`: in tiles that fit a core's cache, as whole columns would not."""
        columns = [numbers(self._columns[name]) for name in names]
        step = max(_TILE_ROWS, _TILE_VALUES // max(1, len(columns)))
        for start in range(0, self.rows, step):
            tile_NF = out_NF[start : start + step]
            for i, column_N in zip(at, columns, strict=True):
                tile_NF[:, i] = column_N[start : start + step]

    def part(self, start: int, stop: int) -> Block:
        """See `Block.part`."""
        columns = {name: c.slice(start, stop - start) for name, c in self._columns.items()}
        return ArrowBlock(columns, stop - start)


def numbers(column: pa.Array) -> NDArray[Any]:
    """A column of numbers or booleans, shape (n,), gaps as NaN."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return numbers(column.dictionary_decode())
    if pa.types.is_boolean(kind):
        column = column.cast(pa.int8())
    elif pa.types.is_decimal(kind) or pa.types.is_null(kind):
        column = column.cast(pa.float64(), safe=False)
    values: NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return values


class Table(ABC):
    """One file that holds one table.

    Attributes:
        file: Where it lies.
        names: All columns in the order of the file.
        types: Of each of them and of `others`, as far as known before all rows are read.
        others: Further names that may be a label, group, time or weight, such as the arrays
            beside `X` of an NPZ file.
        empty: What a message says of a file without rows; "" if it has some.
        rows: How many it says that it holds; None where only reading tells.
        decimal: Sign before the fraction of numbers, where they are written as text.
    """

    file: Path
    names: tuple[str, ...]
    types: Mapping[str, pa.DataType]
    others: tuple[str, ...] = ()
    empty: str = ""
    rows: int | None = None
    decimal: str = "."

    def check(self, names: Sequence[str]) -> None:  # noqa: B027  # most have nothing to look at
        """Looks at what is to be read before anything is.

        Raises:
            DataError: one of these columns can't be used.
        """

    def codes(self) -> Mapping[str, str]:
        """Columns of numbers whose first rows hold one with a leading zero -> that text."""
        return {}

    @abstractmethod
    def blocks(self, wanted: Mapping[str, Sort]) -> Iterator[Block]:
        """The rows in their order, each block with the columns that are wanted.

        Args:
            wanted: Column -> as what a file that knows no types is to read it: NUMBER, BOOLEAN or
                TEXT.

        Raises:
            DataError: a row can't be read.
        """

    def place(self, row: int) -> str:
        """Where a person finds row `row`, counted from 0, in the file."""
        return f"row {row + 1}"


def chunk_rows(columns: int) -> int:
    """Rows of a chunk of so many columns."""
    return max(1, CHUNK_VALUES // max(1, columns))


def check_names(names: Sequence[str], where: str) -> None:
    """Makes sure that every column can be told by its name.

    Raises:
        DataError: a name is empty or stands twice.
    """
    seen: dict[str, int] = {}
    for number, name in enumerate(names, start=1):
        if not name:
            cause = (
                "a separator too many at the end of the line?"
                if number == len(names) > 1
                else "a row index that pandas wrote: save again with index=False"
            )
            raise DataError(
                f"{where}: column {number} has no name; give it one in the file ({cause})"
            )
        if name in seen:
            raise DataError(
                f"{where}: columns {seen[name]} and {number} are both named {name!r}; "
                "give each column its own name in the file"
            )
        seen[name] = number
