import numpy as np

from eqnets import report
from eqnets.report.style import new_figure


def test_a_fuller_colour_is_a_larger_value_and_nothing_is_empty():
    axes = new_figure(2.0, 2.0).subplots()
    values = np.array([[0.0, 0.25, 0.5], [1.0, 7.0, np.nan]])
    words = [["a", "b", "c"], ["d", "e", ""]]
    report.heat_map(axes, values, ("r1", "r2"), ("x", "y", "z"), top=0.5, words=words)
    (drawn,) = axes.images
    opacity = np.asarray(drawn.get_array())[..., 3]
    full = opacity.max()
    np.testing.assert_allclose(opacity, [[0, full / 2, full], [full, full, 0]])
    assert [t.get_text() for t in axes.texts] == list("abcde") + [""]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["r1", "r2"]
