"""Would it pay to train several trials of one architecture at once, their weights stacked?

    python benchmarks/stacking.py [--rounds 15]

Prints CPU microseconds of an optimiser step a trial, 64-128-16, batch 64, one thread: one trial by
itself as Hourglass trains it, and 4 to 32 with `torch.func.vmap` over the same batch, recorded and
replayed in the same way. In turns; the median and the least over the rounds.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, stack_module_state, vmap

from hourglass import replaying

BATCH, STEPS = 64, 27


def network(seed: int) -> nn.Sequential:
    """64-128-16-128-64."""
    torch.manual_seed(seed)
    halves = [(64, 128), (128, 16), (16, 128), (128, 64)]
    layers = [nn.Linear(i, o) for i, o in halves]
    return nn.Sequential(layers[0], nn.SiLU(), layers[1], layers[2], nn.SiLU(), layers[3])


def stepper(count: int, rows_BF: Tensor) -> Callable[[Tensor], None]:
    """A step of Adam on `count` networks at once; 1: without the stacking."""
    nets = [network(seed) for seed in range(count)]
    names = [name for name, _ in nets[0].named_parameters()]
    stacked, _ = stack_module_state(nets)
    own = [stacked[n].detach() if count > 1 else stacked[n].detach()[0] for n in names]
    flat_P = torch.cat([p.reshape(-1) for p in own])
    parts = torch.split(flat_P, [p.numel() for p in own])
    views = [v.view(p.shape) for v, p in zip(parts, own, strict=True)]

    def value(parameters: dict[str, Tensor], x_BF: Tensor) -> Tensor:
        return (functional_call(nets[0], parameters, (x_BF,)) - x_BF).square().mean()

    def gradients(*every: Tensor) -> list[Tensor]:
        parameters, x_BF = dict(zip(names, every[:-1], strict=True)), every[-1]
        both = grad_and_value(value)
        grads, values = (both if count == 1 else vmap(both, in_dims=(0, None)))(parameters, x_BF)
        return [values.sum(), *grads.values()]

    recorded = replaying.record(gradients, [*views, rows_BF])
    if recorded is None:
        raise RuntimeError("the step can't be recorded")
    mean_P, square_P, grad_P = (torch.zeros_like(flat_P) for _ in range(3))
    steps = torch.zeros(())
    constants = {"lr": 1e-3, "beta1": 0.9, "beta2": 0.95, "weight_decay": 0.0, "eps": 1e-8}

    def step(x_BF: Tensor) -> None:
        with torch.inference_mode():
            _, *grads = recorded.replay(*views, x_BF)
            torch.cat([g.reshape(-1) for g in grads], out=grad_P)
            steps.add_(1)
            torch._fused_adam_(
                [flat_P], [grad_P], [mean_P], [square_P], [], [steps],
                **constants, amsgrad=False, maximize=False,
            )  # fmt: skip

    return step


def main() -> None:
    """Prints a line for each number of trials."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    rows_NF = torch.tensor(load_digits().data / 16, dtype=torch.float32)
    batches = rows_NF[: STEPS * BATCH].split(BATCH)
    steppers = {count: stepper(count, batches[0]) for count in (1, 4, 8, 16, 32)}
    spent: dict[int, list[float]] = {count: [] for count in steppers}
    for _ in range(rounds):
        for count, step in steppers.items():
            start = time.process_time()
            for batch in batches:
                step(batch)
            spent[count].append((time.process_time() - start) / STEPS / count * 1e6)
    for count, own in spent.items():
        print(f"{count:3} at once: {statistics.median(own):5.0f} (least {min(own):.0f})")


if __name__ == "__main__":
    main()
