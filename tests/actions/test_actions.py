"""Laws of the built-in actions, over all of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from eqnets import actions

WAYS = [
    {},
    {"boundary": "wrap"},
    {"interpolation": "cubic"},
    {"interpolation": "cubic", "boundary": "zeros"},
    {"interpolation": "bilinear"},
    {"interpolation": "bilinear", "boundary": "wrap"},
    {"stencil": "reference"},
]
NAMES = list(actions.standard())


def every_action():
    for way in WAYS:
        label = ",".join(way.values()) or "default"
        for name, action in actions.standard(**way).items():
            yield pytest.param(action, id=f"{name}-{label}")
    yield pytest.param(actions.affine([[0.3, -1, 0.1], [0.5, 0.2, -0.2]]), id="affine")
    yield pytest.param(actions.from_function(lambda x, t: x * jnp.exp(t)), id="fn")
    yield pytest.param(actions.identity(), id="identity")


@pytest.fixture
def images():
    return jax.random.normal(jax.random.key(0), (2, 8, 11, 3))


@pytest.mark.parametrize("action", list(every_action()))
class TestEveryAction:
    @pytest.mark.parametrize("shape", [(2, 8, 11, 3), (1, 1, 5, 2)])
    def test_starts_at_the_identity_to_the_bit(self, action, shape):
        x = jax.random.normal(jax.random.key(1), shape)
        assert_array_equal(action(x, 0.0), x)
        assert_array_equal(jax.jit(action)(x, 0.0), x)

    def test_the_derivative_at_zero_is_the_tangent(self, action, images):
        _, velocity = jax.jvp(lambda t: action(images, t), (0.0,), (1.0,))
        assert_array_equal(velocity, action.tangent(images))

    def test_jit_vmap_and_reverse_mode_agree(self, action, images):
        times = jnp.array([-0.2, 0.0, 0.3])
        looped = jnp.stack([action(images, t) for t in times])
        mapped = jax.jit(jax.vmap(action, (None, 0)))(images, times)
        assert_allclose(mapped, looped, atol=2e-5)
        z = jax.random.normal(jax.random.key(2), images.shape)

        def against(x, t):
            return jnp.vdot(z, action(x, t))

        gx, gt = jax.grad(against, (0, 1))(images, 0.1)
        jx = jax.jvp(lambda x: against(x, 0.1), (images,), (z,))[1]
        jt = jax.jvp(lambda t: against(images, t), (0.1,), (1.0,))[1]
        assert_allclose(jnp.vdot(gx, z), jx, rtol=1e-3, atol=1e-4)
        assert_allclose(gt, jt, rtol=1e-3, atol=1e-4)

    def test_keeps_the_dtype_of_half_precision(self, action, images):
        y = action(images.astype(jnp.bfloat16), 0.05)
        assert y.dtype == jnp.bfloat16
        assert action.tangent(images.astype(jnp.bfloat16)).dtype == jnp.bfloat16
        exact = action(images, 0.05).astype(jnp.float32)
        assert_allclose(y.astype(jnp.float32), exact, atol=0.1)

    def test_refuses_integers(self, action):
        if isinstance(action, type(actions.identity())):
            return
        with pytest.raises(TypeError, match="floating"):
            action(jnp.ones((1, 4, 4, 1), jnp.int32), 0.1)
        with pytest.raises(TypeError, match="floating"):
            action.tangent(jnp.ones((1, 4, 4, 1), jnp.uint8))

    def test_refuses_several_times_at_once(self, action, images):
        with pytest.raises(ValueError, match=r"vmap"):
            action(images, jnp.zeros(2))


@pytest.mark.parametrize("name", [n for n in NAMES if n != "brightness"])
@pytest.mark.parametrize("boundary", ["wrap", "reflect"])
@pytest.mark.parametrize("shape", [(8, 11), (9, 6)])
@pytest.mark.usefixtures("x64")
def test_fourier_generator_is_the_slope_of_the_fourier_flow(name, boundary, shape):
    """Central differences of the finite transformation, which is written apart."""
    action = actions.standard(boundary=boundary)[name]
    x = jax.random.normal(jax.random.key(3), (1, *shape, 2), jnp.float64)
    h = 1e-5
    slope = (action(x, h) - action(x, -h)) / (2 * h)
    assert_allclose(slope, action.tangent(x), atol=1e-6 * float(jnp.abs(slope).max()))


@pytest.mark.parametrize("name", NAMES)
def test_generators_are_linear(name, images):
    action = actions.standard()[name]
    other = images[::-1] ** 2
    whole = action.tangent(2 * images - other)
    parts = 2 * action.tangent(images) - action.tangent(other)
    assert_allclose(whole, parts, atol=2e-5 * float(jnp.abs(parts).max()))


@pytest.mark.parametrize(
    "name", ["translation_x", "translation_y", "rotation", "hyperbolic_rotation"]
)
@pytest.mark.usefixtures("x64")
def test_periodic_fourier_generators_without_divergence_are_skew(name, images):
    x = jnp.asarray(images, jnp.float64)
    y = jnp.asarray(images[::-1] ** 3, jnp.float64)
    generator = actions.standard(boundary="wrap")[name].tangent
    assert_allclose(jnp.vdot(generator(x), y), -jnp.vdot(x, generator(y)), rtol=1e-10)


@pytest.mark.parametrize("axis", ["x", "y"])
@pytest.mark.usefixtures("x64")
def test_periodic_translation_is_a_group_on_odd_sizes(axis):
    x = jax.random.normal(jax.random.key(4), (1, 9, 7, 2), jnp.float64)
    move = actions.translation(axis, boundary="wrap")
    assert_allclose(move(move(x, 0.13), 0.41), move(x, 0.54), atol=1e-12)
    assert_allclose(move(move(x, 0.13), -0.13), x, atol=1e-12)
    norm = jnp.linalg.norm(x)
    assert_allclose(jnp.linalg.norm(move(x, 0.3)), norm, rtol=1e-12)


@pytest.mark.usefixtures("x64")
def test_brightness_is_affine_in_t_and_translations_commute(images):
    x = jnp.asarray(images, jnp.float64)
    bright = actions.brightness()
    assert_allclose(bright(x, 0.25), 1.25 * x)
    a, b = (actions.translation(k, boundary="wrap") for k in "xy")
    assert_allclose(a(b(x, 0.2), 0.3), b(a(x, 0.3), 0.2), atol=1e-12)


def bump(h: int, w: int) -> jax.Array:
    """A smooth, compactly supported image, off centre; frequencies well in band."""
    size = max(h, w)
    x = (np.arange(w) + 0.5 - w / 2)[None, :] / size
    y = (np.arange(h) + 0.5 - h / 2)[:, None] / size
    value = np.exp(-((x - 0.04) ** 2 + 1.5 * (y + 0.03) ** 2) / (2 * 0.05**2))
    return jnp.asarray(value[None, :, :, None])


@pytest.mark.parametrize("way", [{}, {"boundary": "wrap"}])
@pytest.mark.parametrize("shape", [(48, 48), (48, 40), (41, 48)])
@pytest.mark.usefixtures("x64")
def test_brackets_are_those_of_the_affine_matrices(way, shape):
    """[X_G, X_K] = X_[G, K]: the generators represent the affine Lie algebra."""
    x = bump(*shape)
    names = ("rotation", "scaling", "shear_x", "stretch_y", "hyperbolic_rotation")
    matrices = [np.array(actions.standard()[n].generator) for n in names]
    matrices += [np.eye(2, 3, 2), np.array([[0.0, 0, 0], [0, 0, 1]])]  # unit shifts
    fields = [actions.affine(g, **way).tangent for g in matrices]
    square = [np.vstack([g, np.zeros(3)]) for g in matrices]
    for i in range(len(fields)):
        for j in range(i):
            got = fields[i](fields[j](x)) - fields[j](fields[i](x))
            g = (square[i] @ square[j] - square[j] @ square[i])[:2]
            want = actions.affine(g, **way).tangent(x) if g.any() else 0 * x
            scale = float(jnp.abs(fields[i](fields[j](x))).max())
            assert_allclose(got, want, atol=1e-6 * scale, err_msg=f"{i}, {j}")


@pytest.mark.usefixtures("x64")
def test_rotation_takes_d_x_to_d_y():
    x = bump(48, 48)
    field = {n: a.tangent for n, a in actions.standard().items()}
    r, tx, ty = (field[n] for n in ("rotation", "translation_x", "translation_y"))
    got = r(tx(x)) - tx(r(x))
    assert_allclose(got, ty(x), atol=1e-6 * float(jnp.abs(ty(x)).max()))


class TestSignsAndUnits:
    @pytest.mark.parametrize("boundary", ["wrap"])
    @pytest.mark.parametrize("interpolation", actions.INTERPOLATIONS)
    def test_translation_by_whole_pixels_is_roll(self, images, boundary, interpolation):
        way = {"boundary": boundary, "interpolation": interpolation}
        right = actions.translation("x", **way)(images, 3 / 11)
        assert_allclose(right, actions.roll(images, 0, 3), atol=1e-5)
        down = actions.translation("y", **way)(images, 2 / 8)
        assert_allclose(down, actions.roll(images, 2, 0), atol=1e-5)

    @pytest.mark.parametrize("interpolation", actions.INTERPOLATIONS)
    def test_quarter_turn_is_rot90(self, interpolation):
        x = jax.random.normal(jax.random.key(5), (1, 8, 8, 2))
        turn = actions.rotation(interpolation=interpolation)
        assert_allclose(turn(x, jnp.pi / 2), actions.rot90(x), atol=2e-5)

    def test_rotation_takes_right_to_down(self):
        x = jnp.zeros((1, 9, 9, 1)).at[0, 4, 7, 0].set(1.0)
        y = actions.rotation(interpolation="bilinear")(x, jnp.pi / 2)
        assert_allclose(y[0, 7, 4, 0], 1.0, atol=1e-5)

    def test_scaling_stretch_shear_and_hyperbolic_move_a_point_as_stated(self):
        def centre_of_mass(name, t, at):
            x = jnp.zeros((1, 65, 65, 1)).at[0, 32 + at[1], 32 + at[0], 0].set(1.0)
            # wide enough a blob that the interpolation error does not matter
            x = jax.image.resize(x[:, ::2, ::2], x.shape, "cubic")
            y = actions.standard(interpolation="cubic")[name](x, t)[0, :, :, 0]
            grid = jnp.arange(65.0) - 32
            mass = y.sum()
            return (y.sum(0) @ grid) / mass, (y.sum(1) @ grid) / mass

        cases = [
            ("scaling", 0.5, (8, 4), (8 * np.exp(0.5), 4 * np.exp(0.5))),
            ("stretch_x", 0.5, (8, 4), (8 * np.exp(0.5), 4)),
            ("stretch_y", 0.5, (8, 4), (8, 4 * np.exp(0.5))),
            ("shear_x", 0.5, (8, 4), (10, 4)),
            ("shear_y", 0.5, (8, 4), (8, 8)),
            (
                "hyperbolic_rotation",
                0.5,
                (8, 4),
                (
                    8 * np.cosh(0.5) + 4 * np.sinh(0.5),
                    4 * np.cosh(0.5) + 8 * np.sinh(0.5),
                ),
            ),
            ("rotation", 0.5, (8, 4), (8 * np.cos(0.5) - 4 * np.sin(0.5), 7.3458)),
        ]
        for name, t, at, want in cases:
            assert_allclose(centre_of_mass(name, t, at), want, atol=0.6, err_msg=name)

    def test_generators_of_linear_images_are_their_velocities(self):
        """x(u) = x-coordinate: X x = -v_x, in isotropic units, away from the edges."""
        h, w = 10, 14
        u = (np.arange(w) + 0.5 - w / 2) / 14
        v = (np.arange(h) + 0.5 - h / 2) / 14
        x, y = np.meshgrid(u, v)
        image = jnp.asarray(np.stack([x, y], -1)[None], jnp.float32)
        velocity = {
            "translation_x": (1 + 0 * x, 0 * y),
            "translation_y": (0 * x, 10 / 14 + 0 * y),
            "rotation": (-y, x),
            "scaling": (x, y),
            "shear_x": (y, 0 * y),
            "shear_y": (0 * x, x),
            "stretch_x": (x, 0 * y),
            "stretch_y": (0 * x, y),
            "hyperbolic_rotation": (y, x),
        }
        for name, action in actions.standard(interpolation="cubic").items():
            if name in velocity:
                got = action.tangent(image)[0, 1:-1, 1:-1]
                want = -np.stack(velocity[name], -1)[1:-1, 1:-1]
                assert_allclose(got, want, atol=1e-6, err_msg=name)


class TestReferenceMode:
    """The formulas of the public code, written out with loops over pixels."""

    def slow(self, x):
        h, w, _ = x.shape
        dx, dy = np.zeros_like(x), np.zeros_like(x)
        for i in range(h):
            for j in range(w):
                right = j + 1 if j + 1 < w else w - 2
                below = i + 1 if i + 1 < h else h - 2
                dx[i, j] = (w - 1) / 2 * (x[i, right] - x[i, j])
                dy[i, j] = (h - 1) / 2 * (x[below, j] - x[i, j])
        xn = np.linspace(-1, 1, w)[None, :, None]
        yn = np.linspace(-1, 1, h)[:, None, None]
        return {
            "translation_x": dx,
            "translation_y": dy,
            "rotation": yn * dx - xn * dy,
            "scaling": -(xn * dx + yn * dy),
            "shear_x": yn * dx,
            "shear_y": xn * dy,
            "hyperbolic_rotation": yn * dx + xn * dy,
            "stretch_x": -xn * dx,
            "stretch_y": -yn * dy,
            "brightness": x,
        }

    def test_generators(self, images):
        made = actions.standard(stencil="reference")
        for name, want in self.slow(np.asarray(images[0], np.float64)).items():
            got = made[name].tangent(images[:1])[0]
            assert_allclose(got, want, atol=2e-5, err_msg=name)

    def test_finite_motion_samples_ahead_in_half_widths(self, images):
        """x'(u) = x(u + t), pixels to the right for a positive t: the other sign."""
        y = actions.translation("x", stencil="reference")(images, 2 * 3 / 10)
        assert_allclose(y[:, :, :8], images[:, :, 3:], atol=1e-5)
        assert_allclose(y[:, :, 8], images[:, :, 9], atol=1e-5)  # reflected at 10


