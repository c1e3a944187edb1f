"""Laws that every loss obeys; a new module in losses/ is tested the day its file exists."""

import pytest
import torch
from torch import Tensor
from torch.func import functional_call

from hourglass.losses import LOSSES, TINY, Context, Domain, Loss, Range, build

F = 4
SCALERS = {"unit", "standard", "robust"}


@pytest.fixture(autouse=True)
def _one_thread_and_a_fixed_seed():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(params=LOSSES.names())
def name(request) -> str:
    return request.param


def context_of(features: int = F, residual_scale: float = 0.3, span: float = 8.0) -> Context:
    return Context(features, torch.zeros(features), residual_scale, span)


def hyper_of(name: str, end: str = "default") -> dict[str, float]:
    return {key: getattr(range_, end) for key, range_ in LOSSES.load(name).space.items()}


def fresh(name: str, context: Context | None = None) -> Loss:
    context = context or context_of()
    return build(name, context, hyper_of(name)).double()


def rows(loss: Loss, n: int = 6, features: int = F) -> tuple[Tensor, Tensor]:
    raw_BF = 2 * torch.randn(n, features, dtype=torch.float64)
    uniform = torch.rand(n, features, dtype=torch.float64)
    return raw_BF, uniform if loss.domain is Domain.UNIT else 4 * uniform - 2


def extremes(loss: Loss) -> list[float]:
    return [0.0, 1.0, 0.5] if loss.domain is Domain.UNIT else [0.0, 1.0, -1e6, 1e6]


# --- what a loss declares


def test_what_a_loss_declares_is_complete(name):
    loss = LOSSES.load(name)
    assert isinstance(loss.domain, Domain)
    assert loss.scalers
    assert set(loss.scalers) <= SCALERS
    assert loss.domain is Domain.REAL or loss.scalers == ("unit",)
    assert loss.assumes == loss.assumes.strip() != ""
    assert "learning_rate" in loss.space
    for range_ in loss.space.values():
        assert range_.low <= range_.default <= range_.high
        assert range_.low < range_.high
        assert range_.low > 0 or not range_.log


def test_ranks_order_the_losses_without_ties():
    ranks = {LOSSES.load(name).rank: name for name in LOSSES.names()}
    assert len(ranks) == len(LOSSES.names())
    assert ranks[0] == "mse"


def test_a_search_space_cannot_be_changed_by_accident(name):
    with pytest.raises(TypeError, match="does not support item assignment"):
        LOSSES.load(name).space["learning_rate"] = Range(1, 2, 1)


@pytest.mark.parametrize("end", ["low", "default", "high"])
def test_every_value_of_the_space_is_accepted(name, end):
    loss = build(name, context_of(), hyper_of(name, end))
    raw_BF, target_BF = rows(loss)
    assert loss.double()(raw_BF, target_BF).isfinite().all()


# --- one value per row


def test_gives_one_value_per_row(name):
    loss = fresh(name)
    for n in (1, 6):
        raw_BF, target_BF = rows(loss, n)
        assert loss(raw_BF, target_BF).shape == (n,)
        assert loss.elementwise(raw_BF, target_BF).shape == (n, F)
        assert loss.reconstruct(raw_BF).shape == (n, F)


def test_a_row_is_the_mean_of_its_features(name):
    loss = fresh(name)
    raw_BF, target_BF = rows(loss)
    expected = loss.elementwise(raw_BF, target_BF).mean(dim=1)
    torch.testing.assert_close(loss(raw_BF, target_BF), expected, rtol=0, atol=0)


def test_order_and_company_of_rows_are_irrelevant(name):
    loss = fresh(name)
    raw_BF, target_BF = rows(loss)
    order = torch.randperm(len(raw_BF))
    whole = loss(raw_BF, target_BF)
    torch.testing.assert_close(loss(raw_BF[order], target_BF[order]), whole[order])
    alone = [loss(r[None], t[None]) for r, t in zip(raw_BF, target_BF, strict=True)]
    torch.testing.assert_close(torch.cat(alone), whole)


