"""New groups from old: products, embeddings, subgroups."""

import operator
from collections.abc import Sequence

import numpy as np

from eqnets.groups.base import MatrixGroup
from eqnets.groups.checks import count
from eqnets.groups.elements import elements
from eqnets.groups.monomial import monomial_form


def embed(G: MatrixGroup, n: int, coordinates: Sequence[int]) -> MatrixGroup:
    """G acting on chosen coordinates of n, and leaving the others alone.

    Args:
        G: a group on d coordinates.
        n: how many coordinates the result acts on.
        coordinates: d different integers in ``0 .. n - 1``.

    Raises:
        ValueError: the coordinates are not d different ones.

    >>> from eqnets import groups
    >>> about_z = groups.embed(groups.SO(2), 3, (0, 1))
    >>> about_z.lie_algebra[0, 2]
    array([0., 0., 0.])
    """
    n = count(n, "n")
    at = [operator.index(c) for c in coordinates]
    if len(set(at)) != len(at) or len(at) != G.d or not all(0 <= c < n for c in at):
        raise ValueError(
            f"coordinates must be {G.d} different integers below n={n} (one for each "
            f"coordinate of {G}), got {list(coordinates)}"
        )
    place = np.ix_(at, at)

    def put(matrices, diagonal):
        out = np.zeros((len(matrices), n, n), matrices.dtype)
        out[:] = diagonal * np.eye(n)
        for new, old in zip(out, matrices, strict=True):
            new[place] = old
        return out

    return MatrixGroup(
        lie_algebra=put(G.lie_algebra, 0.0),
        discrete=put(G.discrete, 1.0),
        name=f"{G} on {at} of {n}",
    )


def direct_product(G: MatrixGroup, H: MatrixGroup) -> MatrixGroup:
    """G x H on R^(G.d H.d) by Kronecker products g (x) h.

    For permutation groups this is the product action on pairs: Z_n x Z_n acts on
    n x n pixels. For independent actions on separate vectors use `block_product`, or
    `MatrixGroup.factor` and representations of both.

    Matrices are ``[G.d H.d, G.d H.d]``.

    >>> from eqnets import groups
    >>> pixels = groups.direct_product(groups.cyclic(2), groups.cyclic(3))
    >>> pixels == groups.translations(2, 3)
    True
    """
    name = f"{G} x {H}"
    one_g, one_h = np.eye(G.d), np.eye(H.d)
    if _are_permutations(G) and _are_permutations(H):
        pairs = np.arange(G.d * H.d)
        i, j = np.divmod(pairs, H.d)
        perms = [p[i] * H.d + j for p in G.monomial[0]]
        perms += [i * H.d + p[j] for p in H.monomial[0]]
        return MatrixGroup.from_permutations(
            np.array(perms, int).reshape(-1, len(pairs)), name=name
        )
    size = G.d * H.d
    lie = [np.kron(a, one_h) for a in G.lie_algebra]
    lie += [np.kron(one_g, b) for b in H.lie_algebra]
    disc = [np.kron(g, one_h) for g in G.discrete]
    disc += [np.kron(one_g, h) for h in H.discrete]
    return MatrixGroup(
        lie_algebra=_stacked(lie, size), discrete=_stacked(disc, size), name=name
    )


def block_product(G: MatrixGroup, H: MatrixGroup) -> MatrixGroup:
    """G x H on R^(G.d + H.d): g on the first coordinates, h on the others.

    Matrices are ``[G.d + H.d, G.d + H.d]``.

    >>> from eqnets import groups, reps
    >>> V = reps.vector(groups.block_product(groups.SO(3), groups.SO(2)))
    >>> V.size, reps.equivariant_basis(V >> V).rank  # 1 for SO(3), 2 for SO(2)
    (5, 3)
    """
    n = G.d + H.d
    left = embed(G, n, range(G.d))
    right = embed(H, n, range(G.d, n))
    return MatrixGroup(
        lie_algebra=_joined(left.lie_algebra, right.lie_algebra),
        discrete=_joined(left.discrete, right.discrete),
        name=f"{G} x {H}",
    )


