"""A trained autoencoder with all it needs to answer for raw rows: scaler, weights, calibration.

A bundle is a folder of JSON and safetensors; nothing in it is code, nothing is pickled.
Shapes: N rows, F features, W numbers of a reconstruction (see `hourglass.wide`).
"""

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from hourglass import codelength, hiding, losses, models, wide
from hourglass.codelength import Alone, Calibration
from hourglass.errors import DataError, UnknownNameError
from hourglass.inputs import Inputs
from hourglass.losses import Context, Loss
from hourglass.losses._heads import Head, Heads
from hourglass.models import Architecture, Autoencoder
from hourglass.paths import replacing, write_json
from hourglass.scaling import Scaler
from hourglass.schema import Kind, Schema, searched_kind
from hourglass.usual import Usual

Array = NDArray[np.float64]

ROWS_AT_A_TIME = 8192  # bounds the memory of an answer


@dataclass(frozen=True)
class Recipe:
    """What was fitted, and how: enough to build the modules anew before loading weights.

    Attributes:
        loss: Name of the loss of the searched columns.
        hyper: Its hyperparameters and the learning rate.
        heads: Kind -> name of the loss of the columns of this kind, for the other kinds.
        kind: Name of the model.
        architecture: Sizes of the model.
        seed: Of initial weights and order of rows.
        resplit: Whether the seed also redrew training and validation rows.
        residual_scale: Kind of column -> see `losses.Context`.
        span: Kind of column -> see `losses.Context`.
    """

    loss: str
    hyper: Mapping[str, float]
    heads: Mapping[str, str]
    kind: str
    architecture: Architecture
    seed: int
    resplit: bool
    residual_scale: Mapping[str, float]
    span: Mapping[str, float]


@dataclass(frozen=True)
class Answered:
    """What a bundle says of rows.

    Attributes:
        scaled_NF: The rows as they were scaled, float32.
        latent_NL: The bottleneck; of a variational one its mean.
        reconstruction_NW: Original units.
        extra_N: Bits that the bottleneck costs.
    """

    scaled_NF: NDArray[np.float32]
    latent_NL: Array
    reconstruction_NW: Array
    extra_N: Array

    def take(self, chosen_N: NDArray[np.bool_]) -> "Answered":
        """What is said of some of the rows."""
        return Answered(*(values[chosen_N] for values in vars(self).values()))


