"""What an autoencoder must beat: the mean, the median, and a PCA of the same bottleneck.

Shapes: N training rows, M rows to reconstruct, F features.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

BASELINES = ("mean", "median", "pca")


def reconstruct(name: str, train_NF: Array, rows_MF: Array, latent_dim: int) -> Array:
    """Reconstructs rows by a baseline fitted on training rows, (M, F); see `fit`."""
    return fit(name, train_NF, latent_dim)(rows_MF)


def fit(name: str, train_NF: Array, latent_dim: int) -> Callable[[Array], Array]:
    """A baseline fitted on training rows: from rows to their reconstructions, both (M, F).

    A PCA with L components is the best linear autoencoder of bottleneck L under squared error
    (Baldi & Hornik 1989). It depends on the scale of the columns: give it scaled rows.

    Args:
        name: One of `BASELINES`.
        train_NF: Training rows, scaled.
        latent_dim: Width of the bottleneck; a PCA can't have more components than rows or columns.
    """
    if name != "pca":
        middle_F = train_NF.mean(axis=0) if name == "mean" else np.median(train_NF, axis=0)
        return lambda rows_MF: np.broadcast_to(middle_F, rows_MF.shape).copy()
    from sklearn.decomposition import PCA

    pca = PCA(n_components=min(latent_dim, *train_NF.shape), svd_solver="full").fit(train_NF)
    return lambda rows_MF: np.asarray(
        pca.inverse_transform(pca.transform(rows_MF)), dtype=np.float64
    )
