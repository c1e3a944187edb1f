"""Files and a specification for fits that take a fraction of a second."""

from pathlib import Path

import numpy as np

from hourglass import scaling
from hourglass.config import Model
from hourglass.paths import Paths, write_json
from hourglass.schema import Column, Kind, Schema
from hourglass.training import TrainerOptions
from hourglass.trials import Spec

_rng = np.random.default_rng(0)
_rows = _rng.normal(size=(170, 2)) @ _rng.normal(size=(2, 6)) + 0.1 * _rng.normal(size=(170, 6)) + 3
_rows[:, 0] = np.round(2 * _rows[:, 0]) / 2
TRAIN, VAL, TEST = _rows[:100], _rows[100:130], _rows[130:]


def columns() -> tuple[Column, ...]:
    """Six continuous columns, the first in steps of a half."""
    return tuple(
        Column(f"c{i}", Kind.CONTINUOUS, None if i else 0.5, None, None, 0) for i in range(6)
    )


def make_files(root: Path) -> Path:
    """Writes what preprocess and normalize would, without test rows."""
    paths = Paths(root)
    rows = {"train": len(TRAIN), "val": len(VAL), "test": len(TEST)}
    schema = Schema("a test", columns(), {}, {}, None, rows, "0123")
    write_json(paths.schema, schema.to_json())
    for split, rows_NF in (("train", TRAIN), ("val", VAL)):
        paths.values(split).parent.mkdir(parents=True)
        np.save(paths.values(split), rows_NF)
    scaler = scaling.fit("standard", TRAIN, columns())
    write_json(paths.scaler("standard"), scaler.to_json())
    for split, rows_NF in (("train", TRAIN), ("val", VAL)):
        np.save(paths.scaled("standard", split), scaler.transform(rows_NF).astype(np.float32))
    return root


def spec(root: Path) -> Spec:
    """A linear autoencoder under mse, three epochs."""
    return Spec(
        root=root,
        loss="mse",
        scaler="standard",
        hyper={"learning_rate": 1e-2},
        model=Model(kind="dense", latent_dim=2, hidden=(), activation="silu"),
        epochs=3,
        batch_size=32,
        seed=1,
        trainer=TrainerOptions(accelerator="cpu"),
    )
