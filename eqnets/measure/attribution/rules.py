"""What each operation does to the place of the image in an array.

A rule takes the operation and the layouts of its inputs and returns the layout of its
result. An operation without a rule loses the image, which is an error as soon as the
image is needed, never a zero.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence

from .graph import Op
from .layout import Axis, Dim, Factor, Layout, plain

Rule = Callable[[Op, Sequence[Layout]], Layout]
RULES: dict[str, Rule] = {}

ELEMENTWISE = frozenset(
    "abs acos acosh add add_any and asin asinh atan atan2 atanh bessel_i0e bessel_i1e "
    "cbrt ceil clamp convert_element_type copy copy_p cos cosh cumlogsumexp cummax "
    "cummin cumprod cumsum digamma div eq erf erf_inv erfc exp exp2 expm1 floor ge gt "
    "igamma igammac integer_pow is_finite le lgamma log log1p logistic lt max min mul "
    "name ne neg nextafter not optimization_barrier or pow reduce_precision rem round "
    "rsqrt select_n sign sin sinh sqrt square stop_gradient sub tan tanh xor".split()
)
# These rearrange the numbers of an array and change none.
NEUTRAL = frozenset(
    "broadcast_in_dim convert_element_type copy copy_p expand_dims name "
    "optimization_barrier reshape squeeze stop_gradient transpose".split()
)


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Register a rule for primitives."""

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, function))
        return function

    return register


def propagate(op: Op, layouts: Sequence[Layout]) -> Layout:
    """The layout of the outputs of an operation, given those of its inputs."""
    ndim = len(op.outputs[0].shape)
    unknown = next((x.lost for x in layouts if x.lost), None)
    if op.name in ELEMENTWISE:
        return merge(op, layouts)
    if unknown:
        return Layout((None,) * ndim, lost=unknown)
    if not any(x.spatial or x.open for x in layouts):
        return plain(ndim)
    if op.name not in RULES:
        return lose(op)
    return RULES[op.name](op, layouts)


def lose(op: Op) -> Layout:
    """No one knows where the image is behind ``op``."""
    return Layout((None,) * len(op.outputs[0].shape), lost=describe(op))


def describe(op: Op) -> str:
    """An operation in words: its name, its shapes and its scope."""
    sizes = ", ".join(str(list(v.aval.shape)) for v in op.inputs)
    where = f" in {'/'.join(op.scope)!r}" if op.scope else ""
    return f"'{op.name}' {sizes} -> {list(op.outputs[0].shape)}{where}"


def merge(op: Op, layouts: Sequence[Layout]) -> Layout:
    """Elementwise: the image is where it is in any of the inputs.

    An input that lost the image finds it again in a partner that has it.
    """
    shape = op.outputs[0].shape
    full = [
        _stretched(x, v.aval.shape, shape)
        for x, v in zip(layouts, op.inputs, strict=True)
        if len(v.aval.shape) == len(shape) and (x.spatial or x.open or x.lost)
    ]
    known = [x for x in full if x.spatial and not x.lost]
    if not known:
        return full[0] if full else plain(len(shape))
    dims = []
    for column in zip(*(x.dims for x in known), strict=True):
        present = [d for d in column if d is not None]
        joined = functools.reduce(_same, present) if present else None
        if joined is False:
            return lose(op)
        dims.append(joined)
    merged = Layout(tuple(dims))
    if merged.whole:
        return merged
    unknown = next((x for x in full if x.open or x.lost), None)
    return unknown if unknown is not None else merged


def _stretched(
    layout: Layout, shape: tuple[int, ...], result: tuple[int, ...]
) -> Layout:
    """An input whose axes of one entry are repeated along the result."""
    whole = [a == b for a, b in zip(shape, result, strict=True)]
    dims = (d if w else None for d, w in zip(layout.dims, whole, strict=True))
    return dataclasses.replace(layout, dims=tuple(dims))


