"""What the columns look like, and which losses suit them: the advisor's first version.

Shapes: S sampled training rows, F columns. Everything is told from training rows alone. Losses are
known here only by the values they are defined on (their domain) and, as advice, by name.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hourglass.moments import Moments, quartiles, spread
from hourglass.schema import Column, Kind

Array = NDArray[np.float64]
Figures = dict[str, float | None]

# An outlier lies further from the median than 5 robust standard deviations (IQR / 1.349). Of
# Gaussian values 6e-7 do, of Student-t values with nu = 4 just over 0.5 %.
OUTLIER_SDS, NORMAL_IQR = 5.0, 1.349
OUTLIER_SHARE = 0.005
# Tail ratio (q99.5 - q0.5) / (q75 - q25): of Student-t with nu = 20 and nu = 4 (the Gauss: 3.82).
TAIL_NU_20, TAIL_NU_4 = 4.14, 6.22
SPREAD = 3.0  # ratio of the columns' residual spread beyond which each column wants its own scale
MASS = 0.05  # share of cells at the two ends of their columns that counts as ink or saturation
PCA_ROWS, PCA_COLUMNS = 10_000, 1024
SHOWN = 3


@dataclass(frozen=True)
class Residuals:
    """What a PCA leaves of the standardised columns.

    Attributes:
        width: Components kept.
        tail: Median over columns of the tail ratio; None where too few residuals vary.
        outliers: Share of cells that are outliers among their column's residuals.
        spread: 90th over 10th percentile of the columns' residual standard deviation.
    """

    width: int
    tail: float | None
    outliers: float
    spread: float


def profile(columns: Sequence[Column], train_SF: Array, seen: Moments) -> dict[str, Any]:
    """The content of profile.json.

    Args:
        columns: The F columns.
        train_SF: Training rows in original units, or an even sample of them.
        seen: Exact figures of all training rows.

    Returns:
        "columns": figures for each column; "residuals": of a PCA, None for a single column;
        "domains": for "real" and "unit" whether losses on such values are admissible, dubious or
        blocked, why, and the scaler to use; "likely_good": losses to expect most of, and "why";
        "scaler": the one to use for the table.
    """
    figures = _figures(columns, train_SF, seen)
    residuals = _residuals(train_SF, seen) if len(columns) > 1 else None
    scaler = _scaler(columns, list(figures.values()))
    likely, why = _likely_good(columns, list(figures.values()), residuals)
    return {
        "columns": figures,
        "residuals": vars(residuals) if residuals else None,
        "domains": {"real": _real(columns, scaler), "unit": _unit(columns)},
        "likely_good": likely,
        "why": why,
        "scaler": scaler,
    }


def _figures(columns: Sequence[Column], train_SF: Array, seen: Moments) -> dict[str, Figures]:
    q25_F, median_F, q75_F = quartiles(train_SF)
    over_F, tail_F = _outliers(train_SF), _tails(train_SF)
    mass_low_F = np.mean(train_SF == seen.low_F, axis=0)
    mass_high_F = np.mean(train_SF == seen.high_F, axis=0)
    figures: dict[str, Figures] = {}
    for f, column in enumerate(columns):
        mean, sd, low = float(seen.mean_F[f]), float(seen.sd_F[f]), float(seen.low_F[f])
        figures[column.name] = {
            "min": low,
            "max": float(seen.high_F[f]),
            "mean": mean,
            "sd": sd,
            "median": float(median_F[f]),
            "iqr": float(q75_F[f] - q25_F[f]),
            "mass_low": float(mass_low_F[f]),
            "mass_high": float(mass_high_F[f]),
            "outliers": _known(over_F[f]),
            "tail": _known(tail_F[f]),
            "variance_over_mean": sd * (sd / mean) if mean > 0 and low >= 0 else None,
            "resolution": column.resolution,
        }
    return figures


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _outliers(x_SF: Array) -> Array:
    """Share of outliers in each column, (F,); NaN where the quartiles don't tell the spread."""
    range_F, median_F = spread(x_SF), quartiles(x_SF)[1]
    known_F = np.where(np.isnan(range_F), 1.0, range_F)
    share_F = np.mean(np.abs(x_SF - median_F) > OUTLIER_SDS * known_F / NORMAL_IQR, axis=0)
    return np.where(np.isnan(range_F), np.nan, share_F)


