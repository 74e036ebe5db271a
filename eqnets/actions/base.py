"""What a one-parameter action is: a flow, its generator, and the inputs it moves."""

import abc
import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Inexact


@dataclasses.dataclass(frozen=True)
class Grid:
    """Where the samples of a feature map lie on the input image, in input pixels.

    Pairs are (along the height, along the width).

    Attributes:
        extent: (H, W) of the input.
        origin: position of the first sample, pixel centres at whole numbers.
        spacing: from one sample to the next; negative where the order is reversed.

    >>> import jax.numpy as jnp
    >>> from eqnets import actions
    >>> a = actions.translation("x", boundary="wrap")
    >>> x = jnp.cos(jnp.arange(8.0) * jnp.pi / 4).reshape(1, 1, 8, 1)
    >>> every_other = actions.Grid(extent=(1, 8), origin=(0.0, 0.0), spacing=(1.0, 2.0))
    >>> gap = a.tangent_on(x[:, :, ::2], every_other) - a.tangent(x)[:, :, ::2]
    >>> bool(abs(gap).max() < 1e-5)  # a slow wave: its samples move like the image
    True
    """

    extent: tuple[int, int]
    origin: tuple[float, float]
    spacing: tuple[float, float]


class Action(abc.ABC):
    """A one-parameter group acting on arrays: rho(t) x = exp(t X) x.

    ``action(x, t)`` is the finite transformation and ``action(x, 0)`` is ``x`` to the
    bit; ``action.tangent(x)`` is the generator X x, the derivative of the flow at
    t = 0. Actions are immutable and compare by content, so that they can be static
    arguments of compiled functions.

    Attributes:
        name: what tables and reports call the action.
        units: what one unit of t means.
        stencil: the discretisation of the generator, or None where there is none.

    >>> import jax.numpy as jnp
    >>> from eqnets import actions
    >>> a = actions.translation("x", boundary="wrap")
    >>> a.name, a.units, a.stencil
    ('translation_x', 'fraction of the axis', 'fourier')
    >>> a == actions.translation("x", stencil="fourier")  # by content
    True
    >>> a.tangent(jnp.ones((1, 3, 3, 1))).any()  # a constant image does not move
    Array(False, dtype=bool)
    """

    name: str
    units: str
    stencil: str | None
    # Whether the generator takes constant images to zero.
    annihilates_constants = False

    @abc.abstractmethod
    def __call__(self, x: Array, t: float | Array) -> Array:
        """Transform ``x`` by ``t``."""

    @abc.abstractmethod
    def tangent(self, x: Array) -> Array:
        """The generator applied to ``x``: d/dt of ``action(x, t)`` at t = 0."""

    def tangent_on(self, x: Array, grid: Grid) -> Array:
        """The generator on a feature map [B, h, w, C] whose samples lie on ``grid``.

        The same as ``tangent`` where the samples cover the input evenly.
        """
        del grid
        return self.tangent(x)

    @abc.abstractmethod
    def check(self, x: ArrayLike | jax.ShapeDtypeStruct) -> None:
        """Raise if the action is not defined on an array like ``x``.

        Raises:
            TypeError: the array is not of a floating dtype.
            ValueError: the array has a shape that the action does not act on.
        """

    def moves(self, shape: tuple[int, ...]) -> bool:
        """Whether an array of this shape can change at all under the action."""
        del shape
        return True


def require_floating(x: ArrayLike | jax.ShapeDtypeStruct, name: str) -> None:
    """Refuse integer, boolean and complex arrays, on which no flow is defined."""
    if not jnp.issubdtype(jnp.result_type(x), jnp.floating):
        raise TypeError(
            f"{name} acts on arrays of a floating dtype, got {jnp.result_type(x)}: "
            "convert and normalise the images first, e.g. x.astype('float32') / 255"
        )


def require_scalar_time(t: float | Array, name: str) -> None:
    """Refuse anything but one real number for t."""
    if jnp.ndim(t) != 0:
        raise ValueError(
            f"t of {name} must be one number, got an array of shape {jnp.shape(t)}: "
            "jax.vmap the call over several"
        )


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2))
def linear_flow(
    transform: Callable[[Array, Array], Array],
    tangent: Callable[[Array], Array],
    name: str,
    x: Inexact[Array, "*shape"],
    t: Float[Array, ""],
) -> Inexact[Array, "*shape"]:
    """``transform(x, t)``, x itself at t = 0, differentiated by the named generator.

    The derivative in t is X rho(t) x with the generator X = ``tangent``, never that of
    the interpolator: a bilinear warp has a kink at t = 0, where float rounding would
    pick the side.
    """
    return jnp.where(t == 0, x, transform(x, t))


