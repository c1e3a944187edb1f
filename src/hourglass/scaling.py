"""Scalers: an offset and a scale for each column, fitted on training rows, with an exact record.

Shapes: N rows, F columns.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from hourglass.moments import Moments, moments, quartiles, sample, spread
from hourglass.schema import Column, optional

Array = NDArray[np.float64]
_Fitted = tuple[Array, Array]


@dataclass(frozen=True, eq=False)
class Scaler:
    """Scaled value = (value - offset) / scale.

    Attributes:
        name: One of `names`.
        offset_F: In the columns' units.
        scale_F: In the columns' units, above 0.
    """

    name: str
    offset_F: Array
    scale_F: Array

    def transform(self, values_NF: NDArray[np.floating]) -> Array:
        """From original units to scaled ones, float64, (N, F)."""
        scaled: Array = (np.asarray(values_NF, dtype=np.float64) - self.offset_F) / self.scale_F
        return scaled

    def inverse(self, scaled_NF: NDArray[np.floating]) -> Array:
        """From scaled units to original ones, float64, (N, F)."""
        values: Array = np.asarray(scaled_NF, dtype=np.float64) * self.scale_F + self.offset_F
        return values

    def to_json(self) -> dict[str, Any]:
        """Plain data for json.dump; `from_json` gives back every bit."""
        return {
            "name": self.name,
            "offset": self.offset_F.tolist(),
            "scale": self.scale_F.tolist(),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Rebuilds a scaler from what `to_json` gave."""
        return cls(data["name"], np.array(data["offset"]), np.array(data["scale"]))


def fit(name: str, train_NF: NDArray[np.floating], columns: Sequence[Column]) -> Scaler:
    """Fits a scaler on training rows; a column that never varies gets the scale 1.

    - unit: to [0, 1], by the column's walls where it has them, else by the extremes seen.
    - standard: to mean 0 and standard deviation 1.
    - robust: to median 0 and interquartile range 1; where a quarter of the rows or more share the
      median (see `moments.spread`) the standard deviation takes the range's place. Quartiles of
      tables beyond 8 million numbers are those of evenly spaced rows.

    Args:
        name: One of `names`.
        train_NF: The training rows in original units; may be a memory map.
        columns: The F columns.
    """
    offset_F, scale_F = _FITS[name](train_NF, moments(train_NF), columns)
    return Scaler(name, offset_F, np.where(scale_F > 0, scale_F, 1.0))


def _unit(_: NDArray[np.floating], seen: Moments, columns: Sequence[Column]) -> _Fitted:
    low_F = optional([c.low for c in columns])
    high_F = optional([c.high for c in columns])
    low_F = np.where(np.isnan(low_F), seen.low_F, low_F)
    high_F = np.where(np.isnan(high_F), seen.high_F, high_F)
    return low_F, high_F - low_F


def _standard(_: NDArray[np.floating], seen: Moments, __: Sequence[Column]) -> _Fitted:
    return seen.mean_F, seen.sd_F


def _robust(train_NF: NDArray[np.floating], seen: Moments, _: Sequence[Column]) -> _Fitted:
    train_SF = sample(train_NF)
    range_F = spread(train_SF)
    return quartiles(train_SF)[1], np.where(np.isnan(range_F), seen.sd_F, range_F)


_FITS: dict[str, Callable[[NDArray[np.floating], Moments, Sequence[Column]], _Fitted]] = {
    "unit": _unit,
    "standard": _standard,
    "robust": _robust,
}
names = tuple(_FITS)
