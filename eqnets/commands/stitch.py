"""What ``eqnets stitch`` computes, stage by stage."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from eqnets import maps, report

from . import compiling, labelled, network
from .errors import CommandError
from .job import compiled, versions
from .maps import predictions
from .options import Stitch, parse_constraint
from .progress import Stages
from .reporting import Outcome, reported

#: Random crops of each sample photograph, of which there are few.
CROPS = 4
#: Images to fit to and to measure on: fewer say nothing.
LEAST = 2


@reported
def run(options: Stitch, stages: Stages, command: str) -> Outcome:
    """Every stitch, and the controls."""
    with compiling.kept(options.cache):
        covering, m = measure_stitches(options, stages, command)
    return Outcome(lambda: report.stitch_page(m), m.to_json, str(covering))


def measure_stitches(
    options: Stitch, stages: Stages, command: str
) -> tuple[maps.Covering, report.StitchMeasurement]:
    """The covering with its controls, and everything the report shows.

    Raises:
        CommandError: too few images, or layers that cannot be cut or stitched.
    """
    receiver, donor = _networks(options, stages)
    with stages.stage("reading the images"):
        crops = options.crops or (CROPS if options.images is None else 1)
        images, files = options.images, options.labels
        data = labelled.read(images, files, receiver, crops=crops, seed=options.seed)
    x, labels = jnp.asarray(data.x), data.labels
    if labels is None:
        with stages.stage("classifying"):
            scores = compiled(receiver, min(options.batch_size, len(x)))
            labels = predictions(scores, x, options.batch_size)
    # Crops of one photograph are never on both sides.
    sides = [np.flatnonzero(data.source % 2 == side) for side in (0, 1)]
    if min(map(len, sides)) < LEAST:
        raise CommandError(
            f"fitting and measuring take at least {2 * LEAST} images; there are "
            f"{len(x)}"
        )
    fit, test = ((x[rows], labels[rows]) for rows in sides)
    made = _covering(options, (donor, receiver), fit, test, stages)
    return made, report.StitchMeasurement(
        receiver=options.model,
        donor=options.donor or options.model,
        layers=made.layers_b,
        donor_layers=made.layers_a,
        fitted=len(fit[1]),
        measured=len(test[1]),
        size=tuple(x.shape[1:3]),
        labels_given=data.labels is not None,
        clean=made.clean,
        errors=made.errors,
        fvus=made.fvus,
        flagged=made.flagged,
        controls={
            name: report.StitchControl(c.error, c.fvu)
            for name, c in made.controls.items()
        },
        settings=options.settings("model", "donor", "layers", "donor_layers", "seed")
        | {"crops": crops},
        versions=versions(),
        command=command,
        seed=options.seed,
        seconds=stages.seconds,
    )


def _networks(
    options: Stitch, stages: Stages
) -> tuple[network.Network, network.Network]:
    with stages.stage(f"loading {options.model}"):
        receiver = network.load(options.model, options.weights, size=options.size)
    if options.donor is None:
        return receiver, receiver
    with stages.stage(f"loading {options.donor}"):
        return receiver, network.load(
            options.donor, options.donor_weights, size=options.size
        )


def _covering(
    options: Stitch,
    networks: tuple[network.Network, network.Network],
    fit: tuple[Array, np.ndarray],
    test: tuple[Array, np.ndarray],
    stages: Stages,
) -> maps.Covering:
    donor, receiver = networks
    kind, k = parse_constraint(options.constraint)
    a, b = options.cut_at, options.layers
    total = options.seeds * len(b) * (2 * len(a) + 2)
    with stages.stage("stitching, controls included", total) as advance:
        try:
            return maps.covering_matrix(
                donor.scores,
                receiver.scores,
                a,
                b,
                *fit,
                test=test,
                seeds=options.seeds,
                key=jax.random.key(options.seed),
                random_donor=_untrained(options),
                batch_size=options.batch_size,
                progress=advance,
                kernel=options.kernel,
                steps=options.steps,
                constraint=None if kind is None else maps.Constraint(kind, k),
            )
        except TypeError as error:
            if options.untrained is None and "drawn anew" in str(error):
                raise CommandError(
                    f"{donor.name} has no parameters that can be drawn anew for the "
                    "control; name a function that returns it without its training "
                    "with --untrained"
                ) from error
            raise CommandError(str(error)) from error
        except ValueError as error:
            raise CommandError(str(error)) from error


def _untrained(options: Stitch) -> Callable[[Array], Any] | None:
    if options.untrained is None:
        return None
    found = network.load(options.untrained, None, size=options.size).scores
    return lambda key: found
