"""What a search tries, and what of its best trials goes into the finalists' fits."""

import csv
import itertools
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.fits import make_mixed_files, mixed_schema

from hourglass import config
from hourglass.candidates import Candidate
from hourglass.config import Params
from hourglass.errors import ConfigError, TrainingError
from hourglass.losses import Context
from hourglass.paths import Paths
from hourglass.racing import Drop
from hourglass.search import Outcome
from hourglass.stages import search, train
from hourglass.tracking import MemoryTracker
from hourglass.trials import Result
from hourglass.watching import Watch

PARAMS = config.load(Path(__file__).parents[1] / "params.yaml")
HEADS = (("binary", "bce"), ("count", "poisson"), ("categorical", "cross_entropy"))
SEVERAL = Candidate("huber", ("standard", "unit"), HEADS, "huber+poisson")
ONE = Candidate("mse", ("robust",))


def params(**search_options) -> Params:
    """The project's params with other options of the search."""
    changed = PARAMS.search.model_copy(update=search_options)
    return PARAMS.model_copy(update={"search": changed})


def context(span: float) -> Context:
    return Context(2, torch.zeros(2), 0.1, span)


KNOWN = {"standard": context(9.0), "unit": context(0.2), "robust": context(9.0)}


def outcome(candidate: Candidate, number: int, value: float | None, **hyper) -> Outcome:
    metrics = {} if value is None else {"bits_per_feature": value, "rmse": 1.0}
    failure = "it diverged" if value is None else ""
    own = {"learning_rate": 0.01, **hyper}
    return Outcome(candidate, number, own, value, Result(metrics, [], 1.5, failure))


def test_scalers_are_searched_where_there_are_several():
    assert search._space(PARAMS, SEVERAL, KNOWN).choices == {"scaler": ("standard", "unit")}
    assert search._space(PARAMS, ONE, KNOWN).choices == {}


def test_the_network_of_params_is_the_first_of_its_alternatives():
    space = search._space(params(hidden=((256, 64), (), (128,))), ONE, KNOWN)
    assert PARAMS.model.hidden == (128,)
    assert space.choices == {"hidden": ("128", "256-64", "")}  # each once


def test_a_hyperparameter_stays_where_every_scaler_admits_it():
    """The loss huber refuses a delta beyond all residuals, and under unit they are small."""
    alone = {
        name: search._space(PARAMS, c, KNOWN).ranges["delta"]
        for name, c in {
            "standard": replace(SEVERAL, scalers=("standard",)),
            "unit": replace(SEVERAL, scalers=("unit",)),
        }.items()
    }
    assert alone["unit"].high < alone["standard"].high
    for scalers in (("standard", "unit"), ("unit", "standard")):
        both = search._space(PARAMS, replace(SEVERAL, scalers=scalers), KNOWN)
        assert both.ranges["delta"] == alone["unit"]


def test_ranges_of_params_hold_for_every_candidate_of_the_loss():
    own = params(space={"huber": {"delta": (0.1, 0.2)}})
    range_ = search._space(own, SEVERAL, KNOWN).ranges["delta"]
    assert (range_.low, range_.high) == (0.1, 0.2)


@pytest.mark.parametrize(("hidden", "widths"), [("256-64", (256, 64)), ("", ()), ("8", (8,))])
def test_a_trial_is_sorted_into_scaler_network_and_the_losss_own(hidden, widths):
    hyper = {"learning_rate": 0.01, "delta": 1.0, "scaler": "unit", "hidden": hidden}
    own = search.parts(PARAMS, SEVERAL, hyper)
    assert own.scaler == "unit"
    assert own.model == PARAMS.model.model_copy(update={"hidden": widths})
    assert own.hyper == {"learning_rate": 0.01, "delta": 1.0}


def test_a_trial_without_alternatives_has_the_candidates_scaler_and_the_network_of_params():
    own = search.parts(PARAMS, ONE, {"learning_rate": 0.01})
    assert (own.scaler, own.model) == ("robust", PARAMS.model)


def test_a_trial_has_all_that_params_say(tmp_path):
    hyper = {"learning_rate": 0.01, "delta": 1.0, "scaler": "unit", "hidden": "16"}
    own = params(max_rows=77, seed=5, patience=7)
    spec = search._spec(own, Paths(tmp_path), SEVERAL, hyper, {30: 2.5})
    assert (spec.name, spec.loss, spec.heads) == ("huber+poisson", "huber", dict(HEADS))
    assert (spec.scaler, spec.model.hidden) == ("unit", (16,))
    assert (spec.max_rows, spec.seed, spec.resplit, spec.save_to) == (77, 5, False, None)
    assert spec.memory_mb == PARAMS.train.memory_mb
    assert spec.watch == Watch({30: 2.5}, 7)
    assert (spec.epochs, spec.batch_size) == (PARAMS.search.epochs, PARAMS.search.batch_size)


