"""AUROC of Hourglass's scores beside PyOD's detectors, on tables with labels.

    pip install pyod --no-deps; pip install numba
    python benchmarks/anomaly.py [--data FOLDER] [--seeds 3] [--rows 10000] [--tables NAME ...]

FOLDER holds NPZ files with arrays X and y (1: an anomaly), as ADBench has them (Han et al. 2022);
without it tables are made of scikit-learn's: one class with most of its rows taken out is the
anomaly.
Each table is split three times: 30 % of the rows test. Hourglass runs its own pipeline there, from
preprocess to evaluate, with few trials; of the other rows it keeps some to choose by, the others
train on all of them. All train on anomalies too, as ADBench does, nobody sees a label before the
scores are there, and nothing is chosen by them: the bottleneck of Hourglass is a quarter of the
columns everywhere, its loss and scaler are chosen in bits, the others run as their defaults are.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.metrics import roc_auc_score

from hourglass import config

ROOT = Path(__file__).parents[1]
STAGES = ("preprocess", "normalize", "search", "train", "evaluate")
TEST, VAL = 0.3, 0.15
Array = NDArray[np.float64]


def peers(seed: int, rank: int) -> dict[str, Callable[[], Any]]:
    """PyOD's detectors, as their defaults are.

    Args:
        seed: Of what they draw.
        rank: Of the training rows: PyOD's PCA divides by the variance of further components, by 0.
    """
    from pyod.models.auto_encoder import AutoEncoder
    from pyod.models.iforest import IForest
    from pyod.models.pca import PCA

    return {
        "PyOD AutoEncoder": lambda: AutoEncoder(verbose=0, random_state=seed),
        "PyOD PCA": lambda: PCA(n_components=rank, random_state=seed),
        "PyOD IForest": lambda: IForest(random_state=seed),
    }


def settings(folder: Path, features: int, seed: int) -> None:
    """Few trials; the search judges by hidden values, which no bottleneck can copy."""
    params = config.read_yaml(ROOT / "params.yaml")
    params["preprocess"] |= {
        "source": "tabular",
        "path": "table.npz",
        "label": "y",
        "val_fraction": VAL,
        "test_fraction": TEST,
        "seed": seed,
    }
    params["model"]["latent_dim"] = max(1, round(features / 4))
    params["search"] |= {"trials_per_loss": 4, "startup_trials": 2, "round_size": 2, "epochs": 30}
    params["search"] |= {"scalers": "advised"}
    params["train"] |= {"seeds": 2, "epochs": 60}
    params["evaluate"]["anomalous"] = 1
    config.write_yaml(folder / "params.yaml", params)


def compare(x_NF: Array, y_N: Array, seed: int) -> dict[str, float]:
    """AUROC of each on the test rows of one split."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.savez(folder / "table.npz", X=x_NF, y=y_N)
        settings(folder, x_NF.shape[1], seed)
        for stage in STAGES:
            done = subprocess.run(
                [sys.executable, "-m", "hourglass", stage],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                raise SystemExit(done.stderr)
        interim = folder / "data" / "interim"
        train, test = [
            np.concatenate([np.load(interim / split / "rows.npy") for split in splits])
            for splits in (("train", "val"), ("test",))
        ]
        numbers = json.loads((folder / "reports/evaluate/delivered.json").read_text())
    found = {
        "Hourglass, surprise": numbers["auroc"],
        "Hourglass, code length": numbers["auroc_code_length"],
        "Hourglass, hidden values": numbers["auroc_masked"],
    }
    shown_NF = x_NF[:, x_NF[train].std(axis=0) > 0]
    rank = int(np.linalg.matrix_rank(shown_NF[train] - shown_NF[train].mean(axis=0)))
    for name, make in peers(seed, rank).items():
        detector = make()
        detector.fit(shown_NF[train])
        score_N = detector.decision_function(shown_NF[test])
        found[name] = float(roc_auc_score(y_N[test], score_N))
    print(f"  seed {seed}: {numbers['selected_loss']}", {k: round(v, 3) for k, v in found.items()})
    return found


def of_folder(folder: Path) -> Iterator[tuple[str, Array, Array]]:
    """Name, rows and labels of each NPZ file."""
    for file in sorted(folder.glob("*.npz")):
        with np.load(file, allow_pickle=False) as arrays:
            yield (
                file.stem,
                arrays["X"].astype(np.float64),
                arrays["y"].astype(np.float64).ravel(),
            )


def made() -> Iterator[tuple[str, Array, Array]]:
    """The same of scikit-learn's data: 30 malignant tumours, or 80 of one digit, among the rest."""
    digits, tumours = load_digits(return_X_y=True), load_breast_cancer(return_X_y=True)
    cases = [("breast_cancer", tumours, 0, 30)]
    cases += [(f"digits_{digit}", digits, digit, 80) for digit in (0, 1, 4)]
    for name, (x_NF, class_N), anomalous, count in cases:
        few = np.random.default_rng(0).permutation(np.flatnonzero(class_N == anomalous))[:count]
        kept = np.concatenate([np.flatnonzero(class_N != anomalous), few])
        yield name, x_NF[kept], (class_N[kept] == anomalous).astype(np.float64)


def main() -> None:
    """Prints the mean AUROC of each on each table, and over the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of NPZ files")
    parser.add_argument("--tables", nargs="+", help="only these, by the names of their files")
    parser.add_argument("--seeds", type=int, default=3, help="splits")
    parser.add_argument("--rows", type=int, default=10_000, help="of larger tables a random part")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    tables: dict[str, dict[str, float]] = {}
    for table, x_NF, y_N in of_folder(arguments.data) if arguments.data else made():
        if arguments.tables and table not in arguments.tables:
            continue
        some = np.random.default_rng(0).permutation(len(x_NF))[: arguments.rows]
        print(f"{table}: {len(some)} rows, {x_NF.shape[1]} columns", flush=True)
        runs = [compare(x_NF[some], y_N[some], seed) for seed in range(arguments.seeds)]
        tables[table] = {name: float(np.mean([r[name] for r in runs])) for name in runs[0]}
    if not tables:
        raise SystemExit(f"no such NPZ file in {arguments.data}")
    names = list(next(iter(tables.values())))
    print(f"\n{'mean AUROC':28}" + "".join(f"{table:>12}" for table in [*tables, "mean"]))
    for name in names:
        own = [tables[table][name] for table in tables]
        print(f"{name:28}" + "".join(f"{value:12.3f}" for value in [*own, np.mean(own)]))


if __name__ == "__main__":
    main()
