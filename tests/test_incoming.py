"""What holds raw rows gives a model the rows that it was trained on, in any chunks."""

import contextlib
import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests.fits import spec, written
from tests.settings import params

from hourglass import incoming, predicting, registered, serving, trials
from hourglass.bundle import Bundle
from hourglass.errors import ConfigError, DataError
from hourglass.incoming import _images as images
from hourglass.paths import Paths, read_json
from hourglass.predicting import Job
from hourglass.registered import Registered
from hourglass.schema import Column, Kind, Schema
from hourglass.sources._picture import pixel_names
from hourglass.stages import preprocess as stages_preprocess

T = 4  # rows of a window
_rng = np.random.default_rng(1)


def of_windows(gaps: bool = False, group: str = "", time: str = "") -> Schema:
    columns = tuple(
        Column(f"{name}@{step}", Kind.CONTINUOUS, None, None, None, 0)
        for step in range(T)
        for name in ("a", "b")
    )
    rows = {"train": 60, "val": 30, "test": 0}
    schema = Schema("series", columns, {}, {}, (T, 2), rows, "01", gaps=gaps)
    return replace(schema, group=group, time=time)


def of_images(high: float | None = 255.0, channels: int = 1, resized: bool = False) -> Schema:
    low = None if high is None else 0.0
    shape = (3, 2, channels)
    columns = tuple(Column(name, Kind.CONTINUOUS, 1.0, low, high, 0) for name in pixel_names(shape))
    rows = {"train": 60, "val": 30, "test": 0}
    return replace(Schema("images", columns, {}, {}, shape, rows, "01"), resized=resized)


def series(rows: int = 23) -> pd.DataFrame:
    values = _rng.normal(size=(rows, 2)).round(6)
    return pd.DataFrame(values, columns=["a", "b"]).assign(id=[f"r{i}" for i in range(rows)])


def every(source: incoming.Incoming, rows: int) -> tuple[np.ndarray, pd.DataFrame, dict]:
    """All rows, what stands beside them, and what is wrong."""
    values, beside, wrong, count = [], [], {}, 0
    for chunk in source.chunks(rows):
        own, unread = chunk.load()
        assert len(own) == chunk.beside.num_rows or not chunk.beside.num_columns
        values.append(np.asarray(own))
        beside.append(chunk.beside.to_pandas())
        wrong |= {count + i: (chunk.place(i), why) for i, why in unread.items()}
        count += len(own)
    return np.concatenate(values), pd.concat(beside, ignore_index=True), wrong


@pytest.mark.parametrize("stride", [1, 3, 6])
@pytest.mark.parametrize("chunk", [1, 2, 5, 100])
@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npy"])
def test_windows_are_those_of_the_series_in_any_chunks(tmp_path, suffix, chunk, stride):
    frame, file = series(), tmp_path / f"s{suffix}"
    values = frame[["a", "b"]].to_numpy()
    if suffix == ".csv":
        frame[["id", "b", "a"]].to_csv(file, index=False)
    elif suffix == ".parquet":
        frame.to_parquet(file)
    else:
        np.save(file, values)
    found, kept, wrong = every(incoming.opened(file, of_windows(), stride), chunk)
    begins = range(0, len(values) - T + 1, stride)
    np.testing.assert_array_equal(found, [values[b : b + T] for b in begins])
    assert kept["last_row"].tolist() == [b + T for b in begins]
    if suffix != ".npy":
        assert kept["id"].tolist() == [f"r{b + T - 1}" for b in begins]
    assert not wrong


@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_no_window_leaves_its_series(tmp_path, chunk, caplog):
    frame = series(20).assign(g=["x"] * 7 + ["7"] * 2 + ["y"] * 11)
    frame.to_csv(tmp_path / "s.csv", index=False)
    source = incoming.opened(tmp_path / "s.csv", of_windows(group="g"), 2)
    found, kept, _ = every(source, chunk)
    assert kept["last_row"].tolist() == [4, 6, 13, 15, 17, 19]
    assert kept["g"].tolist() == ["x"] * 2 + ["y"] * 4
    values = frame[["a", "b"]].to_numpy()
    np.testing.assert_array_equal(found, [values[r - T : r] for r in kept["last_row"]])
    assert "s.csv: no answer for 1 of 3 series, which are shorter than the 4 rows" in caplog.text


