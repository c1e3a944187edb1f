"""Which losses compete on these data, and under which scaler each of them does."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from hourglass.errors import LossError
from hourglass.losses import LOSSES, Domain
from hourglass.paths import Paths

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Candidate:
    """A loss and the scaler it is tried under."""

    loss: str
    scaler: str


def choose(
    wanted: Literal["auto"] | Sequence[str],
    scalers: Sequence[str],
    profile: dict[str, Any],
    paths: Paths,
) -> list[Candidate]:
    """The candidates: all that the data admit for "auto", else those wanted, each checked.

    Args:
        wanted: `search.losses`.
        scalers: `normalize.scalers`.
        profile: What preprocess found out about the data, with its advice.
        paths: Where the scaled rows are.

    Raises:
        LossError: a wanted loss isn't admissible; the message says why and what to do.
        UnknownNameError: a wanted loss doesn't exist.
    """
    admissible, left_out = _admissible(scalers, profile)
    if wanted == "auto":
        for name, why in left_out.items():
            log.info("%s is left out: %s", name, why)
        if not admissible:
            raise LossError(
                "params.yaml: normalize.scalers: no loss is admissible on these data with "
                f"{', '.join(scalers)}: add 'standard' or 'unit'"
            )
        return admissible
    alternatives = [c.loss for c in admissible]
    chosen = []
    for i, name in enumerate(wanted):
        where = f"params.yaml: search.losses[{i}]"
        LOSSES.check(name, where)
        if name in wanted[:i]:
            raise LossError(f"{where}: {name!r} is listed twice")
        chosen.append(_checked(name, where, scalers, profile, paths, alternatives))
    return chosen


def _admissible(
    scalers: Sequence[str], profile: dict[str, Any]
) -> tuple[list[Candidate], dict[str, str]]:
    """What the data admit, the simplest first, and why each other loss is left out."""
    found, left_out = [], {}
    for name in sorted(LOSSES.names(), key=lambda n: LOSSES.load(n).rank):
        loss = LOSSES.load(name)
        scaler = _scaler(loss.scalers, scalers, profile)
        advice = profile["domains"][loss.domain.value]
        if scaler is None or advice["status"] != "admissible":
            needed = f"needs scaler {' or '.join(loss.scalers)}"
            left_out[name] = advice["reason"] if scaler else needed
        else:
            found.append(Candidate(name, scaler))
    return found, left_out


def _scaler(suitable: Sequence[str], fitted: Sequence[str], profile: dict[str, Any]) -> str | None:
    """The advised scaler if the loss takes it, else the loss's favourite among those fitted."""
    both = [s for s in suitable if s in fitted]
    return profile["scaler"] if profile["scaler"] in both else next(iter(both), None)


def _checked(
    name: str,
    where: str,
    scalers: Sequence[str],
    profile: dict[str, Any],
    paths: Paths,
    alternatives: Sequence[str],
) -> Candidate:
    loss = LOSSES.load(name)
    needs = "targets in [0, 1]" if loss.domain is Domain.UNIT else "real targets"
    others = ", ".join(a for a in alternatives if a != name)
    instead = f"one of {others}" if others else "another loss"
    scaler = _scaler(loss.scalers, scalers, profile)
    if scaler is None:
        raise LossError(
            f"{where}: {name!r} needs {needs}; normalize.scalers has only {', '.join(scalers)}: "
            f"use scaler {' or '.join(map(repr, loss.scalers))} there, or {instead} here"
        )
    advice = profile["domains"][loss.domain.value]
    outside = _outside(paths, scaler) if loss.domain is Domain.UNIT else ""
    if advice["status"] == "blocked" or outside:
        raise LossError(
            f"{where}: {name!r} needs {needs}, but {outside or advice['reason']}: "
            f"use {instead} (scaler {scaler!r} can't mend this: it knows training rows only)"
        )
    if advice["status"] == "dubious":
        log.warning("%s: %r is dubious here: %s", where, name, advice["reason"])
    return Candidate(name, scaler)


def _outside(paths: Paths, scaler: str) -> str:
    """Names the first scaled value outside [0, 1] among training and validation rows, or ""."""
    for split in ("train", "val"):
        rows_NF = np.load(paths.scaled(scaler, split), mmap_mode="r")
        wrong_NF = (rows_NF < 0) | (rows_NF > 1)
        if wrong_NF.any():
            row, column = np.argwhere(wrong_NF)[0]
            return (
                f"{int(wrong_NF.sum())} of {rows_NF.size} {split} values lie outside after "
                f"scaling (the first: {rows_NF[row, column]:.4g} in column {column} of row {row})"
            )
    return ""
