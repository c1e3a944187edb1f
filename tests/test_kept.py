"""A finished fit survives a kill, is trusted only as it was written, and is gone in the end."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.fits import make_files, schema, spec

from hourglass import kept, trials
from hourglass.kept import Task
from hourglass.paths import Paths


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_files(tmp_path_factory.mktemp("project"))


@pytest.fixture
def task(root: Path, tmp_path: Path) -> Task:
    """A fit that keeps its copy below `tmp_path`."""
    own = replace(spec(root), save_to=tmp_path / "models" / "mse" / "1")
    return kept.tasks([own], schema(), Paths(tmp_path))[0]


@pytest.fixture
def bundle(task: Task) -> Path:
    """Where the fit saves its bundle."""
    assert task.spec.save_to is not None
    return task.spec.save_to


def content(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def test_a_kept_fit_comes_back_with_the_same_files_and_result(task, bundle):
    assert kept.found(task) is None
    result = kept.run(task)
    before = content(bundle)
    (bundle / "weights.safetensors").unlink()
    assert kept.found(task) == result
    assert content(bundle) == before


def test_a_fit_that_saves_no_bundle_is_kept_too(root, tmp_path):
    task = kept.tasks([spec(root)], schema(), Paths(tmp_path))[0]
    assert task.spec.save_to is None
    result = kept.run(task)
    assert kept.found(task) == result
    (task.folder / "result.json").write_text("{}")
    assert kept.found(task) is None


def test_a_failed_fit_is_not_kept(task):
    hopeless = replace(task, spec=replace(task.spec, hyper={"learning_rate": 1e30}))
    assert kept.run(hopeless).failure
    assert kept.found(hopeless) is None


@pytest.mark.parametrize("name", ["bundle/weights.safetensors", "result.json", "digest.json"])
@pytest.mark.parametrize("damage", ["cut", "changed", "gone"])
def test_what_is_not_as_it_was_written_is_fitted_again(task, caplog, name, damage):
    kept.run(task)
    file = task.folder / name
    before = file.read_bytes()
    if damage == "gone":
        file.unlink()
    else:
        last = bytes([before[-2] ^ 1])
        file.write_bytes(before[:-9] if damage == "cut" else before[:-2] + last + before[-1:])
    assert kept.found(task) is None
    assert "is damaged: mse (scaler standard, learning_rate 0.01, seed 1) is" in caplog.text
    kept.run(task)  # and is kept anew
    assert kept.found(task) is not None


def folder(one: trials.Spec, rows=None) -> str:
    return kept.tasks([one], rows or schema(), Paths())[0].folder.name


def test_the_name_of_a_kept_fit_tells_settings_rows_and_code(root, monkeypatch):
    one = replace(spec(root), save_to=Path("models/mse/1"))
    names = {
        folder(one),
        folder(replace(one, seed=2)),
        folder(replace(one, hyper={"learning_rate": 2e-2})),
        folder(replace(one, model=one.model.model_copy(update={"latent_dim": 3}))),
        folder(one, replace(schema(), digest="4567")),
    }
    moved = folder(replace(one, root=Path("/elsewhere"), save_to=Path("/elsewhere/models")))
    assert moved == folder(one)
    monkeypatch.setattr(trials, "_code", lambda: "another")
    assert len(names | {folder(one)}) == 6


def test_kept_fits_are_forgotten_those_of_other_settings_too(task, tmp_path):
    other = replace(task, folder=task.folder.with_name("other"))
    for one in (task, other):
        kept.run(one)
    (task.folder.parent / ".half.123.part").mkdir()
    kept.forget(Paths(tmp_path), but=[task])
    assert [f.name for f in task.folder.parent.iterdir()] == [task.folder.name]
    kept.forget(Paths(tmp_path))
    assert list(task.folder.parent.iterdir()) == []
