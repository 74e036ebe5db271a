import dataclasses
import html.parser
import re
import subprocess
import sys

import numpy as np
import pytest

from eqnets import report
from eqnets.report import figures
from eqnets.report.wording import number, pretty


def data(axes):
    return {line.get_label(): line for line in axes.get_lines()}


def test_bars_have_the_means_and_a_dot_for_each_image(measurement):
    (axes,) = figures.lee_bars(measurement).axes
    means = [e.mean for e in measurement.lee.values()]
    assert axes.get_xscale() == "log"  # they range over a factor of a thousand
    ends = [bar.get_x() + bar.get_width() for bar in axes.patches]
    np.testing.assert_allclose(ends, means)
    for dots, e in zip(axes.collections, measurement.lee.values(), strict=True):
        np.testing.assert_array_equal(dots.get_offsets()[:, 0], e.per_image)
    left, right = axes.get_xlim()
    assert left <= min(e.per_image.min() for e in measurement.lee.values())
    assert right >= max(e.per_image.max() for e in measurement.lee.values())


def test_bars_of_similar_values_start_at_zero(make):
    m = make(actions=("rotation", "scaling"))
    (axes,) = figures.lee_bars(m).axes
    assert axes.get_xscale() == "linear"
    assert axes.get_xlim()[0] == 0


def test_zeros_are_drawn_at_the_edge_of_a_logarithmic_axis(make):
    m = make()
    values = m.lee["rotation"].per_image
    values[1] = 0.0
    (axes,) = figures.lee_bars(m).axes
    assert axes.get_xscale() == "log"
    drawn = sum(len(dots.get_offsets()) for dots in axes.collections)
    assert drawn == len(m.lee) * len(m.images)


def test_a_network_without_error_has_bars_of_length_zero(make):
    m = make()
    zero = {
        name: dataclasses.replace(e, mean=0.0, stderr=0.0, per_image=np.zeros(4))
        for name, e in m.lee.items()
    }
    (axes,) = figures.lee_bars(dataclasses.replace(m, lee=zero)).axes
    assert axes.get_xlim() == (0, 1)
    assert [bar.get_width() for bar in axes.patches] == [0] * len(zero)


def test_responses_have_the_curve_and_its_tangent(measurement):
    figure = figures.responses(measurement)
    for axes, (name, curve) in zip(
        figure.axes, measurement.curves.items(), strict=False
    ):
        assert axes.get_title() == pretty(name)
        lines = data(axes)
        np.testing.assert_allclose(lines["mean"].get_ydata(), curve.distance.mean(1))
        tangent = lines["|t|·|Lp(x)|"]
        t, y = tangent.get_xdata(), tangent.get_ydata()
        np.testing.assert_allclose(y, np.abs(t) * curve.slope.mean())
        assert measurement.lee[name].units in axes.get_xlabel()


def test_photographs_stand_above_their_classes(measurement):
    figure = figures.photographs(measurement)
    pictures, classes = figure.axes[::2], figure.axes[1::2]
    for axes, name, pixels in zip(
        pictures, measurement.images, measurement.pictures.pixels, strict=True
    ):
        assert axes.get_title(loc="left") == name
        np.testing.assert_array_equal(axes.images[0].get_array(), pixels)
    texts = [text.get_text() for text in classes[0].texts]
    assert texts[:4] == ["tiger cat", "0.405", "Egyptian cat", "0.337"]


@pytest.mark.parametrize("channels", [1, 4])
def test_photographs_of_other_channels_are_grey(make, channels):
    m = make()
    pixels = np.full((4, 8, 8, channels), 100, np.uint8)
    m = dataclasses.replace(m, pictures=dataclasses.replace(m.pictures, pixels=pixels))
    assert figures.photographs(m).axes[0].images[0].get_array().shape == (8, 8)


def test_maps_are_signed_and_their_sum_is_named(measurement):
    figure = figures.error_maps(measurement)
    panels = [axes for axes in figure.axes if len(axes.images) == 2]
    blocks = np.concatenate(list(measurement.pictures.maps.values()))
    assert len(panels) == len(blocks) == 8
    for axes, block in zip(panels, blocks, strict=True):
        assert axes.get_xlabel() == f"|Lp| = {block.sum(dtype=np.float64):.3g}"
        colours = axes.images[1].get_array()
        np.testing.assert_allclose(
            colours[..., 3], np.minimum(np.abs(block) / figures.map_scale(block), 1)
        )
        redder = colours[..., 0] > colours[..., 2]
        np.testing.assert_array_equal(redder, block >= 0)


