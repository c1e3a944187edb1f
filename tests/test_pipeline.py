"""The whole pipeline as its users run it, on real data with a small budget."""

import csv
import io
import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.conftest import ROOT, Project, make_project

import house
from hourglass.bundle import Bundle
from hourglass.paths import Paths
from hourglass.stages import STAGES

pytestmark = pytest.mark.slow

RESULTS = (
    "reports/evaluate/delivered.json",
    "reports/evaluate/leaderboard.csv",
    "reports/evaluate/report.html",
    "reports/search/trials.csv",
    "reports/search/best.yaml",
    "reports/train/fits.csv",
)
LOSSES = ["mse", "bce", "huber", "student_t"]


def table(project: Project, path: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(project.read(path).decode())))


def metrics(project: Project) -> dict:
    return json.loads(project.read("reports/evaluate/delivered.json"))


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project after `dvc repro` on digits with two workers."""
    project = make_project(tmp_path_factory.mktemp("done") / "a project")
    project.change(search={"losses": LOSSES, "workers": 2}, train={"workers": 2})
    project.run("git", "init", "-q")
    project.run("dvc", "repro")
    return project


def test_every_stage_wrote_what_dvc_expects(done):
    status = done.run("dvc", "status").stdout
    assert "up to date" in status


def test_a_second_repro_changes_nothing(done):
    said = done.run("dvc", "repro").stdout
    assert "Data and pipelines are up to date" in said
    assert all(f"Running stage '{stage}'" not in said for stage in STAGES)


def test_the_leaderboard_has_a_row_a_loss_and_the_promised_columns(done):
    rows = table(done, "reports/evaluate/leaderboard.csv")
    promised = (
        "loss scaler test bits_per_feature ci_low ci_high verdict rmse mae skill_vs_pca seeds"
    )
    assert set(promised.split()) <= set(rows[0])
    assert sorted(r["loss"] for r in rows) == sorted(LOSSES)
    assert {r["verdict"] for r in rows} <= {"best", "tied", "worse"}
    assert [r["verdict"] for r in rows].count("best") == 1
    assert {r["seeds"] for r in rows} == {"2"}
    for row in rows:
        assert float(row["ci_low"]) <= float(row["test"]) <= float(row["ci_high"])


def test_the_selected_loss_is_not_worse_than_the_best(done):
    chosen = metrics(done)["selected_loss"]
    rows = {r["loss"]: r for r in table(done, "reports/evaluate/leaderboard.csv")}
    assert rows[chosen]["verdict"] in {"best", "tied"}
    assert rows[chosen]["selected"] == "True"


def test_the_tables_hold_all_trials_and_all_metrics(done):
    assert len(table(done, "reports/search/trials.csv")) == 3 * len(LOSSES)
    crossed = table(done, "reports/evaluate/cross.csv")
    assert [r["trained"] for r in crossed[-3:]] == ["mean", "median", "pca"]
    assert {"bits_per_feature", "rmse", "mae", "r2", "max_error"} <= set(crossed[0])


def test_metrics_are_those_of_the_delivered_model_on_test_rows(done):
    found = metrics(done)
    rows = table(done, "reports/evaluate/test_rows.csv")
    bits = np.mean([float(r["code_length_bits"]) for r in rows]) / 64
    assert found["rows_test"] == len(rows)
    assert found["bits_per_feature"] == pytest.approx(bits, rel=1e-9)


def load_champion(project: Project, monkeypatch: pytest.MonkeyPatch):
    import mlflow

    monkeypatch.chdir(project.folder)
    mlflow.set_tracking_uri(f"sqlite:///{project.folder}/mlflow.db")
    mlflow.set_registry_uri(f"sqlite:///{project.folder}/mlflow.db")
    return mlflow.pyfunc.load_model("models:/hourglass-autoencoder@champion")


def test_the_champion_answers_for_raw_rows_with_the_numbers_of_evaluate(done, monkeypatch):
    model = load_champion(done, monkeypatch)
    schema = json.loads(done.read("data/interim/schema.json"))
    names = [c["name"] for c in schema["columns"]]
    rows = pd.DataFrame(np.load(done.folder / "data/interim/test/values.npy"), columns=names)
    answer = model.predict(rows[names[::-1]])  # the order of columns is the user's
    expected = [float(r["code_length_bits"]) for r in table(done, "reports/evaluate/test_rows.csv")]
    np.testing.assert_allclose(answer["code_length_bits"], expected, rtol=1e-6)
    rmse = np.sqrt(np.square(answer[names].to_numpy() - rows.to_numpy()).mean())
    assert rmse == pytest.approx(metrics(done)["rmse"], rel=1e-6)
    train = np.load(done.folder / "data/interim/train/values.npy")
    error = (answer[names].to_numpy() - rows.to_numpy()) / np.maximum(train.std(axis=0), 1.0)
    assert np.sqrt(np.square(error).mean()) == pytest.approx(metrics(done)["nrmse"], rel=1e-6)
    whole = model.predict(rows.head(3).astype("int64"))  # grey levels come as whole numbers
    # Sums over few rows are ordered otherwise: equal to float32 of grey levels up to 16.
    numbers = [*names, "code_length_bits"]
    np.testing.assert_allclose(whole[numbers], answer.head(3)[numbers], rtol=1e-6, atol=1e-5)


def test_the_registered_model_holds_no_pickle(done):
    version = json.loads(done.read("reports/register/version.json"))
    assert version["uri"] == "models:/hourglass-autoencoder@champion"
    folders = list((done.folder / "mlruns").glob("*/models/*/artifacts"))
    files = [f for folder in folders for f in folder.rglob("*") if f.is_file()]
    names = {f.name for f in files}
    assert {"weights.safetensors", "model.json", "serving_entry.py"} <= names
    assert not [f for f in files if f.suffix in {".pkl", ".pickle", ".pt", ".pth", ".joblib"}]
    assert not [f for f in files if f.read_bytes()[:2] in {b"\x80\x04", b"\x80\x05", b"PK"}]


def test_mlflow_shows_parents_children_curves_and_pictures(done, monkeypatch):
    import mlflow

    monkeypatch.chdir(done.folder)
    client = mlflow.MlflowClient(f"sqlite:///{done.folder}/mlflow.db")
    experiment = client.get_experiment_by_name("hourglass")
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    children: dict[str, list] = {}
    for run in runs:
        children.setdefault(run.data.tags.get("mlflow.parentRunId", ""), []).append(run)
    parents = {r.data.tags["hourglass.stage"]: r for r in children[""]}
    assert set(parents) == {"search", "train", "evaluate", "register"}
    assert len(children[parents["search"].info.run_id]) == 3 * len(LOSSES)
    assert len(children[parents["train"].info.run_id]) == 2 * len(LOSSES)
    assert {r.info.status for r in runs} == {"FINISHED"}
    child = children[parents["train"].info.run_id][0]
    assert len(client.get_metric_history(child.info.run_id, "curve/val_gauss_bits")) == 6
    shown = {a.path for a in client.list_artifacts(parents["evaluate"].info.run_id)}
    assert {"leaderboard.json", "report.html", "reconstructions.png", "curves.png"} <= shown
    for stage in ("search", "train", "evaluate"):
        run = parents[stage]
        note, page = run.data.tags["mlflow.note.content"], f"/runs/{run.info.run_id}/artifacts/"
        linked = re.findall(r"\]\(#/experiments/\d+" + page + r"([^)]+)\)", note)
        assert len(linked) == note.count("](") >= 3
        assert set(linked) <= {a.path for a in client.list_artifacts(run.info.run_id)}
    names = set(parents["evaluate"].data.metrics)
    assert {"bits_per_feature", "test/rmse", "validation/detectable_difference"} <= names
    assert "test/detectable_difference" not in names
    assert "git.dirty" not in parents["search"].data.tags  # a repository without a commit
    assert parents["evaluate"].inputs.dataset_inputs[0].dataset.digest


def test_each_number_of_mlflow_is_that_of_the_files(done, monkeypatch):
    """A regression: the run of evaluate had the delivered fit's bits beside the mean's skill."""
    import mlflow

    monkeypatch.chdir(done.folder)
    client = mlflow.MlflowClient(f"sqlite:///{done.folder}/mlflow.db")
    (experiment,) = client.search_experiments(filter_string="name = 'hourglass'")

    def run(stage: str):
        query = f"tags.`hourglass.stage` = '{stage}'"
        found = client.search_runs([experiment.experiment_id], query)
        (own,) = (r for r in found if "hourglass.child" not in r.data.tags)
        return own

    told, own = run("evaluate").data.metrics, metrics(done)
    few = json.loads(done.read("reports/evaluate/metrics.json"))
    shared = set(few) & set(told)
    assert {"bits_per_feature", "skill_vs_pca"} <= shared
    assert {k: told[k] for k in shared} == {k: few[k] for k in shared}
    assert told["skill_vs_pca"] == told["test/objective_pca"] - told["test/objective"]
    assert told["validation/imputation_nrmse"] == own["imputation_nrmse"]
    assert "test/imputation_nrmse" not in told
    tried = table(done, "reports/search/trials.csv")
    best = min(tried, key=lambda t: float(t["objective"]))
    assert run("search").data.metrics["bits_per_feature"] == float(best["bits_per_feature"])
    rows = table(done, "reports/evaluate/leaderboard.csv")
    ahead = min(float(r["validation"]) for r in rows)
    assert run("train").data.metrics["bits_per_feature"] == pytest.approx(ahead, rel=1e-12)
    children = client.search_runs(
        [experiment.experiment_id], f"tags.`mlflow.parentRunId` = '{run('evaluate').info.run_id}'"
    )
    notes = {c.data.params["loss"]: c.data.tags["mlflow.note.content"] for c in children}
    for row in rows:
        numbers = re.findall(r"\d+\.\d{4}", notes[row["loss"]])
        shown = ["validation", "test", "ci_low", "ci_high"]
        if float(row["difference"]):
            shown[1:1] = ["difference", "difference_low", "difference_high"]
        assert numbers == [f"{float(row[name]):.4f}".removeprefix("-") for name in shown]
    stages = ("search", "train", "evaluate")
    settings = [client.list_artifacts(run(stage).info.run_id) for stage in stages]
    assert all("params.yaml" in {a.path for a in artifacts} for artifacts in settings)


def test_a_version_leads_to_its_evaluation_its_fit_and_its_report_and_back(done, monkeypatch):
    import mlflow

    monkeypatch.chdir(done.folder)
    client = mlflow.MlflowClient(f"sqlite:///{done.folder}/mlflow.db")
    version = client.get_model_version_by_alias("hourglass-autoencoder", "champion")
    linked = dict(re.findall(r"\[(\w+)\]\(#/experiments/\d+/runs/(\w+)", version.description))
    assert set(linked) == {"evaluation", "report", "fit"}
    evaluated, fit = (client.get_run(linked[name]) for name in ("evaluation", "fit"))
    assert linked["report"] == linked["evaluation"]
    assert evaluated.data.tags["hourglass.registered"] == f"{version.name} {version.version}"
    own = metrics(done)
    assert fit.info.run_name == f"{own['selected_loss']} · seed {own['selected_seed']}"
    assert fit.data.tags["hourglass.data"] == version.tags["hourglass.data"] == own["rows"]
    model = client.get_logged_model(version.source.removeprefix("models:/"))
    assert {m.key: m.value for m in model.metrics}["bits_per_feature"] == own["bits_per_feature"]
    assert model.params["loss"] == own["selected_loss"]
    assert json.loads(model.tags["mlflow.modelVersions"])[0]["version"] == version.version


def test_the_report_is_one_small_page_whose_pictures_have_words(done):
    page = done.read("reports/evaluate/report.html")
    assert len(page) < 3_000_000
    assert not re.search(rb"@import|url\(|<link|<iframe|<script|(src|href)\s*=\s*.?https?:", page)
    pictures = re.findall(rb'<img src="data:image/png;base64,[^"]+"\s+alt="([^"]+)"', page)
    assert len(pictures) == page.count(b"<img ") == len(set(pictures)) == 7
    settings = [f"{own:.4g}" for own in _delivered_hyper(done).values()]
    told = page.partition(b"<dt>delivered</dt>")[2].partition(b"</dd>")[0].decode()
    assert all(own in told for own in settings)


def _delivered_hyper(done) -> dict[str, float]:
    own = json.loads(done.read("reports/evaluate/delivered.json"))
    folder = Paths(done.folder).model(own["selected_loss"], own["selected_seed"])
    return Bundle.load(folder).recipe.hyper


def test_everything_again_from_nothing_with_one_worker_gives_the_same_bytes(done, tmp_path):
    before = {path: done.read(path) for path in RESULTS}
    twin = Project(tmp_path / "twin")
    shutil.copytree(done.folder, twin.folder, symlinks=True)
    for store in ("mlflow.db", "mlruns", ".hourglass", "models", "reports"):
        gone = twin.folder / store
        shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    twin.change(search={"workers": 1, "executor": "serial"}, train={"workers": 1})
    twin.run("dvc", "repro", "--force")
    assert {path: twin.read(path) for path in RESULTS} == before


def test_a_race_gives_the_same_bytes_with_one_worker_or_four_and_is_told_in_the_verdict(
    tmp_path,
):
    projects = {name: make_project(tmp_path / name) for name in ("four", "one")}
    budget = {"trials_per_loss": 10, "round_size": 2, "epochs": 8, "losses": ["bce", "mae"]}
    rules = {"pruner": "halving", "allocation": "racing", "patience": 6}
    rules["space"] = {"mae": {"learning_rate": [0.001, 0.0011]}}  # it learns next to nothing
    for name, project in projects.items():
        where = {"workers": 4} if name == "four" else {"workers": 1, "executor": "serial"}
        project.change(search={**budget, **rules, **where}, train={"patience": 2})
        project.stage("preprocess", "normalize", "search")
    files = ("reports/search/trials.csv", "reports/search/best.yaml")
    four, one = ([project.read(f) for f in files] for project in projects.values())
    assert four == one
    project = projects["four"]
    rows = table(project, files[0])
    assert {"complete", "pruned"} <= {r["state"] for r in rows}
    (dropped,) = [r for r in rows if r["dropped"]]
    tried = [r for r in rows if r["loss"] == dropped["loss"]]
    assert dropped == tried[-1]
    assert len(tried) < 10
    project.stage("train", "evaluate")
    assert (
        f"{dropped['loss']} was searched for less long"
        in project.read("reports/evaluate/verdict.txt").decode()
    )
    counts = {
        r["loss"]: int(r["search_trials"])
        for r in table(project, "reports/evaluate/leaderboard.csv")
    }
    assert counts == {loss: sum(r["loss"] == loss for r in rows) for loss in ("bce", "mae")}


def test_dvc_shows_metrics_plots_and_parameter_changes(done):
    assert metrics(done)["selected_loss"] in done.run("dvc", "metrics", "show").stdout
    plots = json.loads(done.run("dvc", "plots", "show", "--json").stdout)["data"]
    points = plots["Learning curves"][0]["content"]["data"]["values"]
    assert {p["loss"] for p in points} == set(LOSSES)
    assert "reports/evaluate/reconstructions.png" in plots
    assert "index.html" in done.run("dvc", "plots", "show").stdout
    done.run("git", "add", "-A")
    done.run("git", "-c", "user.name=A", "-c", "user.email=a@b.c", "commit", "-qm", "first")
    done.change(search={"trials_per_loss": 4})
    said = done.run("dvc", "params", "diff").stdout
    done.change(search={"trials_per_loss": 3})
    assert "search.trials_per_loss" in said


def test_back_at_earlier_settings_the_registry_follows(done, tmp_path):
    """A regression: DVC's run cache brought version.json back, and the alias stayed elsewhere."""
    import mlflow

    twin = Project(tmp_path / "twin")
    shutil.copytree(done.folder, twin.folder, symlinks=True)
    twin.change(register={"alias": "challenger"})
    twin.run("dvc", "repro")
    store = f"sqlite:///{twin.folder}/mlflow.db"
    client = mlflow.MlflowClient(store, registry_uri=store)
    client.delete_registered_model_alias("hourglass-autoencoder", "champion")
    twin.change(register={"alias": "champion"})
    twin.run("dvc", "repro")
    model = client.get_registered_model("hourglass-autoencoder")
    assert set(model.aliases) == {"champion", "challenger"}