class TestOptions:
    @pytest.mark.parametrize(
        ("way", "stencil"),
        [
            ({}, "fourier_even"),
            ({"boundary": "reflect"}, "fourier_even"),
            ({"boundary": "wrap"}, "fourier"),
            ({"interpolation": "bilinear"}, "central"),
            ({"interpolation": "cubic", "boundary": "zeros"}, "cubic"),
            ({"stencil": "fourier"}, "fourier"),
            ({"stencil": "central"}, "central"),
        ],
    )
    def test_stencil_follows_from_the_options(self, way, stencil):
        assert actions.rotation(**way).stencil == stencil

    @pytest.mark.parametrize(
        ("way", "word"),
        [
            ({"interpolation": "lanczos"}, "interpolation"),
            ({"boundary": "periodic"}, "boundary"),
            ({"stencil": "forward"}, "stencil"),
            ({"boundary": "zeros"}, "empty space"),
            ({"stencil": "fourier", "boundary": "reflect"}, "boundary"),
            ({"stencil": "reference", "boundary": "wrap"}, "reference"),
            ({"stencil": "reference", "interpolation": "cubic"}, "reference"),
        ],
    )
    def test_what_does_not_go_together_is_refused(self, way, word):
        with pytest.raises(ValueError, match=word):
            actions.rotation(**way)

    def test_bad_axis_generator_and_function(self):
        with pytest.raises(ValueError, match="axis"):
            actions.translation("z")
        for bad in (np.eye(2), np.zeros((2, 3)), np.full((2, 3), np.nan)):
            with pytest.raises(ValueError, match="2 x 3"):
                actions.affine(bad)
        with pytest.raises(ValueError, match="reference"):
            actions.affine([[0, 1, 0], [0, 0, 0]], stencil="reference")

    @pytest.mark.parametrize("shape", [(8, 8, 3), (2, 10), (2, 3, 8, 8, 3)])
    def test_only_images_move(self, shape):
        for name, action in actions.standard().items():
            if name != "brightness":
                with pytest.raises(ValueError, match=r"\[B, H, W, C\]"):
                    action(jnp.zeros(shape), 0.1)
                with pytest.raises(ValueError, match="on_tokens"):
                    action.tangent(jnp.zeros(shape))

    def test_a_user_flow_must_start_at_the_identity(self, images):
        wrong = actions.from_function(lambda x, t: x + 1 + t, name="drift")
        with pytest.raises(ValueError, match="drift"):
            wrong(images, 0.0)
        cropped = actions.from_function(lambda x, t: x[:, 1:] * (1 + t))
        with pytest.raises(ValueError, match="t = 0"):
            cropped(images, 0.1)

    def test_equal_by_content(self):
        assert actions.rotation() == actions.rotation()
        assert hash(actions.shear("x")) == hash(actions.shear("x"))
        assert actions.shear("x") != actions.shear("y")
        affine = actions.affine([[0, -1, 0], [1, 0, 0]])
        x = jnp.ones((1, 4, 6, 1)).at[0, 1, 2].set(3.0)
        assert_array_equal(affine.tangent(x), actions.rotation().tangent(x))


