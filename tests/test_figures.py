"""Pictures: drawn for images and tables, the same file twice, whatever the columns are called."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from hourglass import drawing, figures, pictures
from hourglass.figures import Board
from hourglass.pictures import Rows

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
    {"loss": loss, "test": v, "ci_low": v - 0.1, "ci_high": v + 0.1, "verdict": verdict}
    | {"selected": loss == "mse", "tie": "unclear" if verdict == "tied" else ""}
    | {"difference": v - 2, "difference_low": v - 2.05, "difference_high": v - 1.95}
    for loss, v, verdict in (("mse", 2.0, "best"), ("mae", 2.1, "tied"), ("bce", 2.5, "worse"))
]
WIDTHS = {
    "mse": {2: (3.0, 3.2), 4: (2.5, 2.9), 16: (2.4, 3.0)},
    "mae": {4: (2.6, 2.8)},
    "pca": {2: (3.1, 3.3), 4: (2.7, 3.0), 16: (2.5, 3.5)},
}
TABLE, IMAGES = RNG.normal(size=(3, 6)), RNG.uniform(size=(3, 6))
NAMES = ["$x^$", "a_b", "<b>", "\u65e5\u672c", "a column with a very long name indeed", "%"]
HOLED = np.where(np.arange(18).reshape(3, 6) % 5 == 1, np.nan, IMAGES)
RGB = (1, 2, 3)
SERIES = [f"{name}@{step}" for step in range(3) for name in ("a@b", "$p$")]
SIX = ["mse", "mae", "bce", "huber", "mse+poisson", "mse+negative_binomial"]
PLACE = np.linspace(-8, 8, 9)
SHAPES = [
    figures.Shape("mse", RNG.normal(size=50), PLACE, np.exp(-(PLACE**2))),
    figures.Shape("bce", 20 * RNG.normal(size=50), PLACE, None),
    figures.Shape("mae+poisson", RNG.normal(size=50), PLACE, np.exp(-np.abs(PLACE))),
]


def board(lines, baselines) -> Board:
    return Board(lines, baselines, "bits", "95 %", 0.005)


def rows(values_KF, names, shape) -> Rows:
    return Rows(values_KF, [7 + 10 * k for k in range(len(values_KF))], names, shape)


def columns(path, by_name, names, shape) -> None:
    marked = [i % 2 == 1 for i in range(len(names))]
    pictures.columns(path, by_name, names, shape, marked)


DRAWINGS: dict[str, Callable[[Path], None]] = {
    "search": lambda p: figures.search_history(p, TRIALS, "bits"),
    "one trial": lambda p: figures.search_history(p, TRIALS[:1], "bits"),
    "curves": lambda p: figures.curves(p, POINTS, ["mse", "mae"]),
    "widths": lambda p: figures.widths(p, WIDTHS, 4),
    "leaderboard": lambda p: figures.leaderboard(p, board(ROWS, {"pca": 2.3, "mean": 9.0})),
    "one loss": lambda p: figures.leaderboard(p, board(ROWS[:1], {"pca": 2.3})),
    "rows of a table": lambda p: pictures.reconstructions(
        p, rows(TABLE, NAMES, None), {"mse": TABLE}
    ),
    "one row": lambda p: pictures.reconstructions(
        p, rows(TABLE[:1], NAMES, None), {"mse": TABLE[:1]}
    ),
    "images": lambda p: pictures.reconstructions(
        p, rows(IMAGES, NAMES, (2, 3, 1)), {"mse": IMAGES}
    ),
    "images in colours": lambda p: pictures.reconstructions(
        p, rows(HOLED, NAMES, RGB), {"mse": IMAGES}
    ),
    "windows": lambda p: pictures.reconstructions(p, rows(HOLED, SERIES, (3, 2)), {"mse": IMAGES}),
    "one channel": lambda p: pictures.reconstructions(p, rows(IMAGES[:1], NAMES, (6, 1)), {}),
    "residuals": lambda p: figures.residuals(p, SHAPES),
    "residuals of one loss": lambda p: figures.residuals(p, SHAPES[:1]),
    "image rows": lambda p: pictures.standouts(p, rows(HOLED, NAMES, (2, 3, 1)), IMAGES, NAMES[:3]),
    "coloured rows": lambda p: pictures.standouts(p, rows(HOLED, NAMES, RGB), IMAGES, NAMES[:3]),
    "window rows": lambda p: pictures.standouts(p, rows(HOLED, NAMES, (3, 2)), IMAGES, NAMES[:3]),
    "columns": lambda p: columns(p, {"mse": TABLE[0], "mae": TABLE[1]}, NAMES, None),
    "many columns": lambda p: columns(p, {"mse": np.arange(99.0)}, ["c"] * 99, None),
    "pixels": lambda p: columns(p, dict.fromkeys(SIX, IMAGES[0]), NAMES, (2, 3, 1)),
    "pixels of colours": lambda p: columns(p, {"mse": IMAGES[0]}, NAMES, RGB),
    "channels": lambda p: columns(p, {"mse": IMAGES[0]}, SERIES, (3, 2)),
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
    columns(tmp_path / "one.png", {"mse": TABLE[0]}, NAMES, None)
    columns(tmp_path / "two.png", {"mse": TABLE[1]}, NAMES, None)
    assert (tmp_path / "one.png").read_bytes() != (tmp_path / "two.png").read_bytes()


@pytest.fixture
def drawn(monkeypatch):
    """Calls a drawing and gives its figure in place of a file."""
    kept = []
    monkeypatch.setattr(drawing, "save", lambda figure, *_, **__: kept.append(figure))

    def draw(drawing):
        drawing(Path())
        return kept.pop()

    return draw


def test_a_loss_has_one_colour_in_all_pictures_whatever_the_order(drawn):
    of_mae = set()
    for losses in (["mse", "mae"], ["mae", "bce", "mse"]):
        values = dict.fromkeys(losses, TABLE)
        points = [{**p, "loss": loss} for loss in losses for p in POINTS[:3]]
        trials = [{**t, "loss": loss} for loss in losses for t in TRIALS[:1]]
        for figure in (
            drawn(lambda p, v=values: columns(p, {n: x[0] for n, x in v.items()}, NAMES, None)),
            drawn(lambda p, v=values: pictures.reconstructions(p, rows(TABLE, NAMES, None), v)),
            drawn(lambda p, v=points: figures.curves(p, v, [])),
            drawn(lambda p, v=trials: figures.search_history(p, v, "bits")),
        ):
            of_mae |= {x.get_color() for x in figure.axes[0].lines if x.get_label()[:3] == "mae"}
    assert len(of_mae) == 1


def test_candidates_that_differ_in_another_loss_look_different(drawn):
    names = ["mse+poisson", "mse+negative_binomial"]
    values = {name: TABLE * (1 + i) for i, name in enumerate(names)}
    points = [{**p, "loss": name} for name in names for p in POINTS[:3]]
    trials = [{**t, "loss": name} for name in names for t in TRIALS[:1]]
    for figure in (
        drawn(lambda p: columns(p, {n: x[0] for n, x in values.items()}, NAMES, None)),
        drawn(lambda p: pictures.reconstructions(p, rows(TABLE, NAMES, None), values)),
        drawn(lambda p: pictures.reconstructions(p, rows(TABLE, SERIES, (3, 2)), values)),
        drawn(lambda p: figures.curves(p, points, [])),
        drawn(lambda p: figures.search_history(p, trials, "bits")),
    ):
        lines = [x for x in figure.axes[0].lines if x.get_label()[:3] == "mse"]
        assert len({line.get_color() for line in lines}) == 1  # the searched loss is the same
        assert len({(line.get_linestyle(), line.get_marker()) for line in lines}) == 2


def test_the_curve_of_a_loss_goes_as_far_as_its_longest_fit(drawn):
    """Patience ends the seeds of a loss at different epochs."""
    lengths = {1: 2, 2: 4}
    points = [
        {"loss": "mse", "seed": seed, "epoch": e, "val_gauss_bits": float(10 * seed - e)}
        for seed, epochs in lengths.items()
        for e in range(1, epochs + 1)
    ]
    (line,) = drawn(lambda p: figures.curves(p, points, [])).axes[0].lines
    assert line.get_xdata().tolist() == [1, 2, 3, 4]
    assert line.get_ydata().tolist() == [14.0, 13.0, 17.0, 16.0]


def shown(figure) -> list[np.ndarray]:
    return [np.ma.filled(axes.images[0].get_array(), np.nan) for axes in figure.axes if axes.images]


def test_an_image_of_one_channel_is_drawn_in_its_own_units(drawn):
    figure = drawn(DRAWINGS["images"])
    np.testing.assert_array_equal(shown(figure)[0], IMAGES[0].reshape(2, 3))
    limits = {axes.images[0].get_clim() for axes in figure.axes}
    assert limits == {(IMAGES.min(), IMAGES.max())}


def test_colours_lie_between_0_and_1_and_gaps_are_transparent(drawn):
    answer = 2 * IMAGES  # beyond what was observed
    figure = drawn(lambda p: pictures.reconstructions(p, rows(HOLED, NAMES, RGB), {"mse": answer}))
    drawn_ = shown(figure)
    seen = ~np.isnan(HOLED.reshape(3, *RGB)).any(axis=-1)
    assert 0 < seen.sum() < 6
    low, high = np.nanmin(HOLED), np.nanmax(HOLED)
    for k in range(3):
        assert drawn_[k].shape == (1, 2, 4)
        np.testing.assert_array_equal(drawn_[k][..., 3], seen[k])
        scaled = (HOLED[k].reshape(RGB)[seen[k]] - low) / (high - low)
        np.testing.assert_allclose(drawn_[k][seen[k]][:, :3], scaled)
        assert drawn_[3 + k].max() == 1
        assert drawn_[3 + k][..., 3].all()


def test_names_beside_images_have_room(drawn):
    long = {"student_t+negative_binomial": IMAGES}
    for by_name in (long, {"mse": IMAGES}):
        figure = drawn(
            lambda p, v=by_name: pictures.reconstructions(p, rows(IMAGES, NAMES, (2, 3, 1)), v)
        )
        FigureCanvasAgg(figure).draw()
        boxes = [axes.yaxis.label.get_window_extent() for axes in figure.axes[::3]]
        assert min(box.x0 for box in boxes) >= 0


def test_windows_are_drawn_channel_by_channel(drawn):
    figure = drawn(DRAWINGS["windows"])
    first, second = figure.axes[:2]
    assert (first.get_title(), second.get_title()) == ("a@b", "$p$")
    (dots,) = [x for x in second.lines if x.get_label() == "original"]
    np.testing.assert_array_equal(dots.get_ydata(), HOLED[0].reshape(3, 2)[:, 1])
    (curve,) = [x for x in second.lines if x.get_label().startswith("mse")]
    np.testing.assert_array_equal(curve.get_ydata(), IMAGES[0].reshape(3, 2)[:, 1])


def test_bits_of_windows_are_those_of_channels_and_of_images_those_of_pixels(drawn):
    axes = drawn(DRAWINGS["channels"]).axes[0]
    by_name = dict(
        zip((x.get_text() for x in axes.get_yticklabels()), axes.get_yticks(), strict=True)
    )
    bits = dict(zip(axes.lines[0].get_ydata(), axes.lines[0].get_xdata(), strict=True))
    assert bits[by_name["a@b"]] == pytest.approx(IMAGES[0, ::2].mean())
    assert bits[by_name["$p$ *"]] == pytest.approx(IMAGES[0, 1::2].mean())
    pixels = shown(drawn(DRAWINGS["pixels of colours"]))[0]
    np.testing.assert_allclose(pixels, IMAGES[0].reshape(RGB).mean(axis=-1))


def test_labels_of_baselines_that_lie_close_do_not_overlap(drawn):
    base = {"pca": 2.3, "mean": 2.311, "median": 2.31}
    figure = drawn(lambda p: figures.leaderboard(p, board(ROWS, base)))
    FigureCanvasAgg(figure).draw()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts[-3:]]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_columns_of_a_row_are_named_as_far_as_there_is_room(drawn):
    def ticks(width):
        values, names = np.ones((1, width)), [f"c{i}" for i in range(width)]
        axes = drawn(
            lambda p: pictures.reconstructions(p, rows(values, names, None), {"mse": values})
        ).axes[0]
        labels = [label.get_text() for label in axes.get_xticklabels()]
        return dict(zip(axes.get_xticks(), labels, strict=True))

    assert ticks(3) == {0: "c0", 1: "c1", 2: "c2"}
    assert list(ticks(300).items())[:2] == [(0, "c0"), (10, "c10")]
    assert len(ticks(300)) == 30


def test_epochs_and_trials_are_whole_numbers(drawn):
    for name in ("search", "curves"):
        ticks = drawn(DRAWINGS[name]).axes[0].get_xticks()
        assert (ticks == ticks.round()).all()


def test_the_leaderboard_shows_what_decides_beside_what_reports(drawn):
    decides, reports = drawn(DRAWINGS["leaderboard"]).axes
    for axes, key in ((decides, "difference"), (reports, "test")):
        shown = [bar[0].get_xdata()[0] for bar in axes.containers]
        assert shown == [row[key] for row in reversed(ROWS)]
        assert "95 % interval" in axes.get_xlabel()
    said = [text.get_text() for text in decides.texts]
    assert said == ["worse", "tied, unclear", "best, selected"]
    (margin,) = decides.patches
    assert (margin.get_x(), margin.get_width()) == (0, 0.005)


def test_trials_beyond_the_picture_of_the_search_are_counted(drawn):
    trials = [{"loss": "mse", "trial": t, "objective": 1 + 0.01 * t} for t in range(20)]
    trials[3] = {**trials[3], "objective": 99.0}
    (text,) = drawn(lambda p: figures.search_history(p, trials, "bits")).axes[0].texts
    assert text.get_text().startswith("1 of 20 trials lie above")
    assert not drawn(lambda p: figures.search_history(p, trials[:1], "bits")).axes[0].texts


def test_legends_of_curves_follow_the_order_that_is_asked_for(drawn):
    for order in (["mae", "mse"], ["mse", "mae"]):
        axes = drawn(lambda p, o=order: figures.curves(p, POINTS, o)).axes[0]
        assert [text.get_text() for text in axes.get_legend().get_texts()] == order


def test_the_legend_of_the_search_begins_with_the_best(drawn):
    trials = [{"loss": n, "trial": 0, "objective": v} for n, v in (("mse", 2.0), ("mae", 1.0))]
    axes = drawn(lambda p: figures.search_history(p, trials, "bits")).axes[0]
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert texts == ["mae (1.000)", "mse (2.000)"]


def test_columns_that_are_coded_by_a_density_are_marked(drawn):
    axes = drawn(DRAWINGS["columns"]).axes[0]
    labels = {text.get_text() for text in axes.get_yticklabels()}
    assert {"$x^$", "a_b *", "<b>"} <= labels
    assert "* coded by a density" in axes.get_xlabel()
    plain = drawn(lambda p: pictures.columns(p, {"mse": TABLE[0]}, NAMES, None, [False] * 6))
    assert "density" not in plain.axes[0].get_xlabel()


def test_rows_are_named_by_their_numbers_and_losses_with_their_error(drawn):
    answer = TABLE + 0.5
    figure = drawn(lambda p: pictures.reconstructions(p, rows(TABLE, NAMES, None), {"mse": answer}))
    assert [axes.get_ylabel() for axes in figure.axes] == ["row 7", "row 17", "row 27"]
    assert "mse (RMSE 0.500)" in [t.get_text() for t in figure.axes[0].get_legend().get_texts()]
    figure = drawn(
        lambda p: pictures.reconstructions(p, rows(IMAGES, NAMES, (2, 3, 1)), {"mse": IMAGES + 0.5})
    )
    assert [axes.get_title() for axes in figure.axes[:3]] == ["row 7", "row 17", "row 27"]
    assert figure.axes[3].get_ylabel() == "mse\nRMSE 0.500"


def test_residuals_tell_what_was_found_beside_what_was_assumed(drawn):
    titles = [axes.get_title() for axes in drawn(DRAWINGS["residuals"]).axes[:3]]
    assert "(assumed" in titles[0]
    assert "(assumed" not in titles[1]  # bce assumes no one shape
    assert all("beyond 4 sd" in title for title in titles)


LINEAR = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
# Vienot, Brettel & Mollon 1999: linear RGB as people without red or green cones see it.
BLINDNESS = {
    "none": np.eye(3),
    "protan": np.array([[0.11238, 0.88762, 0.0], [0.11238, 0.88762, 0.0], [0.00401, -0.00401, 1]]),
    "deutan": np.array([[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1]]),
}


def lab(colour: str, seen: np.ndarray) -> np.ndarray:
    """CIELAB of a colour as someone sees it."""
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = LINEAR @ np.clip(seen @ linear, 0, 1) / [0.9505, 1.0, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("seen", BLINDNESS.values(), ids=list(BLINDNESS))
def test_losses_that_compete_on_real_values_can_be_told_apart(seen):
    """By their colours, or else by line and marker too: near hues must not share those."""
    looks = list(drawing.LOOKS.values())
    for i, (one, *rest) in enumerate(looks):
        for other, *others in looks[:i]:
            apart = float(np.linalg.norm(lab(one, seen) - lab(other, seen)))
            assert apart > (20 if rest[0] == others[0] else 8), (one, other, apart)
    assert len({marker for _, _, marker in looks}) == len(looks)
