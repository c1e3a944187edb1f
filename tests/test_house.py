"""dvc.yaml, STAGES, params.yaml, MLproject, the command line and the sources say the same."""

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import grimp
import pytest
from dvc.utils.serialize import modify_yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import house
from hourglass import config, outcome
from hourglass.commands import COMMANDS
from hourglass.stages import STAGES
from house import ROOT

DVC_YAML = ROOT / "dvc.yaml"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PINNED = re.compile(r"^([\w.-]+)==([\w.]+)$", re.MULTILINE)
GPU = ("nvidia-", "cuda-", "triton")  # what builds of torch for GPUs add, pinned by torch itself
# Run, or named in an address; never imported.
COMMANDS_ONLY = {"dvc", "onnx", "onnxruntime", "onnxscript", "optuna-dashboard", "psycopg"}


# --- one word names a stage everywhere ------------------------------------------------------------


def test_dvc_runs_the_stages_in_their_order():
    assert tuple(house.stages(DVC_YAML)) == STAGES


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_is_run_by_its_own_command(name):
    assert house.stages(DVC_YAML)[name]["cmd"] == f"python -m hourglass {name}"


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_module_shows_its_command_and_has_a_section_in_params(name):
    source = (ROOT / "src" / "hourglass" / "stages" / f"{name}.py").read_text(encoding="utf-8")
    assert f"hourglass {name}" in source
    assert name in config.read_yaml(ROOT / "params.yaml")


def test_no_module_among_the_stages_is_without_its_stage():
    modules = {p.stem for p in (ROOT / "src/hourglass/stages").glob("*.py")}
    assert modules == {*STAGES, "__init__"}


def test_the_command_line_knows_the_stages_in_their_order():
    assert tuple(name for name in COMMANDS if name in STAGES) == STAGES


def test_every_command_has_a_module_and_every_module_a_command():
    modules = {p.stem for p in (ROOT / "src/hourglass/commands").glob("[!_]*.py")}
    assert modules == set(COMMANDS) - set(STAGES)


def test_mlproject_runs_the_pipeline_or_up_to_one_stage():
    project = config.read_yaml(ROOT / "MLproject")
    assert project["name"] == "hourglass"
    assert project["entry_points"]["main"]["command"].endswith("dvc repro")
    assert project["entry_points"]["stage"]["command"].endswith("dvc repro {name}")
    assert list(project["entry_points"]["stage"]["parameters"]) == ["name"]


def test_mlflow_makes_its_environment_from_the_pinned_packages():
    environment = config.read_yaml(ROOT / config.read_yaml(ROOT / "MLproject")["python_env"])
    assert environment["dependencies"] == ["-r constraints.txt"]
    assert PROJECT["requires-python"] == f">={environment['python']}"


# --- DVC watches what a stage reads ---------------------------------------------------------------


@pytest.mark.parametrize("name", STAGES)
def test_params_in_dvc_yaml_are_those_the_stage_reads(name):
    source = (ROOT / house.file_of(f"hourglass.stages.{name}")).read_text(encoding="utf-8")
    read, escapes = house.reads(source)
    listed = house.listed_params(house.stages(DVC_YAML)[name])
    sections = [{key.partition(".")[0] for key in keys} for keys in (read, listed)]
    assert escapes == [], "a stage hands on sections of params, or what it reads can't be known"
    assert sections[0] == sections[1], "sections read, sections listed"
    assert read - listed == set(), "read, but DVC does not watch them"


@pytest.mark.parametrize("name", STAGES)
def test_params_in_dvc_yaml_exist_and_have_an_effect_on_results(name):
    known = {f"{section}.{key}" for section, keys in house.KEYS.items() for key in keys}
    listed = house.listed_params(house.stages(DVC_YAML)[name])
    assert listed <= known
    assert listed & config.NO_EFFECT_ON_RESULTS == set(), "a change would run the stage for nothing"


@pytest.mark.parametrize("name", STAGES)
def test_deps_in_dvc_yaml_are_the_files_the_stage_imports(name):
    needed = house.imported(f"hourglass.stages.{name}", house.graph(), house.PLUMBING)
    deps = house.names(house.stages(DVC_YAML)[name]["deps"])
    listed = [d for d in deps if d.startswith("src/")]
    assert house.difference(needed, listed) == []


# --- stages meet only in files --------------------------------------------------------------------


def test_a_stage_reads_what_earlier_stages_wrote():
    written = ["${preprocess.path}"]  # the user's own data, wherever they are
    for name, stage in house.stages(DVC_YAML).items():
        inputs = [d for d in house.names(stage["deps"]) if not d.startswith("src/")]
        unknown = [i for i in inputs if not any(house.overlap(i, w) for w in written)]
        assert unknown == [], f"{name} reads what no earlier stage writes"
        written += house.outs(stage)


def test_no_two_stages_write_the_same_file():
    written = [(name, o) for name, s in house.stages(DVC_YAML).items() for o in house.outs(s)]
    clashes = [(a, b) for a in written for b in written if a < b and house.overlap(a[1], b[1])]
    assert clashes == []


def test_test_rows_are_opened_by_evaluate_and_register_only():
    readers = {
        name
        for name, stage in house.stages(DVC_YAML).items()
        if any(house.overlap(d, house.TEST_ROWS) for d in house.names(stage["deps"]))
    }
    assert "evaluate" in readers
    assert readers <= {"evaluate", "register"}


# --- experiments ----------------------------------------------------------------------------------


