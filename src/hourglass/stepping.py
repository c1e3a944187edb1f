"""Takes Adam's steps on batches: by autograd, or by replaying a step's recorded operations.

Both give the same weights to rounding. They differ in what a small step costs beside its
arithmetic, see docs/decisions/0050 and benchmarks/training.py.
Shapes: P parameters of all modules together, B rows of a batch, F features.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from hourglass import replaying
from hourglass.batches import Batch
from hourglass.replaying import Function, Recorded

log = logging.getLogger(__name__)

# Adam's memory of squared gradients: 20 steps instead of its customary 1000. With the long memory a
# burst of large gradients meets steps still sized for small ones: at learning rates that a search
# likes best some fits never recovered (docs/decisions/0038).
BETAS = (0.9, 0.95)
EPS = 1e-8

# Recording takes as long as it saves in some 150 steps; compiling some ten seconds, and it saves
# some ten microseconds a step.
RECORDED_FROM, COMPILED_FROM = 200, 200_000
# Steps in one call of compiled code, which share what is left of a call's fixed cost.
UNROLLED = 4


class Stepper(ABC):
    """Contract: takes optimiser steps, one for each batch."""

    @abstractmethod
    def take(self, batches: Sequence[Batch], rates: Sequence[float]) -> Tensor:
        """One step for each batch at its learning rate; the sum of the minimised values, ()."""

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """What the next step depends on: the same whichever way steps are taken."""

    @abstractmethod
    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Goes on from what `state` gave."""

    @abstractmethod
    def close(self) -> None:
        """Leaves the modules as plain ones, each parameter with its own memory."""


class Autograd(Stepper):
    """As Lightning's manual optimisation has it: for several processes, and scaled gradients.

    Args:
        module: Called with a batch it gives what is minimised.
        backward: Lightning's, in which strategy and precision take part.
        optimizer: Lightning's wrapper of torch's Adam.
    """

    def __init__(
        self, module: nn.Module, backward: Callable[[Tensor], None], optimizer: Any
    ) -> None:
        self._module = module
        self._backward = backward
        self._optimizer = optimizer
        self._own = [p for p in module.parameters() if p.requires_grad]

    def take(self, batches: Sequence[Batch], rates: Sequence[float]) -> Tensor:
        """See Stepper."""
        values = []
        for batch, rate in zip(batches, rates, strict=True):
            self._optimizer.param_groups[0]["lr"] = rate
            value = self._module(batch)
            self._optimizer.zero_grad()
            self._backward(value)
            self._optimizer.step()
            values.append(value.detach())
        return torch.stack(values).sum()

    def state(self) -> dict[str, Tensor]:
        """See Stepper."""
        adam = self._optimizer.optimizer.state
        moments = {
            name: _end_to_end([adam[p].get(own, torch.zeros_like(p)) for p in self._own])
            for name, own in (("mean_P", "exp_avg"), ("square_P", "exp_avg_sq"))
        }
        steps = next((own["step"] for own in adam.values()), torch.zeros(()))
        return {"flat_P": _end_to_end(self._own), **moments, "steps": steps}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """See Stepper."""
        flat_P, mean_P, square_P = (state[k] for k in ("flat_P", "mean_P", "square_P"))
        parts = (_shaped(v, self._own) for v in (flat_P, mean_P, square_P))
        for parameter, value, mean, square in zip(self._own, *parts, strict=True):
            parameter.data.copy_(value)
            self._optimizer.optimizer.state[parameter] = {
                "step": state["steps"].clone().to(parameter.device),
                "exp_avg": mean.to(parameter),
                "exp_avg_sq": square.to(parameter),
            }

    def close(self) -> None:
        """See Stepper."""


