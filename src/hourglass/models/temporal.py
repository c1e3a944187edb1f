"""The temporal autoencoder: windows of series of any length, convolved along time."""

from collections.abc import Callable
from typing import ClassVar

from torch import nn

from hourglass.models.convolutional import Convolutional


class Temporal(Convolutional):
    """`Convolutional` along one axis: each stage of `hidden` halves the length, rounding up.

    A feature of stage k sees 2^(k+2) - 3 steps of the window: 5, 13, 29, 61. The dilated
    convolutions of a TCN (Bai et al. 2018, "An empirical evaluation of generic convolutional and
    recurrent networks for sequence modeling") widen their view as fast, but keep every step at
    every stage and look only back, which a forecast needs and the reconstruction of a whole
    window does not. Strides widen the view, narrow towards the bottleneck, and leave each stage
    half the steps to compute.
    """

    dimensions: ClassVar[int | None] = 2
    convolution: ClassVar[Callable[..., nn.Conv1d | nn.Conv2d]] = nn.Conv1d
    kernel: ClassVar[int] = 5


MODEL = Temporal
