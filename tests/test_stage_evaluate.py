"""What the report says of losses that could not take part."""

from hourglass.paths import Paths, write_csv
from hourglass.stages import evaluate


def test_losses_that_failed_are_named_with_their_cause(tmp_path):
    paths = Paths(tmp_path)
    trials = [
        {"loss": "mse", "state": "complete", "failure": ""},
        {"loss": "mse", "state": "failed", "failure": "diverged"},
        {"loss": "huber", "state": "failed", "failure": "delta too wide"},
        {"loss": "huber", "state": "failed", "failure": "diverged"},
        {"loss": "mae", "state": "complete", "failure": ""},
    ]
    fits = [
        {"loss": "mse", "seed": 1, "failure": ""},
        {"loss": "mae", "seed": 1, "failure": ""},
        {"loss": "mae", "seed": 2, "failure": "became nan"},
    ]
    write_csv(paths.search("trials.csv"), trials, list(trials[0]))
    write_csv(paths.train("fits.csv"), fits, list(fits[0]))
    assert evaluate._left_out(paths) == [
        "huber takes no part in the verdict: every trial failed (delta too wide).",
        "mae takes no part in the verdict: a fit failed (became nan).",
    ]
