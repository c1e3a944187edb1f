"""The registered model takes raw rows as people have them and refuses what it can't answer."""

import contextlib
import io
import pickle
import pickletools
import zipfile
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
from tests.fits import MIXED, make_mixed_files, mixed_schema, mixed_spec

from hourglass import codelength, given, scaling, serving, trials
from hourglass.bundle import Bundle, Recipe, modules
from hourglass.errors import DataError, HourglassError
from hourglass.gaps import Gaps
from hourglass.given import _values
from hourglass.models import Architecture
from hourglass.provenance import PACKAGE
from hourglass.schema import Column, Kind, Schema

NAMES = ("a", "b", "c")
LEVELS = np.array(["low", "mid", "high"], object)


def rows(count: int = 60) -> np.ndarray:
    return np.random.default_rng(0).normal([0, 5, -3], [1, 2, 0.5], (count, 3))


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    columns = tuple(Column(n, Kind.CONTINUOUS, None, None, None, 0) for n in NAMES)
    schema = Schema("a table", columns, {}, {}, None, {"train": 60, "val": 60, "test": 0}, "d")
    scaler = scaling.fit("standard", rows(), schema)
    architecture = Architecture(3, 3, 2, (4,), "silu")
    hyper, scale, span = {"learning_rate": 1e-2}, {"continuous": 0.5}, {"continuous": 4.0}
    recipe = Recipe("gaussian_nll", hyper, {}, "dense", architecture, 0, False, scale, span)
    torch.manual_seed(0)
    made = Bundle(recipe, schema, scaler, *(m.eval() for m in modules(recipe, schema, scaler)))
    return made.calibrated(rows())


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Of a table with a column of each kind, whose values may be missing."""
    root = make_mixed_files(tmp_path_factory.mktemp("mixed"))
    one = replace(mixed_spec(root), epochs=40, batch_size=16, save_to=root / "bundle")
    trials.run(one)
    return Bundle.load(root / "bundle")


def people(count: int = 8) -> pd.DataFrame:
    """Rows without gaps as people have them: levels by name."""
    whole_NF = MIXED["test"][~np.isnan(MIXED["test"]).any(axis=1)][:count]
    frame = pd.DataFrame(whole_NF, columns=mixed_schema().names)
    return frame.assign(level=LEVELS[whole_NF[:, 4].astype(int)])


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
    bare = replace(bundle, calibration=None)
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


def variational(bundle: Bundle, *hidden: int) -> Bundle:
    architecture = replace(bundle.recipe.architecture, variational=True, hidden=hidden)
    recipe = replace(bundle.recipe, architecture=architecture)
    torch.manual_seed(0)
    parts = [m.eval() for m in modules(recipe, bundle.schema, bundle.scaler)]
    return Bundle(recipe, bundle.schema, bundle.scaler, *parts).calibrated(rows())


def test_a_variational_bottleneck_costs_the_row_its_divergence(bundle):
    own = variational(bundle, 4)
    answer_NW, extra_N = own.written(rows(5))
    assert extra_N.min() > 0
    bits_N = own.code_length(rows(5), answer_NW).sum(axis=1) + extra_N
    np.testing.assert_allclose(serving.answer(own, rows(5))["code_length_bits"], bits_N)


@pytest.mark.parametrize("at_once", [1, 2, 3, 16, 33])
def test_the_draw_of_a_row_does_not_depend_on_the_rows_beside_it(bundle, at_once):
    own = variational(bundle, 64)
    together_NW, _ = own.written(rows())
    parts = [own.written(rows()[i : i + at_once])[0] for i in range(0, 60, at_once)]
    np.testing.assert_allclose(np.concatenate(parts), together_NW, rtol=1e-4, atol=1e-4)


def test_a_feature_named_like_the_code_length_keeps_its_name():
    taken = {"code_length_bits", "anomaly_"}
    assert list(serving._apart(["code_length_bits", "anomaly"], taken)) == [
        "code_length_bits_",
        "anomaly",
    ]


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pd.DataFrame({"a": [1.0], "b": [2.0]}), r"lack column 'c' \(1 of 3 are missing\)"),
        (pd.DataFrame({"a": [1.0], "b": [np.nan], "c": [0.0]}), "row 0 .*, column 'b': nan"),
        (pd.DataFrame({"a": [1.0], "b": [np.inf], "c": [0.0]}), "row 0 .*, column 'b': inf"),
        (
            pd.DataFrame({"a": [1.0], "b": ["x"], "c": [0.0]}),
            "row 0 .*, column 'b': 'x' is no",
        ),
        (np.zeros((2, 3), "datetime64[D]"), "an array of datetime64\\[D\\]; give numbers"),
        (np.zeros((2, 3), complex), "an array of complex128; give numbers"),
        (np.zeros((2, 4)), "an array of shape \\(2, 4\\); the model takes \\(rows, 3\\)"),
    ],
)
def test_rows_that_cannot_be_answered_are_refused(bundle, frame, message):
    with pytest.raises(DataError, match=message):
        serving.answer(bundle, frame)


def test_no_rows_give_no_answers(bundle, mixed):
    none = serving.answer(mixed, people(0))
    assert (none.shape, list(none.columns)[5]) == ((0, 9), "code_length_bits")
    assert serving.answer(bundle, pd.DataFrame(columns=list(NAMES), dtype=float)).shape == (0, 7)


# --- levels and gaps ------------------------------------------------------------------------------


def test_levels_go_in_and_come_out_by_name(mixed):
    answer = serving.answer(mixed, people())
    codes_NF = given.read(people(), mixed.schema).rows_NF
    np.testing.assert_array_equal(
        codes_NF[:, 4], [["low", "mid", "high"].index(v) for v in people()["level"]]
    )
    answer_NW = mixed.reconstruct(codes_NF)
    likely = np.array(["low", "mid", "high"])[answer_NW[:, 4:].argmax(axis=1)]
    assert answer["level"].tolist() == likely.tolist()
    np.testing.assert_array_equal(answer[["near", "far", "flag", "count"]], answer_NW[:, :4])
    bits_N = mixed.code_length(codes_NF, answer_NW).sum(axis=1)
    np.testing.assert_array_equal(answer["code_length_bits"], bits_N)


def test_a_trained_model_knows_levels_again(mixed):
    level = np.where(
        MIXED["test"][:, 0] > 0.7, "high", np.where(MIXED["test"][:, 0] < -0.7, "low", "")
    )
    sure = MIXED["test"][(level != "") & ~np.isnan(MIXED["test"]).any(axis=1)]
    frame = serving.example(mixed, sure)
    answer = serving.answer(mixed, frame)
    assert (answer["level"] == frame["level"]).mean() > 0.7


def test_a_level_never_seen_is_answered_and_costly(mixed):
    """It has a code of its own; the other columns are reconstructed as if it were missing."""
    known, strange = people(), people().assign(level="purple")
    answer = serving.answer(mixed, strange)
    assert set(answer["level"]) <= {"low", "mid", "high"}
    assert np.isfinite(answer["code_length_bits"]).all()
    code = mixed.calibration.codes[4].fitted["unseen"]
    assert 0 < code < 0.05
    rest = mixed.code_length(
        given.read(strange.assign(level=None), mixed.schema).rows_NF,
        mixed.reconstruct(given.read(strange, mixed.schema).rows_NF),
    )
    cost = answer["code_length_bits"] - rest.sum(axis=1)
    np.testing.assert_allclose(cost, -np.log2(code))
    assert (answer["code_length_bits"] > serving.answer(mixed, known)["code_length_bits"]).all()


def test_what_is_missing_is_filled_in_and_costs_nothing(mixed):
    whole = people()
    for name in whole.columns:
        gap = None if name == "level" else np.nan
        answer = serving.answer(mixed, whole.assign(**{name: gap}))
        assert not answer.isna().any(axis=None)
        codes_NF = given.read(whole.assign(**{name: gap}), mixed.schema).rows_NF
        bits_NF = mixed.code_length(codes_NF, mixed.reconstruct(codes_NF))
        assert (bits_NF[:, list(whole.columns).index(name)] == 0).all()
    far = serving.answer(mixed, whole.assign(far=np.nan))["far"]
    mean = np.nanmean(MIXED["train"][:, 1])
    error, guess = (np.sqrt(np.square(v - whole["far"]).mean()) for v in (far, mean))
    assert error < guess  # inferred from the other columns


def test_a_row_of_gaps_alone_is_answered(mixed):
    nothing = pd.DataFrame([[np.nan] * 4 + [None]], columns=mixed_schema().names)
    answer = serving.answer(mixed, nothing)
    assert answer["code_length_bits"].item() == 0
    assert not answer.isna().any(axis=None)


def test_infinite_values_are_refused_where_gaps_are_not(mixed):
    with pytest.raises(
        DataError, match=r"row 1 .*, column 'far': inf; the model takes finite numbers$"
    ):
        serving.answer(mixed, people(3).assign(far=[1.0, np.inf, 2.0]))


@pytest.mark.parametrize(
    ("spelt", "expected"),
    [(3, "3"), (3.0, "3"), ("3", "3"), (2.5, "2.5"), (True, "true"), (" high ", "high")],
)
def test_levels_are_spelt_as_sources_spell_them(spelt, expected):
    column = Column("size", Kind.CATEGORICAL, None, None, None, 0, ("3", "2.5", "true", "high"))
    codes, _ = _values(pd.Series([spelt, None], dtype=object), column, Gaps.of(()))
    assert column.levels[int(codes[0])] == expected
    assert np.isnan(codes[1])
    own_type = pd.Series([spelt])  # of pandas
    assert _values(own_type, column, Gaps.of(()))[0] == codes[0]


def test_a_level_that_the_model_has_not_seen_has_a_code_of_its_own():
    column = Column("size", Kind.CATEGORICAL, None, None, None, 0, ("s", "m"))
    for spelt in ("l", "S", "s m", 7):
        assert _values(pd.Series([spelt]), column, Gaps.of(()))[0] == [2]


def test_rows_come_back_as_a_user_would_give_them(mixed):
    """The example that is packed with the model: what `answer` makes codes of, gaps as None."""
    rows_NF = MIXED["train"][:20]
    rows_NF = np.where(np.arange(5) == 4, np.append(rows_NF[:19, 4], 3.0)[:, None], rows_NF)
    frame = serving.example(mixed, rows_NF)
    assert frame["level"].isna().tolist() == [*np.isnan(rows_NF[:19, 4]), True]
    again_NF = given.read(frame, mixed.schema).rows_NF
    np.testing.assert_array_equal(again_NF[:19], rows_NF[:19])


def test_the_signature_tells_types_of_answers(mixed):
    signature = serving.signature(mixed)
    names = mixed_schema().names
    assert signature.inputs.input_names() == list(names)
    assert signature.outputs.input_names() == [*names, *serving.USUAL_RETURNS[1:]]
    kinds = [kind.name for kind in signature.outputs.input_types()]
    assert kinds == ["double"] * 4 + ["string", "double", "double", "boolean", "string"]


# --- packed by MLflow -----------------------------------------------------------------------------


def packed(bundle: Bundle, folder: Path, example: pd.DataFrame):
    bundle.save(folder / "bundle")
    mlflow.pyfunc.save_model(
        folder / "model",
        python_model=str(serving.ENTRY),
        artifacts={"bundle": str(folder / "bundle")},
        code_paths=[str(PACKAGE)],
        signature=serving.signature(bundle),
        pip_requirements=serving.requirements(),
        input_example=example,
    )
    return mlflow.pyfunc.load_model(str(folder / "model"))


def pickles(folder: Path) -> list[str]:
    """Files that hold a pickle or code that isn't text, archives looked into."""
    found = []
    for path in folder.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            found += [f"{path.name}{inside}" for inside in _pickled(path.read_bytes())]
    return found


