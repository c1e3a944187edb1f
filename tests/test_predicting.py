"""A file is scored to the same bytes whatever comes between; bad rows do what was asked."""

import os
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.fits import MIXED
from tests.registry import make_registered

from hourglass import config, given, predicting, registered, serving
from hourglass.__main__ import main
from hourglass.errors import ConfigError, DataError
from hourglass.paths import Paths
from hourglass.predicting import Job

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory):
    root = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.chdir(root)
        bundle = make_registered(root)
        model = registered.find(config.load(Paths(root).params).register_, root)
        yield root, bundle, model


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(predicting, "MOST_ROWS", 7)


def people(bundle, ids: bool = True) -> pd.DataFrame:
    frame = serving.example(bundle, MIXED["test"])
    return frame.assign(id=[f"=id{i}" for i in range(len(frame))]) if ids else frame


def scored(job: Job, model) -> pd.DataFrame:
    predicting.run(job, model)
    read = pd.read_csv if job.target.suffix == ".csv" else pd.read_parquet
    return read(job.target)


def test_every_pair_of_formats_gives_the_numbers_of_the_bundle(made, tmp_path, small_chunks):
    _, bundle, model = made
    frame = people(bundle)
    frame.to_csv(tmp_path / "rows.csv", index=False)
    frame.to_parquet(tmp_path / "rows.parquet")
    answer_NW, extra_N = bundle.written(MIXED["test"])
    bits_N = bundle.code_length(MIXED["test"], answer_NW).sum(axis=1) + extra_N
    for one in ("csv", "parquet"):
        for other in ("csv", "parquet"):
            target = tmp_path / f"from_{one}.{other}"
            found = scored(Job(tmp_path / f"rows.{one}", target, ["id"], returned=ALL), model)
            np.testing.assert_allclose(found["code_length_bits"], bits_N, rtol=1e-6)
            np.testing.assert_allclose(
                found[["near", "far", "flag", "count"]], answer_NW[:, :4], rtol=1e-5
            )
            mark = "'" if other == "csv" else ""
            assert found["id"].tolist() == [f"{mark}=id{i}" for i in range(len(frame))]
            assert {"latent_2", "level_bits", "anomaly"} <= set(found.columns)
    assert (tmp_path / "from_csv.csv").read_text().count("near,") == 1


ALL = serving.RETURNS
LENGTH = ["code_length_bits"]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_killed_and_started_again_it_gives_the_same_bytes(
    made, tmp_path, small_chunks, monkeypatch, suffix
):
    _, bundle, model = made
    people(bundle).to_csv(tmp_path / "rows.csv", index=False)
    whole, again = tmp_path / f"whole.{suffix}", tmp_path / f"again.{suffix}"
    predicting.run(Job(tmp_path / "rows.csv", whole), model)

    class Killed(BaseException):
        pass

    asked, answers = [], serving.answers

    def die_at_the_fourth(*arguments):
        asked.append(arguments)
        if len(asked) == 4:
            raise Killed
        return answers(*arguments)

    monkeypatch.setattr(serving, "answers", die_at_the_fourth)
    with pytest.raises(Killed):
        predicting.run(Job(tmp_path / "rows.csv", again), model)
    assert not again.exists()
    predicting.run(Job(tmp_path / "rows.csv", again), model)
    assert len(asked) == 7  # of six chunks three were kept
    assert again.read_bytes() == whole.read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        ["rows.csv", whole.name, again.name]
    )


