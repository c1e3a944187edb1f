"""One fit as a pure function: `run(spec) -> result`; the same spec gives the same result anywhere.

Search runs it for trials, train for finalists. It reads the pipeline's files, writes only the
bundle it was asked to save, and knows neither Optuna nor MLflow.
Shapes: N rows, F features, L latent dimensions.
"""

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from hourglass import codelength, metrics, scaling
from hourglass.bundle import Bundle, Recipe, context_of, modules
from hourglass.config import Model
from hourglass.errors import LossError, TrainingError
from hourglass.losses import Context
from hourglass.models import Architecture
from hourglass.paths import Paths, existing, read_json
from hourglass.scaling import Scaler
from hourglass.schema import Schema
from hourglass.splitting import resplit
from hourglass.training import Curve, Rows, Schedule, TrainerOptions, fit, is_rank_zero

Array = NDArray[np.float64]

# For the masked code length each value is hidden from the model once, in one of so many passes: a
# share of 14 % at a time. All values are scored, so that few rows suffice for the ruler.
HIDING_PASSES = 7
PCA_ROWS = 10_000  # enough to estimate a residual scale


# What a loss and its hyperparameters can be blamed for; torch lacks some operations in some
# precisions. Any other error stops the stage.
FAILURES = (TrainingError, LossError, NotImplementedError)


@dataclass(frozen=True)
class Spec:
    """All that a fit depends on; picklable.

    Attributes:
        root: Folder of params.yaml.
        loss: Name of the loss.
        scaler: Name of the scaler.
        hyper: Learning rate and the loss's own hyperparameters.
        model: The architecture, as params.yaml gives it.
        epochs: Passes over the training rows.
        batch_size: Rows of a global batch.
        seed: Of initial weights and order of rows.
        resplit: Whether the seed also redraws training and validation rows.
        trainer: Options for Lightning.
        save_to: Folder for the bundle; None: nothing is kept.
    """

    root: Path
    loss: str
    scaler: str
    hyper: Mapping[str, float]
    model: Model
    epochs: int
    batch_size: int
    seed: int
    resplit: bool = False
    trainer: TrainerOptions = field(default_factory=TrainerOptions)
    save_to: Path | None = None


@dataclass(frozen=True)
class Result:
    """What came of a fit.

    Attributes:
        metrics: `bits_per_feature` and `bits_per_feature_masked` (code lengths, cross-fitted on
            validation rows) and `metrics.measure` on validation rows, original units.
        curve: One entry an epoch, see `training.Fit`.
        seconds: Wall time of the fit with its judgement.
        failure: Why it failed; empty if it did not.
    """

    metrics: dict[str, float]
    curve: Curve
    seconds: float
    failure: str = ""


@dataclass(frozen=True)
class Data:
    """Rows of one fit, and the scaler fitted on its training rows.

    Attributes:
        schema: The columns.
        scaler: Fitted on the training rows.
        train_NF: Training rows, scaled, float32.
        val_scaled_NF: Validation rows, scaled, float32.
        val_NF: Validation rows in original units.
        mean_F: Mean of each column over training rows, original units.
        spread_F: Standard deviation of each column over training rows, original units.
    """

    schema: Schema
    scaler: Scaler
    train_NF: NDArray[np.float32]
    val_scaled_NF: NDArray[np.float32]
    val_NF: Array
    mean_F: Array
    spread_F: Array


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
        data = load(Paths(spec.root), spec.scaler, spec.seed if spec.resplit else None)
        bundle, curve = _fitted(spec, data)
        values = judge(bundle, data)
        if spec.save_to is not None and is_rank_zero():
            bundle.calibrated(data.val_NF).save(spec.save_to)
        return Result(values, curve, time.perf_counter() - start)
    except FAILURES as error:
        return Result({}, [], time.perf_counter() - start, " ".join(str(error).split()))
    except torch.OutOfMemoryError as error:
        raise TrainingError(
            f"{spec.loss}: the device has no memory left. Nothing finished is lost: run the same "
            "command again; fewer `workers` in params.yaml need less memory"
        ) from error


