"""The ONNX graph gives the bundle's numbers, for every kind of network and of column."""

import json
import sys

import numpy as np
import pytest
import torch
from tests.fits import MIXED, mixed_schema

from hourglass import exporting, scaling
from hourglass.bundle import Bundle, Recipe, modules
from hourglass.inputs import Inputs
from hourglass.models import Architecture
from hourglass.schema import Column, Kind, Schema
from hourglass.wide import width

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


def made(
    schema: Schema, rows_NF: np.ndarray, kind: str = "dense", loss: str = "mse", **changes
) -> Bundle:
    """An untrained bundle: what matters is that two runtimes agree on it."""
    inputs, outputs = Inputs(schema).width, width(schema.columns)
    options = {"hidden": (5, 4), "activation": "silu", "variational": False} | changes
    own = Architecture(inputs, outputs, 2, shape=schema.shape, **options)
    kinds = {c.kind.value for c in schema.columns} - {"continuous"}
    heads = {"binary": "bce", "count": "poisson", "categorical": "cross_entropy"}
    heads = {k: heads[k] for k in sorted(kinds)}
    seen = dict.fromkeys(["continuous", *kinds], 1.0)
    recipe = Recipe(loss, {"learning_rate": 0.1}, heads, kind, own, 0, False, seen, seen)
    scaler = scaling.fit("standard", rows_NF, schema)
    torch.manual_seed(0)
    mean_F = np.nanmean(rows_NF, axis=0)
    parts = [m.eval() for m in modules(recipe, schema, scaler, mean_F)]
    return Bundle(recipe, schema, scaler, *parts)


def numbers(shape: tuple[int, ...] | None, count: int, gaps: bool = False) -> Schema:
    columns = tuple(Column(f"c{i}", Kind.CONTINUOUS, None, None, None, 0) for i in range(count))
    return Schema("a test", columns, {}, {}, shape, {}, "d", gaps=gaps)


def rows_of(count: int, gaps: bool = False) -> np.ndarray:
    rng = np.random.default_rng(0)
    rows_NF = rng.normal(100, 20, (40, count))
    rows_NF[rng.random(rows_NF.shape) < 0.1 * gaps] = np.nan
    return rows_NF


CASES = {
    "a table": (numbers(None, 6), "dense", {}),
    "a linear net": (numbers(None, 6), "dense", {"hidden": ()}),
    "images": (numbers((5, 4, 3), 60), "convolutional", {}),
    "images with gaps": (numbers((5, 4, 1), 20, gaps=True), "convolutional", {}),
    "images in a dense net": (numbers((4, 4, 1), 16), "dense", {}),
    "windows": (numbers((9, 2), 18), "temporal", {"activation": "gelu"}),
    "windows with gaps": (numbers((9, 2), 18, gaps=True), "temporal", {}),
}


@pytest.mark.parametrize("case", [*CASES, "a column of each kind"])
def test_onnxruntime_gives_the_bundles_numbers_for_any_number_of_rows(case, tmp_path):
    if case in CASES:
        schema, kind, options = CASES[case]
        rows_NF = rows_of(len(schema.columns), schema.gaps)
        bundle = made(schema, rows_NF, kind, **options)
    else:
        rows_NF = MIXED["train"]
        bundle = made(mixed_schema(), rows_NF)
        rows_NF = np.vstack([rows_NF, [0, 0, 1, 5, 3]])  # a level never seen
    path = tmp_path / "model.onnx"
    assert exporting.export(bundle, rows_NF[:7], path) == ""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for some_NF in (rows_NF, rows_NF[-1:], rows_NF[:0]):
        given = exporting._shaped(bundle, some_NF)
        answer, latent = session.run(None, {"rows": given})
        expected = bundle.answered(some_NF)
        if bundle.schema.shape is not None:
            assert answer.shape == (len(some_NF), *bundle.schema.shape)
        np.testing.assert_allclose(
            answer.reshape(expected.reconstruction_NW.shape),
            expected.reconstruction_NW,
            rtol=1e-4,
            atol=1e-3,
        )
        np.testing.assert_allclose(latent, expected.latent_NL, rtol=1e-4, atol=1e-4)
    assert [f.name for f in tmp_path.iterdir()] == ["model.onnx"]


def test_the_graph_says_what_its_numbers_are_and_nothing_of_this_machine(tmp_path):
    bundle, path = made(mixed_schema(), MIXED["train"]), tmp_path / "model.onnx"
    assert exporting.export(bundle, MIXED["train"][:3], path) == ""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    said = json.loads(session.get_modelmeta().custom_metadata_map["hourglass"])
    assert said["rows"] == list(mixed_schema().names)
    assert said["levels"] == {"level": ["low", "mid", "high"]}
    assert said["reconstruction"][-1] == "level=high"
    assert b"exporting.py" not in path.read_bytes()
    first = path.read_bytes()
    exporting.export(bundle, MIXED["train"][:3], path)
    assert path.read_bytes() == first


def test_a_graph_with_other_numbers_is_not_kept(tmp_path, monkeypatch):
    schema = numbers(None, 6)
    bundle, other = made(schema, rows_of(6)), made(schema, rows_of(6) + 9)
    write = exporting._write
    monkeypatch.setattr(exporting, "_write", lambda _, *rest: write(other, *rest))
    said = exporting.export(bundle, rows_of(6), tmp_path / "model.onnx")
    assert "its reconstruction differs by" in said
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_exported_says_why(tmp_path, monkeypatch):
    schema, path = numbers(None, 6), tmp_path / "model.onnx"
    drawn = made(schema, rows_of(6), variational=True)
    assert "variational bottleneck is drawn" in exporting.export(drawn, rows_of(6), path)
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    said = exporting.export(made(schema, rows_of(6)), rows_of(6), path)
    assert said == "onnxscript is not installed: python -m pip install onnx onnxscript onnxruntime"
    assert not path.exists()
