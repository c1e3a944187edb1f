"""Fits each scaler on the training rows and scales training and validation rows.

    hourglass normalize

The test rows stay closed: evaluate scales them itself, with the scaler of each model.
"""

import logging
import shutil

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from hourglass import moments, scaling
from hourglass.config import Params
from hourglass.errors import DataError
from hourglass.paths import Paths, existing, read_json, replacing, write_json
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
    for name in dict.fromkeys(params.normalize.scalers):
        scaler = scaling.fit(name, rows["train"], schema.columns)
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
    values_NF: NDArray[np.float64],
    schema: Schema,
) -> None:
    """Writes one split slice by slice as float32, the type that models compute in."""
    largest = np.finfo(np.float32).max
    with replacing(paths.scaled(scaler.name, split)) as beside:
        out_NF = open_memmap(beside, "w+", dtype=np.float32, shape=values_NF.shape)
        start = 0
        for part_BF in moments.slices(values_NF):
            scaled_BF = scaler.transform(part_BF)
            beyond_BF = np.abs(scaled_BF) > largest
            if beyond_BF.any():
                row, f = np.argwhere(beyond_BF)[0]
                number = np.load(existing(paths.rows(split), "preprocess"))[start + row]
                raise DataError(
                    f"{schema.source}: column {schema.names[f]!r}, row {number + 1}: "
                    f"{part_BF[row, f]:g} is too large for float32 after scaling by "
                    f"{scaler.name!r}; mend the value or name the column in "
                    "params.yaml: preprocess.drop"
                )
            out_NF[start : start + len(part_BF)] = scaled_BF
            start += len(part_BF)
        out_NF.flush()
        del out_NF
