"""What the readers of tables share: their contract, the choice of columns, the text error."""

import json
import logging
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hourglass.catalog import listed, nearest
from hourglass.errors import DataError, UnknownNameError

log = logging.getLogger(__name__)

CHUNK_VALUES = 1 << 21  # numbers of one chunk: 16 MiB of float64
LONGEST = 40  # letters of a text that a message shows

# Texts that stand for "no value"; pyarrow's and pandas' lists together.
NULLS = (
    *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN"),
    *("<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
)
_PLACEHOLDERS = {"?", "-", "--", ".", "*", "none", "unknown", "missing", "nil", "na", "n.a."}
_DATE = re.compile(r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}|\d{1,2}:\d{2}")
_PLAIN = re.compile(r"[A-Za-z_][\w.-]*")


class Table(ABC):
    """One file that holds one table.

    Attributes:
        file: Where it lies.
        names: All columns in the order of the file.
        others: Further names that may be a label, such as the arrays beside `X` of an NPZ file.
    """

    file: Path
    names: tuple[str, ...]
    others: tuple[str, ...] = ()

    @abstractmethod
    def check(self, features: Sequence[str]) -> None:
        """Looks at the types of the columns that are to be features.

        Raises:
            DataError: one of them is no number, as far as can be told before reading all rows.
        """

    @abstractmethod
    def chunks(self, features: Sequence[str]) -> Iterator[NDArray[np.float64]]:
        """The rows in their order, shape (n, F), missing values as NaN.

        Raises:
            DataError: a row can't be read.
        """

    @abstractmethod
    def integers(self, features: Sequence[str]) -> list[int]:
        """Positions in `features` of the columns that hold integers of 64 bits."""

    def place(self, row: int) -> str:
        """Where a person finds row `row`, counted from 0, in the file."""
        return f"row {row + 1}"


def chunk_rows(columns: int) -> int:
    """Rows of a chunk of so many columns."""
    return max(1, CHUNK_VALUES // max(1, columns))


def yaml_list(names: Sequence[str]) -> str:
    """A YAML list that can be pasted into params.yaml."""
    reserved = {"true", "false", "null"}
    return "[" + ", ".join(_scalar(n, reserved) for n in names) + "]"


def _scalar(name: str, reserved: set[str]) -> str:
    plain = _PLAIN.fullmatch(name) and name.lower() not in reserved
    return name if plain else json.dumps(name, ensure_ascii=False)


def select(
    names: Sequence[str],
    drop: Sequence[str],
    label: str,
    where: str,
    others: Sequence[str] = (),
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Chooses the features among the columns.

    Returns:
        The features in their order, and for each column that is left out the reason.

    Raises:
        UnknownNameError: `drop` or `label` names no column.
        DataError: columns without a name or with the same name, or none is left.
    """
    check_names(names, where)
    for key, asked in [("drop", name) for name in drop] + [("label", label)] * bool(label):
        if asked not in names and not (key == "label" and asked in others):
            known = [*names, *others] if key == "label" else list(names)
            raise UnknownNameError(
                f"params.yaml: preprocess.{key}: no column {asked!r} in {where}"
                f"{nearest(asked, known)} (columns: {listed(known)})"
            )
    dropped = {name: "named in preprocess.drop" for name in names if name in drop}
    if label in names:
        dropped[label] = "named in preprocess.label"
    features = tuple(name for name in names if name not in dropped)
    if not features:
        raise DataError(
            f"{where}: no feature is left: all {len(names)} columns are named in "
            "params.yaml: preprocess.drop or preprocess.label; leave at least one column in"
        )
    return features, dropped


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


def text_error(file: Path, texts: Sequence[tuple[str, str, str]]) -> DataError:
    """The error of columns that hold text.

    Args:
        file: The file.
        texts: For each such column its name, the place of the first text and the text.
    """
    name, place, value = texts[0]
    names = [column for column, _, _ in texts]
    also = f" Texts are also in: {listed(names[1:])}." if names[1:] else ""
    return DataError(
        f"{file}: column {name!r}, {place}: {shortened(value)!r} is {_nature(value)}, and an "
        f"autoencoder needs numbers. {_hint(value)}Leave the column out (params.yaml: "
        f"preprocess.drop: {yaml_list(names)}), name it in preprocess.label if it is the label, "
        f"or encode it as numbers in the file.{also}"
    )


def shortened(text: str) -> str:
    """A text for a message; a long one is cut."""
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def _nature(value: str) -> str:
    return "a date or time" if _DATE.match(value.strip()) else "text"


def _hint(value: str) -> str:
    """What probably went wrong, with a blank at the end, or an empty string."""
    text = value.strip()
    if "\ufffd" in text or any("\udc80" <= c <= "\udcff" for c in text):
        return "It is not in UTF-8: save the file in that encoding. "
    if text in NULLS or text.lower() in _PLACEHOLDERS:
        return "If it stands for a missing value, leave the cell empty. "
    if re.fullmatch(r"[-+]?[1-9]\d{0,2},\d{3}", text):
        return "Decimals are written with a point, thousands without a separator. "
    if re.fullmatch(r"[-+]?\d+,\d+", text):
        return "Decimals are written with a point. "
    if re.fullmatch(r"[-+]?\d{1,3}([,' ]\d{3})+(\.\d+)?", text):
        return "Thousands are written without a separator. "
    if re.fullmatch(r"[-+]?[\d.]+ ?[^\d\s.,]{1,3}|[^\d\s.,+-]{1,3} ?[\d.]+", text):
        return "Numbers are written without a unit. "
    return ""
