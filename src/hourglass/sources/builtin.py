"""Data sets that come with scikit-learn, and one that it downloads."""

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np

from hourglass.catalog import nearest
from hourglass.errors import DataError, UnknownNameError
from hourglass.schema import Kind
from hourglass.sources import Chunk, Layout, Source
from hourglass.sources._table import select

_LOADERS = {
    "breast_cancer": ("load_breast_cancer", {}),
    "california_housing": ("fetch_california_housing", {}),
    "diabetes": ("load_diabetes", {"scaled": False}),  # in the units of the patients
    "digits": ("load_digits", {}),
    "wine": ("load_wine", {}),
}
_DIGITS_SHAPE = (8, 8, 1)
_DIGITS_BOUNDS = (0.0, 16.0)  # ink in a 4x4 block of pixels


class Builtin(Source):
    """One of scikit-learn's data sets without its target; `path` is not used.

    digits: 1797 images of 8x8 pixels with 17 grey levels; breast_cancer: 569 x 30; wine: 178 x 13;
    diabetes: 442 x 10; california_housing: 20640 x 8, downloaded on first use.
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
        known = tuple(map(str, self._bunch.feature_names))
        names, dropped = select(known, self.options.drop, self.options.label, self.title)
        if self.options.dataset != "digits":
            return Layout(names, dropped)
        shape = None if dropped else _DIGITS_SHAPE
        return Layout(names, dropped, Kind.CONTINUOUS, _DIGITS_BOUNDS, shape)

    def chunks(self) -> Iterator[Chunk]:
        """See `Source.chunks`: one chunk."""
        kept = set(self.layout().names)
        mask = [str(name) in kept for name in self._bunch.feature_names]
        yield Chunk(np.array(self._bunch.data, dtype=np.float64)[:, mask])

    @cached_property
    def _bunch(self) -> Any:  # scikit-learn ships no types
        """What scikit-learn returns: `data` and `feature_names` are used."""
        dataset = self.options.dataset
        if dataset not in _LOADERS:
            raise UnknownNameError(
                f"params.yaml: preprocess.dataset: unknown builtin data set {dataset!r}"
                f"{nearest(dataset, _LOADERS)} (known: {', '.join(_LOADERS)})"
            )
        from sklearn import datasets

        name, options = _LOADERS[dataset]
        try:
            return getattr(datasets, name)(**options)
        except OSError as error:  # urllib's errors are among them
            raise DataError(
                f"{self.title}: the download failed ({error}); connect to the internet once, "
                "or set params.yaml: preprocess.dataset to digits, breast_cancer, wine or diabetes"
            ) from None


SOURCE = Builtin
