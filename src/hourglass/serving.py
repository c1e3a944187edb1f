"""The registered model: raw rows in, reconstructions and code lengths out, as an MLflow pyfunc.

Shapes: N rows, F features.
"""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema
from mlflow.types.schema import AnyType
from numpy.typing import NDArray

from hourglass.bundle import Bundle
from hourglass.errors import DataError

CODE_LENGTH = "code_length_bits"  # name of the column with each row's code length
ENTRY = Path(__file__).with_name("serving_entry.py")  # what MLflow runs instead of unpickling

# What an answer imports, and nothing else: the model installs light.
REQUIREMENTS = ("mlflow", "numpy", "pandas", "safetensors", "scipy", "torch")


class RawRows(mlflow.pyfunc.PythonModel):  # type: ignore[name-defined,misc]  # lazily loaded upstream
    """Answers for raw rows in original units.

    In: a DataFrame with the features by name in any order (other columns are ignored), or an
    array of shape (N, F) in the schema's order. Out: a DataFrame with the reconstruction of each
    feature and `code_length_bits`, the bits that the row takes to write down; high means unusual.
    """

    def load_context(self, context: Any) -> None:
        """Reads the bundle that was packed with the model."""
        self.bundle = Bundle.load(Path(context.artifacts["bundle"]))

    def predict(
        self,
        context: Any,  # noqa: ARG002  MLflow's interface
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,  # noqa: ARG002  MLflow's interface
    ) -> pd.DataFrame:
        """Reconstructs rows.

        Raises:
            DataError: a column is missing or a value is not a finite number.
        """
        return answer(self.bundle, model_input)


def answer(bundle: Bundle, rows: pd.DataFrame | NDArray[np.float64]) -> pd.DataFrame:
    """Reconstructions in original units and each row's code length in bits.

    Raises:
        DataError: a column is missing or a value is not a finite number.
    """
    names = bundle.schema.names
    rows_NF = _checked(rows, names)
    reconstruction_NF = bundle.reconstruct(rows_NF)
    bits_N = bundle.code_length(rows_NF, reconstruction_NF).sum(axis=1)
    index = rows.index if isinstance(rows, pd.DataFrame) else None
    out = pd.DataFrame(reconstruction_NF, columns=list(names), index=index)
    out[code_length_name(names)] = bits_N
    return out


def code_length_name(names: tuple[str, ...]) -> str:
    """The name of the code length's column, with underscores if a feature has that name."""
    name = CODE_LENGTH
    while name in names:
        name += "_"
    return name


def _checked(rows: pd.DataFrame | NDArray[np.float64], names: tuple[str, ...]) -> Any:
    if isinstance(rows, pd.DataFrame):
        rows = rows.rename(columns=str)
        missing = [n for n in names if n not in rows.columns]
        if missing:
            raise DataError(
                f"the rows lack column {missing[0]!r} ({len(missing)} of {len(names)} are missing)"
                f"; they have {', '.join(map(str, rows.columns[:8]))}"
            )
        rows = np.column_stack([_numbers(rows[n]) for n in names])
    rows_NF = np.atleast_2d(np.asarray(rows, dtype=np.float64))
    if rows_NF.shape[1] != len(names):
        raise DataError(f"rows have {rows_NF.shape[1]} columns, the model takes {len(names)}")
    wrong = np.argwhere(~np.isfinite(rows_NF))
    if len(wrong):
        row, column = wrong[0]
        raise DataError(
            f"row {row}, column {names[column]!r}: {rows_NF[row, column]}; "
            "the model takes finite numbers"
        )
    return rows_NF


def _numbers(column: "pd.Series[Any]") -> NDArray[np.float64]:
    """A column as float64, (N,).

    Raises:
        DataError: a value is no number.
    """
    try:
        return column.to_numpy(dtype=np.float64)
    except (TypeError, ValueError):
        wrong = pd.to_numeric(column, errors="coerce").isna() & column.notna()
        raise DataError(f"column {column.name!r}: {column[wrong].iloc[0]!r} is no number") from None


def signature(bundle: Bundle) -> ModelSignature:
    """Inputs by name, any type of number; outputs are doubles.

    Inputs declared as doubles would make MLflow refuse whole numbers (int64), which is how pandas
    reads counts and grey levels; `answer` checks the values itself.
    """
    names = bundle.schema.names
    any_number = AnyType()  # type: ignore[no-untyped-call]  # untyped upstream
    inputs = Schema([ColSpec(any_number, n) for n in names])
    outputs = Schema([ColSpec("double", n) for n in (*names, code_length_name(names))])
    return ModelSignature(inputs=inputs, outputs=outputs)


def requirements() -> list[str]:
    """The packages that an answer needs, at the versions installed here."""
    return [f"{name}=={version(name).split('+')[0]}" for name in REQUIREMENTS]
