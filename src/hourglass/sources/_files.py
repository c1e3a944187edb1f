"""Which files a path names: one, all of a folder, or those that match a pattern."""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from hourglass.catalog import listed
from hourglass.errors import DataError
from hourglass.paths import named
from hourglass.sources._delimited import COMPRESSIONS

KEY = "preprocess.path"
FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
    ".npy": "npy",
    ".npz": "npz",
}
_TEXTS = (".csv", ".tsv")
_TYPES = ".csv, .tsv (also .gz, .zst, .bz2 or .lz4), .parquet, .arrow, .feather, .ipc, .npy or .npz"
_MAGIC = re.compile(r"[*?\[]")
_PARTITION = re.compile(r"([^=]+)=(.*)")
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True)
class File:
    """A file of a table.

    Attributes:
        path: Where it lies.
        partition: Values of further columns that the names of its folders tell: year=2024.
    """

    path: Path
    partition: tuple[tuple[str, str | None], ...] = ()


def format_of(file: Path) -> str | None:
    """The format by the suffix, "csv" or "csv.gz"; None if it is not known."""
    suffix = file.suffix.lower()
    if suffix in COMPRESSIONS:
        inner = Path(file.stem).suffix.lower()
        return FORMATS[inner] + suffix if inner in _TEXTS else None
    return FORMATS.get(suffix)


def files_of(path: Path) -> list[File]:
    """The files in sorted order.

    Raises:
        DataError: there are none, or they are of several formats.
    """
    if not path.exists() and _MAGIC.search(str(path)):
        return _of_pattern(path)
    if named(path, f"params.yaml: {KEY}").is_dir():
        return _of_folder(path)
    if format_of(path) is None:
        raise DataError(f"{path}: unknown type {path.suffix!r}; save the table as {_TYPES}")
    return [File(path)]


def _of_pattern(pattern: Path) -> list[File]:
    parts = pattern.parts
    plain = next(i for i in range(len(parts)) if not Path(*parts[: i + 1]).exists())
    folder = Path(*parts[:plain])
    found = [p for p in folder.glob(str(Path(*parts[plain:]))) if _is_visible(p)]
    files = [f for p in found for f in (_inside(p, folder) if p.is_dir() else [_file(p, folder)])]
    tables = sorted({f for f in files if format_of(f.path)}, key=lambda f: f.path)
    if not tables:
        names = [p.name for p in found] or sorted(p.name for p in folder.iterdir())
        matched = "matches no table" if found else "matches no file"
        raise DataError(
            f"{pattern} {matched} ({folder} holds {listed(names) or 'nothing'}); mend params.yaml: "
            f"{KEY}; tables are {_TYPES}"
        )
    return _of_one_format(tables, pattern)


def _of_folder(folder: Path) -> list[File]:
    tables = sorted(_inside(folder, folder), key=lambda f: f.path)
    if not tables:
        inside = sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))
        names = [name for name in inside if name != "README.md"]
        found = f" (it holds {listed(names)})" if names else ""
        raise DataError(
            f"{folder} holds no table{found}; put one there, {_TYPES}, "
            f"or name yours in params.yaml: {KEY}"
        )
    return _of_one_format(tables, folder)


def _of_one_format(tables: list[File], path: Path) -> list[File]:
    if len({format_of(f.path) for f in tables}) > 1:
        names = [f.path.name for f in tables]
        first = tables[0].path
        raise DataError(
            f"{path} holds tables of several formats: {listed(names)}; name one, such as "
            f"params.yaml: {KEY}: {first}, or those that belong together: "
            f"{first.parent / ('*' + ''.join(first.suffixes[-2:]))}"
        )
    return tables


def _inside(folder: Path, base: Path) -> list[File]:
    """The tables of a folder and of its subfolders that are partitions, such as year=2024."""
    found = []
    for path in folder.iterdir():
        if not _is_visible(path):
            continue
        if path.is_dir() and _PARTITION.fullmatch(path.name):
            found += _inside(path, base)
        elif path.is_file() and format_of(path):
            found.append(_file(path, base))
    return found


def _is_visible(path: Path) -> bool:
    """Spark leaves files such as _SUCCESS and _metadata beside the tables."""
    return not path.name.startswith((".", "_"))


def _file(path: Path, base: Path) -> File:
    """A file, with the partition that its folders below `base` tell."""
    folders = [_PARTITION.fullmatch(part) for part in path.relative_to(base).parts[:-1]]
    keys = [(unquote(m[1]), unquote(m[2])) for m in folders if m]
    return File(path, tuple((k, None if v == _NO_VALUE else v) for k, v in keys))
