"""The training and the evaluation step, as pure functions of the state."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from eqnets import actions, measure, models
from experiments.training import objectives
from experiments.training.augment import augment, prepare
from experiments.training.config import Config
from experiments.training.datasets import Spec

LIE_ACTIONS = {
    "rotation": actions.rotation,
    "scaling": actions.scaling,
    "translation_x": partial(actions.translation, "x"),
}
State = dict[str, Any]
"""``params``, ``rest`` (batch statistics), ``optimiser``, and ``step``, a scalar."""


@dataclasses.dataclass(frozen=True)
class Program:
    """The pure functions of a run.

    Attributes:
        start: ``() -> State``.
        train: ``(State, batch) -> (State, loss)``.
        evaluate: ``(State, batch) -> sums`` of `objectives`.
        apply: ``(State, x) -> outputs`` of prepared inputs, in evaluation.
        prepare: a source's inputs to the network's.
    """

    start: Callable
    train: Callable
    evaluate: Callable
    apply: Callable
    prepare: Callable


def program(config: Config, spec: Spec, steps: int, per_epoch: int) -> Program:
    """Build the functions of a run of ``steps`` steps."""
    graph = nnx.graphdef(nnx.eval_shape(lambda: _model(config, spec)))
    optimiser = config.optimiser.make(steps, per_epoch)
    temperature = config.temperature.make(per_epoch)
    base = jax.random.key(config.seed)

    def start() -> State:
        model = _model(config, spec)
        if config.weights is not None:
            models.load_weights(model, config.weights)
        _, params, rest = nnx.split(model, nnx.Param, ...)
        state = {"params": params, "rest": rest, "optimiser": optimiser.init(params)}
        return state | {"step": jnp.zeros((), jnp.int32)}

    def forward(params, rest, x, key, t):
        model = nnx.merge(graph, params, rest, copy=True)
        outputs = model(x, key=key, temperature=t)
        return outputs, nnx.split(model, nnx.Param, ...)[2]

    if config.remat:
        forward = jax.checkpoint(forward)

    def loss(params, rest, x, y, key, t):
        augmenting, selecting = jax.random.split(key)
        if config.augment:
            x, y = augment(augmenting, x, y, config.augment)
        x = prepare(spec, x)
        outputs, after = forward(params, rest, x, selecting, t)
        value = objectives.loss(spec.kind, outputs, y)
        if config.lie_weight:

            def probabilities(x):
                logits, _ = forward(params, rest, x, selecting, t)
                return jax.nn.softmax(logits.astype(jnp.float32))

            action = LIE_ACTIONS[config.lie_action]()
            value += config.lie_weight * measure.lie_regularizer(
                probabilities, action, x
            )
        return value, after

    def gradients(state, batch, key, t):
        """Means over the parts of the batch, worked through one after the other."""
        differentiate = jax.value_and_grad(loss, has_aux=True)
        if config.accumulate == 1:
            (value, rest), grads = differentiate(
                state["params"], state["rest"], batch["x"], batch["y"], key, t
            )
            return value, grads, rest
        parts = jax.tree.map(lambda v: _interleaved(v, config.accumulate), batch)
        keys = jax.random.split(key, config.accumulate)

        def one(carry, part):
            rest, value, grads = carry
            (v, rest), g = differentiate(
                state["params"], rest, part[0]["x"], part[0]["y"], part[1], t
            )
            return (rest, value + v, jax.tree.map(jnp.add, grads, g)), None

        zero = jax.tree.map(jnp.zeros_like, state["params"])
        carry = (state["rest"], jnp.zeros(()), zero)
        (rest, value, grads), _ = jax.lax.scan(one, carry, (parts, keys))
        mean = jax.tree.map(lambda g: g / config.accumulate, grads)
        return value / config.accumulate, mean, rest

    def train(state, batch):
        key = jax.random.fold_in(base, state["step"])
        t = temperature(state["step"])
        value, grads, rest = gradients(state, batch, key, t)
        updates, moved = optimiser.update(grads, state["optimiser"], state["params"])
        params = optax.apply_updates(state["params"], updates)
        new = {"params": params, "rest": rest, "optimiser": moved}
        return new | {"step": state["step"] + 1}, value

    def apply(state, x):
        model = nnx.merge(graph, state["params"], state["rest"], copy=True)
        view = nnx.view(
            model,
            use_running_average=True,
            deterministic=True,
            raise_if_not_found=False,
        )
        return view(x)

    def evaluate(state, batch):
        outputs = apply(state, prepare(spec, batch["x"]))
        return objectives.sums(spec.kind, outputs, batch["y"], batch["weight"])

    return Program(start, train, evaluate, apply, lambda x: prepare(spec, x))


def _model(config: Config, spec: Spec) -> nnx.Module:
    dtype = jnp.bfloat16 if config.precision == "bfloat16" else None
    return config.model.build(spec, nnx.Rngs(config.seed), dtype)


def trained(config: Config, spec: Spec, state: State) -> nnx.Module:
    """The network with a state's parameters and batch statistics."""
    graph = nnx.graphdef(nnx.eval_shape(lambda: _model(config, spec)))
    return nnx.merge(graph, state["params"], state["rest"], copy=True)


def _interleaved(v: jax.Array, parts: int) -> jax.Array:
    """Every ``parts``-th example together, so that each device keeps its own."""
    return v.reshape(v.shape[0] // parts, parts, *v.shape[1:]).swapaxes(0, 1)
