"""A study's proposals depend on finished rounds and the seed alone, and nothing told is lost."""

from dataclasses import replace

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from hourglass import pruning, search, stores
from hourglass.candidates import Candidate
from hourglass.errors import ConfigError
from hourglass.executors.serial import Serial
from hourglass.losses import Range
from hourglass.pruning import Pruner
from hourglass.search import Budget, Space, Study
from hourglass.trials import Result
from hourglass.watching import Watch

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


EPOCHS = 12
NONE, MEDIAN = (pruning.pruner(name, EPOCHS) for name in ("none", "median"))


def watched(hyper: Hyper, bars: dict[int, float], epochs: int = EPOCHS) -> Result:
    """The same with a curve that falls to its value, and ends where it is above a bar."""
    whole, curve = bowl(hyper), []
    for epoch in range(1, epochs + 1):
        curve.append({"val_gauss_bits": whole.metrics["bits_per_feature"] + epochs - epoch})
        if Watch(bars).prunes(epoch, curve[-1]["val_gauss_bits"]):
            return Result({}, curve, 0.0, pruned=epoch)
    return replace(whole, curve=curve)


def study(
    storage=None,
    trials: int = 10,
    name: str = "a study",
    *,
    seed: int = 0,
    startup: int = 3,
    space: Space = SPACE,
    candidate: Candidate = CANDIDATE,
    pruner: Pruner = NONE,
) -> Study:
    budget = Budget(trials, 4, startup, "code_length", seed, pruner)
    store = storage or optuna.storages.InMemoryStorage()
    return Study(store, name, candidate, space, budget)


def finish(one: Study, order=None, stop_after: int | None = None) -> None:
    told = 0
    while proposals := one.next_round():
        for number, hyper in order(proposals) if order else proposals:
            if told == stop_after:
                return
            one.record(number, watched(hyper, one.bars(number)))
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
    assert {f.name for f in (folder / "state").iterdir()} == {"studies.db", "studies.db.lock"}


def test_run_brings_all_studies_to_their_totals_and_tells_the_observer(monkeypatch):
    monkeypatch.setattr(search.trials, "run", bowl)
    storage = optuna.storages.InMemoryStorage()
    studies = [study(storage, 5, "one"), study(storage, 3, "two")]
    seen = []
    with Serial() as executor:
        outcomes = search.run(studies, executor, lambda _, hyper, bars: dict(hyper), seen.append)
    assert len(seen) == 8
    assert {len(o) for o in outcomes.values()} <= {5, 3}
    again = []
    with Serial() as executor:
        search.run(studies, executor, lambda _, hyper, bars: dict(hyper), again.append)
    assert [o.value for o in again] == [o.value for s in studies for o in s.outcomes()]


# --- pruning --------------------------------------------------------------------------------------


def states(one: Study) -> list[tuple[int, int, float | None]]:
    """(number, epoch at which it was pruned, value) of each trial."""
    return [(o.number, o.result.pruned, o.value) for o in one.outcomes()]


def test_trials_worse_than_the_median_of_earlier_rounds_are_pruned_and_have_no_value():
    one = study(trials=40, pruner=MEDIAN)
    finish(one)
    pruned = [s for s in states(one) if s[1]]
    assert 0 < len(pruned) < 30
    assert {epoch for _, epoch, _ in pruned} <= set(MEDIAN.rungs)
    assert all(value is None for _, _, value in pruned)
    assert [value for _, epoch, value in states(one) if not epoch and value is None] == []
    assert min(number for number, _, _ in pruned) >= 4  # no round comes before the first
    assert search.best(one.outcomes()).result.pruned == 0


def test_bars_are_of_earlier_rounds_alone():
    one = study(pruner=MEDIAN)
    rung = MEDIAN.rungs[0]
    first = one.next_round()
    assert one.bars(0) == {}
    for number, hyper in first:
        one.record(number, watched(hyper, {}))
    values = [o.result.curve[rung - 1]["val_gauss_bits"] for o in one.outcomes()]
    before = one.bars(4)
    assert before[rung] == np.median(values)
    number, hyper = one.next_round()[0]
    one.record(number, watched(hyper, before))
    assert one.bars(5) == one.bars(7) == before


