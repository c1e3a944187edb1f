"""What the report says of losses that could not take part, and in which units rows are drawn."""

import numpy as np
import pytest

from hourglass.paths import Paths, write_csv
from hourglass.schema import Column, Kind, Schema
from hourglass.stages import evaluate


def test_losses_that_failed_are_named_with_their_cause(tmp_path):
    paths = Paths(tmp_path)
    trials = [
        {"loss": "mse", "state": "complete", "failure": ""},
        {"loss": "mse", "state": "failed", "failure": "diverged"},
        {"loss": "huber", "state": "failed", "failure": "delta too wide"},
        {"loss": "huber", "state": "failed", "failure": "diverged"},
        {"loss": "mae", "state": "complete", "failure": ""},
    ]
    fits = [
        {"loss": "mse", "seed": 1, "failure": ""},
        {"loss": "mae", "seed": 1, "failure": ""},
        {"loss": "mae", "seed": 2, "failure": "became nan"},
    ]
    write_csv(paths.search("trials.csv"), trials, list(trials[0]))
    write_csv(paths.train("fits.csv"), fits, list(fits[0]))
    assert evaluate._left_out(paths) == [
        "huber takes no part in the verdict: every trial failed (delta too wide).",
        "mae takes no part in the verdict: a fit failed (became nan).",
    ]


def test_the_delivered_fit_is_the_best_once_the_luck_of_its_rows_is_taken_off():
    """A survivor of mutation: the worst seed could be delivered."""
    own = {1: 2.0, 2: 1.5, 3: 1.9}
    assert evaluate._delivered({"mse": own}, "mse") == 2
    rows = {1: 2.4, 2: 1.6, 3: 2.0}  # seed 1 met rows that were hard for all
    assert evaluate._delivered({"mse": own, "mae": rows}, "mse") == 1


@pytest.mark.parametrize(("grid", "expected"), [(None, [[0.0, 2.0]]), ((1, 2), [[100.0, 5.0]])])
def test_rows_of_tables_are_drawn_in_spreads_of_the_training_rows(grid, expected, tmp_path):
    paths = Paths(tmp_path)
    paths.values("train").parent.mkdir(parents=True)
    np.save(paths.values("train"), np.array([[0.0, 2.0], [200.0, 4.0]] * 5))
    columns = tuple(Column(n, Kind.CONTINUOUS, None, None, None, 0) for n in "ab")
    schema = Schema("a table", columns, {}, {}, grid, {"train": 10}, "")
    drawn = evaluate._to_draw(paths, schema, {"original": np.array([[100.0, 5.0]])})
    assert drawn["original"].tolist() == expected
