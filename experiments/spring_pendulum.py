"""A double spring pendulum learned from short pieces (Finzi et al., 2021, Sec. 7.2).

    python -m experiments.spring_pendulum              # O(2) and MLP
    python -m experiments.spring_pendulum --full       # all groups

Two unit masses in R^3, the first hung from the origin and the second from the first by
springs of rest length 1, under unit gravity; H(q, p) is `energy`, with the constants of
the published code. It is symmetric under O(2) about the vertical. Hamiltonian networks
and neural ODEs see 500 pieces of five states, 0.2 apart; the error is that of rollouts
over 30 units of time, |z - z'| / (|z| + |z'|), the geometric mean over times and 100
systems; it is 1 from where a rollout has run away to infinity. Width 128, three layers,
2000 steps of Adam on all pieces, its rate falling from 3e-3 by a cosine; 3 seeds. The
default takes about 50 minutes of one core, all groups three hours.

The finding, of HNN and of ODE, is that the network with O(2) errs less than the MLP, by
the 95 % interval over seeds of the mean difference of log errors; fewer than three
seeds leave it undecided.
"""

import argparse
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from eqnets import groups, models, reps
from eqnets.io import atomic_write_text
from experiments.lie_common import UNDECIDED, interval, verdict

RESULTS = Path(__file__).parent / "results" / "spring_pendulum.json"
STEP, PIECE, LONG, SYSTEMS, TEST = 0.2, 5, 30.0, 500, 100
CH, STEPS = 128, 2000
ROLLOUT_STEPS = 16384  # of the solver, for LONG
GROUPS = {
    "O(2)": lambda: groups.O(2),
    "SO(2)": lambda: groups.SO(2),
    "D(6)": lambda: groups.dihedral(6),
    "D(2)": lambda: groups.dihedral(2),
}
PUBLISHED = {
    "HNN O(2)": 0.0121,
    "HNN D(6)": 0.0132,
    "HNN SO(2)": 0.0145,
    "HNN MLP": 0.0281,
    "HNN D(2)": 0.086,
    "ODE O(2)": 0.0192,
    "ODE D(2)": 0.029,
    "ODE D(6)": 0.036,
    "ODE MLP": 0.048,
    "ODE SO(2)": 0.052,
}


def energy(z):
    """H(q, p) of states ``[..., 12]``, positions of both masses and then momenta."""
    x1, x2, p = z[..., :3], z[..., 3:6], z[..., 6:]
    upper = (jnp.linalg.norm(x1, axis=-1) - 1) ** 2 / 2
    lower = (jnp.linalg.norm(x1 - x2, axis=-1) - 1) ** 2
    height = x1[..., 2] + x2[..., 2]
    return ((p**2).sum(-1) / 2 + upper + lower + height)[..., None]


def starts(rng, count: int):
    """Random states ``[count, 12]`` near the hanging position."""
    x = np.tile([0, 0, -1.5, 0, 0, -3.0], (count, 1)) + 0.2 * rng.normal(
        size=(count, 6)
    )
    return np.concatenate([x, 0.4 * rng.normal(size=(count, 6))], axis=1)


def trajectories(field, z0, times):
    """Solutions, each system stepped on its own; infinite where it has run away."""
    options = {"rtol": 1e-4, "max_steps": ROLLOUT_STEPS, "throw": False}
    one = jax.vmap(
        lambda z: models.integrate(lambda v: field(v), z[None], times, **options)[0]
    )
    return jax.jit(one)(jnp.asarray(z0, jnp.float32))


