"""Searches each loss's hyperparameters with Optuna: a study a loss, the same budget for each.

Studies advance in rounds. What a round proposes depends on the finished earlier rounds and the
seed, on nothing else: not on the number of workers, their timing, or an interruption. The store
keeps what was proposed and what came of it, so the same command continues where it was.
"""

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from hourglass import racing, stores, trials
from hourglass.candidates import Candidate
from hourglass.executors import Executor
from hourglass.losses import Range
from hourglass.provenance import digest
from hourglass.pruning import Pruner
from hourglass.racing import Drop, Racer
from hourglass.trials import Result, Spec

optuna.logging.set_verbosity(optuna.logging.WARNING)


@dataclass(frozen=True)
class Budget:
    """How much each loss gets, and how proposals are drawn.

    Attributes:
        trials: A total for each loss; more than an earlier run's tops that up.
        round_size: Trials proposed together.
        startup: Trials drawn at random before the sampler learns.
        objective: Name of the ruler, see `trials.objective`.
        seed: Of the proposals.
        pruner: Which trials end early.
    """

    trials: int
    round_size: int
    startup: int
    objective: str
    seed: int
    pruner: Pruner = field(default_factory=Pruner)


# Hyperparameters by name: numbers of the loss, and names such as that of the scaler.
Hyper = Mapping[str, float | str]
SCALER = "scaler"


@dataclass(frozen=True)
class Space:
    """What is searched for one candidate.

    Attributes:
        ranges: Numbers, by name.
        choices: Alternatives, by name, the best guess first. Those of "scaler" are tried in turn
            before the sampler learns, so that each is seen.
    """

    ranges: Mapping[str, Range]
    choices: Mapping[str, tuple[str, ...]]

    def distributions(self) -> dict[str, BaseDistribution]:
        """The same for Optuna."""
        numbers = {k: FloatDistribution(r.low, r.high, log=r.log) for k, r in self.ranges.items()}
        names = {k: CategoricalDistribution(names) for k, names in self.choices.items()}
        return {**numbers, **names}

    def default(self) -> dict[str, float | str]:
        """The first trial."""
        numbers = {k: r.default for k, r in self.ranges.items()}
        return {**numbers, **{k: names[0] for k, names in self.choices.items()}}


@dataclass(frozen=True)
class Outcome:
    """One finished trial.

    Attributes:
        candidate: The losses.
        number: From 0, in the order of proposal.
        hyper: The hyperparameters tried.
        value: The objective, bits per feature; None if the trial failed or was pruned.
        result: What the fit gave.
    """

    candidate: Candidate
    number: int
    hyper: Hyper
    value: float | None
    result: Result


Observer = Callable[[Outcome], None]
MakeSpec = Callable[[Candidate, Hyper, Mapping[int, float]], Spec]


P = ParamSpec("P")
T = TypeVar("T")

# A trial's number, kept with it: when the answer to an insertion was lost, or two searches share
# the study, the store may hold a trial twice, and its own numbers shift. The first one counts.
PLACE = "place"