@pytest.mark.parametrize(("startup", "free"), [(3, 4), (4, 4), (5, 8), (9, 12)])
def test_rounds_with_trials_drawn_at_random_have_no_bars(startup, free):
    one = study(trials=20, startup=startup, pruner=MEDIAN)
    finish(one)
    assert [bool(one.bars(n)) for n in range(20)] == [n >= free for n in range(20)]


def test_optuna_is_told_that_a_trial_was_pruned_and_with_what():
    storage = optuna.storages.InMemoryStorage()
    one = study(storage, trials=40, pruner=MEDIAN)
    finish(one)
    stored = {t.number: t for t in optuna.load_study(study_name="a study", storage=storage).trials}
    for o in one.outcomes():
        trial, last = stored[o.number], o.result.pruned
        if not last:
            assert (trial.state, trial.intermediate_values) == (TrialState.COMPLETE, {})
            continue
        assert trial.state == TrialState.PRUNED
        seen = {r: o.result.curve[r - 1]["val_gauss_bits"] for r in MEDIAN.rungs if r <= last}
        assert trial.intermediate_values == seen


def test_the_sampler_learns_from_what_was_pruned(monkeypatch):
    storage = optuna.storages.InMemoryStorage()
    one = study(storage, trials=20, pruner=MEDIAN)
    finish(one)
    added, create = [], search.create_trial
    monkeypatch.setattr(search, "create_trial", lambda **own: added.append(own) or create(**own))
    one._propose(20)
    stored = optuna.load_study(study_name="a study", storage=storage).trials
    assert [a["state"] for a in added] == [t.state for t in stored]
    assert [a["intermediate_values"] for a in added] == [t.intermediate_values for t in stored]
    assert TrialState.PRUNED in {t.state for t in stored}


def test_a_curve_of_nan_may_be_pruned():
    one = study(pruner=MEDIAN)
    finish(one, stop_after=4)
    number, _ = one.next_round()[0]
    curve = [{"val_gauss_bits": float("nan")}] * MEDIAN.rungs[0]
    assert one.record(number, Result({}, curve, 0.0, pruned=len(curve))).value is None
    finish(one)
    assert len(one.outcomes()) == 10


def test_the_order_in_which_a_round_is_told_prunes_nothing_else():
    plain, mixed = (study(trials=16, pruner=MEDIAN) for _ in range(2))
    finish(plain)
    finish(mixed, order=lambda p: p[::-1])
    assert states(plain) == states(mixed)
    assert tried(plain) == tried(mixed)
    assert any(epoch for _, epoch, _ in states(plain))


@pytest.mark.parametrize("stop_after", [3, 4, 5, 8, 11])
def test_an_interrupted_search_prunes_what_an_uninterrupted_one_does(tmp_path, stop_after):
    url = f"sqlite:///{tmp_path}/studies.db"
    finish(study(stores.opened(url, tmp_path), 12, pruner=MEDIAN), stop_after=stop_after)
    resumed = study(stores.opened(url, tmp_path), 12, pruner=MEDIAN)
    finish(resumed)
    whole = study(trials=12, pruner=MEDIAN)
    finish(whole)
    assert (states(resumed), tried(resumed)) == (states(whole), tried(whole))


def test_raising_the_total_prunes_as_a_longer_search_does():
    storage = optuna.storages.InMemoryStorage()
    finish(study(storage, trials=6, pruner=MEDIAN))
    longer, whole = study(storage, trials=19, pruner=MEDIAN), study(trials=19, pruner=MEDIAN)
    finish(longer)
    finish(whole)
    assert (states(longer), tried(longer)) == (states(whole), tried(whole))


def test_another_pruner_is_another_study():
    budgets = [Budget(8, 4, 3, "code_length", 0, p) for p in (NONE, MEDIAN)]
    assert len({search.fingerprint({}, CANDIDATE, b) for b in budgets}) == 2


# --- racing ---------------------------------------------------------------------------------------

LOSSES = {"mse": 0.0, "mae": 0.01, "bce": 5.0, "huber": 9.0}  # how far behind each is
SCATTER = np.random.default_rng(0).normal(scale=0.01, size=(len(LOSSES), 32))


def raced(job: tuple[str, Hyper]) -> Result:
    """A fit whose value is mostly its loss's, with parts that scatter about it."""
    name, hyper = job
    result = bowl(hyper)
    value = result.metrics["bits_per_feature"] / 100 + LOSSES[name]
    parts = value + SCATTER[list(LOSSES).index(name)]
    shown = {"bits_per_feature": list(parts)}
    return Result({"bits_per_feature": value}, [], 0.0, parts=shown)