def _same(a: Dim | bool, b: Dim) -> Dim | bool:
    """One place for two arrays that are added; False where they do not fit.

    Branches may disagree by a fraction of a sample (an even kernel beside a strided
    shortcut); then the middle is taken.
    """
    if a is False or a == b:
        return a
    finer = [grid_axis(d) for d in (a, b)]
    if len(a.factors) != len(b.factors) and all(finer):
        a, b = (
            Dim((Factor(d.size, axis),)) for d, axis in zip((a, b), finer, strict=True)
        )
    if (a.before, a.after) != (b.before, b.after) or len(a.factors) != len(b.factors):
        return False
    factors = []
    for f, g in zip(a.factors, b.factors, strict=True):
        if f.size != g.size or (f.axis is None) != (g.axis is None):
            return False
        if f.axis is None:
            factors.append(f)
            continue
        if f.axis.name != g.axis.name or not math.isclose(
            f.axis.spacing, g.axis.spacing
        ):
            return False
        middle = (f.axis.origin + g.axis.origin) / 2
        factors.append(Factor(f.size, f.axis._replace(origin=middle)))
    return Dim(tuple(factors), a.before, a.after)


def _first(op: Op, layouts: Sequence[Layout]) -> Layout:
    """The layout of the first input; the others must not hold the image."""
    return layouts[0]


def _with(dims: Sequence[Dim | None], source: Layout) -> Layout:
    return Layout(tuple(dims), open=source.open)


def on_axis(n: int, axis: Axis) -> Dim | None:
    """An axis of an array that samples ``axis`` ``n`` times; one sample is no axis."""
    return Dim((Factor(n, axis),)) if n > 1 else None


def grid_axis(dim: Dim) -> Axis | None:
    """``dim`` as an evenly sampled axis: itself, or one refined by a pixel shuffle."""
    if dim.single:
        return dim.single
    head, *rest = dim.factors
    if dim.before or dim.after or head.axis is None or any(f.axis for f in rest):
        return None
    finer = math.prod(f.size for f in rest)
    spacing = head.axis.spacing / finer
    start = head.axis.origin - head.axis.spacing / 2 + spacing / 2
    return Axis(head.axis.name, start, spacing)


@rule("transpose")
def _transpose(op: Op, layouts: Sequence[Layout]) -> Layout:
    order = op.equation.params["permutation"]
    return _with([layouts[0].dims[i] for i in order], layouts[0])


@rule("squeeze")
def _squeeze(op: Op, layouts: Sequence[Layout]) -> Layout:
    gone = op.equation.params["dimensions"]
    return _with(
        [d for i, d in enumerate(layouts[0].dims) if i not in gone], layouts[0]
    )


@rule("broadcast_in_dim")
def _broadcast(op: Op, layouts: Sequence[Layout]) -> Layout:
    shape = op.outputs[0].shape
    dims: list[Dim | None] = [None] * len(shape)
    for source, target in enumerate(op.equation.params["broadcast_dimensions"]):
        if op.inputs[0].aval.shape[source] == shape[target]:
            dims[target] = layouts[0].dims[source]
    return _with(dims, layouts[0])


@rule(
    "reduce_sum",
    "reduce_max",
    "reduce_min",
    "reduce_prod",
    "reduce_and",
    "reduce_or",
    "argmax",
    "argmin",
    "reduce_xor",
)
def _reduce(op: Op, layouts: Sequence[Layout]) -> Layout:
    axes = op.equation.params["axes"]
    return _with(
        [d for i, d in enumerate(layouts[0].dims) if i not in axes], layouts[0]
    )


@rule("rev")
def _reverse(op: Op, layouts: Sequence[Layout]) -> Layout:
    dims = list(layouts[0].dims)
    for i in op.equation.params["dimensions"]:
        if dims[i] is None:
            continue
        axis, n = dims[i].single, dims[i].size
        if axis is None:
            return lose(op)
        last = axis.origin + (n - 1) * axis.spacing
        dims[i] = on_axis(n, Axis(axis.name, last, -axis.spacing))
    return _with(dims, layouts[0])


