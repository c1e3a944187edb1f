"""Seconds of a search: Hourglass beside the usual script of Optuna, Lightning and MLflow.

    python benchmarks/search.py [--trials 32] [--usual 32] [--epochs 50]

Both try four losses with their learning rates on scikit-learn's digits, 64-128-8, batch 64, the
same number of trials and epochs, and record each trial's parameters, curves and final metrics in
MLflow (SQLite) and its value in Optuna's store (SQLite). The usual script is what the examples of
these projects show: a Trainer, DataLoaders and an MLFlowLogger a trial, one after the other. It
logs at each epoch's end, as Hourglass does; with `--every-step` each step too, as Lightning does
where nobody says otherwise. With `--usual 8` only so many of its trials are run, and their time is
scaled up (and said so).
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
LOSSES = ["mse", "mae", "bce", "huber"]

USUAL = """
import logging, sys, warnings
import mlflow, optuna, torch
import pytorch_lightning as pl
from pytorch_lightning.loggers import MLFlowLogger
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

warnings.filterwarnings("ignore")
logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
trials, epochs, each_step = int(sys.argv[1]), int(sys.argv[2]), len(sys.argv) > 3
rows = torch.tensor(load_digits().data / 16, dtype=torch.float32)
train, val = TensorDataset(rows[:1257]), TensorDataset(rows[1257:1527])
LOSSES = {
    "mse": nn.MSELoss(), "mae": nn.L1Loss(), "bce": nn.BCEWithLogitsLoss(), "huber": nn.HuberLoss()
}


class Autoencoder(pl.LightningModule):
    def __init__(self, loss, rate):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(
            nn.Linear(64, 128), nn.SiLU(), nn.Linear(128, 8),
            nn.Linear(8, 128), nn.SiLU(), nn.Linear(128, 64),
        )

    def training_step(self, batch, _):
        value = LOSSES[self.hparams.loss](self.net(batch[0]), batch[0])
        self.log("train_loss", value, on_step=each_step, on_epoch=True)
        return value

    def validation_step(self, batch, _):
        raw = self.net(batch[0])
        shown = raw.sigmoid() if self.hparams.loss == "bce" else raw
        self.log("val_loss", LOSSES[self.hparams.loss](raw, batch[0]))
        self.log("val_rmse", (shown - batch[0]).square().mean().sqrt())

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.hparams.rate)


def objective(trial):
    model = Autoencoder(
        trial.suggest_categorical("loss", list(LOSSES)),
        trial.suggest_float("rate", 1e-3, 3e-2, log=True),
    )
    logger = MLFlowLogger("usual", tracking_uri="sqlite:///usual.db")
    trainer = pl.Trainer(
        max_epochs=epochs, logger=logger, accelerator="cpu", log_every_n_steps=1,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )
    trainer.fit(
        model, DataLoader(train, batch_size=64, shuffle=True), DataLoader(val, batch_size=64)
    )
    return float(trainer.callback_metrics["val_rmse"])


store = "sqlite:///usual-optuna.db"
study = optuna.create_study(storage=store, study_name="usual", load_if_exists=True)
study.optimize(objective, n_trials=trials)
"""


def settings(params: Path, trials: int, epochs: int) -> None:
    """Makes the search's settings those of the usual script."""
    yaml = YAML()
    every = yaml.load(params)
    wanted = {
        "losses": LOSSES,
        "scalers": "advised",
        "trials_per_loss": trials // len(LOSSES),
        "epochs": epochs,
        "batch_size": 64,
    }
    every["search"].update(wanted)
    every["model"].update({"latent_dim": 8, "hidden": [128]})
    yaml.dump(every, params)


def main() -> None:
    """Runs both and prints their seconds and the ratio."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=32)
    parser.add_argument("--usual", type=int, help="trials of the usual script; default: all")
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--every-step", action="store_true", help="the usual script logs each step")
    arguments = parser.parse_args()
    usual = arguments.usual or arguments.trials
    source = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        shutil.copy2(ROOT / "params.yaml", place)
        settings(place / "params.yaml", arguments.trials, arguments.epochs)

        def timed(*command: str) -> float:
            start = time.perf_counter()
            subprocess.run(command, cwd=place, env=source, check=True, capture_output=True)
            return time.perf_counter() - start

        for stage in ("preprocess", "normalize"):
            timed(sys.executable, "-m", "hourglass", stage)
        # MLflow makes an empty store once, in some seconds: for both ahead of the clock.
        store = (
            "import mlflow; mlflow.set_tracking_uri('sqlite:///{}'); mlflow.search_experiments()"
        )
        for name in ("mlflow.db", "usual.db"):
            timed(sys.executable, "-c", store.format(name))
        own = timed(sys.executable, "-m", "hourglass", "search")
        print(f"Hourglass        {arguments.trials} trials {own:8.1f} s", flush=True)
        script = (sys.executable, "-c", USUAL)
        logs = ("each step",) if arguments.every_step else ()
        start_up = timed(*script, "0", "1")
        seconds = timed(*script, str(usual), str(arguments.epochs), *logs)
        total = start_up + (seconds - start_up) * arguments.trials / usual
        scaled = "" if usual == arguments.trials else f" (scaled from {usual}: {seconds:.1f} s)"
        print(f"the usual script {arguments.trials} trials {total:8.1f} s{scaled}")
        print(f"ratio            {total / own:8.1f}")


if __name__ == "__main__":
    main()
