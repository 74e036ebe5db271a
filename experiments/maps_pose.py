"""Table 4 and figures 13 and 14 of Lenc and Vedaldi (2019) in small.

    python -m experiments.maps_pose           # about 10 minutes on two cores

The pose of ankle boots (Fashion-MNIST; the paper's cat faces are not to be had) that
are rotated by a multiple of 10 degrees, or moved by one of 20 affine maps: direct
scoring <w, phi(g x)> against equivariant scoring <M_g^T w, phi(x)>, M_g learned on
patches of photographs by forward selection, k = 5, m = 3. Features: HOG of 4-pixel
cells and c3 of a network trained here; 300 images to learn w, 300 to test. ``none`` is
the best constant pose. The affine error is the mean distance of three keypoints, in
half sides.

Expected, of the paper: equivariant scoring is as good as direct scoring, or nearly, and
up to 22 times faster.
"""

import argparse
import time

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np

from benchmarks.timing import interleaved
from eqnets import maps

from .maps_common import fashion, load, patches, save, save_figure, trained

matplotlib.use("Agg")
from matplotlib import pyplot as plt

NAME = "maps_pose"
SIDE, CELLS, INNER, BOOT, EACH, PATCHES = 32, 8, 6, 9, 300, 400
KEYPOINTS = np.array([[-8.0, -8.0], [8.0, -8.0], [0.0, 8.0]])


def rotations() -> list[maps.AffineMap]:
    """Every 10 degrees."""
    return [maps.rotate(10 * i) for i in range(36)]


def affine_maps() -> list[maps.AffineMap]:
    """Twenty: rotation up to 45 degrees, scale 0.8 to 1.25, shear, shift."""
    rng, made = np.random.default_rng(0), []
    for _ in range(20):
        turn = np.array(maps.rotate(rng.uniform(-45, 45)).matrix)[:, :2]
        shear = np.array([[1, rng.uniform(-0.2, 0.2)], [0, 1]])
        linear = turn @ shear * 1.25 ** rng.uniform(-1, 1)
        offset = rng.uniform(-2, 2, (2, 1))
        made.append(maps.affine_map(np.concatenate([linear, offset], 1)))
    return made


def inner(z: jax.Array) -> np.ndarray:
    """The middle sites, flattened."""
    edge = (CELLS - INNER) // 2
    return np.asarray(z[:, edge:-edge, edge:-edge]).reshape(len(z), -1)


def sparse(x, y) -> maps.LinearMap:
    """Forward selection, k = 5."""
    return maps.forward_select(x, y, 5)


def learn_maps(
    phi, poses: list[maps.AffineMap], fit=sparse, m: int = 3
) -> list[maps.LinearMap]:
    """M_g of every pose, from patches of photographs."""
    wide = jnp.asarray(patches("train", PATCHES, 56) / 255)
    edge = (56 - SIDE) // 2
    middle = slice(edge, edge + SIDE)
    source = np.asarray(phi(wide[:, middle, middle]))
    grid = maps.centred_grid(CELLS, CELLS, SIDE / CELLS)
    out = maps.centred_grid(INNER, INNER, SIDE / CELLS)
    made = []
    for g in poses:
        target = inner(phi(g(wide)[:, middle, middle])).reshape(
            -1, INNER, INNER, source.shape[-1]
        )
        sites = maps.neighbourhoods(g, grid, m, out=out)
        made.append(maps.fit_by_site(fit, source, target, sites))
    return made


def distances(poses: list[maps.AffineMap], kind: str) -> np.ndarray:
    """How wrong it is to say pose i where pose j is right."""
    if kind == "rotation":
        gap = abs(np.subtract.outer(np.arange(36), np.arange(36))) * 10
        return np.minimum(gap, 360 - gap).astype(float)
    points = np.array([g.inverse.points(KEYPOINTS) for g in poses])
    gap = np.linalg.norm(points[:, None] - points[None], axis=-1).mean(-1)
    return gap / (SIDE / 2)


def posed_boots(poses: list[maps.AffineMap]) -> tuple[jax.Array, np.ndarray]:
    """Images, and the pose to find in each: the g that puts it upright."""
    x, labels = fashion("train", 12_000)
    boots = x[labels == BOOT][: 2 * EACH]
    right = np.random.default_rng(1).integers(0, len(poses), len(boots))
    moved = [
        poses[i].inverse(jnp.asarray(b[None]))
        for b, i in zip(boots, right, strict=True)
    ]
    return jnp.concatenate(moved), right


