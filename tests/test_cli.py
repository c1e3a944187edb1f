"""The command line answers people: one clear line, an exit status, and never a traceback."""

import errno
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from hourglass import __version__, config, console
from hourglass.__main__ import main
from hourglass.commands import COMMANDS
from hourglass.commands._parsers import parser_of
from hourglass.config import Params
from hourglass.console import OneLine
from hourglass.errors import DataError
from hourglass.paths import Paths, write_csv, write_json, write_text

ROOT = Path(__file__).parents[1]
LEADERBOARD = [
    {
        "loss": "bce",
        "scaler": "unit",
        "test": 1.23456789,
        "ci_low": 1.2,
        "ci_high": 1.3,
    },
    {"loss": "mse", "scaler": "standard", "test": 1.5, "ci_low": 1.4, "ci_high": 1.6},
]
REST = {"bits_per_feature_masked": 1.1, "rmse": 0.5, "mae": 0.25, "skill_vs_pca": 0.125, "seeds": 5}
REST["verdict"] = "best"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The current folder is a project with our params.yaml."""
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def search(monkeypatch):
    """Puts a function in the place of the stage search."""

    def put(run) -> None:
        module = ModuleType("hourglass.stages.search")
        module.run = run
        monkeypatch.setitem(sys.modules, module.__name__, module)

    return put


def fail_with(error: BaseException):
    def run(params, paths):
        raise error

    return run


def evaluated(root: Path = Path()) -> None:
    """Writes the reports of a finished run."""
    paths = Paths(root)
    metrics = {"test": 1.23456789, "test_pca": 1.75, "ruler": "bits per feature", "rows_test": 270}
    write_text(paths.evaluate("verdict.txt"), "bce needs 0.27 bits fewer than mse.\n")
    chosen = {"selected_loss": "bce", "selected_seed": 4}
    write_json(paths.evaluate("delivered.json"), metrics | chosen)
    rows = [row | REST for row in LEADERBOARD]
    write_csv(paths.evaluate("leaderboard.csv"), rows, list(rows[0]))
    version = {"name": "made", "version": 3, "alias": "champion", "uri": "models:/made@champion"}
    version |= {"champion": 3, "gate": {"said": "version 3 becomes @champion"}}
    write_json(paths.register("version.json"), version)


# --- stages ---------------------------------------------------------------------------------------


def test_a_stage_gets_the_parameters_and_the_paths_of_the_folder(project, search):
    got = []
    search(lambda params, paths: got.append((params, paths.params.resolve())))
    assert main(["search"]) == 0
    params, path = got[0]
    assert isinstance(params, Params)
    assert path == project / "params.yaml"


def test_a_stage_runs_in_the_folder_that_is_named(project, search, monkeypatch, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.chdir(elsewhere)
    seen = []
    search(lambda params, paths: seen.append(Path.cwd()))
    assert main(["-C", str(project), "search"]) == 0
    assert main(["search", "--directory", str(project)]) == 0
    assert seen == [project, project]
    assert Path.cwd() == elsewhere


def test_an_error_of_the_user_is_one_message_without_a_traceback(project, search, capsys):
    search(fail_with(DataError("data/raw/a.csv: column 'b': no number\nuse preprocess.drop")))
    assert main(["search"]) == 2
    assert capsys.readouterr().err == (
        "error: data/raw/a.csv: column 'b': no number\n       use preprocess.drop\n"
    )


def test_a_bug_keeps_its_traceback(project, search):
    search(fail_with(ZeroDivisionError("a bug")))
    with pytest.raises(ZeroDivisionError, match="a bug"):
        main(["search"])


@pytest.mark.parametrize(
    ("number", "said"), [(errno.EACCES, "Permission denied"), (errno.EROFS, "Read-only")]
)
def test_a_place_that_may_not_be_written_is_one_message(project, search, capsys, number, said):
    search(fail_with(OSError(number, said, "reports/search")))
    assert main(["search"]) == 2
    assert capsys.readouterr().err == (
        f"error: reports/search: {said}; mend that and run the same command again\n"
    )


def test_a_file_in_the_place_of_a_folder_is_one_message(project, search, capsys):
    (project / "place").touch()

    def make(*_: object) -> None:
        (project / "place").mkdir(parents=True, exist_ok=True)

    search(make)
    assert main(["search"]) == 2
    assert "place: File exists; mend that" in capsys.readouterr().err


def test_a_full_disk_is_one_message_with_the_remedy(project, search, capsys):
    search(fail_with(OSError(errno.ENOSPC, "No space left on device", "reports/search/best.yaml")))
    assert main(["search"]) == 2
    assert capsys.readouterr().err == (
        "error: the disk is full: reports/search/best.yaml can't be written. Make room and run the "
        "same command again: finished stages and trials are kept\n"
    )


def test_any_other_trouble_with_a_file_keeps_its_traceback(project, search):
    search(fail_with(PermissionError(errno.EACCES, "Permission denied")))
    with pytest.raises(PermissionError):
        main(["search"])


def test_a_broken_pipe_inside_a_stage_is_a_bug_too(project, search):
    search(fail_with(BrokenPipeError()))
    with pytest.raises(BrokenPipeError):
        main(["search"])


# A stage that is interrupted while Lightning fits: it would answer a KeyboardInterrupt itself.
INTERRUPTED = """
import os, sys, time, types
from hourglass.__main__ import main
def run(params, paths):
    import pytorch_lightning as pl
    class Fit(pl.LightningModule):
        def train_dataloader(self):
            os.kill(os.getpid(), NUMBER)
            time.sleep(60)
        def training_step(self, *_): ...
        def configure_optimizers(self): ...
    pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False).fit(Fit())
