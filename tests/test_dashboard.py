"""The dashboard shows the studies at 127.0.0.1, or says in one line why it can't."""

import json
import socket
import sys
import threading
from pathlib import Path

import pytest
import requests
from tests.test_search import finish, study

from hourglass import dashboard, stores
from hourglass.__main__ import main

ROOT = Path(__file__).parents[1]
STORAGE = "sqlite:///.hourglass/studies.db"


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """The current folder is a project with our params.yaml, and nothing was searched yet."""
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def searched(project) -> Path:
    """The same after a search."""
    finish(study(stores.opened(STORAGE, project), name="huber 0123"))
    return project


def test_it_shows_the_studies_and_only_here(searched):
    with dashboard.server(STORAGE, searched, 0) as running:
        assert running.server_address[0] == "127.0.0.1"
        threading.Thread(target=running.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{running.server_port}"
        try:
            studies = requests.get(f"{address}/api/studies", timeout=20).json()
            assert "<html" in requests.get(f"{address}/dashboard/", timeout=20).text.lower()
        finally:
            running.shutdown()
    assert "huber 0123" in json.dumps(studies)


def test_the_command_takes_the_store_of_params_and_the_port(searched, monkeypatch):
    asked = []
    monkeypatch.setattr(dashboard, "serve", lambda *arguments: asked.append(arguments))
    assert main(["dashboard", "--port", "8123"]) == 0
    assert main(["dashboard"]) == 0
    assert asked == [(STORAGE, Path(), 8123), (STORAGE, Path(), 8080)]


def test_ctrl_c_ends_it_without_a_word(searched, monkeypatch, capsys):
    def interrupt(_) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("wsgiref.simple_server.WSGIServer.serve_forever", interrupt)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert main(["dashboard", "--port", str(port)]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert f"dashboard: the studies are shown at http://127.0.0.1:{port} (Ctrl-C ends it)" in line


def test_before_the_first_search_it_says_so_and_makes_no_file(project, capsys):
    assert main(["dashboard"]) == 2
    assert capsys.readouterr().err == (
        f"error: there is no study yet in {STORAGE} (params.yaml: search.storage): run `hourglass "
        "search` first, or `dvc repro`\n"
    )
    assert not (project / ".hourglass").exists()


def test_a_store_without_a_study_is_said_too(project, capsys):
    stores.opened(STORAGE, project)
    assert main(["dashboard"]) == 2
    assert "there is no study yet in" in capsys.readouterr().err


def test_without_the_package_it_says_what_to_install(searched, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna_dashboard", None)
    assert main(["dashboard"]) == 2
    assert capsys.readouterr().err == (
        "error: dashboard needs optuna-dashboard, which is not installed: python -m pip install "
        "optuna-dashboard\n"
    )


def test_a_taken_port_is_named_with_another(searched, capsys):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert main(["dashboard", "--port", str(port)]) == 2
    err = capsys.readouterr().err
    assert f"error: --port {port} is taken: name another, such as --port {port + 1}" in err


@pytest.mark.parametrize("port", ["0", "65536", "http", "-1", "8080.0"])
def test_what_is_no_port_is_refused(project, capsys, port):
    with pytest.raises(SystemExit):
        main(["dashboard", f"--port={port}"])
    assert f"'{port}' is no port (1 to 65535)" in capsys.readouterr().err


def test_other_commands_take_no_port(project, capsys):
    assert main(["search", "--port", "8123"]) == 2
    assert "search takes no '--port': its settings are in params.yaml" in capsys.readouterr().err


def test_a_store_that_cannot_be_opened_is_named_without_its_password(project, capsys):
    params = project / "params.yaml"
    address = "postgresql+psycopg://anna:sesame@127.0.0.1:9/studies"
    params.write_text(params.read_text().replace(STORAGE, address))
    assert main(["dashboard"]) == 2
    err = capsys.readouterr().err
    assert "can't open 'postgresql+psycopg://anna:***@127.0.0.1:9/studies'" in err
    assert "sesame" not in err
