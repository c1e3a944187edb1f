"""What single columns look like: figures, a small histogram, and a line in words.

Shapes: S sampled training rows, F columns.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from scipy import special

from hourglass.moments import Moments, quantiles, quartiles, spread
from hourglass.schema import Array, Column, Kind

# An outlier lies further from the median than 5 robust standard deviations (IQR / 1.349). Of
# Gaussian values 6e-7 do, of Student-t values with nu = 4 just over 0.5 %.
OUTLIER_SDS, NORMAL_IQR = 5.0, 1.349
NUS = np.geomspace(1.2, 80.0, 60)
NORMAL_NU = 20.0  # from here on a t distribution passes for a normal one
BINS, MOST_HISTOGRAMS = 24, 256
TOP_LEVELS = 10
SKEWED = 1.0  # skewness of a column that is called skewed
CACHED_VALUES = 1 << 17  # numbers that a thread takes at a time: 1 MiB
ATOM = 0.2  # share of the rows on one value that is worth a word


def figures(columns: Sequence[Column], train_SF: Array, seen: Moments) -> dict[str, dict[str, Any]]:
    """Figures of each column, by name; None where a figure says nothing of the column.

    Args:
        columns: The F columns.
        train_SF: Training rows in original units, or an even sample of them; NaN where missing.
        seen: Exact figures of all training rows.
    """
    step = max(1, CACHED_VALUES // max(1, len(train_SF)))
    groups = [slice(start, start + step) for start in range(0, len(columns), step)]
    draw = len(columns) <= MOST_HISTOGRAMS

    def of(at: slice) -> dict[str, dict[str, Any]]:
        return _figures(columns[at], train_SF[:, at], seen.take(at), draw=draw)

    with ThreadPoolExecutor() as pool:
        return {name: its for part in pool.map(of, groups) for name, its in part.items()}


def _figures(
    columns: Sequence[Column], train_SF: Array, seen: Moments, *, draw: bool
) -> dict[str, dict[str, Any]]:
    """The same of a few columns."""
    train_SF = np.sort(train_SF, axis=0)  # quantiles of sorted values are cheap, and many are asked
    q25_F, median_F, q75_F = quartiles(train_SF)
    over_F, tail_F = outliers(train_SF), tails(train_SF)
    count_F = np.maximum((~np.isnan(train_SF)).sum(axis=0), 1)
    mass_low_F = (train_SF == seen.low_F).sum(axis=0) / count_F
    mass_high_F = (train_SF == seen.high_F).sum(axis=0) / count_F
    scale_F = np.where(seen.sd_F > 0, seen.sd_F, 1.0)
    cube_F = np.nansum(((train_SF - seen.mean_F) / scale_F) ** 3, axis=0) / count_F
    distinct_F = (np.diff(train_SF, axis=0) > 0).sum(axis=0) + (~np.isnan(train_SF)).any(axis=0)
    found: dict[str, dict[str, Any]] = {}
    for f, column in enumerate(columns):
        share = 1 - float(count_F[f]) / len(train_SF)
        if column.kind is Kind.CATEGORICAL:
            found[column.name] = _of_levels(column, train_SF[:, f], share)
            continue
        mean, sd, low = float(seen.mean_F[f]), float(seen.sd_F[f]), float(seen.low_F[f])
        found[column.name] = {
            "kind": column.kind.value,
            "missing": share,
            "distinct": int(distinct_F[f]),
            "min": low,
            "max": float(seen.high_F[f]),
            "mean": mean,
            "sd": sd,
            "median": float(median_F[f]),
            "iqr": float(q75_F[f] - q25_F[f]),
            "mass_low": float(mass_low_F[f]),
            "mass_high": float(mass_high_F[f]),
            "outliers": known(over_F[f]),
            "tail": known(tail_F[f]),
            "nu": None if np.isnan(tail_F[f]) else nu_of(float(tail_F[f])),
            "skewness": float(cube_F[f]) if sd > 0 else None,
            "variance_over_mean": sd * (sd / mean) if mean > 0 and low >= 0 else None,
            "resolution": column.resolution,
        }
        if draw:
            found[column.name]["histogram"] = histogram(column, train_SF[:, f])
    for f, column in enumerate(columns):
        found[column.name]["looks"] = words(column, found[column.name], train_SF[:, f])
    return found


def _of_levels(column: Column, codes_S: Array, missing: float) -> dict[str, Any]:
    codes_S = codes_S[~np.isnan(codes_S)].astype(np.int64)
    counts = np.bincount(codes_S, minlength=column.width + 1)[: column.width]
    share_L = counts / max(1, counts.sum())
    top = np.argsort(-share_L, kind="stable")[:TOP_LEVELS]
    used = share_L[share_L > 0]
    return {
        "kind": column.kind.value,
        "missing": missing,
        "distinct": len(used),
        "levels": column.width,
        "top": {column.levels[i]: float(share_L[i]) for i in top},
        "entropy": float(-(used * np.log2(used)).sum()),
        "median": None,
        "iqr": None,
        "outliers": None,
    }


def known(value: float) -> float | None:
    """The value, None for NaN."""
    return None if np.isnan(value) else float(value)


def outliers(x_SF: Array) -> Array:
    """Share of outliers in each column, (F,); NaN where the quartiles don't tell the spread."""
    range_F, median_F = spread(x_SF), quartiles(x_SF)[1]
    known_F = np.where(np.isnan(range_F), 1.0, range_F)
    count_F = np.maximum((~np.isnan(x_SF)).sum(axis=0), 1)
    far_SF = np.abs(x_SF - median_F) > OUTLIER_SDS * known_F / NORMAL_IQR
    return np.where(np.isnan(range_F), np.nan, far_SF.sum(axis=0) / count_F)