def test_chunks_of_another_input_are_not_taken_over(made, tmp_path, small_chunks, monkeypatch):
    _, bundle, model = made
    source, target = tmp_path / "rows.csv", tmp_path / "out.csv"
    frame = people(bundle)
    bad = frame.astype(object)
    bad.loc[20, "near"] = "much"
    bad.to_csv(source, index=False)
    with pytest.raises(DataError, match="line 22, column 'near': 'much' is no number"):
        predicting.run(Job(source, target), model)
    frame.assign(near=frame["near"] + 1).to_csv(source, index=False)
    found = scored(Job(source, target), model)
    expected = serving.answer(bundle, frame.assign(near=frame["near"] + 1))
    np.testing.assert_allclose(found["far"], expected["far"], rtol=1e-6)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_bad_rows_are_skipped_or_marked(made, tmp_path, small_chunks, suffix):
    _, bundle, model = made
    frame = people(bundle).astype(object)
    frame.loc[[2, 30], "near"] = ["=much", 1e300]
    frame.loc[7:13, "far"] = "much"  # a whole chunk
    source = tmp_path / "rows.csv"
    frame.to_csv(source, index=False)
    wrong = [2, *range(7, 14), 30]
    good = [i for i in range(len(frame)) if i not in wrong]
    job = {"source": source, "keep": ["id"], "target": tmp_path / f"skip.{suffix}"}
    skipped = scored(Job(**job, on_bad_row="skip"), model)
    assert [text.lstrip("'") for text in skipped["id"]] == [f"=id{i}" for i in good]
    job["target"] = tmp_path / f"mark.{suffix}"
    marked = scored(Job(**job, on_bad_row="mark"), model)
    assert len(marked) == len(frame)
    errors = marked["error"].fillna("")
    assert [i for i, text in enumerate(errors) if text] == wrong
    assert errors[2].startswith("column 'near': '=much' is no number")
    assert marked.loc[wrong, "code_length_bits"].isna().all()
    np.testing.assert_allclose(
        marked.loc[good, "code_length_bits"], skipped["code_length_bits"], rtol=1e-9
    )
    assert marked.loc[good, "anomaly"].astype(bool).tolist() == skipped["anomaly"].tolist()


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_kept_whole_numbers_beside_a_gap_stay_whole(made, tmp_path, small_chunks, suffix):
    """A regression: pandas made floats of them, in the chunks with a gap only."""
    _, bundle, model = made
    ids = [None if i == 9 else 2**53 + 1 + i for i in range(40)]
    table = pa.Table.from_pandas(people(bundle, ids=False), preserve_index=False)
    table = table.append_column("id", pa.array(ids, pa.int64()))
    pq.write_table(table, tmp_path / "rows.parquet")
    for way in predicting.ON_BAD_ROW:
        job = Job(tmp_path / "rows.parquet", tmp_path / f"out.{suffix}", ["id"], way)
        predicting.run(job, model)
        if suffix == "csv":
            found = pd.read_csv(job.target, dtype=str)["id"].fillna("").tolist()
            assert found == ["" if i is None else str(i) for i in ids]
        else:
            column = pq.read_table(job.target).column("id")
            assert (column.type, column.to_pylist()) == (pa.int64(), ids)


def test_what_cannot_be_scored_is_said(made, tmp_path):
    _, bundle, model = made
    source, out = tmp_path / "rows.csv", tmp_path / "out.csv"
    people(bundle).to_csv(source, index=False)
    (tmp_path / "torn.csv").write_text("near,far,flag,count,level\n1,2,1,3,low,9\n")
    whole = "near,far,flag,count,level\n1,2,1,3,low\n"
    (tmp_path / "twice.csv").write_text(whole.replace("flag", "near", 1))
    (tmp_path / "short.csv").write_text(f"{whole}1,2,1,3\n")  # the model would fill a gap in
    (tmp_path / "torn.parquet").write_bytes(b"PAR1 no")
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "latin.csv").write_bytes(b"near,far,flag,count,level\n1,2,1,3,\xe9\n")
    people(bundle).drop(columns="far").to_csv(tmp_path / "lacks.csv", index=False)
    cases = [
        (Job(source, tmp_path / "out.txt"), "must end in .csv or .parquet"),
        (Job(tmp_path / "rows.txt", out), "IN is .*rows.txt; it must be .csv, .tsv"),
        (Job(source, source), "are the same file"),
        (Job(tmp_path / "row.csv", out), "did you mean 'rows.csv'"),
        (Job(source, out, ["idd"]), "--keep idd: .* has no such column, did you mean 'id'"),
        (Job(source, out, ["near"]), "--keep near: the answers have a column of this name"),
        (Job(source, out, returned=["latnet"]), "did you mean 'latent'"),
        (Job(tmp_path / "torn.parquet", out), "torn.parquet can't be read as Parquet"),
        (Job(tmp_path / "empty.csv", out), "empty.csv is empty"),
        (Job(tmp_path / "latin.csv", out), "column 'level', line 2: .* is not in UTF-8"),
        (Job(tmp_path / "lacks.csv", out), "the rows lack column 'far'"),
        (Job(tmp_path / "twice.csv", out), "'near'"),
        (Job(tmp_path / "torn.csv", out), "line 2 has 6 cells, but the header names 5 columns"),
        (Job(tmp_path / "short.csv", out), "line 3 has 4 cells, but the header names 5 columns"),
    ]
    for job, message in cases:
        with pytest.raises((ConfigError, DataError), match=message) as raised:
            predicting.run(job, model)
        assert not re.search(r"Arrow|Unicode|Error\b", str(raised.value))
        assert not out.exists()
        assert not list(tmp_path.glob(".*"))  # nothing half done


