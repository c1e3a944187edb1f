"""Retrains the best configuration of each loss over several seeds: `hourglass train`.

With several devices a fit (DDP) every process runs this stage from its first line; all take part
in each fit, and rank zero alone writes and records. Which fits an earlier, killed run has finished
every process must see alike: each looks before its first fit, that is before any fit that they
share has ended, and nothing is removed while others may still look. Nodes may have a disk each,
so fits over several nodes are all done again.
"""

import logging
import os
import shutil
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from statistics import fmean
from typing import Any

from hourglass import executors, kept, provenance, trials
from hourglass.config import Params, read_yaml
from hourglass.errors import ConfigError, TrainingError
from hourglass.executors import Cluster, Executor
from hourglass.kept import Task
from hourglass.paths import Paths, existing, read_json, write_csv, write_json
from hourglass.plans import TrainerOptions, is_rank_zero
from hourglass.progress import Board
from hourglass.recording import JournalTracker
from hourglass.schema import Kind, Schema
from hourglass.tracking import (
    MemoryTracker,
    Run,
    Tracker,
    attach_settings,
    child_key,
    data_sets,
    grouped,
    markdown_table,
    thinned,
)
from hourglass.trials import Result, Spec
from hourglass.watching import Watch

log = logging.getLogger(__name__)

CURVE = 40  # epochs of a fit that MLflow gets

# Up to here a precision that holds the rows too tells whole numbers apart.
EXACT = {"bf16-true": 1 << 8, "16-true": 1 << 11}

NOTE = (
    "**Ahead: {ahead} bits per feature on validation rows, the mean over {seeds} seeds.** Whether "
    "that is more than luck, the run `evaluate` says.\n\n{table}\n\n"
    "Bits per feature of fits with the best configuration of each loss, on validation rows. To "
    "compare how they learned, select children and draw `curve/val_gauss_bits`, a quick stand-in "
    "that compares across losses (shapes, not levels); `val_loss` doesn't.\n\n"
    "- [A row for each fit](artifact:fits.csv), [for each epoch](artifact:curves.csv){widths}\n"
    "- [The settings](artifact:params.yaml)"
)
WIDTHS = ", [for each width of the bottleneck](artifact:widths.csv)"


def run(params: Params, paths: Paths) -> None:
    """Writes models/<loss>/<seed>/, fits.csv (a row a fit) and curves.csv (a row an epoch).

    widths.csv holds further fits, one a loss and bottleneck of `train.latent_dims`: they show how
    bits depend on the width, take no part in the verdict, and are not delivered.

    Raises:
        ConfigError: the precision can't tell the levels of a column apart.
        TrainingError: no loss came through on every seed.
    """
    if not is_rank_zero():
        threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    began = time.monotonic()
    schema = Schema.from_json(read_json(paths.schema, "preprocess"))
    best = read_yaml(existing(paths.search("best.yaml"), "search"))
    for winner in best.values():
        provenance.require_same_rows(
            winner.get("rows"), schema.digest, paths.search("best.yaml"), "search"
        )
    settings = params.train
    _refuse_rounded_levels(settings.precision, schema)
    specs = _specs(params, paths, schema, best)
    specs += _narrower_and_wider(specs, settings.latent_dims)
    totals = {name: sum(spec.name == name for spec in specs) for name in best}
    _tell_of_nodes(settings.num_nodes)
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
        parent = _parent(tracker, params, paths, schema, specs, began)

        def done(spec: Spec, result: Result, *, earlier: bool) -> None:
            value = result.metrics.get(metric)
            board.done(spec.name, value, earlier=earlier, compares=_is_finalist(spec))
            _record_fit(tracker, parent, spec, result)

        for task, result in results.items():
            done(task.spec, result, earlier=True)
        for future, result in _as_completed(pool, futures):
            done(futures[future].spec, result, earlier=False)
            results[futures[future]] = result
    if is_rank_zero():
        _report(paths, specs, [results[task] for task in tasks])
        write_json(paths.train("run.json"), {"key": parent.key})
        parent.note(_note(specs, results))
    if is_rank_zero():
        # Of the loss that is ahead, the mean over its seeds.
        parent.metrics({"bits_per_feature": _means(results)[0][0]})
    for name in ("fits.csv", "curves.csv", "widths.csv"):
        parent.artifact(paths.train(name))
    attach_settings(parent, paths)
    parent.finish()
    tracker.close()
    if is_rank_zero():
        kept.forget(paths, but=tasks if several else ())
        shutil.rmtree(paths.checkpoints, ignore_errors=True)  # of fits that nobody goes on with


def _tell_of_nodes(number: int) -> None:
    if number > 1 and is_rank_zero():
        log.info(
            "params.yaml: train.num_nodes is %d: fits begin when this command runs on each of them "
            "(with MASTER_ADDR, MASTER_PORT and NODE_RANK set, or under Slurm or torchrun)",
            number,
        )


def _end_with(parent: int) -> None:
    """Ends this process when the one that started it is gone: else it would wait for it.

    A fit's other processes would find out after half an hour that a killed rank zero is silent.
    """
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


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


def _refuse_rounded_levels(precision: str | int, schema: Schema) -> None:
    """Codes of levels are whole numbers: rounded, a level would be another one without a word."""
    exact = EXACT.get(str(precision))
    for column in schema.columns:
        if exact and column.kind is Kind.CATEGORICAL and column.width > exact:
            raise ConfigError(
                f"params.yaml: train.precision: {precision!r} holds whole numbers up to {exact}, "
                f"but column {column.name!r} has {column.width} levels; use "
                f"{str(precision).replace('true', 'mixed')!r}, which keeps rows in 32 bits"
            )


