"""Searches each admissible loss's hyperparameters under one ruler: `hourglass search`."""

import logging
import math
import shutil
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hourglass import (
    candidates,
    executors,
    figures,
    losses,
    models,
    patience,
    provenance,
    pruning,
    search,
    stores,
    trials,
)
from hourglass.candidates import Candidate
from hourglass.config import Model, Params, write_yaml
from hourglass.errors import TrainingError
from hourglass.executors import Cluster
from hourglass.failures import Failures
from hourglass.losses import Context
from hourglass.paths import Paths, read_json, write_csv, write_json
from hourglass.plans import TrainerOptions
from hourglass.progress import Board
from hourglass.racing import Drop
from hourglass.recording import JournalTracker
from hourglass.schema import Schema
from hourglass.search import SCALER, Budget, Hyper, Outcome, Space, Study
from hourglass.tracking import (
    Run,
    Tracker,
    attach_settings,
    child_key,
    data_sets,
    grouped,
    markdown_table,
    thinned,
)
from hourglass.trials import Spec
from hourglass.watching import Watch

log = logging.getLogger(__name__)

CURVE = 20  # epochs of a trial that MLflow gets
HIDDEN = "hidden"


@dataclass(frozen=True)
class Parts:
    """A trial's hyperparameters, by what they are for."""

    scaler: str
    model: Model
    hyper: Mapping[str, float]


NOTE = (
    "**{source}** · {trials_per_loss} trials for each loss, judged by `{objective}` on validation "
    "rows (pruner {pruner}, allocation {allocation}). A trial's own loss is only a curve: its "
    "values compare within one loss. Sort the children by `{metric}`; lower is better. "
    "`curve/val_gauss_bits` is a quick stand-in for it: compare shapes, not levels."
)
BEST = """**Ahead: {ahead} {unit}.** Whether that is more than luck, the run `evaluate` says.

{table}

- [Every trial as a picture](artifact:search.png), [as a table](artifact:trials.csv)
- [The best trial of each loss, as train reads it](artifact:best.yaml)
- [The settings](artifact:params.yaml)
"""


def run(params: Params, paths: Paths) -> None:
    """Writes best.yaml (the best trial of each loss), trials.csv and a picture.

    Raises:
        LossError: a wanted loss isn't admissible on these data.
        TrainingError: every trial of every loss failed, or more of one than are allowed.
    """
    began = time.monotonic()
    settings = params.search
    schema = Schema.from_json(read_json(paths.schema, "preprocess"))
    models.check(params.model.kind, schema.shape)
    profile = read_json(paths.profile, "preprocess")
    every = settings.scalers == "all"
    wanted = candidates.Wanted(settings.losses, params.normalize.scalers, every)
    chosen = candidates.choose(wanted, schema, profile, paths)
    _warn(params, schema, chosen)
    names, studies = _studies(params, paths, schema, chosen)
    computed = (names, settings.trials_per_loss, settings.allocation)
    key = f"search {provenance.digest(*computed)}"
    totals = dict.fromkeys((c.name for c in chosen), settings.trials_per_loss)
    cluster = Cluster(paths.root.resolve(), **params.ray.model_dump())
    where = "params.yaml: search.executor"
    pool = executors.start(settings.executor, settings.workers, where, cluster)
    with pool, Board("search", totals, trials.objective_unit(settings.objective)) as board:
        to = params.tracking
        tracker = JournalTracker(to.experiment, paths, system_metrics=to.system_metrics)
        parent = _parent(tracker, key, params, schema, paths, began)
        failures = Failures(
            settings.round_size, settings.trials_per_loss, settings.max_failed_share
        )
        earlier = {(s.candidate.name, o.number) for s in studies for o in s.outcomes()}
        seen = _Seen(board, failures, earlier, lambda one: _record(params, tracker, parent, one))

        def make_spec(candidate: Candidate, hyper: Hyper, bars: Mapping[int, float]) -> Spec:
            return _spec(params, paths, candidate, hyper, bars)

        if settings.allocation == "racing":
            outcomes = search.race(studies, pool, make_spec, seen.observe, seen.drop)
        else:
            outcomes = search.run(studies, pool, make_spec, seen.observe)
    _report(params, paths, outcomes, schema.digest, seen.drops)
    parent.metrics(_ahead(outcomes))
    parent.note("\n".join([_best(params, outcomes), _note(params, schema, seen.drops)]))
    write_json(paths.search("run.json"), {"key": key})
    for name in ("best.yaml", "trials.csv", "search.png"):
        parent.artifact(paths.search(name))
    attach_settings(parent, paths)
    parent.finish()
    tracker.close()
    shutil.rmtree(paths.checkpoints, ignore_errors=True)  # of fits that nobody goes on with


