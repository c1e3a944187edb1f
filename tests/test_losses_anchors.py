"""What theory says of each loss, as identities: the losses are what their names promise."""

import math
from collections.abc import Callable

import pytest
import torch
from scipy import stats
from torch import Tensor

from hourglass.losses import Context, Loss, build
from hourglass.losses.continuous_bernoulli import log_partition, mean
from hourglass.models import Architecture
from hourglass.models import build as build_model


@pytest.fixture(autouse=True)
def _one_thread_and_a_fixed_seed():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


def loss_of(name: str, features: int, residual_scale: float = 1.0, **own: float) -> Loss:
    context = Context(features, torch.zeros(features), residual_scale, 1e12)
    return build(name, context, own).double()


def slope(loss: Loss, raw_BF: Tensor, target_BF: Tensor) -> Tensor:
    """Derivative of the sum of all elements in each raw value."""
    leaf = raw_BF.clone().requires_grad_()
    return torch.autograd.grad(loss.elementwise(leaf, target_BF).sum(), leaf)[0]


def best_constant(
    loss: Loss, target_BF: Tensor, offset_BF: Tensor | float = 0.0, reach: float = 200.0
) -> Tensor:
    """The best output bias beside `offset_BF`, (F,), by bisection on the loss's own gradient."""
    low_F = torch.full(target_BF.shape[1:], -reach, dtype=torch.float64)
    high_F = -low_F
    for _ in range(60):
        middle_F = (low_F + high_F) / 2
        raw_BF = middle_F.expand_as(target_BF) + offset_BF
        rises_F = slope(loss, raw_BF, target_BF).sum(dim=0) > 0
        low_F = torch.where(rises_F, low_F, middle_F)
        high_F = torch.where(rises_F, middle_F, high_F)
    return (low_F + high_F) / 2


# --- linear autoencoders and PCA


def linear_autoencoder(loss: Loss, x_NF: Tensor, latent: int, steps: int) -> tuple[float, Tensor]:
    """Trains on all rows at once; returns the last loss and the decoder's orthonormal basis."""
    architecture = Architecture(x_NF.shape[1], x_NF.shape[1], latent, (), "silu")
    model = build_model("dense", architecture).double()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        optimizer.zero_grad()
        final = loss(model(x_NF), x_NF).mean()
        final.backward()
        optimizer.step()
        schedule.step()
    return final.item(), torch.linalg.qr(model.decoder[0].weight.detach())[0]


def angle(a_FL: Tensor, b_FL: Tensor) -> float:
    """Largest angle between two subspaces, radians; from its sine, exact for small angles."""
    residual = a_FL - b_FL @ (b_FL.T @ a_FL)
    return math.asin(min(1.0, torch.linalg.matrix_norm(residual, 2).item()))


def test_linear_autoencoder_with_mse_is_pca():
    scales_F = torch.tensor([2.0, 1.5, 1.1, 0.5, 0.4, 0.3, 0.3, 0.2], dtype=torch.float64)
    rotation = torch.linalg.qr(torch.randn(8, 8, dtype=torch.float64))[0]
    x_NF = (torch.randn(300, 8, dtype=torch.float64) * scales_F) @ rotation + 0.3
    centred = x_NF - x_NF.mean(dim=0)
    values, vectors = torch.linalg.eigh(centred.T @ centred / len(x_NF))
    final, basis_FL = linear_autoencoder(loss_of("mse", 8), x_NF, latent=3, steps=1500)
    assert final == pytest.approx(values[:5].sum().item() / 8, rel=1e-4)
    assert angle(basis_FL, vectors[:, -3:]) < 2e-3


def test_linear_autoencoder_with_mae_or_huber_withstands_row_outliers_that_turn_mse():
    basis_FL = torch.linalg.qr(torch.randn(10, 2, dtype=torch.float64))[0]
    noise_NF = 0.1 * torch.randn(300, 10, dtype=torch.float64)
    x_NF = torch.randn(300, 2, dtype=torch.float64) @ basis_FL.T + noise_NF
    x_NF[:15] += 3 * torch.randn(15, 10, dtype=torch.float64)
    found = {}
    for name, own in {"mse": {}, "mae": {}, "huber": {"delta": 1.0}}.items():
        loss = loss_of(name, 10, residual_scale=0.1, **own)
        found[name] = angle(linear_autoencoder(loss, x_NF, latent=2, steps=800)[1], basis_FL)
    # over ten seeds: mse 0.35 to 0.82, mae 0.02 to 0.05, huber 0.01 to 0.04
    assert found["mse"] > 0.3
    assert found["mae"] < 0.06
    assert found["huber"] < 0.06


