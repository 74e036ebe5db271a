"""The report on layers: data, figures, tables and page agree with each other."""

import dataclasses
import json
import re

import numpy as np
import pytest
from matplotlib.colors import to_hex

from eqnets import report
from eqnets.measure.attribution import KINDS
from eqnets.report import layer_figures
from eqnets.report.layer_figures import kind_colour, relative_errors

NAMES = (
    *("stem/conv", "stem/relu6"),
    *(f"blocks/{i}/{part}" for i in range(20) for part in ("conv", "norm", "relu6")),
    *("pool", "<b>head</b>"),
)
KIND_OF = {"conv": "convolution", "norm": "norm", "relu6": "nonlinearity"}


def made(names=NAMES, images=("cat", "dog", "<i>mouse</i>")):
    """A made-up report: signed contributions that sum to the total."""
    random = np.random.default_rng(0)
    kinds = tuple(KIND_OF.get(name.split("/")[-1], "pooling") for name in names)
    c = random.normal(size=(len(names), len(images), 5))
    c[[kind == "norm" for kind in kinds]] = 0
    size = lambda y: np.sqrt((y**2).sum(-1))
    norms = np.sqrt((size(c) ** 2).mean(1))
    one = len(images) == 1
    stderr = np.full(len(names), np.nan) if one else size(c).std(1) / len(images) ** 0.5
    probes = np.array([5.0, 10.0, 20.0])
    exact = size(c)[:, 0]
    noise = 1 + random.normal(size=(3, len(names))) / np.sqrt(2 * probes)[:, None]
    return report.LayerReport(
        model="a_network",
        images=tuple(images),
        size=(56, 64),
        readout="probs",
        action="translation_x",
        units="fraction of the axis",
        stencil="fourier_even",
        depth="module",
        names=tuple(names),
        kinds=kinds,
        norms=norms,
        stderr=stderr,
        per_image=size(c),
        cumulative=size(np.cumsum(c, 0)),
        total=size(c.sum(0)),
        residual=1.5e-7,
        top=((report.Guess("tiger cat", 0.405),),) * len(images),
        subnetworks=report.Subnetworks(
            tuple(names), kinds, random.gamma(2, 1, len(names)), norms / 9
        ),
        convergence=report.Convergence(images[0], probes, exact * noise, exact),
        compilation=report.Compilation(12.5, 30, 4, "/somewhere"),
        settings={"depth": "module", "probes": 20, "weights": "its own"},
        versions={"eqnets": "0.1.0"},
        command="eqnets layerwise --model a_network",
        seed=7,
        seconds={"contributions": 1.25},
    )


def assert_same(a, b):
    for field in dataclasses.fields(a):
        x, y = getattr(a, field.name), getattr(b, field.name)
        if dataclasses.is_dataclass(x):
            assert_same(x, y)
        else:
            assert type(x) is type(y)
            np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("images", [("one",), ("a", "b", "c")])
def test_json_round_trip_is_exact(images):
    r = made(images=images)
    again = report.LayerReport.from_json(r.to_json())
    assert_same(r, again)
    assert again.to_json() == r.to_json()
    bare = dataclasses.replace(r, subnetworks=None, convergence=None)
    assert_same(bare, report.LayerReport.from_json(bare.to_json()))


def test_json_is_strict():
    tree = json.loads(made(images=("one",)).to_json(), parse_constant=pytest.fail)
    assert set(tree["stderr"]) == {None}
    with pytest.raises(ValueError, match="not JSON compliant"):
        dataclasses.replace(made(), residual=float("nan")).to_json()
    with pytest.raises(ValueError, match="eqnets-layers-1"):
        report.LayerReport.from_json("{}")


def test_shares_sum_to_one_and_a_perfect_network_has_none():
    r = made()
    shares = r.by_kind()
    assert sum(share for _, share in shares.values()) == pytest.approx(1)
    assert sum(count for count, _ in shares.values()) == len(NAMES)
    assert list(shares)[-1] == "norm"  # the least
    perfect = dataclasses.replace(r, norms=0 * r.norms, cumulative=0 * r.cumulative)
    assert not perfect.share.any()
    assert report.layer_page(perfect).startswith("<!DOCTYPE html>")


