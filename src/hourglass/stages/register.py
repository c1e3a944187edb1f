"""Registers the selected model, raw rows in, and names it champion: `hourglass register`."""

import contextlib
import logging
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from hourglass import exporting, provenance, serving
from hourglass.bundle import Bundle
from hourglass.config import Params
from hourglass.paths import Paths, existing, read_json, read_text, write_json
from hourglass.schema import Array
from hourglass.tracking import MlflowTracker, Run, answering, grouped

log = logging.getLogger(__name__)

EXAMPLE_ROWS = 3
COMPARED_ROWS = 64  # on which the ONNX graph must give the model's numbers


def run(params: Params, paths: Paths) -> None:
    """Registers the model that evaluate selected and writes version.json.

    A bundle that is registered already keeps its version, provided that its files are still there;
    the alias moves to it.

    Raises:
        TrackingError: the registry refuses.
    """
    report = read_json(paths.evaluate("metrics.json"), "evaluate")
    folder = existing(paths.model(report["selected_loss"], report["selected_seed"]), "train")
    now = Bundle.load(folder).schema.digest
    made = paths.evaluate("metrics.json")
    provenance.require_same_rows(report.get("rows"), now, made, "evaluate")
    settings = params.register_
    bundle_digest = provenance.digest(provenance.digest_files(folder), settings.anomaly_share)
    tracker = MlflowTracker(params.tracking.experiment, paths.root)
    with answering(tracker.uri):
        version = _registered(tracker.client, settings.name, bundle_digest)
        if version is None:
            version = _register(tracker, params, paths, report, bundle_digest)
        tracker.client.set_registered_model_alias(settings.name, settings.alias, version.version)
    log.info("%s version %s is now @%s", settings.name, version.version, settings.alias)
    write_json(
        paths.register("version.json"),
        {
            "name": settings.name,
            "version": int(version.version),
            "alias": settings.alias,
            "uri": f"models:/{settings.name}@{settings.alias}",
            "bundle": bundle_digest,
            "run_id": version.run_id,
        },
    )


def _registered(client: Any, name: str, bundle_digest: str) -> Any:
    """The newest version that holds this very bundle, files included, or None."""
    found = client.search_model_versions(f"name = '{name}'")
    same = [v for v in found if v.tags.get("hourglass.bundle") == bundle_digest]
    newest_first = sorted(same, key=lambda v: -int(v.version))
    return next((v for v in newest_first if _has_files(v)), None)


def _has_files(version: Any) -> bool:
    """Whether the model's files are still in the artifact store; the registry doesn't look."""
    from mlflow.exceptions import MlflowException
    from mlflow.models import get_model_info

    try:
        get_model_info(f"models:/{version.name}/{version.version}")
    except (MlflowException, OSError) as error:
        log.warning("version %s has lost its files (%s)", version.version, error)
        return False
    return True


def _register(
    tracker: MlflowTracker, params: Params, paths: Paths, report: dict[str, Any], bundle_digest: str
) -> Any:
    import mlflow

    loss, seed = report["selected_loss"], report["selected_seed"]
    folder = paths.model(loss, seed)
    run = _run(tracker, paths, report, bundle_digest)
    _remove_unregistered(tracker, run, bundle_digest)
    bundle = Bundle.load(folder)
    rows_NF = np.load(paths.values("train"), mmap_mode="r")[:COMPARED_ROWS]
    rows_NF = np.array(rows_NF, dtype=np.float64)
    example = serving.example(bundle, rows_NF[:EXAMPLE_ROWS])
    with tempfile.TemporaryDirectory() as beside, mlflow.start_run(run_id=run.id):
        graph = _graph(bundle, rows_NF, Path(beside))
        info = mlflow.pyfunc.log_model(
            name=f"autoencoder-{loss}",
            python_model=str(serving.ENTRY),
            artifacts={"bundle": str(folder), **graph},
            code_paths=[str(provenance.PACKAGE)],
            signature=serving.signature(bundle, params.register_.anomaly_share),
            input_example=example,
            pip_requirements=serving.requirements(),
            tags={"hourglass.bundle": bundle_digest, "hourglass.loss": loss},
        )
    run.finish()
    client = tracker.client
    with contextlib.suppress(mlflow.exceptions.MlflowException):  # it exists already
        client.create_registered_model(params.register_.name, description=DESCRIPTION)
    return client.create_model_version(
        params.register_.name,
        source=info.model_uri,
        run_id=run.id,
        model_id=info.model_id,
        tags={"hourglass.bundle": bundle_digest, "hourglass.loss": loss},
        description=_description(paths, report),
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


DESCRIPTION = """An autoencoder trained with the reconstruction loss that won on these data.
Raw rows in; reconstructions in original units and each row's code length in bits out."""


def _description(paths: Paths, report: dict[str, Any]) -> str:
    verdict = read_text(paths.evaluate("verdict.txt"), "evaluate")
    return (
        f"{verdict}\n\nOn {report['rows_test']} test rows: "
        f"{report['test']:.4f} {report['ruler']} "
        f"(PCA of the same bottleneck: {report['test_pca']:.4f}), "
        f"RMSE {report['rmse']:.4g}, MAE {report['mae']:.4g}."
    )


def _run(tracker: MlflowTracker, paths: Paths, report: dict[str, Any], bundle_digest: str) -> Run:
    """The run that the model version points back to."""
    tags = {
        "hourglass.stage": "register",
        "hourglass.loss": report["selected_loss"],
        **provenance.revision_tags(paths.root),
    }
    schema = Bundle.load(paths.model(report["selected_loss"], report["selected_seed"])).schema
    run = tracker.run(f"register {bundle_digest}", f"register · {schema.source}", tags)
    run.params({"loss": report["selected_loss"], "seed": report["selected_seed"]})
    recorded = ("bits_per_feature", "bits_per_feature_masked", "rmse", "mae")
    run.metrics(grouped({k: report[k] for k in recorded}, "test"))
    run.note(_description(paths, report))
    return run
