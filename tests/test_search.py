"""A study's proposals depend on finished rounds and the seed alone, and nothing told is lost."""

import numpy as np
import optuna
import pytest

from hourglass import search, stores
from hourglass.candidates import Candidate
from hourglass.errors import ConfigError
from hourglass.executors.serial import Serial
from hourglass.losses import Range
from hourglass.search import Budget, Space, Study
from hourglass.trials import Result

RANGES = {"learning_rate": Range(1e-4, 1e-1, 1e-2), "delta": Range(0.1, 3.0, 1.0)}
CHOICES = {"scaler": ("standard", "unit", "robust"), "hidden": ("128", "64-64", "")}
PLAIN, SPACE = Space(RANGES, {}), Space(RANGES, CHOICES)
CANDIDATE = Candidate("huber", ("standard", "unit", "robust"))
Hyper = dict[str, float | str]


def bowl(hyper: Hyper) -> Result:
    """A stand-in for a fit: best at learning_rate 0.03, delta 0.5 under the scaler robust."""
    value = (hyper["learning_rate"] - 0.03) ** 2 + (hyper["delta"] - 0.5) ** 2
    value += {"robust": 0.0, "unit": 0.3, "standard": 0.6}[hyper.get("scaler", "robust")]
    return Result({"bits_per_feature": value}, [], 0.0)


def study(
    storage=None,
    trials: int = 10,
    name: str = "a study",
    *,
    seed: int = 0,
    startup: int = 3,
    space: Space = SPACE,
    candidate: Candidate = CANDIDATE,
) -> Study:
    budget = Budget(trials, 4, startup, "code_length", seed)
    store = storage or optuna.storages.InMemoryStorage()
    return Study(store, name, candidate, space, budget)


def finish(one: Study, order=None, stop_after: int | None = None) -> None:
    told = 0
    while proposals := one.next_round():
        for number, hyper in order(proposals) if order else proposals:
            if told == stop_after:
                return
            one.record(number, bowl(hyper))
            told += 1


def tried(one: Study) -> list[tuple[int, Hyper, float | None]]:
    return [(o.number, dict(o.hyper), o.value) for o in one.outcomes()]


def test_the_first_trial_is_the_default_and_the_total_is_reached():
    one = study()
    finish(one)
    assert [n for n, _, _ in tried(one)] == list(range(10))
    first = {"learning_rate": 1e-2, "delta": 1.0, "scaler": "standard", "hidden": "128"}
    assert tried(one)[0][1] == pytest.approx(first)


@pytest.mark.parametrize(("startup", "expected"), [(1, 3), (3, 3), (7, 7)])
def test_every_scaler_is_tried_in_turn_before_the_sampler_learns(startup, expected):
    """By luck alone a scaler would be missing from three trials in seven cases of nine."""
    for seed in range(6):
        one = study(startup=startup, seed=seed)
        finish(one)
        scalers = [hyper["scaler"] for _, hyper, _ in tried(one)]
        in_turn = ["standard", "unit", "robust"] * 3
        assert scalers[:expected] == in_turn[:expected]
        numbers = [hyper["delta"] for _, hyper, _ in tried(one)]
        assert len(set(numbers)) == 10  # only the scaler is given


def test_after_the_start_the_sampler_chooses_the_scaler():
    late = []
    for seed in range(5):
        one = study(trials=40, startup=8, seed=seed)
        finish(one)
        late += [hyper["scaler"] for _, hyper, _ in tried(one)[-12:]]
    assert late.count("robust") > len(late) / 2


def test_alternatives_of_the_network_are_tried_too():
    one = study(trials=24, startup=12)
    finish(one)
    assert {hyper["hidden"] for _, hyper, _ in tried(one)} == set(CHOICES["hidden"])


def test_a_space_without_alternatives_proposes_numbers_only():
    one = study(space=PLAIN)
    finish(one)
    assert all(set(hyper) == set(RANGES) for _, hyper, _ in tried(one))


def test_numbers_stay_in_their_ranges():
    one = study(trials=20)
    finish(one)
    for _, hyper, _ in tried(one):
        assert all(r.low <= hyper[name] <= r.high for name, r in RANGES.items())


def test_the_same_seed_proposes_the_same_and_another_candidate_something_else():
    twins = [study(seed=3), study(seed=3)]
    for one in twins:
        finish(one)
    assert tried(twins[0]) == tried(twins[1])
    other = study(seed=3, candidate=Candidate("huber", CANDIDATE.scalers, name="huber+poisson"))
    finish(other)
    assert tried(other)[1] != tried(twins[0])[1]


def test_a_search_learns_from_its_rounds():
    """A survivor of mutation: proposals drawn at random passed all tests."""
    late, early = [], []
    for seed in range(5):
        one = study(trials=40, startup=8, seed=seed, space=PLAIN)
        finish(one)
        hyper = [tuple(h.values()) for _, h, _ in tried(one)]
        assert len(set(hyper)) == 40  # no round repeats another
        values = [v for _, _, v in tried(one)]
        early.append(values[1:8])
        late.append(values[-12:])
    assert np.median(late) < np.median(early) / 4


