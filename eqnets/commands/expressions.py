"""Groups and representations in words, and the basis they ask for."""

import re
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eqnets import groups, reps
from eqnets.groups import MatrixGroup
from eqnets.reps import Basis, Rep

_GROUPS = {
    "trivial": groups.trivial,
    "SO": groups.SO,
    "O": groups.O,
    "SO+": groups.SOpq,
    "SOpq": groups.SOpq,
    "Opq": groups.Opq,
    "lorentz": groups.lorentz,
    "SU": groups.SU,
    "U": groups.U,
    "SL": groups.SL,
    "GL": groups.GL,
    "Sp": groups.Sp,
    "C": groups.rotations,
    "rotations": groups.rotations,
    "D": groups.dihedral,
    "dihedral": groups.dihedral,
    "Z": groups.cyclic,
    "cyclic": groups.cyclic,
    "S": groups.symmetric,
    "symmetric": groups.symmetric,
    "A": groups.alternating,
    "alternating": groups.alternating,
    "B": groups.signed_permutations,
    "signed_permutations": groups.signed_permutations,
    "translations": groups.translations,
    "p4_images": groups.p4_images,
    "p4m_images": groups.p4m_images,
    "p4": groups.p4,
    "p4m": groups.p4m,
    "dihedral_images": groups.dihedral_images,
    "cube_faces": groups.cube_faces,
    "rubiks_cube": groups.rubiks_cube,
    "pauli": groups.pauli,
    "heisenberg": groups.heisenberg,
    "scaling": groups.scaling,
}
_TOKEN = re.compile(r"\s*(>>|\*\*|[+*()',]|\d+|[A-Za-z])")


@dataclass(frozen=True)
class Solved:
    """A group, a representation, its basis, and how long it took.

    Attributes:
        group: the group.
        rep: the representation.
        basis: the certified basis.
        seconds: CPU seconds of the solve.
    """

    group: MatrixGroup
    rep: Rep
    basis: Basis
    seconds: float


def parse_group(text: str) -> MatrixGroup:
    """A group from its name, or from the generators in an .npz file.

    Args:
        text: such as ``SO(3)``, ``dihedral_images(5)``, ``cube_faces``, or the path of
            an .npz with ``discrete`` [M, d, d] or ``lie_algebra`` [D, d, d] or both.

    Raises:
        ValueError: the name is not known, or the file holds no generators.

    >>> parse_group("SO+(1, 3)").d
    4
    """
    if text.endswith(".npz"):
        return _from_file(Path(text))
    found = re.fullmatch(
        r"\s*([A-Za-z0-9_]*[A-Za-z_]\+?4?m?)\s*(?:\(([\d,\s]*)\))?\s*", text
    )
    if found is None or found[1] not in _GROUPS:
        raise ValueError(
            f"no group {text!r}: write a name with whole numbers, such as SO(3), or "
            f"the path of an .npz; names are {', '.join(_GROUPS)}"
        )
    numbers = [int(n) for n in (found[2] or "").split(",") if n.strip()]
    try:
        return _GROUPS[found[1]](*numbers)
    except TypeError as error:
        raise ValueError(f"{found[1]} does not take {len(numbers)} numbers") from error


def _from_file(path: Path) -> MatrixGroup:
    with np.load(path, allow_pickle=False) as data:
        known = {k: data[k] for k in ("lie_algebra", "discrete") if k in data.files}
    if not known:
        raise ValueError(
            f"{path} holds neither 'discrete' [M, d, d] nor 'lie_algebra' [D, d, d]: "
            "save them with np.savez"
        )
    return MatrixGroup(name=path.stem, **known)


def parse_rep(text: str, G: MatrixGroup) -> Rep:
    """A representation of G from an expression.

    ``V`` vectors, ``V'`` or ``V*`` their dual, ``1`` scalars, ``T2`` or ``T(2, 1)``
    tensors, ``2V`` or ``2 * V`` copies, ``+``, ``*``, ``**``, ``>>`` and parentheses.

    Raises:
        ValueError: the text is no such expression.

    >>> parse_rep("2V + 1 >> T(1, 1)", groups.SO(3))
    V⊗V*⊗(2V* ⊕ 1)
    """
    tokens, at = [], 0
    while text[at:].strip():
        found = _TOKEN.match(text, at)
        if found is None:
            raise ValueError(
                f"{text[at:].strip()[0]!r} in {text!r} is not part of a "
                "representation: use V, V', 1, T2, T(p, q), numbers, + * ** >> ( )"
            )
        tokens.append(found[1])
        at = found.end()
    parser = _Parser(tokens, G, text)
    rep = parser.maps()
    if parser.tokens:
        raise ValueError(f"unexpected {parser.tokens[0]!r} in {text!r}")
    return rep


