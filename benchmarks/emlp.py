"""A whole EMLP beside emlp 1.0.3: construction, training step, forward, memory.

    python -m benchmarks.emlp                      # eqnets alone, with a dense MLP
    python -m benchmarks.emlp --peer .venv-emlp    # both, and the ratios

O(5), two vectors to a scalar, width 384, three layers, batch 500, float32, one thread.
Each library runs in a fresh process; times are its CPU seconds, the median of
the rounds, compilation not counted but given apart. Construction is the time to build
the network, its bases included. Peak memory is what the process grew by after its
imports. The peer's training step is the gradient of its own network by Adam, as its
examples do it.
"""

import argparse
import json
import sys
from pathlib import Path

from benchmarks.solver import run

COMMON = """
import json, resource, time
import numpy as np
def memory():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
def timed(call, rounds):
    start = time.process_time()
    call()
    first = time.process_time() - start
    seconds = []
    for _ in range(rounds):
        start = time.process_time()
        call()
        seconds.append(time.process_time() - start)
    return first, sorted(seconds)[len(seconds) // 2]
rng = np.random.default_rng(0)
X = rng.standard_normal((500, 10)).astype(np.float32)
Y = np.sin(np.linalg.norm(X, axis=1))[:, None].astype(np.float32)
"""

OURS = (
    COMMON
    + """
import jax, jax.numpy as jnp, optax
from flax import nnx
from eqnets import groups, models, reps
idle = memory()
start = time.process_time()
G = groups.O(5)
V = reps.vector(G)
if KIND == "dense":
    net = models.mlp(2 * V, reps.scalar(G), ch=384, num_layers=3, rngs=nnx.Rngs(0))
else:
    net = models.emlp(2 * V, reps.scalar(G), G, ch=384, num_layers=3, rngs=nnx.Rngs(0))
construct = time.process_time() - start
dtype = jnp.bfloat16 if KIND == "bfloat16" else jnp.float32
x, y = jnp.asarray(X, dtype), jnp.asarray(Y, dtype)
graph, params = nnx.split(net, nnx.Param)
adam = optax.adam(3e-3)
state = adam.init(params)
forward = jax.jit(lambda p, x: nnx.merge(graph, p)(x))
@jax.jit
def step(p, s, x, y):
    loss = lambda p: ((nnx.merge(graph, p)(x) - y) ** 2).mean()
    u, s = adam.update(jax.grad(loss)(p), s)
    return optax.apply_updates(p, u), s
wait = jax.block_until_ready
compile_forward, fast = timed(lambda: wait(forward(params, x)), ROUNDS)
compile_step, train = timed(lambda: wait(step(params, state, x, y)), ROUNDS)
print(json.dumps(dict(construct=construct, forward=fast, step=train,
    compile_forward=compile_forward, compile_step=compile_step,
    parameters=sum(p.size for p in jax.tree.leaves(params)), peak_mib=memory() - idle)))
"""
)

PEER = (
    COMMON
    + """
import jax, jax.numpy as jnp, objax
from emlp.groups import O
from emlp.reps import T
import emlp.nn.objax as en
idle = memory()
start = time.process_time()
net = en.EMLP(2 * T(1), T(0), O(5), ch=384, num_layers=3)
construct = time.process_time() - start
x, y = jnp.asarray(X), jnp.asarray(Y)
adam = objax.optimizer.Adam(net.vars())
forward = objax.Jit(lambda x: net(x, training=False), net.vars())
gradient = objax.GradValues(
    lambda x, y: ((net(x, training=True) - y) ** 2).mean(), net.vars())
@objax.Function.with_vars(net.vars() + adam.vars() + gradient.vars())
def update(x, y):
    g, v = gradient(x, y)
    adam(3e-3, g)
    return v
step = objax.Jit(update)
compile_forward, fast = timed(lambda: forward(x).block_until_ready(), ROUNDS)
compile_step, train = timed(lambda: step(x, y)[0].block_until_ready(), ROUNDS)
print(json.dumps(dict(construct=construct, forward=fast, step=train,
    compile_forward=compile_forward, compile_step=compile_step,
    parameters=sum(int(v.size) for v in net.vars().tensors()),
    peak_mib=memory() - idle)))
"""
)


def measure(python, code, kind, rounds, timeout=900):
    """The record of a fresh process."""
    head = f"KIND, ROUNDS = {kind!r}, {rounds}\n"
    return run(python, head + code, timeout)


def ratios(ours, peer):
    """How many times more the peer takes."""
    keys = ("construct", "forward", "step", "peak_mib")
    return {k: round(peer[k] / ours[k], 2) for k in keys}


def main():
    """Run each, print and save the records and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer", help="a virtual environment with emlp 1.0.3")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=Path, default="benchmarks/results/emlp.json")
    options = parser.parse_args()
    result = {"command": "python -m benchmarks.emlp --peer .venv-emlp"}
    for kind in ("float32", "dense", "bfloat16"):
        result[kind] = measure(sys.executable, OURS, kind, options.rounds)
        print(kind, result[kind], flush=True)
    if options.peer:
        peer = measure(f"{options.peer}/bin/python", PEER, "peer", 3)
        result["emlp 1.0.3"] = peer
        print("emlp 1.0.3", peer, flush=True)
        if "error" not in peer:
            result["ratio emlp / eqnets"] = ratios(result["float32"], peer)
    result["ratio eqnets / dense"] = ratios(result["dense"], result["float32"])
    print({k: v for k, v in result.items() if k.startswith("ratio")})
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
