"""Which losses compete: all that the data admit, or those wanted, each checked before training."""

from pathlib import Path

import numpy as np
import pytest

from hourglass import candidates
from hourglass.candidates import Candidate, Wanted
from hourglass.errors import LossError, UnknownNameError
from hourglass.losses import LOSSES, Domain
from hourglass.paths import Paths
from hourglass.schema import Column, Kind, Schema

ALL = ("unit", "standard", "robust")
CONTINUOUS = ("continuous", "continuous")
MIXED = ("continuous", "binary", "count", "categorical")


def schema(*kinds: str) -> Schema:
    columns = tuple(
        Column(f"c{i}", Kind(kind), None, None, None, 0, ("x", "y", "z") * (kind == "categorical"))
        for i, kind in enumerate(kinds or CONTINUOUS)
    )
    return Schema("a test", columns, {}, {}, None, {"train": 4, "val": 4, "test": 4}, "")


def profile(unit: str = "admissible", scaler: str = "unit", **more) -> dict:
    real = {"status": "admissible", "reason": "defined on all real values"}
    domains = {"real": real, "unit": {"status": unit, "reason": "2 columns have no walls"}}
    return {"scaler": scaler, "domains": domains, **more}


def choose(losses, *kinds: str, scalers=ALL, advice=None, paths=None, every=True):
    wanted = Wanted(losses, scalers, every)
    return candidates.choose(wanted, schema(*kinds), advice or profile(), paths or Paths())


def scaled(folder: Path, value: float = 0.5, column: int = 0, columns: int = 2) -> Paths:
    """Files of normalize; one validation value is `value`."""
    paths = Paths(folder)
    for scaler in ALL:
        for split in ("train", "val"):
            rows_NF = np.full((4, columns), 0.5, dtype=np.float32)
            rows_NF[0, 0] = np.nan  # a gap lies nowhere
            if split == "val":
                rows_NF[1, column] = value
            paths.scaled(scaler, split).parent.mkdir(parents=True, exist_ok=True)
            np.save(paths.scaled(scaler, split), rows_NF)
    return paths


def losses_of(found: list[Candidate]) -> list[str]:
    return [c.loss for c in found]


def on(*domains: Domain) -> set[str]:
    return {n for n in LOSSES.names() if LOSSES.load(n).domain in domains}


# --- all that the data admit ----------------------------------------------------------------------


def test_auto_takes_all_that_are_admissible_the_simplest_first():
    found = choose("auto")
    assert set(losses_of(found)) == on(Domain.REAL, Domain.UNIT)
    ranks = [LOSSES.load(n).rank for n in losses_of(found)]
    assert ranks == sorted(ranks)
    assert [c.name for c in found] == losses_of(found)


def test_auto_leaves_out_what_is_only_dubious(caplog):
    with caplog.at_level("INFO"):
        found = choose("auto", advice=profile(unit="dubious"))
    assert set(losses_of(found)) == on(Domain.REAL)
    said = [r.message for r in caplog.records]
    assert "bce is left out: 2 columns have no walls" in said
    assert "poisson is left out: the searched columns are continuous, no counts" in said
    assert "cross_entropy is left out: the searched columns are continuous, no levels" in said
    assert len(said) == len(LOSSES.names()) - len(found)


@pytest.mark.parametrize(
    ("kinds", "domains"),
    [
        (("count", "binary"), {Domain.REAL, Domain.UNIT, Domain.COUNT}),
        (("binary", "categorical"), {Domain.REAL, Domain.UNIT}),
        (("categorical", "categorical"), {Domain.LEVELS}),
        (MIXED, {Domain.REAL, Domain.UNIT}),
    ],
)
def test_the_searched_columns_decide_which_domains_are_open(kinds, domains):
    assert set(losses_of(choose("auto", *kinds))) == on(*domains)


def test_a_loss_over_levels_is_refused_where_levels_are_not_searched():
    message = (
        r"search.losses\[0\]: 'cross_entropy' needs levels, but the searched columns are "
        r"continuous, no levels: use one of mse"
    )
    with pytest.raises(LossError, match=message):
        choose(["cross_entropy"], *MIXED)
    with pytest.raises(LossError, match="'mse' needs real targets, but all columns hold levels"):
        choose(["mse"], "categorical")


# --- scalers --------------------------------------------------------------------------------------


