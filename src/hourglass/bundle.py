"""A trained autoencoder with all it needs to answer for raw rows: scaler, weights, calibration.

A bundle is a folder of JSON and safetensors; nothing in it is code, nothing is pickled.
Shapes: N rows, F features, L latent dimensions.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from hourglass import codelength, losses, models
from hourglass.codelength import Calibration
from hourglass.errors import DataError
from hourglass.losses import Context, Loss
from hourglass.models import Architecture, Autoencoder
from hourglass.paths import replacing, write_json
from hourglass.scaling import Scaler
from hourglass.schema import Schema

Array = NDArray[np.float64]

ROWS_AT_A_TIME = 8192  # bounds the memory of an answer


@dataclass(frozen=True)
class Recipe:
    """What was fitted, and how: enough to build the modules anew before loading weights.

    Attributes:
        loss: Name of the loss.
        hyper: Its hyperparameters and the learning rate.
        kind: Name of the model.
        architecture: Sizes of the model.
        seed: Of initial weights and order of rows.
        resplit: Whether the seed also redrew training and validation rows.
        residual_scale: See `losses.Context`.
        span: See `losses.Context`.
    """

    loss: str
    hyper: Mapping[str, float]
    kind: str
    architecture: Architecture
    seed: int
    resplit: bool
    residual_scale: float
    span: float


@dataclass(frozen=True)
class Bundle:
    """Raw rows in, reconstructions and code lengths out.

    Attributes:
        recipe: What was fitted.
        schema: The columns.
        scaler: Fitted on the training rows of this fit.
        autoencoder: On the CPU, in evaluation mode.
        loss: Holds the head that turns raw decoder output into a reconstruction.
        calibration: The residual model of each column, fitted on validation rows; None before.
    """

    recipe: Recipe
    schema: Schema
    scaler: Scaler
    autoencoder: Autoencoder
    loss: Loss
    calibration: Calibration | None = None

    def reconstruct(self, rows_NF: Array) -> Array:
        """Reconstructs rows, original units in and out, float64, shape (N, F).

        Args:
            rows_NF: Rows with the schema's columns in order.

        Raises:
            DataError: a value is too far from the training rows to be computed with.
        """
        exact_NF = self.scaler.transform(rows_NF)
        for row, column in np.argwhere(np.abs(exact_NF) > np.finfo(np.float32).max)[:1]:
            raise DataError(
                f"column {self.schema.names[column]!r}, row {row + 1} of these: "
                f"{rows_NF[row, column]:g} is so far from the training rows that float32 can't "
                "hold it after scaling; mend the value or leave the row out"
            )
        scaled_NF = torch.from_numpy(exact_NF.astype(np.float32))
        parts = [self._answer(part) for part in torch.split(scaled_NF, ROWS_AT_A_TIME)]
        return self.scaler.inverse(torch.cat(parts).numpy().astype(np.float64))

    def _answer(self, scaled_BF: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            return self.loss.reconstruct(self.autoencoder(scaled_BF))

    def code_length(self, rows_NF: Array, reconstruction_NF: Array) -> Array:
        """Bits of each entry under the calibrated residual models, shape (N, F)."""
        if self.calibration is None:
            raise ValueError("the bundle is not calibrated yet")
        return codelength.bits(self.calibration, rows_NF, reconstruction_NF)

    def calibrated(self, rows_NF: Array) -> Self:
        """The same bundle with residual models fitted on `rows_NF` (validation rows)."""
        fitted = codelength.fit(rows_NF, self.reconstruct(rows_NF), self.schema.columns)
        return replace(self, calibration=fitted)

    def save(self, folder: Path) -> None:
        """Writes model.json and weights.safetensors into `folder` in one step."""
        recipe = {
            **vars(self.recipe),
            "hyper": dict(self.recipe.hyper),
            "architecture": self.recipe.architecture.to_json(),
        }
        model = {
            "recipe": recipe,
            "schema": self.schema.to_json(),
            "scaler": self.scaler.to_json(),
            "calibration": self.calibration.to_json() if self.calibration else None,
        }
        with replacing(folder) as beside:
            beside.mkdir(parents=True)
            write_json(beside / "model.json", model)
            save_file(self._weights(), beside / "weights.safetensors")

    def _weights(self) -> dict[str, torch.Tensor]:
        parts = {"autoencoder": self.autoencoder, "loss": self.loss}
        return {f"{p}.{k}": v for p, m in parts.items() for k, v in m.state_dict().items()}

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Reads what `save` wrote; executes nothing from the folder."""
        model: dict[str, Any] = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        raw = model["recipe"]
        recipe = Recipe(**{**raw, "architecture": Architecture.from_json(raw["architecture"])})
        schema = Schema.from_json(model["schema"])
        scaler = Scaler.from_json(model["scaler"])
        autoencoder, loss = modules(recipe, schema, scaler)
        weights = load_file(folder / "weights.safetensors")
        for prefix, module in (("autoencoder.", autoencoder), ("loss.", loss)):
            own = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
            module.load_state_dict(own)
        calibration = model["calibration"]
        fitted = Calibration.from_json(calibration) if calibration else None
        return cls(recipe, schema, scaler, autoencoder.eval(), loss.eval(), fitted)


def modules(recipe: Recipe, schema: Schema, scaler: Scaler) -> tuple[Autoencoder, Loss]:
    """Builds the untrained modules of a recipe; the caller seeds torch."""
    context = context_of(schema, scaler, recipe.residual_scale, recipe.span)
    loss = losses.build(recipe.loss, context, recipe.hyper)
    return models.build(recipe.kind, recipe.architecture), loss


def context_of(schema: Schema, scaler: Scaler, residual_scale: float, span: float) -> Context:
    """What a loss may know, see `losses.Context`."""
    steps = [c.resolution or 0.0 for c in schema.columns]
    resolution_F = torch.tensor(np.array(steps) / scaler.scale_F, dtype=torch.float32)
    return Context(len(steps), resolution_F, residual_scale, span)
