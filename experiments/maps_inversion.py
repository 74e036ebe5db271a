"""Figures 8 and 12 of Lenc and Vedaldi (2019) in small: pre-images of M_g phi(x).

    python -m experiments.maps_inversion      # about 5 minutes on two cores

Pre-images by gradient descent with total variation. HOG (soft bins) of a photograph:
of phi(x), phi(g x) and M_g phi(x), M_g by forward selection, k = 5, m = 3, for 45
degrees and scales sqrt 2 and 1 / sqrt 2. Layers c1 to c3 of a network trained on
Fashion-MNIST: of phi(g x), P_g phi(x) and M_g phi(x) for 90 degrees.

Expected, of the paper: the pre-images of phi(g x) and of M_g phi(x) look alike, and
those of M_g phi(x) are better than those of P_g phi(x). Here "better" is counted: the
distance of a pre-image to that of phi(g x), relative.
"""

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np

from eqnets import maps

from .maps_common import fashion, load, patches, save, save_figure, trained

matplotlib.use("Agg")
from matplotlib import pyplot as plt

NAME = "maps_inversion"
MOVES = {
    "45 degrees": maps.rotate(45),
    "scale 1.41": maps.scale(2**0.5),
    "scale 0.71": maps.scale(2**-0.5),
}
STEPS = 250
KEY = jax.random.key(0)


def hog(x):
    """Soft bins, so that it can be descended."""
    return maps.hog(x, bins=8, soft=True)


def apart(a, b) -> float:
    """Relative distance of two pictures, their means taken away."""
    a, b = (np.asarray(v) - np.mean(v) for v in (a, b))
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def of_hog() -> tuple[dict, list]:
    """Rows of pre-images for HOG: 7 x 7 cells predicted from 9 x 9."""
    train = jnp.asarray(patches("train", 600, 112) / 255)
    x = jnp.asarray(patches("test", 7, 112)[1:2] / 255)
    middle = slice(20, 92)
    grid, out = maps.centred_grid(9, 9, 8), maps.centred_grid(7, 7, 8)
    source = np.asarray(hog(train[:, middle, middle]))
    rows, figures = [], {}
    for name, g in MOVES.items():
        target = np.asarray(hog(g(train)[:, middle, middle]))[:, 1:-1, 1:-1]
        sites = maps.neighbourhoods(g, grid, 3, out=out)
        fit = maps.fit_by_site(
            lambda a, b: maps.forward_select(a, b, 5), source, target, sites
        )
        z = np.asarray(hog(x[:, middle, middle]))
        moved = hog(g(x)[:, middle, middle])[:, 1:-1, 1:-1]
        mapped = jnp.asarray(fit(z.reshape(1, -1)).reshape(moved.shape), jnp.float32)

        def phi(v):
            return hog(v)[:, 1:-1, 1:-1]

        goals = {"phi(x)": jnp.asarray(z)[:, 1:-1, 1:-1], "phi(g x)": moved}
        goals["M_g phi(x)"] = mapped
        made = {
            k: maps.invert(phi, v, (72, 72, 1), key=KEY, steps=STEPS, tv=20.0).image
            for k, v in goals.items()
        }
        figures[name] = {
            "M_g phi(x)": apart(made["M_g phi(x)"], made["phi(g x)"]),
            "phi(x)": apart(made["phi(x)"], made["phi(g x)"]),
        }
        pictures = {"x": x[:, middle, middle], "g x": g(x)[:, middle, middle], **made}
        rows.append((f"HOG, {name}", pictures))
        print(name, figures[name], flush=True)
    return figures, rows


def of_network() -> tuple[dict, list]:
    """Rows of pre-images for the network."""
    net, g = trained(10_000, 4, flips=True), maps.rotate(90)
    x = jnp.asarray(fashion("test", 4)[0])[:1]
    images = jnp.asarray(fashion("train", 10_500)[0][10_000:])
    rows, figures = [], {}
    for layer in ("c1", "c2", "c3"):
        cut = maps.cut(net, layer, x=x)
        fit = maps.fit_equivariance(cut, g, images)
        z = cut.phi(x)
        goals = {"phi(g x)": cut.phi(g(x)), "P_g phi(x)": fit.permute(z)}
        goals["M_g phi(x)"] = fit(z)
        made = {
            k: maps.invert(cut.phi, v, (32, 32, 1), key=KEY, steps=STEPS).image
            for k, v in goals.items()
        }
        figures[layer] = {k: apart(v, made["phi(g x)"]) for k, v in made.items()}
        rows.append((f"{layer}, 90 degrees", {"x": x, "g x": g(x), **made}))
        print(layer, figures[layer], flush=True)
    return figures, rows


def main() -> None:
    """Run, draw, and say what reappears."""
    found = load(NAME, {"steps": STEPS, "seed": 0})
    found["command"] = "python -m experiments.maps_inversion"
    found["hog"], rows = of_hog()
    found["network"], more = of_network()
    alike = [v["M_g phi(x)"] < v["phi(x)"] for v in found["hog"].values()]
    better = [v["M_g phi(x)"] < v["P_g phi(x)"] for v in found["network"].values()]
    said = {
        "pre-images of M_g phi(x) are nearer to phi(g x) than those of phi(x)": alike,
        "pre-images of M_g phi(x) are better than those of P_g phi(x)": better,
    }
    found["verdicts"] = {
        k: "reappears" if all(v) else "does not" for k, v in said.items()
    }
    save(NAME, found)
    rows += more
    figure, axes = plt.subplots(len(rows), 5, figsize=(9, 1.9 * len(rows)))
    for line, (label, pictures) in zip(axes, rows, strict=True):
        for axis, (name, image) in zip(line, pictures.items(), strict=True):
            axis.imshow(np.asarray(image)[0, ..., 0], cmap="gray")
            axis.set_title(name, fontsize=7)
            axis.set_xticks([])
            axis.set_yticks([])
        line[0].set_ylabel(label, fontsize=7)
    save_figure(NAME, figure)


if __name__ == "__main__":
    main()
