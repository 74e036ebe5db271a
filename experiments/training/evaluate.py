"""Scores on the test set, and how equivariant the network is by now."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from eqnets import actions, measure
from experiments.regression import equivariance_error
from experiments.training import objectives
from experiments.training.config import Config
from experiments.training.datasets import Source, Spec
from experiments.training.parallel import distribute, local, replicated, whole
from experiments.training.step import Program, State
from experiments.training.stream import in_order

LIE_IMAGES = 16


class Evaluation:
    """The evaluation of a run; what it compiles is compiled once."""

    def __init__(self, config: Config, spec: Spec, program: Program, mesh):
        self.config, self.spec, self.mesh = config, spec, mesh
        self.step = jax.jit(program.evaluate, out_shardings=replicated(mesh))
        self.apply = jax.jit(program.apply)
        self.prepare = program.prepare
        self.plain = program.apply

    def __call__(self, state: State, source: Source) -> dict[str, float]:
        """Scores over all examples, and measures of equivariance on a few."""
        total: dict = {}
        me, all_of_us = jax.process_index(), jax.process_count()
        for batch in in_order(source, self.config.batch, me, all_of_us):
            found = local(self.step(state, distribute(batch, self.mesh)))
            for name, value in found.items():
                total[name] = total.get(name, 0) + np.asarray(value, np.float64)
        result = objectives.scores(self.spec.kind, total)
        count = min(self.config.measured, len(source))
        if count:
            x = jnp.asarray(source.read(np.arange(count), 0)["x"])
            copy = local(whole(state, self.mesh))
            result |= self._equivariance(copy, self.prepare(x))
        return {name: float(value) for name, value in result.items()}

    def _equivariance(self, state: State, x: jax.Array) -> dict[str, float]:
        if self.spec.kind == "regression":
            return self._under_the_group(state, x)
        predict = self._labels(state)
        key, size = jax.random.key(self.config.seed), x.shape[1]
        far = {"max_shift": min(32, size - 1), "pairs": 2}
        if self.spec.kind == "segmentation":
            score = measure.segmentation_consistency(predict, x, key, **far)
            return {"mASCC": score}
        few = x[: min(len(x), LIE_IMAGES)]
        lie = measure.lee(
            partial(_probabilities, self.plain, state), actions.translation("x"), few
        )
        room = 32 if size >= 96 else 8  # what is left is a multiple of the strides
        return {
            "circular_consistency": measure.circular_consistency(
                predict, x, key, **far
            ),
            "shift_consistency": measure.shift_consistency(
                predict, x, key, crop=size - room, max_shift=room, pairs=2
            ),
            "lee_translation_x": lie.mean,
        }

    def _under_the_group(self, state: State, x: jax.Array) -> dict[str, float]:
        """|f(gx) - g f(x)| / |f(x)| over random elements of the task's first group."""
        task = self.spec.task
        group = next(iter(task.symmetries.values()))()
        error = equivariance_error(
            partial(self.apply, state),
            group,
            task.rep_in(group),
            task.rep_out(group),
            np.asarray(x),
            samples=5,
        )
        return {"equivariance_error": error}

    def _labels(self, state: State):
        return lambda x: jnp.argmax(self.apply(state, x), -1)


def _probabilities(apply, state: State, x: jax.Array) -> jax.Array:
    return jax.nn.softmax(apply(state, x).astype(jnp.float32))
