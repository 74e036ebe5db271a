"""The local equivariance error (LEE), per image and averaged."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from eqnets.actions import Action

from .lie import Function, OutputActions, checked_input, output_actions, push
from .program import Program, trace

NORMS = ("squared", "mean_abs")
NORMALIZATIONS = ("none", "dim")


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A mean over images with its standard error.

    Attributes:
        per_example: one value for each image, [B], float64.
    """

    per_example: Float[np.ndarray, " b"]

    @property
    def mean(self) -> float:
        """The mean over images."""
        return float(np.mean(self.per_example))

    @property
    def stderr(self) -> float:
        """Standard error of the mean over images; nan for a single image."""
        if self.per_example.size < 2:
            return float("nan")
        return float(np.std(self.per_example, ddof=1) / self.per_example.size**0.5)

    def __float__(self) -> float:
        return self.mean


def lee(
    f: Function,
    action: Action,
    x: Array | Iterable[Array],
    *,
    norm: str = "squared",
    normalize: str = "none",
    action_out: PyTree[Action] | None = None,
    batch_size: int = 8,
) -> Estimate:
    """Local equivariance error: the mean over images of |L_X f(x)|^2.

    Gruver et al. (2022), eq. 4; L_X f is `lie_derivative`.

    Args:
        f: a function of images, best with normalised outputs (see `readout`).
        action: the one-parameter action.
        x: images [B, H, W, C], or an iterable of batches of them, which is read once
            and a batch at a time.
        norm: ``"squared"``, the squared norm over all outputs of an image, or
            ``"mean_abs"``, the mean over outputs of |L_X f| (what the public script of
            the paper reports).
        normalize: ``"none"``, or ``"dim"`` to divide by the number of outputs.
        action_out: how the output moves; see `lie_derivative`.
        batch_size: images in memory at once, where ``x`` is one array.

    Returns:
        ``.mean``, ``.stderr`` (over images; nan for one image), ``.per_example`` [B].

    Raises:
        TypeError: see `lie_derivative`.
        ValueError: the same, an unknown option, or an output without the batch axis.

    >>> import jax, jax.numpy as jnp
    >>> from eqnets import actions, measure
    >>> x = jax.random.normal(jax.random.key(0), (3, 8, 8, 1))
    >>> error = measure.lee(
    ...     lambda x: jnp.tanh(x).mean((1, 2)), actions.brightness(), x)
    >>> error.per_example.shape, error.mean > error.stderr > 0
    ((3,), True)
    """
    options = {"norm": norm, "normalize": normalize, "action_out": action_out}
    profile = lee_profile(f, {"only": action}, x, batch_size=batch_size, **options)
    return profile["only"]


def lee_profile(
    f: Function,
    actions: Mapping[str, Action],
    x: Array | Iterable[Array],
    *,
    norm: str = "squared",
    normalize: str = "none",
    action_out: PyTree[Action] | None = None,
    batch_size: int = 8,
    progress: Callable[[int], None] | None = None,
) -> dict[str, Estimate]:
    """`lee` under several actions at once, one compilation for all images.

    All actions share the forward pass; a last batch that is smaller is padded, and
    what is computed on the padding is dropped.

    Args:
        f: see `lee`.
        actions: by name.
        x: images [B, H, W, C], or an iterable of batches of them.
        norm: see `lee`.
        normalize: see `lee`.
        action_out: see `lee`.
        batch_size: see `lee`.
        progress: called after each batch with the number of images done.

    Returns:
        An `Estimate` for each name.

    Raises:
        TypeError: see `lee`.
        ValueError: the same, no actions, or no images.

    >>> import jax
    >>> from eqnets import actions, measure
    >>> x = jax.random.normal(jax.random.key(0), (2, 4, 4, 1))
    >>> errors = measure.lee_profile(
    ...     lambda x: x.mean((1, 2)),
    ...     {"shift": actions.translation("x", boundary="wrap"),
    ...      "brightness": actions.brightness()}, x)
    >>> {name: error.mean > 1e-6 for name, error in errors.items()}
    {'shift': False, 'brightness': True}
    """
    for name, value, known in (
        ("norm", norm, NORMS),
        ("normalize", normalize, NORMALIZATIONS),
    ):
        if value not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}; got {value!r}")
    if not actions:
        raise ValueError("actions must name at least one action; got none")
    moves = tuple(actions.values())
    values, size, shape = [], 0, None
    for batch in batches(x, batch_size):
        batch = checked_input(moves, batch)
        count = len(batch)
        if count < size:
            batch = jnp.concatenate([batch, jnp.repeat(batch[-1:], size - count, 0)])
        if batch.shape != shape:
            shape, size = batch.shape, count
            program, consts = trace(f, batch)
            outs = output_actions(program.out, moves, action_out, shape)
            require_batch_axis(program, count)
        step = _step(norm, normalize, program, moves, outs, consts, batch)
        values.append(np.asarray(step, np.float64)[:, :count])
        if progress is not None:
            progress(sum(v.shape[1] for v in values))
    if not values:
        raise ValueError("x holds no images: give at least one batch [B, H, W, C]")
    whole = np.concatenate(values, 1)
    return {name: Estimate(row) for name, row in zip(actions, whole, strict=True)}


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3, 4))
def _step(
    norm: str,
    normalize: str,
    program: Program,
    actions: tuple[Action, ...],
    outs: OutputActions,
    consts: list[Array],
    x: Array,
) -> Float[Array, "k b"]:
    """The error of each image under each action."""
    _, derivatives = push(program, actions, outs, consts, x)
    size = sum(d[0, 0].size for d in derivatives)
    flat = [d.reshape(*d.shape[:2], -1) for d in derivatives]
    if norm == "squared":
        error = sum(jnp.sum(d.astype(_wide(d)) ** 2, -1) for d in flat)
    else:
        error = sum(jnp.sum(jnp.abs(d.astype(_wide(d))), -1) for d in flat) / size
    return error / size if normalize == "dim" else error


def _wide(x: Array) -> jnp.dtype:
    return jnp.promote_types(x.dtype, jnp.float32)


def batches(x: Array | Iterable[Array], batch_size: int) -> Iterator[Array]:
    """An array cut along its first axis, or the batches of an iterable as they come."""
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1; got {batch_size}")
    if not hasattr(x, "ndim"):
        yield from x
        return
    if x.ndim < 2:
        yield x  # refused by the action, with its reason
        return
    for start in range(0, len(x), batch_size):
        yield x[start : start + batch_size]


def require_batch_axis(program: Program, batch: int) -> None:
    """Raise ValueError for outputs that do not keep the batch in their first axis."""
    for leaf in jax.tree.leaves(program.out):
        if not leaf.shape or leaf.shape[0] != batch:
            raise ValueError(
                f"the error is measured per image, so every output needs the batch as "
                f"its first axis: expected [{batch}, ...], got {list(leaf.shape)}"
            )