def test_rows_of_no_use_spoil_the_windows_that_hold_them(tmp_path):
    frame = series(12).astype(object)
    frame.loc[5, "b"], frame.loc[6, "a"] = "much", "inf"
    frame.to_csv(tmp_path / "s.csv", index=False)
    for chunk in (1, 4, 100):
        _, kept, wrong = every(incoming.opened(tmp_path / "s.csv", of_windows()), chunk)
        assert sorted(wrong) == [2, 3, 4, 5, 6]
        assert wrong[2] == (
            "window up to row 6",
            "row 6 (the first is 1), column 'b': 'much' is no number; give one",
        )
        assert "row 7 (the first is 1), column 'a': inf" in wrong[6][1]
        assert len(kept) == 9


def test_gaps_are_gaps_where_the_model_knows_them(tmp_path):
    frame = series(6)
    frame.loc[4, "a"] = np.nan
    frame.to_csv(tmp_path / "s.csv", index=False)
    _, _, wrong = every(incoming.opened(tmp_path / "s.csv", of_windows()), 100)
    assert sorted(wrong) == [1, 2]
    found, _, wrong = every(incoming.opened(tmp_path / "s.csv", of_windows(gaps=True)), 100)
    assert not wrong
    assert np.isnan(found[1, 3, 0])
    assert np.isnan(found).sum() == 2


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("chunk", [1, 100])
def test_order_is_asked_for_as_in_training(tmp_path, chunk, suffix):
    def save(frame: pd.DataFrame) -> incoming.Incoming:
        file = tmp_path / f"s{suffix}"
        frame.to_csv(file, index=False) if suffix == ".csv" else frame.to_parquet(file)
        return incoming.opened(file, of_windows(group="g", time="when"))

    days = [f"{day}.03.2024 7:30" for day in (1, 2, 9, 10, 11, 12, 1, 2, 3, 4, 5, 6)]
    good = series(12).assign(when=days, g=["x"] * 6 + ["y"] * 6)
    assert len(every(save(good), chunk)[0]) == 6
    bad = good.assign(when=[*days[:2], days[3], days[2], *days[4:]])
    place = "line 5" if suffix == ".csv" else r"row 4 \(the first is 1\)"
    said = f"s{suffix}, {place}: when '9.03.2024 7:30' comes after .*; sort the file by g, when"
    with pytest.raises(DataError, match=said):
        every(save(bad), chunk)
    lacking = incoming.opened(save(good).files[0], of_windows(group="h", time="when"))
    with pytest.raises(DataError, match="add 'h', which tells series apart, and sort the file by"):
        every(lacking, chunk)
    with pytest.raises(DataError, match="g 'x' comes back after 'y', and rows of one g must stand"):
        every(save(good.assign(g=["x"] * 3 + ["y"] * 3 + ["x"] * 6)), chunk)
    with pytest.raises(DataError, match="'soon' in 'when', which orders the rows"):
        every(save(good.assign(when=[*days[:11], "soon"])), chunk)


def test_what_is_no_series_is_said(tmp_path, caplog):
    series(3).to_csv(tmp_path / "short.csv", index=False)
    with pytest.raises(DataError, match=r"short.csv: a window has 4 rows, but it has 3;"):
        every(incoming.opened(tmp_path / "short.csv", of_windows()), 100)
    incoming.opened(tmp_path / "short.csv", of_windows(group="machine"))
    assert "short.csv has no column 'machine', which told the series apart" in caplog.text
    (tmp_path / "none.csv").write_text("a,b,when\n")
    found, kept, _ = every(incoming.opened(tmp_path / "none.csv", of_windows(time="when")), 100)
    assert (len(found), list(kept)) == (0, ["last_row", "a", "b", "when"])
    source = incoming.opened(tmp_path / "short.csv", replace(of_windows(), shape=None))
    assert "a@0" in source.needs.names  # a table of another model
    with pytest.raises(ConfigError, match="--stride 2: the model was not trained on windows"):
        incoming.opened(tmp_path / "short.csv", replace(of_windows(), shape=None), 2)


def test_windows_that_are_rows_already_stay_rows(tmp_path):
    schema = of_windows()
    rows_NTC = _rng.normal(size=(9, T, 2))
    frame = pd.DataFrame(rows_NTC.reshape(9, -1), columns=list(schema.names))
    frame.to_csv(tmp_path / "wide.csv", index=False)
    np.save(tmp_path / "wide.npy", rows_NTC)
    assert len(every(incoming.opened(tmp_path / "wide.csv", schema), 4)[0]) == 9
    np.testing.assert_array_equal(
        every(incoming.opened(tmp_path / "wide.npy", schema), 4)[0], rows_NTC
    )
    with pytest.raises(ConfigError, match=r"--stride 2: .*wide.csv holds a row for each answer"):
        incoming.opened(tmp_path / "wide.csv", schema, 2)


