"""Equivariant structured regression: the pose of an image from one set of features."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from .linear import LinearMap


def pose_templates(
    maps: Sequence[LinearMap], w: Float[Array | np.ndarray, " q"]
) -> LinearMap:
    """All poses' scores as one map: phi(x) -> (<w, M_g phi(x)>)_g.

    <w, M_g phi(x)> = <M_g^T w, phi(x)> + <w, b_g> (Lenc and Vedaldi, 2019, section
    5.4): the templates M_g^T w are computed once, an image needs its features once, and
    the pose is the ``argmax`` of the result. Direct scoring <w, phi(g x)> transforms
    the image and computes its features for every g.

    Args:
        maps: M_g of every pose g, from ``p`` to ``q`` features.
        w: the template of the upright object, ``[q]``.

    Returns:
        A map with a row for each pose, A ``[poses, p]``.

    Raises:
        ValueError: no maps, or maps that do not give ``q`` features.

    >>> import numpy as np
    >>> from eqnets import maps
    >>> moves = [maps.LinearMap(a, np.zeros(2)) for a in (np.eye(2), np.eye(2)[::-1])]
    >>> scores = maps.pose_templates(moves, np.array([1.0, 0.0]))
    >>> scores(np.array([[0.2, 0.9], [0.8, 0.1]])).argmax(-1).tolist()
    [1, 0]
    """
    if not len(maps):
        raise ValueError("maps must hold the M_g of at least one pose")
    if any(f.A.shape[0] != len(w) for f in maps):
        raise ValueError(
            f"w has {len(w)} entries, the maps give "
            f"{sorted({f.A.shape[0] for f in maps})} features"
        )
    return LinearMap(
        np.stack([np.asarray(w) @ np.asarray(f.A) for f in maps]),
        np.stack([np.asarray(w) @ np.asarray(f.b) for f in maps]),
    )


def fit_template(
    features: ArrayLike,
    poses: ArrayLike,
    *,
    lam: float = 1e-3,
    steps: int = 200,
) -> Float[np.ndarray, " q"]:
    """Learn w such that <w, features of the right pose> is the largest of its image.

    Minimises the mean cross-entropy of softmax_g <w, features_g> plus lam |w|^2, which
    is convex, by L-BFGS.

    Args:
        features: of every image under every candidate pose, phi(g x) or M_g phi(x),
            ``[n, poses, q]``.
        poses: the index of the right one, ``[n]``.
        lam: weight of |w|^2; features are scaled to unit mean square first.
        steps: of L-BFGS.

    Returns:
        w, ``[q]``.

    Raises:
        ValueError: shapes that do not fit.

    >>> import numpy as np
    >>> from eqnets import maps
    >>> features = np.array([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]]])
    >>> w = maps.fit_template(features, np.array([0, 1]), steps=20)
    >>> bool(w[0] > 0 > w[1]), (features @ w).argmax(1).tolist()
    (True, [0, 1])
    """
    import optax

    features, poses = jnp.asarray(features), jnp.asarray(poses)
    if features.ndim != 3 or poses.shape != features.shape[:1]:
        raise ValueError(
            "features must be [n, poses, q] with one right pose for each of the n; got "
            f"{features.shape} and {poses.shape}"
        )
    scale = jnp.sqrt(jnp.mean(features**2)) + 1e-12

    def loss(w: Array) -> Array:
        rows = jax.nn.log_softmax(features @ w / scale)
        right = jnp.take_along_axis(rows, poses[:, None], 1)
        return lam * jnp.sum(w**2) - right.mean()

    solver = optax.lbfgs()
    value_and_grad = optax.value_and_grad_from_state(loss)

    @jax.jit
    def run(w: Array) -> Array:
        def step(_, pair):
            w, state = pair
            value, slope = value_and_grad(w, state=state)
            change, state = solver.update(
                slope, state, w, value=value, grad=slope, value_fn=loss
            )
            return optax.apply_updates(w, change), state

        return jax.lax.fori_loop(0, steps, step, (w, solver.init(w)))[0]

    return np.asarray(run(jnp.zeros(features.shape[-1], features.dtype))) / float(scale)
