"""A fit that goes on from a checkpoint ends with the bytes of one that was never interrupted."""

import math
import os
from pathlib import Path

import pytest
import torch
from torch import nn

from hourglass import checkpoints
from hourglass.checkpoints import Checkpoint


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    return Checkpoint(tmp_path / "checkpoints" / "0123")


def train(checkpoint: Checkpoint, epochs: int, stop_after: int | None = None) -> dict:
    """A loop with all that a fit holds: weights, moments, both generators, a curve."""
    torch.manual_seed(0)
    network = nn.Linear(3, 3)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    order = torch.Generator().manual_seed(1)
    rows, curve = torch.linspace(-1, 1, 30).reshape(10, 3), []
    if state := checkpoint.load():
        network.load_state_dict({k: state[k] for k in network.state_dict()})
        for name, weight in network.named_parameters():
            moments = ("step", "exp_avg", "exp_avg_sq")
            optimizer.state[weight] = {m: state[f"{m} of {name}"] for m in moments}
        order.set_state(state["order"])
        torch.set_rng_state(state["noise"])
        curve = state["curve"]
    while len(curve) < epochs:
        if len(curve) == stop_after:
            return {}
        batch = rows[torch.randperm(10, generator=order)[:4]]
        loss = (network(batch + torch.randn(4, 3)) - batch).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        curve.append(loss.item())
        moments = {
            f"{m} of {name}": value
            for name, weight in network.named_parameters()
            for m, value in optimizer.state[weight].items()
        }
        own = {"order": order.get_state(), "noise": torch.get_rng_state(), "curve": curve}
        checkpoint.save({**network.state_dict(), **moments, **own})
    return {**{k: v.tolist() for k, v in network.state_dict().items()}, "curve": curve}


@pytest.mark.parametrize("stop_after", [1, 4, 6])
def test_a_resumed_fit_equals_one_that_was_not_interrupted(checkpoint, tmp_path, stop_after):
    with torch.random.fork_rng(devices=[]):
        whole = train(Checkpoint(tmp_path / "other"), 7)
        train(checkpoint, 7, stop_after)
        assert train(checkpoint, 7) == whole


def test_every_bit_comes_back(checkpoint):
    state = {
        "half": torch.tensor([1.5, -0.0], dtype=torch.bfloat16),
        "whole": torch.arange(4)[::2],
        "empty": torch.zeros(0, 3),
        "none": None,
        "numbers": [0.1 + 0.2, math.inf, 5e-324, 2**70],
        "text": "größer",
        "nested": {"a": [{"b": True}]},
    }
    state["the same memory"] = state["half"]
    checkpoint.save(state)
    found = checkpoint.load()
    assert found.keys() == state.keys()
    for name, value in state.items():
        if isinstance(value, torch.Tensor):
            assert found[name].dtype == value.dtype
            assert found[name].tolist() == value.tolist()
            assert found[name].shape == value.shape
        else:
            assert found[name] == value


def test_what_is_no_plain_data_is_refused_and_the_last_state_stays(checkpoint):
    checkpoint.save({"epoch": 1})
    with pytest.raises(TypeError):
        checkpoint.save({"epoch": object()})
    assert checkpoint.load() == {"epoch": 1}
    assert [f.name for f in checkpoint.file.parent.iterdir()] == ["0123"]


@pytest.mark.parametrize("damage", ["cut", "changed", "empty"])
def test_what_is_not_as_it_was_written_is_not_trusted(checkpoint, caplog, damage):
    checkpoint.save({"weights": torch.ones(8)})
    whole = checkpoint.file.read_bytes()
    changed = whole[:-1] + bytes([whole[-1] ^ 1])
    checkpoint.file.write_bytes({"cut": whole[:-1], "changed": changed, "empty": b""}[damage])
    assert checkpoint.load() is None
    assert caplog.messages == [f"{checkpoint.file} is damaged: the fit begins anew"]


def test_a_fit_without_a_checkpoint_begins_quietly(checkpoint, caplog):
    assert checkpoint.load() is None
    checkpoint.save({"epoch": 1})
    checkpoint.remove()
    checkpoint.remove()
    assert checkpoint.load() is None
    assert not caplog.messages


def test_a_file_that_cannot_be_read_is_named(checkpoint, caplog):
    checkpoint.file.mkdir(parents=True)
    assert checkpoint.load() is None
    assert f"{checkpoint.file} can't be read ({os.strerror(21)})" in caplog.text


def test_a_state_is_due_after_the_interval(checkpoint, monkeypatch):
    assert not checkpoint.due()
    monkeypatch.setattr(checkpoints, "INTERVAL", 0.0)
    assert checkpoint.due()
    monkeypatch.undo()
    checkpoint.save({})
    assert not checkpoint.due()
