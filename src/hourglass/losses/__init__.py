"""The reconstruction losses: each module is one loss under one contract.

Shapes: B rows of a batch, F features. A loss takes the decoder's raw output and gives one value
per row; the mean over rows is taken in one place, by the training step.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from torch import Tensor, nn

from hourglass.catalog import Catalog


class Domain(StrEnum):
    """Values that a loss is defined on, after scaling."""

    REAL = "real"
    UNIT = "unit"


@dataclass(frozen=True)
class Range:
    """A searched hyperparameter: from `low` to `high`, first tried at `default`."""

    low: float
    high: float
    default: float
    log: bool = True


@dataclass(frozen=True)
class Context:
    """What a loss may know of the scaled training rows before the first step.

    Attributes:
        features: F.
        resolution_F: Smallest step of each feature in scaled units, 0 where there is none.
        residual_scale: Typical size of a residual in scaled units (robust standard deviation of
            the residuals of a PCA of the same bottleneck).
        span: Largest minus smallest scaled value.
    """

    features: int
    resolution_F: Tensor
    residual_scale: float
    span: float


class Loss(nn.Module, ABC):
    """Contract of all losses.

    Attributes:
        domain: Where the loss is defined; targets outside are refused before training.
        scalers: Scalers that suit it, the best first.
        space: Its hyperparameters; every loss has at least its own "learning_rate".
        rank: Simplicity; among tied losses the smallest rank is chosen.
        assumes: The noise that the loss is the likelihood of, for people.
    """

    domain: ClassVar[Domain]
    scalers: ClassVar[tuple[str, ...]]
    space: ClassVar[Mapping[str, Range]]
    rank: ClassVar[int]
    assumes: ClassVar[str]

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context

    @abstractmethod
    def reconstruct(self, raw_BF: Tensor) -> Tensor:
        """The reconstruction that the raw decoder output stands for, in scaled units, (B, F)."""

    @abstractmethod
    def elementwise(self, raw_BF: Tensor, target_BF: Tensor) -> Tensor:
        """The loss of each value, (B, F)."""

    def forward(self, raw_BF: Tensor, target_BF: Tensor) -> Tensor:
        """One value per row: the mean over its features, (B,)."""
        return self.elementwise(raw_BF, target_BF).mean(dim=1)


LOSSES: Catalog[type[Loss]] = Catalog("hourglass.losses", "loss", "LOSS")
