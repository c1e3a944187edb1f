"""A fit is deterministic, watched on one scale, and stops with a reason when it diverges."""

import math

import numpy as np
import pytest
import torch

from hourglass import losses, models
from hourglass.errors import ConfigError, TrainingError
from hourglass.losses import Context
from hourglass.models import Architecture
from hourglass.training import Curve, Fit, Rows, Schedule, TrainerOptions, fit


def data() -> Rows:
    generator = torch.Generator().manual_seed(0)
    latent = torch.randn(300, 2, generator=generator)
    table = latent @ torch.randn(2, 6, generator=generator)
    unit = torch.full((6,), 2.0, dtype=torch.float64)
    return Rows(table[:240], table[240:], unit, torch.full((6,), 1e-9, dtype=torch.float64))


def trained(
    learning_rate: float = 1e-2,
    epochs: int = 20,
    batch_size: int = 32,
    seed: int = 0,
    precision: str | int = "32-true",
) -> tuple[models.Autoencoder, Curve]:
    torch.manual_seed(seed)
    autoencoder = models.build("dense", Architecture(6, 2, (8,), "silu", None))
    loss = losses.build("mse", Context(6, torch.zeros(6), 1.0, 10.0), {})
    plan = Schedule(epochs, batch_size, learning_rate, seed)
    options = TrainerOptions(accelerator="cpu", precision=precision)
    curve = fit(autoencoder, loss, data(), plan, options)
    return autoencoder, curve


def test_the_same_seed_gives_the_same_weights_and_curve():
    (one, curve), (two, again) = trained(), trained()
    assert curve == again
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("precision", ["64-true", 64, "bf16-true", "bf16-mixed"])
def test_whatever_the_precision_of_the_fit_the_model_answers_in_float32(precision):
    autoencoder, curve = trained(precision=precision)
    assert autoencoder(data().val_NF).dtype == torch.float32
    assert curve[-1]["val_loss"] < 0.5 * curve[0]["val_loss"]


def test_another_seed_gives_another_curve():
    assert trained(seed=0)[1] != trained(seed=1)[1]


def test_the_curve_has_a_point_an_epoch_and_falls():
    _, curve = trained()
    assert [p["epoch"] for p in curve] == list(range(1, 21))
    assert curve[-1]["val_loss"] < 0.2 * curve[0]["val_loss"]
    assert curve[-1]["train_loss"] < 0.2 * curve[0]["train_loss"]


def test_val_loss_and_gauss_bits_are_what_they_say():
    autoencoder, curve = trained(epochs=3)
    rows = data()
    with torch.inference_mode():
        residual = autoencoder(rows.val_NF) - rows.val_NF
    assert curve[-1]["val_loss"] == pytest.approx(float(residual.square().mean()), rel=1e-5)
    rms = residual.double().square().mean(dim=0).sqrt() * rows.unit_F
    bits = float(rms.log2().mean()) + math.log2(2 * math.pi * math.e) / 2
    assert curve[-1]["val_gauss_bits"] == pytest.approx(bits, rel=1e-5)


def test_a_batch_larger_than_the_data_is_one_step_an_epoch():
    _, curve = trained(batch_size=10_000, epochs=2)
    assert len(curve) == 2


def test_a_diverging_fit_says_where_and_with_what_learning_rate():
    with pytest.raises(
        TrainingError, match=r"the loss became .* in epoch \d+ of 20 \(learning_rate 1e\+30\)"
    ):
        trained(learning_rate=1e30)


def test_the_learning_rate_rises_over_a_twentieth_of_the_steps_and_decays_to_nothing():
    autoencoder = models.build("dense", Architecture(6, 2, (8,), "silu", None))
    loss = losses.build("mse", Context(6, torch.zeros(6), 1.0, 10.0), {})
    module = Fit(autoencoder, loss, data(), Schedule(25, 24, 0.5, 0))  # 10 steps an epoch
    rates = []
    for module._step in range(250):
        rates.append(module._learning_rate())
    assert rates[0] == pytest.approx(0.5 / 12.5)
    assert int(np.argmax(rates)) in {11, 12, 13}
    assert max(rates) == pytest.approx(0.5, rel=0.01)
    assert rates[-1] < 1e-4
    assert rates[125] == pytest.approx(0.25)


def test_no_fit_breaks_down_at_the_top_of_the_searched_learning_rates():
    """A regression: with Adam's customary memory the skewed columns ended at a loss of 0.87."""
    rng = np.random.default_rng(0)
    signal = rng.normal(size=(600, 4)) @ rng.normal(size=(4, 12))
    table = torch.from_numpy(np.exp(0.4 * (signal + 0.3 * rng.standard_t(2, size=(600, 12)))))
    table = ((table - table.mean(dim=0)) / table.std(dim=0)).float()
    unit = torch.ones(12, dtype=torch.float64)
    for seed in (1, 2, 3):
        torch.manual_seed(seed)
        autoencoder = models.build("dense", Architecture(12, 4, (64,), "silu", None))
        loss = losses.build("mse", Context(12, torch.zeros(12), 1.0, 10.0), {})
        rows = Rows(table[:500], table[500:], unit, unit * 1e-9)
        curve = fit(autoencoder, loss, rows, Schedule(60, 32, 5e-2, seed), TrainerOptions("cpu"))
        assert curve[-1]["train_loss"] < 0.2


def test_options_that_lightning_refuses_are_named():
    autoencoder = models.build("dense", Architecture(6, 2, (8,), "silu", None))
    loss = losses.build("mse", Context(6, torch.zeros(6), 1.0, 10.0), {})
    options = TrainerOptions(accelerator="abacus")
    with pytest.raises(ConfigError, match="abacus"):
        fit(autoencoder, loss, data(), Schedule(1, 32, 1e-3, 0), options)


def test_the_model_comes_back_on_the_cpu_ready_to_answer():
    autoencoder, _ = trained(epochs=1)
    assert not autoencoder.training
    assert {p.device.type for p in autoencoder.parameters()} == {"cpu"}
