"""Registers the selected model, raw rows in; the best yet is champion: `hourglass register`."""

import contextlib
import json
import logging
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hourglass import exporting, gate, leaks, provenance, sending, serving
from hourglass.bundle import Bundle
from hourglass.config import Params
from hourglass.errors import HourglassError, TrackingError
from hourglass.gate import Decision, Evidence, Incumbent, Terms
from hourglass.lineage import Origin
from hourglass.mlflow_runs import MlflowRun, MlflowTracker
from hourglass.mlflow_store import answering
from hourglass.paths import SPLITS, Paths, existing, read_csv, read_json, read_text, write_json
from hourglass.patience import is_outage
from hourglass.registry import REGISTER, Registry
from hourglass.schema import Array
from hourglass.tracking import Run, data_sets, grouped

log = logging.getLogger(__name__)

EXAMPLE_ROWS = 3
# Tags; a bundle is a model with the settings of its answers.
GATE, BUNDLE, MODEL = "hourglass.gate", "hourglass.bundle", "hourglass.model"
TURNS = 5  # decisions against a champion that changes meanwhile
COMPARED_ROWS = 64  # on which the ONNX graph must give the model's numbers


def run(params: Params, paths: Paths) -> None:
    """Registers the model that evaluate selected, lets the gate decide, and writes version.json.

    A bundle that is registered already keeps its version, provided that its files are still there.

    Raises:
        TrackingError: the registry refuses.
    """
    selected, settings = _selected(params, paths), params.register_
    sending.send_left(paths)
    tracker = MlflowTracker(params.tracking.experiment, paths.root)
    registry = Registry(tracker, settings.name, settings.alias)
    with answering(tracker.uri), registry.locked():
        origin = Origin.of(tracker, paths, selected.report, selected.bundle.schema)
        about = _description(paths, selected, origin)
        version = _registered(registry, selected.digest)
        if version is None:
            version = _register(tracker, params, paths, selected, origin)
        number, before = int(version.version), registry.champion()
        decision = _let_in(params, paths, registry, version, about)
        champion = registry.champion()
        said = decision.sentence(number, settings.alias)
        if before != number:  # else it keeps what was said of it
            origin.mark_version(tracker, version)
        origin.mark_evaluation(tracker, version)
    paths.moved.unlink(missing_ok=True)  # what is so now stands in version.json
    already = f"version {number} is @{settings.alias} already; when it came in: "
    level = logging.INFO if champion == number else logging.WARNING
    log.log(level, "%s: %s%s", settings.name, already if before == number else "", said)
    write_json(
        paths.register("version.json"),
        {
            "name": settings.name,
            "version": number,
            "alias": settings.alias,
            "champion": champion,
            "uri": f"models:/{settings.name}"
            + (f"@{settings.alias}" if champion == number else f"/{number}"),
            "bundle": selected.digest,
            "key": selected.key,
            "gate": {"said": said, **decision.to_json()},
        },
    )


@dataclass(frozen=True)
class _Selected:
    """What evaluate selected.

    Attributes:
        report: delivered.json.
        folder: Of its bundle.
        bundle: The model.
        digest: Of the bundle and the settings of its answers.
    """

    report: Mapping[str, Any]
    folder: Path
    bundle: Bundle
    digest: str

    @property
    def key(self) -> str:
        """The key of the run, the same in any store: see docs/tracking.md."""
        return f"register {self.digest}"


def _selected(params: Params, paths: Paths) -> _Selected:
    """Reads it.

    Raises:
        StaleInputError: it was made from other rows than those that evaluate saw.
    """
    made = paths.evaluate("delivered.json")
    report = read_json(made, "evaluate")
    folder = existing(paths.model(report["selected_loss"], report["selected_seed"]), "train")
    bundle = Bundle.load(folder)
    provenance.require_same_rows(report.get("rows"), bundle.schema.digest, made, "evaluate")
    share = params.register_.anomaly_share
    digest = provenance.digest(provenance.digest_files(folder), share)
    return _Selected(report, folder, bundle, digest)


