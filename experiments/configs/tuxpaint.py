"""Drawn objects on photographs, segmented by a shift-equivariant DeepLabV3+.

Command: python -m experiments.train --config tuxpaint
Hardware: two CPU cores.
Time: not measured.
Expected: an mASCC of exactly 1 at every evaluation, as the network cannot do otherwise;
run for a few steps only.
"""

from experiments.training import Config, DeepLab, Optimiser, TuxPaint

CONFIG = Config(
    data=TuxPaint(),
    model=DeepLab(18, down="lps", up="lps", hidden=(8, 8, 8, 8), width=8),
    optimiser=Optimiser("adam", rate=3e-3, weight_decay=0.0, schedule="cosine"),
    epochs=6,
    batch=16,
    augment=("flip",),
    measured=16,
    checkpoint_every=100,
)
