"""Takes the rows in, checks and splits them, and writes down what the columns are.

    hourglass preprocess

The source is read once. Memory holds a block of rows.
"""

import logging
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hourglass import findings, intake, moments, page, suspects
from hourglass.catalog import column_names, counted, listed
from hourglass.config import Params, Preprocess
from hourglass.errors import DataError
from hourglass.examples import examples
from hourglass.inference import Extent, Known, check_names, infer
from hourglass.intake import Taken
from hourglass.moments import Moments
from hourglass.paths import SPLITS, Paths, write_json, write_text
from hourglass.profile import by_channel, profile
from hourglass.schema import Kind, Schema, channels
from hourglass.sources import LABEL, SOURCES, Layout, Source

log = logging.getLogger(__name__)

Array = NDArray[np.float64]
# Magnitudes of the range of a column: a square below float64's range would come out as 0.
SMALLEST_RANGE = 1e-100
LARGEST_SPAN = 1e30  # of validation and test rows, in spans of training rows
ROLES = ("label", "group", "time", "weight")
HEARD = 12  # warnings of the source that the page repeats
RARE = 2  # training rows of a level of texts
# Observed values without which a column can't be learned from, or its noise be calibrated.
LEAST_OBSERVED = {"training": 20, "validation": 10}


def run(params: Params, paths: Paths) -> None:
    """Writes data/interim/: the rows of each split, schema.json, the profile and its page.

    Nothing of an earlier run is touched before all rows have passed their checks.

    Raises:
        DataError: the data can't be used as they are.
        ConfigError: preprocess names a source, data set, column or kind that does not fit.
    """
    process(params.preprocess, paths)


def process(options: Preprocess, paths: Paths) -> None:
    """The same from the settings of preprocess alone."""
    source = _source(options, paths)
    layout = source.layout()
    beside = _Beside(paths.interim / ".new")
    shutil.rmtree(beside.root, ignore_errors=True)  # of a run that was killed
    try:
        with _hearing() as heard:
            taken = intake.take(source, layout, options, beside)
            schema, found, notes = _describe(source, layout, taken, options, beside)
        write_json(beside.schema, schema.to_json())
        kept_F = np.array([name in schema.names for name in layout.names])
        write_json(beside.figures, taken.train.take(kept_F).to_json())
        write_json(beside.profile, found)
        first = [*notes, *heard, *findings.left_out(schema, layout.dropped)]
        write_json(beside.warnings, first)
        shown = examples(schema, beside)
        write_text(beside.profile_page, page.html(schema, found, shown, first))
        for new in beside.root.iterdir():
            old = paths.interim / new.name
            if old.is_dir():
                shutil.rmtree(old)
            new.replace(old)
    finally:
        shutil.rmtree(beside.root, ignore_errors=True)
    _log(schema, found, notes)


def check(options: Preprocess, paths: Paths) -> tuple[str, Layout]:
    """Looks at what the files say of themselves, without their rows, and says it in one line.

    Returns:
        The line, and what the rows will be.

    Raises:
        DataError: there are no such files, or they can't be used.
        ConfigError: preprocess names a source, data set, column or kind that does not fit.
    """
    source = _source(options, paths)
    layout = source.layout()
    check_names(layout.names, options.kinds)
    if not layout.shape:
        what = f"{counted(len(layout.names), 'column')} ({column_names(layout.names)})"
    elif len(layout.shape) == 3:
        what = f"images of {' x '.join(map(str, layout.shape))} values"
    else:
        names = channels(layout.names, layout.shape)
        several = f"{counted(len(names), 'channel')} ({column_names(names)})"
        what = f"windows of {counted(layout.shape[0], 'row')}, {several}"
    rows = source.rows()
    known = "" if rows is None else f"{counted(rows, 'row')}, "
    roles = {role: name for role in ROLES if (name := getattr(options, role))}
    said = [f"{source.title}: {known}{what}"]
    said += [f"{role} {name}" for role, name in roles.items()]
    if others := [name for name in layout.dropped if name not in roles.values()]:
        said.append(f"left out: {column_names(others)}")
    return "; ".join(said), layout


