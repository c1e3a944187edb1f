"""The advisor: which losses suit the data, why, and what would change the advice.

Shapes: S sampled training rows, F columns. Everything is told from training rows alone. Losses are
known here only by name and by the values that they are defined on: advice, which the search may
overrule.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hourglass.catalog import counted
from hourglass.looks import NORMAL_IQR, OUTLIER_SDS, figures, outliers, tails
from hourglass.moments import Moments, evenly, quartiles, spread
from hourglass.schema import Array, Column, Kind, channels, searched_kind

OUTLIER_SHARE = 0.005
# Tail ratio of Student-t with nu = 20 and nu = 4, see `looks.tails` (the Gauss: 3.82).
TAIL_NU_20, TAIL_NU_4 = 4.14, 6.22
SPREAD = 3.0  # ratio of the columns' residual spread beyond which each column wants its own scale
MASS = 0.05  # share of cells at the two ends of their columns that counts as ink or saturation
OVERDISPERSED = 1.2  # Pearson's dispersion of counts beyond which Poisson noise is too narrow
PCA_ROWS, PCA_COLUMNS = 10_000, 1024
REGRESSED = 64  # counts, and as many other columns, that tell how counts scatter
CHANNEL_VALUES = 1 << 20  # of all channels together that their figures are made from
SHOWN = 3
Figures = dict[str, Any]


@dataclass(frozen=True)
class Residuals:
    """What a PCA leaves of the standardised columns.

    Attributes:
        width: Components kept.
        tail: Median over columns of the tail ratio; None where too few residuals vary.
        outliers: Share of cells that are outliers among their column's residuals.
        spread: 90th over 10th percentile of the columns' residual standard deviation.
        skewness: Median over columns of the absolute skewness.
    """

    width: int
    tail: float | None
    outliers: float
    spread: float
    skewness: float


def profile(
    columns: Sequence[Column],
    train_SF: Array,
    seen: Moments,
    shape: tuple[int, ...] | None = None,
) -> dict[str, Any]:
    """The content of profile.json.

    Args:
        columns: The F columns.
        train_SF: Training rows in original units, or an even sample of them; NaN where missing,
            codes of levels.
        seen: Exact figures of all training rows.
        shape: See `Schema.shape`.

    Returns:
        "columns": figures of each column, and what it looks like; "channels": the same of each
        channel of an image or a window, over all places, None for a table; "sampled": S;
        "searched": the kind of the columns that the searched loss serves, of which the following
        speaks: "residuals" of a PCA,
        None for a single column; "domains": for "real" and "unit" whether losses on such values
        are admissible, dubious or blocked, why, and the scaler to use; "losses": for each loss
        status, reason, scalers and what evidence would change it; "likely_good": those to expect
        most of, and "why"; "scaler": the one to use; "heads": kind -> loss of the other columns,
        and "heads_why".
    """
    main = searched_kind(columns)
    at = [f for f, c in enumerate(columns) if c.kind is main]
    searched = [columns[f] for f in at]
    every = figures(columns, train_SF, seen)
    own = [every[c.name] for c in searched]
    left = None
    if main is not Kind.CATEGORICAL and len(at) > 1:
        left = _residuals(train_SF[:, at], seen.sd_F[at])
    scaler = _scaler(searched, own)
    likely, why = _likely_good(searched, own, left, shape)
    domains = {"real": _real(searched, scaler), "unit": _unit(searched)}
    if main is Kind.CATEGORICAL:
        blocked = {"status": "blocked", "reason": "levels have no order", "scaler": scaler}
        domains = dict.fromkeys(domains, blocked)
    heads, heads_why = _heads(columns, train_SF, main)
    return {
        "columns": every,
        "channels": None if shape is None else _channels(columns, train_SF, seen, shape),
        "sampled": len(train_SF),
        "searched": main.value,
        "residuals": vars(left) if left else None,
        "domains": domains,
        "losses": _losses(main, domains, scaler, left),
        "likely_good": likely,
        "why": why,
        "scaler": scaler,
        "heads": heads,
        "heads_why": heads_why,
    }


def _channels(
    columns: Sequence[Column], train_SF: Array, seen: Moments, shape: tuple[int, ...]
) -> dict[str, Figures]:
    """Figures of each channel, all its places taken as one column."""
    own, values = by_channel(columns, train_SF, shape)
    groups_F = np.arange(len(columns)) % len(own)
    return figures(own, values, seen.pooled(groups_F).take(slice(len(own))))


def by_channel(
    columns: Sequence[Column], train_SF: Array, shape: tuple[int, ...] | None
) -> tuple[list[Column], Array]:
    """The channels as columns, C of them, and their values, (values, C); of many an even sample.

    A table is left as it is.
    """
    if shape is None:
        return list(columns), train_SF
    names = channels([c.name for c in columns], shape)
    own = [replace(column, name=name) for name, column in zip(names, columns, strict=False)]
    rows = evenly(len(train_SF), CHANNEL_VALUES // train_SF.shape[1])
    return own, train_SF[rows].reshape(-1, len(own))


def _residuals(train_SF: Array, sd_F: Array) -> Residuals:
    """Fits a PCA of a quarter of the columns as width to at most 10,000 rows and 1024 columns.

    Location and scale are robust and far values are clipped while the axes are sought, so that the
    residuals show the tails instead of having bent the axes.

    The model's own bottleneck is not known to preprocess; a quarter is a typical one.
    """
    rows, columns = train_SF.shape
    at_R = np.linspace(0, rows - 1, min(rows, PCA_ROWS)).round().astype(np.int64)
    at_C = np.linspace(0, columns - 1, min(columns, PCA_COLUMNS)).round().astype(np.int64)
    z_RC = _standardised(train_SF[np.ix_(at_R, at_C)], sd_F[at_C])
    width = min(len(at_C) - 1, max(1, len(at_C) // 4))
    left_RC = z_RC - _projected(z_RC, width)
    sd_left = np.clip(left_RC, -OUTLIER_SDS, OUTLIER_SDS).std(axis=0)
    # What is left of a column that others determine is rounding error; it says nothing of noise.
    varies = np.flatnonzero((sd_F[at_C] > 0) & (sd_left > 1e-6))
    tail, over = tails(left_RC[:, varies]), outliers(left_RC[:, varies])
    known = np.isfinite(tail)
    if not known.any():
        return Residuals(width, None, 0.0, 1.0, 0.0)
    q10, q90 = np.quantile(sd_left[varies], (0.1, 0.9))
    unit_RC = np.clip(left_RC[:, varies] / sd_left[varies], -OUTLIER_SDS, OUTLIER_SDS)
    return Residuals(
        width=width,
        tail=float(np.median(tail[known])),
        outliers=float(np.mean(over[known])),
        spread=float(q90 / q10),
        skewness=float(np.median(np.abs((unit_RC**3).mean(axis=0)))),
    )


def _projected(z_RC: Array, width: int) -> Array:
    """Rows on the first axes of a PCA, which far values don't bend."""
    calm_RC = np.clip(z_RC, -OUTLIER_SDS, OUTLIER_SDS)
    _, axes_CC = np.linalg.eigh(calm_RC.T @ calm_RC)
    top_CW = axes_CC[:, -width:]
    return np.asarray((z_RC @ top_CW) @ top_CW.T)


