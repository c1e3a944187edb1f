"""The advice for people: text, page, and the command that gives both of a file."""

import base64
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hourglass import advice, config, page, profiling
from hourglass.errors import ConfigError, DataError
from hourglass.examples import Examples
from hourglass.moments import moments
from hourglass.paths import Paths, read_json
from hourglass.profile import profile
from hourglass.profiling import Asked, in_options
from hourglass.schema import Column, Kind, Schema

HOSTILE = "<script>alert(1)</script>"
ROOT = Path(__file__).parents[1]
NOTHING = Examples(np.empty((0, 5)), (), {})


def mixed(rows=600):
    rng = np.random.default_rng(0)
    z = rng.normal(size=rows)
    columns = (
        Column(HOSTILE, Kind.CONTINUOUS, None, None, None, 0),
        Column("b", Kind.CONTINUOUS, None, None, None, 60),
        Column("on", Kind.BINARY, 1.0, 0.0, 1.0, 0),
        Column("faults", Kind.COUNT, 1.0, 0.0, None, 0),
        Column("site", Kind.CATEGORICAL, None, None, None, 0, ("n", HOSTILE)),
    )
    b = z + 0.1 * rng.normal(size=rows)
    b[:60] = np.nan
    faults = rng.negative_binomial(0.7, 0.7 / (0.7 + np.exp(1 + z)))
    values = np.column_stack([z, b, z > 0, faults, rng.integers(0, 2, rows)]).astype(float)
    schema = Schema("made up", columns, {}, {}, None, {"train": rows, "val": 1, "test": 1}, "")
    return schema, profile(columns, values, moments(values))


def test_the_text_names_every_column_loss_and_head_within_its_width():
    schema, found = mixed()
    text = advice.text(schema, found)
    assert max(map(len, text.splitlines())) <= advice.WIDTH
    for name in ("b ", "on ", "faults ", "site "):
        assert f"\n{name}" in text
    for loss in found["losses"]:
        assert loss in text
    assert "For binary columns: bce: flags: their likelihood." in text
    assert "10.0% missing" in text


def test_scattered_counts_get_a_negative_binomial_head_and_others_poisson():
    _, found = mixed()
    assert found["heads"]["count"] == "negative_binomial"
    rng = np.random.default_rng(1)
    z = rng.normal(size=2000)
    values = np.column_stack([z, z + rng.normal(size=2000), rng.poisson(np.exp(1 + 0.5 * z))])
    columns = [Column(n, Kind.CONTINUOUS, None, None, None, 0) for n in "ab"]
    columns.append(Column("k", Kind.COUNT, 1.0, 0.0, None, 0))
    found = profile(columns, values, moments(values))
    assert found["heads"] == {"count": "poisson"}
    assert "no more than Poisson noise explains" in found["heads_why"]["count"]


def test_names_from_the_data_are_no_markup_on_the_page():
    text = page.html(*mixed(), Examples(np.empty((0, 5)), (), {HOSTILE: 3}))
    assert HOSTILE not in text
    assert text.count("&lt;script&gt;") >= 3
    assert "<svg" in text


def test_the_page_has_rows_and_figures_and_its_end_bars_say_what_they_took():
    schema, found = mixed()
    histogram = found["columns"]["b"]["histogram"]
    histogram |= {"below": 3, "above": 2}
    text = page.html(schema, found, NOTHING)
    assert "602 rows (600 training, 1 validation, 1 test; dealt out at random), 5 columns" in text
    assert f"<title>up to {histogram['edges'][1]:.4g}: " in text
    assert f"<title>from {histogram['edges'][-2]:.4g}: " in text
    assert f"<td>{found['columns']['b']['median']:.4g}</td>" in text
    assert "<td>10.0 %</td>" in text


def test_many_columns_are_cut_and_counted():
    rng = np.random.default_rng(0)
    columns = tuple(Column(f"c{i}", Kind.CONTINUOUS, None, None, None, 0) for i in range(60))
    values = rng.normal(size=(100, 60))
    schema = Schema("wide", columns, {}, {}, None, {"train": 100, "val": 0, "test": 0}, "")
    text = advice.text(schema, profile(columns, values, moments(values)))
    assert "... and 20 more" in text
    assert "c39" in text
    assert "c40" not in text


def test_an_image_is_described_once_for_each_channel():
    rng = np.random.default_rng(0)
    columns = tuple(Column(f"p{i}", Kind.CONTINUOUS, 1.0, 0.0, 255.0, 0) for i in range(5 * 4 * 3))
    values = rng.integers(0, 256, (200, 60)).astype(float)
    schema = Schema("pictures", columns, {}, {}, (5, 4, 3), {"train": 200, "val": 0, "test": 0}, "")
    text = advice.text(schema, profile(columns, values, moments(values), schema.shape))
    assert text.count("over all of 5 x 4 x 3 pixels") == 3
    assert "p0" not in text.replace("channel p0", "")