def test_mean_of_two_halves_is_the_mean_of_the_whole(name):
    loss = fresh(name)
    raw_BF, target_BF = rows(loss, 8)
    halves = [loss(raw_BF[s], target_BF[s]).mean() for s in (slice(4), slice(4, 8))]
    torch.testing.assert_close((halves[0] + halves[1]) / 2, loss(raw_BF, target_BF).mean())


def test_features_stand_for_themselves(name):
    loss = fresh(name)
    raw_BF, target_BF = rows(loss)
    other_BF = raw_BF.clone()
    other_BF[:, 0] += 1
    before, after = (loss.elementwise(r, target_BF) for r in (raw_BF, other_BF))
    torch.testing.assert_close(before[:, 1:], after[:, 1:], rtol=0, atol=0)
    assert (before[:, 0] != after[:, 0]).all()


# --- numbers


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_value_and_gradient_are_finite_at_extremes(name, dtype):
    loss = fresh(name).to(dtype)
    raws = [0.0, 1e-30, 1e-6, 0.1, -0.1, 1.0, 88.0, -88.0, 110.0, -110.0, 1e4, -1e4]
    ends = extremes(loss)
    raw_BF = torch.tensor(raws, dtype=dtype).repeat_interleave(len(ends))[:, None]
    raw_BF = raw_BF.repeat(1, F).requires_grad_()
    target_BF = torch.tensor(ends, dtype=dtype).repeat(len(raws))[:, None].repeat(1, F)
    values = loss(raw_BF, target_BF)
    assert values.isfinite().all()
    assert loss.reconstruct(raw_BF).isfinite().all()
    leaves = [raw_BF, *loss.parameters()]
    for leaf, gradient in zip(leaves, torch.autograd.grad(values.sum(), leaves), strict=True):
        assert gradient.isfinite().all(), f"gradient of a tensor of shape {tuple(leaf.shape)}"


def test_reconstruction_rises_and_stays_where_the_loss_is_defined(name):
    loss = fresh(name)
    raw_BF = torch.tensor([-1e4, -50.0, -0.1, 0.0, 0.1, 50.0, 1e4], dtype=torch.float64)[:, None]
    reconstruction = loss.reconstruct(raw_BF.expand(-1, F))
    if loss.domain is Domain.UNIT:
        assert reconstruction.min() >= 0
        assert reconstruction.max() <= 1
    assert (reconstruction.diff(dim=0) >= 0).all()
    assert (reconstruction[1:-1].diff(dim=0) > 0).all()  # at the far ends float64 may saturate


def test_is_smallest_where_the_reconstruction_is_the_target(name):
    loss = fresh(name)
    target_F = torch.tensor([0.03, 0.35, 0.5, 0.9], dtype=torch.float64)
    raw_BF = torch.linspace(-40, 40, 40_001, dtype=torch.float64)[:, None].expand(-1, F)
    best_F = loss.elementwise(raw_BF, target_F.expand_as(raw_BF)).argmin(dim=0)
    reconstruction_F = loss.reconstruct(raw_BF)[best_F, torch.arange(F)]
    torch.testing.assert_close(reconstruction_F, target_F, rtol=0, atol=1.1e-3)


def test_falls_on_the_way_to_its_minimum_and_rises_behind_it(name):
    loss = fresh(name)
    raw_BF = torch.linspace(-6, 6, 2001, dtype=torch.float64)[:, None].expand(-1, F)
    target_BF = torch.tensor([0.1, 0.35, 0.5, 0.9], dtype=torch.float64).expand_as(raw_BF)
    below_BF = loss.reconstruct(raw_BF)[1:] < target_BF[1:]
    above_BF = loss.reconstruct(raw_BF)[:-1] > target_BF[:-1]
    step_BF = loss.elementwise(raw_BF, target_BF).diff(dim=0)
    assert below_BF.any()
    assert above_BF.any()
    assert (step_BF[below_BF] < 0).all()
    assert (step_BF[above_BF] > 0).all()


def test_gradients_agree_with_finite_differences(name):
    loss = fresh(name)
    raw_BF, target_BF = rows(loss)
    names, values = zip(*loss.named_parameters(), strict=True) if [*loss.parameters()] else ((), ())

    def of(raw: Tensor, *learned: Tensor) -> Tensor:
        return functional_call(loss, dict(zip(names, learned, strict=True)), (raw, target_BF))

    assert torch.autograd.gradcheck(of, (raw_BF.requires_grad_(), *values))


