"""Which fits the finalists get."""

from pathlib import Path

import pytest
from tests.fits import columns

from hourglass import config
from hourglass.paths import Paths
from hourglass.schema import Schema
from hourglass.stages import train

ROOT = Path(__file__).parents[1]
BEST = {name: {"scaler": "unit", "hyper": {"learning_rate": 0.01}} for name in ("mse", "bce")}


@pytest.mark.parametrize(("rows", "redrawn"), [(4999, True), (5000, False)])
def test_few_rows_are_split_anew_for_each_seed(rows, redrawn, tmp_path):
    """A survivor of mutation: nothing saw whether `resplit_below` was heeded."""
    params = config.load(ROOT / "params.yaml")
    assert params.train.resplit_below == 5000
    schema = Schema("a test", columns(), {}, {}, None, {"train": rows - 9, "val": 9, "test": 9}, "")
    specs = train._specs(params, Paths(tmp_path), schema, BEST)
    assert {s.resplit for s in specs} == {redrawn}
    seeds = range(1, params.train.seeds + 1)
    assert [(s.loss, s.seed) for s in specs] == [(n, seed) for seed in seeds for n in BEST]
    assert len({s.save_to for s in specs}) == len(specs)
