"""Reads Arrow's own files (also called IPC, or Feather version 2) by memory map."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from hourglass.catalog import counted
from hourglass.errors import DataError
from hourglass.sources._parquet import PANDAS_INDEX
from hourglass.sources._table import ArrowBlock, Block, Sort, Table, check_names


class ArrowFile(Table):
    """An Arrow file, or a stream of Arrow's in a file, with flat columns.

    Raises:
        DataError: it can't be read or holds no columns.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        with self._batches() as (schema, batches):
            self.names = tuple(n for n in schema.names if not n.startswith(PANDAS_INDEX))
            check_names(self.names, f"{file}")
            self.types = {name: schema.field(name).type for name in self.names}
            rows = any(batch.num_rows for batch in batches)
        nothing = f"{file} holds {counted(len(self.names), 'column')} and 0 rows; add the rows"
        if not self.names:
            raise DataError(nothing)
        self.empty = "" if rows else nothing

    def blocks(self, wanted: Mapping[str, Sort]) -> Iterator[Block]:
        """See `Table.blocks`."""
        with self._batches() as (_, batches):
            for batch in batches:
                if batch.num_rows:
                    yield ArrowBlock.of(batch.select(list(wanted)))

    @contextmanager
    def _batches(self) -> Iterator[tuple[pa.Schema, Iterator[pa.RecordBatch]]]:
        """The schema and the batches; the file is open meanwhile."""
        try:
            with pa.memory_map(str(self.file)) as memory:
                try:
                    reader = pa.ipc.open_file(memory)
                except pa.ArrowInvalid:
                    memory.seek(0)
                    stream = pa.ipc.open_stream(memory)
                    yield stream.schema, iter(stream)
                else:
                    numbers = range(reader.num_record_batches)
                    yield reader.schema, map(reader.get_batch, numbers)
        except (pa.ArrowException, OSError) as error:
            raise DataError(
                f"{self.file} can't be read as an Arrow file: {error}; check that the file is "
                "whole (Feather of version 1 is too old: save it again)"
            ) from None
