"""Why the verdict is what it is: noise beside what was assumed, rows that stand out, settings.

Shapes: N rows, F features, G places of a grid.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp
from scipy.stats import spearmanr

from hourglass import wide
from hourglass.bundle import Bundle
from hourglass.figures import Shape
from hourglass.losses import Domain, Loss, Range
from hourglass.losses._heads import Heads
from hourglass.moments import evenly
from hourglass.schema import Column, Kind, searched_kind

Array = NDArray[np.float64]

SHAPE_ROWS, SHAPE_COLUMNS = 2000, 64  # of which residuals are drawn
SHOWN_TO = 8.0  # standard deviations to either side
INTEGRATED_TO = 60.0  # the same, for the area under an assumed density
LEAST_TRIALS = 4  # that a correlation is computed from
AT_AN_END = 0.05  # of a range, on its scale
WIDER = 4.0  # times the end of a range
COSTLIEST = 3  # columns that are named of a row


def shapes(bundles: Mapping[str, Bundle], rows_NF: Array) -> list[Shape]:
    """Residuals on some rows beside what each loss assumes, in scaled units.

    Of a loss l over residuals r the assumed density is proportional to exp(-k l(r)): what it is the
    negative log-likelihood of, up to the width that k stands for, which is fitted by maximum
    likelihood. Columns of other kinds than the searched one have losses of their own: left out.

    Args:
        bundles: Loss -> a trained model.
        rows_NF: Rows in original units.
    """
    some_NF = rows_NF[evenly(len(rows_NF), SHAPE_ROWS)]
    found = (_shape(name, bundle, some_NF) for name, bundle in bundles.items())
    return [shape for shape in found if shape is not None]


def _shape(name: str, bundle: Bundle, rows_NF: Array) -> Shape | None:
    columns = bundle.schema.columns
    main = searched_kind(columns)
    if main in (Kind.CATEGORICAL, Kind.BINARY):
        return None
    every = np.array([f for f, c in enumerate(columns) if c.kind is main])
    at_F = every[evenly(len(every), SHAPE_COLUMNS)]
    starts = np.array([place.start for place in wide.slices(columns)])
    scaler = bundle.scaler
    target_NF = scaler.transform(rows_NF)
    answer_NW = scaler.widened(bundle.schema).transform(bundle.reconstruct(rows_NF))
    residual_NF = (target_NF - answer_NW[:, starts])[:, at_F]
    pooled = residual_NF[~np.isnan(residual_NF)]
    spread = float(pooled.std()) if len(pooled) else 0.0
    if not spread > 0:
        return None
    place_G = np.linspace(-SHOWN_TO, SHOWN_TO, 321)
    loss = _searched_loss(bundle)
    assumed_G = None
    if loss.domain is Domain.REAL:
        of_main = np.searchsorted(every, at_F)
        assumed_G = _assumed(loss, len(every), of_main, residual_NF, spread * place_G) * spread
    return Shape(name, pooled / spread, place_G, assumed_G)


def _searched_loss(bundle: Bundle) -> Loss:
    if not isinstance(bundle.loss, Heads):
        return bundle.loss
    main = searched_kind(bundle.schema.columns)
    kinds = list(dict.fromkeys(c.kind for c in bundle.schema.columns))
    loss, _, _ = bundle.loss.parts()[kinds.index(main)]
    return loss


def _assumed(
    loss: Loss, features: int, at_F: NDArray[np.intp], residual_NF: Array, place_G: Array
) -> Array:
    """The density of residuals that the loss assumes, the mean over the columns, (G,)."""

    def cost(residual_XF: Array) -> Array:
        """The loss of residuals, whichever column they are of, (X, F)."""
        padded = np.zeros((len(residual_XF), features))
        padded[:, at_F] = residual_XF
        target = torch.tensor(padded, dtype=torch.float32)
        with torch.inference_mode():
            values = loss.elementwise(torch.zeros_like(target), target)
        return values.numpy().astype(np.float64)[:, at_F]

    def everywhere(place_X: Array) -> Array:
        return cost(np.repeat(place_X[:, None], len(at_F), axis=1))

    seen_NF = ~np.isnan(residual_NF)
    paid_NF = cost(np.nan_to_num(residual_NF))
    reach = INTEGRATED_TO / SHOWN_TO * np.abs(place_G).max()
    # Finer where the mass is: steps grow with the distance.
    wide_X = reach * np.sign(t := np.linspace(-1, 1, 1201)) * np.abs(t) ** 3
    width_X = np.gradient(wide_X)
    cost_XF = everywhere(wide_X)

    def log_area(k: float) -> Array:
        return np.asarray(logsumexp(-k * cost_XF, b=width_X[:, None], axis=0))

    def nats(log_k: float) -> float:
        k = float(np.exp(log_k))
        return float(np.mean((k * paid_NF + log_area(k))[seen_NF]))

    k = float(np.exp(minimize_scalar(nats, bounds=(-8.0, 14.0), method="bounded").x))
    density_GF = np.exp(-k * everywhere(place_G) - log_area(k))
    return np.asarray(density_GF.mean(axis=1))


@dataclass(frozen=True)
class Standout:
    """A row that shows what the model finds easy or hard.

    Attributes:
        at: Its place among the rows given.
        which: "easy", "typical" or "hard".
        bits: Its code length.
        costliest: (column, value, reconstruction, bits) of the columns that cost most.
    """

    at: int
    which: str
    bits: float
    costliest: Sequence[tuple[str, str, str, float]]


def standouts(bundle: Bundle, rows_NF: Array, each: int) -> list[Standout]:
    """The rows with the shortest, the middle and the longest code, `each` of them.

    Args:
        bundle: The delivered model.
        rows_NF: Rows in original units.
        each: How many of each sort; fewer if there are not so many rows.
    """
    answer_NW, extra_N = bundle.written(rows_NF)
    bits_NF = bundle.code_length(rows_NF, answer_NW)
    bits_N = bits_NF.sum(axis=1) + extra_N
    order, count = np.argsort(bits_N, kind="stable"), len(rows_NF)
    each = min(each, count // 3)
    middle = (count - each) // 2
    chosen = {
        "easy": order[:each],
        "typical": order[middle : middle + each],
        "hard": order[count - each :][::-1],
    }
    answer_NF = wide.collapse(answer_NW, bundle.schema.columns)
    found = []
    for which, at_K in chosen.items():
        for at in at_K:
            top = np.argsort(-bits_NF[at], kind="stable")[:COSTLIEST]
            named = [
                (
                    bundle.schema.columns[f].name,
                    _text(rows_NF[at, f], bundle.schema.columns[f]),
                    _text(answer_NF[at, f], bundle.schema.columns[f]),
                    float(bits_NF[at, f]),
                )
                for f in top
                if not np.isnan(rows_NF[at, f])
            ]
            found.append(Standout(int(at), which, float(bits_N[at]), named))
    return found


def _text(value: float, column: Column) -> str:
    if column.kind is not Kind.CATEGORICAL:
        return f"{value:.4g}"
    known = 0 <= value < len(column.levels)
    return column.levels[int(value)] if known else "(a level that was not known)"


def settings(
    tried: Sequence[Mapping[str, str]], names: Sequence[str], losses: Sequence[str]
) -> list[dict[str, Any]]:
    """How much each hyperparameter mattered to each loss, the strongest first.

    Spearman's rank correlation with the objective needs no model of the search; it sees what rises
    or falls, not a best value in the middle: the best trial's value stands beside it.

    Args:
        tried: Lines of trials.csv.
        names: Of the columns that hold hyperparameters.
        losses: Those to tell of.
    """
    rows = []
    for loss in losses:
        own = [t for t in tried if t["loss"] == loss and t["state"] == "complete"]
        objective = [float(t["objective"]) for t in own]
        for name in names:
            values = [_number(t[name]) for t in own]
            known = [v for v in values if v is not None]
            if len(known) < max(LEAST_TRIALS, len(values)) or min(known) == max(known):
                continue
            rows.append(
                {
                    "loss": loss,
                    "setting": name,
                    "tried": f"{min(known):.3g} to {max(known):.3g}",
                    "best trial": f"{known[int(np.argmin(objective))]:.3g}",
                    "rank correlation": float(spearmanr(known, objective).statistic),
                    "trials": len(known),
                }
            )
    return sorted(rows, key=lambda row: -abs(row["rank correlation"]))


def edges(
    tried: Sequence[Mapping[str, str]], candidate: str, ranges: Mapping[str, Range]
) -> list[str]:
    """Says of each hyperparameter whose best value lies at an end of its range that it does.

    Args:
        tried: Lines of trials.csv.
        candidate: Whose trials are looked at.
        ranges: The hyperparameters of its loss.
    """
    loss = candidate.partition("+")[0]
    own = [t for t in tried if t["loss"] == candidate and t["state"] == "complete"]
    best = min(own, key=lambda t: float(t["objective"]))
    return [
        f"The best trial of {candidate} had {name} {float(best[name]):.3g}, at the {end} end of "
        f"what was searched ({range_.low:g} to {range_.high:g}): a wider range may hold a better "
        f"one (search.space: {{{loss}: {{{name}: [{low:.3g}, {high:.3g}]}}}})."
        for name, range_ in ranges.items()
        for end, low, high in _end(float(best[name]), range_)
    ]


def _end(value: float, range_: Range) -> list[tuple[str, float, float]]:
    """The end that a value lies at, and a wider range; nothing where it lies inside."""
    low, high = range_.low, range_.high
    if range_.log:
        place = math.log(value / low) / math.log(high / low)
        wider = low / WIDER, high * WIDER
    else:
        place = (value - low) / (high - low)
        wider = low - (high - low), high + (high - low)
    if place < AT_AN_END:
        return [("lower", wider[0], high)]
    return [("upper", low, wider[1])] if place > 1 - AT_AN_END else []


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None
