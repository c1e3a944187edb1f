"""The ruler: how many bits it takes to write down observed values, given their reconstructions.

A residual model is fitted to each column on some rows (`fit`) and scores other rows (`bits`), in
original units. What it says does not depend on the loss or the scaler a model was trained with.
Shapes: N rows, D columns, W numbers of a reconstruction: one a column, of a categorical column a
probability for each level (`hourglass.wide`). Without a resolution the length is that of a density,
so it can be negative and shifts by log2 of the unit; with one it is that of the value's bin, never
negative.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self, TypeVar

import numpy as np

from hourglass import wide
from hourglass.errors import DataError, TrainingError
from hourglass.residuals import Block, Family, grid, levels
from hourglass.residuals.bounded import Beta, ContinuousBernoulli
from hourglass.residuals.discrete import Bernoulli, NegativeBinomial, Poisson
from hourglass.residuals.real import Gauss, Laplace, StudentT
from hourglass.schema import Array, Column, Kind

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Gauss(),
        Laplace(),
        StudentT(),
        Beta(),
        ContinuousBernoulli(),
        Bernoulli(),
        Poisson(),
        NegativeBinomial(),
    )
}
REAL = ("gauss", "laplace", "student_t")
ESCAPE = 1e-4  # probability kept for values that the walls exclude: 0.00014 bits a value
CELLS = 2**18  # of a chunk of columns: 2 MB an array, whatever the size of the table
Key = TypeVar("Key")

LEAST_ROWS = 4  # for two halves of two rows


@dataclass(frozen=True)
class Code:
    """How one column is written down.

    Attributes:
        column: The column; its walls and resolution are part of the code.
        family: Name of the residual family.
        fitted: The family's parameters.
        center: Middle of the Cauchy distribution that codes values beyond the walls.
        spread: Its scale; 0 for a column without walls, which needs none.
    """

    column: Column
    family: str
    fitted: dict[str, float]
    center: float
    spread: float

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Rebuilds a code from what `asdict` gave.

        Raises:
            ValueError: no code is like that.
        """
        own = cls(**{**data, "column": Column.from_json(data["column"])})
        if own.family != levels.NAME:
            known = FAMILIES.get(own.family)
            if known is None or set(own.fitted) != set(known.parameters):
                raise ValueError(f"no family {own.family!r} has the parameters {list(own.fitted)}")
        if not np.isfinite([*own.fitted.values(), own.center, own.spread]).all():
            raise ValueError(f"the code of column {own.column.name!r} is not finite")
        return own


