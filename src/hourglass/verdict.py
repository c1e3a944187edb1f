"""The verdict: which loss is best, which are tied with it, which are worse, by how much.

Each loss brings one number a seed, lower is better, the seeds in the same order for all: seeds are
the unit of evidence. Rows of one fit are not, they share its luck (24 to 50 % false alarms).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import special

from hourglass.schema import Array

DRAWS = 40_000  # of the null: an adjusted p of 0.05 is known to 0.001
POWER = 0.8
ROUNDING = 1e-12  # relative: differences below are arithmetic, not evidence


@dataclass(frozen=True)
class Standing:
    """What the seeds say of one loss, in the unit of the values (bits per feature).

    Attributes:
        loss: Its name.
        mean: Over the seeds.
        ci_low: Of an interval for the mean, t over the seeds at level 1 - alpha.
        ci_high: Likewise.
        difference: Mean minus the leader's; 0 for the leader.
        difference_low: Of an interval for it, paired t at level 1 - alpha, uncorrected.
        difference_high: Likewise.
        p: Of the paired t test against the leader, two-sided; 1 for the leader.
        p_adjusted: Adjusted for the number of losses, see `judge`; 1 for the leader.
        seeds_behind: On how many seeds it was behind the leader by more than the margin.
        verdict: "best" (the leader), "tied" or "worse".
    """

    loss: str
    mean: float
    ci_low: float
    ci_high: float
    difference: float
    difference_low: float
    difference_high: float
    p: float
    p_adjusted: float
    seeds_behind: int
    verdict: str


@dataclass(frozen=True)
class Verdict:
    """The outcome over all losses.

    Attributes:
        leader: The loss with the lowest mean.
        selected: The simplest of those whose mean is within the margin of the leader's.
        standings: All losses, the lowest mean first.
        detectable: The smallest true difference to the leader that would have been called worse
            in 80 % of such experiments; None where there is one loss only.
        seeds: Number of values of each loss.
        alpha: Probability of a false "worse" over all losses together.
        margin: Differences up to here are of no practical weight.
    """

    leader: str
    selected: str
    standings: tuple[Standing, ...]
    detectable: float | None
    seeds: int
    alpha: float
    margin: float


def judge(
    values: Mapping[str, Sequence[float]], ranks: Mapping[str, int], alpha: float, margin: float
) -> Verdict:
    """Compares each loss with the leader by a paired t test over the seeds.

    A loss is worse if its adjusted p is below alpha and its mean difference above the margin. The
    adjustment is Holm's step-down (1979), from the clearest difference to the least. His bound
    (p times the number of losses left) presumes a leader named in advance; this one is picked for
    its low mean, which the bound underrates (10 % false alarms of 5 % with 8 equal losses). Each
    step therefore uses the distribution of the largest t statistic against a leader so picked
    among as many equal losses, by simulation with a fixed seed.

    A loss may be behind and scatter so much that no t test calls it worse. It counts as tied, yet
    isn't selected unless its mean is within the margin: that a difference wasn't shown is no
    reason to prefer a loss.

    Args:
        values: Loss -> one value a seed, lower is better, paired by position.
        ranks: Loss -> simplicity, lower is simpler.
        alpha: Of the tests, and of the intervals (1 - alpha), in (0, 1).
        margin: Of practical equivalence, in the unit of the values, 0 or more.

    Raises:
        ValueError: no loss, fewer than two seeds, unequal or non-finite values, a loss without a
            rank, alpha or margin out of range.
    """
    seeds = _check(values, ranks, alpha, margin)
    order = sorted(values, key=lambda n: (float(np.mean(values[n])), ranks[n], n))
    table_LK = np.array([values[name] for name in order], dtype=np.float64)
    difference_LK = table_LK - table_LK[0]
    difference_LK[np.abs(difference_LK) <= ROUNDING * np.max(np.abs(table_LK))] = 0.0
    t_L = np.array([_t_statistic(row) for row in difference_LK])
    p_L = 2 * special.stdtr(seeds - 1, -t_L)
    p_adjusted_L = _step_down(t_L, p_L, seeds)
    standings = []
    for i, name in enumerate(order):
        worse = p_adjusted_L[i] < alpha and float(np.mean(difference_LK[i])) > margin
        own, paired = interval(table_LK[i], alpha), interval(difference_LK[i], alpha)
        verdict = "best" if i == 0 else "worse" if worse else "tied"
        behind = int((difference_LK[i] > margin).sum())
        p = (float(p_L[i]), float(p_adjusted_L[i]))
        standings.append(Standing(name, *own, *paired, *p, behind, verdict))
    equals = [s.loss for s in standings if s.difference <= margin]
    selected = min(equals, key=lambda n: (ranks[n], order.index(n)))
    detectable = _detectable(difference_LK[1:], alpha, margin) if len(order) > 1 else None
    return Verdict(order[0], selected, tuple(standings), detectable, seeds, alpha, margin)


def summary_sentence(verdict: Verdict, unit: str = "bits per feature") -> str:
    """The verdict in plain sentences, with its uncertainty; see `headline`.

    Args:
        verdict: What `judge` gave for values of validation rows.
        unit: Of the values.
    """
    best, *others = verdict.standings
    tied = [s for s in others if s.verdict == "tied"]
    equal = [s for s in tied if not unclear(s, verdict.margin)]
    unsure = [s for s in tied if unclear(s, verdict.margin)]
    worse = [s for s in others if s.verdict == "worse"]
    head = (
        f"{best.loss} is best: {best.mean:.3f} {unit} on validation rows "
        f"({_level(verdict)}: {best.ci_low:.3f} to {best.ci_high:.3f}, {verdict.seeds} seeds)"
    )
    parts = [head, *_next(others, verdict), *_selected(verdict)]
    sentences = ["; ".join(parts), *_equal(equal, others), *_unsure(unsure, verdict.seeds)]
    sentences += _behind(worse, alone=len(others) == len(worse))
    if verdict.detectable is not None:
        sentences.append(
            f"A loss that is truly {verdict.detectable:.3f} bits behind is found worse by 4 of 5 "
            "such experiments, a nearer one by fewer"
        )
    return ". ".join(sentences) + "."


def headline(said: str) -> tuple[str, str]:
    """What `summary_sentence` said, the first sentence alone and what follows it."""
    first, _, rest = said.partition(". ")
    return first.removesuffix(".") + ".", rest


def unclear(standing: Standing, margin: float) -> bool:
    """Whether a loss is tied for want of evidence: its mean is behind by more than the margin."""
    return standing.verdict == "tied" and standing.difference > margin


def _level(verdict: Verdict) -> str:
    return f"{100 * (1 - verdict.alpha):g} %"


def _next(others: Sequence[Standing], verdict: Verdict) -> list[str]:
    """The loss that came second."""
    if not others:
        return []
    second = others[0]
    if second.verdict == "worse":
        return [f"next is {second.loss}, worse by {_distance(second)}"]
    if unclear(second, verdict.margin):
        return [f"next is {second.loss}, behind by {_distance(second)}, which may be chance"]
    within = f"no more than {verdict.margin:g} bits behind"
    return [f"next is {second.loss}, tied with it: {within}"]


def _selected(verdict: Verdict) -> list[str]:
    if verdict.selected == verdict.leader:
        return []
    return [f"{verdict.selected} is selected, the simplest of those that are as good"]


def _equal(equal: Sequence[Standing], others: Sequence[Standing]) -> list[str]:
    """Beside the second one, which is named already."""
    names = [s.loss for s in equal if s is not others[0]]
    return [f"{_listed(names)} {_be(names)} tied with it likewise"] if names else []


def _unsure(unsure: Sequence[Standing], seeds: int) -> list[str]:
    if not unsure:
        return []
    names, far = [s.loss for s in unsure], [s.difference for s in unsure]
    by = f"{far[0]:.3f}" if len(far) == 1 else f"{far[0]:.3f} to {far[-1]:.3f}"
    return [
        f"{_listed(names)} {_be(names)} behind by {by}, yet tied: {seeds} seeds scatter too much "
        f"to tell that from chance, more (train.seeds) may"
    ]


def _distance(s: Standing) -> str:
    return f"{s.difference:.3f} ± {(s.difference_high - s.difference_low) / 2:.3f}"


def _behind(worse: Sequence[Standing], *, alone: bool) -> list[str]:
    """Each worse loss with its distance; of many the nearest and the farthest.

    Args:
        worse: The losses, the nearest first.
        alone: Whether there is no other loss but the best, so that the first is named already.
    """
    told = worse[1:] if alone else worse
    if not told:
        return []
    far = f"{told[-1].loss} by {_distance(told[-1])}"
    if len(told) == 1:
        return [f"{told[0].loss} is worse by {_distance(told[0])}"]
    if alone:
        return [f"All {len(worse)} others are worse, up to {far}"]
    return [f"{len(told)} others are worse, from {told[0].loss} by {_distance(told[0])} to {far}"]


def _be(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _check(
    values: Mapping[str, Sequence[float]], ranks: Mapping[str, int], alpha: float, margin: float
) -> int:
    """Refuses what can't be judged; returns the number of seeds."""
    if not values:
        raise ValueError("no loss to judge: at least one is needed")
    counts = {name: len(row) for name, row in values.items()}
    if len(set(counts.values())) > 1:
        raise ValueError(f"losses have different numbers of seeds {counts}: they must be paired")
    seeds = next(iter(counts.values()))
    if seeds < 2:
        raise ValueError(
            f"each loss has {seeds} seed(s): at least 2 are needed to tell a difference from "
            f"noise; raise train.seeds"
        )
    for name, row in values.items():
        if not np.all(np.isfinite(row)):
            raise ValueError(f"loss {name!r} has values {list(row)}: all must be finite")
        if name not in ranks:
            raise ValueError(f"loss {name!r} has no rank (ranks are known for {_known(ranks)})")
    if not 0 < alpha < 1 or not margin >= 0:
        raise ValueError(f"alpha {alpha} must lie in (0, 1), margin {margin} be 0 or more")
    return seeds


