"""Operations that commute with shifts as they stand, and where they take the frame."""

import math

import jax.numpy as jnp
from jax.extend import core

from eqnets import polyphase
from eqnets.models.shifts.kinds import Frame, Kind, Run, Still, bind, still

Result = tuple[list, list[Kind]] | None

ELEMENTWISE = frozenset(
    "abs add add_any and atan2 cbrt ceil clamp convert_element_type copy copy_p cos "
    "div eq erf erf_inv erfc exp exp2 expm1 floor ge gt integer_pow is_finite le log "
    "log1p logistic lt max min mul ne neg not or pow rem round rsqrt select_n sign sin "
    "sqrt square stop_gradient sub tan tanh xor".split()
)
REDUCTIONS = (
    "reduce_and reduce_max reduce_min reduce_or reduce_prod reduce_sum argmax argmin"
).split()


def still_outputs(eqn: core.JaxprEqn, kinds: list[Kind]) -> list[Kind]:
    """The kinds of what is computed from still values alone."""
    name = eqn.primitive.name
    if name == "broadcast_in_dim":
        places = eqn.params["broadcast_dimensions"]
        return [Still(frozenset(places[a] for a in kinds[0].varies))]
    if name in ELEMENTWISE:
        return [Still(frozenset().union(*(k.varies for k in kinds)))]
    return [still(var.aval) for var in eqn.outvars]


def elementwise(
    run: Run, eqn: core.JaxprEqn, values: list, kinds: list[Kind]
) -> Result:
    """Entry by entry: the frames must be one, what stands still uniform along it."""
    del run
    frames = {k for k in kinds if isinstance(k, Frame)}
    if len(frames) > 1:
        return None
    (frame,) = frames
    if any(isinstance(k, Still) and k.varies & set(frame.axes) for k in kinds):
        return None
    return bind(eqn, values), [frame]


def reduction(run: Run, eqn: core.JaxprEqn, values: list, kinds: list[Kind]) -> Result:
    """Over no axis of the frame, or over both: then it stands still from there on."""
    frame, axes = kinds[0], set(eqn.params["axes"])
    out = eqn.outvars[0].aval
    if not axes & set(frame.axes):
        moved = tuple(a - sum(b < a for b in axes) for a in frame.axes)
        return bind(eqn, values), [frame.moved_to(moved)]
    if not axes >= set(frame.axes) or eqn.primitive.name.startswith("arg"):
        return None
    if eqn.primitive.name == "reduce_prod":
        return None
    if eqn.primitive.name != "reduce_sum" or not jnp.issubdtype(
        out.dtype, jnp.floating
    ):
        return bind(eqn, values), [still(out)]
    # In fixed point, so that the order of the pixels cannot change the last bits.
    x = jnp.moveaxis(values[0], frame.axes, (-3, -2))
    count = math.prod(values[0].shape[a] for a in frame.axes)
    rest = sorted(axes - set(frame.axes))
    places = [a - sum(b < a for b in frame.axes) for a in rest]
    total = jnp.sum(polyphase.invariant_mean(x) * count, axis=tuple(places))
    run.replace(eqn, "sum over the pixels made exact")
    return [total.astype(out.dtype)], [still(out)]


def transpose(run: Run, eqn: core.JaxprEqn, values: list, kinds: list[Kind]) -> Result:
    """The axes of the frame move along."""
    del run
    order = eqn.params["permutation"]
    axes = tuple(order.index(a) for a in kinds[0].axes)
    return bind(eqn, values), [kinds[0].moved_to(axes)]


def reshape(run: Run, eqn: core.JaxprEqn, values: list, kinds: list[Kind]) -> Result:
    """Allowed where the frame's axes stay axes of their own."""
    del run
    before, after = eqn.invars[0].aval.shape, eqn.outvars[0].aval.shape
    axes = []
    for axis in kinds[0].axes:
        lead = math.prod(before[:axis])
        found = [
            i
            for i, n in enumerate(after)
            if n == before[axis] and math.prod(after[:i]) == lead
        ]
        if not found or before[axis] == 1:
            return None
        axes.append(found[0])
    return bind(eqn, values), [kinds[0].moved_to(tuple(axes))]


def broadcast(run: Run, eqn: core.JaxprEqn, values: list, kinds: list[Kind]) -> Result:
    """The frame's axes keep their size."""
    del run
    places = eqn.params["broadcast_dimensions"]
    if any(eqn.invars[0].aval.shape[a] == 1 for a in kinds[0].axes):
        return None
    axes = tuple(places[a] for a in kinds[0].axes)
    return bind(eqn, values), [kinds[0].moved_to(axes)]


def concatenate(
    run: Run, eqn: core.JaxprEqn, values: list, kinds: list[Kind]
) -> Result:
    """Along another axis than the frame's."""
    frames = {k for k in kinds if isinstance(k, Frame)}
    if any(eqn.params["dimension"] in frame.axes for frame in frames):
        return None
    return elementwise(run, eqn, values, kinds)


def split(run: Run, eqn: core.JaxprEqn, values: list, kinds: list[Kind]) -> Result:
    """Along another axis than the frame's."""
    del run
    if eqn.params["axis"] in kinds[0].axes:
        return None
    return bind(eqn, values), [kinds[0]] * len(eqn.outvars)


def dot(run: Run, eqn: core.JaxprEqn, values: list, kinds: list[Kind]) -> Result:
    """A frame times a matrix that stands still, over other axes than the frame's."""
    del run
    (left, right), batch = eqn.params["dimension_numbers"]
    which = 0 if isinstance(kinds[0], Frame) else 1
    if not isinstance(kinds[1 - which], Still) or any(batch):
        return None
    contracted = set((left, right)[which])
    frame, shape = kinds[which], eqn.invars[which].aval.shape
    if contracted & set(frame.axes):
        return None
    free = [a for a in range(len(shape)) if a not in contracted]
    ahead = 0 if which == 0 else eqn.invars[0].aval.ndim - len(left)
    axes = tuple(ahead + free.index(a) for a in frame.axes)
    return bind(eqn, values), [frame.moved_to(axes)]


RULES = {
    **dict.fromkeys(ELEMENTWISE, elementwise),
    **dict.fromkeys(REDUCTIONS, reduction),
    "transpose": transpose,
    "reshape": reshape,
    "squeeze": reshape,
    "expand_dims": reshape,
    "broadcast_in_dim": broadcast,
    "concatenate": concatenate,
    "split": split,
    "dot_general": dot,
}
