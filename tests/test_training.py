"""A fit is deterministic, watched on one scale, and stops with a reason when it diverges."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hourglass import batches, losses, models
from hourglass.batches import Feed
from hourglass.checkpoints import Checkpoint
from hourglass.errors import ConfigError, TrainingError
from hourglass.inputs import Inputs
from hourglass.losses import Context
from hourglass.losses._heads import Head, Heads
from hourglass.models import Architecture, drawn
from hourglass.plans import Curve, Network, Regular, Rows, Schedule, TrainerOptions
from hourglass.schema import Column, Kind, Schema
from hourglass.training import Fit, fit
from hourglass.watching import Watch

F = 6
ALL_F = torch.arange(F)
PLAIN, ALWAYS = Regular(), Watch()
CPU = TrainerOptions(accelerator="cpu")


def table(rows: int = 300) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    latent = torch.randn(rows, 2, generator=generator)
    return latent @ torch.randn(2, F, generator=generator)


def rows_of(train: Tensor, val: Tensor, count_N: Tensor | None = None) -> Rows:
    """Six numbers, each scaled unit worth two."""
    unit = torch.full((F,), 2.0, dtype=torch.float64)
    floor = torch.full((F,), 1e-9, dtype=torch.float64)
    return Rows(Feed(train, count_N), val, ALL_F, ALL_F, unit, floor)


def data() -> Rows:
    return rows_of(table()[:240], table()[240:])


def schema(gaps: bool = False) -> Schema:
    columns = [Column(f"c{f}", Kind.CONTINUOUS, None, None, None, int(gaps)) for f in range(F)]
    return Schema("a test", tuple(columns), {}, {}, None, {}, "0", gaps=gaps)


def network(
    seed: int = 0,
    loss: str = "mse",
    gaps: bool = False,
    variational: bool = False,
    hidden: tuple[int, ...] = (8,),
    residual_scale: float = 1.0,
) -> Network:
    torch.manual_seed(seed)
    inputs = Inputs(schema(gaps))
    own = Architecture(inputs.width, F, 2, hidden, "silu", variational=variational)
    autoencoder = models.build("dense", own)
    context = Context(F, torch.zeros(F), residual_scale, 10.0, gaps)
    return Network(inputs, autoencoder, losses.build_default(loss, context))


def weights(fitted: Network) -> Tensor:
    """All of them, end to end."""
    every = [*fitted.autoencoder.parameters(), *fitted.loss.parameters()]
    return torch.cat([p.detach().reshape(-1) for p in every])


def answer(fitted: Network, rows_NF: Tensor) -> Tensor:
    """Reconstructions, scaled units."""
    with torch.inference_mode():
        return fitted.loss.reconstruct(fitted.autoencoder(fitted.inputs(rows_NF)))


def trained(
    learning_rate: float = 1e-2,
    epochs: int = 20,
    batch_size: int = 32,
    seed: int = 0,
    precision: str | int = "32-true",
    rows: Rows | None = None,
    regular: Regular = PLAIN,
    watch: Watch = ALWAYS,
    **about: object,
) -> tuple[Network, Curve]:
    made = network(seed, **about)
    plan = Schedule(epochs, batch_size, learning_rate, seed, watch=watch)
    options = replace(CPU, precision=precision)
    torch.manual_seed(seed)  # of corruption and draws
    return made, fit(made, rows or data(), plan, regular, options)


def test_the_same_seed_gives_the_same_weights_and_curve():
    (one, curve), (two, again) = trained(), trained()
    assert curve == again
    weights = [list(n.autoencoder.parameters()) for n in (one, two)]
    for a, b in zip(*weights, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("precision", ["64-true", 64, "bf16-true", "bf16-mixed"])
def test_whatever_the_precision_of_the_fit_the_model_answers_in_float32(precision):
    fitted, curve = trained(precision=precision)
    assert answer(fitted, data().val_NF).dtype == torch.float32
    assert curve[-1]["val_loss"] < 0.5 * curve[0]["val_loss"]


def test_another_seed_gives_another_curve():
    assert trained(seed=0)[1] != trained(seed=1)[1]


def test_the_curve_has_a_point_an_epoch_and_falls():
    _, curve = trained()
    assert [p["epoch"] for p in curve] == list(range(1, 21))
    assert curve[-1]["val_loss"] < 0.2 * curve[0]["val_loss"]
    assert curve[-1]["train_loss"] < 0.2 * curve[0]["train_loss"]


def test_val_loss_and_gauss_bits_are_what_they_say():
    fitted, curve = trained(epochs=3)
    rows = data()
    residual = answer(fitted, rows.val_NF) - rows.val_NF
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
    module = Fit(network(), data(), Schedule(25, 24, 0.5, 0), PLAIN)  # 10 steps an epoch
    rates = [module._learning_rate(step) for step in range(250)]
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
    columns = [Column(f"c{f}", Kind.CONTINUOUS, None, None, None, 0) for f in range(12)]
    schema = Schema("a test", tuple(columns), {}, {}, None, {}, "0")
    every = torch.arange(12)
    for seed in (1, 2, 3):
        torch.manual_seed(seed)
        autoencoder = models.build("dense", Architecture(12, 12, 4, (64,), "silu"))
        loss = losses.build("mse", Context(12, torch.zeros(12), 1.0, 10.0), {})
        rows = Rows(Feed(table[:500]), table[500:], every, every, unit, unit * 1e-9)
        plan = Schedule(60, 32, 5e-2, seed)
        curve = fit(Network(Inputs(schema), autoencoder, loss), rows, plan, PLAIN, CPU)
        assert curve[-1]["train_loss"] < 0.2


def test_options_that_lightning_refuses_are_named():
    options = TrainerOptions(accelerator="abacus")
    with pytest.raises(ConfigError, match="abacus"):
        fit(network(), data(), Schedule(1, 32, 1e-3, 0), PLAIN, options)


def test_the_model_comes_back_on_the_cpu_ready_to_answer():
    fitted, _ = trained(epochs=1)
    for module in vars(fitted).values():
        assert not module.training
    assert {p.device.type for p in fitted.autoencoder.parameters()} == {"cpu"}


# --- what is minimised


def fitting(made: Network, rows: Rows | None = None, regular: Regular = PLAIN) -> Fit:
    """A fit that has not begun."""
    return Fit(made, rows or data(), Schedule(1, 32, 1e-3, 0), regular)


def test_without_more_the_loss_itself_is_minimised():
    made, rows_BF = network(), table(7)
    raw_BW = made.autoencoder(rows_BF)
    torch.testing.assert_close(fitting(made)._value(rows_BF), made.loss(raw_BW, rows_BF))


def test_a_variational_bottleneck_adds_its_divergence_in_nats_a_feature():
    made, rows_BF = network(variational=True, residual_scale=0.5), table(7)
    torch.manual_seed(3)
    found_B = fitting(made)._value(rows_BF)
    torch.manual_seed(3)
    z_BL, nats_B = drawn(made.autoencoder.code(rows_BF), torch.randn(7, 2))
    residual_BF = made.autoencoder.decode(z_BL) - rows_BF
    gauss_B = (residual_BF.square() / (2 * 0.5**2)).sum(dim=1)  # nats, but for a constant
    torch.testing.assert_close(found_B, (gauss_B + nats_B) / F)


def test_of_a_row_with_gaps_too_loss_and_divergence_add_up_in_nats():
    """Else a bottleneck would be cheaper for rows of which little is known."""
    made, rows_BF = network(variational=True, gaps=True), table(7)
    rows_BF[:, 2:] = math.nan
    torch.manual_seed(3)
    found_B = fitting(made)._value(rows_BF)
    torch.manual_seed(3)
    z_BL, nats_B = drawn(made.autoencoder.code(made.inputs(rows_BF)), torch.randn(7, 2))
    residual_BF = (made.autoencoder.decode(z_BL) - rows_BF)[:, :2]
    torch.testing.assert_close(found_B, (residual_BF.square().sum(dim=1) / 2 + nats_B) / 2)


def test_a_bottleneck_that_may_be_anything_ends_near_a_standard_normal():
    rows = data()
    fitted, _ = trained(3e-2, epochs=60, variational=True, hidden=())
    with torch.inference_mode():
        code_BC = fitted.autoencoder.code(rows.train.rows_NF)
    mean_BL, log_variance_BL = code_BC.chunk(2, dim=1)
    second_L = (mean_BL.square() + log_variance_BL.exp()).mean(dim=0)
    assert second_L.tolist() == pytest.approx([1.0, 1.0], abs=0.15)
    assert mean_BL.var(dim=0).min() > 0.5  # and says something of the rows


def test_sparsity_adds_the_mean_absolute_bottleneck_value():
    made, rows_BF = network(residual_scale=0.5), table(7)
    found_B = fitting(made, regular=Regular(sparsity=0.7))._value(rows_BF)
    z_BL = made.autoencoder.encode(rows_BF)
    loss_B = made.loss(made.autoencoder.decode(z_BL), rows_BF)
    torch.testing.assert_close(found_B, made.loss.nats * loss_B + 0.7 * z_BL.abs().mean(dim=1))


def test_sparsity_makes_the_bottleneck_smaller():
    sizes = []
    for sparsity in (0.0, 0.3):
        fitted, _ = trained(regular=Regular(sparsity=sparsity))
        with torch.inference_mode():
            sizes.append(float(fitted.autoencoder.encode(data().val_NF).abs().mean()))
    assert sizes[1] < 0.7 * sizes[0]


# --- checkpoints


class Killed(BaseException):
    """Nobody catches it."""


class Dies(Checkpoint):
    """Saves at each epoch's end, and takes the process with it after some of them."""

    def __init__(self, file: Path, epochs: int) -> None:
        super().__init__(file)
        self._left = epochs

    def due(self) -> bool:
        return True

    def save(self, state: dict[str, object]) -> None:
        super().save(state)
        self._left -= 1
        if not self._left:
            raise Killed


