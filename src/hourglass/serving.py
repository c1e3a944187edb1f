"""The registered model: raw rows in, reconstructions and code lengths out, as an MLflow pyfunc.

Shapes: N rows, F features, K rows that could be answered.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec
from mlflow.types import Schema as Signature
from mlflow.types.schema import AnyType
from numpy.typing import NDArray

from hourglass import given, wide
from hourglass.bundle import Answered, Bundle, delivered, of_rows
from hourglass.catalog import nearest
from hourglass.errors import DataError, HourglassError, UnknownNameError
from hourglass.schema import Array, Kind

CODE_LENGTH = "code_length_bits"  # name of the column with each row's code length
SURPRISE = "surprise_bits"
ANOMALY = "anomaly"
OUTSIDE = "outside_training_range"
RETURNS = (
    "reconstruction",
    CODE_LENGTH,
    SURPRISE,
    ANOMALY,
    OUTSIDE,
    "shares",
    "surprise_shares",
    "latent",
)
USUAL_RETURNS = RETURNS[:5]
NAMED = 5  # columns outside the training range that an answer names, at most
ENTRY = Path(__file__).with_name("serving_entry.py")  # what MLflow runs instead of unpickling

# What an answer imports, and nothing else: the model installs light.
REQUIREMENTS = ("mlflow", "numpy", "pandas", "safetensors", "scipy", "torch")


@dataclass(frozen=True)
class Asked:
    """What an answer shall hold.

    Attributes:
        returned: Names of `RETURNS`.
        anomaly_share: Share of usual rows that may be called anomalies.
    """

    returned: Sequence[str] = USUAL_RETURNS
    anomaly_share: float = 0.01

    def __post_init__(self) -> None:
        for name in self.returned:
            if name not in RETURNS:
                raise UnknownNameError(
                    f"return: unknown {given.shown(name)}{nearest(str(name), RETURNS)} (known: "
                    f"{', '.join(RETURNS)})"
                )
        if not self.returned:
            raise DataError(f"return names nothing; name some of {', '.join(RETURNS)}")
        if self.anomaly_share is None or not 0 < self.anomaly_share < 1:
            raise DataError(
                f"anomaly_share is {self.anomaly_share}; it must be above 0 and below 1"
            )


@dataclass(frozen=True)
class Answers:
    """What came of rows some of which may be of no use.

    Attributes:
        frame: A row for each that could be answered, in their order.
        at_K: Their positions among the given rows.
        wrong: Position of each other row -> why.
    """

    frame: pd.DataFrame
    at_K: NDArray[np.int64]
    wrong: dict[int, str]


class RawRows(mlflow.pyfunc.PythonModel):  # type: ignore[name-defined,misc]  # lazily loaded upstream
    """Answers for raw rows in original units.

    In: a DataFrame with the features by name in any order (other columns are ignored); images and
    windows also as arrays of their natural shape, (N, height, width, channels) or (N, length,
    channels). Levels are given by name; where the data that the model was trained on had gaps,
    values may be missing: NaN, or what stood for a gap there.
    Out: a DataFrame with what `params["return"]` names:

    - reconstruction: each feature by its name (of a level: the most probable one; where a value was
      missing: what the model fills in).
    - code_length_bits: the bits that the row takes to write down, given what the model says of it.
    - surprise_bits: how unusual the row is, see `Bundle.surprise`; anomalies are ranked by it.
    - anomaly: whether that is more than in all but `params["anomaly_share"]` of validation rows.
    - outside_training_range: names of columns whose value no training row reached; else "".
    - shares: `<feature>_bits`, what each column takes of the code length.
    - surprise_shares: `<feature>_surprise_bits`, what each column takes of the surprise.
    - latent: `latent_1`, ...: the bottleneck.
    """

    def load_context(self, context: Any) -> None:
        """Reads the bundle that was packed with the model."""
        self.bundle = delivered(Path(context.artifacts["bundle"]))

    def predict(
        self,
        context: Any,  # noqa: ARG002  MLflow's interface
        model_input: pd.DataFrame,  # or arrays; MLflow looks at the hint and takes no other
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Reconstructs rows.

        Raises:
            MlflowException: a column is missing or a value is not what the column holds; servers
                answer it with status 400 and the reason.
        """
        params = params or {}
        own = Asked()
        try:
            asked = Asked(
                tuple(params.get("return", own.returned)),
                params.get("anomaly_share", own.anomaly_share),
            )
            return answer(self.bundle, model_input, asked)
        except HourglassError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from error