def test_each_loss_tries_every_scaler_that_suits_it_the_advised_first():
    found = {c.loss: c.scalers for c in choose("auto", advice=profile(scaler="robust"))}
    assert found["mse"] == ("robust", "standard", "unit")
    assert found["student_t"] == ("robust", "standard", "unit")
    assert found["bce"] == ("unit",)
    other = {c.loss: c.scalers for c in choose("auto", advice=profile(scaler="unit"))}
    assert other["mse"] == ("unit", "standard", "robust")
    assert other["student_t"] == ("unit", "standard", "robust")


def test_with_scalers_advised_each_loss_has_one():
    found = {
        c.loss: c.scalers for c in choose("auto", advice=profile(scaler="robust"), every=False)
    }
    assert found["mse"] == ("robust",)
    assert found["bce"] == ("unit",)


def test_only_scalers_that_normalize_fits_are_tried():
    found = {c.loss: c.scalers for c in choose("auto", scalers=["robust", "standard"])}
    assert found["mse"] == ("standard", "robust")  # by the loss's liking: unit was advised
    assert "bce" not in found


# --- wanted losses --------------------------------------------------------------------------------


def test_wanted_losses_keep_their_order_and_nothing_is_said_of_others(tmp_path, caplog):
    with caplog.at_level("INFO"):
        found = choose(["mae", "bce"], paths=scaled(tmp_path))
    assert losses_of(found) == ["mae", "bce"]
    assert not caplog.records


def test_a_loss_without_its_scaler_is_refused_with_the_remedy():
    message = (
        r"params.yaml: search.losses\[1\]: 'bce' needs targets in \[0, 1\]; normalize.scalers has "
        r"only standard: use scaler 'unit' there, or one of mse, .* here"
    )
    with pytest.raises(LossError, match=message):
        choose(["mse", "bce"], scalers=["standard"])


def test_values_outside_the_unit_interval_are_counted_and_the_first_is_named(tmp_path):
    message = (
        r"params.yaml: search.losses\[0\]: 'bce' needs targets in \[0, 1\], but 1 of 8 val values "
        r"lie outside after scaling \(the first: 1.25 in column 'c0' of row 1\): use one of mse"
    )
    with pytest.raises(LossError, match=message):
        choose(["bce"], advice=profile(unit="dubious"), paths=scaled(tmp_path, 1.25))


def test_only_the_searched_columns_must_lie_in_the_unit_interval(tmp_path):
    """A regression: codes of levels, which are not scaled, shut bce out of every mixed table."""
    paths = scaled(tmp_path, 2.0, column=3, columns=4)
    assert losses_of(choose(["bce"], *MIXED, paths=paths)) == ["bce"]
    with pytest.raises(LossError, match=r"1 of 4 val values .* 2 in column 'c3' of row 1"):
        choose(["bce"], "count", "count", "count", "continuous", paths=paths)


def test_a_dubious_loss_that_is_wanted_competes_with_a_warning(tmp_path, caplog):
    advice = profile(unit="dubious")
    assert losses_of(choose(["bce"], advice=advice, paths=scaled(tmp_path))) == ["bce"]
    assert "'bce' is dubious here: 2 columns have no walls" in caplog.text


def test_a_blocked_loss_is_refused_with_the_reason(tmp_path):
    with pytest.raises(LossError, match=r"'bce' needs .*, but 2 columns have no walls: use one of"):
        choose(["bce"], advice=profile(unit="blocked"), paths=scaled(tmp_path))


def test_a_misspelt_loss_is_refused_with_the_nearest_name():
    message = r"params.yaml: search.losses\[0\]: unknown loss 'huberr', did you mean 'huber'\?"
    with pytest.raises(UnknownNameError, match=message):
        choose(["huberr"])


def test_a_loss_that_is_listed_twice_is_refused():
    with pytest.raises(LossError, match=r"search.losses\[2\]: 'mse' is listed twice"):
        choose(["mse", "mae", "mse"])


def test_data_that_admit_nothing_stop_with_a_remedy():
    nothing = profile(unit="blocked")
    nothing["domains"]["real"]["status"] = "blocked"
    with pytest.raises(LossError, match=r"no loss is admissible .* add 'standard' or 'unit'"):
        choose("auto", advice=nothing)
    with pytest.raises(LossError, match="use another loss"):
        choose(["mse"], advice=nothing)


