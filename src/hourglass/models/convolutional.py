"""The convolutional autoencoder: images of any size, halved stage by stage, a linear bottleneck."""

from collections.abc import Callable
from itertools import pairwise
from math import prod
from typing import ClassVar

from torch import Tensor, nn

from hourglass.models import Architecture, Autoencoder, activation

Sizes = tuple[int, ...]  # of a grid: (height, width), or (length,)


class Convolutional(Autoencoder):
    """Strided convolutions, linear layers to and from the bottleneck, sub-pixel convolutions.

    `hidden` are the channels of the stages. Each stage halves height and width, rounding up; an
    axis that is down to 2 pixels stays. Where values may be missing, the indicators are further
    channels of the input. With `hidden=()` it is the linear autoencoder, as `Dense` is.

    A decoder's stage is a convolution at the coarse size with one set of channels for each of the
    2 x 2 pixels that a pixel becomes (Shi et al. 2016, "Real-time single image and video
    super-resolution using an efficient sub-pixel convolutional neural network"), cut to the size
    that the encoder's stage began with. Away from the border it can do all that a convolution
    after nearest-neighbour upsampling can (Odena et al. 2016, "Deconvolution and checkerboard
    artifacts"), in about half the time on a CPU. No layer normalises over a batch: rows are
    computed alone. Grids are held with the channels last, as a row has them, which is also the
    faster layout on a CPU.
    """

    dimensions: ClassVar[int | None] = 3
    convolution: ClassVar[Callable[..., nn.Conv1d | nn.Conv2d]] = nn.Conv2d
    kernel: ClassVar[int] = 3  # odd: then padding by half of it keeps the size

    def __init__(self, architecture: Architecture) -> None:
        super().__init__(architecture)
        own = architecture
        *size, channels = own.shape or ()
        planes = own.inputs // prod(size)
        sizes = _halved(tuple(size), len(own.hidden))
        down: list[nn.Module] = [_ToGrid(sizes[0], channels, planes)]
        up: list[nn.Module] = [_FromGrid()]
        inner, outer = (planes, *own.hidden), (channels, *own.hidden)
        for i, (fine, coarse) in enumerate(pairwise(sizes)):
            factors = tuple(-(-f // c) for f, c in zip(fine, coarse, strict=True))
            shrink = self._convolution(inner[i], inner[i + 1], factors)
            grow = self._convolution(outer[i + 1], outer[i] * prod(factors))
            down += [shrink, activation(own.activation)]
            up += [_SubPixel(factors, fine), grow, activation(own.activation)]
        down += [_FromGrid(), nn.Linear(prod(sizes[-1]) * inner[-1], own.code_dim)]
        up += [
            _ToGrid(sizes[-1], outer[-1], outer[-1]),
            nn.Linear(own.latent_dim, prod(sizes[-1]) * outer[-1]),
        ]
        self.encoder = nn.Sequential(*down)
        self.decoder = nn.Sequential(*up[::-1])

    def code(self, x_BE: Tensor) -> Tensor:
        """What the encoder says of each row, (B, C)."""
        code_BC: Tensor = self.encoder(x_BE)
        return code_BC

    def decode(self, z_BL: Tensor) -> Tensor:
        """The raw output of each row, (B, W)."""
        raw_BW: Tensor = self.decoder(z_BL)
        return raw_BW

    def _convolution(self, inputs: int, outputs: int, stride: Sizes | int = 1) -> nn.Module:
        """A convolution that keeps sizes but for its stride.

        The strides in memory of an axis of length 1 are free. Of a single input channel they are
        set as its gradient has them, channels last: DDP copies and warns where the two differ.
        """
        kind = type(self).convolution
        layer = kind(inputs, outputs, self.kernel, stride=stride, padding=self.kernel // 2)
        if inputs == 1:
            layer.weight.data = layer.weight.data.squeeze(1).unsqueeze(-1).movedim(-1, 1)
        return layer


def _halved(size: Sizes, times: int) -> list[Sizes]:
    """Sizes of the grid before, between and after `times` stages."""
    sizes = [size]
    for _ in range(times):
        sizes.append(tuple(-(-n // 2) if n > 2 else n for n in sizes[-1]))
    return sizes


class _ToGrid(nn.Module):
    """Rows to grids, (B, E) to (B, planes, *size): the values' channels, then the indicators'."""

    def __init__(self, size: Sizes, channels: int, planes: int) -> None:
        super().__init__()
        self.size, self.channels, self.planes = size, channels, planes

    def forward(self, x_BE: Tensor) -> Tensor:
        parts = (self.planes // self.channels, prod(self.size), self.channels)
        apart = x_BE.reshape(-1, *parts).transpose(1, 2)
        return apart.reshape(-1, *self.size, self.planes).movedim(-1, 1)


class _FromGrid(nn.Module):
    """Grids to rows, row-major with the channels last: (B, channels, *size) to (B, E)."""

    def forward(self, grid: Tensor) -> Tensor:
        return grid.movedim(1, -1).flatten(1)


class _SubPixel(nn.Module):
    """Spreads channels over finer pixels: (B, C prod(factors), *coarse) to (B, C, *size).

    Channel (p, q, c) of pixel (i, j) becomes channel c of pixel (i factor + p, j factor + q);
    pixels beyond `size` are cut off.
    """

    def __init__(self, factors: Sizes, size: Sizes) -> None:
        super().__init__()
        self.factors, self.size = factors, size

    def forward(self, coarse: Tensor) -> Tensor:
        count, deep, *size = coarse.shape
        axes, channels = len(size), deep // prod(self.factors)
        apart = coarse.movedim(1, -1).reshape(count, *size, *self.factors, channels)
        order = [axis for i in range(1, axes + 1) for axis in (i, i + axes)]
        whole = [f * n for f, n in zip(self.factors, size, strict=True)]
        fine = apart.permute(0, *order, -1).reshape(count, *whole, channels)
        for axis, length in enumerate(self.size, start=1):
            fine = fine.narrow(axis, 0, length)
        return fine.movedim(-1, 1)


MODEL = Convolutional