def semidirect_product(
    N: MatrixGroup, K: MatrixGroup, *, limit: int = 20_000
) -> MatrixGroup:
    """N x| K for permutation groups on the same coordinates, K normalising N.

    Args:
        N: the normal subgroup.
        K: the group that acts on it by conjugation; k n k^-1 must lie in N.
        limit: the largest order of N that is listed to check this.

    Raises:
        ValueError: sizes differ, a generator is no permutation, N has more than
            ``limit`` elements, or K does not normalise N.

    >>> from eqnets import groups
    >>> p4 = groups.semidirect_product(
    ...     groups.translations(3, 3), groups.subgroup(groups.dihedral_images(3), [[0]])
    ... )
    >>> groups.order(p4)
    36
    """
    if not (_are_permutations(N) and _are_permutations(K)) or N.d != K.d:
        raise ValueError(
            f"N and K must be permutation groups of the same coordinates, got {N!r} "
            f"and {K!r}"
        )
    members = {p.tobytes() for p in monomial_form(elements(N, limit=limit))[0]}
    for k in K.monomial[0]:
        back = np.argsort(k)
        for n in N.monomial[0]:
            if k[n[back]].tobytes() not in members:
                raise ValueError(
                    f"{K} does not normalise {N}: some k n k^-1 is outside N; use "
                    "subgroup or MatrixGroup.from_permutations for a plain span"
                )
    return MatrixGroup.from_permutations(
        np.concatenate([N.monomial[0], K.monomial[0]]), name=f"{N} x| {K}"
    )


def wreath_product(G: MatrixGroup, H: MatrixGroup) -> MatrixGroup:
    """G wr H: a copy of G in each of H.d blocks, and H permuting the blocks.

    Args:
        G: any group, on d coordinates.
        H: a permutation group of m blocks; the result acts on m d coordinates.

    Raises:
        ValueError: H is not a permutation group.

    >>> from eqnets import groups
    >>> groups.order(groups.wreath_product(groups.cyclic(2), groups.symmetric(3)))
    48
    """
    if not _are_permutations(H):
        raise ValueError(f"H must be a permutation group of the blocks, got {H!r}")
    n = G.d * H.d
    lie, disc = [], []
    for block in range(H.d):
        copy = embed(G, n, range(block * G.d, (block + 1) * G.d))
        lie += list(copy.lie_algebra)
        disc += list(copy.discrete)
    disc += [np.kron(h, np.eye(G.d)) for h in H.discrete]
    return MatrixGroup(
        lie_algebra=_stacked(lie, n), discrete=_stacked(disc, n), name=f"{G} wr {H}"
    )


def subgroup(
    G: MatrixGroup,
    words: Sequence[Sequence[int]] = (),
    *,
    lie: Sequence[Sequence[int | float]] = (),
    name: str | None = None,
) -> MatrixGroup:
    """The subgroup generated by words and Lie-algebra combinations of G's generators.

    Args:
        G: the ambient group.
        words: each a sequence of indices into ``G.discrete``; ``[0, 1]`` is h_0 h_1.
        lie: each the D coefficients of an element of ``G.lie_algebra``.
        name: what the subgroup is printed as.

    Raises:
        ValueError: an index or a number of coefficients does not fit G.

    >>> from eqnets import groups
    >>> half_turn = groups.subgroup(groups.rotations(4), [[0, 0]])
    >>> half_turn.discrete[0].tolist()
    [[-1.0, 0.0], [0.0, -1.0]]
    """
    disc = G.discrete
    made = []
    for word in words:
        if not all(0 <= i < len(disc) for i in word):
            raise ValueError(
                f"words index the {len(disc)} discrete generators of {G}, got "
                f"{list(word)}"
            )
        g = np.eye(G.d, dtype=disc.dtype)
        for i in word:
            g = g @ disc[i]
        made.append(g)
    combinations = [np.asarray(c, float) for c in lie]
    if any(c.shape != (len(G.lie_algebra),) for c in combinations):
        raise ValueError(
            f"each entry of lie must have {len(G.lie_algebra)} coefficients, one for "
            f"each Lie generator of {G}"
        )
    algebra = [np.tensordot(c, G.lie_algebra, 1) for c in combinations]
    return MatrixGroup(
        lie_algebra=_stacked(algebra, G.d, G.lie_algebra.dtype),
        discrete=_stacked(made, G.d, disc.dtype),
        name=name or f"subgroup of {G}",
    )


def _are_permutations(G: MatrixGroup) -> bool:
    form = G.monomial
    return not len(G.lie_algebra) and form is not None and bool((form[1] == 1).all())


def _stacked(matrices: list, d: int, dtype: object = float) -> np.ndarray:
    return np.stack(matrices) if matrices else np.zeros((0, d, d), dtype)


def _joined(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.concatenate([a, b])
