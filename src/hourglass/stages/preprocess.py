"""Loads the rows in chunks, checks and splits them, and writes down what the columns are.

    hourglass preprocess

The source is read twice: to check and count the rows, then to write them. Memory holds a chunk.
"""

import hashlib
import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from hourglass import moments
from hourglass.catalog import listed
from hourglass.config import Params, Preprocess
from hourglass.errors import DataError
from hourglass.inference import Extent, Known, infer
from hourglass.paths import SPLITS, Paths, replacing, write_json
from hourglass.profile import profile
from hourglass.schema import Schema
from hourglass.sources import SOURCES, Layout, Source
from hourglass.splitting import assign

log = logging.getLogger(__name__)

Array = NDArray[np.float64]
# Magnitudes of values, and of the range of a column: errors are squared and summed, and a square
# beyond float64's range would come out as inf or as 0.
LARGEST, SMALLEST_RANGE = 1e100, 1e-100
LARGEST_SPAN = 1e30  # of validation and test rows, in spans of training rows
FAR = 100  # interquartile ranges from the median: values beyond are no measurements, or rule all


@dataclass(frozen=True)
class Scan:
    """What the first pass over the source found.

    Attributes:
        rows: Rows of the source.
        gaps: Numbers of the rows that have missing values, ascending.
        extent: What the rows without gaps hold.
    """

    rows: int
    gaps: NDArray[np.int64]
    extent: Extent


def run(params: Params, paths: Paths) -> None:
    """Writes data/interim/: the values and row numbers of each split, schema.json, profile.json.

    Nothing of an earlier run is touched before all checks have passed.

    Raises:
        DataError: the data can't be used as they are.
        ConfigError: preprocess names a source, data set, column or kind that does not fit.
    """
    options = params.preprocess
    create = SOURCES.load(SOURCES.check(options.source, "params.yaml: preprocess.source"))
    source = create(options.dataset, paths.root / options.path, options.drop, options.label)
    layout = source.layout()
    scan = _scan(source, layout, options.missing)
    split = _assign(source, scan, options)
    with ExitStack() as files:
        values = {s: files.enter_context(replacing(paths.values(s))) for s in SPLITS}
        numbers = {s: files.enter_context(replacing(paths.rows(s))) for s in SPLITS}
        _write(source, scan, split, values, numbers)
        schema, advice = _describe(source, layout, scan, options, values)
        write_json(paths.schema, schema.to_json())
        write_json(paths.profile, advice)
    _log(schema, scan, advice)


def _scan(source: Source, layout: Layout, missing: str) -> Scan:
    """The first pass: counts, and refuses what can't be used."""
    width = len(layout.names)
    low_F, high_F = np.full(width, np.inf), np.full(width, -np.inf)
    whole_F, missing_F = np.ones(width, dtype=bool), np.zeros(width, dtype=np.int64)
    gaps: list[NDArray[np.int64]] = []
    rows = 0
    for chunk_BF in source.chunks():
        _refuse_huge_values(source, layout, chunk_BF, rows)
        gap_BF = np.isnan(chunk_BF)
        gap_B = gap_BF.any(axis=1)
        missing_F += gap_BF.sum(axis=0)
        gaps.append(rows + np.flatnonzero(gap_B))
        kept_BF = chunk_BF[~gap_B]
        low_F = np.minimum(low_F, kept_BF.min(axis=0, initial=np.inf))
        high_F = np.maximum(high_F, kept_BF.max(axis=0, initial=-np.inf))
        whole_F &= (kept_BF == np.floor(kept_BF)).all(axis=0)
        rows += len(chunk_BF)
    gap_rows = np.concatenate(gaps) if gaps else np.empty(0, dtype=np.int64)
    scan = Scan(rows, gap_rows, Extent(low_F, high_F, whole_F, missing_F))
    _check_missing(source, layout, scan, missing)
    return scan


def _refuse_huge_values(source: Source, layout: Layout, chunk_BF: Array, before: int) -> None:
    huge_BF = np.abs(chunk_BF) > LARGEST
    if not huge_BF.any():
        return
    row, f = np.argwhere(huge_BF)[0]
    value = chunk_BF[row, f]
    beyond = "" if np.isinf(value) else f", and numbers beyond {LARGEST:g} can't be computed with"
    raise DataError(
        f"{source.title}: column {layout.names[f]!r}, {source.place(before + int(row))}: the value "
        f"is {value}{beyond}; replace it by a number, delete the row, or leave the column out "
        "(params.yaml: preprocess.drop)"
    )