def _pickled(content: bytes) -> list[str]:
    if zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
            return [f"/{n}{deep}" for n in names for deep in _pickled(archive.read(n))]
    if content.endswith(b".") and (content[:1] == b"\x80" or b"\nc" in b"\n" + content[:64]):
        with contextlib.suppress(ValueError, IndexError, UnicodeDecodeError):
            opcodes = [opcode.name for opcode, _, _ in pickletools.genops(content)]
            return [f" ({len(opcodes)} opcodes)"]
    return []


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_pickle_would_be_found_in_an_archive_in_an_archive(tmp_path, protocol):
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("data.bin", pickle.dumps(Path("a"), protocol))
    with zipfile.ZipFile(tmp_path / "weights.pt", "w") as archive:
        archive.writestr("inner.zip", inner.getvalue())
    (tmp_path / "harmless.txt").write_text("calm down.")
    assert [name.partition(" ")[0] for name in pickles(tmp_path)] == [
        "weights.pt/inner.zip/data.bin"
    ]


def test_mlflow_packs_it_without_a_pickle_and_takes_numbers_of_any_type(bundle, tmp_path):
    model = packed(bundle, tmp_path, pd.DataFrame(rows(2), columns=NAMES))
    assert pickles(tmp_path / "model") == []
    whole = pd.DataFrame([[1, 2, 3], [4, 5, 6]], columns=NAMES)
    for kind in ("int64", "int32", "uint8", "float32", "float64"):
        pd.testing.assert_frame_equal(
            model.predict(whole.astype(kind)), serving.answer(bundle, whole), rtol=1e-6
        )
    with pytest.raises(mlflow.exceptions.MlflowException, match="missing inputs"):
        model.predict(whole[["a", "b"]])


