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
    """Group convolutions, normalised by field; means over pixels and group elements.

    A field's statistics are shared by its group elements, so that normalisation
    commutes with the group; so do means over squares of pixels that tile the image.
    """

    def __init__(
        self,
        kind: str,
        channels: int,
        classes: int,
        widths: Sequence[int],
        size: int,
        pool: int,
        rngs: nnx.Rngs,
    ):
        group = point_group(kind, size)
        fields = [multiple_of(channels, scalar(group))]
        fields += [multiple_of(w, regular(group)) for w in widths]
        self.layers = nnx.List(
            GroupConv(a, b, size, rngs=rngs) for a, b in itertools.pairwise(fields)
        )
        self.norms = nnx.List(
            nnx.BatchNorm(w, axis=-2, momentum=0.9, rngs=rngs) for w in widths
        )
        self.width, self.pool = widths[-1], pool
        self.head = nnx.Linear(self.width, classes, rngs=rngs)

    def features(self, x: Float[AnyArray, "b h w c"]) -> Float[Array, "b h_ w_ f"]:
        """Equivariant feature maps, ``[B, h, w, width |H|]``."""
        x = jnp.asarray(x)
        self._check_size(x)
        for i, (layer, norm) in enumerate(zip(self.layers, self.norms, strict=True)):
            if i and self.pool > 1:
                b, h, w, c = x.shape
                k = self.pool
                x = x.reshape(b, h // k, k, w // k, k, c).mean((2, 4))
            x = layer(x)
            fields = x.reshape(*x.shape[:-1], norm.num_features, -1)
            x = jax.nn.relu(norm(fields)).reshape(x.shape)
        return x

    def _check_size(self, x: Array) -> None:
        stride = self.pool ** (len(self.layers) - 1)
        if any(n % stride for n in x.shape[1:3]):
            raise ValueError(
                f"{len(self.layers)} layers with pool={self.pool} need images whose "
                f"sides are multiples of {stride}, got {x.shape[1]} x {x.shape[2]}: "
                "squares that do not tile the image would not turn with it"
            )

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
    pool: int = 1,
    rngs: nnx.Rngs,
) -> GCNN:
    """An image classifier invariant to shifts, and to turns and mirror images.

    With ``pool`` above 1 the invariance to turns and mirror images stays exact, and
    that to shifts holds for multiples of ``pool ** (len(widths) - 1)`` pixels.

    Args:
        kind: ``"z2"``, ``"p4"`` or ``"p4m"``.
        num_classes: the number of logits.
        channels: of the images.
        widths: regular feature maps of each layer.
        size: the odd width of the filters.
        pool: between two layers, each square of so many pixels becomes its mean.
        rngs: initialises the parameters.

    Raises:
        ValueError: an unknown kind, or a size or pool that does not fit.

    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> from eqnets import models
    >>> net = models.gcnn("p4", 10, widths=(2, 2), rngs=nnx.Rngs(0))
    >>> net(jnp.ones((1, 8, 8, 1))).shape
    (1, 10)
    """
    if pool < 1:
        raise ValueError(f"pool must be at least 1 (no pooling), got {pool}")
    return GCNN(kind, channels, num_classes, tuple(widths), size, pool, rngs)