def _let_in(
    params: Params, paths: Paths, registry: Registry, version: Any, description: str
) -> Decision:
    """Decides whether a version becomes the champion, writes that on it, and moves the alias.

    A model that is the champion already keeps what was decided of it: after a kill the same command
    says the same.
    """
    number = int(version.version)
    for _ in range(TURNS):
        start = registry.champion()
        holder = registry.version(start) if start else None
        if holder is not None and holder.tags.get(BUNDLE) == version.tags[BUNDLE]:
            decision = _recorded(holder, params.register_.gate) or Decision("same", start)
        elif away := registry.withdrawn(number):
            decision = Decision("withdrawn", start, away)
        elif holder is not None and holder.tags.get(MODEL, "?") == version.tags.get(MODEL):
            decision = Decision("settings", start)
        elif params.register_.gate == "off":
            decision = Decision("off", start)
        else:
            decision = _decide(params, paths, registry, holder)
        if start != number:
            _record(registry, version, decision, description)
        if start == number or not decision.promotes:
            return decision
        if registry.move(start, number, REGISTER, decision.sentence(number, registry.alias)):
            return decision
    raise TrackingError(
        f"@{registry.alias} of {registry.name} is moved again and again by other processes: "
        "run the same command when they have ended"
    )


def _recorded(version: Any, switch: str) -> Decision | None:
    """The decision by which a version became the champion; None: it was not the gate's."""
    try:
        found = Decision.from_json(json.loads(version.tags[f"{GATE}.decision"]))
    except (LookupError, TypeError, ValueError):  # none, or another version of Hourglass wrote it
        return None
    if not found.promotes or (found.outcome == "off") != (switch == "off"):
        return None
    return found


def _record(registry: Registry, version: Any, decision: Decision, description: str) -> None:
    """Writes a decision on its version: tags for tables and programs, a sentence for people."""
    own = decision.decisive
    tags = {
        GATE: decision.outcome,
        f"{GATE}.incumbent": decision.incumbent or "none",
        f"{GATE}.against": own.other if own else "none",
        f"{GATE}.difference": f"{own.difference:.6g}" if own else "none",
        f"{GATE}.interval": f"{own.low:.6g} to {own.high:.6g}" if own else "none",
        f"{GATE}.p": f"{own.p:.6g}" if own else "none",
        f"{GATE}.decision": json.dumps(decision.to_json()),
    }
    for key, value in tags.items():
        registry.client.set_model_version_tag(registry.name, version.version, key, str(value))
    said = decision.sentence(int(version.version), registry.alias)
    said = said.replace(f"@{registry.alias}", f"`@{registry.alias}`")  # else a link to a person
    text = f"{description}\n\n{said[0].upper()}{said[1:]}."
    registry.client.update_model_version(registry.name, version.version, text)


def _decide(params: Params, paths: Paths, registry: Registry, holder: Any) -> Decision:
    """Compares the selected model with the baselines and the champion on today's test rows.

    Args:
        params: What the ruler and the test are.
        paths: Where the test rows are, and what evaluate said of them.
        registry: Where the champion is.
        holder: The champion's version; None: there is none.
    """
    hidden = params.search.objective == "code_length_masked"
    ruler = "bits per hidden value" if hidden else "bits per feature"
    lines = read_csv(paths.evaluate("gate.csv"), "evaluate")
    at_N = np.array([int(line["position"]) for line in lines])
    bits = {name: np.array([float(line[name]) for line in lines]) for name in list(lines[0])[2:]}
    rows_NF = np.load(existing(paths.values("test"), "preprocess"), mmap_mode="r")[at_N]
    rows_NF = np.array(rows_NF, dtype=np.float64)
    groups, weights = (paths.beside("test", what) for what in ("groups", "weights"))
    unit_N, unit = gate.units(len(at_N), np.load(groups)[at_N] if groups.exists() else None)
    evidence = Evidence(
        seen_N=(~np.isnan(rows_NF)).sum(axis=1).astype(np.float64),
        weight_N=np.load(weights)[at_N] if weights.exists() else np.ones(len(at_N)),
        unit_N=unit_N,
        unit=unit,
    )
    incumbent = None if holder is None else _incumbent(paths, registry, holder, rows_NF, hidden)
    terms = Terms(params.evaluate.alpha, params.evaluate.margin, ruler)
    return gate.decide(bits.pop("model"), bits, evidence, incumbent, terms)