def test_mlflow_lets_levels_and_gaps_through(mixed, tmp_path):
    model = packed(mixed, tmp_path, serving.example(mixed, MIXED["train"][:3]))
    gaps = serving.example(mixed, MIXED["test"])
    assert gaps.isna().any(axis=None)
    strange = people().assign(level="purple", count=people()["count"].astype("int64"))
    for frame in (
        people(),
        gaps,
        strange,
        people().assign(level=people()["level"].astype("category")),
    ):
        expected = serving.answer(mixed, frame)
        pd.testing.assert_frame_equal(model.predict(frame), expected, rtol=1e-6)


def test_what_stood_for_a_gap_in_training_is_a_gap_in_a_served_row(mixed):
    """A regression: -9999, named in preprocess.missing_values, counted as a reading."""
    bundle = replace(mixed, schema=replace(mixed.schema, missing_values=(-9999.0, "?")))
    name = mixed.schema.names[0]
    plain, coded = people().astype(object), people().astype(object)
    plain.loc[[0, 1, 2], name], coded.loc[[0, 1, 2], name] = np.nan, [-9999, "?", " NA "]
    plain.loc[[3, 4], "level"], coded.loc[[3, 4], "level"] = np.nan, ["?", "n/a"]
    pd.testing.assert_frame_equal(serving.answer(bundle, coded), serving.answer(bundle, plain))
    array, gaps = MIXED["test"][:5].copy(), MIXED["test"][:5].copy()
    array[1:3, 0], gaps[1:3, 0] = -9999, np.nan
    pd.testing.assert_frame_equal(serving.answer(bundle, array), serving.answer(bundle, gaps))