@dataclass(frozen=True)
class Bundle:
    """Raw rows in, reconstructions and code lengths out.

    Attributes:
        recipe: What was fitted.
        schema: The columns.
        scaler: Fitted on the training rows of this fit.
        inputs: Shows scaled rows to the network.
        autoencoder: On the CPU, in evaluation mode.
        loss: Holds the head that turns raw decoder output into a reconstruction.
        calibration: The residual model of each column, fitted on validation rows; None before.
        masked: The same for values that were hidden from the model, see `hiding.answers`.
        alone: The code of each value without the model.
        usual: The range of training values, and the surprise of validation rows.
    """

    recipe: Recipe
    schema: Schema
    scaler: Scaler
    inputs: Inputs
    autoencoder: Autoencoder
    loss: Loss | Heads
    calibration: Calibration | None = None
    masked: Calibration | None = None
    alone: Alone | None = None
    usual: Usual | None = None

    def reconstruct(self, rows_NF: NDArray[Any]) -> Array:
        """Reconstructs rows, original units in and out, float64, shape (N, W).

        Args:
            rows_NF: Rows with the schema's columns in order; NaN where a value is missing.

        Raises:
            DataError: a value is too far from the training rows to be computed with.
        """
        return self.written(rows_NF)[0]

    def written(self, rows_NF: NDArray[Any]) -> tuple[Array, Array]:
        """Reconstructions, and the bits of each row that its bottleneck costs, (N, W) and (N,).

        A bottleneck is free but for a variational one: it costs its KL divergence, and what is
        reconstructed is a draw from its distribution (the expected code length of Hinton & van Camp
        1993). The draw of a row depends on this row alone.

        Raises:
            DataError: as `reconstruct`.
        """
        answered = self.answered(rows_NF)
        return answered.reconstruction_NW, answered.extra_N

    def answered(self, rows_NF: NDArray[Any]) -> Answered:
        """All that is said of rows, see `written`.

        Raises:
            DataError: as `reconstruct`.
        """
        exact_NF = self.scaler.transform(rows_NF)
        for row, column in np.argwhere(np.abs(exact_NF) > np.finfo(np.float32).max)[:1]:
            raise DataError(
                f"column {self.schema.names[column]!r}, row {row + 1} of these: "
                f"{rows_NF[row, column]:g} is so far from the training rows that float32 can't "
                "hold it after scaling; mend the value or leave the row out"
            )
        scaled_NF = exact_NF.astype(np.float32)
        parts = torch.split(torch.from_numpy(scaled_NF), ROWS_AT_A_TIME)
        columns = zip(*(self._answer(part) for part in parts), strict=True)
        latent_NL, wide_NW, bits_N = (
            torch.cat(column).numpy().astype(np.float64) for column in columns
        )
        original_NW = self.scaler.widened(self.schema).inverse(wide_NW)
        return Answered(scaled_NF, latent_NL, original_NW, bits_N)

    def _answer(self, scaled_BF: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The bottleneck, the scaled reconstruction, and the bits that the bottleneck costs."""
        with torch.inference_mode():
            x_BE, own = self.inputs(scaled_BF), self.recipe.architecture
            code_BC = self.autoencoder.code(x_BE)
            latent_BL = code_BC[:, : own.latent_dim]
            if not own.variational:
                z_BL, bits_B = code_BC, code_BC.new_zeros(len(code_BC))
            else:
                z_BL, nats_B = models.drawn(code_BC, models.own_noise(x_BE, own.latent_dim))
                bits_B = nats_B / math.log(2)
            return latent_BL, self.loss.reconstruct(self.autoencoder.decode(z_BL)), bits_B

    def code_length(self, rows_NF: NDArray[Any], reconstruction_NW: Array) -> Array:
        """Bits of each entry under the calibrated residual models, (N, F); 0 where missing."""
        if self.calibration is None:
            raise ValueError("the bundle is not calibrated yet")
        return codelength.bits(self.calibration, rows_NF, reconstruction_NW)

    def calibrated(self, rows_NF: NDArray[Any], extent: tuple[Array, Array] | None = None) -> Self:
        """The same bundle with residual models fitted on `rows_NF` (validation rows).

        Args:
            rows_NF: Rows in original units.
            extent: Smallest and largest value of each column over the training rows, scaled,
                (F,) each; None: over `rows_NF`.
        """
        columns, some_NF = self.schema.columns, rows_NF[hiding.asked(rows_NF)]
        hidden_NW = hiding.answers(self.reconstruct, some_NF, columns)[1]
        found = self.answered(rows_NF)
        ready = replace(
            self,
            calibration=codelength.fit(rows_NF, found.reconstruction_NW, columns),
            masked=codelength.fit(some_NF, hidden_NW, columns),
            alone=Alone.of(rows_NF, columns),
        )
        bits_NF = ready.surprise(rows_NF, found.reconstruction_NW)
        low_F, high_F = extent or tuple(
            edge.reduce(found.scaled_NF).astype(np.float64) for edge in (np.fmin, np.fmax)
        )
        return replace(ready, usual=Usual.of(low_F, high_F, of_rows(bits_NF, found.extra_N)))

    def masked_code_length(self, rows_NF: Array) -> Array:
        """Bits of each entry while it is hidden from the model, (N, F); 0 where missing."""
        if self.masked is None:
            raise ValueError("the bundle is not calibrated yet")
        hidden_NW = hiding.answers(self.reconstruct, rows_NF, self.schema.columns)[1]
        return codelength.bits(self.masked, rows_NF, hidden_NW)

    def surprise(self, rows_NF: NDArray[Any], reconstruction_NW: Array) -> Array:
        """How unusual each value is, (N, F), in bits; 0 where missing.

        The mean of its code length given what the model says of it and of its code length around
        the middle of its column: minus log2 of the geometric mean of two probabilities (a
        logarithmic opinion pool, Genest & Zidek 1986). What the bottleneck carries is free in the
        first: a row that is unusual as a whole may be reconstructed well; the second sees it.
        """
        if self.alone is None:
            raise ValueError("the bundle is not calibrated yet")
        return (self.code_length(rows_NF, reconstruction_NW) + self.alone.bits(rows_NF)) / 2

    def save(self, folder: Path) -> None:
        """Writes model.json and weights.safetensors into `folder` in one step."""
        recipe = {
            **vars(self.recipe),
            "hyper": dict(self.recipe.hyper),
            "heads": dict(self.recipe.heads),
            "residual_scale": dict(self.recipe.residual_scale),
            "span": dict(self.recipe.span),
            "architecture": self.recipe.architecture.to_json(),
        }
        model = {
            "recipe": recipe,
            "schema": self.schema.to_json(),
            "scaler": self.scaler.to_json(),
            "calibration": self.calibration.to_json() if self.calibration else None,
            "masked": self.masked.to_json() if self.masked else None,
            "alone": self.alone.to_json() if self.alone else None,
            "usual": self.usual.to_json() if self.usual else None,
        }
        with replacing(folder) as beside:
            beside.mkdir(parents=True)
            write_json(beside / "model.json", model)
            save_file(self._weights(), beside / "weights.safetensors")

    def _weights(self) -> dict[str, torch.Tensor]:
        parts = {"inputs": self.inputs, "autoencoder": self.autoencoder, "loss": self.loss}
        return {f"{p}.{k}": v for p, m in parts.items() for k, v in m.state_dict().items()}

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Reads what `save` wrote; executes nothing from the folder.

        Raises:
            DataError: it was not written by `save`, or is damaged.
        """
        with whole(folder):
            return cls._read(folder)

    @classmethod
    def _read(cls, folder: Path) -> Self:
        text = (folder / "model.json").read_text(encoding="utf-8")
        model: dict[str, Any] = json.loads(text, parse_constant=_no_number)
        raw = model["recipe"]
        recipe = Recipe(**{**raw, "architecture": Architecture.from_json(raw["architecture"])})
        schema = Schema.from_json(model["schema"])
        scaler = Scaler.from_json(model["scaler"])
        weights = load_file(folder / "weights.safetensors")
        _require_sizes(recipe, weights)
        for name, weight in weights.items():
            if not bool(torch.isfinite(weight).all()):
                raise ValueError(f"weights of {name} are not finite")
        inputs, autoencoder, loss = modules(recipe, schema, scaler)
        parts = {"inputs.": inputs, "autoencoder.": autoencoder, "loss.": loss}
        for prefix, module in parts.items():
            own = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
            module.load_state_dict(own)
        calibration, masked = (
            Calibration.from_json(model[name]) if model[name] else None
            for name in ("calibration", "masked")
        )
        ready = (inputs.eval(), autoencoder.eval(), loss.eval())
        alone = Alone.from_json(model["alone"]) if model["alone"] else None
        usual = Usual.from_json(model["usual"]) if model["usual"] else None
        return cls(recipe, schema, scaler, *ready, calibration, masked, alone, usual)


def delivered(folder: Path) -> Bundle:
    """A bundle that answers: one that is calibrated, and says finite things of a middling row.

    Raises:
        DataError: it is damaged.
    """
    bundle = Bundle.load(folder)
    with whole(folder):
        if bundle.alone is None or bundle.usual is None:
            raise ValueError("it is not calibrated")
        rows_NF = wide.collapse(bundle.alone.middle_W[None], bundle.schema.columns)
        exact_F = [column.kind is not Kind.CONTINUOUS for column in bundle.schema.columns]
        rows_NF[:, exact_F] = np.round(rows_NF[:, exact_F])
        found = bundle.answered(rows_NF)
        bits_NF = bundle.surprise(rows_NF, found.reconstruction_NW)
        bundle.usual.outside(found.scaled_NF)
        if not (np.isfinite(bits_NF).all() and np.isfinite(found.reconstruction_NW).all()):
            raise ValueError("its answer for a middling row is not finite")
    return bundle


def _no_number(text: str) -> float:
    raise ValueError(f"{text} stands where a number belongs")


def of_rows(surprise_NF: Array, extra_N: Array) -> Array:
    """How unusual rows are, (N,), in bits.

    Args:
        surprise_NF: See `Bundle.surprise`.
        extra_N: What the bottleneck costs, which one of the two codes has to pay.
    """
    return np.asarray(surprise_NF.sum(axis=1) + extra_N / 2)


@contextmanager
def whole(folder: Path, *more: type[Exception]) -> Iterator[None]:
    """Turns whatever a strange or damaged folder makes Python say into one line.

    Args:
        folder: Named in it.
        more: What else may be raised.

    Raises:
        DataError: that line.
    """
    wrong: tuple[type[Exception], ...] = (
        *(ValueError, LookupError, TypeError, AttributeError, RuntimeError, OSError),
        *(SafetensorError, UnknownNameError),
        *more,
    )
    try:
        yield
    except wrong as error:
        said = " ".join(str(error).split())
        raise DataError(
            f"{folder} holds no whole model of Hourglass ({type(error).__name__}: {said[:200]}): "
            "it is damaged, or another version wrote it"
        ) from error


def _require_sizes(recipe: Recipe, weights: Mapping[str, Tensor]) -> None:
    """Compares the sizes that the recipe names with those of the weights, before it is built.

    Raises:
        ValueError: they differ; a recipe may name more than memory holds.
    """
    with torch.device("meta"):
        named = models.build(recipe.kind, recipe.architecture).state_dict()
    for name, weight in named.items():
        stored = weights.get(f"autoencoder.{name}")
        if stored is None or stored.shape != weight.shape:
            found = "none" if stored is None else list(stored.shape)
            raise ValueError(f"weights of {name}: {list(weight.shape)} named, {found} stored")


@dataclass(frozen=True)
class Seen:
    """What the scaled training rows show of the columns of each kind, see `losses.Context`.

    Attributes:
        residual_scale: Kind -> typical residual.
        span: Kind -> largest minus smallest value.
        mean_F: Mean of each column, original units; None: weights that will be loaded know it.
    """

    residual_scale: Mapping[str, float]
    span: Mapping[str, float]
    mean_F: Array | None = field(default=None, repr=False)


def modules(
    recipe: Recipe, schema: Schema, scaler: Scaler, mean_F: Array | None = None
) -> tuple[Inputs, Autoencoder, Loss | Heads]:
    """Builds the untrained modules of a recipe; the caller seeds torch."""
    seen = Seen(recipe.residual_scale, recipe.span, mean_F)
    main = searched_kind(schema.columns)
    heads = []
    for kind in dict.fromkeys(c.kind for c in schema.columns):
        context = context_of(schema, scaler, seen, kind)
        if kind is main:
            loss = losses.build(recipe.loss, context, recipe.hyper)
        else:
            loss = losses.build_default(recipe.heads[kind.value], context)
        heads.append(Head(loss, *_places(schema, kind)))
    every = heads[0].loss if len(heads) == 1 else Heads(heads)
    inputs = Inputs(schema)
    return inputs, models.build(recipe.kind, recipe.architecture), every


def _places(schema: Schema, kind: Kind) -> tuple[list[int], list[int]]:
    """Positions of the columns of a kind, among the features and in the wide form."""
    places = wide.slices(schema.columns)
    at_F = [f for f, c in enumerate(schema.columns) if c.kind is kind]
    return at_F, [w for f in at_F for w in range(places[f].start, places[f].stop)]


def context_of(schema: Schema, scaler: Scaler, seen: Seen, kind: Kind) -> Context:
    """What the loss of the columns of a kind may know, see `losses.Context`."""
    at = [f for f, c in enumerate(schema.columns) if c.kind is kind]
    columns = [schema.columns[f] for f in at]
    steps = np.array([c.resolution or 0.0 for c in columns])
    mean_F = np.ones(len(at)) if seen.mean_F is None else seen.mean_F[at]
    return Context(
        features=len(at),
        resolution_F=_float32(steps / scaler.scale_F[at]),
        residual_scale=seen.residual_scale.get(kind.value, 1.0),
        span=seen.span.get(kind.value, 1.0),
        gaps=schema.gaps,
        offset_F=_float32(scaler.offset_F[at]),
        unit_F=_float32(scaler.scale_F[at]),
        mean_F=_float32(mean_F),
        levels=tuple(c.width for c in columns if c.kind is Kind.CATEGORICAL),
    )


def _float32(values: Array) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)