def _standardised(x_RC: Array, sd_C: Array) -> Array:
    """Median 0 and robust standard deviation 1; the plain one where quartiles say little.

    A gap stands at the median.
    """
    range_C = spread(x_RC)
    scale_C = np.where(np.isnan(range_C), sd_C, range_C / NORMAL_IQR)
    z_RC: Array = (x_RC - quartiles(x_RC)[1]) / np.where(scale_C > 0, scale_C, 1.0)
    return np.asarray(np.nan_to_num(z_RC))


def _heads(
    columns: Sequence[Column], train_SF: Array, main: Kind
) -> tuple[dict[str, str], dict[str, str]]:
    """The losses of the columns that the searched loss does not serve, and why."""
    present = {c.kind for c in columns} - {main}
    heads, why = {}, {}
    if Kind.BINARY in present:
        heads["binary"], why["binary"] = "bce", "flags: their likelihood"
    if Kind.CATEGORICAL in present:
        heads["categorical"], why["categorical"] = "cross_entropy", "levels without order"
    if Kind.COUNT in present:
        dispersion = _dispersion(columns, train_SF)
        wide = dispersion > OVERDISPERSED
        heads["count"] = "negative_binomial" if wide else "poisson"
        why["count"] = (
            f"given the other columns their variance is {dispersion:.2f} times the mean "
            f"({'more' if wide else 'no more'} than Poisson noise explains)"
        )
    return heads, why