def _known(ranks: Mapping[str, int]) -> str:
    return ", ".join(sorted(ranks)) or "none"


def _standard_error(row_K: Array) -> float:
    """Of the mean; exactly 0 where the values differ by no more than rounding."""
    if np.ptp(row_K) <= ROUNDING * np.max(np.abs(row_K)):
        return 0.0
    return float(np.std(row_K, ddof=1) / np.sqrt(len(row_K)))


def _t_statistic(row_K: Array) -> float:
    """Size of the mean in standard errors; infinite if it never varies, 0 if it is 0."""
    mean, error = abs(float(np.mean(row_K))), _standard_error(row_K)
    if error == 0:
        return np.inf if mean > 0 else 0.0
    return mean / error


def interval(values: Sequence[float] | Array, alpha: float) -> tuple[float, float, float]:
    """Mean and its t interval at level 1 - alpha, over two seeds or more."""
    row_K = np.asarray(values, dtype=np.float64)
    mean = float(np.mean(row_K))
    half = float(special.stdtrit(len(row_K) - 1, 1 - alpha / 2)) * _standard_error(row_K)
    return mean, mean - half, mean + half


@lru_cache(maxsize=32)
def _largest_t(losses: int, seeds: int) -> Array:
    """Sorted draws of the largest paired t against the lowest mean, all losses being equal."""
    rng = np.random.default_rng(0)
    largest = np.empty(DRAWS)
    for start in range(0, DRAWS, 4000):
        table_RLK = rng.standard_normal((4000, losses, seeds))
        leader_R = table_RLK.mean(axis=2).argmin(axis=1)
        difference = table_RLK - table_RLK[np.arange(4000), leader_R][:, None, :]
        error = difference.std(axis=2, ddof=1) / np.sqrt(seeds)
        error[np.arange(4000), leader_R] = 1.0  # the leader's difference to itself is 0
        largest[start : start + 4000] = (difference.mean(axis=2) / error).max(axis=1)
    return np.sort(largest)


