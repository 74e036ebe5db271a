"""Affine maps, receptive fields, P_g and neighbourhoods."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from eqnets import actions, maps
from eqnets.maps.affine import probe_affine

X = jax.random.normal(jax.random.key(0), (2, 9, 9, 3))
EXACT = {
    "hflip": (actions.hflip, maps.flip("x")),
    "vflip": (actions.vflip, maps.flip("y")),
    "90": (actions.rot90, maps.rotate(90)),
    "180": (lambda x: actions.rot90(x, 2), maps.rotate(180)),
    "270": (lambda x: actions.rot90(x, 3), maps.rotate(-90)),
}


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("size", [8, 9])
def test_flips_and_quarter_turns_are_exact(name, size):
    move, g = EXACT[name]
    x = X[:, :size, :size]
    np.testing.assert_array_equal(g(x), move(x))
    np.testing.assert_array_equal(g.inverse(g(x)), x)
    assert probe_affine(move, x.shape) == g
    grid = maps.centred_grid(size, size, 4)
    for sampler in ("gather", "splat"):
        np.testing.assert_array_equal(
            maps.permute_sites(x, g, grid, sampler=sampler), move(x)
        )


def test_maps_form_a_group():
    a, b = maps.rotate(30), maps.affine_map([[1.2, 0.1, 2], [0, 0.8, -1]])
    points = np.random.default_rng(0).normal(size=(5, 2))
    np.testing.assert_allclose((a @ b).points(points), a.points(b.points(points)))
    np.testing.assert_allclose(b.inverse.points(b.points(points)), points)
    np.testing.assert_allclose(
        np.array((a @ a @ a).matrix), np.array(maps.rotate(90).matrix), atol=1e-15
    )


@pytest.mark.parametrize(
    ("name", "t"),
    [("rotation", 0.3), ("scaling", 0.2), ("shear_x", 0.2), ("translation_y", 0.21)],
)
def test_the_geometry_of_an_action_is_its_warp(name, t, x64):
    action = actions.standard(interpolation="bilinear", boundary="zeros")[name]
    x = jax.random.normal(jax.random.key(0), (1, 10, 14, 1), jnp.float64)
    made = maps.as_transform(action, x.shape, t=t)
    np.testing.assert_allclose(made.geometry(x), action(x, t), atol=1e-12)
    np.testing.assert_allclose(made.undo(x), made.geometry.inverse(x), atol=1e-12)
    found = probe_affine(lambda x: action(x, t), x.shape)
    np.testing.assert_allclose(found.matrix, made.geometry.matrix, atol=1e-5)


@pytest.mark.parametrize("boundary", ["zeros", "reflect", "wrap"])
@pytest.mark.parametrize("interpolation", ["bilinear", "cubic"])
def test_probing_sees_past_the_border(boundary, interpolation, x64):
    g = maps.rotate(20) @ maps.affine_map([[0.8, 0, 3.5], [0, 0.8, -2.5]])
    g = maps.affine_map(g.matrix, boundary=boundary, interpolation=interpolation)
    found = probe_affine(g, (1, 14, 11, 1))
    np.testing.assert_allclose(found.matrix, g.matrix, atol=1e-5)


def test_transforms_that_are_not_affine_are_refused():
    for move in (
        lambda x: x**2,
        lambda x: x + 0.1 * x**2,
        lambda x: jnp.roll(x, 8, 1) * 0,
        lambda x: x.at[:, 4].set(x[:, 5]),
    ):
        with pytest.raises(ValueError, match="not affine"):
            maps.as_transform(move, X.shape)
    with pytest.raises(TypeError, match="needs its time"):
        maps.as_transform(actions.rotation(), X.shape)
    with pytest.raises(TypeError, match="has none"):
        maps.as_transform(actions.hflip, X.shape, t=1.0)
    with pytest.raises(ValueError, match="no inverse"):
        maps.affine_map([[1, 1, 0], [1, 1, 0]])
    with pytest.raises(ValueError, match="axis"):
        maps.flip("z")


def conv(stride, size, padding):
    kernel = jax.random.normal(jax.random.key(1), (size, size, 3, 4))
    numbers = ("NHWC", "HWIO", "NHWC")
    return lambda x: jax.nn.relu(
        lax.conv_general_dilated(
            x, kernel, (stride, stride), padding, dimension_numbers=numbers
        )
    )


def pool(x):
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), "VALID")


@pytest.mark.parametrize(
    ("phi", "size", "first", "step"),
    [
        (conv(1, 3, "SAME"), 9, -4, 1),
        (conv(2, 3, [(1, 1)] * 2), 9, -4, 2),
        (conv(2, 3, [(0, 1)] * 2), 8, -2.5, 2),
        (lambda x: pool(conv(1, 3, "SAME")(x)), 7, -2, 2),
        (lambda x: pool(conv(1, 3, [(1, 1)] * 2)(x)), 8, -2.5, 2),
        (lambda x: maps.hog(x, soft=True), 32, -12, 8),
    ],
    ids=["same", "strided", "uneven", "pool 7 to 3", "pool 8 to 3", "hog"],
)
def test_centres_of_receptive_fields(phi, size, first, step):
    grid = maps.receptive_grid(phi, (1, size, size, 3))
    assert grid.origin == (first, first)
    assert grid.step == (step, step)


def test_a_grid_that_flips_off_itself_shows():
    """VALID pooling of 8 pixels to 3 leaves the last out: flips stop commuting."""
    phi = lambda x: pool(conv(1, 3, "SAME")(x))
    grid = maps.receptive_grid(phi, (1, 8, 8, 3))
    assert grid.reads(maps.flip("x"))[0, 0, 0] == 2.5  # not at a site
    with pytest.raises(ValueError, match="whole image"):
        maps.receptive_grid(lambda x: x - x.mean((1, 2), keepdims=True), (1, 8, 8, 3))
    with pytest.raises(ValueError, match=r"\[B, h, w, D\]"):
        maps.receptive_grid(lambda x: x.mean((1, 2)), (1, 8, 8, 3))


def test_splat_is_the_transpose_of_the_inverse_gather():
    grid = maps.centred_grid(9, 9)
    g = maps.rotate(25) @ maps.scale(1.2)
    a, b = jax.random.normal(jax.random.key(1), (2, 1, 9, 9, 3))
    splat = maps.permute_sites(a, g, grid, sampler="splat")
    gather = maps.permute_sites(b, g.inverse, grid)
    np.testing.assert_allclose(jnp.vdot(splat, b), jnp.vdot(a, gather), rtol=1e-5)
    with pytest.raises(ValueError, match="sampler"):
        maps.permute_sites(a, g, grid, sampler="nearest")
    with pytest.raises(ValueError, match="on a grid"):
        maps.permute_sites(a[:, 1:], g, grid)


@pytest.mark.parametrize("m", [1, 2, 3, 4])
def test_neighbourhoods_are_the_nearest_sites(m):
    grid, out = maps.centred_grid(9, 9, 8), maps.centred_grid(5, 5, 8)
    g = maps.rotate(31)
    sites = maps.neighbourhoods(g, grid, m, out=out)
    reads = grid.reads(g, out).round(9)
    for i, j in np.ndindex(5, 5):
        x, y = reads[i, j]
        axis = np.arange(9)
        columns = np.sort(np.argsort(abs(axis - x), kind="stable")[:m])
        rows = np.sort(np.argsort(abs(axis - y), kind="stable")[:m])
        expected = (rows[:, None] * 9 + columns).ravel()
        np.testing.assert_array_equal(sites[i, j], expected)
    with pytest.raises(ValueError, match="m is from 1"):
        maps.neighbourhoods(g, grid, 10)


def test_fitting_by_site_is_fitting_with_the_mask():
    rng = np.random.default_rng(0)
    grid, out, g = maps.centred_grid(5, 5), maps.centred_grid(2, 2), maps.rotate(45)
    x, y = rng.normal(size=(80, 5, 5, 3)), rng.normal(size=(80, 2, 2, 4))
    sites = maps.neighbourhoods(g, grid, 3, out=out)
    mask = maps.neighbourhood_mask(sites, grid, (3, 4))
    assert mask.shape == (16, 75)
    assert (mask.sum(1) == 27).all()
    local = maps.fit_by_site(lambda a, b: maps.forward_select(a, b, 4), x, y, sites)
    whole = maps.forward_select(x.reshape(80, -1), y.reshape(80, -1), 4, mask=mask)
    np.testing.assert_allclose(local.A, whole.A, atol=1e-12)
    np.testing.assert_allclose(local.b, whole.b, atol=1e-12)


@pytest.mark.parametrize("make", [maps.rotate, maps.scale])
def test_angles_and_factors_are_finite(make):
    with pytest.raises(ValueError, match="must be finite"):
        make(float("nan"))