def pieces(rng, count: int):
    """One stretch ``[count, PIECE, 12]`` at a random time of each of many systems."""
    times = jnp.arange(0, LONG, STEP)
    z = trajectories(models.hamiltonian_field(energy), starts(rng, count), times)
    first = rng.integers(len(times) // PIECE, size=count) * PIECE
    return np.stack([np.asarray(z[i, a : a + PIECE]) for i, a in enumerate(first)])


def build(kind: str, symmetry: str, ch: int, rngs: nnx.Rngs):
    """The network, whose output is an energy (HNN) or a velocity (ODE)."""
    if symmetry == "MLP":
        return models.mlp(12, 1 if kind == "HNN" else 12, ch=ch, rngs=rngs)
    G = groups.embed(GROUPS[symmetry](), 3, (0, 1))
    V = reps.vector(G)
    out = reps.scalar(G) if kind == "HNN" else 4 * V
    return models.emlp(4 * V, out, G, ch=ch, rngs=rngs)


def run(
    kind: str, symmetry: str, seed: int, *, ch: int = CH, steps: int = STEPS
) -> dict:
    """Train on pieces, roll out on new systems."""
    data = jnp.asarray(pieces(np.random.default_rng([seed, 1]), SYSTEMS))
    graph, params = nnx.split(build(kind, symmetry, ch, nnx.Rngs(seed)), nnx.Param)
    times = jnp.arange(PIECE) * STEP

    def field(params):
        net = nnx.merge(graph, params)
        return models.hamiltonian_field(net) if kind == "HNN" else net

    def loss(params, z):
        found = models.integrate(field(params), z[:, 0], times, rtol=1e-4, atol=1e-4)
        return ((found - z) ** 2).mean()

    adam = optax.adam(optax.cosine_decay_schedule(3e-3, steps))
    state = adam.init(params)

    @jax.jit
    def step(params, state, z):
        updates, state = adam.update(jax.grad(loss)(params, z), state)
        return optax.apply_updates(params, updates), state

    for _ in range(steps):
        params, state = step(params, state, data)
    z0 = starts(np.random.default_rng([seed, 2]), TEST)
    long = jnp.arange(0, LONG, STEP)
    truth = trajectories(models.hamiltonian_field(energy), z0, long)
    found = np.asarray(trajectories(field(params), z0, long))
    return {
        "rollout_error": rollout_error(found, np.asarray(truth)),
        "ran_away": float((~np.isfinite(found).all((1, 2))).mean()),
        "train_mse": float(jax.jit(loss)(params, data)),
    }


def rollout_error(z, truth) -> float:
    """The geometric mean over systems and times of the relative error.

    A state that ran away to infinity has the relative error 1, the limit.
    """
    finite = np.isfinite(z).all(-1)
    z = np.where(finite[..., None], z.astype(float), 0.0)
    norms = [np.sqrt((v**2).mean(-1)) for v in (z - truth, z, truth)]
    relative = np.where(finite, norms[0] / (norms[1] + norms[2]), 1.0)
    return float(np.exp(np.log(np.maximum(relative, 1e-7)).mean()))


def errors(runs: dict, label: str) -> list[float]:
    """The rollout errors of the seeds of a network that have run, in their order."""
    found = {
        int(k.split("|")[1]): r["rollout_error"]
        for k, r in runs.items()
        if k.startswith(f"{label}|")
    }
    return [found[seed] for seed in sorted(found)]


def findings(runs: dict) -> dict:
    """The rule of the module's docstring, as ``verdicts`` and ``intervals``."""
    intervals, verdicts = {}, {}
    for kind in ("HNN", "ODE"):
        one, other = (np.log(errors(runs, f"{kind} {G}")) for G in ("MLP", "O(2)"))
        name = f"{kind}: O(2) errs less than the MLP"
        verdicts[name] = UNDECIDED
        if len(one) == len(other) >= 3:
            intervals[name] = interval(one - other)
            verdicts[name] = verdict(intervals[name])
    return {"intervals": intervals, "verdicts": verdicts}


def plot(table: dict, path: Path) -> None:
    """Measured and published errors side by side."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots(figsize=(8, 3.5), layout="constrained")
    at = np.arange(len(table))
    rows = table.values()
    ax.bar(at - 0.2, [r["median_rollout_error"] for r in rows], 0.4, label="here")
    ax.bar(at + 0.2, [r["published"] for r in rows], 0.4, label="published")
    ax.set_xticks(at, list(table), rotation=45)
    ax.set(ylabel="rollout error", yscale="log")
    ax.legend()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main():
    """Run what is missing; write after each run and at the end."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="all groups")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    size = {"ch": CH, "steps": STEPS}
    records = {"size": size, "runs": {}}
    if options.out.exists():
        records = json.loads(options.out.read_text())
        if records["size"] != size:
            parser.error(f"{options.out} holds runs of another size; give --out")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    for seed in range(options.seeds):
        for label in PUBLISHED:
            kind, symmetry = label.split()
            wanted = options.full or symmetry in ("O(2)", "MLP")
            if f"{label}|{seed}" in records["runs"] or not wanted:
                continue
            record = run(kind, symmetry, seed)
            records["runs"][f"{label}|{seed}"] = record
            print(label, seed, record, flush=True)
            write(records, options.out)
    write(records, options.out)


def write(records: dict, path: Path) -> None:
    """The records, the table and the figure, whole or not at all."""
    table = {}
    for label, published in PUBLISHED.items():
        found = errors(records["runs"], label)
        if found:
            table[label] = {
                "median_rollout_error": float(np.median(found)),
                "seeds": len(found),
                "published": published,
            }
    full = any(label.split()[1] not in ("O(2)", "MLP") for label in table)
    records |= {
        "command": f"python -m experiments.spring_pendulum{' --full' * full}",
        "table": table,
    }
    records |= findings(records["runs"])
    atomic_write_text(path, json.dumps(records, indent=1) + "\n")
    plot(table, path.with_suffix(".png"))


if __name__ == "__main__":
    main()