def resumed(folder: Path, epochs: int, given: Rows, **about: object) -> tuple[Network, Curve]:
    """A fit that is killed after some epochs, and again after one more, and then goes on."""
    watch = about.pop("watch", Watch())
    plan = Schedule(7, 32, 1e-2, 0, str(about.pop("compiling", "auto")), watch)
    regular, options = about.pop("regular", PLAIN), about.pop("options", CPU)
    for left in (epochs, 1):
        with pytest.raises(Killed):
            dying = Dies(folder / "checkpoint", left)
            fit(network(**about), given, plan, regular, options, dying)
    made = network(seed=5, **about)  # whatever it begins with
    curve = fit(made, given, plan, regular, options, Checkpoint(folder / "checkpoint"))
    assert not (folder / "checkpoint").exists()
    return made, curve


def uninterrupted(given: Rows, **about: object) -> tuple[Network, Curve]:
    watch = about.pop("watch", Watch())
    plan = Schedule(7, 32, 1e-2, 0, str(about.pop("compiling", "auto")), watch)
    regular, options = about.pop("regular", PLAIN), about.pop("options", CPU)
    made = network(**about)
    return made, fit(made, given, plan, regular, options)


def on_disk(folder: Path) -> Rows:
    np.save(folder / "train.npy", table()[:240].numpy())
    return rows_of(np.load(folder / "train.npy", mmap_mode="r"), table()[240:])