def test_bars_are_the_norms_in_the_colours_of_the_kinds():
    r = made()
    bars, running = layer_figures.contributions(r).axes
    drawn = [p for p in bars.patches if p.get_width() == pytest.approx(0.86)]
    np.testing.assert_allclose([p.get_height() for p in drawn], r.norms)
    assert [to_hex(p.get_facecolor()) for p in drawn] == [
        kind_colour(kind) for kind in r.kinds
    ]
    (line,) = (x for x in running.get_lines() if x.get_label() == "sum")
    partial = np.sqrt((r.cumulative**2).mean(1))
    np.testing.assert_allclose(line.get_ydata()[1:], partial)
    # It ends where the total, computed apart, is drawn.
    (end,) = (x for x in running.get_lines() if x.get_marker() == "D")
    np.testing.assert_allclose(end.get_ydata(), partial[-1])
    top = max(area.get_paths()[0].vertices[:, 1].max() for area in running.collections)
    assert top == pytest.approx(r.norms.sum())


def test_error_bars_are_missing_for_one_image():
    count = lambda r: len(layer_figures.contributions(r).axes[0].containers)
    segments = lambda r: sum(
        len(lines.get_segments())
        for lines in layer_figures.contributions(r).axes[0].collections
    )
    assert count(made()) == 2
    assert segments(made()) == sum(kind != "norm" for kind in made().kinds)
    assert segments(made(images=("one",))) == 0


def test_many_layers_are_named_by_their_blocks():
    labels = lambda r: [
        t.get_text() for t in layer_figures.contributions(r).axes[1].get_xticklabels()
    ]
    assert labels(made()) == ["stem", *(f"blocks/{i}" for i in range(20))]
    few = NAMES[:9]
    assert labels(made(few)) == list(few)


def test_convergence_is_the_relative_error():
    r = made()
    c = r.convergence
    counted = c.exact > 0
    expected = np.sqrt(((c.estimates[:, counted] / c.exact[counted] - 1) ** 2).mean(1))
    np.testing.assert_allclose(relative_errors(r), expected)
    _, right = layer_figures.convergence(r).axes
    lines = {line.get_label(): line for line in right.get_lines()}
    np.testing.assert_allclose(lines["measured"].get_ydata(), expected)
    np.testing.assert_allclose(lines["1 / √(2N)"].get_ydata(), (2 * c.probes) ** -0.5)


def test_subnetworks_are_drawn_by_kind():
    r = made()
    (axes,) = layer_figures.subnetworks(r).axes
    drawn = {
        (round(x), y)
        for container in axes.containers
        for x, y in zip(*container.lines[0].get_data(), strict=True)
    }
    assert drawn == set(enumerate(r.subnetworks.lee))


def test_missing_parts_say_how_to_get_them():
    bare = dataclasses.replace(made(), subnetworks=None, convergence=None)
    with pytest.raises(ValueError, match="--subnetworks"):
        layer_figures.subnetworks(bare)
    with pytest.raises(ValueError, match="--probes"):
        layer_figures.convergence(bare)
    page = report.layer_page(bare)
    assert "cut off behind" not in page
    assert "stochastic" not in page


def test_page_holds_every_layer_escaped_and_loads_nothing():
    r = made()
    text = report.layer_page(r)
    assert text == report.layer_page(report.LayerReport.from_json(r.to_json()))
    for name in NAMES[:-1]:
        assert f">{name}</th>" in text
    assert "<b>head</b>" not in text
    assert "<i>mouse</i>" not in text
    assert "&lt;b&gt;head&lt;/b&gt;" in text
    assert f"{r.command}" in text
    assert "30 programs,\n4 of which were read" in text
    assert not re.search(r"<(script|link|img|iframe)", text)
    assert "http" not in text


def test_tables_name_the_largest_layers_and_machine_lines_all():
    r = made()
    table = report.layer_table(r)
    assert (
        r.names[int(np.argmax(r.norms))]
        in table.split("largest layers")[1].split("\n")[2]
    )
    *lines, total = report.layer_lines(r).split("\n")
    for line, name, norm in zip(lines, r.names, r.norms, strict=True):
        assert line.startswith(f"LAYER {name} {norm:.6g} +- ")
    assert total == f"TOTAL {np.sqrt((r.total**2).mean()):.6g} residual 1.5e-07"


def test_every_kind_of_the_engine_has_its_colour():
    assert set(report.KIND_COLOURS) == set(KINDS)
    assert len(set(report.KIND_COLOURS.values())) == len(KINDS)
