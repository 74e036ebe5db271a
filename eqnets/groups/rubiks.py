"""Rubik's cube on its 48 moving stickers, from the geometry of the quarter turns."""

import itertools

import numpy as np

from eqnets.groups.base import MatrixGroup


def rubiks_cube() -> MatrixGroup:
    """The Rubik's cube group: six quarter turns of 48 stickers.

    Its order is 43252003274489856000. A sticker is a cubie position in {-1, 0, 1}^3
    with the face it looks through; the face centres never move and are left out.

    >>> from eqnets import groups, reps
    >>> V = reps.vector(groups.rubiks_cube())
    >>> reps.equivariant_basis(V).rank  # corner and edge stickers never mix
    2
    """
    stickers = _stickers()
    number = {sticker: i for i, sticker in enumerate(stickers)}
    perms = []
    for axis, side in itertools.product(range(3), (-1, 1)):
        turned = [_turned(s, axis) if s[0][axis] == side else s for s in stickers]
        perms.append([number[s] for s in turned])
    return MatrixGroup.from_permutations(np.array(perms), name="Rubik's cube")


def _stickers() -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """(position, outward normal) of each sticker that a turn can move."""
    out = []
    for normal_axis, side in itertools.product(range(3), (-1, 1)):
        normal = tuple(side * (a == normal_axis) for a in range(3))
        for position in itertools.product((-1, 0, 1), repeat=3):
            is_centre = sum(map(abs, position)) == 1
            if position[normal_axis] == side and not is_centre:
                out.append((position, normal))
    return out


def _turned(sticker, axis: int):
    """The sticker after a quarter turn about a coordinate axis."""

    def turn(x):
        x = list(x)
        b, c = (axis + 1) % 3, (axis + 2) % 3
        x[b], x[c] = -x[c], x[b]
        return tuple(x)

    position, normal = sticker
    return turn(position), turn(normal)