CASES = {
    "replayed": {},
    "through autograd": {"compiling": "off"},
    "noise": {"regular": Regular("gauss", 0.3)},
    "draws": {"variational": True},
    "learned scales": {"loss": "student_t"},
    "64 bits": {"options": replace(CPU, precision="64-true")},
    "patience": {"watch": Watch(patience=6)},
}


@pytest.mark.parametrize("place", ["memory", "disk"])
@pytest.mark.parametrize("case", CASES)
def test_a_killed_fit_goes_on_to_the_very_same_weights(case, place, tmp_path, monkeypatch):
    monkeypatch.setattr("hourglass.stepping.RECORDED_FROM", 1)
    given = data() if place == "memory" else on_disk(tmp_path)
    whole, curve = uninterrupted(given, **CASES[case])
    again, other = resumed(tmp_path, 3, given, **CASES[case])
    assert curve == other
    for one, two in zip(
        whole.autoencoder.parameters(), again.autoencoder.parameters(), strict=True
    ):
        assert torch.equal(one, two)
    for one, two in zip(whole.loss.parameters(), again.loss.parameters(), strict=True):
        assert torch.equal(one, two)


def test_a_damaged_checkpoint_is_not_trusted(tmp_path, caplog):
    whole, _ = uninterrupted(data())
    file = tmp_path / "checkpoint"
    with pytest.raises(Killed):
        fit(network(), data(), Schedule(7, 32, 1e-2, 0), PLAIN, CPU, Dies(file, 3))
    file.write_bytes(file.read_bytes()[:-5])
    made = network()
    fit(made, data(), Schedule(7, 32, 1e-2, 0), PLAIN, CPU, Checkpoint(file))
    assert "begins anew" in caplog.text
    assert torch.equal(weights(whole), weights(made))


