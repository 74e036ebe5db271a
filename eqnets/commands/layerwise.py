"""What ``eqnets layerwise`` computes, stage by stage."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from eqnets import actions, functional, measure, report

from .compiling import Cost, kept
from .errors import CommandError, UsageError
from .job import Job, classify, prepare, versions
from .options import Layerwise
from .progress import Stages
from .reporting import Outcome, reported

#: Probes that are estimated together; the curve has one point for each such block.
BLOCK = 5


@reported
def run(options: Layerwise, stages: Stages, command: str) -> Outcome:
    """What every layer adds to the error at the output."""
    with kept(options.cache) as cost:
        work = prepare(options, built_action(options), stages)
        top = classify(work, stages)
        r = attribute(work, top, stages, cost, command)
    tables = f"{report.layer_lines(r)}\n\n{report.layer_table(r)}"
    return Outcome(lambda: report.layer_page(r), r.to_json, tables)


def built_action(options: Layerwise) -> dict[str, Any]:
    """The action that the options name, by its name.

    Raises:
        UsageError: a stencil that does not go with it.
    """
    try:
        built = actions.standard(stencil=options.stencil)
    except ValueError as error:
        raise UsageError(str(error)) from error
    return {options.action: built[options.action]}


def attribute(
    job: Job,
    top: tuple[tuple[report.Guess, ...], ...],
    stages: Stages,
    cost: Cost,
    command: str,
) -> report.LayerReport:
    """Everything the report shows.

    Raises:
        CommandError: the network gives something that is not finite, or there are too
            few images.
        ValueError: an operation behind which the image cannot be followed.
    """
    options = job.options
    if options.subnetworks and len(job.images) < 2:
        raise CommandError(
            "--subnetworks normalises outputs over the images and needs at least two, "
            f"got {len(job.images)}"
        )
    f = measure.readout(_named(job.network.scores), options.readout)
    ((_, action),) = job.actions.items()
    x = job.first(len(job.images))
    parts = _exact(job, f, action, x, stages)
    squares = _squares(parts.contributions)
    per_image = np.sqrt(squares)
    running = np.cumsum(parts.contributions.astype(np.float64), 0)
    subnetworks = _subnetworks(job, f, action, x, stages)
    convergence = _convergence(job, f, action, x[:1], per_image[:, 0], stages)
    return report.LayerReport(
        model=options.model,
        images=job.images,
        size=job.shape[:2],
        readout=options.readout,
        action=options.action,
        units=action.units,
        stencil=action.stencil,
        depth=options.depth,
        names=parts.names,
        kinds=parts.kinds,
        norms=np.asarray(parts.norms, np.float64),
        stderr=np.asarray(parts.stderr, np.float64),
        per_image=per_image,
        cumulative=np.sqrt(_squares(running)),
        total=np.sqrt(_squares(parts.total[None])[0]),
        residual=parts.residual,
        top=top,
        subnetworks=subnetworks,
        convergence=convergence,
        compilation=_compilation(cost),
        settings=options.settings("model", "action", "stencil", "seed", "cache"),
        versions=versions(),
        command=command,
        seed=options.seed,
        # The same object: the stages after this one are added to it as they end.
        seconds=stages.seconds,
    )


def _named(scores: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """The network with its module paths, where it is a Flax NNX module."""
    try:
        return functional.named(scores)
    except TypeError:  # another framework's module, or a plain function
        return scores


def _depth(text: str) -> str | int:
    return int(text) if text.isdecimal() else text


def _exact(
    job: Job, f: Any, action: Any, x: Array, stages: Stages
) -> measure.ExactAttribution:
    options = job.options
    with stages.stage("contributions of the layers", len(x)) as advance:
        parts = measure.layerwise(
            f,
            action,
            x,
            depth=_depth(options.depth),
            batch_size=options.batch_size,
            progress=advance,
        )
    flat = parts.contributions.reshape(*parts.contributions.shape[:2], -1)
    wrong = np.argwhere(~np.isfinite(flat).all(-1))
    if len(wrong):
        layer, image = wrong[0]
        raise CommandError(
            f"the contribution of {parts.names[layer]} of {job.network.name} on "
            f"{job.images[image]} is not finite: its derivative is not finite there"
        )
    return parts


def _squares(values: np.ndarray) -> np.ndarray:
    """Sums of squares over the outputs of [L, B, ...]."""
    flat = values.astype(np.float64).reshape(*values.shape[:2], -1)
    return (flat**2).sum(-1)


def _subnetworks(
    job: Job, f: Any, action: Any, x: Array, stages: Stages
) -> report.Subnetworks | None:
    options = job.options
    if not options.subnetworks:
        return None
    with stages.stage("subnetworks", len(x)) as advance:
        found = measure.subnetwork_lee(
            f,
            action,
            x,
            depth=_depth(options.depth),
            batch_size=options.batch_size,
            progress=advance,
        )
    return report.Subnetworks(found.names, found.kinds, found.lee, found.stderr)


def _convergence(
    job: Job, f: Any, action: Any, x: Array, exact: np.ndarray, stages: Stages
) -> report.Convergence | None:
    options = job.options
    if options.probes is None:
        return None
    key = jax.random.key(options.seed)
    block = min(BLOCK, options.probes)
    counts = np.arange(block, options.probes + 1, block)
    squares = []
    with stages.stage("random probes", int(counts[-1])) as advance:
        for i, count in enumerate(counts):
            found = measure.layerwise(
                f,
                action,
                jnp.asarray(x),
                depth=_depth(options.depth),
                probes=block,
                key=jax.random.fold_in(key, i),
            )
            squares.append(np.asarray(found.norms, np.float64) ** 2)
            advance(int(count))
    means = np.cumsum(squares, 0) / np.arange(1, len(squares) + 1)[:, None]
    estimates = np.sqrt(means)
    return report.Convergence(
        job.images[0], counts.astype(np.float64), estimates, exact
    )


def _compilation(cost: Cost) -> report.Compilation:
    folder = None if cost.folder is None else str(cost.folder)
    return report.Compilation(cost.seconds, cost.programs, cost.cached, folder)
