"""The public names of the sampling part, each called once: types and shapes."""

import jax
import jax.numpy as jnp
from flax import nnx

from eqnets import models, nn
from eqnets import polyphase as pp

KEY = jax.random.key(0)
IMAGES = jax.random.normal(KEY, (2, 16, 12, 3))


class TestPolyphase:
    def test_functions(self):
        x = IMAGES[:, :, :12]
        ph = pp.split(x, 2)
        assert ph.shape == (2, 4, 8, 6, 3)
        assert pp.merge(ph, 2).shape == x.shape
        w = pp.argmax_select(pp.norm_scores(ph, p=2))
        assert w.shape == (2, 4)
        assert pp.gumbel_select(KEY, pp.norm_scores(ph), 0.5).shape == (2, 4)
        y = pp.downsample(ph, w)
        assert y.shape == (2, 8, 6, 3)
        assert pp.upsample(y, w, 2).shape == x.shape
        assert pp.lowpass(x, 3).shape == x.shape

    def test_layers(self):
        down = nn.LearnablePolyphaseDown(3, stride=2, hidden=4, rngs=nnx.Rngs(0))
        y, w = down(IMAGES)
        assert y.shape == (2, 8, 6, 3)
        assert nn.PolyphaseUp(stride=2, antialias="tri3")(y, w).shape == IMAGES.shape
        down = nn.LearnablePolyphaseDown(3, stride=2, ndim=1, rngs=nnx.Rngs(0))
        assert down(IMAGES[:, :, 0])[0].shape == (2, 8, 3)

    def test_resnet(self):
        m = models.resnet(
            18,
            10,
            stem="cifar",
            down="lps",
            hidden=(8, 16, 32, 64),
            antialias="tri3",
            rngs=nnx.Rngs(0),
        )
        m = nnx.view(m, use_running_average=True, raise_if_not_found=False)
        assert m(jnp.zeros((1, 32, 32, 3))).shape == (1, 10)

        def make():
            return models.resnet(101, 10, stem="imagenet", down="aps", rngs=nnx.Rngs(0))

        assert nnx.eval_shape(make) is not None