# --- corruption


class Recorder(nn.Module):
    """Stands in for a loss: remembers what it was asked, and answers with nothing."""

    nats = 1.0

    def __init__(self) -> None:
        super().__init__()
        self.targets: list[Tensor] = []

    def forward(self, raw_BW: Tensor, target_BF: Tensor) -> Tensor:
        self.targets.append(target_BF)
        return raw_BW.sum(dim=1)


def corrupted(regular: Regular, rows_BF: Tensor, at_F: Tensor = ALL_F) -> tuple[Tensor, Tensor]:
    """Inputs and targets of one step under a corruption."""
    made = replace(network(), loss=Recorder())
    seen: list[Tensor] = []
    hook = made.inputs.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    rows = replace(rows_of(rows_BF, rows_BF), at_F=at_F, at_W=at_F)
    torch.manual_seed(5)
    fitting(made, rows, regular)._value(rows_BF)
    hook.remove()
    return seen[0], made.loss.targets[0]


def test_masking_hides_a_share_of_the_values_from_the_network_but_not_from_the_loss():
    rows_BF = table(2000)
    shown, target = corrupted(Regular("mask", 0.3), rows_BF)
    assert torch.equal(target, rows_BF)
    hidden = shown.isnan()
    assert hidden.double().mean(dim=0).tolist() == pytest.approx([0.3] * F, abs=0.05)
    assert torch.equal(shown[~hidden], rows_BF[~hidden])
    assert 0.4 < hidden.any(dim=1).double().mean() < 0.95  # value by value, not row by row


def test_noise_is_added_to_the_numbers_only_and_to_what_the_network_sees_only():
    rows_BF = table(5000)
    shown, target = corrupted(Regular("gauss", 0.4), rows_BF, at_F=torch.tensor([0, 2, 5]))
    assert torch.equal(target, rows_BF)
    noise_BF = shown - rows_BF
    assert noise_BF.std(dim=0).tolist() == pytest.approx([0.4, 0, 0.4, 0, 0, 0.4], abs=0.03)
    assert noise_BF.mean(dim=0).tolist() == pytest.approx([0] * F, abs=0.03)


