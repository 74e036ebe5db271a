"""Networks as vector fields: Hamiltonian systems and neural ODEs."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from eqnets.io.extras import extra_package
from eqnets.polyphase.phases import AnyArray

Field = Callable[[Array], Array]


def hamiltonian_field(energy: Callable[[Array], Array]) -> Field:
    """(dq/dt, dp/dt) = (dH/dp, -dH/dq) of H(q, p) (Greydanus et al., 2019).

    Args:
        energy: ``[..., 2 n] -> [..., 1]``, such as an `emlp` to a scalar. Where it is
            invariant and the group acts on p as the dual of q, the field is
            equivariant, and every flow of the group conserves a momentum.

    Returns:
        The field ``[..., 2 n] -> [..., 2 n]``; z holds q, then p.

    Raises:
        ValueError: from the field, where z has an odd size.

    >>> import jax.numpy as jnp
    >>> from eqnets import models
    >>> field = models.hamiltonian_field(lambda z: (z**2).sum(-1, keepdims=True) / 2)
    >>> field(jnp.array([1.0, 0.0])).tolist()  # a harmonic oscillator
    [0.0, -1.0]
    """

    def field(z):
        if z.shape[-1] % 2:
            raise ValueError(
                f"z must hold as many momenta as positions, got shape {z.shape}"
            )
        gradient = jax.grad(lambda z: energy(z).sum())(z)
        q, p = jnp.split(gradient, 2, axis=-1)
        return jnp.concatenate([p, -q], axis=-1)

    return field


def integrate(
    field: Field,
    z0: Float[AnyArray, "b n"],
    times: Float[AnyArray, " t"],
    *,
    rtol: float = 1e-6,
    atol: float = 1e-6,
    max_steps: int = 16**4,
    throw: bool = True,
    forward: bool = False,
) -> Float[Array, "b t n"]:
    """Solutions of dz/dt = field(z) at given times, by Dormand-Prince 5(4) of diffrax.

    The trajectories are solved together with one step size. Differentiable in z0 and in
    what the field closes over, in the one mode of ``forward``.

    Args:
        field: ``[B, n] -> [B, n]``.
        z0: the states at ``times[0]``, ``[B, n]``.
        times: ``[T]``, increasing, or decreasing to go back.
        rtol: relative tolerance of a step.
        atol: absolute tolerance of a step.
        max_steps: how many steps may be taken.
        forward: derivatives by `jax.jvp`, as Lie derivatives take, and not by
            `jax.grad`.
        throw: whether it is an error that these did not suffice, as where a learned
            field runs away; if not, states that were not reached are infinite.

    Returns:
        ``[B, T, n]``.

    Raises:
        ImportError: diffrax is not installed.
        ValueError: ``max_steps`` is not positive, ``z0`` is no batch, or ``times`` are
            not monotone.
        RuntimeError: ``max_steps`` did not suffice.

    >>> import jax.numpy as jnp
    >>> from eqnets import models
    >>> decay = lambda z: -z
    >>> path = models.integrate(decay, jnp.ones((1, 2)), jnp.array([0.0, 1.0]))
    >>> path.shape, bool(jnp.allclose(path[0, 1], jnp.exp(-1.0), atol=1e-4))
    ((1, 2, 2), True)
    """
    if max_steps < 1:
        raise ValueError(f"max_steps must be at least 1, got {max_steps}")
    diffrax = extra_package("diffrax", "experiments")
    times, z0 = jnp.asarray(times), jnp.asarray(z0)
    if z0.ndim != 2:
        raise ValueError(f"z0 must be states [B, n], got shape {z0.shape}")
    if not isinstance(times, jax.core.Tracer) and len(times) > 1:
        steps = np.diff(np.asarray(times))
        if not ((steps > 0).all() or (steps < 0).all()):
            raise ValueError(f"times must increase, or decrease, got {times}")
    adjoint = diffrax.ForwardMode() if forward else diffrax.RecursiveCheckpointAdjoint()
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(lambda t, z, _: field(z)),
        diffrax.Dopri5(),
        t0=times[0],
        t1=times[-1],
        dt0=None,
        y0=z0,
        saveat=diffrax.SaveAt(ts=times),
        stepsize_controller=diffrax.PIDController(rtol=rtol, atol=atol),
        max_steps=max_steps,
        throw=throw,
        adjoint=adjoint,
    )
    return solution.ys.swapaxes(0, 1)