def answer(bundle: Bundle, rows: Any, asked: Asked | None = None) -> pd.DataFrame:
    """What is asked of each row, see `RawRows`.

    Raises:
        DataError: a column is missing or a value is not what the column holds.
    """
    found = answers(bundle, rows, asked)
    for row, reason in sorted(found.wrong.items()):
        raise DataError(f"row {row} (the first is 0), {reason}")
    return found.frame


def answers(
    bundle: Bundle, rows: Any, asked: Asked | None = None, known: Mapping[int, str] | None = None
) -> Answers:
    """The same where rows that are of no use are told apart.

    Args:
        bundle: The model.
        rows: See `given.read`.
        asked: What of each row.
        known: Positions of rows that are known to be of no use -> why.

    Raises:
        DataError: a column is missing, or the rows have another shape.
    """
    asked = asked or Asked()
    taken = given.read(rows, bundle.schema)
    wrong = taken.wrong | _too_far(bundle, taken) | dict(known or {})
    at_K = np.setdiff1d(np.arange(len(taken.rows_NF)), list(wrong)).astype(np.int64)
    found = bundle.answered(taken.rows_NF[at_K])
    finite_K = np.isfinite(found.reconstruction_NW).all(axis=1) & np.isfinite(found.extra_N)
    if not finite_K.all():
        for row, scaled_F in zip(at_K[~finite_K], found.scaled_NF[~finite_K], strict=True):
            wrong[int(row)] = _far(bundle, taken.rows_NF[row], scaled_F)
        at_K, found = at_K[finite_K], found.take(finite_K)
    frame = _frame(bundle, taken.rows_NF[at_K], found, asked)
    if isinstance(rows, pd.DataFrame):
        frame.index = rows.index[at_K]
    return Answers(frame, at_K, wrong)


def _too_far(bundle: Bundle, taken: given.Given) -> dict[int, str]:
    """Rows with a value that can't be computed with."""
    scaled_NF = bundle.scaler.transform(taken.rows_NF)
    far_NF = np.abs(scaled_NF) > np.finfo(np.float32).max
    rows = [int(r) for r in np.flatnonzero(far_NF.any(axis=1)) if int(r) not in taken.wrong]
    return {row: _far(bundle, taken.rows_NF[row], scaled_NF[row]) for row in rows}


def _far(bundle: Bundle, row_F: Array, scaled_F: NDArray[Any]) -> str:
    column = int(np.nanargmax(np.abs(scaled_F)))
    return (
        f"column {bundle.schema.names[column]!r}: {row_F[column]:g} is so far from the training "
        "rows that it can't be computed with"
    )


def _frame(bundle: Bundle, rows_NF: Array, found: Answered, asked: Asked) -> pd.DataFrame:
    """The columns that are asked for, in the order of `RETURNS`."""
    if bundle.usual is None:
        raise ValueError("the bundle is not calibrated yet")
    names, wanted = Names.of(bundle), set(asked.returned)
    bits_NF = bundle.code_length(rows_NF, found.reconstruction_NW)
    surprise_NF = bundle.surprise(rows_NF, found.reconstruction_NW)
    surprise_N = of_rows(surprise_NF, found.extra_N)
    columns: dict[str, Any] = {}
    if "reconstruction" in wanted:
        columns |= _reconstruction(bundle, found.reconstruction_NW)
    if CODE_LENGTH in wanted:
        columns[names.code_length] = bits_NF.sum(axis=1) + found.extra_N
    if SURPRISE in wanted:
        columns[names.surprise] = surprise_N
    if ANOMALY in wanted:
        columns[names.anomaly] = surprise_N > bundle.usual.threshold(asked.anomaly_share)
    if OUTSIDE in wanted:
        outside_NF = bundle.usual.outside(found.scaled_NF)
        columns[names.outside] = _named(outside_NF, bundle.schema.names)
    if "shares" in wanted:
        columns |= dict(zip(names.shares, bits_NF.T, strict=True))
    if "surprise_shares" in wanted:
        columns |= dict(zip(names.surprise_shares, surprise_NF.T, strict=True))
    if "latent" in wanted:
        columns |= dict(zip(names.latent, found.latent_NL.T, strict=True))
    return pd.DataFrame(columns)