@pytest.mark.usefixtures("x64")
def test_affine_flow_is_the_matrix_exponential():
    import scipy.linalg

    from eqnets.actions.spatial import affine_flow

    rng = np.random.default_rng(0)
    cases = [rng.standard_normal((2, 3)) for _ in range(4)]
    cases += [
        np.array(a.generator)
        for a in actions.standard().values()
        if hasattr(a, "generator")
    ]
    cases += [np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0]])]
    for g in cases:
        whole = scipy.linalg.expm(0.7 * np.vstack([g, np.zeros(3)]))
        matrix, offset = affine_flow(g, jnp.asarray(0.7))
        got = np.array([[*map(float, r)] for r in matrix])
        assert_allclose(got, whole[:2, :2], atol=1e-12)
        assert_allclose(np.array([*map(float, offset)]), whole[:2, 2], atol=1e-12)


def test_tokens_move_as_their_grid(images):
    tokens = images.reshape(2, 88, 3)
    fixed = jnp.ones((2, 2, 3))
    action = actions.on_tokens(actions.rotation(), (8, 11), prefix=2)
    both = jnp.concatenate([fixed, tokens], 1)
    want = actions.rotation()(images, 0.3).reshape(2, 88, 3)
    assert_array_equal(action(both, 0.3)[:, 2:], want)
    assert_array_equal(action(both, 0.3)[:, :2], fixed)
    assert_array_equal(action.tangent(both)[:, :2], 0 * fixed)
    assert (action.name, action.units) == ("rotation", "radians")
    with pytest.raises(ValueError, match="grid"):
        action(tokens, 0.1)
    with pytest.raises(ValueError, match="grid"):
        actions.on_tokens(actions.rotation(), (0, 3))


def test_finite_transformations_permute_pixels(images):
    assert_array_equal(actions.roll(images, 1, -2), np.roll(images, (1, -2), (1, 2)))
    assert_array_equal(actions.hflip(images), np.asarray(images)[:, :, ::-1])
    assert_array_equal(actions.vflip(images), np.asarray(images)[:, ::-1])
    assert_array_equal(actions.rot90(actions.rot90(images), 3), images)
    four = images
    for _ in range(4):
        four = actions.rot90(four)
    assert_array_equal(four, images)
    for move in (actions.hflip, actions.vflip, actions.rot90):
        with pytest.raises(ValueError, match=r"\[B, H, W, C\]"):
            move(images[0])