@pytest.fixture
def reported(tmp_path) -> Paths:
    """What a search of two candidates writes; the second trial of each is the best."""
    hidden = {"hidden": "16-8"}
    outcomes = {
        SEVERAL: [
            outcome(SEVERAL, 0, 3.0, delta=1.0, scaler="standard", hidden="128"),
            outcome(SEVERAL, 1, 2.0, delta=0.5, scaler="unit", **hidden),
            outcome(SEVERAL, 2, None, delta=2.0, scaler="standard", hidden="128"),
        ],
        ONE: [outcome(ONE, 0, None, hidden="128"), outcome(ONE, 1, 2.5, **hidden)],
    }
    search._report(params(hidden=((16, 8),)), Paths(tmp_path), outcomes, "d", {})
    return Paths(tmp_path)


def test_best_yaml_holds_all_that_a_finalist_needs(reported):
    assert config.read_yaml(reported.search("best.yaml")) == {
        "huber+poisson": {
            "rows": "d",
            "loss": "huber",
            "heads": dict(HEADS),
            "scaler": "unit",
            "trial": 1,
            "objective": 2.0,
            "hidden": [16, 8],
            "hyper": {"learning_rate": 0.01, "delta": 0.5},
        },
        "mse": {
            "rows": "d",
            "loss": "mse",
            "heads": {},
            "scaler": "robust",
            "trial": 1,
            "objective": 2.5,
            "hidden": [16, 8],
            "hyper": {"learning_rate": 0.01},
        },
    }


def test_trials_csv_tells_the_scaler_of_each_trial(reported):
    with reported.search("trials.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(r["loss"], r["scaler"], r["state"]) for r in rows] == [
        ("huber+poisson", "standard", "complete"),
        ("huber+poisson", "unit", "complete"),
        ("huber+poisson", "standard", "failed"),
        ("mse", "robust", "failed"),
        ("mse", "robust", "complete"),
    ]
    assert [r["hidden"] for r in rows] == ["128", "16-8", "128", "128", "16-8"]
    assert rows[2]["failure"] == "it diverged"


def test_a_finalist_is_fitted_as_its_best_trial_was(reported):
    best = config.read_yaml(reported.search("best.yaml"))
    specs = train._specs(PARAMS, reported, mixed_schema(), best)
    of = {spec.name: spec for spec in specs}
    trial = search._spec(
        PARAMS,
        reported,
        SEVERAL,
        {"learning_rate": 0.01, "delta": 0.5, "scaler": "unit", "hidden": "16-8"},
        {},
    )
    finalist = of["huber+poisson"]
    same = ("name", "loss", "heads", "scaler", "hyper", "model", "batch_size", "memory_mb")
    assert {k: getattr(finalist, k) for k in same} == {k: getattr(trial, k) for k in same}
    assert finalist.max_rows is None  # finalists learn from all rows
    assert of["mse"].heads == {}


def test_a_candidate_whose_trials_all_failed_is_left_out_with_its_cause(tmp_path, caplog):
    outcomes = {SEVERAL: [outcome(SEVERAL, 0, None)], ONE: [outcome(ONE, 0, 2.5)]}
    search._report(PARAMS, Paths(tmp_path), outcomes, "d", {})
    assert list(config.read_yaml(Paths(tmp_path).search("best.yaml"))) == ["mse"]
    assert "huber+poisson: all trials failed, the first: it diverged" in caplog.text


def test_a_search_without_one_good_trial_stops_with_the_causes(tmp_path):
    outcomes = {SEVERAL: [outcome(SEVERAL, 0, None)], ONE: [outcome(ONE, 0, None)]}
    with pytest.raises(TrainingError, match=r"(?s)huber\+poisson: it diverged.*mse: it diverged"):
        search._report(PARAMS, Paths(tmp_path), outcomes, "d", {})
    assert not Paths(tmp_path).search("best.yaml").exists()


