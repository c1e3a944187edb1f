"""Which losses compete on these data, and under which scalers each of them is tried."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from hourglass.catalog import listed
from hourglass.config import Losses, SomeLosses
from hourglass.errors import LossError
from hourglass.losses import LOSSES, Domain
from hourglass.moments import slices
from hourglass.paths import Paths
from hourglass.schema import Kind, Schema, searched_kind

log = logging.getLogger(__name__)


MOST = 32  # candidates: losses of several kinds of columns multiply
# The losses that columns of a kind may have beside the searched ones; the first is the default.
HEADS = {
    Kind.BINARY: ("bce",),
    Kind.CATEGORICAL: ("cross_entropy",),
    Kind.COUNT: ("negative_binomial", "poisson"),
}


@dataclass(frozen=True)
class Candidate:
    """The losses of a model and the scalers it is tried under.

    Attributes:
        loss: Of the searched columns, see `schema.searched_kind`.
        scalers: The advised one first.
        heads: (kind, loss) of the columns of each other kind.
        name: The loss; where several losses compete for another kind, with that one's.
    """

    loss: str
    scalers: tuple[str, ...]
    heads: tuple[tuple[str, str], ...] = ()
    name: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name or self.loss)


def rank(candidate_name: str) -> int:
    """Simplicity of a candidate; among tied ones the smallest rank is selected."""
    main, *others = (LOSSES.load(loss).rank for loss in candidate_name.split("+"))
    return 1000 * main + sum(others)


def assumption(candidate_name: str) -> str:
    """The noise that a candidate assumes, for people."""
    return " and ".join(LOSSES.load(loss).assumes for loss in candidate_name.split("+"))


@dataclass(frozen=True)
class Wanted:
    """What params.yaml asks for.

    Attributes:
        losses: `search.losses`.
        scalers: `normalize.scalers`.
        every_scaler: Whether each loss tries all of them that suit it.
    """

    losses: Losses
    scalers: Sequence[str]
    every_scaler: bool


def choose(
    wanted: Wanted, schema: Schema, profile: dict[str, Any], paths: Paths
) -> list[Candidate]:
    """The candidates: all that the data admit for "auto", else those wanted, each checked.

    Args:
        wanted: What params.yaml asks for.
        schema: The columns.
        profile: What preprocess found out about the data, with its advice.
        paths: Where the scaled rows are.

    Raises:
        LossError: a wanted loss isn't admissible; the message says why and what to do.
        UnknownNameError: a wanted loss doesn't exist.
    """
    main = searched_kind(schema.columns)
    by_kind: dict[str, SomeLosses] = {main.value: "auto"}
    place = "search.losses"
    if isinstance(wanted.losses, dict):
        by_kind.update({str(kind): own for kind, own in wanted.losses.items()})
        place += f".{main.value}"
    else:
        by_kind[main.value] = wanted.losses
    present = {c.kind.value for c in schema.columns}
    for kind in by_kind:
        if kind not in present:
            raise LossError(
                f"params.yaml: search.losses.{kind}: no column is {kind} "
                f"(there are {', '.join(sorted(present))} ones)"
            )
    heads = [
        [(kind.value, loss) for loss in _heads(kind, by_kind.get(kind.value, "auto"), profile)]
        for kind in Kind
        if kind is not main and kind.value in present
    ]
    several: set[str] = {kind for options in heads if len(options) > 1 for kind, _ in options}
    domains = _domains(main, profile)
    rows = _Rows(paths, schema)
    chosen = _searched(by_kind.get(main.value, "auto"), place, wanted, profile, domains, rows)
    found = [
        Candidate(
            c.loss, c.scalers, combination, "+".join([c.loss, *_varying(combination, several)])
        )
        for c in chosen
        for combination in product(*heads)
    ]
    if len(found) > MOST:
        raise LossError(
            f"params.yaml: search.losses: {len(found)} combinations of losses, each with its own "
            f"trials, are more than {MOST}; list fewer losses for one of the kinds"
        )
    return found


def _varying(combination: Sequence[tuple[str, str]], several: set[str]) -> list[str]:
    return [loss for kind, loss in combination if kind in several]


def _heads(kind: Kind, wanted: SomeLosses, profile: dict[str, Any]) -> Sequence[str]:
    """Losses of the columns of a kind that the searched loss does not serve."""
    known = HEADS[kind]
    if wanted == "auto":
        return (profile.get("heads", {}).get(kind.value, known[0]),)
    for i, name in enumerate(wanted):
        where = f"params.yaml: search.losses.{kind.value}[{i}]"
        LOSSES.check(name, where)
        if name not in known:
            raise LossError(
                f"{where}: {name!r} does not suit {kind.value} columns beside others; "
                f"use {' or '.join(known)}"
            )
        if name in wanted[:i]:
            raise LossError(f"{where}: {name!r} is listed twice")
    return wanted


def _domains(main: Kind, profile: dict[str, Any]) -> dict[Domain, tuple[str, str]]:
    """For each domain whether losses on it are admissible for the searched columns, and why."""
    found = {
        Domain(name): (own["status"], own["reason"])
        for name, own in profile["domains"].items()
        if name in (Domain.REAL, Domain.UNIT)
    }
    levels = main is Kind.CATEGORICAL
    if levels:
        found = dict.fromkeys(found, ("blocked", "all columns hold levels without order"))
    counts = main is Kind.COUNT
    found[Domain.COUNT] = (
        ("admissible", "every searched column counts something")
        if counts
        else ("blocked", f"the searched columns are {main.value}, no counts")
    )
    found[Domain.LEVELS] = (
        ("admissible", "all columns hold levels without order")
        if levels
        else ("blocked", f"the searched columns are {main.value}, no levels")
    )
    return found


Domains = Mapping[Domain, tuple[str, str]]


@dataclass(frozen=True)
class _Rows:
    """Scaled rows, of which the searched columns count."""

    paths: Paths
    schema: Schema

    def outside(self, scaler: str) -> str:
        """Names the first value outside [0, 1] among training and validation rows, or ""."""
        main = searched_kind(self.schema.columns)
        at = [f for f, c in enumerate(self.schema.columns) if c.kind is main]
        for split in ("train", "val"):
            rows_NF = np.load(self.paths.scaled(scaler, split), mmap_mode="r")
            wrong, first, start = 0, "", 0
            for part_BF in slices(rows_NF):
                wrong_BC = (part_BF[:, at] < 0) | (part_BF[:, at] > 1)
                wrong += int(wrong_BC.sum())
                if wrong and not first:
                    row, i = np.argwhere(wrong_BC)[0]
                    value, name = part_BF[row, at[i]], self.schema.names[at[i]]
                    first = f"the first: {value:.4g} in column {name!r} of row {start + row}"
                start += len(part_BF)
            if wrong:
                return (
                    f"{wrong} of {len(rows_NF) * len(at)} {split} values lie outside after "
                    f"scaling ({first})"
                )
        return ""


def _searched(
    losses: SomeLosses,
    place: str,
    wanted: Wanted,
    profile: dict[str, Any],
    domains: Domains,
    rows: _Rows,
) -> list[Candidate]:
    """The losses that compete for the searched columns."""
    admissible, left_out = _admissible(wanted, profile, domains)
    if losses == "auto":
        for name, why in left_out.items():
            log.info("%s is left out: %s", name, why)
        if not admissible:
            raise LossError(
                "params.yaml: normalize.scalers: no loss is admissible on these data with "
                f"{', '.join(wanted.scalers)}: add 'standard' or 'unit'"
            )
        return admissible
    alternatives = [c.loss for c in admissible]
    chosen = []
    for i, name in enumerate(losses):
        where = f"params.yaml: {place}[{i}]"
        LOSSES.check(name, where)
        if name in losses[:i]:
            raise LossError(f"{where}: {name!r} is listed twice")
        scalers = _scalers(LOSSES.load(name).scalers, wanted, profile)
        _check(name, where, wanted.scalers, scalers, domains, alternatives, rows)
        chosen.append(Candidate(name, scalers))
    return chosen


def _admissible(
    wanted: Wanted, profile: dict[str, Any], domains: Domains
) -> tuple[list[Candidate], dict[str, str]]:
    """What the data admit, the simplest first, and why each other loss is left out."""
    found, left_out = [], {}
    for name in sorted(LOSSES.names(), key=lambda n: LOSSES.load(n).rank):
        loss = LOSSES.load(name)
        scalers = _scalers(loss.scalers, wanted, profile)
        status, reason = domains[loss.domain]
        if not scalers or status != "admissible":
            needed = f"needs scaler {' or '.join(loss.scalers)}"
            left_out[name] = reason if scalers else needed
        else:
            found.append(Candidate(name, scalers))
    return found, left_out


def _scalers(suitable: Sequence[str], wanted: Wanted, profile: dict[str, Any]) -> tuple[str, ...]:
    """The fitted scalers that suit a loss: the advised one first, then by the loss's liking."""
    both = [s for s in suitable if s in wanted.scalers]
    ordered = sorted(both, key=lambda s: s != profile["scaler"])
    return tuple(ordered if wanted.every_scaler else ordered[:1])