def test_flags_and_numbers_may_come_as_texts(mixed):
    flag = next(c.name for c in mixed.schema.columns if c.kind is Kind.BINARY)
    texts = people().astype(str)
    texts[flag] = people()[flag].map({0.0: "False", 1.0: "true"})
    pd.testing.assert_frame_equal(serving.answer(mixed, texts), serving.answer(mixed, people()))


def test_a_text_that_is_no_number_is_named_with_its_row(mixed):
    rows, name = people().astype(object), mixed.schema.names[0]
    rows.loc[2, name] = "much"
    with pytest.raises(DataError, match=f"row 2 .*, column '{name}': 'much' is no number"):
        serving.answer(mixed, rows)


# --- what is asked for ----------------------------------------------------------------------------


def asked(*returned: str, share: float = 0.01) -> serving.Asked:
    return serving.Asked(returned, share)


def test_just_what_is_asked_for_is_returned(mixed):
    names = list(mixed.schema.names)
    every = serving.answer(mixed, people(), asked(*serving.RETURNS))
    shares, surprises = ([f"{n}{end}" for n in names] for end in ("_bits", "_surprise_bits"))
    latent = ["latent_1", "latent_2"]
    assert list(every.columns) == [
        *(*names, *serving.USUAL_RETURNS[1:], *shares, *surprises, *latent)
    ]
    pd.testing.assert_frame_equal(
        serving.answer(mixed, people()), every[[*names, *serving.USUAL_RETURNS[1:]]]
    )
    for name, columns in (("latent", latent), ("shares", shares), ("anomaly", ["anomaly"])):
        pd.testing.assert_frame_equal(serving.answer(mixed, people(), asked(name)), every[columns])
    np.testing.assert_allclose(every[shares].sum(axis=1), every["code_length_bits"])
    np.testing.assert_allclose(every[surprises].sum(axis=1), every["surprise_bits"])


