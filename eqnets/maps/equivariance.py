"""Fitting M_g, the map that does to features what g does to images.

M_g phi(x) ~ phi(g x) (Lenc and Vedaldi, 2019, equation 1). For features on a grid M_g
is convolutional (equation 7): sites move by P_g, then m x m filters F mix channels and
neighbours. Pairs (phi(g^-1 x), phi(x)) are fitted, so that M_g undoes in feature space
what g^-1 did to the image, and the rest psi of the network sees an upright object.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, ArrayLike, Float

from .affine import Transform, as_transform
from .cut import Cut
from .descent import Descent, descend
from .linear import LinearMap, ridge_path_from
from .moments import Moments, accumulate
from .receptive_field import receptive_grid
from .selection import forward_select_from
from .sites import Grid, permute_sites

AnyArray = Array | np.ndarray
LOSSES = ("l2", "l2_relu", "task")
STARTS = ("least_squares", "identity")


@dataclasses.dataclass(frozen=True)
class EquivarianceFit:
    """A fitted M_g = (F_g, b_g) * P_g at one layer of a network.

    Attributes:
        cut: the network, cut behind the layer.
        transform: g.
        kernel: F_g, ``[m, m, D, D]`` from input to output channels.
        bias: b_g, ``[D]``.
        grid: where the features sit; None for features without sites, ``[B, D]``.
        sampler: of P_g.
        history: ``[steps, 2]``: training and held-out loss while descending; empty for
            a fit in closed form.
    """

    cut: Cut
    transform: Transform
    kernel: Float[AnyArray, "m m d d"]
    bias: Float[AnyArray, " d"]
    grid: Grid | None
    sampler: str
    history: Float[np.ndarray, "steps 2"]

    def permute(self, z: Array) -> Array:
        """P_g z: the sites moved, the channels as they are."""
        if self.grid is None:
            return jnp.asarray(z)
        g = self.transform.geometry
        return permute_sites(z, g, self.grid, sampler=self.sampler)

    def __call__(self, z: Array) -> Array:
        """M_g z, of the shape of ``z``: ``[B, h, w, D]`` or ``[B, D]``."""
        return mix(self.permute(z), self.kernel, self.bias)

    def compensated(self, x: Array) -> Array:
        """psi(M_g phi(g^-1 x)): the network's output, the transformation undone."""
        return self.cut.psi(self(self.cut.phi(self.transform.undo(jnp.asarray(x)))))

    def replace(self, kernel: AnyArray, bias: AnyArray) -> "EquivarianceFit":
        """The same with other filters."""
        return dataclasses.replace(self, kernel=kernel, bias=bias)


def mix(
    z: Float[Array, "b *sites d"],
    kernel: Float[AnyArray, "m m d e"],
    bias: Float[AnyArray, " e"],
) -> Float[Array, "b *sites e"]:
    """Filters across neighbours and channels, zeros around: F * z + b."""
    kernel, bias = jnp.asarray(kernel, z.dtype), jnp.asarray(bias, z.dtype)
    if z.ndim == 2:
        m = kernel.shape[0] // 2
        return z @ kernel[m, m] + bias
    low = (kernel.shape[0] - 1) // 2
    high = kernel.shape[0] - 1 - low
    return bias + lax.conv_general_dilated(
        z, kernel, (1, 1), [(low, high)] * 2, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def fit_equivariance(
    cut: Cut,
    action_or_transform: Any,
    x: ArrayLike,
    labels: ArrayLike | None = None,
    *,
    loss: str = "l2",
    m: int = 3,
    k: int | None = None,
    lam: float | int = 0.0,
    t: float | int | None = None,
    sampler: str = "gather",
    grid: Grid | None = None,
    start: str = "least_squares",
    descent: Descent | None = None,
    batch_size: int = 64,
) -> EquivarianceFit:
    """Fit M_g at a layer from images, by regression or on the network's task.

    Args:
        cut: of `maps.cut`; the network stays as it is.
        action_or_transform: g: an `AffineMap` (``maps.rotate(90)``), an action of
            `eqnets.actions` with its time ``t``, or a function of images such as
            ``actions.hflip``; see `as_transform`.
        x: images ``[n, H, W, C]``.
        labels: integers ``[n]``, for ``loss="task"``.
        loss: ``"l2"``, |M_g phi(g^-1 x) - phi(x)|^2; ``"l2_relu"``, the same after a
            ReLU on both; ``"task"``, the cross-entropy of psi(M_g phi(g^-1 x))
            (equation 6).
        m: the side of the filters.
        k: at most so many non-zeros for each output channel (forward selection);
            all m m D if None.
        lam: weight of |F|^2 per example in the closed form.
        t: the time of an action.
        sampler: of P_g, see `permute_sites`.
        grid: where the features sit on the image; probed if None.
        start: of the descent; ``"identity"`` starts from P_g.
        descent: how to descend. None: the closed form alone for ``"l2"`` (which it
            minimises), the defaults of `Descent` for the others.
        batch_size: images at a time.

    Raises:
        TypeError: ``x`` are not floating images, or see `as_transform`.
        ValueError: an unknown option, missing labels, features that are not an array
            ``[B, h, w, D]`` or ``[B, D]``.

    >>> import jax
    >>> from eqnets import maps
    >>> x = jax.random.normal(jax.random.key(0), (8, 4, 4, 2))
    >>> net = lambda x: maps.tag(x[..., ::-1], "swapped").mean((1, 2))
    >>> grid = maps.centred_grid(4, 4)
    >>> fit = maps.fit_equivariance(
    ...     maps.cut(net, "swapped"), maps.flip("x"), x, m=1, grid=grid)
    >>> fit.kernel[0, 0].round(3).astype(int).tolist()  # the channels stay
    [[1, 0], [0, 1]]
    """
    x = _checked(x, labels, loss, start)
    transform = as_transform(action_or_transform, x.shape, t=t)
    features = jax.eval_shape(cut.phi, jax.ShapeDtypeStruct((1, *x.shape[1:]), x.dtype))
    if not hasattr(features, "shape") or features.ndim not in (2, 4):
        raise ValueError(
            "M_g is fitted to one array of features, [B, h, w, D] or [B, D]; the rest "
            f"of the model reads {jax.tree.map(jnp.shape, features)} from the layer "
            f"{cut.layer!r}. Cut at another layer, one that passes on a single array"
        )
    d = features.shape[-1]
    if features.ndim == 2:
        m, grid = 1, None
    elif grid is None:
        grid = receptive_grid(cut.phi, x.shape)
    fit = EquivarianceFit(
        cut, transform, *_identity(m, d), grid, sampler, np.zeros((0, 2))
    )
    if start == "least_squares":
        solved = _closed_form(fit, x, m, k, lam, batch_size)
        fit = fit.replace(solved.A.T.reshape(m, m, d, d), solved.b)
    if descent is None and loss == "l2" and start == "least_squares":
        return fit
    return _descended(fit, x, labels, loss, descent or Descent(), batch_size)


def _checked(x: ArrayLike, labels: ArrayLike | None, loss: str, start: str) -> Array:
    for name, value, known in (("loss", loss, LOSSES), ("start", start, STARTS)):
        if value not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}; got {value!r}")
    x = jnp.asarray(x)
    if x.ndim != 4 or not len(x) or not jnp.issubdtype(x.dtype, jnp.floating):
        raise TypeError(
            "x must be images [n, H, W, C] of a floating dtype; got "
            f"{x.dtype} {x.shape}"
        )
    if loss == "task" and (labels is None or jnp.shape(labels) != x.shape[:1]):
        raise ValueError(
            f'loss="task" needs labels, one integer for each of the {len(x)} images'
        )
    return x