def test_a_row_of_no_group_is_refused_and_groups_may_be_times(tmp_path):
    frame = series(8).assign(g=["x"] * 3 + [None] + ["y"] * 4, t=[1] * 8)
    schema = of_windows(group="g")
    frame.to_csv(tmp_path / "s.csv", index=False)
    frame.to_parquet(tmp_path / "s.parquet")
    for name, place in (("s.csv", "line 5"), ("s.parquet", r"row 4 \(the first is 1\)")):
        said = f"{name}, {place}: no value in 'g', which tells series apart; fill it in"
        with pytest.raises(DataError, match=said):
            every(incoming.opened(tmp_path / name, schema), 2)
    frame.assign(g=[["x"]] * 8).to_parquet(tmp_path / "s.parquet")
    with pytest.raises(DataError, match=r"column 'g' holds list<.*>; a group is one value a row"):
        every(incoming.opened(tmp_path / "s.parquet", schema), 2)
    source = incoming.opened(tmp_path / "s.csv", of_windows(group="t", time="t"))
    assert len(every(source, 3)[0]) == 5


def test_times_are_read_as_in_training(tmp_path):
    def read(times: list[str], **known) -> int:
        lines = [f"{t};{i},5;1,5" for i, t in enumerate(times)]
        (tmp_path / "s.csv").write_text("\n".join(["t;a;b", *lines, ""]))
        return len(every(incoming.opened(tmp_path / "s.csv", replace(schema, **known)), 3)[0])

    schema = of_windows(time="t")
    assert read([f"{t},5" for t in range(9)]) == 6
    with pytest.raises(DataError, match=r"line 5: t '2.5' comes after a later one"):
        read(["0,5", "1,5", "3,5", "2,5", "4,5"])
    with pytest.raises(DataError, match="no value in 't'"):
        read(["0,5", "", "3,5", "4,5"])
    slashes = [f"{n}/{3 + n // 4}/2024" for n in (1, 5, 6, 7, 8, 9)]
    with pytest.raises(DataError, match="day/month or month/day"):
        read(slashes)
    assert read([f"{d}/03/2024" for d in range(1, 9)], day_first=True) == 5
    with pytest.raises(DataError, match="comes after a later one"):
        read(["1/03/2024", "2/03/2024", "3/02/2024", "4/03/2024"], day_first=True)
    assert read(["1/03/2024", "2/03/2024", "3/02/2024", "4/03/2024"], day_first=False) == 1


def test_arrays_of_series_are_cut_one_by_one(tmp_path):
    array_STC = _rng.normal(size=(3, 7, 2))
    np.save(tmp_path / "s.npy", array_STC.astype(">f4"))
    for chunk in (1, 4, 100):
        found, kept, _ = every(incoming.opened(tmp_path / "s.npy", of_windows()), chunk)
        ends = [7 * s + e for s in range(3) for e in (4, 5, 6, 7)]
        assert kept["last_row"].tolist() == ends
        flat = array_STC.reshape(-1, 2)
        np.testing.assert_allclose(found, [flat[e - T : e] for e in ends], rtol=1e-6)
        np.testing.assert_allclose(kept["b"], flat[np.array(ends) - 1, 1], rtol=1e-6)
    numbered = tuple(
        replace(column, name=column.name.replace("a", "1").replace("b", "2"))
        for column in of_windows().columns
    )
    grouped = np.concatenate([np.repeat([[0], [1]], 7, axis=0), array_STC[:2].reshape(14, 2)], 1)
    np.save(tmp_path / "g.npy", grouped)
    schema = replace(of_windows(group="0"), columns=numbered)
    found, kept, _ = every(incoming.opened(tmp_path / "g.npy", schema), 3)
    assert kept["0"].tolist() == [0] * 4 + [1] * 4
    np.testing.assert_array_equal(found[4], array_STC[1, :T])
    np.save(tmp_path / "flat.npy", np.zeros(8))
    for other in (of_windows(), replace(of_windows(), shape=None)):
        with pytest.raises(DataError, match=r"has shape \(8,\)"):
            incoming.opened(tmp_path / "flat.npy", other)


