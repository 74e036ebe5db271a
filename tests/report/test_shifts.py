"""The command ``eqnets consistency`` and its report, on networks of known symmetry."""

import json
import textwrap

import numpy as np
import pytest

from eqnets import cli, report

MODEL = """
import jax.numpy as jnp

def strided():
    return lambda x: jnp.concatenate([x[:, ::2, ::2].mean((1, 2)), x[:, 0, 0]], -1)

def constant():
    return lambda x: jnp.stack([x.max((1, 2, 3)), x.min((1, 2, 3))], -1)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from PIL import Image

    folder = tmp_path_factory.mktemp("shifts")
    (folder / "net.py").write_text(textwrap.dedent(MODEL))
    (folder / "images").mkdir()
    random = np.random.default_rng(0)
    for i in range(3):
        pixels = random.integers(0, 256, (8, 8, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{i}.png")
    return folder


def run(folder, *extra, model="strided"):
    options = ["--model", f"{folder / 'net.py'}:{model}", "--size", "8"]
    options += ["--images", str(folder / "images"), "--out", str(folder / "out")]
    return cli.main(["consistency", *options, *extra])


def found(folder):
    text = (folder / "out" / "results.json").read_text()
    m = report.ShiftsMeasurement.from_json(text)
    assert m.to_json() == text
    return m


def test_every_shift_is_tried_and_the_worst_is_shown(folder, capsys):
    assert run(folder, "--all-shifts", "--worst", "2") == 0
    assert "SHIFTS 64 IMAGES 3" in capsys.readouterr().out
    m = found(folder)
    assert m.grid == (8, 8)
    assert m.rows == tuple(range(-4, 4))
    still = m.rows.index(0) * 8 + m.columns.index(0)
    assert m.changed[still] == m.distance[still] == 0
    assert m.changed.max() > 0
    assert [c.distance for c in m.worst] == sorted(
        (c.distance for c in m.worst), reverse=True
    )
    images = report_images(folder)
    net = lambda x: np.concatenate([x[::2, ::2].mean((0, 1)), x[0, 0]])
    for case in m.worst:
        x = images[case.image]
        p, q = (softmax(net(np.roll(x, s, (0, 1)))) for s in ((0, 0), case.shift))
        np.testing.assert_allclose(case.distance, np.abs(p - q).sum() / 2, atol=1e-5)
        np.testing.assert_allclose(case.after.probability, q.max(), atol=1e-5)
    page = (folder / "out" / "index.html").read_text()
    assert page == report.shifts_page(m)
    assert "http" not in page.replace("http://www.w3.org", "")


def report_images(folder):
    from eqnets import io

    names, images = io.load_images(folder / "images")
    return {n: i / np.float32(255) for n, i in zip(names, images, strict=True)}


def softmax(z):
    e = np.exp(z - z.max())
    return e / e.sum()


def test_an_invariant_network_is_said_to_be_one(folder):
    assert run(folder, "--max-shift", "2", "--step", "2", model="constant") == 0
    m = found(folder)
    assert m.rows == m.columns == (-2, 0, 2)
    assert m.invariant
    assert "to the last bit" in (folder / "out" / "index.html").read_text()


def test_wrong_use_is_one_line(folder, capsys):
    for extra, code, message in (
        (("--step", "0"), 2, "--step is at least 1"),
        (("--step", "9"), 2, "beyond --max-shift 6"),
        (("--max-shift", "8"), 1, "goes beyond images of 8 x 8"),
    ):
        assert run(folder, *extra) == code
        assert message in capsys.readouterr().err
    with pytest.raises(ValueError, match="eqnets-shifts-1"):
        report.ShiftsMeasurement.from_json(json.dumps({"format": "other"}))
