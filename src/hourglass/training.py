"""Fits one autoencoder under one loss with Lightning; knows nothing of studies, files or MLflow.

Shapes: N rows, B rows of a batch, F features.
"""

import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor

from hourglass.batches import Batch, Epochs, Slices
from hourglass.errors import ConfigError, TrainingError
from hourglass.losses import Loss
from hourglass.models import Autoencoder

# Adam's memory of squared gradients: 20 steps instead of its customary 1000. With the long memory a
# burst of large gradients meets steps still sized for small ones: at learning rates that a search
# likes best some fits never recovered (docs/decisions/0038).
BETAS = (0.9, 0.95)

# The learning rate rises over this share of the steps, then decays to zero as a cosine
# (Loshchilov & Hutter 2017): without the rise, the top of the searched range diverges.
WARM_UP = 0.05


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
    """

    epochs: int
    batch_size: int
    learning_rate: float
    seed: int


@dataclass(frozen=True)
class Rows:
    """What a fit learns from and is watched on, in scaled units.

    Attributes:
        train_NF: Training rows.
        val_NF: Validation rows.
        unit_F: Original units that one scaled unit is worth, for each feature.
        floor_F: Smallest error worth telling apart, original units (the resolution).
    """

    train_NF: Tensor
    val_NF: Tensor
    unit_F: Tensor
    floor_F: Tensor


Curve = list[dict[str, float]]


class Fit(pl.LightningModule):
    """The training loop: Adam under manual optimisation, several steps a call, nothing logged.

    After the fit `curve` holds one entry an epoch: `epoch`, `train_loss` and `val_loss` (the
    loss's own values, comparable within one loss only) and `val_gauss_bits`, the validation rows'
    code length under a Gauss residual model for each column (bits per feature, original units,
    without bins; SCIENCE: log2(RMSE) + log2(2 pi e) / 2), which compares across losses.
    """

    def __init__(self, autoencoder: Autoencoder, loss: Loss, rows: Rows, plan: Schedule) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.autoencoder = autoencoder
        self.loss = loss
        self.rows = rows
        self.plan = plan
        self.curve: Curve = []
        self._step = 0
        self._steps = plan.epochs * -(-len(rows.train_NF) // plan.batch_size)
        self._train_sum = torch.zeros(())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam over the autoencoder's weights and the loss's own parameters."""
        return torch.optim.Adam(
            self.parameters(), lr=self.plan.learning_rate, betas=BETAS, fused=True
        )

    def train_dataloader(self) -> Epochs:
        """The training rows, moved to the device once."""
        rows_NF = self.rows.train_NF.to(self.device)
        plan = self.plan
        return Epochs(rows_NF, plan.batch_size, plan.seed, self.global_rank, self._world())

    def val_dataloader(self) -> Slices:
        """This process's share of the validation rows: no row is in two shares."""
        return Slices(self.rows.val_NF[self.global_rank :: self._world()].to(self.device))

    def transfer_batch_to_device(self, batch: Any, *_: Any) -> Any:
        """Leaves batches where they are: they were made on the device."""
        return batch

    def training_step(self, batches: list[Batch], _: int) -> None:
        """Takes one optimiser step for each batch."""
        optimizer: Any = self.optimizers()
        for batch in batches:
            optimizer.param_groups[0]["lr"] = self._learning_rate()
            raw_BF = self.autoencoder(batch.rows_BF)
            value = self.loss(raw_BF, batch.rows_BF).sum() * batch.weight
            optimizer.zero_grad()
            self.manual_backward(value)
            optimizer.step()
            self._train_sum += value.detach()
            self._step += 1

    def on_train_epoch_start(self) -> None:
        """Forgets the last epoch's sum."""
        self._train_sum = torch.zeros((), device=self.device)

    def on_validation_epoch_start(self) -> None:
        """Forgets the last epoch's sums."""
        features = len(self.rows.unit_F)
        self._loss_sum = torch.zeros((), dtype=torch.float64, device=self.device)
        self._square_sum_F = torch.zeros(features, dtype=torch.float64, device=self.device)

    def validation_step(self, rows_BF: Tensor, _: int) -> None:
        """Adds up the loss and each feature's squared errors."""
        raw_BF = self.autoencoder(rows_BF)
        residual_BF = self.loss.reconstruct(raw_BF) - rows_BF
        self._loss_sum += self.loss(raw_BF, rows_BF).double().sum()
        self._square_sum_F += residual_BF.double().square().sum(dim=0)

    def on_validation_epoch_end(self) -> None:
        """Adds the epoch to the curve.

        Raises:
            TrainingError: the loss is no longer finite.
        """
        steps = -(-len(self.rows.train_NF) // self.plan.batch_size)
        train_loss = float(self._all_sum(self._train_sum)) / self._world() / steps
        count = len(self.rows.val_NF)
        val_loss = float(self._all_sum(self._loss_sum)) / count
        rms_F = (self._all_sum(self._square_sum_F) / count).sqrt().cpu() * self.rows.unit_F
        bits_F = rms_F.clamp(min=self.rows.floor_F).log2() + math.log2(2 * math.pi * math.e) / 2
        epoch = len(self.curve) + 1
        if not (math.isfinite(train_loss) and math.isfinite(val_loss)):
            raise TrainingError(
                f"the loss became {train_loss} on training and {val_loss} on validation rows in "
                f"epoch {epoch} of {self.plan.epochs} (learning_rate {self.plan.learning_rate:g})"
            )
        self.curve.append(
            {
                "epoch": epoch,
                "train_loss": train_loss,
                "val_loss": val_loss,
                "val_gauss_bits": float(bits_F.mean()),
            }
        )

    def _learning_rate(self) -> float:
        done = self._step / self._steps
        rise = min(1.0, (self._step + 1) / max(1.0, WARM_UP * self._steps))
        return self.plan.learning_rate * rise * 0.5 * (1 + math.cos(math.pi * done))

    def _world(self) -> int:
        return int(self.trainer.world_size)

    def _all_sum(self, value: Tensor) -> Tensor:
        return torch.as_tensor(self.trainer.strategy.reduce(value.clone(), reduce_op="sum"))


def fit(
    autoencoder: Autoencoder, loss: Loss, rows: Rows, plan: Schedule, options: TrainerOptions
) -> Curve:
    """Trains `autoencoder` and the loss's own parameters in place, and returns the curve.

    On return both are on the CPU in evaluation mode, in float32 whatever `precision` was.

    Raises:
        TrainingError: the loss became non-finite.
        ConfigError: Lightning refuses the options.
    """
    module = Fit(autoencoder, loss, rows, plan)
    with _quiet():
        try:
            trainer = pl.Trainer(
                accelerator=options.accelerator,
                devices=options.devices,
                strategy=options.strategy,
                precision=options.precision,  # type: ignore[arg-type]  # a Literal upstream; checked there
                num_nodes=options.num_nodes,
                max_epochs=plan.epochs,
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                num_sanity_val_steps=0,
                use_distributed_sampler=False,
            )
        except (ValueError, RuntimeError, MisconfigurationException) as error:
            raise _refused(options, error) from error
        try:
            trainer.fit(module)
        except MisconfigurationException as error:
            raise _refused(options, error) from error
    module.cpu().float().eval()
    return module.curve


def _refused(options: TrainerOptions, error: Exception) -> ConfigError:
    given = ", ".join(f"{name} {value!r}" for name, value in vars(options).items())
    return ConfigError(
        f"params.yaml: search or train: Lightning refuses {given}: {' '.join(str(error).split())}"
    )


def is_rank_zero() -> bool:
    """Whether this process is the one that writes and records."""
    return int(getattr(rank_zero_only, "rank", 0) or 0) == 0


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences what Lightning says at every fit: devices, tips on DataLoaders."""
    logger = logging.getLogger("pytorch_lightning")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # Tips for DataLoaders with worker processes; rows are served from memory.
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            # Lightning 2.6 with torch 2.13: about torch's own pytree, nothing a user could change.
            warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
            yield
    finally:
        logger.setLevel(level)