def test_map_scale_of_sparse_and_empty_maps():
    sparse = np.zeros((100, 100))
    sparse[0, 0] = -3.0
    assert figures.map_scale(sparse) == 3.0
    assert figures.map_scale(np.zeros((4, 4))) == 1.0


class Collector(html.parser.HTMLParser):
    """Collects tags, attributes, text and duplicate identifiers; checks the nesting."""

    VOID = frozenset({"meta", "link", "br", "img", "hr", "input"})

    def __init__(self, text):
        super().__init__()
        self.stack, self.links, self.text, self.ids, self.tags = [], [], [], [], set()
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.handle_startendtag(tag, attributes)
        if tag not in self.VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.add(tag)
        for name, value in attributes:
            if name in ("href", "src", "xlink:href", "srcset", "action", "data"):
                self.links.append(value)
            if name == "id":
                self.ids.append(value)

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, text):
        self.text.append(text)


def test_page_holds_every_number(measurement):
    text = " ".join(Collector(report.page(measurement)).text)
    for e in measurement.lee.values():
        assert number(e.mean, 4) in text
        assert number(e.stderr, 2) in text
        assert e.units in text
        for value in e.per_image:
            assert number(value) in text
    for word in ("92.5 %", "81.2 %", "fourier_even", "seed", "0.405", "LEE 1.2 s"):
        assert word in text
    assert measurement.command in text
    for name in measurement.images:
        assert name in text


def test_page_is_well_formed_and_loads_nothing(measurement):
    text = report.page(measurement)
    found = Collector(text)
    assert found.stack == []
    assert len(found.ids) == len(set(found.ids))
    assert not found.tags & {"script", "link", "iframe", "object", "embed", "img"}
    targets = set(found.ids)
    for link in found.links:
        inside = link.startswith("#") and link[1:] in targets
        assert inside or link.startswith("data:image/png;base64,")
    for reference in re.findall(r"url\(([^)]*)\)", text):
        assert reference[1:] in targets
    assert "http" not in text
    assert "//" not in re.sub(r"base64,[^\"]*", "", text)


def test_page_is_deterministic_and_rebuilt_from_json(make, measurement):
    text = report.page(measurement)
    assert report.page(make()) == text
    assert report.page(report.Measurement.from_json(measurement.to_json())) == text


def test_colours_are_themed(measurement):
    text = report.page(measurement)
    assert "prefers-color-scheme: dark" in text
    figures_only = text[text.index("<svg") :]
    assert "fill: var(--ink, #1c2126)" in figures_only
    assert not re.search(r"(fill|stroke): #(1c2126|2f6f9f|b9d3e6)", figures_only)


HOSTILE = [
    "<script>alert(1)</script>.png",
    '"><img src=x onerror=alert(1)>.png',
    "$\\frac{1}{.png",
    "a & b's {{ 7 * 7 }} {% raw %}.png",
]


def test_hostile_names_are_escaped(make):
    m = make(tuple(HOSTILE))
    guesses = (report.Guess("<b>$\\bad{", 0.5),)
    m = dataclasses.replace(
        m, model="<i>m</i>", command="eqnets --x '<u>'", top=(guesses,) * 4
    )
    text = report.page(m)
    found = Collector(text)
    assert not found.tags & {"script", "img", "i", "u"}
    written = "".join(found.text)
    for name in HOSTILE:
        assert written.count(name) >= 3  # two tables and a figure
    assert "49" not in re.findall(r"a &amp; b.{0,40}", text)[0]


def test_one_image_and_missing_parts(make):
    m = make(("one",))
    m = dataclasses.replace(
        m,
        crop=None,
        crop_reason="its preprocessing takes no size",
        curves={},
        pictures=dataclasses.replace(m.pictures, maps={}),
    )
    text = report.page(m)
    assert "undefined for one image" in text
    assert "not measured: its preprocessing takes no size" in text
    assert "Figure 3" not in text
    assert "Figure 4" not in text


def test_many_images_are_not_tabled(make):
    names = tuple(f"image-{i:03d}" for i in range(201))
    text = report.page(make(names))
    assert "too many for a table" in text
    assert "The first 4 of the 201 images" in " ".join(text.split())
    assert "image-150" not in text


def test_importing_the_package_is_light():
    code = (
        "import sys, eqnets.report\n"
        "heavy = {'matplotlib', 'jinja2', 'PIL', 'rich'} & set(sys.modules)\n"
        "sys.exit(' '.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