def _check_missing(source: Source, layout: Layout, scan: Scan, missing: str) -> None:
    """Stops on missing values, unless rows that have some are to be dropped."""
    counts = {n: int(c) for n, c in zip(layout.names, scan.extent.missing_F, strict=True) if c}
    empty = [name for name, count in counts.items() if count == scan.rows]
    if empty:
        raise DataError(
            f"{source.title}: column {empty[0]!r} has no value in any of the {scan.rows} rows; "
            f"leave it out (params.yaml: preprocess.drop, which needs: {listed(empty)})"
        )
    if counts and missing == "error":
        shown = listed([f"{name!r} {count}" for name, count in counts.items()])
        raise DataError(
            f"{source.title}: {len(scan.gaps)} of {scan.rows} rows have missing values, the first "
            f"is {source.place(int(scan.gaps[0]))}; by column: {shown}. "
            "Fill them in, or drop these rows (params.yaml: preprocess.missing: drop_rows) or "
            "those columns (preprocess.drop)"
        )


def _assign(source: Source, scan: Scan, options: Preprocess) -> NDArray[np.int8]:
    """The split of the rows that are kept."""
    kept = scan.rows - len(scan.gaps)
    try:
        return assign(kept, options.val_fraction, options.test_fraction, options.seed)
    except DataError as error:
        lost = f" ({len(scan.gaps)} more were dropped for missing values)" if len(scan.gaps) else ""
        raise DataError(f"{source.title}: {error}{lost}") from None


def _write(
    source: Source,
    scan: Scan,
    split: NDArray[np.int8],
    values: dict[str, Path],
    numbers: dict[str, Path],
) -> None:
    """The second pass: writes the rows of each split in their order."""
    width = len(scan.extent.low_F)
    counts = np.bincount(split, minlength=len(SPLITS))
    shapes = dict(zip(SPLITS, counts.tolist(), strict=True))
    out = {s: open_memmap(values[s], "w+", np.float64, (n, width)) for s, n in shapes.items()}
    out_rows = {s: open_memmap(numbers[s], "w+", np.int64, (n,)) for s, n in shapes.items()}
    filled = dict.fromkeys(SPLITS, 0)
    done = 0
    for row_B, kept_BF in _kept(source, scan):
        part = split[done : done + len(row_B)]
        done += len(row_B)
        if done > len(split):
            break
        for code, s in enumerate(SPLITS):
            mine = part == code
            at = slice(filled[s], filled[s] + int(mine.sum()))
            out[s][at] = kept_BF[mine] + 0.0  # -0.0 becomes 0.0: equal values have equal digests
            out_rows[s][at] = row_B[mine]
            filled[s] = at.stop
    if done != len(split):
        raise DataError(f"{source.title} changed while it was read; run preprocess again")


def _kept(source: Source, scan: Scan) -> Iterator[tuple[NDArray[np.int64], Array]]:
    """Chunks of rows without gaps, each with the rows' numbers in the source."""
    start = 0
    for chunk_BF in source.chunks():
        row_B = np.arange(start, start + len(chunk_BF))
        start += len(chunk_BF)
        if len(scan.gaps):
            kept_B = ~np.isnan(chunk_BF).any(axis=1)
            yield row_B[kept_B], chunk_BF[kept_B]
        else:
            yield row_B, chunk_BF


def _describe(
    source: Source, layout: Layout, scan: Scan, options: Preprocess, values: dict[str, Path]
) -> tuple[Schema, dict[str, Any]]:
    """The schema and the profile, from the training rows; drops the columns that never vary."""
    names, extent = np.array(layout.names, dtype=object), scan.extent
    seen = moments.moments(np.load(values["train"], mmap_mode="r"))
    constant_F = (seen.low_F == seen.high_F) & (layout.grid is None)  # an image keeps its pixels
    constants = dict(zip(names[constant_F], seen.low_F[constant_F].tolist(), strict=True))
    if constants:
        _leave_out(source, constants, constant_F, values)
        names, extent, seen = names[~constant_F], extent.take(~constant_F), seen.take(~constant_F)
    _refuse_tiny_ranges(source, names.tolist(), seen.high_F - seen.low_F)
    _refuse_lone_giants(source, names.tolist(), extent, seen.low_F, seen.high_F)
    train_SF = moments.sample(np.load(values["train"], mmap_mode="r"))
    known = Known(layout.kind, layout.bounds, options.kinds, image=layout.grid is not None)
    columns = infer(list(names), train_SF, extent, known)
    schema = Schema(
        source=source.title,
        columns=columns,
        dropped=layout.dropped | dict.fromkeys(constants, "the same value in all training rows"),
        constants=constants,
        grid=layout.grid,
        rows={s: len(np.load(values[s], mmap_mode="r")) for s in SPLITS},
        digest=_digest(values),
    )
    advice = profile(columns, train_SF, seen)
    _warn_of_far_values(source, advice["columns"], extent)
    return schema, advice


