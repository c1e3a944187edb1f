"""The autoencoders: each module is one kind of network under one contract.

Shapes: B rows of a batch, E inputs, W raw outputs, L latent values, C = L (2 L if variational). A
network ends in the *raw* output: what it stands for (identity, logit, ...) is the loss's to say, so
no network ends in a sigmoid. A module defines `MODEL = TheClass`, built from an `Architecture`.
"""

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from hourglass.catalog import Catalog, nearest
from hourglass.errors import ConfigError

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "silu": nn.SiLU,
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "tanh": nn.Tanh,
}

LARGEST_LOG_VARIANCE = 10.0  # of a variational bottleneck, either way: exp stays finite in float32


@dataclass(frozen=True)
class Architecture:
    """All that is needed to build a network again; its weights are kept elsewhere.

    Attributes:
        inputs: E, numbers that a row is shown as: its scaled values, one for each level of a
            categorical column, and where values may be missing indicators of the gaps. Of an image
            or a window with gaps: the values, then as many indicators.
        outputs: W, numbers of a raw reconstruction: one a feature, one a level.
        latent_dim: L, values of the bottleneck. L >= E is allowed, but then the network can copy
            its input, noise and all, and no loss can be told from another.
        hidden: Widths between input and bottleneck; the decoder mirrors them. () is linear.
        activation: A name of `ACTIVATIONS`.
        shape: (height, width, channels) of an image, (length, channels) of a window, whose values
            are the outputs in row-major order; None: a table.
        variational: Whether the encoder gives a mean and a log variance of each latent value.
    """

    inputs: int
    outputs: int
    latent_dim: int
    hidden: tuple[int, ...]
    activation: str
    shape: tuple[int, ...] | None = None
    variational: bool = False

    @property
    def code_dim(self) -> int:
        """C: numbers that the encoder ends in."""
        return 2 * self.latent_dim if self.variational else self.latent_dim

    def to_json(self) -> dict[str, Any]:
        """Plain data for json.dump; `from_json` is its inverse."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Rebuilds an architecture from what `to_json` gave, also after a way through JSON."""
        shape = tuple(data["shape"]) if data["shape"] else None
        return cls(**{**data, "hidden": tuple(data["hidden"]), "shape": shape})


class Autoencoder(nn.Module, ABC):
    """Contract of all networks.

    Args:
        architecture: Kept as `self.architecture`.

    Attributes:
        dimensions: Of `Architecture.shape` that the network is made for; None: it takes any data.
    """

    dimensions: ClassVar[int | None] = None

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture

    @abstractmethod
    def code(self, x_BE: Tensor) -> Tensor:
        """What the encoder says of each row, (B, C): the bottleneck; or means and log variances."""

    @abstractmethod
    def decode(self, z_BL: Tensor) -> Tensor:
        """The raw output of each row, (B, W), over all real numbers."""

    def encode(self, x_BE: Tensor) -> Tensor:
        """The bottleneck of each row, (B, L); of a variational network its mean."""
        return self.code(x_BE)[:, : self.architecture.latent_dim]

    def forward(self, x_BE: Tensor) -> Tensor:
        """The raw output for each input row, (B, W)."""
        return self.decode(self.encode(x_BE))


def drawn(code_BC: Tensor, noise_BL: Tensor) -> tuple[Tensor, Tensor]:
    """A draw from a variational bottleneck and its KL divergence from a standard normal in nats.

    Args:
        code_BC: Means and log variances, (B, 2 L).
        noise_BL: Standard normal.

    Returns:
        (B, L) and (B,). Kingma & Welling 2014, appendix B.
    """
    mean_BL, log_variance_BL = code_BC.chunk(2, dim=1)
    log_variance_BL = log_variance_BL.clamp(-LARGEST_LOG_VARIANCE, LARGEST_LOG_VARIANCE)
    variance_BL = log_variance_BL.exp()
    nats_B = 0.5 * (mean_BL.square() + variance_BL - log_variance_BL - 1).sum(dim=1)
    return mean_BL + variance_BL.sqrt() * noise_BL, nats_B


def own_noise(x_BE: Tensor, latent_dim: int) -> Tensor:
    """Noise for a draw that depends on each row's inputs alone, as good as standard normal, (B, L).

    It comes from a hash of all bits of the inputs: equal rows get equal noise, others do not. The
    code would not do: its last bits depend on how many rows are computed together.
    """
    bits_BE = (x_BE.float() + 0.0).contiguous().view(torch.int32).long()  # -0.0 is 0.0
    places_E = torch.arange(bits_BE.shape[1], device=bits_BE.device)
    row_B = _hashed(bits_BE + 0x9E3779B9 * places_E).sum(dim=1)
    places_L = torch.arange(latent_dim, device=bits_BE.device)
    hash_BL = _hashed(row_B[:, None] + 0x85EBCA6B * (places_L + 1))
    noise_BL: Tensor = torch.special.ndtri((hash_BL.double() + 0.5) / 2**32)
    return noise_BL.to(x_BE.dtype)


def _hashed(value: Tensor) -> Tensor:
    """32 bits of a whole number, mixed (the finaliser of MurmurHash3, Appleby 2011)."""
    value = value & 0xFFFFFFFF
    for factor in (0x85EBCA6B, 0xC2B2AE35):
        value = ((value ^ (value >> 16)) * factor) & 0xFFFFFFFF
    return value ^ (value >> 16)


MODELS: Catalog[type[Autoencoder]] = Catalog("hourglass.models", "model", "MODEL")


def build(kind: str, architecture: Architecture) -> Autoencoder:
    """Builds a network with fresh weights, drawn from torch's global generator.

    Raises:
        UnknownNameError: no such kind of network.
        ConfigError: no such activation, or the network is made for data of another shape.
    """
    check(kind, architecture.shape)
    return MODELS.load(kind)(architecture)


def check(kind: str, shape: tuple[int, ...] | None) -> None:
    """Makes sure that a kind of network is made for data of a shape, see `Architecture.shape`.

    Raises:
        UnknownNameError: no such kind of network.
        ConfigError: it is made for data of another shape.
    """
    model = MODELS.load(MODELS.check(kind, "params.yaml: model.kind"))
    if model.dimensions is not None and len(shape or ()) != model.dimensions:
        made_for = {3: "images", 2: "windows of series"}
        given = made_for.get(len(shape or ()), "a table")
        raise ConfigError(
            f"params.yaml: model.kind: {kind!r} is made for {made_for[model.dimensions]}, but "
            f"these data are {given}; use 'dense', which takes any"
        )


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