def _step_down(t_L: Array, p_L: Array, seeds: int) -> Array:
    """Adjusted p values, the leader's (first) being 1; never below p, monotone in t."""
    adjusted = np.ones_like(p_L)
    clearest_first = 1 + np.argsort(-t_L[1:], kind="stable")
    so_far = 0.0
    for done, i in enumerate(clearest_first):
        remaining = len(t_L) - done
        if remaining == 2:
            chance = float(p_L[i])  # the exact test: two losses, whichever leads
        else:
            null = _largest_t(remaining, seeds)
            above = DRAWS - np.searchsorted(null, t_L[i], side="left")
            chance = (float(above) + 1) / (DRAWS + 1)
        so_far = max(so_far, chance, float(p_L[i]))
        adjusted[i] = so_far
    return adjusted


def _detectable(difference_LK: Array, alpha: float, margin: float) -> float:
    """The difference seen with 80 % power, by the median standard error of the differences.

    The usual shift: (critical t + t of the power) standard errors, and the margin must be passed.
    """
    losses, seeds = len(difference_LK) + 1, difference_LK.shape[1]
    error = float(np.median([_standard_error(row) for row in difference_LK]))
    beyond = float(special.stdtrit(seeds - 1, POWER)) * error
    if losses == 2:
        critical = float(special.stdtrit(seeds - 1, 1 - alpha / 2))
    else:
        critical = float(np.quantile(_largest_t(losses, seeds), 1 - alpha))
    return max(critical * error, margin) + beyond