def _warn(params: Params, schema: Schema, chosen: Sequence[Candidate]) -> None:
    """Says what is searched, and what may come of it."""
    log.info("candidates: %s", ", ".join(f"{c.name} ({', '.join(c.scalers)})" for c in chosen))
    most, trials_each = max(len(c.scalers) for c in chosen), params.search.trials_per_loss
    if most > trials_each:
        log.warning(
            "params.yaml: search.trials_per_loss %d is below the %d scalers that some losses "
            "compare: not each is tried; raise it, or set search.scalers: advised",
            trials_each,
            most,
        )
    for kind, loss in chosen[0].heads:
        log.info(
            "%s columns: %s", kind, loss if f"+{loss}" not in chosen[0].name else "searched too"
        )
    if beware := params.model.beware_of_width(len(schema.columns)):
        log.warning("%s", beware)


class _Seen:
    """What the search tells of while it goes on: shown, recorded, and counted where it failed.

    Attributes:
        drops: Losses that get no further trials.
    """

    def __init__(
        self,
        board: Board,
        failures: Failures,
        earlier: Collection[tuple[str, int]],
        record: Callable[[Outcome], None],
    ) -> None:
        self.drops: dict[str, Drop] = {}
        self._board, self._failures, self._earlier = board, failures, earlier
        self._record = record

    def observe(self, outcome: Outcome) -> None:
        """A trial is done, now or when the search was begun before."""
        name, pruned = outcome.candidate.name, outcome.result.pruned > 0
        earlier = (name, outcome.number) in self._earlier
        self._board.done(name, outcome.value, earlier=earlier, pruned=pruned)
        self._record(outcome)
        self._failures.add(name, outcome.result.failure)

    def drop(self, one: Drop) -> None:
        """A loss is clearly behind."""
        log.info("%s: %s; it keeps its best trial", one.loss, one)
        self.drops[one.loss] = one
        self._board.ends(one.loss)


def _studies(
    params: Params, paths: Paths, schema: Schema, chosen: Sequence[Candidate]
) -> tuple[list[str], list[Study]]:
    settings = params.search
    budget = Budget(
        trials=settings.trials_per_loss,
        round_size=settings.round_size,
        startup=settings.startup_trials,
        objective=settings.objective,
        seed=settings.seed,
        pruner=pruning.pruner(settings.pruner, settings.epochs),
    )
    store = stores.opened(settings.storage, paths.root)
    scalers = dict.fromkeys(s for candidate in chosen for s in candidate.scalers)
    known = {s: trials.context(paths, s, params.model.latent_dim) for s in scalers}
    names, studies = [], []
    for candidate in chosen:
        space = _space(params, candidate, known)
        comparable = {
            "data": schema.digest,
            "schema": schema.to_json(),
            "model": params.model.model_dump(),
            "space": asdict(space),
            "fit": (settings.epochs, settings.batch_size, settings.seed, settings.accelerator),
            "patience": settings.patience,
            "rows": (settings.max_rows, params.train.memory_mb),
            "compile": params.train.compile,
            "code": provenance.code_version(),
        }
        name = search.fingerprint(comparable, candidate, budget)
        names.append(name)
        studies.append(Study(store, name, candidate, space, budget))
    return names, studies