def _patiently(
    method: Callable[Concatenate["Study", P], T],
) -> Callable[Concatenate["Study", P], T]:
    """Calls an idempotent method again while the store is away."""

    @wraps(method)
    def asked(self: "Study", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.asks(lambda: method(self, *args, **kwargs))

    return asked


class Study:
    """The study of one loss.

    Args:
        store: Where trials are kept.
        name: Unique for what makes trials comparable, see `fingerprint`.
        candidate: The losses.
        space: The searched hyperparameters.
        budget: See `Budget`.

    Attributes:
        limit: Trials it may have for now, the budget's total unless somebody sets fewer.
    """

    def __init__(
        self,
        store: BaseStorage,
        name: str,
        candidate: Candidate,
        space: Space,
        budget: Budget,
    ) -> None:
        self.candidate = candidate
        self.budget = budget
        self.limit = budget.trials
        self.space = space
        self._store = store
        self.asks = stores.patient(store).ask
        self._study = self.asks(
            lambda: optuna.create_study(
                study_name=name, storage=store, direction="minimize", load_if_exists=True
            )
        )
        self._distributions = space.distributions()

    @_patiently
    def outcomes(self) -> list[Outcome]:
        """The finished trials within the limit, in the order of proposal."""
        finished = [t for t in self._trials() if t.state.is_finished()]
        return [self._outcome(t) for t in finished]

    @_patiently
    def next_round(self) -> list[tuple[int, dict[str, float | str]]]:
        """The unfinished trials of the current round as (number, hyperparameters).

        Empty when the limit is reached. Trials that an interruption left unfinished come again
        with the same hyperparameters.
        """
        done = {t.number for t in self._trials() if t.state.is_finished()}
        first = next((n for n in range(self.limit) if n not in done), None)
        if first is None:
            return []
        start = self._start(first)
        stop = min(start + self.budget.round_size, self.limit)
        proposals = dict(enumerate(self._propose(start), start))
        for number in range(len(self._placed()), stop):
            self._add(number, proposals[number])
        stored = {t.number: dict(t.params) for t in self._trials()}
        return [(n, stored[n]) for n in range(start, stop) if n not in done]

    @_patiently
    def bars(self, number: int) -> dict[int, float]:
        """Epoch -> the most bits with which the trial goes on, from earlier rounds alone.

        None while trials are drawn at random, so that the thresholds are of such trials at least.
        """
        start = self._start(number)
        if start < self.budget.startup or not self.budget.pruner.rungs:
            return {}
        earlier = [self._outcome(t).result.curve for t in self._trials()[:start]]
        return self.budget.pruner.bars([[p["val_gauss_bits"] for p in c] for c in earlier])

    @_patiently
    def record(self, number: int, result: Result) -> Outcome:
        """Keeps what came of a trial; what is kept already stays.

        Of a pruned trial also its bits where it was looked at: the sampler learns from them.
        """
        trial = self._placed()[number]
        looks = [r for r in self.budget.pruner.rungs if r <= result.pruned]
        bits = {rung: result.curve[rung - 1]["val_gauss_bits"] for rung in looks}
        state, values = TrialState.FAIL, None
        if result.pruned:
            state, values = TrialState.PRUNED, [bits[looks[-1]]]
        elif not result.failure:
            value = trials.objective(self.budget.objective, result.metrics)
            state, values = TrialState.COMPLETE, [value]
        with suppress(UpdateFinishedTrialError):  # told already: the answer was lost
            told = json.dumps(asdict(result))
            self._store.set_trial_user_attr(trial._trial_id, "result", told)
            for rung, value in bits.items():
                self._store.set_trial_intermediate_value(trial._trial_id, rung, value)
            self._store.set_trial_state_values(trial._trial_id, state, values)
        return self._outcome(self._placed()[number])

    def _trials(self) -> list[FrozenTrial]:
        return self._placed()[: self.limit]

    def _start(self, number: int) -> int:
        """The first trial of a trial's round."""
        return number // self.budget.round_size * self.budget.round_size

    def _placed(self) -> list[FrozenTrial]:
        """All trials in the order of proposal, numbered by it."""
        placed: dict[int, FrozenTrial] = {}
        for stored in self._study.get_trials(deepcopy=False):
            trial = copy.copy(stored)
            trial.number = stored.user_attrs.get(PLACE, stored.number)
            placed.setdefault(trial.number, trial)
        return [placed[number] for number in sorted(placed)]

    def _propose(self, start: int) -> list[dict[str, float | str]]:
        """A whole round, from the trials before `start` alone; the first trial is the default."""
        seed = int(digest(self.budget.seed, self.candidate.name, start), 16) % 2**32
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=self.budget.startup)
        memory = optuna.create_study(sampler=sampler)
        for trial in self._placed()[:start]:
            memory.add_trial(
                create_trial(
                    state=trial.state,
                    value=trial.value,
                    intermediate_values=trial.intermediate_values,
                    params=trial.params,
                    distributions=self._distributions,
                )
            )
        for number in range(start, start + self.budget.round_size):
            memory.enqueue_trial(self._fixed(number))
        asked = [memory.ask(self._distributions) for _ in range(self.budget.round_size)]
        return [dict(t.params) for t in asked]

    def _fixed(self, number: int) -> dict[str, float | str]:
        """What of a trial is not left to the sampler."""
        if number == 0:
            return self.space.default()
        scalers = self.space.choices.get(SCALER, ())
        if scalers and number < max(self.budget.startup, len(scalers)):
            return {SCALER: scalers[number % len(scalers)]}
        return {}

    def _add(self, number: int, hyper: Hyper) -> None:
        trial = create_trial(
            state=TrialState.RUNNING,
            params=dict(hyper),
            distributions=self._distributions,
            user_attrs={PLACE: number},
        )
        self._study.add_trial(trial)

    def _outcome(self, trial: FrozenTrial) -> Outcome:
        result = Result(**json.loads(trial.user_attrs["result"]))
        # Optuna takes the last bits of a pruned trial for its value: they are no objective.
        value = None if result.pruned else trial.value
        return Outcome(self.candidate, trial.number, dict(trial.params), value, result)


