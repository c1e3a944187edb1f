"""How many values one row may have, for sources whose rows are arrays."""

import math
from collections.abc import Sequence

from hourglass.errors import DataError

MOST_VALUES = 1 << 20  # as the widest layer of a model, see `hourglass.config.Width`


def check_width(shape: Sequence[int], what: str, remedy: str) -> None:
    """Refuses rows that no model could take.

    Args:
        shape: Of one row.
        what: The row for people, such as "an image of data/raw/scans".
        remedy: What to change.

    Raises:
        DataError: it has more than `MOST_VALUES` values.
    """
    values = math.prod(shape)
    if values > MOST_VALUES:
        raise DataError(
            f"{what} has {' x '.join(map(str, shape))} = {values} values, and a row may have no "
            f"more than {MOST_VALUES}; {remedy}"
        )