NEEDS = {
    Domain.REAL: "real targets",
    Domain.UNIT: "targets in [0, 1]",
    Domain.COUNT: "counts",
    Domain.LEVELS: "levels",
}


def _check(
    name: str,
    where: str,
    fitted: Sequence[str],
    scalers: Sequence[str],
    domains: Domains,
    alternatives: Sequence[str],
    rows: _Rows,
) -> None:
    """Refuses a wanted loss that these data don't admit."""
    loss = LOSSES.load(name)
    needs = NEEDS[loss.domain]
    others = ", ".join(a for a in alternatives if a != name)
    instead = f"one of {others}" if others else "another loss"
    if not scalers:
        raise LossError(
            f"{where}: {name!r} needs {needs}; normalize.scalers has only {', '.join(fitted)}: "
            f"use scaler {' or '.join(map(repr, loss.scalers))} there, or {instead} here"
        )
    status, reason = domains[loss.domain]
    outside = ""
    if status != "blocked" and loss.domain is Domain.UNIT:
        outside = next(filter(None, (rows.outside(s) for s in scalers)), "")
    if status == "blocked" or outside:
        shown = listed([repr(s) for s in scalers])
        hint = f" (scaler {shown} can't mend this: it knows training rows only)" if outside else ""
        raise LossError(
            f"{where}: {name!r} needs {needs}, but {outside or reason}: use {instead}{hint}"
        )
    if status == "dubious":
        log.warning("%s: %r is dubious here: %s", where, name, reason)
