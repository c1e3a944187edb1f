"""What is usual of a model's rows: the range of training values, the surprise of validation rows.

Shapes: N rows, F features, Q kept quantiles.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from hourglass.schema import Array

KEPT = 1001  # rows at most: of more rows evenly spaced quantiles


@dataclass(frozen=True, eq=False)
class Usual:
    """Tells rows that are unlike those a model was made from.

    Attributes:
        low_F: Smallest training value of each column, scaled; NaN where nothing was observed.
        high_F: The largest, likewise.
        bits_Q: How unusual validation rows are, ascending, bits; see `Bundle.surprise`.
    """

    low_F: Array
    high_F: Array
    bits_Q: Array

    @classmethod
    def of(cls, low_F: Array, high_F: Array, bits_N: Array) -> Self:
        """Keeps quantiles of the bits where there are many."""
        bits_Q = np.sort(bits_N)
        if len(bits_Q) > KEPT:
            bits_Q = np.quantile(bits_Q, np.linspace(0, 1, KEPT), method="inverted_cdf")
        return cls(low_F, high_F, bits_Q)

    def outside(self, scaled_NF: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Which values lie outside the range of the training values, (N, F); missing ones don't."""
        beyond_NF: NDArray[np.bool_] = (scaled_NF < self.low_F) | (scaled_NF > self.high_F)
        return beyond_NF

    def threshold(self, share: float) -> float:
        """Bits that this share of the validation rows, and no more, lies above.

        Args:
            share: Between 0 and 1, both excluded.
        """
        return float(np.quantile(self.bits_Q, 1 - share, method="inverted_cdf"))

    def to_json(self) -> dict[str, Any]:
        """Plain data for json.dump, null where nothing was observed; `from_json` is its inverse."""
        return {
            name: [None if np.isnan(v) else v for v in values.tolist()]
            for name, values in vars(self).items()
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Rebuilds it from what `to_json` gave.

        Raises:
            ValueError: it tells the surprise of no validation row, or one that is not finite.
        """
        own = cls(*(np.array(data[name], np.float64) for name in ("low_F", "high_F", "bits_Q")))
        if not len(own.bits_Q) or not np.isfinite(own.bits_Q).all():
            raise ValueError("the surprise of validation rows is missing, or is not finite")
        return own
