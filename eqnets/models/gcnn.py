"""Small group-convolutional networks, their filters from the same solver."""

import itertools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jaxtyping import Float

from eqnets import groups
from eqnets.groups import MatrixGroup
from eqnets.nn.equivariant import parameters, values
from eqnets.nn.linear_forms import init, linear_form
from eqnets.polyphase.phases import AnyArray, Number
from eqnets.reps import Rep, regular, scalar, vector
from eqnets.reps.base import multiple_of

KINDS = ("z2", "p4", "p4m")


def point_group(kind: str, size: int) -> MatrixGroup:
    """The turns (and mirror images) of a ``size`` x ``size`` filter.

    Args:
        kind: ``"z2"`` for none, ``"p4"`` for quarter turns, ``"p4m"`` for mirror images
            too.
        size: the odd width of the filter, at least 3.

    Raises:
        ValueError: another kind, or an even or too small size.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    if size < 3 or size % 2 == 0:
        raise ValueError(f"size must be odd and at least 3, got {size}")
    square = groups.dihedral_images(size)
    words = {"z2": [[]], "p4": [[0]], "p4m": [[0], [1]]}[kind]
    return groups.subgroup(square, words, name=f"{kind} point group")


class GroupConv(nnx.Module):
    """A periodic convolution whose filter commutes with a point group.

    The filter is an equivariant linear map from patches: W: V_in (x) pixels -> V_out.
    For regular representations it is the group convolution of Cohen & Welling (2016).

    Args:
        rep_in: of the point group, the channels of the input.
        rep_out: of the point group, the channels of the output.
        size: the width of the filter.
        rngs: initialises the filter.
    """

    def __init__(self, rep_in: Rep, rep_out: Rep, size: int, *, rngs: nnx.Rngs):
        self.rep_in, self.rep_out, self.size = rep_in, rep_out, size
        (group,) = rep_out.groups
        self.patches = rep_in * vector(group)
        form = linear_form(self.patches, rep_out)
        self.kernel = parameters(init(form, rngs.params(), gain=2**0.5))

    def filter(self) -> Float[Array, "h w i o"]:
        """The filter ``[size, size, in, out]``."""
        form = linear_form(self.patches, self.rep_out)
        w = form.matrix(values(self.kernel), jnp.zeros((), jnp.float32))
        w = w.reshape(self.rep_out.size, self.rep_in.size, self.size, self.size)
        return w.transpose(2, 3, 1, 0)

    def __call__(self, x: Float[AnyArray, "b h w i"]) -> Float[Array, "b h w o"]:
        """``[B, H, W, rep_in.size] -> [B, H, W, rep_out.size]``."""
        edge = self.size // 2
        padded = jnp.pad(x, ((0, 0), (edge, edge), (edge, edge), (0, 0)), mode="wrap")
        return jax.lax.conv_general_dilated(
            padded,
            self.filter().astype(x.dtype),
            (1, 1),
            "VALID",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )


class GCNN(nnx.Module):
    """Group convolutions, a mean over pixels and group elements, a dense head."""

    def __init__(
        self,
        kind: str,
        channels: int,
        classes: int,
        widths: Sequence[int],
        size: int,
        rngs: nnx.Rngs,
    ):
        group = point_group(kind, size)
        fields = [multiple_of(channels, scalar(group))]
        fields += [multiple_of(w, regular(group)) for w in widths]
        self.layers = nnx.List(
            GroupConv(a, b, size, rngs=rngs) for a, b in itertools.pairwise(fields)
        )
        self.width = widths[-1]
        self.head = nnx.Linear(self.width, classes, rngs=rngs)

    def features(self, x: Float[AnyArray, "b h w c"]) -> Float[Array, "b h w f"]:
        """Equivariant feature maps ``[B, H, W, width |H|]``."""
        for layer in self.layers:
            x = jax.nn.relu(layer(x))
        return x

    def __call__(
        self,
        x: Float[AnyArray, "b h w c"],
        *,
        key: Array | None = None,
        temperature: Number = 1.0,
    ) -> Float[Array, "b k"]:
        """``[B, H, W, C] -> [B, K]``; the options are not used."""
        maps = self.features(x)
        pooled = maps.reshape(*maps.shape[:-1], self.width, -1).mean((1, 2, 4))
        return self.head(pooled)


def gcnn(
    kind: str,
    num_classes: int,
    *,
    channels: int = 1,
    widths: Sequence[int] = (8, 8, 8),
    size: int = 3,
    rngs: nnx.Rngs,
) -> GCNN:
    """An image classifier invariant to shifts, and to turns and mirror images.

    Args:
        kind: ``"z2"``, ``"p4"`` or ``"p4m"``.
        num_classes: the number of logits.
        channels: of the images.
        widths: regular feature maps of each layer.
        size: the odd width of the filters.
        rngs: initialises the parameters.

    >>> net = gcnn("p4", 10, widths=(2, 2), rngs=nnx.Rngs(0))
    >>> net(jnp.ones((1, 8, 8, 1))).shape
    (1, 10)
    """
    return GCNN(kind, channels, num_classes, tuple(widths), size, rngs)
