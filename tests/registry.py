"""A folder with a registered model, made in seconds."""

from dataclasses import replace
from pathlib import Path

from tests.fits import make_mixed_files, mixed_spec

from hourglass import config, trials
from hourglass.bundle import Bundle
from hourglass.paths import Paths, write_json, write_text
from hourglass.stages import register

ROOT = Path(__file__).parents[1]


def make_registered(root: Path) -> Bundle:
    """A model of a table with a column of each kind, whose values may be missing, as champion.

    The current folder must be `root`, and MLFLOW_TRACKING_URI unset.
    """
    paths = Paths(make_mixed_files(root))
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    assert "  gate: on " in text
    write_text(paths.params, text.replace("  gate: on ", "  gate: off"))
    trials.run(replace(mixed_spec(root), epochs=20, save_to=paths.model("mse", 1)))
    numbers = {"rows": "4567", "test": 2.0, "test_pca": 2.1, "ruler": "bits per feature"}
    numbers |= {"bits_per_feature": 1.9, "bits_per_feature_masked": 2.0, "rmse": 1.0, "mae": 0.5}
    chosen = {"selected_loss": "mse", "selected_seed": 1, "rows_test": 40}
    write_text(paths.evaluate("verdict.txt"), "mse is best\n")
    write_json(paths.evaluate("delivered.json"), {**chosen, **numbers})
    write_json(paths.evaluate("run.json"), {"key": "evaluate 89ab"})
    write_json(paths.train("run.json"), {"key": "train 0123"})
    register.run(config.load(paths.params), paths)
    return Bundle.load(paths.model("mse", 1))
