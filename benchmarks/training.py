"""Samples per second of a fit: Hourglass beside a hand-written loop and the libraries of its field.

    pip install pyod pythae --no-deps; pip install numba    (peers that are not here are left out)
    python benchmarks/training.py [--rounds 5] [--nets small] [--batches 64 256] [--copies 10]

Everybody trains the same network on the same rows with Adam and mean squared error, one thread,
in turns; printed is the median over the rounds of the ratio to the hand-written loop, with its
range. Times hold what a user waits for: the trainer's set-up, its logging as its examples have it,
Hourglass's validation each epoch. Compiling is left out of `compiled` and shown by itself.
"""

import argparse
import contextlib
import io
import logging
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from hourglass import losses, models, replaying
from hourglass.batches import Feed
from hourglass.inputs import Inputs
from hourglass.losses import Context
from hourglass.models import Architecture
from hourglass.plans import Network, Regular, Rows, Schedule, TrainerOptions
from hourglass.schema import Column, Kind, Schema
from hourglass.training import fit

RATE = 1e-3


@dataclass(frozen=True)
class Task:
    """What is trained: rows (N, F), widths from the input to the bottleneck, epochs, batch size."""

    rows_NF: Tensor
    hidden: tuple[int, ...]
    latent_dim: int
    epochs: int
    batch: int

    @property
    def widths(self) -> list[int]:
        """All layers' widths."""
        half = [self.rows_NF.shape[1], *self.hidden, self.latent_dim]
        return [*half, *half[-2::-1]]


def small(batch: int) -> Task:
    """The handwritten digits of scikit-learn, 64-128-16."""
    rows_NF = torch.tensor(load_digits().data / 16, dtype=torch.float32)
    return Task(rows_NF, (128,), 16, 50, batch)


def large(batch: int) -> Task:
    """Made-up images, 784-512-128-32."""
    rng = torch.Generator().manual_seed(0)
    rows_NF = torch.randn(4096, 12, generator=rng) @ torch.randn(12, 784, generator=rng)
    return Task(torch.sigmoid(rows_NF), (512, 128), 32, 20 if batch > 64 else 10, batch)


NETS = {"small": small, "large": large}


def network(task: Task) -> nn.Sequential:
    """Linear layers with SiLU between them; bottleneck and output are linear."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    middle = len(task.widths) // 2
    for i, (inputs, outputs) in enumerate(pairwise(task.widths), 1):
        layers.append(nn.Linear(inputs, outputs))
        if i not in (middle, len(task.widths) - 1):
            layers.append(nn.SiLU())
    return nn.Sequential(*layers)


def loop(task: Task) -> None:
    """What a tutorial shows: index batches, Adam."""
    net = network(task)
    optimizer = torch.optim.Adam(net.parameters(), lr=RATE)
    for _ in range(task.epochs):
        order = torch.randperm(len(task.rows_NF))
        for start in range(0, len(order), task.batch):
            batch = task.rows_NF[order[start : start + task.batch]]
            loss = (net(batch) - batch).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def loop_with_loader(task: Task) -> None:
    """The same with a DataLoader."""
    net = network(task)
    optimizer = torch.optim.Adam(net.parameters(), lr=RATE)
    data = torch.utils.data.TensorDataset(task.rows_NF)
    loader = torch.utils.data.DataLoader(data, batch_size=task.batch, shuffle=True)
    for _ in range(task.epochs):
        for (batch,) in loader:
            loss = (net(batch) - batch).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


class LitAutoencoder(pl.LightningModule):
    """As Lightning's introduction has it."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.net = network(task)

    def training_step(self, batch: list[Tensor], _: int) -> Tensor:
        """Logs its loss."""
        (x,) = batch
        loss = (self.net(x) - x).square().mean()
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam."""
        return torch.optim.Adam(self.parameters(), lr=RATE)


def lightning(task: Task) -> None:
    """Trainer, DataLoader, self.log, the default logger and checkpoints; no progress bar."""
    data = torch.utils.data.TensorDataset(task.rows_NF)
    loader = torch.utils.data.DataLoader(data, batch_size=task.batch, shuffle=True)
    with tempfile.TemporaryDirectory() as folder:
        trainer = pl.Trainer(
            max_epochs=task.epochs,
            accelerator="cpu",
            default_root_dir=folder,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(LitAutoencoder(task), loader)


def pyod(task: Task) -> None:
    """PyOD's AutoEncoder without batch norm and dropout."""
    from pyod.models.auto_encoder import AutoEncoder

    detector = AutoEncoder(
        preprocessing=False,
        lr=RATE,
        epoch_num=task.epochs,
        batch_size=task.batch,
        hidden_neuron_list=[*task.hidden, task.latent_dim],
        hidden_activation_name="relu",
        batch_norm=False,
        dropout_rate=0.0,
        verbose=0,
        device=torch.device("cpu"),
    )
    # Its scoring after the fit is not training: only the loop is taken.
    rows_NF = task.rows_NF.numpy()
    detector._set_n_classes(None)
    detector.feature_size = rows_NF.shape[1]
    detector.build_model()
    detector.training_prepare()
    from pyod.utils.torch_utility import TorchDataset

    data = TorchDataset(X=rows_NF, y=None)
    detector.train(torch.utils.data.DataLoader(data, batch_size=task.batch, shuffle=True))


