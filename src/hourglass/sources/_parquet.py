"""Reads Parquet files batch by batch."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from hourglass.errors import DataError
from hourglass.sources._table import Table, check_names, chunk_rows, text_error

PANDAS_INDEX = "__index_level_"  # how pandas names a row index that has no name


class Parquet(Table):
    """A Parquet file with flat columns of numbers or booleans; pandas' row index is no column.

    Raises:
        DataError: it can't be read or holds no rows.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        try:
            with pq.ParquetFile(file) as parquet:
                self._schema = parquet.schema_arrow
                rows = parquet.metadata.num_rows
        except (pa.ArrowException, OSError) as error:
            raise self._unreadable(error) from None
        self.names = tuple(n for n in self._schema.names if not n.startswith(PANDAS_INDEX))
        if not self.names or not rows:
            raise DataError(f"{file} holds {len(self.names)} columns and {rows} rows; add the rows")
        check_names(self.names, f"{file}")

    def check(self, features: Sequence[str]) -> None:
        """See `Table.check`."""
        texts = [n for n in features if not _is_number(self._schema.field(n).type)]
        if texts:
            raise text_error(self.file, [self._first_text(n) for n in texts])

    def chunks(self, features: Sequence[str]) -> Iterator[NDArray[np.float64]]:
        """See `Table.chunks`."""
        for batch in self._batches(features, chunk_rows(len(features))):
            yield np.column_stack([_floats(batch.column(name)) for name in features])

    def integers(self, features: Sequence[str]) -> list[int]:
        """See `Table.integers`."""
        wide = (pa.int64(), pa.uint64())
        return [i for i, name in enumerate(features) if self._schema.field(name).type in wide]

    def _batches(self, columns: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        try:
            with pq.ParquetFile(self.file) as parquet:
                for batch in parquet.iter_batches(rows, columns=list(columns)):
                    if batch.num_rows:
                        yield batch
        except (pa.ArrowException, OSError) as error:
            raise self._unreadable(error) from None

    def _first_text(self, name: str) -> tuple[str, str, str]:
        """The name, the place of the first value and the value."""
        before = 0
        for batch in self._batches([name], 65536):
            for row, value in enumerate(batch.column(name)):
                if value.is_valid:
                    return name, self.place(before + row), str(value)
            before += batch.num_rows
        return name, self.place(0), f"empty, of type {self._schema.field(name).type}"

    def _unreadable(self, cause: Exception) -> DataError:
        return DataError(
            f"{self.file} can't be read as Parquet: {cause}; check that the file is whole"
        )


def _is_number(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    types = pa.types
    tests = (types.is_integer, types.is_floating, types.is_decimal, types.is_boolean, types.is_null)
    return any(test(kind) for test in tests)


def _floats(column: pa.Array) -> NDArray[np.float64]:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    values: NDArray[np.float64] = column.cast(pa.float64(), safe=False).to_numpy(
        zero_copy_only=False
    )
    return values
