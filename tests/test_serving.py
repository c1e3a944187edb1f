"""The registered model takes raw rows as people have them and refuses what it can't answer."""

from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch

from hourglass import codelength, scaling, serving
from hourglass.bundle import Bundle, Recipe, modules
from hourglass.errors import DataError
from hourglass.models import Architecture
from hourglass.provenance import PACKAGE
from hourglass.schema import Column, Kind, Schema

NAMES = ("a", "b", "c")


def rows(count: int = 60) -> np.ndarray:
    return np.random.default_rng(0).normal([0, 5, -3], [1, 2, 0.5], (count, 3))


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    columns = tuple(Column(n, Kind.CONTINUOUS, None, None, None, 0) for n in NAMES)
    schema = Schema("a table", columns, {}, {}, None, {"train": 60, "val": 60, "test": 0}, "d")
    scaler = scaling.fit("standard", rows(), columns)
    architecture = Architecture(3, 2, (4,), "silu", None)
    hyper = {"learning_rate": 1e-2}
    recipe = Recipe("gaussian_nll", hyper, "dense", architecture, 0, False, 0.5, 4.0)
    torch.manual_seed(0)
    autoencoder, loss = modules(recipe, schema, scaler)
    made = Bundle(recipe, schema, scaler, autoencoder.eval(), loss.eval())
    return made.calibrated(rows())


def test_a_saved_bundle_answers_with_the_same_bits(bundle, tmp_path):
    bundle.save(tmp_path / "bundle")
    again = Bundle.load(tmp_path / "bundle")
    reconstruction = bundle.reconstruct(rows())
    assert np.array_equal(again.reconstruct(rows()), reconstruction)
    assert np.array_equal(
        again.code_length(rows(), reconstruction), bundle.code_length(rows(), reconstruction)
    )


def test_the_code_length_is_of_the_rows_given_their_reconstruction(bundle):
    """A survivor of mutation: the reconstruction's own code length passed."""
    answer = bundle.reconstruct(rows())
    calibration = codelength.fit(rows(), answer, bundle.schema.columns)
    bits = bundle.code_length(rows(), answer)
    np.testing.assert_allclose(bits, codelength.bits(calibration, rows(), answer))
    far = bundle.code_length(rows() + 5, answer)
    assert far.mean() > bits.mean() + 1


def test_saving_again_replaces_the_folder(bundle, tmp_path):
    bundle.save(tmp_path / "bundle")
    bundle.save(tmp_path / "bundle")
    assert {f.name for f in tmp_path.rglob("*")} == {"bundle", "model.json", "weights.safetensors"}


def test_a_value_that_float32_cannot_hold_is_named(bundle):
    far = rows(3)
    far[1, 0] = 1e45
    with pytest.raises(DataError, match=r"row 2 of these: 1e\+45 is so far from the training rows"):
        bundle.reconstruct(far)


def test_an_uncalibrated_bundle_gives_no_code_length(bundle):
    bare = Bundle(bundle.recipe, bundle.schema, bundle.scaler, bundle.autoencoder, bundle.loss)
    with pytest.raises(ValueError, match="not calibrated"):
        bare.code_length(rows(), rows())


def test_columns_may_come_in_any_order_with_others_between(bundle):
    frame = pd.DataFrame(rows(5), columns=NAMES)
    mixed = frame.assign(other="text")[["c", "other", "a", "b"]]
    pd.testing.assert_frame_equal(serving.answer(bundle, mixed), serving.answer(bundle, frame))


def test_an_array_is_taken_in_the_schemas_order(bundle):
    frame = pd.DataFrame(rows(5), columns=NAMES)
    pd.testing.assert_frame_equal(
        serving.answer(bundle, rows(5)), serving.answer(bundle, frame), check_index_type=False
    )


def test_the_index_of_the_rows_is_kept(bundle):
    frame = pd.DataFrame(rows(3), columns=NAMES, index=["x", "y", "z"])
    assert list(serving.answer(bundle, frame).index) == ["x", "y", "z"]


def test_the_code_length_is_the_sum_over_the_columns(bundle):
    answer = serving.answer(bundle, rows(5))
    bits = bundle.code_length(rows(5), bundle.reconstruct(rows(5))).sum(axis=1)
    np.testing.assert_array_equal(answer["code_length_bits"], bits)


def test_a_feature_named_like_the_code_length_keeps_its_name():
    assert serving.code_length_name(("code_length_bits",)) == "code_length_bits_"


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pd.DataFrame({"a": [1.0], "b": [2.0]}), r"lack column 'c' \(1 of 3 are missing\)"),
        (pd.DataFrame({"a": [1.0], "b": [np.nan], "c": [0.0]}), "row 0, column 'b': nan"),
        (pd.DataFrame({"a": [1.0], "b": [np.inf], "c": [0.0]}), "row 0, column 'b': inf"),
        (pd.DataFrame({"a": [1.0], "b": ["x"], "c": [0.0]}), "column 'b': 'x' is no number"),
        (np.zeros((2, 4)), "rows have 4 columns, the model takes 3"),
    ],
)
def test_rows_that_cannot_be_answered_are_refused(bundle, frame, message):
    with pytest.raises(DataError, match=message):
        serving.answer(bundle, frame)


def test_no_rows_give_no_answers(bundle):
    assert serving.answer(bundle, pd.DataFrame(columns=list(NAMES), dtype=float)).shape == (0, 4)


def test_mlflow_packs_it_without_a_pickle_and_takes_numbers_of_any_type(bundle, tmp_path):
    bundle.save(tmp_path / "bundle")
    mlflow.pyfunc.save_model(
        tmp_path / "model",
        python_model=str(serving.ENTRY),
        artifacts={"bundle": str(tmp_path / "bundle")},
        code_paths=[str(PACKAGE)],
        signature=serving.signature(bundle),
        pip_requirements=serving.requirements(),
        input_example=pd.DataFrame(rows(2), columns=NAMES),
    )
    assert not list(Path(tmp_path / "model").rglob("*.pkl"))
    model = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    whole = pd.DataFrame([[1, 2, 3], [4, 5, 6]], columns=NAMES)
    for kind in ("int64", "int32", "uint8", "float32", "float64"):
        np.testing.assert_allclose(
            model.predict(whole.astype(kind)), serving.answer(bundle, whole), rtol=1e-6
        )
    with pytest.raises(mlflow.exceptions.MlflowException, match="missing inputs"):
        model.predict(whole[["a", "b"]])