def pythae(task: Task) -> None:
    """Pythae's trainer over its AE with our layers."""
    from pythae.data.datasets import BaseDataset
    from pythae.models import AE, AEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    net = network(task)
    half = len(net) // 2

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            BaseEncoder.__init__(self)
            self.net = net[: half + 1]

        def forward(self, x: Tensor) -> Any:
            return ModelOutput(embedding=self.net(x))

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            BaseDecoder.__init__(self)
            self.net = net[half + 1 :]

        def forward(self, z: Tensor) -> Any:
            return ModelOutput(reconstruction=self.net(z))

    shape = (task.rows_NF.shape[1],)
    config = AEConfig(input_dim=shape, latent_dim=task.latent_dim)
    with tempfile.TemporaryDirectory() as folder:
        settings = BaseTrainerConfig(
            output_dir=folder,
            per_device_train_batch_size=task.batch,
            num_epochs=task.epochs,
            learning_rate=RATE,
            no_cuda=True,
        )
        data = BaseDataset(task.rows_NF, torch.zeros(len(task.rows_NF)))
        trainer = BaseTrainer(AE(config, Encoder(), Decoder()), data, training_config=settings)
        silent = io.StringIO()
        with contextlib.redirect_stderr(silent), contextlib.redirect_stdout(silent):
            trainer.train()


def scikit(task: Task) -> None:
    """MLPRegressor from the rows to themselves."""
    from sklearn.neural_network import MLPRegressor

    regressor = MLPRegressor(
        hidden_layer_sizes=task.widths[1:-1],
        batch_size=task.batch,
        max_iter=task.epochs,
        tol=0.0,
        n_iter_no_change=task.epochs,
        learning_rate_init=RATE,
        random_state=0,
    )
    rows_NF = task.rows_NF.numpy()
    regressor.fit(rows_NF, rows_NF)


def hourglass(task: Task, compiling: str) -> None:
    """A fit as search and train make it, 64 validation rows each epoch included."""
    features = task.rows_NF.shape[1]
    columns = [Column(f"c{f}", Kind.CONTINUOUS, None, None, None, 0) for f in range(features)]
    torch.manual_seed(0)
    inputs = Inputs(Schema("made up", tuple(columns), {}, {}, None, {}, "0"))
    own = Architecture(features, features, task.latent_dim, task.hidden, "silu")
    loss = losses.build("mse", Context(features, torch.zeros(features), 1.0, 1.0), {})
    unit_F, at_F = torch.ones(features, dtype=torch.float64), torch.arange(features)
    rows = Rows(Feed(task.rows_NF), task.rows_NF[:64], at_F, at_F, unit_F, unit_F * 1e-6)
    plan = Schedule(task.epochs, task.batch, RATE, 0, compiling)
    made = Network(inputs, models.build("dense", own), loss)
    fit(made, rows, plan, Regular(), TrainerOptions(accelerator="cpu"))


def compiled_anew(task: Task) -> None:
    """Hourglass compiled, with nothing compiled before."""
    replaying._compiled.clear()
    torch._dynamo.reset()
    with tempfile.TemporaryDirectory() as folder, _environment("TORCHINDUCTOR_CACHE_DIR", folder):
        hourglass(task, "on")


@contextlib.contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before


CONTESTANTS: dict[str, Callable[[Task], None]] = {
    "hand-written loop": loop,
    "the same, DataLoader": loop_with_loader,
    "Lightning, as its docs": lightning,
    "PyOD AutoEncoder": pyod,
    "Pythae": pythae,
    "scikit-learn MLPRegressor": scikit,
    "Hourglass, compile: off": lambda task: hourglass(task, "off"),
    "Hourglass, compile: auto": lambda task: hourglass(task, "auto"),
    "Hourglass, compile: on": lambda task: hourglass(task, "on"),
}


def compare(task: Task, rounds: int) -> None:
    """Prints a line a contestant."""
    seconds: dict[str, list[float]] = {}
    for name, run in CONTESTANTS.items():
        try:
            run(task)  # warm up
        except ImportError as error:
            print(f"{name:28} left out: {error}")
        else:
            seconds[name] = []
    for _ in range(rounds):
        for name, own in seconds.items():
            start = time.perf_counter()
            CONTESTANTS[name](task)
            own.append(time.perf_counter() - start)
    start = time.perf_counter()
    compiled_anew(task)
    seconds["the last, compiling included"] = [time.perf_counter() - start] * rounds
    base = seconds["hand-written loop"]
    samples = len(task.rows_NF) * task.epochs
    print(f"{'':28}  speed   (range)         samples/s")
    for name, own in seconds.items():
        ratios = [b / o for b, o in zip(base, own, strict=True)]
        rate, middle = samples / statistics.median(own), statistics.median(ratios)
        print(f"{name:28} {middle:6.2f}   ({min(ratios):.2f}-{max(ratios):.2f})   {rate:12,.0f}")


def main() -> None:
    """Runs the contestants in turn on each net and batch size."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--nets", nargs="+", choices=NETS, default=list(NETS))
    parser.add_argument("--batches", nargs="+", type=int, default=[64, 256, 1024])
    parser.add_argument("--copies", type=int, default=1, help="the rows so many times over")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    np.seterr(all="ignore")
    for net in arguments.nets:
        for batch in arguments.batches:
            task = NETS[net](batch)
            task = replace(task, rows_NF=task.rows_NF.repeat(arguments.copies, 1))
            print(f"\n{net}: {'-'.join(map(str, task.widths))}, batch {batch}, ", end="")
            print(f"{len(task.rows_NF)} rows, {task.epochs} epochs")
            compare(task, arguments.rounds)


if __name__ == "__main__":
    main()
