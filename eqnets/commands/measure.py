"""What ``eqnets measure`` computes, stage by stage."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from eqnets import actions, measure, report

from .errors import CommandError, UsageError
from .job import Job, classify, prepare, versions
from .options import Measure
from .progress import Stages
from .reporting import Outcome, reported

#: How far the response curves reach, in the units of the action, by its name's start.
REACH = {"translation": 0.01, "brightness": 0.3}
USUAL_REACH = 0.03
#: Fractions of the reach at which the responses are taken: denser near 0.
STEPS = (-1.0, -0.5, -0.15, 0.15, 0.5, 1.0)
#: The error maps are drawn for the first of these that are measured, then for others.
MAPPED = ("translation_x", "rotation", "scaling")
#: Blocks along the longer side of an error map.
MAP_BLOCKS = 56
#: Photographs with response curves and error maps, which take the time.
CLOSE = 4


@reported
def run(options: Measure, stages: Stages, command: str) -> Outcome:
    """LEE under every action, and the consistency under shifts."""
    work = prepare(options, built_actions(options), stages)
    top = classify(work, stages)
    print(report.top_table(work.images, top), end="\n\n", flush=True)
    m = measure_all(work, top, stages, command)
    tables = f"{report.lee_table(m)}\n\n{report.lee_lines(m)}"
    return Outcome(lambda: report.page(m), m.to_json, tables)


def measure_all(
    job: Job, top: tuple[tuple[report.Guess, ...], ...], stages: Stages, command: str
) -> report.Measurement:
    """Everything the report shows.

    Raises:
        CommandError: the network gives something that is not finite.
    """
    options = job.options
    f = measure.readout(job.network.scores, options.readout)
    lee = _lee(job, f, stages)
    circular, crop, reason = _consistency(job, stages)
    curves, pictures = _curves(job, f, stages), _pictures(job, f, stages)
    return report.Measurement(
        model=options.model,
        images=job.images,
        size=job.shape[:2],
        readout=options.readout,
        norm=options.norm,
        lee=lee,
        top=top,
        circular=circular,
        crop=crop,
        crop_reason=reason,
        curves=curves,
        pictures=pictures,
        settings=_settings(job),
        versions=versions(),
        command=command,
        seed=options.seed,
        # The same object: the stages after this one are added to it as they end.
        seconds=stages.seconds,
    )


def built_actions(options: Measure) -> dict[str, Any]:
    """The actions that the options name.

    Raises:
        UsageError: options that do not go together.
    """
    try:
        built = actions.standard(
            interpolation=options.interpolation,
            boundary=options.boundary,
            stencil=options.stencil,
        )
    except ValueError as error:
        raise UsageError(str(error)) from error
    return {name: built[name] for name in options.actions}


def _lee(job: Job, f: Any, stages: Stages) -> dict[str, report.ActionError]:
    options = job.options
    with stages.stage("local equivariance error", len(job.images)) as advance:
        found = measure.lee_profile(
            f,
            job.actions,
            job.batches(),
            norm=options.norm,
            batch_size=options.batch_size,
            progress=advance,
        )
    return {name: _action_error(job, name, found[name]) for name in job.actions}


def _action_error(job: Job, name: str, estimate: Any) -> report.ActionError:
    values = np.asarray(estimate.per_example, np.float64)
    for image, value in zip(job.images, values, strict=True):
        if not np.isfinite(value):
            raise CommandError(
                f"the error of {job.network.name} under {name} on {image} is {value}: "
                "its derivative is not finite there"
            )
    action = job.actions[name]
    return report.ActionError(
        mean=float(estimate.mean),
        stderr=float(estimate.stderr),
        per_image=values,
        stencil=action.stencil,
        units=action.units,
    )


def _consistency(
    job: Job, stages: Stages
) -> tuple[report.Consistency, report.Consistency | None, str]:
    def predict(x: Float[Array, "b h w c"]) -> Array:
        return jnp.argmax(job.logits(x), -1)

    circular_key, crop_key = jax.random.split(jax.random.key(job.options.seed))
    height, width, _ = job.shape
    pairs, reach = job.options.pairs, max(2, min(height, width) // 7)
    with stages.stage("circular shift consistency", len(job.images)) as advance:
        circular = _mean_over_batches(
            job.batches(),
            lambda x, key: measure.circular_consistency(
                predict, x, key, max_shift=reach, pairs=pairs
            ),
            circular_key,
            advance,
        )
    found = report.Consistency(circular, reach, pairs, height)
    if job.network.larger is None or height != width:
        why = "it is not square" if height != width else "the preprocessing gives none"
        return found, None, f"it needs a square input and a larger image; {why}"
    side = min(job.network.input(job.photographs[0], larger=True).shape[:2])
    if side <= height + 1:
        why = f"the preprocessing leaves {side} pixels for windows of {height}"
        return found, None, why
    with stages.stage("crop shift consistency", len(job.images)) as advance:
        # The published setting for 224 of 256 pixels: shifts of 0 to 31.
        reach = side - height - 1
        crop = _mean_over_batches(
            job.batches(larger=True),
            lambda x, key: measure.shift_consistency(
                predict, x, key, crop=height, max_shift=reach, pairs=pairs
            ),
            crop_key,
            advance,
        )
    return found, report.Consistency(crop, reach, pairs, side, height), ""


def _mean_over_batches(
    batches: Iterator[Float[Array, "b h w c"]],
    consistency: Callable[[Array, Array], Any],
    key: Array,
    advance: Callable[[int], None],
) -> float:
    total, count = 0.0, 0
    for i, x in enumerate(batches):
        total += float(consistency(x, jax.random.fold_in(key, i))) * len(x)
        count += len(x)
        advance(count)
    return total / count


def _curves(job: Job, f: Any, stages: Stages) -> dict[str, report.Curve]:
    x, curves = job.first(job.options.shown)[:CLOSE], {}
    with stages.stage("response curves", len(job.actions)) as advance:
        for name, action in job.actions.items():
            reach = REACH.get(name.split("_")[0], USUAL_REACH)
            found = measure.response(f, action, x, jnp.asarray(STEPS) * reach)
            # The curve passes through 0 at t = 0 by definition, bitwise here.
            middle = len(STEPS) // 2
            t = np.insert(np.asarray(STEPS) * reach, middle, 0.0)
            distance = np.insert(np.asarray(found.distance, np.float64), middle, 0.0, 0)
            curves[name] = report.Curve(
                t, distance, np.asarray(found.slope, np.float64)
            )
            advance(len(curves))
    return curves


def _pictures(job: Job, f: Any, stages: Stages) -> report.Pictures:
    x, maps = job.first(job.options.shown), {}
    close = x[:CLOSE]
    block = max(1, -(-max(job.shape[:2]) // MAP_BLOCKS))
    order = [name for name in MAPPED if name in job.actions]
    order += [name for name in job.actions if name not in order]
    mapped = order[: len(MAPPED)]
    with stages.stage("error maps", len(mapped)) as advance:
        for name in mapped:
            found = measure.error_map(f, job.actions[name], close)
            sums = report.block_sums(np.asarray(found, np.float64), block=block)
            maps[name] = sums.astype(np.float32)
            advance(len(maps))
    pixels, limits = report.to_pixels(np.asarray(x))
    return report.Pictures(job.images[: len(x)], pixels, limits, block, maps)


def _settings(job: Job) -> dict[str, Any]:
    """The options as they took effect: what was left out is filled in."""
    kept = job.options.settings("model", "seed", "stencil")
    for name in ("interpolation", "boundary"):
        used = {getattr(action, name, None) for action in job.actions.values()}
        kept[name] = ", ".join(sorted(used - {None})) or None
    return kept
