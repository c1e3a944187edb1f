"""A model is registered once; it becomes the champion only if the gate lets it in."""

import logging
import multiprocessing
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests import registries
from tests.fits import TEST, TRAIN, make_files, schema, spec
from tests.registries import Killed, state
from tests.settings import params

from hourglass import gate, trials
from hourglass.bundle import Bundle
from hourglass.config import Params
from hourglass.errors import TrackingError
from hourglass.gate import Comparison, Decision
from hourglass.paths import Paths, read_json, write_csv, write_json, write_text
from hourglass.registry import PROMOTE, REGISTER, ROLLBACK
from hourglass.stages import register

OFF = params(register={"gate": "off"})

# --- what the gate says is carried out ------------------------------------------------------------

AHEAD = Comparison("version 1", 1.0, 1.5, -0.5, -0.6, -0.4, 1e-9, "better", 40, 32)
BETTER = Decision("better", 1, "", (AHEAD,), "blocks of neighbouring rows", "bits per feature")
WORSE = replace(BETTER, outcome="worse", comparisons=(replace(AHEAD, said="worse"),))


def let_in(registry, number: int, monkeypatch, decision, settings: Params = params()) -> Decision:  # noqa: B008
    """Lets a version in, or not; the gate says `decision`, or what this gives for a champion."""
    by = decision if callable(decision) else lambda _: decision
    monkeypatch.setattr(register, "_decide", lambda *own: by(own[-1]))
    version = registry.version(number)
    return register._let_in(settings, Paths(Path()), registry, version, "about it")


def champion_of(versions: int) -> registries.Registry:
    """A registry whose first version is the champion."""
    own = registries.make(versions)
    own.move(None, 1, REGISTER, "the first")
    return own


@pytest.mark.parametrize(("rows", "warned"), [(99, True), (100, False)])
def test_a_threshold_that_rests_on_one_row_is_told_of(caplog, rows, warned):
    caplog.set_level("INFO")
    register._tell_of_few_rows(0.01, rows)
    assert ("is less than one row" in caplog.text) is warned
    assert ("0.011 would be one row" in caplog.text) is warned


def test_a_model_that_is_better_becomes_champion_and_its_version_says_by_how_much(monkeypatch):
    own = champion_of(2)
    assert let_in(own, 2, monkeypatch, BETTER) == BETTER
    assert own.champion() == 2
    tags = own.client.tags[2]
    assert tags["hourglass.gate"] == "better"
    assert tags["hourglass.gate.incumbent"] == "1"
    assert tags["hourglass.gate.against"] == "version 1"
    assert tags["hourglass.gate.difference"] == "-0.5"
    assert tags["hourglass.gate.interval"] == "-0.6 to -0.4"
    assert tags["hourglass.gate.p"] == "1e-09"
    said = own.client.descriptions[2]
    assert said.startswith("about it\n\nVersion 2 becomes `@champion`: 1.0000 bits per feature")
    plain = said.replace("Version 2", "version 2").replace("`@champion`", "@champion")
    assert own.moves()[-1].why in plain


def test_a_model_that_is_worse_does_not_and_its_version_says_why(monkeypatch):
    own = champion_of(2)
    assert let_in(own, 2, monkeypatch, WORSE) == WORSE
    assert own.champion() == 1
    assert own.client.tags[2]["hourglass.gate"] == "worse"
    assert "Version 1 stays `@champion`" in own.client.descriptions[2]


def test_the_champion_again_keeps_what_was_said_of_it(monkeypatch):
    own = champion_of(2)
    let_in(own, 2, monkeypatch, BETTER)
    before = state(own)
    assert let_in(own, 2, monkeypatch, WORSE) == BETTER
    assert state(own) == before


def test_a_champion_that_people_made_is_not_judged_again(monkeypatch):
    own = champion_of(1)
    assert let_in(own, 1, monkeypatch, WORSE).outcome == "same"
    assert own.champion() == 1


def test_an_earlier_model_is_judged_against_the_champion_of_today(monkeypatch):
    """As `dvc repro` does back at earlier settings."""
    own = champion_of(2)
    let_in(own, 2, monkeypatch, BETTER)
    seen = []

    def decision(holder):
        seen.append(holder.version)
        return replace(WORSE, incumbent=2)

    let_in(own, 1, monkeypatch, decision)
    assert (seen, own.champion()) == (["2"], 2)