@pytest.mark.parametrize("separator", [";", "\t"])
def test_a_spreadsheet_s_decimal_commas_are_read_as_in_training(made, tmp_path, separator):
    """A regression: a model trained on such a table could not score it."""
    _, bundle, model = made
    frame = people(bundle).assign(note="1,5 kg, more or less")
    frame.to_csv(tmp_path / "points.csv", index=False)
    frame.to_csv(tmp_path / "commas.tsv", index=False, sep=separator, decimal=",")
    keep = ["id", "note", "near"]
    points, commas = (
        scored(Job(tmp_path / name, tmp_path / f"{name}.parquet", keep, returned=LENGTH), model)
        for name in ("points.csv", "commas.tsv")
    )
    pd.testing.assert_frame_equal(points.drop(columns="near"), commas.drop(columns="near"))
    assert (commas["near"] == points["near"].str.replace(".", ",")).all()  # as it stands there


def test_a_cell_that_is_no_number_leaves_the_others_their_decimal_commas(made, tmp_path):
    """A regression: one word in a column of a spreadsheet made all of its rows bad ones."""
    _, bundle, model = made
    frame = people(bundle).map(lambda v: str(v).replace(".", ",") if isinstance(v, float) else v)
    frame.loc[2, "near"] = "broken, it seems"
    frame.to_csv(tmp_path / "rows.csv", index=False, sep=";")
    found = scored(Job(tmp_path / "rows.csv", tmp_path / "out.csv", ["id"], "mark"), model)
    errors = found["error"].fillna("")
    assert [i for i, text in enumerate(errors) if text] == [2]
    assert errors[2].startswith("column 'near': 'broken, it seems' is no number")


def test_cells_that_mean_a_gap_elsewhere_are_kept_as_they_are(made, tmp_path):
    _, bundle, model = made
    people(bundle).assign(id="NA").to_csv(tmp_path / "rows.csv", index=False)
    found = scored(Job(tmp_path / "rows.csv", tmp_path / "out.parquet", ["id"]), model)
    assert set(found["id"]) == {"NA"}


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("way", predicting.ON_BAD_ROW)
def test_a_file_without_rows_gives_one_without_answers(made, tmp_path, suffix, way):
    """A day on which nothing happened."""
    _, bundle, model = made
    source, target = tmp_path / f"rows.{suffix}", tmp_path / f"out.{suffix}"
    frame = people(bundle)[:0]
    frame.to_csv(source, index=False) if suffix == "csv" else frame.to_parquet(source)
    found = scored(Job(source, target, ["id"], way), model)
    assert len(found) == 0
    names = ["id", *bundle.schema.names, *serving.USUAL_RETURNS[1:]]
    assert list(found.columns) == names + ["error"] * (way == "mark")


def test_compressed_texts_are_read(made, tmp_path):
    _, bundle, model = made
    people(bundle).to_csv(tmp_path / "rows.csv", index=False)
    people(bundle).to_csv(tmp_path / "rows.csv.gz", index=False)
    jobs = [Job(tmp_path / n, tmp_path / f"{n[5:]}.out.csv") for n in ("rows.csv", "rows.csv.gz")]
    first, second = (scored(job, model) for job in jobs)
    pd.testing.assert_frame_equal(first, second)


def test_the_command_says_what_it_did(made, tmp_path, capsys):
    _, bundle, _ = made
    people(bundle).to_csv(tmp_path / "rows.csv", index=False)
    words = [str(tmp_path / "rows.csv"), str(tmp_path / "out.parquet"), "--keep", "id"]
    assert main(["predict", *words, "--return", "latent", "anomaly", "--version", "1"]) == 0
    out = pq.read_table(tmp_path / "out.parquet")
    assert out.column_names == ["id", "anomaly", "latent_1", "latent_2"]
    assert "hourglass-autoencoder version 1 answered 40 of 40 rows" in capsys.readouterr().out