# --- losses for kinds of columns ------------------------------------------------------------------


def test_columns_of_other_kinds_have_a_loss_of_their_own():
    (only,) = choose(["mse"], *MIXED)
    assert dict(only.heads) == {
        "binary": "bce",
        "count": "negative_binomial",
        "categorical": "cross_entropy",
    }
    assert only.name == "mse"
    (counts,) = choose(["poisson"], "count", "binary")
    assert dict(counts.heads) == {"binary": "bce"}


def test_the_profile_may_advise_the_loss_of_a_kind():
    advice = profile(heads={"count": "poisson"})
    assert dict(choose(["mse"], *MIXED, advice=advice)[0].heads)["count"] == "poisson"


def test_losses_of_two_kinds_multiply_and_the_names_tell_them_apart():
    found = choose(
        {"continuous": ["mse", "mae"], "count": ["poisson", "negative_binomial"]}, *MIXED
    )
    assert [c.name for c in found] == [
        "mse+poisson",
        "mse+negative_binomial",
        "mae+poisson",
        "mae+negative_binomial",
    ]
    assert [(c.loss, dict(c.heads)["count"]) for c in found] == [
        (loss, head) for loss in ("mse", "mae") for head in ("poisson", "negative_binomial")
    ]
    assert all(c.scalers == ("unit", "standard", "robust") for c in found)


def test_one_loss_of_a_kind_is_no_competition_and_not_named():
    found = choose({"count": ["poisson"]}, *MIXED)
    assert {dict(c.heads)["count"] for c in found} == {"poisson"}
    assert [c.name for c in found] == losses_of(found)
    assert set(losses_of(found)) == on(Domain.REAL, Domain.UNIT)


@pytest.mark.parametrize(
    ("losses", "message"),
    [
        (
            {"count": ["poisson"], "binary": ["mse"]},
            r"search.losses.binary\[0\]: 'mse' does not suit binary columns .*; use bce$",
        ),
        (
            {"count": ["poisson", "mse"]},
            r"search.losses.count\[1\]: 'mse' does not .*; use negative_binomial or poisson$",
        ),
        ({"count": ["poisson", "poisson"]}, r"search.losses.count\[1\]: 'poisson' is listed twice"),
        ({"continuous": ["mse", "mse"]}, r"search.losses.continuous\[1\]: 'mse' is listed twice"),
        (
            {"continuous": ["poisson"]},
            r"search.losses.continuous\[0\]: 'poisson' needs counts, but",
        ),
    ],
)
def test_a_loss_that_does_not_suit_its_kind_is_refused_with_its_place(losses, message):
    with pytest.raises(LossError, match=message):
        choose(losses, *MIXED)


def test_a_misspelt_loss_of_a_kind_is_refused_with_the_nearest_name():
    message = r"search.losses.count\[0\]: unknown loss 'poison', did you mean 'poisson'\?"
    with pytest.raises(UnknownNameError, match=message):
        choose({"count": ["poison"]}, *MIXED)


def test_a_kind_that_no_column_has_is_refused():
    message = r"search.losses.count: no column is count \(there are binary, continuous ones\)"
    with pytest.raises(LossError, match=message):
        choose({"count": ["poisson"]}, "continuous", "binary")


def test_more_combinations_than_anybody_wants_are_refused(monkeypatch):
    monkeypatch.setattr(candidates, "MOST", 3)
    losses = {"continuous": ["mse", "mae"], "count": ["poisson", "negative_binomial"]}
    with pytest.raises(LossError, match=r"4 combinations of losses, .* more than 3"):
        choose(losses, *MIXED)


# --- of a name ------------------------------------------------------------------------------------


def test_the_searched_loss_decides_the_rank_and_the_others_break_ties():
    ordered = ["mse", "mse+poisson", "mse+negative_binomial", "mae", "mae+poisson"]
    ranks = [candidates.rank(name) for name in ordered]
    assert ranks == sorted(set(ranks))


def test_what_a_candidate_assumes_is_said_of_each_of_its_losses():
    assert candidates.assumption("mse") == "Gaussian noise, the same in all features"
    both = candidates.assumption("mse+poisson")
    assert both == (
        "Gaussian noise, the same in all features and counts whose variance is their mean (Poisson)"
    )