def test_single_precision_gives_the_value_and_gradient_of_double(name):
    loss = fresh(name)
    raw_BF, target_BF = rows(loss, 200)
    near_zero = torch.logspace(-4, 1, 200, dtype=torch.float64)[:, None]
    raw_BF[:, :1] = near_zero  # where the two forms of continuous Bernoulli meet
    raw_BF, target_BF = raw_BF.float().double(), target_BF.float().double()
    results = []
    for dtype in (torch.float64, torch.float32):
        leaf = raw_BF.to(dtype).requires_grad_()
        value = loss.to(dtype)(leaf, target_BF.to(dtype))
        assert value.dtype == dtype
        results.append((value, torch.autograd.grad(value.sum(), leaf)[0]))
    for double, single in zip(*results, strict=True):
        torch.testing.assert_close(single.double(), double, rtol=1e-4, atol=2e-5)


def test_half_precision_output_of_a_network_is_judged_in_the_precision_of_the_targets(name):
    loss = fresh(name).float()
    raw_BF, target_BF = rows(loss)
    half_BF, target_BF = raw_BF.to(torch.bfloat16), target_BF.float()
    value = loss(half_BF, target_BF)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, loss(half_BF.float(), target_BF), rtol=0, atol=0)


def test_state_survives_a_way_through_a_state_dict(name):
    loss = fresh(name)
    with torch.no_grad():
        for parameter in loss.parameters():
            parameter.add_(torch.randn_like(parameter))
    other = fresh(name, Context(F, torch.full((F,), 0.2), 0.3, 8.0))
    other.load_state_dict(loss.state_dict())
    raw_BF, target_BF = rows(loss)
    torch.testing.assert_close(
        other(raw_BF, target_BF), loss(raw_BF, target_BF), rtol=1e-12, atol=1e-12
    )


def test_a_residual_scale_of_zero_does_no_harm(name):
    loss = fresh(name, context_of(residual_scale=0.0))
    raw_BF, target_BF = rows(loss)
    leaf = raw_BF.requires_grad_()
    loss(leaf, target_BF).mean().backward()
    assert leaf.grad.isfinite().all()
    assert leaf.grad.abs().max() > 0


# --- learned scales


@pytest.mark.parametrize("name", ["gaussian_nll", "student_t"])
def test_a_learned_scale_starts_at_the_residual_scale_and_stays_above_the_resolution(name):
    resolution_F = torch.tensor([0.0, 0.05, 0.4, 2.0])
    loss = build(name, Context(F, resolution_F, 0.3, 8.0), {})
    assert loss.scale[:2].tolist() == pytest.approx([0.3, 0.3], rel=1e-6)
    assert (loss.scale >= resolution_F.clamp_min(TINY)).all()
    for parameter in loss.parameters():
        torch.nn.init.constant_(parameter, -50.0)
    assert loss.scale.tolist() == pytest.approx([TINY, 0.05, 0.4, 2.0], rel=1e-5)
    raw_BF = torch.zeros(3, F)
    assert loss(raw_BF, raw_BF).isfinite().all()


@pytest.mark.parametrize("name", ["gaussian_nll", "student_t"])
def test_each_feature_learns_the_scale_of_its_own_noise(name):
    noise_F = torch.tensor([0.05, 0.2, 1.0, 3.0], dtype=torch.float64)
    target_BF = noise_F * torch.randn(4000, F, dtype=torch.float64)
    loss = fresh(name)
    optimizer = torch.optim.Adam(loss.parameters(), lr=0.05, betas=(0.9, 0.99))
    for _ in range(400):
        optimizer.zero_grad()
        loss(torch.zeros_like(target_BF), target_BF).mean().backward()
        optimizer.step()
    ratio_F = loss.scale / noise_F
    assert ratio_F.max() / ratio_F.min() < 1.05
    assert ratio_F.min() > 0.8  # a t with finite nu fits Gaussian noise with a smaller s
    assert ratio_F.max() < 1.05