def test_the_page_of_images_shows_some_and_a_row_a_channel():
    columns = tuple(Column(f"{i}", Kind.CONTINUOUS, 1.0, 0.0, 255.0, 0) for i in range(5 * 4 * 3))
    values = np.random.default_rng(0).integers(0, 256, (200, 60)).astype(float)
    schema = Schema("pictures", columns, {}, {}, (5, 4, 3), {"train": 200, "val": 0, "test": 0}, "")
    shown = Examples(values[:2], ("cat", "dog"), {"cat": 120, "dog": 80})
    text = page.html(schema, profile(columns, values, moments(values), schema.shape), shown)
    sources = re.findall(r'src="data:image/png;base64,([^"]+)"', text)
    drawn = [np.array(Image.open(io.BytesIO(base64.b64decode(source)))) for source in sources]
    assert np.array_equal(drawn, values[:2].reshape(2, 5, 4, 3))
    assert "cat (120), dog (80)." in " ".join(text.split())
    assert text.count('aria-label="histogram of') == 3


def test_the_page_of_windows_shows_some_with_their_gaps():
    names = [f"{name}@{step}" for step in range(6) for name in ("temp", "load")]
    columns = tuple(Column(name, Kind.CONTINUOUS, None, None, None, 0) for name in names)
    values = np.random.default_rng(0).normal(size=(50, 12))
    schema = Schema("series", columns, {}, {}, (6, 2), {"train": 50, "val": 0, "test": 0}, "")
    rows = values[:2].copy()
    rows[1, 5] = np.nan  # the load of the third of six steps
    found = profile(columns, values, moments(values), (6, 2))
    text = page.html(schema, found, Examples(rows, (), {}))
    assert [text.count(f'aria-label="a window of {name}"') for name in ("temp", "load")] == [2, 2]
    assert text.count("<polyline") == 5


def test_every_advice_says_what_would_change_it():
    _, found = mixed()
    for name, own in found["losses"].items():
        assert own["status"] in ("admissible", "dubious", "blocked"), name
        assert own["reason"], name
        assert own["change"], name
        assert own["scalers"], name
    json.dumps(found, allow_nan=False)


def test_levels_alone_block_all_losses_on_numbers():
    columns = [Column(n, Kind.CATEGORICAL, None, None, None, 0, ("x", "y", "z")) for n in "ab"]
    values = np.random.default_rng(0).integers(0, 3, (300, 2)).astype(float)
    found = profile(columns, values, moments(values))
    assert found["likely_good"] == ["cross_entropy"]
    admissible = [n for n, own in found["losses"].items() if own["status"] != "blocked"]
    assert admissible == ["cross_entropy"]


@pytest.fixture
def table(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(300, 3)), columns=["u", "v", "w"])
    frame["site"] = rng.choice(["north", "south"], 300)
    frame["id"] = [f"P{i}" for i in range(300)]
    frame.to_csv(tmp_path / "table.csv", index=False)
    return tmp_path / "table.csv"


def test_a_file_is_described_without_a_project_and_nothing_else_is_written(table, tmp_path):
    before = set(tmp_path.iterdir())
    text = profiling.run(table, None, Paths(tmp_path), Asked(drop=["id"])).text
    assert "300 rows (210 training, 45 validation, 45 test; " in " ".join(text.split())
    assert set(tmp_path.iterdir()) == before


def test_page_and_json_go_where_they_are_wanted(table, tmp_path):
    profiling.run(table, tmp_path / "out", Paths(tmp_path), Asked(drop=["id"]))
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"profile.html", "profile.json"}
    for wrong in (table, table / "x"):
        with pytest.raises(ConfigError, match=r"table\.csv is a file; name a folder"):
            profiling.run(table, wrong, Paths(tmp_path), Asked(drop=["id"]))


def test_options_say_what_params_would(table, tmp_path):
    asked = Asked(["id"], label="site", group="w", missing_values=["-9999", "n/a", "0.5"])
    own = asked.upon(profiling.PLAIN)
    assert own["missing_values"] == [-9999, "n/a", 0.5]
    assert (own["label"], own["group"], own["drop"]) == ("site", "w", ["id"])
    text = " ".join(profiling.run(table, None, Paths(tmp_path), asked).text.split())
    assert "by group), 2 columns" in text
    with pytest.raises(ConfigError, match="--image-size is for images"):
        profiling.run(table, None, Paths(tmp_path), Asked(["id"], image_size=[3, 3]))