def _narrower_and_wider(specs: Sequence[Spec], latent_dims: Sequence[int]) -> list[Spec]:
    """Each loss's fit of the first seed at other bottlenecks; no bundle is saved."""
    first = [spec for spec in specs if spec.seed == specs[0].seed]
    return [
        replace(spec, model=spec.model.model_copy(update={"latent_dim": width}), save_to=None)
        for width in sorted(set(latent_dims) - {specs[0].model.latent_dim})
        for spec in first
    ]


def _is_finalist(spec: Spec) -> bool:
    """Fits of other bottlenecks are not: no bundle of theirs is saved."""
    return spec.save_to is not None


def _as_completed(
    pool: Executor, futures: Iterable[Future[Result]]
) -> Iterator[tuple[Future[Result], Result]]:
    pending = dict.fromkeys(futures)
    while pending:
        for future in pool.wait(pending):
            del pending[future]
            yield future, future.result()


def _report(paths: Paths, specs: Sequence[Spec], results: Sequence[Result]) -> None:
    fits: list[dict[str, Any]] = []
    points: list[dict[str, Any]] = []
    widths: list[dict[str, Any]] = []
    for spec, result in zip(specs, results, strict=True):
        head = {"loss": spec.name, "scaler": spec.scaler, "seed": spec.seed}
        line = {**head, **result.metrics, "failure": result.failure}
        if spec.seed == specs[0].seed:
            widths.append({"latent_dim": spec.model.latent_dim, **line})
        if _is_finalist(spec):
            fits.append(line)
            points += [{**head, **point} for point in result.curve]
    failed = {f["loss"] for f in fits if f["failure"]}
    if all(f["loss"] in failed for f in fits):
        causes = dict.fromkeys(f"{f['loss']}: {f['failure']}" for f in fits)
        raise TrainingError("no loss came through on every seed:\n  " + "\n  ".join(causes))
    write_csv(paths.train("fits.csv"), fits, list(dict.fromkeys(k for f in fits for k in f)))
    widths.sort(key=lambda w: w["latent_dim"])
    write_csv(paths.train("widths.csv"), widths, list(dict.fromkeys(k for w in widths for k in w)))
    columns = ["loss", "scaler", "seed", "epoch", "train_loss", "val_loss", "val_gauss_bits"]
    write_csv(paths.train("curves.csv"), points, columns)


def _tracker(params: Params, paths: Paths) -> Tracker:
    """Rank zero records; the other processes of a fit keep it to themselves."""
    if is_rank_zero():
        to = params.tracking
        return JournalTracker(to.experiment, paths, system_metrics=to.system_metrics)
    return MemoryTracker()


def _parent(
    tracker: Tracker,
    params: Params,
    paths: Paths,
    schema: Schema,
    specs: Sequence[Spec],
    began: float,
) -> Run:
    key = f"train {provenance.digest(*(trials.identity(spec, schema) for spec in specs))}"
    tags = {"hourglass.stage": "train", "hourglass.data": schema.digest}
    name, seconds = f"train · {schema.source}", time.monotonic() - began
    parent = tracker.run(key, name, tags | provenance.revision_tags(paths.root), seconds=seconds)
    sections = {"model": params.model, "train": params.train}
    parent.params({f"{s}.{k}": v for s, m in sections.items() for k, v in m.model_dump().items()})
    parent.data(data_sets(schema, paths, ("train", "val")))
    return parent


def _means(results: Mapping[Task, Result]) -> list[tuple[Any, ...]]:
    """Mean, loss, scaler, lowest and highest bits over the seeds of each whole loss, best first."""
    fits = {task: result for task, result in results.items() if _is_finalist(task.spec)}
    failed = {task.spec.name for task, result in fits.items() if result.failure}
    found: dict[tuple[str, str], list[float]] = {}
    for task, result in fits.items():
        if task.spec.name not in failed:
            own = found.setdefault((task.spec.name, task.spec.scaler), [])
            own.append(result.metrics["bits_per_feature"])
    return sorted((fmean(own), *of, min(own), max(own)) for of, own in found.items())


def _note(specs: Sequence[Spec], results: Mapping[Task, Result]) -> str:
    ranked = _means(results)
    rows = [(loss, s, f"{m:.4f}", f"{low:.4f}", f"{top:.4f}") for m, loss, s, low, top in ranked]
    table = markdown_table(("loss", "scaler", "mean", "best seed", "worst seed"), rows)
    widths = WIDTHS if len({spec.model.latent_dim for spec in specs}) > 1 else ""
    return NOTE.format(
        ahead=f"{rows[0][0]} with {rows[0][2]}",
        seeds=len({spec.seed for spec in specs}),
        table=table,
        widths=widths,
    )


def _record_fit(tracker: Tracker, parent: Run, spec: Spec, result: Result) -> None:
    tags = {"hourglass.stage": "train", "hourglass.loss": spec.name}
    if result.failure:
        if is_rank_zero():
            log.warning("%s, seed %d failed: %s", spec.name, spec.seed, result.failure)
        tags["hourglass.failure"] = result.failure
    name, key = f"{spec.name} · seed {spec.seed}", child_key(parent.key, spec.name, spec.seed)
    if not _is_finalist(spec):
        name, key = f"{name} · width {spec.model.latent_dim}", child_key(key, spec.model.latent_dim)
    child = tracker.run(key, name, tags, parent, result.seconds)
    if child.finished:
        return
    settings = {"scaler": spec.scaler, "latent_dim": spec.model.latent_dim, "seed": spec.seed}
    settings["epochs"] = spec.epochs
    child.params({"loss": spec.name, **settings, **spec.hyper})
    child.metrics(grouped(result.metrics, "validation") | {"seconds": result.seconds})
    child.curve(thinned(result.curve, CURVE))
    child.finish(failed=bool(result.failure))
