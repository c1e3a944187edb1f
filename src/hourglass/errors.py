"""Every error that Hourglass raises for its users, drawn as a tree.

HourglassError                 anything a user can mend; the CLI prints it without a traceback
├── ConfigError                params.yaml: a value, its place, what is allowed
│   └── UnknownNameError       a name that no catalog knows, with the nearest one
├── DataError                  the user's data: file, column, row, remedy
│   └── ColumnsError           columns that can't be features as they are
├── LossError                  a loss that the data or the scaler does not admit
├── MissingInputError          a file that an earlier stage should have written
├── StaleInputError            a file that an earlier stage made from other rows
├── TrainingError              a fit that did not end in finite numbers
├── StoreError                 the store of the search's trials can't be reached or refuses
└── TrackingError              the MLflow store can't be reached or refuses
"""

from collections.abc import Sequence


class HourglassError(Exception):
    """Base of all errors meant for users: the message says what, where and what to do."""


class ConfigError(HourglassError):
    """A value in params.yaml is missing, misspelt, of the wrong type or out of range."""


class UnknownNameError(ConfigError):
    """A name is not in its catalog; the message lists the known names and the nearest one."""


class DataError(HourglassError):
    """The user's data can't be used as they are; the message names file, column and remedy."""


class ColumnsError(DataError):
    """Columns that can't be features as they are; the message names them and the remedy.

    Attributes:
        names: Of the columns.
    """

    def __init__(self, message: str, names: Sequence[str]) -> None:
        super().__init__(message)
        self.names = tuple(names)

    def __reduce__(self) -> tuple[type["ColumnsError"], tuple[str, tuple[str, ...]]]:
        """Pickled with its names: an error may come from another process."""
        return type(self), (str(self), self.names)


class LossError(HourglassError):
    """A loss is not defined on this data under this scaler."""


class MissingInputError(HourglassError):
    """A stage needs a file that an earlier stage has not written yet."""


class StaleInputError(HourglassError):
    """A stage was given what an earlier one made from other rows than those that lie there now."""


class TrainingError(HourglassError):
    """A fit became non-finite or could not be carried out."""


class StoreError(HourglassError):
    """The store of the search's trials did not do what was asked."""


class TrackingError(HourglassError):
    """The tracking store or the model registry did not do what was asked."""
