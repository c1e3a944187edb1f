"""What a section of the report comes to, in a sentence, and its pictures in words.

Shapes: F features.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hourglass import figures
from hourglass.catalog import listed
from hourglass.evaluation import ByWidth
from hourglass.evidence import LEAST_TRIALS
from hourglass.figures import FAR, Shape
from hourglass.outcome import Findings
from hourglass.remarks import by_density

LAST = 0.1  # of the epochs: what a curve does there is what it would go on doing
ONE_SIDED = 0.5  # a rank correlation from here on says that a setting mattered
NAMED = 6  # losses that a picture's words name


def noise(shapes: Sequence[Shape], best: str) -> str:
    """Whether the outliers that are there are those that the losses assume."""
    assumed = {s.loss: (s.far, far) for s in shapes if (far := s.far_assumed) is not None}
    if not assumed:
        return ""
    more = [loss for loss, (far, expected) in assumed.items() if far > 2 * expected]
    count = "all" if len(more) == len(assumed) else f"{len(more)}" if more else "none"
    said = (
        f"Of the {len(assumed)} losses here that assume noise of one shape {count} met more than "
        f"twice the residuals beyond {FAR:g} standard deviations that they assume"
    )
    if best not in assumed:
        return f"{said}; {best}, the best, assumes no one shape."
    far, expected = assumed[best]
    return f"{said}; {best}, the best: {100 * far:.2g} % found, {100 * expected:.2g} % assumed."


def where_bits_go(found: Findings) -> str:
    """The column in which the selected loss and its nearest rival lie furthest apart."""
    bits, selected, names = found.column_bits, found.decision.selected, found.schema.names
    rivals = [loss for loss in found.order if loss != selected]
    dear = int(np.argmax(bits[selected]))
    costliest = f"the costliest column is {names[dear]} ({bits[selected][dear]:.2f})"
    if not rivals:
        return f"Under {selected} {costliest}."
    saved_F = bits[rivals[0]] - bits[selected]
    most = int(np.argmax(np.abs(saved_F)))
    which = selected if saved_F[most] > 0 else rivals[0]
    return (
        f"{selected} needs fewer bits than {rivals[0]}, its nearest rival, in "
        f"{int((saved_F > 0).sum())} of {len(names)} columns; they lie furthest apart in "
        f"{names[most]}, where {which} saves {abs(saved_F[most]):.2f} bits. "
        f"Under {selected} {costliest}."
    )


def widths(by_width: ByWidth, main: int) -> str:
    """Which loss is best at which width, and where hidden values cost least."""
    fitted = {name: own for name, own in by_width.items() if name != "pca"}
    every = sorted({width for own in fitted.values() for width in own})
    if not every:
        return ""
    best: dict[str, list[str]] = defaultdict(list)
    for width in every:
        at = {name: own[width][0] for name, own in fitted.items() if width in own}
        best[min(at, key=lambda name: at[name])].append(str(width))
    if len(best) == 1:
        shown = f"{next(iter(best))} needs the fewest bits at every width"
    else:
        shown = "The best loss depends on the width: " + "; ".join(
            f"{loss} at {listed(own)}" for loss, own in best.items()
        )
    hidden = {(name, w): own[w][1] for name, own in fitted.items() for w in own}
    name, width = min(hidden, key=lambda key: hidden[key])
    here = ", the width of the verdict" if width == main else ""
    return f"{shown}. Hidden values cost least at a width of {width}{here} ({name})."


def learned(points: Sequence[Mapping[str, Any]], order: Sequence[str], margin: float) -> str:
    """Whether the curves still fall at the end, or have risen."""
    falling, rising = {}, {}
    for loss in order:
        values_ES = figures.by_epoch(points, loss)
        falls, rises = zip(*map(_end, values_ES.T), strict=True)
        falling[loss], rising[loss] = float(np.mean(falls)), float(np.mean(rises))
    still = {loss: fall for loss, fall in falling.items() if fall > margin}
    risen = {loss: rise for loss, rise in rising.items() if rise > margin}
    most = max(falling, key=lambda loss: falling[loss])
    said = (
        f"Still falling at the end: {_amounts(still)} over the last tenth of the epochs; more "
        "train.epochs may help."
        if still
        else "Over the last tenth of the epochs no curve fell by more than "
        f"{max(falling[most], 0.0):.3f} bits ({most}): more of them would hardly help."
    )
    if risen:
        said += (
            f" Higher at the end than at their lowest: {_amounts(risen)}; train.patience keeps the "
            "lowest."
        )
    return said


def _end(values_E: np.ndarray[Any, np.dtype[np.float64]]) -> tuple[float, float]:
    """How far a seed's curve fell over its last epochs, and lies above its lowest."""
    known_E = values_E[~np.isnan(values_E)]
    before = known_E[-1 - max(1, math.floor(LAST * len(known_E))) :][0]
    return float(before - known_E[-1]), float(known_E[-1] - known_E.min())


