"""The autoencoders: each module is one kind of network under one contract.

Shapes: B rows of a batch, F features, L latent values. A network ends in the *raw* output: what it
stands for (identity, logit, ...) is the loss's to say, so no network ends in a sigmoid. A module
defines `MODEL = TheClass`, built from an `Architecture`.
"""

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import Any, Self

from torch import Tensor, nn

from hourglass.catalog import Catalog, nearest
from hourglass.errors import ConfigError

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "silu": nn.SiLU,
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "tanh": nn.Tanh,
}


@dataclass(frozen=True)
class Architecture:
    """All that is needed to build a network again; its weights are kept elsewhere.

    Attributes:
        features: F, values of a row.
        latent_dim: L, values of the bottleneck. L >= F is allowed, but then the network can copy
            its input, noise and all, and no loss can be told from another.
        hidden: Widths between input and bottleneck; the decoder mirrors them. () is linear.
        activation: A name of `ACTIVATIONS`.
        grid: (height, width) where the features are the pixels of an image in row-major order.
    """

    features: int
    latent_dim: int
    hidden: tuple[int, ...]
    activation: str
    grid: tuple[int, int] | None

    def to_json(self) -> dict[str, Any]:
        """Plain data for json.dump; `from_json` is its inverse."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Rebuilds an architecture from what `to_json` gave, also after a way through JSON."""
        grid = tuple(data["grid"]) if data["grid"] else None
        return cls(**{**data, "hidden": tuple(data["hidden"]), "grid": grid})


class Autoencoder(nn.Module, ABC):
    """Contract of all networks.

    Args:
        architecture: Kept as `self.architecture`.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture

    @abstractmethod
    def encode(self, x_BF: Tensor) -> Tensor:
        """The bottleneck of each row, (B, L)."""

    @abstractmethod
    def decode(self, z_BL: Tensor) -> Tensor:
        """The raw output of each row, (B, F), over all real numbers."""

    def forward(self, x_BF: Tensor) -> Tensor:
        """The raw output for each input row, (B, F)."""
        return self.decode(self.encode(x_BF))


MODELS: Catalog[type[Autoencoder]] = Catalog("hourglass.models", "model", "MODEL")


def build(kind: str, architecture: Architecture) -> Autoencoder:
    """Builds a network with fresh weights, drawn from torch's global generator.

    Raises:
        UnknownNameError: no such kind of network.
        ConfigError: no such activation.
    """
    return MODELS.load(MODELS.check(kind, "params.yaml: model.kind"))(architecture)


def activation(name: str) -> nn.Module:
    """A fresh activation layer.

    Raises:
        ConfigError: there is none of this name.
    """
    if name not in ACTIVATIONS:
        raise ConfigError(
            f"model.activation: unknown activation {name!r}{nearest(name, ACTIVATIONS)} "
            f"(known: {', '.join(ACTIVATIONS)})"
        )
    return ACTIVATIONS[name]()
