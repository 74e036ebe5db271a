"""The actions with names: constructors and the checks of their options."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Array, ArrayLike

from .base import Action, Brightness, FunctionAction, Identity
from .interpolate import BOUNDARIES, INTERPOLATIONS
from .spatial import SpatialAction
from .stencils import STENCILS

# Which stencil goes with which way of interpolating, and which way a stencil named
# alone brings with it.
_STENCIL_OF = {
    ("fourier", "wrap"): "fourier",
    ("fourier", "reflect"): "fourier_even",
    **{("bilinear", b): "central" for b in BOUNDARIES},
    **{("cubic", b): "cubic" for b in BOUNDARIES},
}
_WAY_OF = {
    "fourier": ("fourier", "wrap"),
    "fourier_even": ("fourier", "reflect"),
    "central": ("bilinear", "reflect"),
    "cubic": ("cubic", "reflect"),
    "reference": ("bilinear", "reflect"),
}


def _resolve(
    interpolation: str | None, boundary: str | None, stencil: str | None
) -> tuple[str, str, str]:
    """Fill in what was left out and refuse what does not go together."""
    for name, value, known in (
        ("interpolation", interpolation, INTERPOLATIONS),
        ("boundary", boundary, BOUNDARIES),
        ("stencil", stencil, STENCILS),
    ):
        if value is not None and value not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}; got {value!r}")
    usual = _WAY_OF[stencil or "fourier_even"]
    way = (interpolation or usual[0], boundary or usual[1])
    if way == ("fourier", "zeros"):
        raise ValueError(
            "a trigonometric interpolant has no empty space around it: with "
            "interpolation='fourier' use boundary='wrap' or 'reflect', or take "
            "interpolation='cubic' with boundary='zeros'"
        )
    stencil = stencil or _STENCIL_OF[way]
    bound = {"fourier": "wrap", "fourier_even": "reflect"}.get(stencil, way[1])
    if way[1] != bound or (stencil == "reference" and way != usual):
        raise ValueError(
            f"stencil={stencil!r} goes with boundary={usual[1]!r}"
            + (", interpolation='bilinear'" if stencil == "reference" else "")
            + f"; got interpolation={way[0]!r}, boundary={way[1]!r}"
        )
    return way[0], way[1], stencil


def _spatial(
    name: str,
    units: str,
    generator: tuple[tuple[float, float, float], tuple[float, float, float]],
    options: tuple[str | None, str | None, str | None],
    *,
    per_axis: bool = False,
    reference_sign: float = -1.0,
) -> SpatialAction:
    interpolation, boundary, stencil = _resolve(*options)
    reference = stencil == "reference"
    if reference:
        generator = tuple(tuple(reference_sign * v + 0.0 for v in r) for r in generator)
        units = units.replace("fraction of the axis", "half-width")
    return SpatialAction(
        name=name,
        units=units,
        stencil=stencil,
        generator=generator,
        interpolation=interpolation,
        boundary=boundary,
        per_axis=per_axis and not reference,
        reference=reference,
    )


def _axis(axis: str, x: tuple[float, ...], y: tuple[float, ...]):
    """The generator with ``x`` as its first row or ``y`` as its second."""
    still = (0.0, 0.0, 0.0)
    if axis == "x":
        return (x, still)
    if axis == "y":
        return (still, y)
    raise ValueError(
        f"axis must be 'x' (the width, right) or 'y' (the height, down); got {axis!r}"
    )


def translation(
    axis: str,
    *,
    interpolation: str | None = None,
    boundary: str | None = None,
    stencil: str | None = None,
) -> SpatialAction:
    """Translation along one axis; t is a fraction of that axis.

    (rho(t) x)(u) = x(u - t): positive t moves the content right (``"x"``) or down
    (``"y"``), and the generator is -d/du.

    Args:
        axis: ``"x"`` (width) or ``"y"`` (height).
        interpolation: ``"fourier"`` (default), ``"cubic"`` or ``"bilinear"``; of the
            finite transformation.
        boundary: ``"reflect"`` (default), ``"wrap"`` or ``"zeros"``.
        stencil: of the generator. None chooses by the two options above: fourier and
            wrap ``"fourier"``, fourier and reflect ``"fourier_even"``, bilinear
            ``"central"``, cubic ``"cubic"``. ``"reference"`` is the mode of the public
            code of Gruver et al. (2022): forward difference, coordinates in [-1, 1],
            opposite sign, bilinear.

    Raises:
        ValueError: an unknown option, or two that do not go together.

    >>> import jax.numpy as jnp
    >>> from eqnets import actions
    >>> x = jnp.arange(4.0).reshape(1, 1, 4, 1)
    >>> actions.translation("x", boundary="wrap")(x, 0.25).ravel().round(5)
    Array([3., 0., 1., 2.], dtype=float32)
    """
    generator = _axis(axis, (0.0, 0.0, 1.0), (0.0, 0.0, 1.0))
    options = (interpolation, boundary, stencil)
    units = "fraction of the axis"
    return _spatial(f"translation_{axis}", units, generator, options, per_axis=True)


def rotation(
    *,
    interpolation: str | None = None,
    boundary: str | None = None,
    stencil: str | None = None,
) -> SpatialAction:
    """Rotation about the centre of the grid; t in radians, +x (right) to +y (down).

    v = (-y, x) in isotropic coordinates. Options and errors: see `translation`.

    >>> import jax.numpy as jnp
    >>> from eqnets import actions
    >>> x = jnp.arange(9.0).reshape(1, 3, 3, 1)
    >>> turned = actions.rotation(interpolation="bilinear")(x, jnp.pi / 2)
    >>> bool(jnp.allclose(turned, actions.rot90(x), atol=1e-4))
    True
    """
    generator = ((0.0, -1.0, 0.0), (1.0, 0.0, 0.0))
    options = (interpolation, boundary, stencil)
    return _spatial("rotation", "radians", generator, options, reference_sign=1.0)


def scaling(
    *,
    interpolation: str | None = None,
    boundary: str | None = None,
    stencil: str | None = None,
) -> SpatialAction:
    """Magnification by e^t about the centre; t is the log of the scale.

    v = (x, y). Options and errors: see `translation`.

    >>> import jax.numpy as jnp
    >>> from eqnets import actions
    >>> x = jnp.arange(9.0).reshape(1, 3, 3, 1)
    >>> twice = actions.scaling(interpolation="bilinear")(x, jnp.log(2.0))
    >>> twice[0, 1, :, 0].tolist()  # the slope along the row is halved
    [3.5, 4.0, 4.5]
    """
    generator = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
    options = (interpolation, boundary, stencil)
    return _spatial("scaling", "log scale", generator, options, reference_sign=1.0)


def shear(
    axis: str,
    *,
    interpolation: str | None = None,
    boundary: str | None = None,
    stencil: str | None = None,
) -> SpatialAction:
    """Shear along one axis in proportion to the other coordinate; t is the slope.

    v = (y, 0) for ``"x"``, (0, x) for ``"y"``, in isotropic coordinates. Options and
    errors: see `translation`.

    >>> import jax.numpy as jnp
    >>> from eqnets import actions
    >>> x = jnp.arange(9.0).reshape(1, 3, 3, 1)
    >>> leaning = actions.shear("x", interpolation="bilinear", boundary="zeros")(x, 1.0)
    >>> leaning[0, :, :, 0].tolist()  # the top row to the left, the bottom to the right
    [[1.0, 2.0, 0.0], [3.0, 4.0, 5.0], [0.0, 6.0, 7.0]]
    """
    generator = _axis(axis, (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
    options = (interpolation, boundary, stencil)
    return _spatial(f"shear_{axis}", "slope", generator, options)


def stretch(
    axis: str,
    *,
    interpolation: str | None = None,
    boundary: str | None = None,
    stencil: str | None = None,
) -> SpatialAction:
    """Magnification by e^t of one axis alone, about the centre.

    v = (x, 0) for ``"x"``, (0, y) for ``"y"``. Options and errors: see
    `translation`. In the ``"reference"`` mode this is the corrected stretch (the
    public code leaves the other diagonal entry at zero and collapses the image), with
    the sign of its scaling.

    >>> import jax.numpy as jnp
    >>> from eqnets import actions
    >>> x = jnp.arange(9.0).reshape(1, 3, 3, 1)
    >>> wide = actions.stretch("x", interpolation="bilinear")(x, jnp.log(2.0))
    >>> wide[0, 1, :, 0].tolist(), wide[0, :, 1, 0].tolist()
    ([3.5, 4.0, 4.5], [1.0, 4.0, 7.0])
    """
    generator = _axis(axis, (1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
    options = (interpolation, boundary, stencil)
    name = f"stretch_{axis}"
    return _spatial(name, "log scale", generator, options, reference_sign=1.0)


def hyperbolic_rotation(
    *,
    interpolation: str | None = None,
    boundary: str | None = None,
    stencil: str | None = None,
) -> SpatialAction:
    """Stretch of one diagonal and squeeze of the other; t is the rapidity.

    v = (y, x) in isotropic coordinates. Options and errors: see `translation`.

    >>> import jax
    >>> import jax.numpy as jnp
    >>> from eqnets import actions
    >>> x = jax.random.normal(jax.random.key(0), (1, 4, 4, 1))
    >>> turn, back = (actions.hyperbolic_rotation(stencil=s).tangent(v)
    ...               for s, v in (("central", x), ("central", x.swapaxes(1, 2))))
    >>> bool(jnp.allclose(turn, back.swapaxes(1, 2)))  # both axes play the same part
    True
    """
    generator = ((0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
    options = (interpolation, boundary, stencil)
    return _spatial("hyperbolic_rotation", "rapidity", generator, options)


def brightness() -> Brightness:
    """Scale the array the network sees by 1 + t; the generator is x itself.

    >>> import jax.numpy as jnp
    >>> from eqnets import actions
    >>> actions.brightness()(jnp.array([1.0, 2.0]), 0.5).tolist()
    [1.5, 3.0]
    """
    return Brightness()


def identity() -> Identity:
    """The trivial action; as ``action_out`` it says that an output must not move.

    >>> import jax.numpy as jnp
    >>> from eqnets import actions
    >>> actions.identity().tangent(jnp.array([1.0, 2.0])).tolist()
    [0.0, 0.0]
    """
    return Identity()


def affine(
    generator: ArrayLike | Sequence[Sequence[float | int]],
    *,
    name: str = "affine",
    interpolation: str | None = None,
    boundary: str | None = None,
    stencil: str | None = None,
) -> SpatialAction:
    """The flow of v(u) = G (x, y, 1) for any 2 x 3 matrix G.

    Coordinates are isotropic, pixels / max(H, W) about the centre, the last column of
    G included; the finite transformation is exp(t G). Options: see
    `translation`; ``stencil="reference"`` has no such action.

    Raises:
        ValueError: G is not 2 x 3, not finite, or zero; or an unfit option.

    Args:
        generator: G, array-like [2, 3], in units of the longer side.
        name: what tables call it.
        interpolation: see `translation`, as for the next two.
        boundary: beyond the image.
        stencil: of the generator.

    >>> from eqnets import actions
    >>> actions.affine([[0, -1, 0], [1, 0, 0]]).generator
    ((0.0, -1.0, 0.0), (1.0, 0.0, 0.0))
    """
    g = np.asarray(generator, np.float64)
    if g.shape != (2, 3) or not np.isfinite(g).all() or not g.any():
        raise ValueError(
            "generator must be a finite, non-zero 2 x 3 matrix [[xx, xy, x1], [yx, yy, "
            f"y1]]; got shape {g.shape}"
        )
    if stencil == "reference":
        raise ValueError(
            "stencil='reference' exists for the named actions only; for affine use "
            f"{', '.join(s for s in STENCILS if s != 'reference')}"
        )
    rows = tuple(tuple(float(v) for v in row) for row in g)
    return _spatial(name, "t", rows, (interpolation, boundary, stencil))


def from_function(
    fn: Callable[[Array, Array], Array], *, name: str | None = None, units: str = "t"
) -> FunctionAction:
    """An action from any differentiable JAX function ``fn(x, t)``, ``fn(x, 0) == x``.

    The generator is d/dt fn(x, t) at 0 by ``jax.jvp``: mind that the derivative of a
    bilinear warp there is one-sided.

    Raises:
        TypeError: ``fn`` is not callable.

    >>> import jax.numpy as jnp
    >>> from eqnets import actions
    >>> gamma = actions.from_function(lambda x, t: x * jnp.exp(t), name="gain")
    >>> gamma.tangent(jnp.ones(2))
    Array([1., 1.], dtype=float32)
    """
    if not callable(fn):
        raise TypeError(f"fn must be a function of (x, t); got {type(fn).__name__}")
    return FunctionAction(fn, name or getattr(fn, "__name__", "function"), units)


def standard(
    *,
    interpolation: str | None = None,
    boundary: str | None = None,
    stencil: str | None = None,
) -> dict[str, Action]:
    """The ten built-in actions by name, all with the same options.

    Args:
        interpolation: see `translation`, as for the next two.
        boundary: beyond the image.
        stencil: of the generators.

    Raises:
        ValueError: an unknown option, or two that do not go together.

    >>> from eqnets import actions
    >>> list(actions.standard())[:4]
    ['translation_x', 'translation_y', 'rotation', 'scaling']
    """
    o = {"interpolation": interpolation, "boundary": boundary, "stencil": stencil}
    made = [
        translation("x", **o),
        translation("y", **o),
        rotation(**o),
        scaling(**o),
        shear("x", **o),
        shear("y", **o),
        stretch("x", **o),
        stretch("y", **o),
        hyperbolic_rotation(**o),
        brightness(),
    ]
    return {a.name: a for a in made}
