"""Arrays that grow on disk: NumPy reads them as its own, and an error leaves the old ones."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hourglass.arrays import growing

DTYPES = ["<f8", "<f4", "|u1", "<i8", "|i1", "<u2", "|b1"]


@given(
    dtype=st.sampled_from(DTYPES),
    columns=st.one_of(st.none(), st.integers(1, 5)),
    parts=st.lists(st.integers(0, 7), max_size=5),
)
def test_rows_appended_part_by_part_load_as_one_array(tmp_path_factory, dtype, columns, parts):
    path = tmp_path_factory.mktemp("growing") / "rows.npy"
    rng = np.random.default_rng(sum(parts))
    own = () if columns is None else (columns,)
    given_parts = [rng.integers(0, 2 if dtype == "|b1" else 100, (n, *own)) for n in parts]
    with growing(path, dtype, columns) as out:
        for part in given_parts:
            out.append(part)
        assert out.rows == sum(parts)
    expected = np.concatenate([np.zeros((0, *own), dtype), *given_parts]).astype(dtype)
    found = np.load(path, allow_pickle=False)
    assert found.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(found, expected)
    assert found.flags.c_contiguous


def test_they_map_into_memory(tmp_path):
    rows = np.arange(12.0).reshape(4, 3)
    with growing(tmp_path / "a.npy", np.float64, 3) as out:
        out.append(rows[:1])
        out.append(rows[1:])
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    assert isinstance(mapped, np.memmap)
    np.testing.assert_array_equal(mapped[2:], rows[2:])


@pytest.mark.parametrize("columns", [None, 4])
def test_an_array_without_rows_loads(tmp_path, columns):
    with growing(tmp_path / "a.npy", np.float32, columns):
        pass
    assert np.load(tmp_path / "a.npy").shape == ((0,) if columns is None else (0, 4))


@pytest.mark.parametrize("order", ["C", "F"])
def test_rows_in_any_memory_order_and_type_are_written_alike(tmp_path, order):
    rows = np.array([[1, 2, 3], [4, 5, 6]], order=order)[:, ::-1]
    with growing(tmp_path / "a.npy", np.float32, 3) as out:
        out.append(rows)
        out.append(rows.astype(np.float64))
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), np.concatenate([rows, rows]))


def test_an_error_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    path = tmp_path / "a.npy"
    with growing(path, np.float64, 1) as out:
        out.append(np.ones((3, 1)))
    with pytest.raises(ZeroDivisionError), growing(path, np.float64, 1) as out:
        out.append(np.zeros((9, 1)))
        raise ZeroDivisionError
    np.testing.assert_array_equal(np.load(path), np.ones((3, 1)))
    assert list(tmp_path.iterdir()) == [path]


def test_the_old_file_can_be_read_while_the_new_one_grows(tmp_path):
    path = tmp_path / "a.npy"
    with growing(path, np.float64, 2) as out:
        out.append(np.arange(6.0).reshape(3, 2))
    old = np.load(path, mmap_mode="r")
    with growing(path, np.float64, 1) as out:
        out.append(old[:, :1] + 10)
    np.testing.assert_array_equal(np.load(path), [[10.0], [12.0], [14.0]])


def test_the_header_has_the_same_length_for_any_number_of_rows(tmp_path):
    """Rows are written behind it before their number is known; NumPy aligns data to 64 bytes."""
    for rows in (0, 7, 100_000):
        with growing(tmp_path / "a.npy", np.uint8, 1) as out:
            out.append(np.zeros((rows, 1)))
        assert (tmp_path / "a.npy").stat().st_size == 128 + rows
