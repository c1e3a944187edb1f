"""Several losses over one network: nats add up, each column stays in its place."""

import pytest
import torch
from torch import Tensor

from hourglass.losses import Context, Loss, build, build_default
from hourglass.losses._heads import Head, Heads

# Features: level, real, count, flag, real, level. Outputs, in their order: 3, 1, 1, 1, 1, 2.
AT = {
    "cross_entropy": ([0, 5], [0, 1, 2, 7, 8]),
    "mse": ([1, 4], [3, 6]),
    "poisson": ([2], [4]),
    "bce": ([3], [5]),
}


@pytest.fixture(autouse=True)
def _a_fixed_seed():
    torch.manual_seed(0)


def losses(gaps: bool = True) -> dict[str, Loss]:
    contexts = {
        "cross_entropy": Context(2, torch.zeros(2), 1.0, 1.0, gaps, levels=(3, 2)),
        "mse": Context(2, torch.zeros(2), 0.25, 8.0, gaps),
        "poisson": Context(1, torch.zeros(1), 1.0, 8.0, gaps, mean_F=torch.tensor([3.0])),
        "bce": Context(1, torch.zeros(1), 1.0, 1.0, gaps),
    }
    return {name: build(name, context, {}).double() for name, context in contexts.items()}


def heads_of(own: dict[str, Loss], order: tuple[str, ...] = tuple(AT)) -> Heads:
    return Heads([Head(own[name], *AT[name]) for name in order])


def rows(n: int = 8) -> tuple[Tensor, Tensor]:
    target_BF = torch.stack(
        [
            torch.randint(3, (n,)).double(),
            torch.randn(n).double(),
            torch.randint(9, (n,)).double(),
            torch.randint(2, (n,)).double(),
            torch.randn(n).double(),
            torch.randint(2, (n,)).double(),
        ],
        dim=1,
    )
    return torch.randn(n, 9, dtype=torch.float64), target_BF


def rate(raw: torch.Tensor) -> torch.Tensor:
    """Of counts, over their mean."""
    return torch.where(raw < 0, raw.exp(), (1 + raw / 2) ** 2)


def by_hand(own: dict[str, Loss], raw_BW: Tensor, target_BF: Tensor) -> Tensor:
    """Nats of each value, one after the other, 0 where missing."""
    log_p = [raw_BW[:, :3].log_softmax(dim=1), raw_BW[:, 7:].log_softmax(dim=1)]
    filled = target_BF.nan_to_num(0.0)
    nats_BF = torch.stack(
        [
            -log_p[0].gather(1, filled[:, :1].long())[:, 0],
            (raw_BW[:, 3] - filled[:, 1]).square() / (2 * 0.25**2),
            -torch.distributions.Poisson(3 * rate(raw_BW[:, 4])).log_prob(filled[:, 2]),
            torch.nn.functional.softplus(raw_BW[:, 5]) - filled[:, 3] * raw_BW[:, 5],
            (raw_BW[:, 6] - filled[:, 4]).square() / (2 * 0.25**2),
            -log_p[1].gather(1, filled[:, 5:].long())[:, 0],
        ],
        dim=1,
    )
    return torch.where(target_BF.isnan(), 0.0, nats_BF)


def test_nats_of_all_columns_add_up():
    own, (raw_BW, target_BF) = losses(), rows()
    found = heads_of(own)(raw_BW, target_BF)
    torch.testing.assert_close(found, by_hand(own, raw_BW, target_BF).mean(dim=1))
    assert Heads.nats == 1.0


def test_the_mean_is_over_what_was_observed_whatever_the_loss():
    own, (raw_BW, target_BF) = losses(), rows(60)
    target_BF[torch.rand(60, 6) < 0.4] = torch.nan
    target_BF[0] = torch.nan
    sum_B = by_hand(own, raw_BW, target_BF).sum(dim=1)
    found_B = heads_of(own)(raw_BW, target_BF)
    torch.testing.assert_close(found_B, sum_B / (~target_BF.isnan()).sum(dim=1).clamp(min=1))
    assert found_B[0] == 0


def test_a_level_that_training_rows_lack_counts_as_not_observed():
    own, (raw_BW, target_BF) = losses(gaps=False), rows()
    gap_BF = target_BF.clone()
    target_BF[:, 5], gap_BF[:, 5] = 2.0, torch.nan
    heads = heads_of(own)
    torch.testing.assert_close(heads(raw_BW, target_BF), heads(raw_BW, gap_BF))


@pytest.mark.parametrize("order", [tuple(AT), tuple(AT)[::-1]])
def test_a_reconstruction_has_each_column_in_its_place(order):
    raw_BW, _ = rows()
    found = heads_of(losses(), order).reconstruct(raw_BW)
    expected = torch.cat(
        [
            raw_BW[:, :3].softmax(dim=1),
            raw_BW[:, 3:4],
            3 * rate(raw_BW[:, 4:5]),
            raw_BW[:, 5:6].sigmoid(),
            raw_BW[:, 6:7],
            raw_BW[:, 7:].softmax(dim=1),
        ],
        dim=1,
    )
    torch.testing.assert_close(found, expected)


def test_gaps_have_no_gradient():
    raw_BW, target_BF = rows()
    target_BF[:, [0, 2, 4]] = torch.nan
    raw_BW.requires_grad_()
    gradient_BW = torch.autograd.grad(heads_of(losses())(raw_BW, target_BF).sum(), raw_BW)[0]
    assert gradient_BW.isfinite().all()
    assert (gradient_BW[:, [0, 1, 2, 4, 6]] == 0).all()
    assert (gradient_BW[:, [3, 5, 7, 8]] != 0).all()


def test_a_network_in_half_precision_is_judged_in_the_precision_of_the_targets():
    raw_BW, target_BF = rows()
    heads = heads_of(losses()).float()
    half_BW, target_BF = raw_BW.to(torch.bfloat16), target_BF.float()
    value_B = heads(half_BW, target_BF)
    assert value_B.dtype == torch.float32
    torch.testing.assert_close(value_B, heads(half_BW.float(), target_BF), rtol=0, atol=0)


def test_learned_scales_of_all_losses_are_parameters_and_survive_a_state_dict():
    context = Context(2, torch.zeros(2), 0.3, 8.0)
    one, other = (
        Heads(
            [
                Head(build_default("gaussian_nll", context), [0, 2], [0, 2]),
                Head(build_default("negative_binomial", context), [1, 3], [1, 3]),
            ]
        )
        for _ in range(2)
    )
    assert len(list(one.parameters())) == 2
    with torch.no_grad():
        for parameter in one.parameters():
            parameter.add_(torch.randn(2))
    other.load_state_dict(one.state_dict())
    raw_BW, target_BF = torch.randn(5, 4), torch.randint(5, (5, 4)).float()
    torch.testing.assert_close(other(raw_BW, target_BF), one(raw_BW, target_BF))