stage = types.ModuleType("hourglass.stages.search")
stage.run = run
sys.modules[stage.__name__] = stage
sys.argv = ["hourglass", "search"]
sys.exit(main())
"""


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_says_that_work_goes_on_from_here(project, number, status):
    script = INTERRUPTED.replace("NUMBER", str(int(number)))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, check=False
    )
    said = [line for line in done.stderr.splitlines() if "interrupted" in line or "Trace" in line]
    assert said == ["interrupted: run the same command again to continue"]
    assert done.returncode == status


def test_a_wrong_parameter_stops_a_stage_before_it_is_imported(project, capsys):
    text = (project / "params.yaml").read_text().replace("latent_dim: 8", "latent_dim: 0")
    (project / "params.yaml").write_text(text)
    before = set(sys.modules)
    assert main(["train"]) == 2
    assert capsys.readouterr().err == (
        "error: params.yaml: model.latent_dim must be at least 1, got 0\n"
    )
    assert "hourglass.stages.train" not in set(sys.modules) - before


@pytest.mark.parametrize(
    ("stage", "without"),
    [
        ("preprocess", ("torch", "mlflow", "pytorch_lightning", "optuna")),
        ("normalize", ("torch", "mlflow", "pytorch_lightning", "optuna")),
        ("search", ("pytorch_lightning",)),  # its workers import it meanwhile
        ("train", ("pytorch_lightning", "optuna")),
        ("evaluate", ("pytorch_lightning", "optuna")),
        ("register", ("pytorch_lightning", "optuna", "matplotlib")),
    ],
)
def test_a_stage_imports_no_library_that_it_does_not_need(stage, without):
    """Imports are most of a short run."""
    script = f"import sys, hourglass.stages.{stage}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert set(without) & set(done.stdout.split()) == set()


def test_a_folder_without_params_is_named_with_the_remedy(tmp_path, capsys):
    assert main(["-C", str(tmp_path), "search"]) == 2
    assert capsys.readouterr().err == (
        f"error: params.yaml is missing in {tmp_path}: run from the folder that holds it, "
        "or name that folder with `hourglass -C DIR`\n"
    )


def test_a_folder_that_is_not_there_is_named(tmp_path, capsys):
    assert main(["-C", str(tmp_path / "no"), "search"]) == 2
    assert capsys.readouterr().err == (
        f"error: --directory {tmp_path / 'no'}: there is no such folder\n"
    )


# --- what is said while it runs -------------------------------------------------------------------


def talk(params, paths):
    logging.getLogger("hourglass.stages.search").info("8 losses are admissible")
    logging.getLogger("hourglass.search").warning("2 trials failed")
    logging.getLogger("chatty").info("never mind")
    logging.getLogger("chatty").warning("this matters")


def said(capsys) -> list[str]:
    return [line.partition(" ")[2] for line in capsys.readouterr().err.splitlines()]


def test_decisions_are_told_on_one_line_each_and_libraries_only_warn(project, search, capsys):
    logging.getLogger("chatty").setLevel(logging.INFO)
    search(talk)
    assert main(["search"]) == 0
    assert said(capsys) == [
        "search: 8 losses are admissible",
        "search warning: 2 trials failed",
        "chatty warning: this matters",
    ]


@pytest.mark.parametrize("variable", ["RANK", "LOCAL_RANK"])
def test_other_ranks_than_the_first_only_warn(project, search, capsys, monkeypatch, variable):
    monkeypatch.setenv(variable, "1")
    search(talk)
    assert main(["search"]) == 0
    assert "search: 8 losses are admissible" not in said(capsys)
    monkeypatch.setenv(variable, "0")
    assert main(["search"]) == 0
    assert "search: 8 losses are admissible" in said(capsys)


@pytest.mark.parametrize(("terminal", "head"), [(True, "\033[31merror:\033[0m"), (False, "error:")])
def test_colours_appear_on_a_terminal_only(tmp_path, capsys, monkeypatch, terminal, head):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    main(["-C", str(tmp_path), "search"])
    assert capsys.readouterr().err.startswith(f"{head} params.yaml is missing")


@pytest.mark.parametrize("out", [console.say, lambda text: console.complain("error", text)])
def test_names_in_data_do_not_steer_the_terminal(capsys, out):
    out("a\x1b[31mred\x1b]0;title\x07\u202eback\rover\n\tnext")
    said = "".join(capsys.readouterr())
    assert "a\\x1b[31mred\\x1b]0;title\\x07\\u202eback\\rover\n" in said
    assert "\tnext" in said


def test_no_color_is_respected(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    main(["-C", str(tmp_path), "search"])
    assert capsys.readouterr().err.startswith("error: ")


# --- asking wrongly, asking for help --------------------------------------------------------------


def test_an_unknown_command_is_answered_with_the_nearest(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["serach"])
    assert caught.value.code == 2
    assert "unknown 'serach', did you mean 'search'?" in capsys.readouterr().err


def test_no_command_shows_the_help_and_fails(capsys):
    assert main([]) == 2
    assert capsys.readouterr().err.startswith("usage: hourglass")


def test_help_says_what_each_command_does(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert all(name in text and does in text for name, does in COMMANDS.items())


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_says_what_it_takes(capsys, name):
    with pytest.raises(SystemExit) as caught:
        main([name, "--help"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: hourglass {name} ")


def test_a_stage_has_no_options_and_says_where_its_settings_are(project, capsys):
    assert main(["train", "--epochs", "3"]) == 2
    assert capsys.readouterr().err == (
        "error: train takes no '--epochs': its settings are in params.yaml\n"
    )


def test_an_option_that_a_command_lacks_is_named(capsys):
    assert main(["summary", "--jsno"]) == 2
    assert capsys.readouterr().err == (
        "error: summary takes no '--jsno'; `hourglass summary --help` says what it takes\n"
    )


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion_knows_commands_and_their_options(capsys, shell):
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert all(name in script for name in COMMANDS)
    assert "missing-values" in script


def test_the_shell_completes_with_the_script(tmp_path, capsys):
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash")
    assert main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    function = re.search(r"complete .*-F (\w+) hourglass", script).group(1)
    asked = (
        f"{script}\nCOMP_WORDS=(hourglass summ) COMP_CWORD=1\n{function}\necho ${{COMPREPLY[@]}}"
    )
    done = subprocess.run([bash, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["summary"]


def test_version(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"hourglass {__version__}\n"


# --- check ----------------------------------------------------------------------------------------


def test_check_names_data_that_are_not_there(tmp_path, capsys):
    text = (ROOT / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text.replace("path: data/raw ", "path: data/raw/t.cvs "))
    (tmp_path / "data/raw").mkdir(parents=True)
    (tmp_path / "data/raw/t.csv").touch()
    assert main(["-C", str(tmp_path), "check"]) == 2
    assert capsys.readouterr().err == (
        "error: data/raw/t.cvs is missing, did you mean 't.csv'? (data/raw holds t.csv); "
        "mend params.yaml: preprocess.path\n"
    )


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "losses: auto",
            "losses: [mse, bcee]",
            "search.losses[1]: unknown loss 'bcee', did you mean",
        ),
        ("space: {}", "space: {hubber: {}}", "search.space: unknown loss 'hubber', did you mean"),
        ("source: builtin", "source: builtinn", "preprocess.source: unknown source 'builtinn'"),
        ("kind: dense", "kind: dens", "model.kind: unknown model 'dens', did you mean 'dense'?"),
        ("executor: processes", "executor: rey", "search.executor: unknown executor 'rey'"),
    ],
)
def test_check_knows_names_before_anything_runs(tmp_path, capsys, old, new, said):
    text = (ROOT / "params.yaml").read_text()
    assert old in text
    (tmp_path / "params.yaml").write_text(text.replace(old, new, 1))
    assert main(["-C", str(tmp_path), "check"]) == 2
    assert f"error: params.yaml: {said}" in capsys.readouterr().err


def checked(tmp_path, capsys, **changes):
    """What check says of a small table: its status and its line."""
    (tmp_path / "t.csv").write_text("a,b,y,who\n1,2,x,p\n3,4,z,q\n")
    params = config.read_yaml(ROOT / "params.yaml")
    params["preprocess"] |= {"source": "tabular", "path": "t.csv"} | changes
    config.write_yaml(tmp_path / "params.yaml", params)
    status = main(["-C", str(tmp_path), "check"])
    said = capsys.readouterr()
    return status, said.err if status else said.out


def test_check_says_what_would_be_read(tmp_path, capsys):
    assert main(["-C", str(ROOT), "check"]) == 0
    assert capsys.readouterr() == (
        "params.yaml is right; builtin: digits: 1797 rows, images of 8 x 8 x 1 values\n",
        "",
    )
    status, said = checked(tmp_path, capsys, label="y", drop=["who"])
    told = "params.yaml is right; tabular: t.csv: 2 columns (a, b); label y; left out: who\n"
    assert (status, said.splitlines(keepends=True)[0]) == (0, told)


def test_check_warns_of_a_bottleneck_that_can_copy(tmp_path, capsys):
    _, said = checked(tmp_path, capsys, label="y", drop=["who"])
    assert "\nbeware: params.yaml: model.latent_dim 8 is not below the 2 columns" in said
    narrow = config.load(ROOT / "params.yaml").model
    assert (narrow.beware_of_width(9), bool(narrow.beware_of_width(8))) == ("", True)


def test_check_knows_which_data_a_network_is_made_for(tmp_path, capsys):
    text = (ROOT / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text.replace("kind: dense", "kind: temporal", 1))
    (tmp_path / "data/raw").mkdir(parents=True)
    assert main(["-C", str(tmp_path), "check"]) == 2
    said = capsys.readouterr().err
    assert "model.kind: 'temporal' is made for windows of series, but these data are images" in said


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("label", "yy"),
        ("group", "whoo"),
        ("drop", ["whoo"]),
        ("columns", ["aa"]),
        ("kinds", {"aa": "count"}),
    ],
)
def test_check_finds_a_name_that_the_header_lacks(tmp_path, capsys, key, value):
    status, said = checked(tmp_path, capsys, **{key: value})
    assert status == 2
    assert said.startswith(f"error: params.yaml: preprocess.{key}: no ")
    assert ", did you mean " in said


# --- summary --------------------------------------------------------------------------------------


def test_summary_tells_the_verdict_the_leaderboard_and_where_to_look(tmp_path, capsys):
    evaluated(tmp_path)
    assert main(["-C", str(tmp_path), "summary"]) == 0
    assert capsys.readouterr().out == (
        "Verdict: bce needs 0.27 bits fewer than mse.\n"
        "\n"
        "  loss  scaler    test   interval        verdict  hidden values  RMSE    "
        "MAE     skill vs PCA  seeds\n"
        "  bce   unit      1.235  1.200 .. 1.300  best     1.100          0.5000  "
        "0.2500  0.1250        5\n"
        "  mse   standard  1.500  1.400 .. 1.600  best     1.100          0.5000  "
        "0.2500  0.1250        5\n"
        "\n"
        "In the order of validation rows, which choose; the numbers are means over the seeds, of "
        "270 test rows.\n"
        "Delivered: bce, seed 4, with 1.235 bits per feature on them; PCA of the same width: "
        "1.75.\n"
        "\n"
        "Report:     reports/evaluate/report.html\n"
        "Model:      models:/made/3, @champion\n"
        "MLflow UI:  make ui\n"
    )


def test_summary_for_programs_has_numbers(tmp_path, capsys):
    evaluated(tmp_path)
    assert main(["-C", str(tmp_path), "summary", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["verdict"] == "bce needs 0.27 bits fewer than mse."
    assert found["test"] == 1.23456789
    assert found["leaderboard"][0]["ci_low"] == 1.2
    assert found["leaderboard"][0]["loss"] == "bce"
    assert found["model"]["version"] == 3


def test_check_for_programs(capsys):
    assert main(["-C", str(ROOT), "check", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "right": True,
        "reads": "builtin: digits: 1797 rows, images of 8 x 8 x 1 values",
        "beware": "",
    }


def test_summary_repeats_what_evaluate_warned_of(tmp_path, capsys):
    evaluated(tmp_path)
    path = Paths(tmp_path).evaluate("delivered.json")
    write_json(path, json.loads(path.read_text()) | {"beware": "The bottleneck copies noise"})
    assert main(["-C", str(tmp_path), "summary"]) == 0
    assert "\n\nBeware: The bottleneck copies noise\n\n" in capsys.readouterr().out


def test_summary_before_any_run_says_what_to_run(tmp_path, capsys):
    assert main(["-C", str(tmp_path), "summary"]) == 2
    assert capsys.readouterr().err == (
        "error: nothing has been evaluated here yet: run `dvc repro`\n"
    )


def test_summary_without_a_registered_model_says_so(tmp_path, capsys):
    evaluated(tmp_path)
    Paths(tmp_path).register("version.json").unlink()
    assert main(["-C", str(tmp_path), "summary"]) == 0
    assert "Model:      not registered yet: run `dvc repro register`\n" in capsys.readouterr().out


def test_summary_says_why_the_model_is_not_the_champion(tmp_path, capsys):
    evaluated(tmp_path)
    path = Paths(tmp_path).register("version.json")
    said = {"champion": 2, "uri": "models:/made/3", "gate": {"said": "version 2 stays @champion"}}
    write_json(path, {**json.loads(path.read_text()), **said})
    assert main(["-C", str(tmp_path), "summary"]) == 0
    expected = "models:/made/3; the gate: version 2 stays @champion\n"
    assert expected in capsys.readouterr().out


# --- the registry ---------------------------------------------------------------------------------


def test_people_move_the_champion_with_a_reason(project, monkeypatch):
    from hourglass import registry

    asked = []
    monkeypatch.setattr(registry, "promote", lambda _, __, *own: asked.append(own))
    monkeypatch.setattr(registry, "rollback", lambda _, __, *own: asked.append(own))
    assert main(["promote", "3", "--reason", "the customer asked"]) == 0
    assert main(["rollback", "--reason", "it drifts"]) == 0
    assert asked == [(3, "the customer asked"), ("it drifts",)]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["promote", "3"], "the following arguments are required: --reason"),
        (["promote", "--reason", "why"], "the following arguments are required: VERSION"),
        (["promote", "v3", "--reason", "why"], "'v3' is no version (1, 2, ...)"),
        (["promote", "0", "--reason", "why"], "'0' is no version"),
        (["rollback"], "the following arguments are required: --reason"),
    ],
)
def test_what_is_asked_of_the_registry_must_be_whole(project, capsys, words, said):
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    assert said in capsys.readouterr().err


def test_summary_knows_where_people_moved_the_champion(tmp_path, capsys):
    """A regression: after `promote` it still said that the gate had kept the version out."""
    evaluated(tmp_path)
    path = Paths(tmp_path).register("version.json")
    said = {"champion": 2, "gate": {"said": "version 2 stays @champion"}}
    write_json(path, {**json.loads(path.read_text()), **said})
    moved = {"name": "made", "alias": "champion", "version": 3, "how": "promote"}
    write_json(Paths(tmp_path).moved, {**moved, "when": "2026-05-31", "why": "my data"})
    assert main(["-C", str(tmp_path), "summary"]) == 0
    expected = (
        "models:/made/3, @champion; since 2026-05-31 @champion is version 3 (promote: my data)\n"
    )
    assert expected in capsys.readouterr().out


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("path: data/raw ", "path: data/raw/*.csv", "write path: data/raw and files: '*.csv'"),
        ("accelerator: auto ", "accelerator: tpu", "there is no 'tpu' on this machine"),
    ],
)
def test_check_knows_what_would_fail_later(tmp_path, capsys, key, value, said):
    text = (ROOT / "params.yaml").read_text()
    assert key in text
    (tmp_path / "params.yaml").write_text(text.replace(key, f"{value} ", 1))
    (tmp_path / "data" / "raw").mkdir(parents=True)
    assert main(["-C", str(tmp_path), "check"]) == 2
    assert said in capsys.readouterr().err


def test_an_option_that_takes_a_list_may_be_given_twice():
    """A regression: the second --keep took the place of the first."""
    words = ["predict", "a.csv", "b.csv", "--keep", "id", "--keep", "x", "y", "--return", "latent"]
    own = parser_of("predict").parse_args(words[1:])
    assert own.keep == ["id", "x", "y"]
    assert own.returned == ["latent"]


def test_summary_without_its_leaderboard_names_the_stage(tmp_path, capsys):
    evaluated(tmp_path)
    Paths(tmp_path).evaluate("leaderboard.csv").unlink()
    assert main(["-C", str(tmp_path), "summary"]) == 2
    assert capsys.readouterr().err == (
        "error: reports/evaluate/leaderboard.csv is missing: run `dvc repro evaluate` first\n"
    )


# --- as a process ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("command", "status"), [("summary", {141}), ("--help", {0, 141})])
def test_a_reader_that_leaves_early_is_no_error(tmp_path, command, status):
    evaluated(tmp_path)
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "hourglass", "-C", str(tmp_path), command],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    assert done.stderr == ""
    assert done.returncode in status  # argparse itself may notice first


def test_a_further_rank_started_by_the_same_words_finds_the_folder(tmp_path):
    """Lightning's DDP repeats sys.argv in the current folder, after --directory was followed."""
    code = (
        "import json, runpy, sys\n"
        "from types import ModuleType\n"
        "stage = ModuleType('hourglass.stages.train')\n"
        "stage.run = lambda params, paths: print(json.dumps(sys.argv))\n"
        "sys.modules[stage.__name__] = stage\n"
        "sys.argv = ['somewhere/hourglass', '-C', 'project', 'train']\n"
        "runpy.run_module('hourglass', run_name='__main__')\n"
    )
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    program, *rest = json.loads(done.stdout)
    assert rest == ["train"]
    assert Path(program).is_absolute()


