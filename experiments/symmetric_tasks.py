"""Regression tasks with a known symmetry (Finzi, Welling & Wilson, 2021, Sec. 7).

Every task draws x from a normal distribution and computes y in double precision. The
seed fixes the examples; training and test examples come from different seeds.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from eqnets import groups, reps
from eqnets.groups import MatrixGroup
from eqnets.reps import Rep

METRIC = np.array([1.0, -1.0, -1.0, -1.0])


@dataclass(frozen=True)
class Task:
    """A task.

    Attributes:
        name: what results are filed under.
        symmetries: the groups under which it is symmetric, by name.
        rep_in: the representation of x, given the group.
        rep_out: the representation of y.
        draw: ``(rng, n) -> (x [n, size], y [n, size])``.
        scale: the size of the entries of x, by which the networks divide.
        standardise: whether y is an invariant, so that its mean may be taken away.
    """

    name: str
    symmetries: dict[str, Callable[[], MatrixGroup]]
    rep_in: Callable[[MatrixGroup], Rep]
    rep_out: Callable[[MatrixGroup], Rep]
    draw: Callable
    scale: float
    standardise: bool


def o5(rng: np.random.Generator, n: int):
    """Y = sin |a| - |b|^3 / 2 + cos(angle between a and b), a and b in R^5."""
    x = rng.standard_normal((n, 10))
    a, b = x[:, :5], x[:, 5:]
    na, nb = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
    y = np.sin(na) - 0.5 * nb**3 + (a * b).sum(1) / (na * nb)
    return x, y[:, None]


def inertia(rng: np.random.Generator, n: int):
    """Sum of m_i (|r_i|^2 1 - r_i r_i^T) over five points; m_i = softplus(normal)."""
    x = rng.standard_normal((n, 20))
    x[:, :5] = np.logaddexp(0, x[:, :5])
    m, r = x[:, :5], x[:, 5:].reshape(n, 5, 3)
    square = (r**2).sum(-1)[..., None, None] * np.eye(3)
    outer = r[..., :, None] * r[..., None, :]
    y = (m[..., None, None] * (square - outer)).sum(1)
    return x, y.reshape(n, 9)


def lorentz(rng: np.random.Generator, n: int):
    """4 L^mn M_mn of four momenta p1 .. p4, normal with standard deviation 1/4.

    L^mn = p1^m p3^n - (p1.p3 - p1.p1) eta^mn, and M likewise of p2, p4: contracted, a
    polynomial in inner products.
    """
    x = rng.standard_normal((n, 16)) / 4
    p = x.reshape(n, 4, 4).transpose(1, 0, 2)

    def dot(i, j):
        return (p[i] * METRIC * p[j]).sum(-1)

    a, b = dot(0, 2) - dot(0, 0), dot(1, 3) - dot(1, 1)
    y = dot(0, 1) * dot(2, 3) - b * dot(0, 2) - a * dot(1, 3) + 4 * a * b
    return x, 4 * y[:, None]


TASKS = {
    "O5": Task(
        "O5",
        {"O(5)": lambda: groups.O(5), "SO(5)": lambda: groups.SO(5)},
        lambda G: 2 * reps.vector(G),
        reps.scalar,
        o5,
        1.0,
        True,
    ),
    "Inertia": Task(
        "Inertia",
        {"O(3)": lambda: groups.O(3), "SO(3)": lambda: groups.SO(3)},
        lambda G: 5 * reps.scalar(G) + 5 * reps.vector(G),
        lambda G: reps.T(G, 2),
        inertia,
        1.0,
        False,
    ),
    "Lorentz": Task(
        "Lorentz",
        {"O(1,3)": groups.lorentz, "SO+(1,3)": lambda: groups.SOpq(1, 3)},
        lambda G: 4 * reps.vector(G),
        reps.scalar,
        lorentz,
        0.25,
        True,
    ),
}