def test_few_windows_of_a_long_series_are_few_chunks(tmp_path):
    series(400).to_csv(tmp_path / "s.csv", index=False)
    chunks = list(incoming.opened(tmp_path / "s.csv", of_windows(), 50).chunks(20))
    assert len(chunks) == 5
    assert sum(chunk.beside.num_rows for chunk in chunks) == 8


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "new"
    (folder / "b").mkdir(parents=True)
    for i, name in enumerate(("z.png", "b/y.png", "a.tiff")):
        Image.fromarray(np.full((3, 2), 10 * i, np.uint8)).save(folder / name)
    return folder


def test_a_folder_of_images_is_read_by_names(pictures):
    for chunk in (1, 100):
        found, kept, wrong = every(incoming.opened(pictures, of_images()), chunk)
        assert kept["file"].tolist() == ["a.tiff", "b/y.png", "z.png"]
        assert found.shape == (3, 3, 2, 1)
        assert found[:, 0, 0, 0].tolist() == [20, 10, 0]
        assert not wrong
    assert every(incoming.opened(pictures, of_images(channels=3)), 2)[0].shape == (3, 3, 2, 3)


def test_images_of_no_use_are_told_each(pictures):
    (pictures / "c.png").write_bytes(b"no picture")
    Image.fromarray(np.zeros((4, 5), np.uint8)).save(pictures / "d.png")
    Image.fromarray(np.zeros((3, 2), np.uint16)).save(pictures / "e.png")
    found, kept, wrong = every(incoming.opened(pictures, of_images()), 100)
    at = {kept["file"][i]: why for i, (_, why) in wrong.items()}
    assert at == {
        "c.png": "could not be read as an image: its 10 bytes are no PNG, JPEG or TIFF",
        "d.png": "has another size: 4 x 5 pixels, and the model takes 3 x 2",
        "e.png": "has other grey levels: they go from 0 to 65535, those of the training rows to "
        "255",
    }
    assert np.isnan(found[list(wrong)]).all()
    resized = every(incoming.opened(pictures, of_images(resized=True)), 100)[2]
    assert [why for _, why in resized.values() if "size" in why] == []


def test_names_and_links_of_any_kind_do_no_harm(tmp_path, pictures):
    (pictures / "gone.png").symlink_to(tmp_path / "nowhere")
    (pictures / "notes").symlink_to(tmp_path / "nowhere")
    odd = Path(os.fsdecode(os.fsencode(pictures) + b"/\xff.png"))
    (pictures / "z.png").rename(odd)
    source = incoming.opened(pictures, of_images())
    _, kept, wrong = every(source, 100)
    assert kept["file"].tolist() == ["a.tiff", "b/y.png", "gone.png", "\\xff.png"]
    assert [place for place, _ in wrong.values()] == ["gone.png"]
    before = incoming.stamp(source.files)
    (pictures / "out.csv.part").touch()
    assert incoming.stamp(source.files) == before
    (pictures / "a.tiff").touch()
    assert incoming.stamp(source.files) != before
    with pytest.raises(DataError, match="the model takes images of 4 channels, and image files"):
        incoming.opened(pictures, of_images(channels=4))
    pictures.rename(tmp_path / "new.csv")
    assert len(incoming.opened(tmp_path / "new.csv", of_images()).files) == 4


def test_arrays_of_images_are_read(tmp_path):
    stack = _rng.integers(0, 256, (7, 3, 2)).astype(np.uint8)
    np.save(tmp_path / "new.npy", stack)
    np.savez(tmp_path / "new.npz", X=stack, y=np.arange(7))
    for name in ("new.npy", "new.npz"):
        found, kept, _ = every(incoming.opened(tmp_path / name, of_images()), 3)
        np.testing.assert_array_equal(found, stack[..., None])
        assert not len(kept.columns)
    np.savez(tmp_path / "new.npz", X=stack, y=np.arange(5))  # the labels don't matter
    assert len(every(incoming.opened(tmp_path / "new.npz", of_images()), 3)[0]) == 7
    np.save(tmp_path / "shares.npy", stack / 255)
    with pytest.raises(DataError, match=r"from 0 to 1, those of .* to 255; multiply them by 255"):
        every(incoming.opened(tmp_path / "shares.npy", of_images()), 3)
    assert len(every(incoming.opened(tmp_path / "shares.npy", of_images(None)), 3)[0]) == 7
    with pytest.raises(DataError, match=r"has other grey levels: they go from 0 to 255, .* to 16"):
        incoming.opened(tmp_path / "new.npy", of_images(16.0))
    np.save(tmp_path / "large.npy", np.zeros((7, 5, 5), np.uint8))
    with pytest.raises(DataError, match=re.escape("images of (5, 5, 1)")):
        incoming.opened(tmp_path / "large.npy", of_images())
    assert len(every(incoming.opened(tmp_path / "large.npy", of_images(resized=True)), 3)[0]) == 7


