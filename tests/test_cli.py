import json
import os
import pty
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from eqnets import actions, cli, commands, report

MODEL = """
import jax
import jax.numpy as jnp
import numpy as np

def net():
    random = np.random.default_rng(0)
    kernel = jnp.asarray(random.normal(size=(3, 3, 3, 4)), jnp.float32)
    head = jnp.asarray(random.normal(size=(4, 5)), jnp.float32)

    def f(x):
        h = jax.lax.conv_general_dilated(
            x, kernel, (4, 4), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        return jnp.tanh(h).mean((1, 2)) @ head

    return f

def preprocess(image):
    return np.float32(image[:16, :16]) / 127.5 - 1

def whole():
    return net(), preprocess, ["cat", "dog", "fish", "<b>bold</b>", "owl"]

def ragged():
    return net(), lambda image: np.float32(image) / 255, None

def dense():
    return lambda x: jnp.tanh(x)

def wrong_names():
    return net(), preprocess, ["cat"]

def not_finite():
    f = net()
    return lambda x: jnp.sqrt(f(x) * 0.0 - 1.0)

def steep():
    f = net()
    return lambda x: jnp.sqrt(jnp.abs(f(x) - jax.lax.stop_gradient(f(x))))

def pair():
    return net(), preprocess

def number():
    return 3

def broken():
    raise KeyError("a key of mine")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a model, and three images of two sizes."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("cli")
    (folder / "net.py").write_text(textwrap.dedent(MODEL))
    (folder / "images").mkdir()
    random = np.random.default_rng(0)
    for name, size in (("a.png", (20, 16)), ("b.png", (16, 24)), ("c.jpg", (18, 18))):
        pixels = random.integers(0, 256, (*size, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "images" / name)
    return folder


@pytest.fixture
def arguments(folder, tmp_path):
    """A fast command line; later options override earlier ones."""

    def made(*more, function="net"):
        given = {
            "--model": f"{folder / 'net.py'}:{function}",
            "--images": str(folder / "images"),
            "--actions": "rotation brightness",
            "--size": "16",
            "--pairs": "2",
            "--out": str(tmp_path / "out"),
        }
        pairs = [p for flag, p in given.items() if flag not in more for p in [flag, p]]
        return ["measure", *" ".join(pairs).split(), *map(str, more)]

    return made


@pytest.fixture
def no_page(monkeypatch):
    """Skip the figures, where the numbers alone are tested."""
    monkeypatch.setattr(report, "page", lambda m: "a page")


def failed(capsys, arguments, code):
    """Run a command line that has to fail; its one line on the error stream."""
    assert cli.main(arguments) == code
    said = capsys.readouterr().err.strip().split("\n")
    errors = [line for line in said if not line.startswith("[")]
    assert len(errors) == 1, said
    assert errors[0].startswith("eqnets: error: ")
    return errors[0]


class TestMeasure:
    def test_writes_the_report_and_prints_the_tables(self, capsys, arguments, tmp_path):
        assert cli.main(arguments()) == 0
        out, err = capsys.readouterr()
        tree = json.loads((tmp_path / "out/results.json").read_text())
        page = (tmp_path / "out/index.html").read_text()
        assert sorted(os.listdir(tmp_path / "out")) == ["index.html", "results.json"]
        machine = [line for line in out.split("\n") if line.startswith("LEE ")]
        machine = [line for line in machine if " +- " in line]
        for line, (name, found) in zip(machine, tree["lee"].items(), strict=True):
            assert line == f"LEE {name} {found['mean']:.6g} +- {found['stderr']:.6g}"
            assert len(found["per_image"]) == 3
            np.testing.assert_allclose(np.mean(found["per_image"]), found["mean"])
            assert f"{found['mean']:.4g}" in page
            assert found["mean"] > 0
        assert tree["images"] == ["a.png", "b.png", "c.jpg"]
        assert "a.png" in out
        assert "class 0" in out
        assert tree["seed"] == 0
        assert tree["command"].startswith("eqnets measure --model ")
        assert tree["crop"]["size"] == 18
        assert {"JAX", "eqnets"} <= set(tree["versions"])
        assert "local equivariance error" in tree["seconds"]
        assert "\x1b" not in out + err
        assert all(
            line.startswith("[") for line in err.strip().split("\n")[:-1]
        )  # the stages, one line each

    def test_results_agree_with_each_other(self, arguments, tmp_path):
        assert cli.main(arguments()) == 0
        m = report.Measurement.from_json((tmp_path / "out/results.json").read_text())
        assert report.page(m) == (tmp_path / "out/index.html").read_text()
        for name, e in m.lee.items():
            curve = m.curves[name]
            # LEE, the tangent and the map come from three functions of one derivative.
            np.testing.assert_allclose(curve.slope**2, e.per_image, rtol=1e-4)
            maps = m.pictures.maps[name].sum((1, 2), dtype=np.float64)
            np.testing.assert_allclose(maps, curve.slope, rtol=1e-4)
            assert curve.t[3] == 0
            assert not curve.distance[3].any()
            assert curve.distance[4:].min() > 0

    def test_the_same_seed_gives_the_same_numbers(self, arguments, tmp_path, no_page):
        trees = []
        for seed in (5, 5, 6):
            line = arguments("--seed", seed, "--actions", "brightness", "--pairs", 20)
            assert cli.main(line) == 0
            tree = json.loads((tmp_path / "out/results.json").read_text())
            del tree["seconds"], tree["command"], tree["seed"]
            trees.append(tree)
        assert trees[0] == trees[1]
        assert trees[0]["lee"] == trees[2]["lee"]
        assert trees[0] != trees[2]  # other shifts

    def test_a_network_with_its_own_preprocessing(self, capsys, arguments, tmp_path):
        line = arguments("--readout", "top1", "--norm", "mean_abs", function="whole")
        assert cli.main(line) == 0
        tree = json.loads((tmp_path / "out/results.json").read_text())
        labels = {guess["label"] for guesses in tree["top"] for guess in guesses}
        assert labels == {"cat", "dog", "fish", "<b>bold</b>", "owl"}
        assert tree["crop"] is None
        assert "preprocessing gives none" in tree["crop_reason"]
        assert "not measured" in capsys.readouterr().out
        assert "<b>bold" not in (tmp_path / "out/index.html").read_text()
        assert tree["norm"] == "mean_abs"

    def test_the_stencil_is_named_and_matters(self, arguments, tmp_path, no_page):
        means = {}
        for stencil in ("fourier_even", "reference"):
            line = arguments("--stencil", stencil, "--actions", "rotation")
            assert cli.main(line) == 0
            tree = json.loads((tmp_path / "out/results.json").read_text())
            assert tree["lee"]["rotation"]["stencil"] == stencil
            means[stencil] = tree["lee"]["rotation"]["mean"]
        assert means["reference"] != pytest.approx(means["fourier_even"], rel=0.01)

    def test_batches_change_nothing(self, arguments, tmp_path, no_page):
        means = []
        for size in (2, 8):
            line = arguments(
                "--batch-size", size, "--shown", 1, "--actions", "rotation"
            )
            assert cli.main(line) == 0
            tree = json.loads((tmp_path / "out/results.json").read_text())
            means.append(tree["lee"]["rotation"]["per_image"])
            assert len(tree["pictures"]["names"]) == 1
        np.testing.assert_allclose(means[0], means[1], rtol=1e-4)

    def test_actions_are_the_built_in_ones(self):
        from eqnets.commands.options import ACTIONS

        assert tuple(actions.standard()) == ACTIONS

    def test_models_are_the_pretrained_ones(self):
        from eqnets import models
        from eqnets.commands.options import PRETRAINED

        with pytest.raises(ValueError) as caught:
            models.load_pretrained("none")
        assert str(sorted(PRETRAINED)) in str(caught.value)


class TestNothingIsLost:
    def test_a_failed_run_leaves_the_old_report(self, capsys, arguments, tmp_path):
        out = tmp_path / "out"
        out.mkdir()
        (out / "index.html").write_text("old")
        (out / "results.json").write_text("old")
        failed(capsys, arguments(function="steep"), 1)
        assert sorted(os.listdir(out)) == ["index.html", "results.json"]
        assert {path.read_text() for path in out.iterdir()} == {"old"}

    def test_an_interrupted_write_leaves_the_old_report(self, tmp_path, monkeypatch):
        from eqnets.commands import output

        files = {"index.html": "old", "results.json": "old"}
        output.write_together(tmp_path, files)
        with pytest.raises(UnicodeEncodeError):
            # The second file fails after the first was written aside.
            output.write_together(tmp_path, {"index.html": "new", "b": "\ud800"})
        assert {p.name: p.read_text() for p in tmp_path.iterdir()} == files

    def test_an_interrupt_is_one_line(self, capsys, arguments, monkeypatch, tmp_path):
        def interrupt(*arguments):
            raise KeyboardInterrupt

        monkeypatch.setattr(report, "page", interrupt)
        assert "interrupted" in failed(capsys, arguments(), 130)
        assert not (tmp_path / "out").exists()


class TestErrors:
    """Each is one line without a traceback, found before the measuring starts."""

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            (
                ["--actions", "rotatoin"],
                "did you mean 'rotation'? known: translation_x",
            ),
            (["--actions", "rotation", "rotation"], "twice"),
            (["--actions"], "--actions"),
            (["--model", "eficientnet_lite0"], "did you mean 'efficientnet_lite0'"),
            (["--model", "zzz"], "known: efficientnet_lite0"),
            (["--seed", "one"], "--seed"),
            (["--seed", "-1"], "from 0 to 4294967295; got -1"),
            (["--seed", str(2**32)], "from 0 to 4294967295"),
            (["--readout", "proba"], "--readout"),
            (["--batch-size", "0"], "--batch-size is at least 1"),
            (["--sead", "1"], "--sead"),
            (["--interpolation", "fourier", "--boundary", "zeros"], "boundary='wrap'"),
            (["--stencil", "reference", "--boundary", "wrap"], "reference"),
        ],
    )
    def test_wrong_usage(self, capsys, arguments, given, message, tmp_path):
        assert message in failed(capsys, arguments(*given), 2)
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize("given", [["mesure"], ["--seed", "1"]])
    def test_unknown_command(self, capsys, given):
        assert given[0] in failed(capsys, given, 2)

    @pytest.mark.parametrize(
        ("function", "message"),
        [
            ("nett", "did you mean 'net'?"),
            ("number", "has to return a network"),
            ("pair", "it returned a tuple of 2"),
            ("broken", "KeyError: 'a key of mine'"),
            ("ragged", "for a.png, [16, 24, 3] for b.png; resize and crop"),
            ("dense", "gives logits [B, K], here [3, K]; "),
            ("wrong_names", "has 5 outputs but 1 class names"),
            ("not_finite", "logits that are not finite"),
            ("steep", "its derivative is not finite"),
        ],
    )
    def test_wrong_model(self, capsys, arguments, function, message):
        code = 2 if function == "nett" else 1
        assert message in failed(capsys, arguments(function=function), code)

    def test_missing_model_file_and_module(self, capsys, arguments, tmp_path):
        line = arguments("--model", tmp_path / "no.py:net")
        assert "there is no file" in failed(capsys, line, 1)
        line = arguments("--model", "no_such_module_here:net")
        assert "ModuleNotFoundError" in failed(capsys, line, 1)

    def test_missing_folder(self, capsys, arguments, tmp_path):
        line = arguments("--images", tmp_path / "nowhere")
        assert str(tmp_path / "nowhere") in failed(capsys, line, 1)

    def test_empty_folder(self, capsys, arguments, tmp_path):
        (tmp_path / "empty").mkdir()
        line = arguments("--images", tmp_path / "empty")
        assert str(tmp_path / "empty") in failed(capsys, line, 1)

    def test_unreadable_image(self, capsys, arguments, tmp_path):
        (tmp_path / "images").mkdir()
        (tmp_path / "images/bad.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
        line = arguments("--images", tmp_path / "images")
        assert "bad.png" in failed(capsys, line, 1)

    def test_out_is_a_file(self, capsys, arguments, tmp_path):
        (tmp_path / "file").write_text("mine")
        line = arguments("--out", tmp_path / "file")
        assert "it is a file; name another one with --out" in failed(capsys, line, 1)
        line = arguments("--out", tmp_path / "file/below")
        assert "cannot write to the folder" in failed(capsys, line, 1)
        assert (tmp_path / "file").read_text() == "mine"

    @pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs Linux's /proc")
    def test_out_cannot_be_written(self, capsys, arguments):
        # Not by permissions: the tests may run as root. The stages that ran come first.
        assert cli.main(arguments("--out", "/proc/self/report")) == 1
        said = capsys.readouterr().err
        assert "cannot write to the folder '/proc/self/report'" in said
        assert "classifying" not in said

    def test_wrong_sized_weights(self, capsys, arguments, tmp_path):
        safetensors = pytest.importorskip("safetensors.numpy")
        path = tmp_path / "w.safetensors"
        safetensors.save_file({"kernel": np.zeros((2, 2), np.float32)}, path)
        line = arguments("--weights", path, "--model", "efficientnet_lite0")
        assert "do not fit" in failed(capsys, line, 1)
        missing = tmp_path / "none.safetensors"
        line = arguments("--weights", missing, "--model", "efficientnet_lite0")
        assert "none.safetensors" in failed(capsys, line, 1)
        line = arguments("--weights", path)
        assert "fills a Flax NNX network" in failed(capsys, line, 1)

    def test_debug_shows_the_traceback(self, capsys, arguments):
        line = arguments("--debug", function="broken")
        assert cli.main(line) == 1
        said = capsys.readouterr().err
        assert "Traceback (most recent call last)" in said
        assert 'raise KeyError("a key of mine")' in said
        assert said.strip().split("\n")[-1].startswith("eqnets: error: ")


class TestHelp:
    def test_help_of_the_command(self, capsys):
        assert cli.main(["--help"]) == 0
        out, err = capsys.readouterr()
        assert "measure" in out
        assert err == ""

    def test_help_of_measure(self, capsys):
        assert cli.main(["measure", "--help"]) == 0
        out = capsys.readouterr().out
        for name in ("model", "weights", "images", "actions", "interpolation", "out"):
            assert f"--{name} " in out
        assert max(map(len, out.split("\n"))) <= 88

    def test_no_command_shows_the_help_and_fails(self, capsys):
        assert cli.main([]) == 2
        assert "measure" in capsys.readouterr().out

    def test_help_imports_nothing_heavy(self):
        code = (
            "import sys; from eqnets import cli; cli.main(['measure', '--help'])\n"
            "heavy = {'jax', 'flax', 'matplotlib', 'PIL'} & set(sys.modules)\n"
            "sys.exit(' '.join(heavy) or 0)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True)
        assert done.returncode == 0, done.stderr

    def test_the_module_returns_the_exit_code(self):
        command = [sys.executable, "-m", "eqnets", "measure", "--seed", "-3"]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 2
        assert done.stdout == ""
        assert done.stderr.count("\n") == 1


def test_messages_of_exceptions_are_one_line():
    assert cli._message(ValueError("two\n lines")) == "two lines"
    assert cli._message(RuntimeError("bad")) == "RuntimeError: bad"
    assert cli._message(commands.CommandError("bad")) == "bad"
    assert cli._message(KeyError()) == "KeyError: no message"
    missing = FileNotFoundError(2, "No such file", "there")
    assert cli._message(missing) == "No such file: 'there'"


def test_a_terminal_gets_a_bar_and_a_log_gets_lines(capsys):
    code = (
        "from eqnets.commands.progress import Stages\n"
        "with Stages().stage('doing [it]', 3) as advance: advance(2)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == ""
    assert done.stderr == "[   0.0 s] doing [it]\n"
    ours, theirs = pty.openpty()
    subprocess.run([sys.executable, "-c", code], stderr=theirs, check=True)
    os.close(theirs)
    shown = os.read(ours, 100_000).decode()
    assert "doing [it]" in shown
    assert "2/3" in shown
