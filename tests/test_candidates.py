"""Which losses compete: all that the data admit, or those wanted, each checked before training."""

from pathlib import Path

import numpy as np
import pytest

from hourglass.candidates import Candidate, choose
from hourglass.errors import LossError, UnknownNameError
from hourglass.losses import LOSSES, Domain
from hourglass.paths import Paths

ALL = ("unit", "standard", "robust")


def profile(unit: str = "admissible", scaler: str = "unit") -> dict:
    real = {"status": "admissible", "reason": "defined on all real values"}
    return {
        "scaler": scaler,
        "domains": {"real": real, "unit": {"status": unit, "reason": "2 columns have no walls"}},
    }


def scaled(folder: Path, value: float = 0.5) -> Paths:
    """Files of normalize for the scaler "unit"; one validation value is `value`."""
    paths = Paths(folder)
    for split in ("train", "val"):
        rows_NF = np.full((4, 2), 0.5, dtype=np.float32)
        if split == "val":
            rows_NF[1, 0] = value
        paths.scaled("unit", split).parent.mkdir(parents=True, exist_ok=True)
        np.save(paths.scaled("unit", split), rows_NF)
    return paths


def names(found: list[Candidate]) -> list[str]:
    return [c.loss for c in found]


def test_auto_takes_all_that_are_admissible_the_simplest_first():
    found = choose("auto", ALL, profile(), Paths())
    assert sorted(names(found)) == sorted(LOSSES.names())
    ranks = [LOSSES.load(n).rank for n in names(found)]
    assert ranks == sorted(ranks)


def test_auto_leaves_out_what_is_only_dubious(caplog):
    with caplog.at_level("INFO"):
        found = choose("auto", ALL, profile(unit="dubious"), Paths())
    left_out = [n for n in LOSSES.names() if LOSSES.load(n).domain is Domain.UNIT]
    assert set(names(found)) == set(LOSSES.names()) - set(left_out)
    said = [r.message for r in caplog.records]
    assert "bce is left out: 2 columns have no walls" in said
    assert len(said) == len(left_out)


def test_each_loss_gets_the_advised_scaler_where_it_takes_it():
    found = {c.loss: c.scaler for c in choose("auto", ALL, profile(scaler="standard"), Paths())}
    assert found["mse"] == "standard"
    assert found["bce"] == "unit"


def test_a_loss_whose_scalers_are_not_fitted_is_left_out_of_auto():
    assert "bce" not in names(choose("auto", ["standard"], profile(), Paths()))


def test_wanted_losses_keep_their_order_and_nothing_is_said_of_others(tmp_path, caplog):
    with caplog.at_level("INFO"):
        found = choose(["mae", "bce"], ALL, profile(), scaled(tmp_path))
    assert names(found) == ["mae", "bce"]
    assert not caplog.records


def test_a_loss_without_its_scaler_is_refused_with_the_remedy(tmp_path):
    message = (
        r"params.yaml: search.losses\[1\]: 'bce' needs targets in \[0, 1\]; normalize.scalers has "
        r"only standard: use scaler 'unit' there, or one of mse, .* here"
    )
    with pytest.raises(LossError, match=message):
        choose(["mse", "bce"], ["standard"], profile(), scaled(tmp_path))


def test_values_outside_the_unit_interval_are_counted_and_the_first_is_named(tmp_path):
    message = (
        r"params.yaml: search.losses\[0\]: 'bce' needs targets in \[0, 1\], but 1 of 8 val values "
        r"lie outside after scaling \(the first: 1.25 in column 0 of row 1\): use one of mse"
    )
    with pytest.raises(LossError, match=message):
        choose(["bce"], ALL, profile(unit="dubious"), scaled(tmp_path, 1.25))


def test_a_dubious_loss_that_is_wanted_competes_with_a_warning(tmp_path, caplog):
    assert names(choose(["bce"], ALL, profile(unit="dubious"), scaled(tmp_path))) == ["bce"]
    assert "'bce' is dubious here: 2 columns have no walls" in caplog.text


def test_a_blocked_loss_is_refused_with_the_reason(tmp_path):
    blocked = profile(unit="blocked")
    with pytest.raises(LossError, match=r"'bce' needs .*, but 2 columns have no walls: use one of"):
        choose(["bce"], ALL, blocked, scaled(tmp_path))


def test_a_misspelt_loss_is_refused_with_the_nearest_name():
    message = r"params.yaml: search.losses\[0\]: unknown loss 'huberr', did you mean 'huber'\?"
    with pytest.raises(UnknownNameError, match=message):
        choose(["huberr"], ALL, profile(), Paths())


def test_a_loss_that_is_listed_twice_is_refused():
    with pytest.raises(LossError, match=r"search.losses\[2\]: 'mse' is listed twice"):
        choose(["mse", "mae", "mse"], ALL, profile(), Paths())


def test_data_that_admit_nothing_stop_with_a_remedy():
    nothing = profile(unit="blocked")
    nothing["domains"]["real"]["status"] = "blocked"
    with pytest.raises(LossError, match=r"no loss is admissible .* add 'standard' or 'unit'"):
        choose("auto", ALL, nothing, Paths())
    with pytest.raises(LossError, match="use another loss"):
        choose(["mse"], ALL, nothing, Paths())
