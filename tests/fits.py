"""Files and a specification for fits that take a fraction of a second."""

from pathlib import Path

import numpy as np

from hourglass import scaling
from hourglass.config import Model
from hourglass.paths import Paths, write_json
from hourglass.plans import TrainerOptions
from hourglass.schema import Column, Kind, Schema
from hourglass.trials import Spec

_rng = np.random.default_rng(0)
_rows = _rng.normal(size=(170, 2)) @ _rng.normal(size=(2, 6)) + 0.1 * _rng.normal(size=(170, 6)) + 3
_rows[:, 0] = np.round(2 * _rows[:, 0]) / 2
TRAIN, VAL, TEST = _rows[:100], _rows[100:130], _rows[130:]


def _mixed(rows: int) -> np.ndarray:
    """A column of each kind and one without gaps, all of one latent value."""
    z = _rng.normal(size=rows)
    values = np.column_stack(
        [
            z + 0.1 * _rng.normal(size=rows),
            100 - 20 * z + _rng.normal(size=rows),
            _rng.random(rows) < 1 / (1 + np.exp(-2 * z)),
            _rng.poisson(np.exp(1 + 0.5 * z)),
            np.digitize(z + 0.3 * _rng.normal(size=rows), (-0.5, 0.5)),
        ]
    ).astype(np.float64)
    values[_rng.random(values.shape) < (0.1, 0, 0.1, 0.1, 0.1)] = np.nan
    return values


MIXED = {"train": _mixed(120), "val": _mixed(40), "test": _mixed(40)}


def columns() -> tuple[Column, ...]:
    """Six continuous columns, the first in steps of a half."""
    return tuple(
        Column(f"c{i}", Kind.CONTINUOUS, None if i else 0.5, None, None, 0) for i in range(6)
    )


def schema() -> Schema:
    """Of `TRAIN`, `VAL` and `TEST`."""
    rows = {"train": len(TRAIN), "val": len(VAL), "test": len(TEST)}
    return Schema("a test", columns(), {}, {}, None, rows, "0123")


def mixed_schema() -> Schema:
    """Of `MIXED`: a column of each kind, with gaps."""
    every = np.concatenate(list(MIXED.values()))
    gaps = np.isnan(every).sum(axis=0).tolist()
    described = (
        Column("near", Kind.CONTINUOUS, None, None, None, gaps[0]),
        Column("far", Kind.CONTINUOUS, None, None, None, gaps[1]),
        Column("flag", Kind.BINARY, 1.0, 0.0, 1.0, gaps[2]),
        Column("count", Kind.COUNT, 1.0, 0.0, None, gaps[3]),
        Column("level", Kind.CATEGORICAL, None, None, None, gaps[4], ("low", "mid", "high")),
    )
    rows = {split: len(values) for split, values in MIXED.items()}
    return Schema("a mixed test", described, {}, {}, None, rows, "4567", gaps=True)


def make_files(root: Path) -> Path:
    """Writes what preprocess and normalize would for `schema`, without test rows."""
    return written(root, schema(), {"train": TRAIN, "val": VAL})


def make_mixed_files(root: Path) -> Path:
    """The same for `mixed_schema`."""
    return written(root, mixed_schema(), {"train": MIXED["train"], "val": MIXED["val"]})


def written(root: Path, described: Schema, values: dict[str, np.ndarray]) -> Path:
    """Writes what preprocess and normalize would of these rows."""
    paths = Paths(root)
    write_json(paths.schema, described.to_json())
    scaler = scaling.fit("standard", values["train"], described)
    write_json(paths.scaler("standard"), scaler.to_json() | {"rows": described.digest})
    start = 0
    for split, rows_NF in values.items():
        paths.values(split).parent.mkdir(parents=True)
        np.save(paths.values(split), rows_NF)
        np.save(paths.beside(split, "rows"), np.arange(start, start + len(rows_NF)))
        np.save(paths.scaled("standard", split), scaler.transform(rows_NF).astype(np.float32))
        start += len(rows_NF)
    return root


def spec(root: Path) -> Spec:
    """A linear autoencoder under mse, three epochs."""
    return Spec(
        root=root,
        name="mse",
        loss="mse",
        scaler="standard",
        hyper={"learning_rate": 1e-2},
        heads={},
        model=Model(
            kind="dense",
            latent_dim=2,
            hidden=(),
            activation="silu",
            corruption="none",
            corruption_amount=0.1,
            sparsity=0.0,
            variational=False,
        ),
        epochs=3,
        batch_size=32,
        seed=1,
        trainer=TrainerOptions(accelerator="cpu"),
    )


def mixed_spec(root: Path) -> Spec:
    """The same with a head for each kind of column."""
    heads = {"binary": "bce", "count": "poisson", "categorical": "cross_entropy"}
    return Spec(**{**vars(spec(root)), "heads": heads})