def test_what_no_model_takes_is_refused(tmp_path, pictures):
    table = replace(of_windows(), shape=None)
    for path in (pictures, tmp_path / "new.npz"):
        with pytest.raises(DataError, match="the model was trained on no images"):
            incoming.opened(path, table)
    with pytest.raises(ConfigError, match=r"IN is x.txt; it must be .csv, .*images, a folder"):
        incoming.check(Path("x.txt"), "IN")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").touch()
    with pytest.raises(DataError, match=r"holds no PNG, JPEG or TIFF file; it holds notes.txt"):
        incoming.opened(tmp_path / "empty", of_images())
    np.save(tmp_path / "texts.npy", np.array([["a", "b"]]))
    with pytest.raises(DataError, match="holds <U1, and the model takes numbers"):
        incoming.opened(tmp_path / "texts.npy", table)


@pytest.fixture
def model(tmp_path, monkeypatch):
    """Of this schema, as if it were registered."""

    def made(schema: Schema, values: dict[str, np.ndarray]) -> tuple[Bundle, Registered]:
        root = written(tmp_path / "project", schema, values)
        folder = Paths(root).model("mse", 1)
        trials.run(replace(spec(root), save_to=folder))
        bundle = Bundle.load(folder)
        monkeypatch.setattr(registered, "fetched", lambda _: contextlib.nullcontext(folder))
        monkeypatch.setattr(registered, "bundle", lambda _: bundle)
        monkeypatch.setattr(registered, "parameter", lambda *given: given[-1])
        return bundle, Registered("m", 1, "sqlite://", 1)

    return made


def raising(*given) -> None:
    raise KeyboardInterrupt


def test_a_series_is_scored_as_its_windows_are(tmp_path, model, monkeypatch):
    monkeypatch.setattr(predicting, "MOST_ROWS", 7)
    values = {split: _rng.normal(size=(n, 2 * T)) for split, n in (("train", 60), ("val", 30))}
    bundle, version = model(of_windows(), values)
    frame = series(40)
    frame.to_csv(tmp_path / "s.csv", index=False)
    job = Job(tmp_path / "s.csv", tmp_path / "out.csv", ["id"], stride=3)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(predicting, "_join", raising)
        predicting.run(replace(job, stride=1), version)
    # What a run of another stride has left is not taken over.
    assert predicting.run(job, version) == predicting.Count(13, 0)
    found = pd.read_csv(job.target)
    assert list(found)[:3] == ["last_row", "id", "a@0"]
    rows = np.array([frame[["a", "b"]].to_numpy()[r - T : r] for r in found["last_row"]])
    expected = serving.answer(bundle, rows)
    np.testing.assert_allclose(found["surprise_bits"], expected["surprise_bits"], rtol=1e-6)
    frame.astype(object).replace({"a": {frame["a"][20]: "?"}}).to_csv(job.source, index=False)
    with pytest.raises(DataError, match=r"s.csv, window up to row 22, row 21 .*column 'a': '\?'"):
        predicting.run(job, version)
    assert predicting.run(replace(job, on_bad_row="mark"), version).bad == 1
    marked = pd.read_csv(job.target)
    assert marked.loc[marked["error"].notna(), "last_row"].tolist() == [22]
    assert marked["id"].tolist() == [f"r{row - 1}" for row in marked["last_row"]]
    same = (marked["last_row"] != 22).tolist()
    pd.testing.assert_frame_equal(marked.loc[same, list(found)], found[same], check_dtype=False)
    assert marked.loc[~np.array(same), ["surprise_bits", "anomaly"]].isna().all(axis=None)
    predicting.run(replace(job, on_bad_row="skip"), version)
    pd.testing.assert_frame_equal(pd.read_csv(job.target), found[same].reset_index(drop=True))
    with pytest.raises(ConfigError, match="--keep last_row: the answers have a column"):
        predicting.run(replace(job, keep=["last_row"]), version)
    frame.rename(columns={"a": "A"}).to_csv(job.source, index=False)
    with pytest.raises(DataError, match=r"lack column 'a' \(1 of 2 are missing\)"):
        predicting.run(job, version)


