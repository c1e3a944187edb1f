"""What is inferred of columns: kind, resolution, walls; and what is never inferred."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hourglass.errors import ConfigError
from hourglass.inference import Extent, Known, infer
from hourglass.lattice import resolution
from hourglass.schema import Column, Kind

NOTHING_KNOWN = Known(None, None, {})
SEEDS = st.integers(0, 10_000)


def rng(seed=0):
    return np.random.default_rng(seed)


def extent(rows_NF, missing=0):
    gap_NF = np.isnan(rows_NF)
    whole_F = ((rows_NF == np.floor(rows_NF)) | gap_NF).all(axis=0)
    ends = np.fmin.reduce(rows_NF), np.fmax.reduce(rows_NF)
    return Extent(*ends, whole_F, gap_NF.sum(axis=0) + missing)


def column(values, known=NOTHING_KNOWN, others=()):
    """The one column of `values`, which are training rows; `others` are rows of other splits."""
    train_NF = np.asarray(values, dtype=float)[:, None]
    all_NF = np.concatenate([train_NF, np.asarray(others, dtype=float).reshape(-1, 1)])
    return infer(["x"], train_NF, extent(all_NF), known)[0]


STEPS = {
    "integers": (1.0, rng().integers(-20, 300, 500)),
    "even integers": (2.0, 2 * rng().integers(0, 50, 500)),
    "large multiples of 5": (5.0, 5 * rng().integers(0, 10**6, 500)),
    "0 and 1": (1.0, rng().integers(0, 2, 500)),
    "two levels": (0.4, rng().choice([0.3, 0.7], 500)),
    "halves": (1.0, rng().integers(0, 4, 500) + 0.5),
    "rounded to 0.01": (0.01, rng().normal(size=500).round(2)),
    "rounded to 0.01, 25 rows": (0.01, (10 * rng().normal(size=25)).round(2)),
    "rounded to 0.01 in float32": (0.01, rng().normal(size=500).round(2).astype(np.float32)),
    "hundreds": (100.0, 100 * rng().integers(-90, 300, 500)),
    "quarters": (0.25, rng().integers(0, 96, 500) / 4),
    "grey levels over 255": (1 / 255, rng().integers(0, 256, 500) / 255),
    "the same in float32": (1 / 255, (rng().integers(0, 256, 500) / 255).astype(np.float32)),
    "the same, 25 rows": (1 / 255, (rng().integers(0, 256, 25) / 255).astype(np.float32)),
    "16 bits over 65535": (1 / 65535, rng().integers(0, 65536, 20_000) / 65535),
    "standardised integers": (1 / 1.7313, (rng().poisson(3, 500) - 2.97) / 1.7313),
    "the same, 6 decimals": (1 / 1.7313, ((rng().poisson(3, 500) - 2.97) / 1.7313).round(6)),
    "sparse standardised integers": (1 / 866.1, (rng().integers(0, 3000, 40) - 1500) / 866.1),
    "integers with 0.05 % of others": (
        1.0,
        np.concatenate([rng().integers(0, 50, 9995), rng().normal(size=5)]),
    ),
    "integers with far outliers": (
        1.0,
        np.concatenate([rng().integers(0, 50, 9995), np.full(5, 1e12)]),
    ),
    "integers with a far sentinel": (
        1.0,
        np.concatenate([rng().integers(0, 50, 995), np.full(5, 1e12)]),
    ),
    "0.01 with a few third digits that happen to be even": (
        0.001,
        np.concatenate([rng().normal(size=495).round(2), [0.912, 0.904, 0.306, 0.118, 0.002]]),
    ),
    "tiny steps": (1e-12, 1e-12 * rng().integers(0, 9, 500)),
}


@pytest.mark.parametrize("case", STEPS)
def test_the_step_of_a_lattice_is_found(case):
    step, values = STEPS[case]
    assert resolution(np.asarray(values, dtype=float)) == (pytest.approx(step, rel=1e-6), "lattice")


CONTINUOUS = {
    "normal": lambda g, n: g.normal(size=n),
    "float32": lambda g, n: g.normal(size=n).astype(np.float32),
    "uniform float32": lambda g, n: g.random(n).astype(np.float32),
    "far from 0 in float32": lambda g, n: (100 + g.normal(size=n)).astype(np.float32),
    "heavy tails": lambda g, n: g.standard_t(1.5, size=n),
    "lognormal": lambda g, n: np.exp(3 * g.normal(size=n)),
    "large": lambda g, n: 1e18 * g.normal(size=n),
    "small": lambda g, n: 1e-12 * g.normal(size=n),
    "seconds since 1970": lambda g, n: 1.7e9 + 1e6 * g.random(n),
    "six decimals": lambda g, n: g.normal(size=n).round(6),
    "each value twice": lambda g, n: np.repeat(g.normal(size=n), 2),
}


@pytest.mark.parametrize("case", CONTINUOUS)
@pytest.mark.parametrize("rows", [20, 60, 3000])
def test_continuous_values_have_no_resolution(case, rows):
    for seed in range(20):
        values = np.asarray(CONTINUOUS[case](rng(seed), rows), dtype=float)
        assert resolution(values) == (None, "none")


def test_a_column_that_never_varies_has_no_resolution():
    assert resolution(np.ones(50)) == (None, "none")


@given(
    seed=SEEDS,
    step=st.floats(1e-6, 1e6),
    offset=st.floats(-1e3, 1e3),
    levels=st.integers(3, 2000),
)
@settings(max_examples=200)
@example(seed=2, step=999.0, offset=999.0, levels=3)  # almost steps of 1000
def test_any_lattice_is_found_wherever_it_lies(seed, step, offset, levels):
    k = rng(seed).integers(0, levels, 400)
    k[:2] = (0, 1)  # neighbours, so that no coarser lattice fits
    values = (k + offset) * step
    assert resolution(values)[0] == pytest.approx(step, rel=1e-3)


@given(seed=SEEDS, rows=st.integers(20, 200), scale=st.floats(1e-6, 1e6))
@settings(max_examples=200)
def test_no_lattice_is_found_in_noise(seed, rows, scale):
    assert resolution(scale * rng(seed).normal(size=rows)) == (None, "none")


def test_repeated_levels_on_no_lattice_get_their_smallest_gap():
    values = np.log1p(rng().integers(0, 12, 2000))
    step, origin = resolution(values)
    assert origin == "repeats"
    assert step == pytest.approx(np.log(12 / 11))


def test_a_point_mass_among_continuous_values_bounds_the_gain_of_an_exact_hit():
    values = np.where(rng().random(2000) < 0.6, 0, rng(1).exponential(size=2000))
    step, origin = resolution(values)
    low, high = np.quantile(values[values > 0], (0.01, 0.99))
    assert (origin, step) == ("repeats", pytest.approx((high - low) / 4096))


def test_a_sentinel_does_not_set_the_resolution_of_the_others():
    values = np.where(rng().random(2000) < 0.05, -999, rng(1).random(2000))
    assert resolution(values)[0] < 1e-3


def test_0_and_1_are_binary_with_walls():
    found = column(rng().integers(0, 2, 100))
    assert (found.kind, found.resolution, found.low, found.high) == (Kind.BINARY, 1.0, 0.0, 1.0)


def test_other_pairs_of_values_are_not_binary():
    assert column(rng().integers(1, 3, 100)).kind is Kind.CONTINUOUS


def test_a_guess_that_other_rows_contradict_is_withdrawn():
    flags = rng().integers(0, 2, 100)
    assert column(flags, others=[2]).kind is not Kind.BINARY
    ratings = rng().integers(1, 6, 500)
    assert (column(ratings).low, column(ratings).high) == (1.0, 5.0)
    assert (column(ratings, others=[6]).low, column(ratings, others=[6]).high) == (None, None)
    counts = rng().negative_binomial(2, 0.2, 500)
    assert column(counts, others=[0.5]).kind is Kind.CONTINUOUS


def test_other_rows_never_make_a_guess():
    values = rng().normal(size=100).round(2)
    assert column(values) == column(values, others=[values.min(), values.max()])


@pytest.mark.parametrize("mean", [0.7, 3, 40])
def test_overdispersed_skewed_integers_from_0_are_counts(mean):
    values = rng().negative_binomial(2, 2 / (2 + mean), 2000)
    found = column(values)
    assert (found.kind, found.resolution, found.low, found.high) == (Kind.COUNT, 1.0, 0.0, None)


@pytest.mark.parametrize(
    "values",
    [
        rng().integers(19, 80, 2000),  # ages
        rng().integers(0, 256, 2000),  # grey levels
        np.minimum(rng().negative_binomial(2, 0.1, 2000), 16),  # saturation
        rng().integers(1990, 2021, 2000),  # years
        rng().choice([0, 1, 2], 2000, p=[0.6, 0.3, 0.1]),  # levels
        -rng().negative_binomial(2, 0.2, 2000),
        10 * rng().negative_binomial(2, 0.2, 2000),  # tens
    ],
)
def test_other_integers_are_no_counts(values):
    assert column(values).kind is Kind.CONTINUOUS


def test_walls_are_0_and_1_or_point_masses_at_both_ends():
    inside = rng().random(500)
    assert (column(np.append(inside, [0, 1])).low, column(np.append(inside, [0, 1])).high) == (0, 1)
    clipped = column(np.clip(rng().normal(size=1000), -2, 1.5))
    assert (clipped.low, clipped.high) == (-2.0, 1.5)


@pytest.mark.parametrize(
    "values",
    [
        rng().normal(size=1000),
        np.maximum(rng().normal(size=1000), 0),  # a mass at one end
        np.append(rng().random(1000) * 0.9, [0, 0.95]),
        rng().choice([0.3, 0.7], 1000),  # two levels say nothing of walls
        np.append(rng().normal(size=1000), [-9, -9, 9, 9]),  # two rows at each end
    ],
)
def test_a_mere_minimum_is_no_wall(values):
    assert (column(values).low, column(values).high) == (None, None)


def test_what_the_source_knows_is_not_inferred():
    known = Known(Kind.CONTINUOUS, (0.0, 16.0), {})
    found = column(rng().negative_binomial(2, 0.4, 500), known)
    assert (found.kind, found.low, found.high) == (Kind.CONTINUOUS, 0.0, 16.0)


def test_what_the_user_says_goes_before_all():
    values = rng().integers(0, 2, 100)
    for kind in ("continuous", "count", "binary"):
        found = column(values, Known(Kind.CONTINUOUS, None, {"x": kind}))
        assert found.kind.value == kind


def test_pixels_share_kind_resolution_and_walls():
    image_NF = rng().integers(0, 256, (200, 9)) / 255
    image_NF[:, 0], image_NF[:, 1] = 0, 1 / 255 * rng().integers(0, 2, 200) * 7
    columns = infer(
        [str(i) for i in range(9)],
        image_NF,
        extent(image_NF),
        Known(None, None, {}, shape=(3, 3, 1)),
    )
    assert {(c.kind, c.resolution, c.low, c.high) for c in columns} == {
        (Kind.CONTINUOUS, 1 / 255, 0.0, 1.0)
    }


def test_channels_of_a_window_are_inferred_each_by_itself():
    """A temperature, a switch and a count, five times each; one place of the switch is always 0."""
    temperature = rng().normal(20, 3, (400, 5)).round(1)
    switch = rng(1).integers(0, 2, (400, 5))
    switch[:, 3] = 0
    clicks = rng(2).negative_binomial(2, 0.3, (400, 5))
    rows_NF = np.stack([temperature, switch, clicks], axis=2).reshape(400, 15).astype(np.float64)
    names = [f"{t}:{c}" for t in range(5) for c in "abc"]
    columns = infer(names, rows_NF, extent(rows_NF), Known(None, None, {}, shape=(5, 3)))
    assert [c.name for c in columns] == names
    found = [{(c.kind, c.low) for c in columns[k::3]} for k in range(3)]
    assert found == [{(Kind.CONTINUOUS, None)}, {(Kind.BINARY, 0.0)}, {(Kind.COUNT, 0.0)}]
    assert [columns[k].resolution for k in range(3)] == pytest.approx([0.1, 1.0, 1.0])


def test_another_row_contradicts_the_guess_of_all_places_of_a_channel():
    flags_NF = rng().integers(0, 2, (300, 6)).astype(np.float64)
    other_NF = np.append(flags_NF, [[0, 0, 0, 0, 2, 0]], axis=0)
    known = Known(None, None, {}, shape=(3, 2))
    columns = infer(list("abcdef"), flags_NF, extent(other_NF), known)
    kinds = [c.kind is Kind.BINARY for c in columns]
    assert kinds == [False, True, False, True, False, True]


def test_a_channel_that_never_varies_between_known_walls_is_no_error():
    rows_NF = np.zeros((50, 4))
    known = Known(None, (0.0, 255.0), {}, shape=(2, 2, 1))
    columns = infer(list("abcd"), rows_NF, extent(rows_NF), known)
    assert {(c.kind, c.low, c.high) for c in columns} == {(Kind.CONTINUOUS, 0.0, 255.0)}


# --- gaps


def holed(values, share=0.4):
    """The values with gaps among them."""
    values = np.repeat(np.asarray(values, dtype=float), 2)
    values[rng(9).random(len(values)) < share] = np.nan
    return values


@pytest.mark.parametrize(
    "values",
    [
        rng().integers(0, 2, 300),
        rng().negative_binomial(2, 0.2, 300),
        rng().integers(1, 6, 300),
        rng().normal(size=300).round(2),
        np.clip(rng().normal(size=1000), -2, 1.5),
        np.log1p(rng().integers(0, 12, 2000)),
    ],
    ids=["flags", "counts", "ratings", "two digits", "clipped", "levels off a lattice"],
)
def test_gaps_say_nothing_of_the_others(values):
    with_gaps = holed(values)
    missing = int(np.isnan(with_gaps).sum())
    found = column(with_gaps)
    assert found.missing == missing
    assert replace(found, missing=0) == column(with_gaps[~np.isnan(with_gaps)])


def test_a_column_without_any_observed_value_is_continuous():
    found = column(np.full(50, np.nan))
    assert (found.kind, found.resolution, found.low, found.missing) == (
        Kind.CONTINUOUS,
        None,
        None,
        50,
    )


def test_gaps_do_not_keep_a_column_off_the_scale_of_its_neighbours():
    rows_NF = pixels()
    rows_NF[rng(3).random(rows_NF.shape) < 0.3] = np.nan
    columns = infer([str(i) for i in range(20)], rows_NF, extent(rows_NF), NOTHING_KNOWN)
    assert {(c.resolution, c.low, c.high) for c in columns} == {(1.0, 0.0, 16.0)}


# --- levels


def levelled(kinds=None, **levels):
    """A table of a number and codes of two columns of levels."""
    rows_NF = np.column_stack([rng().normal(size=90), *rng(1).integers(0, 3, (2, 90))])
    rows_NF[:4, 1] = np.nan
    known = Known(None, None, kinds or {}, levels=levels)
    return infer(["x", "colour", "size"], rows_NF, extent(rows_NF), known)


def test_a_column_of_levels_has_these_and_neither_step_nor_walls():
    columns = levelled(colour=("blue", "green", "red"), size=("L", "S"))
    assert columns[0].kind is Kind.CONTINUOUS
    assert columns[1] == Column(
        "colour", Kind.CATEGORICAL, None, None, None, 4, ("blue", "green", "red")
    )
    assert (columns[2].kind, columns[2].levels, columns[2].width) == (
        Kind.CATEGORICAL,
        ("L", "S"),
        2,
    )


def test_levels_that_the_user_calls_so_are_no_contradiction():
    columns = levelled(kinds={"colour": "categorical"}, colour=("a", "b", "c"))
    assert columns[1].kind is Kind.CATEGORICAL


@pytest.mark.parametrize(
    ("levels", "shown"),
    [(("a", "b"), "'a', 'b'"), (("a", "b", "c", "d"), "'a', 'b', 'c', ...")],
)
def test_levels_are_no_numbers_whatever_the_user_says(levels, shown):
    with pytest.raises(ConfigError) as error:
        levelled(kinds={"colour": "count"}, colour=levels)
    assert str(error.value) == (
        "params.yaml: preprocess.kinds.colour: 'count' means numbers, but the column holds levels "
        f"({shown}); say 'categorical', or encode it as numbers in the file"
    )


def test_a_source_that_gives_no_levels_cannot_have_a_column_of_them():
    with pytest.raises(
        ConfigError, match=r"kinds\.x: 'categorical' means levels, which this sourc"
    ):
        levelled(kinds={"x": "categorical"})


def test_codes_of_levels_are_no_part_of_a_scale_that_others_share():
    """Codes beyond the shared walls would withdraw it, codes within would be drawn in."""
    grey_NF = pixels()
    codes_N = rng(4).integers(0, 40, 600)
    rows_NF = np.column_stack([codes_N, grey_NF])
    levels = {"c": tuple(f"L{k}" for k in range(40))}
    names = ["c", *(str(i) for i in range(20))]
    columns = infer(names, rows_NF, extent(rows_NF), Known(None, None, {}, levels=levels))
    assert columns[0].kind is Kind.CATEGORICAL
    assert {(c.low, c.high) for c in columns[1:]} == {(0.0, 16.0)}


def pixels(columns=20, dark=8):
    """Grey levels 0..16 of which some columns are seldom inked."""
    image_NF = np.clip(rng().integers(-8, 25, (600, columns)), 0, 16)
    image_NF[:, :dark] = np.minimum(rng(1).geometric(0.6, (600, dark)) - 1, 16)
    return image_NF.astype(float)


def test_columns_on_one_scale_share_its_walls_and_its_step():
    rows_NF = pixels()
    names = [str(i) for i in range(20)]
    alone = infer(names[:8], rows_NF[:, :8], extent(rows_NF[:, :8]), NOTHING_KNOWN)
    assert {c.high for c in alone} == {None}
    together = infer(names, rows_NF, extent(rows_NF), NOTHING_KNOWN)
    assert {(c.kind, c.resolution, c.low, c.high) for c in together} == {
        (Kind.CONTINUOUS, 1.0, 0.0, 16.0)
    }


def test_a_scale_of_a_few_columns_is_none_of_the_others():
    ratings_NF = np.clip(rng().integers(-3, 14, (600, 8)), 0, 10)
    counts_NF = np.minimum(rng(1).poisson(1.0, (600, 17)), 9)
    rows_NF = np.column_stack([ratings_NF, counts_NF])
    columns = infer([str(i) for i in range(25)], rows_NF, extent(rows_NF), NOTHING_KNOWN)
    assert [c.kind for c in columns] == [Kind.CONTINUOUS] * 8 + [Kind.COUNT] * 17


def test_a_column_off_the_shared_scale_keeps_its_own():
    """A regression: a proportion beside ratings got their step and walls, the ruler went blind."""
    ratings_NF = np.clip(rng().integers(-3, 14, (600, 9)), 0, 10)
    rows_NF = np.column_stack([ratings_NF, rng(1).beta(2, 2, 600)])
    *ratings, proportion = infer(
        [str(i) for i in range(10)], rows_NF, extent(rows_NF), NOTHING_KNOWN
    )
    assert {(c.resolution, c.low, c.high) for c in ratings} == {(1.0, 0.0, 10.0)}
    assert (proportion.resolution, proportion.high) == (None, None)


def test_columns_scaled_to_the_unit_interval_keep_their_own_steps():
    rows_NF = np.column_stack(
        [rng(i).integers(0, n + 1, 400) / n for i, n in enumerate(range(40, 60))]
    )
    rows_NF[:2] = [[0.0], [1.0]]
    columns = infer([str(i) for i in range(20)], rows_NF, extent(rows_NF), NOTHING_KNOWN)
    assert [c.resolution for c in columns] == pytest.approx([1 / n for n in range(40, 60)])


@pytest.mark.parametrize("rate", [0.7, 1.0, 2.0, 3.0])
def test_poisson_counts_are_counts_in_nearly_every_draw(rate):
    """A regression: variance above mean was demanded, which is a coin's flip for Poisson."""
    found = [column(rng(i).poisson(rate, 600)) for i in range(100)]
    assert sum(c.kind is Kind.COUNT and c.high is None for c in found) >= 90