def test_noise_leaves_gaps_gaps():
    rows_BF = table(50)
    rows_BF[:, 1] = math.nan
    shown, _ = corrupted(Regular("gauss", 0.4), rows_BF)
    assert shown[:, 1].isnan().all()
    assert not shown[:, 2:].isnan().any()


def test_a_network_that_learned_with_masks_fills_in_what_is_hidden():
    """With two latent values behind six columns any two tell the others."""
    errors = {}
    for kind in ("none", "mask"):
        own, _ = trained(epochs=60, hidden=(32,), regular=Regular(kind, 0.25))
        errors[kind] = 0.0
        for f in range(F):
            hidden = data().val_NF.clone()
            hidden[:, f] = math.nan
            errors[kind] += float((answer(own, hidden) - data().val_NF)[:, f].square().mean())
    assert errors["mask"] < 0.5 * errors["none"]


# --- gaps


def holed(rows_NF: Tensor, share: float) -> Tensor:
    generator = torch.Generator().manual_seed(9)
    return rows_NF.masked_fill(torch.rand(rows_NF.shape, generator=generator) < share, math.nan)


def test_values_that_are_missing_are_neither_learned_nor_judged():
    rows = data()
    train, val = holed(rows.train.rows_NF, 0.2), holed(rows.val_NF, 0.2)
    fitted, curve = trained(rows=rows_of(train, val), gaps=True, epochs=30, hidden=(32,))
    assert all(math.isfinite(v) for point in curve for v in point.values())
    residual = (answer(fitted, val) - val).double()
    rms = residual.square().nanmean(dim=0).sqrt() * rows.unit_F
    bits = float(rms.log2().mean()) + math.log2(2 * math.pi * math.e) / 2
    assert curve[-1]["val_gauss_bits"] == pytest.approx(bits, rel=1e-5)
    of_rows = residual.square().nanmean(dim=1).nan_to_num().mean()
    assert curve[-1]["val_loss"] == pytest.approx(float(of_rows), rel=1e-5)
    truth = (answer(fitted, val) - rows.val_NF).square().mean()
    assert truth < 0.35 * rows.val_NF.square().mean()  # what was missing is filled in as well


def test_a_column_that_no_validation_row_shows_is_left_out_of_the_bits():
    rows = data()
    val = rows.val_NF.clone()
    val[:, 3] = math.nan
    fitted, curve = trained(rows=rows_of(rows.train.rows_NF, val), gaps=True, epochs=2)
    kept = [0, 1, 2, 4, 5]
    rms = (answer(fitted, val) - val).double()[:, kept].square().mean(dim=0).sqrt() * 2.0
    bits = float(rms.log2().mean()) + math.log2(2 * math.pi * math.e) / 2
    assert curve[-1]["val_gauss_bits"] == pytest.approx(bits, rel=1e-5)


# --- weights


def test_rows_that_hardly_count_are_hardly_learned():
    """Half of the rows lie in another plane; whichever half counts is the one that is learned."""
    generator = torch.Generator().manual_seed(4)
    planes = [
        torch.randn(150, 2, generator=generator) @ torch.randn(2, F, generator=generator)
        for _ in range(2)
    ]
    errors = []
    for counting in range(2):
        count_N = torch.full((300,), 1e-6)
        count_N[150 * counting : 150 * (counting + 1)] = 2.0
        rows = rows_of(torch.cat(planes), planes[0], count_N)
        fitted, _ = trained(rows=rows, epochs=40, hidden=())
        errors.append([float((answer(fitted, p) - p).square().mean()) for p in planes])
    assert errors[0][0] < 0.1 * errors[0][1]
    assert errors[1][1] < 0.1 * errors[1][0]


def test_a_row_that_counts_twice_is_two_rows():
    """In full batches the weighted mean is the mean over the repeated rows."""
    train, count_N = table()[:60], torch.ones(60)
    count_N[:20], count_N[20:40] = 2.0, 0.0
    weighted, _ = trained(rows=rows_of(train, train, count_N), batch_size=60, epochs=5)
    repeated = torch.cat([train[:20], train[:20], train[40:]])
    plain, _ = trained(rows=rows_of(repeated, train), batch_size=60, epochs=5)
    torch.testing.assert_close(answer(weighted, train), answer(plain, train), rtol=1e-3, atol=1e-4)


