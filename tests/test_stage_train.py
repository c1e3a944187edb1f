"""Which fits the finalists get."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests import settings
from tests.fits import make_files, schema, spec

from hourglass import config, kept
from hourglass.config import Params
from hourglass.errors import ConfigError
from hourglass.paths import Paths, read_csv
from hourglass.schema import Column, Kind
from hourglass.stages import train
from hourglass.trials import Result, Spec
from hourglass.watching import Watch

PARAMS = config.load(Path(__file__).parents[1] / "params.yaml")
BEST = {
    name: {
        "loss": name.partition("+")[0],
        "heads": {"count": "poisson"},
        "scaler": "unit",
        "hidden": [16, 8],
        "hyper": {"learning_rate": 0.01},
    }
    for name in ("mse", "bce+poisson")
}


def specs(rows: int, split: str = "random", params: Params = PARAMS) -> list[Spec]:
    counts = {"train": rows - 9, "val": 9, "test": 9}
    return train._specs(params, Paths(), replace(schema(), rows=counts, split=split), BEST)


@pytest.mark.parametrize(("rows", "redrawn"), [(4999, True), (5000, False)])
def test_few_rows_are_split_anew_for_each_seed(rows, redrawn):
    """A survivor of mutation: nothing saw whether `resplit_below` was heeded."""
    assert PARAMS.train.resplit_below == 5000
    assert {s.resplit for s in specs(rows)} == {redrawn}


@pytest.mark.parametrize("split", ["group", "time", "source"])
def test_rows_that_belong_together_are_never_split_anew(split):
    """Else groups would stand on both sides, and the past would be judged by the future."""
    assert {s.resplit for s in specs(100, split)} == {False}


def test_each_finalist_is_fitted_once_a_seed_as_best_yaml_says():
    seeds = range(1, PARAMS.train.seeds + 1)
    found = specs(100)
    assert [(s.name, s.seed) for s in found] == [(n, seed) for seed in seeds for n in BEST]
    assert {s.loss for s in found if s.name == "bce+poisson"} == {"bce"}
    assert {s.model.hidden for s in found} == {(16, 8)}
    assert all(s.heads == {"count": "poisson"} and s.scaler == "unit" for s in found)
    assert {s.memory_mb for s in found} == {PARAMS.train.memory_mb}
    assert len({s.save_to for s in found}) == len(found)


def test_other_bottlenecks_are_fitted_once_each_and_save_nothing():
    """The width of the verdict is there already, and no bundle may be taken for a finalist's."""
    own = specs(100)
    main = own[0].model.latent_dim
    found = train._narrower_and_wider(own, [16, main, 2, 16])
    assert [(s.name, s.model.latent_dim) for s in found] == [(n, w) for w in (2, 16) for n in BEST]
    assert {(s.seed, s.save_to) for s in found} == {(1, None)}
    assert {s.model.hidden for s in found} == {(16, 8)}
    assert train._narrower_and_wider(own, []) == []


def test_fits_of_other_bottlenecks_have_a_table_of_their_own(tmp_path):
    """In fits.csv they would take part in the verdict."""
    paths = Paths(tmp_path)
    own = [replace(spec(tmp_path), save_to=paths.model("mse", n), seed=n) for n in (1, 2)]
    wider = train._narrower_and_wider(own, [3])
    results = [Result({"bits_per_feature": b}, [], 1.0) for b in (2.0, 2.5)]
    train._report(paths, own + wider, [*results, Result({}, [], 1.0, "diverged")])
    assert [f["seed"] for f in read_csv(paths.train("fits.csv"), "train")] == ["1", "2"]
    widths = read_csv(paths.train("widths.csv"), "train")
    told = [(w["latent_dim"], w["seed"], w["bits_per_feature"], w["failure"]) for w in widths]
    assert told == [("2", "1", "2.0", ""), ("3", "1", "", "diverged")]


@pytest.mark.parametrize(
    ("precision", "levels", "refused"),
    [
        ("bf16-true", 257, True),
        ("bf16-true", 256, False),
        ("16-true", 257, False),
        ("bf16-mixed", 900, False),
        ("32-true", 900, False),
        ("16-true", 2049, True),
    ],
)
def test_a_precision_that_would_round_levels_is_refused(precision, levels, refused):
    names = tuple(map(str, range(levels)))
    column = Column("city", Kind.CATEGORICAL, None, None, None, 0, names)
    described = replace(schema(), columns=(column,))
    if not refused:
        train._refuse_rounded_levels(precision, described)
        return
    mixed = precision.replace("true", "mixed")
    with pytest.raises(ConfigError, match=f"'city' has {levels} levels; use '{mixed}'"):
        train._refuse_rounded_levels(precision, described)


def test_a_killed_train_puts_back_what_it_finished_and_nothing_else(tmp_path):
    """What lies in models/ from a killed writer or other settings would become an output."""
    paths = Paths(make_files(tmp_path))
    own = [replace(spec(tmp_path), save_to=paths.model("mse", n), seed=n) for n in (1, 2)]
    tasks = kept.tasks(own, schema(), paths)
    result = kept.run(tasks[0])
    (paths.model("mse", 2) / "half").mkdir(parents=True)
    assert train._found(tasks, paths) == {tasks[0]: result}
    assert [str(p.relative_to(paths.models)) for p in paths.models.glob("*/*")] == ["mse/1"]


def test_the_patience_of_finalists_is_their_own():
    own = settings.params(search={"patience": 3}, train={"patience": 9})
    assert all(s.watch == Watch(patience=9) for s in specs(100, params=own))


def test_a_process_ends_with_the_one_that_started_it(monkeypatch):
    """A regression: the others of a fit on several devices waited for a killed one for ever."""
    parents, ended = iter([7, 7, 1]), []
    monkeypatch.setattr(train.os, "getppid", lambda: next(parents))
    monkeypatch.setattr(train.os, "_exit", ended.append)
    monkeypatch.setattr(train.time, "sleep", lambda _: None)
    train._end_with(7)
    assert ended == [1]
    assert next(parents, None) is None
