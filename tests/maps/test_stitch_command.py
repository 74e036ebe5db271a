"""The command ``eqnets stitch`` and its report, on a copy of known relation."""

import dataclasses
import json
import textwrap

import numpy as np
import pytest

from eqnets import cli, report
from eqnets.commands import CommandError, labelled, network

MODELS = """
import jax
import jax.numpy as jnp
from flax import nnx
from eqnets import maps

class Net(nnx.Module):
    def __init__(self):
        rngs = nnx.Rngs(0)
        self.front = nnx.Conv(3, 4, (3, 3), rngs=rngs)
        self.back = nnx.Conv(4, 4, (3, 3), strides=2, rngs=rngs)
        self.head = nnx.Linear(4, 3, rngs=rngs)

    def __call__(self, x):
        x = jax.nn.relu(self.back(jax.nn.relu(self.front(x))))
        return self.head(x.mean((1, 2)))

def net():
    return Net()

def reversed_copy():
    net = Net()
    for name in ("kernel", "bias"):
        leaf = getattr(net.front, name)
        leaf[...] = leaf[...][..., ::-1]
    net.back.kernel[...] = net.back.kernel[...][:, :, ::-1]
    return net

def function():
    net = Net()
    return lambda x: net.head(maps.tag(net.front(x), "front").mean((1, 2)))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from PIL import Image

    folder = tmp_path_factory.mktemp("stitch")
    (folder / "nets.py").write_text(textwrap.dedent(MODELS))
    rng = np.random.default_rng(0)
    x = rng.standard_normal((24, 8, 8, 3)).astype(np.float32)
    np.savez(folder / "data.npz", x=x, y=rng.integers(0, 3, 24))
    (folder / "images").mkdir()
    names = [f"{i}.png" for i in range(6)]
    for name in names:
        pixels = rng.integers(0, 256, (12, 14, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "images" / name)
    lines = [f"{name},{i % 3}" for i, name in enumerate(names)]
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder


def run(folder, *extra, model="net", images="data.npz"):
    options = ["--model", f"{folder / 'nets.py'}:{model}", "--size", "8"]
    options += ["--images", str(folder / images), "--out", str(folder / "out")]
    options += ["--cache", str(folder / "cache"), *map(str, extra)]
    return cli.main(["stitch", *options])


def read(folder):
    text = (folder / "out" / "results.json").read_text()
    return text, report.StitchMeasurement.from_json(text)


def test_a_copy_is_recovered_beside_its_controls(folder, capsys):
    copy = f"{folder / 'nets.py'}:reversed_copy"
    layers = ("--layers", "front", "--donor-layers", "front", "back")
    assert run(folder, "--donor", copy, *layers, "--constraint", "permutation") == 0
    said = capsys.readouterr().out
    text, found = read(folder)
    assert found.to_json() == text
    assert (found.fitted, found.measured, found.labels_given) == (12, 12, True)
    assert found.error[0, 0] == found.clean
    assert found.fvu[0, 0] < 1e-6
    assert found.fvu[1, 0] > 0.1
    assert not found.flagged[0, 0]
    assert found.controls["identity"].fvu[0, 0] > 0.1
    assert np.isnan(found.controls["identity"].error[1, 0])
    page = (folder / "out" / "index.html").read_text()
    assert page == report.stitch_page(found)
    for name, title in report.STITCH_CONTROLS.items():
        assert name.replace("_", " ") in said
        # In the figure, and above a table.
        assert page.count(title[1:]) >= 2, title
    assert "http" not in page.replace("http://www.w3.org", "")


def test_photographs_stand_for_their_crops(folder, capsys):
    labels = ("--labels", folder / "labels.csv", "--crops", 3)
    plain = ("--layers", "front", "--untrained", f"{folder / 'nets.py'}:function")
    options = {"model": "function", "images": "images"}
    assert run(folder, *plain, *labels, **options) == 0
    _, found = read(folder)
    assert (found.fitted, found.measured, found.labels_given) == (9, 9, True)
    assert found.error[0, 0] == found.clean
    # The same network stands for its untrained self.
    np.testing.assert_allclose(found.controls["random_donor"].fvu, found.fvu)
    assert found.as_good == 1
    capsys.readouterr()
    assert run(folder, *plain[:2], *labels, **options) == 1
    assert "--untrained" in capsys.readouterr().err


def test_there_is_no_report_without_controls(folder):
    assert run(folder, "--layers", "back") == 0
    _, found = read(folder)
    controls = dict(found.controls)
    del controls["clustered_noise"]
    with pytest.raises(ValueError, match="clustered_noise"):
        dataclasses.replace(found, controls=controls)
    with pytest.raises(ValueError, match="eqnets-stitch-1"):
        report.StitchMeasurement.from_json(json.dumps({"format": "other"}))
    hostile = dataclasses.replace(found, donor="<script>", donor_layers=("<b>",))
    page = report.stitch_page(hostile)
    assert "<script>" not in page
    assert "<b>&lt;b&gt;" not in page
    assert "&lt;b&gt;" in page


@pytest.mark.parametrize(
    ("extra", "code", "message"),
    [
        (["--donor", "nobody"], 2, "unknown model 'nobody'"),
        (["--donor-weights", "a.pth"], 2, "needs a --donor"),
        (["--layers"], 2, "--layers"),
        (["--layers", "front", "front"], 2, "each once"),
        (["--constraint", "diagonal"], 2, "low_rank:RANK"),
        (["--constraint", "sparse:0"], 2, "at least 1"),
        (["--constraint", "orthogonal", "--kernel", "3"], 2, "--kernel 1"),
        (["--kernel", "2"], 2, "odd"),
        (["--seeds", "0"], 2, "--seeds is at least 1"),
        (["--seed", "-1"], 2, "--seed goes from 0"),
        (["--layers", "nowhere"], 1, "here are: back, front, head"),
        (["--labels", "labels.csv"], 1, "y [n]"),
        (["--images", "none.npz"], 1, "there is no file 'none.npz'"),
    ],
)
def test_wrong_use_is_one_line(folder, capsys, extra, code, message):
    assert run(folder, *extra) == code
    said = [v for v in capsys.readouterr().err.splitlines() if not v.startswith("[")]
    assert len(said) == 1
    assert message in said[0]


class TestFiles:
    NET = network.Network("net", len, network.plain_preprocess(8), None, None)

    def read(self, images, labels=None, **options):
        return labelled.read(
            images, labels, self.NET, **{"crops": 1, "seed": 0} | options
        )

    def test_crops_keep_their_photograph_and_label(self, folder):
        found = self.read(folder / "images", folder / "labels.csv", crops=2)
        assert found.x.shape == (12, 8, 8, 3)
        np.testing.assert_array_equal(found.source, np.arange(6).repeat(2))
        np.testing.assert_array_equal(found.labels, [0, 0, 1, 1, 2, 2] * 2)
        assert not (found.x[0] == found.x[1]).all()
        again = self.read(folder / "images", crops=2)
        np.testing.assert_array_equal(again.x, found.x)
        assert again.labels is None
        other = self.read(folder / "images", crops=2, seed=1)
        assert not (other.x == found.x).all()

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("0.png,0\n1.png\n", "line 2"),
            ("0.png,cat\n", "class number"),
            ("0.png,1\n1.png,2\n", r"no label for '2.png' and 3 others"),
        ],
    )
    def test_labels_are_lines_of_two(self, folder, tmp_path, text, message):
        (tmp_path / "labels.csv").write_text(text)
        with pytest.raises(CommandError, match=message):
            self.read(folder / "images", tmp_path / "labels.csv")

    @pytest.mark.parametrize(
        ("arrays", "message"),
        [
            ({"z": np.zeros(3)}, "no x"),
            ({"x": np.zeros((4, 8, 8, 3), np.uint8)}, "uint8"),
            ({"x": np.zeros((4, 8, 8))}, r"\[4, 8, 8\]"),
            ({"x": np.zeros((4, 8, 8, 3)), "y": np.zeros(3, int)}, "4 integers"),
            ({"x": np.zeros((4, 8, 8, 3)), "y": np.zeros(4)}, "float64"),
        ],
    )
    def test_arrays_are_checked(self, tmp_path, arrays, message):
        np.savez(tmp_path / "data.npz", **arrays)
        with pytest.raises(CommandError, match=message):
            self.read(tmp_path / "data.npz")