# --- binary cross-entropy and continuous Bernoulli


def entropy(p: Tensor) -> Tensor:
    return -torch.xlogy(p, p) - torch.xlogy(1 - p, 1 - p)


def test_bce_at_the_target_is_the_entropy_and_its_excess_is_the_divergence():
    loss = loss_of("bce", 1)
    x_BF = torch.linspace(0.001, 0.999, 999, dtype=torch.float64)[:, None]
    floor_BF = loss.elementwise(x_BF.logit(), x_BF)
    torch.testing.assert_close(floor_BF, entropy(x_BF), rtol=1e-13, atol=1e-15)
    for offset in (-3.0, -0.1, 0.1, 3.0):
        raw_BF = x_BF.logit() + offset
        m_BF = raw_BF.sigmoid()
        kl_BF = x_BF * (x_BF / m_BF).log() + (1 - x_BF) * ((1 - x_BF) / (1 - m_BF)).log()
        excess_BF = loss.elementwise(raw_BF, x_BF) - floor_BF
        torch.testing.assert_close(excess_BF, kl_BF, rtol=1e-11, atol=1e-14)


def test_continuous_bernoulli_is_smallest_where_its_mean_is_the_target_not_at_the_logit():
    loss = loss_of("continuous_bernoulli", 1)
    raw_BF = torch.linspace(-30, 30, 601, dtype=torch.float64)[:, None]
    at_mean = slope(loss, raw_BF, loss.reconstruct(raw_BF))
    torch.testing.assert_close(at_mean, torch.zeros_like(at_mean), rtol=0, atol=1e-11)
    x_BF = torch.tensor([[0.1], [0.3], [0.8]], dtype=torch.float64)
    best_BF = torch.stack([best_constant(loss, x[None]) for x in x_BF])
    torch.testing.assert_close(loss.reconstruct(best_BF), x_BF, rtol=0, atol=1e-12)
    assert ((best_BF.sigmoid() - x_BF).abs() > 0.05).all()
    better = loss.elementwise(best_BF, x_BF) < loss.elementwise(x_BF.logit(), x_BF)
    assert better.all()


@pytest.mark.parametrize(
    "raw", [-40.0, -3.0, -0.1001, -0.0999, 0.0, 1e-5, 0.0999, 0.1001, 2.0, 40.0]
)
def test_continuous_bernoulli_is_a_density_with_the_mean_it_reports(raw):
    # Simpson's rule; its error is far below the tolerance for this many points.
    x = torch.linspace(0, 1, 20_001, dtype=torch.float64)
    weights = torch.full_like(x, 2.0)
    weights[1::2] = 4.0
    weights[[0, -1]] = 1.0
    raw_of_x = torch.full_like(x, raw)
    loss = loss_of("continuous_bernoulli", 1)
    mass = weights / 60_000 * (-loss.elementwise(raw_of_x[:, None], x[:, None])[:, 0]).exp()
    assert mass.sum().item() == pytest.approx(1, abs=1e-11)
    assert (mass * x).sum().item() == pytest.approx(mean(raw_of_x[0]).item(), abs=1e-11)


def test_continuous_bernoulli_is_bce_less_the_papers_log_normaliser():
    raw = torch.cat([-(grid := torch.logspace(-3, 2, 300, dtype=torch.float64)), grid])
    size = raw.abs()
    log_c = size.log() - (size / 2).tanh().log()
    torch.testing.assert_close(
        log_partition(raw), torch.nn.functional.softplus(raw) - log_c, rtol=1e-9, atol=1e-12
    )


# --- the family of robust losses


@pytest.fixture
def residuals() -> tuple[Tensor, Tensor]:
    raw_BF = torch.randn(50, 3, dtype=torch.float64)
    return raw_BF, raw_BF + 3 * torch.randn(50, 3, dtype=torch.float64)


