"""Scores a file with a registered model, a chunk of rows at a time; CSV or Parquet out.

Finished chunks are kept beside the output until all are done: started again after a kill, the
command goes on after them, and the output has the bytes of an uninterrupted run.
"""

import glob
import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from hourglass import given, incoming, registered, serving
from hourglass.bundle import Bundle
from hourglass.catalog import counted, nearest
from hourglass.errors import ConfigError, DataError, HourglassError
from hourglass.incoming import Incoming
from hourglass.paths import harmless, replacing
from hourglass.provenance import digest, digest_files
from hourglass.registered import Registered
from hourglass.serving import Answers, Asked

log = logging.getLogger(__name__)

TARGETS = (".csv", ".parquet")
CHUNK_VALUES = 1 << 20  # of a chunk: 8 MB as float64
MOST_ROWS = 1 << 15
ERROR = "error"  # column of the output that says why a row has no answer
ROWS, BAD = b"rows", b"bad"  # of a chunk's metadata: its rows, and those of no use
WHOLE = {  # in pandas' types that can hold a gap
    kind: pd.ArrowDtype(kind)
    for kind in (
        *(pa.int8(), pa.int16(), pa.int32(), pa.int64()),
        *(pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()),
    )
}
FAIL, SKIP, MARK = ON_BAD_ROW = ("fail", "skip", "mark")


@dataclass(frozen=True)
class Job:
    """What to score.

    Attributes:
        source: A file or folder of raw rows, see `incoming`.
        target: A .csv or .parquet file for the answers.
        keep: Columns of the source that stand first in the target, as they are.
        on_bad_row: "fail"; "skip": leave the row out; "mark": keep it with an error, no answer.
        returned: See `serving.RETURNS`.
        stride: Of windows that are cut out of series, in rows; None: 1.
    """

    source: Path
    target: Path
    keep: Sequence[str] = ()
    on_bad_row: str = FAIL
    returned: Sequence[str] = field(default=serving.USUAL_RETURNS)
    stride: int | None = None


@dataclass
class Count:
    """How many rows were read, and how many of them are of no use."""

    rows: int = 0
    bad: int = 0


def check(job: Job) -> None:
    """Looks at a job before a model is loaded for it.

    Raises:
        DataError: there is no such source.
        ConfigError: a name in the job is wrong.
    """
    incoming.check(job.source, "IN")
    if job.target.suffix.lower() not in TARGETS:
        raise ConfigError(f"OUT is {job.target}; it must end in {' or '.join(TARGETS)}")
    if job.source.resolve() == job.target.resolve():
        raise ConfigError(f"IN and OUT are the same file, {job.source}; name another to write to")
    if job.on_bad_row not in ON_BAD_ROW:
        raise ConfigError(f"--on-bad-row {job.on_bad_row}: it is one of {', '.join(ON_BAD_ROW)}")
    if job.target.is_dir():
        raise ConfigError(f"OUT is {job.target}, which is a folder; name a file")
    if not job.target.parent.is_dir():
        raise ConfigError(f"OUT is {job.target}, but there is no folder {job.target.parent}")