def race(storage=None, trials: int = 12, startup: int = 3, losses=LOSSES, executor=Serial):
    """(outcomes by loss, drops, observed) of a race."""
    store = storage or optuna.storages.InMemoryStorage()
    studies = [
        study(
            store, trials, name, startup=startup, space=PLAIN, candidate=Candidate(name, ("unit",))
        )
        for name in losses
    ]
    drops, seen = [], []

    def make_spec(candidate, hyper, bars):
        return candidate.name, dict(hyper)

    with executor() as pool:
        found = search.race(studies, pool, make_spec, seen.append, drops.append)
    return {c.name: outcomes for c, outcomes in found.items()}, drops, seen


@pytest.fixture
def fake_fits(monkeypatch):
    monkeypatch.setattr(search.trials, "run", raced)


class Backwards(Serial):
    """Ends the trials that came last first."""

    def wait(self, pending):
        return super().wait([list(pending)[-1]])


def summed(found, drops) -> tuple:
    values = {loss: [(o.number, o.value) for o in own] for loss, own in found.items()}
    return values, drops


def test_losses_clearly_behind_get_no_further_round_and_keep_what_they_had(fake_fits):
    found, drops, seen = race()
    assert {loss: len(own) for loss, own in found.items()} == {
        "mse": 12,
        "mae": 12,
        "bce": 4,
        "huber": 4,
    }
    assert [(d.loss, d.trials, d.leader) for d in drops] == [("bce", 4, "mse"), ("huber", 4, "mse")]
    assert len(seen) == 12 + 12 + 4 + 4  # each once
    assert search.best(found["huber"]).value == pytest.approx(9, abs=0.1)


@pytest.mark.parametrize(("startup", "trials"), [(4, 4), (5, 8), (9, 12)])
def test_nothing_is_decided_while_trials_are_drawn_at_random(fake_fits, startup, trials):
    found, _, _ = race(trials=16, startup=startup)
    assert len(found["huber"]) == trials


def test_nothing_is_decided_after_the_last_round(fake_fits):
    found, drops, _ = race(trials=4)
    assert (drops, len(found["huber"])) == ([], 4)


def test_a_race_ends_the_same_whatever_trials_end_first(fake_fits):
    assert summed(*race()[:2]) == summed(*race(executor=Backwards)[:2])


@pytest.mark.parametrize("stop_after", [1, 15, 16, 17, 22])
def test_an_interrupted_race_ends_as_an_uninterrupted_one(monkeypatch, fake_fits, stop_after):
    storage, left = optuna.storages.InMemoryStorage(), [stop_after]

    def killed(job):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return raced(job)

    with monkeypatch.context() as patch:
        patch.setattr(search.trials, "run", killed)
        with pytest.raises(KeyboardInterrupt):
            race(storage)
    assert summed(*race(storage)[:2]) == summed(*race()[:2])


def test_a_race_after_a_search_with_equal_budgets_shows_no_more_than_a_race(fake_fits):
    """Allocation changes no trial: their store is shared, and yet the same file must come out."""
    storage = optuna.storages.InMemoryStorage()
    studies = [
        study(storage, 12, name, space=PLAIN, candidate=Candidate(name, ("unit",)))
        for name in LOSSES
    ]
    with Serial() as pool:
        search.run(studies, pool, lambda c, h, _: (c.name, dict(h)), lambda _: None)
    found, drops, seen = race(storage)
    assert summed(found, drops) == summed(*race()[:2])
    assert len(seen) == 32


def test_a_longer_race_drops_what_a_shorter_one_dropped(fake_fits):
    storage = optuna.storages.InMemoryStorage()
    race(storage, trials=6)
    assert summed(*race(storage, trials=12)[:2]) == summed(*race()[:2])


def test_a_loss_whose_trials_all_fail_does_not_race(monkeypatch):
    def failing(job):
        return Result({}, [], 0.0, "nan") if job[0] == "huber" else raced(job)

    monkeypatch.setattr(search.trials, "run", failing)
    found, drops, _ = race()
    assert [d.loss for d in drops] == ["bce"]
    assert len(found["huber"]) == 12