def test_gaussian_nll_with_a_fixed_scale_has_the_gradient_of_scaled_mse(residuals):
    for s in (0.2, 1.0, 3.0):
        loss = loss_of("gaussian_nll", 3, residual_scale=s)
        expected = slope(loss_of("mse", 3), *residuals) / (2 * loss.scale.square())
        torch.testing.assert_close(slope(loss, *residuals), expected, rtol=1e-14, atol=0)


def test_gaussian_nll_is_the_negative_log_density(residuals):
    raw_BF, target_BF = residuals
    loss = loss_of("gaussian_nll", 3, residual_scale=0.7)
    density = torch.distributions.Normal(raw_BF, loss.scale)
    torch.testing.assert_close(loss.elementwise(raw_BF, target_BF), -density.log_prob(target_BF))


def test_student_t_is_the_negative_log_density(residuals):
    raw_BF, target_BF = residuals
    loss = loss_of("student_t", 3, residual_scale=0.7)
    density = torch.distributions.StudentT(loss.nu, raw_BF, loss.scale)
    torch.testing.assert_close(loss.elementwise(raw_BF, target_BF), -density.log_prob(target_BF))
    assert loss.nu.item() == pytest.approx(5, rel=1e-6)


def test_student_t_with_many_degrees_of_freedom_is_gaussian_nll(residuals):
    student = loss_of("student_t", 3, residual_scale=0.7)
    torch.nn.init.constant_(student.raw_nu, 1e8)
    gauss = loss_of("gaussian_nll", 3, residual_scale=0.7)
    torch.testing.assert_close(
        student.elementwise(*residuals), gauss.elementwise(*residuals), rtol=1e-5, atol=1e-6
    )
    torch.testing.assert_close(
        slope(student, *residuals), slope(gauss, *residuals), rtol=1e-5, atol=0
    )


def test_student_t_gives_far_values_next_to_no_weight():
    loss = loss_of("student_t", 1)
    near, far = (
        slope(loss, torch.zeros(1, 1).double(), torch.full((1, 1), r).double()) for r in (1.0, 1e4)
    )
    assert abs(far.item()) < 1e-3 * abs(near.item())


WIDTH_OF = {"huber": "delta", "log_cosh": "scale"}


@pytest.mark.parametrize(("name", "key"), WIDTH_OF.items())
def test_a_narrow_width_is_mae_and_a_wide_one_half_of_mse(name, key, residuals):
    narrow = loss_of(name, 3, **{key: 1e-7}).elementwise(*residuals) / 1e-7
    torch.testing.assert_close(narrow, loss_of("mae", 3).elementwise(*residuals), rtol=0, atol=1e-6)
    wide = loss_of(name, 3, **{key: 1e4}).elementwise(*residuals)
    half = loss_of("mse", 3).elementwise(*residuals) / 2
    # log-cosh is a difference of terms of order 1 in units of the squared width
    torch.testing.assert_close(wide, half, rtol=1e-6, atol=1e-7 if name == "log_cosh" else 1e-14)


@pytest.mark.parametrize("width", [0.1, 1.0, 3.0])
@pytest.mark.parametrize(("name", "key"), WIDTH_OF.items())
def test_the_gradient_never_exceeds_the_width_and_comes_near_it(name, key, width, residuals):
    loss = loss_of(name, 3, residual_scale=0.5, **{key: width})
    raw_BF, target_BF = residuals
    size_BF = slope(loss, raw_BF, 10 * target_BF).abs()
    assert loss.width == pytest.approx(width * 0.5)
    assert size_BF.max() <= loss.width * (1 + 1e-12)
    assert size_BF.max() > 0.99 * loss.width


def test_huber_is_its_definition_on_both_sides_of_the_width(residuals):
    raw_BF, target_BF = residuals
    size_BF = (raw_BF - target_BF).abs()
    expected = torch.where(size_BF <= 1.3, size_BF.square() / 2, 1.3 * (size_BF - 0.65))
    assert (size_BF <= 1.3).any()
    assert (size_BF > 1.3).any()
    torch.testing.assert_close(
        loss_of("huber", 3, delta=1.3).elementwise(raw_BF, target_BF), expected
    )


@pytest.mark.parametrize(("name", "key"), WIDTH_OF.items())
def test_the_width_is_in_units_of_the_residual_scale(name, key, residuals):
    unit = loss_of(name, 3, residual_scale=1.0, **{key: 0.8})
    millimetres = loss_of(name, 3, residual_scale=1000.0, **{key: 0.8})
    scaled = millimetres.elementwise(*(1000 * t for t in residuals)) / 1000**2
    torch.testing.assert_close(scaled, unit.elementwise(*residuals))