class Replayed(Stepper):
    """For one process: all parameters lie end to end, and a step's operations are replayed.

    A size of batches that comes too seldom, or a network that can't be recorded, goes through
    autograd, with the same moments.

    Args:
        module: Called with a batch it gives what is minimised; its parameters become views of one
            vector.
        precision: The context that a forward pass runs in.
        times: Rows of a batch -> how often such a batch will come.
        compiled: Whether groups of equal batches run compiled.
    """

    def __init__(
        self,
        module: nn.Module,
        precision: Callable[[], AbstractContextManager[Any]],
        times: Mapping[int, int],
        compiled: bool,
    ) -> None:
        self._module = module
        self._precision = precision
        self._times = times
        self._compiled = compiled
        own = {n: p for n, p in module.named_parameters() if p.requires_grad}
        self._names, self._own = tuple(own), tuple(own.values())
        self._buffers = dict(module.named_buffers())
        self.flat_P = _end_to_end(self._own)
        self.mean_P = torch.zeros_like(self.flat_P)  # Adam's moments, Kingma & Ba 2015
        self.square_P = torch.zeros_like(self.flat_P)
        self.steps = torch.zeros((), device=self.flat_P.device)
        self._grad_P = torch.zeros_like(self.flat_P)
        self._views = _shaped(self.flat_P, self._own)
        for parameter, view in zip(self._own, self._views, strict=True):
            parameter.data = view
        self._recorded: dict[Hashable, Recorded | None] = {}
        self._one: dict[Hashable, Step] = {}
        self._group: dict[Hashable, Function | None] = {}

    def take(self, batches: Sequence[Batch], rates: Sequence[float]) -> Tensor:
        """See Stepper."""
        total, at = torch.zeros((), device=self.flat_P.device), 0
        while at < len(batches):
            group = batches[at : at + UNROLLED]
            merged = self._merged(group) if self._compiled else None
            if merged is None:
                step = self._step_for(batches[at])
                total += step(batches[at], rates[at])
                at += 1
            else:
                total += self._take_merged(merged, group, rates[at : at + UNROLLED])
                at += UNROLLED
        return total

    def state(self) -> dict[str, Tensor]:
        """See Stepper."""
        return {name: getattr(self, name) for name in ("flat_P", "mean_P", "square_P", "steps")}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """See Stepper."""
        for name, own in self.state().items():
            own.copy_(state[name])

    def close(self) -> None:
        """See Stepper."""
        for parameter in self._own:
            parameter.data = parameter.data.clone()

    def _step_for(self, batch: Batch) -> "Step":
        key = _kind(batch)
        if key not in self._one:
            self._one[key] = self._made(batch)
        return self._one[key]

    def _made(self, batch: Batch) -> "Step":
        """The fastest way to take a step on batches like this one."""
        recorded = self._record(batch)
        if recorded is None:
            return self._by_autograd
        step = partial(self._by_replay, recorded.replay)
        return self._captured(step, batch) or step if self.flat_P.is_cuda else step

    def _record(self, batch: Batch) -> Recorded | None:
        if self._times.get(len(batch.rows_BF), 0) < RECORDED_FROM:
            return None
        key = _kind(batch)
        if key not in self._recorded:
            found = replaying.record(self._gradients_of(batch.weight), self._arguments(batch))
            self._recorded[key] = found
        return self._recorded[key]

    def _by_autograd(self, batch: Batch, rate: float | Tensor) -> Tensor:
        with self._precision():
            value: Tensor = self._module(batch)
        with torch.no_grad():
            return self._descend(value.detach(), _gradients(value, self._own), rate)

    def _by_replay(self, replay: Function, batch: Batch, rate: float | Tensor) -> Tensor:
        with torch.inference_mode():
            value, *grads = replay(*self._arguments(batch))
            return self._descend(value, grads, rate)

    def _captured(self, own: "Step", batch: Batch) -> "Step | None":
        """The same as a CUDA graph: one launch a step. None, said in the log, if CUDA refuses."""
        fixed = Batch(batch.rows_BF.clone(), batch.weight, *[t.clone() for t in _beside(batch)])
        rate = torch.zeros((), device=self.flat_P.device)
        state = (self.flat_P, self.mean_P, self.square_P, self.steps)
        before = [t.clone() for t in state]
        try:
            with torch.random.fork_rng(devices=[self.flat_P.device]):
                launch, value = replaying.capture(lambda: own(fixed, rate))
        except RuntimeError as error:
            log.warning("CUDA can't capture a step, its operations are launched singly: %s", error)
            return None
        finally:
            for tensor, old in zip(state, before, strict=True):
                tensor.copy_(old)

        def step(batch: Batch, new_rate: float | Tensor) -> Tensor:
            for place, tensor in zip(_tensors(fixed), _tensors(batch), strict=True):
                place.copy_(tensor)
            rate.fill_(new_rate)
            launch()
            return value.clone()

        return step

    def _descend(self, value: Tensor, grads: Sequence[Tensor], rate: float | Tensor) -> Tensor:
        """One step of torch's fused Adam, without what torch.optim does around it."""
        torch.cat([g.reshape(-1) for g in grads], out=self._grad_P)
        self.steps += 1
        torch._fused_adam_(
            [self.flat_P],
            [self._grad_P],
            [self.mean_P],
            [self.square_P],
            [],
            [self.steps],
            lr=rate,
            beta1=BETAS[0],
            beta2=BETAS[1],
            weight_decay=0.0,
            eps=EPS,
            amsgrad=False,
            maximize=False,
        )
        return value

    def _merged(self, group: Sequence[Batch]) -> Function | None:
        """Compiled code for groups like this one, or None."""
        kinds = {_kind(batch) for batch in group}
        if len(group) < UNROLLED or len(kinds) > 1:
            return None
        key = kinds.pop()
        if key not in self._group:
            self._group[key] = self._compile(group)
        return self._group[key]

    def _compile(self, group: Sequence[Batch]) -> Function | None:
        recorded = self._record(group[0])
        if recorded is None:
            return None
        key = None if recorded.key is None else (recorded.key, UNROLLED)
        arguments = self._merged_arguments(group, [0.0] * UNROLLED)
        return replaying.compiled(self._several_of(group[0]), arguments, key)

    def _take_merged(
        self, merged: Function, group: Sequence[Batch], rates: Sequence[float]
    ) -> Tensor:
        with torch.no_grad():
            (total,) = merged(*self._merged_arguments(group, rates))
        self.steps += UNROLLED
        return total

    def _merged_arguments(self, group: Sequence[Batch], rates: Sequence[float]) -> list[Tensor]:
        """State, each step's corrections for Adam's short history, buffers, batches."""
        done, device = int(self.steps), self.flat_P.device
        numbers = [done + 1 + k for k in range(UNROLLED)]
        sizes = [r / (1 - BETAS[0] ** n) for r, n in zip(rates, numbers, strict=True)]
        roots = [(1 - BETAS[1] ** n) ** -0.5 for n in numbers]
        corrections = torch.tensor([sizes, roots], device=device)
        tensors = [t for batch in group for t in _tensors(batch)]
        state = (self.flat_P, self.mean_P, self.square_P)
        return [*state, corrections, *self._buffers.values(), *tensors]

    def _several_of(self, like: Batch) -> Callable[..., list[Tensor]]:
        gradients, each = self._gradients_of(like.weight), len(_tensors(like))

        def several(*every: Tensor) -> list[Tensor]:
            flat_P, mean_P, square_P, corrections, *rest = every
            buffers, tensors = rest[: len(self._buffers)], rest[len(self._buffers) :]
            values = []
            for k in range(UNROLLED):
                own = tensors[k * each : (k + 1) * each]
                value, *grads = gradients(*_shaped(flat_P, self._own), *buffers, *own)
                grad_P = _end_to_end(grads)
                mean_P = mean_P.lerp(grad_P, 1 - BETAS[0])
                square_P = BETAS[1] * square_P + (1 - BETAS[1]) * grad_P.square()
                root_P = square_P.sqrt() * corrections[1, k] + EPS
                flat_P = flat_P - corrections[0, k] * mean_P / root_P
                values.append(value)
            for old, new in zip(every[:3], (flat_P, mean_P, square_P), strict=True):
                old.copy_(new)
            return [torch.stack(values).sum()]

        return several

    def _gradients_of(self, weight: float) -> Callable[..., list[Tensor]]:
        """From parameters, buffers and a batch's tensors to the value and its gradients."""

        def gradients(*every: Tensor) -> list[Tensor]:
            own = len(self._names)
            held = own + len(self._buffers)
            leaves = [p.detach().requires_grad_() for p in every[:own]]
            state = dict(zip(self._names, leaves, strict=True))
            state |= dict(zip(self._buffers, every[own:held], strict=True))
            batch = Batch(every[held], weight, *every[held + 1 :])
            with self._precision():
                value = functional_call(self._module, state, (batch,))
            return [value.detach(), *_gradients(value, leaves)]

        return gradients

    def _arguments(self, batch: Batch) -> list[Tensor]:
        return [*self._views, *self._buffers.values(), *_tensors(batch)]


Step = Callable[[Batch, float | Tensor], Tensor]


def _end_to_end(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([t.detach().reshape(-1) for t in tensors])


def _shaped(flat_P: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """Views of one vector, in the shapes of some tensors."""
    parts = torch.split(flat_P, [t.numel() for t in like])
    return [v.view(t.shape) for v, t in zip(parts, like, strict=True)]


def _gradients(value: Tensor, of: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Zero where the value does not depend on a parameter."""
    return torch.autograd.grad(value, of, allow_unused=True, materialize_grads=True)


def _beside(batch: Batch) -> list[Tensor]:
    return [] if batch.count_B is None else [batch.count_B]


def _tensors(batch: Batch) -> list[Tensor]:
    return [batch.rows_BF, *_beside(batch)]


def _kind(batch: Batch) -> Hashable:
    """Batches of one kind are served by the same recorded operations."""
    return (batch.weight, *[(t.shape, t.dtype) for t in _tensors(batch)])
