"""Try all circular shifts of an input and report the worst."""

import dataclasses
import itertools
from collections.abc import Callable, Iterable

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Int, Shaped

AnyArray = Array | np.ndarray


@dataclasses.dataclass(frozen=True)
class ShiftReport:
    """What `check_equivariance` found.

    Attributes:
        differences: the largest absolute difference of every shift and example,
            ``[S, B]``; nan where an output was not a number.
        shifts: the shifts ``(dy, dx)`` in pixels, ``[S, 2]``.
    """

    differences: Float[np.ndarray, "s b"]
    shifts: Int[np.ndarray, "s 2"]

    @property
    def worst(self) -> float:
        """The largest difference of all; nan or infinite if any is."""
        return float(self.differences.flat[self._where()])

    @property
    def shift(self) -> tuple[int, int]:
        """The shift ``(dy, dx)`` of the largest difference."""
        dy, dx = self.shifts[self._where() // self.differences.shape[1]]
        return int(dy), int(dx)

    @property
    def example(self) -> int:
        """The index of the example with the largest difference."""
        return self._where() % self.differences.shape[1]

    def violations(self, tol: int | float) -> int:
        """How many pairs of shift and example differ by more than ``tol``."""
        return int(np.sum(~(self.differences <= tol)))

    def _where(self) -> int:
        bad = np.where(np.isnan(self.differences), np.inf, self.differences)
        return int(np.argmax(bad))


def check_equivariance(
    f: Callable[[Array], Shaped[AnyArray, "..."]],
    x: Float[AnyArray, "b h w c"],
    *,
    shifts: Iterable[tuple[int, int]] | None = None,
    output: str = "invariant",
    stride: int = 1,
) -> ShiftReport:
    """Compare ``f`` of circularly shifted inputs with the shifted ``f`` of the input.

    ``"invariant"``: ``f(roll(x, d)) == f(x)``. ``"equivariant"``: ``f(roll(x, d)) ==
    roll(f(x), d / stride)``, where a shift that the stride does not divide may round
    either way on each axis (Rojas-Gomez et al., 2022, equation 1), per example.

    Args:
        f: maps ``[B, H, W, C]`` to ``[B, ...]``, or ``[B, H / stride, W / stride,
            ...]`` if equivariant. Jit it: it runs once per shift.
        x: the images.
        shifts: pairs ``(dy, dx)`` in pixels; None tries all ``H * W``.
        output: ``"invariant"`` or ``"equivariant"``.
        stride: input pixels per output pixel.

    Returns:
        A report with ``.worst``, ``.shift`` and ``.violations(tol)``.

    Raises:
        ValueError: no shifts, an unknown ``output``, or an output whose shape cannot
            be the one claimed.

    >>> import jax
    >>> from eqnets import measure
    >>> x = jax.random.normal(jax.random.key(0), (1, 4, 4, 1))
    >>> decimated = lambda x: x[:, ::2, ::2].mean((1, 2))
    >>> measure.check_equivariance(decimated, x).violations(1e-6)
    12
    >>> measure.check_equivariance(lambda x: 2 * x, x, output="equivariant").worst
    0.0
    """
    if output not in ("invariant", "equivariant"):
        raise ValueError(f'output must be "invariant" or "equivariant", got {output!r}')
    if shifts is None:
        shifts = itertools.product(range(x.shape[1]), range(x.shape[2]))
    tried = np.array(list(shifts), np.int64).reshape(-1, 2)
    if not len(tried):
        raise ValueError("there are no shifts to try")
    # NumPy rolls: a static jnp.roll would compile anew for every shift.
    x = np.asarray(x)
    reference = np.asarray(f(jnp.asarray(x)))
    _check_shape(reference, x, output, stride)
    rows = []
    for dy, dx in tried.tolist():
        y = np.asarray(f(jnp.asarray(np.roll(x, (dy, dx), (1, 2)))))
        if y.shape != reference.shape:
            raise ValueError(f"f returned {y.shape} after {reference.shape}")
        rolls = [(0, 0)] if output == "invariant" else _roundings(dy, dx, stride)
        candidates = [_largest(y, reference, roll) for roll in rolls]
        # fmin would prefer a number to nan, and call a broken output equivariant.
        rows.append(np.minimum.reduce(candidates))
    return ShiftReport(np.array(rows), tried)


def _check_shape(y: np.ndarray, x: AnyArray, output: str, stride: int) -> None:
    if y.ndim < 1 or y.shape[0] != x.shape[0]:
        raise ValueError(
            f"f must keep the batch axis: {x.shape} gave an output of shape {y.shape}"
        )
    if output == "equivariant":
        expected = (x.shape[1] // stride, x.shape[2] // stride)
        if y.ndim < 3 or y.shape[1:3] != expected:
            raise ValueError(
                f"an equivariant output at stride {stride} has spatial sizes "
                f"{expected}, got shape {y.shape}"
            )


def _roundings(dy: int, dx: int, stride: int) -> list[tuple[int, int]]:
    def round_both(d: int) -> list[int]:
        return sorted({d // stride, -(-d // stride)})

    return list(itertools.product(round_both(dy), round_both(dx)))


def _largest(y: np.ndarray, reference: np.ndarray, roll: tuple[int, int]) -> np.ndarray:
    if any(roll):
        reference = np.roll(reference, roll, (1, 2))
    wide = np.result_type(y.dtype, np.float64)
    gap = np.abs(y.astype(wide) - reference.astype(wide))
    return gap.reshape(len(y), -1).max(axis=1)