def test_texts_are_read_at_once_as_they_are_one_by_one(made):
    """What the fast way takes it must take alike."""
    column = pd.Series(["1", " 2.5", "", "nan", "-1e3", "+4", "NaN", "inf"], dtype="str")
    gaps = given.Gaps.of(())
    fast = given._parsed(column, gaps)
    slow, _ = given._numbers(column.astype(object), gaps)
    np.testing.assert_array_equal(fast, slow)
    assert given._parsed(pd.Series(["1_0"], dtype="str"), gaps) is None
    assert given._parsed(pd.Series(["-9"], dtype="str"), given.Gaps.of(("-9",))) is None


def test_two_that_write_the_same_file_do_not_meet(made, tmp_path):
    """A regression: the first to end removed the chunks of the other."""
    _, bundle, model = made
    people(bundle).to_csv(tmp_path / "rows.csv", index=False)
    job = Job(tmp_path / "rows.csv", tmp_path / "out.csv")
    with (
        predicting._alone(job.target),
        pytest.raises(ConfigError, match=r"out.csv, which another process writes just now"),
    ):
        predicting.run(job, model)
    predicting.run(job, model)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.csv", "rows.csv"]


def test_what_a_killed_job_left_goes_when_another_writes_its_file(made, tmp_path):
    _, bundle, model = made
    people(bundle).to_csv(tmp_path / "rows.csv", index=False)
    (tmp_path / ".out[1].csv.0123456789abcdef.parts").mkdir()
    (tmp_path / ".out1.csv.0123456789abcdef.parts").mkdir()  # of another file
    predicting.run(Job(tmp_path / "rows.csv", tmp_path / "out[1].csv"), model)
    left = sorted(p.name for p in tmp_path.iterdir())
    assert left == [".out1.csv.0123456789abcdef.parts", "out[1].csv", "rows.csv"]


@pytest.mark.filterwarnings("ignore")  # of MLflow's, of a model without a signature
def test_a_version_that_is_no_model_of_hourglass_is_told_as_that(made, tmp_path, capsys):
    import mlflow

    class Echo(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input: pd.DataFrame, params=None):
            return model_input

    _, bundle, model = made
    mlflow.set_tracking_uri(model.store)
    with mlflow.start_run():
        info = mlflow.pyfunc.log_model(name="echo", python_model=Echo())
    version = mlflow.register_model(info.model_uri, model.name).version
    people(bundle).to_csv(tmp_path / "rows.csv", index=False)
    words = [str(tmp_path / "rows.csv"), str(tmp_path / "out.csv")]
    assert main(["predict", *words, "--version", str(version)]) == 2
    said = f"{model.name} version {version} holds no whole model of Hourglass (KeyError:"
    assert said in capsys.readouterr().err


def test_chunks_of_another_model_or_file_are_not_gone_on_with(tmp_path):
    """A regression: in a store that was made anew, version 1 may be another model."""
    rows = tmp_path / "rows.csv"
    rows.write_text("a\n1\n")
    job, asked = Job(rows, tmp_path / "out.csv"), serving.Asked()
    before = predicting._identity(job, [rows], "a model", asked)
    assert predicting._identity(job, [rows], "a model", asked) == before
    assert predicting._identity(job, [rows], "another", asked) != before
    stat = rows.stat()
    rows.write_text("a\n2\n")
    os.utime(rows, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # as `cp -p` does
    assert predicting._identity(job, [rows], "a model", asked) != before


def test_a_model_is_the_same_each_time_it_is_fetched(made):
    _, _, model = made
    digests = set()
    for _ in range(2):
        with registered.fetched(model) as files:
            digests.add(predicting.digest_files(*sorted(files.iterdir())))
    assert len(digests) == 1


def test_out_may_not_be_a_folder(made, tmp_path):
    _, bundle, model = made
    people(bundle).to_csv(tmp_path / "rows.csv", index=False)
    (tmp_path / "out.csv").mkdir()
    with pytest.raises(ConfigError, match=r"out.csv, which is a folder; name a file"):
        predicting.run(Job(tmp_path / "rows.csv", tmp_path / "out.csv"), model)


def test_rows_of_other_data_are_told_what_the_model_was_trained_on(made, tmp_path):
    _, bundle, model = made
    pd.DataFrame({"a": [1.0]}).to_csv(tmp_path / "rows.csv", index=False)
    newer = replace(model, newest=model.version + 1)
    said = (
        rf"lack column 'near' .*\. {model.name} version {model.version} was trained on "
        rf"{bundle.schema.source}; version {newer.newest} is newer: --version {newer.newest}"
    )
    with pytest.raises(DataError, match=said):
        predicting.run(Job(tmp_path / "rows.csv", tmp_path / "out.csv"), newer)
