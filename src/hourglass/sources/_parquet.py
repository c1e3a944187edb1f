"""Reads Parquet files batch by batch."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from hourglass.catalog import counted
from hourglass.errors import DataError
from hourglass.sources._table import ArrowBlock, Block, Sort, Table, check_names, chunk_rows

_BUFFER_BYTES = 1 << 16  # of each column's part of the file; else row groups are held whole
PANDAS_INDEX = "__index_level_"  # how pandas names a row index that has no name


class Parquet(Table):
    """A Parquet file with flat columns; pandas' row index is no column.

    Raises:
        DataError: it can't be read or holds no columns.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        try:
            with pq.ParquetFile(file) as parquet:
                schema = parquet.schema_arrow
                rows = parquet.metadata.num_rows
        except (pa.ArrowException, OSError) as error:
            raise self._unreadable(error) from None
        self.names = tuple(n for n in schema.names if not n.startswith(PANDAS_INDEX))
        nothing = f"{file} holds {counted(len(self.names), 'column')} and {rows} rows; add the rows"
        if not self.names:
            raise DataError(nothing)
        self.empty = "" if rows else nothing
        self.rows = rows
        check_names(self.names, f"{file}")
        self.types = {name: schema.field(name).type for name in self.names}

    def blocks(self, wanted: Mapping[str, Sort]) -> Iterator[Block]:
        """See `Table.blocks`."""
        how = {"buffer_size": _BUFFER_BYTES, "pre_buffer": False}
        try:
            with pq.ParquetFile(self.file, **how) as parquet:
                for batch in parquet.iter_batches(chunk_rows(len(wanted)), columns=list(wanted)):
                    if batch.num_rows:
                        yield ArrowBlock.of(batch)
        except (pa.ArrowException, OSError) as error:
            raise self._unreadable(error) from None

    def _unreadable(self, cause: Exception) -> DataError:
        return DataError(
            f"{self.file} can't be read as Parquet: {cause}; check that the file is whole"
        )
