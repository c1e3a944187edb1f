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
from mlflow.types import ColSpec
from mlflow.types import Schema as Signature
from mlflow.types.schema import AnyType
from numpy.typing import NDArray

from hourglass import wide
from hourglass.bundle import Bundle
from hourglass.errors import DataError
from hourglass.gaps import Gaps, is_number
from hourglass.schema import Column, Kind, Schema

CODE_LENGTH = "code_length_bits"  # name of the column with each row's code length
FLAGS = {"false": 0.0, "true": 1.0}
ENTRY = Path(__file__).with_name("serving_entry.py")  # what MLflow runs instead of unpickling

# What an answer imports, and nothing else: the model installs light.
REQUIREMENTS = ("mlflow", "numpy", "pandas", "safetensors", "scipy", "torch")


class RawRows(mlflow.pyfunc.PythonModel):  # type: ignore[name-defined,misc]  # lazily loaded upstream
    """Answers for raw rows in original units.

    In: a DataFrame with the features by name in any order (other columns are ignored), or an
    array of shape (N, F) in the schema's order. Levels are given by name; where the data that the
    model was trained on had gaps, values may be missing: NaN, or what stood for a gap there.
    Out: a DataFrame with the reconstruction of each feature (of a level: the most probable one;
    where a value was missing: what the model fills in) and `code_length_bits`, the bits that the
    row takes to write down; high means unusual.
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
            DataError: a column is missing or a value is not what the column holds.
        """
        return answer(self.bundle, model_input)


def answer(bundle: Bundle, rows: pd.DataFrame | NDArray[np.float64]) -> pd.DataFrame:
    """Reconstructions in original units and each row's code length in bits.

    Raises:
        DataError: a column is missing or a value is not what the column holds.
    """
    schema = bundle.schema
    rows_NF = _checked(rows, schema)
    answer_NW, extra_N = bundle.written(rows_NF)
    bits_N = bundle.code_length(rows_NF, answer_NW).sum(axis=1) + extra_N
    index = rows.index if isinstance(rows, pd.DataFrame) else None
    values_NF = wide.collapse(answer_NW, schema.columns)
    out = pd.DataFrame(values_NF, columns=list(schema.names), index=index)
    for column in schema.columns:
        if column.kind is Kind.CATEGORICAL:
            out[column.name] = np.array(column.levels, object)[out[column.name].astype(int)]
    out[code_length_name(schema.names)] = bits_N
    return out


def code_length_name(names: tuple[str, ...]) -> str:
    """The name of the code length's column, with underscores if a feature has that name."""
    name = CODE_LENGTH
    while name in names:
        name += "_"
    return name


def _checked(rows: pd.DataFrame | NDArray[np.float64], schema: Schema) -> NDArray[np.float64]:
    """Rows in the schema's order, levels as codes, (N, F)."""
    names, gaps = schema.names, Gaps.of(schema.missing_values)
    if isinstance(rows, pd.DataFrame):
        rows = rows.rename(columns=str)
        missing = [n for n in names if n not in rows.columns]
        if missing:
            raise DataError(
                f"the rows lack column {missing[0]!r} ({len(missing)} of {len(names)} are missing)"
                f"; they have {', '.join(map(str, rows.columns[:8]))}"
            )
        rows = np.column_stack([_values(rows[c.name], c, gaps) for c in schema.columns])
    rows_NF = np.atleast_2d(np.array(rows, dtype=np.float64))
    if rows_NF.shape[1] != len(names):
        raise DataError(f"rows have {rows_NF.shape[1]} columns, the model takes {len(names)}")
    at_F, _ = wide.single(schema.columns)
    number_NF = rows_NF[:, at_F]
    gaps.blank(number_NF)
    rows_NF[:, at_F] = number_NF
    wrong = np.argwhere(np.isinf(rows_NF) | (np.isnan(rows_NF) & (not schema.gaps)))
    if len(wrong):
        row, column = wrong[0]
        why = "" if schema.gaps else "; it was trained on rows without gaps"
        raise DataError(
            f"row {row}, column {names[column]!r}: {rows_NF[row, column]}; "
            f"the model takes finite numbers{why}"
        )
    return rows_NF


def _values(values: "pd.Series[Any]", column: Column, gaps: Gaps) -> NDArray[np.float64]:
    """A column as float64: numbers, or the codes of levels, (N,); NaN where a text is a gap.

    A level that the model has not seen has a code of its own.

    Raises:
        DataError: a value is no number.
    """
    if column.kind is not Kind.CATEGORICAL:
        return _numbers(values, gaps)
    code = {level: float(i) for i, level in enumerate(column.levels)}
    unseen = float(len(code))
    texts = ["" if pd.isna(v) else _text(v) for v in values]
    codes = [np.nan if gaps.is_gap(text) else code.get(text, unseen) for text in texts]
    return np.array(codes, dtype=np.float64)


def _text(value: Any) -> str:
    """A level as sources spell it: 3, not 3.0; true, not True; without spaces around it."""
    if isinstance(value, bool):
        return str(value).lower()
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value)) if whole else str(value).strip()


def _numbers(column: "pd.Series[Any]", gaps: Gaps) -> NDArray[np.float64]:
    """A column as float64, (N,): texts of numbers, true and false too, NaN where one is a gap.

    Raises:
        DataError: a value is no number.
    """
    try:
        return column.to_numpy(dtype=np.float64)
    except (TypeError, ValueError):
        cells = enumerate(column)
        return np.array([_number(v, gaps, f"column {column.name!r}, row {i}") for i, v in cells])


def _number(value: Any, gaps: Gaps, where: str) -> float:
    text = "" if pd.isna(value) else _text(value)
    if gaps.is_gap(text):
        return np.nan
    if text.lower() in FLAGS:
        return FLAGS[text.lower()]
    if not is_number(text):
        raise DataError(
            f"{where}: {value!r} is no number; give one, or leave the place empty where the value "
            "is missing"
        )
    return float(text)


def example(bundle: Bundle, rows_NF: NDArray[np.float64]) -> pd.DataFrame:
    """Rows as a user would give them: levels by name."""
    frame = pd.DataFrame(rows_NF, columns=list(bundle.schema.names))
    for column in bundle.schema.columns:
        if column.kind is Kind.CATEGORICAL:
            names = np.array([*column.levels, None], object)
            codes = frame[column.name].fillna(column.width).astype(int)
            frame[column.name] = names[codes]
    return frame


def signature(bundle: Bundle) -> ModelSignature:
    """Inputs by name, any type of number; outputs are doubles.

    Inputs declared as doubles would make MLflow refuse whole numbers (int64), which is how pandas
    reads counts and grey levels; `answer` checks the values itself.
    """
    columns, names = bundle.schema.columns, bundle.schema.names
    any_number = AnyType()  # type: ignore[no-untyped-call]  # untyped upstream
    inputs = Signature([ColSpec(any_number, n) for n in names])
    types = ["string" if c.kind is Kind.CATEGORICAL else "double" for c in columns]
    every = zip([*types, "double"], [*names, code_length_name(names)], strict=True)
    outputs = Signature([ColSpec(kind, name) for kind, name in every])
    return ModelSignature(inputs=inputs, outputs=outputs)


def requirements() -> list[str]:
    """The packages that an answer needs, at the versions installed here."""
    return [f"{name}=={version(name).split('+')[0]}" for name in REQUIREMENTS]
