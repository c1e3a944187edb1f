"""What stands for a missing value, in the data that a model is trained on and in those it meets."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

# Texts that stand for "no value"; pyarrow's and pandas' lists together.
NULLS = (
    *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN"),
    *("<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
)


def is_number(text: str, decimal: str = ".") -> bool:
    """Whether the text is a plain number with this decimal sign, nan and inf included."""
    if decimal == ",":
        if "." in text:
            return False
        text = text.replace(",", ".")
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text


@dataclass
class Gaps:
    """What stands for a missing value.

    Attributes:
        texts: Cells that are gaps in any column.
        numbers: Numbers that are gaps in features.
        seen: Those of `numbers` that occurred.
    """

    texts: frozenset[str]
    numbers: tuple[float, ...]
    seen: set[float] = field(default_factory=set)

    @classmethod
    def of(cls, missing_values: Sequence[str | float]) -> "Gaps":
        """The usual texts, and what preprocess.missing_values adds."""
        texts = [value.strip() for value in missing_values if isinstance(value, str)]
        numbers = [float(value) for value in missing_values if not isinstance(value, str)]
        return cls(frozenset([*NULLS, *texts]), tuple(dict.fromkeys(numbers)))

    def blank(self, values_NF: NDArray[np.floating]) -> None:
        """Makes the numbers that stand for a gap NaN, in place.

        A fraction is also looked for as float32 columns hold it.
        """
        for number in self.numbers:
            forms = {number} if number % 1 == 0 else {number, float(np.float32(number))}
            for form in forms:
                gap_NF = values_NF == form
                if gap_NF.any():
                    self.seen.add(number)
                    values_NF[gap_NF] = np.nan

    def is_gap(self, text: str) -> bool:
        """Whether a level stands for a gap: by its text or, where it is a number, by value."""
        if text in self.texts:
            return True
        if self.numbers and is_number(text) and float(text) in self.numbers:
            self.seen.add(float(text))
            return True
        return False
