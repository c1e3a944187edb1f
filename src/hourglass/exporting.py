"""The model as an ONNX graph for other runtimes: raw rows in, reconstruction and latent out.

The graph holds the scaler. Shapes: N rows, F features, W numbers of a reconstruction, L latent.
"""

import importlib
import json
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hourglass import wide
from hourglass.bundle import Bundle
from hourglass.paths import replacing
from hourglass.scaling import Scaler
from hourglass.schema import Array

NAME = "model.onnx"
INPUT, OUTPUTS = "rows", ("reconstruction", "latent")
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
CLOSE = 1e-4  # relative and absolute, scaled units: float32 computed in another order


def export(bundle: Bundle, rows_NF: Array, path: Path) -> str:
    """Writes the graph if it gives the same numbers in onnxruntime as the bundle here.

    Args:
        bundle: The model.
        rows_NF: Rows for the comparison, 2 or more, original units.
        path: Where to.

    Returns:
        Why nothing was written; "" if it was.
    """
    if bundle.recipe.architecture.variational:
        return (
            "a variational bottleneck is drawn from a hash of the row, which ONNX has no nodes for"
        )
    try:
        for name in PACKAGES:
            importlib.import_module(name)
    except ImportError as error:
        return f"{error.name} is not installed: python -m pip install {' '.join(PACKAGES)}"
    try:
        with replacing(path) as beside:
            _write(bundle, rows_NF, beside)
            return _difference(bundle, rows_NF, beside)
    except (RuntimeError, ValueError, TypeError, NotImplementedError) as error:
        said = " ".join(str(error).split())
        return f"torch can't export it ({type(error).__name__}: {said[:200]})"


class _Graph(nn.Module):
    """From raw rows, (N, F) or (N, *shape), float64, to the outputs."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__()
        self.inputs, self.autoencoder, self.loss = bundle.inputs, bundle.autoencoder, bundle.loss
        self.shape, self.features = bundle.schema.shape, len(bundle.schema.columns)
        widened = bundle.scaler.widened(bundle.schema)
        self.offset_F, self.scale_F = map(torch.from_numpy, _numbers(bundle.scaler))
        self.offset_W, self.scale_W = map(torch.from_numpy, _numbers(widened))

    def forward(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        count = rows.shape[0]  # -1 in its place would fail where there are none
        scaled = (rows.reshape(count, self.features) - self.offset_F) / self.scale_F
        latent = self.autoencoder.encode(self.inputs(scaled.float()))
        answer = self.loss.reconstruct(self.autoencoder.decode(latent)).double()
        answer = answer * self.scale_W + self.offset_W
        return answer if self.shape is None else answer.reshape(count, *self.shape), latent


def _numbers(scaler: Scaler) -> tuple[Array, Array]:
    return scaler.offset_F.copy(), scaler.scale_F.copy()


def _write(bundle: Bundle, rows_NF: Array, path: Path) -> None:
    quiet = logging.getLogger("torch.onnx")
    level = quiet.level
    quiet.setLevel(logging.ERROR)  # of operators of torchvision, which nobody asked for
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter's own use of what torch deprecates
            program = torch.onnx.export(
                _Graph(bundle).eval(),
                (torch.from_numpy(_shaped(bundle, rows_NF)),),
                input_names=[INPUT],
                output_names=list(OUTPUTS),
                dynamic_shapes={INPUT: {0: torch.export.Dim("rows")}},
                dynamo=True,
                verbose=False,
            )
    finally:
        quiet.setLevel(level)
    model = program.model  # type: ignore[union-attr]  # None without dynamo
    for node in model.graph:
        node.metadata_props.clear()  # where in whose source a node comes from
    for value in (*model.graph.inputs, *model.graph.outputs):
        value.metadata_props.clear()
    model.metadata_props["hourglass"] = json.dumps(_described(bundle))
    program.save(path, external_data=False)  # type: ignore[union-attr]


def _described(bundle: Bundle) -> dict[str, Any]:
    """What the numbers of the graph are: names in order, the levels that codes stand for."""
    columns = bundle.schema.columns
    return {
        "rows": list(bundle.schema.names),
        "levels": {c.name: list(c.levels) for c in columns if c.levels},
        "reconstruction": list(wide.names(columns)),
    }


def _shaped(bundle: Bundle, rows_NF: Array) -> Array:
    shape = bundle.schema.shape
    return rows_NF if shape is None else rows_NF.reshape(len(rows_NF), *shape)


def _difference(bundle: Bundle, rows_NF: Array, path: Path) -> str:
    """How onnxruntime's numbers differ from the bundle's; "" if they don't.

    Raises:
        ValueError: they do; what was written is not kept.
    """
    onnxruntime = importlib.import_module("onnxruntime")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    scale_W = bundle.scaler.widened(bundle.schema).scale_F
    for some_NF in (rows_NF, rows_NF[:1]):
        answer, latent_NL = session.run(None, {INPUT: _shaped(bundle, some_NF)})
        here = bundle.answered(some_NF)
        there_NW = answer.reshape(len(some_NF), -1)
        pairs = {
            "reconstruction": (there_NW / scale_W, here.reconstruction_NW / scale_W),
            "latent": (latent_NL, here.latent_NL),
        }
        for name, (there, own) in pairs.items():
            if not np.allclose(there, own, rtol=CLOSE, atol=CLOSE):
                raise ValueError(f"its {name} differs by {np.abs(there - own).max():.2g}")
    return ""