def task(kind: str, phi, poses: list[maps.AffineMap]) -> dict:
    """Direct and equivariant scoring of one kind of features and poses."""
    images, right = posed_boots(poses)
    z = np.asarray(phi(images)).reshape(len(images), -1)
    fits = learn_maps(phi, poses)
    features = {
        "direct": np.stack([inner(phi(g(images))) for g in poses], 1),
        "equivariant": np.stack([f(z) for f in fits], 1).astype(np.float32),
    }
    wrong, row = distances(poses, kind), {}
    row["none"] = {"error": float(wrong[:, right[EACH:]].mean(1).min())}
    for name, all_features in features.items():
        w = maps.fit_template(all_features[:EACH], right[:EACH], lam=1e-3)
        guess = (all_features[EACH:] @ w).argmax(1)
        errors = wrong[guess, right[EACH:]]
        row[name] = {
            "error": float(errors.mean()),
            "errors": errors.round(4).tolist(),
            "poses": guess.tolist(),
        }
    row["speed_up"] = speed(phi, poses, fits, w, images[:1])
    return row


def speed(phi, poses, fits, w, image) -> float:
    """Processor time of direct over that of equivariant scoring of one image."""
    templates = maps.pose_templates(fits, w)
    templates = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), templates)
    edge = (CELLS - INNER) // 2

    @jax.jit
    def direct(x, w):
        z = phi(jnp.concatenate([g(x) for g in poses]))[:, edge:-edge, edge:-edge]
        return z.reshape(len(poses), -1) @ w

    equivariant = jax.jit(lambda x, t: t(phi(x).reshape(1, -1)))
    weights = jnp.asarray(w, jnp.float32)
    seconds = interleaved(
        {
            "direct": lambda: direct(image, weights),
            "equivariant": lambda: equivariant(image, templates),
        },
        rounds=20,
        clock=time.process_time,
    )
    return min(seconds["direct"]) / min(seconds["equivariant"])


def draw_examples(kinds: dict, found: dict) -> None:
    """Figure 14: four good poses and the worst, by equivariant scoring of c3."""
    figure, axes = plt.subplots(len(kinds), 5, figsize=(9, 4))
    for row, (kind, poses) in zip(axes, kinds.items(), strict=True):
        images, right = posed_boots(poses)
        scored = found[f"{kind} c3"]["equivariant"]
        order = np.argsort(scored["errors"], kind="stable")
        for axis, i in zip(row, [*order[:4], order[-1]], strict=True):
            axis.imshow(images[EACH + i, :, :, 0], cmap="gray")
            both = ((right[EACH + i], "w--"), (scored["poses"][i], "C2-"))
            for pose, style in both:
                corners = poses[pose].inverse.points(KEYPOINTS) + (SIDE - 1) / 2
                axis.plot(*corners[[0, 1, 2, 0]].T, style, linewidth=1.5)
            axis.set_title(f"error {scored['errors'][i]:.2g}", fontsize=8)
            axis.set_axis_off()
            axis.set(xlim=(-0.5, SIDE - 0.5), ylim=(SIDE - 0.5, -0.5))
    figure.suptitle("found (green) and true (dashed) pose; the worst on the right")
    save_figure(f"{NAME}_examples", figure)


def main() -> None:
    """Run what is missing, draw, and say what reappears."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    settings = {"each": EACH, "patches": PATCHES, "k": 5, "m": 3, "class": BOOT}
    found = load(NAME, settings)
    found["command"] = "python -m experiments.maps_pose"
    net = trained(10_000, 4, flips=True)
    cut = maps.cut(net, "c3", x=jnp.zeros((1, SIDE, SIDE, 1)))
    features = {"HOG": lambda x: maps.hog(x, bins=8, cell=4), "c3": cut.phi}
    kinds = {"rotation": rotations(), "affine": affine_maps()}
    for kind, poses in kinds.items():
        for name, phi in features.items():
            key = f"{kind} {name}"
            if key not in found:
                found[key] = task(kind, phi, poses)
                save(NAME, found)
            row = found[key]
            errors = {k: v["error"] for k, v in row.items() if k != "speed_up"}
            print(key, errors, row["speed_up"], flush=True)
    rows = {k: found[k] for k in (f"{a} {b}" for a in kinds for b in features)}
    said = {}
    for key, row in rows.items():
        near = row["equivariant"]["error"] < 1.25 * row["direct"]["error"]
        said[f"equivariant is nearly as good as direct: {key}"] = near
        said[f"equivariant is more than 5 times faster: {key}"] = row["speed_up"] > 5
    found["verdicts"] = {k: "reappears" if v else "does not" for k, v in said.items()}
    save(NAME, found)
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4))
    for axis, kind in zip(axes, kinds, strict=True):
        for name in features:
            for how in ("direct", "equivariant"):
                errors = np.sort(rows[f"{kind} {name}"][how]["errors"])
                share = np.linspace(0, 100, len(errors))
                axis.step(errors, share, label=f"{name}, {how}")
        axis.set_xlabel(f"error, {kind}")
        axis.set_ylabel("% of test images")
    axes[0].legend(fontsize=7)
    save_figure(NAME, figure)
    draw_examples(kinds, found)


if __name__ == "__main__":
    main()
