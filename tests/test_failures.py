"""A search stops when more of a loss's trials fail than are allowed, and says why they did."""

import pytest

from hourglass.errors import TrainingError
from hourglass.failures import Failures


def count(failures: Failures, loss: str, *causes: str) -> None:
    for cause in causes:
        failures.add(loss, cause)


def test_more_than_the_share_at_the_end_of_a_round_stops_with_a_table_of_causes():
    failures = Failures(round_size=4, total=8, allowed=0.5)
    count(failures, "mse", "", "no residual", "", "")
    count(failures, "huber", "became nan in epoch 3 (0.05)", "", "became nan in epoch 12 (4e-2)")
    with pytest.raises(TrainingError) as raised:
        failures.add("huber", "no residual")
    lines = str(raised.value).splitlines()
    assert lines[0] == (
        "3 of 4 trials of huber failed, a larger share than "
        "params.yaml: search.max_failed_share 0.5:"
    )
    assert lines[1:4] == [
        "  mse    1 of 4  no residual",
        "  huber  2 of 4  became nan in epoch 3 (0.05) (the first of 2)",
        "  huber  1 of 4  no residual",
    ]


def test_a_round_is_waited_for():
    failures = Failures(round_size=4, total=8, allowed=0.5)
    count(failures, "mse", "nan", "nan", "", "")  # half, not more
    count(failures, "mse", "nan", "nan", "")
    with pytest.raises(TrainingError, match="5 of 8 trials of mse"):
        failures.add("mse", "nan")


def test_the_last_round_may_be_shorter():
    failures = Failures(round_size=4, total=5, allowed=0.3)
    count(failures, "mse", "nan", "", "", "")
    with pytest.raises(TrainingError, match="2 of 5"):
        failures.add("mse", "nan")


@pytest.mark.parametrize(("allowed", "stops"), [(0.0, True), (1.0, False)])
def test_none_or_all_may_be_allowed_to_fail(allowed, stops):
    failures = Failures(round_size=2, total=2, allowed=allowed)
    failures.add("mse", "nan")
    if stops:
        with pytest.raises(TrainingError, match="1 of 2"):
            failures.add("mse", "")
    else:
        failures.add("mse", "nan")