def test_two_processes_a_fit_give_the_losses_of_one(done, tmp_path):
    """DDP on the CPU (gloo), started by the stage from inside `dvc repro`."""
    twin = Project(tmp_path / "twin")
    shutil.copytree(done.folder, twin.folder, symlinks=True)
    twin.change(train={"devices": 2, "accelerator": "cpu"})
    twin.run("dvc", "repro", "--single-item", "train")
    one = pd.read_csv(done.folder / "reports/train/curves.csv")
    two = pd.read_csv(twin.folder / "reports/train/curves.csv")
    assert list(one["loss"]) == list(two["loss"])
    for name in ("train_loss", "val_loss", "val_gauss_bits"):
        np.testing.assert_allclose(two[name], one[name], rtol=1e-4, atol=1e-6)


def test_mlflow_run_starts_the_pipeline_and_a_stage(done):
    said = done.run("mlflow", "run", ".", "--env-manager", "local")
    assert "up to date" in said.stdout + said.stderr
    said = done.run(
        "mlflow", "run", ".", "--env-manager", "local", "-e", "stage", "-P", "name=normalize"
    )
    assert "'normalize' didn't change" in said.stdout + said.stderr


def test_a_stage_without_its_inputs_says_which_stage_to_run(project):
    failed = project.run("hourglass", "search", check=False)
    assert failed.returncode == 2
    assert "run `dvc repro preprocess` first" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert not (project.folder / "reports").exists()