def _refuse_tiny_ranges(source: Source, names: list[str], range_F: Array) -> None:
    tiny_F = (range_F > 0) & (range_F < SMALLEST_RANGE)  # pixels may never vary
    if tiny_F.any():
        name = names[int(np.argmax(tiny_F))]
        raise DataError(
            f"{source.title}: column {name!r}: its values differ by less than {SMALLEST_RANGE:g}, "
            "which can't be computed with; give it in another unit, or leave it out "
            "(params.yaml: preprocess.drop)"
        )


def _refuse_lone_giants(
    source: Source, names: list[str], extent: Extent, low_F: Array, high_F: Array
) -> None:
    """Validation and test rows are scaled by what training rows span, and computed in float32."""
    beyond_F = np.maximum(extent.high_F - high_F, low_F - extent.low_F)
    giant_F = beyond_F > LARGEST_SPAN * (high_F - low_F)
    if giant_F.any():
        f = int(np.argmax(giant_F & (high_F > low_F)))
        raise DataError(
            f"{source.title}: column {names[f]!r} reaches from {extent.low_F[f]:g} to "
            f"{extent.high_F[f]:g}, but its training rows only from {low_F[f]:g} to {high_F[f]:g}: "
            "that can't be computed with; mend the value, delete the row, or leave the column out "
            "(params.yaml: preprocess.drop)"
        )


def _leave_out(
    source: Source,
    constants: dict[str, float],
    constant_F: NDArray[np.bool_],
    values: dict[str, Path],
) -> None:
    """Rewrites the splits without the columns that never vary in training rows."""
    shown = listed([f"{name!r} (always {value:g})" for name, value in constants.items()])
    if constant_F.all():
        raise DataError(
            f"{source.title}: no column varies over the training rows: {shown}; "
            "there is nothing to learn"
        )
    log.warning("columns that never vary in training rows are left out: %s", shown)
    for path in values.values():
        wide_NF = np.load(path, mmap_mode="r")
        shape = (len(wide_NF), int((~constant_F).sum()))
        with replacing(path) as beside:
            narrow_NF = open_memmap(beside, "w+", np.float64, shape)
            start = 0
            for part_BF in moments.slices(wide_NF):
                narrow_NF[start : start + len(part_BF)] = part_BF[:, ~constant_F]
                start += len(part_BF)


def _digest(values: dict[str, Path]) -> str:
    """SHA-256 over the values of all splits in their order; the first 16 hex digits."""
    sha = hashlib.sha256()
    for split in SPLITS:
        for part_BF in moments.slices(np.load(values[split], mmap_mode="r")):
            sha.update(part_BF.tobytes())
    return sha.hexdigest()[:16]


def _warn_of_far_values(source: Source, columns: dict[str, dict[str, Any]], extent: Extent) -> None:
    """One -9999 that stands for a gap, in any split, outweighs all other rows in the verdict."""
    for (name, its), low, high in zip(columns.items(), extent.low_F, extent.high_F, strict=True):
        if its["iqr"] and max(high - its["median"], its["median"] - low) > FAR * its["iqr"]:
            log.warning(
                "%s: column %r reaches from %g to %g, more than %d times its interquartile range "
                "(%g) away from its median (%g); if these values stand for missing ones, leave "
                "the cells empty; if they are right, take their logarithm",
                *(source.title, name, low, high, FAR, its["iqr"], its["median"]),
            )


def _log(schema: Schema, scan: Scan, advice: dict[str, Any]) -> None:
    """Says what was decided."""
    kinds = Counter(c.kind.value for c in schema.columns)
    log.info(
        "%s: %d rows (%s), %d columns (%s), digest %s",
        schema.source,
        sum(schema.rows.values()),
        ", ".join(f"{n} {split}" for split, n in schema.rows.items()),
        len(schema.columns),
        ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items())),
        schema.digest,
    )
    if len(scan.gaps):
        log.info("dropped %d rows with missing values", len(scan.gaps))
    for reason in dict.fromkeys(schema.dropped.values()):
        names = [name for name, its in schema.dropped.items() if its == reason]
        log.info("left out, %s: %s", reason, listed(names))
    log.info(
        "advice: scaler %s, losses %s: %s",
        advice["scaler"],
        ", ".join(advice["likely_good"]),
        advice["why"],
    )