def _dispersion(columns: Sequence[Column], train_SF: Array) -> float:
    """Median over the counts of sum((x - m)^2 / m) / n, m from a regression on the other columns.

    Pearson's dispersion (McCullagh & Nelder 1989, section 6.2); the regression is linear in
    the logs, as a rate that others multiply would be, and its mean is brought to that of the data.
    """
    rows = train_SF[np.linspace(0, len(train_SF) - 1, min(len(train_SF), PCA_ROWS)).astype(int)]
    counts = [f for f, c in enumerate(columns) if c.kind is Kind.COUNT]
    others = [f for f, c in enumerate(columns) if c.kind in (Kind.CONTINUOUS, Kind.BINARY)]
    numbers = sorted([*_some(counts), *_some(others)])
    shown = np.column_stack([_shown(columns[f], rows[:, f]) for f in numbers])
    found = []
    for i, f in enumerate(numbers):
        if columns[f].kind is not Kind.COUNT:
            continue
        seen = ~np.isnan(rows[:, f])
        known = np.column_stack([np.delete(shown, i, axis=1), np.ones(len(shown))])[seen]
        x = rows[seen, f]
        if len(x) < 2 * known.shape[1] or x.mean() == 0:
            continue
        fitted, *_ = np.linalg.lstsq(known, np.log1p(x), rcond=None)
        m = np.maximum(np.expm1(np.clip(known @ fitted, 0, 50)), 1e-2)
        m *= x.mean() / m.mean()
        found.append(float(np.sum((x - m) ** 2 / m) / (len(x) - known.shape[1])))
    return float(np.median(found)) if found else np.inf


def _some(columns: list[int]) -> list[int]:
    """These columns, or evenly spaced ones of many: a regression costs the square of their number.

    And there is one for each count.
    """
    at = np.linspace(0, len(columns) - 1, min(len(columns), REGRESSED)).round().astype(int)
    return [columns[i] for i in at]


def _shown(column: Column, values: Array) -> Array:
    """A column for a regression: logs of counts, gaps at the mean, standardised."""
    values = np.log1p(values) if column.kind is Kind.COUNT else values
    seen = values[~np.isnan(values)]
    if not len(seen) or seen.std() == 0:
        return np.zeros(len(values))
    return np.asarray(np.nan_to_num((values - seen.mean()) / seen.std()))


def _bounded(column: Column) -> bool:
    return column.low is not None and column.high is not None


def _scaler(columns: Sequence[Column], its: Sequence[Figures]) -> str:
    """The scaler for the table: by walls where all have them, by quartiles against outliers."""
    if all(map(_bounded, columns)):
        return "unit"
    shares = [f["outliers"] for f in its if f["outliers"] is not None]
    return "robust" if shares and np.mean(shares) > OUTLIER_SHARE else "standard"


def _real(columns: Sequence[Column], scaler: str) -> dict[str, str]:
    reason = "defined on all real values"
    if all(c.kind is Kind.BINARY for c in columns):
        reason += ", but the reconstructions of 0 and 1 will pass beyond them"
    return {"status": "admissible", "reason": reason, "scaler": scaler}


def _unit(columns: Sequence[Column]) -> dict[str, str]:
    open_ = [c.name for c in columns if not _bounded(c)]
    if not open_:
        reason = "every column is binary or has walls, so all values lie in [0, 1] after scaling"
        return {"status": "admissible", "reason": reason, "scaler": "unit"}
    more = ", ..." if len(open_) > SHOWN else ""
    reason = (
        f"{len(open_)} of {len(columns)} columns have no walls ({', '.join(open_[:SHOWN])}{more}): "
        "values beyond the training rows' range can't be represented"
    )
    return {"status": "dubious", "reason": reason, "scaler": "unit"}


def _losses(
    main: Kind, domains: dict[str, dict[str, str]], scaler: str, left: Residuals | None
) -> dict[str, dict[str, Any]]:
    """For each loss: status, reason, scalers, and what would change it."""
    others = [s for s in ("standard", "robust", "unit") if s != scaler]
    found: dict[str, dict[str, Any]] = {}
    for name in ("mse", "mae", "huber", "log_cosh", "gaussian_nll", "student_t"):
        status, reason, change = _of_real(name, left)
        if domains["real"]["status"] == "blocked":
            status, reason = "blocked", domains["real"]["reason"]
            change = "nothing: levels have no distances"
        found[name] = _entry(status, reason, [scaler, *others], change)
    unit = domains["unit"]
    for name, what in (
        ("bce", "the likelihood of flags and of grey levels as probabilities"),
        ("continuous_bernoulli", "a density on [0, 1], highest at its ends"),
    ):
        change = "walls: values that pile up at both ends of their range"
        reason = what if unit["status"] == "admissible" else unit["reason"]
        if unit["status"] == "admissible":
            change = "values beyond the walls"
        found[name] = _entry(unit["status"], reason, ["unit"], change)
    counts, levels = main is Kind.COUNT, main is Kind.CATEGORICAL
    for name, what in (
        ("poisson", "counts whose variance is their mean"),
        ("negative_binomial", "counts that scatter more than Poisson's"),
    ):
        status = "admissible" if counts else "blocked"
        reason = what if counts else f"the searched columns are {main.value}, no counts"
        change = "preprocess.kinds, if these are counts" if not counts else "fractions or negatives"
        found[name] = _entry(status, reason, [scaler, *others], change)
    found["cross_entropy"] = _entry(
        "admissible" if levels else "blocked",
        "levels without order" if levels else f"the searched columns are {main.value}, no levels",
        [scaler],
        "preprocess.kinds, if the numbers are names",
    )
    return found


