"""Every file the pipeline reads or writes, and how files are written: beside, then renamed."""

import csv
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hourglass.catalog import listed, nearest
from hourglass.errors import DataError, MissingInputError

SPLITS = ("train", "val", "test")
# What a formula begins with in a spreadsheet; the last four are as wide as ideographs.
FORMULA = ("=", "+", "-", "@", "\t", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


@dataclass(frozen=True)
class Paths:
    """File names below the project's root; no other module spells one.

    Attributes:
        root: Folder that holds params.yaml.
    """

    root: Path = Path()

    params = property(lambda self: self.root / "params.yaml")
    raw = property(lambda self: self.root / "data" / "raw")
    interim = property(lambda self: self.root / "data" / "interim")
    normalized = property(lambda self: self.root / "data" / "normalized")
    models = property(lambda self: self.root / "models")
    reports = property(lambda self: self.root / "reports")
    state = property(lambda self: self.root / ".hourglass")
    fits = property(lambda self: self.state / "fits")
    checkpoints = property(lambda self: self.state / "checkpoints")
    # What is not sent yet must not go with a copy of the project.
    journals = property(lambda self: home(self.root) / ".hourglass" / "journals")
    moved = property(lambda self: home(self.root) / ".hourglass" / "moved.json")  # see `registry`
    sender = property(lambda self: home(self.root) / ".hourglass" / "sender")  # who sent last

    @property
    def schema(self) -> Path:
        """The columns: kinds, resolutions, what was dropped (JSON)."""
        return Path(self.interim) / "schema.json"

    @property
    def figures(self) -> Path:
        """Exact figures of the training rows' columns, see `moments.Moments` (JSON)."""
        return Path(self.interim) / "figures.json"

    @property
    def profile(self) -> Path:
        """What the columns look like, and the advice on losses (JSON)."""
        return Path(self.interim) / "profile.json"

    @property
    def warnings(self) -> Path:
        """What a person should look at first, from the rows of all splits (JSON, a list)."""
        return Path(self.interim) / "warnings.json"

    @property
    def profile_page(self) -> Path:
        """The same for people (HTML)."""
        return Path(self.interim) / "profile.html"

    def values(self, split: str) -> Path:
        """Rows of a split in original units, shape (N, F); NaN where a value is missing."""
        return Path(self.interim) / split / "values.npy"

    def beside(self, split: str, what: str) -> Path:
        """One number for each row of a split, shape (N,).

        Args:
            split: One of `SPLITS`.
            what: "rows" (numbers in the source, int64), "labels", "groups", "times" or "weights";
                all but the first only where the source has them.
        """
        return Path(self.interim) / split / f"{what}.npy"

    def scaler(self, name: str) -> Path:
        """A fitted scaler (JSON)."""
        return Path(self.normalized) / name / "scaler.json"

    def scaled(self, scaler: str, split: str) -> Path:
        """Rows of a split after scaling, float32, shape (N, F)."""
        return Path(self.normalized) / scaler / f"{split}.npy"

    def search(self, name: str) -> Path:
        """A file that search reports."""
        return Path(self.reports) / "search" / name

    def train(self, name: str) -> Path:
        """A file that train reports."""
        return Path(self.reports) / "train" / name

    def evaluate(self, name: str) -> Path:
        """A file that evaluate reports."""
        return Path(self.reports) / "evaluate" / name

    def register(self, name: str) -> Path:
        """A file that register reports."""
        return Path(self.reports) / "register" / name

    def model(self, loss: str, seed: int) -> Path:
        """Folder of one trained finalist."""
        return Path(self.models) / loss / str(seed)

    def fit(self, name: str) -> Path:
        """Folder that keeps a finished fit until its stage has ended."""
        return Path(self.fits) / name

    def checkpoint(self, name: str) -> Path:
        """File with the state of a fit under way."""
        return Path(self.checkpoints) / name


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a path beside `path`; what was written there replaces `path` if nothing was raised.

    Works for files and folders. What a killed process left beside `path` is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in _left_beside(path):
        _remove(left)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield beside
        if beside.is_dir() and path.is_dir():
            shutil.rmtree(path)  # a folder can't be renamed over one that holds files
        beside.replace(path)
    finally:
        _remove(beside)


def make_once(path: Path, make: Callable[[Path], object]) -> None:
    """Makes a file beside its place unless it is there, by one process at a time.

    The second one's rename would throw away what the first had written since.
    """
    from filelock import FileLock  # here, since it takes 30 ms that most commands don't need

    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        if not path.exists():
            with replacing(path) as beside:
                make(beside)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _left_beside(path: Path) -> list[Path]:
    """Files and folders beside `path` whose writers are gone."""
    named = re.compile(rf"\.{re.escape(path.name)}\.(\d+)\.part(-journal)?")
    found = [(p, named.fullmatch(p.name)) for p in path.parent.iterdir()]
    return [p for p, match in found if match and not _lives(int(match[1]))]


def _lives(process: int) -> bool:
    if os.name != "posix":
        return True  # signal 0 would end it
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def home(root: Path) -> Path:
    """The folder whose stores count: `root`, or that of which DVC has made `root` as a copy.

    `dvc exp run --queue` runs in a copy below .dvc/tmp/exps, `--temp` in one below its folder
    standalone; then the copy is removed.
    """
    folder = root.resolve()
    for above in folder.parents:
        if above.parts[-3:] == (".dvc", "tmp", "exps"):
            names = folder.relative_to(above).parts
            below = names[2 if names[0] == "standalone" else 1 :]
            return above.parents[2].joinpath(*below)
    return root


def write_text(path: Path, text: str) -> None:
    """Writes a text file in one step."""
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8")


def write_json(path: Path, data: Any) -> None:
    """Writes JSON in one step; NaN is refused, floats keep every bit."""
    write_text(path, json.dumps(data, indent=2, allow_nan=False) + "\n")


def write_csv(path: Path, rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Writes a table in one step; a key that is not in `columns` is an error.

    Names of columns are the user's: none becomes a formula where a spreadsheet opens the file.
    """
    with replacing(path) as beside, beside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: harmless(v) for k, v in row.items()} for row in rows)


def harmless(cell: Any) -> Any:
    """A text that a spreadsheet would take for a formula, with a quote before it (OWASP).

    Python's csv writes a carriage return unquoted, where readers end the line: it becomes a space.
    """
    if not isinstance(cell, str):
        return cell
    cell = cell.replace("\r", " ")
    if not cell.startswith(FORMULA):
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return cell


def read_text(path: Path, stage: str) -> str:
    """Reads a text that `stage` wrote, without the line's end.

    Raises:
        MissingInputError: it is not there; the message says which stage to run.
    """
    return existing(path, stage).read_text(encoding="utf-8").rstrip("\n")


def read_json(path: Path, stage: str) -> Any:
    """Reads JSON that `stage` wrote.

    Raises:
        MissingInputError: it is not there; the message says which stage to run.
    """
    return json.loads(existing(path, stage).read_text(encoding="utf-8"))


def read_csv(path: Path, stage: str) -> list[dict[str, str]]:
    """Reads a table that `stage` wrote, every value as text.

    Raises:
        MissingInputError: it is not there; the message says which stage to run.
    """
    with existing(path, stage).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def named(path: Path, where: str) -> Path:
    """Returns `path`, which a person named in `where`, if it exists.

    Raises:
        DataError: it does not; the message says what lies beside it, and the nearest name.
    """
    if path.exists():
        return path
    folder = path.parent
    if not folder.is_dir():
        raise DataError(f"{path} is missing, and so is its folder {folder}; mend {where}")
    names = sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))
    beside = f"{folder} holds {listed(names)}" if names else f"{folder} is empty"
    raise DataError(f"{path} is missing{nearest(path.name, names)} ({beside}); mend {where}")


def existing(path: Path, stage: str) -> Path:
    """Returns `path` if it exists.

    Raises:
        MissingInputError: it does not; the message says which stage to run.
    """
    if not path.exists():
        raise MissingInputError(f"{path} is missing: run `dvc repro {stage}` first")
    return path