def test_an_experiment_changes_its_own_line_of_params_only(tmp_path):
    """`dvc exp run -S` writes the file anew; what it would lay out differently is laid out so."""
    path = tmp_path / "params.yaml"
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    path.write_text(text, encoding="utf-8")
    with modify_yaml(path) as params:
        params["search"]["trials_per_loss"] += 1
    before = params["search"]["trials_per_loss"] - 1
    old, new = (f"trials_per_loss: {n} " for n in (before, before + 1))
    assert path.read_text(encoding="utf-8") == text.replace(old, new)


def test_metrics_and_plots_are_kept_with_each_experiment():
    """git ignores reports/: what DVC does not cache either is lost to `dvc exp show`."""
    uncached = [
        f"{name}: {out}"
        for name, stage in house.stages(DVC_YAML).items()
        for kind in ("outs", "metrics", "plots")
        for out in stage.get(kind, [])
        if isinstance(out, dict) and any(o.get("cache") is False for o in out.values())
    ]
    assert uncached == []


def test_the_plotted_point_and_interval_of_the_leaderboard_are_of_one_quantity():
    """A regression: bits_per_feature stood between the ends of the interval of another ruler."""
    plots = [p for p in config.read_yaml(DVC_YAML)["plots"] if isinstance(p, dict)]
    (board,) = [own for p in plots for own in p.values() if own["template"] == "interval_by_loss"]
    template = (ROOT / ".dvc/plots/interval_by_loss.json").read_text(encoding="utf-8")
    columns = set(re.findall(r'"field": "(ci_\w+)"', template))
    assert (board["x"], columns) == ("test", {"ci_low", "ci_high"})
    assert {"test", *columns} <= set(outcome.LEADERBOARD)
    assert "bits" not in board["title"], "the ruler may be another one"


# --- the environment ------------------------------------------------------------------------------


def test_help_imports_nothing_heavy():
    heavy = {"torch", "numpy", "pandas", "mlflow", "optuna", "pydantic", "ruamel", "rich"}
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "hourglass", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    modules = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "argparse" in modules
    assert {m.partition(".")[0] for m in modules} & heavy == set()


def _pins() -> dict[str, str]:
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    return {canonicalize_name(name): version for name, version in PINNED.findall(text)}


def _requirements() -> list[tuple[str, Requirement]]:
    """(who requires, what) for the project with its dev tools and all below, as installed here."""
    direct = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]
    open_, seen, found = [("hourglass", Requirement(r)) for r in direct], set(), []
    while open_:
        by, requirement = open_.pop()
        name = canonicalize_name(requirement.name)
        found.append((by, requirement))
        for extra in {"", *requirement.extras}:
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            for text in importlib.metadata.requires(name) or []:
                below = Requirement(text)
                if below.marker is None or below.marker.evaluate({"extra": extra}):
                    open_.append((name, below))
    return [(by, r) for by, r in found if not canonicalize_name(r.name).startswith(GPU)]


def test_constraints_pin_every_package_that_is_required():
    missing = {f"{r.name} (for {by})" for by, r in _requirements()}
    missing -= {f"{r.name} (for {by})" for by, r in _requirements() if _is_pinned(r)}
    assert missing == set(), "run `make constraints`"


def _is_pinned(requirement: Requirement) -> bool:
    return canonicalize_name(requirement.name) in _pins()


def test_constraints_satisfy_every_requirement():
    pins = _pins()
    wrong = [
        f"{by} needs {r}, pinned: {pins[name]}"
        for by, r in _requirements()
        if (name := canonicalize_name(r.name)) in pins
        and not r.specifier.contains(pins[name], prereleases=True)
    ]
    assert wrong == []


def test_every_import_is_a_requirement_and_every_requirement_is_imported():
    imports = grimp.build_graph("hourglass", include_external_packages=True, cache_dir=None)
    outside = {m.partition(".")[0] for m in imports.modules} - {"hourglass"}
    by_import = importlib.metadata.packages_distributions()
    used = {
        frozenset(map(canonicalize_name, by_import.get(name, [name])))
        for name in outside - sys.stdlib_module_names
    }
    extras = [r for name, e in PROJECT["optional-dependencies"].items() if name != "dev" for r in e]
    required = {canonicalize_name(Requirement(r).name) for r in PROJECT["dependencies"] + extras}
    assert [sorted(u) for u in used if not u & required] == [], "imported, not required"
    assert required - {n for u in used for n in u} - COMMANDS_ONLY == set(), "required for nothing"


def test_the_tests_run_with_every_extra():
    extras = PROJECT["optional-dependencies"]
    lacking = {r for e in extras.values() for r in e} - set(extras["dev"])
    assert lacking == set()


def test_readme_shows_the_two_commands():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "make repro" in readme
    assert "make test" in readme


def test_dvc_sends_nothing_and_asks_nobody():
    dvc_config = (ROOT / ".dvc" / "config").read_text(encoding="utf-8")
    assert "analytics = false" in dvc_config
    assert "check_update = false" in dvc_config
    assert "remote" not in dvc_config


def test_no_file_names_a_package_index():
    host = re.compile(r"pypi\W|pythonhosted|download\.pytorch|index[-_]url|find[-_]links", re.I)
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    naming = [
        name
        for name in files.split("\0")
        if (path := ROOT / name).is_file()
        and path != Path(__file__)
        and host.search(path.read_text(encoding="utf-8", errors="ignore"))
    ]
    assert naming == []