@rule("pad")
def _pad(op: Op, layouts: Sequence[Layout]) -> Layout:
    dims = list(layouts[0].dims)
    for i, (low, high, inner) in enumerate(op.equation.params["padding_config"]):
        if dims[i] is None or (low, high, inner) == (0, 0, 0):
            continue
        axis = grid_axis(dims[i])
        if axis is None:
            return lose(op)
        spacing = axis.spacing / (inner + 1)
        start = Axis(axis.name, axis.origin - low * spacing, spacing)
        dims[i] = on_axis(op.outputs[0].shape[i], start)
    return _with(dims, layouts[0])


@rule("slice")
def _slice(op: Op, layouts: Sequence[Layout]) -> Layout:
    p = op.equation.params
    strides = p["strides"] or (1,) * len(p["start_indices"])
    cuts = zip(p["start_indices"], p["limit_indices"], strides, strict=True)
    dims = []
    for dim, cut in zip(layouts[0].dims, cuts, strict=True):
        part = _cut(dim, *cut)
        if part is False:
            return lose(op)
        dims.append(part)
    return _with(dims, layouts[0])


def _cut(dim: Dim | None, start: int, stop: int, step: int) -> Dim | bool | None:
    """A range of an axis; False where it cuts through more than a single axis."""
    if dim is None or (start, stop, step) == (0, dim.size, 1):
        return dim
    axis = dim.single
    if axis is not None:
        n = len(range(start, stop, step))
        place = Axis(axis.name, axis.origin + start * axis.spacing, axis.spacing * step)
        return on_axis(n, place)
    image = dim.size - dim.after
    if stop <= dim.before or start >= image:
        return None  # a class token
    if step != 1 or (start > dim.before or stop < image):
        return False
    return Dim(dim.factors, dim.before - start, stop - image)


@rule("dynamic_slice", "dynamic_update_slice", "gather")
def _indexed(op: Op, layouts: Sequence[Layout]) -> Layout:
    """Indexing that takes the axes of the image whole, or a single place of them."""
    source, shape = layouts[0], op.inputs[0].aval.shape
    if any(x.spatial or x.open for x in layouts[1:]):
        return lose(op)
    if op.name == "dynamic_update_slice":
        return source
    sizes = op.equation.params["slice_sizes"]
    for dim, size, n in zip(source.dims, sizes, shape, strict=True):
        if dim is not None and size not in (1, n):
            return lose(op)
    kept = [
        d if s == n else None for d, s, n in zip(source.dims, sizes, shape, strict=True)
    ]
    if op.name == "dynamic_slice":
        return _with(kept, source)
    numbers = op.equation.params["dimension_numbers"]
    gone = {*numbers.collapsed_slice_dims, *numbers.operand_batching_dims}
    if any(source.dims[i] for i in numbers.operand_batching_dims):
        return lose(op)
    window = [d for i, d in enumerate(kept) if i not in gone]
    dims: list[Dim | None] = [None] * len(op.outputs[0].shape)
    for place, dim in zip(numbers.offset_dims, window, strict=True):
        dims[place] = dim
    return _with(dims, source)


@rule("concatenate")
def _concatenate(op: Op, layouts: Sequence[Layout]) -> Layout:
    along = op.equation.params["dimension"]
    known = [x for x in layouts if x.spatial]
    if not known:
        return next(x for x in layouts if x.open)
    dims: list[Dim | None] = []
    for i in range(len(op.outputs[0].shape)):
        column = [x.dims[i] for x in layouts]
        if i == along:
            sizes = [v.aval.shape[i] for v in op.inputs]
            joined = _join(column, sizes) if any(column) else None
        else:
            present = [d for d in column if d is not None]
            joined = functools.reduce(_same, present) if present else None
        if joined is False:
            return lose(op)
        dims.append(joined)
    return Layout(tuple(dims))


