"""Plain errors of a reconstruction in original units, recorded beside the ruler; none ranks losses.

Shapes: N rows, F columns, D numbers of the wide form (see `hourglass.wide`): a categorical column
counts as one number for each of its levels, 1 where it was seen, against its probability.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hourglass.errors import DataError, TrainingError
from hourglass.schema import Array, Column

PARTS = 32  # of the rows: enough to test by, few enough to keep with every trial


def bits_per_feature(
    bits_NF: Array,
    seen_NF: NDArray[np.bool_],
    extra_N: Array,
    count_N: Array | None = None,
) -> float:
    """Mean bits of an observed value.

    Args:
        bits_NF: Code length of each value, 0 where nothing was observed.
        seen_NF: Which values were observed.
        extra_N: Bits that a row costs beside its values.
        count_N: How much each row counts; None: all the same.
    """
    row_N: Array = bits_NF.sum(axis=1) + extra_N
    weight_N = np.ones(len(row_N)) if count_N is None else count_N
    return float(np.dot(weight_N, row_N)) / float(np.dot(weight_N, seen_NF.sum(axis=1)))


def by_part(
    bits_NF: Array,
    seen_NF: NDArray[np.bool_],
    extra_N: Array,
    count_N: Array | None = None,
) -> list[float]:
    """`bits_per_feature` of each of up to `PARTS` runs of neighbouring rows.

    Each part's bits are divided by what was observed in a part on average, so that the mean of the
    parts is that of all rows whatever the gaps. Means of many rows scatter nearly as the t test
    presumes, and rows that depend on their neighbours stay in one part.
    """
    rows = len(bits_NF)
    parts = min(PARTS, rows)
    weight_N = np.ones(rows) if count_N is None else count_N
    part_N = np.arange(rows) * parts // rows
    row_N = weight_N * (bits_NF.sum(axis=1) + extra_N)
    mean = float(np.dot(weight_N, seen_NF.sum(axis=1))) / parts
    return [float(v) for v in np.bincount(part_N, row_N, parts) / mean]


def detection(score_N: Array, unusual_N: Array) -> dict[str, float]:
    """How well a score tells unusual rows from the others; labels are known afterwards only.

    Args:
        score_N: High where a row is thought unusual.
        unusual_N: 1 of unusual rows, 0 of others, NaN where nobody knows.

    Returns:
        auroc: how often an unusual row scores above another one, ties half (Fawcett 2006).
        average_precision: mean precision over the recalls (as scikit-learn defines it).
        Nothing if there are no rows of one sort.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    known_N = ~np.isnan(unusual_N)
    truth, score = unusual_N[known_N] == 1, score_N[known_N]
    if truth.all() or not truth.any():
        return {}
    return {
        "auroc": float(roc_auc_score(truth, score)),
        "average_precision": float(average_precision_score(truth, score)),
    }


def scales(spread_D: Array, columns: Sequence[Column]) -> Array:
    """What makes columns of different units comparable: their spread, at least their resolution.

    Without the floor one stray value in a pixel that is otherwise never inked decides nrmse.

    Args:
        spread_D: Standard deviation over the training rows.
        columns: The columns.
    """
    steps = [c.resolution or 0.0 for c in columns]
    return np.asarray(np.maximum(spread_D, np.repeat(steps, [c.width for c in columns])))


def measure(target_ND: Array, reconstruction_ND: Array, scale_D: Array) -> dict[str, float]:
    """Errors over all observed values; those that are NaN in the target are left out.

    Args:
        target_ND: Observed values in original units.
        reconstruction_ND: Their reconstructions.
        scale_D: What each column's residuals are divided by, see `scales`; a column where it is 0
            counts undivided in nrmse and nmae.

    Returns:
        rmse, mae, median_ae, max_error: of the residuals, all columns pooled, so that columns in
            small units hardly count where units differ.
        bias: mean of reconstruction minus target.
        nrmse, nmae: rmse and mae after each residual was divided by its column's scale.
        r2: 1 - SSE / SST, both pooled over columns, SST about each column's mean in the target;
            where the target is constant 1 for a perfect reconstruction and else 0.

    Raises:
        DataError: nothing was observed.
        TrainingError: a reconstruction of an observed value is not finite.
        ValueError: shapes differ.
    """
    target, reconstruction = np.asarray(target_ND, float), np.asarray(reconstruction_ND, float)
    scale = np.asarray(scale_D, float)
    if target.ndim != 2 or target.shape != reconstruction.shape or scale.shape != target.shape[1:]:
        raise ValueError(
            f"target {target.shape} and reconstruction {reconstruction.shape} must both be (rows, "
            f"columns), the scale {scale.shape} one number a column"
        )
    seen = ~np.isnan(target)
    if not seen.any():
        raise DataError(f"no value was observed in {target.shape} rows and columns: use other rows")
    error_ND = np.where(seen, reconstruction - target, 0.0)
    for row, column in np.argwhere(~np.isfinite(error_ND))[:1]:
        raise TrainingError(
            f"reconstruction {reconstruction[row, column]} of {target[row, column]} in row {row}, "
            f"column {column}: both must be finite; if the fit diverged, lower its learning rate"
        )
    error = error_ND[seen]
    normed = (error_ND / np.where(scale > 0, scale, 1.0))[seen]
    return {
        "rmse": float(np.sqrt(np.mean(error**2))),
        "mae": float(np.mean(np.abs(error))),
        "nrmse": float(np.sqrt(np.mean(normed**2))),
        "nmae": float(np.mean(np.abs(normed))),
        "median_ae": float(np.median(np.abs(error))),
        "max_error": float(np.max(np.abs(error))),
        "r2": _pooled_r2(target, error, seen),
        "bias": float(np.mean(error)),
    }


def _pooled_r2(target_ND: Array, error: Array, seen_ND: np.ndarray) -> float:
    observed = np.where(seen_ND, target_ND, 0.0)
    mean_D = observed.sum(axis=0) / np.maximum(seen_ND.sum(axis=0), 1)
    top_D = np.where(seen_ND, target_ND, -np.inf).max(axis=0)
    varies_D = top_D > np.where(seen_ND, target_ND, np.inf).min(axis=0)  # exact, unlike SST > 0
    sst = float(np.sum(np.where(seen_ND & varies_D, target_ND - mean_D, 0.0) ** 2))
    sse = float(np.sum(error**2))
    if sst == 0:
        return 1.0 if sse == 0 else 0.0
    return 1 - sse / sst