def _source(options: Preprocess, paths: Paths) -> Source:
    create = SOURCES.load(SOURCES.check(options.source, "params.yaml: preprocess.source"))
    path = paths.root / options.path
    return create(options, path / options.files if options.files else path)


@contextmanager
def _hearing() -> Iterator[list[str]]:
    """Gathers what is warned of, so that the page shows it too."""
    heard = _Heard()
    logging.getLogger("hourglass").addHandler(heard)
    try:
        yield heard.lines
    finally:
        logging.getLogger("hourglass").removeHandler(heard)


class _Heard(logging.Handler):
    """Keeps the first warnings."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if len(self.lines) < HEARD:
            self.lines.append(record.getMessage())


class _Beside(Paths):
    """Where the files of this stage wait until all checks are passed: `root` for data/interim."""

    interim = property(lambda self: self.root)


def _describe(
    source: Source, layout: Layout, taken: Taken, options: Preprocess, paths: Paths
) -> tuple[Schema, dict[str, Any], list[str]]:
    """The schema, the profile and what to look at first; useless columns go, levels are sorted."""
    names, levels, codes = np.array(layout.names, dtype=object), {}, {}
    for name in layout.categorical:
        f = layout.names.index(name)
        levels[name], codes[f] = _levels(source.levels()[name], taken.counts[name])
    useless, constants = _useless(source, layout, taken, levels)
    kept_F = np.array([name not in useless for name in layout.names])
    if useless or any((new != np.arange(len(new))).any() for new in codes.values()):
        intake.rewrite(paths, kept_F, codes)
    extent, seen = taken.extent.take(kept_F), taken.train.take(kept_F)
    names = names[kept_F].tolist()
    _refuse_tiny_ranges(source, names, seen.high_F - seen.low_F)
    _refuse_lone_giants(source, names, extent, seen.low_F, seen.high_F)
    # The places of an array are looked at together: a pixel may be blank in a sample.
    every = seen if layout.shape is None else None
    train_SF = moments.sample(np.load(paths.values("train"), mmap_mode="r"), seen=every)
    known = Known(layout.kind, layout.bounds, options.kinds, layout.shape, levels)
    columns = infer(names, train_SF, extent, known)
    left_out = dict(source.skipped)
    if taken.gaps:
        left_out["missing values"] = taken.gaps
    schema = Schema(
        source=source.title,
        columns=columns,
        dropped=layout.dropped | useless,
        constants=constants,
        shape=layout.shape,
        rows=dict(taken.rows),
        digest=taken.digest,
        gaps=options.missing == "keep" and bool(taken.extent.missing_F[kept_F].any()),
        split=taken.split,
        labels=source.levels().get(LABEL, ()),
        left_out=left_out,
        missing_values=options.missing_values,
        group=options.group,
        time=options.time,
        day_first=source.day_first(),
        resized=options.source == "images" and bool(options.image.size),
    )
    found = profile(columns, train_SF, seen, layout.shape)
    notes = _far_values(schema, found, train_SF, extent, options)
    if layout.shape is None:
        counters = [name for f, name in enumerate(layout.names) if f in taken.counters]
        notes += [
            _identifiers(schema, counters, train_SF, extent.whole_F),
            _equal_columns(schema, train_SF, seen, levels),
            _rare_levels(schema, taken.counts),
        ]
    if suspects.are_rows_rich(train_SF, sum(taken.rows.values())):
        notes.append(_equal_rows(source, taken, paths))
    return schema, found, [note for note in notes if note]


def _levels(texts: tuple[str, ...], counts: NDArray[np.int64]) -> tuple[tuple[str, ...], Array]:
    """The levels that training rows hold, sorted, and each code's new one; the rest share one."""
    counts = np.pad(counts, (0, len(texts) - len(counts)))
    known = sorted((text for text, n in zip(texts, counts, strict=True) if n), key=_natural)
    place = {text: code for code, text in enumerate(known)}
    return tuple(known), np.array([float(place.get(text, len(known))) for text in texts])


