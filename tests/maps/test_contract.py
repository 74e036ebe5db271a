"""The public names of the maps part, each called once: types and shapes."""

import jax.numpy as jnp
import numpy as np

from eqnets import maps


class TestMaps:
    def test_regression_and_hog(self):
        x, y = np.random.default_rng(0).standard_normal((2, 40, 6))
        for m in (
            maps.least_squares(x, y),
            maps.ridge(x, y, 0.1),
            maps.forward_select(x, y, 2),
            maps.forward_select(x, y, 2, rule="ols"),
        ):
            assert m.A.shape == (6, 6)
            assert m.b.shape == (6,)
            assert m(x).shape == (40, 6)
        images = jnp.ones((2, 72, 72, 1))
        assert maps.hog(images, bins=9).ndim == 4
        assert maps.hog(images, bins=8, soft=True).ndim == 4
