"""Opens the store of the search's trials: a SQLite file, or a database on a server."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage
from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from hourglass import patience
from hourglass.errors import ConfigError, StoreError
from hourglass.paths import make_once

optuna.logging.set_verbosity(optuna.logging.WARNING)

# Packages of drivers whose name is not their module's.
DRIVERS = {"psycopg": "psycopg[binary]", "psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient"}
# A server that hangs, or a machine that vanished, becomes an error after seconds: libpq would wait
# for two minutes and more. Options of libpq; what the URL says counts more.
SECONDS = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}


def opened(url: str, root: Path) -> BaseStorage:
    """Opens Optuna's store, making the folder of a SQLite file; a relative file is below `root`.

    Raises:
        ConfigError: the URL can't be opened, or what is there is no store.
    """
    shown = patience.without_password(url)
    remedy = "Mend the address, or start the server"
    try:
        parsed = make_url(url)
        if "@" in str(parsed.host):
            raise ConfigError(
                f"params.yaml: search.storage: {shown!r} has several @: write those of the user's "
                "name and password as %40"
            )
        if parsed.get_backend_name() != "sqlite":
            return _on_server(parsed)
        remedy = "Name another store, or move this one away: the search then begins anew"
        if parsed.database not in (None, "", ":memory:"):
            file = root / str(parsed.database)
            url = f"sqlite:///{quote(str(file))}"
            if not file.exists():  # a kill while tables are made would leave half a store
                make_once(file, _make)
        name = f"the study store at {url}"
        return patience.through_outages(name, url, lambda: optuna.storages.RDBStorage(url))
    except ModuleNotFoundError as error:
        package = DRIVERS.get(str(error.name), error.name)
        raise ConfigError(
            f"params.yaml: search.storage: {shown!r} needs the module {error.name}, which is not "
            f'installed: python -m pip install "{package}"'
        ) from error
    except (SQLAlchemyError, ImportError, OSError, RuntimeError, ValueError) as error:
        raise ConfigError(
            f"params.yaml: search.storage: can't open {shown!r}: {patience.cause(error, url)}. "
            f"{remedy}"
        ) from error


def _make(file: Path) -> None:
    optuna.storages.RDBStorage(f"sqlite:///{quote(str(file))}").engine.dispose()


def _on_server(url: URL) -> BaseStorage:
    """A store on a server: a connection each time, so that none goes stale while trials run."""
    options: dict[str, Any] = {"poolclass": NullPool}
    if url.get_driver_name() in ("psycopg", "psycopg2"):
        options["connect_args"] = {k: v for k, v in SECONDS.items() if k not in url.query}
    with create_engine(url, **options).begin() as connection:
        if url.get_backend_name() == "postgresql":
            # Searches that begin at the same time would all make the tables, and fail.
            connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('hourglass'))"))
        address = url.render_as_string(hide_password=False)
        return optuna.storages.RDBStorage(address, engine_kwargs=options)


def patient(store: BaseStorage) -> patience.Store:
    """The same for calls in the middle of a search: what is away is waited for."""
    return patience.Store(
        what="the study store",
        address=getattr(store, "url", "memory"),
        error=StoreError,
        remedy="Finished trials are kept: mend it and run the same command again",
        raises=(StorageInternalError, SQLAlchemyError, OSError),
    )
