"""Which rows a model was trained on: marks of them, by which they are known again.

Data grow and splits are drawn anew, so that a test row of today may be a training row of an older
model. A mark is 32 bits of a row's hash: of four thousand million rows two share one, and a test
row that is taken for a known one by chance is only left out.
Shapes: N rows, F features, M marks.
"""

from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hourglass.paths import Paths, existing
from hourglass.schema import Array

FILE = "seen.npy"
BLOCK = 1 << 14  # rows hashed at a time

Marks = NDArray[np.uint32]


def marks(rows_NF: Array) -> Marks:
    """A mark for each row, (N,); equal rows have equal ones. The order of columns counts."""
    whole_NF = np.array(rows_NF, dtype="<f8", order="C")
    whole_NF[np.isnan(whole_NF)] = np.nan  # there are many NaNs, and one gap
    digests = b"".join(blake2b(row_F.data, digest_size=4).digest() for row_F in whole_NF)
    return np.frombuffer(digests, dtype="<u4").astype(np.uint32)


def write(file: Path, paths: Paths) -> None:
    """Writes the marks of all training and validation rows, (M,), ascending."""
    found = []
    for split in ("train", "val"):
        rows_NF = np.load(existing(paths.values(split), "preprocess"), mmap_mode="r")
        found += [marks(rows_NF[at : at + BLOCK]) for at in range(0, len(rows_NF), BLOCK)]
    np.save(file, np.unique(np.concatenate(found)))


def read(file: Path) -> Marks:
    """What `write` wrote.

    Raises:
        ValueError: the file holds anything else.
    """
    found = np.load(file, allow_pickle=False)
    if found.dtype != np.uint32 or found.ndim != 1:
        raise ValueError(f"{file.name} holds no marks of rows")
    return np.asarray(found)


def unseen(rows_NF: Array, seen_M: Marks) -> NDArray[np.bool_]:
    """Rows whose marks are not among those of a model, (N,)."""
    return np.isin(marks(rows_NF), seen_M, invert=True)
