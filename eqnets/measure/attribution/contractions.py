"""The rules of convolutions, pooling and matrix products."""

from collections.abc import Sequence

from .graph import Op
from .layout import Axis, Dim, Layout
from .rules import grid_axis, lose, on_axis, rule


def slide(
    dim: Dim,
    n: int,
    *,
    window: int,
    stride: int,
    low: int,
    window_dilation: int = 1,
    base_dilation: int = 1,
) -> Dim | bool | None:
    """The axis behind a sliding window: sample i is the middle of window i."""
    axis = grid_axis(dim)
    if axis is None:
        return False
    step = axis.spacing / base_dilation
    middle = (window - 1) * window_dilation / 2 - low
    return on_axis(n, Axis(axis.name, axis.origin + middle * step, step * stride))


@rule("conv_general_dilated")
def _convolution(op: Op, layouts: Sequence[Layout]) -> Layout:
    p = op.equation.params
    numbers = p["dimension_numbers"]
    source, kernel = layouts[0], op.inputs[1].aval.shape
    batch, features, *space = numbers.lhs_spec
    out_batch, _, *out_space = numbers.out_spec
    if p["batch_group_count"] != 1 or layouts[1].spatial or source.open:
        return lose(op)
    dims: list[Dim | None] = [None] * len(op.outputs[0].shape)
    dims[out_batch] = source.dims[batch]
    for i, (place, target) in enumerate(zip(space, out_space, strict=True)):
        if source.dims[place] is None:
            continue
        dim = slide(
            source.dims[place],
            op.outputs[0].shape[target],
            window=kernel[numbers.rhs_spec[2 + i]],
            stride=p["window_strides"][i],
            low=p["padding"][i][0],
            window_dilation=p["rhs_dilation"][i],
            base_dilation=p["lhs_dilation"][i],
        )
        if dim is False:
            return lose(op)
        dims[target] = dim
    if source.dims[features] is not None:  # the image is contracted with weights
        return Layout(tuple(dims), open=True)
    return Layout(tuple(dims))


@rule(
    "reduce_window_max",
    "reduce_window_min",
    "reduce_window_sum",
    "reduce_window",
)
def _pooling(op: Op, layouts: Sequence[Layout]) -> Layout:
    p, source = op.equation.params, layouts[0]
    if source.open:
        return lose(op)
    dims = list(source.dims)
    for i, dim in enumerate(dims):
        geometry = {
            "window": p["window_dimensions"][i],
            "stride": p["window_strides"][i],
            "low": p["padding"][i][0],
            "window_dilation": p["window_dilation"][i],
            "base_dilation": p["base_dilation"][i],
        }
        still = (1, 1, 0, 1, 1)
        if dim is None or tuple(geometry.values()) == still:
            continue
        moved = slide(dim, op.outputs[0].shape[i], **geometry)
        if moved is False:
            return lose(op)
        dims[i] = moved
    return Layout(tuple(dims))


@rule("dot_general")
def _product(op: Op, layouts: Sequence[Layout]) -> Layout:
    """Shared axes, then the free axes of the left and of the right factor.

    A sum over the image on both sides, as of attention and values, ends it. A sum with
    weights leaves open whether they put it back (a dense layer over tokens) or not (a
    classifier); one axis of an image that meets a matrix is resized.
    """
    summed, shared = op.equation.params["dimension_numbers"]
    free = [
        {i: x.dims[i] for i in range(len(v.aval.shape)) if i not in (*s, *b)}
        for x, v, s, b in zip(layouts, op.inputs, summed, shared, strict=True)
    ]
    left, right = layouts
    kept = [left.dims[i] or right.dims[j] for i, j in zip(*shared, strict=True)]
    is_open = left.open or right.open
    for i, j in zip(*summed, strict=True):
        a, b = left.dims[i], right.dims[j]
        if (a is None) == (b is None):
            continue
        dim, other = (a, 1) if a is not None else (b, 0)
        remains = any(d is not None for d in (*kept, *free[1 - other].values()))
        if dim.single and remains and len(free[other]) == 1 and len(summed[0]) == 1:
            (place,) = free[other]
            n = op.inputs[other].aval.shape[place]
            free[other] = {place: _resized(dim.single, dim.size, n)}
        elif free[other]:
            is_open = True
    return Layout((*kept, *free[0].values(), *free[1].values()), open=is_open)


def _resized(axis: Axis, old: int, new: int) -> Dim | None:
    """The same stretch of the image, sampled ``new`` times instead of ``old``."""
    spacing = axis.spacing * old / new
    start = axis.origin - axis.spacing / 2 + spacing / 2
    return on_axis(new, Axis(axis.name, start, spacing))