def _entry(status: str, reason: str, scalers: list[str], change: str) -> dict[str, Any]:
    return {"status": status, "reason": reason, "scalers": scalers, "change": change}


def _of_real(name: str, left: Residuals | None) -> tuple[str, str, str]:
    """Status, reason and what would change it, of a loss on real values."""
    heavy = left is not None and (
        left.outliers > OUTLIER_SHARE or (left.tail is not None and left.tail > TAIL_NU_4)
    )
    uneven = left is not None and left.spread > SPREAD
    good, cure = "admissible", "outliers that turn out to be errors, and are removed"
    match name:
        case "mse":
            if heavy:
                return "dubious", "squares let the outliers among the residuals rule", cure
            if uneven:
                why = "one scale for columns whose noise differs much"
                return "dubious", why, "columns that are scaled by their noise"
            return good, "Gaussian noise of one size", "outliers in more than 0.5 % of the cells"
        case "mae":
            if heavy:
                return good, "robust against outliers", cure
            return good, "Laplace noise; less sharp than mse on normal residuals", "outliers"
        case "huber" | "log_cosh":
            why = "squared for small residuals, absolute for large ones"
            return good, why, cure if heavy else "normal residuals: mse then says the same, simpler"
        case "gaussian_nll":
            why = "a scale of its own for each column's noise"
            if heavy:
                return "dubious", f"{why}, but outliers inflate it", cure
            return good, why, "columns whose noise is alike: mse is simpler"
        case _:
            why = "heavy tails and a scale of its own for each column"
            return good, why, cure if heavy else "tails heavier than the normal distribution's"


def _likely_good(
    columns: Sequence[Column],
    its: Sequence[Figures],
    left: Residuals | None,
    shape: tuple[int, ...] | None,
) -> tuple[list[str], str]:
    """The losses to expect most of, the first the best guess, and why."""
    kinds = {c.kind for c in columns}
    if kinds == {Kind.CATEGORICAL}:
        return ["cross_entropy"], "every column holds levels without order"
    if kinds == {Kind.BINARY}:
        return ["bce"], "every column holds only 0 and 1: bce is their likelihood"
    if kinds == {Kind.COUNT}:
        return ["negative_binomial", "poisson"], "every searched column counts something"
    if all(map(_bounded, columns)):
        mass = float(np.mean([_mass_at_ends(f) for f in its]))
        scales = {(c.low, c.high, c.resolution) for c in columns}
        grey = len(scales) == 1 and columns[0].resolution is not None
        if mass > MASS and (grey or (shape is not None and len(shape) == 3)):
            return ["bce", "log_cosh", "huber"], (
                f"grey levels on one scale with {mass:.0%} of the cells at its ends (ink): as "
                "probabilities of ink"
            )
        if mass > MASS:
            return ["huber", "mae", "bce"], (
                f"bounded columns with {mass:.0%} of the cells at their ends (saturation, salt and "
                "pepper)"
            )
        return ["bce", "mse"], "bounded columns without outliers"
    if left is None or left.tail is None:
        return ["mse", "huber"], "too little is left by a PCA to judge the noise"
    return _by_residuals(left)


def _mass_at_ends(figure: Figures) -> float:
    """Share of the cells at the ends of a column; those of a constant column count once."""
    return min(1.0, (figure["mass_low"] or 0.0) + (figure["mass_high"] or 0.0))


def _by_residuals(left: Residuals) -> tuple[list[str], str]:
    pca = f"residuals of a PCA with {counted(left.width, 'component')}"
    heavy = left.tail is not None and left.tail > TAIL_NU_4
    if heavy or left.outliers > OUTLIER_SHARE:
        likely = (
            ["student_t", "huber", "mae"] if left.spread > SPREAD else ["huber", "mae", "student_t"]
        )
        return likely, (
            f"heavy tails: {left.outliers:.1%} of the cells are outliers among the {pca}"
        )
    if left.spread > SPREAD:
        return ["gaussian_nll", "student_t"], (
            f"the noise differs much between columns: the {pca} differ {left.spread:.1f}-fold in "
            "spread, so each column wants its own scale"
        )
    if left.tail is not None and left.tail > TAIL_NU_20:
        return ["huber", "log_cosh", "student_t"], f"moderate tails in the {pca}"
    return ["mse"], f"nearly normal {pca}"
