"""A fit through Lightning beside a hand-written loop, and what several steps a call win.

    python benchmarks/training_step.py [--rounds 5] [--epochs 50]

Prints samples per second as a multiple of the hand-written loop (index batches, Adam), the median
over the rounds with their range; the contestants take turns, one thread each.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from sklearn.datasets import load_digits

from hourglass import batches, losses, models
from hourglass.losses import Context
from hourglass.models import Architecture
from hourglass.training import Rows, Schedule, TrainerOptions, fit

BATCH = 64


def parts() -> tuple[models.Autoencoder, losses.Loss]:
    """The autoencoder 64-128-16-128-64 and mean squared error, always from the same seed."""
    torch.manual_seed(0)
    architecture = Architecture(64, 16, (128,), "silu", None)
    return models.build("dense", architecture), losses.build(
        "mse", Context(64, torch.zeros(64), 1.0, 1.0), {}
    )


def by_hand(rows_NF: torch.Tensor, epochs: int) -> None:
    """The loop that a tutorial shows: index batches, Adam."""
    autoencoder, _ = parts()
    optimizer = torch.optim.Adam(autoencoder.parameters(), lr=3e-3)
    for _ in range(epochs):
        order = torch.randperm(len(rows_NF))
        for start in range(0, len(rows_NF), BATCH):
            batch = rows_NF[order[start : start + BATCH]]
            loss = (autoencoder(batch) - batch).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def hourglass(rows_NF: torch.Tensor, epochs: int, steps_a_call: int) -> None:
    """Hourglass's fit, validation included, with so many optimiser steps a training_step."""
    batches.STEPS_A_CALL = steps_a_call
    autoencoder, loss = parts()
    unit = torch.ones(64, dtype=torch.float64)
    rows = Rows(rows_NF, rows_NF[:200], unit, unit * 1e-6)
    plan = Schedule(epochs, BATCH, 3e-3, 0)
    fit(autoencoder, loss, rows, plan, TrainerOptions(accelerator="cpu"))


def main() -> None:
    """Runs the contestants in turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=50)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows_NF = torch.tensor(load_digits().data / 16, dtype=torch.float32)
    contestants: dict[str, Callable[[], None]] = {
        "hand-written loop": lambda: by_hand(rows_NF, arguments.epochs),
        "hourglass, 1 step a call": lambda: hourglass(rows_NF, arguments.epochs, 1),
        "hourglass, 16 steps a call": lambda: hourglass(rows_NF, arguments.epochs, 16),
        "hourglass, 64 steps a call": lambda: hourglass(rows_NF, arguments.epochs, 64),
    }
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for run in contestants.values():
        run()  # warm up
    for _ in range(arguments.rounds):
        for name, run in contestants.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    base = seconds["hand-written loop"]
    samples = len(rows_NF) * arguments.epochs
    print(f"{'':28}  speed   (range)         samples/s")
    for name, own in seconds.items():
        ratios = [b / o for b, o in zip(base, own, strict=True)]
        rate = samples / statistics.median(own)
        middle = statistics.median(ratios)
        print(f"{name:28} {middle:6.2f}   ({min(ratios):.2f}-{max(ratios):.2f})   {rate:12,.0f}")


if __name__ == "__main__":
    main()
