"""Which equivariant quadratic form a pair of representations gets."""

from functools import lru_cache

import jax
import jax.numpy as jnp
from jax import Array, lax

from eqnets.nn.coupled_form import CoupledForm
from eqnets.nn.linear_forms import (
    LinearForm,
    Params,
    init,
    linear_form,
    shared_table,
)
from eqnets.reps import Rep
from eqnets.reps.base import Scalar, Sum, sum_of


class LiftedForm:
    """L(u (x) x) with an equivariant linear L: for groups that are not reductive.

    u holds, of each kind of summand, one mixture of its copies; of scalars only where
    ``invariants`` are to multiply the rest.
    """

    def __init__(self, rep_in: Rep, rep_out: Rep, *, invariants: bool = True):
        terms = rep_in.terms if isinstance(rep_in, Sum) else ((1, rep_in),)
        kinds = dict.fromkeys(t for _, t in terms)
        left = [t for t in kinds if invariants or not isinstance(t, Scalar)]
        self.n_out = rep_out.size
        self.mix: LinearForm | None = None
        if left:
            self.mix = linear_form(rep_in, sum_of(left))
            self.lift: LinearForm = linear_form(sum_of(left) * rep_in, rep_out)

    def init(self, key: Array, gain: float) -> Params:
        """Parameters of the mixtures and of L."""
        if self.mix is None:
            return {}
        a, b = jax.random.split(key)
        mix, lift = init(self.mix, a), init(self.lift, b, gain=gain)
        return {f"mix_{k}": v for k, v in mix.items()} | {
            f"lift_{k}": v for k, v in lift.items()
        }

    def apply(self, params: Params, x: Array) -> Array:
        """B(x, x) of columns, ``[n_in, B] -> [n_out, B]``."""
        if self.mix is None:
            return jnp.zeros((self.n_out, x.shape[-1]), x.dtype)
        u = self.mix.apply(_under(params, "mix_"), x)
        pairs = lax.collapse(u[:, None] * x[None], 0, 2)
        return self.lift.apply(_under(params, "lift_"), pairs)


def _under(params: Params, prefix: str) -> Params:
    return {
        k.removeprefix(prefix): v for k, v in params.items() if k.startswith(prefix)
    }


@lru_cache(maxsize=64)
def bilinear_form(
    rep_in: Rep,
    rep_out: Rep,
    among: tuple[Rep, ...] | None = None,
    *,
    invariants: bool = True,
) -> CoupledForm | LiftedForm:
    """The form for a pair of representations, solved once; ``among`` as for linear."""
    table, at = shared_table(rep_in, rep_out, among)
    if table is None:
        return LiftedForm(rep_in, rep_out, invariants=invariants)
    return CoupledForm(rep_in, rep_out, table, at, invariants=invariants)
