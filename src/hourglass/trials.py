"""One fit as a pure function: `run(spec) -> result`; the same spec gives the same result anywhere.

Search runs it for trials, train for finalists. It reads the pipeline's files, writes only the
bundle it was asked to save, and knows neither Optuna nor MLflow.
Shapes: N rows, F features, W numbers of a reconstruction (see `hourglass.wide`), L latent values.
"""

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hourglass import codelength, hiding, metrics, scaling, wide
from hourglass.batches import Feed
from hourglass.bundle import Bundle, Recipe, Seen, context_of, modules
from hourglass.checkpoints import Checkpoint
from hourglass.config import Model
from hourglass.errors import LossError, TrainingError
from hourglass.inputs import Inputs
from hourglass.losses import Context
from hourglass.models import Architecture
from hourglass.moments import moments, telling
from hourglass.paths import Paths, existing, read_json
from hourglass.plans import (
    Curve,
    Network,
    Regular,
    Rows,
    Schedule,
    TrainerOptions,
    is_rank_zero,
)
from hourglass.provenance import code_version, digest, require_same_rows
from hourglass.scaling import Scaler
from hourglass.schema import Column, Kind, Schema, searched_kind
from hourglass.splitting import resplit
from hourglass.watching import Watch

Array = NDArray[np.float64]

# Enough to estimate a residual scale. Without the second limit each fit on images of 64 x 64 pixels
# would begin with minutes of a PCA, and gigabytes.
PCA_ROWS, PCA_VALUES = 10_000, 1 << 23
# Validation values that a fit is judged by; of more, evenly spaced rows: a code length over two
# million values is known to a thousandth of a bit.
JUDGED_VALUES = 1 << 21
LEAST_JUDGED = 64  # rows, however wide: each column is calibrated on half of them


# What a loss and its hyperparameters can be blamed for: weights grow out of range, and torch lacks
# some operations in some precisions. Any other error stops the stage.
FAILURES = (
    TrainingError,
    LossError,
    NotImplementedError,
    OverflowError,
    FloatingPointError,
    np.linalg.LinAlgError,
    torch.linalg.LinAlgError,  # type: ignore[attr-defined]  # in its documentation
)


@dataclass(frozen=True)
class Spec:
    """All that a fit depends on; picklable.

    Attributes:
        root: Folder of params.yaml.
        name: Of the candidate, for people and files.
        loss: Name of the loss of the searched columns.
        scaler: Name of the scaler.
        hyper: Learning rate and the loss's own hyperparameters.
        heads: Kind -> name of the loss of the columns of this kind, for the other kinds.
        model: The architecture, as params.yaml gives it or the search proposes it.
        epochs: Passes over the training rows.
        batch_size: Rows of a global batch.
        max_rows: Training rows at most; of more, evenly spaced ones. None: all.
        memory_mb: Training rows up to this size are held in memory.
        compiling: See `training.Schedule`.
        seed: Of initial weights and order of rows.
        resplit: Whether the seed also redraws training and validation rows.
        trainer: Options for Lightning.
        save_to: Folder for the bundle; None: nothing is kept.
        watch: When the fit ends before its last epoch.
    """

    root: Path
    name: str
    loss: str
    scaler: str
    hyper: Mapping[str, float]
    heads: Mapping[str, str]
    model: Model
    epochs: int
    batch_size: int
    seed: int
    max_rows: int | None = None
    memory_mb: int = 1024
    compiling: str = "auto"
    resplit: bool = False
    trainer: TrainerOptions = field(default_factory=TrainerOptions)
    save_to: Path | None = None
    watch: Watch = field(default_factory=Watch)

    def __str__(self) -> str:
        """For messages: "huber (scaler standard, delta 0.5, learning_rate 0.01, seed 0)"."""
        hyper = "".join(f", {k} {v:.6g}" for k, v in sorted(self.hyper.items()))
        return f"{self.name} (scaler {self.scaler}{hyper}, seed {self.seed})"