def _tails(x_SF: Array) -> Array:
    """Tail ratio of each column, (F,); NaN where the quartiles don't tell the spread."""
    low_F, high_F = np.quantile(x_SF, (0.005, 0.995), axis=0)
    return np.asarray((high_F - low_F) / spread(x_SF))


def _residuals(train_SF: Array, seen: Moments) -> Residuals:
    """Fits a PCA of a quarter of the columns as width to at most 10,000 rows and 1024 columns.

    Location and scale are robust and far values are clipped while the axes are sought, so that the
    residuals show the tails instead of having bent the axes.

    The model's own bottleneck is not known to preprocess; a quarter is a typical one.
    """
    rows, columns = train_SF.shape
    at_R = np.linspace(0, rows - 1, min(rows, PCA_ROWS)).round().astype(np.int64)
    at_C = np.linspace(0, columns - 1, min(columns, PCA_COLUMNS)).round().astype(np.int64)
    z_RC = _standardised(train_SF[np.ix_(at_R, at_C)], seen.sd_F[at_C])
    width = min(len(at_C) - 1, max(1, len(at_C) // 4))
    calm_RC = np.clip(z_RC, -OUTLIER_SDS, OUTLIER_SDS)  # lest the axes point at the outliers
    _, axes_CC = np.linalg.eigh(calm_RC.T @ calm_RC)
    top_CW = axes_CC[:, -width:]
    left_RC = z_RC - (z_RC @ top_CW) @ top_CW.T
    sd_left = np.clip(left_RC, -OUTLIER_SDS, OUTLIER_SDS).std(axis=0)
    # What is left of a column that others determine is rounding error; it says nothing of noise.
    varies = np.flatnonzero((seen.sd_F[at_C] > 0) & (sd_left > 1e-6))
    tails, outliers = _tails(left_RC[:, varies]), _outliers(left_RC[:, varies])
    known = np.isfinite(tails)
    if not known.any():
        return Residuals(width, None, 0.0, 1.0)
    q10, q90 = np.quantile(sd_left[varies], (0.1, 0.9))
    return Residuals(
        width=width,
        tail=float(np.median(tails[known])),
        outliers=float(np.mean(outliers[known])),
        spread=float(q90 / q10),
    )


def _standardised(x_RC: Array, sd_C: Array) -> Array:
    """Median 0 and robust standard deviation 1; the plain one where quartiles say little."""
    range_C = spread(x_RC)
    scale_C = np.where(np.isnan(range_C), sd_C, range_C / NORMAL_IQR)
    return np.asarray((x_RC - quartiles(x_RC)[1]) / np.where(scale_C > 0, scale_C, 1.0))


def _bounded(column: Column) -> bool:
    return column.low is not None and column.high is not None


def _scaler(columns: Sequence[Column], figures: Sequence[Figures]) -> str:
    """The scaler for the table: by walls where all have them, by quartiles against outliers."""
    if all(map(_bounded, columns)):
        return "unit"
    shares = [f["outliers"] for f in figures if f["outliers"] is not None]
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


def _likely_good(
    columns: Sequence[Column], figures: Sequence[Figures], left: Residuals | None
) -> tuple[list[str], str]:
    """The losses to expect most of, the first the best guess, and why."""
    if all(c.kind is Kind.BINARY for c in columns):
        return ["bce"], "every column holds only 0 and 1: bce is their likelihood"
    if all(map(_bounded, columns)):
        mass = float(np.mean([_mass_at_ends(f) for f in figures]))
        if mass > MASS:
            return ["huber", "mae", "bce"], (
                f"bounded columns with {mass:.0%} of the cells at their ends (ink, saturation)"
            )
        return ["bce", "mse"], "bounded columns without outliers"
    if left is None or left.tail is None:
        return ["mse", "huber"], "too little is left by a PCA to judge the noise"
    return _by_residuals(left)


def _mass_at_ends(figure: Figures) -> float:
    """Share of the cells at the ends of a column; those of a constant column count once."""
    return min(1.0, (figure["mass_low"] or 0.0) + (figure["mass_high"] or 0.0))


def _by_residuals(left: Residuals) -> tuple[list[str], str]:
    pca = f"residuals of a PCA with {left.width} components"
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
