"""Which operations make up a layer, what it is called and of what kind it is."""

import dataclasses
import re
from collections.abc import Sequence

from .graph import Graph, Op, Value
from .rules import NEUTRAL

DEPTHS = ("operation", "module", "block")
KINDS = (
    "convolution",
    "linear",
    "attention",
    "norm",
    "nonlinearity",
    "pooling",
    "add",
    "other",
)

_INDEX = re.compile(r"^\[?\d+\]?$")
_SUMS = frozenset({"add", "add_any", "sub", "neg"})


@dataclasses.dataclass(frozen=True)
class Layer:
    """A group of operations whose error is reported as one number.

    Attributes:
        name: its path.
        kind: one of ``KINDS``.
        ops: its operations, as positions in the list of all moving ones.
    """

    name: str
    kind: str
    ops: tuple[int, ...]


def group(graph: Graph, depth: str | int) -> list[Layer]:
    """The layers of a network, in the order in which they first act.

    Args:
        graph: the network.
        depth: ``"operation"``: every operation, a library function such as ``softmax``
            counting as one; ``"module"``: every innermost module or named scope, and
            the operations that other modules hold between their parts; ``"block"``:
            modules up to the first number in their path; a number: that many parts of
            the path.

    Raises:
        ValueError: another depth.
    """
    if depth not in DEPTHS and not (isinstance(depth, int) and depth >= 1):
        raise ValueError(
            f"depth must be one of {', '.join(DEPTHS)} or a whole number of path "
            f"components, at least 1; got {depth!r}"
        )
    ops = [op for op in graph.ops if op.moving]
    scopes = _short([op.scope for op in ops])
    operations = _operations(ops, scopes)
    keys = _keys(ops, scopes, operations, depth)
    members: dict[tuple[str, ...], list[int]] = {}
    for i, key in enumerate(keys):
        members.setdefault(key, []).append(i)
    return [
        Layer("/".join(key), _kind([ops[i] for i in at]), tuple(at))
        for key, at in members.items()
    ]


def _short(scopes: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Scopes without what all of them begin with."""
    first = scopes[0] if scopes else ()
    shared = 0
    while all(len(s) > shared + 1 and s[shared] == first[shared] for s in scopes):
        shared += 1
    # A root module's own operations stand beside its children.
    root = first[: shared + 1]
    if root and all(s[: len(root)] == root for s in scopes) and len(set(scopes)) > 1:
        shared = len(root)
    return [s[shared:] for s in scopes]


def _operations(ops: Sequence[Op], scopes: Sequence[tuple[str, ...]]) -> list[str]:
    """The name of the operation that each primitive belongs to, unique in its scope.

    The primitives of one call of a library function are one operation: same line, and
    each reads what another of them made or read.
    """
    names: list[str] = []
    counts: dict[tuple, int] = {}
    call, near = None, set()
    for op, scope in zip(ops, scopes, strict=True):
        inputs = set(op.moving_inputs())
        if call is not None and op.call == call and inputs & near:
            near |= {*inputs, *op.outputs}
            names.append(names[-1])
            continue
        call, near = op.call, {*inputs, *op.outputs}
        base = op.call[0] if op.call else _primitive(op)
        count = counts.get((scope, base), 0)
        counts[scope, base] = count + 1
        names.append(f"{base}_{count}" if count else base)
    return names


def _primitive(op: Op) -> str:
    """A primitive by name; a function with a derivative rule by its own name."""
    if op.name != "custom_jvp_call":
        return op.name
    inner = op.equation.params["call_jaxpr"].jaxpr.eqns
    names = [e.params.get("name") for e in inner if "name" in e.params]
    return names[0].strip("_") if len(inner) == 1 and names else op.name


def _keys(
    ops: Sequence[Op],
    scopes: Sequence[tuple[str, ...]],
    operations: Sequence[str],
    depth: str | int,
) -> list[tuple[str, ...]]:
    holders = {s[:n] for s in scopes for n in range(len(s))}
    keys: list[tuple[str, ...]] = []
    home: dict[Value, tuple[str, ...]] = {}
    for op, scope, operation in zip(ops, scopes, operations, strict=True):
        own = (*scope, operation)
        if depth == "operation" or not scope:
            key = own
        elif depth == "block":
            key = scope[: _block(scope)]
        elif depth == "module":
            key = own if scope in holders else scope
        else:
            key = scope[:depth]
        source = next((home[v] for v in op.moving_inputs() if v in home), None)
        # Outside a layer, reordering numbers belongs to what made them.
        if depth != "operation" and key == own and op.name in NEUTRAL and source:
            key = source
        keys.append(key)
        home.update(dict.fromkeys(op.outputs, key))
    return keys


def _block(scope: tuple[str, ...]) -> int:
    """How many parts of a path name its block: up to its first run of numbers."""
    for i, part in enumerate(scope):
        if _INDEX.match(part):
            while i + 1 < len(scope) and _INDEX.match(scope[i + 1]):
                i += 1
            return i + 1
    return 1


def _kind(ops: Sequence[Op]) -> str:
    names = {op.name for op in ops}
    products = [op for op in ops if op.name == "dot_general"]
    if any(len(op.moving_inputs()) == 2 for op in products):
        return "attention"
    if "conv_general_dilated" in names:
        return "convolution"
    if products:
        return "linear"
    if any(n.startswith("reduce_window") for n in names):
        return "pooling"
    sums = names & {"reduce_sum", "reduce_max"}
    if {"rsqrt", "sqrt"} & names and sums:
        return "norm"
    if "exp" in names and sums:
        return "attention"
    if sums:
        return "pooling"
    if not all(map(_is_affine, ops)):
        return "nonlinearity"
    if any(len(op.moving_inputs()) > 1 for op in ops if op.name in _SUMS):
        # A sum of shifted copies is a convolution written out.
        return "convolution" if names & {"pad", "slice", "mul"} else "add"
    return "norm" if names & {*_SUMS, "mul", "div"} else "other"


def _is_affine(op: Op) -> bool:
    """Whether an operation without products of activations is affine in them."""
    if op.name in ("mul", "div"):
        return op.moving_inputs() == [op.inputs[0]] or (
            op.name == "mul" and len(op.moving_inputs()) == 1
        )
    return op.name in _SUMS | NEUTRAL | {"pad", "slice", "split", "concatenate", "rev"}
