"""Rows as people give them to a model: by name, as arrays, as texts; what can't be used is named.

Shapes: N rows, F features.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hourglass import wide
from hourglass.catalog import listed, nearest
from hourglass.errors import DataError
from hourglass.gaps import Gaps, is_number
from hourglass.schema import Array, Column, Kind, Schema
from hourglass.spelling import are_plain, plain, shortest

FLAGS = {"false": 0.0, "true": 1.0}
OR_NONE = ", or leave the place empty where the value is missing"
SHOWN = 40  # characters of a value in a message


@dataclass(frozen=True)
class Given:
    """Rows in the schema's order, levels as codes.

    Attributes:
        rows_NF: NaN where a value is missing, and in rows that can't be used.
        wrong: Position of each row that can't be used -> its first column that is wrong, and why.
    """

    rows_NF: Array
    wrong: dict[int, str]


def read(rows: Any, schema: Schema) -> Given:
    """Brings rows into the form that a model computes with.

    Args:
        rows: A DataFrame or a dictionary of columns, with the features by name in any order (other
            columns are ignored); or numbers in the schema's order, as an array or nested lists of
            shape (N, F), (F,), or (N, *schema.shape).
        schema: The columns.

    Raises:
        DataError: a column is missing or twice there, or the shape is another.
    """
    gaps = Gaps.of(schema.missing_values)
    if isinstance(rows, Mapping):
        rows = _frame(rows)
    if isinstance(rows, pd.DataFrame):
        rows_NF, wrong = _by_name(rows, schema, gaps)
    else:
        rows_NF, wrong = _array(rows, schema), {}
    at_F, _ = wide.single(schema.columns)
    number_NF = rows_NF[:, at_F]
    gaps.blank(number_NF)
    rows_NF[:, at_F] = number_NF
    bad_NF = np.isinf(rows_NF) | (np.isnan(rows_NF) & (not schema.gaps))
    why = "" if schema.gaps else "; it was trained on rows without gaps"
    for row in np.flatnonzero(bad_NF.any(axis=1)).tolist():
        column = int(bad_NF[row].argmax())
        name, value = schema.names[column], rows_NF[row, column]
        reason = f"column {name!r}: {value}; the model takes finite numbers{why}"
        wrong.setdefault(row, reason)
    return Given(rows_NF, wrong)


def require_columns(there: Sequence[str], schema: Schema) -> None:
    """Makes sure that each feature has a column.

    Raises:
        DataError: one has none.
    """
    names = schema.names
    if missing := [n for n in names if n not in set(there)]:
        raise DataError(
            f"the rows lack column {missing[0]!r} ({len(missing)} of {len(names)} are missing)"
            f"{nearest(missing[0], set(there) - set(names))}; they have "
            f"{listed(there)}{_shaped(schema)}"
        )


def _frame(columns: Mapping[Any, Any]) -> pd.DataFrame:
    try:
        return pd.DataFrame({str(k): np.ravel(np.asarray(v)) for k, v in columns.items()})
    except ValueError as error:
        raise DataError(f"the columns of the rows don't fit together: {error}") from error


def _by_name(rows: pd.DataFrame, schema: Schema, gaps: Gaps) -> tuple[Array, dict[int, str]]:
    names, rows = schema.names, rows.rename(columns=str)
    require_columns(list(rows.columns), schema)
    twice = set(rows.columns[rows.columns.duplicated()]) & set(names)
    if twice:
        raise DataError(f"the rows have column {min(twice)!r} more than once; name each once")
    wrong: dict[int, str] = {}
    or_none = OR_NONE if schema.gaps else ""
    read = [_values(_cells(rows[c.name]), c, gaps, or_none) for c in schema.columns]
    for column, (_, said) in zip(schema.columns, read, strict=True):
        for row, reason in said.items():
            wrong.setdefault(row, f"column {column.name!r}: {reason}")
    return np.column_stack([values_N for values_N, _ in read]), wrong


def _shaped(schema: Schema) -> str:
    """What rows of images and windows are, for those who give something else."""
    if schema.shape is None:
        return ""
    shape = ", ".join(map(str, schema.shape))
    if len(schema.shape) == 2:
        return f". A row is a window of {schema.shape[0]} rows of a series, (rows, {shape}) in all"
    return f". A row is an image, (rows, {shape}) in all"


def _cells(column: "pd.Series[Any]") -> "pd.Series[Any]":
    """The same without the arrays of no axes that MLflow makes of the cells of `instances`."""
    if column.dtype != object:
        return column
    bare = [v.item() if isinstance(v, np.ndarray) and v.ndim == 0 else v for v in column]
    return pd.Series(bare, index=column.index, dtype=object)


def _array(rows: Any, schema: Schema) -> Array:
    """Numbers without names, (N, F)."""
    shape, features = schema.shape, len(schema.columns)
    try:
        array = np.array(rows)
        if array.dtype.kind in "mMc":  # which numpy would cast: days since 1970, the real part
            raise DataError(
                f"the rows are an array of {array.dtype}; give numbers, or columns by name"
            )
        array = array.astype(np.float64, casting="unsafe")
    except (TypeError, ValueError, OverflowError) as error:
        said = " ".join(str(error).split())[:200]
        raise DataError(
            f"the rows are no array of numbers ({said}); give numbers, or columns by name"
        ) from error
    if shape is not None and array.shape[1:] == shape:
        return array.reshape(len(array), features)
    if array.ndim == 1 and len(array):
        array = array[None]
    if array.ndim != 2 or array.shape[1] != features:
        natural = "" if shape is None else f" or (rows, {', '.join(map(str, shape))})"
        raise DataError(
            f"the rows are an array of shape {array.shape}; "
            f"the model takes (rows, {features}){natural}"
        )
    return array


def _values(
    values: "pd.Series[Any]", column: Column, gaps: Gaps, or_none: str = ""
) -> tuple[NDArray[np.float64], dict[int, str]]:
    """A column as numbers or codes of levels, (N,), NaN where a text is a gap; what is wrong.

    A level that the model has not seen has a code of its own. `or_none` ends a complaint: what else
    a cell may be.
    """
    if column.kind is not Kind.CATEGORICAL:
        return _numbers(values, gaps, or_none)
    code = {level: float(i) for i, level in enumerate(column.levels)}
    unseen = float(len(code))
    of_numbers = are_plain(column.levels)
    wrong = {i: _no_level(v) for i, v in enumerate(values) if not _is_cell(v)}
    texts = ["" if i in wrong or pd.isna(v) else _text(v) for i, v in enumerate(values)]

    def code_of(text: str) -> float:
        if gaps.is_gap(text):
            return np.nan
        return code.get(text, code.get(plain(text), unseen) if of_numbers else unseen)

    return np.array([code_of(text) for text in texts], dtype=np.float64), wrong


def _text(value: Any) -> str:
    """A level as sources spell it: 3, not 3.0; true, not True; without spaces around it."""
    if isinstance(value, bool | np.bool_):
        return str(value).lower()
    fraction = isinstance(value, float | np.floating | Decimal)
    return shortest(str(value)) if fraction else str(value).strip()


def _numbers(
    column: "pd.Series[Any]", gaps: Gaps, or_none: str = ""
) -> tuple[NDArray[np.float64], dict[int, str]]:
    """A column as float64, (N,): texts of numbers, true and false too; what is wrong."""
    if column.dtype.kind in "biuf":
        return column.to_numpy(dtype=np.float64, na_value=np.nan), {}
    if (parsed_N := _parsed(column, gaps)) is not None:
        return parsed_N, {}
    values_N, wrong = np.full(len(column), np.nan), {}
    for i, value in enumerate(column):
        number = _number(value, gaps)
        if number is None:
            wrong[i] = f"{shown(value)} is no number; give one{or_none}"
        else:
            values_N[i] = number
    return values_N, wrong


def _parsed(column: "pd.Series[Any]", gaps: Gaps) -> NDArray[np.float64] | None:
    """A column of texts that are all plain numbers or empty, at once; None if they are not."""
    if column.dtype != "str" or any(is_number(t) and float(t) == float(t) for t in gaps.texts):
        return None
    if column.str.contains("_", regex=False).any():  # which Python reads as a part of a number
        return None
    try:
        return column.where(column != "", "nan").to_numpy(dtype=np.float64)
    except ValueError:
        return None


def _number(value: Any, gaps: Gaps) -> float | None:
    """A cell as a number, NaN where it is a gap; None if it is neither."""
    if not _is_cell(value):
        return None
    text = "" if pd.isna(value) else _text(value)
    if gaps.is_gap(text):
        return np.nan
    if text.lower() in FLAGS:
        return FLAGS[text.lower()]
    return float(text) if is_number(text) else None


def _is_cell(value: Any) -> bool:
    """Whether a value is a text, a number or a gap: no list, no date."""
    return (
        value is None
        or value is pd.NA
        or isinstance(value, str | int | float | Decimal | np.number | np.bool_)
    )


def _no_level(value: Any) -> str:
    return f"{shown(value)} is no level; give a text or a number"


def shown(value: Any) -> str:
    """A value for a message; a long one is cut."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
