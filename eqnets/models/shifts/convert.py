"""The converter: a module around a network, and what it could do to it."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array, export
from jaxtyping import Float

from eqnets import functional
from eqnets.models.shifts.kinds import Change, Frame, Kind, Run, Still, still
from eqnets.models.shifts.trace import evaluate


class ShiftEquivariant(nnx.Module):
    """A network whose strided and padded operations commute with circular shifts.

    It holds the network itself: weights are shared, training and `flax.nnx.view`
    reach them. Make it with `make_shift_equivariant`, which also says what it can
    do for the network.

    Args:
        model: maps ``[B, H, W, C]`` to anything.
        p: the norm by which components are selected.

    >>> import jax
    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> from eqnets import models
    >>> conv = nnx.Conv(1, 2, (3, 3), strides=2, rngs=nnx.Rngs(0))
    >>> net = models.ShiftEquivariant(conv)
    >>> x = jax.random.normal(jax.random.key(0), (1, 4, 4, 1))
    >>> total = lambda x: net(x).sum((1, 2))
    >>> bool(jnp.allclose(total(jnp.roll(x, 1, 1)), total(x), atol=1e-6))
    True
    """

    def __init__(self, model: nnx.Module, *, p: int | float | str = 2):
        self.model, self.p = model, p

    def __call__(self, x: Float[Array | np.ndarray, "b h w c"], **options: Any) -> Any:
        """What the network returns.

        Args:
            x: images ``[B, H, W, C]``; the strides of the network must divide H and W.
            **options: for the network, such as ``key``: arrays and numbers.

        Raises:
            ValueError: a stride does not divide a size; or x has a symbolic number of
                images, and the network an operation that JAX then writes in a way that
                cannot be converted.
        """
        run = Run(self.p)
        y, _ = self._run(run, x, options)
        if run.obstacles and export.is_symbolic_dim(jnp.shape(x)[0]):
            self._check_obstacles(run, x, options)
        return y

    def _check_obstacles(self, run: Run, x: Any, options: dict) -> None:
        """Raise if the obstacles of ``run`` are more than those of a single image."""
        graph, state = nnx.split(self)
        single = Run(self.p)

        def look(x: Array, state: Any, options: dict) -> Any:
            return nnx.merge(graph, state)._run(single, x, options)[0]

        one = jax.ShapeDtypeStruct((1, *jnp.shape(x)[1:]), jnp.result_type(x))
        jax.eval_shape(look, one, state, options)
        if new := [c for c in run.obstacles if c not in single.obstacles]:
            raise ValueError(
                "with a symbolic number of images JAX writes an operation of the "
                f"network as {new[0].operation!r}, which cannot be made to commute "
                "with shifts (a strided slice becomes a gather): give the number of "
                "images, or write a slice behind a convolution as the stride of it"
            )

    def _run(self, run: Run, x: Any, options: dict) -> tuple[Any, Any]:
        """The output, and what is known of its arrays."""
        graph, state = nnx.split(self.model)

        def program(x: Array, state: Any, options: dict) -> tuple:
            model = nnx.merge(graph, state)
            return model(x, **options), nnx.state(model)

        arguments = (jnp.asarray(x), state, options)
        closed, shape = jax.make_jaxpr(program, return_shape=True)(*arguments)
        values, kinds = jax.tree.leaves(arguments), [Frame((1, 2))]
        kinds += [still(v) for v in values[1:]]
        outs, after = evaluate(run, closed.jaxpr, closed.consts, values, kinds)
        tree = jax.tree.structure(shape)
        y, new = jax.tree.unflatten(tree, outs)
        # Writing back what has not changed would fail where the network is a constant.
        same = {id(v) for v in closed.jaxpr.invars}
        count = len(jax.tree.leaves(y))
        if any(id(v) not in same for v in closed.jaxpr.outvars[count:]):
            nnx.update(self.model, new)
        return y, jax.tree.unflatten(jax.tree.structure(y), after[:count])


@dataclasses.dataclass(frozen=True)
class Conversion:
    """What `make_shift_equivariant` made, and what it knows of it.

    Attributes:
        model: the converted network.
        replaced: the operations that are evaluated otherwise.
        obstacles: the operations at which the proof stopped; what they give is used as
            it is.
        invariant: whether the outputs are shown to be circular-shift invariant.
        equivariant: whether they are shown to move with the image, at some stride.
        stride: input pixels per pixel of an equivariant output, or None.
    """

    model: ShiftEquivariant
    replaced: tuple[Change, ...]
    obstacles: tuple[Change, ...]
    invariant: bool
    equivariant: bool
    stride: int | None

    def __str__(self) -> str:
        """The report, as text."""
        if self.invariant:
            claim = "circular-shift invariant, exactly"
        elif self.equivariant:
            claim = f"circular-shift equivariant at stride {self.stride}, exactly"
        else:
            claim = "NOT shown to be circular-shift invariant"
        lines = [claim, f"replaced: {len(self.replaced)} operations"]
        lines += [f"  {c.layer}: {c.operation}, {c.what}" for c in self.replaced]
        if self.obstacles:
            lines.append(f"could not replace: {len(self.obstacles)}")
        lines += [f"  {c.layer}: {c.operation} {c.what}" for c in self.obstacles]
        return "\n".join(lines)


def make_shift_equivariant(
    model: Any,
    x: Float[Array | np.ndarray, "b h w c"],
    *,
    p: int | float | str = 2,
) -> Conversion:
    """Convert a network so that it commutes with circular shifts; the weights stay.

    The network is traced, and evaluated otherwise from then on: strided convolutions,
    strided max- and average pools and strided slices at the component of their input
    that has the largest norm, one choice for all operations on one frame; borders are
    circular; sums over all pixels are in fixed point. It does not matter by which
    library or function an operation was written. Where zero padding becomes circular,
    features near the border change, so a trained network may lose or gain accuracy:
    measure it.

    "Exactly" is as for `eqnets.polyphase`: convolutions must commute with shifts
    bit for bit, which they do on CPU on every shape tried.

    Args:
        model: a Flax NNX network of images; the report is that of its evaluation.
        x: images ``[B, H, W, C]``, or an array of their shape.
        p: the norm, as for `polyphase.norm_scores`.

    Returns:
        The converted network and the report; print it.

    Raises:
        TypeError: ``model`` is not an NNX module.
        ValueError: a stride does not divide a size: no choice of samples could then
            commute with shifts.

    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> from eqnets import models
    >>> conv = nnx.Conv(1, 2, (3, 3), strides=2, rngs=nnx.Rngs(0))
    >>> net = nnx.Sequential(conv, nnx.relu, lambda x: x.mean((1, 2)))
    >>> made = models.make_shift_equivariant(net, jnp.zeros((1, 4, 4, 1)))
    >>> made.invariant, made.obstacles
    (True, ())
    >>> made.replaced[0].layer, made.replaced[0].what
    ('layers.0', 'stride 2 at the component of the largest norm')
    """
    if not isinstance(model, nnx.Module):
        raise TypeError(
            f"expected a flax.nnx.Module, got {type(model).__name__}: make a function "
            "the __call__ of one"
        )
    run = Run(p)
    probe = ShiftEquivariant(functional.named(model), p=p)
    kinds: list[Kind] = []

    def look(x: Array) -> Any:
        y, found = probe._run(run, x, {})
        kinds.extend(jax.tree.leaves(found, is_leaf=lambda k: k is None))
        return y

    jax.eval_shape(look, jnp.asarray(x))
    frames = {k for k in kinds if isinstance(k, Frame) and not k.padded}
    moves = len(frames) == 1 and all(isinstance(k, Frame) for k in kinds)
    return Conversion(
        model=ShiftEquivariant(model, p=p),
        replaced=tuple(run.replaced),
        obstacles=tuple(run.obstacles),
        invariant=all(isinstance(k, Still) for k in kinds),
        equivariant=moves,
        stride=int(np.prod(next(iter(frames)).strides, dtype=int)) if moves else None,
    )
