"""Finds the modules of a folder by name: adding a file adds an entry, nothing else is edited."""

import difflib
import importlib
import pkgutil
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from typing import Generic, TypeVar, cast

from hourglass.errors import UnknownNameError

T = TypeVar("T")

SHOWN = 12  # names that a message lists before it says how many more there are


def nearest(name: str, known: Iterable[str]) -> str:
    """Returns ", did you mean 'x'?" for the known name closest to `name`, or an empty string."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f", did you mean {close[0]!r}?" if close else ""


def listed(names: Sequence[str]) -> str:
    """Names for a message; long lists are cut."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def column_names(names: Sequence[str]) -> str:
    """Names of columns for a message; those that hold a comma or a semicolon stand in quotes."""
    return listed([repr(name) if set(name) & set(",;") else name for name in names])


def counted(count: int, what: str) -> str:
    """A number of things: "1 cell", "3 cells"."""
    return f"{count} {what}{'s' * (count != 1)}"


class Catalog(Generic[T]):
    """The entries of one package: entry `x` is the object `attribute` of module `package.x`.

    Modules are imported only when they are loaded, so listing names costs nothing.

    Args:
        package: Dotted name of the package, for example "hourglass.losses".
        what: What one entry is called in messages, for example "loss".
        attribute: Name of the object that each module defines.
    """

    def __init__(self, package: str, what: str, attribute: str) -> None:
        self.package = package
        self.what = what
        self.attribute = attribute

    def names(self) -> tuple[str, ...]:
        """All entries in alphabetical order; modules that begin with an underscore are not."""
        spec = find_spec(self.package)  # without running the package, which may import torch
        path = (spec and spec.submodule_search_locations) or []
        return tuple(sorted(m.name for m in pkgutil.iter_modules(path) if m.name[0] != "_"))

    def check(self, name: str, where: str = "") -> str:
        """Returns `name` if it is known.

        Raises:
            UnknownNameError: it is not; `where` says where the name was read.
        """
        known = self.names()
        if name not in known:
            place = f"{where}: " if where else ""
            raise UnknownNameError(
                f"{place}unknown {self.what} {name!r}{nearest(name, known)} "
                f"(known: {', '.join(known)})"
            )
        return name

    def load(self, name: str) -> T:
        """Imports the module of `name` and returns its entry.

        Raises:
            UnknownNameError: no such module.
        """
        module = importlib.import_module(f"{self.package}.{self.check(name)}")
        return cast(T, getattr(module, self.attribute))
