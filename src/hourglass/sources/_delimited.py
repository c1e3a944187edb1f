"""Reads tables of delimited text (CSV, TSV), plain or compressed, chunk by chunk."""

import csv
import io
import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice, pairwise
from pathlib import Path
from typing import TextIO

import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.csv as pc

from hourglass.catalog import counted
from hourglass.errors import DataError
from hourglass.gaps import NULLS, is_number
from hourglass.sources._complaints import text_among_numbers
from hourglass.sources._table import ArrowBlock, Block, Sort, Table, check_names, sort_of
from hourglass.sources._texts import (
    has_comma,
    has_point,
    is_meant_as_number,
    is_utf8,
    may_be_thousands,
    shortened,
)

log = logging.getLogger(__name__)

COMPRESSIONS = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2", ".lz4": "lz4"}
_BOOLS = {"true", "false", "0", "1"}
_LOOK_FURTHER = 1000  # rows after the first text in which other columns with texts are looked for
_HEAD_BYTES = 1 << 16
_GUESS_BYTES = 8 << 20  # at the beginning of the file, by which types are guessed
_FEWEST_ROWS, _MANY_ROWS = 32, 1024  # of a block, were each cell 8 letters long
_LEAST_BLOCK, _LARGEST_BLOCK = 1 << 20, 1 << 24  # bytes of text that are read at once
_AS = {
    Sort.NUMBER: pa.float64(),
    Sort.BOOLEAN: pa.bool_(),
    Sort.TEXT: pa.dictionary(pa.int32(), pa.string()),
}
_PREAMBLE_LINES = 20  # of the file, among which the header line is
_CODE = re.compile(r"0\d+")
_CODE_ROWS = 100  # in which numbers with leading zeros are looked for
_WORDY = (Sort.TEXT, Sort.TIME)
_WORDS = re.compile(r"[^\s:][\s:]+[^\s:]")  # two, or numbers, with blanks or colons between


