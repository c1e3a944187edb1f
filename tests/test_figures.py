"""Pictures: drawn for images and tables, the same file twice, whatever the columns are called."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hourglass import figures

RNG = np.random.default_rng(0)
TRIALS = [
    {"loss": loss, "trial": t, "objective": None if t == 1 else 3.0 - 0.1 * t}
    for loss in ("mse", "mae")
    for t in range(3)
] + [{"loss": "bce", "trial": 0, "objective": None}]  # all of its trials failed
POINTS = [
    {"loss": loss, "seed": seed, "epoch": e, "val_gauss_bits": f"{4 - 0.2 * e + 0.1 * seed}"}
    for loss in ("mse", "mae")
    for seed in (1, 2)
    for e in (1, 2, 3)
]
ROWS = [
    {"loss": loss, "bits_per_feature": v, "ci_low": v - 0.1, "ci_high": v + 0.1, "verdict": verdict}
    | {"selected": loss == "mse"}
    for loss, v, verdict in (("mse", 2.0, "best"), ("mae", 2.1, "tied"), ("bce", 2.5, "worse"))
]
TABLE, IMAGES = RNG.normal(size=(3, 6)), RNG.uniform(size=(3, 6))
NAMES = ["$x^$", "a_b", "<b>", "\u65e5\u672c", "a column with a very long name indeed", "%"]
DRAWINGS: dict[str, Callable[[Path], None]] = {
    "search": lambda p: figures.search_history(p, TRIALS),
    "one trial": lambda p: figures.search_history(p, TRIALS[:1]),
    "curves": lambda p: figures.curves(p, POINTS),
    "leaderboard": lambda p: figures.leaderboard(p, ROWS, {"pca": 2.3, "mean": 9.0}),
    "one loss": lambda p: figures.leaderboard(p, ROWS[:1], {"pca": 2.3}),
    "rows of a table": lambda p: figures.reconstructions(p, TABLE, {"mse": TABLE + 0.1}, None),
    "one row": lambda p: figures.reconstructions(p, TABLE[:1], {"mse": TABLE[:1]}, None),
    "images": lambda p: figures.reconstructions(p, IMAGES, {"mse": IMAGES, "mae": IMAGES}, (2, 3)),
    "columns": lambda p: figures.columns(p, {"mse": TABLE[0], "mae": TABLE[1]}, NAMES, None),
    "many columns": lambda p: figures.columns(p, {"mse": np.arange(99.0)}, ["c"] * 99, None),
    "pixels": lambda p: figures.columns(p, {str(i): IMAGES[0] for i in range(6)}, NAMES, (2, 3)),
}


@pytest.mark.parametrize("draw", DRAWINGS.values(), ids=list(DRAWINGS))
def test_a_picture_is_drawn_and_the_same_numbers_give_the_same_file(draw, tmp_path):
    one, two = tmp_path / "one.png", tmp_path / "two.png"
    draw(one)
    draw(two)
    assert one.read_bytes().startswith(b"\x89PNG")
    assert one.read_bytes() == two.read_bytes()
    assert {f.name for f in tmp_path.iterdir()} == {"one.png", "two.png"}


def test_other_numbers_give_another_file(tmp_path):
    figures.columns(tmp_path / "one.png", {"mse": TABLE[0]}, NAMES, None)
    figures.columns(tmp_path / "two.png", {"mse": TABLE[1]}, NAMES, None)
    assert (tmp_path / "one.png").read_bytes() != (tmp_path / "two.png").read_bytes()