@linear_flow.defjvp
def _linear_flow_jvp(transform, tangent, name, primals, tangents):
    x, t = primals
    dx, dt = tangents
    y = linear_flow(transform, tangent, name, x, t)
    moved = linear_flow(transform, tangent, name, dx, t)
    return y, moved + dt.astype(y.dtype) * tangent(y)


@dataclasses.dataclass(frozen=True)
class Brightness(Action):
    """rho(t) x = (1 + t) x on arrays of any shape; the generator is x itself."""

    name: str = "brightness"
    units: str = "relative brightness"
    stencil: str | None = None

    def __call__(self, x: Array, t: float | Array) -> Array:
        """``(1 + t) x``."""
        self.check(x)
        require_scalar_time(t, self.name)
        return x * (1 + jnp.asarray(t, jnp.result_type(x)))

    def tangent(self, x: Array) -> Array:
        """``x``: the brightness changes by its own amount."""
        self.check(x)
        return jnp.asarray(x)

    def check(self, x: ArrayLike | jax.ShapeDtypeStruct) -> None:
        """Raise TypeError unless ``x`` is of a floating dtype."""
        require_floating(x, self.name)


@dataclasses.dataclass(frozen=True)
class Identity(Action):
    """The trivial action: nothing moves. As ``action_out`` it asks for invariance."""

    name: str = "identity"
    units: str = "none"
    stencil: str | None = None

    def __call__(self, x: Array, t: float | Array) -> Array:
        """``x``."""
        require_scalar_time(t, self.name)
        return jnp.asarray(x)

    def tangent(self, x: Array) -> Array:
        """Zeros."""
        return jnp.zeros_like(x)

    def check(self, x: ArrayLike | jax.ShapeDtypeStruct) -> None:
        """Never raises: the trivial action acts on everything."""

    def moves(self, shape: tuple[int, ...]) -> bool:
        """False."""
        return False


@dataclasses.dataclass(frozen=True)
class FunctionAction(Action):
    """A flow given as a JAX function ``fn(x, t)`` with ``fn(x, 0) == x``."""

    fn: Callable[[Array, Array], Array]
    name: str = "function"
    units: str = "t"
    stencil: str | None = None

    def __call__(self, x: Array, t: float | Array) -> Array:
        """``fn(x, t)``."""
        self.check(x)
        require_scalar_time(t, self.name)
        x = jnp.asarray(x)
        y = self.fn(x, jnp.asarray(t, x.dtype))
        if jnp.shape(y) != x.shape:
            raise ValueError(
                f"the function of action {self.name!r} must keep the shape {x.shape}, "
                f"it returned {jnp.shape(y)}"
            )
        return y

    def tangent(self, x: Array) -> Array:
        """d/dt of ``fn(x, t)`` at 0, by one ``jax.jvp``."""
        self.check(x)
        x = jnp.asarray(x)
        zero, one = jnp.zeros((), x.dtype), jnp.ones((), x.dtype)
        return jax.jvp(lambda t: self(x, t), (zero,), (one,))[1]

    def check(self, x: ArrayLike | jax.ShapeDtypeStruct) -> None:
        """Raise unless ``x`` is floating and ``fn(x, 0)`` is ``x``.

        The second condition is looked at only where ``x`` holds numbers, so not under
        a ``jax`` transformation.

        Raises:
            TypeError: not a floating dtype.
            ValueError: ``fn(x, 0)`` differs from ``x``.
        """
        require_floating(x, self.name)
        if isinstance(x, jax.core.Tracer | jax.ShapeDtypeStruct):
            return
        x = jnp.asarray(x)
        start = self.fn(x, jnp.zeros((), x.dtype))
        if isinstance(start, jax.core.Tracer):
            return
        # Rounding is forgiven (a warp through an interpolator), anything more is not.
        scale = 1e-5 * float(jnp.max(jnp.abs(x), initial=0.0))
        if jnp.shape(start) != x.shape or not jnp.allclose(start, x, 0.0, scale, True):
            raise ValueError(
                f"the function of action {self.name!r} must return x itself at t = 0 "
                f"(shape {x.shape}): a flow starts at the identity"
            )
