"""Keeps the state of a fit under way: after a kill it goes on from there, to the very same bytes.

One file, written beside and renamed: SHA-256 in hex, a line's end, then safetensors, with all that
is no tensor as JSON among them. No pickle.
"""

import hashlib
import json
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from hourglass.paths import replacing

log = logging.getLogger(__name__)

# Seconds of a fit that a kill may cost. A state takes milliseconds to write, or a second or two
# where the network is large: a few percent at most.
INTERVAL = 60.0

PLAIN = "plain data as JSON"  # no name of a tensor
HEX_DIGITS = 64


class Checkpoint:
    """The checkpoint of one fit, which calls it at the end of each epoch.

    Args:
        file: Its own, named after all that the fit depends on: a state of other settings, rows or
            code must never be found there.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._saved = time.monotonic()

    def due(self) -> bool:
        """Whether the last state is older than `INTERVAL`."""
        return time.monotonic() - self._saved >= INTERVAL

    def save(self, state: Mapping[str, Any]) -> None:
        """Replaces what was kept.

        Args:
            state: Name -> tensor (of any device and type), or plain data as JSON knows them
                (numbers, texts, lists, dictionaries with texts as keys); floats keep every bit.
        """
        tensors, plain = {}, {}
        for name, value in state.items():
            if isinstance(value, Tensor):
                # Clones: two names of the same memory would be refused.
                tensors[name] = value.detach().cpu().contiguous().clone()
            else:
                plain[name] = value
        tensors[PLAIN] = torch.tensor(list(json.dumps(plain).encode()), dtype=torch.uint8)
        content = save(tensors)
        with replacing(self.file) as beside, beside.open("wb") as file:
            file.write(hashlib.sha256(content).hexdigest().encode() + b"\n")
            file.write(content)
        self._saved = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """What `save` was given last, tensors on the CPU; None if there is nothing to trust."""
        try:
            whole = self.file.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            log.warning("%s can't be read (%s): the fit begins anew", self.file, error.strerror)
            return None
        told, content = whole[:HEX_DIGITS], whole[HEX_DIGITS + 1 :]
        if hashlib.sha256(content).hexdigest().encode() != told:
            log.warning("%s is damaged: the fit begins anew", self.file)
            return None
        state: dict[str, Any] = load(content)
        plain = json.loads(bytes(state.pop(PLAIN).tolist()))
        return {**state, **plain}

    def remove(self) -> None:
        """Ends it: the fit is finished."""
        self.file.unlink(missing_ok=True)
