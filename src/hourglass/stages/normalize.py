"""Fits each scaler on the training rows and scales training and validation rows.

    hourglass normalize

The test rows stay closed: evaluate scales them itself, with the scaler of each model.
"""

import logging
import shutil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hourglass import moments, scaling
from hourglass.arrays import growing
from hourglass.config import Params
from hourglass.errors import DataError
from hourglass.paths import Paths, existing, read_json, write_json
from hourglass.schema import Schema

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
    seen = moments.moments(rows["train"])
    for name in dict.fromkeys(params.normalize.scalers):
        scaler = scaling.fit(name, rows["train"], schema, seen)
        for split, values_NF in rows.items():
            _write(paths, scaler, split, values_NF, schema)
        write_json(paths.scaler(name), scaler.to_json())
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
    largest = np.finfo(np.float32).max
    start = 0
    with growing(paths.scaled(scaler.name, split), np.float32, values_NF.shape[1]) as out:
        for part_BF in moments.slices(values_NF):
            scaled_BF = scaler.transform(part_BF)
            if max(np.nanmax(scaled_BF, initial=0), -np.nanmin(scaled_BF, initial=0)) > largest:
                at, column = np.argwhere(np.abs(scaled_BF) > largest)[0]
                rows = np.load(existing(paths.beside(split, "rows"), "preprocess"), mmap_mode="r")
                row = rows[start + at]
                raise DataError(
                    f"{schema.source}: column {schema.names[column]!r}, row {row + 1} of the data: "
                    f"{part_BF[at, column]:g} is too large for float32 after scaling by "
                    f"{scaler.name!r}; mend the value or name the column in params.yaml: "
                    "preprocess.drop"
                )
            out.append(scaled_BF)
            start += len(part_BF)
