"""The executor ray on a cluster that it joins: lost workers, and nodes that lack something."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import settings

from hourglass import executors, trials
from hourglass.config import Params
from hourglass.errors import ConfigError, TrainingError
from hourglass.executors import Cluster
from hourglass.executors.ray import Home, Ray, _imported, _placed
from hourglass.paths import Paths
from hourglass.provenance import code_version
from hourglass.stages import normalize, preprocess, search
from hourglass.tracking import MemoryTracker
from hourglass.trials import Result, Spec

pytest.importorskip("ray")

HEAD = """
import sys, ray
quiet = {"include_dashboard": False, "logging_level": "ERROR", "_node_ip_address": "127.0.0.1"}
ray.init("local", num_cpus=3, object_store_memory=80 << 20, **quiet)
print(ray.get_runtime_context().gcs_address, flush=True)
sys.stdin.read()
"""


def _as_here() -> dict[str, str]:
    """An environment in which modules are found as in this process."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A cluster with one node, as a batch system would start it: in a task of its own."""
    head = subprocess.Popen(
        [sys.executable, "-c", HEAD],
        env={**_as_here(), "SLURM_PROCID": "3"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with head:
        yield head.stdout.readline().strip()
        head.stdin.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("project")


@pytest.fixture(scope="module")
def ray(address, folder) -> Iterator[Ray]:
    with Ray(2, Cluster(folder, address)) as made:
        yield made


def value(executor: Ray, task, argument):
    future = executor.submit(task, argument)
    executor.wait([future])
    return future.result()


# --- what is lost with a worker -------------------------------------------------------------------


def once_killed(marker: Path) -> int:
    """Kills its worker the first time."""
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


def counted_kill(marker: Path) -> None:
    with marker.open("a") as file:
        file.write("x")
    os.kill(os.getpid(), signal.SIGKILL)


def counted_failure(marker: Path) -> None:
    with marker.open("a") as file:
        file.write("x")
    raise ValueError("no")


def test_a_task_whose_worker_is_killed_runs_again(ray, tmp_path):
    assert value(ray, once_killed, tmp_path / "killed") > 0


def test_a_task_that_kills_each_worker_comes_to_an_end(ray, tmp_path, monkeypatch):
    monkeypatch.setattr("hourglass.executors.ray.ATTEMPTS", 2)
    with pytest.raises(TrainingError, match=r"tries: .*ended without an answer 2 times"):
        value(ray, counted_kill, tmp_path / "tries")
    assert len((tmp_path / "tries").read_text()) == 2
    assert value(ray, len, "ab") == 2  # the others go on


def test_an_exception_of_a_task_is_its_answer(ray, tmp_path):
    with pytest.raises(ValueError, match=r"^no$"):
        value(ray, counted_failure, tmp_path / "tries")
    assert (tmp_path / "tries").read_text() == "x"


def environment(_: None) -> dict[str, str]:
    return dict(os.environ)


def test_a_worker_computes_in_one_thread_on_no_gpu_and_is_alone_in_its_fit(ray):
    seen = value(ray, environment, None)
    assert {seen[k] for k in executors.ONE_THREAD} == {"1"}
    assert seen["CUDA_VISIBLE_DEVICES"] == ""
    assert not [k for k in seen if k.startswith("SLURM_")]  # else rank 3 would save no model


# --- a search -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rows(folder) -> Paths:
    """A small table, ready for search."""
    paths, params = Paths(folder), _params("serial")
    preprocess.run(params, paths)
    normalize.run(params, paths)
    return paths


def _params(executor: str) -> Params:
    return settings.params(
        preprocess={"source": "synthetic", "dataset": "gauss"}
        | {"synthetic": {"rows": 200, "columns": 5}},
        model={"latent_dim": 2, "hidden": [4]},
        search={"losses": ["mse", "mae"], "trials_per_loss": 3, "round_size": 2, "epochs": 2}
        | {"accelerator": "cpu", "executor": executor},
    )


def _searched(params: Params, paths: Paths) -> list[bytes]:
    """Searches from the beginning; the files that people and later stages read."""
    (paths.state / "studies.db").unlink(missing_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "JournalTracker", lambda *_, **__: MemoryTracker())
        search.run(params, paths)
    return [paths.search(name).read_bytes() for name in ("best.yaml", "trials.csv")]


@pytest.fixture(scope="module")
def alone(rows) -> list[bytes]:
    """What the search gives in one process."""
    return _searched(_params("serial"), rows)


@pytest.fixture
def lent(ray, monkeypatch) -> list[tuple]:
    """The stage's executor is the one that runs already; what it was asked for."""
    asked = []
    monkeypatch.setattr(executors, "start", lambda *wanted: asked.append(wanted) or ray)
    monkeypatch.setattr(ray, "close", lambda: None)
    return asked


def test_a_search_on_ray_gives_the_bytes_of_a_serial_one(lent, alone, rows):
    assert _searched(_params("ray"), rows) == alone
    (name, workers, _, cluster) = lent[0]
    assert (name, workers) == ("ray", "auto")
    assert cluster == Cluster(rows.root.resolve(), "", 1, 0)


def killed_under_way(spec: Spec) -> Result:
    """Fits; the first time the worker is killed before it can answer."""
    result = trials.run(spec)
    once_killed(spec.root / "killed")
    return result


def test_a_search_that_loses_a_worker_gives_the_same_bytes(lent, alone, rows, monkeypatch, caplog):
    monkeypatch.setattr("hourglass.search.trials.run", killed_under_way)
    assert _searched(_params("ray"), rows) == alone
    assert "a worker was lost, its fit begins again" in caplog.text


# --- what a node must have ------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path) -> Home:
    (tmp_path / "mark").touch()
    return Home(tmp_path, tmp_path / "mark", code_version())


def test_a_node_like_this_one_is_taken(home):
    assert home.complaint() == ""


def test_a_node_without_the_project_is_named_with_the_remedy(home, tmp_path):
    other = Home(tmp_path / "gone", home.mark, home.code)
    assert f"has no folder {tmp_path / 'gone'}, which holds the project: mount" in other.complaint()


def test_a_node_with_a_copy_of_the_project_is_refused(home, tmp_path):
    home.mark.unlink()
    said = home.complaint()
    assert "is another folder than here" in said
    assert "models would be lost in a copy; mount" in said


def test_a_node_with_another_version_is_refused(home):
    other = Home(home.folder, home.mark, "another")
    assert "install the same environment on every node" in other.complaint()


def test_a_node_that_comes_later_is_checked_too(ray, monkeypatch, tmp_path):
    missing = Home(tmp_path / "gone", tmp_path / "mark", "")
    monkeypatch.setattr(ray, "_home", missing)
    future = ray.submit(once_killed, tmp_path / "killed")
    with pytest.raises(ConfigError, match="has no folder"):
        ray.wait([future, ray.submit(once_killed, tmp_path / "killed too")])
    monkeypatch.undo()
    ray._hire()


def test_the_projects_mark_is_there_while_the_executor_runs(ray):
    assert ray._home.mark.exists()
    assert ray._home.complaint() == ""


@pytest.mark.parametrize(
    ("cpus", "gpus", "places"), [(1, 0, 12), (2, 0, 6), (0.5, 1, 4), (0.1, 0.25, 16), (4, 1, 2)]
)
def test_auto_means_as_many_as_the_nodes_have_room_for(cpus, gpus, places):
    nodes = [
        {"Alive": True, "Resources": {"CPU": 8.0, "GPU": 4.0}},
        {"Alive": True, "Resources": {"CPU": 4.0}},
        {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}},
    ]
    cluster = Cluster(cpus=cpus, gpus=gpus)
    assert _placed(nodes, cluster, None) == places
    assert _placed(nodes, cluster, 3) == 3


def test_a_fit_that_no_node_has_room_for_is_refused_with_the_remedy():
    nodes = [{"Alive": True, "Resources": {"CPU": 8.0}}]
    said = r"no node has the 1 CPUs and 0.5 GPUs .*of the nodes: 8 and 0\): lower ray.cpus or"
    with pytest.raises(ConfigError, match=said):
        _placed(nodes, Cluster(gpus=0.5), 2)
    with pytest.raises(ConfigError, match=said):
        _placed(nodes, Cluster(gpus=0.5, address="auto"), None)


def test_a_cluster_that_may_grow_is_waited_for(caplog):
    assert _placed([], Cluster(address="auto"), 5) == 5
    assert "waiting for nodes to come" in caplog.text


# --- how it begins and ends -----------------------------------------------------------------------


def test_without_ray_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"pip install 'hourglass\[ray\]'$"):
        Ray(1)