@pytest.mark.parametrize("how", [ROLLBACK, PROMOTE])
@pytest.mark.parametrize("settings", [params(), OFF])
def test_what_people_took_from_a_model_only_people_give_back(monkeypatch, how, settings):
    own = champion_of(2)
    let_in(own, 2, monkeypatch, BETTER)
    own.move(2, 1, how, "it drifts")
    found = let_in(own, 2, monkeypatch, BETTER, settings)
    assert (found.outcome, own.champion()) == ("withdrawn", 1)
    assert "took `@champion` from it" in own.client.descriptions[2]
    assert "it drifts" in own.client.descriptions[2]
    own.move(1, 2, PROMOTE, "it was something else")
    own.move(2, 1, REGISTER, "a better one")
    assert let_in(own, 2, monkeypatch, BETTER).outcome == "better"


def test_so_it_is_if_they_moved_the_alias_in_mlflow_itself(monkeypatch):
    """A regression: the gate brought the model back."""
    own = champion_of(2)
    let_in(own, 2, monkeypatch, BETTER)
    own.client.set_registered_model_alias(own.name, own.alias, "1")
    assert let_in(own, 2, monkeypatch, BETTER).outcome == "withdrawn"
    assert own.champion() == 1
    assert "`@champion` was taken from it in MLflow itself" in own.client.descriptions[2]


def test_a_model_whose_successor_was_deleted_is_judged_as_any_other(monkeypatch):
    own = champion_of(4)
    let_in(own, 2, monkeypatch, BETTER)
    own.move(2, 3, REGISTER, "a better one")
    own.move(3, 4, PROMOTE, "why not")
    del own.client.tags[3]
    assert let_in(own, 2, monkeypatch, BETTER).outcome == "better"


def test_without_the_gate_each_new_model_becomes_champion(monkeypatch):
    own = champion_of(2)
    assert let_in(own, 2, monkeypatch, WORSE, OFF).outcome == "off"
    assert own.champion() == 2


def test_a_copy_of_the_champion_takes_its_place_with_what_was_said(monkeypatch):
    """The files of a version are lost, and the same model is registered anew."""
    own = champion_of(3)
    let_in(own, 2, monkeypatch, BETTER)
    own.client.tags[3]["hourglass.bundle"] = "b2"
    assert let_in(own, 3, monkeypatch, WORSE) == BETTER
    assert own.champion() == 3
    assert own.client.tags[3]["hourglass.gate"] == "better"


@pytest.mark.parametrize("decision", [BETTER, WORSE])
def test_a_kill_at_any_moment_changes_nothing_in_the_end(monkeypatch, decision):
    expected = champion_of(2)
    start = expected.client.changes
    let_in(expected, 2, monkeypatch, decision)
    steps = expected.client.changes - start
    assert steps >= 8
    for step in range(steps):
        own = champion_of(2)
        own.client.kill_at = start + step
        with pytest.raises(Killed):
            let_in(own, 2, monkeypatch, decision)
        own.client.kill_at = None
        assert let_in(own, 2, monkeypatch, decision) == decision
        assert state(own) == state(expected)


def test_a_champion_that_changes_meanwhile_is_the_one_to_beat(monkeypatch):
    """Two registrations on a server: both saw version 1, and version 3 came first."""
    own, seen = champion_of(3), []

    def decision(holder):
        seen.append(int(holder.version))
        if len(seen) == 1:
            own.move(1, 3, REGISTER, "the other")
            return BETTER
        return replace(WORSE, incumbent=3)

    assert let_in(own, 2, monkeypatch, decision).incumbent == 3
    assert (seen, own.champion()) == ([1, 3], 3)
    assert own.line() == [1, 3]


def test_a_champion_that_never_rests_is_an_error(monkeypatch):
    own = champion_of(3)

    def decision(_):
        start = own.champion()
        own.move(start, 1 if start == 3 else 3, REGISTER, "another")
        return BETTER

    with pytest.raises(TrackingError, match="is moved again and again by other processes"):
        let_in(own, 2, monkeypatch, decision)


# --- with MLflow ----------------------------------------------------------------------------------