def test_params_count_only_for_the_file_that_they_name(table, tmp_path):
    params = config.read_yaml(ROOT / "params.yaml")
    params["preprocess"] |= {"source": "tabular", "path": "table.csv", "drop": ["id"], "label": "u"}
    config.write_yaml(tmp_path / "params.yaml", params)
    text = profiling.run(table, None, Paths(tmp_path), Asked()).text
    assert "3 columns" in " ".join(text.split())
    assert "Settings: params.yaml, which names this file, and the options.\n" in text
    other = tmp_path / "other.csv"
    rows = np.random.default_rng(0).normal(size=(300, 2))
    pd.DataFrame(rows, columns=["u", "n"]).to_csv(other, index=False)
    text = profiling.run(other, None, Paths(tmp_path), Asked()).text
    assert "2 columns" in " ".join(text.split())
    assert "Settings: the options (params.yaml is for table.csv).\n" in text
    params["preprocess"] |= {"path": ".", "files": "t*.csv"}
    config.write_yaml(tmp_path / "params.yaml", params)
    assert "which names this file" in profiling.run(table, None, Paths(tmp_path), Asked()).text
    assert "the options (" in profiling.run(other, None, Paths(tmp_path), Asked()).text


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("(params.yaml: preprocess.drop: [id, \"a ]b\"]), or", "(--drop id 'a ]b'), or"),
        ("params.yaml: preprocess.label: no column 'x'", "--label: no column 'x'"),
        ("add it to preprocess.missing_values: [\"?\"]; or", "add it to --missing-values '?'; or"),
        ("say so in preprocess.kinds: {a: b}", "say so in params.yaml: preprocess.kinds: {a: b}"),
        ("params.yaml: preprocess.image.size: [4, 6]", "--image-size 4 6"),
        ("params.yaml: preprocess.drop: got a; set it to []", "--drop: got a; leave it out"),
    ],
)  # fmt: skip
def test_messages_name_options_where_there_are_some(message, said):
    assert in_options(message) == said


def test_columns_that_are_no_features_are_listed_and_the_others_described(table, tmp_path):
    """A regression: the first identifier ended the command that was to say what is in a table."""
    frame = pd.read_csv(table)
    frame["when"] = pd.date_range("2024-01-01", periods=300).astype(str)
    frame["odd"] = [*(0.5 + i for i in range(299)), "much"]
    frame.to_csv(table, index=False)
    found = profiling.run(table, tmp_path / "out", Paths(tmp_path), Asked(drop=["w"]))
    text = " ".join(found.text.split())
    assert "300 rows (210 training, 45 validation, 45 test; " in text
    assert "3 columns" in text
    for why in ("is a date or time", "an identifier or free text", "is text among numbers"):
        assert f"! left out here: {table}: column " in text
        assert why in text
    (line,) = re.findall(r"For params\.yaml: (preprocess\.drop: .*)", found.text)
    dropped = config.yaml_of(line)["preprocess.drop"]
    assert sorted(dropped) == ["id", "odd", "w", "when"]
    assert sorted(found.profile["left_out"]) == ["id", "odd", "when"]
    assert read_json(tmp_path / "out" / "profile.json", "profile") == found.profile
    again = profiling.run(table, None, Paths(tmp_path), Asked(drop=dropped))
    assert again.profile["left_out"] == []
    assert "left out here" not in again.text


def test_a_table_without_a_feature_says_why_of_each_column(table, tmp_path):
    pd.read_csv(table)[["id"]].to_csv(table, index=False)
    with pytest.raises(DataError, match="no feature is left") as raised:
        profiling.run(table, None, Paths(tmp_path), Asked())
    assert "an identifier or free text" in str(raised.value)
    assert "(--drop id), or" in str(raised.value)


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("a.csv.gz", "tabular"),
        ("a.npz", "tabular"),
        ("t10k-images-idx3-ubyte.gz", "images"),
        ("x.png", "images"),
    ],
)
def test_the_source_follows_from_the_name(tmp_path, name, source):
    assert profiling.source_of(tmp_path / name) == source


def test_the_source_of_a_folder_follows_from_what_is_inside(tmp_path):
    assert profiling.source_of(tmp_path) == "tabular"
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "1.JPG").touch()
    assert profiling.source_of(tmp_path) == "images"


def test_the_command_prints_the_advice_or_one_clear_line(table, tmp_path):
    def hourglass(*arguments):
        command = [sys.executable, "-m", "hourglass", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    done = hourglass("profile", "table.csv", "--drop", "id")
    assert done.returncode == 0
    assert done.stdout.startswith("tabular: ")
    assert done.stderr == ""
    assert "Likely good: " in done.stdout
    for arguments, message in (
        (("profile",), "error: the following arguments are required: FILE"),
        (("profile", "tabel.csv"), "did you mean 'table.csv'?"),
        (("check", "table.csv"), "error: check takes no 'table.csv'"),
        (("check", "--missing-values", "-1"), "error: check takes no '--missing-values'"),
        (("search", "--epochs", "3"), "its settings are in params.yaml"),
        (("profile", "table.csv", "--drop", "u", "v", "w", "site"), "(--drop id), or"),
        (("profile", "table.csv", "--label", "sit"), "error: --label: no column 'sit' in"),
        (("profile", "table.csv", "--image-size", "0", "3"), "'0' is no number of pixels"),
    ):
        done = hourglass(*arguments)
        assert done.returncode == 2
        assert message in done.stderr
        assert "Traceback" not in done.stderr


def test_what_to_look_at_first_stands_before_the_advice():
    schema, found = mixed()
    note = f"1 column reaches {HOSTILE}"
    text, html = advice.text(schema, found, [note]), page.html(schema, found, NOTHING, [note])
    assert text.index("! 1 column reaches") < text.index("Likely good")
    assert html.index("Look at these first") < html.index("<h2>Losses")
    assert HOSTILE not in html
    assert "Look at these first" not in page.html(schema, found, NOTHING)
