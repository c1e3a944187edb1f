"""Reads tables of delimited text (CSV, TSV), plain or compressed, chunk by chunk."""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TextIO

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
from numpy.typing import NDArray

from hourglass.errors import DataError
from hourglass.sources._table import CHUNK_VALUES, NULLS, Table, check_names, shortened, text_error

COMPRESSIONS = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2", ".lz4": "lz4"}
_BOOLS = {"true", "false", "0", "1"}
_LOOK_FURTHER = 1000  # rows after the first text in which other columns with texts are looked for
_HEAD_BYTES = 1 << 16
_WORDS = re.compile(r"[^\s:][\s:]+[^\s:]")  # two, or numbers, with blanks or colons between


class Delimited(Table):
    """A text file with one header line; `,`, `;`, tab or `|` between the cells.

    Raises:
        DataError: it is empty, holds a header only, is not UTF-8, or its names can't be used.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._compression = COMPRESSIONS.get(file.suffix.lower())
        self._delimiter = _delimiter(self._head())
        with self._text() as text:
            records = self._records(text)
            _, header = next(records, (0, []))
            self._header_lines, second = (0, None) if not header else self._next(records)
        if not header:
            raise DataError(f"{file} is empty; put a table with a header line there")
        self.names = tuple(name.strip() for name in header)
        if second is None:
            raise DataError(f"{file} holds a header line but no rows; add the rows")
        check_names(self.names, f"{file}")
        self._refuse_numbers_as_names()
        self._types = self._guess_types()

    def check(self, features: Sequence[str]) -> None:
        """See `Table.check`: judged by the first block of the file."""
        if any(self._is_text(self._types[name]) for name in features):
            raise self._diagnosis(features, "a column holds text")

    def chunks(self, features: Sequence[str]) -> Iterator[NDArray[np.float64]]:
        """See `Table.chunks`."""
        types = {
            n: pa.bool_() if pa.types.is_boolean(self._types[n]) else pa.float64() for n in features
        }
        try:
            with self._open(types, list(features)) as reader:
                for batch in reader:
                    if batch.num_rows:
                        yield _matrix(batch)
        except (pa.ArrowException, OSError) as error:
            raise self._diagnosis(features, str(error)) from None

    def integers(self, features: Sequence[str]) -> list[int]:
        """See `Table.integers`: judged by the first block of the file."""
        return [i for i, n in enumerate(features) if pa.types.is_int64(self._types[n])]

    def place(self, row: int) -> str:
        """The line of the file, as an editor numbers it."""
        with self._text() as text:
            records = self._records(text)
            next(records)
            for number, (line, _) in enumerate(records):
                if number == row:
                    return f"line {line}"
        return super().place(row)

    def _head(self) -> bytes:
        try:
            with pa.input_stream(str(self.file), compression=self._compression) as stream:
                head: bytes = stream.read(_HEAD_BYTES)
        except (pa.ArrowException, OSError) as error:
            raise self._unreadable(str(error)) from None
        if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise DataError(f"{self.file} is in UTF-16; save it as CSV in UTF-8")
        if b"\0" in head:
            raise DataError(
                f"{self.file} is no text file (it holds NUL bytes); save it as CSV in UTF-8"
            )
        line = head.lstrip(b"\r\n").split(b"\n", 1)[0]
        try:
            line.decode("utf-8")
        except UnicodeDecodeError as error:
            if error.end < len(line) or len(head) < _HEAD_BYTES:
                raise DataError(
                    f"{self.file}: the header line is not in UTF-8 (byte 0x{line[error.start]:02x} "
                    f"at position {error.start + 1}); save the file in UTF-8"
                ) from None
        return head

    @contextmanager
    def _text(self) -> Iterator[TextIO]:
        """The file as text; bytes that are not UTF-8 come out as surrogates."""
        try:
            with (
                pa.input_stream(str(self.file), compression=self._compression) as stream,
                io.TextIOWrapper(stream, "utf-8-sig", "surrogateescape", newline="") as text,
            ):
                yield text
        except (pa.ArrowException, OSError, EOFError, csv.Error) as error:
            raise self._unreadable(str(error)) from None

    def _records(self, text: TextIO) -> Iterator[tuple[int, list[str]]]:
        """Each record that is not blank with the number of its first line."""
        reader = csv.reader(text, delimiter=self._delimiter)
        line = 1
        for record in reader:
            if record:
                yield line, record
            line = reader.line_num + 1

    @staticmethod
    def _next(records: Iterator[tuple[int, list[str]]]) -> tuple[int, list[str] | None]:
        """The number of lines before the next record, and the record."""
        line, record = next(records, (0, None))
        return line - 1, record

    def _refuse_numbers_as_names(self) -> None:
        """Numbers in the header are names only if they run like an axis: 0, 1, 2 or wavelengths."""
        if not all(_is_number(name) for name in self.names):
            return
        values = [float(name) for name in self.names]
        steps = {round(b - a, 9) for a, b in pairwise(values)}
        monotonous = all(s > 0 for s in steps) or all(s < 0 for s in steps)
        if steps == {1} or values == [0] or (monotonous and len(values) >= 8):
            return
        raise DataError(
            f"{self.file}: the first line holds numbers ({', '.join(self.names[:4])}, ...) where "
            "the names of the columns are expected; add a header line"
        )

    def _open(self, types: dict[str, pa.DataType], features: list[str]) -> pc.CSVStreamingReader:
        return pc.open_csv(
            pa.input_stream(str(self.file), compression=self._compression),
            read_options=pc.ReadOptions(
                column_names=list(self.names),
                skip_rows=self._header_lines,
                block_size=self._block_bytes(),
            ),
            parse_options=pc.ParseOptions(delimiter=self._delimiter, newlines_in_values=True),
            convert_options=pc.ConvertOptions(
                column_types=types,
                include_columns=features,
                null_values=list(NULLS),
                strings_can_be_null=True,
            ),
        )

    def _block_bytes(self) -> int:
        """Bytes of text that make up a chunk; many rows even of the widest table."""
        return max(1 << 20, CHUNK_VALUES * 4, len(self.names) * 256)

    def _guess_types(self) -> dict[str, pa.DataType]:
        """Types by the first block."""
        try:
            with self._open({}, list(self.names)) as reader:
                return {field.name: field.type for field in reader.schema}
        except (pa.ArrowException, OSError) as error:
            raise self._diagnosis((), str(error)) from None

    @staticmethod
    def _is_text(kind: pa.DataType) -> bool:
        number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
        return not (number or pa.types.is_boolean(kind) or pa.types.is_null(kind))

    def _diagnosis(self, features: Sequence[str], cause: str) -> DataError:
        """Walks through the file as text and names what pyarrow stumbled over."""
        texts: dict[str, tuple[str, str, str]] = {}
        positions = [(self.names.index(n), n, self._words(n)) for n in features]
        left = _LOOK_FURTHER
        with self._text() as text:
            for line, record in self._records(text):
                if line <= self._header_lines:
                    continue
                if len(record) != len(self.names):
                    return self._ragged(line, record)
                for i, name, words in positions:
                    if name not in texts and not _reads(record[i], words):
                        texts[name] = (name, f"line {line}", record[i])
                left -= bool(texts)
                if not left:
                    break
        if len(self.names) == len(texts) == 1 and _WORDS.search(texts[self.names[0]][2]):
            return self._unseparated(*texts[self.names[0]])
        return text_error(self.file, list(texts.values())) if texts else self._unreadable(cause)

    def _unseparated(self, name: str, place: str, text: str) -> DataError:
        return DataError(
            f"{self.file}: the only column, {shortened(name)!r}, holds text: {shortened(text)!r} "
            f"in {place}. If these are several columns, put a comma, a semicolon, a tab or a bar "
            "between them; else encode the column as numbers"
        )

    def _words(self, name: str) -> bool:
        """Whether true and false are values of the column."""
        return hasattr(self, "_types") and pa.types.is_boolean(self._types[name])

    def _ragged(self, line: int, record: list[str]) -> DataError:
        return DataError(
            f"{self.file}: line {line} has {_count(record, 'cell')}, but the header names "
            f"{_count(self.names, 'column')} (separated by {self._delimiter!r}); mend the line "
            "(a cell that holds the separator must stand in quotes)"
        )

    def _unreadable(self, cause: str) -> DataError:
        return DataError(f"{self.file} can't be read: {cause}; check that the file is whole")


def _delimiter(head: bytes) -> str:
    """The separator that the header line uses most, outside of quotes; a comma if none."""
    line = head.lstrip(b"\xef\xbb\xbf\r\n").split(b"\n", 1)[0].decode("utf-8", "replace")
    bare = "".join(line.split('"')[::2])
    return max(",;\t|", key=lambda c: (bare.count(c), c == ","))


def _count(things: Sequence[str], what: str) -> str:
    return f"{len(things)} {what}{'s' * (len(things) != 1)}"


def _matrix(batch: pa.RecordBatch) -> NDArray[np.float64]:
    columns = [
        c.cast(pa.float64()).to_numpy(zero_copy_only=False) for c in map(_numeric, batch.columns)
    ]
    return np.column_stack(columns).astype(np.float64, copy=False)


def _numeric(column: pa.Array) -> pa.Array:
    return column.cast(pa.int8()) if pa.types.is_boolean(column.type) else column


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell


def _reads(cell: str, words: bool) -> bool:
    """Whether pyarrow reads the cell as a number, or as true or false where those are values."""
    if cell in NULLS:
        return True
    return cell.strip().lower() in _BOOLS if words else _is_number(cell)