def select(paths: Paths, seed: int, epochs: int = 3) -> None:
    """What train and evaluate leave for register: a model, its numbers, and what rows cost."""
    folder = paths.model("mse", seed)
    trials.run(replace(spec(paths.root), seed=seed, epochs=epochs, save_to=folder))
    numbers = {"rows": "0123", "test": 2.0, "test_pca": 2.1, "ruler": "bits per hidden value"}
    numbers |= {"bits_per_feature": 1.9, "bits_per_feature_masked": 2.0, "rmse": 1.0, "mae": 0.5}
    chosen = {"selected_loss": "mse", "selected_seed": seed, "rows_test": 40}
    write_text(paths.evaluate("verdict.txt"), "mse is best\n")
    write_json(paths.evaluate("delivered.json"), {**chosen, **numbers})
    write_json(paths.evaluate("run.json"), {"key": "evaluate 89ab"})
    write_json(paths.train("run.json"), {"key": "train 0123"})
    bits_N = gate.row_bits(Bundle.load(folder), np.load(paths.values("test")), hidden=False)
    rows = [
        {"position": i, "row": 130 + i, "model": b, "pca": b + 1.0}
        for i, b in enumerate(bits_N.tolist())
    ]
    write_csv(paths.evaluate("gate.csv"), rows, list(rows[0]))


def make(root: Path) -> Paths:
    """A folder with a trained model that evaluate selected."""
    paths = Paths(make_files(root))
    paths.values("test").parent.mkdir()
    np.save(paths.values("test"), TEST)
    select(paths, 1)
    return paths


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory):
    """The folder, and nothing in the registry yet."""
    paths = make(tmp_path_factory.mktemp("a project"))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.chdir(paths.root)
        yield paths


def registered(settings: Params, paths: Paths) -> dict:
    register.run(settings, paths)
    return read_json(paths.register("version.json"), "register")


def named(name: str, **others) -> Params:
    return params(register={"name": name, **others})


@pytest.mark.slow
def test_a_model_is_registered_once_and_again_when_its_files_are_lost(project, caplog):
    import mlflow

    first = registered(params(), project)
    assert (first["version"], first["uri"]) == (1, "models:/hourglass-autoencoder@champion")
    assert (first["champion"], first["gate"]["outcome"]) == (1, "first")
    with caplog.at_level("INFO"):
        assert registered(params(), project) == first
    said = "version 1 is @champion already; when it came in: version 1 becomes @champion, the first"
    assert said in caplog.text
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert registered(params(register={"alias": "challenger"}), project)["version"] == 1
    shutil.rmtree(project.root / "mlruns")
    assert registered(params(), project)["version"] == 2
    assert "version 1 has lost its files" in caplog.text
    mlflow.pyfunc.load_model(first["uri"])
    files = {f.name for f in project.root.rglob("artifacts/artifacts/**/*") if f.is_file()}
    assert files == {"model.json", "weights.safetensors", "model.onnx"}
    client = mlflow.MlflowClient()
    assert client.get_registered_model(first["name"]).aliases["champion"] in {2, "2"}


@pytest.mark.slow
def test_another_share_of_anomalies_makes_the_champion_s_own_model_champion(project):
    """A regression: it was tied with itself, and the earlier share stayed in service."""

    def shared(share: float) -> dict:
        return registered(params(register={"name": "shared", "anomaly_share": share}), project)

    first, second = shared(0.01), shared(0.25)
    assert (first["version"], second["version"], second["champion"]) == (1, 2, 2)
    assert second["gate"]["outcome"] == "settings"
    assert second["gate"]["said"].endswith(
        "version 2 becomes @champion: it is the model of version 1 with another "
        "register.anomaly_share"
    )
    assert shared(0.25) == second
    back = shared(0.01)
    assert (back["version"], back["champion"]) == (1, 1)


@pytest.mark.slow
def test_a_model_that_was_logged_before_a_kill_is_no_second_one(project, monkeypatch):
    """A regression: each kill between the log and the version left a model more in the run."""
    import mlflow

    def die(*_: object, **__: object) -> None:
        raise Killed

    settings = named("another-name")
    client = mlflow.MlflowClient(f"sqlite:///{project.root}/mlflow.db")
    experiment = client.get_experiment_by_name(settings.tracking.experiment).experiment_id
    before = {m.model_id for m in client.search_logged_models([experiment])}
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(mlflow.MlflowClient, "create_model_version", die)
        registered(settings, project)
    assert len(client.search_logged_models([experiment])) == len(before) + 1
    assert registered(settings, project)["version"] == 1
    after = {m.model_id for m in client.search_logged_models([experiment])}
    assert len(after) == len(before) + 1
    assert before < after  # versions of other names keep theirs


