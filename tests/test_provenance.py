"""Digests change with what they stand for, and with nothing else; git may be absent."""

import hashlib
import subprocess

import pytest

import house
from hourglass import provenance


def test_a_digest_depends_on_values_not_on_the_order_of_keys():
    assert provenance.digest({"a": 1, "b": 2}) == provenance.digest({"b": 2, "a": 1})
    assert provenance.digest({"a": 1}) != provenance.digest({"a": 2})
    assert provenance.digest("a", "b") != provenance.digest("ab")
    assert len(provenance.digest()) == 16


def test_the_digest_of_a_folder_sees_names_and_contents_but_no_compiled_files(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a").write_text("x")
    before = provenance.digest_files(folder)
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "a.pyc").write_text("compiled")
    assert provenance.digest_files(folder) == before
    (folder / "a").write_text("y")
    changed = provenance.digest_files(folder)
    (folder / "a").rename(folder / "b")
    assert len({before, changed, provenance.digest_files(folder)}) == 3


def test_the_digest_of_a_folder_does_not_depend_on_where_it_is(tmp_path):
    for parent in ("one", "two"):
        (tmp_path / parent / "folder").mkdir(parents=True)
        (tmp_path / parent / "folder" / "a").write_text("x")
    one, two = (provenance.digest_files(tmp_path / p / "folder") for p in ("one", "two"))
    assert one == two


def test_the_version_of_the_code_watches_all_that_a_fit_imports():
    beside = house.PLUMBING | {"hourglass.provenance"}
    needed = house.imported("hourglass.trials", house.graph(), beside)
    watched = [f"src/hourglass/{n}" for n in provenance.PURE if n != "stages/normalize.py"]
    assert house.difference(needed, watched) == []


def test_another_version_of_a_library_is_another_code(monkeypatch):
    before = provenance.code_version()
    assert provenance.code_version() == before
    monkeypatch.setattr(provenance, "version", lambda _: "0.0")
    assert provenance.code_version() != before


def git(folder, *arguments):
    identity = ("-c", "user.name=a", "-c", "user.email=a@b")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def test_tags_name_the_commit_the_state_and_the_settings(tmp_path, monkeypatch):
    monkeypatch.delenv("DVC_EXP_BASELINE_REV", raising=False)
    monkeypatch.setenv("DVC_EXP_NAME", "shy-owl")
    git(tmp_path, "init", "-q", "-b", "main")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "first")
    tags = provenance.revision_tags(tmp_path)
    assert len(tags["mlflow.source.git.commit"]) == 40
    assert (tags["git.branch"], tags["git.dirty"]) == ("main", "false")
    assert tags["dvc.exp_name"] == "shy-owl"
    (tmp_path / "dvc.lock").write_text("x")
    tags = provenance.revision_tags(tmp_path)
    assert tags["git.dirty"] == "false"  # DVC's own doing
    assert "params.yaml" not in tags
    (tmp_path / "params.yaml").write_text("x")
    tags = provenance.revision_tags(tmp_path)
    assert tags["git.dirty"] == "true"
    assert tags["params.yaml"] == hashlib.sha256(b"x").hexdigest()  # what sha256sum prints


@pytest.mark.parametrize("path", ["", None])
def test_without_git_or_a_repository_there_are_no_git_tags(tmp_path, monkeypatch, path):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    if path is not None:
        monkeypatch.setenv("PATH", path)
    assert not {k for k in provenance.revision_tags(tmp_path) if "git" in k}
