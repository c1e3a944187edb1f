"""Which columns are features, and which the label, the group, the time and the weight."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from hourglass.catalog import column_names, nearest
from hourglass.config import Preprocess
from hourglass.errors import DataError, UnknownNameError
from hourglass.sources._table import check_names

ROLES = ("label", "group", "time", "weight")


def roles(options: Preprocess) -> dict[str, str]:
    """The roles that params.yaml gives to columns: role -> column."""
    named = {role: str(getattr(options, role)) for role in ROLES}
    return {role: name for role, name in named.items() if name}


def select(
    names: Sequence[str], options: Preprocess, where: str, others: Sequence[str] = ()
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Chooses the features among the columns.

    Args:
        names: All columns.
        options: `columns` and `drop` name columns or give patterns; `label`, `group`, `time` and
            `weight` name one column each.
        where: Of the columns, for messages.
        others: Names that are no columns but may have a role.

    Returns:
        The features in the order of `names`, and for each column that is left out the reason.

    Raises:
        UnknownNameError: an option names no column, or a pattern matches none.
        DataError: columns without a name or with the same name, or none is left.
    """
    check_names(names, where)
    dropped: dict[str, str] = {}
    for role, name in roles(options).items():
        if name not in names and name not in others:
            raise _unknown(role, f"no column {name!r}", name, [*names, *others], where)
        if name in names:
            dropped.setdefault(name, f"named in preprocess.{role}")
    for name in _matching("drop", options.drop, names, where):
        dropped.setdefault(name, "named in preprocess.drop")
    if options.columns:
        chosen = set(_matching("columns", options.columns, names, where))
        for name in names:
            if name not in chosen:
                dropped.setdefault(name, "not named in preprocess.columns")
    features = tuple(name for name in names if name not in dropped)
    if not features:
        reasons = ", ".join(dict.fromkeys(dropped.values()))
        left = "the only column is" if len(names) == 1 else f"all {len(names)} columns are"
        raise DataError(
            f"{where}: no feature is left: {left} left out ({reasons}); "
            "leave at least one in (params.yaml: preprocess)"
        )
    return features, dropped


def _matching(key: str, entries: Sequence[str], names: Sequence[str], where: str) -> list[str]:
    """The columns that the entries name; an exact name wins over a pattern."""
    known = set(names)
    found = []
    for entry in entries:
        some = [entry] if entry in known else [n for n in names if fnmatchcase(n, entry)]
        if not some:
            pattern = any(c in entry for c in "*?[")
            what = f"no column matches {entry!r}" if pattern else f"no column {entry!r}"
            raise _unknown(key, what, entry, names, where)
        found += some
    return found


def _unknown(key: str, what: str, asked: str, known: Sequence[str], where: str) -> UnknownNameError:
    return UnknownNameError(
        f"params.yaml: preprocess.{key}: {what} in {where}{nearest(asked, known)} "
        f"(columns: {column_names(known)})"
    )
