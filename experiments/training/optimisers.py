"""Optimisers, learning rates and temperatures, by name and number."""

import dataclasses
from collections.abc import Callable
from typing import Literal

import jax
import optax
from flax import nnx

from eqnets import nn, polyphase


@dataclasses.dataclass(frozen=True)
class Optimiser:
    """SGD with momentum, or Adam, and how the learning rate falls.

    Attributes:
        kind: ``"sgd"`` or ``"adam"``.
        rate: the learning rate at its highest.
        momentum: of SGD.
        weight_decay: added to the gradient; selection parameters have none, as
            published (Rojas-Gomez et al., 2022).
        schedule: ``"constant"``, ``"cosine"`` to zero, ``"steps"`` (times ``factor``
            every ``every`` epochs) or ``"poly"``, (1 - t)^power.
        factor: of ``"steps"``.
        every: epochs, of ``"steps"``.
        power: of ``"poly"``.
        warmup: epochs in which the rate rises from zero.
        backbone: the rate of parameters below a module called ``backbone``, as a
            multiple of the others'.
    """

    kind: Literal["sgd", "adam"] = "sgd"
    rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    schedule: Literal["constant", "cosine", "steps", "poly"] = "cosine"
    factor: float = 0.1
    every: int = 30
    power: float = 0.9
    warmup: float = 0.0
    backbone: float = 1.0

    def learning_rate(self, steps: int, per_epoch: int) -> optax.Schedule:
        """The rate at each of ``steps`` steps."""
        warm = min(round(self.warmup * per_epoch), steps)
        rest = max(steps - warm, 1)
        if self.schedule == "cosine":
            after = optax.cosine_decay_schedule(self.rate, rest)
        elif self.schedule == "steps":
            edges = range(self.every * per_epoch - warm, rest, self.every * per_epoch)
            scales = {edge: self.factor for edge in edges if edge > 0}
            after = optax.piecewise_constant_schedule(self.rate, scales)
        elif self.schedule == "poly":
            after = optax.polynomial_schedule(self.rate, 0.0, self.power, rest)
        else:
            after = optax.constant_schedule(self.rate)
        if not warm:
            return after
        rise = optax.linear_schedule(0.0, self.rate, warm)
        return optax.join_schedules([rise, after], [warm])

    def make(self, steps: int, per_epoch: int) -> optax.GradientTransformation:
        """The transformation of gradients into updates."""
        rate = self.learning_rate(steps, per_epoch)
        parts = []
        if self.weight_decay:
            parts.append(optax.add_decayed_weights(self.weight_decay, mask=_decayed))
        if self.kind == "adam":
            parts.append(optax.adam(rate))
        else:
            parts.append(optax.sgd(rate, momentum=self.momentum or None))
        if self.backbone != 1:
            parts.append(optax.masked(optax.scale(self.backbone), _in_backbone))
        return optax.chain(*parts)


def _decayed(params):
    return jax.tree.map(
        lambda p: not isinstance(p, nn.SelectionParam),
        params,
        is_leaf=lambda p: isinstance(p, nnx.Variable),
    )


def _in_backbone(params):
    return jax.tree_util.tree_map_with_path(
        lambda path, _: any(getattr(k, "key", None) == "backbone" for k in path),
        params,
        is_leaf=lambda p: isinstance(p, nnx.Variable),
    )


@dataclasses.dataclass(frozen=True)
class Temperature:
    """The temperature of the Gumbel softmax, counted in epochs.

    Attributes:
        kind: ``"linear"`` between the milestones, from 1; ``"decay"``, times ``factor``
            every ``every`` epochs.
        milestones: epochs.
        values: the temperatures reached there.
        factor: of ``"decay"``.
        every: of ``"decay"``.
    """

    kind: Literal["linear", "decay"] = "decay"
    milestones: tuple[int, ...] = ()
    values: tuple[float, ...] = ()
    factor: float = 0.85
    every: int = 10

    def make(self, per_epoch: int) -> Callable:
        """Step -> temperature."""
        if self.kind == "linear":
            edges = [m * per_epoch for m in self.milestones]
            return polyphase.linear_milestones(edges, self.values)
        return polyphase.step_decay(self.every * per_epoch, self.factor)