def _incumbent(
    paths: Paths, registry: Registry, holder: Any, rows_NF: Array, hidden: bool
) -> Incumbent:
    """What the champion says of today's test rows, and which of them it was trained on."""
    number = int(holder.version)
    if not registry.has_files(holder):
        return Incumbent(number, lost=True)
    report = read_json(paths.evaluate("delivered.json"), "evaluate")
    new = Bundle.load(paths.model(report["selected_loss"], report["selected_seed"]))
    with tempfile.TemporaryDirectory() as folder:
        try:
            champion = _bundle_of(holder, Path(folder) / "model")
            if why := gate.differs(new, champion):
                return Incumbent(number, why_not=why)
            own_NF = gate.ordered(rows_NF, new, champion)
            bits_N = gate.row_bits(champion, own_NF, hidden)
        except HourglassError as error:  # the folder's name is another each time
            return Incumbent(number, why_not=str(error).replace(f"{folder}/", ""))
        if champion.schema.digest == new.schema.digest:
            return Incumbent(number, bits_N)  # the same rows, split in the same way
        seen_M = _marks_of(holder, Path(folder))
    if seen_M is None:
        why = "it was trained on other data, and which rows these were is not known"
        return Incumbent(number, why_not=why)
    return Incumbent(number, bits_N, leaks.unseen(own_NF, seen_M))


def _bundle_of(version: Any, folder: Path) -> Bundle:
    """The bundle that is packed in a version.

    Raises:
        DataError: there is none, or it is damaged.
    """
    import mlflow

    uri = f"models:/{version.name}/{version.version}"
    model = Path(mlflow.artifacts.download_artifacts(uri, dst_path=str(folder)))
    found = sorted((model / "artifacts").rglob("model.json"))
    return Bundle.load(found[0].parent if found else model)


def _marks_of(version: Any, folder: Path) -> leaks.Marks | None:
    """Marks of the rows that a version was trained on; None if they were not kept."""
    import mlflow

    try:
        file = mlflow.artifacts.download_artifacts(
            run_id=version.run_id, artifact_path=leaks.FILE, dst_path=str(folder)
        )
        return leaks.read(Path(file))
    except (mlflow.exceptions.MlflowException, OSError, ValueError) as error:
        if is_outage(error):
            raise
        return None


def _registered(registry: Registry, bundle_digest: str) -> Any:
    """The newest version that holds this very bundle, files included, or None."""
    same = [v for v in registry.versions() if v.tags.get(BUNDLE) == bundle_digest]
    return next((v for v in same if registry.has_files(v)), None)


def _register(
    tracker: MlflowTracker, params: Params, paths: Paths, selected: _Selected, origin: Origin
) -> Any:
    import mlflow

    loss, bundle = selected.report["selected_loss"], selected.bundle
    about = _description(paths, selected, origin)
    run = _run(tracker, paths, selected, origin)
    run.params(_settings(selected))
    run.note(f"{about}\n\n{MARKS}")
    run.flush()  # MLflow gives a logged model the parameters that its run has by then
    _remove_unregistered(tracker, run, selected.digest)
    _tell_of_few_rows(params.register_.anomaly_share, bundle.schema.rows["val"])
    rows_NF = np.load(paths.values("train"), mmap_mode="r")[:COMPARED_ROWS]
    rows_NF = np.array(rows_NF, dtype=np.float64)
    example = serving.example(bundle, rows_NF[:EXAMPLE_ROWS])
    with tempfile.TemporaryDirectory() as beside, mlflow.start_run(run_id=run.id):
        graph = _graph(bundle, rows_NF, Path(beside))
        info = mlflow.pyfunc.log_model(
            name=f"autoencoder-{loss}",
            python_model=str(serving.ENTRY),
            artifacts={"bundle": str(selected.folder), **graph},
            code_paths=[str(provenance.PACKAGE)],
            signature=serving.signature(bundle, params.register_.anomaly_share),
            input_example=example,
            pip_requirements=serving.requirements(),
            tags={BUNDLE: selected.digest, "hourglass.loss": loss},
        )
    recorded = ("bits_per_feature", "bits_per_feature_masked", "rmse", "mae")
    run.metrics_of(info.model_id, grouped({k: selected.report[k] for k in recorded}, "test"))
    run.data(data_sets(bundle.schema, paths, SPLITS))
    run.finish()
    client = tracker.client
    with tempfile.TemporaryDirectory() as beside:
        leaks.write(Path(beside) / leaks.FILE, paths)
        client.log_artifact(run.id, f"{beside}/{leaks.FILE}")
    with contextlib.suppress(mlflow.exceptions.MlflowException):  # it exists already
        client.create_registered_model(params.register_.name, description=DESCRIPTION)
    version = client.create_model_version(
        params.register_.name,
        source=info.model_uri,
        run_id=run.id,
        model_id=info.model_id,
        tags={
            BUNDLE: selected.digest,
            MODEL: provenance.digest_files(selected.folder),
            **origin.tags,
        },
        description=about,
    )
    same = [{"name": version.name, "version": version.version}]
    # By this MLflow's UI knows that the logged model is registered.
    client.set_logged_model_tags(info.model_id, {"mlflow.modelVersions": json.dumps(same)})
    return version


