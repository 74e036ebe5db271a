"""A picture of weight sharing: each colour is one free parameter."""

from string import ascii_letters
from typing import Any

import numpy as np
from jaxtyping import Int

from eqnets.reps import Basis
from eqnets.reps.basis import LabelBasis


def sharing_labels(
    basis: Basis, shape: tuple[int, int]
) -> Int[np.ndarray, "rows columns"]:
    """Which entries of an equivariant matrix are equal up to sign.

    Args:
        basis: the basis of ``V >> W``.
        shape: (W.size, V.size).

    Returns:
        Labels from 0, -1 where every equivariant matrix is zero. Where entries are
        combinations of several parameters, equal combinations have equal labels.

    >>> from eqnets import groups, reps
    >>> V = reps.vector(groups.cyclic(3))
    >>> sharing_labels(reps.equivariant_basis(V >> V), (3, 3))
    array([[0, 1, 2],
           [2, 0, 1],
           [1, 2, 0]])
    """
    if shape[0] * shape[1] != basis.size:
        raise ValueError(
            f"shape {shape} has {shape[0] * shape[1]} entries but the basis has "
            f"{basis.size}: pass (W.size, V.size) of V >> W"
        )
    if isinstance(basis, LabelBasis):
        return basis.labels.reshape(shape).astype(np.int64)
    # Two entries are equal in one generic invariant only if they are in all.
    c = np.random.default_rng(0).standard_normal(basis.rank)
    size = np.abs(basis.expand(c))
    scale = size.max(initial=0.0) or 1.0
    keys = np.round(size / scale, 7)
    _, labels = np.unique(keys, return_inverse=True)
    labels = labels.ravel() - int((keys == 0).any())
    return labels.reshape(shape).astype(np.int64)


def sharing_text(basis: Basis, shape: tuple[int, int]) -> str | None:
    """The sharing pattern in letters: one for each free parameter, a dot for zero.

    None where it has more than 52 parameters or 36 columns: take `sharing_figure`.

    >>> from eqnets import groups, report, reps
    >>> V = reps.vector(groups.cyclic(3))
    >>> print(report.sharing_text(reps.equivariant_basis(V >> V), (3, 3)))
    a b c
    c a b
    b c a
    """
    labels = sharing_labels(basis, shape)
    if labels.max(initial=-1) >= len(ascii_letters) or shape[1] > 36:
        return None
    symbols = np.array([".", *ascii_letters])
    return "\n".join(" ".join(symbols[row + 1]) for row in labels)


def sharing_figure(basis: Basis, shape: tuple[int, int], *, title: str = "") -> Any:
    """A matplotlib figure of the sharing pattern of ``V >> W``.

    Args:
        basis: the basis.
        shape: (W.size, V.size).
        title: printed above.

    Returns:
        A ``matplotlib.figure.Figure``; save it with ``figure.savefig(path)``.

    Raises:
        ValueError: a shape that is not the basis's.

    >>> from eqnets import groups, report, reps
    >>> V = reps.vector(groups.cyclic(3))
    >>> basis = reps.equivariant_basis(V >> V)
    >>> type(report.sharing_figure(basis, (3, 3))).__name__
    'Figure'
    """
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure

    labels = sharing_labels(basis, shape)
    count = int(labels.max(initial=-1)) + 1
    # Neighbouring labels get far hues: steps of the golden ratio round the wheel.
    hues = (np.arange(max(count, 1)) * 0.6180339887) % 1.0
    colours = np.concatenate([[[1, 1, 1, 1]], colormaps["hsv"](hues)])
    figure = Figure(figsize=(4.5, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.imshow(
        labels, cmap=ListedColormap(colours), vmin=-1.5, vmax=max(count, 1) - 0.5
    )
    axes.set(xticks=[], yticks=[], xlabel="input", ylabel="output")
    axes.set_title(title or f"{basis.rank} free parameters in {basis.size}")
    return figure