def _natural(text: str) -> tuple[bool, float, str]:
    """Numbers by value, then texts by letters."""
    try:
        return False, float(text), text
    except ValueError:
        return True, 0.0, text


def _useless(
    source: Source, layout: Layout, taken: Taken, levels: Mapping[str, tuple[str, ...]]
) -> tuple[dict[str, str], dict[str, float]]:
    """Columns to leave out, each with its reason, and the value of those that never vary."""
    seen, useless, constants, shown = taken.train, {}, {}, []
    few = {"training": seen.count_F, "validation": taken.observed_val_F}
    if layout.shape is not None:
        _refuse_blind_places(source, layout, few)
        return {}, {}  # an image keeps its pixels
    for f, name in enumerate(layout.names):
        scarce = next((s for s, least in LEAST_OBSERVED.items() if few[s][f] < least), None)
        if scarce is not None:
            useless[name] = f"{int(few[scarce][f])} observed values in {scarce} rows"
            shown.append(f"{name!r} ({useless[name]}, at least {LEAST_OBSERVED[scarce]} needed)")
        elif (name in levels and len(levels[name]) < 2) or seen.low_F[f] == seen.high_F[f]:
            useless[name] = "the same value in all training rows"
            constants[name] = float(seen.low_F[f])
            value = levels[name][0] if name in levels else f"{constants[name]:g}"
            shown.append(f"{name!r} (always {value})")
    if len(useless) == len(layout.names):
        raise DataError(
            f"{source.title}: no column varies over the training rows: {listed(shown)}; "
            "there is nothing to learn"
        )
    if useless:
        log.warning("columns that say nothing of training rows are left out: %s", listed(shown))
    return useless, constants


def _refuse_blind_places(
    source: Source, layout: Layout, observed: Mapping[str, NDArray[np.int64]]
) -> None:
    """An array can't lose a single place, and one that is hardly ever seen can't be learned."""
    for split, least in LEAST_OBSERVED.items():
        blind = np.flatnonzero(observed[split] < least)
        if len(blind):
            raise DataError(
                f"{source.title}: {len(blind)} of the {len(layout.names)} values of a row are "
                f"hardly ever observed: {layout.names[blind[0]]!r} in "
                f"{observed[split][blind[0]]} {split} rows, at least {least} are needed; cut these "
                "places off, or fill them in"
            )


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
    # Pixels may be blank in all training rows: they have no span.
    giant_F = (high_F > low_F) & (beyond_F > LARGEST_SPAN * (high_F - low_F))
    if giant_F.any():
        f = int(np.argmax(giant_F))
        raise DataError(
            f"{source.title}: column {names[f]!r} reaches from {extent.low_F[f]:g} to "
            f"{extent.high_F[f]:g}, but its training rows only from {low_F[f]:g} to {high_F[f]:g}: "
            "that can't be computed with; mend the value, delete the row, or leave the column out "
            "(params.yaml: preprocess.drop)"
        )


def _far_values(
    schema: Schema, found: dict[str, Any], train_SF: Array, extent: Extent, options: Preprocess
) -> list[str]:
    """Far values; those of an image or a window are looked for over all places of a channel."""
    columns, values = by_channel(schema.columns, train_SF, schema.shape)
    low_C = np.fmin.reduce(extent.low_F.reshape(-1, len(columns)))
    high_C = np.fmax.reduce(extent.high_F.reshape(-1, len(columns)))
    figures = found["channels"] or found["columns"]
    pixels = schema.shape is not None and len(schema.shape) == 3
    known = None if pixels else options.missing_values
    return findings.far_values(columns, figures, values, low_C, high_C, known)


