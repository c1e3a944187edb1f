"""Why the verdict is what it is: residuals beside the assumed noise, rows, settings."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

import fits
from hourglass import evidence, losses, trials
from hourglass.bundle import Bundle
from hourglass.losses import LOSSES, Context, Domain, Range

PLACE = np.linspace(-4, 4, 81)
CONTEXT = Context(features=3, resolution_F=torch.zeros(3), residual_scale=0.5, span=10.0)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    root = fits.make_files(tmp_path_factory.mktemp("files"))
    made = {}
    for name in ("mse", "student_t"):
        one = replace(fits.spec(root), name=name, loss=name, save_to=root / name)
        trials.run(one)
        made[name] = Bundle.load(root / name)
    return made


def assumed(name: str, residual_NF: np.ndarray) -> np.ndarray:
    default = {k: r.default for k, r in LOSSES.load(name).space.items()}
    loss = losses.build(name, CONTEXT, default)
    return evidence._assumed(loss, 3, np.arange(3), residual_NF, PLACE)


@pytest.mark.parametrize(
    ("name", "family"), [("mse", stats.norm(0, 0.7)), ("mae", stats.laplace(0, 0.7))]
)
def test_the_assumed_density_is_that_of_the_noise_with_a_fitted_width(name, family):
    residual_NF = family.rvs(size=(40_000, 3), random_state=0)
    np.testing.assert_allclose(assumed(name, residual_NF), family.pdf(PLACE), rtol=0.05, atol=1e-3)


REAL = [name for name in LOSSES.names() if LOSSES.load(name).domain is Domain.REAL]


@pytest.mark.parametrize("name", REAL)
def test_an_assumed_density_has_area_one(name):
    residual_NF = 0.3 * np.random.default_rng(0).normal(size=(500, 3))
    assert np.trapezoid(assumed(name, residual_NF), PLACE) == pytest.approx(1, abs=0.02)


def test_gaps_take_no_part_in_the_width():
    residual_NF = stats.norm(0, 0.7).rvs(size=(40_000, 3), random_state=0)
    residual_NF[::2] = np.nan
    expected = stats.norm(0, 0.7).pdf(PLACE)
    np.testing.assert_allclose(assumed("mse", residual_NF), expected, rtol=0.05, atol=1e-3)


def test_residuals_are_in_their_own_standard_deviations(bundles):
    one, other = evidence.shapes(bundles, fits.TEST)
    assert (one.loss, other.loss) == ("mse", "student_t")
    assert one.residual.std() == pytest.approx(1)
    assert len(one.residual) == fits.TEST.size
    assert other.assumed_G.shape == other.place_G.shape


def test_far_residuals_are_counted_and_those_that_are_assumed():
    place = np.linspace(-8, 8, 321)
    for family in (stats.norm(), stats.laplace(0, 0.7)):
        shape = evidence.Shape("mse", np.zeros(3), place, family.pdf(place))
        assert shape.far_assumed == pytest.approx(2 * family.sf(4), abs=2e-3)
    residual = np.r_[np.zeros(97), 4.5, -5.0, 3.0]
    shape = evidence.Shape("mse", residual, PLACE, None)
    assert shape.far == pytest.approx(0.02)
    assert shape.far_assumed is None


def test_rows_stand_out_by_their_code_length(bundles):
    rows_NF = fits.TEST.copy()
    rows_NF[7, 3] += 40
    shown = evidence.standouts(bundles["mse"], rows_NF, 2)
    assert [one.which for one in shown] == ["easy"] * 2 + ["typical"] * 2 + ["hard"] * 2
    bits_N = bundles["mse"].code_length(rows_NF, bundles["mse"].reconstruct(rows_NF)).sum(axis=1)
    assert shown[0].bits == pytest.approx(bits_N.min())
    assert shown[4].at == 7
    assert shown[4].bits == pytest.approx(bits_N.max())
    name, value, _, bits = shown[4].costliest[0]
    assert (name, value) == ("c3", f"{rows_NF[7, 3]:.4g}")
    assert bits > 10


def test_fewer_rows_than_places_are_shown_once_each(bundles):
    shown = evidence.standouts(bundles["mse"], fits.TEST[:4], 3)
    assert len({one.at for one in shown}) == len(shown) == 3


def test_a_setting_that_rises_with_the_bits_has_rank_correlation_one():
    tried = [
        {"loss": "mse", "state": "complete", "objective": str(2 + 0.1 * t), "rate": str(0.01 * t)}
        | {"flat": "1", "words": "a", "delta": ""}
        for t in range(1, 6)
    ]
    tried.append({**tried[0], "state": "failed", "objective": ""})
    names = ["rate", "flat", "words", "delta"]
    assert evidence.settings(tried, names, ["mse", "mae"]) == [
        {
            "loss": "mse",
            "setting": "rate",
            "tried": "0.01 to 0.05",
            "best trial": "0.01",
            "rank correlation": pytest.approx(1.0),
            "trials": 5,
        }
    ]
    assert evidence.settings(tried[:3], names, ["mse"]) == []


# --- hyperparameters at the end of their range ----------------------------------------------------


def tried(**values: float) -> list[dict[str, str]]:
    """The best trial of huber has these values; others, and other losses, lie elsewhere."""
    best = {"loss": "huber", "state": "complete", "objective": "1.0"}
    best |= {name: str(value) for name, value in values.items()}
    far = dict.fromkeys(values, "1e-9")
    return [
        {"loss": "huber", "state": "complete", "objective": "2.0", **far},
        {"loss": "huber", "state": "failed", "objective": "", **far},
        {"loss": "mse", "state": "complete", "objective": "0.5", **far},
        best,
    ]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.0095, "at the upper end of what was searched (0.001 to 0.01)"),
        (0.00105, "at the lower end of what was searched (0.001 to 0.01)"),
        (0.0085, ""),
    ],
)
def test_a_best_value_at_an_end_of_its_range_is_told_on_the_range_s_scale(value, said):
    found = evidence.edges(tried(rate=value), "huber", {"rate": Range(0.001, 0.01, 0.005)})
    assert [said in sentence for sentence in found] == [True] * bool(said)


def test_the_wider_range_is_one_that_params_may_hold():
    ranges = {"learning_rate": Range(0.001, 0.01, 0.005), "delta": Range(1.0, 2.0, 1.5, log=False)}
    found = evidence.edges(tried(learning_rate=0.01, delta=1.0), "huber", ranges)
    assert "(search.space: {huber: {learning_rate: [0.001, 0.04]}})" in found[0]
    assert "(search.space: {huber: {delta: [0, 2]}})" in found[1]
    assert losses.space("huber", {"learning_rate": (0.001, 0.04)})["learning_rate"].high == 0.04
