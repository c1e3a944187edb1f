"""Texts become codes 0, 1, ... in the order in which they first appear."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hourglass.gaps import Gaps
from hourglass.sources._table import Sort, sort_of
from hourglass.sources._texts import is_date, is_meant_as_number, unit
from hourglass.spelling import plain, shortest

MOST_LEVELS = 1000


class Levels:
    """The levels of one column, in the order of their first appearance.

    Args:
        gaps: What is no level.
        numeric: Whether the column holds numbers or booleans: 3.0 then is the level "3".
    """

    def __init__(self, gaps: Gaps, numeric: bool = False) -> None:
        self._gaps = gaps
        self._numeric = numeric
        self._codes: dict[str, int] = {}
        self._by_cell: dict[str | None, float] = {}  # as the file has it, gaps too

    def __len__(self) -> int:
        return len(self._codes)

    @property
    def texts(self) -> tuple[str, ...]:
        """The text of each code."""
        return tuple(self._codes)

    def encode(self, column: pa.Array) -> NDArray[np.float64]:
        """The code of each value, NaN for gaps. Shape (n,)."""
        values, local_N = _encoded(column)
        known = self._by_cell
        codes = [known[text] if text in known else self._learn(text) for text in _texts(values)]
        code_L = np.array([*codes, np.nan])
        return code_L[local_N]

    def _learn(self, cell: str | None) -> float:
        code = self._by_cell[cell] = self._code(cell)
        return code

    def _code(self, cell: str | None) -> float:
        text = "" if cell is None else cell.strip()
        if self._numeric:
            text = plain(text)
        if self._gaps.is_gap(text):
            return np.nan
        return self._codes.setdefault(text, len(self._codes))


class FeatureLevels(Levels):
    """The levels of a feature, with what tells whether they are any.

    Args:
        gaps: What is no level.
        numeric: See `Levels`.
        declared: Whether somebody said that these are levels: the file's type, or params.yaml.
    """

    def __init__(self, gaps: Gaps, numeric: bool, declared: bool) -> None:
        super().__init__(gaps, numeric)
        self._declared = declared
        self._first: list[int] = []
        self._count = np.zeros(0, dtype=np.int64)

    def encode_from(self, column: pa.Array, row: int) -> NDArray[np.float64]:
        """As `encode`; `row` is the number of the first row."""
        known = len(self)
        code_N = self.encode(column)
        present_N = np.flatnonzero(~np.isnan(code_N))
        seen_N = code_N[present_N].astype(np.intp)
        if len(self) > known:
            first = np.zeros(len(self), dtype=np.int64)
            first[seen_N[::-1]] = present_N[::-1]  # the last that is written is the first row
            self._first += (row + first[known:]).tolist()
            self._count = np.concatenate([self._count, np.zeros(len(self) - known, np.int64)])
        self._count += np.bincount(seen_N, minlength=len(self))
        return code_N

    @property
    def rows(self) -> int:
        """Rows that are no gaps."""
        return int(self._count.sum())

    @property
    def are_numbers(self) -> bool:
        """Whether most values are meant as numbers although nobody said that they are levels."""
        return not self._declared and self._share(is_meant_as_number) > 0.5

    @property
    def are_dates(self) -> bool:
        """Whether most values are dates or times, likewise."""
        return not self._declared and self._share(is_date) > 0.5

    @property
    def unit(self) -> str:
        """The unit that stands behind most values, likewise, if they have fractions; "" if none."""
        units = Counter(unit(text) for text in self._codes if "." in text or "," in text)
        best = max(units, key=lambda u: units[u], default="")
        told = best and not self._declared and self._share(lambda text: unit(text) == best) > 0.5
        return best if told else ""

    def _share(self, test: Callable[[str], bool]) -> float:
        of_it_L = np.fromiter(map(test, self._codes), dtype=bool, count=len(self))
        return float(self._count[of_it_L].sum()) / max(1, self.rows)

    def first(self, test: Callable[[str], bool] | None = None) -> tuple[int, str] | None:
        """Row and text of the first value, or of the first that passes the test, if any."""
        found = zip(self._first, self._codes, strict=True)
        return next(((r, t) for r, t in found if test is None or test(t)), None)


def _encoded(column: pa.Array) -> tuple[pa.Array, NDArray[np.int64]]:
    """Distinct values in the order of appearance, and each row's position; gaps: one beyond."""
    if pa.types.is_dictionary(column.type):
        used = column.indices.dictionary_encode()  # a file's dictionary may have any order
        values = column.dictionary.take(used.dictionary)
    else:
        used = column.dictionary_encode()
        values = used.dictionary
    local_N: NDArray[np.int64] = used.indices.fill_null(len(values)).to_numpy(zero_copy_only=False)
    return values, local_N


def _texts(values: pa.Array) -> list[str | None]:
    sort = sort_of(values.type)
    if sort is Sort.TEXT:
        texts: list[str | None] = values.to_pylist()
        return texts
    if sort is Sort.BOOLEAN:
        return [None if v is None else str(v).lower() for v in values.to_pylist()]
    if sort is Sort.NUMBER:
        return [None if v is None else shortest(str(v)) for v in values.to_pylist()]
    return [str(v) if v.is_valid else None for v in values]
