"""Finds the files of series that a path names, and what of them is used."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hourglass.catalog import listed
from hourglass.config import Preprocess
from hourglass.errors import DataError
from hourglass.paths import named
from hourglass.sources._delimited import COMPRESSIONS, tell_of_commas
from hourglass.sources._series import columns_beside
from hourglass.sources._series_columns import Columns, check_same, choose
from hourglass.sources._series_files import ArrayFile, Missing, ParquetFile, SeriesFile, TextFile

log = logging.getLogger(__name__)

SKIPPED = "file could not be read"
_TEXTS = (".csv", ".tsv")
_TYPES = ".csv, .tsv (also .gz, .zst, .bz2 or .lz4), .parquet or .npy"
_WILD = "*?["


@dataclass(frozen=True)
class Found:
    """What there is to read.

    Attributes:
        files: At least one, sorted by path, all with the same columns.
        columns: Which of them are channels.
        skipped: Why files are left out: reason -> how many.
    """

    files: Sequence[SeriesFile]
    columns: Columns
    skipped: Mapping[str, int]


def find(path: Path, options: Preprocess) -> Found:
    """Opens the files. To skip those that can't be read, each of several is read through once.

    Raises:
        DataError: there is none, one can't be read, or columns differ.
    """
    paths = _paths(path)
    skip = options.on_bad_row == "skip" and len(paths) > 1
    files, faults = [], []
    for each in paths:
        try:
            files.append(opened_series(each, options.missing_values))
        except DataError as error:
            if not skip:
                raise
            faults.append(error)
    if not files:
        raise faults[0]
    columns = choose(files[0], options)
    for file in files[1:]:
        check_same(file, files[0], columns, options)
    if skip:
        files = [file for file in files if _is_whole(file, columns, options, faults)]
    if not files:
        raise faults[0]
    tell_of_commas(file.table for file in files if isinstance(file, TextFile))
    for fault in faults:
        log.warning("left out: %s", fault)
    return Found(files, columns, {SKIPPED: len(faults)} if faults else {})


def _is_whole(
    file: SeriesFile, columns: Columns, options: Preprocess, faults: list[DataError]
) -> bool:
    """Whether all of a file can be read; if not, the fault is added."""
    try:
        for _ in file.blocks(columns.channels, columns_beside(options)):
            pass
    except DataError as error:
        faults.append(error)
        return False
    return True


def _paths(path: Path) -> list[Path]:
    """The files that a path or pattern names, sorted.

    Raises:
        DataError: there is none of a known type.
    """
    if any(c in str(path) for c in _WILD) and not path.exists():
        plain = next(i for i, part in enumerate(path.parts) if any(c in part for c in _WILD))
        folder = Path(*path.parts[:plain])
        found = _visible(folder.glob(str(Path(*path.parts[plain:]))))
        where = f"the pattern {path}"
    elif named(path, "params.yaml: preprocess.path").is_dir():
        folder, where = path, f"{path}"
        found = _visible(path.iterdir())
    elif _is_known(path):
        return [path]
    else:
        raise DataError(f"{path}: unknown type {path.suffix!r}; save the series as {_TYPES}")
    files = [p for p in found if _is_known(p)]
    if not files:
        there = [p.name for p in (_visible(folder.iterdir()) if folder.is_dir() else [])]
        holds = f"{folder} holds {listed(there) if there else 'no file'}"
        raise DataError(
            f"{where} gives no series ({holds}); put files there, {_TYPES}, or name yours in "
            "params.yaml: preprocess.path"
        )
    if len(files) < len(found):
        others = [p.name for p in found if p not in files]
        log.info("%s: left out, of other types: %s", where, listed(others))
    return files


def _visible(paths: Iterable[Path]) -> list[Path]:
    """Files that are not hidden, sorted."""
    return sorted(
        p for p in paths if p.is_file() and not p.name.startswith(".") and p.name != "README.md"
    )


def opened_series(file: Path, missing: Missing) -> SeriesFile:
    """What reads a file, by its suffix.

    Args:
        file: Of a known type, see `_is_known`.
        missing: What stands for a gap besides an empty cell.

    Raises:
        DataError: it can't be read.
    """
    if not file.stat().st_size:
        raise DataError(f"{file} is empty; put the rows of a series there")
    if _suffix(file) in _TEXTS:
        return TextFile(file, missing)
    return ArrayFile(file) if _suffix(file) == ".npy" else ParquetFile(file)


def _is_known(file: Path) -> bool:
    """Whether a file is of a type that is read."""
    packed = file.suffix.lower() in COMPRESSIONS
    return _suffix(file) in (_TEXTS if packed else (*_TEXTS, ".parquet", ".pq", ".npy"))


def _suffix(file: Path) -> str:
    """Its type, also of a packed file."""
    packed = file.suffix.lower() in COMPRESSIONS
    return (Path(file.stem) if packed else file).suffix.lower()
