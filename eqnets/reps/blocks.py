"""A representation as a direct sum of tensor products of atoms.

A tensor product of sums is a sum of tensor products whose coordinates are scattered
over the vector; the solver works on each kind of product once and needs to know where
its copies lie.
"""

from dataclasses import dataclass

import numpy as np

from eqnets.reps.base import Atom, Dual, Product, Rep, Scalar, Sum


@dataclass(frozen=True, eq=False)
class Block:
    """All copies of one tensor product of atoms.

    Attributes:
        atoms: the factors, in the order that `positions` uses; sorted, so that
            ``V ⊗ V*`` and ``V* ⊗ V`` are solved once.
        positions: ``[copies, n]`` coordinates in the whole vector, or None where the
            block is the whole vector in its own order.
    """

    atoms: tuple[Atom, ...]
    positions: np.ndarray | None


def blocks(rep: Rep) -> list[Block]:
    """The blocks of a representation, each kind of tensor product once.

    >>> from eqnets import groups, reps
    >>> V = reps.vector(groups.cyclic(2))
    >>> [b.positions.shape for b in blocks((V + V) * V)]
    [(2, 4)]
    """
    plain = _single(rep)
    if plain is not None and _sort_order(plain) == list(range(len(plain))):
        return [Block(plain, None)]
    found: dict[tuple[str, ...], tuple[tuple[Atom, ...], list[np.ndarray]]] = {}
    for atoms, positions in _expand(rep):
        order = _sort_order(atoms)
        if order != list(range(len(atoms))):
            shape = [a.size for a in atoms]
            copies = len(positions)
            axes = [0, *(i + 1 for i in order)]
            positions = positions.reshape(copies, *shape).transpose(axes)
            positions = positions.reshape(copies, -1)
            atoms = tuple(atoms[i] for i in order)
        key = tuple(_atom_key(a) for a in atoms)
        found.setdefault(key, (atoms, []))[1].append(positions)
    return [Block(atoms, np.concatenate(p)) for atoms, p in found.values()]


def _single(rep):
    """The atoms of a representation that is one tensor product, else None."""
    if isinstance(rep, Scalar):
        return ()
    if isinstance(rep, Atom):
        return (_plain(rep),)
    if isinstance(rep, Product) and all(isinstance(f, Atom) for f in rep.factors):
        return tuple(_plain(f) for f in rep.factors)
    return None


def _plain(atom: Atom) -> Atom:
    """The atom, or what it is the dual of where the two are the same matrices."""
    if isinstance(atom, Dual) and atom.of.images.is_orthogonal:
        return atom.of
    return atom


def _atom_key(atom: Atom) -> str:
    return atom.group.digest + atom.digest


def _sort_order(atoms) -> list[int]:
    """A stable sort by group, then by atom; groups in order of appearance."""
    groups = list(dict.fromkeys(a.group for a in atoms))

    def key(i):
        # Atoms before their duals, else by content: the order must not depend on which
        # product met them first, or V (x) V* and V* (x) V would be two problems.
        atom = atoms[i]
        return (groups.index(atom.group), isinstance(atom, Dual), atom.digest)

    return sorted(range(len(atoms)), key=key)


def _expand(rep):
    """(atoms, positions ``[copies, n]``) of each tensor product in ``rep``."""
    single = _single(rep)
    if single is not None:
        return [(single, np.arange(rep.size)[None])]
    if isinstance(rep, Sum):
        out, start = [], 0
        for m, term in rep.terms:
            shifts = start + term.size * np.arange(m)
            for atoms, positions in _expand(term):
                shifted = shifts[:, None, None] + positions
                out.append((atoms, shifted.reshape(-1, positions.shape[1])))
            start += m * term.size
        return out
    out = [((), np.zeros((1, 1), np.int64))]
    for factor in rep.factors:
        out = [
            (a + b, _outer(p, q, factor.size))
            for a, p in out
            for b, q in _expand(factor)
        ]
    return out


def _outer(p, q, size):
    both = p[:, None, :, None] * size + q[None, :, None, :]
    return both.reshape(len(p) * len(q), -1)
