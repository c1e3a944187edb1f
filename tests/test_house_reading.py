"""The readers behind test_house.py see what they should, on small made-up stages and packages."""

import sys
from pathlib import Path

import grimp
import pytest

import house

PACKAGE = {
    "__init__": "",
    "errors": "",
    "catalog": "from house_made.errors import E",
    "kinds/__init__": "from house_made.catalog import C",
    "kinds/one": "from house_made import ruler",
    "kinds/two": "",
    "ruler": "import house_made.errors",
    "unused": "",
    "search": "def f():\n    from house_made.kinds import K",
    "stages/__init__": "",
    "stages/find": "from house_made import search",
}
PLUMBING = frozenset(f"house_made{m}" for m in ("", ".errors", ".catalog", ".stages"))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A small package, and the graph of its imports."""
    root = tmp_path_factory.mktemp("made")
    for name, source in PACKAGE.items():
        path = root / "src" / "house_made" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    sys.path.insert(0, str(root / "src"))
    yield root, grimp.build_graph("house_made", cache_dir=None)
    sys.path.remove(str(root / "src"))


def needed(made):
    return house.imported("house_made.stages.find", made[1], PLUMBING)


def src(*names: str) -> list[str]:
    return [f"src/house_made/{name}" for name in names]


def test_imports_are_followed_through_functions_and_catalogs(made):
    below = {"stages.find", "search", "kinds", "kinds.one", "kinds.two", "ruler"}
    assert needed(made) == {f"house_made.{name}" for name in below}


def test_true_deps_are_accepted_by_folder_or_by_file(made):
    files = src("stages/find.py", "search.py", "ruler.py")
    assert house.difference(needed(made), [*files, *src("kinds")], made[0]) == []
    kinds = src("kinds/__init__.py", "kinds/one.py", "kinds/two.py")
    assert house.difference(needed(made), [*files, *kinds], made[0]) == []


def test_an_import_behind_a_catalog_that_deps_forget_is_named(made):
    deps = src("stages/find.py", "search.py", "kinds")
    assert house.difference(needed(made), deps, made[0]) == [
        "imports src/house_made/ruler.py, which deps do not cover"
    ]


@pytest.mark.parametrize("idle", ["unused.py", "errors.py"])
def test_a_dep_that_is_not_imported_or_is_plumbing_is_named(made, idle):
    deps = src("stages/find.py", "search.py", "kinds", "ruler.py", idle)
    assert house.difference(needed(made), deps, made[0]) == [
        f"deps hold src/house_made/{idle}, but src/house_made/{idle} is not imported"
    ]


def test_a_folder_of_which_only_a_part_is_imported_is_no_dep(made):
    deps = src("stages", "search.py", "kinds", "ruler.py")
    assert house.difference(needed(made), deps, made[0]) == [
        "deps hold src/house_made/stages, but src/house_made/stages/__init__.py is not imported"
    ]


def test_a_key_read_from_params_counts_alone():
    read, escapes = house.reads("def run(params, paths):\n    f(params.search.losses)")
    assert read == {"search.losses"}
    assert escapes == []


@pytest.mark.parametrize("use", ["f(params.model)", "m = params.model", "params.model.copy()"])
def test_a_section_handed_on_or_renamed_counts_whole(use):
    read, _ = house.reads(f"def run(params, paths):\n    {use}")
    assert read == {f"model.{key}" for key in house.KEYS["model"]}


def test_the_section_register_goes_by_its_name_in_the_file():
    read, _ = house.reads("def run(params, paths):\n    f(params.register_.alias)")
    assert read == {"register.alias"}


def test_keys_without_effect_on_results_do_not_count():
    read, _ = house.reads("def run(params, paths):\n    f(params.search)")
    assert "search.losses" in read
    assert not read & {"search.workers", "search.executor", "search.storage"}


def test_params_are_followed_into_functions_of_the_stage():
    run = "def run(params, paths):\n    _do(params, paths)\n"
    source = run + "def _do(params, paths):\n    f(params.model.kind)"
    assert house.reads(source) == ({"model.kind"}, [])


def test_params_that_leave_the_stage_are_named_by_line():
    assert house.reads("def run(params, paths):\n    elsewhere.plan(params)") == (set(), [2])


def test_a_listed_section_stands_for_all_its_keys(tmp_path):
    (tmp_path / "dvc.yaml").write_text(
        "stages:\n"
        "  search:\n"
        "    params: [model, search.losses]\n"
        "    outs: [a, b: {persist: true}]\n"
        "    metrics: [c: {cache: false}]\n"
    )
    stage = house.stages(tmp_path / "dvc.yaml")["search"]
    assert house.listed_params(stage) == {f"model.{k}" for k in house.KEYS["model"]} | {
        "search.losses"
    }
    assert house.outs(stage) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("data/interim", "data/interim/test", True),
        ("data/interim/test", "data/interim", True),
        ("data/interim/test", "data/interim/train", False),
        ("data/interim", "data/interim2", False),
    ],
)
def test_paths_overlap_if_one_lies_in_the_other(one, other, same):
    assert house.overlap(one, other) is same


def test_every_module_has_its_file():
    assert house.file_of("hourglass.stages") == Path("src/hourglass/stages/__init__.py")
    assert house.file_of("hourglass.errors") == Path("src/hourglass/errors.py")
