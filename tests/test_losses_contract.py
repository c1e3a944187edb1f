"""Laws that every loss obeys; a new module in losses/ is tested the day its file exists."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.func import functional_call

from hourglass.losses import LOSSES, TINY, Context, Domain, Loss, Range, build

F = 4
LEVELS = (3, 2, 5, 4)  # of each feature, where a loss is over levels
SCALERS = {"unit", "standard", "robust"}
# Counts come scaled: (count - offset) / unit.
OFFSET_F, UNIT_F = torch.tensor([0.0, 2.5, 4.0, 1.0]), torch.tensor([1.0, 0.5, 3.0, 8.0])


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


@pytest.fixture(params=[n for n in LOSSES.names() if LOSSES.load(n).domain is not Domain.LEVELS])
def numeric(request) -> str:
    """A loss over numbers."""
    return request.param


def context_of(residual_scale: float = 0.3, span: float = 8.0, gaps: bool = False) -> Context:
    mean_F = torch.tensor([2.0, 3.0, 5.0, 9.0])
    scaled = {"offset_F": OFFSET_F, "unit_F": UNIT_F, "mean_F": mean_F}
    return Context(F, torch.zeros(F), residual_scale, span, gaps, levels=LEVELS, **scaled)


def hyper_of(name: str, end: str = "default") -> dict[str, float]:
    return {key: getattr(range_, end) for key, range_ in LOSSES.load(name).space.items()}


def fresh(name: str, context: Context | None = None) -> Loss:
    context = context or context_of()
    return build(name, context, hyper_of(name)).double()


def width(loss: Loss) -> int:
    """Raw outputs."""
    return sum(LEVELS) if loss.domain is Domain.LEVELS else F


def targets(loss: Loss, n: int) -> Tensor:
    """Values on which the loss is defined, scaled."""
    uniform = torch.rand(n, F, dtype=torch.float64)
    if loss.domain is Domain.UNIT:
        return uniform
    if loss.domain is Domain.COUNT:
        return ((20 * uniform).floor() - OFFSET_F) / UNIT_F
    if loss.domain is Domain.LEVELS:
        return (uniform * torch.tensor(LEVELS)).floor()
    return 4 * uniform - 2


def rows(loss: Loss, n: int = 6) -> tuple[Tensor, Tensor]:
    return 2 * torch.randn(n, width(loss), dtype=torch.float64), targets(loss, n)


def extremes(loss: Loss) -> Tensor:
    """Targets at the ends of what a loss is defined on, each a row."""
    ends = {
        Domain.REAL: [0.0, 1.0, -1e6, 1e6],
        Domain.UNIT: [0.0, 1.0, 0.5],
        Domain.COUNT: [0.0, 1.0, 1e5],
        Domain.LEVELS: [0.0, 1.0],
    }[loss.domain]
    target_BF = torch.tensor(ends, dtype=torch.float64)[:, None].repeat(1, F)
    return (target_BF - OFFSET_F) / UNIT_F if loss.domain is Domain.COUNT else target_BF


# --- what a loss declares


def test_what_a_loss_declares_is_complete(name):
    loss = LOSSES.load(name)
    assert isinstance(loss.domain, Domain)
    assert loss.scalers
    assert set(loss.scalers) <= SCALERS
    assert loss.domain is not Domain.UNIT or loss.scalers == ("unit",)
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
        assert loss.reconstruct(raw_BF).shape == raw_BF.shape


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
    ends_BF = extremes(loss).to(dtype)
    raw_BW = torch.tensor(raws, dtype=dtype).repeat_interleave(len(ends_BF))[:, None]
    raw_BW = raw_BW * torch.tensor([1.0, -1.0], dtype=dtype).repeat(width(loss))[: width(loss)]
    raw_BW.requires_grad_()
    target_BF = ends_BF.repeat(len(raws), 1)
    values = loss(raw_BW, target_BF)
    assert values.isfinite().all()
    assert loss.reconstruct(raw_BW).isfinite().all()
    leaves = [raw_BW, *loss.parameters()]
    for leaf, gradient in zip(leaves, torch.autograd.grad(values.sum(), leaves), strict=True):
        assert gradient.isfinite().all(), f"gradient of a tensor of shape {tuple(leaf.shape)}"


def test_reconstruction_rises_and_stays_where_the_loss_is_defined(numeric):
    loss = fresh(numeric)
    reach = 14.0 if loss.domain is Domain.COUNT else 50.0  # rates are capped behind it
    raw_BF = torch.tensor([-1e4, -reach, -0.1, 0.0, 0.1, reach, 1e4], dtype=torch.float64)[:, None]
    reconstruction = loss.reconstruct(raw_BF.expand(-1, F))
    if loss.domain is Domain.UNIT:
        assert reconstruction.min() >= 0
        assert reconstruction.max() <= 1
    if loss.domain is Domain.COUNT:
        assert (reconstruction * UNIT_F + OFFSET_F >= 0).all()
    assert (reconstruction.diff(dim=0) >= 0).all()
    assert (reconstruction[1:-1].diff(dim=0) > 0).all()  # at the far ends float64 may saturate


def reachable(loss: Loss) -> Tensor:
    """A target for each feature well inside of what the loss is defined on, scaled, (F,)."""
    target_F = torch.tensor([0.03, 0.35, 0.5, 0.9], dtype=torch.float64)
    if loss.domain is not Domain.COUNT:
        return target_F
    return (torch.tensor([1.0, 3.0, 4.0, 20.0], dtype=torch.float64) - OFFSET_F) / UNIT_F


def test_is_smallest_where_the_reconstruction_is_the_target(numeric):
    loss = fresh(numeric)
    target_F = reachable(loss)
    reach = 10 if loss.domain is Domain.COUNT else 40
    raw_BF = torch.linspace(-reach, reach, 40_001, dtype=torch.float64)[:, None].expand(-1, F)
    best_F = loss.elementwise(raw_BF, target_F.expand_as(raw_BF)).argmin(dim=0)
    reconstruction_F = loss.reconstruct(raw_BF)[best_F, torch.arange(F)]
    torch.testing.assert_close(reconstruction_F, target_F, rtol=1e-3, atol=1.1e-3)


def test_falls_on_the_way_to_its_minimum_and_rises_behind_it(numeric):
    loss = fresh(numeric)
    raw_BF = torch.linspace(-6, 6, 2001, dtype=torch.float64)[:, None].expand(-1, F)
    target_BF = reachable(loss).expand_as(raw_BF)
    below_BF = loss.reconstruct(raw_BF)[1:] < target_BF[1:]
    above_BF = loss.reconstruct(raw_BF)[:-1] > target_BF[:-1]
    step_BF = loss.elementwise(raw_BF, target_BF).diff(dim=0)
    assert below_BF.any()
    assert above_BF.any()
    assert (step_BF[below_BF] < 0).all()
    assert (step_BF[above_BF] > 0).all()


@pytest.mark.parametrize(
    "levels", [n for n in LOSSES.names() if LOSSES.load(n).domain is Domain.LEVELS]
)
def test_a_loss_over_levels_falls_as_the_probability_of_the_target_rises(levels):
    loss = fresh(levels)
    raw_BW, target_BF = rows(loss, 200)
    shares = loss.reconstruct(raw_BW).split(LEVELS, dim=1)
    for f, share_BL in enumerate(shares):
        torch.testing.assert_close(share_BL.sum(dim=1), torch.ones(200, dtype=torch.float64))
        order_B = share_BL.gather(1, target_BF[:, f : f + 1].long())[:, 0].argsort()
        assert (loss.elementwise(raw_BW, target_BF)[order_B, f].diff() <= 0).all()


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
    changed = {"resolution_F": torch.full((F,), 0.2), "mean_F": torch.ones(F)}
    other = fresh(name, replace(context_of(), **changed))
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


# --- gaps


def holed(loss: Loss, n: int = 40) -> tuple[Tensor, Tensor]:
    """Rows of which some values are missing, and of the first and the last all."""
    raw_BW, target_BF = rows(loss, n)
    hole_BF = torch.rand(n, F) < 0.3
    hole_BF[[0, -1]] = True
    return raw_BW, target_BF.masked_fill(hole_BF, torch.nan)


def test_gaps_are_left_out_of_sums_and_means(name):
    loss = fresh(name, context_of(gaps=True))
    raw_BW, target_BF = holed(loss)
    seen_BF = ~target_BF.isnan()
    each_BF = loss.elementwise(raw_BW, target_BF.nan_to_num(0.0))
    expected_B = torch.stack([e[s].sum() for e, s in zip(each_BF, seen_BF, strict=True)])
    sum_B, count_B = loss.summed(raw_BW, target_BF)
    torch.testing.assert_close(sum_B, expected_B)
    assert torch.equal(count_B, seen_BF.sum(dim=1))
    assert torch.equal(loss.seen(target_BF), seen_BF)
    some_B = count_B > 0
    torch.testing.assert_close(
        loss(raw_BW, target_BF)[some_B], expected_B[some_B] / count_B[some_B]
    )


def test_a_row_of_which_nothing_was_observed_is_worth_nothing(name):
    loss = fresh(name, context_of(gaps=True))
    raw_BW, target_BF = holed(loss)
    value_B = loss(raw_BW, target_BF)
    assert value_B[[0, -1]].tolist() == [0.0, 0.0]
    assert (value_B[1:-1] != 0).any()


def test_gaps_have_no_gradient_and_leave_the_others_as_they_are(name):
    loss = fresh(name, context_of(gaps=True))
    raw_BW, target_BF = holed(loss)
    leaves = [raw_BW.requires_grad_(), *loss.parameters()]
    with_gaps = torch.autograd.grad(loss.summed(raw_BW, target_BF)[0].sum(), leaves)
    seen_BF = ~target_BF.isnan()
    chosen = loss.elementwise(raw_BW, target_BF.nan_to_num(0.0))[seen_BF].sum()
    for own, expected in zip(with_gaps, torch.autograd.grad(chosen, leaves), strict=True):
        assert own.isfinite().all()
        torch.testing.assert_close(own, expected)


@pytest.mark.parametrize("raw", [1e4, -1e4])
def test_an_extreme_output_beside_a_gap_does_no_harm(name, raw):
    loss = fresh(name, context_of(gaps=True)).float()
    target_BF = targets(loss, 3).float()
    target_BF[1] = torch.nan
    raw_BW = torch.full((3, width(loss)), raw, requires_grad=True)
    value_B = loss(raw_BW, target_BF)
    assert value_B.isfinite().all()
    assert torch.autograd.grad(value_B.sum(), raw_BW)[0].isfinite().all()


def test_where_nothing_is_missing_gaps_change_nothing(name):
    plain, gaps = fresh(name), fresh(name, context_of(gaps=True))
    raw_BW, target_BF = rows(plain)
    torch.testing.assert_close(gaps(raw_BW, target_BF), plain(raw_BW, target_BF))


def test_what_makes_nats_is_a_positive_number(name):
    for residual_scale in (0.3, 0.0):
        assert 0 < fresh(name, context_of(residual_scale)).nats < float("inf")


# --- learned scales


@pytest.mark.parametrize("name", ["gaussian_nll", "student_t"])
def test_a_gap_says_nothing_of_the_scale(name):
    loss = fresh(name, context_of(gaps=True))
    raw_BF, target_BF = rows(loss)
    target_BF[:, 1] = torch.nan
    loss(raw_BF, target_BF).sum().backward()
    gradient_F = loss.log_scale.theta_F.grad
    assert gradient_F[1] == 0
    assert (gradient_F[[0, 2, 3]] != 0).all()


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