def test_the_training_loss_is_the_weighted_mean():
    train, count_N = table()[:64], torch.linspace(0.5, 1.5, 64)
    made = network()
    with torch.inference_mode():
        each_B = made.loss(made.autoencoder(train), train)
    curve = fit(made, rows_of(train, train, count_N), Schedule(1, 64, 1e-12, 0), PLAIN, CPU)
    assert curve[0]["train_loss"] == pytest.approx(float((each_B * count_N).mean()), rel=1e-5)


# --- from disk


def mapped(folder: Path, rows_NF: Tensor) -> np.ndarray:
    np.save(folder / "rows.npy", rows_NF.numpy())
    return np.load(folder / "rows.npy", mmap_mode="r")


def test_rows_on_disk_are_learned_as_well_as_rows_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(batches, "RUN_ROWS", 8)
    monkeypatch.setattr(batches, "POOL_BYTES", 8 * 4 * F * 4)
    memory, disk = data(), replace(data(), train=Feed(mapped(tmp_path, table()[:240])))
    ends = [trained(rows=rows, epochs=30)[1][-1]["val_loss"] for rows in (memory, disk)]
    assert max(ends) < 0.1 * trained(epochs=1)[1][0]["val_loss"]
    assert max(ends) < 3 * min(ends)


@pytest.mark.parametrize("precision", ["32-true", "64-true", "bf16-mixed"])
def test_weights_and_disk_go_with_any_precision(tmp_path, precision):
    feed = Feed(mapped(tmp_path, table()[:240]), torch.linspace(0.5, 1.5, 240))
    curves = [
        trained(rows=replace(data(), train=feed), precision=precision, epochs=3)[1]
        for _ in range(2)
    ]
    assert curves[0] == curves[1]
    assert curves[0][-1]["train_loss"] < curves[0][0]["train_loss"]


# --- several kinds of columns


def test_each_kind_of_column_is_learned_by_its_own_loss():
    """A number, a flag and three levels of one latent value; the curve watches the numbers."""
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(400, generator=generator)
    rows_NF = torch.stack([torch.bucketize(z, torch.tensor([-0.5, 0.5])).float(), z, z.gt(0)], 1)
    columns = (
        Column("level", Kind.CATEGORICAL, None, None, None, 0, ("low", "mid", "high")),
        Column("number", Kind.CONTINUOUS, None, None, None, 0),
        Column("flag", Kind.BINARY, 1.0, 0.0, 1.0, 0),
    )
    inputs = Inputs(Schema("a test", columns, {}, {}, None, {}, "0"))
    torch.manual_seed(0)
    heads = Heads(
        [
            Head(losses.build_default(name, Context(1, torch.zeros(1), 0.1, 6.0, levels=(3,))), *at)
            for name, at in {
                "cross_entropy": ([0], [0, 1, 2]),
                "mse": ([1], [3]),
                "bce": ([2], [4]),
            }.items()
        ]
    )
    made = Network(inputs, models.build("dense", Architecture(5, 5, 1, (16,), "silu")), heads)
    numbers = torch.tensor([1, 2])
    ones = torch.ones(2, dtype=torch.float64)
    rows = Rows(
        Feed(rows_NF[:300]), rows_NF[300:], numbers, torch.tensor([3, 4]), ones, 1e-9 * ones
    )
    curve = fit(made, rows, Schedule(60, 32, 1e-2, 0), PLAIN, CPU)
    found = answer(made, rows.val_NF)
    assert (found[:, :3].argmax(dim=1) == rows.val_NF[:, 0]).double().mean() > 0.9
    assert (found[:, 3] - rows.val_NF[:, 1]).abs().mean() < 0.15
    assert ((found[:, 4] > 0.5) == (rows.val_NF[:, 2] > 0.5)).double().mean() > 0.9
    rms = (found[:, 3:] - rows.val_NF[:, 1:]).double().square().mean(dim=0).sqrt()
    bits = float(rms.log2().mean()) + math.log2(2 * math.pi * math.e) / 2
    assert curve[-1]["val_gauss_bits"] == pytest.approx(bits, rel=1e-4)


