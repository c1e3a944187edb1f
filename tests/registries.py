"""A model registry in memory that counts the calls that change it, and can be killed at one."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST

from hourglass.registry import Registry

NAME = "a model"


class Killed(BaseException):
    """What a kill looks like from inside."""


@dataclass
class Client:
    """The part of MlflowClient that registries use."""

    tags: dict[int, dict[str, str]] = field(default_factory=dict)
    descriptions: dict[int, str] = field(default_factory=dict)
    aliases: dict[str, int] = field(default_factory=dict)
    kill_at: int | None = None
    changes: int = 0

    def _change(self) -> None:
        if self.changes == self.kill_at:
            raise Killed
        self.changes += 1

    def search_model_versions(self, query: str) -> list[Any]:
        assert query == f"name = '{NAME}'"
        return [
            SimpleNamespace(name=NAME, version=str(n), tags=dict(tags), run_id=f"run {n}")
            for n, tags in self.tags.items()
        ]

    def get_registered_model(self, name: str) -> Any:
        if not self.tags:
            raise MlflowException(f"no {name}", RESOURCE_DOES_NOT_EXIST)
        return SimpleNamespace(aliases={k: str(v) for k, v in self.aliases.items()})

    def set_model_version_tag(self, _: str, version: str, key: str, value: str) -> None:
        self._change()
        self.tags[int(version)][key] = value

    def update_model_version(self, _: str, version: str, description: str) -> None:
        self._change()
        self.descriptions[int(version)] = description

    def set_registered_model_alias(self, _: str, alias: str, version: str) -> None:
        self._change()
        self.aliases[alias] = int(version)


def make(versions: int, uri: str = "http://a-server", alias: str = "champion") -> Registry:
    """A registry whose versions hold a bundle each: b1, b2, ..."""
    client = Client({n: {"hourglass.bundle": f"b{n}"} for n in range(1, versions + 1)})
    return Registry(SimpleNamespace(client=client, uri=uri), NAME, alias)


def state(registry: Registry) -> tuple[Any, ...]:
    """What the registry holds, without the times of moves."""
    client = registry.client
    moves = [(m.number, m.start, m.end, m.how, m.why) for m in registry.moves()]
    own = {
        n: {k: v for k, v in tags.items() if not k.startswith("hourglass.move.")}
        for n, tags in client.tags.items()
    }
    return client.aliases, own, client.descriptions, moves