def _amounts(by_loss: Mapping[str, float]) -> str:
    shown = sorted(by_loss.items(), key=lambda item: -item[1])
    return listed([f"{loss} ({bits:.3f} bits)" for loss, bits in shown])


def settings(told: Sequence[Mapping[str, Any]], key: str) -> str:
    """The setting that mattered most, if any did."""
    if not told:
        return ""
    first = told[0]
    if abs(first[key]) < ONE_SIDED:
        return "No setting pulled the objective clearly one way within what was searched."
    way = "higher" if first[key] < 0 else "lower"
    strong = sum(abs(line[key]) >= ONE_SIDED for line in told)
    return (
        f"{first['setting']} of {first['loss']} mattered most: {way} was better. In {strong} of "
        f"{len(told)} lines the rank correlation reaches {ONE_SIDED:g}."
    )


def too_few(tried: Sequence[Mapping[str, str]]) -> str:
    """Why nothing is said of single settings."""
    complete = [t["loss"] for t in tried if t["state"] == "complete"]
    most = max((complete.count(loss) for loss in set(complete)), default=0)
    if most >= LEAST_TRIALS:
        return "No loss has a setting that was tried at several values in all of its trials."
    return (
        f"Nothing can be said of single settings: no loss had more than {most} good trials, at "
        f"least {LEAST_TRIALS} are needed (search.trials_per_loss)."
    )


def in_words(found: Findings) -> str:
    """The leaderboard's picture."""
    rows = found.rows
    shown = [f"{r['loss']} {r['test']:.3f}, {r['verdict']}" for r in rows[:NAMED]]
    more = f"; {len(rows) - NAMED} more up to {rows[-1]['test']:.3f}" if len(rows) > NAMED else ""
    return (
        f"Two panels. Behind the best on validation rows: up to "
        f"{max(r['difference'] for r in rows):.3f} bits. Test rows, {found.unit}: "
        f"{'; '.join(shown)}{more}; a PCA {found.pca:.3f}."
    )


def columns_in_words(found: Findings) -> str:
    """The picture of bits by column."""
    own = found.column_bits[found.decision.selected]
    dense = any(by_density(c) for c in found.schema.columns)
    below = "; some are coded by a density and may fall below 0" if dense else ""
    return (
        f"Bits of each column for each loss; those of {found.decision.selected} go from "
        f"{own.min():.2f} to {own.max():.2f}{below}."
    )


def curves_in_words(points: Sequence[Mapping[str, Any]], order: Sequence[str]) -> str:
    """The picture of learning curves."""
    last = {loss: float(np.nanmean(figures.by_epoch(points, loss)[-1])) for loss in order}
    low, high = min(last, key=lambda n: last[n]), max(last, key=lambda n: last[n])
    return (
        "Validation bits under a Gauss code by epoch, a line for each loss; they end between "
        f"{last[low]:.3f} ({low}) and {last[high]:.3f} ({high})."
    )


def search_in_words(best: Mapping[str, float], unit: str) -> str:
    """The picture of the trials."""
    low, high = min(best, key=lambda n: best[n]), max(best, key=lambda n: best[n])
    return (
        f"The objective of each trial and the best so far of each loss; the best trials lie "
        f"between {best[low]:.3f} ({low}) and {best[high]:.3f} ({high}) {unit} of validation rows."
    )
