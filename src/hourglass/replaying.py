"""Records the tensor operations of a function once, to be called again without autograd.

What autograd does at each step anew, to walk through Python modules, to note operations and to walk
back through them, is done once. The recorded operations are plain ones of torch, called in their
order; compiled, they are merged into a few.
"""

import logging
import os
import shutil
import warnings
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.fx import Graph, GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.graph import CodeGen
from torch.fx.node import map_arg

log = logging.getLogger(__name__)

Function = Callable[..., Sequence[Tensor]]

# What a tracer raises where a function asks for a value (`if tensor > 0`), or does what can't be
# recorded; torch's own bugs in it come as assertions.
_UNTRACEABLE = (RuntimeError, NotImplementedError, AssertionError, TypeError)

_aten = torch.ops.aten
_FILLED = {_aten.ones_like.default: 1.0, _aten.zeros_like.default: 0.0}

_compiled: dict[Hashable, Function] = {}


@dataclass(frozen=True)
class Recorded:
    """The operations of a function on tensors of certain shapes.

    Random numbers are drawn anew at each replay, from the same generators, in the same order.

    Attributes:
        replay: Does them.
        key: Equal for equal operations; None if they hold tensors of their own.
    """

    replay: Function
    key: Hashable | None


def record(function: Function, arguments: Sequence[Tensor]) -> Recorded | None:
    """What `function` does on tensors like `arguments`; None if it can't be told."""
    traced = _traced(function, arguments)
    if traced is None:
        return None
    own = any(node.op == "get_attr" for node in traced.graph.nodes)
    key = None if own else (traced.code, _shapes(arguments))
    _fold(traced)
    return Recorded(_generated(traced), key)


def compiled(
    function: Function, arguments: Sequence[Tensor], key: Hashable | None
) -> Function | None:
    """The same, compiled once for all functions of one key; None, said in the log, if it fails."""
    if key is None or key not in _compiled:
        traced = _traced(function, arguments)
        made = None if traced is None else _compile(traced, arguments)
        if made is None or key is None:
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


def _traced(function: Function, arguments: Sequence[Tensor]) -> GraphModule | None:
    devices = {a.device.index for a in arguments if a.device.type == "cuda"}
    try:
        with torch.random.fork_rng(devices=sorted(d for d in devices if d is not None)):
            # It is run, on copies: what it changes in place is not to be changed yet.
            copies = [a.clone() for a in arguments]
            traced = make_fx(function, _disable_torch_fn_metadata_mode=True)(*copies)
    except _UNTRACEABLE as error:
        log.debug("a step can't be recorded and goes through autograd: %s", error)
        return None
    _tidy(traced.graph)
    traced.graph.set_codegen(CodeGen())  # arguments and results as they are, not nested
    traced.recompile()
    return traced


def _shapes(arguments: Sequence[Tensor]) -> Hashable:
    return tuple((tuple(a.shape), a.dtype, a.device) for a in arguments)


def _tidy(graph: Graph) -> None:
    """Leaves out what does nothing: detached views, transposes of transposes, repeated ones."""
    transposed: dict[Node, Node] = {}
    for node in list(graph.nodes):
        source = node.args[0] if node.args and isinstance(node.args[0], Node) else None
        if source is None or node.op != "call_function":
            continue
        same: Any = None
        if node.target is _aten.detach.default or (
            node.target is _aten.pow.Tensor_Scalar and node.args[1] == 1.0
        ):
            same = source
        elif node.target is _aten.t.default:
            twice = source.target is _aten.t.default
            same = source.args[0] if twice else transposed.get(source)
            transposed.setdefault(source, node)
        if same is not None:
            node.replace_all_uses_with(same)
            graph.erase_node(node)
    graph.eliminate_dead_code()


def _fold(traced: GraphModule) -> None:
    """Computes once what depends on no argument: of a mean's gradient that is nearly all."""
    graph, known = traced.graph, dict[Node, Tensor]()
    if any(_changes_something(node) for node in graph.nodes):
        return
    for node in graph.nodes:
        inputs = node.all_input_nodes
        if node.target in _FILLED:
            like = node.meta["val"]
            known[node] = torch.full(like.shape, _FILLED[node.target]).to(like.dtype)
            known[node] = known[node].to(inputs[0].meta["val"].device)
        elif inputs and all(i in known for i in inputs) and not _draws(node):
            args, kwargs = map_arg((node.args, node.kwargs), lambda n: known[n])
            known[node] = node.target(*args, **kwargs)
    for number, (node, value) in enumerate(known.items()):
        if all(user in known for user in node.users):
            continue
        name = f"_folded_{number}"
        traced.register_buffer(name, value.clone())
        with graph.inserting_before(node):
            node.replace_all_uses_with(graph.get_attr(name))
    graph.eliminate_dead_code()


def _changes_something(node: Node) -> bool:
    own = node.target
    return isinstance(own, torch._ops.OpOverload) and own._schema.is_mutable


def _draws(node: Node) -> bool:
    tags = getattr(node.target, "tags", ())
    return torch.Tag.nondeterministic_seeded in tags


def _generated(traced: GraphModule) -> Function:
    """A function that calls the operations one after the other, and nothing else."""
    known: dict[str, Any] = {}

    def text(value: Any) -> str:
        if isinstance(value, Node):
            return value.name
        if isinstance(value, (list, tuple)):
            return f"[{', '.join(map(text, value))}]"
        return bound(value)

    def bound(value: Any) -> str:
        name = f"k{len(known)}"
        known[name] = value
        return name

    parameters, lines = [], []
    nodes = list(traced.graph.nodes)
    last = {source: node for node in nodes for source in node.all_input_nodes}
    for node in nodes:
        if node.op == "placeholder":
            parameters.append(node.name)
        elif node.op == "get_attr":
            known[node.name] = getattr(traced, node.target)
        elif node.op == "output":
            lines.append(f"return {text(node.args[0])}")
        else:
            given = [text(a) for a in node.args]
            given += [f"{name}={text(value)}" for name, value in node.kwargs.items()]
            # An operation's own call, without what torch wraps around it for Python.
            called = bound(getattr(node.target, "_op", node.target))
            lines.append(f"{node.name} = {called}({', '.join(given)})")
            done = [n.name for n in node.all_input_nodes if last[n] is node and n.op != "get_attr"]
            lines += [f"del {', '.join(done)}"] if done else []
    body = "\n    ".join(lines)
    exec(f"def replay({', '.join(parameters)}):\n    {body}", known)  # noqa: S102  # our own text
    replay: Function = known["replay"]
    return replay


def _compile(traced: GraphModule, arguments: Sequence[Tensor]) -> Function | None:
    try:
        with warnings.catch_warnings():
            # torch 2.13: about torch's own scripted modules, when its compiler is imported.
            warnings.filterwarnings("ignore", message=".*torch.jit.*", category=DeprecationWarning)
            import torch._inductor as inductor
            import torch._inductor.config  # not an attribute before

            # The same random numbers as uncompiled; no pool of compiling processes. What was
            # traced needs no guards, so torch.compile's outer half is left out.
            options = {"fallback_random": True, "compile_threads": 1}
            copies: list[Any] = [a.clone() for a in arguments]
            with torch.no_grad(), torch.random.fork_rng(devices=[]):
                made: Function = inductor.compile(traced, copies, options)
                made(*copies)
    except Exception as error:  # noqa: BLE001  compilers, linkers and torch fail in many ways
        log.warning("compiling a step failed, it runs uncompiled: %s", _first_line(error))
        return None
    return made


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