def test_what_changes_a_trial_gives_its_study_another_name(tmp_path):
    paths = Paths(make_mixed_files(tmp_path))
    candidate = Candidate("mse", ("standard",), HEADS)

    def name(own: Params) -> str:
        return search._studies(own, paths, mixed_schema(), [candidate])[0][0]

    memory = PARAMS.train.model_copy(update={"memory_mb": 1})
    model = PARAMS.model.model_copy(update={"corruption": "mask"})
    named = {
        name(params(storage="sqlite:///a.db")),
        name(params(max_rows=99)),
        name(params(hidden=((16,),))),
        name(params(pruner="median")),
        name(params(pruner="halving")),
        name(params(patience=5)),
        name(PARAMS.model_copy(update={"train": memory})),
        name(PARAMS.model_copy(update={"model": model})),
    }
    assert len(named) == 8
    more = {"trials_per_loss": 99, "workers": 7, "executor": "serial", "storage": "sqlite:///b.db"}
    assert name(params(**more, allocation="racing")) in named


def test_a_network_for_other_data_is_refused_before_candidates_are_named(tmp_path, caplog):
    paths = Paths(make_mixed_files(tmp_path))
    model = PARAMS.model.model_copy(update={"kind": "convolutional"})
    with caplog.at_level("INFO"), pytest.raises(ConfigError, match="made for images"):
        search.run(PARAMS.model_copy(update={"model": model}), paths)
    assert not caplog.records


def test_pruned_trials_and_dropped_losses_are_told_where_people_look(tmp_path):
    pruned = Outcome(SEVERAL, 1, {"learning_rate": 0.01}, None, Result({}, [{}], 0.5, pruned=30))
    outcomes = {
        SEVERAL: [outcome(SEVERAL, 0, 3.0), pruned],
        ONE: [outcome(ONE, 0, 2.5), outcome(ONE, 1, 2.5)],
    }
    drop = Drop("huber+poisson", 2, "mse", 0.5, 0.4, 0.6)
    search._report(PARAMS, Paths(tmp_path), outcomes, "d", {"huber+poisson": drop})
    with Paths(tmp_path).search("trials.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(r["state"], r["objective"], r["pruned_at"]) for r in rows] == [
        ("complete", "3.0", ""),
        ("pruned", "", "30"),
        ("complete", "2.5", ""),
        ("complete", "2.5", ""),
    ]
    sentence = "dropped after 2 trials: 0.500 (0.400 to 0.600) bits behind mse"
    assert [r["dropped"] for r in rows] == ["", sentence, "", ""]
    best = config.read_yaml(Paths(tmp_path).search("best.yaml"))
    assert best["huber+poisson"]["dropped"] == sentence
    assert best["huber+poisson"]["trial"] == 0
    assert "dropped" not in best["mse"]
    note = search._note(PARAMS, mixed_schema(), {"huber+poisson": drop})
    assert note.endswith(f"\n- huber+poisson was {sentence}")


def test_a_pruned_trial_is_recorded_with_a_tag_and_has_not_failed():
    tracker = MemoryTracker()
    parent = tracker.run("search x", "search", {})
    curve = [{"epoch": 1, "train_loss": 1.0, "val_loss": 1.0, "val_gauss_bits": 2.0}]
    search._record(
        PARAMS,
        tracker,
        parent,
        Outcome(ONE, 1, {"learning_rate": 0.1}, None, Result({}, curve, 1.0, pruned=1)),
    )
    child = next(r for r in tracker.runs.values() if r.key == "search x mse 1")
    assert child.tags["hourglass.pruned"] == "epoch 1"
    assert "hourglass.failure" not in child.tags
    assert child.finished
    assert not child.failed
    assert child.recorded_curve == curve


def test_of_a_long_trial_s_curve_some_epochs_are_sent_the_first_and_the_last_among_them():
    """MLflow's store is what recording costs: of 180 points a trial most of it."""
    tracker = MemoryTracker()
    parent = tracker.run("search", "search", {})
    curve = [{"epoch": float(e), "val_loss": 1 / e} for e in range(1, 61)]
    result = Result({"bits_per_feature": 1.0}, curve, 1.0)
    search._record(PARAMS, tracker, parent, Outcome(ONE, 1, {"learning_rate": 0.1}, 1.0, result))
    (child,) = (run for key, run in tracker.runs.items() if key != "search")
    epochs = [point["epoch"] for point in child.recorded_curve]
    assert (len(epochs), epochs[0], epochs[-1]) == (search.CURVE, 1, 60)
    assert {b - a for a, b in itertools.pairwise(epochs)} == {3, 4}