def fingerprint(comparable: Mapping[str, Any], candidate: Candidate, budget: Budget) -> str:
    """The name of a study: trials under one name may be compared, and continue each other.

    The total of trials is not part of it: raising it continues the study.
    """
    sampler = (budget.round_size, budget.startup, budget.objective, budget.seed)
    rules = (*sampler, asdict(budget.pruner))
    return f"{candidate.name} {digest(comparable, asdict(candidate), rules)}"


def run(
    studies: Sequence[Study], executor: Executor, make_spec: MakeSpec, observe: Observer
) -> dict[Candidate, list[Outcome]]:
    """Brings every study to its limit; rounds of different studies overlap freely.

    Args:
        studies: One a loss.
        executor: Where the trials run.
        make_spec: Turns a candidate, its hyperparameters and its thresholds into a trial.
        observe: Told of every finished trial, those of earlier runs first.

    Returns:
        For each candidate its outcomes in the order of proposal.
    """
    pending: dict[Future[Any], tuple[Study, int]] = {}

    def launch(study: Study) -> None:
        for number, hyper in study.next_round():
            spec = make_spec(study.candidate, hyper, study.bars(number))
            future = executor.submit(trials.run, spec)
            pending[future] = (study, number)

    for study in studies:
        for outcome in study.outcomes():
            observe(outcome)
        launch(study)
    while pending:
        for future in executor.wait(pending):
            study, number = pending.pop(future)
            observe(study.record(number, future.result()))
            if all(s is not study for s, _ in pending.values()):
                launch(study)
    return {s.candidate: s.outcomes() for s in studies}


def race(
    studies: Sequence[Study],
    executor: Executor,
    make_spec: MakeSpec,
    observe: Observer,
    drop: Callable[[Drop], None],
) -> dict[Candidate, list[Outcome]]:
    """As `run`, but after a round that all have finished, those clearly behind get no further one.

    What is decided after a round depends on that round and the earlier ones alone, so that a
    search that is continued decides the same again. Nothing is decided while trials are drawn at
    random.

    Args:
        studies: One a loss, with the same budget.
        executor: Where the trials run.
        make_spec: As in `run`.
        observe: As in `run`.
        drop: Told of every loss that is dropped.
    """
    told: set[tuple[Candidate, int]] = set()

    def once(outcome: Outcome) -> None:
        at = (outcome.candidate, outcome.number)
        if at not in told:
            told.add(at)
            observe(outcome)

    budget, running = studies[0].budget, list(studies)
    for done in range(budget.round_size, budget.trials + budget.round_size, budget.round_size):
        for study in running:
            study.limit = min(done, budget.trials)
        found = run(running, executor, make_spec, once)
        if budget.startup <= done < budget.trials:
            dropped = racing.clearly_behind(_racers(found, budget.objective))
            for one in dropped:
                drop(one)
            running = [s for s in running if s.candidate.name not in {d.loss for d in dropped}]
    return {s.candidate: s.outcomes() for s in studies}


def _racers(found: Mapping[Candidate, Sequence[Outcome]], objective: str) -> dict[str, Racer]:
    leaders = {candidate: best(outcomes) for candidate, outcomes in found.items()}
    return {
        candidate.name: Racer(
            [o.value for o in found[candidate]],
            leader.result.parts[trials.metric_of(objective)],
        )
        for candidate, leader in leaders.items()
        if leader is not None
    }


def best(outcomes: Sequence[Outcome]) -> Outcome | None:
    """The finished trial with the lowest objective, the earliest of equals; None if all failed."""
    ranked = [(o.value, o.number, o) for o in outcomes if o.value is not None]
    return min(ranked)[2] if ranked else None