def test_the_latent_is_what_the_decoder_reads(bundle):
    latent = serving.answer(bundle, rows(5), asked("latent")).to_numpy()
    with torch.inference_mode():
        raw = bundle.autoencoder.decode(torch.from_numpy(latent.astype(np.float32)))
        scaled = bundle.loss.reconstruct(raw).numpy()
    np.testing.assert_allclose(
        bundle.scaler.inverse(scaled), bundle.reconstruct(rows(5)), rtol=1e-5
    )


def test_the_surprise_is_the_mean_of_the_code_lengths_with_and_without_the_model(bundle):
    """Without it: around the middle of the column, calibrated on the same rows."""
    x_NF = np.asarray(rows(60), np.float64)
    found = serving.answer(bundle, x_NF)
    columns, alone = bundle.schema.columns, []
    for around_F in (np.mean(x_NF, axis=0), np.median(x_NF, axis=0)):
        around_NF = np.broadcast_to(around_F, x_NF.shape)
        alone.append(codelength.bits(codelength.fit(x_NF, around_NF, columns), x_NF, around_NF))
    nearer_F = alone[1].sum(axis=0) < alone[0].sum(axis=0)
    alone_N = np.where(nearer_F, alone[1], alone[0]).sum(axis=1)
    expected_N = (found["code_length_bits"] + alone_N) / 2
    np.testing.assert_allclose(found["surprise_bits"], expected_N)


def test_a_row_that_the_model_copies_is_surprising_by_its_values(bundle):
    """Why there are two codes: what the bottleneck carries of a row is free in the first."""
    far, x_NF = np.full((1, 3), 40.0), rows()
    answers_NF = bundle.reconstruct(x_NF)
    usual_N = bundle.code_length(x_NF, answers_NF).sum(axis=1)
    assert bundle.code_length(far, far).sum() <= usual_N.min()
    assert bundle.surprise(far, far).sum() > 2 * bundle.surprise(x_NF, answers_NF).sum(axis=1).max()


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_no_more_than_the_share_of_the_calibrating_rows_are_anomalies(bundle, share):
    marked = serving.answer(bundle, rows(), asked("anomaly", share=share))["anomaly"]
    assert share - 1 / 60 <= marked.mean() <= share
    far = serving.answer(bundle, rows() + 30, asked("anomaly", share=share))["anomaly"]
    assert far.all()


def test_columns_outside_the_training_range_are_named(bundle, mixed):
    assert (serving.answer(bundle, rows())["outside_training_range"] == "").all()
    strange = rows(4)
    strange[1, 0], strange[2, [0, 2]] = 99, (-99, 99)
    named = serving.answer(bundle, strange)["outside_training_range"].tolist()
    assert named == ["", "a", "a, c", ""]
    frame = serving.answer(mixed, people(3).assign(level=["low", "purple", None]))
    assert [("level" in text) for text in frame["outside_training_range"]] == [False, True, False]


def test_many_columns_outside_the_range_are_counted():
    outside = np.array([[True] * 7, [False] * 7])
    assert serving._named(outside, list("abcdefg")).tolist() == ["a, b, c, d, e, 2 more", ""]


def test_the_range_is_that_of_the_training_rows_to_the_last_bit(mixed):
    """A fit keeps it in scaled float32, in which rows are compared."""
    frame = serving.example(mixed, MIXED["train"])
    assert (serving.answer(mixed, frame)["outside_training_range"] == "").all()
    most = np.nanmax(MIXED["train"][:, 1])
    edge = people(2).assign(far=[most, most * (1 + 1e-6)])
    assert serving.answer(mixed, edge)["outside_training_range"].tolist() == ["", "far"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"returned": ["latnet"]}, "return: unknown 'latnet', did you mean 'latent'"),
        ({"returned": []}, "return names nothing"),
        ({"anomaly_share": 1.0}, "anomaly_share is 1.0; it must be above 0 and below 1"),
        ({"anomaly_share": np.nan}, "anomaly_share is nan"),
        ({"anomaly_share": None}, "anomaly_share is None; it must be above 0 and below 1"),
        ({"returned": [None]}, "return: unknown None"),
    ],
)
def test_what_no_answer_holds_is_refused(changes, message):
    with pytest.raises(HourglassError, match=message):
        serving.Asked(**changes)


