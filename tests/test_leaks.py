"""Rows that a model was trained on are known again."""

import numpy as np
import pytest
from tests.fits import MIXED, make_mixed_files

from hourglass import leaks
from hourglass.paths import Paths


def test_rows_of_training_and_validation_are_known_again_and_no_others(tmp_path):
    paths = Paths(make_mixed_files(tmp_path))
    leaks.write(tmp_path / leaks.FILE, paths)
    seen_M = leaks.read(tmp_path / leaks.FILE)
    assert not leaks.unseen(MIXED["train"], seen_M).any()
    assert not leaks.unseen(MIXED["val"], seen_M).any()
    assert leaks.unseen(MIXED["test"], seen_M).all()


def test_a_gap_is_a_gap_whatever_its_bits():
    other = np.array([0x7FF8000000000123], dtype=np.uint64).view(np.float64)[0]
    one, two = (leaks.marks(np.array([[1.0, gap]])) for gap in (np.nan, other))
    assert one == two
    assert one != leaks.marks(np.array([[np.nan, 1.0]]))


def test_many_rows_are_marked_block_by_block(tmp_path, monkeypatch):
    paths = Paths(make_mixed_files(tmp_path))
    leaks.write(tmp_path / "whole.npy", paths)
    monkeypatch.setattr(leaks, "BLOCK", 7)
    leaks.write(tmp_path / "parts.npy", paths)
    assert (tmp_path / "whole.npy").read_bytes() == (tmp_path / "parts.npy").read_bytes()


@pytest.mark.parametrize("strange", [np.zeros(3), np.zeros((2, 2), np.uint32), np.array([{}])])
def test_a_file_that_holds_anything_else_is_refused(tmp_path, strange):
    np.save(tmp_path / leaks.FILE, strange, allow_pickle=True)
    with pytest.raises(ValueError, match=r"no marks of rows|allow_pickle"):
        leaks.read(tmp_path / leaks.FILE)