# --- bottleneck 0: the constants that a loss prefers


@pytest.mark.parametrize("name", ["mse", "bce", "continuous_bernoulli"])
def test_column_means_agree_at_the_optimum_over_the_output_bias(name):
    x_BF = torch.rand(101, 5, dtype=torch.float64) ** torch.arange(1, 6)
    loss = loss_of(name, 5)
    offset_BF = torch.randn(101, 5, dtype=torch.float64)  # what the rest of the network says
    bias_F = best_constant(loss, x_BF, offset_BF)
    reconstruction_BF = loss.reconstruct(offset_BF + bias_F)
    torch.testing.assert_close(reconstruction_BF.mean(dim=0), x_BF.mean(dim=0), rtol=0, atol=1e-8)


def test_bottleneck_zero_gives_variance_absolute_deviation_and_entropy():
    x_BF = torch.rand(101, 5, dtype=torch.float64) ** torch.arange(1, 6)
    median_F, mean_F = x_BF.median(dim=0).values, x_BF.mean(dim=0)
    expected: dict[str, tuple[Tensor, Tensor]] = {
        "mse": (mean_F, x_BF.var(dim=0, correction=0)),
        "mae": (median_F, (x_BF - median_F).abs().mean(dim=0)),
        "bce": (mean_F.logit(), entropy(mean_F)),
    }
    for name, (raw_F, value_F) in expected.items():
        loss = loss_of(name, 5)
        best_F = best_constant(loss, x_BF)
        torch.testing.assert_close(best_F, raw_F, rtol=0, atol=1e-10)
        value = loss.elementwise(best_F.expand_as(x_BF), x_BF).mean(dim=0)
        torch.testing.assert_close(value, value_F, rtol=0, atol=1e-10)


def laplace(*shape: int) -> Tensor:
    return torch.distributions.Laplace(0.0, 1.0).sample(shape).double()


