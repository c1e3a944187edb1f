"""The dense autoencoder: fully connected layers, a linear bottleneck, a mirrored decoder."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from hourglass.models import Architecture, Autoencoder, activation


class Dense(Autoencoder):
    """F -> hidden -> L -> hidden reversed -> F; bottleneck and output are linear.

    With `hidden=()` it is the linear autoencoder, which spans the same subspace as PCA under MSE.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__(architecture)
        sizes = (architecture.features, *architecture.hidden, architecture.latent_dim)
        self.encoder = _layers(sizes, architecture.activation)
        self.decoder = _layers(sizes[::-1], architecture.activation)

    def encode(self, x_BF: Tensor) -> Tensor:
        """The bottleneck of each row, (B, L)."""
        z_BL: Tensor = self.encoder(x_BF)
        return z_BL

    def decode(self, z_BL: Tensor) -> Tensor:
        """The raw output of each row, (B, F)."""
        raw_BF: Tensor = self.decoder(z_BL)
        return raw_BF


def _layers(sizes: Sequence[int], name: str) -> nn.Sequential:
    """Linear layers from size to size with an activation between them, none after the last."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), activation(name)]
    return nn.Sequential(*layers[:-1])


MODEL = Dense