@dataclass(frozen=True)
class Result:
    """What came of a fit.

    Attributes:
        metrics: `bits_per_feature` and `bits_per_feature_masked` (code lengths, cross-fitted on
            validation rows) and `metrics.measure` on validation rows, original units.
            `imputation_nrmse` and `imputation_nrmse_mean`: nrmse of hidden values, filled in by
            the model and by the column's mean.
        curve: One entry an epoch, see `training.Fit`.
        seconds: Wall time of the fit with its judgement.
        failure: Why it failed; empty if it did not.
        pruned: Epoch at which `Spec.watch` pruned it: it has a curve, but was not judged. 0: not.
        parts: Metric -> what it is on each of some parts of the validation rows, see
            `metrics.by_part`; for the code lengths.
    """

    metrics: dict[str, float]
    curve: Curve
    seconds: float
    failure: str = ""
    pruned: int = 0
    parts: dict[str, list[float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Data:
    """Rows of one fit, and the scaler fitted on its training rows.

    Attributes:
        schema: The columns.
        scaler: Fitted on the training rows.
        train_NF: Training rows, scaled, float32; may be a memory map.
        val_scaled_NF: Validation rows, scaled, float32.
        val_NF: Validation rows in original units, float64.
        mean_F: Mean of each column over training rows, original units; of levels, of their codes.
        mean_W: Mean of each number of the wide form over training rows, original units.
        spread_W: Standard deviation of the same.
        extent: Smallest and largest value of each column over training rows, scaled, (F,) each.
        count_train_N: How much each training row counts, 1 on average; None: all the same.
        count_val_N: The same of validation rows.
    """

    schema: Schema
    scaler: Scaler
    train_NF: NDArray[np.float32]
    val_scaled_NF: NDArray[np.float32]
    val_NF: Array
    mean_F: Array
    mean_W: Array
    spread_W: Array
    extent: tuple[Array, Array]
    count_train_N: Array | None = None
    count_val_N: Array | None = None


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums that don't depend on how many cores are free."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@_one_thread()
def run(spec: Spec) -> Result:
    """Fits, judges on validation rows and, if asked, saves. A failed fit is a result, not an error.

    What is no property of the fit (memory that others hold, a device that is gone) is an error: a
    study would keep it as the loss's own failure.

    Raises:
        MissingInputError: the files of an earlier stage are not there.
        ConfigError: Lightning refuses the trainer's options.
        TrainingError: the device has no memory left.
    """
    start = time.perf_counter()
    try:
        resplit_seed = spec.seed if spec.resplit else None
        data = load(Paths(spec.root), spec.scaler, resplit_seed, spec.max_rows)
        bundle, curve = _fitted(spec, data)
        last = curve[-1]
        if spec.watch.prunes(len(curve), last["val_gauss_bits"]):
            return Result({}, curve, time.perf_counter() - start, pruned=len(curve))
        found = judge(bundle, data)
        if spec.save_to is not None and is_rank_zero():
            bundle.calibrated(data.val_NF, data.extent).save(spec.save_to)
        return Result(found.metrics, curve, time.perf_counter() - start, parts=found.parts)
    except FAILURES as error:
        return Result({}, [], time.perf_counter() - start, " ".join(str(error).split()))
    except torch.OutOfMemoryError as error:
        raise TrainingError(
            f"{spec.name}: the device has no memory left. Nothing finished is lost: run the same "
            "command again; fewer `workers` in params.yaml need less memory"
        ) from error
    except Exception as error:
        error.add_note(f"in the fit of {spec}")
        raise


def load(paths: Paths, scaler: str, resplit_seed: int | None, max_rows: int | None = None) -> Data:
    """Reads training and validation rows with their scaler.

    Args:
        paths: Where the pipeline's files are.
        scaler: Name of the scaler.
        resplit_seed: Redraws which rows train and which validate; the scaler is then fitted on
            the redrawn training rows. None: the split and scaler of the earlier stages.
        max_rows: Training rows at most; of more, evenly spaced ones.
    """
    schema = Schema.from_json(read_json(paths.schema, "preprocess"))
    rows_NF = {s: _mapped(paths.values(s), "preprocess") for s in ("train", "val")}
    counts = {s: _counts(paths, s) for s in rows_NF}
    if resplit_seed is None:
        stored = read_json(paths.scaler(scaler), "normalize")
        require_same_rows(
            stored.get("rows"), schema.digest, paths.scaler(scaler).parent, "normalize"
        )
        fitted = Scaler.from_json(stored)
        scaled = {s: _mapped(paths.scaled(scaler, s), "normalize") for s in rows_NF}
        train_NF = scaled["train"]
        at_train = telling(train_NF, max_rows or len(train_NF))
        judged = max(LEAST_JUDGED, JUDGED_VALUES // len(schema.columns))
        at_val = telling(rows_NF["val"], judged)
        return _data(
            schema,
            fitted,
            train_NF if isinstance(at_train, slice) else train_NF[at_train],
            np.array(scaled["val"][at_val]),
            np.array(rows_NF["val"][at_val], dtype=np.float64),
            (_taken(counts["train"], at_train), _taken(counts["val"], at_val)),
        )
    both_NF = np.concatenate([np.array(r, dtype=np.float64) for r in rows_NF.values()])
    sizes = (len(rows_NF["train"]), len(rows_NF["val"]))
    train_index, val_index = resplit(*sizes, resplit_seed, ~np.isnan(both_NF))
    train_NF, val_NF = both_NF[train_index], both_NF[val_index]
    fitted = scaling.fit(scaler, train_NF, schema)
    count_N = None
    if counts["train"] is not None and counts["val"] is not None:
        count_N = np.concatenate([counts["train"], counts["val"]])
    return _data(
        schema,
        fitted,
        fitted.transform(train_NF).astype(np.float32),
        fitted.transform(val_NF).astype(np.float32),
        val_NF,
        (_taken(count_N, train_index), _taken(count_N, val_index)),
    )


def _mapped(path: Path, stage: str) -> NDArray[Any]:
    array: NDArray[Any] = np.load(existing(path, stage), mmap_mode="r")
    return array


def _counts(paths: Paths, split: str) -> Array | None:
    file = paths.beside(split, "weights")
    return np.load(file) if file.exists() else None


def _taken(count_N: Array | None, at: NDArray[np.int64] | slice) -> Array | None:
    """Weights of the chosen rows, 1 on average."""
    return None if count_N is None else count_N[at] / count_N[at].mean()


def _data(
    schema: Schema,
    scaler: Scaler,
    train_NF: NDArray[np.float32],
    val_scaled_NF: NDArray[np.float32],
    val_NF: Array,
    counts: tuple[Array | None, Array | None],
) -> Data:
    seen = moments(train_NF)
    mean_F = scaler.inverse(seen.mean_F)
    sd_F = scaler.scale_F * seen.sd_F
    wide_2W = wide_figures(schema, mean_F, sd_F, train_NF)
    extent = (seen.low_F, seen.high_F)
    return Data(schema, scaler, train_NF, val_scaled_NF, val_NF, mean_F, *wide_2W, extent, *counts)


def wide_figures(
    schema: Schema, mean_F: Array, sd_F: Array, train_NF: NDArray[Any]
) -> tuple[Array, Array]:
    """Mean and standard deviation of each number of the wide form, (W,) each.

    Args:
        schema: The columns.
        mean_F: Mean of each column.
        sd_F: Standard deviation of each column.
        train_NF: Training rows, whose levels are counted.
    """
    means, sds = [], []
    for f, column in enumerate(schema.columns):
        mean, sd = mean_F[f : f + 1], sd_F[f : f + 1]
        if column.kind is Kind.CATEGORICAL:
            codes_N = np.array(train_NF[:, f], dtype=np.float64)
            codes_N = codes_N[codes_N < column.width].astype(np.int64)
            mean = np.bincount(codes_N, minlength=column.width) / max(1, len(codes_N))
            sd = np.sqrt(mean * (1 - mean))
        means.append(mean)
        sds.append(sd)
    return np.concatenate(means), np.concatenate(sds)


@_one_thread()
def context(paths: Paths, scaler: str, latent_dim: int) -> Context:
    """What the searched loss may know of the training rows under this scaler."""
    data = load(paths, scaler, None, PCA_ROWS)
    kind = searched_kind(data.schema.columns)
    return context_of(data.schema, data.scaler, _seen(data, latent_dim), kind)


def _seen(data: Data, latent_dim: int) -> Seen:
    """What the losses may know of the scaled training rows, kind by kind."""
    rows = min(PCA_ROWS, max(PCA_VALUES // data.train_NF.shape[1], 4 * latent_dim))
    some_NF = np.array(data.train_NF[telling(data.train_NF, rows)], dtype=np.float64)
    fill_F = (data.mean_F - data.scaler.offset_F) / data.scaler.scale_F
    shown_NE = wide.expand(np.where(np.isnan(some_NF), fill_F, some_NF), data.schema.columns)
    left_NE = pca_residuals(torch.from_numpy(shown_NE), latent_dim)
    at_F, at_W = wide.single(data.schema.columns)
    scales, spans = {}, {}
    for kind in dict.fromkeys(data.schema.columns[f].kind for f in at_F):
        own = [i for i, f in enumerate(at_F) if data.schema.columns[f].kind is kind]
        scales[kind.value] = typical(left_NE[:, at_W[own]])
        values = some_NF[:, at_F[own]]
        spans[kind.value] = float(np.nanmax(values) - np.nanmin(values))
    return Seen(scales, spans, data.mean_F)


def identity(spec: Spec, schema: Schema) -> str:
    """16 hex digits of all that a fit depends on: settings, rows and code; of no folder."""
    bare = replace(spec, root=Path(), save_to=None)
    return digest(repr(bare), schema.digest, schema.to_json(), _code())


@cache
def _code() -> str:
    return code_version()  # takes as long as a hundred steps, and stays


def _fitted(spec: Spec, data: Data) -> tuple[Bundle, Curve]:
    from hourglass.training import fit  # Lightning: half of a start, and only fits need it

    seen = _seen(data, spec.model.latent_dim)
    recipe = _recipe(spec, data.schema, seen)
    columns = data.schema.columns
    at_F, at_W = wide.single(columns)
    floors = [smallest_error(columns[f]) for f in at_F]
    rows = Rows(
        train=_feed(spec, data),
        val_NF=torch.from_numpy(data.val_scaled_NF),
        at_F=torch.from_numpy(at_F),
        at_W=torch.from_numpy(at_W),
        unit_F=torch.from_numpy(data.scaler.scale_F[at_F]),
        floor_F=torch.tensor(floors, dtype=torch.float64),
    )
    rate = spec.hyper["learning_rate"]
    plan = Schedule(spec.epochs, spec.batch_size, rate, spec.seed, spec.compiling, spec.watch)
    model = spec.model
    regular = Regular(model.corruption, model.corruption_amount, model.sparsity)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec.seed)
        inputs, autoencoder, loss = modules(recipe, data.schema, data.scaler, data.mean_F)
        fill_F = (data.mean_F - data.scaler.offset_F) / data.scaler.scale_F
        inputs.fill_F.copy_(torch.from_numpy(fill_F))
        checkpoint = Checkpoint(Paths(spec.root).checkpoint(identity(spec, data.schema)))
        network = Network(inputs, autoencoder, loss)
        curve = fit(network, rows, plan, regular, spec.trainer, checkpoint)
    return Bundle(recipe, data.schema, data.scaler, inputs, autoencoder, loss), curve


def smallest_error(column: Column) -> float:
    """What of a column's root mean squared error is worth telling apart, original units.

    Of rounded numbers the error of rounding. Flags and counts are reconstructed as means, which lie
    between the values: were errors below a whole step alike, the curve of a table of flags would be
    flat.
    """
    step = column.resolution or 1e-12
    return step / 100 if column.kind in (Kind.BINARY, Kind.COUNT) else step / math.sqrt(12)


def _feed(spec: Spec, data: Data) -> Feed:
    """Training rows in memory where they are few enough, else on disk."""
    counts = data.count_train_N
    count_N = None if counts is None else torch.from_numpy(counts.astype(np.float32))
    if data.train_NF.nbytes <= spec.memory_mb << 20:
        return Feed(torch.from_numpy(np.array(data.train_NF)), count_N)
    return Feed(data.train_NF, count_N)


def _recipe(spec: Spec, schema: Schema, seen: Seen) -> Recipe:
    architecture = Architecture(
        inputs=Inputs(schema).width,
        outputs=wide.width(schema.columns),
        latent_dim=spec.model.latent_dim,
        hidden=spec.model.hidden,
        activation=spec.model.activation,
        shape=schema.shape,
        variational=spec.model.variational,
    )
    return Recipe(
        loss=spec.loss,
        hyper=spec.hyper,
        heads=spec.heads,
        kind=spec.model.kind,
        architecture=architecture,
        seed=spec.seed,
        resplit=spec.resplit,
        residual_scale=seen.residual_scale,
        span=seen.span,
    )


def pca_residuals(rows_NF: torch.Tensor, latent_dim: int) -> torch.Tensor:
    """What a PCA with `latent_dim` components leaves of some rows, (N, F)."""
    centred_NF = rows_NF - rows_NF.mean(dim=0)
    _, _, directions = torch.linalg.svd(centred_NF, full_matrices=False)
    basis_LF = directions[:latent_dim]
    residual_NF: torch.Tensor = centred_NF - centred_NF @ basis_LF.T @ basis_LF
    return residual_NF


def typical(residual_NF: torch.Tensor) -> float:
    """1.4826 x median |residual|, which under Gauss noise is its standard deviation.

    Where more than half of the residuals vanish the root mean square stands in.
    """
    scale = 1.4826 * float(residual_NF.abs().median())
    rms = math.sqrt(float(residual_NF.square().mean()))
    return max(scale if scale > 1e-3 * rms else rms, 1e-6)


@dataclass(frozen=True)
class Judgement:
    """What the rulers say of validation rows.

    Attributes:
        metrics: As `Result.metrics`.
        parts: As `Result.parts`.
    """

    metrics: dict[str, float]
    parts: dict[str, list[float]]


def judge(bundle: Bundle, data: Data) -> Judgement:
    """The rulers on validation rows, the same for every loss.

    Raises:
        TrainingError: a reconstruction, or what a ruler says of it, is not finite.
    """
    val_NF, columns = data.val_NF, data.schema.columns
    wide_NW = wide.expand(val_NF, columns)
    reconstruction_NW, extra_N = bundle.written(val_NF)
    if not np.isfinite(reconstruction_NW).all():
        raise TrainingError("a reconstruction of validation rows is not finite")
    bits_NF = codelength.cross_fitted_bits(val_NF, reconstruction_NW, columns)
    seen_NF, count_N = ~np.isnan(val_NF), data.count_val_N
    scale_W = metrics.scales(data.spread_W, columns)
    few = hiding.asked(val_NF)
    first_NW, last_NW = hiding.answers(bundle.reconstruct, val_NF[few], columns)
    masked_NF = codelength.cross_fitted_bits(val_NF[few], last_NW, columns)
    few_N = None if count_N is None else count_N[few]
    shown = (bits_NF, seen_NF, extra_N, count_N)
    hidden = (masked_NF, seen_NF[few], extra_N[few], few_N)
    guess_NW = np.broadcast_to(data.mean_W, first_NW.shape)
    values = {
        "bits_per_feature": metrics.bits_per_feature(*shown),
        "bits_per_feature_masked": metrics.bits_per_feature(*hidden),
        **metrics.measure(wide_NW, reconstruction_NW, scale_W),
        "imputation_nrmse": metrics.measure(wide_NW[few], first_NW, scale_W)["nrmse"],
        "imputation_nrmse_mean": metrics.measure(wide_NW[few], guess_NW, scale_W)["nrmse"],
    }
    for name, value in values.items():
        if not math.isfinite(value):
            raise TrainingError(f"{name} of validation rows is {value}")
    parts = {
        "bits_per_feature": metrics.by_part(*shown),
        "bits_per_feature_masked": metrics.by_part(*hidden),
    }
    return Judgement(values, parts)


# Objective -> the metric that it reads, and what that is counted in, for people.
RULERS = {
    "code_length": ("bits_per_feature", "bits per feature"),
    "code_length_masked": ("bits_per_feature_masked", "bits per hidden value"),
    "rmse": ("nrmse", "bits (log2 of the standardised rmse)"),
    "mae": ("nmae", "bits (log2 of the standardised mae)"),
}


def metric_of(name: str) -> str:
    """The metric that an objective reads."""
    return RULERS[name][0]


def objective_unit(name: str) -> str:
    """What `objective` is counted in, for people."""
    return RULERS[name][1]


def objective(name: str, values: Mapping[str, float]) -> float:
    """The number that trials and finalists are ranked by, in bits; lower is better.

    `code_length` is that of reconstructed values, `code_length_masked` that of values which were
    hidden from the model. `rmse` and `mae` are nrmse and nmae in bits (log2), so that a margin in
    bits keeps its meaning.
    """
    value = values[metric_of(name)]
    return value if name.startswith("code_length") else math.log2(max(value, 1e-300))
