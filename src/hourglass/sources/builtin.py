"""Data sets that come with scikit-learn, and those that it downloads."""

import logging
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from hourglass.catalog import nearest
from hourglass.errors import DataError, UnknownNameError
from hourglass.schema import Kind
from hourglass.sources import Chunk, Layout, Source
from hourglass.sources._rows import Rows
from hourglass.sources._table import ArrowBlock, Block, Sort, Table

log = logging.getLogger(__name__)

_LOADERS = {
    "breast_cancer": ("load_breast_cancer", {}),
    "california_housing": ("fetch_california_housing", {}),
    "diabetes": ("load_diabetes", {"scaled": False}),  # in the units of the patients
    "digits": ("load_digits", {}),
    "wine": ("load_wine", {}),
}
_DIGITS_SHAPE = (8, 8, 1)
_DIGITS_BOUNDS = (0.0, 16.0)  # ink in a 4x4 block of pixels
_OPENML = re.compile(r"openml:([^:]+)(?::(\d+))?")
_TARGET = "target"


class Builtin(Source):
    """One of scikit-learn's data sets, or one of openml.org's; `path` is not used.

    digits: 1797 images of 8x8 pixels with 17 grey levels; breast_cancer: 569 x 30; wine: 178 x 13;
    diabetes: 442 x 10; california_housing: 20640 x 8, downloaded on first use; openml:NAME or
    openml:NAME:VERSION. Their target is the label unless preprocess.label names a column.
    """

    @property
    def title(self) -> str:
        """See `Source.title`."""
        return f"builtin: {self.options.dataset}"

    def layout(self) -> Layout:
        """See `Source.layout`.

        Raises:
            UnknownNameError: no such data set or column.
            DataError: the download failed.
        """
        layout = self._rows.plan.layout
        if self.options.dataset != "digits":
            return layout
        shape = None if layout.dropped or layout.categorical else _DIGITS_SHAPE
        return replace(layout, kind=Kind.CONTINUOUS, bounds=_DIGITS_BOUNDS, shape=shape)

    def rows(self) -> int | None:
        """See `Source.rows`."""
        return self._rows.count()

    def chunks(self) -> Iterator[Chunk]:
        """See `Source.chunks`."""
        return self._rows.chunks()

    def levels(self) -> Mapping[str, tuple[str, ...]]:
        """See `Source.levels`."""
        return self._rows.levels()

    @cached_property
    def _rows(self) -> Rows:
        table = self._openml() if self.options.dataset.startswith("openml:") else self._own()
        options = self.options
        if not options.label and table.others:
            options = options.model_copy(update={"label": _TARGET})
        return Rows([table], options, self.title)

    def _own(self) -> "_InMemory":
        """A data set of scikit-learn's, by its name."""
        dataset = self.options.dataset
        if dataset not in _LOADERS:
            raise UnknownNameError(
                f"params.yaml: preprocess.dataset: unknown builtin data set {dataset!r}"
                f"{nearest(dataset, _LOADERS)} (known: {', '.join(_LOADERS)}, openml:NAME, "
                "openml:NAME:VERSION)"
            )
        from sklearn import datasets

        name, options = _LOADERS[dataset]
        try:
            bunch = getattr(datasets, name)(**options)
        except OSError as error:  # urllib's errors are among them
            raise self._failed(error) from None
        columns = dict(zip(map(str, bunch.feature_names), np.transpose(bunch.data), strict=True))
        return _InMemory({n: pa.array(c) for n, c in columns.items()}, _target(bunch))

    def _openml(self) -> "_InMemory":
        """A data set of openml.org: texts and categories are levels, its target the label."""
        dataset = self.options.dataset
        asked = _OPENML.fullmatch(dataset)
        if not asked:
            raise UnknownNameError(
                f"params.yaml: preprocess.dataset: {dataset!r} names no data set of openml.org; "
                "write openml:NAME or openml:NAME:VERSION, such as openml:adult:2"
            )
        name, version = asked[1], int(asked[2]) if asked[2] else "active"
        from sklearn import datasets

        try:
            with warnings.catch_warnings(record=True) as heard:
                warnings.simplefilter("always", UserWarning)
                bunch = datasets.fetch_openml(name, version=version, as_frame=True, parser="auto")
        except OSError as error:
            raise self._failed(error) from None
        except ValueError as error:  # no such data set, or one that is no table
            cause = " ".join(str(error).split()).rstrip(".")
            raise DataError(
                f"{self.title}: {cause}; look its name and version up at "
                "openml.org (params.yaml: preprocess.dataset)"
            ) from None
        for warning in heard:
            log.warning("%s: %s", self.title, " ".join(str(warning.message).split()))
        columns = {str(name): _arrow(its) for name, its in bunch.data.items()}
        target = bunch.target
        one = target is not None and target.ndim == 1
        return _InMemory(columns, _arrow(target) if one else None)

    def _failed(self, error: OSError) -> DataError:
        return DataError(
            f"{self.title}: the download failed ({error}); connect to the internet once, "
            "or set params.yaml: preprocess.dataset to digits, breast_cancer, wine or diabetes"
        )


class _InMemory(Table):
    """Columns that are held in memory, and a target beside them."""

    def __init__(self, columns: Mapping[str, pa.Array], target: pa.Array | None) -> None:
        self.file = Path()
        self.names = tuple(columns)
        beside = _TARGET not in columns and target is not None
        self.others = (_TARGET,) if beside else ()
        self._columns = {**columns, **({_TARGET: target} if beside else {})}
        self.types = {name: column.type for name, column in self._columns.items()}
        self.rows = len(next(iter(columns.values())))

    def blocks(self, wanted: Mapping[str, Sort]) -> Iterator[Block]:
        """See `Table.blocks`: one block."""
        columns = {name: self._columns[name] for name in wanted}
        yield ArrowBlock(columns, len(next(iter(columns.values()))))


def _target(bunch: Any) -> pa.Array:  # scikit-learn ships no types
    """The target; classes that have names by these."""
    names = bunch.get("target_names")
    texts = np.issubdtype(np.asarray(bunch.target).dtype, np.integer) and names is not None
    if texts and np.asarray(names).dtype.kind == "U":
        return pa.array(np.asarray(names)[bunch.target].tolist())
    return pa.array(np.asarray(bunch.target, dtype=np.float64))


def _arrow(column: Any) -> pa.Array:  # a Series of pandas
    """A column of pandas'; chunks are put together."""
    converted = pa.Array.from_pandas(column)
    return converted.combine_chunks() if isinstance(converted, pa.ChunkedArray) else converted


SOURCE = Builtin
