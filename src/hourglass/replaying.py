"""Records the tensor operations of a function once, to be called again without autograd.

What autograd does at each step anew, to walk through Python modules, to note operations and to walk
back through them, is done once. The recorded operations are plain ones of torch, called in their
order; compiled, they are merged into a few.
"""

import logging
import os
import shutil
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.graph import CodeGen

log = logging.getLogger(__name__)

Replay = Callable[..., Sequence[Tensor]]

# What a tracer raises where a function asks for a value (`if tensor > 0`), or does what can't be
# recorded; torch's own bugs in it come as assertions.
_UNTRACEABLE = (RuntimeError, NotImplementedError, AssertionError, TypeError)

_compiled: dict[tuple[Any, ...], Replay] = {}


def record(function: Callable[..., Sequence[Tensor]], arguments: Sequence[Tensor]) -> Replay | None:
    """The operations that `function` does on tensors like `arguments`; None if they can't be told.

    Random numbers are drawn anew at each replay, from the same generators, in the same order.
    """
    recorded = _recorded(function, arguments)
    if recorded is None:
        return None
    replay: Replay = recorded.forward
    return replay


def compile_recorded(
    function: Callable[..., Sequence[Tensor]], arguments: Sequence[Tensor]
) -> Replay | None:
    """The same, compiled; None, said in the log, if that fails. Equal operations compile once."""
    recorded = _recorded(function, arguments)
    if recorded is None:
        return None
    constants = [n for n in recorded.graph.nodes if n.op == "get_attr"]
    shapes = tuple((tuple(a.shape), a.dtype, a.device) for a in arguments)
    key = (recorded.code, shapes, torch.get_num_threads())
    if constants or key not in _compiled:
        made = _compile(recorded, arguments)
        if made is None or constants:
            return made
        _compiled[key] = made
    return _compiled[key]


def compiler(device: torch.device) -> bool:
    """Whether this machine can compile for the device."""
    if device.type == "cuda":
        return torch.utils._triton.has_triton()
    named = (os.environ.get("CXX"), "g++", "c++", "clang++")
    return any(shutil.which(name) for name in named if name)


def capture(step: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
    """A CUDA graph of what `step` does to fixed memory: how to launch it, and where its value is.

    Raises:
        RuntimeError: CUDA refuses.
    """
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # untyped upstream
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # libraries set themselves up at their first calls
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        value = step()
    return graph.replay, value


def _recorded(
    function: Callable[..., Sequence[Tensor]], arguments: Sequence[Tensor]
) -> GraphModule | None:
    devices = {a.device.index for a in arguments if a.device.type == "cuda"}
    try:
        with torch.random.fork_rng(devices=sorted(d for d in devices if d is not None)):
            # It is run, on copies: what it changes in place is not to be changed yet.
            copies = [a.clone() for a in arguments]
            recorded = make_fx(function, _disable_torch_fn_metadata_mode=True)(*copies)
    except _UNTRACEABLE as error:
        log.debug("a step can't be recorded and goes through autograd: %s", error)
        return None
    _tidy(recorded)
    return recorded


def _tidy(recorded: GraphModule) -> None:
    """Leaves out what does nothing: detached views, transposes of transposes, repeated ones."""
    graph, aten = recorded.graph, torch.ops.aten
    transposed: dict[Node, Node] = {}
    for node in list(graph.nodes):
        source = node.args[0] if node.args and isinstance(node.args[0], Node) else None
        if source is None or node.op != "call_function":
            continue
        same: Node | None = None
        if node.target is aten.detach.default:
            same = source
        elif node.target is aten.t.default:
            twice = source.target is aten.t.default and isinstance(source.args[0], Node)
            same = source.args[0] if twice else transposed.get(source)  # type: ignore[assignment]  # a node, seen in `twice`
            transposed.setdefault(source, node)
        if same is not None:
            node.replace_all_uses_with(same)
            graph.erase_node(node)
    graph.eliminate_dead_code()
    graph.set_codegen(CodeGen())  # arguments and results as they are, not nested
    recorded.recompile()


def _compile(recorded: GraphModule, arguments: Sequence[Tensor]) -> Replay | None:
    try:
        with warnings.catch_warnings():
            # torch 2.13: about torch's own scripted modules, when its compiler is imported.
            warnings.filterwarnings("ignore", message=".*torch.jit.*", category=DeprecationWarning)
            import torch._inductor.config as inductor

            # The same random numbers as uncompiled; no pool of compiling processes.
            with inductor.patch(fallback_random=True, compile_threads=1):
                made: Replay = torch.compile(recorded, fullgraph=True, dynamic=False)
                with torch.no_grad(), torch.random.fork_rng(devices=[]):
                    made(*[a.clone() for a in arguments])
    except Exception as error:  # noqa: BLE001  compilers, linkers and torch fail in many ways
        log.warning("compiling a step failed, it runs uncompiled: %s", _first_line(error))
        return None
    return made


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