def test_rows_of_no_use_are_told_apart_from_the_others(bundle):
    frame = pd.DataFrame(rows(6).astype(object), columns=NAMES, index=list("uvwxyz"))
    frame.iloc[1, 1], frame.iloc[2, 0], frame.iloc[4, 2] = "much", 1e300, np.nan
    found = serving.answers(bundle, frame)
    assert found.at_K.tolist() == [0, 3, 5]
    pd.testing.assert_frame_equal(found.frame, serving.answer(bundle, frame.iloc[[0, 3, 5]]))
    said = [found.wrong[row] for row in (1, 2, 4)]
    assert [text.partition(":")[0] for text in said] == ["column 'b'", "column 'a'", "column 'c'"]
    assert "1e+300 is so far from the training rows that it can't be computed with" in said[1]


def test_an_answer_that_is_not_finite_is_an_error_of_its_row(bundle):
    far = rows(3)
    far[2, 1] = 3e38
    with torch.no_grad():
        wide_net = replace(bundle, scaler=replace(bundle.scaler, scale_F=np.ones(3)))
        own = bundle.autoencoder.decoder[-1].weight.clone()
        bundle.autoencoder.decoder[-1].weight *= 1e30
        found = serving.answers(wide_net, far)
        bundle.autoencoder.decoder[-1].weight.copy_(own)
    assert list(found.wrong) == [2]
    assert "column 'b'" in found.wrong[2]


@pytest.mark.parametrize(
    ("given_rows", "message"),
    [
        (pd.DataFrame({"a": [1], "b": [1], "C": [1]}), "lack column 'c' .*they have a, b, C"),
        (pd.DataFrame([[1, 2, 3, 4]], columns=["a", "b", "c", "a"]), "column 'a' more than once"),
        ({"a": [1, 2], "b": [1], "c": [1]}, "don't fit together"),
        ([[1, 2], [3]], "no array of numbers"),
        ([["x", "y", "z"]], "no array of numbers"),
        (np.zeros((1, 1, 3)), r"shape \(1, 1, 3\)"),
        (
            pd.DataFrame({"a": [[1, 2]], "b": [1], "c": [1]}),
            r"row 0 .*'a': \[1, 2\] is no",
        ),
        (pd.DataFrame({"a": [10**400], "b": [1], "c": [1]}), "row 0 .*, column 'a': inf"),
        (
            pd.DataFrame({"a": pd.to_datetime(["2020-01-01"]), "b": [1], "c": [1]}),
            "row 0 .*, column 'a': Timestamp",
        ),
    ],
)
def test_rows_of_another_make_are_refused(bundle, given_rows, message):
    with pytest.raises(DataError, match=message):
        serving.answer(bundle, given_rows)


def test_images_go_in_as_they_are(bundle, tmp_path):
    """Columns by name, rows of numbers, arrays and lists in their shape: the same answers."""
    columns = tuple(Column(f"p{i}", Kind.CONTINUOUS, None, None, None, 0) for i in range(3))
    image = replace(bundle, schema=replace(bundle.schema, columns=columns, shape=(1, 3, 1)))
    image = image.calibrated(rows())
    expected = serving.answer(image, rows(4))
    natural = rows(4).reshape(4, 1, 3, 1)
    example = serving.example(image, rows(2))
    assert example.shape == (2, 1, 3, 1)
    model = packed(image, tmp_path, example)
    named = pd.DataFrame(rows(4), columns=image.schema.names)
    for given_rows in (rows(4), natural, natural.tolist(), named, named[["p2", "p0", "p1"]]):
        pd.testing.assert_frame_equal(model.predict(given_rows), expected)
    with pytest.raises(
        mlflow.exceptions.MlflowException, match=r"\(rows, 3\) or \(rows, 1, 3, 1\)"
    ):
        model.predict(natural[:, :, :2])


def test_params_of_a_request_say_what_is_returned(bundle, tmp_path):
    model = packed(bundle, tmp_path, pd.DataFrame(rows(2), columns=NAMES))
    frame = pd.DataFrame(rows(), columns=NAMES)
    answer = model.predict(frame, params={"return": ["latent", "anomaly"], "anomaly_share": 0.5})
    assert list(answer.columns) == ["anomaly", "latent_1", "latent_2"]
    assert answer["anomaly"].sum() == 30
    with pytest.raises(mlflow.exceptions.MlflowException, match="did you mean 'shares'") as raised:
        model.predict(frame, params={"return": ["share"]})
    assert raised.value.get_http_status_code() == 400
