"""Retrains the best configuration of each loss over several seeds: `hourglass train`.

With several devices a fit (DDP) every process runs this stage from its first line; all take part
in each fit, and rank zero alone writes and records. Which fits an earlier, killed run has finished
every process must see alike: each looks before its first fit, that is before any fit that they
share has ended, and nothing is removed while others may still look. Nodes may have a disk each,
so fits over several nodes are all done again.
"""

import logging
import shutil
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any

from hourglass import executors, kept, provenance, trials
from hourglass.config import Params, read_yaml
from hourglass.errors import TrainingError
from hourglass.executors import Cluster, Executor
from hourglass.kept import Task
from hourglass.paths import Paths, existing, read_json, write_csv
from hourglass.plans import TrainerOptions, is_rank_zero
from hourglass.progress import Board
from hourglass.recording import JournalTracker
from hourglass.schema import Schema
from hourglass.tracking import MemoryTracker, Run, Tracker, data_sets, grouped
from hourglass.trials import Result, Spec
from hourglass.watching import Watch

log = logging.getLogger(__name__)

NOTE = """**{source}** · the best configuration of each loss, fitted {seeds} times. The verdict over
these fits is in the run `evaluate`. The curve `val_gauss_bits` compares
across losses, `val_loss` doesn't."""


def run(params: Params, paths: Paths) -> None:
    """Writes models/<loss>/<seed>/, fits.csv (a row a fit) and curves.csv (a row an epoch).

    Raises:
        TrainingError: no loss came through on every seed.
    """
    schema = Schema.from_json(read_json(paths.schema, "preprocess"))
    best = read_yaml(existing(paths.search("best.yaml"), "search"))
    for winner in best.values():
        provenance.require_same_rows(
            winner.get("rows"), schema.digest, paths.search("best.yaml"), "search"
        )
    specs = _specs(params, paths, schema, best)
    settings = params.train
    totals = dict.fromkeys(best, settings.seeds)
    if settings.num_nodes > 1 and is_rank_zero():
        log.info(
            "params.yaml: train.num_nodes is %d: fits begin when this command runs on each of them "
            "(with MASTER_ADDR, MASTER_PORT and NODE_RANK set, or under Slurm or torchrun)",
            settings.num_nodes,
        )
    tasks = kept.tasks(specs, schema, paths)
    results = _found(tasks, paths) if settings.num_nodes == 1 else {}
    several = settings.devices * settings.num_nodes > 1
    name, workers = ("serial", 1) if several else (settings.executor, settings.workers)
    cluster = Cluster(paths.root.resolve(), **params.ray.model_dump())
    pool = executors.start(name, workers, "params.yaml: train.executor", cluster)
    quiet = not is_rank_zero()
    metric, unit = trials.RULERS["code_length"]
    with pool, Board("train", totals, unit, quiet=quiet) as board:
        futures = {pool.submit(kept.run, task): task for task in tasks if task not in results}
        tracker = _tracker(params, paths)
        parent = _parent(tracker, params, paths, schema, specs)
        for task, result in results.items():
            board.done(task.spec.name, result.metrics.get(metric), earlier=True)
            _record_fit(tracker, parent, task.spec, result)
        for future, result in _as_completed(pool, futures):
            spec = futures[future].spec
            board.done(spec.name, result.metrics.get(metric))
            _record_fit(tracker, parent, spec, result)
            results[futures[future]] = result
    if is_rank_zero():
        _report(paths, specs, [results[task] for task in tasks])
    for name in ("fits.csv", "curves.csv"):
        parent.artifact(paths.train(name))
    parent.finish()
    tracker.close()
    if is_rank_zero():
        kept.forget(paths, but=tasks if several else ())
        shutil.rmtree(paths.checkpoints, ignore_errors=True)  # of fits that nobody goes on with


def _found(tasks: Sequence[Task], paths: Paths) -> dict[Task, Result]:
    """Fits that an earlier run of the same settings has finished, their bundles put back."""
    if is_rank_zero():
        shutil.rmtree(paths.models, ignore_errors=True)  # as DVC does
    looked = {task: kept.found(task) for task in tasks}
    results = {task: result for task, result in looked.items() if result is not None}
    if results and is_rank_zero():
        log.info("%d of %d fits were finished before", len(results), len(tasks))
    return results


