"""What dvc.yaml says and what the sources do: files imported and parameters read, found by AST."""

import ast
from functools import cache
from pathlib import Path
from typing import Any

import grimp

from hourglass.config import NO_EFFECT_ON_RESULTS, Params, read_yaml

ROOT = Path(__file__).parents[1]
TEST_ROWS = "data/interim/test"

# Plumbing parses, names and locates; it can't change a number, so DVC need not watch it.
PLUMBING = frozenset(
    {
        "hourglass",
        "hourglass.__main__",
        "hourglass.catalog",
        "hourglass.commands",
        "hourglass.config",
        "hourglass.console",
        "hourglass.dashboard",
        "hourglass.errors",
        "hourglass.paramschema",
        "hourglass.paths",
        "hourglass.patience",
        "hourglass.stages",
        "hourglass.stores",
        "hourglass.summary",
    }
)

SECTIONS = {f.alias or name: f.annotation for name, f in Params.model_fields.items()}
KEYS = {s: tuple(section.model_fields) for s, section in SECTIONS.items()}
ALIASES = {name: f.alias or name for name, f in Params.model_fields.items()}


# --- what dvc.yaml says ---------------------------------------------------------------------------


def stages(dvc_yaml: Path) -> dict[str, dict[str, Any]]:
    """The stages in their order."""
    return read_yaml(dvc_yaml)["stages"]


def names(entries: list[Any]) -> list[str]:
    """Paths or keys of a list whose entries are names, or a name with options."""
    return [e if isinstance(e, str) else next(iter(e)) for e in entries]


def outs(stage: dict[str, Any]) -> list[str]:
    """Everything that a stage writes."""
    return [n for kind in ("outs", "metrics", "plots") for n in names(stage.get(kind, []))]


def listed_params(stage: dict[str, Any]) -> set[str]:
    """`section.key` of everything in `params`; a section that is named alone gives all its keys."""
    found = set()
    for entry in stage.get("params", []):
        section, _, key = entry.partition(".")
        found |= {entry} if key else {f"{section}.{k}" for k in KEYS.get(section, ("?",))}
    return found


def overlap(one: str, other: str) -> bool:
    """Whether two paths are the same, or one lies in the other."""
    a, b = Path(one), Path(other)
    return a.is_relative_to(b) or b.is_relative_to(a)


# --- parameters that a stage reads ----------------------------------------------------------------


class _Reads(ast.NodeVisitor):
    """Collects `params.section[.key]`, and places where `params` as a whole leaves the module."""

    def __init__(self, tree: ast.Module) -> None:
        functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]
        self.takers = {f.name for f in functions if any(a.arg == "params" for a in _arguments(f))}
        self.read: set[str] = set()
        self.escapes: list[int] = []
        self.visit(tree)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        match node:
            case ast.Attribute(value=ast.Attribute(value=ast.Name("params"), attr=name), attr=key):
                section = ALIASES.get(name, name)
                keys = KEYS.get(section, ())
                self.read |= {f"{section}.{k}" for k in ([key] if key in keys else keys or "?")}
            case ast.Attribute(value=ast.Name("params"), attr=name):
                section = ALIASES.get(name, name)
                self.read |= {f"{section}.{k}" for k in KEYS.get(section, "?")}
            case _:
                self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Name) and node.func.id in self.takers:
            given = [*node.args, *(k.value for k in node.keywords)]
            for argument in given:
                if not (isinstance(argument, ast.Name) and argument.id == "params"):
                    self.visit(argument)
        else:
            self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        if node.id == "params":
            self.escapes.append(node.lineno)


def _arguments(function: ast.FunctionDef) -> list[ast.arg]:
    return [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]


def reads(source: str) -> tuple[set[str], list[int]]:
    """`section.key` of all that a stage reads, and lines that pass `params` whole to other modules.

    A section that is passed on or renamed counts with all its keys. Keys without effect on results
    are left out.
    """
    found = _Reads(ast.parse(source))
    return found.read - NO_EFFECT_ON_RESULTS, found.escapes


# --- modules that a stage imports -----------------------------------------------------------------


@cache
def graph(package: str = "hourglass") -> grimp.ImportGraph:
    """All imports of a package, those inside functions too."""
    return grimp.build_graph(package, exclude_type_checking_imports=True, cache_dir=None)


def imported(module: str, imports: grimp.ImportGraph, plumbing: frozenset[str]) -> set[str]:
    """`module` and all it imports, directly or not, without plumbing.

    Importing a module runs the packages it lies in, and a package with a catalog may load any of
    its modules by name.
    """
    found: set[str] = set()
    new = {module}
    while new:
        name = new.pop()
        found.add(name)
        near = set(imports.find_modules_directly_imported_by(name))
        near |= {name.rpartition(".")[0]} - {""}
        if _has_catalog(name, imports):
            near |= set(imports.find_children(name))
        new |= near - found - (plumbing - {module})
    return found - plumbing


def _has_catalog(name: str, imports: grimp.ImportGraph) -> bool:
    catalog = f"{name.partition('.')[0]}.catalog"
    return catalog in imports.modules and bool(
        imports.find_children(name)
        and imports.direct_import_exists(importer=name, imported=catalog)
    )


def file_of(module: str, root: Path = ROOT) -> Path:
    """The file of a module, relative to the root."""
    path = Path("src", *module.split("."))
    return path / "__init__.py" if (root / path).is_dir() else path.with_suffix(".py")


def difference(needed: set[str], listed: list[str], root: Path = ROOT) -> list[str]:
    """What is imported and not listed, or listed and not imported; empty if they agree."""
    files = {file_of(m, root) for m in needed}
    paths = [Path(p) for p in listed]
    missing = {f for f in files if not any(f.is_relative_to(p) for p in paths)}
    complaints = [f"imports {f}, which deps do not cover" for f in sorted(missing)]
    for path in paths:
        below = (root / path).rglob("*.py") if (root / path).is_dir() else [root / path]
        idle = {f.relative_to(root) for f in below} - files
        complaints += [f"deps hold {path}, but {f} is not imported" for f in sorted(idle)]
    return complaints
