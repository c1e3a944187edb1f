"""Which columns of a series are channels."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from hourglass.catalog import column_names, listed, nearest
from hourglass.config import Preprocess
from hourglass.errors import DataError, UnknownNameError
from hourglass.sources._series_files import SeriesFile

NO_NUMBERS = "holds no numbers"  # why a column is left out
_BESIDE = ("label", "group", "time", "weight")


@dataclass(frozen=True)
class Columns:
    """The choice.

    Attributes:
        channels: In the order of the file.
        dropped: Columns that are no channels: name -> reason.
    """

    channels: tuple[str, ...]
    dropped: dict[str, str]


def choose(file: SeriesFile, options: Preprocess) -> Columns:
    """The channels of the first file: columns of numbers, unless params.yaml says otherwise.

    Raises:
        UnknownNameError: params.yaml names no column of the file.
        DataError: no channel is left.
    """
    dropped = _named(file, options)
    left = [name for name in file.names if name not in dropped]
    if options.columns:
        chosen = {n for pattern in options.columns for n in _matches(file, "columns", pattern)}
        dropped |= {name: "not named in preprocess.columns" for name in left if name not in chosen}
    else:
        dropped |= {name: NO_NUMBERS for name in left if name in file.texts}
    channels = tuple(name for name in file.names if name not in dropped)
    if not channels:
        reasons = listed([f"{name!r} {reason}" for name, reason in dropped.items()])
        raise DataError(f"{file.file}: no channel is left: {reasons}; leave at least one column in")
    return Columns(channels, dropped)


def check_same(file: SeriesFile, first: SeriesFile, columns: Columns, options: Preprocess) -> None:
    """Makes sure that a further file has the columns of the first.

    Raises:
        DataError: it lacks one, or has one more.
    """
    beside = [getattr(options, key) for key in _BESIDE if getattr(options, key)]
    for name in (*columns.channels, *beside):
        if name not in file.names:
            raise DataError(
                f"{file.file} has no column {name!r}{nearest(name, file.names)}, but {first.file} "
                "has; all files need the same columns: mend the file, or take it away"
            )
    wanted = options.columns or ("*",)
    for name in file.names:
        more = name not in first.names and any(_fits(name, pattern) for pattern in wanted)
        if more and not any(_fits(name, pattern) for pattern in options.drop):
            raise DataError(
                f"{file.file} has a column {name!r}, but {first.file} has none; all files need the "
                "same columns: name it in params.yaml: preprocess.drop, or mend the file"
            )


def _named(file: SeriesFile, options: Preprocess) -> dict[str, str]:
    """Columns that params.yaml takes out by name: name -> reason."""
    dropped = {
        n: "named in preprocess.drop" for p in options.drop for n in _matches(file, "drop", p)
    }
    for key in _BESIDE:
        if name := getattr(options, key):
            if name not in file.names:
                raise _unknown(file, key, name)
            dropped[name] = f"named in preprocess.{key}"
    return dropped


def _matches(file: SeriesFile, key: str, pattern: str) -> list[str]:
    found = [name for name in file.names if _fits(name, pattern)]
    if not found:
        raise _unknown(file, key, pattern)
    return found


def _fits(name: str, pattern: str) -> bool:
    return name == pattern or fnmatchcase(name, pattern)


def _unknown(file: SeriesFile, key: str, name: str) -> UnknownNameError:
    known: Sequence[str] = file.names
    return UnknownNameError(
        f"params.yaml: preprocess.{key}: no column {name!r} in {file.file}{nearest(name, known)} "
        f"(columns: {column_names(known)})"
    )
