"""However its steps are taken, a fit ends in the same weights."""

import contextlib
import logging
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from hourglass import losses, models, replaying, stepping
from hourglass.batches import Batch, Feed
from hourglass.inputs import Inputs
from hourglass.losses import LOSSES, Context, Domain
from hourglass.losses._heads import Head, Heads
from hourglass.models import MODELS, Architecture
from hourglass.plans import Network, Regular, Rows, Schedule, TrainerOptions
from hourglass.schema import Column, Kind, Schema
from hourglass.stepping import Autograd, Replayed
from hourglass.training import Fit, fit

F, LEVELS = 12, 4
PLAIN = Regular()
COMPILES = replaying.compiler(torch.device("cpu"))
VALUES = {
    Domain.REAL: lambda z: z,
    Domain.UNIT: torch.sigmoid,
    Domain.COUNT: lambda z: torch.poisson(z.exp(), generator=torch.Generator().manual_seed(1)),
    Domain.LEVELS: lambda z: (z * 2).round().clamp(0, LEVELS - 1),
}


def rows_for(loss: str, gaps: bool = False) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(101, 2, generator=generator) @ torch.randn(2, F, generator=generator)
    values = VALUES[LOSSES.load(loss).domain](0.5 * z)
    if gaps:
        values[torch.rand(values.shape, generator=generator) < 0.1] = torch.nan
    return values


def network(
    loss: str = "mse", kind: str = "dense", gaps: bool = False, variational: bool = False
) -> Network:
    torch.manual_seed(0)
    levels = LOSSES.load(loss).domain is Domain.LEVELS
    named = tuple("abcd") if levels else ()
    what = Kind.CATEGORICAL if levels else Kind.CONTINUOUS
    columns = tuple(Column(f"c{f}", what, None, None, None, int(gaps), named) for f in range(F))
    shape = {"convolutional": (2, 6, 1), "temporal": (6, 2)}.get(kind)
    inputs = Inputs(Schema("a test", columns, {}, {}, shape, {}, "0", gaps=gaps))
    outputs = F * LEVELS if levels else F
    own = Architecture(inputs.width, outputs, 2, (8,), "silu", shape, variational)
    widths = (LEVELS,) * F if levels else ()
    context = Context(F, torch.full((F,), 1 / 16), 0.2, 4.0, gaps, levels=widths)
    return Network(inputs, models.build(kind, own), losses.build_default(loss, context))


def rows(train: Tensor, numbers: int = F, count_N: Tensor | None = None) -> Rows:
    at = torch.arange(numbers)
    unit = torch.ones(numbers, dtype=torch.float64)
    return Rows(Feed(train, count_N), train[:20], at, at, unit, unit * 1e-6)


def weights(made: Network) -> Tensor:
    modules = (made.inputs, made.autoencoder, made.loss)
    return torch.cat([p.detach().reshape(-1) for m in modules for p in m.parameters()])


def fitted(
    made: Network, given: Rows, compiling: str, regular: Regular = PLAIN, precision="32-true"
) -> tuple[Tensor, list[dict[str, float]]]:
    plan = Schedule(3, 16, 1e-2, 0, compiling)
    options = TrainerOptions(accelerator="cpu", precision=precision)
    torch.manual_seed(3)  # of corruption and draws
    curve = fit(made, given, plan, regular, options)
    return weights(made), curve


@pytest.fixture
def recording(monkeypatch) -> list[str]:
    """Replays steps however few there are; notes which ways were taken."""
    taken = []
    monkeypatch.setattr(stepping, "RECORDED_FROM", 1)
    monkeypatch.setattr(stepping, "UNROLLED", 2)  # compiles in half the time
    for name in ("_by_autograd", "_by_replay", "_take_merged"):
        own = getattr(Replayed, name)

        def noting(self, *args, own=own, name=name):
            taken.append(name)
            return own(self, *args)

        monkeypatch.setattr(Replayed, name, noting)
    return taken


def close(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=2e-4, atol=2e-5)


def same(make, given: Rows, taken: list[str], regular: Regular = PLAIN, **options) -> None:
    """Autograd and replay end alike, and both have moved."""
    plain, curve = fitted(make(), given, "off", regular, **options)
    assert not taken
    replayed, again = fitted(make(), given, "auto", regular, **options)
    assert set(taken) == {"_by_replay"}
    close(plain, replayed)
    assert not torch.allclose(weights(make()), plain, atol=1e-3)
    assert again[-1]["train_loss"] == pytest.approx(curve[-1]["train_loss"], rel=1e-4)


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("loss", LOSSES.names())
def test_each_loss_ends_in_the_same_weights_replayed_or_not(loss, gaps, recording):
    given = rows(rows_for(loss, gaps), 0 if loss == "cross_entropy" else F)
    same(lambda: network(loss, gaps=gaps), given, recording)