class _Parser:
    """Recursive descent; `>>` binds loosest and to the right."""

    def __init__(self, tokens, G, text):
        self.tokens, self.G, self.text = tokens, G, text

    def _next(self):
        return self.tokens[0] if self.tokens else ""

    def _take(self, expected=None):
        if not self.tokens or (expected is not None and self.tokens[0] != expected):
            raise ValueError(
                f"expected {expected or 'more'} in {self.text!r}, found "
                f"{self._next() or 'the end'!r}"
            )
        return self.tokens.pop(0)

    def maps(self):
        left = self.sum()
        if self._next() == ">>":
            self._take()
            return left >> self.maps()
        return left

    def sum(self):
        total = self.product()
        while self._next() == "+":
            self._take()
            total = total + self.product()
        return total

    def product(self):
        total = self.power()
        while self._next() == "*":
            self._take()
            total = total * self.power()
        return total

    def power(self):
        base = self.factor()
        if self._next() == "**":
            self._take()
            return base ** self._whole()
        return base

    def factor(self):
        token = self._next()
        if token.isdigit():
            many = self._whole()
            if self._next() == "*" and len(self.tokens) > 1:
                self._take()
            elif self._next() not in ("V", "T", "("):
                if many == 1:
                    return reps.scalar(self.G)
                return many * reps.scalar(self.G)
            return many * self.power()
        if token == "(":
            self._take()
            inside = self.maps()
            self._take(")")
            return self._dual(inside)
        if token == "V":
            self._take()
            return self._dual(reps.vector(self.G))
        if token == "T":
            self._take()
            return self._dual(self._tensor())
        raise ValueError(
            f"expected a representation in {self.text!r}, found {token or 'the end'!r}"
        )

    def _tensor(self):
        if self._next() != "(":
            return reps.T(self.G, self._whole())
        self._take()
        p, q = self._whole(), 0
        if self._next() == ",":
            self._take()
            q = self._whole()
        self._take(")")
        return reps.T(self.G, p, q)

    def _dual(self, rep):
        following = self.tokens[1] if len(self.tokens) > 1 else ""
        star = self._next() == "*" and following in ("", ")", "+", ">>", "*", ",")
        if self._next() == "'" or star:
            self._take()
            return rep.dual
        return rep

    def _whole(self):
        token = self._take()
        if not token.isdigit():
            raise ValueError(
                f"expected a whole number in {self.text!r}, found {token!r}"
            )
        return int(token)


def map_shape(text: str, G: MatrixGroup) -> tuple[int, int] | None:
    """(W.size, V.size) of an expression "V >> W"; None for one without maps."""
    depth = 0
    for i, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if depth == 0 and text.startswith(">>", i):
            source, target = parse_rep(text[:i], G), parse_rep(text[i + 2 :], G)
            return target.size, source.size
    return None


def solve(group: str, rep: str, *, cache: str | Path | None = None) -> Solved:
    """The basis for a group and a representation given in words.

    >>> solve("Z(4)", "V >> V").basis.rank
    4
    """
    G = parse_group(group)
    R = parse_rep(rep, G)
    start = time.process_time()
    basis = reps.equivariant_basis(R, cache=cache)
    return Solved(G, R, basis, time.process_time() - start)


def describe(solved: Solved) -> str:
    """What the command prints: group, representation, rank, method, residual, time."""
    basis = solved.basis
    return "\n".join(
        [
            f"group     {solved.group}",
            f"rep       {solved.rep}  (size {basis.size})",
            f"rank      {basis.rank}",
            f"method    {basis.method}",
            f"residual  {basis.residual:.1e}",
            f"time      {solved.seconds:.4f} CPU s",
        ]
    )
