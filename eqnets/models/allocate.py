"""Which representation the hidden layers have."""

import math
from typing import SupportsIndex

from eqnets.groups import MatrixGroup
from eqnets.groups.checks import count
from eqnets.reps import Rep, T, scalar
from eqnets.reps.base import multiple_of, sum_of
from eqnets.reps.blocks import blocks


def uniform_rep(group: MatrixGroup, ch: SupportsIndex) -> Rep:
    """A sum of tensors of size ``ch``, its coordinates even over the tensor ranks.

    The largest rank r with (r + 1) d^r <= ch takes part; each rank 0 .. r gets the same
    number of coordinates, and what is left over is shared out in the same way (Finzi,
    Welling & Wilson, 2021, Sec. 6). Tensors of one rank go to T(p, rank - p) in
    binomial shares, rounded without chance; for orthogonal groups these are all equal.

    Raises:
        TypeError, ValueError: ``ch`` is not a positive integer.

    >>> from eqnets import groups, models
    >>> [m for m, tensor in models.uniform_rep(groups.O(5), 384).terms]  # 1, V, V (x) V
    [134, 25, 5]
    """
    counts, left = {}, count(ch, "ch")
    while left:
        top = _top_rank(left, group.d)
        for rank in range(top + 1):
            counts[rank] = counts.get(rank, 0) + group.d ** (top - rank)
        left -= (top + 1) * group.d**top
    parts = []
    for rank, total in sorted(counts.items()):
        for p, share in _binomial_shares(total, rank):
            parts.append(multiple_of(share, _tensor(group, p, rank - p)))
    return sum_of(parts)


def _top_rank(ch: int, d: int) -> int:
    if d == 1:
        return 1 if ch >= 2 else 0
    rank = 0
    while (rank + 2) * d ** (rank + 1) <= ch:
        rank += 1
    return rank


def _tensor(group, p, q):
    """T(p, q), or T(p + q) where V and its dual are the same matrices."""
    if q and blocks(T(group, 0, 1))[0].atoms == blocks(T(group, 1))[0].atoms:
        p, q = p + q, 0
    return T(group, p, q) if p + q else scalar(group)


def _binomial_shares(total: int, rank: int) -> list[tuple[int, int]]:
    """(p, how many of T(p, rank - p)): largest remainders of the binomial law."""
    ideal = [total * math.comb(rank, p) / 2**rank for p in range(rank + 1)]
    shares = [math.floor(x) for x in ideal]
    order = sorted(range(rank + 1), key=lambda p: (shares[p] - ideal[p], -p))
    for p in order[: total - sum(shares)]:
        shares[p] += 1
    return [(p, n) for p, n in reversed(list(enumerate(shares))) if n]
