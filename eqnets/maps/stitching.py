"""Stitching: does the front of one network cover that of another? phi' ~ E phi.

psi_b(S phi_a(x)) runs the front of one network into the rest of another through a
filter bank S (Lenc and Vedaldi, 2019, section 6). A low task error alone proves
nothing: features that only carry the label stitch as well. So every stitch is judged
by what it leaves unexplained of the receiver's own features too, and `covering_matrix`
never comes without its controls.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from .constraints import Constraint, as_constraint, free, solve
from .descent import Descent, descend
from .equivariance import batches, cross_entropy, mix, patches
from .invariance import error_rate
from .moments import accumulate
from .stitch_map import AnyArray, Size, StitchMap, fitted_sites

INITS = ("least_squares", "xavier")
#: The part of the images that is only measured on, where none are given for it.
MEASURED = 0.2
#: Images whose neighbourhoods are in memory at once.
FITTED = 64


@dataclasses.dataclass(frozen=True)
class Stitch:
    """What `stitch` found.

    Attributes:
        error: of psi_b(S phi_a(x)) on the images that are measured on.
        clean: of the receiver itself on the same images.
        fvu: the fraction of the variance of the receiver's own features on them that
            filters fitted by least squares, before any fine-tuning, leave unexplained:
            sum |S phi_a - phi_b|^2 / sum |phi_b - mean|^2.
        layer: S, a `StitchMap`.
        history: training and held-out loss of the fine-tuning, ``[looks, 2]``.
        donor: the cut whose front is used.
        receiver: the cut whose rest is used.
    """

    error: float
    clean: float
    fvu: float
    layer: StitchMap
    history: Float[np.ndarray, "looks 2"]
    donor: Any
    receiver: Any

    def __call__(self, x: Array) -> Array:
        """psi_b(S phi_a(x)): the stitched network."""
        return self.receiver.psi(self.layer(self.donor.phi(x)))


def stitch(
    cut_a: Any,
    cut_b: Any,
    x: ArrayLike,
    labels: ArrayLike,
    *,
    kernel: int = 1,
    init: str | StitchMap = "least_squares",
    steps: int = 0,
    constraint: str | Constraint | None = None,
    test: tuple[ArrayLike, ArrayLike] | None = None,
    key: Array | None = None,
    rate: float = 1e-3,
    batch_size: int = 64,
) -> Stitch:
    """Stitch the front of network a to the rest of network b.

    The filters start from least squares on the receiver's features (or at random) and
    are fine-tuned on the receiver's task with early stopping on held-out images; both
    networks stay as they are.

    Args:
        cut_a: the donor, of `maps.cut`; `pixels` for the image itself.
        cut_b: the receiver.
        x: images ``[n, H, W, C]`` that both networks take.
        labels: integers ``[n]``, of the receiver's classes.
        kernel: the side of the filters.
        init: ``"least_squares"``, ``"xavier"`` (the paper's; needs ``steps``), or the
            `StitchMap` to start from.
        steps: of fine-tuning on the task.
        constraint: ``"permutation"``, ``"orthogonal"``, or with a number
            ``Constraint("low_rank", 8)``, ``Constraint("sparse", 5)``; all but
            ``"sparse"`` need 1 x 1 filters. Fine-tuning keeps it.
        test: images and labels to measure on; the last fifth of ``x`` if None, which
            then is not fitted to.
        key: of the random start and of the batches.
        rate: the learning rate of the fine-tuning.
        batch_size: images at a time.

    Raises:
        TypeError: images that are not floating, or no key for a random start.
        ValueError: an unknown option, or features that cannot be stitched.

    >>> import jax
    >>> from eqnets import maps
    >>> x = jax.random.normal(jax.random.key(0), (20, 2, 2, 2))
    >>> net = lambda x: 3 * maps.tag(x.mean((1, 2)), "mean")
    >>> turned = lambda x: -2 * maps.tag(-x.mean((1, 2)), "mean")
    >>> found = maps.stitch(
    ...     maps.cut(net, "mean"), maps.cut(turned, "mean"), x, net(x).argmax(-1))
    >>> found.error, found.fvu < 1e-6, found.layer.kernel[0, 0].round(3).astype(int)
    (0.0, True, Array([[-1,  0],
           [ 0, -1]], dtype=int32))
    """
    fit, measured = split(x, labels, test)
    size = sites(cut_a, cut_b, fit[0])
    sources, targets = (
        [features(c.phi, part, batch_size) for part, _ in (fit, measured)]
        for c in (cut_a, cut_b)
    )
    psi = jax.jit(cut_b.psi)
    layer, error, fvu, history = stitch_features(
        sources,
        targets,
        psi,
        (fit[1], measured[1]),
        size,
        kernel=kernel,
        init=init,
        steps=steps,
        constraint=constraint,
        key=key,
        rate=rate,
        batch_size=batch_size,
    )
    clean = error_rate(psi, targets[1], measured[1], batch_size)
    return Stitch(error, clean, fvu, layer, history, cut_a, cut_b)


def stitch_features(
    sources: Sequence[AnyArray],
    targets: Sequence[AnyArray],
    psi: Callable[[Array], Array],
    labels: Sequence[AnyArray],
    size: Size,
    *,
    kernel: int = 1,
    init: str | StitchMap = "least_squares",
    steps: int = 0,
    constraint: str | Constraint | None = None,
    key: Array | None = None,
    rate: float = 1e-3,
    batch_size: int = 64,
) -> tuple[StitchMap, float, float, Float[np.ndarray, "looks 2"]]:
    """`stitch` of features in memory.

    Args:
        sources: the donor's features of the images to fit to, and to measure on.
        targets: the receiver's features of both.
        psi: the rest of the receiver, compiled.
        labels: of both.
        size: the receiver's sites.
        kernel: see `stitch`, as for all that follow.
        init: the start.
        steps: of fine-tuning.
        constraint: of the filters.
        key: a random key.
        rate: of learning.
        batch_size: images at a time.

    Returns:
        S, its error and unexplained variance, and the history.
    """
    rule = _checked(kernel, init, steps, constraint, key)
    source, measured = (resized(z, size, batch_size) for z in sources)
    layer = _fitted(source, targets[0], size, kernel, rule)
    fvu = unexplained(_mixed(layer, measured, batch_size), targets[1])
    if isinstance(init, StitchMap):
        layer = _started(init, layer)
    elif init == "xavier":
        start = jax.nn.initializers.glorot_uniform()(key, layer.kernel.shape)
        layer = dataclasses.replace(layer, kernel=start, bias=0 * layer.bias)
    history = np.zeros((0, 2))
    if steps:
        seed = 0 if key is None else int(jax.random.randint(key, (), 0, 2**31 - 1))
        how = Descent(steps=steps, rate=rate, batch=batch_size, seed=seed)
        layer, history = _tuned(layer, psi, source, labels[0], rule, how)
    made = _mixed(layer, measured, batch_size)
    return layer, error_rate(psi, made, labels[1], batch_size), fvu, history


def _started(start: StitchMap, fitted: StitchMap) -> StitchMap:
    """The filters to start from, on the sites of those that were fitted."""
    shapes = [(jnp.shape(f.kernel), jnp.shape(f.bias)) for f in (start, fitted)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"init starts from a kernel and a bias of {shapes[1]} between these "
            f"layers; got {shapes[0]}"
        )
    return dataclasses.replace(start, size=fitted.size)


def unexplained(made: AnyArray, target: AnyArray) -> float:
    """Sum |made - target|^2 / sum |target - mean over images and sites|^2."""
    pair = (np.asarray(v, np.float64) for v in (made, target))
    rows, goal = (v.reshape(-1, v.shape[-1]) for v in pair)
    spread = ((goal - goal.mean(0)) ** 2).sum()
    return float(((rows - goal) ** 2).sum() / spread) if spread else np.nan


def _mixed(layer: StitchMap, z: AnyArray, batch_size: int) -> AnyArray:
    """The stitched features of features that are on the receiver's sites."""
    return _collected(lambda v: _mix(v, layer.kernel, layer.bias), z, batch_size)


def features(
    phi: Callable[[Array], Array], x: AnyArray, batch_size: int = 64
) -> AnyArray:
    """Phi of all images, batch after batch, in the host's memory."""
    return _collected(jax.jit(phi), x, batch_size)


def resized(z: AnyArray, size: Size, batch_size: int = 64) -> AnyArray:
    """`fitted_sites` of all features, batch after batch."""
    return _collected(lambda v: _resize(v, size), z, batch_size)


# Compiled once for all stitches of the same shapes.
_mix = jax.jit(mix)
_resize = jax.jit(fitted_sites, static_argnums=1)


def _collected(
    run: Callable[[AnyArray], Array], x: AnyArray, batch_size: int
) -> AnyArray:
    return np.concatenate([np.asarray(run(part)) for part in batches(x, batch_size)])


@dataclasses.dataclass(frozen=True)
class _Pixels:
    layer: str = "pixels"

    def phi(self, x: Array) -> Array:
        return jnp.asarray(x)


#: A donor that is the image itself: what stitching reaches with no features at all.
pixels = _Pixels()


def _checked(
    kernel: int,
    init: str | StitchMap,
    steps: int,
    constraint: str | Constraint | None,
    key: Array | None,
) -> Constraint | None:
    if not isinstance(init, StitchMap) and init not in INITS:
        raise ValueError(
            f"init must be a StitchMap or one of {', '.join(INITS)}; got {init!r}"
        )
    if kernel < 1 or kernel % 2 == 0 or steps < 0:
        raise ValueError(
            f"kernel is odd and steps not negative; got kernel={kernel}, steps={steps}"
        )
    if init == "xavier" and (key is None or not steps):
        raise TypeError(
            'init="xavier" starts at random: give key=jax.random.key(0) and steps=300 '
            "or so, without which it is noise"
        )
    if constraint is None:
        return None
    rule = as_constraint(constraint)
    if rule.kind != "sparse" and kernel > 1:
        raise ValueError(f"{rule.kind} is for 1 x 1 filters; got kernel={kernel}")
    if init != "least_squares":
        raise ValueError(f'{rule.kind} filters start from init="least_squares"')
    return rule


def split(
    x: ArrayLike, labels: ArrayLike, test: tuple[ArrayLike, ArrayLike] | None
) -> tuple[tuple[AnyArray, AnyArray], tuple[AnyArray, AnyArray]]:
    """What is fitted to, and what is measured on."""
    pairs = [(x, labels), *([] if test is None else [test])]
    for images, classes in pairs:
        dtype = jnp.result_type(images)
        if jnp.ndim(images) != 4 or not jnp.issubdtype(dtype, jnp.floating):
            raise TypeError(
                "x must be images [n, H, W, C] of a floating dtype; got "
                f"{dtype} {jnp.shape(images)}"
            )
        if jnp.shape(classes) != jnp.shape(images)[:1] or len(images) < 2:
            raise ValueError(
                "labels must be one integer for each image, of two or more; got "
                f"{jnp.shape(classes)} for {jnp.shape(images)[0]} images"
            )
    if test is not None:
        return (jnp.asarray(x), np.asarray(labels)), test
    last = len(x) - max(1, round(MEASURED * len(x)))
    x, labels = jnp.asarray(x), np.asarray(labels)
    return (x[:last], labels[:last]), (x[last:], labels[last:])


def sites(cut_a: Any, cut_b: Any, x: AnyArray) -> Size:
    """The receiver's sites, once it is sure that the features fit together."""
    example = jax.ShapeDtypeStruct((1, *x.shape[1:]), x.dtype)
    shapes = []
    for name, part in (("donor", cut_a), ("receiver", cut_b)):
        z = jax.eval_shape(part.phi, example)
        if not hasattr(z, "shape") or z.ndim not in (2, 4):
            raise ValueError(
                "a stitch joins one array of features [B, h, w, D] or [B, D] to "
                f"another; the {name} {part.layer!r} gives {jax.tree.map(jnp.shape, z)}"
            )
        shapes.append(z.shape)
    if len(shapes[0]) == 2 and len(shapes[1]) == 4:
        raise ValueError(
            f"features without sites, {list(shapes[0])}, cannot be stitched to "
            f"features on a grid, {list(shapes[1])}: cut the donor further in front"
        )
    return shapes[1][1:3] if len(shapes[1]) == 4 else None


def _fitted(
    source: AnyArray,
    target: AnyArray,
    size: Size,
    kernel: int,
    rule: Constraint | None,
) -> StitchMap:
    """The filters in closed form, on the receiver's features."""
    m = kernel if size is not None else 1
    d, e = source.shape[-1], target.shape[-1]

    def pairs() -> Iterator[tuple[Array, Array]]:
        parts = (batches(v, FITTED) for v in (source, target))
        for z, goal in zip(*parts, strict=True):
            yield patches(jnp.asarray(z), m), goal.reshape(-1, e)

    f = solve(accumulate(pairs()), rule)
    weights = jnp.asarray(f.A.T.reshape(m, m, d, e), jnp.float32)
    return StitchMap(weights, jnp.asarray(f.b, jnp.float32), size)


def _tuned(
    layer: StitchMap,
    psi: Callable[[Array], Array],
    source: AnyArray,
    labels: AnyArray,
    rule: Constraint | None,
    how: Descent,
) -> tuple[StitchMap, Float[np.ndarray, "looks 2"]]:
    """The layer after descent on the receiver's task, within its constraint."""
    params, build = free(layer.kernel, rule)

    def loss(params: Any, z: Array, y: Array) -> Array:
        weights, bias = params
        return cross_entropy(psi(mix(z, build(weights), bias)), y)

    found = descend(loss, (params, layer.bias), (source, labels), how)
    weights, bias = found.params
    tuned = dataclasses.replace(layer, kernel=build(weights), bias=bias)
    return tuned, found.history
