"""Equivariant networks with less symmetry, or with none that is enforced."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from jaxtyping import Num

from eqnets.groups import MatrixGroup
from eqnets.models.emlp import EMLP
from eqnets.nn import EquivariantLinear, ResidualPathwayLinear
from eqnets.nn.equivariant import parameters
from eqnets.nn.linear_forms import linear_form
from eqnets.polyphase.phases import AnyArray, Number
from eqnets.reps import restrict
from eqnets.reps.base import Scalar

_TENSOR_BYTES = 2**30


def restrict_to_subgroup(net: EMLP, subgroup: MatrixGroup) -> EMLP:
    """The same function with the freedom to break the symmetry down to a subgroup.

    Every linear layer gets the weights that commute with the subgroup, more than
    before, and starts with the matrix it had. Products and gates stay as they are.

    Args:
        net: an EMLP, trained or not.
        subgroup: a group on the same coordinates whose elements lie in the network's.

    Raises:
        ValueError: the coordinates differ, or layers have free weights already.

    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> from eqnets import groups, models, reps
    >>> G = groups.cyclic(4)
    >>> V = reps.vector(G)
    >>> net = models.emlp(V, V, G, ch=V, num_layers=1, rngs=nnx.Rngs(0))
    >>> freer = models.restrict_to_subgroup(net, groups.subgroup(G, [[0, 0]]))
    >>> net.head.rank, freer.head.rank
    (4, 8)
    >>> x = jnp.array([1.0, 2.0, 3.0, 4.0])
    >>> bool(jnp.allclose(freer(x), net(x), atol=1e-5))  # the same function
    True
    """
    if not isinstance(net.head, EquivariantLinear):
        raise ValueError(
            f"the network has layers of {type(net.head).__name__}, whose free weights "
            "do not commute with the subgroup; restrict an emlp"
        )
    out = nnx.clone(net)
    for block in out.blocks:
        block.linear = _restricted(block.linear, subgroup)
    out.head = _restricted(out.head, subgroup)
    first = out.blocks[0].linear if out.blocks else out.head
    out.rep_in, out.rep_out = first.rep_in, out.head.rep_out
    return out


def _restricted(layer: EquivariantLinear, subgroup) -> EquivariantLinear:
    rep_in, rep_out = (restrict(r, subgroup) for r in (layer.rep_in, layer.rep_out))
    new = EquivariantLinear(rep_in, rep_out, rngs=nnx.Rngs(0))
    weights = linear_form(rep_in, rep_out).fit(layer.matrix())
    bias = linear_form(Scalar(rep_out.groups), rep_out).fit(layer.offset()[:, None])
    new.kernel, new.bias = parameters(_single(weights)), parameters(_single(bias))
    return new


def _single(params):
    return {k: jnp.asarray(v, jnp.float32) for k, v in params.items()}


class DenseBlock(nnx.Module):
    """h = W x + b, h + h^T B h, then each entry times the sigmoid of its gate's."""

    def __init__(self, linear: nnx.Linear, bilinear: Array | None, gates: np.ndarray):
        self.linear = linear
        self.bilinear = None if bilinear is None else nnx.Param(bilinear)
        self.gates = tuple(int(i) for i in gates)

    def __call__(self, x: Num[AnyArray, "..."]) -> Num[Array, "..."]:
        """``[..., n_in] -> [..., n_out]``."""
        h = self.linear(x)
        if self.bilinear is not None:
            h = h + jnp.einsum("...i,kij,...j->...k", h, self.bilinear[...], h)
        gates = h[..., np.array(self.gates)]
        return h[..., : len(self.gates)] * jax.nn.sigmoid(gates.real)


class DenseEMLP(nnx.Module):
    """A network of plain dense layers; see `to_dense`."""

    def __init__(self, blocks: list[DenseBlock], head: nnx.Linear):
        self.blocks, self.head = nnx.List(blocks), head

    def __call__(
        self,
        x: Num[AnyArray, "..."],
        *,
        key: Array | None = None,
        temperature: Number = 1.0,
    ) -> Num[Array, "..."]:
        """``[..., n_in] -> [..., n_out]``; the options are not used."""
        for block in self.blocks:
            x = block(x)
        return self.head(x)


def to_dense(net: nnx.Module) -> DenseEMLP:
    """The same function with plain weights: nothing of groups is left.

    Args:
        net: an EMLP, trained or not; the weights of a complex one are complex.

    Raises:
        TypeError: ``net`` is no EMLP.
        ValueError: the tensor of a quadratic term would take more than a GiB (build it
            with ``bilinear=False``, or narrower).

    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> from eqnets import groups, models, reps
    >>> G = groups.cyclic(4)
    >>> V = reps.vector(G)
    >>> net = models.emlp(V, V, G, ch=V, num_layers=1, rngs=nnx.Rngs(0))
    >>> x = jnp.array([1.0, 2.0, 3.0, 4.0])
    >>> bool(jnp.allclose(models.to_dense(net)(x), net(x), atol=1e-5))
    True
    """
    if not isinstance(net, EMLP):
        raise TypeError(
            f"net must be an EMLP, as models.emlp returns, got {type(net).__name__}"
        )
    blocks = []
    for block in net.blocks:
        tensor = None if block.bilinear is None else _tensor(block.bilinear)
        gates = block.gate.gate_places()
        blocks.append(DenseBlock(dense_linear(block.linear), tensor, gates))
    return DenseEMLP(blocks, dense_linear(net.head))


def dense_linear(layer: EquivariantLinear | ResidualPathwayLinear) -> nnx.Linear:
    """The layer as an `nnx.Linear` with the same kernel and bias."""
    kernel, bias = layer.matrix().T, layer.offset()
    dtype = jnp.result_type(kernel, bias)
    out = nnx.Linear(*kernel.shape, param_dtype=dtype, rngs=nnx.Rngs(0))
    out.kernel[...] = jnp.asarray(kernel, dtype)
    out.bias[...] = jnp.asarray(bias, dtype)
    return out


def _tensor(layer) -> Array:
    """B ``[n_out, n_in, n_in]``, symmetric, from the values at sums of unit vectors."""
    n, m = layer.rep_in.size, layer.rep_out.size
    dtype = np.dtype(np.complex64 if layer.rep_in.is_complex else np.float32)
    if dtype.itemsize * n * n * max(n, m) > _TENSOR_BYTES:
        raise ValueError(
            f"the dense tensor [{m}, {n}, {n}] of a quadratic term is too large: build "
            "the network with bilinear=False, or narrower"
        )
    eye = jnp.eye(n, dtype=dtype)
    single = layer(eye)
    pairs = layer((eye[:, None] + eye[None]).reshape(n * n, n)).reshape(n, n, m)
    tensor = (pairs - single[:, None] - single[None]) / 2
    return tensor.transpose(2, 0, 1)