def load(paths: Paths, scaler: str, resplit_seed: int | None) -> Data:
    """Reads training and validation rows with their scaler.

    Args:
        paths: Where the pipeline's files are.
        scaler: Name of the scaler.
        resplit_seed: Redraws which rows train and which validate; the scaler is then fitted on
            the redrawn training rows. None: the split and scaler of the earlier stages.
    """
    schema = Schema.from_json(read_json(paths.schema, "preprocess"))
    val_NF = np.load(existing(paths.values("val"), "preprocess"))
    if resplit_seed is None:
        fitted = Scaler.from_json(read_json(paths.scaler(scaler), "normalize"))
        train_NF, scaled_NF = (
            np.load(existing(paths.scaled(scaler, split), "normalize"))
            for split in ("train", "val")
        )
        return _data(schema, fitted, train_NF, scaled_NF, val_NF)
    train_NF = np.load(existing(paths.values("train"), "preprocess"))
    both_NF = np.concatenate([train_NF, val_NF])
    train_index, val_index = resplit(len(train_NF), len(val_NF), resplit_seed)
    train_NF, val_NF = both_NF[train_index], both_NF[val_index]
    fitted = scaling.fit(scaler, train_NF, schema.columns)
    train_scaled_NF = fitted.transform(train_NF).astype(np.float32)
    val_scaled_NF = fitted.transform(val_NF).astype(np.float32)
    return _data(schema, fitted, train_scaled_NF, val_scaled_NF, val_NF)


def _data(
    schema: Schema,
    scaler: Scaler,
    train_NF: NDArray[np.float32],
    val_scaled_NF: NDArray[np.float32],
    val_NF: Array,
) -> Data:
    mean_F = scaler.inverse(train_NF.mean(axis=0, dtype=np.float64))
    spread_F = train_NF.std(axis=0, dtype=np.float64) * scaler.scale_F
    return Data(schema, scaler, train_NF, val_scaled_NF, val_NF, mean_F, spread_F)


@_one_thread()
def context(paths: Paths, scaler: str, latent_dim: int) -> Context:
    """What a loss may know of the training rows under this scaler, before the first trial."""
    data = load(paths, scaler, None)
    scaled_NF = torch.from_numpy(data.train_NF)
    scale = residual_scale(scaled_NF, latent_dim)
    return context_of(data.schema, data.scaler, scale, span(scaled_NF))


def _fitted(spec: Spec, data: Data) -> tuple[Bundle, Curve]:
    scaled_NF = torch.from_numpy(data.train_NF)
    recipe = _recipe(spec, data.schema, scaled_NF)
    columns = data.schema.columns
    rows = Rows(
        train_NF=scaled_NF,
        val_NF=torch.from_numpy(data.val_scaled_NF),
        unit_F=torch.from_numpy(data.scaler.scale_F),
        floor_F=torch.tensor([c.resolution or 1e-12 for c in columns], dtype=torch.float64),
    )
    plan = Schedule(spec.epochs, spec.batch_size, spec.hyper["learning_rate"], spec.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec.seed)
        autoencoder, loss = modules(recipe, data.schema, data.scaler)
        curve = fit(autoencoder, loss, rows, plan, spec.trainer)
    return Bundle(recipe, data.schema, data.scaler, autoencoder, loss), curve


def _recipe(spec: Spec, schema: Schema, scaled_NF: torch.Tensor) -> Recipe:
    architecture = Architecture(
        features=len(schema.columns),
        latent_dim=spec.model.latent_dim,
        hidden=spec.model.hidden,
        activation=spec.model.activation,
        grid=schema.grid,
    )
    return Recipe(
        loss=spec.loss,
        hyper=spec.hyper,
        kind=spec.model.kind,
        architecture=architecture,
        seed=spec.seed,
        resplit=spec.resplit,
        residual_scale=residual_scale(scaled_NF, spec.model.latent_dim),
        span=span(scaled_NF),
    )