def tails(x_SF: Array) -> Array:
    """Tail ratio (q99.5 - q0.5) / (q75 - q25) of each column, (F,).

    NaN where the quartiles don't tell the spread.
    """
    low_F, high_F = quantiles(x_SF, (0.005, 0.995))
    return np.asarray((high_F - low_F) / spread(x_SF))


def nu_of(tail: float) -> float | None:
    """Degrees of freedom of the Student-t distribution with this tail ratio; None: as the normal.

    The ratio falls with nu: 6.22 at 4, 4.14 at 20, 3.82 for the normal distribution.
    """
    ratio = special.stdtrit(NUS, 0.995) / special.stdtrit(NUS, 0.75)
    nu = float(np.interp(-tail, -ratio, NUS))
    return None if nu > NORMAL_NU else nu


def histogram(column: Column, values_S: Array) -> dict[str, Any]:
    """Edges and counts, at most 24 bins; the end bins take what lies beyond a robust range.

    "below" and "above" say how many values these are.
    """
    values_S = values_S[~np.isnan(values_S)]
    if not len(values_S):
        return {"edges": [], "counts": [], "below": 0, "above": 0}
    low, q25, q75, high = np.quantile(values_S, (0.0, 0.25, 0.75, 1.0))
    reach = 4 * (q75 - q25)
    if reach > 0:
        low, high = max(low, q25 - reach), min(high, q75 + reach)
    step = column.resolution or 0.0
    if step and (high - low) / step < BINS:
        edges = np.arange(low - step / 2, high + step, step)
    else:
        edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
    counts = np.histogram(np.clip(values_S, edges[0], edges[-1]), edges)[0]
    return {
        "edges": edges.tolist(),
        "counts": counts.tolist(),
        "below": int((values_S < edges[0]).sum()),
        "above": int((values_S > edges[-1]).sum()),
    }


def words(column: Column, its: dict[str, Any], values_S: Array) -> str:
    """One line for people."""
    parts = [column.kind.value]
    if column.kind is Kind.CATEGORICAL:
        first, share = next(iter(its["top"].items()))
        parts += [f"{its['levels']} levels", f"{first!r} most often ({share:.0%})"]
    elif column.kind is Kind.BINARY:
        parts.append(f"1 in {its['mean']:.1%} of the rows")
    else:
        parts += _of_numbers(column, its, values_S)
    if its["missing"] > 0:
        parts.append(f"{its['missing']:.1%} missing")
    return ", ".join(parts)


def _of_numbers(column: Column, its: dict[str, Any], values_S: Array) -> list[str]:
    parts = []
    if column.kind is Kind.CONTINUOUS and column.resolution is not None:
        parts.append(f"steps of {column.resolution:g}")
    if column.low is not None and column.high is not None:
        parts.append(f"bounded by {column.low:g} and {column.high:g}")
    values_S = values_S[~np.isnan(values_S)]
    if column.kind is Kind.CONTINUOUS and len(values_S):
        levels, counts = np.unique(values_S, return_counts=True)
        if counts.max() > ATOM * len(values_S):
            parts.append(f"{counts.max() / len(values_S):.0%} are {levels[counts.argmax()]:g}")
    if column.kind is Kind.COUNT and its["variance_over_mean"] is not None:
        parts.append(f"variance {its['variance_over_mean']:.2g} times the mean")
    if its["nu"] is not None and column.low is None:
        parts.append(f"heavy tails (like t with {its['nu']:.1f} degrees of freedom)")
    if its["skewness"] is not None and abs(its["skewness"]) > SKEWED:
        parts.append(f"skewed to the {'right' if its['skewness'] > 0 else 'left'}")
    if its["outliers"]:
        parts.append(f"{its['outliers']:.2%} outliers")
    return parts
