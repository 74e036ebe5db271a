"""The command ``eqnets maps`` and its report, on a small network of known symmetry."""

import json
import textwrap

import numpy as np
import pytest

from eqnets import cli, report

MODEL = """
import jax
import jax.numpy as jnp
from flax import nnx

class Net(nnx.Module):
    def __init__(self):
        rngs = nnx.Rngs(0)
        self.conv = nnx.Conv(3, 4, (3, 3), rngs=rngs)
        self.both = Both(self.conv)
        self.head = nnx.Linear(4, 5, rngs=rngs)

    def __call__(self, x):
        return self.head(self.both(x).mean((1, 2)))

class Both(nnx.Module):
    def __init__(self, conv):
        self.conv = conv

    def __call__(self, x):
        # Of both ways to see the image the larger: invariant to mirroring.
        mirrored = self.conv(x[:, :, ::-1])[:, :, ::-1]
        return jax.nn.relu(jnp.maximum(self.conv(x), mirrored))

def net():
    return Net()

def resnet():
    from eqnets import models

    return models.resnet(18, 5, stem="cifar", width=4, rngs=nnx.Rngs(0))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from PIL import Image

    folder = tmp_path_factory.mktemp("maps")
    (folder / "net.py").write_text(textwrap.dedent(MODEL))
    (folder / "images").mkdir()
    random = np.random.default_rng(0)
    for i in range(6):
        pixels = random.integers(0, 256, (16, 16, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{i}.png")
    return folder


def run(folder, *extra, transform="hflip", model="net"):
    options = ["--model", f"{folder / 'net.py'}:{model}", "--size", "16"]
    options += ["--images", str(folder / "images"), "--out", str(folder / "out")]
    return cli.main(["maps", transform, *options, *extra])


def test_an_invariant_layer_shows_in_the_report(folder, capsys):
    assert run(folder, "--layers", "both", "--m", "1", "--lam", "0") == 0
    assert "unexplained" in capsys.readouterr().out
    text = (folder / "out" / "results.json").read_text()
    found = report.MapsMeasurement.from_json(text)
    (row,) = found.layers
    assert row.shape == (16, 16, 4)
    assert (row.permuted, row.mapped) == (0, 0)
    assert row.permuted_fvu < 1e-9
    assert row.mapped_fvu < 1e-9
    assert found.to_json() == text
    page = (folder / "out" / "index.html").read_text()
    assert page == report.maps_page(found)
    assert "<svg" in page
    assert "http" not in page.replace("http://www.w3.org", "")


def test_a_residual_network_is_cut_at_its_blocks(folder):
    options = {"model": "resnet", "transform": "rotate:90"}
    assert run(folder, "--layers", "layer1.0", **options) == 0
    text = (folder / "out" / "results.json").read_text()
    found = report.MapsMeasurement.from_json(text)
    (row,) = found.layers
    assert row.shape == (16, 16, 4)
    assert 0 < row.mapped_fvu < row.permuted_fvu


def test_wrong_use_is_one_line(folder, capsys):
    for arguments, code, message in (
        ({"transform": "shear"}, 2, "unknown transformation 'shear'"),
        ({"transform": "scale:0"}, 2, "scale:FACTOR"),
    ):
        assert run(folder, **arguments) == code
        assert message in capsys.readouterr().err
    assert run(folder, "--layers", "nowhere") == 1
    assert "here are: both, conv, head" in capsys.readouterr().err
    assert run(folder, "--layers", "both.conv") == 1
    assert "called 2 times" in capsys.readouterr().err
    assert run(folder, "--m", "0", "--layers", "both") == 2
    with pytest.raises(ValueError, match="eqnets-maps-1"):
        report.MapsMeasurement.from_json(json.dumps({"format": "other"}))