def _space(params: Params, candidate: Candidate, known: Mapping[str, Context]) -> Space:
    """The loss's hyperparameters that all its scalers admit, and what else is searched."""
    settings = params.search
    overrides = settings.space.get(candidate.loss, {})
    each = [losses.space(candidate.loss, overrides, context=known[s]) for s in candidate.scalers]
    ranges = {k: min((own[k] for own in each), key=lambda r: r.high) for k in each[0]}
    choices = {SCALER: candidate.scalers} if len(candidate.scalers) > 1 else {}
    if settings.hidden:
        alternatives = dict.fromkeys([params.model.hidden, *settings.hidden])
        choices[HIDDEN] = tuple("-".join(map(str, widths)) for widths in alternatives)
    return Space(ranges, choices)


def parts(params: Params, candidate: Candidate, hyper: Hyper) -> Parts:
    """Sorts a trial's hyperparameters out: scaler, model, and the loss's own."""
    own = {k: float(v) for k, v in hyper.items() if k not in (SCALER, HIDDEN)}
    scaler, model = str(hyper.get(SCALER, candidate.scalers[0])), params.model
    if HIDDEN in hyper:
        widths = tuple(int(width) for width in str(hyper[HIDDEN]).split("-") if width)
        model = model.model_copy(update={"hidden": widths})
    return Parts(scaler, model, own)


def _spec(
    params: Params,
    paths: Paths,
    candidate: Candidate,
    hyper: Hyper,
    bars: Mapping[int, float],
) -> Spec:
    settings = params.search
    own = parts(params, candidate, hyper)
    return Spec(
        root=paths.root.resolve(),
        name=candidate.name,
        loss=candidate.loss,
        scaler=own.scaler,
        hyper=own.hyper,
        heads=dict(candidate.heads),
        model=own.model,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        max_rows=settings.max_rows,
        memory_mb=params.train.memory_mb,
        compiling=params.train.compile,
        seed=settings.seed,
        trainer=TrainerOptions(accelerator=settings.accelerator),
        watch=Watch(bars, settings.patience),
    )


def _parent(
    tracker: Tracker, key: str, params: Params, schema: Schema, paths: Paths, began: float
) -> Run:
    tags = {"hourglass.stage": "search", "hourglass.data": schema.digest}
    name, seconds = f"search · {schema.source}", time.monotonic() - began
    parent = tracker.run(key, name, tags | provenance.revision_tags(paths.root), seconds=seconds)
    settings = params.search.model_dump()
    settings["storage"] = patience.without_password(params.search.storage)
    sections = {"model": params.model.model_dump(), "search": settings}
    parent.params({f"{s}.{k}": v for s, values in sections.items() for k, v in values.items()})
    parent.data(data_sets(schema, paths, ("train", "val")))
    parent.note(_note(params, schema, {}))
    return parent


def _note(params: Params, schema: Schema, drops: Mapping[str, Drop]) -> str:
    metric = trials.metric_of(params.search.objective)
    own = NOTE.format(source=schema.source, metric=metric, **params.search.model_dump())
    return "\n".join([own, *(f"- {loss} was {one}" for loss, one in drops.items())])


def _ahead(outcomes: Mapping[Candidate, Sequence[Outcome]]) -> Mapping[str, float]:
    """What the best trial of all measured, in the columns that fits and evaluations fill too."""
    best = [one for tried in outcomes.values() if (one := search.best(tried)) is not None]
    ahead = min(best, key=lambda one: math.inf if one.value is None else one.value)
    own = grouped(ahead.result.metrics, "validation")
    shown = ("bits_per_feature", "bits_per_feature_masked")
    return {k: v for k, v in own.items() if k in shown}


