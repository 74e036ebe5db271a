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
class Constants:
    """y = scale_y f((x - mean_x) / scale_x) + mean_y, all fixed by the group.

    Attributes:
        mean_x: ``[n]`` or a number; zero where the group acts.
        scale_x: one for each kind of tensor, likewise.
        mean_y: a number; zero unless y is an invariant.
        scale_y: a number.
    """

    mean_x: np.ndarray | float
    scale_x: np.ndarray | float
    mean_y: float
    scale_y: float


@dataclass(frozen=True)
class Task:
    """A task.

    Attributes:
        name: what results are filed under.
        symmetries: the groups under which it is symmetric, by name.
        rep_in: the representation of x, given the group.
        rep_out: the representation of y.
        draw: ``(rng, n) -> (x [n, size], y [n, size])``.
        constants: ``(x, y) -> Constants`` of training examples.
    """

    name: str
    symmetries: dict[str, Callable[[], MatrixGroup]]
    rep_in: Callable[[MatrixGroup], Rep]
    rep_out: Callable[[MatrixGroup], Rep]
    draw: Callable
    constants: Callable[[np.ndarray, np.ndarray], Constants]


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


def of_invariants(size: float) -> Callable[[np.ndarray, np.ndarray], Constants]:
    """Vectors whose entries have this size in, an invariant of mean and spread out."""
    return lambda _, y: Constants(0.0, size, float(y.mean()), float(y.std()))


def of_bodies(x: np.ndarray, y: np.ndarray) -> Constants:
    """Constants for `inertia`: masses lose their mean; all scales are mean sizes."""
    masses = np.arange(x.shape[1]) < 5
    size = np.where(masses, np.abs(x).mean(0), np.abs(x[:, 5:]).mean())
    return Constants(
        np.where(masses, x.mean(0), 0.0), size, 0.0, float(np.abs(y).mean())
    )


TASKS = {
    "O5": Task(
        "O5",
        {"O(5)": lambda: groups.O(5), "SO(5)": lambda: groups.SO(5)},
        lambda G: 2 * reps.vector(G),
        reps.scalar,
        o5,
        of_invariants(1.0),
    ),
    "Inertia": Task(
        "Inertia",
        {"O(3)": lambda: groups.O(3), "SO(3)": lambda: groups.SO(3)},
        lambda G: 5 * reps.scalar(G) + 5 * reps.vector(G),
        lambda G: reps.T(G, 2),
        inertia,
        of_bodies,
    ),
    "Lorentz": Task(
        "Lorentz",
        {"O(1,3)": groups.lorentz, "SO+(1,3)": lambda: groups.SOpq(1, 3)},
        lambda G: 4 * reps.vector(G),
        reps.scalar,
        lorentz,
        of_invariants(0.25),
    ),
}
