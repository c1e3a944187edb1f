"""How an observed level scatters around its reconstructed probabilities: a recalibrated softmax.

Shapes: N rows, K levels of one column.
"""

from collections.abc import Mapping

import numpy as np

from hourglass.schema import Array

SURE = 1e-6  # reconstructed probabilities are kept this far above 0
STARTS = (1.0, 0.3, 0.1, 0.0)  # slopes; the prior takes the rest. Far from the best one can be flat
RIDGE = 0.01  # of the slope towards 1 and the prior's weight towards 0: separable data stay finite
NAME = "softmax"


def fit(codes_N: Array, probability_NK: Array) -> dict[str, float]:
    """Fits the code of one column's levels by maximum likelihood.

    The probability of level k is softmax(slope * log p_k + prior * log f_k) with f the levels'
    shares in these rows: temperature scaling (Guo et al. 2017) with a bias towards the shares, so
    that a model that knows nothing still costs no more than their entropy. What is no level of the
    training rows keeps the share (seen + 1/2) / (N + 1) (Krichevsky & Trofimov 1981).

    Args:
        codes_N: Observed codes; K stands for a level that training rows lack, NaN for a gap.
        probability_NK: Reconstructed probabilities, need not be normalised.

    Returns:
        "slope", "prior", "unseen", and the shares "share_0", "share_1", ...
    """
    levels = probability_NK.shape[1]
    observed_N = codes_N[~np.isnan(codes_N)].astype(np.int64)
    known_N = np.flatnonzero(codes_N < levels)
    counts = np.bincount(observed_N[observed_N < levels], minlength=levels)
    share_K = (counts + 0.5) / (counts.sum() + 0.5 * levels)
    unseen = (len(observed_N) - counts.sum() + 0.5) / (len(observed_N) + 1)
    parts = _parts(probability_NK[known_N], share_K)
    slope, prior = _newton(parts, codes_N[known_N].astype(np.int64))
    shares = {f"share_{k}": float(share) for k, share in enumerate(share_K)}
    return {"slope": slope, "prior": prior, "unseen": float(unseen), **shares}


def bits(fitted: Mapping[str, float], codes_N: Array, probability_NK: Array) -> Array:
    """Code length of each level, (N,); 0 where nothing was observed."""
    levels = probability_NK.shape[1]
    share_K = np.array([fitted[f"share_{k}"] for k in range(levels)])
    tilted = _parts(probability_NK, share_K)
    log_q_NK = _log_softmax(fitted["slope"] * tilted[0] + fitted["prior"] * tilted[1])
    at_N = np.clip(np.nan_to_num(codes_N), 0, levels - 1).astype(np.int64)
    known_N = np.log1p(-fitted["unseen"]) + np.take_along_axis(log_q_NK, at_N[:, None], 1)[:, 0]
    log_p_N = np.where(codes_N >= levels, np.log(fitted["unseen"]), known_N)
    return np.where(np.isnan(codes_N), 0.0, -log_p_N / np.log(2))


def _parts(probability_NK: Array, share_K: Array) -> tuple[Array, Array]:
    """Log probabilities and log shares, each (N, K)."""
    log_p_NK = np.log(np.maximum(probability_NK, SURE))
    return log_p_NK, np.broadcast_to(np.log(share_K), log_p_NK.shape)


def _log_softmax(score_NK: Array) -> Array:
    top_NK = score_NK - score_NK.max(axis=1, keepdims=True)
    return np.asarray(top_NK - np.log(np.exp(top_NK).sum(axis=1, keepdims=True)))


def _newton(parts: tuple[Array, Array], at_N: np.ndarray) -> tuple[float, float]:
    """Newton steps on the ridged negative log likelihood, halved while they do not descend.

    The likelihood is concave, but of a model that is surer than right it is all but flat at slope 1
    and Newton steps lead astray: the best of a few starts is taken.
    """
    both_2NK = np.stack(parts)
    starts = [np.array([slope, 1.0 - slope]) for slope in STARTS]
    losses = [_loss(start, both_2NK, at_N) for start in starts]
    theta, best = starts[int(np.argmin(losses))], min(losses)
    for _ in range(30):
        gradient, curvature = _derivatives(theta, both_2NK, at_N)
        step = np.linalg.solve(curvature, gradient)
        size = 1.0
        while (moved := _loss(theta - size * step, both_2NK, at_N)) > best and size > 1e-6:
            size /= 2
        if moved > best - 1e-10 * (1 + len(at_N)):
            break
        theta, best = theta - size * step, moved
    return float(theta[0]), float(theta[1])


def _loss(theta: Array, both_2NK: Array, at_N: np.ndarray) -> float:
    log_q_NK = _log_softmax(np.tensordot(theta, both_2NK, 1))
    ridge = RIDGE / 2 * ((theta[0] - 1) ** 2 + theta[1] ** 2)
    return float(ridge - np.take_along_axis(log_q_NK, at_N[:, None], 1).sum())


def _derivatives(theta: Array, both_2NK: Array, at_N: np.ndarray) -> tuple[Array, Array]:
    q_NK = np.exp(_log_softmax(np.tensordot(theta, both_2NK, 1)))
    mean_2N = np.einsum("nk,ink->in", q_NK, both_2NK)
    seen_2N = both_2NK[:, np.arange(len(at_N)), at_N]
    ridge = RIDGE * (theta - np.array([1.0, 0.0]))
    gradient = (mean_2N - seen_2N).sum(axis=1) + ridge
    square = np.einsum("nk,ink,jnk->ij", q_NK, both_2NK, both_2NK, optimize=True)
    curvature = square - mean_2N @ mean_2N.T + RIDGE * np.eye(2)
    return gradient, curvature