class Delimited(Table):
    """A text file with one header line; `,`, `;`, tab or `|` between the cells.

    Where no comma separates the cells, it may be the decimal sign: the first block tells, see
    `_tell_decimal`.

    Attributes:
        with_comma: Column and text that tell that it is; None if it isn't.

    Raises:
        DataError: it is empty, holds a header only, is not UTF-8, or its names can't be used.
    """

    with_comma: tuple[str, str] | None = None

    def __init__(self, file: Path, nulls: Sequence[str] = NULLS, *, levels: bool = True) -> None:
        self.file = file
        self._levels = levels
        self._nulls = list(nulls)
        self._compression = COMPRESSIONS.get(file.suffix.lower())
        head = self._head()
        self._delimiter = _delimiter(head, ".tsv" in file.suffixes)
        self._refuse_preamble(head)
        with self._text() as text:
            records = self._records(text)
            _, header = next(records, (0, []))
            self._header_lines, second = (0, None) if not header else self._next(records)
        if not header:
            raise DataError(f"{file} is empty; put a table with a header line there")
        self.names = tuple(name.strip() for name in header)
        check_names(self.names, f"{file}")
        self._refuse_numbers_as_names()
        if second is None:
            self.empty = f"{file} holds a header line but no rows; add the rows"
            self.types = dict.fromkeys(self.names, pa.null())
        else:
            self.types = self._guess_types()
            if self._delimiter != ",":
                self._tell_decimal()

    def check(self, names: Sequence[str]) -> None:
        """See `Table.check`; columns without a value so far are read on up to their first one."""
        if len(self.names) == len(names) == 1 and sort_of(self.types[names[0]]) in _WORDY:
            self._refuse_words(names[0])
        unknown = [n for n in names if pa.types.is_null(self.types[n])]
        if unknown and not self.empty:
            self.types = {**self.types, **self._types_further_on(unknown)}

    def codes(self) -> Mapping[str, str]:
        """See `Table.codes`."""
        found: dict[str, str] = {}
        with self._text() as text:
            for _, record in islice(self._records(text), 1, 1 + _CODE_ROWS):
                for name, cell in zip(self.names, record, strict=False):
                    if cell[:1] == "0" and _CODE.fullmatch(cell):
                        found.setdefault(name, cell)
        return found

    def blocks(self, wanted: Mapping[str, Sort]) -> Iterator[Block]:
        """See `Table.blocks`."""
        if self.empty:
            return
        types = {name: _AS[sort] for name, sort in wanted.items()}
        try:
            with self._open(types, self._block_bytes()) as reader:
                for batch in reader:
                    if batch.num_rows:
                        yield ArrowBlock.of(self._with_points(batch))
        except (pa.ArrowException, OSError) as error:
            raise self._diagnosis(wanted, str(error)) from None

    def texts(self) -> Iterator[pa.RecordBatch]:
        """All cells as they stand, as texts.

        Raises:
            DataError: a line has other cells than the header, or is not UTF-8.
        """
        wanted = dict.fromkeys(self.names, Sort.TEXT)
        try:
            types = dict.fromkeys(self.names, pa.string())
            with self._open(types, self._block_bytes(), with_nulls=False) as reader:
                yield from (batch for batch in reader if batch.num_rows)
        except (pa.ArrowException, OSError) as error:
            raise self._diagnosis(wanted, str(error)) from None

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

    def _refuse_preamble(self, head: bytes) -> None:
        """Lines before the header would be taken for it, and the header blamed for a row."""
        lines = head.decode("utf-8-sig", "replace").splitlines()[:_PREAMBLE_LINES]
        for separator in ",;\t|":
            records = list(csv.reader(lines, delimiter=separator))
            counts = [len(record) for record in records]
            if lines and lines[0].lower().startswith("sep="):  # Excel's own
                counts[0] = 1
            begin = next((i for i, n in enumerate(counts) if n == max(counts)), 0)
            table = records[begin:]
            if (
                max(counts, default=0) > 1 == counts[0]
                and len(table) > 1
                and {len(record) for record in table if record} == {max(counts)}
                and not any(map(is_meant_as_number, table[0]))
                and any(map(is_meant_as_number, table[1]))
            ):
                raise DataError(
                    f"{self.file}: line 1, {shortened(lines[0])!r}, is not the header line: the "
                    f"table seems to begin in line {begin + 1}, {shortened(lines[begin])!r}; "
                    "delete what stands before it"
                )

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
        if not all(is_number(name) for name in self.names):
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

    def _open(
        self, types: Mapping[str, pa.DataType], block_bytes: int, *, with_nulls: bool = True
    ) -> pc.CSVStreamingReader:
        return pc.open_csv(
            pa.input_stream(str(self.file), compression=self._compression),
            read_options=pc.ReadOptions(
                column_names=list(self.names),
                skip_rows=self._header_lines,
                block_size=block_bytes,
            ),
            parse_options=pc.ParseOptions(delimiter=self._delimiter, newlines_in_values=True),
            convert_options=pc.ConvertOptions(
                column_types=dict(types),
                include_columns=list(types),
                null_values=self._nulls if with_nulls else [],
                strings_can_be_null=with_nulls,
                decimal_point=self.decimal,
            ),
        )

    def _block_bytes(self) -> int:
        """Small blocks stay in the cores' caches; but a block of few rows costs calls."""
        line = len(self.names) * 8
        block = min(max(_LEAST_BLOCK, line * _MANY_ROWS), _LARGEST_BLOCK)
        return max(block, line * _FEWEST_ROWS)

    def _guess_types(self) -> dict[str, pa.DataType]:
        """Types by the first block."""
        try:
            with self._open({}, max(_GUESS_BYTES, self._block_bytes())) as reader:
                return {f.name: _known(f.type) for f in reader.schema}
        except (pa.ArrowException, OSError) as error:
            raise self._diagnosis({}, str(error)) from None

    def _tell_decimal(self) -> None:
        """Takes the comma for the decimal sign if more columns have it there than have a point.

        One number at least must show that it does not separate thousands, as 0,231 or 1,5 do.
        """
        texts = [n for n, kind in self.types.items() if sort_of(kind) is Sort.TEXT]
        commas = {n: found for n, found in self._first_texts(texts).items() if _mostly_comma(found)}
        sure = [(n, t) for n, its in commas.items() for t in its if _is_surely_decimal(t)]
        if not sure:
            return
        self.decimal = ","
        with_comma = self._guess_types()
        points = [
            name
            for name, kind in self.types.items()
            if sort_of(kind) is Sort.NUMBER and sort_of(with_comma[name]) is Sort.TEXT
        ]
        if len(points) + (self._delimiter != ";") > len(commas):
            self.decimal = "."
            return
        self.types, self.with_comma = with_comma, sure[0]

    def _first_texts(self, names: Sequence[str]) -> dict[str, list[str]]:
        """The different texts of each column in the first block."""
        if not names:
            return {}
        try:
            block = next(iter(self.blocks(dict.fromkeys(names, Sort.TEXT))), None)
        except DataError:  # in another encoding: it matters only if the column is wanted
            return {}
        if block is None:
            return {}
        return {n: block.column(n).dictionary.drop_null().to_pylist() for n in names}

    def _with_points(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Numbers that are read as texts get a decimal point, so that they are numbers anywhere."""
        if self.decimal == ".":
            return batch
        for i, name in enumerate(batch.schema.names):
            column = batch.column(i)
            if pa.types.is_dictionary(column.type) and sort_of(self.types[name]) is Sort.NUMBER:
                points = compute.replace_substring(column.dictionary, ",", ".")
                column = pa.DictionaryArray.from_arrays(column.indices, points)
                batch = batch.set_column(i, name, column)
        return batch

    def _types_further_on(self, names: Sequence[str]) -> dict[str, pa.DataType]:
        """Types of columns that the first block leaves empty, by their first values."""
        found: dict[str, pa.DataType] = {}
        for block in self.blocks(dict.fromkeys(names, Sort.TEXT)):
            for name in (n for n in names if n not in found):
                texts = block.column(name).dictionary.drop_null().to_pylist()
                if texts:
                    found[name] = _type_of(texts, self.decimal)
            if len(found) == len(names):
                break
        return found

    def _refuse_words(self, name: str) -> None:
        """A single column of text may be several with a separator that is not known."""
        with self._text() as text:
            for line, record in self._records(text):
                if line > self._header_lines and record[0] not in self._nulls:
                    if _WORDS.search(record[0]):
                        raise self._unseparated(name, f"line {line}", record[0])
                    return

    def _diagnosis(self, wanted: Mapping[str, Sort], cause: str) -> DataError:
        """Walks through the file as text and names what pyarrow stumbled over."""
        texts: dict[str, tuple[str, str, str]] = {}
        columns = [(self.names.index(name), name, sort) for name, sort in wanted.items()]
        left = _LOOK_FURTHER
        with self._text() as text:
            for line, record in self._records(text):
                if line <= self._header_lines:
                    continue
                if len(record) != len(self.names):
                    return self._ragged(line, record)
                for i, name, sort in columns:
                    if name not in texts and not self._reads(record[i], sort):
                        texts[name] = (name, f"line {line}", record[i])
                left -= bool(texts)
                if not left:
                    break
        if len(self.names) == len(texts) == 1 and _WORDS.search(texts[self.names[0]][2]):
            return self._unseparated(*texts[self.names[0]])
        found = list(texts.values())
        for name, place, cell in found:
            if not is_utf8(cell) and wanted[name] is Sort.TEXT:
                return DataError(
                    f"{self.file}: column {name!r}, {place}: {shortened(cell)!r} is not in UTF-8; "
                    "save the file in that encoding"
                )
        if not found:
            return self._unreadable(cause)
        return text_among_numbers(f"{self.file}", found, self.decimal, levels=self._levels)

    def _reads(self, cell: str, sort: Sort) -> bool:
        """Whether pyarrow reads the cell as a number, as true or false, or as text in UTF-8."""
        if cell in self._nulls:
            return True
        match sort:
            case Sort.NUMBER:
                return is_number(cell, self.decimal)
            case Sort.BOOLEAN:
                return cell.strip().lower() in _BOOLS
            case _:
                return is_utf8(cell)

    def _unseparated(self, name: str, place: str, text: str) -> DataError:
        return DataError(
            f"{self.file}: the only column, {shortened(name)!r}, holds text: {shortened(text)!r} "
            f"in {place}. If these are several columns, put a comma, a semicolon, a tab or a bar "
            "between them; else encode the column as numbers"
        )

    def _ragged(self, line: int, record: list[str]) -> DataError:
        return DataError(
            f"{self.file}: line {line} has {counted(len(record), 'cell')}, but the header names "
            f"{counted(len(self.names), 'column')} (separated by {self._delimiter!r}); mend the "
            "line (a cell that holds the separator must stand in quotes)"
        )

    def _unreadable(self, cause: str) -> DataError:
        return DataError(f"{self.file} can't be read: {cause}; check that the file is whole")


def _delimiter(head: bytes, tabs: bool) -> str:
    """The separator that the header line uses most, outside of quotes; a comma if none.

    Args:
        head: Of the file.
        tabs: Whether the file's name says that it is a tab where there is one.
    """
    line = head.lstrip(b"\xef\xbb\xbf\r\n").split(b"\n", 1)[0].decode("utf-8", "replace")
    bare = "".join(line.split('"')[::2])
    if tabs and "\t" in bare:
        return "\t"
    return max(",;\t|", key=lambda c: (bare.count(c), c == ","))


def _mostly_comma(texts: Sequence[str]) -> bool:
    """Whether most of the texts are numbers, and more of these have a comma than a point."""
    commas, numbers = sum(map(has_comma, texts)), sum(map(is_number, texts))
    return 2 * (commas + numbers) > len(texts) and commas > sum(map(has_point, texts))


def _is_surely_decimal(text: str) -> bool:
    """Whether a comma in the text is the decimal sign beyond doubt."""
    return has_comma(text) and not may_be_thousands(text)


def tell_of_commas(tables: Iterable[Table]) -> None:
    """Says once, for the first of some tables, that its decimals are read with a comma."""
    found = (t for t in tables if isinstance(t, Delimited) and t.with_comma)
    for table in islice(found, 1):
        assert table.with_comma  # noqa: S101  # as asked above
        name, text = table.with_comma
        log.info(
            "%s: the comma is read as the decimal sign, as in column %r: %s", table.file, name, text
        )


def _type_of(texts: Sequence[str], decimal: str) -> pa.DataType:
    """The type of a column by its first values."""
    if all(is_number(text, decimal) for text in texts):
        return pa.float64()
    return pa.bool_() if {t.strip().lower() for t in texts} <= _BOOLS else pa.string()


def _known(kind: pa.DataType) -> pa.DataType:
    """The type as guessed; what is not in UTF-8 counts as text."""
    return pa.string() if sort_of(kind) is Sort.OTHER else kind