def run(job: Job, model: Registered) -> Count:
    """Writes the target in one step.

    Raises:
        DataError: the source can't be read, lacks a column, or has a bad row where those fail.
        ConfigError: see `check`; or a column is not there.
    """
    check(job)
    job = replace(job, keep=tuple(dict.fromkeys(job.keep)))
    with registered.fetched(model) as files:
        bundle = registered.bundle(files)
        share = registered.parameter(files, "anomaly_share", Asked.anomaly_share)
        # Not name and number: in a store that was made anew they may be those of another model.
        same = digest_files(*sorted(files.iterdir()))
    asked = Asked(tuple(job.returned), share)
    source = incoming.opened(job.source, bundle.schema, job.stride)
    _require_columns(source, bundle, model)
    _require_kept(job, source)
    with _alone(job.target):
        parts = job.target.with_name(
            f".{job.target.name}.{_identity(job, source.files, same, asked)}.parts"
        )
        parts.mkdir(exist_ok=True)
        if done := len(list(parts.glob("*.parquet"))):
            log.info("going on: %s left by a run that was broken off", counted(done, "chunk"))
        try:
            count = _score(job, source, bundle, asked, parts)
        except HourglassError:
            shutil.rmtree(parts)  # it would come again, until the file is another
            raise
        _join(sorted(parts.glob("*.parquet")), job.target)
        for left in job.target.parent.glob(f".{glob.escape(job.target.name)}.*.parts"):
            shutil.rmtree(left)  # those too of a job that was killed and is another now
    return count


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    """Lets one process at a time write a target.

    Raises:
        ConfigError: another one does.
    """
    lock = FileLock(target.with_name(f".{target.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ConfigError(
            f"OUT is {target}, which another process writes just now: wait until it has ended, or "
            "name another file"
        ) from None
    except OSError as error:
        raise ConfigError(f"OUT is {target}: it can't be written ({error.strerror})") from error
    try:
        yield
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def _score(job: Job, source: Incoming, bundle: Bundle, asked: Asked, parts: Path) -> Count:
    """Writes each chunk that is not there yet into the folder `parts`."""
    rows = max(1, min(MOST_ROWS, CHUNK_VALUES // len(bundle.schema.columns)))
    count = Count()
    for number, chunk in enumerate(source.chunks(rows)):
        part = parts / f"{number:08d}.parquet"
        if not part.exists():
            given_rows, unread = chunk.load()
            if isinstance(given_rows, pd.DataFrame):
                given_rows = given_rows.reset_index(drop=True)
            found = serving.answers(bundle, given_rows, asked, unread)
            if found.wrong and job.on_bad_row == FAIL:
                row, reason = min(found.wrong.items())
                raise DataError(
                    f"{job.source}, {chunk.place(row)}, {reason} (--on-bad-row skip or mark goes "
                    "on)"
                )
            kept = chunk.beside.select([*source.told, *job.keep])
            table = _table(kept, found, job)
            with replacing(part) as beside:
                pq.write_table(table, beside)
        noted = pq.read_schema(part).metadata
        count.rows += int(noted[ROWS])
        count.bad += int(noted[BAD])
        log.info("%d rows%s", count.rows, f", {count.bad} of no use" if count.bad else "")
    return count


def _identity(job: Job, files: Sequence[Path], model: str, asked: Asked) -> str:
    """16 hex digits of all that the chunks depend on; of other ones none is taken over."""
    options = (list(job.keep), job.on_bad_row, list(asked.returned), asked.anomaly_share)
    return digest(incoming.stamp(files), model, options, job.stride or 1)


def _require_columns(source: Incoming, bundle: Bundle, model: Registered) -> None:
    """Makes sure that the file has what the model was trained on, and says which model that is."""
    if source.needs is None:
        return
    try:
        given.require_columns(source.names, source.needs)
    except DataError as error:
        newer = ""
        if model.newest > model.version:
            number = model.newest
            newer = (
                f"; version {number} is newer: --version {number}, or `hourglass promote {number}`"
            )
        raise DataError(f"{error}. {model} was trained on {bundle.schema.source}{newer}") from None


def _require_kept(job: Job, source: Incoming) -> None:
    for name in job.keep:
        if name in source.told:
            raise ConfigError(
                f"--keep {name}: the answers have a column of this name, which tells what each is "
                "for; leave it out, or rename yours in IN"
            )
        if name not in source.names:
            raise ConfigError(
                f"--keep {name}: {job.source} has no such column{nearest(name, source.names)}"
            )


def _table(kept: pa.Table, found: Answers, job: Job) -> pa.Table:
    """The kept columns and the answers; the metadata hold how many rows are of no use."""
    both = [*kept.column_names, *found.frame.columns]
    if twice := [name for name in both if both.count(name) > 1]:
        raise ConfigError(
            f"--keep {twice[0]}: the answers have a column of this name; leave it out (--return "
            "names what they hold), or rename it in IN"
        )
    answers = found.frame
    if job.on_bad_row == MARK:
        every = range(len(found.at_K) + len(found.wrong))
        answers = _empty(answers).set_axis(found.at_K).reindex(every)
        reasons = pd.Series(found.wrong, dtype=object).reindex(every)
        name = next(n for n in (ERROR, f"{ERROR}_", f"{ERROR}__") if n not in both)
        answers[name] = reasons.fillna("").astype(object)
    else:
        kept = kept.take(found.at_K)
    table = pa.Table.from_pandas(answers, preserve_index=False)
    for i, name in enumerate(kept.column_names):
        table = table.add_column(i, kept.schema.field(name), kept.column(name))
    rows = len(found.at_K) + len(found.wrong)
    return table.replace_schema_metadata({ROWS: str(rows), BAD: str(len(found.wrong))})


def _empty(answers: pd.DataFrame) -> pd.DataFrame:
    """The same, where rows without an answer can hold nothing: flags as nullable ones."""
    flags = answers.select_dtypes(bool).columns
    return answers.astype(dict.fromkeys(flags, "boolean"))


def _join(parts: Sequence[Path], target: Path) -> None:
    """Writes the chunks one after the other."""
    schema = pa.unify_schemas(
        [pq.read_schema(part).remove_metadata() for part in parts], promote_options="permissive"
    )
    with replacing(target) as beside:
        if target.suffix.lower() == ".parquet":
            with pq.ParquetWriter(beside, schema) as writer:
                for part in parts:
                    writer.write_table(_read(part, schema))
            return
        with beside.open("w", newline="", encoding="utf-8") as file:
            for number, part in enumerate(parts):
                frame = _read(part, schema).to_pandas(types_mapper=WHOLE.get)
                for name in frame.select_dtypes(exclude=["number", "bool", "boolean"]):
                    frame[name] = frame[name].map(harmless)
                frame.columns = frame.columns.map(harmless)
                frame.to_csv(file, index=False, header=number == 0, lineterminator="\n")


def _read(part: Path, schema: pa.Schema) -> pa.Table:
    return pq.read_table(part).replace_schema_metadata(None).cast(schema)
