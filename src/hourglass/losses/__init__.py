"""The reconstruction losses: each module is one loss under one contract.

Shapes: B rows of a batch, F features, W raw outputs (F, but for a loss over levels one a level).
A loss takes the decoder's raw output and gives one value per row, the mean over the features that
were observed; the mean over rows is taken in one place, by the training step. A module defines
`LOSS = TheClass`; the class is built as `TheClass(context, **own_hyperparameters)`, where its own
hyperparameters are the keys of `space` other than "learning_rate". A learned quantity of a loss
(a scale, a degree of freedom) is an ordinary parameter of the module: give it to the optimiser.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from hourglass.catalog import Catalog, nearest
from hourglass.errors import ConfigError, LossError

# A residual of a thousandth of the scaled unit: finer than small networks reach. Scales below it
# would only let the likelihood of a feature without noise run to infinity.
TINY = 1e-3


class Domain(StrEnum):
    """Values that a loss is defined on, after scaling."""

    REAL = "real"
    UNIT = "unit"
    COUNT = "count"
    LEVELS = "levels"


@dataclass(frozen=True)
class Range:
    """A searched hyperparameter: from `low` to `high`, first tried at `default`."""

    low: float
    high: float
    default: float
    log: bool = True


# The losses' learning rates are for Adam with a cosine decay to 0. Of dense networks with 30 to 60
# features, 1000 rows and 60 epochs, most did best between 1e-2 and 3e-2, and many broke at 1e-1.
def ranges(*, learning_rate: Range, **own: Range) -> Mapping[str, Range]:
    """A search space that can't be changed: the learning rate, then the loss's own."""
    return MappingProxyType({"learning_rate": learning_rate, **own})


@dataclass(frozen=True)
class Context:
    """What a loss may know of the scaled training rows before the first step.

    Attributes:
        features: F.
        resolution_F: Smallest step of each feature in scaled units, 0 where there is none.
        residual_scale: Typical size of a residual in scaled units (robust standard deviation of
            the residuals of a PCA of the same bottleneck).
        span: Largest minus smallest scaled value.
        gaps: Whether targets may be NaN: not observed.
        offset_F: What was subtracted when scaling, original units.
        unit_F: Original units that one scaled unit is worth.
        mean_F: Mean of each feature over the training rows, original units.
        levels: Of categorical features: how many levels each has.
    """

    features: int
    resolution_F: Tensor
    residual_scale: float
    span: float
    gaps: bool = False
    offset_F: Tensor = field(default_factory=lambda: torch.zeros(1))
    unit_F: Tensor = field(default_factory=lambda: torch.ones(1))
    mean_F: Tensor = field(default_factory=lambda: torch.ones(1))
    levels: tuple[int, ...] = ()

    @property
    def scale(self) -> float:
        """`residual_scale`, but never below `TINY`: a PCA may leave no residual at all."""
        return max(self.residual_scale, TINY)


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
        # A target that is defined for any loss stands in for a missing one.
        self._anywhere = 0.0

    @classmethod
    def limits(cls, context: Context) -> dict[str, float]:  # noqa: ARG003  # Huber needs it
        """Largest value of each hyperparameter that these data admit, where there is a limit."""
        return {}

    @property
    def nats(self) -> float:
        """Factor that makes its values nats of code length, where noise is of the residual scale.

        It weighs the loss against others that share a network; alone it changes nothing.
        """
        return 1.0

    @abstractmethod
    def reconstruct(self, raw_BW: Tensor) -> Tensor:
        """What the raw output stands for, in scaled units, (B, W); of levels: probabilities."""

    @abstractmethod
    def elementwise(self, raw_BW: Tensor, target_BF: Tensor) -> Tensor:
        """The loss of each value, (B, F); smallest where `reconstruct` gives the target."""

    def summed(self, raw_BW: Tensor, target_BF: Tensor) -> tuple[Tensor, Tensor]:
        """Of each row the sum over its observed features, and their number, each (B,).

        It is computed in the precision of the targets, so that a network that runs in half
        precision is still judged in full.
        """
        seen_BF = self.seen(target_BF)
        filled_BF = torch.where(seen_BF, target_BF, self._anywhere)
        value_BF = self.elementwise(raw_BW.to(target_BF.dtype), filled_BF)
        return torch.where(seen_BF, value_BF, 0.0).sum(dim=1), seen_BF.sum(dim=1)

    def seen(self, target_BF: Tensor) -> Tensor:
        """Which targets were observed, (B, F)."""
        return ~target_BF.isnan()

    def forward(self, raw_BW: Tensor, target_BF: Tensor) -> Tensor:
        """One value per row: the mean over its observed features, (B,)."""
        if not self.context.gaps:
            return self.elementwise(raw_BW.to(target_BF.dtype), target_BF).mean(dim=1)
        sum_B, count_B = self.summed(raw_BW, target_BF)
        return sum_B / count_B.clamp(min=1)


LOSSES: Catalog[type[Loss]] = Catalog("hourglass.losses", "loss", "LOSS")


def build(name: str, context: Context, hyper: Mapping[str, float]) -> Loss:
    """Builds a loss with all its own hyperparameters.

    Args:
        name: An entry of `LOSSES`.
        context: What is known of the scaled training rows.
        hyper: Value of each own hyperparameter. "learning_rate" belongs to the optimiser: it may
            stand here, so that a trial's hyperparameters can be passed on as they are.

    Raises:
        UnknownNameError: no such loss.
        ConfigError: a hyperparameter is unknown, missing, or not a positive number.
        LossError: the loss is not what it says with these values on these data.
    """
    loss = LOSSES.load(name)
    own = [key for key in loss.space if key != "learning_rate"]
    for key, value in hyper.items():
        _known(key, name, loss, "hyperparameters")
        if not (math.isfinite(value) and value > 0):
            raise ConfigError(f"loss {name!r}: {key} is {value}, it must be a positive number")
    if missing := [key for key in own if key not in hyper]:
        raise ConfigError(f"loss {name!r} needs a value of {', '.join(missing)}")
    factory = cast(Any, loss)  # each loss names its own keyword arguments
    return cast(Loss, factory(context, **{key: float(hyper[key]) for key in own}))


def build_default(name: str, context: Context) -> Loss:
    """Builds a loss with its hyperparameters at their defaults.

    Raises:
        UnknownNameError: no such loss.
    """
    own = LOSSES.load(name).space
    return build(name, context, {key: range_.default for key, range_ in own.items()})


def space(
    name: str,
    overrides: Mapping[str, tuple[float, float]],
    where: str = "search.space",
    context: Context | None = None,
) -> dict[str, Range]:
    """The hyperparameters of a loss to be searched, with the user's ranges in place of its own.

    Args:
        name: An entry of `LOSSES`.
        overrides: (low, high) for some of them; the default is moved into the new range.
        where: Place of the overrides of all losses in params.yaml, for messages.
        context: Where given, values that the loss would refuse on these data are left out.

    Raises:
        UnknownNameError: no such loss.
        ConfigError: an override names no hyperparameter of the loss, or is no range.
        LossError: an override leaves no value that the data admit.
    """
    LOSSES.check(name, f"params.yaml: {where}")
    loss = LOSSES.load(name)
    ranges = dict(loss.space)
    for key, (low, high) in overrides.items():
        place = f"params.yaml: {where}.{name}.{key}"
        _known(key, name, loss, place)
        ranges[key] = _overridden(ranges[key], low, high, place)
    if context is not None:
        for key, limit in loss.limits(context).items():
            ranges[key] = _capped(ranges[key], limit, f"params.yaml: {where}.{name}.{key}")
    return ranges


def _known(key: str, name: str, loss: type[Loss], place: str) -> None:
    if key not in loss.space:
        raise ConfigError(
            f"{place}: {name!r} has no hyperparameter {key!r}{nearest(key, loss.space)} "
            f"(known: {', '.join(loss.space)})"
        )


def _overridden(range_: Range, low: float, high: float, place: str) -> Range:
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ConfigError(f"{place}: [{low}, {high}] is no range, write two finite numbers")
    if low >= high:
        raise ConfigError(f"{place}: low {low} is not below high {high}, write [low, high]")
    if range_.log and low <= 0:
        raise ConfigError(f"{place}: low {low} must be above 0, it is searched on a log scale")
    return Range(low, high, min(max(range_.default, low), high), range_.log)


def _capped(range_: Range, limit: float, place: str) -> Range:
    if range_.low >= limit:
        raise LossError(
            f"{place}: the data admit values up to {limit:.3g} only, but the range begins at "
            f"{range_.low:g}; lower it, or leave this loss out of search.losses"
        )
    high = min(range_.high, limit)
    return replace(range_, high=high, default=min(range_.default, high))
