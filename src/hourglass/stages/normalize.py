"""Fits each scaler on the training rows and scales training and validation rows.

    hourglass normalize

The test rows stay closed: evaluate scales them itself, with the scaler of each model.
"""

import logging
import shutil
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hourglass import scaling
from hourglass.arrays import ahead, growing
from hourglass.config import Params
from hourglass.errors import DataError
from hourglass.moments import Moments
from hourglass.paths import Paths, existing, read_json, write_json
from hourglass.schema import Schema

CACHED_VALUES = 1 << 17  # numbers scaled at a time: 1 MiB, which a core's cache holds

log = logging.getLogger(__name__)


def run(params: Params, paths: Paths) -> None:
    """Writes data/normalized/<scaler>/ for each scaler of params.yaml.

    Raises:
        MissingInputError: preprocess has not run.
        DataError: a scaled value is too large for float32.
    """
    schema = Schema.from_json(read_json(paths.schema, "preprocess"))
    rows = {
        split: np.load(existing(paths.values(split), "preprocess"), mmap_mode="r")
        for split in ("train", "val")
    }
    for name in scaling.names:
        if name not in params.normalize.scalers:  # an earlier run's, which would look fresh
            shutil.rmtree(paths.scaler(name).parent, ignore_errors=True)
    seen = Moments.from_json(read_json(paths.figures, "preprocess"))
    for name in dict.fromkeys(params.normalize.scalers):
        scaler = scaling.fit(name, rows["train"], schema, seen)
        for split, values_NF in rows.items():
            _write(paths, scaler, split, values_NF, schema)
        write_json(paths.scaler(name), scaler.to_json() | {"rows": schema.digest})
        log.info(
            "scaler %s: fitted on %d training rows, %d columns -> %s",
            name,
            len(rows["train"]),
            len(schema.columns),
            paths.scaler(name).parent,
        )


def _write(
    paths: Paths,
    scaler: scaling.Scaler,
    split: str,
    values_NF: NDArray[Any],
    schema: Schema,
) -> None:
    """Writes one split slice by slice as float32, the type that models compute in."""
    start = 0
    with growing(paths.scaled(scaler.name, split), np.float32, values_NF.shape[1]) as out:
        for scaled_BF in ahead(_scaled(scaler, values_NF)):
            if not np.isfinite(scaled_BF.sum()) and np.isinf(scaled_BF).any():
                at, column = np.argwhere(np.isinf(scaled_BF))[0]
                rows = np.load(existing(paths.beside(split, "rows"), "preprocess"), mmap_mode="r")
                raise DataError(
                    f"{schema.source}: column {schema.names[column]!r}, row "
                    f"{rows[start + at] + 1} of the data: {values_NF[start + at, column]:g} is too "
                    f"large for float32 after scaling by {scaler.name!r}; mend the value or name "
                    "the column in params.yaml: preprocess.drop"
                )
            out.append(scaled_BF)
            start += len(scaled_BF)


def _scaled(scaler: scaling.Scaler, values_NF: NDArray[Any]) -> Iterator[NDArray[np.float32]]:
    """Slices of scaled rows, each valid until the next but one; inf where float32 can't hold it.

    They lie in memory that is used again: fresh memory costs more than the arithmetic.
    """
    step = max(1, CACHED_VALUES // values_NF.shape[1])
    exact_BF = np.empty((step, values_NF.shape[1]))
    rooms = [np.empty(exact_BF.shape, np.float32) for _ in range(2)]
    for start in range(0, len(values_NF), step):
        part_BF = values_NF[start : start + step]
        rooms.reverse()
        scaled_BF = rooms[0][: len(part_BF)]
        with np.errstate(over="ignore"):
            scaled_BF[...] = scaler.transform(part_BF, exact_BF[: len(part_BF)])
        yield scaled_BF