# --- a table with gaps and columns of several kinds -----------------------------------------------

# Runs a stage and writes down the files that it opened to read.
WATCHED = """
import json, os, sys
from pathlib import Path
opened, root = set(), os.getcwd()
def watch(event, args):
    if event == "open" and isinstance(args[0], str) and "r" in (args[1] or "") :
        opened.add(os.path.relpath(args[0], root))
sys.addaudithook(watch)
from hourglass.__main__ import main
status = main([sys.argv[1]])
Path(sys.argv[2]).write_text(json.dumps(sorted(opened)))
sys.exit(status)
"""
HOSTILE = '<img src=x onerror="alert(1)">'  # the name of a column
KINDS = {"speed": "continuous", HOSTILE: "continuous", "faults": "count", "on": "binary"}
CANDIDATES = ["mse+poisson", "mse+negative_binomial", "huber+poisson", "huber+negative_binomial"]


def mixed_table() -> pd.DataFrame:
    """Columns of three kinds that hang together; a tenth of the values is missing."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=400)
    table = pd.DataFrame(
        {
            "speed": (20 + 5 * z + rng.normal(size=400)).round(2),
            HOSTILE: (1e-3 * (z + 0.3 * rng.normal(size=400))),
            "faults": rng.poisson(np.exp(1 + 0.4 * z)).astype(float),
            "on": (z + 0.3 * rng.normal(size=400) > 0).astype(float),
        }
    )
    return table.mask(rng.random(table.shape) < 0.1)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, dict[str, list[str]]]:
    """A project after all stages on the mixed table, and what each stage opened to read."""
    project = make_project(tmp_path_factory.mktemp("mixed") / "a project")
    mixed_table().to_csv(project.folder / "data/raw/table.csv", index=False)
    losses = {"continuous": ["mse", "huber"], "count": ["poisson", "negative_binomial"]}
    project.change(
        preprocess={"source": "tabular", "path": "data/raw/table.csv", "kinds": KINDS},
        model={"latent_dim": 2},
        search={"losses": losses, "executor": "serial", "hidden": [[8]], "epochs": 20},
        train={"executor": "serial", "epochs": 40},
    )
    opened = {}
    for stage in STAGES:
        file = project.folder / f"{stage}.json"
        project.run(sys.executable, "-c", WATCHED, stage, str(file))
        opened[stage] = json.loads(file.read_text())
    return project, opened


@pytest.mark.parametrize("stage", STAGES)
def test_dvc_watches_every_file_that_a_stage_opens(mixed, stage):
    _, opened = mixed
    own = house.stages(ROOT / "dvc.yaml")[stage]
    known = ["data/raw/table.csv" if "$" in d else d for d in house.names(own["deps"])]
    known += [*house.outs(own), "data/interim/.new"]
    files = [f for f in opened[stage] if f.startswith(("data/", "models/", "reports/"))]
    assert files
    unwatched = [f for f in files if not any(Path(f).is_relative_to(k) for k in known)]
    assert unwatched == []


def test_losses_of_two_kinds_compete_together(mixed):
    project, _ = mixed
    rows = table(project, "reports/evaluate/leaderboard.csv")
    assert sorted(r["loss"] for r in rows) == sorted(CANDIDATES)
    tried = table(project, "reports/search/trials.csv")
    for name in CANDIDATES:
        own = [t for t in tried if t["loss"] == name]
        assert {t["scaler"] for t in own} == {"unit", "standard", "robust"}
        assert {t["state"] for t in own} == {"complete"}
    assert b"How much the scaler matters" in project.read("reports/evaluate/report.html")


def test_the_name_of_a_column_is_no_markup_in_the_report(mixed):
    page = mixed[0].read("reports/evaluate/report.html")
    assert b"<img src=x" not in page
    assert b"&lt;img src=x" in page


def test_gaps_are_filled_in_better_than_by_the_mean(mixed):
    found = metrics(mixed[0])
    assert found["imputation_nrmse"] < found["imputation_nrmse_mean"]
    assert found["bits_per_feature"] < found["bits_per_feature_pca"] + 0.5


def test_bits_of_a_table_with_gaps_are_a_mean_over_what_was_observed(mixed):
    project, _ = mixed
    rows = table(project, "reports/evaluate/test_rows.csv")
    observed = mixed_table().iloc[[int(r["row"]) for r in rows]].notna().sum().sum()
    bits = sum(float(r["code_length_bits"]) for r in rows) / observed
    assert metrics(project)["bits_per_feature"] == pytest.approx(bits)


def test_the_champion_answers_for_rows_with_gaps(mixed, monkeypatch):
    project, _ = mixed
    model = load_champion(project, monkeypatch)
    told = table(project, "reports/evaluate/test_rows.csv")
    rows = pd.read_csv("data/raw/table.csv").iloc[[int(r["row"]) for r in told]]
    assert rows.isna().any(axis=None)
    answer = model.predict(rows)
    assert not answer.isna().any(axis=None)
    expected = [float(r["code_length_bits"]) for r in told]
    np.testing.assert_allclose(answer["code_length_bits"], expected, rtol=1e-5)
