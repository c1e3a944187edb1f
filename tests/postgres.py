"""A PostgreSQL of our own in a temporary folder, where its programs are installed."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PASSWORD = "open sesame"  # noqa: S105  of a server that lives as long as the tests
USER = "miner"


def programs() -> Path | None:
    """The folder of initdb and postgres, the newest version's; None if there are none."""
    folders = [*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    if found := shutil.which("initdb"):
        folders.append(Path(found).parent)
    whole = (f for f in folders if all((f / p).exists() for p in ("initdb", "pg_ctl", "postgres")))
    return next(whole, None)


def _nobody() -> dict[str, str]:
    """PostgreSQL refuses to run as root."""
    return {"user": "nobody", "group": "nogroup"} if os.geteuid() == 0 else {}


class Postgres:
    """A server on a free port of 127.0.0.1 that asks for a password.

    Attributes:
        port: Of the server.
    """

    def __init__(self, folder: Path) -> None:
        self._bin = programs()
        self._folder = folder / "data"
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        if os.geteuid() == 0:
            shutil.chown(folder, **_nobody())
        secret = folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        self._do(
            "initdb", "-D", str(self._folder), "-U", USER, "-A", "scram-sha-256",
            "--pwfile", str(secret), "--no-sync", "-E", "UTF8", "--locale", "C",
        )  # fmt: skip
        self.start()

    def url(self, database: str = "postgres", password: str = PASSWORD, **query: str) -> str:
        """The address; with an empty password none stands in it."""
        secret = f":{password.replace(' ', '%20')}" if password else ""
        tail = "?" + "&".join(f"{k}={v}" for k, v in query.items()) if query else ""
        return f"postgresql+psycopg://{USER}{secret}@127.0.0.1:{self.port}/{database}{tail}"

    def start(self) -> None:
        """Starts it, and waits until it answers."""
        options = f"-p {self.port} -k '' -c listen_addresses=127.0.0.1 -c fsync=off"
        log = str(self._folder / "log")
        self._do("pg_ctl", "start", "-w", "-D", str(self._folder), "-l", log, "-o", options)

    def stop(self) -> None:
        """Ends it as a crash would: connections break, what was not committed is lost."""
        self._do("pg_ctl", "stop", "-w", "-D", str(self._folder), "-m", "immediate")

    def start_again(self) -> None:
        """Starts it if it is stopped, lets it go on if it stands still."""
        if (self._folder / "postmaster.pid").exists():
            self.thaw()
        else:
            self.start()

    def freeze(self) -> None:
        """Lets it stand still: connections are neither answered nor refused."""
        os.kill(self._pid(), signal.SIGSTOP)

    def thaw(self) -> None:
        """Lets it go on."""
        os.kill(self._pid(), signal.SIGCONT)

    def create(self, database: str) -> str:
        """Makes a database and returns its address."""
        environment = {**os.environ, "PGPASSWORD": PASSWORD}
        command = [
            str(self._bin / "createdb"), "-h", "127.0.0.1", "-p", str(self.port), "-U", USER,
            database,
        ]  # fmt: skip
        subprocess.run(command, env=environment, check=True, capture_output=True)
        return self.url(database)

    def _pid(self) -> int:
        return int((self._folder / "postmaster.pid").read_text().split()[0])

    def _do(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [str(self._bin / program), *arguments],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self._folder.parent,
            **_nobody(),
        )


@contextmanager
def running() -> Iterator[Postgres]:
    """A server for as long as it is needed."""
    # Not below pytest's own folder: only its owner may enter that.
    with tempfile.TemporaryDirectory(prefix="hourglass-postgres-") as folder:
        Path(folder).chmod(0o755)
        server = Postgres(Path(folder))
        try:
            yield server
        finally:
            server.stop()
