"""Some training rows and the labels, for the advisor's page: a page shows what figures hide.

Shapes: N rows of a split, E examples.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hourglass.moments import evenly
from hourglass.paths import SPLITS, Paths
from hourglass.schema import Array, Schema

IMAGES, WINDOWS = 12, 4  # examples on the page
MOST_CLASSES = 40  # more different labels are figures, or names


@dataclass(frozen=True)
class Examples:
    """What is shown.

    Attributes:
        rows_EF: Training rows in original units, NaN where missing; none of a table.
        names: The class of each example; () where there are none.
        classes: Rows of all splits by class; empty where labels are no classes, or there are none.
    """

    rows_EF: Array
    names: tuple[str, ...]
    classes: dict[str, int]


def examples(schema: Schema, paths: Paths) -> Examples:
    """Picks rows from what preprocess wrote: of images one of each class, as far as there is room.

    Args:
        schema: Of these rows.
        paths: Where they are.
    """
    labels = {s: paths.beside(s, "labels") for s in SPLITS}
    codes = {s: np.load(path) for s, path in labels.items() if path.exists()}
    classes = _classes(schema, list(codes.values()))
    train_NF = np.load(paths.values("train"), mmap_mode="r")
    if schema.shape is None:
        return Examples(np.empty((0, train_NF.shape[1])), (), classes)
    if len(schema.shape) == 2 or not classes:
        count = WINDOWS if len(schema.shape) == 2 else IMAGES
        at_E = np.arange(len(train_NF))[evenly(len(train_NF), count)]
    else:
        at_E = _of_each(codes["train"])
    rows_EF = np.array(train_NF[at_E], dtype=np.float64)
    names = [_name(schema, code) for code in codes["train"][at_E]] if classes else []
    return Examples(rows_EF, tuple(names), classes)


def _classes(schema: Schema, codes: Sequence[Array]) -> dict[str, int]:
    if not codes:
        return {}
    values, counts = np.unique(np.concatenate(codes), return_counts=True)
    whole = np.isnan(values) | (values == np.floor(values))
    if len(values) > MOST_CLASSES or not whole.all():
        return {}
    return {_name(schema, v): int(n) for v, n in zip(values, counts, strict=True)}


def _name(schema: Schema, code: float) -> str:
    if np.isnan(code):
        return "no label"
    return schema.labels[int(code)] if schema.labels else f"{code:g}"


def _of_each(codes_N: Array) -> NDArray[np.int64]:
    """The first row of each class, then the second, and so on, sorted by class."""
    order_N = np.argsort(codes_N, kind="stable")
    _, starts, counts = np.unique(codes_N[order_N], return_index=True, return_counts=True)
    turn_N = np.arange(len(codes_N)) - np.repeat(starts, counts)
    chosen_E = np.sort(np.argsort(turn_N, kind="stable")[:IMAGES])
    return np.asarray(order_N[chosen_E])