def span(scaled_NF: torch.Tensor) -> float:
    """Largest minus smallest scaled value."""
    return float(scaled_NF.max() - scaled_NF.min())


def residual_scale(rows_NF: torch.Tensor, latent_dim: int) -> float:
    """Typical residual of a PCA with `latent_dim` components: 1.4826 x median |residual|.

    1.4826 makes the median absolute deviation a standard deviation under Gauss noise. Where more
    than half of the residuals vanish the root mean square stands in. Of many rows it takes evenly
    spaced ones: a sorted table's first rows are not like the rest.
    """
    some_NF = rows_NF[:: -(-len(rows_NF) // PCA_ROWS)].double()
    centred_NF = some_NF - some_NF.mean(dim=0)
    _, _, directions = torch.linalg.svd(centred_NF, full_matrices=False)
    basis_LF = directions[:latent_dim]
    residual_NF = centred_NF - centred_NF @ basis_LF.T @ basis_LF
    scale = 1.4826 * float(residual_NF.abs().median())
    rms = math.sqrt(float(residual_NF.square().mean()))
    return max(scale if scale > 1e-3 * rms else rms, 1e-6)


def judge(bundle: Bundle, data: Data) -> dict[str, float]:
    """The rulers on validation rows, the same for every loss.

    Raises:
        TrainingError: a reconstruction, or what a ruler says of it, is not finite.
    """
    val_NF, columns = data.val_NF, data.schema.columns
    reconstruction_NF = bundle.reconstruct(val_NF)
    if not np.isfinite(reconstruction_NF).all():
        raise TrainingError("a reconstruction of validation rows is not finite")
    bits_NF = codelength.cross_fitted_bits(val_NF, reconstruction_NF, columns)
    masked_NF = codelength.cross_fitted_bits(val_NF, blind(bundle, data), columns)
    values = {
        "bits_per_feature": float(bits_NF.mean()),
        "bits_per_feature_masked": float(masked_NF.mean()),
        **metrics.measure(val_NF, reconstruction_NF, metrics.scales(data.spread_F, columns)),
    }
    for name, value in values.items():
        if not math.isfinite(value):
            raise TrainingError(f"{name} of validation rows is {value}")
    return values


def blind(bundle: Bundle, data: Data) -> Array:
    """Reconstructs each validation value from its row with that value hidden, shape (N, F).

    A hidden value is replaced by its column's mean over the training rows.
    """
    val_NF, mean_F = data.val_NF, data.mean_F
    pass_NF = np.random.default_rng(0).integers(HIDING_PASSES, size=val_NF.shape)
    blind_NF = np.empty_like(val_NF)
    for number in range(HIDING_PASSES):
        hidden_NF = pass_NF == number
        answer_NF = bundle.reconstruct(np.where(hidden_NF, mean_F, val_NF))
        blind_NF[hidden_NF] = answer_NF[hidden_NF]
    return blind_NF


def objective_unit(name: str) -> str:
    """What `objective` is counted in, for people."""
    if name.startswith("code_length"):
        return "bits per feature"
    return f"bits (log2 of the standardised {name})"


def objective(name: str, values: Mapping[str, float]) -> float:
    """The number that trials and finalists are ranked by, in bits per feature; lower is better.

    `code_length_masked` is the mean of both code lengths. `rmse` and `mae` are nrmse and nmae in
    bits (log2), so that a margin in bits keeps its meaning.
    """
    if name == "code_length":
        return values["bits_per_feature"]
    if name == "code_length_masked":
        return (values["bits_per_feature"] + values["bits_per_feature_masked"]) / 2
    return math.log2(max(values[f"n{name}"], 1e-300))