def _join(column: Sequence[Dim | None], sizes: Sequence[int]) -> Dim | bool:
    """Pieces end to end: pads or crops around an image, tokens beside a grid.

    The largest piece of the image keeps its place and the others lie around it, as the
    borders of a circular pad do.
    """
    anchor = max(
        (i for i, d in enumerate(column) if d is not None), key=lambda i: sizes[i]
    )
    dim, before, after = column[anchor], sum(sizes[:anchor]), sum(sizes[anchor + 1 :])
    axis = dim.single
    if axis is not None:
        names = [grid_axis(d) for d in column if d is not None]
        if any(
            a is None or a.name != axis.name or a.spacing != axis.spacing for a in names
        ):
            return False
        start = axis.origin - before * axis.spacing
        return on_axis(sum(sizes), axis._replace(origin=start))
    if sum(d is not None for d in column) > 1:
        return False
    return Dim(dim.factors, dim.before + before, dim.after + after)


@rule("reshape")
def _reshape(op: Op, layouts: Sequence[Layout]) -> Layout:
    source, old = layouts[0], op.inputs[0].aval.shape
    new = op.outputs[0].shape
    if 0 in old:
        return lose(op)
    dims: list[Dim | None] = []
    i = j = 0
    while i < len(old) or j < len(new):
        # The shortest runs of old and new axes with equally many entries.
        a, b = i, j
        left = old[a] if a < len(old) else 1
        right = new[b] if b < len(new) else 1
        a, b = min(a + 1, len(old)), min(b + 1, len(new))
        while left != right:
            if left < right:
                left, a = left * old[a], a + 1
            else:
                right, b = right * new[b], b + 1
        part = _regroup(source.dims[i:a], old[i:a], new[j:b])
        if part is None:
            return lose(op)
        dims += part
        i, j = a, b
    return _with(_refined(dims), source)


def _refined(dims: Sequence[Dim | None]) -> list[Dim | None]:
    """Axes of a pixel shuffle, or of windows put together again, as finer samples.

    One axis alone may also be channels laid out behind the places of an image.
    """
    finer = {
        i: axis
        for i, d in enumerate(dims)
        if d and len(d.factors) > 1 and (axis := grid_axis(d))
    }
    if {axis.name for axis in finer.values()} != {"y", "x"}:
        return list(dims)
    return [on_axis(d.size, finer[i]) if i in finer else d for i, d in enumerate(dims)]


def _regroup(
    dims: Sequence[Dim | None], old: Sequence[int], new: Sequence[int]
) -> list[Dim | None] | None:
    """Axes ``old`` as axes ``new``; None where the image would be torn."""
    if not any(dims):
        return [None] * len(new)
    wide = [n for n in new if n > 1]
    if len(wide) == 1 and sum(n > 1 for n in old) == 1:
        (dim,) = (d for d, n in zip(dims, old, strict=True) if n > 1)
        return [dim if n > 1 else None for n in new]
    if any(d and (d.before or d.after) for d in dims):
        return None
    pieces = [
        f
        for d, n in zip(dims, old, strict=True)
        for f in (d.factors if d else (Factor(n, None),))
        if f.size > 1
    ]
    result: list[Dim | None] = []
    for size in new:
        taken = []
        while size > 1:
            head = pieces.pop(0)
            if head.size > size:
                if head.size % size:
                    return None
                head, rest = _split(head, size)
                pieces.insert(0, rest)
            if size % head.size:
                return None
            taken.append(head)
            size //= head.size
        result.append(Dim(tuple(taken)) if any(f.axis for f in taken) else None)
    return result


def _split(factor: Factor, outer: int) -> tuple[Factor, Factor]:
    """A factor as patches (which stay in place) of samples (which become channels)."""
    inner = factor.size // outer
    if factor.axis is None:
        return Factor(outer, None), Factor(inner, None)
    name, origin, spacing = factor.axis
    coarse = Axis(name, origin + (inner - 1) / 2 * spacing, spacing * inner)
    return Factor(outer, coarse), Factor(inner, None)
