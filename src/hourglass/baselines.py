"""What an autoencoder must beat: the mean, the median, and a PCA of the same bottleneck.

Shapes: N training rows, M rows to reconstruct, F features.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

BASELINES = ("mean", "median", "pca")


def reconstruct(name: str, train_NF: Array, rows_MF: Array, latent_dim: int) -> Array:
    """Reconstructs rows by a baseline fitted on training rows, shape (M, F).

    A PCA with L components is the best linear autoencoder of bottleneck L under squared error
    (Baldi & Hornik 1989). It depends on the scale of the columns: give it scaled rows.

    Args:
        name: One of `BASELINES`.
        train_NF: Training rows, scaled.
        rows_MF: Rows to reconstruct, scaled.
        latent_dim: Width of the bottleneck; a PCA can't have more components than rows or columns.
    """
    if name == "mean":
        return np.broadcast_to(train_NF.mean(axis=0), rows_MF.shape).copy()
    if name == "median":
        return np.broadcast_to(np.median(train_NF, axis=0), rows_MF.shape).copy()
    from sklearn.decomposition import PCA

    pca = PCA(n_components=min(latent_dim, *train_NF.shape), svd_solver="full").fit(train_NF)
    return np.asarray(pca.inverse_transform(pca.transform(rows_MF)), dtype=np.float64)
