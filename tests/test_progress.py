"""The board counts, keeps the best of each loss, and says so at every tenth."""

from types import SimpleNamespace

import pytest

from hourglass import progress
from hourglass.progress import Board


@pytest.fixture
def said(caplog):
    with caplog.at_level("INFO"):
        yield lambda: [r.getMessage() for r in caplog.records]


def test_it_says_count_and_best_of_each_loss_the_best_first(said):
    with Board("search", {"mse": 1, "mae": 2}, "bits per feature") as board:
        board.done("mse", 2.5)
        board.done("mae", 2.75)
        board.done("mae", 1.25)
    assert said()[-1].startswith(
        "search: 3/3, about 0 s left; best fit so far: mae 1.250, mse 2.500"
    )
    assert len(said()) == 3


def test_of_many_fits_it_says_a_line_at_every_tenth(said):
    with Board("train", {"mse": 200}, "bits per feature") as board:
        for _ in range(200):
            board.done("mse", 1.0)
    assert len(said()) == 10


def test_a_failed_fit_counts_but_is_never_the_best(said):
    with Board("train", {"mse": 2}, "bits per feature") as board:
        board.done("mse", None)
        board.done("mse", 3.0)
    assert said()[0].endswith("best fit so far: ")
    assert said()[1].endswith("best fit so far: mse 3.000")


def test_a_fit_with_another_bottleneck_counts_but_is_not_compared(said):
    with Board("train", {"mse": 2}, "bits per feature") as board:
        board.done("mse", 3.0)
        board.done("mse", 1.0, compares=False)
    assert said()[1].startswith("train: 2/2, about")
    assert said()[1].endswith("best fit so far: mse 3.000")
    assert board._failed["mse"] == 0


def test_pruned_fits_are_counted_apart_from_failed_ones(said):
    with Board("search", {"mse": 3}, "bits per feature") as board:
        board.done("mse", 3.0)
        board.done("mse", None, pruned=True)
        board.done("mse", None)
    assert "search: 1/3, about" in said()[0]
    assert "search: 2/3 (1 pruned), about" in said()[1]
    assert (board._pruned["mse"], board._failed["mse"]) == (1, 1)


def test_a_loss_that_gets_no_further_fits_is_not_waited_for(said):
    totals = {"mse": 4, "mae": 3}
    with Board("search", totals, "bits per feature") as board:
        for loss in ("mse", "mae", "mae"):
            board.done(loss, 3.0)
        board.ends("mse")
        board.done("mae", 2.0)
    assert "search: 3/7, about" in said()[-2]
    assert "search: 4/4, about 0 s left" in said()[-1]
    assert totals == {"mse": 4, "mae": 3}  # the caller's own


def test_a_quiet_board_says_nothing(said):
    with Board("train", {"mse": 1}, "bits per feature", quiet=True) as board:
        board.done("mse", 1.0)
    assert said() == []


def test_on_a_terminal_it_shows_a_table(monkeypatch, said, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with Board("search", {"mse": 2, "mae": 1}, "bits per feature") as board:
        board.done("mse", 2.5)
        board.done("mae", None)
    shown = capsys.readouterr().err
    assert "best (bits per feature)" in shown
    assert "2.5000" in shown
    assert said() == []


def test_fits_of_an_earlier_run_do_not_shorten_the_time_that_is_left(monkeypatch, said):
    clock = iter([0.0, 5.0, 5.0, 15.0])
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    with Board("search", {"mse": 4}, "bits per feature") as board:
        board.done("mse", 1.0, earlier=True)
        board.done("mse", 1.0, earlier=True)
        board.done("mse", 1.0)
    assert len(said()) == 1
    assert "search: 3/4, about 10 s left" in said()[0]
