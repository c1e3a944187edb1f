"""Raw rows on their way to a model: tables, series that are cut into windows, images, arrays.

What a row is follows from what the model was trained on. All cells of a text stay text, so that no
chunk guesses types anew; separator and decimal sign are told as where a table is read to be trained
on.
"""

import contextlib
import logging
from collections.abc import Iterable
from pathlib import Path

from hourglass.errors import ConfigError, DataError
from hourglass.incoming._arrays import ArrayRows, ArraySeries
from hourglass.incoming._images import Folder, Stack
from hourglass.incoming._rows import Chunk, Incoming
from hourglass.incoming._tables import Parquet, Texts
from hourglass.incoming._windows import Cut, Windows, of_channels
from hourglass.paths import named
from hourglass.schema import Schema
from hourglass.sources._beside import Clock, days_of
from hourglass.sources._files import format_of
from hourglass.sources._series_find import opened_series
from hourglass.sources._stored import is_idx

__all__ = ["Chunk", "Incoming", "check", "opened", "stamp"]

TABLES = ".csv, .tsv (also .gz, .zst, .bz2 or .lz4), .parquet or .npy"
IMAGES = "a folder of PNG, JPEG or TIFF files, .npz or MNIST's IDX"

log = logging.getLogger(__name__)


def check(path: Path, what: str) -> None:
    """Looks at the name of a file or folder, before anything is loaded.

    Args:
        path: To be read.
        what: What it is to the user, for messages.

    Raises:
        ConfigError: no model takes its type.
        DataError: there is nothing of this name.
    """
    known = path.is_dir() or _is_table(path) or format_of(path) in ("npy", "npz")
    if not known and not (path.is_file() and is_idx(path)):
        raise ConfigError(f"{what} is {path}; it must be {TABLES} or, of images, {IMAGES}")
    named(path, f"the name of {what}")


def opened(path: Path, schema: Schema, stride: int | None = None) -> Incoming:
    """The rows of a file or folder, as a model takes them.

    Args:
        path: It.
        schema: What the model was trained on.
        stride: Of windows that are cut out of series, in rows; None: 1.

    Raises:
        DataError: it can't be read, or is of another kind than the model takes.
        ConfigError: there is a stride, and nothing to cut.
    """
    of_images = schema.shape is not None and len(schema.shape) == 3
    of_windows = schema.shape is not None and not of_images
    rows: Incoming
    if of_images and (path.is_dir() or not _is_table(path)):
        rows = Folder(path, schema) if path.is_dir() else Stack(path, schema)
    elif path.is_dir() or format_of(path) == "npz" or not format_of(path):
        raise DataError(f"IN is {path}; the model was trained on no images, and takes {TABLES}")
    elif of_windows:
        rows = _series(path, schema, stride or 1)
    else:
        rows = _table(path, schema)
    if stride is not None and not isinstance(rows, Windows):
        raise ConfigError(
            f"--stride {stride}: {path} holds a row for each answer; only series are cut"
            if of_windows
            else f"--stride {stride}: the model was not trained on windows of series"
        )
    return rows


def _table(path: Path, schema: Schema) -> Incoming:
    if format_of(path) == "npy":
        return ArrayRows(path)
    return Texts(path, schema, [schema.time]) if _is_text(path) else Parquet(path, schema)


def _series(path: Path, schema: Schema, stride: int) -> Incoming:
    """Windows of series, or windows that are rows already."""
    own, period = of_channels(schema), 0
    rows = _table(path, own)
    if isinstance(rows, ArrayRows):
        if rows.shape[1:] in (schema.shape, (len(schema.columns),)):
            return rows
        series = ArraySeries(path, own)
        rows, period = series, series.period
    elif set(schema.names) & set(rows.names):
        return _table(path, schema)
    if schema.group and schema.group not in rows.names and not period:
        log.warning(
            "%s has no column %r, which told the series apart that the model was trained on: it is "
            "read as one series",
            *(path, schema.group),
        )
    group, time = (name if name in rows.names else "" for name in (schema.group, schema.time))
    cut = Cut(str(path), schema, stride, group, time, lambda: _clock(path, schema), period)
    return Windows(rows, cut)


def _clock(path: Path, schema: Schema) -> Clock:
    """Reads times as in training: where day and month may be told from one another there."""
    file = opened_series(path, schema.missing_values)
    days = days_of([file], schema.time)
    if schema.day_first is not None:
        days.first = schema.day_first
    return Clock(file, schema.time, schema.missing_values, days)


def _is_table(path: Path) -> bool:
    return _is_text(path) or format_of(path) == "parquet"


def _is_text(path: Path) -> bool:
    return (format_of(path) or "").startswith(("csv", "tsv"))


def stamp(files: Iterable[Path]) -> list[tuple[str, int, int, int, int]]:
    """Is another whenever one of the files may have changed.

    The time of a file's last change (ctime) is the system's: no copy brings an old one along.
    """
    found = []
    for file in files:
        with contextlib.suppress(OSError):  # a link that leads nowhere
            s = file.stat()
            times = (s.st_mtime_ns, s.st_ctime_ns)
            found.append((ascii(str(file.absolute())), s.st_size, *times, s.st_ino))
    return found