def _settings(selected: _Selected) -> dict[str, Any]:
    """Of the run and of the logged model."""
    recipe = selected.bundle.recipe
    return {
        "loss": selected.report["selected_loss"],
        "seed": recipe.seed,
        "scaler": selected.bundle.scaler.name,
        "model": recipe.kind,
        "latent_dim": recipe.architecture.latent_dim,
        "hidden": recipe.architecture.hidden,
        **recipe.hyper,
    }


def _tell_of_few_rows(share: float, rows: int) -> None:
    """Says where the threshold of anomalies rests on a single validation row."""
    if share * rows < 1:
        log.info(
            "register.anomaly_share %g of %d validation rows is less than one row: only rows with "
            "about the longest code of them all are flagged; %g would be one row",
            share,
            rows,
            min(0.5, np.ceil(1000 / rows) / 1000),
        )


def _graph(bundle: Bundle, rows_NF: Array, folder: Path) -> dict[str, str]:
    """The model as ONNX, beside the bundle in the registered model, where it can be exported."""
    path = folder / exporting.NAME
    if why := exporting.export(bundle, rows_NF, path):
        log.info("no %s beside the model: %s", exporting.NAME, why)
        return {}
    return {"onnx": str(path)}


def _remove_unregistered(tracker: MlflowTracker, run: Run, bundle_digest: str) -> None:
    """Removes models that a killed stage had logged, but not yet registered as a version."""
    client, same = tracker.client, f"tags.`hourglass.bundle` = '{bundle_digest}'"
    registered = {v.source for v in client.search_model_versions(f"run_id = '{run.id}'")}
    for model in client.search_logged_models([tracker.experiment_id], filter_string=same):
        if model.model_uri not in registered:
            client.delete_logged_model(model.model_id)


MARKS = f"`{leaks.FILE}`: marks of the rows that it was trained on; the gate leaves them out."
DESCRIPTION = """An autoencoder trained with the reconstruction loss that won on these data.
Raw rows in; reconstructions in original units and each row's code length in bits out."""


def _description(paths: Paths, selected: _Selected, origin: Origin) -> str:
    report, schema = selected.report, selected.bundle.schema
    said = [
        read_text(paths.evaluate("verdict.txt"), "evaluate").strip(),
        f"On {report['rows_test']} test rows: {report['test']:.4f} {report['ruler']} "
        f"(PCA of the same bottleneck: {report['test_pca']:.4f}), "
        f"RMSE {report['rmse']:.4g}, MAE {report['mae']:.4g}.",
        str(origin),
    ]
    if schema.shape is not None:
        size, columns = ", ".join(map(str, schema.shape)), len(schema.columns)
        files = "images" if len(schema.shape) == 3 else "series"
        said.append(
            f"It takes rows as arrays of shape (rows, {size}), or as {columns} columns by name "
            f"({schema.names[0]}, ...). MLflow can declare one of the two only: its schema names "
            f"no inputs. `hourglass predict` reads files of {files}."
        )
    return "\n\n".join(said)


def _run(tracker: MlflowTracker, paths: Paths, selected: _Selected, origin: Origin) -> MlflowRun:
    """The run that the model version points back to."""
    now = provenance.revision_tags(paths.root)
    tags = {"hourglass.stage": "register", **origin.tags, **now}
    return tracker.run(selected.key, f"register · {selected.bundle.schema.source}", tags)
