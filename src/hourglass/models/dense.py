"""The dense autoencoder: fully connected layers, a linear bottleneck, a mirrored decoder."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from hourglass.models import Architecture, Autoencoder, activation


class Dense(Autoencoder):
    """E -> hidden -> C, and L -> hidden reversed -> W; bottleneck and output are linear.

    With `hidden=()` it is the linear autoencoder, which spans the same subspace as PCA under MSE.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__(architecture)
        own, hidden = architecture, architecture.hidden
        self.encoder = _layers((own.inputs, *hidden, own.code_dim), own.activation)
        self.decoder = _layers((own.latent_dim, *hidden[::-1], own.outputs), own.activation)

    def code(self, x_BE: Tensor) -> Tensor:
        """What the encoder says of each row, (B, C)."""
        code_BC: Tensor = self.encoder(x_BE)
        return code_BC

    def decode(self, z_BL: Tensor) -> Tensor:
        """The raw output of each row, (B, W)."""
        raw_BW: Tensor = self.decoder(z_BL)
        return raw_BW


def _layers(sizes: Sequence[int], name: str) -> nn.Sequential:
    """Linear layers from size to size with an activation between them, none after the last."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), activation(name)]
    return nn.Sequential(*layers[:-1])


MODEL = Dense