def _best(params: Params, outcomes: Mapping[Candidate, Sequence[Outcome]]) -> str:
    """The best trial of each loss as a table, the best loss first."""
    found = []
    for candidate, tried in outcomes.items():
        if (winner := search.best(tried)) is not None and winner.value is not None:
            own = parts(params, candidate, winner.hyper)
            hyper = ", ".join(f"{k} {v:.4g}" for k, v in own.hyper.items())
            trial = f"{winner.number} (of 0 to {len(tried) - 1})"
            row = (candidate.name, own.scaler, f"{winner.value:.4f}", trial, hyper)
            found.append((winner.value, row))
    rows = [row for _, row in sorted(found)]
    unit = trials.objective_unit(params.search.objective)
    table = markdown_table(("loss", "scaler", unit, "its trial", "hyperparameters"), rows)
    return BEST.format(ahead=f"{rows[0][0]} with {rows[0][2]}", unit=unit, table=table)


def _record(params: Params, tracker: Tracker, parent: Run, outcome: Outcome) -> None:
    loss = outcome.candidate.name
    scaler = outcome.hyper.get(SCALER, outcome.candidate.scalers[0])
    tags = {"hourglass.stage": "search", "hourglass.loss": loss}
    if outcome.result.failure:
        tags["hourglass.failure"] = outcome.result.failure
    if outcome.result.pruned:
        tags["hourglass.pruned"] = f"epoch {outcome.result.pruned}"
    name = f"{loss} · {scaler} · trial {outcome.number}"
    child = tracker.run(
        child_key(parent.key, loss, outcome.number), name, tags, parent, outcome.result.seconds
    )
    if child.finished:
        return
    fixed = {"latent_dim": params.model.latent_dim, "epochs": params.search.epochs}
    child.params({"loss": loss, "scaler": scaler, **fixed, **outcome.hyper})
    child.metrics(
        grouped(outcome.result.metrics, "validation") | {"seconds": outcome.result.seconds}
    )
    child.curve(thinned(outcome.result.curve, CURVE))
    child.finish(failed=bool(outcome.result.failure))


def _report(
    params: Params,
    paths: Paths,
    outcomes: Mapping[Candidate, Sequence[Outcome]],
    rows_digest: str,
    drops: Mapping[str, Drop],
) -> None:
    best: dict[str, Any] = {}
    for candidate, tried in outcomes.items():
        winner = search.best(tried)
        if winner is None:
            log.warning("%s: all trials failed, the first: %s", candidate.name, _cause(tried))
            continue
        own = parts(params, candidate, winner.hyper)
        best[candidate.name] = {
            "rows": rows_digest,
            "loss": candidate.loss,
            "heads": dict(candidate.heads),
            "scaler": own.scaler,
            "trial": winner.number,
            "objective": winner.value,
            "hidden": list(own.model.hidden),
            "hyper": dict(own.hyper),
        }
        if candidate.name in drops:
            best[candidate.name]["dropped"] = str(drops[candidate.name])
    if not best:
        causes = [f"{c.name}: {_cause(t)}" for c, t in outcomes.items()]
        raise TrainingError("every trial of every loss failed:\n  " + "\n  ".join(causes))
    rows = [_row(o, drops.get(o.candidate.name)) for tried in outcomes.values() for o in tried]
    columns = list(dict.fromkeys(k for r in rows for k in r))
    write_csv(paths.search("trials.csv"), rows, columns)
    unit = trials.objective_unit(params.search.objective)
    figures.search_history(paths.search("search.png"), rows, unit)
    write_yaml(paths.search("best.yaml"), best)


def _cause(tried: Sequence[Outcome]) -> str:
    return tried[0].result.failure


def _row(outcome: Outcome, drop: Drop | None) -> dict[str, Any]:
    """A line of trials.csv; no times in it: the same search gives the same file."""
    result = outcome.result
    state = "failed" if result.failure else "pruned" if result.pruned else "complete"
    last = drop is not None and outcome.number == drop.trials - 1
    return {
        "loss": outcome.candidate.name,
        "scaler": outcome.candidate.scalers[0],
        "trial": outcome.number,
        "state": state,
        "objective": outcome.value,
        **result.metrics,
        **outcome.hyper,
        "failure": result.failure,
        "pruned_at": result.pruned or None,
        "dropped": str(drop) if last else "",
    }