def gauss(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


@pytest.mark.parametrize(
    ("noise", "ratio"), [(gauss, math.pi / 2), (laplace, 0.5)], ids=["gauss", "laplace"]
)
def test_variance_of_the_mae_constant_to_that_of_mse(noise: Callable[..., Tensor], ratio: float):
    # 2000 samples of 1201 values as columns: the ratio's own standard error is about 3 %, and the
    # median of Laplace noise still varies 5 % more than in the limit of many values
    x_BF = noise(1201, 2000)
    spread = {n: best_constant(loss_of(n, 2000), x_BF).var() for n in ("mae", "mse")}
    assert (spread["mae"] / spread["mse"]).item() == pytest.approx(ratio, rel=0.1)


# --- counts

OFFSETS_AND_UNITS = [(0.0, 1.0), (2.5, 0.5), (7.0, 12.0)]


def counting(name: str, offset: float, unit: float, mean: float = 1.0) -> Loss:
    """A loss of two columns of counts that were scaled by offset and unit."""
    scaled = {"offset_F": torch.tensor([offset, 0.0]), "unit_F": torch.tensor([unit, 1.0])}
    means = torch.tensor([mean, 4.0])
    context = Context(2, torch.zeros(2), 1.0, 1e12, mean_F=means, **scaled)
    return build(name, context, {}).double()


def scaled(count_BF: Tensor, loss: Loss) -> Tensor:
    return (count_BF - loss.context.offset_F) / loss.context.unit_F


def counts(rows: int = 200) -> Tensor:
    return torch.poisson(torch.tensor([3.0, 9.0]).expand(rows, 2)).double()


def rates(raw_BF: Tensor) -> Tensor:
    """What the raw output stands for, columns of means 2 and 4."""
    return torch.where(raw_BF < 0, raw_BF.exp(), (1 + raw_BF / 2) ** 2) * torch.tensor([2.0, 4.0])


@pytest.mark.parametrize("name", ["poisson", "negative_binomial"])
def test_rates_are_smooth_where_the_branches_meet_and_no_raw_output_is_a_huge_rate(name):
    loss = counting(name, 0.0, 1.0)
    raw_BF = torch.tensor([[-1e-6], [0.0], [1e-6]], dtype=torch.float64).expand(-1, 2)
    rise_BF = loss.reconstruct(raw_BF).diff(dim=0) / 1e-6 / torch.tensor([1.0, 4.0])
    torch.testing.assert_close(rise_BF, torch.ones_like(rise_BF), rtol=1e-5, atol=0)
    far = loss.reconstruct(torch.full((1, 2), 20.0, dtype=torch.float64))
    torch.testing.assert_close(far, 121 * torch.tensor([[1.0, 4.0]]).double())  # e^20: 5e8


@pytest.mark.parametrize(("offset", "unit"), OFFSETS_AND_UNITS)
def test_poisson_is_the_negative_log_probability_of_the_count_however_it_was_scaled(offset, unit):
    loss = counting("poisson", offset, unit, mean=2.0)
    raw_BF, count_BF = torch.randn(200, 2, dtype=torch.float64), counts()
    rate_BF = rates(raw_BF)
    expected = -torch.distributions.Poisson(rate_BF).log_prob(count_BF)
    torch.testing.assert_close(loss.elementwise(raw_BF, scaled(count_BF, loss)), expected)
    torch.testing.assert_close(loss.reconstruct(raw_BF), scaled(rate_BF, loss))


@pytest.mark.parametrize(("offset", "unit"), OFFSETS_AND_UNITS)
@pytest.mark.parametrize("size", [0.3, 2.7, 40.0])
def test_negative_binomial_is_the_negative_log_probability_of_the_count(offset, unit, size):
    loss = counting("negative_binomial", offset, unit, mean=2.0)
    torch.nn.init.constant_(loss.log_size_F, math.log(size))
    raw_BF, count_BF = torch.randn(200, 2, dtype=torch.float64), counts()
    rate_BF = rates(raw_BF)
    found = loss.elementwise(raw_BF, scaled(count_BF, loss)).detach()
    expected = -stats.nbinom(size, size / (size + rate_BF.numpy())).logpmf(count_BF.numpy())
    torch.testing.assert_close(found, torch.from_numpy(expected))
    torch.testing.assert_close(loss.reconstruct(raw_BF), scaled(rate_BF, loss))
    assert loss.size.tolist() == pytest.approx([size, size])


def test_negative_binomial_of_a_large_size_is_poisson():
    raw_BF, count_BF = torch.randn(200, 2, dtype=torch.float64), counts()
    poisson, other = (counting(n, 2.0, 3.0) for n in ("poisson", "negative_binomial"))
    torch.nn.init.constant_(other.log_size_F, 99.0)
    target_BF = scaled(count_BF, poisson)
    expected = poisson.elementwise(raw_BF, target_BF)
    torch.testing.assert_close(other.elementwise(raw_BF, target_BF), expected, rtol=0.01, atol=0.01)
    torch.nn.init.constant_(other.log_size_F, 1.0)
    assert (other.elementwise(raw_BF, target_BF) - expected).abs().mean() > 0.1


def test_negative_binomial_learns_how_much_counts_scatter():
    law = torch.distributions.NegativeBinomial(torch.tensor([1.0, 8.0]), torch.tensor([0.8, 1 / 3]))
    count_BF = law.sample((4000,)).double()  # of mean 4 each
    loss = counting("negative_binomial", 0.0, 1.0, mean=4.0)
    optimizer = torch.optim.Adam(loss.parameters(), lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        loss(torch.zeros_like(count_BF), count_BF).mean().backward()
        optimizer.step()
    assert loss.size.tolist() == pytest.approx([1.0, 8.0], rel=0.15)


@pytest.mark.parametrize(("offset", "unit"), OFFSETS_AND_UNITS)
@pytest.mark.parametrize("name", ["poisson", "negative_binomial"])
def test_the_mean_of_counts_is_the_best_constant(name, offset, unit):
    loss = counting(name, offset, unit)
    target_BF = scaled(counts(), loss)
    best_F = best_constant(loss, target_BF, reach=14.0)
    torch.testing.assert_close(loss.reconstruct(best_F[None])[0], target_BF.mean(dim=0))


def test_a_count_in_single_precision_is_still_that_count():
    loss = counting("poisson", 1234.5, 77.7).float()
    count_BF = torch.arange(0.0, 4000.0, 2.0).reshape(-1, 2)
    assert torch.equal(loss.counts(scaled(count_BF, loss)), count_BF)


# --- levels


def levels_of(*levels: int) -> Loss:
    context = Context(len(levels), torch.zeros(len(levels)), 1.0, 1.0, levels=levels)
    return build("cross_entropy", context, {}).double()


def test_cross_entropy_is_torchs_of_each_column():
    loss = levels_of(2, 5, 3)
    raw_BW = torch.randn(50, 10, dtype=torch.float64)
    code_BF = torch.stack([torch.randint(n, (50,)) for n in (2, 5, 3)], dim=1)
    found_BF = loss.elementwise(raw_BW, code_BF.double())
    for f, part_BL in enumerate(raw_BW.split((2, 5, 3), dim=1)):
        expected = torch.nn.functional.cross_entropy(part_BL, code_BF[:, f], reduction="none")
        torch.testing.assert_close(found_BF[:, f], expected)
        share_BL = loss.reconstruct(raw_BW).split((2, 5, 3), dim=1)[f]
        torch.testing.assert_close(share_BL, part_BL.softmax(dim=1))
        torch.testing.assert_close(share_BL.sum(dim=1), torch.ones(50, dtype=torch.float64))


@pytest.mark.parametrize("gaps", [False, True])
def test_a_level_that_training_rows_lack_is_no_target(gaps):
    """Also where the schema knows of no gaps: validation rows may hold such a level."""
    context = Context(2, torch.zeros(2), 1.0, 1.0, gaps=gaps, levels=(2, 3))
    loss = build("cross_entropy", context, {}).double()
    raw_BW = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    target_BF = torch.tensor([[0.0, 3.0], [2.0, 1.0], [2.0, 3.0], [1.0, math.nan]]).double()
    seen = [[True, False], [False, True], [False, False], [True, False]]
    assert loss.seen(target_BF).tolist() == seen
    value_B = loss(raw_BW, target_BF)
    log_p = [part.log_softmax(dim=1) for part in raw_BW.split((2, 3), dim=1)]
    expected = [-log_p[0][0, 0], -log_p[1][1, 1], torch.zeros(()), -log_p[0][3, 1]]
    torch.testing.assert_close(value_B, torch.stack([e.double() for e in expected]))
    gradient_BW = torch.autograd.grad(value_B.sum(), raw_BW)[0]
    assert gradient_BW.isfinite().all()
    assert (gradient_BW[2] == 0).all()


def test_shares_of_levels_are_the_best_constant():
    loss = levels_of(4)
    code_BF = torch.tensor([0, 0, 1, 2, 2, 2, 2, 3, 3, 0])[:, None].double()
    raw_W = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([raw_W], max_iter=100, tolerance_change=1e-14)

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss(raw_W.expand(10, 4), code_BF).mean()
        value.backward()
        return value

    optimizer.step(closure)
    share_W = loss.reconstruct(raw_W[None])[0]
    expected = torch.tensor([0.3, 0.1, 0.4, 0.2], dtype=torch.float64)
    torch.testing.assert_close(share_W, expected, rtol=0, atol=1e-5)


# --- nats


def log_cosh_density(residual: Tensor) -> Tensor:
    """Of hyperbolic secant noise whose core is as wide as a Gauss curve of scale 0.3."""
    return (residual / 0.3).cosh().log()


NATS = {
    "mse": lambda r: r.square() / (2 * 0.3**2),
    "mae": lambda r: r.abs() / 0.3,
    "huber": lambda r: r.square() / (2 * 0.3**2),  # inside of its width
    "log_cosh": log_cosh_density,
}


@pytest.mark.parametrize("name", NATS)
def test_nats_of_a_loss_without_a_scale_are_those_of_noise_of_the_residual_scale(name):
    own = {"delta": 1.0} if name == "huber" else {"scale": 1.0} if name == "log_cosh" else {}
    loss = loss_of(name, 1, residual_scale=0.3, **own)
    residual = torch.linspace(-0.29, 0.29, 50, dtype=torch.float64)[:, None]
    found = loss.nats * loss.elementwise(torch.zeros_like(residual), residual)
    torch.testing.assert_close(found, NATS[name](residual), rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize(
    "name", ["gaussian_nll", "student_t", "bce", "continuous_bernoulli", "poisson"]
)
def test_likelihoods_are_nats_as_they_are(name):
    assert loss_of(name, 2, residual_scale=0.3).nats == 1.0
