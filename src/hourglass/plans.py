"""What a fit is given and what it gives: plain data, without Lightning, whose import takes seconds.

Shapes: N rows, F features.
"""

import os
from dataclasses import dataclass, field

from torch import Tensor

from hourglass.batches import Feed
from hourglass.inputs import Inputs
from hourglass.losses import Loss
from hourglass.losses._heads import Heads
from hourglass.models import Autoencoder
from hourglass.watching import Watch

Curve = list[dict[str, float]]  # one entry an epoch, see `training.Fit`

# Where launchers and batch systems say which of several processes this is; Lightning reads these.
RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")


@dataclass(frozen=True)
class TrainerOptions:
    """Lightning's own options, passed through as they are."""

    accelerator: str = "auto"
    devices: int = 1
    strategy: str = "auto"
    precision: str | int = "32-true"
    num_nodes: int = 1


@dataclass(frozen=True)
class Schedule:
    """How long and how fast one fit goes.

    Attributes:
        epochs: Passes over the training rows.
        batch_size: Rows of a global batch.
        learning_rate: Of Adam at its highest.
        seed: Of the order of rows.
        compiling: "off": each step goes through autograd; "auto": steps are recorded and replayed,
            and compiled where that pays; "on": compiled.
        watch: When the fit ends before its last epoch.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    seed: int
    compiling: str = "auto"
    watch: Watch = field(default_factory=Watch)


@dataclass(frozen=True)
class Regular:
    """What is asked of a network beside the loss.

    Attributes:
        corruption: Of the input while training (Vincent et al. 2008): "none", "mask" or "gauss".
        amount: Share of values that are masked, or standard deviation of the noise, scaled units.
        sparsity: Weight of the mean absolute bottleneck value, in nats a feature.
    """

    corruption: str = "none"
    amount: float = 0.0
    sparsity: float = 0.0


@dataclass(frozen=True)
class Rows:
    """What a fit learns from and is watched on, in scaled units, NaN where a value is missing.

    Attributes:
        train: Training rows.
        val_NF: Validation rows.
        at_F: Positions of the columns that are numbers, among the features.
        at_W: The same in a reconstruction.
        unit_F: Original units that one scaled unit is worth, for each column that is a number.
        floor_F: Smallest error worth telling apart, original units, likewise.
    """

    train: Feed
    val_NF: Tensor
    at_F: Tensor
    at_W: Tensor
    unit_F: Tensor
    floor_F: Tensor


@dataclass(frozen=True)
class Network:
    """The modules that are fitted together."""

    inputs: Inputs
    autoencoder: Autoencoder
    loss: Loss | Heads


def is_rank_zero() -> bool:
    """Whether this process is the one that writes and records."""
    if not any(name in os.environ for name in RANKS):
        return True
    from pytorch_lightning.utilities import rank_zero_only

    return int(getattr(rank_zero_only, "rank", 0) or 0) == 0
