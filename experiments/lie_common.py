"""What the experiments on Lie derivatives share: photographs, intervals, verdicts."""

import math

import jax.numpy as jnp
import numpy as np
from scipy import stats

from eqnets import io

REAPPEARS, DOES_NOT, UNDECIDED = "reappears", "does not", "undecided at this size"


def photographs() -> tuple[list[str], list[np.ndarray]]:
    """22 photographs, micrographs and scans, uint8 [H, W, 3], of three packages.

    14 of scikit-image by `eqnets.io`, five more of its own, two of scikit-learn, one of
    matplotlib.
    """
    import skimage.data
    from matplotlib import cbook
    from PIL import Image
    from sklearn.datasets import load_sample_images

    names, images = (list(part) for part in io.sample_photographs())
    more = ("immunohistochemistry", "cell", "microaneurysms", "page", "text")
    for name in more:
        names.append(name)
        images.append(getattr(skimage.data, name)())
    names += ["china", "flower", "grace_hopper"]
    images += load_sample_images().images
    with cbook.get_sample_data("grace_hopper.jpg") as file:
        images.append(np.asarray(Image.open(file).convert("RGB")))
    return names, [_rgb(image) for image in images]


def _rgb(image: np.ndarray) -> np.ndarray:
    return image if image.ndim == 3 else np.repeat(image[..., None], 3, -1)


def squares(count: int, side: int) -> np.ndarray:
    """The middle squares of the first photographs at ``side`` pixels, in [0, 1]."""
    from eqnets.commands.network import plain_preprocess

    return np.stack([plain_preprocess(side)(p) for p in photographs()[1][:count]])


def interval(differences: np.ndarray) -> dict[str, float]:
    """Mean of paired differences with its 95 % interval by Student's t."""
    d = np.asarray(differences, np.float64)
    half = stats.t.ppf(0.975, len(d) - 1) * d.std(ddof=1) / math.sqrt(len(d))
    return {"mean": d.mean(), "low": d.mean() - half, "high": d.mean() + half}


def verdict(found: dict[str, float]) -> str:
    """By the sign of an interval: positive means that the finding reappears."""
    if found["low"] > 0:
        return REAPPEARS
    return DOES_NOT if found["high"] < 0 else UNDECIDED


def correlation(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    """Spearman's rank correlation, with Fisher's 95 % interval."""
    r = float(stats.spearmanr(a, b).statistic)
    # the variance of Bonett & Wright (2000) for ranks
    half = 1.96 * math.sqrt((1 + r**2 / 2) / (len(a) - 3))
    z = math.atanh(min(max(r, -0.999999), 0.999999))
    return {"mean": r, "low": math.tanh(z - half), "high": math.tanh(z + half)}


def batches(x: np.ndarray, size: int):
    """``x`` in pieces of ``size`` images."""
    for start in range(0, len(x), size):
        yield jnp.asarray(x[start : start + size])