def _identity(m: int, d: int) -> tuple[Array, Array]:
    middle = (m - 1) // 2
    kernel = jnp.zeros((m, m, d, d)).at[middle, middle].set(jnp.eye(d))
    return kernel, jnp.zeros(d)


def batches(x: AnyArray, size: int) -> Iterator[AnyArray]:
    """Slices of at most ``size`` rows."""
    for i in range(0, len(x), size):
        yield x[i : i + size]


def patches(z: Float[Array, "b *sites d"], m: int) -> Float[Array, "n p"]:
    """Every m x m neighbourhood as a row, zeros around: what a filter sees."""
    if z.ndim == 2:
        return z
    low = (m - 1) // 2
    padded = jnp.pad(z, ((0, 0), (low, m - 1 - low), (low, m - 1 - low), (0, 0)))
    h, w = z.shape[1:3]
    views = [padded[:, i : i + h, j : j + w] for i in range(m) for j in range(m)]
    return jnp.stack(views, 3).reshape(-1, m * m * z.shape[-1])


def pair_moments(
    fit: EquivarianceFit, x: Array, m: int, *, batch_size: int = 64
) -> Moments:
    """Moments of (neighbourhoods of P_g phi(g^-1 x), phi(x)), a row for each site."""

    def pairs() -> Iterator[tuple[Array, Array]]:
        for part in batches(x, batch_size):
            source = fit.permute(fit.cut.phi(fit.transform.undo(part)))
            target = fit.cut.phi(part)
            yield patches(source, m), target.reshape(-1, target.shape[-1])

    return accumulate(pairs())


def _closed_form(
    fit: EquivarianceFit,
    x: Array,
    m: int,
    k: int | None,
    lam: float | int,
    batch_size: int,
) -> LinearMap:
    pair = pair_moments(fit, x, m, batch_size=batch_size)
    if k is not None:
        return forward_select_from(pair, k)
    return ridge_path_from(pair, [lam])[0]


def cross_entropy(logits: Float[Array, "b k"], labels: ArrayLike) -> Array:
    """Mean negative log-probability of the labels."""
    rows = jax.nn.log_softmax(logits)
    return -jnp.take_along_axis(rows, jnp.asarray(labels)[:, None], 1).mean()


def _objective(fit: EquivarianceFit, loss: str) -> Callable[..., Array]:
    """A function of (params, P_g phi(g^-1 x), what to reach)."""

    def objective(params: tuple[Array, Array], source: Array, goal: Array) -> Array:
        moved = mix(source, *params)
        if loss == "task":
            return cross_entropy(fit.cut.psi(moved), goal)
        if loss == "l2_relu":
            moved, goal = jax.nn.relu(moved), jax.nn.relu(goal)
        return jnp.mean(jnp.sum((moved - goal) ** 2, -1))

    return objective


def _descended(
    fit: EquivarianceFit,
    x: Array,
    labels: ArrayLike | None,
    loss: str,
    descent: Descent,
    batch_size: int,
) -> EquivarianceFit:
    sources, goals = [], []
    for part in batches(x, batch_size):
        sources.append(fit.permute(fit.cut.phi(fit.transform.undo(part))))
        goals.append(fit.cut.phi(part) if loss != "task" else None)
    source = jnp.concatenate(sources)
    goal = jnp.asarray(labels) if loss == "task" else jnp.concatenate(goals)
    dtype = source.dtype
    params = (jnp.asarray(fit.kernel, dtype), jnp.asarray(fit.bias, dtype))
    found = descend(_objective(fit, loss), params, (source, goal), descent)
    return dataclasses.replace(
        fit, kernel=found.params[0], bias=found.params[1], history=found.history
    )