def test_an_address_where_nobody_listens_is_refused_at_once():
    with pytest.raises(ConfigError, match=r"ray.address: can't join '127.0.0.1:9': .*refused"):
        Ray(1, Cluster(address="127.0.0.1:9"))


def test_usage_statistics_are_off(monkeypatch):
    monkeypatch.delenv("RAY_USAGE_STATS_ENABLED", raising=False)
    _imported()
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"


def getpid(_: None) -> int:
    return os.getpid()


JOIN_AND_DIE = """
import os, signal, sys, time
from pathlib import Path
from hourglass.executors import Cluster
from hourglass.executors.ray import Ray
from test_executors_ray import getpid, value
if __name__ == "__main__":
    pool = Ray(1, Cluster(Path(sys.argv[1]), sys.argv[2]))
    print(value(pool, getpid, None), flush=True)
    pool.submit(time.sleep, 600)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_workers_end_with_a_coordinator_that_was_killed(address, tmp_path):
    script = tmp_path / "join_and_die.py"
    script.write_text(JOIN_AND_DIE)
    done = subprocess.run(
        [sys.executable, script, tmp_path, address],
        env=_as_here(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    worker = int(done.stdout)
    with contextlib.suppress(ProcessLookupError):
        for _ in range(600):
            os.kill(worker, 0)
            time.sleep(0.1)
        pytest.fail("the worker is still there")