def test_a_table_of_levels_alone_is_watched_by_its_cross_entropy():
    code = torch.randint(3, (200,), generator=torch.Generator().manual_seed(0)).float()
    rows_NF = torch.stack([code, code], dim=1)
    column = Column("a", Kind.CATEGORICAL, None, None, None, 0, ("x", "y", "z"))
    schema_of_levels = Schema("a test", (column, replace(column, name="b")), {}, {}, None, {}, "0")
    torch.manual_seed(0)
    made = Network(
        Inputs(schema_of_levels),
        models.build("dense", Architecture(6, 6, 2, (8,), "silu")),
        losses.build("cross_entropy", Context(2, torch.zeros(2), 1.0, 1.0, levels=(3, 3)), {}),
    )
    none, nothing = torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.float64)
    rows = Rows(Feed(rows_NF[:150]), rows_NF[150:], none, none, nothing, nothing)
    curve = fit(made, rows, Schedule(30, 32, 2e-2, 0), PLAIN, CPU)
    for point in curve:
        assert point["val_gauss_bits"] == pytest.approx(point["val_loss"] / math.log(2))
    assert curve[-1]["val_loss"] < 0.2 < 0.9 < curve[0]["val_loss"]


# --- where a fit ends, and what it keeps


def bits_of(curve: Curve) -> list[float]:
    return [p["val_gauss_bits"] for p in curve]


def test_a_fit_behind_its_bar_ends_there_with_the_curve_so_far():
    _, whole = trained(epochs=8)
    bits = bits_of(whole)
    assert trained(epochs=8, watch=Watch({3: bits[2], 5: bits[4] - 0.1}))[1] == whole[:5]
    assert trained(epochs=8, watch=Watch({3: bits[2], 5: bits[4]}))[1] == whole


def test_a_fit_without_gains_ends_with_its_patience():
    """At this learning rate nothing moves: every epoch is as good as the first."""
    _, curve = trained(learning_rate=1e-12, epochs=8, watch=Watch(patience=3))
    assert len(curve) == 4


def unstable(watch: Watch) -> tuple[Network, Curve]:
    """A fit whose last epoch is not its best, under a loss with parameters of its own."""
    return trained(learning_rate=0.5, epochs=12, loss="gaussian_nll", watch=watch)


def test_under_patience_all_parameters_are_those_of_the_best_epoch():
    fitted, curve = unstable(Watch(patience=12))
    plain, same = unstable(Watch())
    assert same == curve
    bits = bits_of(curve)
    best = min(bits)
    assert best < bits[-1] - 0.05  # else this test shows nothing

    def measured(own: Network) -> float:
        residual = answer(own, data().val_NF) - data().val_NF
        rms = residual.double().square().mean(dim=0).sqrt() * data().unit_F
        return float(rms.log2().mean()) + math.log2(2 * math.pi * math.e) / 2

    assert measured(fitted) == pytest.approx(best, rel=1e-5)
    assert measured(plain) == pytest.approx(bits[-1], rel=1e-5)
    with torch.inference_mode():
        raw_BW = fitted.autoencoder(fitted.inputs(data().val_NF))
        at_best = fitted.loss(raw_BW, data().val_NF)
    val_loss = curve[bits.index(best)]["val_loss"]  # depends on the loss's own parameters
    assert float(at_best.mean()) == pytest.approx(val_loss, rel=1e-4)