def test_another_seed_proposes_other_trials():
    first = [
        study(seed=seed).next_round()[1]  # the first of all is the default
        for seed in (0, 1)
    ]
    assert first[0] != first[1]


def test_the_order_in_which_a_round_is_told_changes_nothing():
    plain, mixed = study(), study()
    finish(plain)
    finish(mixed, order=lambda p: p[::-1])
    assert tried(plain) == tried(mixed)


@pytest.mark.parametrize("stop_after", range(0, 10, 1))
def test_an_interrupted_search_ends_as_an_uninterrupted_one(tmp_path, stop_after):
    url = f"sqlite:///{tmp_path}/studies.db"
    finish(study(stores.opened(url, tmp_path)), stop_after=stop_after)
    resumed = study(stores.opened(url, tmp_path))
    finish(resumed)
    whole = study()
    finish(whole)
    assert tried(resumed) == tried(whole)


def test_raising_the_total_tops_up_to_the_trials_of_a_longer_search():
    storage = optuna.storages.InMemoryStorage()
    finish(study(storage, trials=6))
    longer = study(storage, trials=11)
    finish(longer)
    whole = study(trials=11)
    finish(whole)
    assert tried(longer) == tried(whole)


def test_a_lower_total_uses_the_first_trials_of_an_earlier_search():
    storage = optuna.storages.InMemoryStorage()
    finish(study(storage, trials=10))
    shorter = study(storage, trials=4)
    assert shorter.next_round() == []
    assert [n for n, _, _ in tried(shorter)] == [0, 1, 2, 3]


def test_a_failed_trial_keeps_its_parameters_and_cause_and_the_study_goes_on():
    one = study(trials=5)
    (number, hyper), *_ = one.next_round()
    outcome = one.record(number, Result({}, [], 0.0, "the loss became nan"))
    finish(one)
    assert (outcome.value, outcome.result.failure) == (None, "the loss became nan")
    assert dict(outcome.hyper) == hyper
    assert len(one.outcomes()) == 5
    assert search.best(one.outcomes()).number != number


def test_best_is_the_lowest_and_of_equals_the_earliest():
    one = study(trials=3)
    for number, _ in one.next_round():
        one.record(number, Result({"bits_per_feature": 2.0 if number else 3.0}, [], 0.0))
    assert search.best(one.outcomes()).number == 1


def test_best_of_failures_is_none():
    one = study(trials=1)
    one.record(0, Result({}, [], 0.0, "x")) if one.next_round() else None
    assert search.best(one.outcomes()) is None


def test_studies_with_other_data_have_another_name_but_not_with_another_total():
    budget = Budget(8, 4, 3, "code_length", 0)
    name = search.fingerprint({"data": "a"}, CANDIDATE, budget)
    assert name != search.fingerprint({"data": "b"}, CANDIDATE, budget)
    assert name == search.fingerprint({"data": "a"}, CANDIDATE, Budget(99, 4, 3, "code_length", 0))
    assert name != search.fingerprint({"data": "a"}, CANDIDATE, Budget(8, 2, 3, "code_length", 0))
    heads = Candidate("huber", CANDIDATE.scalers, (("count", "poisson"),))
    for other in (Candidate("huber", ("unit",)), heads):
        assert name != search.fingerprint({"data": "a"}, other, budget)


def test_a_store_that_cannot_be_opened_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"search.storage: can't open 'no such thing'"):
        stores.opened("no such thing", tmp_path)


def test_a_store_that_is_none_is_named_with_the_remedy(tmp_path):
    (tmp_path / "studies.db").write_bytes(b"not a database " * 100)
    message = r"can't open 'sqlite:///.*studies.db': file is not a database. .* begins anew"
    with pytest.raises(ConfigError, match=message):
        stores.opened("sqlite:///studies.db", tmp_path)


def test_a_store_may_lie_in_any_folder(tmp_path):
    folder = tmp_path / "ü #1 %41 a?b"
    finish(study(stores.opened("sqlite:///state/studies.db", folder)))
    assert [f.name for f in (folder / "state").iterdir()] == ["studies.db"]


def test_run_brings_all_studies_to_their_totals_and_tells_the_observer(monkeypatch):
    monkeypatch.setattr(search.trials, "run", bowl)
    storage = optuna.storages.InMemoryStorage()
    studies = [study(storage, 5, "one"), study(storage, 3, "two")]
    seen = []
    with Serial() as executor:
        outcomes = search.run(studies, executor, lambda _, hyper: dict(hyper), seen.append)
    assert len(seen) == 8
    assert {len(o) for o in outcomes.values()} <= {5, 3}
    again = []
    with Serial() as executor:
        search.run(studies, executor, lambda _, hyper: dict(hyper), again.append)
    assert [o.value for o in again] == [o.value for s in studies for o in s.outcomes()]