def _specs(params: Params, paths: Paths, schema: Schema, best: dict[str, Any]) -> list[Spec]:
    settings = params.train
    trainer = TrainerOptions(
        accelerator=settings.accelerator,
        devices=settings.devices,
        strategy=settings.strategy,
        precision=settings.precision,
        num_nodes=settings.num_nodes,
    )
    few = schema.rows["train"] + schema.rows["val"] < settings.resplit_below
    few = few and schema.split == "random"  # groups stay together, and the future stays unseen
    return [
        Spec(
            root=paths.root.resolve(),
            name=name,
            loss=winner["loss"],
            scaler=winner["scaler"],
            hyper=winner["hyper"],
            heads=winner["heads"],
            model=params.model.model_copy(update={"hidden": tuple(winner["hidden"])}),
            epochs=settings.epochs,
            batch_size=params.search.batch_size,
            seed=seed,
            resplit=few,
            trainer=trainer,
            memory_mb=settings.memory_mb,
            compiling=settings.compile,
            watch=Watch(patience=settings.patience),
            save_to=paths.model(name, seed).resolve(),
        )
        for seed in range(1, settings.seeds + 1)
        for name, winner in best.items()
    ]


def _as_completed(
    pool: Executor, futures: Iterable[Future[Result]]
) -> Iterator[tuple[Future[Result], Result]]:
    pending = dict.fromkeys(futures)
    while pending:
        for future in pool.wait(pending):
            del pending[future]
            yield future, future.result()


def _report(paths: Paths, specs: Sequence[Spec], results: Sequence[Result]) -> None:
    fits, points = [], []
    for spec, result in zip(specs, results, strict=True):
        head = {"loss": spec.name, "scaler": spec.scaler, "seed": spec.seed}
        fits.append({**head, **result.metrics, "failure": result.failure})
        points += [{**head, **point} for point in result.curve]
    failed = {f["loss"] for f in fits if f["failure"]}
    if all(f["loss"] in failed for f in fits):
        causes = dict.fromkeys(f"{f['loss']}: {f['failure']}" for f in fits)
        raise TrainingError("no loss came through on every seed:\n  " + "\n  ".join(causes))
    write_csv(paths.train("fits.csv"), fits, list(dict.fromkeys(k for f in fits for k in f)))
    columns = ["loss", "scaler", "seed", "epoch", "train_loss", "val_loss", "val_gauss_bits"]
    write_csv(paths.train("curves.csv"), points, columns)


def _tracker(params: Params, paths: Paths) -> Tracker:
    """Rank zero records; the other processes of a fit keep it to themselves."""
    if is_rank_zero():
        to = params.tracking
        return JournalTracker(to.experiment, paths, system_metrics=to.system_metrics)
    return MemoryTracker()


def _parent(
    tracker: Tracker, params: Params, paths: Paths, schema: Schema, specs: Sequence[Spec]
) -> Run:
    key = f"train {provenance.digest(repr(specs), schema.digest, provenance.code_version())}"
    tags = {"hourglass.stage": "train", **provenance.revision_tags(paths.root)}
    parent = tracker.run(key, f"train · {schema.source}", tags)
    sections = {"model": params.model, "train": params.train}
    parent.params({f"{s}.{k}": v for s, m in sections.items() for k, v in m.model_dump().items()})
    parent.data(data_sets(schema, paths, ("train", "val")))
    parent.note(NOTE.format(source=schema.source, seeds=params.train.seeds))
    return parent


def _record_fit(tracker: Tracker, parent: Run, spec: Spec, result: Result) -> None:
    tags = {"hourglass.stage": "train", "hourglass.loss": spec.name}
    if result.failure:
        if is_rank_zero():
            log.warning("%s, seed %d failed: %s", spec.name, spec.seed, result.failure)
        tags["hourglass.failure"] = result.failure
    name = f"{spec.name} · {spec.scaler} · seed {spec.seed}"
    child = tracker.run(f"{parent.key} {spec.name} {spec.seed}", name, tags, parent, result.seconds)
    if child.finished:
        return
    child.params({"loss": spec.name, "scaler": spec.scaler, "seed": spec.seed, **spec.hyper})
    child.curve(result.curve)
    child.metrics(grouped(result.metrics, "validation") | {"seconds": result.seconds})
    child.finish(failed=bool(result.failure))