def _reconstruction(bundle: Bundle, reconstruction_NW: Array) -> dict[str, Any]:
    values_NF = wide.collapse(reconstruction_NW, bundle.schema.columns)
    columns: dict[str, Any] = dict(zip(bundle.schema.names, values_NF.T, strict=True))
    for column in bundle.schema.columns:
        if column.kind is Kind.CATEGORICAL:
            codes_N = columns[column.name].astype(int)
            columns[column.name] = np.array(column.levels, object)[codes_N]
    return columns


def _named(outside_NF: NDArray[np.bool_], names: Sequence[str]) -> NDArray[np.object_]:
    """For each row the columns that are marked, as one text; the first ones of many."""
    texts_N = np.full(len(outside_NF), "", dtype=object)
    for row in np.flatnonzero(outside_NF.any(axis=1)):
        at = np.flatnonzero(outside_NF[row])
        more = [f"{len(at) - NAMED} more"] if len(at) > NAMED else []
        texts_N[row] = ", ".join([*(names[f] for f in at[:NAMED]), *more])
    return texts_N


@dataclass(frozen=True)
class Names:
    """Names of an answer's columns beside the features, with underscores where a feature has one.

    They don't depend on what is asked for.
    """

    code_length: str
    surprise: str
    anomaly: str
    outside: str
    shares: tuple[str, ...]
    surprise_shares: tuple[str, ...]
    latent: tuple[str, ...]

    @classmethod
    def of(cls, bundle: Bundle) -> "Names":
        """The names for a bundle's answers."""
        features = bundle.schema.names
        taken = set(features)
        length, surprise, anomaly, outside = _apart(USUAL_RETURNS[1:], taken)
        shares, surprise_shares = (
            tuple(_apart([f"{name}_{what}" for name in features], taken))
            for what in ("bits", SURPRISE)
        )
        latent_dim = bundle.recipe.architecture.latent_dim
        latent = tuple(_apart([f"latent_{i + 1}" for i in range(latent_dim)], taken))
        return cls(length, surprise, anomaly, outside, shares, surprise_shares, latent)


def _apart(names: Iterable[str], taken: set[str]) -> Iterable[str]:
    """Each name, lengthened until it is not taken; then it is."""
    for name in names:
        free = name
        while free in taken:
            free += "_"
        taken.add(free)
        yield free


def example(bundle: Bundle, rows_NF: NDArray[np.float64]) -> pd.DataFrame | NDArray[np.float64]:
    """Rows as a user would give them: levels by name; images and windows in their shape."""
    if bundle.schema.shape is not None and not np.isnan(rows_NF).any():
        return rows_NF.reshape(len(rows_NF), *bundle.schema.shape)
    frame = pd.DataFrame(rows_NF, columns=list(bundle.schema.names))
    for column in bundle.schema.columns:
        if column.kind is Kind.CATEGORICAL:
            names = np.array([*column.levels, None], object)
            codes = frame[column.name].fillna(column.width).astype(int)
            frame[column.name] = names[codes]
    return frame


def signature(bundle: Bundle, anomaly_share: float = Asked.anomaly_share) -> ModelSignature:
    """Inputs by name, any type of number; outputs that come unasked; params.

    Inputs declared as doubles would make MLflow refuse whole numbers (int64), which is how pandas
    reads counts and grey levels; `answer` checks the values itself. Of images and windows no
    inputs are declared: MLflow would let columns or arrays through, not both.
    """
    columns, names, own = bundle.schema.columns, bundle.schema.names, Names.of(bundle)
    any_number = AnyType()  # type: ignore[no-untyped-call]  # untyped upstream
    tabular = bundle.schema.shape is None
    inputs = Signature([ColSpec(any_number, n) for n in names]) if tabular else None
    types = ["string" if c.kind is Kind.CATEGORICAL else "double" for c in columns]
    every = zip(
        [*types, "double", "double", "boolean", "string"],
        [*names, own.code_length, own.surprise, own.anomaly, own.outside],
        strict=True,
    )
    outputs = Signature([ColSpec(kind, name) for kind, name in every])
    params = ParamSchema(
        [
            ParamSpec("return", DataType.string, list(USUAL_RETURNS), shape=(-1,)),
            ParamSpec("anomaly_share", DataType.double, anomaly_share),
        ]
    )
    return ModelSignature(inputs=inputs, outputs=outputs, params=params)


def requirements() -> list[str]:
    """The packages that an answer needs, at the versions installed here."""
    return [f"{name}=={version(name).split('+')[0]}" for name in REQUIREMENTS]
