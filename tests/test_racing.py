"""A loss is dropped only if it is behind beyond doubt, and farther than trials may still bring."""

import numpy as np
import pytest

from hourglass import racing
from hourglass.racing import LEAD, Drop, Racer

PARTS = 32
NOISE = np.random.default_rng(0).normal(size=(8, PARTS))
ROWS = 0.3 * np.random.default_rng(1).normal(size=PARTS)  # some parts are hard for every loss


def racer(mean: float, number: int = 0, *, noise: float = 0.01, gain: float = 0.0) -> Racer:
    """Of four trials, the last of them the best, with parts that scatter about it."""
    own = NOISE[number] - NOISE[number].mean()
    return Racer([mean + 1, mean + gain, mean + 2, mean], list(mean + ROWS + noise * own))


def dropped(**racers: Racer) -> list[str]:
    return [d.loss for d in racing.clearly_behind(racers)]


def test_a_loss_far_behind_is_dropped_and_it_is_said_how_far_and_behind_which():
    (one,) = racing.clearly_behind({"mse": racer(2.0), "bce": racer(1.7, 1)})
    assert (one.loss, one.trials, one.leader) == ("mse", 4, "bce")
    assert one.difference == pytest.approx(0.3)
    assert one.low < one.difference < one.high
    text = "dropped after 4 trials: 0.300 (0.250 to 0.350) bits behind bce"
    assert str(Drop("mse", 4, "bce", 0.3, 0.25, 0.35)) == text


def test_the_leader_stays_and_so_do_those_near_it():
    near = racer(1.7 + LEAD, 1)
    assert dropped(bce=racer(1.7), mse=near, mae=racer(2.0, 2), huber=racer(2.1, 3)) == [
        "mae",
        "huber",
    ]


def test_a_loss_whose_lag_scatters_over_the_rows_stays():
    assert dropped(bce=racer(1.7), mse=racer(1.9, 1, noise=0.01)) == ["mse"]
    assert dropped(bce=racer(1.7), mse=racer(1.9, 1, noise=1.0)) == []


def test_nothing_is_dropped_for_less_than_trials_have_just_brought_some_loss():
    others = {"bce": racer(1.7), "mae": racer(1.75, 2, gain=0.4)}
    assert dropped(**others, mse=racer(2.0, 1)) == []
    assert dropped(**others, mse=racer(2.2, 1)) == ["mse"]


def test_a_loss_without_a_value_in_its_first_half_says_that_trials_still_matter():
    late = Racer([None, None, 1.8, 1.7], racer(1.7).parts)
    assert dropped(bce=late, mse=racer(2.5, 1)) == []
    early = Racer([None, 1.75, None, 1.8], racer(1.75).parts)
    assert early.gain() == 0
    assert dropped(bce=early, mse=racer(2.5, 1)) == ["mse"]


def test_a_loss_alone_has_won_and_equal_ones_stay():
    assert dropped(mse=racer(2.0)) == []
    assert dropped() == []
    assert dropped(mse=racer(2.0), mae=racer(2.0)) == []
