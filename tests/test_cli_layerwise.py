"""The command ``eqnets layerwise``, on a network that compiles in a moment."""

import json
import os
import subprocess
import sys
import textwrap

import jax
import numpy as np
import pytest

from eqnets import cli, report

MODEL = """
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

class Net(nnx.Module):
    def __init__(self, rngs):
        self.stem = nnx.Conv(3, 4, (3, 3), strides=4, rngs=rngs)
        self.head = nnx.Linear(4, 5, rngs=rngs)

    def __call__(self, x, *, key=None, temperature=1.0):
        return self.head(jnp.tanh(self.stem(x)).mean((1, 2)))

def net():
    return Net(nnx.Rngs(0))

def shuffled():
    order = np.random.default_rng(0).permutation(16)
    return lambda x: jnp.tanh(jnp.sort(x, 1)).mean((1, 2)) ** 2

def steep():
    f = net()
    return lambda x: jnp.sqrt(jnp.abs(f(x) - jax.lax.stop_gradient(f(x))))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a model, and three images."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("layerwise")
    (folder / "net.py").write_text(textwrap.dedent(MODEL))
    (folder / "images").mkdir()
    random = np.random.default_rng(0)
    for name in "abc":
        pixels = random.integers(0, 256, (16, 20, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{name}.png")
    return folder


@pytest.fixture
def arguments(folder, tmp_path):
    def made(*more, function="net"):
        given = {
            "--model": f"{folder / 'net.py'}:{function}",
            "--images": folder / "images",
            "--size": 16,
            "--out": tmp_path / "out",
            "--cache": folder / "cache",
        }
        pairs = [p for flag, p in given.items() if flag not in more for p in [flag, p]]
        return ["layerwise", *map(str, [*pairs, *more])]

    return made


def failed(capsys, arguments, code):
    assert cli.main(arguments) == code
    said = capsys.readouterr().err.strip().split("\n")
    errors = [line for line in said if not line.startswith("[")]
    assert len(errors) == 1, said
    assert errors[0].startswith("eqnets: error: ")
    return errors[0]


def test_writes_the_report_and_prints_the_layers(capsys, arguments, tmp_path, folder):
    before = jax.config.jax_compilation_cache_dir
    line = arguments("--subnetworks", "--probes", 12, "--action", "rotation")
    assert cli.main(line) == 0
    assert jax.config.jax_compilation_cache_dir == before
    out, err = capsys.readouterr()
    text = (tmp_path / "out/results.json").read_text()
    r = report.LayerReport.from_json(text)
    assert report.layer_page(r) == (tmp_path / "out/index.html").read_text()
    assert sorted(os.listdir(tmp_path / "out")) == ["index.html", "results.json"]
    assert [r.names.index(part) for part in ("stem", "tanh", "head")] == [0, 1, 4]
    assert r.kinds[0] == "convolution"
    assert r.images == ("a.png", "b.png", "c.png")
    assert r.action == "rotation"
    assert r.residual < 1e-5
    np.testing.assert_allclose(r.cumulative[-1], r.total, rtol=1e-4)
    np.testing.assert_allclose((r.per_image**2).mean(1) ** 0.5, r.norms, rtol=1e-5)
    lines = [line for line in out.split("\n") if line.startswith("LAYER ")]
    assert [line.split()[1] for line in lines] == list(r.names)
    assert r.subnetworks.lee[0] > 0
    np.testing.assert_array_equal(r.convergence.probes, [5, 10])
    ratio = r.convergence.estimates[-1, 0] / r.convergence.exact[0]
    assert 0.2 < ratio < 3  # ten probes: a relative error of a fifth
    assert r.compilation.programs > 0
    assert r.compilation.seconds > 0
    assert r.compilation.folder == str(folder / "cache")
    assert "contributions of the layers" in r.seconds
    assert all(line.startswith("[") for line in err.strip().split("\n")[:-1])


def test_the_same_total_as_measure_and_programs_are_read_again(
    arguments, tmp_path, folder, monkeypatch
):
    from eqnets.commands import compiling

    monkeypatch.setattr(compiling, "WORTH_KEEPING", 0.0)
    monkeypatch.setattr(report, "layer_page", lambda r: "a page")
    monkeypatch.setattr(report, "page", lambda m: "a page")
    found = []
    for _ in range(2):
        jax.clear_caches()
        line = arguments("--cache", tmp_path / "kept", "--readout", "logits")
        assert cli.main(line) == 0
        text = (tmp_path / "out/results.json").read_text()
        found.append(report.LayerReport.from_json(text))
    first, second = (r.compilation for r in found)
    assert first.cached < second.cached
    assert second.cached >= 0.8 * second.programs
    np.testing.assert_array_equal(found[0].norms, found[1].norms)
    assert found[0].convergence is None
    assert found[0].subnetworks is None
    shared = ["--model", f"{folder / 'net.py'}:net", "--images", folder / "images"]
    given = ["--actions", "translation_x", "--readout", "logits", "--size", 16]
    line = ["measure", *shared, *given, "--out", tmp_path / "measured"]
    assert cli.main(list(map(str, line))) == 0
    tree = json.loads((tmp_path / "measured/results.json").read_text())
    lee = tree["lee"]["translation_x"]["per_image"]
    np.testing.assert_allclose(found[0].total ** 2, lee, rtol=1e-4)


def test_the_folder_of_compiled_programs(monkeypatch, tmp_path):
    from eqnets.commands import compiling

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert compiling.default_folder() == tmp_path / "eqnets" / "compiled"
    (tmp_path / "eqnets").write_text("a file in the way")
    with compiling.kept(None) as cost:  # nowhere, and no failure
        assert cost.folder is None
    with pytest.raises(Exception, match="another folder with --cache") as caught:
        with compiling.kept(tmp_path / "eqnets" / "mine"):
            pass
    assert caught.value.exit_code == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--action", "rotate"], "did you mean 'rotation'?"),
        (["--depth", "blok"], "did you mean 'block'?"),
        (["--depth", "0"], "at least 1"),
        (["--probes", "0"], "--probes is at least 1"),
        (["--seed", "-1"], "from 0 to 4294967295"),
        (["--readout", "proba"], "--readout"),
        (["--model", "zzz"], "known: efficientnet_lite0"),
    ],
)
def test_wrong_usage(capsys, arguments, given, message, tmp_path):
    assert message in failed(capsys, arguments(*given), 2)
    assert not (tmp_path / "out").exists()


def test_an_operation_that_cannot_be_followed_is_one_line(capsys, arguments):
    line = arguments(function="shuffled")
    said = failed(capsys, line, 1)
    assert "sort" in said
    assert "layouts=" in said


def test_a_derivative_that_is_not_finite_is_refused(capsys, arguments, tmp_path):
    line = arguments("--readout", "logits", function="steep")
    assert "is not finite" in failed(capsys, line, 1)
    assert not (tmp_path / "out").exists()


def test_subnetworks_need_two_images(capsys, arguments, folder, tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one/a.png").write_bytes((folder / "images/a.png").read_bytes())
    line = arguments("--images", tmp_path / "one", "--subnetworks")
    assert "at least two, got 1" in failed(capsys, line, 1)


def test_help_lists_the_options_and_imports_nothing_heavy(capsys):
    assert cli.main(["layerwise", "--help"]) == 0
    out = capsys.readouterr().out
    for name in ("model", "weights", "images", "action", "depth", "out", "seed"):
        assert f"--{name} " in out
    for name in ("readout", "probes", "subnetworks", "cache"):
        assert f"--{name}" in out
    code = (
        "import sys; from eqnets import cli; cli.main(['layerwise', '--help'])\n"
        "sys.exit(' '.join({'jax', 'flax', 'matplotlib'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True)
    assert done.returncode == 0, done.stderr
