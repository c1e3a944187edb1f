"""Scalers: an offset and a scale for each column, fitted on training rows, with an exact record.

Columns of flags and levels stay as they are; the places of an array's channel share one scale.
Shapes: N rows, F columns, W numbers of the wide form (see `hourglass.wide`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from hourglass import moments as moments_of
from hourglass.moments import Moments, evenly, quartiles, spread
from hourglass.schema import Kind, Schema, optional

Array = NDArray[np.float64]
_Fitted = tuple[Array, Array]
_Fit = Callable[[NDArray[Any], Moments, Schema], _Fitted]
UNSCALED = (Kind.BINARY, Kind.CATEGORICAL)


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

    def transform(self, values_NF: NDArray[Any], out_NF: Array | None = None) -> Array:
        """From original units to scaled ones, float64, (N, F); into `out_NF` where it is given."""
        values_NF = np.asarray(values_NF, dtype=np.float64)
        scaled: Array = np.subtract(values_NF, self.offset_F, out=out_NF)
        scaled /= self.scale_F
        return scaled

    def inverse(self, scaled_NF: NDArray[np.floating]) -> Array:
        """From scaled units to original ones, float64, (N, F)."""
        values: Array = np.asarray(scaled_NF, dtype=np.float64) * self.scale_F + self.offset_F
        return values

    def widened(self, schema: Schema) -> "Scaler":
        """The scaler of the wide form, whose levels are not scaled: offset and scale of shape (W,).

        Where no column has levels it is the same.
        """
        widths = [c.width for c in schema.columns]
        return Scaler(self.name, self.offset_F.repeat(widths), self.scale_F.repeat(widths))

    def to_json(self) -> dict[str, Any]:
        """Plain data for json.dump; `from_json` gives back every bit."""
        return {
            "name": self.name,
            "offset": self.offset_F.tolist(),
            "scale": self.scale_F.tolist(),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Rebuilds a scaler from what `to_json` gave.

        Raises:
            ValueError: its numbers are none that a scaler can have.
        """
        offset_F, scale_F = (np.array(data[name], np.float64) for name in ("offset", "scale"))
        if not (np.isfinite(offset_F).all() and np.isfinite(scale_F).all() and (scale_F > 0).all()):
            raise ValueError(
                "the scaler has an offset or a scale that is not finite, or a scale <= 0"
            )
        return cls(data["name"], offset_F, scale_F)


def fit(name: str, train_NF: NDArray[Any], schema: Schema, seen: Moments | None = None) -> Scaler:
    """Fits a scaler on training rows; a column that never varies gets the scale 1.

    - unit: to [0, 1], by the column's walls where it has them, else by the extremes seen.
    - standard: to mean 0 and standard deviation 1.
    - robust: to median 0 and interquartile range 1; where a quarter of the rows or more share the
      median (see `moments.spread`) the standard deviation takes the range's place. Quartiles of
      tables beyond 8 million numbers are those of evenly spaced rows.

    Flags and levels keep offset 0 and scale 1, as does what was never observed.

    Args:
        name: One of `names`.
        train_NF: The training rows in original units, NaN where missing; may be a memory map.
        schema: The F columns.
        seen: Their figures, where known already.
    """
    seen = moments_of.moments(train_NF) if seen is None else seen
    if schema.shape is not None:
        seen = seen.pooled(channels(schema))
    offset_F, scale_F = _FITS[name](train_NF, seen, schema)
    plain_F = np.array([c.kind in UNSCALED for c in schema.columns])
    scale_F = np.where((scale_F > 0) & ~plain_F, scale_F, 1.0)
    return Scaler(name, np.where(plain_F | np.isnan(offset_F), 0.0, offset_F), scale_F)


def channels(schema: Schema) -> NDArray[np.int64]:
    """The channel of each column of an image or a window, (F,)."""
    count = (schema.shape or (1,))[-1]
    return np.arange(len(schema.columns)) % count


def _unit(_: NDArray[Any], seen: Moments, schema: Schema) -> _Fitted:
    low_F = optional([c.low for c in schema.columns])
    high_F = optional([c.high for c in schema.columns])
    low_F = np.where(np.isnan(low_F), seen.low_F, low_F)
    high_F = np.where(np.isnan(high_F), seen.high_F, high_F)
    return low_F, high_F - low_F


def _standard(_: NDArray[Any], seen: Moments, __: Schema) -> _Fitted:
    return seen.mean_F, seen.sd_F


def _robust(train_NF: NDArray[Any], seen: Moments, schema: Schema) -> _Fitted:
    if schema.shape is None:
        train_SF = moments_of.sample(train_NF, seen=seen)
        range_F, median_F = spread(train_SF), quartiles(train_SF)[1]
        return median_F, np.where(np.isnan(range_F), seen.sd_F, range_F)
    count = schema.shape[-1]
    pooled_SC = moments_of.sample(train_NF).reshape(-1, count)
    pooled_SC = pooled_SC[evenly(len(pooled_SC), moments_of.SLICE_VALUES // count)]
    range_C, median_C = spread(pooled_SC), quartiles(pooled_SC)[1]
    at_F = channels(schema)
    return median_C[at_F], np.where(np.isnan(range_C)[at_F], seen.sd_F, range_C[at_F])


_FITS: dict[str, _Fit] = {"unit": _unit, "standard": _standard, "robust": _robust}
names = tuple(_FITS)
