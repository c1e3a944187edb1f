"""Fits one autoencoder under one loss with Lightning; knows nothing of studies, files or MLflow.

Shapes: N rows, B rows of a batch, F features, W numbers of a reconstruction, L latent values.
"""

import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.strategies import SingleDeviceStrategy
from torch import Tensor

from hourglass import replaying
from hourglass.batches import Batch, Epochs
from hourglass.checkpoints import Checkpoint
from hourglass.errors import ConfigError, TrainingError
from hourglass.models import drawn
from hourglass.plans import Curve, Network, Regular, Rows, Schedule, TrainerOptions
from hourglass.stepping import BETAS, COMPILED_FROM, Autograd, Replayed, Stepper
from hourglass.watching import Watcher

log = logging.getLogger(__name__)

# The learning rate rises over this share of the steps, then decays to zero as a cosine
# (Loshchilov & Hutter 2017): without the rise, the top of the searched range diverges.
WARM_UP = 0.05

ROWS_AT_A_TIME = 8192  # of validation rows, which bounds memory

BEST = "best."  # of names in a checkpoint: weights of the epoch that is kept

SEED_STRIDE = 1_000_003  # between the seeds of two fits: more than epochs, so that none is shared


class Fit(pl.LightningModule):
    """The training loop: Adam under manual optimisation, several steps a call, nothing logged.

    After the fit `curve` holds one entry an epoch: `epoch`, `train_loss` and `val_loss` (the
    loss's own values, comparable within one loss only) and `val_gauss_bits`, the validation rows'
    code length under a Gauss residual model for each column that is a number (bits per feature,
    original units, without bins: log2(RMSE) + log2(2 pi e) / 2), which compares across losses;
    a table of levels alone has their cross-entropy there.
    """

    def __init__(
        self,
        network: Network,
        rows: Rows,
        plan: Schedule,
        regular: Regular,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.inputs = network.inputs
        self.autoencoder = network.autoencoder
        self.loss = network.loss
        self.rows = rows
        self.plan = plan
        self.regular = regular
        self.curve: Curve = []
        self.watcher = Watcher(plan.watch)
        self.kept: dict[str, Tensor] = {}
        self._step = 0
        self._steps = plan.epochs * -(-rows.train.count // plan.batch_size)
        self._train_sum = torch.zeros(())
        self._stepper: Stepper | None = None
        self._checkpoint = checkpoint
        self._earlier = None if checkpoint is None else checkpoint.load()
        if self._earlier is not None:
            self.curve = [dict(point) for point in self._earlier["curve"]]
            for point in self.curve:
                self.watcher.see(point["val_gauss_bits"])
            best = {k: v for k, v in self._earlier.items() if k.startswith(BEST)}
            self.kept = {k.removeprefix(BEST): v for k, v in best.items()}
            self._step = len(self.curve) * -(-rows.train.count // plan.batch_size)
        self._plain = not (regular.sparsity or network.autoencoder.architecture.variational)
        if regular.corruption == "mask":
            self.inputs.watch = True

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam over the autoencoder's weights and the loss's own parameters."""
        return torch.optim.Adam(
            self.parameters(), lr=self.plan.learning_rate, betas=BETAS, fused=True
        )

    def train_dataloader(self) -> Epochs:
        """The training rows; those held in memory are moved to the device once."""
        plan, device = self.plan, self.device
        feed = self.rows.train.on(device)
        epochs = Epochs(feed, plan.batch_size, plan.seed, self.global_rank, self._world())
        if self._earlier is not None:
            epochs.order.set_state(self._earlier["order"])
        self._epochs = epochs
        return epochs

    def on_fit_start(self) -> None:
        """This process's share of the validation rows goes to the device: none is in two shares."""
        own_NF = self.rows.val_NF[self.global_rank :: self._world()].to(self.device)
        self._val_rows = torch.split(own_NF, ROWS_AT_A_TIME)

    def transfer_batch_to_device(self, batch: Any, *_: Any) -> Any:
        """Leaves batches where they are: they were made on the device."""
        return batch

    def training_step(self, batches: list[Batch], _: int) -> None:
        """Takes one optimiser step for each batch."""
        if self._stepper is None:
            self._stepper = self._restored(self._made_stepper())
        rates = [self._learning_rate(self._step + k) for k in range(len(batches))]
        self._train_sum += self._stepper.take(batches, rates)
        self._step += len(batches)

    def _made_stepper(self) -> Stepper:
        """The fastest one that strategy and precision allow; made on the device."""
        precision, plan = self.trainer.precision_plugin, self.plan
        alone = isinstance(self.trainer.strategy, SingleDeviceStrategy)
        scaled = getattr(precision, "scaler", None) is not None
        if plan.compiling == "off" or scaled or not alone:
            return Autograd(self, self.manual_backward, self.optimizers())
        full, rest = divmod(self.rows.train.count, plan.batch_size)
        times = {plan.batch_size: full * plan.epochs, rest: plan.epochs}
        compiled = plan.compiling == "on" or self._steps >= COMPILED_FROM
        if compiled and not replaying.compiler(self.device):
            log.warning(
                "no compiler for %s here (on a CPU: g++ or clang++): steps run uncompiled",
                self.device.type,
            )
            compiled = False
        return Replayed(self, precision.forward_context, times, compiled)

    def _restored(self, stepper: Stepper) -> Stepper:
        """The same where an earlier process left it."""
        if self._earlier is not None:
            stepper.restore(self._earlier)
            if "scaler" in self._earlier:
                self.trainer.precision_plugin.load_state_dict(self._earlier["scaler"])
        return stepper

    def _keep(self) -> None:
        """Leaves a checkpoint from time to time: all that the next epoch depends on."""
        if self._checkpoint is None or self._stepper is None or not self.trainer.is_global_zero:
            return
        over = self.watcher.stop or len(self.curve) == self.plan.epochs
        if not over and self._checkpoint.due():
            state: dict[str, Any] = {**self._stepper.state(), "curve": self.curve}
            state |= {BEST + name: tensor for name, tensor in self.kept.items()}
            state["order"] = self._epochs.order.get_state()
            if scaler := self.trainer.precision_plugin.state_dict():
                state["scaler"] = scaler
            self._checkpoint.save(state)

    def forward(self, batch: Batch) -> Tensor:
        """What is minimised: this process's share of the global batch's mean, ()."""
        value_B = self._value(batch.rows_BF)
        if batch.count_B is not None:
            value_B = value_B * batch.count_B
        return value_B.sum() * batch.weight

    def on_fit_end(self) -> None:
        """Leaves plain modules."""
        if self._stepper is not None:
            self._stepper.close()

    def _value(self, rows_BF: Tensor) -> Tensor:
        """What is minimised, of each row, (B,)."""
        code_BC = self.autoencoder.code(self.inputs(self._corrupted(rows_BF)))
        if self._plain:
            value_B: Tensor = self.loss(self.autoencoder.decode(code_BC), rows_BF)
            return value_B
        z_BL, extra_B = code_BC, code_BC.new_zeros(len(code_BC))
        if self.autoencoder.architecture.variational:
            latent_dim = self.autoencoder.architecture.latent_dim
            noise_BL = torch.randn(len(code_BC), latent_dim, device=code_BC.device)
            z_BL, nats_B = drawn(code_BC, noise_BL)
            # The loss is a mean over what was observed: so is this share of the divergence.
            extra_B = nats_B / (~rows_BF.isnan()).sum(dim=1).clamp(min=1)
        if self.regular.sparsity:
            extra_B = extra_B + self.regular.sparsity * z_BL.abs().mean(dim=1)
        own_B: Tensor = self.loss(self.autoencoder.decode(z_BL), rows_BF)
        return self.loss.nats * own_B + extra_B

    def _corrupted(self, rows_BF: Tensor) -> Tensor:
        kind, amount = self.regular.corruption, self.regular.amount
        if kind == "mask":
            hidden_BF = torch.rand(rows_BF.shape, device=rows_BF.device) < amount
            return rows_BF.masked_fill(hidden_BF, math.nan)
        if kind == "gauss":
            noisy_BF = rows_BF.clone()
            noise_BF = torch.randn(len(rows_BF), len(self.rows.at_F), device=rows_BF.device)
            noisy_BF[:, self.rows.at_F] += amount * noise_BF
            return noisy_BF
        return rows_BF

    def on_train_epoch_start(self) -> None:
        """Forgets the last epoch's sum, and draws what is random from seed and epoch alone."""
        seed = self.plan.seed * SEED_STRIDE + len(self.curve)
        torch.default_generator.manual_seed(seed)  # torch.manual_seed takes as long as five steps
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)
        self._train_sum = torch.zeros((), device=self.device)

    def _validation_sums(self) -> tuple[Tensor, Tensor, Tensor]:
        """Over this process's validation rows: the loss, squared errors, values seen, of columns.

        Lightning's own loop for it costs as much as several small steps, each epoch anew.
        """
        precision, numbers = self.trainer.precision_plugin, max(1, len(self.rows.unit_F))
        loss_sum, *sums = (
            torch.zeros(size, dtype=torch.float64, device=self.device)
            for size in ((), numbers, numbers)
        )
        square_sum_F, seen_sum_F = sums
        self.eval()
        with torch.inference_mode(), precision.val_step_context():
            for part_BF in self._val_rows:
                rows_BF = precision.convert_input(part_BF)
                raw_BW = self.autoencoder(self.inputs(rows_BF))
                own_sum = self.loss(raw_BW, rows_BF).double().sum()
                loss_sum += own_sum
                if not len(self.rows.at_F):
                    square_sum_F += own_sum
                    seen_sum_F += len(rows_BF)
                    continue
                target_BF = rows_BF[:, self.rows.at_F]
                residual_BF = self.loss.reconstruct(raw_BW)[:, self.rows.at_W] - target_BF
                square_sum_F += residual_BF.double().square().nansum(dim=0)
                seen_sum_F += (~target_BF.isnan()).sum(dim=0)
        self.train()
        return self._all_sum(loss_sum), self._all_sum(square_sum_F), self._all_sum(seen_sum_F)

    def on_train_epoch_end(self) -> None:
        """Adds the epoch to the curve, and heeds what the watcher says of it.

        Raises:
            TrainingError: the loss is no longer finite.
        """
        steps = -(-self.rows.train.count // self.plan.batch_size)
        train_loss = float(self._all_sum(self._train_sum)) / self._world() / steps
        count = len(self.rows.val_NF)
        loss_sum, square_sum_F, seen_sum_F = self._validation_sums()
        val_loss = float(loss_sum) / count
        bits = self._bits(square_sum_F, seen_sum_F)
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
                "val_gauss_bits": bits,
            }
        )
        self.watcher.see(bits)
        if self.watcher.keep:
            self.kept = {k: v.detach().clone() for k, v in self.state_dict().items()}
        self.trainer.should_stop = self.watcher.stop
        self._keep()

    def _bits(self, square_sum_F: Tensor, seen_F: Tensor) -> float:
        mean_F = (square_sum_F / seen_F.clamp(min=1)).cpu()
        if not len(self.rows.at_F):
            return float(mean_F) / math.log(2)
        rms_F = mean_F.sqrt() * self.rows.unit_F
        bits_F = rms_F.clamp(min=self.rows.floor_F).log2() + math.log2(2 * math.pi * math.e) / 2
        return float(bits_F[seen_F.cpu() > 0].mean())

    def _learning_rate(self, step: int) -> float:
        done = step / self._steps
        rise = min(1.0, (step + 1) / max(1.0, WARM_UP * self._steps))
        return self.plan.learning_rate * rise * 0.5 * (1 + math.cos(math.pi * done))

    def _world(self) -> int:
        return int(self.trainer.world_size)

    def _all_sum(self, value: Tensor) -> Tensor:
        return torch.as_tensor(self.trainer.strategy.reduce(value.clone(), reduce_op="sum"))


def fit(
    network: Network,
    rows: Rows,
    plan: Schedule,
    regular: Regular,
    options: TrainerOptions,
    checkpoint: Checkpoint | None = None,
) -> Curve:
    """Trains the network and the loss's own parameters in place, and returns the curve.

    The curve ends where `plan.watch` ended the fit. Under its patience the network, the loss and
    the inputs are left as the epoch of fewest `val_gauss_bits` had them, else as the last one had.

    On return both are on the CPU in evaluation mode, in float32 whatever `precision` was. Where a
    checkpoint is given, an earlier fit that was killed goes on from there, to the same weights.

    Raises:
        TrainingError: the loss became non-finite.
        ConfigError: Lightning refuses the options.
    """
    module = Fit(network, rows, plan, regular, checkpoint)
    with _quiet():
        try:
            trainer = pl.Trainer(
                accelerator=options.accelerator,
                devices=options.devices,
                strategy=options.strategy,
                precision=options.precision,  # type: ignore[arg-type]  # a Literal upstream; checked there
                num_nodes=options.num_nodes,
                max_epochs=plan.epochs - len(module.curve),
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
    if checkpoint is not None and module.trainer.is_global_zero:
        checkpoint.remove()
    if module.kept:
        module.load_state_dict(module.kept)
    module.cpu().float().eval()
    return module.curve


def _refused(options: TrainerOptions, error: Exception) -> ConfigError:
    given = ", ".join(f"{name} {value!r}" for name, value in vars(options).items())
    return ConfigError(
        f"params.yaml: search or train: Lightning refuses {given}: {' '.join(str(error).split())}"
    )


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
