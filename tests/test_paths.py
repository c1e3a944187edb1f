"""Files are written beside and renamed: a reader sees the old file or the new one, never a part."""

import csv
import json
import os
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hourglass import paths
from hourglass.errors import MissingInputError
from hourglass.paths import Paths


def test_a_failure_while_writing_leaves_the_old_file_and_nothing_beside(tmp_path):
    path = tmp_path / "a.txt"
    paths.write_text(path, "old")
    with pytest.raises(ZeroDivisionError), paths.replacing(path) as beside:
        beside.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_while_writing_a_folder_leaves_the_old_one_and_nothing_beside(tmp_path):
    path = tmp_path / "model"
    with paths.replacing(path) as beside:
        beside.mkdir()
        (beside / "weights").write_text("old")
    with pytest.raises(ZeroDivisionError), paths.replacing(path) as beside:
        beside.mkdir()
        raise ZeroDivisionError
    assert (path / "weights").read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_old_file_stays_readable_until_the_new_one_is_complete(tmp_path):
    path = tmp_path / "a.txt"
    paths.write_text(path, "old")
    with paths.replacing(path) as beside:
        beside.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


def test_folders_on_the_way_are_made(tmp_path):
    paths.write_text(tmp_path / "a" / "b" / "c.txt", "x")
    assert (tmp_path / "a" / "b" / "c.txt").read_text() == "x"


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False)))
def test_floats_in_json_keep_every_bit(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("json") / "a.json"
    paths.write_json(path, values)
    assert paths.read_json(path, "search") == values


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_json_that_others_could_not_read_is_refused_and_the_old_file_stays(tmp_path, value):
    path = tmp_path / "a.json"
    paths.write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        paths.write_json(path, {"a": value})
    assert json.loads(path.read_text()) == {"a": 1}


def test_a_table_has_its_columns_in_order_and_refuses_others(tmp_path):
    path = tmp_path / "a.csv"
    paths.write_csv(path, [{"b": 2, "a": "x, y"}], ["a", "b"])
    assert path.read_bytes() == b'a,b\n"x, y",2\n'
    with pytest.raises(ValueError, match="'c'"):
        paths.write_csv(path, [{"a": 1, "b": 2, "c": 3}], ["a", "b"])
    with path.open(newline="") as file:
        assert list(csv.DictReader(file)) == [{"a": "x, y", "b": "2"}]


def test_a_missing_input_names_the_stage_that_writes_it(tmp_path):
    path = tmp_path / "schema.json"
    with pytest.raises(MissingInputError) as caught:
        paths.read_json(path, "preprocess")
    assert str(caught.value) == f"{path} is missing: run `dvc repro preprocess` first"


def test_files_of_different_stages_splits_scalers_and_seeds_are_different(tmp_path):
    p = Paths(tmp_path)
    things = ("rows", "labels", "groups", "times", "weights")
    splits = [p.values(s) for s in paths.SPLITS]
    splits += [p.beside(s, what) for s in paths.SPLITS for what in things]
    scaled = [p.scaled(c, s) for c in ("unit", "standard") for s in paths.SPLITS]
    models = [p.model(name, seed) for name in ("mse", "bce") for seed in (0, 1)]
    reports = [f("x.json") for f in (p.search, p.train, p.evaluate, p.register)]
    every = [p.params, p.schema, p.profile, p.scaler("unit"), *splits, *scaled, *models, *reports]
    assert len(set(every)) == len(every)
    assert all(path.is_relative_to(tmp_path) for path in every)


def test_what_lies_beside_the_values_of_a_split_is_in_its_folder(tmp_path):
    p = Paths(tmp_path)
    assert p.beside("val", "groups") == p.values("val").with_name("groups.npy")


def test_what_a_killed_writer_left_is_removed_and_that_of_a_living_one_stays(tmp_path):
    gone = subprocess.run(["sh", "-c", "echo $$"], capture_output=True, text=True, check=True)
    dead, alive = int(gone.stdout), os.getppid()
    (tmp_path / f".1.{dead}.part").mkdir()
    (tmp_path / f".1.{dead}.part" / "weights").touch()
    for name in (f".1.{alive}.part", f".1.2.{dead}.part", f".2.{dead}.part", ".1.x.part"):
        (tmp_path / name).touch()
    paths.write_text(tmp_path / "1", "whole")
    left = {"1", f".1.{alive}.part", f".1.2.{dead}.part", f".2.{dead}.part", ".1.x.part"}
    assert {p.name for p in tmp_path.iterdir()} == left
