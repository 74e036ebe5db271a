"""Square patches of the photographs that come with scikit-image."""

import numpy as np

from eqnets import io


def photograph_patches(n, size, seed=0):
    """Grey float64 patches ``[n, size, size, 1]`` in [0, 255], integers."""
    _, photographs = io.sample_photographs()
    grey = [p.astype(np.float64).sum(-1) // 3 for p in photographs]
    rng = np.random.default_rng(seed)
    made = []
    for i in range(n):
        image = grey[i % len(grey)]
        top, left = (rng.integers(0, s - size + 1) for s in image.shape)
        made.append(image[top : top + size, left : left + size])
    return np.stack(made)[..., None]
