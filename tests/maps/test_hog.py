"""HOG beside VLFeat and a loop over pixels, and its exact symmetries."""

import ctypes
import ctypes.util
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqnets import actions, io, maps

from .patches import photograph_patches


def by_pixels(x, bins, soft, cell):
    """The definition for one grey image, a pixel at a time."""
    h, w = x.shape
    rows, columns = (h + cell // 2) // cell, (w + cell // 2) // cell
    hist = np.zeros((rows, columns, 2 * bins))
    for r in range(1, h - 1):
        for c in range(1, w - 1):
            gx, gy = x[r, c + 1] - x[r, c - 1], x[r + 1, c] - x[r - 1, c]
            angle = np.arctan2(gy, gx) / np.pi * bins
            low = int(np.floor(angle if soft else angle + 0.5))
            share = angle - low if soft else 0.0
            for k, part in ((low, 1 - share), (low + 1, share)):
                for i, wi in enumerate(
                    1 - abs((r + 0.5) / cell - 0.5 - np.arange(rows))
                ):
                    for j in range(columns):
                        wj = 1 - abs((c + 0.5) / cell - 0.5 - j)
                        if wi > 0 and wj > 0:
                            hist[i, j, k % (2 * bins)] += (
                                part * wi * wj * np.hypot(gx, gy)
                            )
    folded = hist[..., :bins] + hist[..., bins:]
    energy = np.pad((folded**2).sum(-1), 1, mode="edge")
    out = np.zeros((rows, columns, 3 * bins + 4))
    for i, j in np.ndindex(rows, columns):
        for b, (di, dj) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
            norm = np.sqrt(
                energy[i + di : i + di + 2, j + dj : j + dj + 2].sum() + 1e-4
            )
            cut = np.minimum(np.append(hist[i, j], folded[i, j]) / norm, 0.2)
            out[i, j, : 3 * bins] += cut / 2
            out[i, j, 3 * bins + b] = cut[2 * bins :].sum() / np.sqrt(18)
    return out


@pytest.mark.parametrize(
    ("bins", "soft", "cell"), [(8, False, 8), (9, True, 8), (5, True, 6)]
)
def test_against_a_loop_over_pixels(bins, soft, cell, x64):
    x = np.random.default_rng(0).normal(size=(2, 21, 26, 1))
    made = maps.hog(x, bins=bins, soft=soft, cell=cell)
    for image, features in zip(x, made, strict=True):
        expected = by_pixels(image[..., 0], bins, soft, cell)
        np.testing.assert_allclose(features, expected, atol=1e-12)


def vlfeat():
    name = os.environ.get("EQNETS_VLFEAT") or ctypes.util.find_library("vl")
    if name is None:
        pytest.skip(
            "VLFeat is not installed (Debian: libvlfeat1), nor EQNETS_VLFEAT set"
        )
    return ctypes.CDLL(name)


def by_vlfeat(library, image, bins, cell):
    size, floats = ctypes.c_size_t, ctypes.POINTER(ctypes.c_float)
    library.vl_hog_new.restype = ctypes.c_void_p
    hog = ctypes.c_void_p(library.vl_hog_new(1, size(bins), 0))
    planes = np.ascontiguousarray(np.moveaxis(image, -1, 0), np.float32)
    h, w, c = image.shape
    library.vl_hog_put_image(
        hog, planes.ctypes.data_as(floats), size(w), size(h), size(c), size(cell)
    )
    shape = []
    for name in ("dimension", "height", "width"):
        get = getattr(library, f"vl_hog_get_{name}")
        get.restype = size
        shape.append(get(hog))
    out = np.zeros(shape, np.float32)
    library.vl_hog_extract(hog, out.ctypes.data_as(floats))
    library.vl_hog_delete(hog)
    return np.moveaxis(out, 0, -1)


@pytest.mark.parametrize("bins", [8, 9, 12])
def test_against_vlfeat_on_colour_photographs(bins):
    library = vlfeat()
    names, photographs = io.sample_photographs()
    for name in ("chelsea", "coffee"):
        image = photographs[names.index(name)].astype(np.float32)
        made = maps.hog(image[None], bins=bins)[0]
        np.testing.assert_allclose(made, by_vlfeat(library, image, bins, 8), atol=1e-6)


def permuted(z, bins, turn):
    """HOG with orientations sent to others; ``turn`` maps directed bins to bins."""
    directed = z[..., [turn(k) % (2 * bins) for k in range(2 * bins)]]
    undirected = z[..., [2 * bins + turn(k) % bins for k in range(bins)]]
    return np.concatenate([directed, undirected], -1)


SYMMETRIES = {
    "hflip": (actions.hflip, lambda bins: lambda k: bins - k),
    "vflip": (actions.vflip, lambda bins: lambda k: -k),
    "180": (lambda x: actions.rot90(x, 2), lambda bins: lambda k: k - bins),
    "90": (actions.rot90, lambda bins: lambda k: k - bins // 2),
}


@pytest.mark.parametrize("name", SYMMETRIES)
@pytest.mark.parametrize(("bins", "soft"), [(8, False), (12, False), (8, True)])
def test_even_bins_are_exact_under_flips_and_quarter_turns(name, bins, soft, x64):
    move, turn = SYMMETRIES[name]
    x = jnp.asarray(photograph_patches(14, 40))
    whole = np.asarray(move(maps.hog(x, bins=bins, soft=soft)))
    moved = np.asarray(maps.hog(move(x), bins=bins, soft=soft))[..., : 3 * bins]
    np.testing.assert_allclose(moved, permuted(whole, bins, turn(bins)), atol=1e-12)


def test_nine_hard_bins_break_flips_but_not_half_turns(x64):
    x = jnp.asarray(photograph_patches(14, 40))
    whole = np.asarray(actions.hflip(maps.hog(x)))
    moved = np.asarray(maps.hog(actions.hflip(x)))[..., :27]
    assert abs(moved - permuted(whole, 9, lambda k: 9 - k)).max() > 0.01
    whole = np.asarray(actions.rot90(maps.hog(x), 2))
    moved = np.asarray(maps.hog(actions.rot90(x, 2)))[..., :27]
    np.testing.assert_allclose(moved, permuted(whole, 9, lambda k: k - 9), atol=1e-12)


def test_it_is_differentiable_and_finite_where_the_image_is_flat(x64):
    x = jnp.asarray(photograph_patches(2, 24)) / 255
    for image in (x, jnp.zeros_like(x)):  # the length of a gradient has a kink at 0
        slope = jax.grad(lambda x: jnp.sum(maps.hog(x, soft=True) ** 2))(image)
        assert jnp.isfinite(slope).all()
    # A little noise, lest pixels are flat or gradients between two bins.
    key, direction = jax.random.split(jax.random.key(0))
    x = x + 0.01 * jax.random.normal(key, x.shape)
    v = jax.random.normal(direction, x.shape)
    f = lambda t: maps.hog(x + t * v, soft=True)
    slope = jax.jvp(f, (0.0,), (1.0,))[1]
    assert abs(slope).max() > 1
    np.testing.assert_allclose(slope, (f(1e-7) - f(-1e-7)) / 2e-7, atol=1e-5)


def test_what_is_not_an_image_is_refused():
    with pytest.raises(TypeError, match="floating"):
        maps.hog(jnp.ones((1, 16, 16, 1), jnp.uint8))
    with pytest.raises(ValueError, match=r"\[B, H, W, C\]"):
        maps.hog(jnp.ones((16, 16)))
    with pytest.raises(ValueError, match="too small"):
        maps.hog(jnp.ones((1, 3, 16, 1)))
    with pytest.raises(ValueError, match="2 bins"):
        maps.hog(jnp.ones((1, 16, 16, 1)), bins=1)


@pytest.mark.parametrize("rule", ["omp", "ols"])
def test_forward_selection_recovers_the_half_turn_exactly(rule, x64):
    """The finding of figure 6 at 180 degrees, on real photographs."""
    x = jnp.asarray(photograph_patches(400, 56))
    source = np.asarray(maps.hog(x)).reshape(400, -1)
    target = np.asarray(maps.hog(actions.rot90(x, 2)))[:, 1:-1, 1:-1]
    target = target.reshape(400, -1)
    f = maps.forward_select(source[:300], target[:300], 5, rule=rule)
    n = int(np.sqrt(source.shape[1] // 31))
    cells = np.arange(n * n).reshape(n, n)[::-1, ::-1][1:-1, 1:-1].ravel()
    turn = [*range(9, 18), *range(9), *range(18, 27), 30, 29, 28, 27]
    exact = (cells[:, None] * 31 + turn).ravel()
    expected = np.eye(source.shape[1])[exact]
    np.testing.assert_allclose(f.A, expected, atol=1e-12)
    np.testing.assert_allclose(f(source[300:]), target[300:], atol=1e-12)
    dense = maps.least_squares(source[:300], target[:300])
    error = np.abs(dense(source[300:]) - target[300:]).mean()
    assert error > 0.01  # which least squares does not find