@pytest.mark.parametrize("kind", MODELS.names())
def test_so_does_each_model(kind, recording):
    same(lambda: network(kind=kind, gaps=True), rows(rows_for("mse", gaps=True)), recording)


@pytest.mark.parametrize(
    "regular", [Regular("mask", 0.3), Regular("gauss", 0.3), Regular(sparsity=0.1)]
)
def test_so_does_each_demand_on_the_network(regular, recording):
    same(network, rows(rows_for("mse")), recording, regular)


def test_random_draws_are_the_same(recording):
    same(lambda: network(variational=True), rows(rows_for("mse")), recording)


def test_rows_that_count_differently_count_so(recording):
    count_N = torch.linspace(0.1, 1.9, 101)
    same(network, rows(rows_for("mse"), count_N=count_N), recording)
    even, _ = fitted(network(), rows(rows_for("mse")), "auto")
    counted, _ = fitted(network(), rows(rows_for("mse"), count_N=count_N), "auto")
    assert not torch.allclose(even, counted, atol=1e-3)


def test_several_losses_over_one_network(recording):
    def mixed() -> Network:
        made = network()
        context = Context(F // 2, torch.zeros(F // 2), 0.2, 4.0)
        first, last = list(range(F // 2)), list(range(F // 2, F))
        heads = [
            Head(losses.build_default("student_t", context), first, first),
            Head(losses.build_default("poisson", context), last, last),
        ]
        return replace(made, loss=Heads(heads))

    train = torch.cat([rows_for("mse")[:, : F // 2], rows_for("poisson")[:, F // 2 :]], dim=1)
    same(mixed, rows(train), recording)


@pytest.mark.parametrize("precision", ["64-true", "bf16-mixed"])
def test_other_precisions_are_replayed_too(precision, recording):
    plain, curve = fitted(network(), rows(rows_for("mse")), "off", precision=precision)
    replayed, again = fitted(network(), rows(rows_for("mse")), "auto", precision=precision)
    assert set(recording) == {"_by_replay"}
    torch.testing.assert_close(plain, replayed, rtol=2e-2, atol=2e-2)
    assert again[-1]["train_loss"] == pytest.approx(curve[-1]["train_loss"], rel=1e-2)


@pytest.mark.slow
@pytest.mark.skipif(not COMPILES, reason="no compiler here")
@pytest.mark.parametrize("loss", LOSSES.names())
def test_each_loss_ends_in_the_same_weights_compiled_or_not(loss, recording):
    given = rows(rows_for(loss), 0 if loss == "cross_entropy" else F)
    plain, _ = fitted(network(loss), given, "off")
    compiled, _ = fitted(network(loss), given, "on")
    assert set(recording) == {"_take_merged", "_by_replay"}
    close(plain, compiled)


@pytest.mark.slow
@pytest.mark.skipif(not COMPILES, reason="no compiler here")
def test_compiled_draws_are_the_same_and_equal_steps_compile_once(recording, monkeypatch):
    compiled = []
    own = replaying._compile
    monkeypatch.setattr(replaying, "_compile", lambda *a: compiled.append(1) or own(*a))
    plain, _ = fitted(network(variational=True), rows(rows_for("mse")), "off")
    for _ in range(2):
        again, _ = fitted(network(variational=True), rows(rows_for("mse")), "on")
        close(plain, again)
    assert len(compiled) == 1


def test_without_a_compiler_it_says_so_and_replays(recording, monkeypatch, caplog):
    monkeypatch.setattr(replaying, "compiler", lambda device: False)
    with caplog.at_level(logging.WARNING):
        fitted(network(), rows(rows_for("mse")), "on")
    assert "no compiler" in caplog.text
    assert set(recording) == {"_by_replay"}


def test_where_compiling_fails_it_says_so_and_replays(recording, monkeypatch, caplog):
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("linker on strike\nwith details")

    monkeypatch.setattr(replaying, "compiler", lambda device: True)
    monkeypatch.setattr("torch._inductor.compile", broken)
    monkeypatch.setattr(replaying, "_compiled", {})
    with caplog.at_level(logging.WARNING):
        fitted(network(), rows(rows_for("mse")), "on")
    assert "compiling a step failed, it runs uncompiled: linker on strike" in caplog.text
    assert "details" not in caplog.text
    assert set(recording) == {"_by_replay"}


class Stubborn(nn.Module):
    """A loss that looks at values, which can't be recorded."""

    nats = 1.0

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(()))

    def forward(self, raw_BW: Tensor, target_BF: Tensor) -> Tensor:
        error_B = (raw_BW - target_BF).square().mean(dim=1)
        return error_B * 2 if float(error_B.detach().sum()) > 0 else error_B

    def reconstruct(self, raw_BW: Tensor) -> Tensor:
        return raw_BW


def test_what_looks_at_values_goes_through_autograd_and_ends_alike(recording):
    def made() -> Network:
        return replace(network(), loss=Stubborn())

    plain, _ = fitted(made(), rows(rows_for("mse")), "off")
    found, _ = fitted(made(), rows(rows_for("mse")), "auto")
    assert set(recording) == {"_by_autograd"}
    close(plain, found)


def test_few_steps_are_not_worth_recording():
    stepper = Replayed(Valued(), contextlib.nullcontext, {4: stepping.RECORDED_FROM - 1}, False)
    assert stepper._made(Batch(torch.zeros(4, 3), 0.25)) == stepper._by_autograd
    stepper = Replayed(Valued(), contextlib.nullcontext, {4: stepping.RECORDED_FROM}, False)
    assert stepper._made(Batch(torch.zeros(4, 3), 0.25)) != stepper._by_autograd


def drawing(x: Tensor) -> list[Tensor]:
    ones = torch.ones_like(x)
    return [x + torch.bernoulli(ones / 2), x * (ones + ones).sum()]


def changing(x: Tensor) -> list[Tensor]:
    ones = torch.ones_like(x)
    return [x + ones, ones.mul_(2) + x]


@pytest.mark.parametrize("function", [drawing, changing])
def test_what_is_drawn_or_changed_is_not_computed_ahead(function):
    x = torch.full((1000,), 2.0)
    replay = replaying.record(function, [x]).replay
    found = []
    for call in (function, replay):
        torch.manual_seed(0)
        found.append([torch.stack([t.sum() for t in call(x)]) for _ in range(2)])
    torch.testing.assert_close(*found)


class Valued(nn.Module):
    """Squared distance from one parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.centre = nn.Parameter(torch.zeros(3))
        self.unused = nn.Parameter(torch.ones(2))

    def forward(self, batch: Batch) -> Tensor:
        return (batch.rows_BF - self.centre).square().sum() * batch.weight


@pytest.mark.parametrize("times", [0, 1000])
def test_steps_are_those_of_torchs_adam(times):
    generator = torch.Generator().manual_seed(0)
    batches = [Batch(torch.randn(4, 3, generator=generator), 0.25) for _ in range(30)]
    rates = [0.1 / (1 + k) for k in range(30)]
    one, other = Valued(), Valued()
    stepper = Replayed(one, contextlib.nullcontext, {4: times}, compiled=False)
    adam = torch.optim.Adam(other.parameters(), betas=stepping.BETAS, eps=stepping.EPS)
    by_torch = Autograd(other, lambda value: value.backward(), adam)
    sums = [s.take(batches, rates) for s in (stepper, by_torch)]
    torch.testing.assert_close(*sums)
    torch.testing.assert_close(one.centre, other.centre)
    assert torch.equal(one.unused, torch.ones(2))


def test_afterwards_each_parameter_has_memory_of_its_own():
    made = Valued()
    stepper = Replayed(made, contextlib.nullcontext, {4: 0}, compiled=False)
    stepper.take([Batch(torch.ones(4, 3), 0.25)], [0.1])
    stepper.close()
    kept = made.centre.detach().clone()
    stepper.flat_P.zero_()
    assert torch.equal(made.centre, kept)
    assert made.centre.untyped_storage().nbytes() == 12


def test_a_long_fit_is_compiled_where_that_pays(monkeypatch):
    asked = []

    def made(module: nn.Module, precision: object, times: object, compiled: bool) -> Autograd:
        asked.append(compiled)
        return Autograd(module, lambda v: v.backward(), torch.optim.Adam(module.parameters()))

    monkeypatch.setattr("hourglass.training.Replayed", made)
    monkeypatch.setattr(replaying, "compiler", lambda device: True)
    for steps in (21, 22):
        monkeypatch.setattr("hourglass.training.COMPILED_FROM", steps)
        fitted(network(), rows(rows_for("mse")), "auto")
    assert asked == [True, False]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("variational", [False, True])
def test_a_captured_step_is_the_step(variational, monkeypatch, caplog):
    monkeypatch.setattr(stepping, "RECORDED_FROM", 1)
    found = []
    for compiling in ("off", "auto"):
        made, plan = network(variational=variational), Schedule(3, 16, 1e-2, 0, compiling)
        torch.manual_seed(3)
        fit(made, rows(rows_for("mse")), plan, Regular(), TrainerOptions(accelerator="gpu"))
        found.append(weights(made))
    assert "capture" not in caplog.text
    torch.testing.assert_close(*found, rtol=1e-2, atol=1e-2)


def test_the_module_that_lightning_drives_gives_the_minimised_value():
    made, given = network(), rows(rows_for("mse"))
    module = Fit(made, given, Schedule(1, 32, 1e-3, 0), Regular())
    batch = Batch(given.train.rows_NF[:8], 1 / 16, torch.full((8,), 3.0))
    raw = made.autoencoder(batch.rows_BF)
    expected = 3 * made.loss(raw, batch.rows_BF).sum() / 16
    torch.testing.assert_close(module(batch), expected)