def test_one_column_beyond_the_scale_keeps_all_columns_to_themselves():
    rows_NF = pixels()
    rows_NF[0, 0] = 17
    columns = infer([str(i) for i in range(20)], rows_NF, extent(rows_NF), NOTHING_KNOWN)
    assert [c.high for c in columns] == [None] * 8 + [16.0] * 12


def test_missing_values_are_counted_in_the_column():
    rows_NF = rng().normal(size=(50, 2))
    assert [c.missing for c in infer(["a", "b"], rows_NF, extent(rows_NF, 3), NOTHING_KNOWN)] == [
        3,
        3,
    ]


@pytest.mark.parametrize(
    ("values", "kind", "message"),
    [
        ([0, 1, 2.5], "binary", "'binary' means only 0 and 1, but the column holds values from 0 "
         "to 2.5, some of them no integers; recode the column or say 'continuous'"),
        ([0, 1, 3], "binary", "'binary' means only 0 and 1, but the column holds values from 0 "
         "to 3; recode the column or say 'continuous'"),
        ([-1, 1, 3], "count", "'count' means only integers from 0 on, but the column holds values "
         "from -1 to 3; recode the column or say 'continuous'"),
    ],
)  # fmt: skip
def test_a_kind_that_the_values_contradict_is_refused(values, kind, message):
    with pytest.raises(ConfigError) as error:
        column(values * 10, Known(None, None, {"x": kind}))
    assert str(error.value) == f"params.yaml: preprocess.kinds.x: {message}"


def test_a_kind_for_no_feature_is_answered_with_the_nearest():
    rows_NF = rng().normal(size=(50, 2))
    with pytest.raises(ConfigError) as error:
        infer(
            ["height", "width"],
            rows_NF,
            extent(rows_NF),
            Known(None, None, {"hight": "count"}),
        )
    assert str(error.value) == (
        "params.yaml: preprocess.kinds: no feature 'hight', did you mean 'height'? (dropped "
        "columns, labels and columns that never vary are no features)"
    )
