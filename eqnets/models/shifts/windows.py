"""Convolutions, pools, slices and borders, at the selected component of their input."""

import dataclasses
from collections.abc import Sequence

import jax.numpy as jnp
from jax import Array, lax
from jax.extend import core

from eqnets.models.shifts.kinds import Frame, Kind, Run, Still
from eqnets.polyphase.phases import phase_window

Result = tuple[list, list[Kind]] | None


def convolution(
    run: Run, eqn: core.JaxprEqn, values: list, kinds: list[Kind]
) -> Result:
    """``conv_general_dilated`` of a frame with a kernel that stands still."""
    params = eqn.params
    dimensions = params["dimension_numbers"]
    axes, out_axes = dimensions.lhs_spec[2:], dimensions.out_spec[2:]
    frame, kernel = kinds
    if (
        not isinstance(kernel, Still)
        or axes != frame.axes
        or set(params["lhs_dilation"]) != {1}
    ):
        return None
    taps = [eqn.invars[1].aval.shape[a] for a in dimensions.rhs_spec[2:]]
    spans = [d * (k - 1) + 1 for k, d in zip(taps, params["rhs_dilation"], strict=True)]
    window = _Window(spans, params["window_strides"], params["padding"])
    x = window.prepare(run, eqn, values[0], frame, batch=dimensions.lhs_spec[0])
    if x is None:
        return None
    y = lax.conv_general_dilated(
        x,
        values[1],
        params["window_strides"],
        "VALID",
        rhs_dilation=params["rhs_dilation"],
        dimension_numbers=dimensions,
        feature_group_count=params["feature_group_count"],
        batch_group_count=params["batch_group_count"],
        precision=params["precision"],
        preferred_element_type=params["preferred_element_type"],
    )
    return [y], [window.frame_after(frame).moved_to(out_axes)]


def pool(run: Run, eqn: core.JaxprEqn, values: list, kinds: list[Kind]) -> Result:
    """``reduce_window_*`` of a frame."""
    params, frame = eqn.params, kinds[0]
    names = ("window_dimensions", "window_strides", "padding")
    sizes, strides, padding = (params[name] for name in names)
    for axis in range(len(sizes)):
        looks = (sizes[axis], strides[axis], padding[axis]) != (1, 1, (0, 0))
        if looks and axis not in frame.axes:
            return None
    if {*params["base_dilation"], *params["window_dilation"]} != {1}:
        return None
    inner = [[v[a] for a in frame.axes] for v in (sizes, strides, padding)]
    window = _Window(*inner)
    x = window.prepare(run, eqn, values[0], frame, batch=0)
    if x is None:
        return None
    flat = dict(params, padding=tuple((0, 0) for _ in sizes))
    return [eqn.primitive.bind(x, **flat)], [window.frame_after(frame)]


def strided_slice(
    run: Run, eqn: core.JaxprEqn, values: list, kinds: list[Kind]
) -> Result:
    """A slice of other axes, of a border, or of every ``s``-th sample."""
    params, frame = eqn.params, kinds[0]
    starts, limits = params["start_indices"], params["limit_indices"]
    strides = params["strides"] or (1,) * len(starts)
    shape = jnp.shape(values[0])
    pads = []
    for axis, (low, high) in zip(frame.axes, frame.pads, strict=True):
        beyond = shape[axis] + low + high - limits[axis]
        pads.append((low - starts[axis], high - beyond))
    # A window of one tap that starts where the slice does.
    tap = dataclasses.replace(frame, pads=((0, 0), (0, 0)))
    window = _Window([1, 1], [strides[a] for a in frame.axes], pads)
    x = window.prepare(run, eqn, values[0], tap, batch=0)
    if x is None:
        return None
    index = [
        slice(None, None, strides[a])
        if a in frame.axes
        else slice(starts[a], limits[a], strides[a])
        for a in range(len(starts))
    ]
    return [x[tuple(index)]], [window.frame_after(tap)]


def zero_border(
    run: Run, eqn: core.JaxprEqn, values: list, kinds: list[Kind]
) -> Result:
    """``pad`` of a frame: a border to be made circular by what looks at it."""
    frame, config = kinds[0], eqn.params["padding_config"]
    inside = all(
        low == high == 0
        for a, (low, high, _) in enumerate(config)
        if a not in frame.axes
    )
    if not isinstance(kinds[1], Still) or any(c[2] for c in config) or not inside:
        return None
    added = [config[a][:2] for a in frame.axes]
    if any(min(pair) < 0 for pair in added):
        return None
    pads = tuple(
        (int(a + c), int(b + d))
        for (a, b), (c, d) in zip(frame.pads, added, strict=True)
    )
    run.replace(eqn, "border made circular")
    return [values[0]], [dataclasses.replace(frame, pads=pads)]


@dataclasses.dataclass
class _Window:
    """A sliding window: its span, stride and border, per axis of the frame."""

    spans: Sequence[int]
    strides: Sequence[int]
    padding: Sequence[tuple[int, int]]

    def prepare(
        self, run: Run, eqn: core.JaxprEqn, x: Array, frame: Frame, *, batch: int
    ) -> Array | None:
        """The input with its circular border, shifted to the selected component.

        None if the window does not keep the size up to its stride.
        """
        stride = self.strides[0]
        pads = tuple(
            (a + c, b + d)
            for (a, b), (c, d) in zip(frame.pads, self.padding, strict=True)
        )
        # On a circle there is one output per stride; it must be so before, too.
        for axis, span, (low, high) in zip(frame.axes, self.spans, pads, strict=True):
            size = x.shape[axis]
            count = (size + low + high - span) // stride + 1
            if count != -(-size // stride):
                return None
        if set(self.strides) != {stride}:
            return None
        # From the first tap of the first window to the last tap of the last.
        needed = tuple(
            (low, span - 1 - low)
            for span, (low, _) in zip(self.spans, pads, strict=True)
        )
        if stride == 1:
            if any(map(any, self.padding)) and max(self.spans) > 1:
                run.replace(eqn, "border made circular")
            return _wrap(x, frame, needed)
        if batch != 0 or x.ndim != 4:
            return None
        channel = next(a for a in range(1, 4) if a not in frame.axes)
        last = jnp.moveaxis(x, channel, -1)
        index = run.select(last, frame, stride)
        wide = jnp.moveaxis(_wrap(x, frame, needed), channel, -1)
        wide = phase_window(wide, index, stride)
        run.replace(eqn, f"stride {stride} at the component of the largest norm")
        return jnp.moveaxis(wide, -1, channel)

    def frame_after(self, frame: Frame) -> Frame:
        """The frame of the output."""
        stride = self.strides[0]
        strides = (*frame.strides, stride) if stride > 1 else frame.strides
        return Frame(frame.axes, strides)


def _wrap(x: Array, frame: Frame, pads: tuple) -> Array:
    """A circular border; negative widths move the array along the circle."""
    for axis, (low, high) in zip(frame.axes, pads, strict=True):
        size = x.shape[axis]
        if (low, high) == (0, 0):
            continue
        places = jnp.arange(-low, size + high) % size
        if low >= 0 and high >= 0:
            widths = [(0, 0)] * x.ndim
            widths[axis] = (low, high)
            x = jnp.pad(x, widths, mode="wrap")
        else:
            x = jnp.take(x, places, axis=axis)
    return x


RULES = {
    "conv_general_dilated": convolution,
    "reduce_window_max": pool,
    "reduce_window_min": pool,
    "reduce_window_sum": pool,
    "slice": strided_slice,
    "pad": zero_border,
}
