"""What ``eqnets consistency`` computes: labels and probabilities at every shift."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from eqnets import report

from .errors import CommandError
from .job import Job, prepare, versions
from .options import Consistency
from .progress import Stages
from .reporting import Outcome, reported


@reported
def run(options: Consistency, stages: Stages, command: str) -> Outcome:
    """The labels at every shift."""
    m = measure_shifts(options, prepare(options, {}, stages), stages, command)
    tables = f"{report.shifts_table(m)}\n\n{report.shifts_lines(m)}"
    return Outcome(lambda: report.shifts_page(m), m.to_json, tables)


def offsets(options: Consistency, size: int) -> list[int]:
    """The shifts of one axis, in pixels, in increasing order and 0 among them."""
    if options.all_shifts:
        return list(range(-(size // 2), size - size // 2))
    reach = options.max_shift // options.step * options.step
    return list(range(-reach, reach + 1, options.step))


def measure_shifts(
    options: Consistency, work: Job, stages: Stages, command: str
) -> report.ShiftsMeasurement:
    """Everything the report shows.

    Raises:
        CommandError: shifts beyond the image, or logits that are not finite.
    """
    height, width = work.shape[:2]
    rows, columns = offsets(options, height), offsets(options, width)
    if max(-rows[0], -columns[0]) >= min(height, width) and not options.all_shifts:
        raise CommandError(
            f"--max-shift {options.max_shift} goes beyond images of {width} x {height} "
            "pixels: take less, or --all-shifts"
        )
    shifts = np.array([(dy, dx) for dy in rows for dx in columns])
    labels, shares, moved = [], [], []
    with stages.stage("shifting", len(work.images)) as advance:
        for x in work.batches():
            for part, found in zip(
                (labels, shares, moved), _responses(work, x, shifts), strict=True
            ):
                part.append(found)
            advance(sum(p.shape[1] for p in labels))
    labels, shares, moved = (np.concatenate(p, 1) for p in (labels, shares, moved))
    at = int(np.flatnonzero((shifts == 0).all(1))[0])
    changed = labels != labels[at]
    return report.ShiftsMeasurement(
        model=options.model,
        images=work.images,
        size=(height, width),
        rows=tuple(rows),
        columns=tuple(columns),
        changed=changed.mean(1),
        distance=moved.mean(1),
        worst=_worst(options, work, shifts, (labels, shares, moved), at),
        settings=options.settings(),
        versions=versions(),
        command=command,
        seconds=stages.seconds,
    )


def _responses(
    work: Job, x: Float[jax.Array, "b h w c"], shifts: Int[np.ndarray, "s 2"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Label, its probability, and the distance to no shift, each ``[S, B]``."""
    still = np.asarray(jax.nn.softmax(work.logits(x)))
    pixels = np.asarray(x)
    labels, shares, moved = [], [], []
    for dy, dx in shifts.tolist():
        logits = work.logits(jnp.asarray(np.roll(pixels, (dy, dx), (1, 2))))
        if not jnp.isfinite(logits).all():
            raise CommandError(f"{work.network.name} gives logits that are not finite")
        p = np.asarray(jax.nn.softmax(logits))
        labels.append(p.argmax(1))
        shares.append(p.max(1))
        moved.append(np.abs(p - still).sum(1) / 2)
    return np.stack(labels), np.stack(shares), np.stack(moved)


def _worst(
    options: Consistency,
    work: Job,
    shifts: np.ndarray,
    found: tuple[np.ndarray, np.ndarray, np.ndarray],
    at: int,
) -> tuple[report.ShiftCase, ...]:
    """Of each image the worst shift: the worst images first."""
    labels, shares, moved = found
    peaks = moved.argmax(0)
    order = np.argsort(-moved.max(0), kind="stable")[: options.worst]
    cases = []
    for image in order.tolist():
        shift = int(peaks[image])
        before, after = (
            report.Guess(
                work.network.label(int(labels[s, image])), float(shares[s, image])
            )
            for s in (at, shift)
        )
        photograph = work.network.input(work.photographs[image])
        cases.append(
            report.ShiftCase(
                image=work.images[image],
                shift=(int(shifts[shift, 0]), int(shifts[shift, 1])),
                before=before,
                after=after,
                distance=float(moved[shift, image]),
                pixels=_thumbnail(np.asarray(photograph)),
            )
        )
    return tuple(cases)


def _thumbnail(x: np.ndarray, side: int = 96) -> np.ndarray:
    """The input as the network sees it, every few pixels, in colours."""
    step = max(1, -(-max(x.shape[:2]) // side))
    pixels, _ = report.to_pixels(np.float32(x[None, ::step, ::step, :3]))
    return pixels[0] if pixels.shape[-1] == 3 else pixels[0, ..., :1].repeat(3, -1)