@pytest.mark.parametrize(
    ("name", "shown"), [("sources._image_folder", "sources"), ("stages.search", "search")]
)
def test_a_line_of_the_log_names_no_private_module(name, shown):
    record = logging.LogRecord(f"hourglass.{name}", logging.WARNING, "", 0, "hello", (), None)
    line = OneLine("%(what)s: %(message)s").format(record)
    assert line == f"{shown} warning: hello"


def test_a_stage_that_is_given_what_was_made_from_other_rows_says_so(project, capsys):
    """preprocess of other data, and then a later stage alone."""
    own = config.read_yaml(project / "params.yaml")
    own["search"] |= {"losses": ["mse"], "trials_per_loss": 1, "epochs": 1, "executor": "serial"}
    stages = ("preprocess", "normalize", "preprocess", "search")
    for dataset, stage in zip(("wine", "wine", "diabetes", "diabetes"), stages, strict=True):
        own["preprocess"]["dataset"] = dataset
        config.write_yaml(project / "params.yaml", own)
        code = main([stage])
    assert code == 2
    assert "made from other rows" in capsys.readouterr().err


def test_a_sender_that_hangs_does_not_disturb_the_end():
    """A regression: Python's own end stumbled over the finalizers that such a thread makes."""
    code = """
import atexit, sys, threading
from hourglass import __main__, sending

class Hanging(sending.Sender):
    def __init__(self):
        threading.Thread.__init__(self, daemon=True)
    def run(self):
        threading.Event().wait()

if sys.argv.pop() == "hangs":
    Hanging().start()
atexit.register(print, "by Python")
sys.exit(__main__.main())
"""
    for how, ends in (("hangs", False), ("ends", True)):
        command = [sys.executable, "-c", code, "completion", "bash", how]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        assert "hourglass" in done.stdout
        assert ("by Python" in done.stdout) == ends