def redrawn(paths: Paths, digest: str, test: np.ndarray) -> None:
    """Other rows lie in data/interim, as after new data or another seed of the split."""
    described = replace(schema(), digest=digest)
    write_json(paths.schema, described.to_json())
    np.save(paths.values("test"), test)
    scaler = read_json(paths.scaler("standard"), "normalize")
    write_json(paths.scaler("standard"), {**scaler, "rows": digest})


@pytest.mark.slow
def test_the_champion_is_loaded_and_scored_on_the_test_rows_of_today(tmp_path, monkeypatch, caplog):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    paths = make(tmp_path)
    settings = named("m")
    assert registered(settings, paths)["champion"] == 1
    first_N = gate.row_bits(Bundle.load(paths.model("mse", 1)), TEST, hidden=False)
    select(paths, 2, epochs=60)
    better = registered(settings, paths)
    assert (better["version"], better["champion"], better["gate"]["outcome"]) == (2, 2, "better")
    against = better["gate"]["comparisons"][-1]
    assert against["other_bits"] == pytest.approx(first_N.mean() / 6)
    select(paths, 1)
    back = registered(settings, paths)  # as `dvc repro` back at earlier settings
    assert (back["version"], back["champion"], back["gate"]["outcome"]) == (1, 2, "worse")
    assert back["uri"] == "models:/m/1"
    assert "version 2 stays @champion, version 1 is worse" in caplog.text
    # Half of today's test rows are among those that version 2 was trained on.
    redrawn(paths, "4567", np.concatenate([TRAIN[:20], TEST[:20]]))
    select(paths, 3, epochs=60)
    metrics = read_json(paths.evaluate("delivered.json"), "evaluate")
    write_json(paths.evaluate("delivered.json"), {**metrics, "rows": "4567"})
    leaky = registered(settings, paths)
    assert leaky["version"] == 3
    assert leaky["gate"]["comparisons"][-1]["rows"] == 20
    assert "20 more test rows are left out, version 2 was trained on them" in leaky["gate"]["said"]


@pytest.mark.slow
def test_a_champion_that_can_not_be_read_is_left_to_people_and_one_without_files_is_not(
    tmp_path, monkeypatch
):
    """A regression: weights that were lost alone went unseen, and a bad MLmodel was a traceback."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    paths, settings = make(tmp_path), named("m")
    assert registered(settings, paths)["champion"] == 1
    weights = next(tmp_path.glob("mlruns/**/weights.safetensors"))
    whole = weights.read_bytes()
    weights.write_bytes(whole[:100])
    select(paths, 2, epochs=60)
    cut = registered(settings, paths)
    assert (cut["champion"], cut["gate"]["outcome"]) == (1, "incomparable")
    assert "model/artifacts/1 holds no whole model of Hourglass" in cut["gate"]["said"]
    assert cut == registered(settings, paths)  # nothing that is drawn at random, as a folder's name
    weights.unlink()
    lost = registered(settings, paths)
    assert (lost["version"], lost["champion"], lost["gate"]["outcome"]) == (2, 2, "first")
    for file in tmp_path.glob("mlruns/**/MLmodel"):
        file.write_text("no: [yaml")
    assert registered(settings, paths)["version"] == 3  # the same model, registered anew


def race(root: str, name: str) -> None:
    os.chdir(root)
    register.run(named(name), Paths(Path(root)))


@pytest.mark.slow
def test_of_two_that_register_at_once_the_better_is_champion(tmp_path, monkeypatch):
    """Each is judged against the other, whichever comes first."""
    import mlflow

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    store = f"sqlite:///{tmp_path}/mlflow.db"
    projects = [make(tmp_path / name) for name in ("one", "two")]
    select(projects[1], 2, epochs=60)  # the better one
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    mlflow.MlflowClient(store).search_experiments()  # makes the store
    spawn = multiprocessing.get_context("spawn")
    both = [spawn.Process(target=race, args=(str(p.root), "m")) for p in projects]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert [one.exitcode for one in both] == [0, 0]
    found = [read_json(p.register("version.json"), "register") for p in projects]
    assert sorted(f["version"] for f in found) == [1, 2]
    client = mlflow.MlflowClient(store, registry_uri=store)
    aliases = client.get_registered_model("m").aliases
    assert {k: int(v) for k, v in aliases.items()} == {"champion": found[1]["version"]}
    judged = [f["gate"]["comparisons"][-1]["other"] for f in found]
    assert sorted(judged) in (["pca", "version 1"], ["pca", "version 2"])