def test_images_are_scored_with_their_names(tmp_path, model, pictures, monkeypatch):
    rows = {split: _rng.integers(0, 256, (n, 6)) * 1.0 for split, n in (("train", 60), ("val", 30))}
    bundle, version = model(of_images(), rows)
    (pictures / "c.png").write_bytes(b"no picture")
    job = Job(pictures, pictures / "out.csv", on_bad_row="skip", returned=["surprise_bits"])
    asked = []
    decode = images.decode
    monkeypatch.setattr(images, "decode", lambda *given: asked.append(given) or decode(*given))
    monkeypatch.setattr(predicting, "MOST_ROWS", 1)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(predicting, "_join", raising)
        predicting.run(job, version)
    assert predicting.run(job, version) == predicting.Count(4, 1)
    assert len(asked) == 4  # what was scored before the kill was not even read again
    found = pd.read_csv(job.target)
    assert found["file"].tolist() == ["a.tiff", "b/y.png", "z.png"]
    pixels = np.stack([np.full((3, 2, 1), v) for v in (20, 10, 0)])
    expected = serving.answer(bundle, pixels)["surprise_bits"]
    np.testing.assert_allclose(found["surprise_bits"], expected, rtol=1e-6)
    monkeypatch.setattr(predicting, "MOST_ROWS", 100)
    predicting.run(replace(job, on_bad_row="mark"), version)
    marked = pd.read_csv(job.target)
    assert marked["file"].tolist() == ["a.tiff", "b/y.png", "c.png", "z.png"]
    assert marked["error"].notna().tolist() == marked["surprise_bits"].isna().tolist()
    assert marked["error"].notna().tolist() == [False, False, True, False]
    kept = marked["surprise_bits"].dropna()
    np.testing.assert_allclose(kept, expected, rtol=1e-6)


def test_series_are_cut_as_for_training(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lengths = {"x": 60, "y": 90, "z": 75}
    groups = [name for name, rows in lengths.items() for _ in range(rows)]
    days = pd.date_range("2024-03-01", periods=len(groups)).strftime("%d/%m/%Y")
    frame = series(len(groups)).assign(g=groups, t=days)
    frame.to_csv(tmp_path / "s.csv", index=False)
    window = {"length": T, "stride": 1}
    options = {"source": "sequences", "path": "s.csv", "columns": ["b", "a"], "window": window}
    whole = params(preprocess=options | {"group": "g", "time": "t"})
    paths = Paths(tmp_path)
    stages_preprocess.run(whole, paths)
    schema = Schema.from_json(read_json(paths.schema, "preprocess"))
    assert (schema.group, schema.time, schema.resized) == ("g", "t", False)
    assert schema.day_first is True
    assert schema.names[:2] == ("a@0", "b@0")  # in the order of the file
    found, kept, _ = every(incoming.opened(tmp_path / "s.csv", schema), 10)
    at = {last: i for i, last in enumerate(kept["last_row"])}
    seen = 0
    for split in ("train", "val", "test"):
        rows_NF, first_N = np.load(paths.values(split)), np.load(paths.beside(split, "rows"))
        own = [at[first + T] for first in first_N.tolist()]
        np.testing.assert_array_equal(rows_NF, found[own].reshape(len(own), -1))
        seen += len(own)
    assert seen == sum(rows - 3 * (T - 1) for rows in lengths.values())


def test_images_are_prepared_as_for_training(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "im").mkdir()
    for i in range(80):
        pixels = _rng.integers(0, 256, (8 + i % 3, 6, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "im" / f"{i:02}.png")
    options = {"source": "images", "path": "im", "image": {"size": [4, 5], "colour": "grey"}}
    paths = Paths(tmp_path)
    stages_preprocess.run(params(preprocess=options), paths)
    schema = Schema.from_json(read_json(paths.schema, "preprocess"))
    assert schema.resized
    found, kept, wrong = every(incoming.opened(tmp_path / "im", schema), 7)
    assert not wrong
    assert kept["file"].tolist() == [f"{i:02}.png" for i in range(80)]
    for split in ("train", "val", "test"):
        rows_NF, row_N = np.load(paths.values(split)), np.load(paths.beside(split, "rows"))
        np.testing.assert_array_equal(rows_NF, found[row_N].reshape(len(row_N), -1))
