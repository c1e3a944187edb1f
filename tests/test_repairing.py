"""What a killed DVC leaves half written is removed, what is whole stays."""

import pytest

from hourglass import repairing
from hourglass.__main__ import main
from hourglass.paths import Paths

LOCK = """schema: '2.0'
stages:
  preprocess:
    cmd: python -m hourglass preprocess
    outs:
    - path: data/interim
      hash: md5
      md5: 0123456789abcdef0123456789abcdef.dir
      size: 5
      nfiles: 1
"""
RWLOCK = '{"write": {}, "read": {}}'


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setattr(repairing, "SETTLING", 0.0)
    (tmp_path / ".dvc" / "tmp").mkdir(parents=True)
    (tmp_path / ".dvc/tmp/rwlock").write_text(RWLOCK)
    (tmp_path / "dvc.lock").write_text(LOCK)
    return tmp_path


def test_whole_files_stay_and_missing_ones_are_none_of_its_business(root, tmp_path, capsys):
    assert repairing.run(Paths(root)) == []
    assert (root / "dvc.lock").read_text() == LOCK
    assert repairing.run(Paths(tmp_path / "elsewhere")) == []
    assert main(["-C", str(root), "repair"]) == 0
    assert capsys.readouterr().out == "nothing to repair\n"


@pytest.mark.parametrize(
    ("name", "left"),
    [("dvc.lock", left) for left in ("", LOCK[:40], LOCK[: LOCK.index(" md5")])]
    + [(".dvc/tmp/rwlock", left) for left in ("", RWLOCK[:9])],
)
def test_what_is_cut_short_is_removed_and_the_other_stays(root, caplog, name, left):
    (root / name).write_text(left)
    with caplog.at_level("INFO"):
        assert repairing.run(Paths(root)) == [root / name]
    assert f"{root / name} was cut short" in caplog.text
    there = {str(f.relative_to(root)) for f in root.rglob("*") if f.is_file()}
    assert there == {"dvc.lock", ".dvc/tmp/rwlock"} - {name}


def test_a_file_that_is_being_written_is_given_time(root, monkeypatch):
    (root / "dvc.lock").write_text("")
    monkeypatch.setattr(repairing.time, "sleep", lambda _: (root / "dvc.lock").write_text(LOCK))
    assert repairing.run(Paths(root)) == []
    assert (root / "dvc.lock").read_text() == LOCK