def _identifiers(
    schema: Schema, counters: list[str], train_SF: Array, whole_F: NDArray[np.bool_]
) -> str:
    names = [c.name for c in schema.columns]
    coded_F = np.array([c.kind is Kind.CATEGORICAL for c in schema.columns])
    at = suspects.identifiers(names, train_SF, whole_F & ~coded_F)
    others = [names[f] for f in at if names[f] not in counters]
    shown = [f"{n!r} (goes on evenly from row to row)" for n in names if n in counters]
    shown += [f"{name!r} (integers that all differ)" for name in others]
    if shown:
        return (
            "row numbers, times or identifiers among the features? They tell nothing of a new row: "
            f"{listed(shown)}; name them in params.yaml: preprocess.drop, or time, if they are"
        )
    return ""


def _equal_columns(
    schema: Schema, train_SF: Array, seen: Moments, levels: Mapping[str, tuple[str, ...]]
) -> str:
    names = [c.name for c in schema.columns]
    pairs = suspects.equal_columns(names, train_SF, seen, levels)
    if pairs:
        shown = listed([f"{name!r} (of {first!r})" for name, first in pairs])
        return (
            f"columns that are copies of others count twice: {shown}; name them in params.yaml: "
            "preprocess.drop"
        )
    return ""


def _rare_levels(schema: Schema, counts: Mapping[str, NDArray[np.int64]]) -> str:
    shown = []
    for name in (c.name for c in schema.columns if c.name in counts):
        count_L = counts[name][counts[name] > 0]
        rare = int((count_L <= RARE).sum())
        if len(count_L) >= suspects.LEAST_LEVELS and 2 * rare > len(count_L):
            shown.append(f"{name!r} ({rare} of {len(count_L)} levels)")
    if shown:
        return (
            f"texts most of whose levels occur once or twice in training rows: {listed(shown)}; "
            "names or remarks are no features: name such columns in params.yaml: preprocess.drop"
        )
    return ""


def _equal_rows(source: Source, taken: Taken, paths: Paths) -> str:
    shown, example = [], ""
    for split, (count, first, there) in taken.copies.items():
        if count:
            shown.append(f"{count} of {taken.rows[split]} {split} rows")
            own, other = (
                int(np.load(paths.beside(s, "rows"), mmap_mode="r")[row])
                for s, row in ((split, first), (SPLITS[0], there))
            )
            example = example or f"{source.place(own)} and {source.place(other)}"
    if shown:
        return (
            f"{listed(shown)} are copies of training rows ({example}, for example): all figures "
            "will look better than they are; delete the copies, or keep what belongs together in "
            "one split (params.yaml: preprocess.group)"
        )
    return ""


def _log(schema: Schema, found: dict[str, Any], notes: Sequence[str]) -> None:
    """Says what was decided."""
    kinds = Counter(c.kind.value for c in schema.columns)
    log.info(
        "%s: %s (%s), %s (%s), digest %s",
        schema.source,
        counted(sum(schema.rows[s] for s in SPLITS), "row"),
        ", ".join(f"{n} {split}" for split, n in schema.rows.items()),
        counted(len(schema.columns), "column"),
        ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items())),
        schema.digest,
    )
    for reason, rows in schema.left_out.items():
        log.info("left out %s: %s", counted(rows, "row"), reason)
    if schema.gaps:
        gaps = {c.name: c.missing for c in schema.columns if c.missing}
        shown = listed([f"{name!r} {n}" for name, n in gaps.items()])
        log.info("missing values are kept as missing, by column: %s", shown)
    for reason in dict.fromkeys(schema.dropped.values()):
        names = [name for name, its in schema.dropped.items() if its == reason]
        log.info("left out, %s: %s", reason, column_names(names))
    for note in notes:
        log.warning("%s: %s", schema.source, note)
    log.info(
        "advice: scaler %s, losses %s: %s (data/interim/profile.html)",
        found["scaler"],
        ", ".join(found["likely_good"]),
        found["why"],
    )