@dataclass(frozen=True)
class Calibration:
    """The fitted code of every column; `bits` scores any rows with it.

    Attributes:
        codes: One for each column, in order.
    """

    codes: tuple[Code, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data for json.dump; `from_json` gives back every bit of it."""
        return {"codes": [asdict(code) for code in self.codes]}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Rebuilds a calibration from what `to_json` gave."""
        return cls(tuple(Code.from_json(code) for code in data["codes"]))


def candidates(column: Column) -> tuple[str, ...]:
    """Names of the families that may code a column.

    Counts also admit the real families, bin by bin: a column that is reconstructed better than
    Poisson noise allows needs a code that can say so.
    """
    if column.kind is Kind.CATEGORICAL:
        return (levels.NAME,)
    if column.kind is Kind.BINARY:
        return ("bernoulli",)
    if column.kind is Kind.COUNT:
        return ("poisson", "negative_binomial", *REAL)
    if column.low is not None and column.high is not None and column.low < column.high:
        return (*REAL, "beta", "continuous_bernoulli")
    return REAL


def fit(
    target_ND: Array,
    reconstruction_NW: Array,
    columns: Sequence[Column],
    families: Sequence[str] | None = None,
) -> Calibration:
    """Fits a code to each column: the family that writes these rows in the fewest bits.

    A family's fitted parameters count with log2(rows) / 2 bits each (Rissanen 1978), so that of
    two families that say the same the simpler one is taken.

    Args:
        target_ND: Observed values in original units; NaN where nothing was observed.
        reconstruction_NW: Their reconstructions.
        columns: What is known of the columns.
        families: Lets only these compete; None: all that the kind of a column admits.

    Raises:
        TrainingError: a reconstruction is not finite.
        DataError: an observed value is infinite, or a column has none.
        ValueError: shapes differ, or `families` leaves a column without any.
    """
    target, reconstruction = _checked(target_ND, reconstruction_NW, columns)
    _require_observations(target, columns)
    places = wide.slices(columns)
    keys = [(_admitted(c, families), grid(c)[0] > 0) for c in columns]
    codes: dict[int, Code] = {}
    for (names, _), chosen in _groups(keys, len(target)):
        kept = [columns[i] for i in chosen]
        if names == (levels.NAME,):
            for i in chosen:
                fitted = levels.fit(target[:, i], reconstruction[:, places[i]])
                codes[i] = Code(columns[i], levels.NAME, fitted, 0.0, 0.0)
            continue
        at = [places[i].start for i in chosen]
        block = Block.of(target[:, chosen], reconstruction[:, at], kept)
        codes.update(zip(chosen, _cheapest(block, kept, names), strict=True))
    return Calibration(tuple(codes[i] for i in range(len(columns))))


def bits(calibration: Calibration, target_ND: Array, reconstruction_NW: Array) -> Array:
    """Code length of each value in bits, (N, D); 0 where nothing was observed.

    A row's share is the sum over its columns; bits per feature are the mean over all values.

    Raises:
        TrainingError: a reconstruction is not finite.
        DataError: an observed value is infinite.
        ValueError: shapes differ from each other or from the calibration.
    """
    codes = calibration.codes
    columns = [code.column for code in codes]
    target, reconstruction = _checked(target_ND, reconstruction_NW, columns)
    places = wide.slices(columns)
    result = np.zeros(target.shape)
    keys = [(code.family, grid(code.column)[0] > 0) for code in codes]
    for (name, _), chosen in _groups(keys, len(target)):
        kept = [codes[i] for i in chosen]
        if name == levels.NAME:
            for i in chosen:
                levels_NK = reconstruction[:, places[i]]
                result[:, i] = levels.bits(codes[i].fitted, target[:, i], levels_NK)
            continue
        at = [places[i].start for i in chosen]
        block = Block.of(target[:, chosen], reconstruction[:, at], [c.column for c in kept])
        fitted = {p: np.array([code.fitted[p] for code in kept]) for p in FAMILIES[name].parameters}
        outer = np.array([(code.center, code.spread) for code in kept]).T
        result[:, chosen] = _lengths(block, FAMILIES[name], fitted, (outer[0], outer[1]))
    return result


@dataclass(frozen=True, eq=False)
class Alone:
    """Codes values without a model: each around the middle of its column.

    Attributes:
        middle_W: Of each number of the wide form: the mean or, of a column of numbers that takes
            fewer bits around it, the median.
        calibration: How values scatter around it.
    """

    middle_W: Array
    calibration: Calibration

    @classmethod
    def of(cls, rows_NF: Array, columns: Sequence[Column]) -> Self:
        """Fits the codes to rows in original units, as `fit` does.

        Raises:
            As `fit`.
        """
        rows_NF = np.asarray(rows_NF, np.float64)
        _require_observations(rows_NF, columns)
        widths, wide_NW = [column.width for column in columns], wide.expand(rows_NF, columns)
        is_number_W = np.repeat([c.kind in (Kind.CONTINUOUS, Kind.COUNT) for c in columns], widths)
        mean_W = np.nanmean(wide_NW, axis=0)
        median_W = np.where(is_number_W, np.nanmedian(wide_NW, axis=0), mean_W)
        around = [cls._around(middle_W, rows_NF, columns) for middle_W in (mean_W, median_W)]
        mean_F, median_F = (own.bits(rows_NF).sum(axis=0) for own in around)
        nearer_F = median_F < mean_F
        codes = [own.calibration.codes for own in around]
        chosen = tuple(codes[int(second)][f] for f, second in enumerate(nearer_F))
        return cls(np.where(nearer_F.repeat(widths), median_W, mean_W), Calibration(chosen))

    @classmethod
    def _around(cls, middle_W: Array, rows_NF: Array, columns: Sequence[Column]) -> Self:
        everywhere_NW = np.broadcast_to(middle_W, (len(rows_NF), len(middle_W)))
        return cls(middle_W, fit(rows_NF, everywhere_NW, columns))

    def bits(self, rows_NF: Array) -> Array:
        """Code length of each value, (N, F); 0 where missing."""
        everywhere_NW = np.broadcast_to(self.middle_W, (len(rows_NF), len(self.middle_W)))
        return bits(self.calibration, rows_NF, everywhere_NW)

    def to_json(self) -> dict[str, Any]:
        """Plain data for json.dump; `from_json` gives back every bit of it."""
        return {"middle_W": self.middle_W.tolist(), "calibration": self.calibration.to_json()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Rebuilds it from what `to_json` gave."""
        middle_W = np.array(data["middle_W"], np.float64)
        return cls(middle_W, Calibration.from_json(data["calibration"]))


def cross_fitted_bits(
    target_ND: Array,
    reconstruction_NW: Array,
    columns: Sequence[Column],
    families: Sequence[str] | None = None,
) -> Array:
    """Code length of each value under a code fitted to the other half of the rows, (N, D).

    The halves are the rows with even and with odd numbers. A column that was observed in one half
    only is fitted to all rows.

    Raises:
        DataError: fewer than 4 rows, or as `fit` and `bits` do.
        TrainingError: a reconstruction is not finite.
        ValueError: shapes differ, or `families` leaves a column without any.
    """
    target, reconstruction = _checked(target_ND, reconstruction_NW, columns)
    if len(target) < LEAST_ROWS:
        raise DataError(
            f"the ruler got {len(target)} rows: it needs at least {LEAST_ROWS}, to calibrate on "
            f"one half and score the other; use more rows or raise preprocess.val_fraction"
        )
    even, odd, every = slice(0, None, 2), slice(1, None, 2), slice(None)
    halves_2D = [np.isnan(target[half]).all(axis=0) for half in (even, odd)]
    thin_D = np.asarray(np.any(halves_2D, axis=0), dtype=np.bool_)
    result = np.empty(target.shape)
    for own, other in ((even, odd), (odd, even)):
        for chosen, fitting in ((~thin_D, other), (thin_D, every)):
            if chosen.any():
                kept = [c for c, yes in zip(columns, chosen, strict=True) if yes]
                at_W = chosen.repeat([c.width for c in columns])
                code = fit(
                    target[fitting][:, chosen], reconstruction[fitting][:, at_W], kept, families
                )
                result[own, chosen] = bits(
                    code, target[own][:, chosen], reconstruction[own][:, at_W]
                )
    return result


def _checked(
    target_ND: Array, reconstruction_NW: Array, columns: Sequence[Column]
) -> tuple[Array, Array]:
    """Both tables as float64, after the checks that all entrances share."""
    target = np.asarray(target_ND, dtype=np.float64)
    reconstruction = np.asarray(reconstruction_NW, dtype=np.float64)
    rows, width = len(target), wide.width(columns)
    if target.shape != (rows, len(columns)) or reconstruction.shape != (rows, width):
        raise ValueError(
            f"target {target.shape} and reconstruction {reconstruction.shape} must be "
            f"(rows, {len(columns)}) and (rows, {width}): of the {len(columns)} columns described"
        )
    for row, i in np.argwhere(~np.isfinite(reconstruction))[:1]:
        raise TrainingError(
            f"the reconstruction of column {wide.names(columns)[i]!r} is {reconstruction[row, i]} "
            f"in row {row}, it must be finite: the fit diverged; lower its learning rate"
        )
    for row, i in np.argwhere(np.isinf(target))[:1]:
        raise DataError(
            f"column {columns[i].name!r} is {target[row, i]} in row {row}, it must be finite, or "
            f"NaN where nothing was observed"
        )
    return target, reconstruction


def _require_observations(target_ND: Array, columns: Sequence[Column]) -> None:
    for i in np.flatnonzero(np.isnan(target_ND).all(axis=0))[:1]:
        raise DataError(
            f"column {columns[i].name!r} has no observed value in the {len(target_ND)} rows that "
            f"the ruler is calibrated on: use more rows, or drop it (preprocess.drop)"
        )


def _admitted(column: Column, families: Sequence[str] | None) -> tuple[str, ...]:
    names = tuple(n for n in candidates(column) if families is None or n in families)
    if not names:
        raise ValueError(
            f"column {column.name!r} ({column.kind}) can be coded by "
            f"{', '.join(candidates(column))}, not by {', '.join(families or ())}"
        )
    return names


def _groups(keys: Sequence[Key], rows: int) -> Iterator[tuple[Key, list[int]]]:
    """Column numbers of equal key, in chunks of at most `CELLS` values."""
    size = max(1, CELLS // max(1, rows))
    for key in dict.fromkeys(keys):
        members = [i for i, k in enumerate(keys) if k == key]
        for start in range(0, len(members), size):
            yield key, members[start : start + size]


def _cheapest(block: Block, columns: Sequence[Column], names: Sequence[str]) -> Iterator[Code]:
    """The code of each column under the family that writes the block in the fewest bits."""
    inside = block.snapped() if block.lattice else block
    outer = _outer(block)
    fits, costs = [], []
    for name in names:
        fitted = FAMILIES[name].fit(inside)
        length = _lengths(block, FAMILIES[name], fitted, outer).sum(axis=0)
        fits.append(fitted)
        costs.append(length + len(fitted) * np.log2(block.count) / 2)
    for i, winner in enumerate(np.argmin(costs, axis=0)):
        fitted_i = {key: float(value[i]) for key, value in fits[winner].items()}
        yield Code(columns[i], names[winner], fitted_i, float(outer[0][i]), float(outer[1][i]))


def _lengths(
    block: Block, family: Family, fitted: dict[str, Array], outer: tuple[Array, Array]
) -> Array:
    """Bits of each value of a block, (N, D)."""
    inside = block.snapped() if block.lattice else block
    log_p = family.log_probability(inside, fitted)
    walled = outer[1] > 0
    if np.any(walled):
        log_p = np.where(block.beyond & block.lattice, -np.inf, log_p)
        center, spread = outer[0], np.where(walled, outer[1], 1.0)
        escaped = np.log(ESCAPE) + _log_cauchy(block, center, spread)
        log_p = np.where(walled, np.logaddexp(np.log1p(-ESCAPE) + log_p, escaped), log_p)
    length = np.where(block.seen_ND, -log_p / np.log(2), 0.0)
    return np.maximum(length, 0.0) if block.lattice else length


def _outer(block: Block) -> tuple[Array, Array]:
    """Center and scale of the Cauchy distribution behind the walls of each column.

    Between two walls: their middle and half their distance; at one wall: the wall and the mean
    distance from it.
    """
    low, high = np.isfinite(block.low_D), np.isfinite(block.high_D)
    bottom, top = np.where(low, block.low_D, 0.0), np.where(high, block.high_D, 0.0)
    center = np.where(low & high, (bottom + top) / 2, bottom + top)
    spread = np.where(low & high, (top - bottom) / 2, block.mean(np.abs(block.x_ND - center)))
    return center, np.where(low | high, np.maximum(spread, block.smallest_scale()), 0.0)


def _log_cauchy(block: Block, center_D: Array, spread_D: Array) -> Array:
    """Natural log of the Cauchy probability of each value's bin, or of its density, (N, D)."""
    z = (block.x_ND - center_D) / spread_D
    if not block.lattice:
        return -np.log(np.pi * spread_D) - np.log1p(z**2)
    width = block.step_D / spread_D
    return np.asarray(np.log(np.arctan2(width, 1 + z**2 - width**2 / 4) / np.pi))
